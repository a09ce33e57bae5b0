//! Small and large random books of one class, for questions about single buyers.

use crate::federation::numbered;
use crate::random::Random;
use hansa_ledger::demand::book_params;
use hansa_ledger::id::{ChainId, GroupId, OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Book, BookParams, Calendar, Clearing, LaneHint, Order, Supply};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::{PRICE_TICK_UEUR, Price};
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use std::collections::BTreeMap;

/// The members that play a part.
const HOMES: [&str; 4] = ["DE", "FI", "IT", "EE"];

/// A day, which is what all of it is about.
const DAY: u32 = 96;

/// How many requests and offers an instance has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 3 to 12 requests, 1 to 4 offers.
    Small,
    /// 80 to 120 requests, 6 to 10 offers.
    Large,
}

/// How the market lane ranks and prices.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it is called in tables.
    pub name: &'static str,
    /// Whether the highest limit goes first, in place of the lowest usage.
    pub limit_first: bool,
    /// Where between its bounds the price lies, in basis points.
    pub k_bps: u16,
}

/// The rules that are compared; the last is the one in force.
pub const RULES: [Rule; 3] = [
    Rule { name: "highest limit first, k = 0.5", limit_first: true, k_bps: 5_000 },
    Rule { name: "highest limit first, k = 0", limit_first: true, k_bps: 0 },
    Rule { name: "lowest usage first, k = 0", limit_first: false, k_bps: 0 },
];

impl Rule {
    /// The book under this rule.
    #[must_use]
    pub fn on(&self, book: &Book) -> Book {
        let params = BookParams { limit_first: self.limit_first, k_bps: self.k_bps, ..book.params.clone() };
        Book { params, ..book.clone() }
    }
}

/// A book of random requests and offers with the ledger's default parameters, but for a cap per group that suits few groups.
///
/// # Errors
/// Never, unless the names in this file are wrong.
pub fn book(random: &mut Random, size: Size) -> Result<Book, String> {
    let (requests, offers, nodes) = match size {
        Size::Small => (random.between(3, 12), random.between(1, 4), 4),
        Size::Large => (random.between(80, 120), random.between(6, 10), 12),
    };
    let homes = HOMES.map(|home| home.parse::<MemberCode>());
    let homes: Vec<MemberCode> = homes.into_iter().collect::<Result<_, _>>().map_err(|_| "no member")?;
    let supplies: Vec<Supply> =
        (0..u64::from(offers)).map(|number| supply(random, &homes, number, nodes)).collect();
    let orders = (0..u64::from(requests)).map(|number| order(random, &homes, number)).collect();
    let params = BookParams { cap_bps: 2_500, ..book_params(&Params::default(), ChainId([9; 32])) };
    let installed = supplies.iter().map(|supply| u64::from(supply.market.plus(&supply.reserve).peak()));
    Ok(Book {
        params,
        class: Name::new("h100-80")?,
        epoch: random.between(1, 1_000).into(),
        now: Slot(1),
        orders,
        capacity: installed.sum(),
        supplies,
        holds: Vec::new(),
        usage: BTreeMap::new(),
        debit_headroom: homes.iter().map(|home| (*home, u128::MAX)).collect(),
        reference: None,
        eligibility: Default::default(),
    })
}

fn supply(random: &mut Random, homes: &[MemberCode], number: u64, nodes: u32) -> Supply {
    let node_size = [1, 2, 4][random.between(0, 2) as usize];
    let accelerators = node_size * random.between(2, nodes);
    let home = homes[random.between(0, 3) as usize];
    let public = random.chance(0.6);
    let gross = Calendar::constant(Slot(1), Slot(1 + DAY / 2 + random.between(0, DAY / 2)), accelerators);
    let reserve = if public { gross.reserved(2_000, node_size) } else { Calendar::default() };
    Supply {
        offer: OfferId(numbered(number)),
        provider: OrganisationId(numbered(10_000 + number)),
        group: GroupId(numbered(10_000 + number)),
        sequence: number,
        home,
        country: home,
        certificates: 0,
        tier: 0,
        node_size,
        ask: price(random, 800, 2_000),
        pool: if public { Pool::Public } else { Pool::Private },
        owner: public.then_some(home),
        market: gross.minus(&reserve),
        reserve,
        commercial_left: None,
    }
}

fn order(random: &mut Random, homes: &[MemberCode], number: u64) -> Order {
    let home = homes[random.between(0, 3) as usize];
    let quantity = (random.log_normal(5.0, 0.8).round() as u32).clamp(1, 24);
    let start_min = Slot(random.between(1, DAY / 4));
    let granted = random.chance(0.3);
    let anywhere = random.chance(0.8);
    let countries = if anywhere { CountrySet::default() } else { pair(random, homes) };
    Order {
        request: RequestId(numbered(number)),
        organisation: OrganisationId(numbered(number)),
        group: GroupId(numbered(number)),
        sequence: number,
        countries,
        certificates: 0,
        tier_min: 0,
        quantity,
        quantity_min: if random.chance(0.4) { quantity.div_ceil(2) } else { quantity },
        slots: random.between(2, 24),
        start_min,
        start_max: Slot(start_min.0 + random.between(0, DAY / 4)),
        limit: price(random, 700, 3_500),
        usage: u64::from(random.between(0, 100_000_000)),
        admitted_epoch: 0,
        funding_home: home,
        own_group_excluded: granted,
        lane: LaneHint::Any,
        eligible: granted,
        credit: granted.then_some(home),
        interruptible: false,
        commercial: false,
        reserve_cap_bps: 10_000,
        aid_left: None,
    }
}

fn pair(random: &mut Random, homes: &[MemberCode]) -> CountrySet {
    let first = random.between(0, 3) as usize;
    CountrySet::of([homes[first], homes[(first + 1) % homes.len()]]).unwrap_or_default()
}

fn price(random: &mut Random, low: u32, high: u32) -> Price {
    Price(u64::from(random.between(low, high)) * PRICE_TICK_UEUR)
}

/// The limit times `factor`, on a tick.
#[must_use]
pub fn scaled(limit: Price, factor: f64) -> Price {
    Price((limit.0 as f64 * factor / PRICE_TICK_UEUR as f64).round() as u64 * PRICE_TICK_UEUR)
}

/// What some requests gain in a clearing when each is worth its limit in `truth`, in uEUR times accelerator-slots.
#[must_use]
pub fn surplus(truth: &Book, clearing: &Clearing, requests: &[RequestId]) -> i128 {
    let trades = clearing.trades.iter().filter(|trade| requests.contains(&trade.request));
    let gains = trades.map(|trade| {
        let order = truth.orders.iter().find(|order| order.request == trade.request);
        let value = order.map_or(0, |order| i128::from(order.limit.0));
        (value - i128::from(trade.price.0)) * i128::from(trade.quantity) * i128::from(trade.slots)
    });
    gains.sum()
}
