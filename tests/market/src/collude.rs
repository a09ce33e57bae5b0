//! What splitting an organisation, and agreeing between organisations, gains.

use crate::demand::{DAY, HOUR, Request, in_order};
use crate::federation::{Organisation, numbered};
use crate::instance::{RULES, Rule, Size, book, surplus};
use crate::measure::{median, ratio, within};
use crate::misreport::{FACTORS, said};
use crate::quarter::{Outcome, Scenario, World, run};
use crate::random::Random;
use hansa_ledger::id::{GroupId, OrganisationId, RequestId};
use hansa_ledger::market::{Lane, LaneHint, Order, clear};
use hansa_ledger::member::{CountrySet, MemberCode};
use hansa_ledger::money::Price;
use hansa_ledger::params::Params;
use hansa_ledger::row::OrganisationClass;
use hansa_ledger::time::Slot;
use serde::Serialize;

/// How many organisations one is split into, and how many agree.
const TEN: usize = 10;

/// What each of the actor's requests asks for.
const QUANTITY: u32 = 16;

/// For how long.
const SLOTS: u32 = 8 * HOUR;

/// What it pays at most: 2.80 EUR for an H100, half of it for the class of the study.
const LIMIT: Price = Price(1_400_000);

/// The class of the study, which six centres of five members offer.
const CLASS: &str = "a100-40";

/// How an actor appears on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Guise {
    /// One organisation.
    One,
    /// Ten organisations of one beneficial-owner group.
    SameGroup,
    /// Ten organisations that claim to have nothing to do with each other.
    Strangers,
}

impl Guise {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::One, Self::SameGroup, Self::Strangers];

    /// What it is called in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one organisation",
            Self::SameGroup => "ten organisations, one group",
            Self::Strangers => "ten organisations, ten groups",
        }
    }
}

/// What an actor got in one guise, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Split {
    /// What it asks for, as a share of the capacity of the class.
    pub asks: f64,
    /// How it appears.
    pub guise: Guise,
    /// What it got, as a share of the capacity of the class, the mean over seeds.
    pub got: f64,
    /// The least and the greatest over the seeds.
    pub got_range: [f64; 2],
    /// Of what it asked for, the share it got.
    pub success: f64,
    /// Of what it got, the share out of the reserve.
    pub reserve: f64,
    /// What it paid, in EUR per accelerator-hour.
    pub price: f64,
    /// Median hours from placing to start.
    pub wait: f64,
}

/// Lets an actor ask for a part of a class for 30 days in each guise, among the same others, for each of the seeds.
///
/// # Errors
/// As [`World::new`] and [`run`].
pub fn split(seeds: std::ops::Range<u64>, organisations: u32, days: u32) -> Result<Vec<Split>, String> {
    let mut rows = Vec::new();
    for asks in [0.05, 0.4] {
        for guise in Guise::ALL {
            let runs: Result<Vec<Share>, String> = seeds
                .clone()
                .map(|seed| {
                    let world = world(seed, organisations, days, asks, guise)?;
                    Ok(share(&world, &run(&world)?))
                })
                .collect();
            rows.push(summary(asks, guise, &runs?));
        }
    }
    Ok(rows)
}

/// What the actor got in one run, in accelerator-slots.
struct Share {
    offered: f64,
    asked: f64,
    got: f64,
    reserve: f64,
    paid: f64,
    waits: Vec<f64>,
}

fn summary(asks: f64, guise: Guise, runs: &[Share]) -> Split {
    let sum = |of: fn(&Share) -> f64| runs.iter().map(of).sum::<f64>();
    let got = sum(|run| run.got);
    let each = runs.iter().map(|run| ratio(run.got, run.offered));
    Split {
        asks,
        guise,
        got: ratio(got, sum(|run| run.offered)),
        got_range: [each.clone().fold(f64::INFINITY, f64::min), each.fold(0.0, f64::max)],
        success: ratio(got, sum(|run| run.asked)),
        reserve: ratio(sum(|run| run.reserve), got),
        price: ratio(sum(|run| run.paid), got),
        wait: median(runs.iter().flat_map(|run| run.waits.clone()).collect()),
    }
}

fn world(seed: u64, organisations: u32, days: u32, asks: f64, guise: Guise) -> Result<World, String> {
    let mut world = World::new(Scenario {
        seed,
        days,
        batch_slots: HOUR,
        organisations,
        load: 1.4,
        reserve_bps: 2_000,
        limit_first: false,
        price_candidates: Params::default().price_candidates,
        class: Some(CLASS.into()),
    })?;
    let home: MemberCode = "DE".parse().map_err(|_| "no member")?;
    let first = world.organisations.len();
    let heads = if guise == Guise::One { 1 } else { TEN };
    for head in 0..heads {
        let group = if guise == Guise::Strangers { head } else { 0 };
        world.organisations.push(Organisation {
            id: OrganisationId(numbered(5_000_000 + head as u64)),
            group: GroupId(numbered(5_000_000 + group as u64)),
            home,
            class: OrganisationClass::Sme,
            activity: 0.0,
        });
    }
    let capacity = f64::from(world.markets[0].capacity) * f64::from(days * DAY);
    let count = (asks * capacity / f64::from(QUANTITY * SLOTS)) as u64;
    let mut random = Random::new(seed, 31);
    for number in 0..count {
        let organisation = first + (number as usize) % heads;
        let person = world.organisations[organisation];
        let placed = Slot(random.between(0, days * DAY - 1));
        let order = order(&person, number, placed);
        world.requests.push(Request { placed, organisation, class: person.class, market: 0, order });
    }
    in_order(&mut world.requests);
    Ok(world)
}

