//! Heights come when there is a reason, and only then.

use super::federation::Federation;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_heights_under_load() {
    let federation = Federation::started(4).await;
    for node in &federation.nodes {
        // Four parts of a body, the last of them short.
        node.ledger.state().padding = 400_000;
    }
    let mut number = 0;
    while federation.tips().into_iter().min() < Some(20) {
        federation.submit(number);
        federation.applied(number).await;
        number += 1;
    }
    federation.agree();
    for node in &federation.nodes {
        assert_eq!(node.ledger.state().applied.len() as u64, number);
        assert!(node.ledger.state().evidence.is_empty(), "honest members sign one thing");
    }
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_federation_makes_nothing_until_there_is_work() {
    let federation = Federation::started(4).await;
    federation.submit(1);
    federation.reach(1).await;
    // Longer than every timeout of a round: a height that had started would show.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(federation.tips(), [1; 4]);
    for node in &federation.nodes {
        assert_eq!(node.handle.as_ref().unwrap().status().height, 1, "nobody left the pause");
    }
    let submitted = Instant::now();
    federation.submit(2);
    federation.reach(2).await;
    let waited = submitted.elapsed();
    assert!(waited < Duration::from_secs(2), "the height came after {waited:?}");
    assert_eq!(federation.tips(), [2; 4]);
    let rounds = federation.agree();
    assert_eq!(rounds[1], 0, "the first proposer had the transaction");
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_follow_one_that_alone_knows_of_work() {
    let federation = Federation::started(4).await;
    federation.submit(1);
    federation.reach(1).await;
    // Height 2, round 0 is the second member's turn. Its valid block ends the pause of the others.
    federation.nodes[1].ledger.submit(2);
    federation.reach(2).await;
    assert_eq!(federation.agree()[1], 0);
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_do_not_drift_apart() {
    const HEIGHTS: u64 = 36;
    const THIRD: u64 = HEIGHTS / 3;
    let federation = Federation::started(4).await;
    for number in 1..=HEIGHTS {
        // The last member hears of each transaction only when another has applied it: on its own it would always be late.
        for node in &federation.nodes[..3] {
            node.ledger.submit(number);
        }
        federation.nodes[(number % 3) as usize].ledger.reach(number).await;
        federation.nodes[3].ledger.submit(number);
    }
    federation.reach(HEIGHTS).await;
    federation.agree();
    let moments = |of: fn(&super::ledger::State) -> &BTreeMap<u64, u64>| -> Vec<BTreeMap<u64, u64>> {
        federation.nodes.iter().map(|node| of(&node.ledger.state()).clone()).collect()
    };
    let (began, ended) = (moments(|state| &state.began), moments(|state| &state.ended));
    // How far the first was ahead of the last whenever somebody began a height; 1 is the least.
    let lead = |height: u64| {
        let first = began.iter().filter_map(|one| one.get(&height)).min().expect("somebody began it");
        let last = ended.iter().map(|one| one.values().filter(|moment| *moment < first).count() as u64);
        height - last.min().expect("there are members")
    };
    let worst = |heights: std::ops::RangeInclusive<u64>| heights.map(lead).max().expect("there are heights");
    let (early, late) = (worst(1..=THIRD), worst(HEIGHTS - THIRD + 1..=HEIGHTS));
    assert!(worst(1..=HEIGHTS) <= 4, "a member is never a whole round of turns behind");
    assert!(late <= early + 1, "first {early}, then {late} heights between the first and the last");
    // Who is late for good begins each height after it is over for another, from messages that were kept for it.
    for (index, one) in began.iter().enumerate() {
        let over = |height: &u64| ended.iter().map(|one| one[height]).min().expect("there are members");
        let in_time = (HEIGHTS - THIRD + 1..=HEIGHTS)
            .filter(|height| one.get(height).is_some_and(|began| *began < over(height)));
        let in_time = in_time.count() as u64;
        assert!(in_time * 2 >= THIRD, "member {index} was there for {in_time} of the last {THIRD} heights");
    }
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_noisy_member_keeps_nobody_awake() {
    let federation = Federation::started(4).await;
    federation.submit(1);
    federation.reach(1).await;
    // The noisy member is the one whose turn comes, so it can propose its empty block.
    federation.nodes[1].ledger.set_noisy();
    let mut seen = federation.nodes[0].handle.as_ref().unwrap().status_changes();
    let left = tokio::time::timeout(Duration::from_millis(2_500), seen.wait_for(|status| status.height > 1));
    assert!(left.await.is_err(), "an empty block ended the pause");
    assert_eq!(federation.tips(), [1; 4]);
    let noisy = federation.nodes[1].handle.as_ref().unwrap().status();
    assert_eq!(noisy.height, 2, "the noisy member itself is awake");
    let judged = federation.nodes[0].ledger.state().checks.clone();
    assert!(judged.iter().any(|(height, _)| *height == 2), "its empty block was seen and refused");

    federation.submit(2);
    federation.reach(2).await;
    federation.agree();
    for node in &federation.nodes {
        assert_eq!(node.ledger.state().applied.len(), 2, "no block was empty");
    }
    federation.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_lose_parts_fetch_the_block_and_vote_in_its_round() {
    let mut federation = Federation::new(4);
    // Two of four hear no body: without it a block of another has two votes, and the round passes.
    for index in 0..4 {
        federation.start_hearing(index, if index < 2 { |_| true } else { |part| part.sequence != 1 }).await;
    }
    for number in 1..=8 {
        federation.submit(number);
        federation.applied(number).await;
    }
    federation.reach(8).await;
    let rounds = federation.agree();
    // A busy machine may take longer than a round; the rule is that no height needs another one.
    let late = rounds.iter().filter(|round| **round > 0).count();
    assert!(late <= 1, "rounds {rounds:?}");
    let fetches: usize = federation.nodes.iter().map(|node| node.ledger.state().fetches).sum();
    assert!(fetches > 0, "the lost parts were fetched");
    for node in &federation.nodes {
        assert!(node.ledger.state().evidence.is_empty());
    }
    federation.stop_all().await;
}
