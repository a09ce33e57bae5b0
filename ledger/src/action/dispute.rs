//! Opening a dispute over the usage of a lease, and ruling on it.

use super::lease::{Side, contesting, sided};
use super::{Context, Perform};
use crate::id::LeaseId;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Disputant, Office};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Takes the final usage of a lease to a panel of the members that are home to no party and sponsor nothing, within the
    /// challenge window. Signed as [`super::ContestUsage`] is, or by a provider key with the operate role where the usage is
    /// contested. It takes a bond, which the other side gets if the panel finds for it.
    ///
    /// What nobody contests is paid at once. The rest waits for the panel, and is divided as both sides signed where it does
    /// not decide in time.
    pub struct OpenDispute {
        /// Which.
        pub lease: LeaseId,
        /// Cumulative accelerator-seconds that the opener stands by: below what was reported for who pays; above what is
        /// admitted, and no more than was reported, for the provider, which gives up what it reported above.
        pub usage: u64,
        /// Why, by a number that those who read it agree on.
        #[serde(default)]
        pub reason: u16,
    }

    /// Rules on a dispute as a member of its panel; more than half of the panel with the same value decide it at once. Signed
    /// by the registrar of the member: the treasury would have an interest in who owes whom.
    pub struct RuleDispute {
        /// Over which lease.
        pub lease: LeaseId,
        /// The provider's part of what is contested, in basis points.
        pub provider_bps: u16,
    }
}

impl Perform for OpenDispute {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (by, lease) = match sided(context, &self.lease) {
            Ok((Side::Provider, _, lease)) => (Disputant::Provider, lease),
            _ => match contesting(context, &self.lease)? {
                (Some(_), lease) => (Disputant::Sponsor, lease),
                (None, lease) => (Disputant::Requester, lease),
            },
        };
        let bond = context.open_dispute(self.lease, lease, by, self.usage, self.reason)?;
        context.within_key_limit(bond)
    }
}

impl Perform for RuleDispute {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.provider_bps > 10_000 { Err(Rejection::RulingInvalid) } else { Ok(()) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = context.office(Office::Registrar, Rejection::NotPanel)?;
        context.rule_dispute(self.lease, member, self.provider_bps)
    }
}
