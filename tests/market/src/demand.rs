//! Synthetic demand: who asks for what, when, and what they would pay.

use crate::federation::{CLASSES, Market, Organisation, habit, numbered};
use crate::random::Random;
use hansa_ledger::id::RequestId;
use hansa_ledger::market::{LaneHint, Order};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::{PRICE_TICK_UEUR, Price};
use hansa_ledger::row::OrganisationClass;
use hansa_ledger::time::Slot;

/// Slots of 900 s in an hour.
pub const HOUR: u32 = 4;

/// Slots in a day.
pub const DAY: u32 = 24 * HOUR;

/// The longest lease, in slots.
pub const SLOTS_MAX: u32 = 30 * DAY;

/// The farthest start of a request after it is placed, in slots.
pub const LEAD_MAX: u32 = 30 * DAY;

/// The longest window of starts, in slots.
pub const FLEXIBILITY_MAX: u32 = 14 * DAY;

/// The part of requests that are short and may be interrupted.
const SHORT: f64 = 0.25;

/// A request of the simulation.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it is placed.
    pub placed: Slot,
    /// The index of who asks.
    pub organisation: usize,
    /// What kind of organisation that is.
    pub class: OrganisationClass,
    /// The index of the market it asks in.
    pub market: usize,
    /// The order as the batch sees it; usage and epoch are those of the batch.
    pub order: Order,
}

impl Request {
    /// What it asks for, in accelerator-slots.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.order.quantity) * u64::from(self.order.slots)
    }
}

/// Draws the requests of `days` days, by the time they are placed: in each market as many as ask together for `load` times
/// its capacity.
#[must_use]
pub fn requests(
    seed: u64,
    days: u32,
    load: f64,
    people: &[Organisation],
    markets: &[Market],
) -> Vec<Request> {
    let mut requests = Vec::new();
    for (index, market) in markets.iter().enumerate() {
        let mut draw = Draw::new(seed, people, market, index);
        let goal = load * f64::from(market.capacity) * f64::from(days * DAY);
        let mut asked = 0.0;
        while asked < goal {
            let request = draw.request(days, requests.len() as u64);
            asked += request.size() as f64;
            requests.push(request);
        }
    }
    in_order(&mut requests);
    requests
}

/// Sorts requests by the time they are placed, and then by their ids.
pub fn in_order(requests: &mut [Request]) {
    requests.sort_by_key(|request| (request.placed, request.order.request));
}

/// What the requests of one market are drawn from.
struct Draw<'a> {
    random: Random,
    people: &'a [Organisation],
    /// The organisations of each class, and how much they ask for.
    of_class: [(Vec<usize>, Vec<f64>); 5],
    market: &'a Market,
    index: usize,
}

impl<'a> Draw<'a> {
    fn new(seed: u64, people: &'a [Organisation], market: &'a Market, index: usize) -> Self {
        let of_class = CLASSES.map(|class| {
            let those = people.iter().enumerate().filter(|(_, one)| one.class == class);
            those.map(|(at, one)| (at, one.activity)).unzip()
        });
        Self { random: Random::new(seed, 100 + index as u64), people, of_class, market, index }
    }

    fn request(&mut self, days: u32, number: u64) -> Request {
        let class = self.random.weighted(&CLASSES.map(|class| habit(class).requests));
        let (who, weights) = &self.of_class[class];
        let class = CLASSES[class];
        // A federation of a few organisations may lack a class: then anybody asks in its place.
        let organisation = match who.is_empty() {
            true => self.random.between(0, self.people.len() as u32 - 1) as usize,
            false => who[self.random.weighted(weights)],
        };
        let person = self.people[organisation];
        let placed = Slot(self.random.between(0, days * DAY - 1));
        let short = self.random.chance(SHORT);
        let quantity = self.quantity(habit(class).quantity);
        let hours = if short { 2.0 } else { 16.0 };
        let slots = self.random.log_normal(hours * f64::from(HOUR), if short { 0.5 } else { 1.0 });
        let slots = (slots.round() as u32).clamp(1, if short { 4 * HOUR } else { SLOTS_MAX });
        let start_min = Slot(placed.0 + 1 + self.lead());
        let day = f64::from(DAY);
        let flexibility = (self.random.log_normal(day, 1.0) as u32).clamp(2 * HOUR, FLEXIBILITY_MAX);
        let granted = self.random.chance(habit(class).granted);
        let least = if self.random.chance(0.3) { quantity.div_ceil(2) } else { quantity };
        let limit = self.random.log_normal(habit(class).limit, 0.35) * self.market.percent as f64 / 100.0;
        let order = Order {
            request: RequestId(numbered((self.index as u64) << 48 | number)),
            organisation: person.id,
            group: person.group,
            sequence: number,
            countries: self.countries(),
            certificates: 0,
            tier_min: 0,
            quantity,
            quantity_min: least,
            slots,
            start_min,
            start_max: Slot(start_min.0 + flexibility),
            limit: on_tick(limit),
            usage: 0,
            admitted_epoch: 0,
            funding_home: person.home,
            own_group_excluded: granted,
            lane: LaneHint::Any,
            // The habits grant nothing to large companies, the one class that the reserve is not open to.
            eligible: granted,
            credit: granted.then_some(person.home),
            interruptible: short,
            commercial: person.class == OrganisationClass::Large,
            reserve_cap_bps: 10_000,
            aid_left: None,
        };
        Request { placed, organisation, class: person.class, market: self.index, order }
    }

    /// Whole nodes above one node, and never more than one group may hold: the ledger admits no such request.
    fn quantity(&mut self, median: f64) -> u32 {
        let node = self.market.supplies.iter().map(|supply| supply.node_size).max().unwrap_or(1).max(1);
        let most = (self.market.capacity / 10).max(node);
        let drawn = (self.random.log_normal(median, 1.2).round() as u32).clamp(1, most);
        if drawn <= node { drawn } else { (drawn.div_ceil(node) * node).min(most / node * node) }
    }

    /// Seven of ten start at once, two in a week, one in a month.
    fn lead(&mut self) -> u32 {
        match self.random.weighted(&[0.7, 0.2, 0.1]) {
            0 => 0,
            1 => self.random.between(DAY + 1, 7 * DAY),
            _ => self.random.between(7 * DAY + 1, LEAD_MAX),
        }
    }

    /// Seventeen of twenty go anywhere; the others to half of the countries that have the class.
    fn countries(&mut self) -> CountrySet {
        let mut homes: Vec<MemberCode> = self.market.supplies.iter().map(|supply| supply.country).collect();
        homes.sort_unstable();
        homes.dedup();
        if self.random.chance(0.85) || homes.len() < 2 {
            return CountrySet::default();
        }
        let first = self.random.between(0, homes.len() as u32 - 1) as usize;
        let chosen = homes.iter().cycle().skip(first).take(homes.len().div_ceil(2)).copied();
        CountrySet::of(chosen).unwrap_or_default()
    }
}

fn on_tick(eur: f64) -> Price {
    Price((eur * 1_000.0).round() as u64 * PRICE_TICK_UEUR)
}
