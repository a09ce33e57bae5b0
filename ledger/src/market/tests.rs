//! Tables: a book as text, and what the batch does with it.

use super::*;
use crate::id::{Hash, RequestId};
use crate::money::{Money, Price};
use crate::time::Slot;
use text::{book, hash, plain_order};

mod advice;
mod eligibility;
mod lanes;
mod plain;
mod text;

pub(super) use text::{empty_book, params};

/// The outcome in words, one line per request and per price, sorted.
fn outcome(text: &str) -> (Vec<String>, Clearing) {
    let (book, names) = book(text);
    let clearing = clear(&book);
    let name = |hash: Hash| names.get(&hash).unwrap().as_str();
    let trades = clearing.trades.iter().map(|trade| {
        let (request, offer) = (name(trade.request.0), name(trade.offer.0));
        let kind = match (trade.lane, trade.released) {
            (Lane::Reserve, _) => format!(" of the reserve, aid {}", trade.aid),
            (Lane::Market, true) => " released".to_owned(),
            (Lane::Market, false) => String::new(),
        };
        let (quantity, start, price) = (trade.quantity, trade.start.0, trade.price);
        format!("{request}: {quantity} at {offer} from {start} for {price}{kind}")
    });
    let prices = clearing
        .prices
        .iter()
        .map(|one| format!("{:?} {} volume {}", one.bucket, one.price, one.volume).to_lowercase());
    let unmatched = clearing.unmatched.iter().map(|one| {
        let reason = serde_json::to_value(one.reason).unwrap();
        format!("{}: {}", name(one.request.0), reason.as_str().unwrap())
    });
    let mut lines: Vec<String> = trades.chain(prices).chain(unmatched).collect();
    lines.sort();
    for order in &book.orders {
        let quoted = quote(&book, &order.request).unwrap();
        let known = match &quoted {
            Quote::Award(trade) => clearing.trades.contains(trade),
            Quote::Unmatched(unmatched) => clearing.unmatched.contains(unmatched),
        };
        assert!(known, "a quote is what the batch does: {quoted:?}");
    }
    (lines, clearing)
}

fn check(text: &str, expect: &[&str]) {
    let (lines, _) = outcome(text);
    let mut expect = expect.to_vec();
    expect.sort_unstable();
    assert_eq!(lines, expect, "{text}");
}

/// The reason and the numbers of the request `r`.
fn check_detail(text: &str, reason: Reason, detail: Detail) {
    let (book, _) = book(text);
    let quoted = quote(&book, &RequestId(hash("r")));
    let request = RequestId(hash("r"));
    assert_eq!(
        quoted,
        Some(Quote::Unmatched(Unmatched { request, reason, detail: detail.into() })),
        "{text}"
    );
}

