//! Books to try the market with: random ones with every rule live, and all small ones of a narrow domain.
//!
//! Times are a dozen slots and quantities a few accelerators, so that the plain model is quick and rules collide often. A
//! book that fails shrinks to fewer and smaller lines, and is shown as text: one line for each thing in it.

use hansa_ledger::id::{ChainId, GroupId, OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Book, BookParams, Calendar, GroupShare, Hold, LaneHint, Order, Supply};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt;

/// The present slot of every book.
pub const NOW: u32 = 1_000;
/// The tick of every book.
pub const TICK: u64 = 1_000;
const MEMBERS: [&str; 3] = ["EE", "FI", "IT"];

pub fn member(index: usize) -> MemberCode {
    MEMBERS[index].parse().expect("the codes are members")
}

fn members() -> impl Strategy<Value = MemberCode> {
    (0..MEMBERS.len()).prop_map(member)
}

/// Prices in ticks; few of them, so that they are often equal, or many.
fn prices() -> impl Strategy<Value = Price> {
    prop_oneof![3 => 1..=5u64, 1 => 0..=40u64].prop_map(|ticks| Price(ticks * TICK))
}

fn params() -> impl Strategy<Value = BookParams> {
    let numbers = (
        prop_oneof![3 => Just(0u16), 1 => prop::sample::select(vec![2_500, 5_000, 10_000, 20_000])],
        prop_oneof![40 => Just(64u16), 8 => 1..=3u16, 1 => Just(0)],
        prop_oneof![3 => Just(10_000u16), 2 => prop::sample::select(vec![0, 2_500, 5_000])],
        prop::sample::select(vec![1u32, 900, 900]),
        prop_oneof![2 => Just((2u32, 5u32)), 1 => Just((96, 672)), 1 => Just((0, 1))],
        prop::bool::weighted(0.2),
    );
    let limits = (
        prop_oneof![6 => Just(2_048u32), 1 => 0..=6u32],
        prop_oneof![12 => Just(16u32), 6 => 1..=2u32, 1 => Just(0)],
        prop_oneof![12 => Just(256u32), 3 => 1..=2u32, 1 => Just(0)],
    );
    let lanes = (
        prices(),
        prop_oneof![2 => Just(10_000u16), 2 => prop::sample::select(vec![1_000, 2_500, 5_000])],
        prop_oneof![2 => Just(10_000u16), 2 => prop::sample::select(vec![500, 3_000, 6_000])],
        option::weighted(0.15, prices()),
        prop_oneof![1 => Just(0u32), 3 => 1..=8u32],
        prop_oneof![3 => Just(4u32), 1 => 0..=2u32],
    );
    (numbers, limits, lanes).prop_map(|(numbers, limits, lanes)| BookParams {
        tick: TICK,
        k_bps: numbers.0,
        price_candidates: numbers.1,
        cap_bps: numbers.2,
        slot_s: numbers.3,
        spot_slots: numbers.4.0,
        near_slots: numbers.4.1,
        chain: ChainId([7; 32]),
        limit_first: numbers.5,
        orders_max: limits.0,
        orders_per_group_max: limits.1,
        supplies_max: limits.2,
        reserve_price_cap: lanes.0,
        reserve_cap_bps: lanes.1,
        reserve_member_cap_bps: lanes.2,
        credit_ask_cap: lanes.3,
        release_slots: lanes.4,
        release_lease_slots_max: lanes.5,
    })
}

/// Steps of one to five slots each, the first of which may begin before the present.
fn calendar(free_max: u32) -> impl Strategy<Value = Calendar> {
    (
        prop_oneof![3 => 0..=1u32, 1 => Just(2)],
        vec((1..=5u32, prop_oneof![1 => Just(0), 4 => 1..=free_max]), 0..=5),
    )
        .prop_map(|(begin, steps)| {
            let mut slot = NOW - 1 + begin;
            let mut points = Vec::new();
            for (slots, free) in steps {
                points.push((Slot(slot), free));
                slot += slots;
            }
            points.push((Slot(slot), 0));
            Calendar::from_steps(&points).expect("the steps rise and end with nothing")
        })
}

