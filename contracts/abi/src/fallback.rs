//! What happens to the money when a contract fails. Native only: it must work when no contract does.

use alloc::vec;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::check::amount_of;
use crate::contract::Code;
use crate::facts::{Facts, Trigger};
use crate::limits::BPS_MAX;
use crate::math;
use crate::split::Split;
use crate::terms::{Money, Party};

/// The rule for a failed contract, chosen by both parties when they sign the lease. The order is wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Fallback {
    /// Nothing more is paid; the rest goes back to the requester when the lease closes.
    Refund,
    /// Usage that the requester countersigned or did not contest is paid by the terms' price; of the contested part,
    /// only what a ruling gives to the provider. Nothing if the provider never came.
    PayCountersigned,
}

/// The split by the signed fallback rule. Never fails: where the rule cannot be computed, nothing more is paid. Its
/// answer passes [`crate::check_split`] whenever `paid_so_far` came from splits that did and the quoted lock covers
/// what is locked: nothing is paid beyond `facts.escrow.locked`, nothing is slashed or consumed, the state stays. Only the
/// contract knows the shares of named parties: they keep what they have, and what is still due goes to the provider.
#[must_use]
pub fn fallback_split(fallback: Fallback, facts: &Facts, paid_so_far: &[(Party, Money)]) -> Split {
    let provider_before = amount_of(paid_so_far, Party::PROVIDER);
    let operator_before = amount_of(paid_so_far, Party::OPERATOR);
    // What was earned so far, by named parties too: the fee is on all of it.
    let earned_before = facts.terms.earned(paid_so_far).unwrap_or(facts.escrow.paid);
    let named = earned_before.saturating_sub(provider_before).saturating_sub(operator_before);
    let returned = facts.escrow.paid.saturating_sub(earned_before);
    let all = match fallback {
        Fallback::Refund => earned_before,
        Fallback::PayCountersigned => {
            let room = facts.escrow.locked.saturating_sub(returned);
            earned_before.max(undisputed_due(facts).unwrap_or(0).min(room))
        }
    };
    let (provider, operator) = match math::fee(all, facts.terms.fee_bps) {
        Ok(fee) if all > earned_before => (all.saturating_sub(fee).saturating_sub(named), fee),
        _ => (provider_before, operator_before),
    };
    let mut pay: Vec<(Party, Money)> = paid_so_far
        .iter()
        .filter(|(party, _)| *party != Party::PROVIDER && *party != Party::OPERATOR)
        .copied()
        .chain([(Party::PROVIDER, provider), (Party::OPERATOR, operator)])
        .filter(|(_, amount)| *amount > 0)
        .collect();
    pay.sort_unstable_by_key(|(party, _)| *party);
    Split { pay, slash: 0, consume: 0, notes: vec![], state: facts.state.clone() }
}

