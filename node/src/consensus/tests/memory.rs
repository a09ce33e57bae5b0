//! Members whose engine has lost its log: they say nothing twice, and follow the others until it is safe to vote again.

use super::federation::{Federation, validator_key};
use crate::consensus::FatalReason;
use crate::consensus::last_signed::{EngineLog, LAST_SIGNED_FILE, LastSigned, Statement, Step, read_log};
use crate::consensus::signing::{MemberSigner, MemberVerifier, WITHHELD, signed_vote_bytes};
use malachitebft_core_types::{NilOrVal, Round, VoteType};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Waits until the member's own log holds a vote of it, with only two of four members there, so that nothing is decided.
async fn voted(federation: &Federation, index: usize) -> Vec<Statement> {
    let (path, key) = (federation.nodes[index].config.wal_path.clone(), validator_key(index).public_key());
    let until = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let own = read_log(&path, &key).unwrap().own;
        if own.iter().any(|statement| statement.step != Step::Proposal) {
            return own;
        }
        assert!(std::time::Instant::now() < until, "member {index} does not vote");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a member whose disk was damaged no longer has.
fn damage(wal: &Path, how: &str) {
    match how {
        "gone" => std::fs::remove_file(wal).unwrap(),
        "cut to its beginning" => {
            let log = std::fs::OpenOptions::new().write(true).open(wal).unwrap();
            log.set_len(12).unwrap();
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_its_log_signs_nothing_twice() {
    for how in ["gone", "cut to its beginning"] {
        let mut federation = Federation::new(4);
        federation.start(0).await;
        federation.start(1).await;
        // The first member proposes a block with 1 in it, and votes.
        federation.nodes[0].ledger.submit(1);
        let said = voted(&federation, 0).await;
        federation.stop(0).await;
        let wal = federation.nodes[0].config.wal_path.clone();
        damage(&wal, how);
        // It knows neither its block nor its transaction any more, and would propose and vote for another.
        let ledger = Arc::clone(&federation.nodes[0].ledger);
        {
            let mut state = ledger.state();
            state.undecided.clear();
            state.mempool.clear();
        }
        federation.nodes[0].ledger.submit(2);
        federation.start(0).await;
        // Time for what it would say, which its new log would hold.
        let mut round = federation.nodes[0].handle.as_ref().unwrap().status_changes();
        let begun = round.wait_for(|status| status.height == 1);
        tokio::time::timeout(Duration::from_secs(20), begun).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let again = read_log(&wal, &validator_key(0).public_key()).unwrap();
        assert_eq!(again.height, 1);
        assert_eq!(again.own, [], "the log was {how}, and it had said {said:?}");
        federation.start(2).await;
        federation.start(3).await;
        federation.submit(3);
        // The other three decide without it, and it follows.
        federation.reach(1).await;
        federation.submit(4);
        federation.applied(4).await;
        federation.agree();
        for node in &federation.nodes {
            assert_eq!(node.ledger.state().evidence, Vec::<Vec<u8>>::new(), "the log was {how}");
        }
        // From then on it votes again: with one of the others away, nothing is decided without it.
        federation.stop(3).await;
        federation.submit(5);
        federation.applied(5).await;
        federation.stop_all().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_believed_ends_the_member_for_a_person_to_look() {
    let mut federation = Federation::new(4);
    federation.start(0).await;
    federation.start(1).await;
    federation.nodes[0].ledger.submit(1);
    voted(&federation, 0).await;
    federation.stop(0).await;
    // One bit of the first entry's data: its checksum is wrong, and the engine stops itself and waits for ever.
    let wal = federation.nodes[0].config.wal_path.clone();
    let mut bytes = std::fs::read(&wal).unwrap();
    bytes[12 + 13 + 20] ^= 1;
    std::fs::write(&wal, bytes).unwrap();
    federation.start(0).await;
    let handle = federation.nodes[0].handle.as_mut().unwrap();
    let fatal = tokio::time::timeout(Duration::from_secs(60), &mut handle.fatal).await;
    let reason = fatal.expect("it is told apart from a quiet federation").expect("with a reason");
    assert_eq!(reason, FatalReason::SafetyHang);
    assert!(!reason.restart_helps());
    assert!(reason.to_string().contains("hansa node rebuild --keep-ledger"), "{reason}");
    federation.stop(0).await;
    // Without the log, which the record of what was signed makes up for, it follows and votes again.
    damage(&wal, "gone");
    for index in [0, 2, 3] {
        federation.start(index).await;
    }
    federation.submit(2);
    federation.reach(1).await;
    federation.agree();
    assert!(federation.nodes.iter().all(|node| node.ledger.state().evidence.is_empty()));
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_height_costs_the_signer_a_few_writes_and_no_wait_for_the_disk() {
    let federation = Federation::started(4).await;
    for number in 1..=5 {
        federation.submit(number);
        federation.applied(number).await;
    }
    let heights = federation.tips()[0];
    for (index, node) in federation.nodes.iter().enumerate() {
        let last_signed = node.handle.as_ref().unwrap().last_signed();
        let (writes, last) = (last_signed.writes(), last_signed.last().expect("it has voted"));
        assert!(last.height >= heights.saturating_sub(1), "member {index} noted {last:?}");
        assert!(writes >= 2 * (heights - 1), "member {index}: each vote is noted before it leaves");
        assert_eq!(last_signed.fsyncs(), 2, "file and folder, when it was opened");
    }
    federation.stop_all().await;
}

#[test]
fn a_withheld_signature_holds_for_nobody_and_goes_nowhere() {
    use crate::consensus::codec::LedgerCodec;
    use crate::consensus::context::{Address, BlockId, Height, Vote};
    use malachitebft_app_channel::app::types::codec::Codec as _;
    use malachitebft_core_consensus::{LivenessMsg, SignedConsensusMsg};
    use malachitebft_signing::Signer as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LAST_SIGNED_FILE);
    let chain = super::ledger::CHAIN;
    let memory = Arc::new(LastSigned::open(&path, chain, 1, &EngineLog::default()).unwrap());
    let signer = MemberSigner::new(chain, validator_key(0), Arc::clone(&memory));
    let vote = |id: u8| Vote {
        kind: VoteType::Precommit,
        height: Height(4),
        round: Round::new(0),
        value: NilOrVal::Val(BlockId([id; 32])),
        voter: Address(validator_key(0).public_key()),
    };
    let sign = |id| futures::executor::block_on(signer.sign_vote(vote(id))).unwrap();
    let (first, again, other) = (sign(1), sign(1), sign(2));
    assert_eq!(first.signature, again.signature, "the same bytes again");
    assert_eq!(other.signature, WITHHELD);
    assert_eq!(signer.sign_parts(4, Round::new(0), Round::Nil, &[2; 32]), None);
    assert!(signer.withholds(4) && !signer.withholds(5));
    let verifier = MemberVerifier::new(chain);
    assert!(verifier.vote_holds(&first.message, &first.signature));
    for index in 0..8 {
        let key = validator_key(index).public_key();
        assert!(!verifier.holds(&key, &signed_vote_bytes(&chain, &vote(2)), &WITHHELD));
    }
    let codec = LedgerCodec::default();
    assert!(codec.encode(&SignedConsensusMsg::Vote(first)).is_ok());
    assert!(codec.encode(&SignedConsensusMsg::Vote(other.clone())).is_err());
    assert!(codec.encode(&LivenessMsg::Vote(other)).is_err());
}