fn supply() -> impl Strategy<Value = Supply> {
    let who = (0..4u8, 0..4u8, 0..3u64, members(), members(), option::weighted(0.5, members()));
    let what = (
        prop_oneof![3 => Just(3u32), 1 => 0..=3u32],
        prop_oneof![3 => Just(2u8), 1 => 0..=2u8],
        prop_oneof![2 => Just(1u32), 3 => 0..=4u32],
        prices(),
        prop::bool::weighted(0.7),
        option::weighted(0.3, 0..=12u64),
    );
    (who, what, calendar(9), calendar(7)).prop_map(|(who, what, market, reserve)| Supply {
        offer: OfferId([0; 32]),
        provider: OrganisationId([who.0; 32]),
        group: GroupId([who.1; 32]),
        sequence: who.2,
        home: who.3,
        country: who.4,
        certificates: what.0,
        tier: what.1,
        node_size: what.2,
        ask: what.3,
        pool: if what.4 { Pool::Public } else { Pool::Private },
        owner: who.5,
        market,
        reserve,
        commercial_left: what.5,
    })
}

fn order() -> impl Strategy<Value = Order> {
    let who =
        (0..6u8, 0..4u8, 0..3u64, members(), option::weighted(0.7, members()), prop::bool::weighted(0.85));
    let site = (
        prop_oneof![5 => Just(vec![]), 1 => vec(members(), 1..=2)],
        prop_oneof![7 => Just(0u32), 1 => 0..=3u32],
        prop_oneof![7 => Just(0u8), 1 => 0..=2u8],
        prop::bool::weighted(0.3),
    );
    let size = (
        prop_oneof![30 => 1..=4u32, 20 => 1..=8u32, 1 => Just(0u32)],
        0..=8u32,
        prop_oneof![30 => 1..=2u32, 15 => 1..=4u32, 1 => Just(0u32)],
    );
    let time = (prop_oneof![4 => 0..=8u32, 3 => 0..=3u32], prop_oneof![40 => 0..=4u32, 1 => Just(u32::MAX)]);
    let need = (
        0..=3u64,
        0..=3u64,
        prop_oneof![2 => prices(), 2 => (3..=8u64).prop_map(|ticks| Price(ticks * TICK))],
    );
    let lane = (
        prop_oneof![4 => Just(LaneHint::Any), 2 => Just(LaneHint::Reserve), 2 => Just(LaneHint::Market)],
        any::<bool>(),
        prop::bool::weighted(0.3),
        prop_oneof![3 => Just(10_000u16), 1 => prop::sample::select(vec![0, 1_000, 5_000])],
        option::weighted(0.4, 0..=10_000u128),
    );
    (who, site, size, time, need, lane).prop_map(|(who, site, size, time, need, lane)| {
        let (quantity, less) = (size.0, size.1);
        // Times count from the slot before the present, so that some windows begin or end in the past.
        let start_min = NOW - 1 + time.0;
        let start_max = if time.1 == u32::MAX { start_min - 1 } else { start_min + time.1 };
        Order {
            request: RequestId([0; 32]),
            organisation: OrganisationId([who.0; 32]),
            group: GroupId([who.1; 32]),
            sequence: who.2,
            countries: CountrySet::of(site.0).expect("the members are countries"),
            certificates: site.1,
            tier_min: site.2,
            quantity,
            quantity_min: if less > 4 { quantity } else { quantity.saturating_sub(less) },
            slots: size.2,
            start_min: Slot(start_min),
            start_max: Slot(start_max),
            limit: need.2,
            usage: need.0,
            admitted_epoch: need.1,
            funding_home: who.4.unwrap_or(who.3),
            own_group_excluded: site.3,
            lane: lane.0,
            eligible: who.5,
            credit: who.4,
            interruptible: lane.1,
            commercial: lane.2,
            reserve_cap_bps: lane.3,
            aid_left: lane.4,
        }
    })
}

