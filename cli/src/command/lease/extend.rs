//! `hansa lease extend`: use a lease for longer.

use crate::error::{Failure, Outcome};
use crate::printer::pairs;
use crate::session::Session;
use crate::units::{Duration, Limit, length};
use hansa_ledger::action::ExtendLease;
use hansa_ledger::money::Price;
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
    // What it would cost is told to the two sides of the lease only.
    let client = session.reader().await?;
    let lease = session.find_lease(&client, lease).await?;
    let slot_s = client.params().await?.slot_s;
    let slots = u32::try_from(by.slots(slot_s)).map_err(|_| Failure::from(Rejection::ExtensionTooLong))?;
    let shown = client.extension(&lease, slots).await?;
    let price_max = price_max(&shown, max_price)?;
    if dry_run {
        session.printer.data(&shown, || text(&shown, slot_s));
        return Ok(());
    }
    let sent = session.act(ExtendLease { lease, slots, price_max }).await?;
    let told = format!("extended lease {lease} until {}, for up to {} EUR more", shown.end, shown.added);
    session.tell_sent(&sent, &shown, &told);
    Ok(())
}

/// The most that is signed for: what was said, else the price that was shown.
fn price_max(shown: &ExtensionInfo, most: Option<Limit>) -> Outcome<Price> {
    let price_max = most.map_or(shown.price, |limit| limit.0);
    if shown.price > price_max { Err(Rejection::ExtensionPriceOver.into()) } else { Ok(price_max) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lease::{LeaseArguments, Verb};
    use clap::Parser;
    use hansa_ledger::id::LeaseId;
    use hansa_ledger::money::Money;
    use hansa_ledger::time::TimeMs;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        lease: LeaseArguments,
    }

    #[test]
    fn an_extension_is_signed_for_no_more_than_was_shown_or_said() {
        let shown = ExtensionInfo {
            lease: LeaseId([1; 32]),
            slots: 8,
            end: TimeMs(1_801_396_800_000),
            price: Price(2_000_000),
            locked: Money(9_000_000),
            added: Money(4_000_000),
        };
        let typed = |words: &str| {
            let words = format!("lease extend abcdef {words}");
            match Line::try_parse_from(words.split_whitespace()).map(|line| line.lease.verb) {
                Ok(Verb::Extend { length, max_price, dry_run, .. }) => {
                    Ok((length.slots(900), max_price, dry_run))
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        for (words, slots, dry_run, most) in [
            ("--for 2h", 8, false, Ok(Price(2_000_000))),
            ("--for 2h --max-price 2.50", 8, false, Ok(Price(2_500_000))),
            ("--for 91m --max-price 2.00 --dry-run", 7, true, Ok(Price(2_000_000))),
            ("--for 15m --max-price 1.999", 1, false, Err(Failure::from(Rejection::ExtensionPriceOver))),
        ] {
            let (asked, max_price, dry) = typed(words).unwrap();
            assert_eq!((asked, dry, price_max(&shown, max_price)), (slots, dry_run, most), "{words}");
        }
        assert!(typed("").unwrap_err().contains("--for"));
        assert!(typed("--for tomorrow").unwrap_err().contains("`tomorrow` is no length of time"));
        assert!(typed("--for 2h --max-price lots").unwrap_err().contains("`lots` is no price"));
        let text = text(&shown, 900);
        for said in ["longer by      2h", "to             2027-01-31T12:00:00Z", "locked on top  4.00 EUR"] {
            assert!(text.contains(said), "{said:?} is not in:\n{text}");
        }
    }
}
