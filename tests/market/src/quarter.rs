//! A quarter of the federation, batch by batch, through the ledger's own clearing.

use crate::demand::{DAY, FLEXIBILITY_MAX, LEAD_MAX, Request, SLOTS_MAX, requests};
use crate::federation::{Market, Organisation, markets, organisations};
use hansa_ledger::demand::book_params;
use hansa_ledger::id::{ChainId, GroupId};
use hansa_ledger::market::{
    Book, BookParams, Bucket, BucketPrice, Clearing, GroupShare, Hold, Lane, Order, Reason, Supply, Trade,
    clear,
};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Price;
use hansa_ledger::params::Params;
use hansa_ledger::time::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many days.
    pub days: u32,
    /// Slots between two batches.
    pub batch_slots: u32,
    /// How many organisations.
    pub organisations: u32,
    /// What is asked for, as a multiple of the capacity.
    pub load: f64,
    /// The reserve of public offers, in basis points.
    pub reserve_bps: u16,
    /// Whether the market lane serves the highest limit first, in place of who has had least.
    pub limit_first: bool,
    /// How many prices a batch tries.
    pub price_candidates: u16,
    /// The one class to simulate; all without it.
    pub class: Option<String>,
}

impl Scenario {
    /// The slot after the last.
    #[must_use]
    pub fn end(&self) -> Slot {
        Slot(self.days * DAY)
    }
}

/// A scenario drawn: everything but what the market does.
#[derive(Clone, Debug)]
pub struct World {
    /// What it is drawn from.
    pub scenario: Scenario,
    /// The rules, as the ledger's default parameters give them.
    pub params: Params,
    /// Who asks.
    pub organisations: Vec<Organisation>,
    /// What is offered.
    pub markets: Vec<Market>,
    /// What is asked for, by the time it is placed.
    pub requests: Vec<Request>,
}

impl World {
    /// Draws a scenario.
    ///
    /// # Errors
    /// Says what is wrong with the scenario, or with the table of systems.
    pub fn new(scenario: Scenario) -> Result<Self, String> {
        if scenario.days == 0 || scenario.batch_slots == 0 || scenario.organisations == 0 {
            return Err(
                "a quarter needs days, organisations and time between batches; give at least 1 of each"
                    .into(),
            );
        }
        // Far enough for the latest start of the last request and the longest lease.
        let horizon = Slot(scenario.end().0 + LEAD_MAX + FLEXIBILITY_MAX + SLOTS_MAX + 1);
        let mut markets = markets(scenario.seed, scenario.reserve_bps, horizon)?;
        if let Some(class) = &scenario.class {
            markets.retain(|market| market.class.as_str() == class);
            if markets.is_empty() {
                return Err(format!("no running system of the table has the class `{class}`"));
            }
        }
        let organisations = organisations(scenario.seed, scenario.organisations)?;
        let requests = requests(scenario.seed, scenario.days, scenario.load, &organisations, &markets);
        Ok(Self { scenario, params: Params::default(), organisations, markets, requests })
    }
}

/// A request that was served.
#[derive(Clone, Debug)]
pub struct Award {
    /// The index of the request.
    pub request: usize,
    /// The index of the offer within its market.
    pub supply: usize,
    /// What the batch decided.
    pub trade: Trade,
}

/// One price of one batch.
#[derive(Clone, Debug)]
pub struct PriceAt {
    /// The index of the market.
    pub market: usize,
    /// When the batch was.
    pub at: Slot,
    /// Bucket, price and volume.
    pub price: BucketPrice,
}

/// What the market did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Every award, in the order of the batches.
    pub awards: Vec<Award>,
    /// Every price, in the order of the batches.
    pub prices: Vec<PriceAt>,
    /// How many batches cleared a class.
    pub batches: u64,
    /// For each request that was never served, why, at its last batch.
    pub reasons: BTreeMap<usize, Reason>,
}

/// Runs the batches of a world.
///
/// # Errors
/// Names the award that a calendar has no room for: the clearing has sold what was not there.
pub fn run(world: &World) -> Result<Outcome, String> {
    let rules = BookParams {
        limit_first: world.scenario.limit_first,
        price_candidates: world.scenario.price_candidates,
        ..book_params(&world.params, ChainId([7; 32]))
    };
    let mut desks: Vec<Desk> = world.markets.iter().map(Desk::new).collect();
    let mut accounts = Accounts::new(world);
    let mut outcome =
        Outcome { awards: Vec::new(), prices: Vec::new(), batches: 0, reasons: BTreeMap::new() };
    let mut waiting = world.requests.iter().enumerate().peekable();
    for at in (0..=world.scenario.end().0).step_by(world.scenario.batch_slots as usize).map(Slot) {
        // A batch sees what was placed before it.
        while let Some((index, request)) = waiting.next_if(|(_, request)| request.placed < at) {
            desks[request.market].admit(index, request);
        }
        for (market, desk) in desks.iter_mut().enumerate() {
            desk.prune(Slot(at.0 + 1));
            if desk.open.is_empty() {
                continue;
            }
            let book = desk.book(world, &rules, &accounts, market, at);
            let clearing = clear(&book);
            outcome.batches += 1;
            desk.carry_out(world, &mut accounts, market, at, clearing, &mut outcome)?;
        }
    }
    Ok(outcome)
}

