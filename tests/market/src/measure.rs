//! What came of a quarter, in numbers.

use crate::demand::{DAY, HOUR, Request};
use crate::federation::CLASSES;
use crate::quarter::{Award, Outcome, World};
use hansa_ledger::market::{Lane, Reason};
use hansa_ledger::row::OrganisationClass;
use hansa_ledger::time::Slot;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One quarter, measured. Hours are accelerator-hours within the quarter; shares are of 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Requests placed.
    pub requests: u64,
    /// Requests served.
    pub awards: u64,
    /// Times that a class was cleared.
    pub batches: u64,
    /// Accelerator-hours there were.
    pub hours_offered: f64,
    /// Accelerator-hours leased.
    pub hours_leased: f64,
    /// The latter as a share of the former.
    pub utilisation: f64,
    /// Share of the hours asked for by class of organisation, in the order of the tables.
    pub asked_by_class: [f64; 5],
    /// Share of the leased hours by class of organisation, in the order of the tables.
    pub hours_by_class: [f64; 5],
    /// Share of the decided requests that were served, by class of organisation.
    pub success_by_class: [f64; 5],
    /// Share of the organisations that asked and were served at least once, by class of organisation.
    pub reached_by_class: [f64; 5],
    /// Share of the decided requests that were served, by quartile of accelerator-hours asked for.
    pub success_by_size: [f64; 4],
    /// The largest request of each quartile, in accelerator-hours.
    pub size_limits: [f64; 4],
    /// Median hours from placing to start, requests for now only, and how long it was by quartile of size.
    pub wait_now: f64,
    /// The same by quartile of size.
    pub wait_now_by_size: [f64; 4],
    /// The same by lane: the reserve, the market.
    pub wait_now_by_lane: [f64; 2],
    /// Median hours from placing to start, all awards.
    pub wait_all: f64,
    /// The sum of squared shares of groups in the leased hours, times 10,000; mean over resource classes.
    pub concentration: f64,
    /// The largest share of one group in the leased hours of a resource class; mean over resource classes.
    pub largest_share: f64,
    /// Accelerator-hours of the reserve.
    pub reserve_hours: f64,
    /// Share of them that the reserve lane allocated.
    pub reserve_used: f64,
    /// Share of them that was released and leased.
    pub reserve_released: f64,
    /// Aid booked, in EUR.
    pub aid_eur: f64,
    /// What each resource class did.
    pub markets: Vec<MarketFigures>,
    /// Why requests were never served, as shares of all that were decided.
    pub reasons: BTreeMap<String, f64>,
}

/// One resource class, measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MarketFigures {
    /// The resource class.
    pub class: String,
    /// Accelerators.
    pub capacity: u32,
    /// Leased of what there was.
    pub utilisation: f64,
    /// The lowest ask, in EUR.
    pub ask: f64,
    /// Mean price of the market lane in EUR, by volume.
    pub price: f64,
    /// Concentration, as above.
    pub concentration: f64,
    /// Mean price of each day in EUR, by volume; none on days without trade.
    pub price_by_day: Vec<Option<f64>>,
    /// Leased of what there was, by day.
    pub utilisation_by_day: Vec<f64>,
}

/// Accelerator-slots of an award between two slots.
#[must_use]
pub fn within(award: &Award, from: Slot, until: Slot) -> u64 {
    let start = award.trade.start.max(from);
    let end = Slot(award.trade.start.0 + award.trade.slots).min(until);
    u64::from(end.0.saturating_sub(start.0)) * u64::from(award.trade.quantity)
}

