//! What proves to anybody that a block is final: more than two thirds of the members signed it.
//!
//! This is the light client's half. It shares the bytes with the node's consensus module and none of its code, so that an agent
//! or a command line has to trust no node.

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::block::{Header, Validator, members_hash};
use hansa_ledger::genesis::Genesis;
use hansa_ledger_signature::{PublicKey, Signature, verify_bytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

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
    genesis.validators()
}

/// A set of members takes over from the one before, shown by a block that it signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Handover {
    /// The height from which the set signs.
    pub from: u64,
    /// The set, by code.
    #[schema(value_type = Vec<Object>)]
    pub validators: Vec<Validator>,
    /// The header of a block that it signed; none where the node keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub header: Option<Header>,
    /// The certificate of that block: borsh, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hansa_ledger::bytes::option")]
    #[schema(value_type = Option<String>)]
    pub certificate: Option<Vec<u8>>,
}

/// Finds the set that signed `header`, beginning with the members that are trusted. A later set is believed when more than two
/// thirds of it signed a block and more than a third of the last believed set are among those who did: with fewer than a third
/// of a set faulty, an honest member of it vouches for the next. One block never replaces a third of the members, so an honest
/// chain can always be followed.
///
/// # Errors
/// [`CertificateError::OtherMembers`] when no believed set signed the header.
pub fn follow(
    trusted: &[Validator],
    handovers: &[Handover],
    header: &Header,
) -> Result<Vec<Validator>, CertificateError> {
    let mut believed = trusted.to_vec();
    for handover in handovers {
        if members_hash(&believed) == header.members_hash {
            return Ok(believed);
        }
        let (Some(shown), Some(bytes)) = (&handover.header, &handover.certificate) else { continue };
        if shown.chain != header.chain || verify(shown, bytes, &handover.validators).is_err() {
            continue;
        }
        let certificate: Certificate = borsh::from_slice(bytes).map_err(|_| CertificateError::Malformed)?;
        let vouches = |one: &&Validator| certificate.signatures.iter().any(|(signer, _)| *signer == one.key);
        if believed.iter().filter(vouches).count() * 3 > believed.len() {
            believed.clone_from(&handover.validators);
        }
    }
    if members_hash(&believed) == header.members_hash {
        Ok(believed)
    } else {
        Err(CertificateError::OtherMembers)
    }
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
    fn sets_of_members_are_followed_as_far_as_the_one_before_vouches_for_the_next() {
        let members = members();
        let key = |index: usize| &members[index].0;
        let one = |index: usize| members[index].1.clone();
        let newcomer = SecretKey::from_bytes([5; 32]);
        let stranger = SecretKey::from_bytes([6; 32]);
        let fifth = Validator { member: "PL".parse().unwrap(), key: newcomer.public_key() };
        let sixth = Validator { member: "PT".parse().unwrap(), key: stranger.public_key() };
        let genesis: Vec<Validator> = (0..4).map(one).collect();
        let left = vec![one(0), one(1), one(2)];
        let joined = vec![one(0), one(1), one(2), fifth];
        let strange = vec![sixth];
        let signed = |set: &[Validator], height: u64, keys: &[&SecretKey]| {
            let header = Header { height, ..header(set) };
            let signatures =
                keys.iter().map(|key| (key.public_key(), key.sign(&precommit_bytes(&header, 0)))).collect();
            let certificate = Certificate { height, round: 0, id: header.id().0, signatures };
            let certificate = Some(borsh::to_vec(&certificate).unwrap());
            Handover { from: height, validators: set.to_vec(), header: Some(header), certificate }
        };
        let three = [key(0), key(1), key(2)];
        let first = signed(&left, 8, &three);
        let second = signed(&joined, 20, &[key(0), key(1), &newcomer]);
        let last = |handover: &Handover| handover.header.clone().unwrap();
        let honest = [first.clone(), second.clone()];
        assert_eq!(follow(&genesis, &honest, &header(&genesis)), Ok(genesis.clone()));
        assert_eq!(follow(&genesis, &honest, &last(&first)), Ok(left.clone()));
        assert_eq!(follow(&genesis, &honest, &last(&second)), Ok(joined.clone()));
        // A set whose blocks nobody keeps is passed over, as long as the next has enough of the believed ones.
        let gone = Handover { header: None, certificate: None, ..first.clone() };
        assert_eq!(follow(&genesis, &[gone, second.clone()], &last(&second)), Ok(joined));
        let refused = Err(CertificateError::OtherMembers);
        assert_eq!(follow(&genesis, &[], &last(&first)), refused);
        // Nobody of the trusted members vouches for it, or too few of the new ones signed.
        let alone = signed(&strange, 8, &[&stranger]);
        assert_eq!(follow(&genesis, std::slice::from_ref(&alone), &last(&alone)), refused);
        let few = signed(&left, 8, &three[..2]);
        assert_eq!(follow(&genesis, std::slice::from_ref(&few), &last(&few)), refused);
        // One of four is not more than a third.
        let mostly =
            signed(&[one(0), Validator { key: stranger.public_key(), ..one(1) }], 8, &[key(0), &stranger]);
        assert_eq!(follow(&genesis, std::slice::from_ref(&mostly), &last(&mostly)), refused);
        // A set of another federation, signed by the same keys.
        let mut other = last(&first);
        other.chain = ChainId([9; 32]);
        assert_eq!(follow(&genesis, &[first], &other), refused);
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
        let three = self::header(&validators[..3]);
        let signatures =
            keys[..2].iter().map(|key| (key.public_key(), key.sign(&precommit_bytes(&three, 0)))).collect();
        let exactly = Certificate { height: three.height, round: 0, id: three.id().0, signatures };
        let exactly = verify(&three, &borsh::to_vec(&exactly).unwrap(), &validators[..3]);
        assert_eq!(exactly, Err(CertificateError::TooFew { signed: 2, members: 3 }), "exactly two thirds");
        let good = borsh::to_vec(&sign(&keys, 0)).unwrap();
        assert_eq!(verify(&header, &good, &validators[..3]), Err(CertificateError::OtherMembers));
    }
}
