//! What a node's memory takes does not grow with what it has written.

#![cfg(target_os = "linux")]

mod common;

use common::{assert_decided, commit, create, memory_kib, put};

const HEIGHTS: u64 = 300;
const KIB: usize = 900;
/// Beside the cache: what is on its way to the disk, and pages that the database has not looked at yet.
const MEMORY_KIB_MAX: u64 = 160 << 10;

#[test]
fn large_bodies_do_not_stay_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(&directory.path().join("store"));
    let before = memory_kib();
    for height in 1..=HEIGHTS {
        put(&store, height, KIB).unwrap();
        commit(&store, height).unwrap();
    }
    let grown = memory_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB_MAX, "{HEIGHTS} bodies of {KIB} KiB took {grown} KiB of memory");
    assert_decided(&store, 1, KIB);
    assert_decided(&store, HEIGHTS, KIB);
}
