//! What a buyer gains by stating another limit than what the request is worth to it.

use crate::instance::{RULES, Rule, Size, book, scaled, surplus};
use crate::measure::ratio;
use crate::random::Random;
use hansa_ledger::id::RequestId;
use hansa_ledger::market::{Book, Clearing, clear};
use serde::Serialize;

/// What a buyer says in place of its value, as a multiple of it: below 1 it shades, above it overbids.
pub const FACTORS: [f64; 7] = [0.5, 0.75, 0.9, 0.97, 1.1, 1.5, 3.0];

/// What came of one rule and size of instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The rule.
    pub rule: &'static str,
    /// Instances.
    pub cases: u32,
    /// Share of the instances in which some limit below the value gains.
    pub shading: f64,
    /// Share of the instances in which some limit above the value gains.
    pub overbidding: f64,
    /// What always saying one multiple of the value does to what buyers gain in all instances together, as a share of it.
    pub always: [f64; 7],
    /// Mean accelerator-slots traded, all honest.
    pub volume: f64,
    /// Mean declared surplus of a batch, all honest, in EUR: limits less asks over what was traded.
    pub surplus_eur: f64,
}

/// How many large instances go with `cases` small ones: the page measured 120 with 800.
#[must_use]
pub fn large_cases(cases: u32) -> u32 {
    (cases * 3).div_ceil(20)
}

/// Tries other limits for one random buyer of each instance, under each rule on the same instances.
///
/// # Errors
/// As [`book`].
pub fn measure(seed: u64, size: Size, cases: u32) -> Result<Vec<Row>, String> {
    let purpose = if size == Size::Small { 11 } else { 12 };
    RULES.iter().map(|rule| row(Random::new(seed, purpose), rule, size, cases)).collect()
}

fn row(mut random: Random, rule: &Rule, size: Size, cases: u32) -> Result<Row, String> {
    let (mut shading, mut overbidding) = (0, 0);
    let (mut honest_sum, mut sums) = (0, [0i128; 7]);
    let (mut volume, mut declared) = (0.0, 0.0);
    for _ in 0..cases {
        let truth = rule.on(&book(&mut random, size)?);
        let buyer = truth.orders[random.between(0, truth.orders.len() as u32 - 1) as usize].request;
        let clearing = clear(&truth);
        volume += traded(&clearing);
        declared += declared_eur(&truth, &clearing);
        let honest = surplus(&truth, &clearing, &[buyer]);
        let gains = FACTORS.map(|factor| surplus(&truth, &clear(&said(&truth, &[buyer], factor)), &[buyer]));
        let better = |wanted: fn(f64) -> bool| {
            let tried = FACTORS.iter().zip(&gains).filter(|(factor, _)| wanted(**factor));
            u32::from(tried.map(|(_, gain)| gain).any(|gain| *gain > honest))
        };
        shading += better(|factor| factor < 1.0);
        overbidding += better(|factor| factor > 1.0);
        honest_sum += honest;
        sums.iter_mut().zip(gains).for_each(|(sum, gain)| *sum += gain);
    }
    let share = |count: u32| ratio(f64::from(count), f64::from(cases));
    Ok(Row {
        rule: rule.name,
        cases,
        shading: share(shading),
        overbidding: share(overbidding),
        always: sums.map(|sum| ratio((sum - honest_sum) as f64, honest_sum as f64)),
        volume: ratio(volume, f64::from(cases)),
        surplus_eur: ratio(declared, f64::from(cases)),
    })
}

/// The book in which some buyers say another limit than their value.
#[must_use]
pub fn said(truth: &Book, buyers: &[RequestId], factor: f64) -> Book {
    let mut said = truth.clone();
    for order in said.orders.iter_mut().filter(|order| buyers.contains(&order.request)) {
        order.limit = scaled(order.limit, factor);
    }
    said
}

fn traded(clearing: &Clearing) -> f64 {
    clearing.trades.iter().map(|trade| f64::from(trade.quantity) * f64::from(trade.slots)).sum()
}

fn declared_eur(book: &Book, clearing: &Clearing) -> f64 {
    let each = clearing.trades.iter().map(|trade| {
        let limit =
            book.orders.iter().find(|order| order.request == trade.request).map_or(0, |order| order.limit.0);
        let ask =
            book.supplies.iter().find(|supply| supply.offer == trade.offer).map_or(0, |supply| supply.ask.0);
        // A slot is a quarter of an hour.
        (limit as f64 - ask as f64) / 1e6 * f64::from(trade.quantity) * f64::from(trade.slots) / 4.0
    });
    each.sum()
}
