//! Why a request waits: reasons, numbers, and changes that do help.

use super::double::{demand, name, startup};
use super::quotes::{paid_by, quote_of};
use super::{HttpLimits, Server};
use crate::http::backend::read;
use crate::http::why::Advice;
use hansa_ledger::action::{CancelRequest, PlaceRequest, request_id};
use hansa_ledger::batch::book;
use hansa_ledger::id::BlockId;
use hansa_ledger::market::{Bucket, Change, Lane, Reason};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::{Alternative, Demand, Purse, RequestState};
use hansa_ledger::tables::ParamsTable;
use hansa_ledger::time::TimeMs;
use hansa_node_api::filter::RequestFilter;
use hansa_node_api::peer::now_ms;
use hansa_node_api::why::ReasonKind;

#[tokio::test]
async fn what_stands_in_the_way_is_told_before_and_after() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let client = &server.client;
    let cheap = Demand { limit: Price(900_000), ..demand() };
    let quote = client.quote(&quote_of(&cheap)).await.unwrap();
    let [unmatched] = &quote.unmatched[..] else { panic!("the limit is below the ask: {quote:?}") };
    assert_eq!(
        (unmatched.reason, unmatched.code, unmatched.kind, unmatched.detail.cheapest_ask),
        (Reason::LimitBelowPrice, 5, ReasonKind::Price, Some(Price(2_000_000)))
    );
    assert!(quote.sentence.contains("2.00 EUR/h"), "{}", quote.sentence);

    let (signed, _) =
        server.account("kodu").send_signed(vec![PlaceRequest { demand: cheap }.into()]).await.unwrap();
    let request = request_id(signed.id(), 0);
    server.run_batch("h100");
    let why = client.request_why(&request).await.unwrap();
    assert_eq!(why.classes.len(), 1);
    let class = &why.classes[0];
    assert_eq!(class.last.as_ref().map(|last| last.reason), Some(Reason::LimitBelowPrice));
    assert_eq!(class.now.as_ref().map(|now| now.reason), Some(Reason::LimitBelowPrice));
    assert_eq!((class.limit, class.eligible, class.bucket), (Price(900_000), Some(true), Some(Bucket::Spot)));
    let open = RequestFilter {
        state: Some(RequestState::Open),
        organisation: Some(startup()),
        ..Default::default()
    };
    assert_eq!(client.requests(&open).await.unwrap().len(), 1);
    server.send("kodu", CancelRequest { request }).await;
    let why = client.request_why(&request).await.unwrap();
    assert_eq!((why.state, &why.classes[0].now, why.next_batch), (RequestState::Cancelled, &None, None));
    assert_eq!((why.classes[0].changes.len(), why.classes[0].bucket), (0, None), "nothing helps it any more");
    assert_eq!(why.sentence, "its organisation took it back");
    assert!(client.requests(&open).await.unwrap().is_empty());
    // A quote leaves nothing behind.
    assert_eq!(client.grants(&Default::default()).await.unwrap()[0].balance, Money(100_000_000));
}

#[tokio::test]
async fn each_class_says_why_and_each_change_it_names_does_help() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    server.open_second_class().await;
    let demand = Demand {
        sources: paid_by(&[(Purse::Cash, 10_000)]),
        limit: Price(900_000),
        tier_min: 2,
        any_of: vec![Alternative { class: name("a100"), limit: Price(500_000) }],
        ..demand()
    };
    let request = server.place("kodu", demand.clone()).await;
    let why = server.client.request_why(&request).await.unwrap();
    let told: Vec<_> = why
        .classes
        .iter()
        .map(|one| (one.class.as_str(), one.limit.0, one.eligible, one.now.as_ref().map(|now| now.code)))
        .collect();
    assert_eq!(told, [("h100", 900_000, Some(false), Some(5)), ("a100", 500_000, Some(false), Some(5))]);
    assert!(why.classes.iter().all(|one| one.last.is_none() && one.award.is_none()), "no batch has run");
    assert!(why.next_batch.is_some());
    for class in ["h100", "a100"] {
        assert!(why.sentence.contains(&format!("{class}: its limit does not reach")), "{}", why.sentence);
    }
    for (class, ask) in why.classes.iter().zip([2_000_000, 1_000_000]) {
        assert_eq!(class.changes.first().map(|one| &one.change), Some(&Change::Limit(Price(ask))));
        let said = &class.changes[0].sentence;
        assert!(said.contains(&format!("with a limit of {} EUR/h", Price(ask))), "{said}");
        // Asked for with that change, the next batch serves it.
        let mut helped = demand.clone();
        match class.class.as_str() {
            "h100" => helped.limit = Price(ask),
            _ => helped.any_of[0].limit = Price(ask),
        }
        let award = server.client.quote(&quote_of(&helped)).await.unwrap().award.expect("it helps");
        assert_eq!((award.class, award.price, award.lane), (class.class.clone(), Price(ask), Lane::Market));
    }
    // After the batch it says the same of what was, and a request that can be served says by what.
    server.run_batch("h100");
    let why = server.client.request_why(&request).await.unwrap();
    let last: Vec<_> = why.classes.iter().map(|one| one.last.as_ref().map(|last| last.code)).collect();
    assert_eq!(last, [Some(5), Some(5)]);
    let served = server.place("kodu", super::double::demand()).await;
    let why = server.client.request_why(&served).await.unwrap();
    let award = why.classes[0].award.as_ref().expect("the reserve serves it");
    assert_eq!((award.lane, award.price, award.quantity), (Lane::Reserve, Price(1_000_000), 4));
    assert_eq!((why.classes[0].eligible, why.classes[0].changes.len()), (Some(true), 0));
}

#[tokio::test]
async fn the_list_of_reasons_is_closed_and_everybodys_to_read() {
    let server = Server::start(HttpLimits::default()).await;
    let rows = server.client.clone().without_reader().reasons().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.code).collect::<Vec<_>>(), (1..=20).collect::<Vec<u16>>());
    assert!(rows.iter().all(|row| row.reason.code() == row.code && !row.sentence.is_empty()), "{rows:?}");
}

#[tokio::test]
async fn nobodys_outlook_is_computed_twice_as_long_as_nothing_changes() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let request = server.place("kodu", Demand { limit: Price(900_000), ..demand() }).await;
    let (class, chain, at) = (name("h100"), server.double.chain, TimeMs(now_ms() + 5_000));
    let book = read(&*server.double, |state| {
        book(&state.view(), state.get::<ParamsTable>(&()).unwrap(), chain, &class, at)
    });
    let advice = Advice::default();
    let (one, other) = (BlockId([1; 32]), BlockId([2; 32]));
    let place = (request, class.clone(), at);
    let first = advice.outlook(one, place.clone(), &book);
    assert_eq!((advice.outlook(one, place.clone(), &book), advice.computed()), (first.clone(), 1));
    // Another block may hold another book; another moment may see another.
    assert_eq!((advice.outlook(other, place.clone(), &book), advice.computed()), (first.clone(), 2));
    assert_eq!((advice.outlook(other, (request, class, at.plus(1)), &book), advice.computed()), (first, 3));
    advice.outlook(other, place, &book);
    assert_eq!(advice.computed(), 3);
}
