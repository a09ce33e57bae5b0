//! Members go down, come back, lose things, and cannot keep things.

use super::federation::{Federation, network_key};
use crate::consensus::application::Application;
use crate::consensus::{FatalReason, StartError, start};
use std::sync::Arc;
use std::time::Duration;

/// A bound for members that end. To write the backtrace of a panic alone takes seconds in a debug build.
const END_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_down_catches_up() {
    let mut federation = Federation::started(4).await;
    federation.submit(1);
    federation.reach(1).await;
    federation.stop(3).await;
    for number in 2..=9 {
        federation.submit(number);
        federation.reach(number).await;
    }
    assert_eq!(federation.tips(), [9, 9, 9, 1]);

    federation.start(3).await;
    federation.nodes[3].ledger.reach(9).await;
    let rounds = federation.agree();
    // Heights 4 and 8 are its turn in round 0.
    assert!(rounds[3] > 0 && rounds[7] > 0, "a proposer that is down costs a round: {rounds:?}");
    assert_eq!(rounds[1], 0, "a proposer that is up costs none: {rounds:?}");

    federation.submit(10);
    federation.reach(10).await;
    federation.agree();
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_restart_and_go_on() {
    let mut federation = Federation::started(4).await;
    for number in 1..=3 {
        federation.submit(number);
        federation.reach(number).await;
    }
    for index in 0..4 {
        federation.stop(index).await;
    }
    for index in 0..4 {
        federation.start(index).await;
    }
    federation.submit(4);
    federation.reach(4).await;
    federation.agree();
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_never_was_there_catches_up() {
    let mut federation = Federation::new(4);
    for index in 0..3 {
        federation.start(index).await;
    }
    for number in 1..=25 {
        federation.submit(number);
        federation.applied(number).await;
    }
    federation.start(3).await;
    let height = federation.tips()[0];
    federation.nodes[3].ledger.reach(height).await;
    federation.agree();
    assert_eq!(federation.nodes[3].ledger.state().applied.len(), 25);
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decided_block_that_is_lost_is_fetched() {
    let federation = Federation::started(4).await;
    federation.nodes[2].ledger.state().forgetful = true;
    federation.submit(1);
    federation.reach(1).await;
    assert!(federation.nodes[2].ledger.state().fetches > 0, "the peers were asked");
    federation.agree();
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_wrong_clock_does_not_vote_but_follows() {
    let federation = Federation::started(4).await;
    federation.nodes[2].ledger.state().untimely = true;
    for number in 1..=2 {
        federation.submit(number);
        federation.reach(number).await;
    }
    federation.agree();
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_ends_the_member_and_not_the_others() {
    let mut federation = Federation::started(4).await;
    federation.nodes[0].ledger.state().commit_fails = true;
    federation.submit(1);
    let handle = federation.nodes[0].handle.as_mut().unwrap();
    let fatal = tokio::time::timeout(END_TIMEOUT, &mut handle.fatal).await;
    let reason = fatal.expect("the member ends").expect("with a reason");
    assert!(matches!(reason, FatalReason::CommitFailed { height: 1, .. }), "{reason:?}");
    assert!(!reason.restart_helps());
    federation.stop(0).await;
    federation.submit(2);
    federation.applied(2).await;
    assert_eq!(federation.tips()[0], 0, "what was not kept is not there");

    // With its disk back it gets the block again, from its log or from the others.
    federation.nodes[0].ledger.state().commit_fails = false;
    federation.start(0).await;
    let height = federation.tips()[1];
    federation.nodes[0].ledger.reach(height).await;
    federation.agree();
    federation.stop_all().await;
}

/// Otherwise it would go on without voting, ask for the same block for ever, and nobody would start it again: seed 62 of the simulator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_keep_nothing_more_ends_and_who_may_try_again_stays() {
    let mut federation = Federation::started(4).await;
    federation.nodes[0].ledger.state().keep_fails = true;
    federation.submit(1);
    for node in &federation.nodes[1..] {
        node.ledger.reach(1).await;
    }
    federation.nodes[0].ledger.state().keep_fails = false;
    federation.nodes[0].ledger.reach(1).await;
    let handle = federation.nodes[0].handle.as_mut().unwrap();
    assert!(handle.fatal.try_recv().is_err(), "with room again it goes on");

    federation.nodes[0].ledger.state().keep_fails = true;
    federation.nodes[0].ledger.state().broken = true;
    federation.submit(2);
    let handle = federation.nodes[0].handle.as_mut().unwrap();
    let fatal = tokio::time::timeout(END_TIMEOUT, &mut handle.fatal).await;
    let reason = fatal.expect("the member ends").expect("with a reason");
    assert!(matches!(reason, FatalReason::KeepFailed { .. }), "{reason:?}");
    assert!(!reason.restart_helps() && reason.state_is_sound());
    federation.stop(0).await;
    federation.applied(2).await;

    federation.nodes[0].ledger.state().keep_fails = false;
    federation.nodes[0].ledger.state().broken = false;
    federation.start(0).await;
    let height = federation.tips()[1];
    federation.nodes[0].ledger.reach(height).await;
    federation.agree();
    federation.stop_all().await;
}

/// Attack 24 on contracts: who panics over a block is not to vote for it, nor to go on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_24_a_panic_while_a_block_is_executed_ends_the_member_and_not_the_others() {
    let mut federation = Federation::started(4).await;
    federation.nodes[0].ledger.state().breaks = true;
    federation.submit(1);
    let handle = federation.nodes[0].handle.as_mut().unwrap();
    let fatal = tokio::time::timeout(END_TIMEOUT, &mut handle.fatal).await;
    let reason = fatal.expect("the member ends").expect("with a reason");
    assert!(matches!(reason, FatalReason::ApplicationPanicked(_)), "{reason:?}");
    federation.stop(0).await;
    federation.applied(1).await;
    assert_eq!(federation.tips()[0], 0, "nothing of the block is there");

    // Started anew with sound glue it gets the block that the others made.
    federation.nodes[0].ledger.state().breaks = false;
    federation.start(0).await;
    let height = federation.tips()[1];
    federation.nodes[0].ledger.reach(height).await;
    federation.agree();
    federation.stop_all().await;
}

/// The same where its round has long gone on without the block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_that_comes_after_the_round_ends_the_member_too() {
    let mut federation = Federation::started(4).await;
    federation.nodes[0].ledger.state().stalls = true;
    let mut number = 0;
    while !federation.nodes[0].ledger.state().stalled {
        number += 1;
        federation.submit(number);
        federation.applied(number).await;
    }
    // The others have gone on, so that its time is over.
    federation.submit(number + 1);
    federation.applied(number + 1).await;
    let handle = federation.nodes[0].handle.as_mut().unwrap();
    assert!(handle.fatal.try_recv().is_err(), "to be slow is no reason to end");
    federation.nodes[0].ledger.release();
    let handle = federation.nodes[0].handle.as_mut().unwrap();
    let fatal = tokio::time::timeout(END_TIMEOUT, &mut handle.fatal).await;
    let reason = fatal.expect("the member ends").expect("with a reason");
    assert!(matches!(reason, FatalReason::ApplicationPanicked(_)), "{reason:?}");
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_work_says_why() {
    let mut federation = Federation::new(1);
    federation.start(0).await;
    let ledger = Arc::clone(&federation.nodes[0].ledger) as Arc<dyn Application>;
    let good = federation.nodes[0].config.clone();

    let twice = start(good.clone(), Arc::clone(&ledger)).await.unwrap_err();
    assert!(matches!(twice, StartError::AddressInUse { .. }), "{twice}");

    let mut config = good.clone();
    config.listen_address = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    let same_log = start(config.clone(), Arc::clone(&ledger)).await.unwrap_err();
    assert!(matches!(same_log, StartError::LogInUse { .. }), "{same_log}");

    config.listen_address = "/dns/node.example/tcp/4000".parse().unwrap();
    let name = start(config, Arc::clone(&ledger)).await.unwrap_err();
    assert!(matches!(name, StartError::Address(_)), "{name}");

    let mut config = good;
    config.validator_key = network_key(0);
    let keys = start(config, ledger).await.unwrap_err();
    assert!(matches!(keys, StartError::SameKeys), "{keys}");
    federation.stop_all().await;
}

#[test]
fn a_state_in_doubt_is_not_written_down() {
    use crate::consensus::FatalReason;
    use crate::consensus::application::AppError;
    let error = || AppError("the disk is full".into());
    for (reason, sound) in [
        (FatalReason::EngineEnded, true),
        (FatalReason::SafetyHang, true),
        (FatalReason::FinalizeFailed { height: 1, error: error() }, true),
        (FatalReason::VersionSkew { height: 1, id: [0; 32] }, true),
        (FatalReason::CommitFailed { height: 1, error: error() }, false),
        (FatalReason::ApplicationPanicked("an assertion".into()), false),
    ] {
        assert_eq!(reason.state_is_sound(), sound, "{reason}");
    }
}
