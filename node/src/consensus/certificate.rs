//! What proves that a block is decided, for nodes and light clients alike. Nothing here depends on the engine.

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::{PublicKey, Signature, verify_bytes};
use std::collections::BTreeSet;

use super::limits::MEMBERS_MAX;

/// Begins the bytes of every vote, so that a vote's signature is never one of anything else.
const VOTE_DOMAIN: &[u8] = b"hansa/vote/v1";

/// One member with a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorInfo {
    /// The member's code, as `EE`.
    pub name: String,
    /// The key that signs its votes.
    pub key: PublicKey,
}

/// What a vote is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteKind {
    /// "This block holds": the first of two votes.
    Prevote,
    /// "This block is final if enough say so": the second.
    Precommit,
}

/// The bytes that a member signs to vote: domain, chain id, kind (1 byte), height (8, little endian), round (8, little endian,
/// -1 for none), then 0, or 1 and the block's id. The voter is not in them: all votes for one thing sign the same bytes.
#[must_use]
pub fn vote_bytes(
    chain_id: &[u8; 32],
    kind: VoteKind,
    height: u64,
    round: i64,
    id: Option<&[u8; 32]>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(VOTE_DOMAIN.len() + 32 + 1 + 8 + 8 + 33);
    bytes.extend_from_slice(VOTE_DOMAIN);
    bytes.extend_from_slice(chain_id);
    bytes.push(match kind {
        VoteKind::Prevote => 1,
        VoteKind::Precommit => 2,
    });
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes.extend_from_slice(&round.to_le_bytes());
    match id {
        None => bytes.push(0),
        Some(id) => {
            bytes.push(1);
            bytes.extend_from_slice(id);
        }
    }
    bytes
}

/// The bytes that more than two thirds of the members sign to decide a block.
#[must_use]
pub fn precommit_bytes(chain_id: &[u8; 32], height: u64, round: u32, id: &[u8; 32]) -> Vec<u8> {
    vote_bytes(chain_id, VoteKind::Precommit, height, i64::from(round), Some(id))
}

/// How many of `members` must sign: more than two thirds, by count.
#[must_use]
pub fn quorum(members: usize) -> usize {
    members.saturating_mul(2) / 3 + 1
}

/// How many of `members` may lie or be down without harm: fewer than a third.
#[must_use]
pub fn faults_max(members: usize) -> usize {
    members.saturating_sub(1) / 3
}

/// The precommits that decided a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Height of the block.
    pub height: u64,
    /// The round in which it was decided.
    pub round: u32,
    /// Id of the block.
    pub id: [u8; 32],
    /// Who signed, with the signature over [`precommit_bytes`]; sorted by key.
    pub signatures: Vec<(PublicKey, Signature)>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("the certificate cannot be read: {0}")]
    Malformed(String),
    /// More signatures than a federation has members.
    #[error("the certificate carries {0} signatures, more than any federation has members")]
    TooMany(usize),
    /// A signer that has no vote at this height.
    #[error("the certificate of height {height} is signed by {signer}, which has no vote there")]
    Stranger {
        /// The certificate's height.
        height: u64,
        /// The key in question.
        signer: PublicKey,
    },
    /// A member appears twice.
    #[error("the certificate counts member {0} twice")]
    Duplicate(PublicKey),
    /// A signature that does not hold.
    #[error("the signature of member {0} in the certificate does not hold")]
    Signature(PublicKey),
    /// Not more than two thirds.
    #[error("{signed} of {members} members signed the block, {needed} are needed")]
    TooFew {
        /// Members that signed.
        signed: usize,
        /// Members with a vote.
        members: usize,
        /// Members needed.
        needed: usize,
    },
}

impl Certificate {
    /// The certificate's one encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    /// Reads a certificate; bytes left over and more signatures than a federation has members are refused.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] and [`CertificateError::TooMany`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CertificateError> {
        let certificate: Self =
            borsh::from_slice(bytes).map_err(|error| CertificateError::Malformed(error.to_string()))?;
        if certificate.signatures.len() > MEMBERS_MAX {
            return Err(CertificateError::TooMany(certificate.signatures.len()));
        }
        Ok(certificate)
    }
}

/// Checks that more than two thirds of `validators` (the members that sign the certificate's height) signed the block.
///
/// # Errors
/// Which condition fails: each signer a member, no member twice, every signature good, enough of them.
pub fn verify_certificate(
    chain_id: &[u8; 32],
    validators: &[ValidatorInfo],
    certificate: &Certificate,
) -> Result<(), CertificateError> {
    let bytes = precommit_bytes(chain_id, certificate.height, certificate.round, &certificate.id);
    verify_certificate_with(validators, certificate, |signer, signature| {
        verify_bytes(signer, &bytes, signature).is_ok()
    })
}

/// As [`verify_certificate`], with the check of one signature over [`precommit_bytes`] given: a node asks its cache first.
///
/// # Errors
/// As [`verify_certificate`].
pub fn verify_certificate_with(
    validators: &[ValidatorInfo],
    certificate: &Certificate,
    mut holds: impl FnMut(&PublicKey, &Signature) -> bool,
) -> Result<(), CertificateError> {
    if certificate.signatures.len() > MEMBERS_MAX {
        return Err(CertificateError::TooMany(certificate.signatures.len()));
    }
    let members: BTreeSet<&PublicKey> = validators.iter().map(|member| &member.key).collect();
    let mut signers = BTreeSet::new();
    for (signer, _) in &certificate.signatures {
        if !members.contains(signer) {
            return Err(CertificateError::Stranger { height: certificate.height, signer: *signer });
        }
        if !signers.insert(signer) {
            return Err(CertificateError::Duplicate(*signer));
        }
    }
    let needed = quorum(members.len());
    if signers.len() < needed {
        return Err(CertificateError::TooFew { signed: signers.len(), members: members.len(), needed });
    }
    for (signer, signature) in &certificate.signatures {
        if !holds(signer, signature) {
            return Err(CertificateError::Signature(*signer));
        }
    }
    Ok(())
}
