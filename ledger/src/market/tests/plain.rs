//! Books without constraints: the fast way gives what the general one gives, and no limit on their number applies.

use super::text::{book, empty_book, hash, plain_order, plain_supply};
use crate::id::{GroupId, OfferId, OrganisationId, RequestId};
use crate::market::batch::clear_by;
use crate::market::priority::tie;
use crate::market::{Book, Bucket, Calendar, Hold, Order, Reason, Supply, clear};
use crate::money::Price;
use crate::time::Slot;
use proptest::prelude::*;

prop_compose! {
    fn any_plain_book()(
        offers in prop::collection::vec((0..6u64, 0..7u32, 0..9u32, 1..30u32, any::<bool>()), 1..70),
        orders in prop::collection::vec((1..6u32, 0..9u64, 0..3u64, 0..3u64, 0..6usize, any::<bool>()), 1..120),
        holds in prop::collection::vec((0..6usize, 0..8u32, 0..12u32), 0..3),
        (single, slots, width) in (any::<bool>(), 1..5u32, 0..4u32),
        (cap_bps, debit, candidates) in (prop_oneof![Just(10_000u16), 1..2_000u16], 0..40_000u128, prop_oneof![Just(64u16), 0..4u16]),
        limit_first in any::<bool>(),
    ) -> Book {
        let mut book = empty_book();
        book.params.cap_bps = cap_bps;
        book.params.price_candidates = candidates;
        book.params.limit_first = limit_first;
        (book.params.orders_max, book.params.orders_per_group_max) = (2, 1);
        for (number, (ask, free, gap, later, is_home)) in offers.into_iter().enumerate() {
            let steps = [(Slot(1_000), free), (Slot(1_001 + gap), later % 4), (Slot(1_020), 0)];
            let country = if is_home { "IT" } else { "FI" }.parse().unwrap();
            book.capacity += 7;
            book.supplies.push(Supply {
                home: country,
                country,
                ask: Price(5_000 + ask * 1_000),
                node_size: if single { 1 + later % 3 } else { 1 },
                market: Calendar::from_steps(&steps).unwrap(),
                ..plain_supply(&format!("offer {number}"))
            });
        }
        for (number, (quantity, limit, usage, admitted_epoch, group, is_home)) in orders.into_iter().enumerate() {
            book.orders.push(Order {
                group: GroupId(hash(&format!("group {group}"))),
                quantity: if single { 1 } else { quantity },
                quantity_min: (number % 2) as u32,
                slots,
                start_max: Slot(1_000 + width),
                limit: Price(4_000 + limit * 1_000),
                usage,
                admitted_epoch,
                funding_home: if is_home { "IT" } else { "FI" }.parse().unwrap(),
                ..plain_order(&format!("request {number}"))
            });
        }
        book.holds = holds
            .into_iter()
            .map(|(group, start, quantity)| Hold {
                group: GroupId(hash(&format!("group {group}"))),
                start: Slot(1_000 + start),
                end: Slot(1_004 + start),
                quantity,
                reserve: None,
            })
            .collect();
        book.debit_headroom = [("IT".parse().unwrap(), debit)].into();
        book
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_way_gives_what_the_general_one_gives(book in any_plain_book()) {
        let mut unlimited = book.clone();
        (unlimited.params.orders_max, unlimited.params.orders_per_group_max) = (u32::MAX, u32::MAX);
        prop_assert_eq!(clear(&book), clear_by(&unlimited, false));
    }
}

#[test]
fn a_long_queue_is_read_in_order_however_it_is_cut() {
    // 9,000 requests of few needs, so that requests of equal need lie on both sides of each cut.
    let mut book = empty_book();
    let market = Calendar::constant(Slot(1_000), Slot(1_004), 5_000);
    book.supplies.push(Supply {
        offer: OfferId(hash("o")),
        provider: OrganisationId(hash("o")),
        market,
        ..plain_supply("o")
    });
    book.capacity = 5_000;
    for number in 0..9_000u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        book.orders.push(Order {
            request: RequestId(id),
            quantity: 1,
            quantity_min: 1,
            sequence: number,
            usage: number % 3,
            ..plain_order("r")
        });
    }
    let clearing = clear(&book);
    assert_eq!(clearing.trades.len(), 5_000);
    // Those are served whose turns come first by need, and among equals by the tie.
    let mut expect: Vec<&Order> = book.orders.iter().collect();
    expect.sort_by_cached_key(|order| {
        let tie = tie(&book, Bucket::Spot, &order.organisation, order.sequence);
        (order.usage, tie, order.request)
    });
    let mut expect: Vec<RequestId> = expect.iter().take(5_000).map(|order| order.request).collect();
    expect.sort_unstable();
    let served: Vec<RequestId> = clearing.trades.iter().map(|trade| trade.request).collect();
    assert!(served == expect, "who has had least goes first, and equals by their ties");
}

#[test]
fn the_numbers_of_requests_are_limited_only_in_books_with_constraints() {
    let few = "params orders=1 per_group=1\n offer o\n request a group=g qty=1\n request b group=g qty=1\n";
    let full = |text: &str| {
        let clearing = clear(&book(text).0);
        clearing.unmatched.iter().filter(|one| one.reason == Reason::BatchFull).count()
    };
    assert_eq!(full(few), 0);
    for constraint in [
        "countries=IT",
        "certs=1",
        "tier=1",
        "qty=2",
        "slots=5",
        "start=1000..1001",
        "interruptible=true",
        "commercial=true",
        "grant=true",
        "credit=EE",
    ] {
        let offer = few.replace("offer o", "offer o certs=1 tier=1");
        assert_eq!(full(&format!("{offer} request c qty=1 {constraint}")), 2, "{constraint}");
    }
}
