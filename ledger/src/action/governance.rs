//! Proposing changes, voting on them, and changing the keys of one's own node. Signed by a member's governance office.

use super::{Context, Perform};
use crate::id::ProposalId;
use crate::member::MemberCode;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{Change, Office, data};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

data! {
    /// Puts a change to the vote. It is no vote for it.
    pub struct Propose {
        /// What would change.
        pub change: Change,
        /// How long it waits once it has passed, in milliseconds: at least the delay of its kind.
        pub activate_after_ms: u64,
    }

    /// Votes on a proposal, or changes a vote before the decision.
    pub struct Vote {
        /// Which.
        pub proposal: ProposalId,
        /// For it, or against it.
        pub approve: bool,
    }

    /// Gives the signing member's node other keys, without a vote: they act at the height after the next. For a stolen key, and
    /// for those who change keys from time to time.
    pub struct RotateKeys {
        /// Signs its votes from then on; may be the present one.
        pub consensus_key: PublicKey,
        /// Its node's key on the network from then on; may be the present one.
        pub network_key: PublicKey,
    }
}

/// The member whose governance office signs. A member that has left has no office.
fn voter(context: &Context<'_, '_>) -> Result<MemberCode, Rejection> {
    context.office(Office::Governance, Rejection::NotGovernance)
}

impl Perform for Propose {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        crate::governance::check_shape(&self.change)
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = voter(context)?;
        let id = ProposalId(context.object_id("hansa/proposal"));
        context.propose(id, member, &self.change, self.activate_after_ms)
    }
}

impl Perform for Vote {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = voter(context)?;
        context.vote(self.proposal, member, self.approve)
    }
}

impl Perform for RotateKeys {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        crate::governance::check_node_keys(&self.consensus_key, &self.network_key)
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = voter(context)?;
        context.change_member_keys(member, self.consensus_key, self.network_key)
    }
}
