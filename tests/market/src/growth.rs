//! How the time of one batch grows with the orders of a book without constraints.

use crate::federation::numbered;
use crate::measure::median;
use crate::random::Random;
use hansa_ledger::demand::book_params;
use hansa_ledger::id::{ChainId, GroupId, OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Book, Calendar, LaneHint, Order, Supply, clear};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::{PRICE_TICK_UEUR, Price};
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::collections::BTreeMap;

/// The sizes of the chart.
pub const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Offers of the book.
const OFFERS: u32 = 256;

/// The time of one batch over a number of orders.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Resting orders.
    pub orders: u32,
    /// Orders that were served.
    pub trades: u32,
    /// Runs.
    pub runs: u32,
    /// Milliseconds of processor time, the median.
    pub median_ms: f64,
    /// The least.
    pub least_ms: f64,
    /// The greatest.
    pub greatest_ms: f64,
}

impl Point {
    /// What it would take if the first point grew as n log n.
    #[must_use]
    pub fn n_log_n_ms(&self, first: &Self) -> f64 {
        let work = |orders: u32| f64::from(orders) * f64::from(orders).log2();
        first.median_ms * work(self.orders) / work(first.orders)
    }
}

/// A book of `orders` orders, each for one accelerator anywhere in the same window, and half as many accelerators, each free
/// for `calendar_slots` slots: with 4, for the one order it can serve.
///
/// # Errors
/// Never, unless the names in this file are wrong.
pub fn plain(seed: u64, orders: u32, calendar_slots: u32) -> Result<Book, String> {
    let mut random = Random::new(seed, 21);
    let home: MemberCode = "DE".parse().map_err(|_| "no member")?;
    let supplies: Vec<Supply> =
        (0..OFFERS).map(|number| supply(&mut random, home, number, (orders, calendar_slots))).collect();
    let capacity = supplies.iter().map(|supply| u64::from(supply.market.peak())).sum();
    Ok(Book {
        params: book_params(&Params::default(), ChainId([9; 32])),
        class: Name::new("h100-80")?,
        epoch: 1,
        now: Slot(1),
        orders: (0..orders).map(|number| order(&mut random, home, number)).collect(),
        supplies,
        holds: Vec::new(),
        capacity,
        usage: BTreeMap::new(),
        debit_headroom: BTreeMap::new(),
        reference: None,
        eligibility: Default::default(),
    })
}

fn supply(random: &mut Random, home: MemberCode, number: u32, (orders, slots): (u32, u32)) -> Supply {
    Supply {
        offer: OfferId(numbered(number.into())),
        provider: OrganisationId(numbered(u64::from(number) | 1 << 40)),
        group: GroupId(numbered(u64::from(number) | 1 << 40)),
        sequence: number.into(),
        home,
        country: home,
        certificates: 0,
        tier: 0,
        node_size: 1,
        ask: Price(u64::from(random.between(1_200, 2_000)) * PRICE_TICK_UEUR),
        pool: Pool::Private,
        owner: None,
        market: Calendar::constant(Slot(1), Slot(slots.saturating_add(1)), (orders / 2 / OFFERS).max(1)),
        reserve: Calendar::default(),
        commercial_left: None,
    }
}

fn order(random: &mut Random, home: MemberCode, number: u32) -> Order {
    Order {
        request: RequestId(numbered(number.into())),
        organisation: OrganisationId(numbered(number.into())),
        group: GroupId(numbered(number.into())),
        sequence: number.into(),
        countries: CountrySet::default(),
        certificates: 0,
        tier_min: 0,
        quantity: 1,
        quantity_min: 1,
        slots: 4,
        start_min: Slot(1),
        start_max: Slot(4),
        limit: Price(u64::from(random.between(1_000, 3_000)) * PRICE_TICK_UEUR),
        usage: u64::from(random.between(0, 1_000_000)),
        admitted_epoch: 0,
        funding_home: home,
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

/// Clears the book `runs` times after one run that warms up, and says how much processor time this thread took.
///
/// # Errors
/// As [`plain`].
pub fn measure(seed: u64, orders: u32, calendar_slots: u32, runs: u32) -> Result<Point, String> {
    let book = plain(seed, orders, calendar_slots)?;
    let trades = clear(&book).trades.len() as u32;
    let times: Vec<f64> = (0..runs.max(1))
        .map(|_| {
            let before = thread_ms();
            let clearing = std::hint::black_box(clear(std::hint::black_box(&book)));
            let took = thread_ms() - before;
            drop(clearing);
            took
        })
        .collect();
    Ok(Point {
        orders,
        trades,
        runs,
        least_ms: times.iter().copied().fold(f64::INFINITY, f64::min),
        greatest_ms: times.iter().copied().fold(0.0, f64::max),
        median_ms: median(times),
    })
}

/// Processor time of this thread: what others do on the machine hardly moves it.
fn thread_ms() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