/// The state of one class between batches.
struct Desk {
    supplies: Vec<Supply>,
    capacity: u64,
    /// The open orders, with the indices of their requests.
    open: Vec<(usize, Order)>,
    holds: Vec<Hold>,
    reference: Option<Price>,
    epoch: u64,
}

impl Desk {
    fn new(market: &Market) -> Self {
        Self {
            supplies: market.supplies.clone(),
            capacity: u64::from(market.capacity),
            open: Vec::new(),
            holds: Vec::new(),
            reference: None,
            epoch: 0,
        }
    }

    fn admit(&mut self, index: usize, request: &Request) {
        self.open.push((index, Order { admitted_epoch: self.epoch, ..request.order.clone() }));
    }

    /// Forgets what has passed: time, leases, and requests whose window is over.
    fn prune(&mut self, now: Slot) {
        for supply in &mut self.supplies {
            supply.market.prune(now);
            supply.reserve.prune(now);
        }
        self.holds.retain(|hold| hold.end > now);
        self.open.retain(|(_, order)| order.start_max >= now);
    }

    fn book(&self, world: &World, rules: &BookParams, accounts: &Accounts, market: usize, at: Slot) -> Book {
        let mut usage = BTreeMap::new();
        let mut orders = Vec::with_capacity(self.open.len());
        for (_, order) in &self.open {
            let share: &GroupShare =
                usage.entry(order.group).or_insert_with(|| accounts.share(order.group, market, at));
            orders.push(Order {
                usage: share.other.max(part_of(share.accelerator_seconds, self.capacity)),
                aid_left: accounts.aid_left(order.group, &world.params),
                ..order.clone()
            });
        }
        let homes = world.organisations.iter().map(|organisation| organisation.home);
        Book {
            params: rules.clone(),
            class: world.markets[market].class.clone(),
            epoch: self.epoch,
            // The slot in hand has begun: a lease begins at the next one.
            now: Slot(at.0 + 1),
            orders,
            supplies: self.supplies.clone(),
            holds: self.holds.clone(),
            capacity: self.capacity,
            usage,
            // Debit caps are not part of this model: every member may owe what it likes.
            debit_headroom: homes.map(|home| (home, u128::MAX)).collect(),
            reference: self.reference,
            eligibility: Default::default(),
        }
    }

    /// Takes calendars, holds, usage and aid along as the ledger does at an award.
    fn carry_out(
        &mut self,
        world: &World,
        accounts: &mut Accounts,
        market: usize,
        at: Slot,
        clearing: Clearing,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        self.epoch += 1;
        self.reference = clearing.prices.first().map(|first| first.price).or(self.reference);
        outcome.prices.extend(clearing.prices.into_iter().map(|price| PriceAt { market, at, price }));
        let indices: BTreeMap<_, _> =
            self.open.iter().map(|(index, order)| (order.request, *index)).collect();
        for unmatched in clearing.unmatched {
            outcome.reasons.insert(indices[&unmatched.request], unmatched.reason);
        }
        let served: BTreeSet<_> = clearing.trades.iter().map(|trade| trade.request).collect();
        for trade in clearing.trades {
            let request = indices[&trade.request];
            let group = world.requests[request].order.group;
            let supply = self.supplies.iter().position(|supply| supply.offer == trade.offer);
            let supply = supply.ok_or("the clearing awards an offer that is not in the book")?;
            let credit = world.requests[request].order.credit;
            self.take(supply, &trade, group, credit)?;
            accounts.count(group, market, &trade, at);
            outcome.reasons.remove(&request);
            outcome.awards.push(Award { request, supply, trade });
        }
        self.open.retain(|(_, order)| !served.contains(&order.request));
        Ok(())
    }

    fn take(
        &mut self,
        supply: usize,
        trade: &Trade,
        group: GroupId,
        credit: Option<MemberCode>,
    ) -> Result<(), String> {
        let from = &mut self.supplies[supply];
        let reserved = trade.lane == Lane::Reserve || trade.released;
        let calendar = if reserved { &mut from.reserve } else { &mut from.market };
        calendar
            .take(trade.start, trade.slots, trade.quantity)
            .map_err(|error| format!("an award was oversold: {error}"))?;
        self.holds.push(Hold {
            group,
            start: trade.start,
            end: Slot(trade.start.0 + trade.slots),
            quantity: trade.quantity,
            reserve: credit.filter(|_| trade.lane == Lane::Reserve),
        });
        Ok(())
    }
}

