//! Claiming a payment while a lease runs.

use super::lease::provided;
use super::{Context, Perform};
use crate::id::LeaseId;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Claims what is countersigned of a lease that runs, at most once in the lease's `interim_interval_ms`: its contract says
    /// how much of it is certain. Signed by a provider key with the operate role.
    pub struct ClaimPayment {
        /// Which.
        pub lease: LeaseId,
    }
}

impl Perform for ClaimPayment {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let lease = provided(context, &self.lease)?;
        context.claim_payment(self.lease, lease)
    }
}
