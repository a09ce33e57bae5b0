//! A provider's stake on a lease: what its contract may take of it goes to those who paid, the rest returns at the close.

use crate::action::BlockInHand;
use crate::event::Event;
use crate::id::LeaseId;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::row::{AccountId, Lease, Payment, Purse, Request};
use crate::share;
use crate::tables::Grants;
use hansa_contracts_abi::CheckedSplit;

/// The most of the stake that can still go to another home.
pub(crate) fn stake_exposure(lease: &Lease) -> Money {
    if lease.stake_home == lease.requester_home { Money::ZERO } else { left(lease) }
}

/// What is left of the stake.
fn left(lease: &Lease) -> Money {
    lease.stake.checked_sub(lease.slashed).unwrap_or(Money::ZERO)
}

impl BlockInHand<'_> {
    /// Moves what the contract asks the provider to stake out of the provider's cash, beyond what is staked already. The
    /// debit cap is the caller's business.
    ///
    /// # Errors
    /// [`Rejection::StakeUnfunded`] when the provider's cash does not cover it.
    pub(crate) fn hold_stake(
        &mut self,
        id: LeaseId,
        lease: &mut Lease,
        stake: Money,
    ) -> Result<(), Rejection> {
        let amount = stake.checked_sub(lease.stake).unwrap_or(Money::ZERO);
        if amount == Money::ZERO {
            return Ok(());
        }
        let cash = AccountId::Cash(lease.provider);
        if self.balance(&cash) < amount {
            return Err(Rejection::StakeUnfunded);
        }
        self.transfer(&cash, AccountId::Stake(id), lease.stake_home, amount)?;
        lease.stake = stake;
        self.emit(Event::StakeHeld { lease: id, provider: lease.provider, amount });
        Ok(())
    }

    /// Pays what the contract takes of the stake to the requester's purses.
    pub(crate) fn slash(
        &mut self,
        id: LeaseId,
        lease: &mut Lease,
        request: &Request,
        checked: &CheckedSplit,
    ) -> Result<Vec<Payment>, Rejection> {
        let amount = Money::try_from(checked.slash).map_err(|_| Rejection::Overflow)?;
        if amount == Money::ZERO {
            return Ok(Vec::new());
        }
        lease.slashed = lease.slashed.checked_add(amount).ok_or(Rejection::Overflow)?;
        let (provider, returned) = (lease.provider, Money::ZERO);
        self.emit(Event::StakeReleased { lease: id, provider, slashed: amount, returned });
        self.pay_purses(&AccountId::Stake(id), request, amount)
    }

    /// Returns what is left of the stake of a lease that closes.
    pub(crate) fn return_stake(&mut self, id: LeaseId, lease: &Lease) -> Result<Option<Payment>, Rejection> {
        let (from, to, amount) = (AccountId::Stake(id), AccountId::Cash(lease.provider), left(lease));
        if amount == Money::ZERO {
            return Ok(None);
        }
        self.transfer(&from, to.clone(), lease.stake_home, amount)?;
        let (provider, slashed) = (lease.provider, Money::ZERO);
        self.emit(Event::StakeReleased { lease: id, provider, slashed, returned: amount });
        Ok(Some(Payment { from, to, amount }))
    }

    /// Pays an amount to the purses that pay a request, by their shares: what a grant paid for comes back as that grant's, or
    /// its budget line's where the grant has closed.
    pub(crate) fn pay_purses(
        &mut self,
        from: &AccountId,
        request: &Request,
        amount: Money,
    ) -> Result<Vec<Payment>, Rejection> {
        let sources = &request.demand.sources;
        let shares: Vec<u16> = sources.iter().map(|source| source.share_bps).collect();
        let parts = share::split(amount, &shares).ok_or(Rejection::Overflow)?;
        let mut payments = Vec::new();
        for (source, part) in sources.iter().zip(parts) {
            if part != Money::ZERO {
                let to = self.refund_account(source.purse, request);
                self.transfer(from, to.clone(), request.home, part)?;
                payments.push(Payment { from: from.clone(), to, amount: part });
            }
        }
        Ok(payments)
    }

    /// Where money returns to that came out of a purse.
    pub(crate) fn refund_account(&self, purse: Purse, request: &Request) -> AccountId {
        match purse {
            Purse::Cash => AccountId::Cash(request.organisation),
            Purse::Grant(id) => match self.view.get::<Grants>(&id) {
                Some(grant) if grant.closed => AccountId::Line(grant.issuer, grant.budget_line.clone()),
                _ => AccountId::Grant(id),
            },
        }
    }
}