/// What groups have used, which decays by the day, and the aid they had.
struct Accounts {
    decay_q32: u32,
    slot_s: u32,
    capacities: Vec<u64>,
    /// Of each group, per market: accelerator-seconds as of a day.
    usage: BTreeMap<GroupId, BTreeMap<usize, (u64, u32)>>,
    aid: BTreeMap<GroupId, u128>,
}

impl Accounts {
    fn new(world: &World) -> Self {
        Self {
            decay_q32: world.params.usage_decay_q32,
            slot_s: world.params.slot_s,
            capacities: world.markets.iter().map(|market| u64::from(market.capacity)).collect(),
            usage: BTreeMap::new(),
            aid: BTreeMap::new(),
        }
    }

    fn decayed(&self, (used, since): (u64, u32), day: u32) -> u64 {
        (since..day).fold(used, |left, _| ((u128::from(left) * u128::from(self.decay_q32)) >> 32) as u64)
    }

    fn share(&self, group: GroupId, market: usize, at: Slot) -> GroupShare {
        let day = at.0 / DAY;
        let mut share = GroupShare::default();
        for (of, account) in self.usage.get(&group).into_iter().flatten() {
            let used = self.decayed(*account, day);
            if *of == market {
                share.accelerator_seconds = used;
            } else {
                share.other = share.other.max(part_of(used, self.capacities[*of]));
            }
        }
        share
    }

    fn aid_left(&self, group: GroupId, params: &Params) -> Option<u128> {
        let had = self.aid.get(&group).copied().unwrap_or(0);
        (params.aid_ceiling > 0).then(|| u128::from(params.aid_ceiling).saturating_sub(had))
    }

    /// Usage counts from the award, in both lanes.
    fn count(&mut self, group: GroupId, market: usize, trade: &Trade, at: Slot) {
        let day = at.0 / DAY;
        let before = self.usage.get(&group).and_then(|of| of.get(&market)).copied().unwrap_or((0, day));
        let seconds = u64::from(trade.quantity) * u64::from(trade.slots) * u64::from(self.slot_s);
        let used = self.decayed(before, day) + seconds;
        self.usage.entry(group).or_default().insert(market, (used, day));
        *self.aid.entry(group).or_default() += u128::from(trade.aid);
    }
}

fn part_of(used: u64, capacity: u64) -> u64 {
    (u128::from(used) * 1_000_000_000 / u128::from(capacity.max(1))) as u64
}

/// What buckets are called in tables.
#[must_use]
pub fn bucket_name(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Spot => "spot",
        Bucket::Near => "near",
        Bucket::Forward => "forward",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger::id::{OfferId, RequestId};

    #[test]
    fn usage_halves_in_fourteen_days_counts_per_class_and_follows_the_group() {
        let scenario = Scenario {
            seed: 1,
            days: 1,
            batch_slots: 96,
            organisations: 30,
            load: 0.01,
            reserve_bps: 0,
            limit_first: false,
            price_candidates: 1,
            class: None,
        };
        let world = World::new(scenario).unwrap();
        let mut accounts = Accounts::new(&world);
        let trade = Trade {
            request: RequestId([1; 32]),
            offer: OfferId([1; 32]),
            lane: Lane::Reserve,
            bucket: Bucket::Spot,
            released: false,
            quantity: 10,
            start: Slot(1),
            slots: 4,
            price: Price(1),
            aid: 7,
        };
        let (group, other) = (GroupId([1; 32]), GroupId([2; 32]));
        accounts.count(group, 0, &trade, Slot(0));
        accounts.count(group, 0, &trade, Slot(0));
        let seconds =
            |market: usize, day: u32| accounts.share(group, market, Slot(day * DAY)).accelerator_seconds;
        assert_eq!((seconds(0, 0), seconds(1, 0)), (72_000, 0));
        assert!((35_980..=36_000).contains(&seconds(0, 14)), "{}", seconds(0, 14));
        let elsewhere = accounts.share(group, 1, Slot(0)).other;
        assert_eq!(elsewhere, 72_000 * 1_000_000_000 / u64::from(world.markets[0].capacity));
        assert_eq!(accounts.share(other, 0, Slot(0)), GroupShare::default());
        let ceiling = u128::from(world.params.aid_ceiling);
        assert_eq!(accounts.aid_left(group, &world.params), Some(ceiling - 14));
    }
}
