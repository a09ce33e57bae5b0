//! `hansa lease extend`: use a lease for longer.

use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::Session;
use crate::units::{Duration, Limit, length};
use hansa_ledger::action::ExtendLease;
use hansa_ledger::rejection::Rejection;
use hansa_node_api::lease::ExtensionInfo;

/// Asks the node what it would cost, and does it unless only that is wanted.
pub(super) async fn run(
    session: &Session,
    lease: &str,
    by: Duration,
    max_price: Option<Limit>,
    dry_run: bool,
) -> Outcome {
    let client = session.client()?;
    let lease = session.find_lease(&client, lease).await?;
    let slot_s = client.params().await?.slot_s;
    let slots = u32::try_from(by.slots(slot_s)).map_err(|_| Failure::from(Rejection::ExtensionTooLong))?;
    let shown = client.extension(&lease, slots).await?;
    let price_max = max_price.map_or(shown.price, |limit| limit.0);
    if shown.price > price_max {
        return Err(Failure::from(Rejection::ExtensionPriceOver));
    }
    if dry_run {
        session.printer.data(&shown, || text(&shown, slot_s));
        return Ok(());
    }
    let sent = session.act(ExtendLease { lease, slots, price_max }).await?;
    let told = format!("extended lease {lease} until {}, for up to {} EUR more", shown.end, shown.added);
    session.tell_sent(&sent, &shown, &told);
    Ok(())
}

fn text(shown: &ExtensionInfo, slot_s: u32) -> String {
    pairs(&[
        ("lease", shown.lease.to_string()),
        ("longer by", length(u64::from(shown.slots) * u64::from(slot_s) * 1_000)),
        ("to", shown.end.to_string()),
        ("price", format!("{} EUR/h", shown.price)),
        ("locked on top", format!("{} EUR", shown.added)),
        ("locked in all", format!("{} EUR", shown.locked)),
    ])
}