fn hold() -> impl Strategy<Value = Hold> {
    (0..4u8, 0..=8u32, 1..=8u32, 1..=4u32, option::weighted(0.6, members())).prop_map(
        |(group, begin, slots, quantity, reserve)| Hold {
            group: GroupId([group; 32]),
            start: Slot(NOW - 2 + begin),
            end: Slot(NOW - 2 + begin + slots),
            quantity,
            reserve,
        },
    )
}

/// A book with all rules live; in one of twenty an id stands twice.
fn books() -> impl Strategy<Value = Case> {
    let shares = btree_map(
        (0..4u8).prop_map(|group| GroupId([group; 32])),
        (0..60_000u64, 0..4_000_000_000u64),
        0..=4,
    );
    // A member that is not named may owe nothing.
    let left = prop_oneof![6 => Just(Some(u128::MAX)), 3 => (0..=60_000u128).prop_map(Some), 1 => Just(None)];
    let headroom = vec(left, 3).prop_map(|left| {
        let named = left.into_iter().enumerate().filter_map(|(index, left)| Some((member(index), left?)));
        named.collect::<BTreeMap<_, _>>()
    });
    let lists = (
        vec(order(), 0..=9),
        prop_oneof![30 => vec(supply(), 1..=5), 1 => Just(vec![])],
        vec(hold(), 0..=3),
        prop::bool::weighted(0.05),
    );
    let rest = (0..50u64, prop_oneof![3 => 8..=40u64, 1 => 0..=8u64], option::of(prices()));
    (params(), lists, shares, headroom, rest).prop_map(|(params, lists, shares, headroom, rest)| {
        let (mut orders, mut supplies, holds, doubled) = lists;
        for (index, order) in orders.iter_mut().enumerate() {
            order.request = RequestId([if doubled { index as u8 / 2 } else { index as u8 }; 32]);
        }
        for (index, supply) in supplies.iter_mut().enumerate() {
            supply.offer = OfferId([if doubled { index as u8 / 2 } else { index as u8 }; 32]);
        }
        let share = |(accelerator_seconds, other)| GroupShare { accelerator_seconds, other };
        Case(Book {
            params,
            class: Name::new("a100-64").expect("it is a name"),
            epoch: rest.0,
            now: Slot(NOW),
            orders,
            supplies,
            holds,
            capacity: rest.1,
            usage: shares.into_iter().map(|(group, numbers)| (group, share(numbers))).collect(),
            debit_headroom: headroom,
            reference: rest.2,
            eligibility: Default::default(),
        })
    })
}

/// Random books: with all rules at once, and with the rules of one question at a time, which then bind often.
pub fn cases() -> impl Strategy<Value = Case> {
    // One tree for the book, whatever its kind: seven of them side by side outgrow the stack of a test's thread.
    let kind = prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => Just(2), 2 => Just(3), 1 => Just(4), 1 => Just(5), 2 => Just(6)];
    (books(), kind).prop_map(|(Case(book), kind)| {
        Case(match kind {
            0 => book,
            1 => auction(book),
            2 => debts(auction(book)),
            3 => need(book),
            4 => unconstrained(book),
            5 => released(auction(book)),
            _ => bounded(auction(book)),
        })
    })
}

/// Leaves price, time and capacity: many who want the same few slots, and often a price between its bounds.
fn auction(mut book: Book) -> Book {
    let params = &mut book.params;
    (params.cap_bps, params.price_candidates, params.supplies_max) = (10_000, 64, 256);
    (params.orders_max, params.orders_per_group_max) = (2_048, 16);
    params.k_bps = [0, 5_000, 10_000][(book.epoch % 3) as usize];
    book.capacity = 1_000;
    book.debit_headroom = (0..MEMBERS.len()).map(|index| (member(index), u128::MAX)).collect();
    for order in &mut book.orders {
        (order.lane, order.credit, order.commercial) = (LaneHint::Market, None, false);
        order.start_min = Slot(NOW + order.start_min.0 % 3);
        order.start_max = Slot(order.start_min.0 + order.quantity % 2);
        order.quantity = order.quantity.min(4);
        order.quantity_min = order.quantity_min.min(order.quantity);
        order.slots = order.slots.min(2);
    }
    book
}

