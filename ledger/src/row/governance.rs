//! What the members vote on.

use super::ProposalState;
use crate::block::Validator;
use crate::genesis::GenesisMember;
use crate::member::MemberCode;
use crate::money::Money;
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

data! {
    /// A parameter and its new value.
    pub struct ParameterValue {
        /// Its name.
        pub name: String,
        /// Its value, in the parameter's unit.
        pub value: u64,
    }

    /// Other rules, and the height from which they hold.
    pub struct Upgrade {
        /// The rules.
        pub protocol_version: u32,
        /// The first block that follows them.
        pub height: u64,
    }

    /// The members that sign, from a height on.
    pub struct ValidatorSet {
        /// By code; never empty.
        pub members: Vec<Validator>,
    }

    /// A change that the members vote on.
    pub struct Proposal {
        /// Who proposed it.
        pub proposer: MemberCode,
        /// What.
        pub change: Change,
        /// When it was proposed.
        pub proposed_at: TimeMs,
        /// When the vote ends at the latest.
        pub voting_ends: TimeMs,
        /// How long it waits once it has passed, in milliseconds.
        pub activate_after_ms: u64,
        /// Members that approve, by code. A member that leaves counts no more.
        pub approvals: Vec<MemberCode>,
        /// Members that refuse, by code.
        pub refusals: Vec<MemberCode>,
        /// Where it stands.
        pub state: ProposalState,
        /// When it is carried out, once it has passed.
        pub activates_at: Option<TimeMs>,
        /// The number of the rejection that kept it from being carried out.
        pub failure: Option<u16>,
    }
}

/// What the members can change by vote.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Parameters, all of them or none.
    Parameters {
        /// Which, each once.
        values: Vec<ParameterValue>,
    },
    /// What a member may issue and owe.
    MemberLimits {
        /// Which member.
        member: MemberCode,
        /// The most it may have issued and not redeemed.
        issue_limit: Money,
        /// The most it may owe others.
        debit_cap: Money,
    },
    /// A new member, or one that had left.
    MemberJoin {
        /// As a genesis would name it.
        member: GenesisMember,
    },
    /// A member leaves: it loses vote, seat and offices. Its position stays, its organisations' accreditations end, and their
    /// leases run on to their end.
    MemberLeave {
        /// Which member.
        member: MemberCode,
    },
    /// Other keys for a member's node, where it cannot change them itself.
    MemberKeys {
        /// Which member.
        member: MemberCode,
        /// Signs its votes from then on.
        consensus_key: PublicKey,
        /// Its node's key on the network from then on.
        network_key: PublicKey,
    },
    /// Other rules from a height on.
    Upgrade {
        /// The rules.
        protocol_version: u32,
        /// The first block that follows them.
        height: u64,
    },
}

impl Change {
    /// The name of its kind, as in JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Parameters { .. } => "parameters",
            Self::MemberLimits { .. } => "member_limits",
            Self::MemberJoin { .. } => "member_join",
            Self::MemberLeave { .. } => "member_leave",
            Self::MemberKeys { .. } => "member_keys",
            Self::Upgrade { .. } => "upgrade",
        }
    }
}
