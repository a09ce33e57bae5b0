//! Advice: what a request could change, in words; each change given does what it says.

use super::text::{book, hash};
use crate::id::RequestId;
use crate::market::{Book, Change, LaneHint, Order, clear, nearest_changes};
use crate::member::CountrySet;

fn changed(order: &Order, change: &Change) -> Order {
    let mut order = order.clone();
    match change {
        Change::Limit(limit) => order.limit = *limit,
        Change::QuantityMin { quantity_min, .. } => order.quantity_min = *quantity_min,
        Change::StartMax(slot) => order.start_max = *slot,
        Change::Slots(slots) => order.slots = *slots,
        Change::AnyCountry => order.countries = CountrySet::default(),
        Change::AlsoCountry(country) => order.countries = order.countries.with(*country).unwrap(),
        Change::TierMin(tier) => order.tier_min = *tier,
        Change::Certificates(kept) => order.certificates = *kept,
        Change::AnyLane => order.lane = LaneHint::Any,
        Change::Interruptible => order.interruptible = true,
    }
    order
}

fn is_served(book: &Book, order: &Order) -> bool {
    let mut book = book.clone();
    book.orders.retain(|one| one.request != order.request);
    book.orders.push(order.clone());
    clear(&book).trades.iter().any(|trade| trade.request == order.request)
}

fn check(text: &str, expect: &[&str]) {
    let (book, _) = book(text);
    let request = RequestId(hash("r"));
    let changes = nearest_changes(&book, &request);
    let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let expect: Vec<String> =
        expect.iter().map(|words| format!("it would have been served {words}")).collect();
    assert_eq!(words, expect, "{text}");
    if let Some(order) = book.orders.iter().find(|order| order.request == request) {
        for change in &changes {
            assert!(is_served(&book, &changed(order, change)), "{change}");
        }
    }
}

#[test]
fn the_nearest_changes_are_those_that_would_have_served() {
    check("offer o\n request r", &[]);
    check("offer o", &[]);
    check("request r", &[]);
    check("offer o ask=1.80\n request r limit=1.70", &["with a limit of 1.80 EUR/h"]);
    check("offer o free=1000:6,2000:0\n request r", &["with 6 accelerators, had it accepted 6 or more"]);
    check("offer o free=1000:0,1020:64,2000:0\n request r", &["had it accepted a start up to slot 1020"]);
    check("offer o free=1000:64,1003:0\n request r", &["had it asked for 3 slots"]);
    check(
        "debit IT=100000000\n offer o country=FI\n request r countries=IT",
        &["had it accepted FI as well"],
    );
    // However far down the tier that is free, and whichever of the certificates is missing.
    check(
        "offer o tier=3 free=1990:1,2000:0\n offer p tier=2 free=1990:1,2000:0\n offer q tier=1\n request r tier=4",
        &["had it accepted interconnect tier 1"],
    );
    check("offer o certs=3\n request r certs=7", &["had it asked for 2 of its certificates only"]);
    check("offer o certs=1\n offer p certs=2\n request r certs=7", &["had it asked for no certificate"]);
    check("offer o tier=1\n offer p tier=0\n request r tier=3", &["had it accepted interconnect tier 1"]);
    check("offer o certs=1\n request r certs=3", &["had it asked for 1 of its certificates only"]);
    check("offer o\n request r certs=3", &["had it asked for no certificate"]);
    check("offer o\n request r lane=reserve", &["had it accepted either lane"]);
    check(
        "params release=20 release_lease=4\n offer o free=1000:0,2000:0 reserve=1000:8,2000:0\n request r",
        &["had it accepted to be interrupted"],
    );
    // Several ways, the smallest change first.
    check(
        "offer o free=1000:7,1020:64,2000:0\n offer p ask=2.50\n request r",
        &[
            "had it accepted a start up to slot 1020",
            "with 7 accelerators, had it accepted 7 or more",
            "with a limit of 2.50 EUR/h",
        ],
    );
}
