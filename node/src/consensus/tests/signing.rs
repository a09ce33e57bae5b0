//! The bytes that members sign never change.

use super::federation::{validator_key, validators};
use super::ledger::CHAIN;
use crate::consensus::context::*;
use crate::consensus::signing::*;
use malachitebft_core_types::{NilOrVal, Round, VoteType};

fn vote() -> Vote {
    Vote {
        kind: VoteType::Precommit,
        height: Height(0x0102),
        round: Round::new(3),
        value: NilOrVal::Val(BlockId([0xab; 32])),
        voter: Address(validator_key(0).public_key()),
    }
}

fn golden(domain: &str, rest: &str) -> String {
    format!("{}{}{rest}", hex::encode(domain), "2a".repeat(32))
}

#[test]
fn vote_bytes_are_golden() {
    let id = "ab".repeat(32);
    let expected = golden("hansa/vote/v1", &format!("020201000000000000030000000000000001{id}"));
    assert_eq!(hex::encode(signed_vote_bytes(&CHAIN, &vote())), expected);
    let nothing = Vote { kind: VoteType::Prevote, round: Round::Nil, value: NilOrVal::Nil, ..vote() };
    let expected = golden("hansa/vote/v1", "010201000000000000ffffffffffffffff00");
    assert_eq!(hex::encode(signed_vote_bytes(&CHAIN, &nothing)), expected);
    let signature = validator_key(0).sign(&signed_vote_bytes(&CHAIN, &vote()));
    // Made by another implementation from key 0101.. and the bytes above.
    let expected = concat!(
        "5d9d58579bdfc515d01efa3ab9c65b7ee73db59ac7247508614d2288aa494979",
        "cfe4ea5b6717462153106d85547f9192a778bea4ca5a00b6e691e5250ed8a606"
    );
    assert_eq!(signature.to_string(), expected);
}

#[test]
fn proposal_bytes_are_golden() {
    let proposal = Proposal {
        height: Height(0x0102),
        round: Round::new(3),
        value: BlockId([0xab; 32]),
        pol_round: Round::new(1),
        proposer: Address(validator_key(0).public_key()),
    };
    let rest = format!("0201000000000000{}{}{}", "0300000000000000", "0100000000000000", "ab".repeat(32));
    assert_eq!(hex::encode(signed_proposal_bytes(&CHAIN, &proposal)), golden("hansa/proposal/v1", &rest));
    assert_eq!(
        hex::encode(parts_bytes(&CHAIN, 0x0102, Round::new(3), Round::new(1), &[0xab; 32])),
        golden("hansa/parts/v1", &rest)
    );
}

#[test]
fn every_field_of_a_vote_is_signed_but_the_voter() {
    let base = signed_vote_bytes(&CHAIN, &vote());
    let others = [
        Vote { kind: VoteType::Prevote, ..vote() },
        Vote { height: Height(1), ..vote() },
        Vote { round: Round::new(4), ..vote() },
        Vote { value: NilOrVal::Nil, ..vote() },
        Vote { value: NilOrVal::Val(BlockId([1; 32])), ..vote() },
    ];
    for other in others {
        assert_ne!(signed_vote_bytes(&CHAIN, &other), base, "{other:?}");
    }
    assert_ne!(signed_vote_bytes(&[0; 32], &vote()), base, "another chain");
    let verifier = MemberVerifier::new(CHAIN);
    let signature = validator_key(0).sign(&base);
    assert!(verifier.vote_holds(&vote(), &signature));
    let claimed = Vote { voter: Address(validator_key(1).public_key()), ..vote() };
    assert!(!verifier.vote_holds(&claimed, &signature), "the voter's key decides");
}

#[test]
fn turns_go_round_by_height_and_round() {
    let mut shuffled = validators(4);
    shuffled.swap(0, 3);
    let members = Members::new(&shuffled);
    let table = [(1, 0, "M00"), (2, 0, "M01"), (4, 0, "M03"), (5, 0, "M00"), (1, 1, "M01"), (4, 2, "M01")];
    for (height, round, name) in table {
        let proposer = members.proposer(height, round).unwrap();
        assert_eq!(proposer.name(), name, "height {height}, round {round}");
    }
    assert!(members.proposer(u64::MAX, u32::MAX).is_some(), "no height or round overflows");
}
