//! Money that enters the ledger: grants and attested deposits.

use super::{Context, Perform};
use crate::event::Event;
use crate::id::{GrantId, OrganisationId};
use crate::member::MemberCode;
use crate::money::Money;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{AccountId, Deadline, DeadlineKind, Grant, Office, Purpose};
use crate::tables::{Deadlines, Deposits, Grants};
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Issues a grant: ring-fenced public money for one purpose until one day. Signed by the holder's home treasury. Money
    /// that returned to the budget line is used first; the rest is new and counts against the member's limit.
    pub struct IssueGrant {
        /// Who may spend it.
        pub holder: OrganisationId,
        /// The issuer's reference; once only.
        pub reference: Name,
        /// The budget line that pays.
        pub budget_line: Name,
        /// What it may be spent on.
        pub purpose: Purpose,
        /// How much.
        pub amount: Money,
        /// Until when.
        pub expires: TimeMs,
    }

    /// Attests that an organisation paid money in outside. Signed by its home treasury.
    pub struct AttestDeposit {
        /// Whose cash it becomes.
        pub organisation: OrganisationId,
        /// How much.
        pub amount: Money,
        /// The bank's reference; once only.
        pub reference: Name,
    }
}

/// The id of the grant with this reference.
#[must_use]
pub fn grant_id(issuer: MemberCode, reference: &Name) -> GrantId {
    GrantId::derive(&(issuer, reference))
}

impl Perform for IssueGrant {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.amount == Money::ZERO { Err(Rejection::AmountZero) } else { Ok(()) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let issuer = context.office(Office::Treasury, Rejection::NotTreasury)?;
        let holder = context.accredited(&self.holder)?;
        if holder.home != issuer {
            return Err(Rejection::NotTreasury);
        }
        if self.expires <= context.now || self.expires > TimeMs::MAX {
            return Err(Rejection::ValidityInvalid);
        }
        let id = grant_id(issuer, &self.reference);
        if context.view.get::<Grants>(&id).is_some() {
            return Err(Rejection::GrantExists);
        }
        let grant = Grant {
            issuer,
            reference: self.reference.clone(),
            budget_line: self.budget_line.clone(),
            holder: self.holder,
            purpose: self.purpose,
            amount: self.amount,
            expires: self.expires,
            closed: false,
        };
        context.view.put::<Grants>(id, grant);
        let line = AccountId::Line(issuer, self.budget_line.clone());
        let returned = context.balance(&line).min(self.amount);
        context.transfer(&line, AccountId::Grant(id), issuer, returned)?;
        let fresh = self.amount.checked_sub(returned).ok_or(Rejection::Overflow)?;
        context.issue(AccountId::Grant(id), issuer, fresh)?;
        let due = Deadline { due: self.expires, kind: DeadlineKind::GrantExpiry, subject: id.0 };
        context.view.put::<Deadlines>(due, ());
        context.emit(Event::GrantIssued { grant: id, holder: self.holder, amount: self.amount });
        Ok(())
    }
}

impl Perform for AttestDeposit {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.amount == Money::ZERO { Err(Rejection::AmountZero) } else { Ok(()) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = context.office(Office::Treasury, Rejection::NotTreasury)?;
        let organisation = context.accredited(&self.organisation)?;
        if organisation.home != member {
            return Err(Rejection::NotTreasury);
        }
        let reference = (member, self.reference.clone());
        if context.view.get::<Deposits>(&reference).is_some() {
            return Err(Rejection::DepositExists);
        }
        context.view.put::<Deposits>(reference, ());
        context.issue(AccountId::Cash(self.organisation), member, self.amount)?;
        context.emit(Event::DepositAttested { organisation: self.organisation, amount: self.amount });
        Ok(())
    }
}
