//! The price: which ones to try, and where between its bounds the one price of a bucket lies.

use super::book::BookParams;
use crate::money::Price;
use std::cmp::Reverse;

/// A price to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) price: Price,
    /// What those who would pay it ask for, in accelerator-slots.
    pub(super) demand: u128,
}

/// How many ticks the table of a [`Tally`] reaches.
const TICKS_MAX: usize = 1 << 16;

/// What is asked for at each limit, in accelerator-slots.
///
/// A long book has many requests and few limits, nearly all of them small multiples of the tick: these are counted in a table
/// that stays in the cache, where sorting all limits would go through memory many times.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    tick: u64,
    /// The sums of the multiples of the tick.
    on_ticks: Vec<u128>,
    /// All other limits.
    others: Vec<(Price, u128)>,
}

impl Tally {
    /// Nothing yet, of prices that are mostly multiples of `tick`.
    pub(super) fn new(tick: u64) -> Self {
        Self { tick: tick.max(1), ..Self::default() }
    }

    /// Counts what one asks for.
    pub(super) fn add(&mut self, limit: Price, volume: u64) {
        let ticks = limit.0.checked_div(self.tick).unwrap_or(0);
        let volume = u128::from(volume);
        match usize::try_from(ticks) {
            Ok(place) if place < TICKS_MAX && ticks.saturating_mul(self.tick) == limit.0 => {
                if self.on_ticks.len() <= place {
                    self.on_ticks.resize(place.saturating_add(1), 0);
                }
                self.on_ticks[place] = self.on_ticks[place].saturating_add(volume);
            }
            _ => self.others.push((limit, volume)),
        }
    }

    /// Each limit once, rising, with all that is asked for at it.
    pub(super) fn sums(mut self) -> Vec<(Price, u128)> {
        let on_ticks = (0u64..).zip(&self.on_ticks).filter(|(_, volume)| **volume > 0);
        self.others.extend(on_ticks.map(|(ticks, volume)| (Price(ticks.saturating_mul(self.tick)), *volume)));
        self.others.sort_unstable_by_key(|(limit, _)| *limit);
        self.others.dedup_by(|(limit, volume), (first, sum)| {
            let is_same = limit == first;
            if is_same {
                *sum = sum.saturating_add(*volume);
            }
            is_same
        });
        self.others
    }
}

/// The prices to try, most promising first: among all limits and asks those where the lesser of demand and supply is
/// largest; of equal ones the nearest to the reference, then the lower. Demand and supply are in accelerator-slots; the limits
/// of the demand rise.
pub(super) fn candidates(
    demand: &[(Price, u128)],
    mut supply: Vec<(Price, u128)>,
    reference: Option<Price>,
    count: u16,
) -> Vec<Candidate> {
    supply.sort_unstable_by_key(|(ask, _)| *ask);
    let mut prices: Vec<Price> = demand.iter().chain(&supply).map(|(price, _)| *price).collect();
    prices.sort_unstable();
    prices.dedup();
    let mut wanted: u128 = demand.iter().fold(0, |sum, (_, volume)| sum.saturating_add(*volume));
    let (mut free, mut limits, mut asks) = (0u128, demand.iter().peekable(), supply.iter().peekable());
    let mut candidates: Vec<(Reverse<u128>, u64, Candidate)> = Vec::with_capacity(prices.len());
    for price in prices {
        while let Some((_, volume)) = limits.next_if(|(limit, _)| *limit < price) {
            wanted = wanted.saturating_sub(*volume);
        }
        while let Some((_, area)) = asks.next_if(|(ask, _)| *ask <= price) {
            free = free.saturating_add(*area);
        }
        let candidate = Candidate { price, demand: wanted };
        candidates.push((Reverse(wanted.min(free)), distance(price, reference), candidate));
    }
    candidates
        .sort_unstable_by_key(|(volume_max, distance, candidate)| (*volume_max, *distance, candidate.price));
    candidates.truncate(usize::from(count));
    candidates.into_iter().map(|(_, _, candidate)| candidate).collect()
}

/// How far a price is from the reference; without one all are equally near.
pub(super) fn distance(price: Price, reference: Option<Price>) -> u64 {
    reference.map_or(0, |reference| price.0.abs_diff(reference.0))
}

/// What bounds the price once `tried` has been chosen. All are limits or asks of the bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// The lowest limit that was matched.
    pub(super) matched_limit_min: Option<Price>,
    /// The highest ask that was matched.
    pub(super) matched_ask_max: Option<Price>,
    /// The lowest ask over the price that was tried.
    pub(super) ask_above_min: Option<Price>,
    /// The highest limit that was tried and not matched, of those up to [`Bounds::high`].
    pub(super) rejected_max: Option<Price>,
    /// The highest limit below the price that was tried.
    pub(super) limit_below_max: Option<Price>,
}

