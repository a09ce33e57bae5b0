//! What the tests of the store share: deterministic content, and both stores behind one trait.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{collections::BTreeMap, fs, path::Path};

use hansa_ledger_store::{
    Checkpoint, Commit, Hash, LedgerStore, MemoryStore, OpenOptions, SledStore, StoreError,
};

pub fn hash(what: &str, height: u64) -> Hash {
    *blake3::Hasher::new().update(what.as_bytes()).update(&height.to_le_bytes()).finalize().as_bytes()
}

pub fn body(height: u64, kib: usize) -> Vec<u8> {
    let mut bytes = vec![0; kib * 1024];
    blake3::Hasher::new().update(&height.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub fn create(directory: &Path) -> SledStore {
    SledStore::open(directory, OpenOptions { create_new: true, ..OpenOptions::default() })
        .expect("a new store opens")
}

pub fn open(directory: &Path) -> Result<SledStore, StoreError> {
    SledStore::open(directory, OpenOptions::default())
}

/// Runs a test on both stores.
pub fn on_both(check: impl Fn(&dyn LedgerStore)) {
    let directory = tempfile::tempdir().unwrap();
    check(&create(&directory.path().join("store")));
    check(&MemoryStore::new());
}

pub fn put(store: &dyn LedgerStore, height: u64, kib: usize) -> Result<(), StoreError> {
    let id = hash("block", height);
    store.put_body_and_undecided(height, 0, &id, &body(height, kib), &record(height))
}

pub fn record(height: u64) -> Vec<u8> {
    hash("record", height).to_vec()
}

pub fn certificate(height: u64) -> Vec<u8> {
    hash("certificate", height).repeat(8)
}

pub fn commit(store: &dyn LedgerStore, height: u64) -> Result<(), StoreError> {
    commit_with(store, height, None)
}

pub fn commit_with(
    store: &dyn LedgerStore,
    height: u64,
    checkpoint: Option<&Checkpoint>,
) -> Result<(), StoreError> {
    store.commit(&Commit {
        height,
        block: hash("block", height),
        root: hash("root", height),
        certificate: &certificate(height),
        checkpoint,
    })
}

/// Ten rows that change at each height, one that stays, one that comes and goes.
pub fn checkpoint(height: u64) -> Checkpoint {
    let mut rows: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>> =
        (0..10_u8).map(|row| ((1, vec![row]), Some(hash("row", height + u64::from(row)).to_vec()))).collect();
    rows.insert((2, b"stays".to_vec()), Some(b"here".to_vec()));
    rows.insert((0, b"comes and goes".to_vec()), height.is_multiple_of(2).then(Vec::new));
    Checkpoint { height, root: hash("root", height), protocol_version: 1, rows }
}

/// Memory of this process that no file backs, in KiB.
pub fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub type Rows = Vec<(u8, Vec<u8>, Vec<u8>)>;

pub fn rows(store: &dyn LedgerStore) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    store.rows(&mut |table, key, value| {
        rows.push((table, key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(rows)
}

pub fn expected_rows(height: u64) -> Rows {
    checkpoint(height)
        .rows
        .into_iter()
        .filter_map(|((table, key), value)| Some((table, key, value?)))
        .collect()
}

pub fn assert_decided(store: &dyn LedgerStore, height: u64, kib: usize) {
    let decided = store.decided(height).unwrap().unwrap_or_else(|| panic!("height {height} is missing"));
    assert_eq!(decided.block, hash("block", height), "block of height {height}");
    assert_eq!(decided.root, hash("root", height), "root of height {height}");
    assert_eq!(decided.certificate, certificate(height), "certificate of height {height}");
    assert!(decided.body == body(height, kib), "body of height {height}");
}
