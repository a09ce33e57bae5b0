//! All books of a narrow domain: one or two offers, up to three requests, two prices, two quantities, three slots, both lanes.

use crate::generate::{NOW, TICK, member};
use hansa_ledger::id::{ChainId, GroupId, OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Book, BookParams, Calendar, LaneHint, Order, Supply};
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use std::collections::BTreeMap;

/// A request for `quantity` accelerators for `slots` slots, somewhere in the slots `from ..= to` after the present one.
pub fn order(id: u8, quantity: u32, slots: u32, window: (u32, u32), limit: u64) -> Order {
    Order {
        request: RequestId([id; 32]),
        organisation: OrganisationId([id; 32]),
        group: GroupId([id; 32]),
        sequence: 0,
        countries: CountrySet::default(),
        certificates: 0,
        tier_min: 0,
        quantity,
        quantity_min: quantity,
        slots,
        start_min: Slot(NOW + window.0),
        start_max: Slot(NOW + window.1),
        limit: Price(limit * TICK),
        usage: u64::from(id),
        admitted_epoch: 0,
        funding_home: member(0),
        own_group_excluded: false,
        lane: LaneHint::Market,
        eligible: false,
        credit: None,
        interruptible: false,
        commercial: false,
        reserve_cap_bps: 10_000,
        aid_left: None,
    }
}

/// The same request, entitled to the reserve by a grant of its member.
pub fn entitled(order: Order, lane: LaneHint) -> Order {
    Order { eligible: true, credit: Some(order.funding_home), lane, ..order }
}

/// A public offer with steps of `(slot after the present one, free)`.
pub fn supply(id: u8, ask: u64, market: &[(u32, u32)], reserve: &[(u32, u32)]) -> Supply {
    let calendar = |steps: &[(u32, u32)]| {
        let points: Vec<(Slot, u32)> = steps.iter().map(|(at, free)| (Slot(NOW + at), *free)).collect();
        Calendar::from_steps(&points).expect("the steps rise and end with nothing")
    };
    Supply {
        offer: OfferId([id; 32]),
        provider: OrganisationId([100 + id; 32]),
        group: GroupId([100 + id; 32]),
        sequence: 0,
        home: member(0),
        country: member(0),
        certificates: 0,
        tier: 0,
        node_size: 1,
        ask: Price(ask * TICK),
        pool: Pool::Public,
        owner: None,
        market: calendar(market),
        reserve: calendar(reserve),
        commercial_left: None,
    }
}

/// A book in which no rule binds but price, time and capacity.
pub fn book(orders: Vec<Order>, supplies: Vec<Supply>) -> Book {
    let params = BookParams {
        tick: TICK,
        k_bps: 0,
        price_candidates: 64,
        cap_bps: 10_000,
        slot_s: 3_600,
        spot_slots: 2,
        near_slots: 4,
        chain: ChainId([7; 32]),
        limit_first: false,
        orders_max: 2_048,
        orders_per_group_max: 16,
        supplies_max: 256,
        reserve_price_cap: Price(TICK),
        reserve_cap_bps: 10_000,
        reserve_member_cap_bps: 10_000,
        credit_ask_cap: None,
        release_slots: 0,
        release_lease_slots_max: 4,
    };
    Book {
        params,
        class: Name::new("a100-64").expect("it is a name"),
        epoch: 7,
        now: Slot(NOW),
        orders,
        supplies,
        holds: Vec::new(),
        capacity: 1_000,
        usage: BTreeMap::new(),
        debit_headroom: BTreeMap::new(),
        reference: None,
        eligibility: Default::default(),
    }
}

/// The requests of a domain: every size, least size, duration, window, limit and lane.
fn orders(sizes: &[(u32, u32)], times: &[(u32, (u32, u32))]) -> Vec<Order> {
    let mut all = Vec::new();
    for (quantity, quantity_min) in sizes {
        for (slots, window) in times {
            for limit in [1, 2] {
                let plain = Order {
                    quantity_min: *quantity_min,
                    interruptible: true,
                    ..order(0, *quantity, *slots, *window, limit)
                };
                all.push(plain.clone());
                all.push(entitled(plain, LaneHint::Any));
            }
        }
    }
    all
}

/// The offers of a domain: every ask, with what is free in both lanes.
fn supplies(calendars: &[(&[(u32, u32)], &[(u32, u32)])]) -> Vec<Supply> {
    let of = |ask| calendars.iter().map(move |(market, reserve)| supply(0, ask, market, reserve));
    [1, 2].into_iter().flat_map(of).collect()
}

/// All books with so many requests of a list, and one or two offers of another, with and without released reserve.
struct Domain {
    requests: usize,
    orders: Vec<Order>,
    supplies: Vec<Supply>,
}

impl Domain {
    fn all() -> [Self; 3] {
        let times = [(1, (0, 0)), (1, (0, 1)), (2, (0, 0)), (2, (0, 1))];
        let wide = || orders(&[(1, 1), (2, 2), (2, 1)], &times);
        let narrow = orders(&[(1, 1), (2, 2)], &[(1, (0, 1)), (2, (0, 0))]);
        let calendars: [(&[(u32, u32)], &[(u32, u32)]); 4] = [
            (&[(0, 2), (2, 0)], &[]),
            (&[(0, 1), (1, 2), (3, 0)], &[]),
            (&[(0, 1), (3, 0)], &[(0, 1), (2, 0)]),
            (&[], &[(0, 2), (3, 0)]),
        ];
        [
            Self { requests: 1, orders: wide(), supplies: supplies(&calendars) },
            Self { requests: 2, orders: wide(), supplies: supplies(&calendars) },
            Self { requests: 3, orders: narrow, supplies: supplies(&calendars[1..3]) },
        ]
    }

    fn count(&self) -> usize {
        let requests = u32::try_from(self.requests).expect("three at most");
        2 * (self.supplies.len() + 1) * self.supplies.len() * self.orders.len().pow(requests)
    }

    /// The book of this number; the requests take their turns in the order of their ids.
    fn book(&self, number: usize) -> Book {
        let mut rest = number;
        let mut digit = |base: usize| {
            let digit = rest % base;
            rest /= base;
            digit
        };
        let (release, second) = (digit(2), digit(self.supplies.len() + 1));
        let mut offered = vec![self.supplies[digit(self.supplies.len())].clone()];
        offered.extend(second.checked_sub(1).map(|index| self.supplies[index].clone()));
        let mut wanted: Vec<Order> =
            (0..self.requests).map(|_| self.orders[digit(self.orders.len())].clone()).collect();
        for (id, order) in (1u8..).zip(&mut wanted) {
            (order.request, order.organisation) = (RequestId([id; 32]), OrganisationId([id; 32]));
            (order.group, order.usage) = (GroupId([id; 32]), id.into());
        }
        for (id, supply) in (1u8..).zip(&mut offered) {
            (supply.offer, supply.provider) = (OfferId([id; 32]), OrganisationId([100 + id; 32]));
        }
        let mut book = book(wanted, offered);
        book.params.release_slots = if release == 1 { 2 } else { 0 };
        book
    }
}

/// How many books there are.
pub fn count() -> usize {
    Domain::all().iter().map(Domain::count).sum()
}

/// Every `step`-th book.
pub fn every(step: usize) -> impl Iterator<Item = Book> {
    let domains = Domain::all();
    (0..count()).step_by(step).map(move |number| {
        let mut rest = number;
        let domain = domains.iter().find(|domain| {
            let found = rest < domain.count();
            if !found {
                rest -= domain.count();
            }
            found
        });
        domain.expect("the numbers end with the last domain").book(rest)
    })
}