fn order(person: &Organisation, number: u64, placed: Slot) -> Order {
    Order {
        request: RequestId(numbered(1 << 60 | number)),
        organisation: person.id,
        group: person.group,
        sequence: number,
        countries: CountrySet::default(),
        certificates: 0,
        tier_min: 0,
        quantity: QUANTITY,
        quantity_min: QUANTITY,
        slots: SLOTS,
        start_min: Slot(placed.0 + 1),
        start_max: Slot(placed.0 + 1 + DAY),
        limit: LIMIT,
        usage: 0,
        admitted_epoch: 0,
        funding_home: person.home,
        own_group_excluded: true,
        lane: LaneHint::Any,
        eligible: true,
        credit: Some(person.home),
        interruptible: false,
        commercial: false,
        reserve_cap_bps: 10_000,
        aid_left: None,
    }
}

fn share(world: &World, outcome: &Outcome) -> Share {
    let end = world.scenario.end();
    let is_actors = |request: usize| world.requests[request].order.request.0[0] == 1 << 4;
    let asked = world.requests.iter().enumerate().filter(|(index, _)| is_actors(*index));
    let mut share = Share {
        offered: f64::from(world.markets[0].capacity) * f64::from(end.0),
        asked: asked.map(|(_, request)| request.size() as f64).sum(),
        got: 0.0,
        reserve: 0.0,
        paid: 0.0,
        waits: Vec::new(),
    };
    for award in outcome.awards.iter().filter(|award| is_actors(award.request)) {
        let slots = within(award, Slot(0), end) as f64;
        share.got += slots;
        share.paid += slots * award.trade.price.0 as f64 / 1e6;
        share.reserve += if award.trade.lane == Lane::Reserve { slots } else { 0.0 };
        let placed = world.requests[award.request].placed;
        share.waits.push(f64::from(award.trade.start.0 - placed.0) / f64::from(HOUR));
    }
    share
}

/// What ten buyers of different groups gain by saying the same multiple of their values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ring {
    /// The rule.
    pub rule: &'static str,
    /// Instances.
    pub cases: u32,
    /// Share of the instances in which the ten together gain by some multiple below 1.
    pub shading: f64,
    /// The same by some multiple above 1.
    pub overbidding: f64,
    /// What always saying one multiple does to what they gain in all instances together, as a share of it.
    pub always: [f64; 7],
    /// What that does to the prices of the market lane, in the mean over instances that trade either way.
    pub price: [f64; 7],
}

/// Lets ten random buyers of each large instance agree, under each rule on the same instances.
///
/// # Errors
/// As [`book`].
pub fn rings(seed: u64, cases: u32) -> Result<Vec<Ring>, String> {
    RULES.iter().map(|rule| ring(Random::new(seed, 32), rule, cases)).collect()
}

fn ring(mut random: Random, rule: &Rule, cases: u32) -> Result<Ring, String> {
    let (mut shading, mut overbidding, mut honest_sum) = (0, 0, 0);
    let (mut sums, mut moves) = ([0i128; 7], [(0.0, 0u32); 7]);
    for _ in 0..cases {
        let truth = rule.on(&book(&mut random, Size::Large)?);
        let first = random.between(0, truth.orders.len() as u32 - 1) as usize;
        let members = truth.orders.iter().cycle().skip(first).take(TEN);
        let members: Vec<RequestId> = members.map(|order| order.request).collect();
        let clearing = clear(&truth);
        let honest = surplus(&truth, &clearing, &members);
        honest_sum += honest;
        let (mut low, mut high) = (false, false);
        for (at, factor) in FACTORS.into_iter().enumerate() {
            let told = clear(&said(&truth, &members, factor));
            let gain = surplus(&truth, &told, &members);
            sums[at] += gain;
            low |= factor < 1.0 && gain > honest;
            high |= factor > 1.0 && gain > honest;
            if let (Some(before), Some(after)) = (clearing.prices.first(), told.prices.first()) {
                moves[at].0 += after.price.0 as f64 / before.price.0 as f64 - 1.0;
                moves[at].1 += 1;
            }
        }
        shading += u32::from(low);
        overbidding += u32::from(high);
    }
    Ok(Ring {
        rule: rule.name,
        cases,
        shading: ratio(f64::from(shading), f64::from(cases)),
        overbidding: ratio(f64::from(overbidding), f64::from(cases)),
        always: sums.map(|sum| ratio((sum - honest_sum) as f64, honest_sum as f64)),
        price: moves.map(|(sum, count)| ratio(sum, f64::from(count))),
    })
}
