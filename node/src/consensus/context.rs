//! The types that the engine works with: heights, members, votes and proposals over 32-byte block ids.

use super::application::{Id, Timeouts, ValidatorInfo};
use super::parts::Part;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{PublicKey, SecretKey, Signature};
use malachitebft_core_types as core;
use malachitebft_core_types::{LinearTimeouts, NilOrVal, Round, SignedExtension, VoteType};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Ties the engine to the types below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerContext;

/// A block's height; the first block has height 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, count: u64) -> Self {
        // A peer can name any height: no overflow may end the node.
        Self(self.0.saturating_add(count))
    }

    fn decrement_by(&self, count: u64) -> Option<Self> {
        self.0.checked_sub(count).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A member as the engine names it: by the key that signs its votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Address(pub PublicKey);

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(&self.0.0[..6]))
    }
}

impl core::Address for Address {}

/// What consensus orders: the id of a block and nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct BlockId(pub Id);

impl fmt::Display for BlockId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(&self.0[..6]))
    }
}

impl core::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

/// The form of keys and signatures. Checking is not here but in [`super::signing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ed25519;

impl core::SigningScheme for Ed25519 {
    type DecodingError = &'static str;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = SecretKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, Self::DecodingError> {
        bytes.try_into().map(Signature).map_err(|_| "a signature has 64 bytes")
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, Self::DecodingError> {
        bytes.try_into().map(PublicKey).map_err(|_| "a public key has 32 bytes")
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

/// One member with a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    address: Address,
    name: String,
}

impl Member {
    /// The member's code.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl core::Validator<LedgerContext> for Member {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &PublicKey {
        &self.address.0
    }

    fn voting_power(&self) -> u64 {
        // One member, one vote.
        1
    }
}

/// The members that sign one height, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members(Arc<Vec<Member>>);

impl Members {
    /// The set of `validators`, whatever order they come in; a key that appears twice counts once.
    #[must_use]
    pub fn new(validators: &[ValidatorInfo]) -> Self {
        let mut members: Vec<Member> = Vec::with_capacity(validators.len());
        for validator in validators {
            if !members.iter().any(|member| member.address.0 == validator.key) {
                members.push(Member { address: Address(validator.key), name: validator.name.clone() });
            }
        }
        members.sort_by(|a, b| a.name.cmp(&b.name).then(a.address.cmp(&b.address)));
        Self(Arc::new(members))
    }

    /// Whose turn it is to propose in `round` of `height`; `None` for an empty set.
    #[must_use]
    pub fn proposer(&self, height: u64, round: u32) -> Option<&Member> {
        let count = self.0.len() as u64;
        let turn = height.saturating_sub(1) % count.max(1) + u64::from(round) % count.max(1);
        self.0.get((turn % count.max(1)) as usize)
    }
}

impl core::ValidatorSet<LedgerContext> for Members {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.0.len() as u64
    }

    fn get_by_address(&self, address: &Address) -> Option<&Member> {
        self.0.iter().find(|member| member.address == *address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.0.get(index)
    }
}

/// One vote. All of it can be derived again from the same inputs, so the engine's replay after a crash compares equal.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteType,
    /// The height voted on.
    pub height: Height,
    /// The round voted in.
    pub round: Round,
    /// A block, or nothing.
    pub value: NilOrVal<BlockId>,
    /// Who votes.
    pub voter: Address,
}

impl core::Vote<LedgerContext> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<LedgerContext>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<LedgerContext>> {
        None
    }

    fn extend(self, _: SignedExtension<LedgerContext>) -> Self {
        // Extensions are disabled; a vote never carries one.
        self
    }
}

/// One proposal: a block's id for a round. The body travels in parts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The height proposed for.
    pub height: Height,
    /// The round proposed in.
    pub round: Round,
    /// The block.
    pub value: BlockId,
    /// The earlier round in which more than two thirds prevoted the block, if it is proposed again.
    pub pol_round: Round,
    /// Who proposes.
    pub proposer: Address,
}

impl core::Proposal<LedgerContext> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.value
    }

    fn take_value(self) -> BlockId {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

impl core::ProposalPart<LedgerContext> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Self::Init(_))
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Fin(_))
    }
}

impl core::Context for LedgerContext {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Member;
    type ValidatorSet = Members;
    type Timeouts = LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, members: &'a Members, height: Height, round: Round) -> &'a Member {
        members
            .proposer(height.0, round.as_u32().unwrap_or(0))
            .expect("the host never starts a height with an empty set of members")
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: BlockId,
        pol_round: Round,
        proposer: Address,
    ) -> Proposal {
        #[cfg(feature = "byzantine")]
        super::byzantine::saw_proposal(height, round, value);
        Proposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Address) -> Vote {
        #[cfg(feature = "byzantine")]
        let value = super::byzantine::prevote(height, round, value);
        Vote { kind: VoteType::Prevote, height, round, value, voter }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Address) -> Vote {
        #[cfg(feature = "byzantine")]
        let value = super::byzantine::precommit(value);
        Vote { kind: VoteType::Precommit, height, round, value, voter }
    }
}

/// The engine's form of the timeouts.
#[must_use]
pub fn linear_timeouts(timeouts: &Timeouts) -> LinearTimeouts {
    let delta = Duration::from_millis(timeouts.delta_ms);
    LinearTimeouts {
        propose: Duration::from_millis(timeouts.propose_ms),
        propose_delta: delta,
        prevote: Duration::from_millis(timeouts.prevote_ms),
        prevote_delta: delta,
        precommit: Duration::from_millis(timeouts.precommit_ms),
        precommit_delta: delta,
        rebroadcast: Duration::from_millis(timeouts.rebroadcast_ms),
        max_timeout: Duration::from_millis(timeouts.maximum_ms),
    }
}
