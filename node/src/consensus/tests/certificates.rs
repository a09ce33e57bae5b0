//! What a certificate proves, and what not.

use super::federation::{validator_key, validators};
use super::ledger::CHAIN;
use crate::consensus::certificate::*;
use hansa_ledger_signature::{PublicKey, Signature};

const ID: [u8; 32] = [9; 32];

fn signed(index: usize, chain: &[u8; 32], height: u64, round: u32) -> (PublicKey, Signature) {
    let key = validator_key(index);
    (key.public_key(), key.sign(&precommit_bytes(chain, height, round, &ID)))
}

fn certificate(signers: &[usize]) -> Certificate {
    let signatures = signers.iter().map(|index| signed(*index, &CHAIN, 7, 2)).collect();
    Certificate { height: 7, round: 2, id: ID, signatures }
}

#[test]
fn certificates_prove_only_what_more_than_two_thirds_signed() {
    let key = |index| validator_key(index).public_key();
    let too_few = |signed| Err(CertificateError::TooFew { signed, members: 4, needed: 3 });
    let mut other_round = certificate(&[0, 1, 2]);
    other_round.round = 3;
    let mut other_chain = certificate(&[0, 1]);
    other_chain.signatures.push(signed(2, &[1; 32], 7, 2));
    let mut prevote = certificate(&[0, 1]);
    let bytes = vote_bytes(&CHAIN, VoteKind::Prevote, 7, 2, Some(&ID));
    prevote.signatures.push((key(2), validator_key(2).sign(&bytes)));
    let table = [
        ("all", certificate(&[0, 1, 2, 3]), Ok(())),
        ("three of four", certificate(&[3, 1, 0]), Ok(())),
        ("two of four", certificate(&[0, 1]), too_few(2)),
        ("none", certificate(&[]), too_few(0)),
        ("one twice", certificate(&[0, 1, 1]), Err(CertificateError::Duplicate(key(1)))),
        (
            "a stranger",
            certificate(&[0, 1, 2, 8]),
            Err(CertificateError::Stranger { height: 7, signer: key(8) }),
        ),
        ("another round", other_round, Err(CertificateError::Signature(key(0)))),
        ("another chain", other_chain, Err(CertificateError::Signature(key(2)))),
        ("a prevote", prevote, Err(CertificateError::Signature(key(2)))),
    ];
    for (name, certificate, expected) in table {
        assert_eq!(verify_certificate(&CHAIN, &validators(4), &certificate), expected, "{name}");
    }
}

#[test]
fn certificates_have_one_encoding_and_a_bound() {
    let bytes = certificate(&[0, 1, 2]).to_bytes();
    assert_eq!(Certificate::from_bytes(&bytes), Ok(certificate(&[0, 1, 2])));
    for length in 0..bytes.len() {
        assert!(Certificate::from_bytes(&bytes[..length]).is_err(), "cut to {length}");
    }
    let longer = [bytes, vec![0]].concat();
    assert!(matches!(Certificate::from_bytes(&longer), Err(CertificateError::Malformed(_))));
    let many = certificate(&[0; 129]);
    assert_eq!(Certificate::from_bytes(&many.to_bytes()), Err(CertificateError::TooMany(129)));
}

#[test]
fn quorums_are_more_than_two_thirds() {
    let table = [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 3, 1), (7, 5, 2), (10, 7, 3), (27, 19, 8)];
    for (members, needed, faults) in table {
        assert_eq!((quorum(members), faults_max(members)), (needed, faults), "{members} members");
    }
}
