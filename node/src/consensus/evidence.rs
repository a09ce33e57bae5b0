//! What proves that a member signed two things where it may sign one: for the audit log.

use super::application::Id;
use super::context::LedgerContext;
use super::signing::{signed_proposal_bytes, signed_vote_bytes};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{PublicKey, Signature};
use malachitebft_core_consensus::MisbehaviorEvidence;

/// Bytes and the signature over them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedBytes {
    /// The canonical bytes of a vote or proposal.
    pub bytes: Vec<u8>,
    /// The member's signature.
    pub signature: Signature,
}

/// What was signed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum EvidenceKind {
    /// Two votes of one kind in one round.
    Votes = 1,
    /// Two proposals in one round.
    Proposals = 2,
}

/// Two conflicting statements of one member. Anyone who holds the member's key can check both signatures.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Evidence {
    /// What was signed twice.
    pub kind: EvidenceKind,
    /// Height of both statements.
    pub height: u64,
    /// Round of both statements, -1 for none.
    pub round: i64,
    /// Who signed.
    pub member: PublicKey,
    /// The statement seen first.
    pub first: SignedBytes,
    /// The statement seen second.
    pub second: SignedBytes,
}

/// Writes down what the engine collected in a height, one record each.
#[must_use]
pub fn evidence_records(chain_id: &Id, evidence: &MisbehaviorEvidence<LedgerContext>) -> Vec<Vec<u8>> {
    let votes = evidence.votes.iter().flat_map(|(member, pairs)| {
        pairs.iter().map(move |(first, second)| Evidence {
            kind: EvidenceKind::Votes,
            height: first.message.height.0,
            round: first.message.round.as_i64(),
            member: member.0,
            first: SignedBytes {
                bytes: signed_vote_bytes(chain_id, &first.message),
                signature: first.signature,
            },
            second: SignedBytes {
                bytes: signed_vote_bytes(chain_id, &second.message),
                signature: second.signature,
            },
        })
    });
    let proposals = evidence.proposals.iter().flat_map(|(member, pairs)| {
        pairs.iter().map(move |(first, second)| Evidence {
            kind: EvidenceKind::Proposals,
            height: first.message.height.0,
            round: first.message.round.as_i64(),
            member: member.0,
            first: SignedBytes {
                bytes: signed_proposal_bytes(chain_id, &first.message),
                signature: first.signature,
            },
            second: SignedBytes {
                bytes: signed_proposal_bytes(chain_id, &second.message),
                signature: second.signature,
            },
        })
    });
    votes
        .chain(proposals)
        .map(|record| borsh::to_vec(&record).expect("writing to memory cannot fail"))
        .collect()
}
