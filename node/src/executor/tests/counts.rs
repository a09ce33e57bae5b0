//! Exact counts over whole heights: fsyncs of the store, and signatures really checked.

use super::{accreditation, advance, genesis, key, open};
use crate::consensus::application::{Application, Built, Origin, Verdict};
use crate::executor::{CHECKPOINT_BYTES, Executor};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_store::{LedgerStore, MemoryStore, OpenOptions, SledStore};
use std::sync::Arc;
use std::time::Duration;

fn on_disk(folder: &std::path::Path) -> Arc<SledStore> {
    let options = OpenOptions { create_new: true, bytes_free_min: 1 << 20, ..OpenOptions::default() };
    Arc::new(SledStore::open(&folder.join("ledger"), options).unwrap())
}

fn build(node: &Executor, height: u64) -> Built {
    node.build(height, 0, Duration::from_secs(1)).unwrap().expect("something waits")
}

#[test]
fn a_height_costs_three_fsyncs_and_one_for_each_further_block() {
    let folder = tempfile::tempdir().unwrap();
    let (genesis, store) = (genesis(), on_disk(folder.path()));
    let (node, other) = (open(&genesis, store.clone()), open(&genesis, Arc::new(MemoryStore::new())));
    assert_eq!(node.fsyncs(), 0);
    for height in 1..=12u64 {
        let before = node.fsyncs();
        assert!(node.submit_all(vec![accreditation(&node, height - 1, &format!("n-{height}"))])[0].is_ok());
        let checkpoint_due = height.is_multiple_of(3);
        if checkpoint_due {
            node.lock_dirty().bytes = CHECKPOINT_BYTES;
        }
        let second_round = height.is_multiple_of(4);
        if second_round {
            // A block of a round that decides nothing: it has to be durable before the vote for it.
            let first = build(&node, height);
            node.save_undecided(height, 0, &first.id, &first.body, b"record").unwrap();
            assert_eq!(node.fsyncs() - before, 1);
            // Kept again, as a proposal that comes twice is, it costs nothing.
            node.save_undecided(height, 0, &first.id, &first.body, b"record").unwrap();
            assert_eq!(node.fsyncs() - before, 1);
            // A block of another time is another block.
            while super::clock() <= hansa_ledger::block::Block::decode(&first.body).unwrap().header.time {
                std::thread::yield_now();
            }
        }
        assert_eq!(advance(&node, &other), height);
        assert_eq!(node.fsyncs() - before, 3 + u64::from(second_round), "height {height}");
        let latest = store.latest_checkpoint().unwrap();
        let expected = height - height % 3;
        assert_eq!(latest.map_or(0, |latest| latest.height), expected);
        if checkpoint_due {
            assert_eq!(latest.unwrap().root, node.state().root());
            assert!(node.lock_dirty().rows.is_empty());
        }
    }
    let root = node.state().root();
    drop((node, store));
    let options = OpenOptions { bytes_free_min: 1 << 20, ..OpenOptions::default() };
    let store = SledStore::open(&folder.path().join("ledger"), options).unwrap();
    assert_eq!(open(&genesis, Arc::new(store)).state().root(), root);
}

#[test]
fn a_node_checks_each_signature_once_whatever_way_its_transaction_comes() {
    const COUNT: u64 = 5;
    let genesis = genesis();
    let stores: Vec<Arc<MemoryStore>> = (0..4).map(|_| Arc::new(MemoryStore::new())).collect();
    let mut nodes: Vec<Arc<Executor>> = stores.iter().map(|store| open(&genesis, store.clone())).collect();
    let bundle: Vec<SignedTransaction> =
        (0..COUNT).map(|nonce| accreditation(&nodes[0], nonce, &format!("n-{nonce}"))).collect();
    // Each is an accreditation, which holds the word of the new key's holder: two signatures.
    // The first node takes them from users, the second by gossip, and both hear them again; the others see the block only.
    for node in &nodes[..2] {
        assert!(node.submit_all(bundle.clone()).iter().all(Result::is_ok));
        assert!(node.submit_all(bundle.clone()).iter().all(|again| *again == Err(Rejection::AlreadyKnown)));
        assert_eq!(node.signature_checks(), 2 * COUNT);
    }
    let built = build(&nodes[0], 1);
    let proposer = key("DE consensus").public_key();
    for node in &nodes {
        // First proposed, proposed again, and decided: judged each time.
        for (round, origin) in [(0, Origin::Live), (1, Origin::Reproposed), (1, Origin::Synced)] {
            let verdict = node.check(1, round, &proposer, &built.id, &built.body, origin);
            assert_eq!(verdict, Verdict::Valid, "{origin:?}");
        }
        node.save_undecided(1, 0, &built.id, &built.body, b"record").unwrap();
        assert_eq!(node.signature_checks(), 2 * COUNT);
    }
    // The last one crashes before the decision: the process that commits executes a block that it has not judged.
    nodes.pop();
    nodes.push(open(&genesis, stores[3].clone()));
    for node in &nodes {
        node.commit(1, &built.id, b"certificate").unwrap();
        node.finalize(1, b"certificate", Vec::new()).unwrap();
        assert_eq!(node.signature_checks(), 2 * COUNT);
        // Gossip that comes late is refused unread.
        assert!(node.submit_all(bundle.clone()).iter().all(Result::is_err));
        assert_eq!(node.signature_checks(), 2 * COUNT);
    }
    // A restart replays the block: the new process checks each once, and no more afterwards.
    drop(nodes);
    for store in stores {
        let node = open(&genesis, store);
        assert!(node.submit_all(bundle.clone()).iter().all(Result::is_err));
        assert_eq!(node.signature_checks(), 2 * COUNT);
    }
}