/// What nobody contests, or a ruling decided, at the price of the terms.
fn undisputed_due(facts: &Facts) -> Result<Money, Code> {
    if facts.ctx.trigger == Trigger::NoShow {
        return Ok(0);
    }
    let contested = facts.usage.contested()?;
    let certain = facts.usage.cumulative.checked_sub(contested).ok_or(Code::CONTRADICTION)?;
    let ruled = match facts.ctx.trigger {
        Trigger::Ruling { provider_bps } => {
            math::mul_div_floor(contested, u128::from(provider_bps.min(BPS_MAX)), u128::from(BPS_MAX))?
        }
        _ => 0,
    };
    let usage = certain.checked_add(ruled).ok_or(Code::OVERFLOW)?;
    math::due(usage.min(facts.terms.capacity(facts.ctx.now)), facts.terms.price)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::check_split;
    use crate::facts::{Evidence, Window};
    use crate::testing::facts;

    /// 1,000 units used at 10 each; 300 of them only the provider stands behind.
    fn used() -> Facts {
        let mut facts = facts();
        facts.usage.cumulative = 1_000;
        let window =
            |index, delivered, source| Window { index, delivered, committed: 500, up_secs: 60, source };
        facts.usage.windows = vec![window(0, 500, Evidence::Both), window(1, 300, Evidence::ProviderOnly)];
        facts
    }

    fn total(fallback: Fallback, facts: &Facts, paid: &[(Party, Money)]) -> Money {
        let split = fallback_split(fallback, facts, paid);
        let checked = check_split(&split, facts, paid, facts.escrow.locked).unwrap();
        checked.pay.iter().map(|(_, amount)| *amount).sum()
    }

    #[test]
    fn refund_pays_nothing_more() {
        let mut facts = used();
        assert_eq!(total(Fallback::Refund, &facts, &[]), 0);
        facts.escrow.paid = 1_007;
        let paid = [(Party::PROVIDER, 985), (Party::OPERATOR, 15), (Party(3), 7)];
        facts.terms.parties.push(crate::Role::Named);
        assert_eq!(fallback_split(Fallback::Refund, &facts, &paid).pay, paid);
        assert_eq!(total(Fallback::Refund, &facts, &paid), 1_007);
    }

    #[test]
    fn countersigned_usage_is_paid_and_the_rest_as_ruled() {
        let mut facts = used();
        let pay = fallback_split(Fallback::PayCountersigned, &facts, &[]).pay;
        assert_eq!(pay, [(Party::PROVIDER, 6_895), (Party::OPERATOR, 105)]);
        let ruled = |provider_bps| {
            let mut facts = used();
            facts.ctx.trigger = Trigger::Ruling { provider_bps };
            total(Fallback::PayCountersigned, &facts, &[])
        };
        assert_eq!([ruled(0), ruled(5_000), ruled(10_000)], [7_000, 8_500, 10_000]);
        facts.escrow.locked = 6_000;
        assert_eq!(total(Fallback::PayCountersigned, &facts, &[]), 6_000);
        facts.ctx.trigger = Trigger::NoShow;
        assert_eq!(total(Fallback::PayCountersigned, &facts, &[]), 0);
        let mut early = used();
        early.ctx.now = early.terms.start + 10;
        assert_eq!(total(Fallback::PayCountersigned, &early, &[]), 10 * 4 * 10);
    }

    #[test]
    fn named_parties_keep_what_they_have_and_the_provider_gets_the_rest() {
        let mut facts = used();
        facts.terms.parties.extend([crate::Role::Sponsor, crate::Role::Named]);
        // 2,000 earned, of which 30 are the fee and 970 went to a named party; 50 went back to the sponsor.
        let paid = [(Party::PROVIDER, 1_000), (Party::OPERATOR, 30), (Party(3), 50), (Party(4), 970)];
        facts.escrow.paid = 2_050;
        let pay = fallback_split(Fallback::PayCountersigned, &facts, &paid).pay;
        // 7,000 are due in all, fee of 105 included.
        let want = [(Party::PROVIDER, 5_925), (Party::OPERATOR, 105), (Party(3), 50), (Party(4), 970)];
        assert_eq!(pay, want);
        assert_eq!(total(Fallback::PayCountersigned, &facts, &paid), 7_050);
        assert_eq!(fallback_split(Fallback::Refund, &facts, &paid).pay, paid);
        facts.escrow.locked = 6_050;
        assert_eq!(
            total(Fallback::PayCountersigned, &facts, &paid),
            6_050,
            "what went back is gone from the lock"
        );
    }

    #[test]
    fn what_cannot_be_computed_is_not_paid() {
        let mut facts = used();
        facts.usage.cumulative = 299;
        assert_eq!(total(Fallback::PayCountersigned, &facts, &[]), 0);
        let mut facts = used();
        facts.terms.price.num = u128::MAX;
        assert_eq!(total(Fallback::PayCountersigned, &facts, &[]), 0);
        facts.terms.price.den = 0;
        facts.escrow.paid = 10;
        assert_eq!(total(Fallback::PayCountersigned, &facts, &[(Party::PROVIDER, 10)]), 10);
    }

    proptest! {
        #[test]
        fn the_fallback_always_passes_the_checks(
            cumulative in 0u128..20_000,
            contested in 0u64..20_000,
            before in 0u128..200_000,
            locked in 0u128..200_000,
            fee_bps in 0u16..=10_000,
            now in 0u64..5_000,
            bps in 0u16..=10_000,
            kind in 0usize..4,
            refund: bool,
        ) {
            let mut facts = used();
            facts.usage.cumulative = cumulative;
            facts.usage.windows[1].delivered = contested;
            facts.escrow.locked = locked.max(before);
            facts.escrow.paid = before;
            facts.terms.fee_bps = fee_bps;
            facts.ctx.now = now;
            facts.ctx.trigger =
                [Trigger::Interim, Trigger::Final, Trigger::NoShow, Trigger::Ruling { provider_bps: bps }][kind];
            let fee = math::fee(before, fee_bps).unwrap();
            let paid = [(Party::PROVIDER, before - fee), (Party::OPERATOR, fee)];
            let rule = if refund { Fallback::Refund } else { Fallback::PayCountersigned };
            let split = fallback_split(rule, &facts, &paid);
            prop_assert!(check_split(&split, &facts, &paid, facts.escrow.locked).is_ok(), "{:?}", split);
        }
    }
}
