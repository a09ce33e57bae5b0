//! Extending a lease into free slots that follow on it.

use super::lease::requested;
use super::{Context, Perform};
use crate::id::LeaseId;
use crate::money::Price;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{Roles, data};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Prolongs a lease in place by free slots that follow on it, at the lease's own price. All of them or none. Signed by a
    /// key of the requester with the bid role.
    pub struct ExtendLease {
        /// Which.
        pub lease: LeaseId,
        /// By how many slots.
        pub slots: u32,
        /// The most per accelerator-hour; the lease's own price is paid.
        pub price_max: Price,
    }
}

impl Perform for ExtendLease {
    fn check(&self, params: &Params) -> Result<(), Rejection> {
        match self.slots {
            0 => Err(Rejection::DurationInvalid),
            slots if slots > params.lease_slots_max => Err(Rejection::ExtensionTooLong),
            _ => Ok(()),
        }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        // Who lost its accreditation brings its leases to their end, and makes them no longer.
        context.organisation(Roles::BID)?;
        let lease = requested(context, &self.lease)?;
        if lease.agreement.price > self.price_max {
            return Err(Rejection::ExtensionPriceOver);
        }
        let extended = context.extend_lease(self.lease, lease, self.slots)?;
        context.within_key_limit(extended.added)
    }
}
