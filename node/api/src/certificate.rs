//! What proves to anybody that a block is final: more than two thirds of the members signed it.
//!
//! This is the light client's half. It shares the bytes with the node's consensus module and none of its code, so that an agent
//! or a command line has to trust no node.

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::block::{Header, Validator, members_hash};
use hansa_ledger::genesis::Genesis;
use hansa_ledger_signature::{PublicKey, Signature, verify_bytes};
use std::collections::BTreeSet;

/// Begins the bytes of every vote.
const VOTE_DOMAIN: &[u8] = b"hansa/vote/v1";

/// Marks the second and deciding vote.
const PRECOMMIT: u8 = 2;

/// The precommits that decided a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Height of the block.
    pub height: u64,
    /// The round in which it was decided.
    pub round: u32,
    /// Id of the block.
    pub id: [u8; 32],
    /// Who signed, and the signatures.
    pub signatures: Vec<(PublicKey, Signature)>,
}

/// Why a certificate does not prove its block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are none.
    #[error("the certificate cannot be read; ask another member for it")]
    Malformed,
    /// It is for another block.
    #[error("the certificate is for another block than the header")]
    OtherBlock,
    /// The header is signed by another set of members.
    #[error("the block was signed by another set of members than the one given")]
    OtherMembers,
    /// A signer without a vote, or one that stands twice.
    #[error("the certificate counts {0}, which has no vote or stands twice")]
    Signer(PublicKey),
    /// A signature that does not hold.
    #[error("the signature of {0} in the certificate does not hold")]
    Signature(PublicKey),
    /// Not more than two thirds.
    #[error("{signed} of {members} members signed the block, and more than two thirds are needed")]
    TooFew {
        /// Members that signed.
        signed: usize,
        /// Members with a vote.
        members: usize,
    },
}

/// The members with a vote that a genesis names.
#[must_use]
pub fn genesis_validators(genesis: &Genesis) -> Vec<Validator> {
    let mut validators: Vec<Validator> = genesis
        .members
        .iter()
        .map(|member| Validator { member: member.code, key: member.consensus_key })
        .collect();
    validators.sort_by_key(|validator| validator.member);
    validators
}

/// Checks that more than two thirds of `validators` signed the block of this header. `bytes` is the certificate as the API
/// gives it.
///
/// # Errors
/// Which condition fails.
pub fn verify(header: &Header, bytes: &[u8], validators: &[Validator]) -> Result<(), CertificateError> {
    let certificate: Certificate = borsh::from_slice(bytes).map_err(|_| CertificateError::Malformed)?;
    let id = header.id();
    if certificate.height != header.height || certificate.id != id.0 {
        return Err(CertificateError::OtherBlock);
    }
    if members_hash(validators) != header.members_hash {
        return Err(CertificateError::OtherMembers);
    }
    let members = validators.len();
    if certificate.signatures.len() > members {
        return Err(CertificateError::Malformed);
    }
    let bytes = precommit_bytes(header, certificate.round);
    let mut counted = BTreeSet::new();
    for (signer, signature) in &certificate.signatures {
        let votes = validators.iter().any(|validator| validator.key == *signer);
        if !votes || !counted.insert(*signer) {
            return Err(CertificateError::Signer(*signer));
        }
        verify_bytes(signer, &bytes, signature).map_err(|_| CertificateError::Signature(*signer))?;
    }
    let signed = counted.len();
    if signed * 3 > members * 2 { Ok(()) } else { Err(CertificateError::TooFew { signed, members }) }
}

/// The bytes that members sign to decide the block of this header in `round`.
#[must_use]
pub fn precommit_bytes(header: &Header, round: u32) -> Vec<u8> {
    let mut bytes = VOTE_DOMAIN.to_vec();
    bytes.extend_from_slice(&header.chain.0);
    bytes.push(PRECOMMIT);
    bytes.extend_from_slice(&header.height.to_le_bytes());
    bytes.extend_from_slice(&i64::from(round).to_le_bytes());
    bytes.push(1);
    bytes.extend_from_slice(&header.id().0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger::id::{BlockId, ChainId};
    use hansa_ledger::time::TimeMs;
    use hansa_ledger_signature::SecretKey;

    fn members() -> Vec<(SecretKey, Validator)> {
        ["DE", "EE", "ES", "FR"]
            .iter()
            .zip(1u8..)
            .map(|(code, seed)| {
                let key = SecretKey::from_bytes([seed; 32]);
                let validator = Validator { member: code.parse().unwrap(), key: key.public_key() };
                (key, validator)
            })
            .collect()
    }

    fn header(validators: &[Validator]) -> Header {
        Header {
            protocol_version: 1,
            chain: ChainId([1; 32]),
            height: 7,
            time: TimeMs(1),
            parent: BlockId([2; 32]),
            proposer: validators[0].member,
            transactions_root: [3; 32],
            waiting_root: [6; 32],
            receipts_root: [4; 32],
            state_root: [5; 32],
            members_hash: members_hash(validators),
        }
    }

    #[test]
    fn more_than_two_thirds_of_the_members_prove_a_block_and_nothing_less_does() {
        let members = members();
        let validators: Vec<Validator> = members.iter().map(|(_, validator)| validator.clone()).collect();
        let header = header(&validators);
        let sign = |signers: &[&SecretKey], round| Certificate {
            height: header.height,
            round,
            id: header.id().0,
            signatures: signers
                .iter()
                .map(|key| (key.public_key(), key.sign(&precommit_bytes(&header, round))))
                .collect(),
        };
        let check =
            |certificate: &Certificate| verify(&header, &borsh::to_vec(certificate).unwrap(), &validators);
        let keys: Vec<&SecretKey> = members.iter().map(|(key, _)| key).collect();
        let stranger = SecretKey::from_bytes([9; 32]);

        assert_eq!(check(&sign(&keys[..3], 0)), Ok(()));
        assert_eq!(check(&sign(&keys, 2)), Ok(()));
        assert_eq!(check(&sign(&keys[..2], 0)), Err(CertificateError::TooFew { signed: 2, members: 4 }));
        let strange = sign(&[keys[0], keys[1], &stranger], 0);
        assert_eq!(check(&strange), Err(CertificateError::Signer(stranger.public_key())));
        let twice = sign(&[keys[0], keys[1], keys[1]], 0);
        assert_eq!(check(&twice), Err(CertificateError::Signer(keys[1].public_key())));
        let other_round = Certificate { round: 1, ..sign(&keys[..3], 0) };
        assert_eq!(check(&other_round), Err(CertificateError::Signature(keys[0].public_key())));
        assert_eq!(check(&Certificate { id: [0; 32], ..sign(&keys, 0) }), Err(CertificateError::OtherBlock));
        assert_eq!(verify(&header, &[1, 2], &validators), Err(CertificateError::Malformed));
        let good = borsh::to_vec(&sign(&keys, 0)).unwrap();
        assert_eq!(verify(&header, &good, &validators[..3]), Err(CertificateError::OtherMembers));
    }
}
