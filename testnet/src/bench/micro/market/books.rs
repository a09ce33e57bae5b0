//! The books that batches are measured on: the same in every run.

use hansa_ledger::id::{ChainId, GroupId, OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Book, BookParams, Calendar, GroupShare, Hold, LaneHint, Order, Supply};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use std::collections::BTreeMap;

const MEMBERS: [&str; 8] = ["DE", "EE", "ES", "FI", "FR", "IT", "PL", "SE"];

const NOW: u32 = 1_000;

/// Numbers that look random and are the same in every run.
struct Numbers(blake3::OutputReader);

impl Numbers {
    fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    fn below(&mut self, bound: u32) -> u32 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % u64::from(bound)) as u32
    }

    fn id(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill(&mut bytes);
        bytes
    }

    fn member(&mut self) -> Result<MemberCode, String> {
        MEMBERS[self.below(MEMBERS.len() as u32) as usize].parse()
    }
}

fn empty(class: &str) -> Result<Book, String> {
    Ok(Book {
        params: BookParams {
            tick: 1_000,
            k_bps: 0,
            price_candidates: 64,
            cap_bps: 1_000,
            slot_s: 900,
            spot_slots: 96,
            near_slots: 672,
            chain: ChainId([7; 32]),
            limit_first: false,
            orders_max: 2_048,
            orders_per_group_max: 16,
            supplies_max: 256,
            reserve_price_cap: Price(1_000_000),
            reserve_cap_bps: 500,
            reserve_member_cap_bps: 4_000,
            credit_ask_cap: Some(Price(1_900_000)),
            release_slots: 96,
            release_lease_slots_max: 16,
        },
        class: Name::new(class).map_err(|error| error.to_string())?,
        epoch: 7,
        now: Slot(NOW),
        orders: Vec::new(),
        supplies: Vec::new(),
        holds: Vec::new(),
        capacity: 0,
        usage: BTreeMap::new(),
        debit_headroom: BTreeMap::new(),
        reference: Some(Price(1_500_000)),
        eligibility: Default::default(),
    })
}

/// A class with every constraint at work: countries, certificates, tiers, partial quantities, windows, caps and old leases,
/// debit headroom, own pools, commercial ceilings, grants, aid, the reserve and its release; calendars of about
/// `points` breakpoints.
pub(super) fn constrained(orders: u32, supplies: u32, points: u32) -> Result<Book, String> {
    let mut numbers = Numbers::new("constrained");
    let mut book = empty("constrained")?;
    for code in MEMBERS {
        book.debit_headroom.insert(code.parse()?, 40_000_000_000 + u128::from(numbers.below(u32::MAX)) * 10);
    }
    for number in 0..supplies {
        let supply = supply(&mut numbers, number, points)?;
        book.capacity += u64::from(supply.market.peak()) + u64::from(supply.reserve.peak());
        book.supplies.push(supply);
    }
    let groups: Vec<[u8; 32]> = (0..orders / 4).map(|_| numbers.id()).collect();
    for group in &groups {
        let share = GroupShare {
            accelerator_seconds: u64::from(numbers.below(1_000_000_000)),
            other: u64::from(numbers.below(20_000_000)),
        };
        book.usage.insert(GroupId(*group), share);
        for _ in 0..numbers.below(4) {
            let start = NOW + numbers.below(2_000);
            let (end, quantity) = (start + 4 + numbers.below(400), 4 + numbers.below(60));
            let reserve = if numbers.below(3) == 0 { Some(numbers.member()?) } else { None };
            let group = GroupId(*group);
            book.holds.push(Hold { group, start: Slot(start), end: Slot(end), quantity, reserve });
        }
    }
    for number in 0..orders {
        let group = groups[number as usize % groups.len().max(1)];
        book.orders.push(order(&mut numbers, group, number)?);
    }
    book.orders.sort_unstable_by_key(|order| order.request);
    Ok(book)
}

/// A calendar over 180 days whose number of free accelerators changes about `points` times, most often soon.
fn calendar(numbers: &mut Numbers, most: u32, points: u32) -> Calendar {
    let mut steps = Vec::new();
    let mut slot = NOW;
    for point in 0..points {
        // A quarter of the time nothing is free.
        let free = if numbers.below(4) == 0 { 0 } else { 4 * (1 + numbers.below(most / 4)) };
        steps.push((Slot(slot), free));
        slot += 1 + numbers.below(4 + 60 * point / points.max(1));
    }
    steps.push((Slot(slot), 0));
    Calendar::from_steps(&steps).unwrap_or_default()
}

