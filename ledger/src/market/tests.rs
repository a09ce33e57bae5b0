//! Tables: a book as text, and what the batch does with it.

use super::*;
use crate::id::{ChainId, GroupId, Hash, OfferId, OrganisationId, RequestId, hash_of};
use crate::member::CountrySet;
use crate::money::{Money, Price};
use crate::name::Name;
use crate::time::Slot;
use std::collections::BTreeMap;

pub(super) fn params() -> BookParams {
    BookParams {
        tick: 1_000,
        k_bps: 0,
        price_candidates: 64,
        cap_bps: 10_000,
        slot_s: 900,
        spot_slots: 96,
        near_slots: 672,
        chain: ChainId([7; 32]),
        limit_first: false,
        orders_max: 2_048,
        orders_per_group_max: 16,
        supplies_max: 256,
    }
}

fn hash(name: &str) -> Hash {
    hash_of("test", &name)
}

/// A book without orders and offers, at slot 1000.
pub(super) fn empty_book() -> Book {
    Book {
        params: params(),
        class: Name::new("a100-64").unwrap(),
        epoch: 7,
        now: Slot(1_000),
        orders: Vec::new(),
        supplies: Vec::new(),
        holds: Vec::new(),
        debit_headroom: BTreeMap::new(),
        reference: None,
    }
}

/// An offer of 64 accelerators in Italy at 1.00, from slot 1000 to slot 2000.
fn plain_supply(name: &str) -> Supply {
    Supply {
        offer: OfferId(hash(name)),
        provider: OrganisationId(hash(name)),
        group: GroupId(hash(name)),
        sequence: 1,
        home: "IT".parse().unwrap(),
        country: "IT".parse().unwrap(),
        certificates: 0,
        tier: 0,
        node_size: 1,
        ask: Price(1_000_000),
        calendar: Calendar::constant(Slot(1_000), Slot(2_000), 64),
    }
}

/// A request for 8 accelerators in 4 slots from the present on, all or nothing, at up to 2.00.
fn plain_order(name: &str) -> Order {
    Order {
        request: RequestId(hash(name)),
        organisation: OrganisationId(hash(name)),
        group: GroupId(hash(name)),
        sequence: 1,
        countries: CountrySet::default(),
        certificates: 0,
        tier_min: 0,
        quantity: 8,
        quantity_min: 8,
        slots: 4,
        start_min: Slot(1_000),
        start_max: Slot(1_010),
        limit: Price(2_000_000),
        usage: 0,
        admitted_epoch: 1,
        funding_home: "IT".parse().unwrap(),
        own_group_excluded: false,
    }
}

/// A book in words. Every line begins with what it is; `key=value` words change the plain offer, request or parameters.
fn book(text: &str) -> (Book, BTreeMap<Hash, String>) {
    let mut book = empty_book();
    let mut names = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap();
        let name = if matches!(kind, "offer" | "request") { words.next().unwrap() } else { "" };
        let pairs = words.map(|word| word.split_once('=').unwrap());
        names.insert(hash(name), name.to_owned());
        match kind {
            "params" => pairs.for_each(|(key, value)| set_param(&mut book, key, value)),
            "offer" => {
                let mut supply = plain_supply(name);
                pairs.for_each(|(key, value)| set_supply(&mut supply, key, value));
                book.supplies.push(supply);
            }
            "request" => {
                let mut order = plain_order(name);
                pairs.for_each(|(key, value)| set_order(&mut order, key, value));
                book.orders.push(order);
            }
            "hold" => {
                let mut hold =
                    Hold { group: GroupId(hash("")), start: Slot(1_000), end: Slot(2_000), quantity: 0 };
                for (key, value) in pairs {
                    match key {
                        "group" => hold.group = GroupId(hash(value)),
                        "start" => hold.start = Slot(value.parse().unwrap()),
                        "end" => hold.end = Slot(value.parse().unwrap()),
                        _ => hold.quantity = value.parse().unwrap(),
                    }
                }
                book.holds.push(hold);
            }
            "debit" => pairs.for_each(|(member, ueur)| {
                book.debit_headroom.insert(member.parse().unwrap(), ueur.parse().unwrap());
            }),
            other => panic!("no such line: {other}"),
        }
    }
    (book, names)
}

fn set_param(book: &mut Book, key: &str, value: &str) {
    let params = &mut book.params;
    match key {
        "k" => params.k_bps = value.parse().unwrap(),
        "candidates" => params.price_candidates = value.parse().unwrap(),
        "cap" => params.cap_bps = value.parse().unwrap(),
        "limit_first" => params.limit_first = value.parse().unwrap(),
        "orders" => params.orders_max = value.parse().unwrap(),
        "per_group" => params.orders_per_group_max = value.parse().unwrap(),
        "supplies" => params.supplies_max = value.parse().unwrap(),
        "reference" => book.reference = Some(value.parse().unwrap()),
        other => panic!("no such parameter: {other}"),
    }
}

fn set_supply(supply: &mut Supply, key: &str, value: &str) {
    match key {
        "group" => supply.group = GroupId(hash(value)),
        "country" => {
            supply.country = value.parse().unwrap();
            supply.home = supply.country;
        }
        "certs" => supply.certificates = value.parse().unwrap(),
        "tier" => supply.tier = value.parse().unwrap(),
        "node" => supply.node_size = value.parse().unwrap(),
        "ask" => supply.ask = value.parse().unwrap(),
        "free" => {
            let steps = value.split(',').map(|step| step.split_once(':').unwrap());
            let steps: Vec<(Slot, u32)> =
                steps.map(|(slot, free)| (Slot(slot.parse().unwrap()), free.parse().unwrap())).collect();
            supply.calendar = Calendar::from_steps(&steps).unwrap();
        }
        other => panic!("no such word of an offer: {other}"),
    }
}

