//! Figures of each template's tariff, for terms as they are made in tests.

use hansa_contracts_abi::limits::{BPS_MAX, NAMED_PARTIES_MAX};
use hansa_contracts_abi::testing::Numbers;
use hansa_contracts_abi::{Bps, Contract, Party, Role, SlaStep, Terms};
use hansa_contracts_coinvest::{Coinvest, Holder, Return, Side};
use hansa_contracts_dispute::{Dispute, DisputedReserve};
use hansa_contracts_grant::{Beyond, Grant};
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;

/// A template that can be tried.
pub trait Tried: Contract {
    /// What it is called when a trial fails.
    const NAME: &'static str;

    /// A tariff that can be signed under these terms. What the terms lack for it (parties, a sponsor's part) is put
    /// right in them.
    fn some_params(numbers: &mut Numbers, terms: &mut Terms) -> Self::Params;
}

impl Tried for Spot {
    const NAME: &'static str = "spot";

    fn some_params(numbers: &mut Numbers, _: &mut Terms) -> Self::Params {
        let minimum_fee = if numbers.once_in(2) { 0 } else { numbers.below(1_000_000).into() };
        hansa_contracts_spot::Params { minimum_fee }
    }
}

impl Tried for Reserved {
    const NAME: &'static str = "reserved";

    fn some_params(numbers: &mut Numbers, terms: &mut Terms) -> Self::Params {
        terms.sla = if numbers.once_in(4) { some_steps(numbers) } else { vec![] };
        hansa_contracts_reserved::Params {
            sla: some_steps(numbers),
            period_windows: numbers.pick(&[1, 1, 2, 5, u32::MAX]),
            credit_cap_bps: numbers.bps(),
            stake_bps: numbers.bps(),
        }
    }
}

/// A service level in order. Credits need not rise: steps may overlap.
fn some_steps(numbers: &mut Numbers) -> Vec<SlaStep> {
    let mut below: Vec<Bps> = (0..numbers.below(6)).map(|_| numbers.bps()).collect();
    below.sort_unstable_by(|one, other| other.cmp(one));
    below.dedup();
    below.into_iter().map(|below_bps| SlaStep { below_bps, credit_bps: numbers.bps() }).collect()
}

impl Tried for Grant {
    const NAME: &'static str = "grant";

    fn some_params(numbers: &mut Numbers, terms: &mut Terms) -> Self::Params {
        let co_payment_bps = numbers.bps();
        if !terms.parties.contains(&Role::Sponsor) {
            terms.parties.insert(3, Role::Sponsor);
        }
        terms.sponsor_bps = numbers.below(u64::from(BPS_MAX - co_payment_bps) + 1) as Bps;
        let length = terms.end - terms.start;
        hansa_contracts_grant::Params {
            co_payment_bps,
            expiry: match numbers.below(3) {
                0 => u64::MAX,
                _ => terms.start.saturating_add(1 + numbers.below(length.saturating_mul(2).max(1))),
            },
            beyond: numbers.pick(&[Beyond::Nothing, Beyond::CoPayment]),
            members: if numbers.once_in(2) { vec![] } else { vec![*b"EE", *b"ES"] },
            classes: if numbers.once_in(2) { vec![] } else { vec![0, 1, 2] },
            purposes: if numbers.once_in(2) { vec![] } else { vec![1, 3] },
        }
    }
}

impl Tried for Coinvest {
    const NAME: &'static str = "coinvest";

    fn some_params(numbers: &mut Numbers, terms: &mut Terms) -> Self::Params {
        let named = terms.parties.iter().filter(|role| **role == Role::Named).count();
        let more = 1 + numbers.below((NAMED_PARTIES_MAX - named).max(1) as u64) as usize;
        terms.parties.resize(terms.parties.len() + more.min(NAMED_PARTIES_MAX - named), Role::Named);
        let mut holders: Vec<Holder> = (0..)
            .map(Party)
            .zip(&terms.parties)
            .filter(|(_, role)| matches!(role, Role::Provider | Role::Named))
            .map(|(party, _)| Holder {
                party,
                side: numbers.pick(&[Side::Public, Side::Private]),
                share_bps: 0,
            })
            .collect();
        if numbers.once_in(2) {
            holders.remove(0);
        }
        let mut left = BPS_MAX;
        for holder in holders.iter_mut().skip(1) {
            holder.share_bps = numbers.below(u64::from(left) + 1) as Bps / 2;
            left -= holder.share_bps;
        }
        holders[0].share_bps = left;
        let has = |side| holders.iter().any(|holder| holder.side == side && holder.share_bps > 0);
        let (public, private) = (has(Side::Public), has(Side::Private));
        let figure = |numbers: &mut Numbers| u128::from(numbers.below(20_000_000));
        let claim = |numbers: &mut Numbers, there: bool| {
            let until = if there && !numbers.once_in(3) { figure(numbers) } else { 0 };
            let returned_before = if numbers.once_in(2) { 0 } else { figure(numbers) };
            Return { until, returned_before }
        };
        let cost = terms.price.num.min(u128::from(u64::MAX)) as u64;
        hansa_contracts_coinvest::Params {
            operating_cost: numbers.below(cost.saturating_add(1)).into(),
            public: claim(numbers, public),
            private: claim(numbers, private),
            aid_cap: (public && numbers.once_in(3)).then(|| figure(numbers)),
            holders,
        }
    }
}

impl Tried for DisputedReserve {
    const NAME: &'static str = "dispute";

    fn some_params(numbers: &mut Numbers, terms: &mut Terms) -> Self::Params {
        Reserved::some_params(numbers, terms)
    }
}

impl<C: Tried> Tried for Dispute<C> {
    const NAME: &'static str = C::NAME;

    fn some_params(numbers: &mut Numbers, terms: &mut Terms) -> Self::Params {
        C::some_params(numbers, terms)
    }
}
