//! How much of the usage counts at a trigger: the rule that templates which pay for usage share.

use crate::contract::Code;
use crate::facts::{Facts, Trigger};
use crate::limits::BPS_MAX;
use crate::math;
use crate::terms::{Bps, Money, Price, Terms};

/// Usage that counts, in ten-thousandths of a unit, so that a ruling in basis points is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted(pub u128);

impl Counted {
    /// Refuses terms for which ten-thousandths of units, times basis points, could overflow. Asked at the quote, before
    /// anybody signs.
    ///
    /// # Errors
    /// [`Code::OVERFLOW`].
    pub fn check(terms: &Terms) -> Result<(), Code> {
        let scale = u128::from(BPS_MAX).checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
        terms.capacity_total().checked_mul(scale).ok_or(Code::OVERFLOW)?;
        u128::from(terms.price.den).checked_mul(scale).map(|_| ()).ok_or(Code::OVERFLOW)
    }

    /// This many whole units.
    ///
    /// # Errors
    /// [`Code::OVERFLOW`] if they do not fit.
    pub fn units(units: u128) -> Result<Self, Code> {
        math::times_bps(units, BPS_MAX).map(Counted)
    }

    /// The usage that counts by now, never more than the leased units could deliver: all that is certain, and of the
    /// contested part nothing while the lease goes on, what a ruling gives, and else everything. Nothing if the provider
    /// never came.
    ///
    /// # Errors
    /// [`Code::CONTRADICTION`] if more is contested than was used, and what [`contested_bps`] refuses.
    pub fn of(facts: &Facts) -> Result<Self, Code> {
        let bps = contested_bps(facts)?;
        if facts.ctx.trigger == Trigger::NoShow {
            return Ok(Counted(0));
        }
        let capacity = facts.terms.capacity(facts.ctx.now);
        let contested = facts.usage.contested()?;
        let certain = facts.usage.cumulative.checked_sub(contested).ok_or(Code::CONTRADICTION)?.min(capacity);
        let claimed = facts.usage.cumulative.min(capacity);
        let contested = claimed.checked_sub(certain).ok_or(Code::OVERFLOW)?;
        Counted::units(certain)?
            .0
            .checked_add(math::times_bps(contested, bps)?)
            .map(Counted)
            .ok_or(Code::OVERFLOW)
    }

    /// What this usage is worth: one floor.
    ///
    /// # Errors
    /// [`Code::DIVISION_BY_ZERO`], or [`Code::OVERFLOW`] if the result does not fit.
    pub fn due(self, price: Price) -> Result<Money, Code> {
        math::mul_div_floor(self.0, price.num, math::times_bps(price.den.into(), BPS_MAX)?)
    }
}

/// Part of the contested usage that counts at this trigger.
///
/// # Errors
/// [`Code::UNKNOWN_PARTY`] if the terms do not have the party that cancelled, [`Code::BAD_INPUT`] if a ruling gives more
/// than everything.
pub fn contested_bps(facts: &Facts) -> Result<Bps, Code> {
    match facts.ctx.trigger {
        Trigger::Interim | Trigger::NoShow => Ok(0),
        Trigger::Final | Trigger::Expired => Ok(BPS_MAX),
        Trigger::Cancelled { by } if usize::from(by.0) >= facts.terms.parties.len() => {
            Err(Code::UNKNOWN_PARTY)
        }
        Trigger::Cancelled { .. } => Ok(BPS_MAX),
        Trigger::Ruling { provider_bps } if provider_bps > BPS_MAX => Err(Code::BAD_INPUT),
        Trigger::Ruling { provider_bps } => Ok(provider_bps),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::facts::{Evidence, Window};
    use crate::terms::Party;
    use crate::testing::facts;

    /// 1,001 units, 301 of them contested.
    fn counted(trigger: Trigger, now: u64) -> Result<u128, Code> {
        let mut facts = facts();
        facts.usage.cumulative = 1_001;
        let source = Evidence::ProviderOnly;
        facts.usage.windows = vec![Window { index: 0, delivered: 301, committed: 400, up_secs: 1, source }];
        (facts.ctx.trigger, facts.ctx.now) = (trigger, now);
        Counted::of(&facts).map(|counted| counted.0)
    }

    #[test]
    fn each_trigger_counts_its_part_of_the_contested_usage() {
        let cancelled = |by| Trigger::Cancelled { by: Party(by) };
        let ruling = |provider_bps| Trigger::Ruling { provider_bps };
        let table = [
            (Trigger::Interim, Ok(7_000_000)),
            (Trigger::NoShow, Ok(0)),
            (Trigger::Final, Ok(10_010_000)),
            (Trigger::Expired, Ok(10_010_000)),
            (cancelled(2), Ok(10_010_000)),
            (cancelled(3), Err(Code::UNKNOWN_PARTY)),
            (ruling(0), Ok(7_000_000)),
            (ruling(1), Ok(7_000_301)),
            (ruling(10_000), Ok(10_010_000)),
            (ruling(10_001), Err(Code::BAD_INPUT)),
        ];
        for (trigger, want) in table {
            assert_eq!(counted(trigger, 3_000), want, "{trigger:?}");
        }
        // Four units for 200 seconds are 800: the certain 700, and 100 of the contested.
        assert_eq!(counted(Trigger::Final, 1_200), Ok(8_000_000));
        assert_eq!(counted(ruling(5_000), 1_200), Ok(7_500_000));
        assert_eq!(counted(Trigger::Interim, 0), Ok(0));
    }

    #[test]
    fn what_counts_is_worth_its_price_with_one_floor() {
        assert_eq!(Counted(15_000).due(Price { num: 1, den: 1 }), Ok(1));
        assert_eq!(Counted(15_000).due(Price { num: 2, den: 1 }), Ok(3));
        assert_eq!(Counted(1).due(Price { num: 1, den: 0 }), Err(Code::DIVISION_BY_ZERO));
        let mut terms = facts().terms;
        assert_eq!(Counted::check(&terms), Ok(()));
        (terms.units, terms.end) = (u64::MAX, u64::MAX);
        assert_eq!(Counted::check(&terms), Err(Code::OVERFLOW));
        assert_eq!(Counted::units(u128::MAX), Err(Code::OVERFLOW));
    }
}
