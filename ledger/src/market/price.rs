//! The price: which ones to try, and where between its bounds the one price of a bucket lies.

use super::book::BookParams;
use crate::money::Price;
use std::cmp::Reverse;

/// A price to try, and the most that could be traded at it, in accelerator-slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) price: Price,
    pub(super) volume_max: u128,
}

/// The prices to try, most promising first: among all limits and asks those where the lesser of demand and supply is
/// largest; of equal ones the nearest to the reference, then the lower.
pub(super) fn candidates(
    mut demand: Vec<(Price, u128)>,
    mut supply: Vec<(Price, u128)>,
    reference: Option<Price>,
    count: u16,
) -> Vec<Candidate> {
    let mut prices: Vec<Price> = demand.iter().chain(&supply).map(|(price, _)| *price).collect();
    prices.sort_unstable();
    prices.dedup();
    demand.sort_unstable();
    supply.sort_unstable();
    let demanded = |price: Price| demand.partition_point(|(limit, _)| *limit < price);
    let supplied = |price: Price| supply.partition_point(|(ask, _)| *ask <= price);
    let (demand_sums, supply_sums) = (sums(&demand), sums(&supply));
    let all_demand = demand_sums.last().copied().unwrap_or(0);
    let at = |sums: &[u128], count: usize| sums.get(count).copied().unwrap_or(0);
    let mut candidates: Vec<Candidate> = prices
        .into_iter()
        .map(|price| {
            let wanted = all_demand.saturating_sub(at(&demand_sums, demanded(price)));
            Candidate { price, volume_max: wanted.min(at(&supply_sums, supplied(price))) }
        })
        .collect();
    candidates.sort_by_key(|candidate| {
        (Reverse(candidate.volume_max), distance(candidate.price, reference), candidate.price)
    });
    candidates.truncate(usize::from(count));
    candidates
}

/// The sums of the first 0, 1, 2, ... amounts.
fn sums(amounts: &[(Price, u128)]) -> Vec<u128> {
    let mut sum = 0u128;
    let after = amounts.iter().map(|(_, amount)| {
        sum = sum.saturating_add(*amount);
        sum
    });
    std::iter::once(0).chain(after).collect()
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
    /// The limits that were tried and not matched.
    pub(super) rejected: Vec<Price>,
    /// The highest limit below the price that was tried.
    pub(super) limit_below_max: Option<Price>,
}

impl Bounds {
    /// The one price of the bucket.
    ///
    /// It is at most every matched limit and below every ask that was out of reach, so that no further offer becomes
    /// eligible; at least every matched ask, every limit that was rejected in that range, and every limit that was shut
    /// out, so that nobody finds the price below a limit that did not get its turn.
    pub(super) fn price(&self, params: &BookParams) -> Price {
        let tick = params.tick.max(1);
        let below_next_ask = self.ask_above_min.map(|ask| Price(ask.0.saturating_sub(tick)));
        let high = [self.matched_limit_min, below_next_ask].into_iter().flatten().min().unwrap_or_default();
        let rejected = self.rejected.iter().filter(|limit| **limit <= high).max().copied();
        let low = [self.matched_ask_max, rejected, self.limit_below_max].into_iter().flatten().max();
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
        let demand = vec![(Price(5), 10), (Price(3), 10), (Price(2), 10)];
        let supply = vec![(Price(1), 8), (Price(3), 8), (Price(4), 100)];
        let check = |reference, count, expect: &[(u64, u128)]| {
            let found = candidates(demand.clone(), supply.clone(), reference, count);
            let found: Vec<_> = found.iter().map(|one| (one.price.0, one.volume_max)).collect();
            assert_eq!(found, expect);
        };
        check(None, 9, &[(3, 16), (4, 10), (5, 10), (1, 8), (2, 8)]);
        check(Some(Price(5)), 3, &[(3, 16), (5, 10), (4, 10)]);
        check(None, 0, &[]);
    }

    #[test]
    fn the_price_lies_between_its_bounds() {
        let params = |k_bps, tick| BookParams { k_bps, tick, ..super::super::tests::params() };
        let bounds = Bounds {
            matched_limit_min: Some(Price(90)),
            matched_ask_max: Some(Price(40)),
            ask_above_min: Some(Price(80)),
            rejected: vec![Price(75), Price(50)],
            limit_below_max: Some(Price(45)),
        };
        assert_eq!(bounds.price(&params(0, 10)), Price(50));
        assert_eq!(bounds.price(&params(10_000, 10)), Price(70));
        assert_eq!(bounds.price(&params(5_000, 7)), Price(56));
        assert_eq!(bounds.price(&params(u16::MAX, 0)), Price(79));
        assert_eq!(Bounds { rejected: Vec::new(), ..bounds.clone() }.price(&params(0, 10)), Price(45));
        assert_eq!(
            Bounds { rejected: Vec::new(), limit_below_max: None, ..bounds }.price(&params(0, 10)),
            Price(40)
        );
    }
}
