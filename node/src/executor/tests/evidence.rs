//! Evidence of double signing outlives the node that collected it.

use super::{accreditation, genesis, key, open};
use crate::consensus::application::{Application, Origin, Verdict};
use hansa_ledger_store::{LedgerStore, OpenOptions, SledStore};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn evidence_handed_in_at_the_end_of_a_height_is_in_the_store_and_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let opened = |create_new| {
        let options = OpenOptions { create_new, bytes_free_min: 1 << 20, ..OpenOptions::default() };
        Arc::new(SledStore::open(&folder.path().join("ledger"), options).unwrap())
    };
    let (genesis, store) = (genesis(), opened(true));
    let node = open(&genesis, store.clone());
    assert!(node.submit_all(vec![accreditation(&node, 0, "one")])[0].is_ok());
    let built = node.build(1, 0, Duration::from_secs(1)).unwrap().expect("something waits");
    let proposer = key("DE consensus").public_key();
    assert_eq!(node.check(1, 0, &proposer, &built.id, &built.body, Origin::Live), Verdict::Valid);
    node.save_undecided(1, 0, &built.id, &built.body, b"record").unwrap();
    node.commit(1, &built.id, b"certificate").unwrap();
    assert_eq!(store.evidence().unwrap(), Vec::<Vec<u8>>::new());
    let mut proofs = vec![b"two votes".to_vec(), b"two proposals".to_vec()];
    node.finalize(1, b"certificate", proofs.clone()).unwrap();
    proofs.sort();
    let kept = |store: &SledStore| {
        let mut kept = store.evidence().unwrap();
        kept.sort();
        kept
    };
    assert_eq!(kept(&store), proofs);
    // The engine tells of it again if the node ends before its answer.
    node.finalize(1, b"certificate", proofs.clone()).unwrap();
    assert_eq!(kept(&store), proofs);
    drop((node, store));
    assert_eq!(kept(&opened(false)), proofs);
}
