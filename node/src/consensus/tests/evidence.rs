//! What members signed twice is written down so that anyone can check it.

use super::federation::validator_key;
use super::host::{Desk, proposal};
use super::ledger::CHAIN;
use crate::consensus::certificate::precommit_bytes;
use crate::consensus::context::{Address, BlockId, Height, LedgerContext, Proposal, Vote};
use crate::consensus::evidence::{Evidence, EvidenceKind};
use crate::consensus::signing::{MemberVerifier, signed_proposal_bytes, signed_vote_bytes};
use malachitebft_app_channel::AppMsg;
use malachitebft_core_consensus::MisbehaviorEvidence;
use malachitebft_core_types::{
    CommitCertificate, CommitSignature, NilOrVal, Round, SignedProposal, SignedVote, VoteType,
};

/// A vote of a member for the first block, or for nothing.
fn vote(member: usize, value: NilOrVal<BlockId>) -> SignedVote<LedgerContext> {
    let vote = Vote {
        kind: VoteType::Prevote,
        height: Height(1),
        round: Round::new(1),
        value,
        voter: Address(validator_key(member).public_key()),
    };
    let signature = validator_key(member).sign(&signed_vote_bytes(&CHAIN, &vote));
    SignedVote::new(vote, signature)
}

/// A proposal of a member.
fn proposed(member: usize, value: BlockId) -> SignedProposal<LedgerContext> {
    let proposal = Proposal {
        height: Height(1),
        round: Round::new(1),
        value,
        pol_round: Round::Nil,
        proposer: Address(validator_key(member).public_key()),
    };
    let signature = validator_key(member).sign(&signed_proposal_bytes(&CHAIN, &proposal));
    SignedProposal::new(proposal, signature)
}

#[tokio::test]
async fn what_a_member_signed_twice_is_kept_with_both_signatures() {
    let desk = Desk::new().await;
    let block = proposal(1, 1, 1, &[4]);
    desk.receive(&block).await.unwrap();
    let id = BlockId(block.fin.id);
    let signed = |index| {
        let key = validator_key(index);
        let signature = key.sign(&precommit_bytes(&CHAIN, 1, 1, &id.0));
        CommitSignature::new(Address(key.public_key()), signature)
    };
    let certificate = CommitCertificate {
        height: Height(1),
        round: Round::new(1),
        value_id: id,
        commit_signatures: (0..3).map(signed).collect(),
    };
    let decided =
        |reply| AppMsg::Decided { certificate: certificate.clone(), extensions: Default::default(), reply };
    desk.ask(decided).await.unwrap();

    let mut evidence = MisbehaviorEvidence { proposals: Default::default(), votes: Default::default() };
    evidence.votes.add(vote(3, NilOrVal::Val(id)), vote(3, NilOrVal::Nil));
    evidence.proposals.add(proposed(1, id), proposed(1, BlockId([9; 32])));
    let (reply, _paused) = tokio::sync::oneshot::channel();
    desk.tell(AppMsg::Finalized {
        certificate: certificate.clone(),
        extensions: Default::default(),
        evidence,
        reply,
    })
    .await;
    // The reply waits for the next height; the next answer comes after what it has to keep.
    desk.ask(|reply| AppMsg::GetHistoryMinHeight { reply }).await.unwrap();

    let kept: Vec<Evidence> =
        desk.ledger.state().evidence.iter().map(|record| borsh::from_slice(record).unwrap()).collect();
    let said: Vec<_> = kept.iter().map(|one| (one.kind, one.height, one.round, one.member)).collect();
    let expected = [(EvidenceKind::Votes, 3), (EvidenceKind::Proposals, 1)]
        .map(|(kind, member)| (kind, 1, 1, validator_key(member).public_key()));
    assert_eq!(said, expected);
    let verifier = MemberVerifier::new(CHAIN);
    for one in &kept {
        assert_ne!(one.first.bytes, one.second.bytes, "two statements");
        for statement in [&one.first, &one.second] {
            assert!(verifier.holds(&one.member, &statement.bytes, &statement.signature));
        }
    }
    let bytes = |one: &Evidence| [one.first.bytes.clone(), one.second.bytes.clone()];
    let votes = [NilOrVal::Val(id), NilOrVal::Nil].map(|value| signed_vote_bytes(&CHAIN, &vote(3, value)));
    assert_eq!(bytes(&kept[0]), votes);
    let proposals = [id, BlockId([9; 32])].map(|value| signed_proposal_bytes(&CHAIN, &proposed(1, value)));
    assert_eq!(bytes(&kept[1]), proposals);
}