/// Leaves what bounds the price: often a single price is tried, one below the next ask and below what all would pay, since
/// there is more free than wanted, and not when it is wanted; and often one above what somebody would pay who comes first.
fn bounded(mut book: Book) -> Book {
    book.params.price_candidates = [1, 1, 2, 64][(book.epoch / 3 % 4) as usize];
    for supply in &mut book.supplies {
        supply.ask = Price((1 + supply.ask.0 / TICK % 4) * TICK);
        let free = 1 + supply.market.peak() % 4;
        supply.market = Calendar::constant(Slot(NOW), Slot(NOW + 12), free);
        (supply.node_size, supply.commercial_left) = (1, None);
    }
    for order in &mut book.orders {
        (order.countries, order.certificates, order.tier_min) = (CountrySet::default(), 0, 0);
        (order.start_min, order.start_max) = (Slot(NOW), Slot(NOW));
        (order.own_group_excluded, order.interruptible) = (false, false);
        order.limit = Price((3 + order.limit.0 / TICK % 6) * TICK);
    }
    book
}

/// Lets members owe so little that it binds.
fn debts(mut book: Book) -> Book {
    book.params.slot_s = 900;
    let left = |index: usize| u128::from(1 + book.epoch % 12) * 1_000 * (index as u128 + 1);
    book.debit_headroom = (0..MEMBERS.len()).map(|index| (member(index), left(index))).collect();
    for (index, supply) in book.supplies.iter_mut().enumerate() {
        supply.commercial_left = (index % 3 != 2).then_some(2 + (index as u64 + book.epoch) % 8);
    }
    for (index, order) in book.orders.iter_mut().enumerate() {
        order.commercial = index % 4 != 3;
    }
    book
}

/// Leaves nothing but price and capacity in one window, within which everybody takes single accelerators of any offer.
fn unconstrained(mut book: Book) -> Book {
    book.params.orders_max = [2_048, 2, 3, 4][(book.epoch % 4) as usize];
    book.supplies.iter_mut().for_each(|supply| supply.node_size = supply.node_size.min(1));
    for order in &mut book.orders {
        (order.lane, order.credit, order.commercial) = (LaneHint::Market, None, false);
        (order.countries, order.certificates, order.tier_min) = (CountrySet::default(), 0, 0);
        (order.own_group_excluded, order.interruptible) = (false, false);
        (order.start_min, order.start_max, order.slots) = (Slot(NOW), Slot(NOW + 2), 2);
        order.quantity_min = order.quantity_min.min(1);
    }
    // One that reaches no offer may ask for what it likes.
    if let Some(order) = book.orders.last_mut().filter(|_| book.epoch.is_multiple_of(3)) {
        (order.limit, order.own_group_excluded) = (Price(0), true);
    }
    book
}

/// Leaves what the reserve lane did not give out: short leases that may be interrupted, and often few prices to try.
fn released(mut book: Book) -> Book {
    let params = &mut book.params;
    (params.release_slots, params.release_lease_slots_max) = (3 + (book.epoch % 4) as u32, 3);
    params.price_candidates = [1, 2, 64][(book.epoch / 4 % 3) as usize];
    for supply in &mut book.supplies {
        (supply.pool, supply.commercial_left) = (Pool::Public, None);
    }
    for (index, order) in book.orders.iter_mut().enumerate() {
        (order.interruptible, order.slots) = (index % 5 != 4, order.slots.max(1));
    }
    book
}

