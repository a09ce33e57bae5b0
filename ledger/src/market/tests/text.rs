//! Books as text.

use crate::id::{ChainId, GroupId, Hash, OfferId, OrganisationId, RequestId, hash_of};
use crate::market::{Book, BookParams, Calendar, GroupShare, Hold, LaneHint, Order, Supply};
use crate::member::CountrySet;
use crate::money::Price;
use crate::name::Name;
use crate::row::Pool;
use crate::time::Slot;
use std::collections::BTreeMap;

/// The parameters of a small federation, without a cap for groups.
pub(in crate::market) fn params() -> BookParams {
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
        reserve_price_cap: Price(1_000_000),
        reserve_cap_bps: 10_000,
        reserve_member_cap_bps: 10_000,
        credit_ask_cap: None,
        release_slots: 0,
        release_lease_slots_max: 0,
    }
}

pub(super) fn hash(name: &str) -> Hash {
    hash_of("test", &name)
}

/// A book without orders and offers, at slot 1000.
pub(in crate::market) fn empty_book() -> Book {
    Book {
        params: params(),
        class: Name::new("a100-64").unwrap(),
        epoch: 7,
        now: Slot(1_000),
        orders: Vec::new(),
        supplies: Vec::new(),
        holds: Vec::new(),
        capacity: 0,
        usage: BTreeMap::new(),
        debit_headroom: BTreeMap::new(),
        reference: None,
        eligibility: Default::default(),
    }
}

/// An offer of 64 accelerators in Italy at 1.00, from slot 1000 to slot 2000.
pub(super) fn plain_supply(name: &str) -> Supply {
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
        pool: Pool::Private,
        owner: None,
        market: Calendar::constant(Slot(1_000), Slot(2_000), 64),
        reserve: Calendar::default(),
        commercial_left: None,
    }
}

/// A request for 8 accelerators in 4 slots from the present on, all or nothing, at up to 2.00.
pub(super) fn plain_order(name: &str) -> Order {
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
        lane: LaneHint::Any,
        eligible: false,
        credit: None,
        interruptible: false,
        commercial: false,
        reserve_cap_bps: 10_000,
        aid_left: None,
    }
}

/// A book in words. Every line begins with what it is; `key=value` words change the plain offer, request or parameters.
pub(super) fn book(text: &str) -> (Book, BTreeMap<Hash, String>) {
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
                let mut hold = Hold {
                    group: GroupId(hash("")),
                    start: Slot(1_000),
                    end: Slot(2_000),
                    quantity: 0,
                    reserve: None,
                };
                for (key, value) in pairs {
                    match key {
                        "group" => hold.group = GroupId(hash(value)),
                        "start" => hold.start = Slot(value.parse().unwrap()),
                        "end" => hold.end = Slot(value.parse().unwrap()),
                        "reserve" => hold.reserve = Some(value.parse().unwrap()),
                        _ => hold.quantity = value.parse().unwrap(),
                    }
                }
                book.holds.push(hold);
            }
            "debit" => pairs.for_each(|(member, ueur)| {
                book.debit_headroom.insert(member.parse().unwrap(), ueur.parse().unwrap());
            }),
            "usage" => pairs.for_each(|(group, accelerator_seconds)| {
                let accelerator_seconds = accelerator_seconds.parse().unwrap();
                book.usage.insert(GroupId(hash(group)), GroupShare { accelerator_seconds, other: 0 });
            }),
            other => panic!("no such line: {other}"),
        }
    }
    let peak = |supply: &Supply| u64::from(supply.market.peak()) + u64::from(supply.reserve.peak());
    book.capacity = book.supplies.iter().map(peak).sum();
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
        "reserve_price" => params.reserve_price_cap = value.parse().unwrap(),
        "reserve_cap" => params.reserve_cap_bps = value.parse().unwrap(),
        "member_cap" => params.reserve_member_cap_bps = value.parse().unwrap(),
        "credit_cap" => params.credit_ask_cap = Some(value.parse().unwrap()),
        "release" => params.release_slots = value.parse().unwrap(),
        "release_lease" => params.release_lease_slots_max = value.parse().unwrap(),
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
        "free" => supply.market = calendar(value),
        "reserve" => (supply.pool, supply.reserve) = (Pool::Public, calendar(value)),
        "owner" => supply.owner = Some(value.parse().unwrap()),
        "commercial" => supply.commercial_left = Some(value.parse().unwrap()),
        other => panic!("no such word of an offer: {other}"),
    }
}

fn calendar(text: &str) -> Calendar {
    let steps = text.split(',').map(|step| step.split_once(':').unwrap());
    let steps: Vec<(Slot, u32)> =
        steps.map(|(slot, free)| (Slot(slot.parse().unwrap()), free.parse().unwrap())).collect();
    Calendar::from_steps(&steps).unwrap()
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
        "lane" => order.lane = serde_json::from_value(value.into()).unwrap(),
        "eligible" => order.eligible = value.parse().unwrap(),
        "credit" => (order.credit, order.eligible) = (Some(value.parse().unwrap()), true),
        "interruptible" => order.interruptible = value.parse().unwrap(),
        "commercial" => order.commercial = value.parse().unwrap(),
        "reserve_cap" => order.reserve_cap_bps = value.parse().unwrap(),
        "aid" => order.aid_left = Some(value.parse().unwrap()),
        other => panic!("no such word of a request: {other}"),
    }
}