/// Measures a quarter.
#[must_use]
pub fn figures(world: &World, outcome: &Outcome) -> Figures {
    let end = world.scenario.end();
    let hours = |award: &Award| within(award, Slot(0), end) as f64 / f64::from(HOUR);
    let total: f64 = outcome.awards.iter().map(hours).sum();
    let offered: f64 =
        world.markets.iter().map(|market| f64::from(market.capacity) * f64::from(end.0 / HOUR)).sum();
    let lane = |chosen: fn(&Award) -> bool| {
        outcome.awards.iter().filter(|award| chosen(award)).map(hours).fold(0.0, |sum, hours| sum + hours)
    };
    let taken: f64 = lane(|award| award.trade.lane == Lane::Reserve);
    let released: f64 = lane(|award| award.trade.released);
    let reserve: f64 = reserve_hours(world);
    let markets: Vec<MarketFigures> =
        (0..world.markets.len()).map(|market| market_figures(world, outcome, market)).collect();
    let counted = markets.len().max(1) as f64;
    let served: BTreeSet<usize> = outcome.awards.iter().map(|award| award.request).collect();
    let sizes = Sizes::new(world);
    let decided = Decided::new(world, outcome, &served, &sizes);
    let (wait_now_by_size, wait_now_by_lane, wait_all) = waits(world, outcome, &sizes);
    Figures {
        requests: world.requests.len() as u64,
        awards: outcome.awards.len() as u64,
        batches: outcome.batches,
        hours_offered: offered,
        hours_leased: total,
        utilisation: ratio(total, offered),
        asked_by_class: asked_by_class(world),
        hours_by_class: CLASSES.map(|class| {
            let those = outcome.awards.iter().filter(|award| world.requests[award.request].class == class);
            ratio(those.map(hours).sum(), total)
        }),
        success_by_class: decided.by_class.map(success),
        reached_by_class: reached(world, &served),
        success_by_size: decided.by_size.map(success),
        size_limits: sizes.limits.map(|size| size as f64 / f64::from(HOUR)),
        wait_now: median(wait_now_by_lane.concat()),
        wait_now_by_size,
        wait_now_by_lane: wait_now_by_lane.map(median),
        wait_all,
        concentration: markets.iter().map(|market| market.concentration).sum::<f64>() / counted,
        largest_share: (0..markets.len()).map(|market| shares(world, outcome, market).1).sum::<f64>()
            / counted,
        reserve_hours: reserve,
        reserve_used: ratio(taken, reserve),
        reserve_released: ratio(released, reserve),
        aid_eur: outcome.awards.iter().map(|award| award.trade.aid as f64).sum::<f64>() / 1e6,
        markets,
        reasons: decided.reasons,
    }
}

/// The requests that were decided within the quarter: served, or their window over.
struct Decided {
    /// Asked and served, by class of organisation.
    by_class: [(u64, u64); 5],
    /// Asked and served, by quartile of size.
    by_size: [(u64, u64); 4],
    /// Why the others were not served, as shares of all.
    reasons: BTreeMap<String, f64>,
}

impl Decided {
    fn new(world: &World, outcome: &Outcome, served: &BTreeSet<usize>, sizes: &Sizes) -> Self {
        let end = world.scenario.end();
        let mut decided = Self { by_class: [(0, 0); 5], by_size: [(0, 0); 4], reasons: BTreeMap::new() };
        for (index, request) in world.requests.iter().enumerate() {
            let won = served.contains(&index);
            if !won && request.order.start_max > end {
                continue;
            }
            let of_class = &mut decided.by_class[place(request.class)];
            for (asked, got) in [of_class, &mut decided.by_size[sizes.quartile(request)]] {
                *asked += 1;
                *got += u64::from(won);
            }
            if !won {
                let reason = outcome.reasons.get(&index).copied().unwrap_or(Reason::WindowPassed);
                *decided.reasons.entry(reason_name(reason)).or_default() += 1.0;
            }
        }
        let all: u64 = decided.by_class.iter().map(|(asked, _)| asked).sum();
        decided.reasons.values_mut().for_each(|count| *count = ratio(*count, all as f64));
        decided
    }
}

fn success((asked, got): (u64, u64)) -> f64 {
    ratio(got as f64, asked as f64)
}

/// Part of whole; 0 where there is no whole.
#[must_use]
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The middle of some numbers; 0 for none.
#[must_use]
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

fn place(class: OrganisationClass) -> usize {
    CLASSES.iter().position(|one| *one == class).unwrap_or(0)
}

fn reason_name(reason: Reason) -> String {
    let json = serde_json::to_string(&reason).unwrap_or_default();
    json.trim_matches('"').to_owned()
}

fn reserve_hours(world: &World) -> f64 {
    let supplies = world.markets.iter().flat_map(|market| &market.supplies);
    let slots =
        supplies.map(|supply| f64::from(supply.reserve.free_at(Slot(0))) * f64::from(world.scenario.end().0));
    slots.sum::<f64>() / f64::from(HOUR)
}

/// The quartiles of what requests ask for.
struct Sizes {
    limits: [u64; 4],
}

impl Sizes {
    fn new(world: &World) -> Self {
        let mut sizes: Vec<u64> = world.requests.iter().map(Request::size).collect();
        sizes.sort_unstable();
        let last = sizes.len().saturating_sub(1);
        Self { limits: [1, 2, 3, 4].map(|part| sizes.get(last * part / 4).copied().unwrap_or(0)) }
    }

