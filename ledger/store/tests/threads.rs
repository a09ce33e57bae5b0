//! What a node's memory takes does not grow with how many threads write.

#![cfg(target_os = "linux")]

mod common;

use std::{sync::mpsc, thread};

use common::{checkpoint, commit, create, memory_kib, put};
use hansa_ledger_store::{LedgerStore, SledStore};

const HEIGHTS: u64 = 300;
const KIB: usize = 900;
const THREADS: usize = 16;
/// Beside the cache: what is on its way to the disk. A write buffer has 16 MiB.
const MEMORY_KIB_MAX: u64 = 112 << 10;

type Work = Box<dyn FnOnce(&SledStore) + Send>;

/// Has `THREADS` threads do what is sent, one after the other: whoever writes in a node does so in whatever thread is free.
fn in_turns(store: &SledStore, works: impl Iterator<Item = Work>) {
    thread::scope(|scope| {
        let (done, dones) = mpsc::channel();
        let threads: Vec<mpsc::Sender<Work>> = (0..THREADS)
            .map(|_| {
                let (sender, works) = mpsc::channel::<Work>();
                let done = done.clone();
                scope.spawn(move || {
                    for work in works {
                        work(store);
                        done.send(()).unwrap();
                    }
                });
                sender
            })
            .collect();
        for (work, thread) in works.zip(threads.iter().cycle()) {
            thread.send(work).unwrap();
            dones.recv().unwrap();
        }
    });
}

#[test]
fn garbage_does_not_wait_in_every_thread_that_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(&directory.path().join("store"));
    let before = memory_kib();
    let heights = (1..=HEIGHTS).flat_map(|height| {
        let works: [Work; 3] = [
            Box::new(move |store| put(store, height, KIB).unwrap()),
            Box::new(move |store| commit(store, height).unwrap()),
            Box::new(move |store| {
                if height.is_multiple_of(20) {
                    store.checkpoint(&checkpoint(height)).unwrap();
                }
                store.prune_bodies_below(height.saturating_sub(20), u64::MAX).unwrap();
            }),
        ];
        works
    });
    in_turns(&store, heights);
    let grown = memory_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB_MAX, "{THREADS} threads in turns took {grown} KiB of memory");
}