fn set_order(order: &mut Order, key: &str, value: &str) {
    match key {
        "group" => order.group = GroupId(hash(value)),
        "countries" => {
            order.countries = CountrySet::of(value.split(',').map(|code| code.parse().unwrap())).unwrap();
        }
        "certs" => order.certificates = value.parse().unwrap(),
        "tier" => order.tier_min = value.parse().unwrap(),
        "qty" => (order.quantity, order.quantity_min) = (value.parse().unwrap(), value.parse().unwrap()),
        "min" => order.quantity_min = value.parse().unwrap(),
        "slots" => order.slots = value.parse().unwrap(),
        "start" => {
            let (first, last) = value.split_once("..").unwrap();
            (order.start_min, order.start_max) = (Slot(first.parse().unwrap()), Slot(last.parse().unwrap()));
        }
        "limit" => order.limit = value.parse().unwrap(),
        "usage" => order.usage = value.parse().unwrap(),
        "epoch" => order.admitted_epoch = value.parse().unwrap(),
        "home" => order.funding_home = value.parse().unwrap(),
        "grant" => order.own_group_excluded = value.parse().unwrap(),
        other => panic!("no such word of a request: {other}"),
    }
}

/// The outcome in words, one line per request and per price, sorted.
fn outcome(text: &str) -> (Vec<String>, Clearing) {
    let (book, names) = book(text);
    let clearing = clear(&book);
    let name = |hash: Hash| names.get(&hash).unwrap().as_str();
    let trades = clearing.trades.iter().map(|trade| {
        let (request, offer) = (name(trade.request.0), name(trade.offer.0));
        format!("{request}: {} at {offer} from {} for {}", trade.quantity, trade.start.0, trade.price)
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
    assert_eq!(quoted, Some(Quote::Unmatched(Unmatched { request, reason, detail })), "{text}");
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
    // Only one of the two fits; the other's limit lifts the price to where it no longer envies.
    let text = "offer o free=1000:8,1004:0\n request a usage=1 limit=3.00\n request r usage=2 limit=1.20";
    check(text, &["a: 8 at o from 1000 for 1.20", "r: no_capacity_in_window", "spot 1.20 volume 32"]);
    let more = format!("{text}\n request c usage=3 limit=1.30");
    let detail = Detail {
        clearing_price: Some(Price(1_300_000)),
        cheapest_ask: Some(Price(1_000_000)),
        ..Detail::default()
    };
    check_detail(&more, Reason::LimitBelowPrice, detail);
}

#[test]
fn need_goes_first_unless_the_federation_votes_otherwise() {
    let scarce = "offer o free=1000:8,1004:0\n request rich usage=9 limit=5.00 start=1000..1000";
    let poor = "request poor usage=1 limit=1.50 start=1000..1000";
    // The poor come first, so the price may not exceed their limit; the rich are turned away above it.
    check(
        &format!("{scarce}\n {poor}"),
        &["poor: 8 at o from 1000 for 1.00", "rich: no_capacity_in_window", "spot 1.00 volume 32"],
    );
    check(
        &format!("params limit_first=true\n {scarce}\n {poor}"),
        &["rich: 8 at o from 1000 for 1.50", "poor: no_capacity_in_window", "spot 1.50 volume 32"],
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
    // At 1.00 and at 3.00 the same volume moves, at different offers.
    let text = "offer o ask=1.00\n offer p ask=3.00\n request r limit=3.00";
    check(text, &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"]);
    let (mut book, _) = book("offer a ask=1.00 free=1000:8,1004:0\n request r usage=1 limit=3.00\n request s usage=2 limit=1.00");
    let without = clear(&book).prices[0].price;
    book.reference = Some(Price(3_000_000));
    assert_eq!((without, clear(&book).prices[0].price), (Price(1_000_000), Price(1_000_000)));
}

#[test]
fn who_was_shut_out_does_not_find_the_price_below_its_limit() {
    // At 3.00 two are served by the dear offer; the cheap request only fits the cheap offer, which they fill first.
    check(
        "offer cheap ask=1.00 free=1000:8,1004:0\n offer dear ask=1.00 country=FI free=1000:8,1004:0
         request a usage=1 limit=2.00 start=1000..1000 slots=2 countries=IT
         request b usage=2 limit=3.00 start=1000..1000 slots=4 countries=IT
         request c usage=3 limit=3.00 start=1000..1000 slots=4 countries=FI",
        &[
            "a: limit_below_price",
            "b: 8 at cheap from 1000 for 2.00",
            "c: 8 at dear from 1000 for 2.00",
            "spot 2.00 volume 64",
        ],
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
        "params cap=2500\n offer o\n hold group=g qty=40\n request r group=g\n request s",
        &["r: group_cap_reached", "s: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"],
    );
    check(
        "params cap=2500\n offer o
         request a group=g usage=1 start=1000..1000\n request b group=g usage=2 start=1000..1000
         request c group=g usage=3 start=1000..1000 limit=1.50",
        &[
            "a: 8 at o from 1000 for 1.50",
            "b: 8 at o from 1000 for 1.50",
            "c: group_cap_reached",
            "spot 1.50 volume 64",
        ],
    );
    // The cap is never less than one node, and a partial award may fill what is left of it.
    check("params cap=1\n offer o node=8\n request r", &["r: 8 at o from 1000 for 1.00", "spot 1.00 volume 32"]);
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
    let (mut book, _) = book("offer o\n request r home=EE\n hold group=r qty=4294967295\n hold group=r qty=4294967295");
    let last = u32::MAX;
    book.debit_headroom.insert("EE".parse().unwrap(), u128::MAX);
    book.supplies[0].calendar = Calendar::constant(Slot(0), Slot(last), last);
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
