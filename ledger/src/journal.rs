//! Double entry: every movement of money, and the members' positions that follow it.

use crate::action::BlockInHand;
use crate::event::Event;
use crate::member::MemberCode;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::row::{Account, AccountId, Member};
use crate::tables::{Accounts, Members};

impl BlockInHand<'_> {
    /// What an account holds.
    #[must_use]
    pub fn balance(&self, account: &AccountId) -> Money {
        self.view.get::<Accounts>(account).map_or(Money::ZERO, |row| row.balance)
    }

    /// New money on `account`, counted against the home member's limit.
    pub(crate) fn issue(
        &mut self,
        account: AccountId,
        home: MemberCode,
        amount: Money,
    ) -> Result<(), Rejection> {
        let mut member = self.member(home)?;
        member.issued = member.issued.checked_add(amount).ok_or(Rejection::Overflow)?;
        // A member whose providers earn abroad redeems more than it ever issued.
        let outstanding = member.issued.checked_sub(member.redeemed).unwrap_or(Money::ZERO);
        if outstanding > member.issue_limit {
            return Err(Rejection::IssueLimit);
        }
        self.view.put::<Members>(home, member);
        self.credit(account, home, amount)
    }

    /// Money leaves the ledger: the home member owes it outside.
    pub(crate) fn redeem(&mut self, account: &AccountId, amount: Money) -> Result<(), Rejection> {
        let home = self.debit(account, amount)?;
        let mut member = self.member(home)?;
        member.redeemed = member.redeemed.checked_add(amount).ok_or(Rejection::Overflow)?;
        self.view.put::<Members>(home, member);
        Ok(())
    }

    /// Moves money. Between accounts of different homes it moves both members' positions as well, under the debit cap less
    /// what awarded leases hold of it.
    pub(crate) fn transfer(
        &mut self,
        from: &AccountId,
        to: AccountId,
        to_home: MemberCode,
        amount: Money,
    ) -> Result<(), Rejection> {
        if amount == Money::ZERO {
            return Ok(());
        }
        let from_home = self.debit(from, amount)?;
        self.credit(to, to_home, amount)?;
        if from_home != to_home {
            self.move_position(from_home, to_home, amount)?;
        }
        Ok(())
    }

    /// Holds `amount` of a member's debit cap for an awarded lease.
    pub(crate) fn lock_position(&mut self, debtor: MemberCode, amount: Money) -> Result<(), Rejection> {
        let mut member = self.member(debtor)?;
        member.locked = member.locked.checked_add(amount).ok_or(Rejection::Overflow)?;
        if debit_headroom(&member).is_none() {
            return Err(Rejection::DebitCap);
        }
        self.view.put::<Members>(debtor, member);
        Ok(())
    }

    /// Gives back what [`Self::lock_position`] held.
    pub(crate) fn unlock_position(&mut self, debtor: MemberCode, amount: Money) -> Result<(), Rejection> {
        if amount == Money::ZERO {
            return Ok(());
        }
        let member = self.member_mut(debtor)?;
        member.locked = member.locked.checked_sub(amount).ok_or(Rejection::Overflow)?;
        Ok(())
    }

    fn move_position(
        &mut self,
        debtor: MemberCode,
        creditor: MemberCode,
        amount: Money,
    ) -> Result<(), Rejection> {
        let wide = i128::from(amount.0);
        let from = self.member(debtor)?;
        let position = from.position.checked_sub(wide).ok_or(Rejection::Overflow)?;
        if debit_headroom(&Member { position, ..from }).is_none() {
            return Err(Rejection::DebitCap);
        }
        self.member_mut(debtor)?.position = position;
        let to = self.member_mut(creditor)?;
        to.position = to.position.checked_add(wide).ok_or(Rejection::Overflow)?;
        self.emit(Event::PositionMoved { debtor, creditor, amount });
        Ok(())
    }

    fn member(&self, code: MemberCode) -> Result<Member, Rejection> {
        self.view.get::<Members>(&code).cloned().ok_or(Rejection::CountryInvalid)
    }

    fn member_mut(&mut self, code: MemberCode) -> Result<&mut Member, Rejection> {
        self.view.edit::<Members>(&code).ok_or(Rejection::CountryInvalid)
    }

    fn debit(&mut self, account: &AccountId, amount: Money) -> Result<MemberCode, Rejection> {
        let row = self.view.edit::<Accounts>(account).ok_or(Rejection::FundsInsufficient)?;
        row.balance = row.balance.checked_sub(amount).ok_or(Rejection::FundsInsufficient)?;
        let (home, balance) = (row.home, row.balance);
        if balance == Money::ZERO {
            // An account without money has no row: nobody pays for storing zeros.
            self.view.remove::<Accounts>(account);
        }
        Ok(home)
    }

    fn credit(&mut self, account: AccountId, home: MemberCode, amount: Money) -> Result<(), Rejection> {
        if amount == Money::ZERO {
            return Ok(());
        }
        match self.view.edit::<Accounts>(&account) {
            Some(row) => {
                let balance = row.balance.checked_add(amount).ok_or(Rejection::Overflow)?;
                *row = Account { home, balance };
            }
            None => self.view.put::<Accounts>(account, Account { home, balance: amount }),
        }
        Ok(())
    }
}

/// What a member may still come to owe: position - locked + cap. `None` when that is below zero.
#[must_use]
pub fn debit_headroom(member: &Member) -> Option<u128> {
    let headroom = member
        .position
        .checked_sub(i128::from(member.locked.0))?
        .checked_add(i128::from(member.debit_cap.0))?;
    u128::try_from(headroom).ok()
}
