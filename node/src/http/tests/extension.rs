//! What extending a lease would cost, and that doing it costs that.

use super::double::demand;
use super::{HttpLimits, Server};
use hansa_ledger::action::ExtendLease;
use hansa_ledger::id::BlobHash;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Purse, Source};

#[tokio::test]
async fn an_extension_costs_what_the_node_says_it_would() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let cash = vec![Source { purse: Purse::Cash, share_bps: 10_000 }];
    let lease = server.lease("kodu", cash, BlobHash([7; 32])).await;
    let before = server.client.lease(&lease).await.unwrap().row;
    let shown = server.client.extension(&lease, 100).await.unwrap();
    assert_eq!((shown.slots, shown.price), (100, before.agreement.price));
    assert_eq!(shown.end, before.agreement.end.plus(100_000));
    assert_eq!(shown.locked.0, before.locked.0 + shown.added.0);
    assert!(shown.added.0 > 0);
    // Showing it changes nothing.
    assert_eq!(server.client.lease(&lease).await.unwrap().row, before);
    server.send("kodu", ExtendLease { lease, slots: 100, price_max: shown.price }).await;
    let after = server.client.lease(&lease).await.unwrap().row;
    assert_eq!(
        (after.agreement.end, after.locked, after.slots),
        (shown.end, shown.locked, before.slots + 100)
    );
    // Why it would be refused is said as the ledger would.
    for (slots, refusal) in [
        (0, Rejection::DurationInvalid),
        (u32::MAX, Rejection::Overflow),
        (86_400, Rejection::ExtensionTooLong),
    ] {
        let error = server.client.extension(&lease, slots).await.unwrap_err();
        assert_eq!(error.rejection(), Some(refusal), "{slots}");
    }
    let path = format!("/v1/leases/{lease}/extension");
    assert_eq!(server.ask("GET", &path).await, (403, "ReadForbidden".to_owned()), "a stranger");
    let granted = server.lease("kodu", demand().sources, BlobHash([7; 32])).await;
    let error = server.client.extension(&granted, 1).await.unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::ExtensionSponsored));
}
