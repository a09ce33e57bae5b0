//! One batch of one class: requests and offers of many sizes, prices and windows.

use super::rounds;
use crate::bench::report::Report;
use crate::error::TestnetError;
use hansa_ledger::id::{ChainId, GroupId, OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Book, BookParams, Calendar, Order, Supply, clear};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::time::Slot;
use std::path::Path;

/// Requests and offers in the book.
const SIZES: [(u64, u64); 2] = [(200, 20), (2_048, 256)];

const MEMBERS: [&str; 4] = ["DE", "EE", "ES", "FR"];

pub(super) fn measure(report: &mut Report, _: &Path) -> Result<(), TestnetError> {
    for (requests, offers) in SIZES {
        let book = book(requests, offers)?;
        let trades = clear(&book).trades.len();
        let times: Vec<f64> = rounds(1, || (), |()| clear(&book)).iter().map(|time| time / 1_000.0).collect();
        report.figure(format!("batch of {requests} requests and {offers} offers"), "ms", &times);
        report.figure(format!("leases from {requests} requests and {offers} offers"), "", &[trades as f64]);
    }
    Ok(())
}

/// Numbers that look random and are the same in every run.
struct Numbers(blake3::OutputReader);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn id(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill(&mut bytes);
        bytes
    }
}

fn member(index: u64) -> Result<MemberCode, TestnetError> {
    MEMBERS[index as usize % MEMBERS.len()].parse().map_err(super::broken)
}

fn book(requests: u64, offers: u64) -> Result<Book, TestnetError> {
    let mut numbers = Numbers(blake3::Hasher::new().update(b"bench").finalize_xof());
    let mut debit_headroom = std::collections::BTreeMap::new();
    for index in 0..4 {
        debit_headroom.insert(member(index)?, u128::from(u64::MAX));
    }
    Ok(Book {
        params: BookParams {
            tick: 1_000,
            k_bps: 0,
            price_candidates: 64,
            cap_bps: 2_500,
            slot_s: 900,
            spot_slots: 96,
            near_slots: 672,
            chain: ChainId([7; 32]),
            limit_first: false,
            orders_max: 2_048,
            orders_per_group_max: 16,
            supplies_max: 256,
        },
        class: Name::new("bench").map_err(super::broken)?,
        epoch: 7,
        now: Slot(1_000),
        orders: (0..requests).map(|_| order(&mut numbers)).collect::<Result<_, _>>()?,
        supplies: (0..offers).map(|_| supply(&mut numbers)).collect::<Result<_, _>>()?,
        holds: Vec::new(),
        debit_headroom,
        reference: None,
    })
}

fn supply(numbers: &mut Numbers) -> Result<Supply, TestnetError> {
    let home = member(numbers.below(4))?;
    let (provider, free) = (numbers.id(), 16 + 8 * numbers.below(16) as u32);
    // A quarter of it is taken for some hours already.
    let mut calendar = Calendar::constant(Slot(1_000), Slot(3_000), free);
    let start = 1_000 + numbers.below(500) as u32;
    calendar.take(Slot(start), 100, free / 4).map_err(super::broken)?;
    Ok(Supply {
        offer: OfferId(numbers.id()),
        provider: OrganisationId(provider),
        group: GroupId(provider),
        sequence: 1,
        home,
        country: home,
        certificates: numbers.below(4) as u32,
        tier: numbers.below(3) as u8,
        node_size: 4,
        ask: Price(1_000_000 + 1_000 * numbers.below(1_000)),
        calendar,
    })
}

fn order(numbers: &mut Numbers) -> Result<Order, TestnetError> {
    let organisation = numbers.id();
    let quantity = 4 * (1 + numbers.below(8) as u32);
    let start = 1_000 + numbers.below(400) as u32;
    Ok(Order {
        request: RequestId(numbers.id()),
        organisation: OrganisationId(organisation),
        group: GroupId(organisation),
        sequence: 1,
        countries: CountrySet::default(),
        certificates: numbers.below(2) as u32,
        tier_min: numbers.below(2) as u8,
        quantity,
        quantity_min: if numbers.below(2) == 0 { quantity } else { 4 },
        slots: 4 + numbers.below(92) as u32,
        start_min: Slot(start),
        start_max: Slot(start + numbers.below(200) as u32),
        limit: Price(1_200_000 + 1_000 * numbers.below(1_200)),
        usage: numbers.below(1_000_000),
        admitted_epoch: numbers.below(7),
        funding_home: member(numbers.below(4))?,
        own_group_excluded: false,
    })
}