fn supply(numbers: &mut Numbers, number: u32, points: u32) -> Result<Supply, String> {
    let home = numbers.member()?;
    let (provider, is_public) = (numbers.id(), numbers.below(2) == 0);
    let node_size = [1, 4, 4, 8][numbers.below(4) as usize];
    let free = calendar(numbers, 160, points);
    let reserve = if is_public { free.reserved(2_000, node_size) } else { Calendar::default() };
    Ok(Supply {
        offer: OfferId(numbers.id()),
        provider: OrganisationId(provider),
        group: GroupId(provider),
        sequence: u64::from(number),
        home,
        country: home,
        certificates: numbers.below(8),
        tier: numbers.below(4) as u8,
        node_size,
        ask: Price(u64::from(1_000 + 10 * numbers.below(100)) * 1_000),
        pool: if is_public { Pool::Public } else { Pool::Private },
        owner: is_public.then_some(home),
        market: free.minus(&reserve),
        reserve,
        commercial_left: (is_public && numbers.below(2) == 0).then(|| u64::from(numbers.below(20_000))),
    })
}

fn order(numbers: &mut Numbers, group: [u8; 32], number: u32) -> Result<Order, String> {
    let quantity = 4 * (1 + numbers.below(16));
    // Half within a day, a third within a week, the rest within five months.
    let lead = match numbers.below(6) {
        0..3 => numbers.below(97),
        3..5 => 97 + numbers.below(576),
        _ => 673 + numbers.below(14_000),
    };
    let mut countries = CountrySet::default();
    if numbers.below(2) == 0 {
        countries = CountrySet::of([numbers.member()?, numbers.member()?, numbers.member()?])?;
    }
    let is_grant = numbers.below(3) == 0;
    Ok(Order {
        request: RequestId(numbers.id()),
        organisation: OrganisationId(group),
        group: GroupId(group),
        sequence: u64::from(number),
        countries,
        certificates: if numbers.below(2) == 0 { 1 << numbers.below(3) } else { 0 },
        tier_min: numbers.below(3) as u8,
        quantity,
        quantity_min: if numbers.below(2) == 0 { quantity } else { 4 },
        slots: 4 + numbers.below(92),
        start_min: Slot(NOW + lead),
        start_max: Slot(NOW + lead + numbers.below(200)),
        limit: Price(u64::from(1_200 + numbers.below(1_200)) * 1_000),
        usage: 0,
        admitted_epoch: u64::from(numbers.below(7)),
        funding_home: numbers.member()?,
        own_group_excluded: is_grant,
        lane: [LaneHint::Any, LaneHint::Any, LaneHint::Reserve, LaneHint::Market][numbers.below(4) as usize],
        eligible: numbers.below(2) == 0,
        credit: if is_grant { Some(numbers.member()?) } else { None },
        interruptible: numbers.below(3) == 0,
        commercial: !is_grant && numbers.below(2) == 0,
        reserve_cap_bps: if numbers.below(4) == 0 { 200 } else { 10_000 },
        aid_left: is_grant.then(|| u128::from(numbers.below(2_000_000_000))),
    })
}

/// A class whose requests ask for single accelerators anywhere, now, for an hour: as plain as a spot market. Those of one
/// group have the same usage.
pub(super) fn unconstrained(orders: u32, groups: u32) -> Result<Book, String> {
    let mut numbers = Numbers::new("unconstrained");
    let mut book = empty("unconstrained")?;
    for code in MEMBERS {
        book.debit_headroom.insert(code.parse()?, u128::from(u64::MAX));
    }
    for number in 0..256 {
        let supply = supply(&mut numbers, number, 500)?;
        let (home, free) = (numbers.member()?, Calendar::constant(Slot(NOW), Slot(NOW + 17_280), 64));
        book.capacity += 64;
        book.supplies.push(Supply {
            home,
            node_size: 1,
            market: free,
            reserve: Calendar::default(),
            commercial_left: None,
            ..supply
        });
    }
    let groups: Vec<[u8; 32]> = (0..groups).map(|_| numbers.id()).collect();
    let usages: Vec<u64> = groups.iter().map(|_| u64::from(numbers.below(1_000_000_000))).collect();
    for number in 0..orders {
        let of = numbers.below(groups.len() as u32) as usize;
        let plain = order(&mut numbers, groups[of], number)?;
        book.orders.push(Order {
            countries: CountrySet::default(),
            certificates: 0,
            tier_min: 0,
            quantity: 1 + numbers.below(4),
            quantity_min: 1,
            slots: 4,
            start_min: Slot(NOW),
            start_max: Slot(NOW + 4),
            usage: usages[of],
            admitted_epoch: u64::from(numbers.below(10_000)),
            own_group_excluded: false,
            lane: LaneHint::Any,
            credit: None,
            interruptible: false,
            commercial: false,
            aid_left: None,
            ..plain
        });
    }
    book.orders.sort_unstable_by_key(|order| order.request);
    Ok(book)
}
