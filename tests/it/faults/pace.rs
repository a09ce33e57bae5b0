//! When blocks are made: for a reason, or for the heartbeat.

use crate::testnet::Testnet;
use hansa_ledger::action::TransferCash;
use hansa_ledger::event::Event;
use hansa_ledger::money::Money;
use hansa_node_api::chain::BlockInfo;
use std::time::{Duration, Instant};

/// The heartbeat of this federation.
pub const HEARTBEAT_MS: u64 = 2_000;

/// How long a batch of a testnet takes to come.
const BATCH_MS: u64 = 1_000;

/// How much later than it is due a block may come on a busy machine.
const LATE_MS: u64 = 900;

fn height(testnet: &Testnet) -> u64 {
    testnet.wait(testnet.client("FR").status()).unwrap().height
}

#[track_caller]
fn until_height(testnet: &Testnet, goal: u64) {
    let what = format!("height {goal}");
    testnet.until(&what, Duration::from_secs(30), || (height(testnet) >= goal).then_some(()));
}

fn blocks(testnet: &Testnet, heights: std::ops::RangeInclusive<u64>) -> Vec<BlockInfo> {
    let client = testnet.client("FR");
    heights.map(|height| testnet.wait(client.block(Some(height))).unwrap()).collect()
}

/// What ran by itself in a block, which is told to members.
fn deadlines(block: &BlockInfo) -> &[Event] {
    &block.content.as_ref().expect("the clients of the testnet read as members").receipts.deadlines
}

/// Panics unless these blocks hold nothing and come one heartbeat after the other.
#[track_caller]
fn nothing_but_the_heartbeat(blocks: &[BlockInfo]) {
    for pair in blocks.windows(2) {
        let (block, rest) = (&pair[1], pair[1].header.time.0 - pair[0].header.time.0);
        let height = block.header.height;
        assert!(block.transactions.is_empty(), "block {height} has transactions");
        assert!(deadlines(block).is_empty(), "block {height}: {:?}", deadlines(block));
        assert!(
            (HEARTBEAT_MS - 100..HEARTBEAT_MS + LATE_MS).contains(&rest),
            "block {height} came {rest} ms after the one before"
        );
    }
}

pub fn idle(testnet: &Testnet) {
    // What the start was about is over once a heartbeat block has come.
    let first = testnet.until("an empty block", Duration::from_secs(20), || {
        let block = testnet.wait(testnet.client("FR").block(None)).unwrap();
        let empty = block.transactions.is_empty() && deadlines(&block).is_empty();
        empty.then_some(block.header.height)
    });
    until_height(testnet, first + 4);
    nothing_but_the_heartbeat(&blocks(testnet, first..=first + 4));
    testnet.agree(first);
}

pub fn final_at_once(testnet: &Testnet) {
    let account = testnet.account("sme-fr");
    let to = testnet.user("public-es").organisation;
    // Just after a heartbeat, so that the next one is far.
    let now = height(testnet);
    until_height(testnet, now + 1);
    let began = Instant::now();
    testnet.wait(account.send(vec![TransferCash { to, amount: Money(1) }.into()])).unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(HEARTBEAT_MS / 2), "it took {took:?}");
}

/// A request wakes its class: a batch runs when it is due, leaves the request, and does not run again for nothing.
pub fn batch_on_time(testnet: &Testnet) {
    let home = testnet.home();
    let words =
        ["bid", "--class", "gh200-96", "--duration", "10s", "--limit", "0.01", "--within", "1h", "--cash"];
    let api = testnet.api("FR");
    let words = [&["--key", "sme-fr", "--node", &api], &words[..]].concat();
    let placed: serde_json::Value = home.ask(&words);
    let height = placed["height"].as_u64().unwrap();
    until_height(testnet, height + 5);
    let blocks = blocks(testnet, height..=height + 5);
    let clears = |block: &&BlockInfo| {
        let mut events = deadlines(block).iter();
        events.any(|event| matches!(event, Event::BatchCleared { .. }))
    };
    let batches: Vec<&BlockInfo> = blocks.iter().filter(clears).collect();
    let [batch] = batches.as_slice() else { panic!("{} batches ran", batches.len()) };
    let wait = batch.header.time.0 - blocks[0].header.time.0;
    assert!(wait <= BATCH_MS + LATE_MS, "the batch ran {wait} ms after the request was placed");
    let at = blocks.iter().position(|block| block.header.height == batch.header.height).unwrap();
    nothing_but_the_heartbeat(&blocks[at..]);
}