impl Bounds {
    /// The upper bound: at most every matched limit, and below every ask that was out of reach.
    pub(super) fn high(&self, params: &BookParams) -> Price {
        let below_next_ask = self.ask_above_min.map(|ask| Price(ask.0.saturating_sub(params.tick.max(1))));
        [self.matched_limit_min, below_next_ask].into_iter().flatten().min().unwrap_or_default()
    }

    /// The one price of the bucket.
    ///
    /// It is at most every matched limit and below every ask that was out of reach, so that no further offer becomes
    /// eligible; at least every matched ask, every limit that was rejected in that range, and every limit that was shut
    /// out, so that nobody finds the price below a limit that did not get its turn.
    pub(super) fn price(&self, params: &BookParams) -> Price {
        let tick = params.tick.max(1);
        let high = self.high(params);
        let low = [self.matched_ask_max, self.rejected_max, self.limit_below_max].into_iter().flatten().max();
        let low = low.unwrap_or_default();
        let share = u128::from(params.k_bps.min(10_000));
        let range = u128::from(high.0.saturating_sub(low.0));
        let step = range.saturating_mul(share).checked_div(10_000).unwrap_or(0);
        let inside = low.0.saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
        let on_tick = inside.saturating_sub(inside.checked_rem(tick).unwrap_or(0));
        low.max(Price(on_tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prices_with_the_largest_possible_volume_are_tried_first() {
        let demand = vec![(Price(2), 10), (Price(3), 10), (Price(5), 10)];
        let supply = vec![(Price(1), 8), (Price(3), 8), (Price(4), 100)];
        let check = |reference, count, expect: &[(u64, u128)]| {
            let found = candidates(&demand, supply.clone(), reference, count);
            let found: Vec<_> = found.iter().map(|one| (one.price.0, one.demand)).collect();
            assert_eq!(found, expect);
        };
        check(None, 9, &[(3, 20), (4, 10), (5, 10), (1, 30), (2, 30)]);
        check(Some(Price(5)), 3, &[(3, 20), (5, 10), (4, 10)]);
        check(None, 0, &[]);
    }

    #[test]
    fn a_tally_sums_every_limit_on_ticks_and_off() {
        let far = TICKS_MAX as u64 * 10;
        let limits = [(20, 1), (7, 2), (far, 4), (20, 8), (7, 16), (0, 32), (far, 64), (far - 10, 128)];
        let mut tally = Tally::new(10);
        limits.iter().for_each(|(limit, volume)| tally.add(Price(*limit), *volume));
        let sums = [(0, 32), (7, 18), (20, 9), (far - 10, 128), (far, 68)];
        assert_eq!(tally.sums(), sums.map(|(limit, volume)| (Price(limit), volume)));
        assert!(Tally::new(0).sums().is_empty());
    }

    #[test]
    fn the_price_lies_between_its_bounds() {
        let params = |k_bps, tick| BookParams { k_bps, tick, ..super::super::tests::params() };
        let bounds = Bounds {
            matched_limit_min: Some(Price(90)),
            matched_ask_max: Some(Price(40)),
            ask_above_min: Some(Price(80)),
            rejected_max: Some(Price(50)),
            limit_below_max: Some(Price(45)),
        };
        for (tick, high) in [(0, 79), (7, 73), (10, 70)] {
            assert_eq!(bounds.high(&params(0, tick)), Price(high), "{tick}");
        }
        assert_eq!(Bounds { ask_above_min: None, ..bounds.clone() }.high(&params(0, 10)), Price(90));
        assert_eq!(
            Bounds { matched_limit_min: Some(Price(60)), ..bounds.clone() }.high(&params(0, 10)),
            Price(60)
        );
        assert_eq!(bounds.price(&params(0, 10)), Price(50));
        assert_eq!(bounds.price(&params(10_000, 10)), Price(70));
        assert_eq!(bounds.price(&params(5_000, 7)), Price(56));
        assert_eq!(bounds.price(&params(u16::MAX, 0)), Price(79));
        assert_eq!(Bounds { rejected_max: None, ..bounds.clone() }.price(&params(0, 10)), Price(45));
        assert_eq!(
            Bounds { rejected_max: None, limit_below_max: None, ..bounds }.price(&params(0, 10)),
            Price(40)
        );
    }
}
