//! Cash: moving it between organisations, and out of the ledger.

use super::{Context, Perform};
use crate::event::Event;
use crate::id::OrganisationId;
use crate::money::Money;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{AccountId, Roles};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Moves cash to another organisation.
    pub struct TransferCash {
        /// To whom.
        pub to: OrganisationId,
        /// How much.
        pub amount: Money,
    }

    /// Takes cash out of the ledger; the home member pays it out.
    pub struct RedeemCash {
        /// How much.
        pub amount: Money,
    }
}

impl Perform for TransferCash {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.amount == Money::ZERO { Err(Rejection::AmountZero) } else { Ok(()) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (from, _) = context.organisation(Roles::TREASURY)?;
        if from == self.to {
            return Err(Rejection::TransferToSelf);
        }
        context.within_key_limit(self.amount)?;
        let payee = context.accredited(&self.to)?;
        context.transfer(&AccountId::Cash(from), AccountId::Cash(self.to), payee.home, self.amount)?;
        context.emit(Event::CashTransferred { from, to: self.to, amount: self.amount });
        Ok(())
    }
}

impl Perform for RedeemCash {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.amount == Money::ZERO { Err(Rejection::AmountZero) } else { Ok(()) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        // Earned money stays the organisation's own, whatever becomes of its accreditation.
        let (organisation, _) = context.organisation_any_standing(Roles::TREASURY)?;
        context.within_key_limit(self.amount)?;
        context.redeem(&AccountId::Cash(organisation), self.amount)?;
        context.emit(Event::CashRedeemed { organisation, amount: self.amount });
        Ok(())
    }
}
