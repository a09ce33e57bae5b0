//! Offices and their orders, over the wire.

use super::double::{key, name};
use super::{HttpLimits, Server};
use hansa_ledger::action::{ApproveOrder, AttestDeposit, RemoveOfficeKey};
use hansa_ledger::event::Event;
use hansa_ledger::id::{OrderId, OrganisationId};
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::Office;
use hansa_node_api::filter::OrderFilter;

async fn propose(server: &Server, signer: &str, reference: &str) -> OrderId {
    let organisation = OrganisationId([1; 32]);
    let deposit = AttestDeposit { organisation, amount: Money(1_000_000), reference: name(reference) };
    let done = server.send(signer, deposit).await;
    let [Event::OrderPlaced { order, .. }] = done.receipt.events.as_slice() else { panic!("{done:?}") };
    *order
}

#[tokio::test]
async fn offices_are_shown_with_their_keys_and_orders_with_their_approvals() {
    let server = Server::start(HttpLimits::default()).await;
    let client = &server.client;
    let germany = client.offices("DE".parse().unwrap()).await.unwrap();
    let shown: Vec<_> =
        germany.iter().map(|one| (one.office, one.threshold, one.keys, one.key_list.len())).collect();
    let expected = [(Office::Registrar, 1, 1, 1), (Office::Treasury, 2, 3, 3), (Office::Governance, 1, 1, 1)];
    assert_eq!(shown, expected);
    assert_eq!(client.orders(&OrderFilter::default()).await.unwrap(), []);

    let first = propose(&server, "DE treasury", "one").await;
    let second = propose(&server, "DE treasury 2", "two").await;
    let orders = client.orders(&OrderFilter::default()).await.unwrap();
    assert_eq!(orders.len(), 2);
    for order in &orders {
        assert!([first, second].contains(&order.id));
        assert_eq!((order.counted, order.threshold, order.missing()), (1, 2, 1));
    }
    // A key that was taken back approves nothing any more.
    let removed = key("DE treasury").public_key();
    server.send("DE governance", RemoveOfficeKey { office: Office::Treasury, key: removed }).await;
    let orders = client.orders(&OrderFilter::default()).await.unwrap();
    let missing = |id| orders.iter().find(|order| order.id == id).unwrap().missing();
    assert_eq!((missing(first), missing(second)), (2, 1));
    let germany = client.offices("DE".parse().unwrap()).await.unwrap();
    let treasury = &germany[1];
    assert_eq!((treasury.keys, treasury.key_list.len(), treasury.orders), (2, 3, 2));
    assert!(treasury.key_list.iter().all(|one| one.row.revoked == (one.key == removed)));

    // The order is refused when it is done, and stays.
    let approval = server.account("DE treasury 3").send(vec![ApproveOrder { order: second }.into()]).await;
    assert_eq!(approval.unwrap_err().rejection(), Some(Rejection::OrganisationUnknown));
    for (filter, expected) in [
        (OrderFilter { member: Some("DE".parse().unwrap()), ..OrderFilter::default() }, 2),
        (OrderFilter { member: Some("EE".parse().unwrap()), ..OrderFilter::default() }, 0),
        (OrderFilter { office: Some(Office::Treasury), ..OrderFilter::default() }, 2),
        (OrderFilter { office: Some(Office::Registrar), ..OrderFilter::default() }, 0),
        (OrderFilter { limit: Some(1), ..OrderFilter::default() }, 2),
    ] {
        assert_eq!(client.orders(&filter).await.unwrap().len(), expected, "{filter:?}");
    }
    for (path, status) in [
        ("/v1/offices/EU", 404),
        ("/v1/offices/XX", 400),
        ("/v1/orders?office=mayor", 400),
        // What an office is about to do is for members.
        ("/v1/orders", 403),
    ] {
        assert_eq!(server.ask("GET", path).await.0, status, "{path}");
    }
}