#[test]
fn one_request_meets_one_offer_at_the_ask() {
    check("offer o\n request r", &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"]);
}

#[test]
fn a_book_without_requests_does_nothing() {
    check("offer o", &[]);
    assert_eq!(quote(&empty_book(), &RequestId([1; 32])), None);
}

#[test]
fn every_reason_has_its_case() {
    let euro = |text: &str| Some(text.parse().unwrap());
    let none = Detail::default;
    let ask = || Detail { cheapest_ask: euro("1.00"), ..Detail::default() };
    let table = [
        ("offer o\n request r start=990..999", Reason::WindowPassed, none()),
        ("offer o\n request r start=1005..1004", Reason::WindowPassed, none()),
        ("request r", Reason::NoOfferOfClass, none()),
        ("offer o country=DE\n request r countries=IT,FI", Reason::NoOfferMeetsConstraints, none()),
        ("offer o certs=5\n request r certs=2", Reason::NoOfferMeetsConstraints, none()),
        ("offer o tier=1\n request r tier=2", Reason::NoOfferMeetsConstraints, none()),
        ("offer o\n request r qty=0", Reason::NoOfferMeetsConstraints, none()),
        ("offer o\n request r slots=0", Reason::NoOfferMeetsConstraints, none()),
        ("offer o\n request r qty=4 min=5", Reason::NoOfferMeetsConstraints, none()),
        ("offer o group=g\n request r group=g grant=true", Reason::SameGroup, none()),
        ("offer o\n request r limit=0.999", Reason::LimitBelowPrice, ask()),
        ("params orders=0\n offer o\n request r", Reason::BatchFull, ask()),
        ("params candidates=0\n offer o\n request r", Reason::BatchFull, none()),
        (
            "offer o free=1020:64,2000:0\n request r",
            Reason::NoCapacityInWindow,
            Detail { largest_free: Some(0), ..ask() },
        ),
        (
            "offer o free=1000:64,1003:0\n request r",
            Reason::NoCapacityInWindow,
            Detail { largest_free: Some(0), ..ask() },
        ),
        (
            "offer o free=1000:7,2000:0\n request r",
            Reason::PartialNotAllowed,
            Detail { largest_free: Some(7), ..ask() },
        ),
        (
            "params cap=1000\n offer o\n request r",
            Reason::GroupCapReached,
            Detail { largest_free: Some(64), group_cap: Some(6), ..ask() },
        ),
        (
            "offer o\n request r home=EE\n debit EE=15999999",
            Reason::NetDebitCap,
            Detail { debit_headroom: Some(Money(15_999_999)), ..ask() },
        ),
        (
            "offer o\n request r home=EE",
            Reason::NetDebitCap,
            Detail { debit_headroom: Some(Money::ZERO), ..ask() },
        ),
    ];
    for (text, reason, detail) in table {
        check_detail(text, reason, detail);
    }
}

#[test]
fn a_limit_below_the_price_of_the_batch_is_told_the_price() {
    // Only one fits: the price rises until demand is served, and no further than the limits that are shut out.
    let text = "offer o free=1000:8,1004:0\n request a usage=2 limit=3.00\n request r usage=1 limit=1.20
                request s usage=3 limit=1.30";
    check(
        text,
        &[
            "a: 8 at o from 1000 for 1.30",
            "r: limit_below_price",
            "s: limit_below_price",
            "spot 1.30 volume 32",
        ],
    );
    let detail = Detail {
        clearing_price: Some(Price(1_300_000)),
        cheapest_ask: Some(Price(1_000_000)),
        ..Detail::default()
    };
    check_detail(text, Reason::LimitBelowPrice, detail);
}

#[test]
fn need_goes_first_unless_the_federation_votes_otherwise() {
    // Only one of them fits. Whoever has had less goes first, and so the most is used; by limit the other one does.
    let scarce =
        "offer o free=1000:12,1004:0\n request rich usage=9 limit=5.00\n request poor qty=12 limit=1.50";
    check(
        scarce,
        &["poor: 12 at o from 1000 for 1.00", "rich: no_capacity_in_window", "spot 1.00 volume 48"],
    );
    check(
        &format!("params limit_first=true\n {scarce}"),
        &["rich: 8 at o from 1000 for 1.50", "poor: limit_below_price", "spot 1.50 volume 32"],
    );
    check(
        "offer o free=1000:8,1004:0\n request much usage=2\n request little usage=1",
        &["little: 8 at o from 1000 for 2.00", "much: no_capacity_in_window", "spot 2.00 volume 32"],
    );
    check(
        "offer o free=1000:8,1004:0\n request late epoch=2\n request early epoch=1",
        &["early: 8 at o from 1000 for 2.00", "late: no_capacity_in_window", "spot 2.00 volume 32"],
    );
}

#[test]
fn equals_take_turns_from_batch_to_batch() {
    let (mut book, _) = book("offer o free=1000:8,1004:0\n request a\n request b");
    let winners = (0..40).map(|epoch| {
        book.epoch = epoch;
        clear(&book).trades[0].request
    });
    let winners: Vec<RequestId> = winners.collect();
    assert!(winners.contains(&RequestId(hash("a"))) && winners.contains(&RequestId(hash("b"))));
}

#[test]
fn the_cheapest_compatible_offer_and_the_earliest_start_are_taken() {
    check(
        "offer dear ask=1.50\n offer cheap ask=1.20 free=1003:8,1100:0\n offer far ask=0.50 country=DE
         request r countries=IT start=1001..1010",
        &["r: 8 at cheap from 1003 for 1.20", "spot 1.20 volume 32"],
    );
    check("offer o\n request r start=900..1010", &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"]);
}

#[test]
fn all_trades_of_a_bucket_have_one_price() {
    check(
        "offer a ask=1.00 free=1000:8,1004:0\n offer b ask=1.40 free=1000:8,1004:0
         request r start=1000..1000 usage=1\n request s start=1000..1000 usage=2",
        &["r: 8 at a from 1000 for 1.40", "s: 8 at b from 1000 for 1.40", "spot 1.40 volume 64"],
    );
}

#[test]
fn the_price_moves_between_its_bounds_by_k() {
    let text = "offer o ask=1.00\n request r limit=2.00";
    for (k, price) in [(0, "1.00"), (5_000, "1.50"), (3_333, "1.333"), (10_000, "2.00")] {
        let trade = format!("r: 8 at o from 1000 for {price}");
        let line = format!("spot {price} volume 32");
        check(&format!("params k={k}\n {text}"), &[&trade, &line]);
    }
    // With k the price stays a tick below the next ask, so that no further offer becomes eligible.
    check(
        "params k=10000\n offer o ask=1.00\n offer p ask=1.80 free=1500:1,1501:0\n request r",
        &["r: 8 at o from 1000 for 1.799", "spot 1.799 volume 32"],
    );
}

#[test]
fn of_equally_good_prices_the_nearest_to_the_reference_is_tried() {
    // Every price serves the request. Tried at 1.00 the price must stay below the next ask; tried above it, it need not.
    let text = "offer o\n offer p ask=2.00 free=1500:1,1501:0\n request r limit=3.00";
    for (params, price) in [("", "1.999"), ("reference=1.20", "1.999"), ("reference=2.50", "3.00")] {
        let trade = format!("r: 8 at o from 1000 for {price}");
        let line = format!("spot {price} volume 32");
        check(&format!("params k=10000 {params}\n {text}"), &[&trade, &line]);
    }
}

#[test]
fn who_was_shut_out_does_not_find_the_price_below_its_limit() {
    // Most is used at 3.00, where `a`, whose turn comes first, is not eligible: so `b` pays no less than `a` would have.
    check(
        "offer o free=1000:8,1004:0
         request a usage=1 limit=2.00 start=1000..1000 slots=2
         request b usage=2 limit=3.00 start=1000..1000 slots=4",
        &["a: limit_below_price", "b: 8 at o from 1000 for 2.00", "spot 2.00 volume 32"],
    );
}

#[test]
fn an_offer_dearer_than_the_price_serves_nobody_even_if_a_request_would_pay_it() {
    // Both cannot be had at one price: at 3.00 the same volume would move, and the lower price is taken.
    check(
        "offer it ask=1.00\n offer fi ask=3.00 country=FI free=1000:4,1004:0
         request r countries=IT limit=2.00\n request s countries=FI limit=4.00 qty=4",
        &["r: 8 at it from 1000 for 1.00", "s: no_offer_meets_constraints", "spot 1.00 volume 32"],
    );
}

#[test]
fn partial_awards_go_down_by_whole_nodes() {
    let offer = "offer o node=4 free=1000:9,1010:0\n";
    let at = |quantity: u32| {
        [format!("r: {quantity} at o from 1000 for 1.00"), format!("spot 1.00 volume {}", quantity * 4)]
    };
    for (request, quantity) in [
        ("request r qty=16 min=4", 8),
        ("request r qty=15 min=1", 7),
        ("request r qty=13 min=1", 9),
        ("request r qty=9 min=1", 9),
        ("request r qty=1000000001 min=1", 9),
    ] {
        let [trade, price] = at(quantity);
        check(&format!("{offer}{request}"), &[&trade, &price]);
    }
    check(&format!("{offer}request r qty=16 min=9"), &["r: partial_not_allowed"]);
    check(&format!("{offer}request r qty=10 min=7"), &["r: partial_not_allowed"]);
}

#[test]
fn a_cheaper_part_is_taken_before_a_dearer_whole() {
    check(
        "offer o ask=1.00 free=1000:4,2000:0\n offer p ask=1.10\n request r qty=8 min=2",
        &["r: 4 at o from 1000 for 1.00", "spot 1.00 volume 16"],
    );
}

#[test]
fn a_group_holds_no_more_than_its_cap_in_any_slot() {
    // The cap is a quarter of 64; 12 are held until slot 1005, so 8 more fit only after it.
    check(
        "params cap=2500\n offer o\n hold group=g end=1005 qty=12\n request r group=g",
        &["r: 8 at o from 1005 for 1.00", "spot 1.00 volume 32"],
    );
    check(
        "params cap=2500\n offer o\n hold group=g qty=40\n request r group=g limit=3.00\n request s",
        &["r: group_cap_reached", "s: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"],
    );
    check(
        "params cap=2500\n offer o
         request a group=g usage=1 start=1000..1000\n request b group=g usage=2 start=1000..1000
         request c group=g usage=3 start=1000..1000 limit=3.00",
        &[
            "a: 8 at o from 1000 for 1.00",
            "b: 8 at o from 1000 for 1.00",
            "c: group_cap_reached",
            "spot 1.00 volume 64",
        ],
    );
    // The cap is never less than one node, and a partial award may fill what is left of it.
    check(
        "params cap=1\n offer o node=8\n request r",
        &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"],
    );
    check(
        "params cap=1000\n offer o\n request r min=1",
        &["r: 6 at o from 1000 for 1.00", "spot 1.00 volume 24"],
    );
}

#[test]
fn members_owe_no_more_than_they_may() {
    // 8 accelerators for an hour at a limit of 2.00 may cost 16.00.
    check(
        "offer o\n debit EE=31000000\n request a home=EE usage=1\n request b home=EE usage=2",
        &["a: 8 at o from 1000 for 2.00", "b: net_debit_cap", "spot 2.00 volume 32"],
    );
    check(
        "offer o\n debit EE=32000000\n request a home=EE usage=1\n request b home=EE usage=2",
        &["a: 8 at o from 1000 for 1.00", "b: 8 at o from 1000 for 1.00", "spot 1.00 volume 64"],
    );
    // A dearer offer at home is taken where the cheaper one abroad may not be.
    check(
        "offer abroad\n offer home country=EE ask=1.20\n request r home=EE",
        &["r: 8 at home from 1000 for 1.20", "spot 1.20 volume 32"],
    );
    check(
        "offer o\n debit EE=9000000\n request r home=EE min=1",
        &["r: 4 at o from 1000 for 1.00", "spot 1.00 volume 16"],
    );
}

#[test]
fn the_own_group_is_excluded_only_for_grants() {
    check("offer o group=g\n request r group=g", &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"]);
    check(
        "offer o group=g\n offer p ask=1.50\n request r group=g grant=true",
        &["r: 8 at p from 1000 for 1.50", "spot 1.50 volume 32"],
    );
}

#[test]
fn buckets_are_cleared_in_order_each_at_its_own_price() {
    check(
        "offer o free=1000:8,1097:0\n offer p ask=1.50 free=1097:8,1800:0
         request later start=1673..1673\n request near start=1097..1097\n request soon start=1096..1097 slots=1",
        &[
            "soon: 8 at o from 1096 for 1.00",
            "near: 8 at p from 1097 for 1.50",
            "later: 8 at p from 1673 for 1.50",
            "spot 1.00 volume 8",
            "near 1.50 volume 32",
            "forward 1.50 volume 32",
        ],
    );
    // What a bucket takes, the next one does not find.
    check(
        "offer o free=1000:8,1101:0\n request soon start=1096..1097 usage=9 slots=5\n request near start=1097..1097",
        &["soon: 8 at o from 1096 for 1.00", "near: no_capacity_in_window", "spot 1.00 volume 40"],
    );
}

#[test]
fn a_full_batch_considers_those_of_the_highest_priority() {
    check(
        "params per_group=1\n offer o\n request a group=g usage=1\n request b group=g usage=2\n request c usage=3",
        &[
            "a: 8 at o from 1000 for 1.00",
            "b: batch_full",
            "c: 8 at o from 1000 for 1.00",
            "spot 1.00 volume 64",
        ],
    );
    check(
        "params orders=1\n offer o\n request a usage=2\n request b usage=1\n request low usage=0 limit=0.50",
        &["a: batch_full", "b: 8 at o from 1000 for 1.00", "low: limit_below_price", "spot 1.00 volume 32"],
    );
    check(
        "params supplies=1\n offer dear ask=1.20 country=FI\n offer cheap\n request r countries=FI",
        &["r: no_offer_meets_constraints"],
    );
    // What is sold out makes room for what is not, however cheap it was.
    check(
        "params supplies=1\n offer full ask=0.50 free=1000:0\n offer o\n request r",
        &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"],
    );
}

#[test]
fn a_request_that_cannot_take_part_moves_no_price() {
    let text = "offer o\n request r limit=2.00";
    let expect = ["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"];
    for stranger in [
        "request x countries=FI limit=1.80 usage=0",
        "request x start=1..2 limit=1.80",
        "request x limit=0.90",
        "request x qty=0 limit=1.80",
    ] {
        let (lines, _) = outcome(&format!("{text}\n {stranger}"));
        let others: Vec<&String> = lines.iter().filter(|line| !line.starts_with("x:")).collect();
        assert_eq!(others, expect, "{stranger}");
    }
}

#[test]
fn an_id_that_stands_twice_counts_once() {
    let (mut book, _) = book("offer o\n request r\n hold group=x end=1000 qty=5");
    let expect = clear(&book);
    let (mut order, mut supply) = (book.orders[0].clone(), book.supplies[0].clone());
    (order.usage, supply.sequence) = (5, 9);
    book.orders.insert(0, order);
    book.supplies.push(supply);
    let twice = clear(&book);
    assert_eq!(twice, expect);
    book.orders.reverse();
    book.supplies.reverse();
    assert_eq!(clear(&book), twice);
}

#[test]
fn numbers_at_their_ends_are_answered() {
    let (mut book, _) =
        book("offer o\n request r home=EE\n hold group=r qty=4294967295\n hold group=r qty=4294967295");
    let last = u32::MAX;
    book.debit_headroom.insert("EE".parse().unwrap(), u128::MAX);
    book.supplies[0].market = Calendar::constant(Slot(0), Slot(last), last);
    book.capacity = u64::from(last);
    book.supplies[0].node_size = 0;
    book.orders.push(Order {
        limit: Price(u64::MAX),
        quantity: last,
        quantity_min: 0,
        slots: last,
        start_min: Slot(0),
        start_max: Slot(last),
        ..plain_order("s")
    });
    for (now, tick, k_bps) in [(0, 0, u16::MAX), (last, u64::MAX, 1), (1_000, 1, 10_000)] {
        book.now = Slot(now);
        (book.params.tick, book.params.k_bps, book.params.slot_s) = (tick, k_bps, last);
        let clearing = clear(&book);
        assert_eq!(clearing.trades.len() + clearing.unmatched.len(), 2);
        for trade in &clearing.trades {
            let order = book.orders.iter().find(|order| order.request == trade.request).unwrap();
            assert!(Price(1_000_000) <= trade.price && trade.price <= order.limit, "{trade:?}");
        }
    }
}
