//! Objecting to a settlement that public money paid.

use super::{Context, Perform};
use crate::id::LeaseId;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::Office;
use crate::row::data;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Objects to the settlement of a lease that a grant pays, within its audit window: what is held back of the provider's
    /// pay is divided at the end of the window instead of paid. Signed by the treasury of the member that issued the grant.
    pub struct ObjectLease {
        /// Which.
        pub lease: LeaseId,
    }
}

impl Perform for ObjectLease {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let sponsor = context.office(Office::Treasury, Rejection::NotSponsor)?;
        context.object(self.lease, sponsor)
    }
}