    fn quartile(&self, request: &Request) -> usize {
        self.limits.iter().position(|limit| request.size() <= *limit).unwrap_or(3)
    }
}

/// Hours from placing to start: the medians of requests for now by quartile, all of them by lane, and the median of all awards.
fn waits(world: &World, outcome: &Outcome, sizes: &Sizes) -> ([f64; 4], [Vec<f64>; 2], f64) {
    let (mut by_size, mut by_lane): ([Vec<f64>; 4], [Vec<f64>; 2]) = Default::default();
    let mut all = Vec::new();
    for award in &outcome.awards {
        let request = &world.requests[award.request];
        let hours = f64::from(award.trade.start.0 - request.placed.0) / f64::from(HOUR);
        all.push(hours);
        if request.order.start_min.0 == request.placed.0 + 1 {
            by_size[sizes.quartile(request)].push(hours);
            by_lane[usize::from(award.trade.lane == Lane::Market)].push(hours);
        }
    }
    (by_size.map(median), by_lane, median(all))
}

fn asked_by_class(world: &World) -> [f64; 5] {
    let total: u64 = world.requests.iter().map(Request::size).sum();
    CLASSES.map(|class| {
        let those = world.requests.iter().filter(|request| request.class == class);
        ratio(those.map(Request::size).sum::<u64>() as f64, total as f64)
    })
}

fn reached(world: &World, served: &BTreeSet<usize>) -> [f64; 5] {
    CLASSES.map(|class| {
        let those = || world.requests.iter().enumerate().filter(move |(_, request)| request.class == class);
        let asked: BTreeSet<usize> = those().map(|(_, request)| request.organisation).collect();
        let got = those().filter(|(index, _)| served.contains(index));
        let got: BTreeSet<usize> = got.map(|(_, request)| request.organisation).collect();
        ratio(got.len() as f64, asked.len() as f64)
    })
}

/// Concentration of the leased hours of a market over groups, times 10,000, and the largest share.
fn shares(world: &World, outcome: &Outcome, market: usize) -> (f64, f64) {
    let mut groups: BTreeMap<_, f64> = BTreeMap::new();
    for award in awards_of(world, outcome, market) {
        let slots = within(award, Slot(0), world.scenario.end()) as f64;
        *groups.entry(world.requests[award.request].order.group).or_default() += slots;
    }
    let total: f64 = groups.values().sum();
    let shares = groups.values().map(|slots| ratio(*slots, total));
    let squares: f64 = shares.clone().map(|share| share * share).sum();
    (squares * 10_000.0, shares.fold(0.0, f64::max))
}

fn awards_of<'a>(world: &'a World, outcome: &'a Outcome, market: usize) -> impl Iterator<Item = &'a Award> {
    outcome.awards.iter().filter(move |award| world.requests[award.request].market == market)
}

fn market_figures(world: &World, outcome: &Outcome, index: usize) -> MarketFigures {
    let market = &world.markets[index];
    let days = world.scenario.days as usize;
    let mut traded = vec![(0.0, 0.0); days];
    for price in outcome.prices.iter().filter(|price| price.market == index) {
        // The batch at the end of the last day counts to that day.
        let day = (price.at.0.saturating_sub(1) / DAY) as usize;
        let volume = price.price.volume as f64;
        traded[day].0 += price.price.price.0 as f64 / 1e6 * volume;
        traded[day].1 += volume;
    }
    let mut leased = vec![0u64; days];
    for award in awards_of(world, outcome, index) {
        let last = (award.trade.start.0 + award.trade.slots - 1) / DAY;
        for day in award.trade.start.0 / DAY..=last.min(world.scenario.days - 1) {
            leased[day as usize] += within(award, Slot(day * DAY), Slot((day + 1) * DAY));
        }
    }
    let per_day = f64::from(market.capacity) * f64::from(DAY);
    let (value, volume) = traded.iter().fold((0.0, 0.0), |sum, day| (sum.0 + day.0, sum.1 + day.1));
    let asks = market.supplies.iter().map(|supply| supply.ask.0 as f64 / 1e6);
    MarketFigures {
        class: market.class.to_string(),
        capacity: market.capacity,
        utilisation: ratio(leased.iter().sum::<u64>() as f64, per_day * days as f64),
        ask: asks.fold(f64::INFINITY, f64::min),
        price: ratio(value, volume),
        concentration: shares(world, outcome, index).0,
        price_by_day: traded.iter().map(|(value, volume)| (*volume > 0.0).then(|| value / volume)).collect(),
        utilisation_by_day: leased.iter().map(|slots| *slots as f64 / per_day).collect(),
    }
}