/// Leaves the reserve, with its caps: all are entitled to it.
fn need(mut book: Book) -> Book {
    let params = &mut book.params;
    (params.cap_bps, params.slot_s, params.credit_ask_cap) = (10_000, 900, None);
    (params.orders_max, params.supplies_max) = ([2_048, 2_048, 2, 3][(book.epoch % 4) as usize], 256);
    params.orders_per_group_max = if book.epoch.is_multiple_of(5) { 1 } else { 16 };
    params.limit_first = book.epoch.is_multiple_of(2);
    // Groups that have used about as much as one award moves them.
    let used = |group: u8| GroupShare {
        accelerator_seconds: (book.epoch * 700 + u64::from(group) * 900) % 4_000,
        other: 0,
    };
    book.usage = (0..4u8).map(|group| (GroupId([group; 32]), used(group))).collect();
    book.debit_headroom = (0..MEMBERS.len()).map(|index| (member(index), u128::MAX)).collect();
    book.supplies.iter_mut().for_each(|supply| supply.pool = Pool::Public);
    for order in &mut book.orders {
        (order.eligible, order.credit) = (true, Some(order.funding_home));
        order.lane = if order.lane == LaneHint::Market { LaneHint::Reserve } else { order.lane };
        order.limit = order.limit.max(book.params.reserve_price_cap);
        order.start_min = Slot(NOW + order.start_min.0 % 4);
        order.start_max = Slot(order.start_min.0 + order.quantity % 3);
        order.quantity = order.quantity.min(5);
        order.quantity_min = order.quantity_min.min(order.quantity);
        order.slots = order.slots.min(3);
    }
    book
}

/// A book that is shown line by line.
#[derive(Clone)]
pub struct Case(pub Book);

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\n{}", shown(&self.0))
    }
}

/// A book as text. Slots count from the present one.
pub fn shown(book: &Book) -> String {
    let slot = |slot: Slot| i64::from(slot.0) - i64::from(book.now.0);
    let code = |code: Option<MemberCode>| code.map_or("-".to_owned(), |code| code.to_string());
    let ticks = |price: Price| format!("{}t", price.0 as f64 / TICK as f64);
    let mut lines = vec![format!("{:?}", book.params).replace("BookParams", "params")];
    let reference = book.reference.map(ticks);
    lines.push(format!("epoch {} capacity {} reference {reference:?}", book.epoch, book.capacity));
    lines.push(format!("debit headroom {:?}", book.debit_headroom));
    for (group, share) in &book.usage {
        lines.push(format!(
            "group g{}: {} accelerator-seconds, other {}",
            group.0[0], share.accelerator_seconds, share.other
        ));
    }
    for supply in &book.supplies {
        let calendar = |calendar: &Calendar| {
            let points = calendar.points().iter().map(|(at, free)| format!("{}:{free}", slot(*at)));
            points.collect::<Vec<_>>().join(" ")
        };
        lines.push(format!(
            "offer s{} of o{} (g{}) seq {} ask {} {:?} owner {} home {} country {} certs {} tier {} node {} commercial {:?} | market {} | reserve {}",
            supply.offer.0[0], supply.provider.0[0], supply.group.0[0], supply.sequence, ticks(supply.ask), supply.pool,
            code(supply.owner), supply.home, supply.country, supply.certificates, supply.tier, supply.node_size,
            supply.commercial_left, calendar(&supply.market), calendar(&supply.reserve)
        ));
    }
    for order in &book.orders {
        let flags = [
            (order.eligible, "eligible"),
            (order.interruptible, "interruptible"),
            (order.commercial, "commercial"),
            (order.own_group_excluded, "own group excluded"),
        ];
        let flags: Vec<&str> = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
        let countries: Vec<&str> = order.countries.countries().collect();
        lines.push(format!(
            "request r{} of o{} (g{}) seq {} wants {} (min {}) for {} slots from {}..={} limit {} {:?} credit {} pays {} usage {} epoch {} countries {countries:?} certs {} tier {} reserve cap {} aid left {:?} [{}]",
            order.request.0[0], order.organisation.0[0], order.group.0[0], order.sequence, order.quantity, order.quantity_min,
            order.slots, slot(order.start_min), slot(order.start_max), ticks(order.limit), order.lane, code(order.credit),
            order.funding_home, order.usage, order.admitted_epoch, order.certificates, order.tier_min, order.reserve_cap_bps,
            order.aid_left, flags.join(", ")
        ));
    }
    for hold in &book.holds {
        let reserve = code(hold.reserve);
        lines.push(format!(
            "hold g{} {} in {}..{} reserve {reserve}",
            hold.group.0[0],
            hold.quantity,
            slot(hold.start),
            slot(hold.end)
        ));
    }
    lines.join("\n")
}
