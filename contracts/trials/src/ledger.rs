//! What the ledger does with a contract's answers, on one lease.

use hansa_contracts_abi::{
    CheckedSplit, Contract, Evidence, Facts, Failure, Fallback, Money, Party, Split, Trigger, check_split,
    fallback_split,
};

use crate::Step;

/// The money of one lease, and what its contract is told.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// What the contract is told at the next call.
    pub facts: Facts,
    /// What each party has received.
    pub paid: Vec<(Party, Money)>,
    /// What has returned to the requester.
    pub refunded: Money,
    /// What was taken from the stake.
    pub slashed: Money,
    /// What was taken from the allowance.
    pub consumed: u128,
    quoted: Money,
}

impl Ledger {
    /// Begins with the facts of the award, and what the contract quoted.
    #[must_use]
    pub fn new(award: &Facts, quoted: Money) -> Self {
        Ledger { facts: award.clone(), paid: vec![], refunded: 0, slashed: 0, consumed: 0, quoted }
    }

    /// Takes one step of the lease into account.
    pub fn advance(&mut self, step: &Step) {
        let usage = &mut self.facts.usage;
        let waiting = usage.windows.iter_mut().filter(|window| window.source == Evidence::ProviderOnly);
        waiting.take(step.countersigned).for_each(|window| window.source = Evidence::Both);
        if step.window.committed > 0 || step.window.delivered > 0 {
            usage.windows.push(step.window);
        }
        usage.cumulative += u128::from(step.window.delivered) + u128::from(step.unlisted);
        self.facts.ctx.now += step.seconds;
        self.facts.ctx.height += 1;
    }

    /// Leaves every second window out that is not contested, as a ledger may.
    #[must_use]
    pub fn with_fewer_windows(&self) -> Facts {
        let mut facts = self.facts.clone();
        facts.usage.windows.retain(|window| window.source == Evidence::ProviderOnly || window.index % 2 == 0);
        facts
    }

    /// Asks the contract and carries its answer out.
    ///
    /// # Errors
    /// What the contract refused with, or the rule that its answer breaks; nothing is moved then.
    pub fn settle<C: Contract>(&mut self, params: &C::Params, facts: &Facts) -> Result<CheckedSplit, String> {
        let split = C::settle(params, facts).map_err(|code| code.to_string())?;
        let checked =
            check_split(&split, facts, &self.paid, self.quoted).map_err(|error| error.to_string())?;
        self.carry_out(&checked);
        Ok(checked)
    }

    /// Asks the contract unless it failed otherwise, and carries out its answer or else the signed fallback, as the ledger
    /// does in one block.
    ///
    /// # Panics
    /// If the fallback's split breaks a rule: it never may.
    pub fn decide<C: Contract>(
        &mut self,
        params: &C::Params,
        failure: Option<Failure>,
        fallback: Fallback,
    ) -> CheckedSplit {
        let answer: Result<Split, Failure> = match failure {
            Some(failure) => Err(failure),
            None => C::settle(params, &self.facts).map_err(Failure::Refused),
        };
        let checked = answer.and_then(|split| {
            check_split(&split, &self.facts, &self.paid, self.quoted).map_err(Failure::from)
        });
        let checked = checked.unwrap_or_else(|_| {
            let split = fallback_split(fallback, &self.facts, &self.paid);
            check_split(&split, &self.facts, &self.paid, self.quoted)
                .unwrap_or_else(|error| panic!("the fallback breaks a rule: {error}, {:?}", self.facts))
        });
        self.carry_out(&checked);
        checked
    }

    fn carry_out(&mut self, checked: &CheckedSplit) {
        let locked = self.facts.escrow.locked;
        let moved: Money = checked.transfers.iter().map(|(_, amount)| *amount).sum();
        let before = self.facts.escrow.paid;
        assert_eq!(before + moved + checked.refund + checked.held, locked, "money appeared or is gone");
        let closes = self.facts.ctx.trigger != Trigger::Interim;
        assert_eq!(if closes { checked.held } else { checked.refund }, 0, "{:?}", self.facts.ctx.trigger);
        self.facts.escrow.paid += moved;
        assert_eq!(self.facts.escrow.paid, checked.pay.iter().map(|(_, amount)| *amount).sum::<Money>());
        self.paid.clone_from(&checked.pay);
        self.refunded += checked.refund;
        self.slashed += checked.slash;
        self.facts.escrow.stake -= checked.slash;
        self.consumed += checked.consume;
        if let Some(left) = &mut self.facts.ctx.quota_left {
            *left -= checked.consume;
        }
        self.facts.state.clone_from(&checked.state);
    }
}
