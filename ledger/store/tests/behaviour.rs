//! What a store does, on disk and in memory alike.

mod common;

use common::{
    Rows, assert_decided, body, certificate, checkpoint, commit, commit_with, create, expected_rows, hash,
    on_both, open, put, record, rows,
};
use hansa_ledger_store::{
    BODY_BYTES_MAX, Checkpoint, CheckpointInfo, Commit, LedgerStore, MemoryStore, RowCursor, StoreError, Tip,
    Undecided, VALUE_BYTES_MAX,
};
use proptest::prelude::*;

#[test]
fn bodies_of_every_size_come_back_from_both_stores() {
    on_both(|store| {
        for (height, kib) in [0, 4, 30, 128, 300, 1024, BODY_BYTES_MAX >> 10].into_iter().enumerate() {
            let height = height as u64 + 1;
            put(store, height, kib).unwrap();
            assert_eq!(store.undecided(height, 0).unwrap(), [record(height)]);
            commit(store, height).unwrap();
            assert_decided(store, height, kib);
            assert!(store.body(&hash("block", height)).unwrap() == Some(body(height, kib)));
        }
        assert_eq!(
            store.tip().unwrap(),
            Some(Tip { height: 7, block: hash("block", 7), root: hash("root", 7) })
        );
        assert_eq!(store.decided(8).unwrap(), None);
        assert_eq!(store.body(&hash("block", 8)).unwrap(), None);
    });
}

#[test]
fn undecided_proposals_are_kept_by_height_round_and_id() {
    on_both(|store| {
        store.put_undecided(5, 1, &[2; 32], b"second").unwrap();
        store.put_undecided(5, 1, &[1; 32], b"first").unwrap();
        store.put_undecided(5, 0, &[9; 32], b"round 0").unwrap();
        store.put_undecided(6, 1, &[1; 32], b"next height").unwrap();
        store.put_undecided(5, 0, &[9; 32], b"round 0, now valid").unwrap();
        assert_eq!(store.undecided(5, 1).unwrap(), [b"first".to_vec(), b"second".to_vec()]);
        let all = store.undecided_at(5).unwrap();
        let expected = [(0, 9, "round 0, now valid"), (1, 1, "first"), (1, 2, "second")];
        let expected =
            expected.map(|(round, id, record)| Undecided { round, id: [id; 32], record: record.into() });
        assert_eq!(all, expected);
        assert!(store.undecided(7, 0).unwrap().is_empty());
    });
}

#[test]
fn a_contradiction_is_refused_and_changes_nothing() {
    on_both(|store| {
        put(store, 1, 1).unwrap();
        put(store, 2, 1).unwrap();
        commit(store, 1).unwrap();
        let commit_of = |height, block, root| {
            store.commit(&Commit { height, block, root, certificate: b"", checkpoint: None })
        };
        let (block, root) = (hash("block", 2), hash("root", 2));
        assert!(matches!(store.put_body(&hash("block", 1), b"other"), Err(StoreError::Conflict { .. })));
        assert!(matches!(commit_of(3, block, root), Err(StoreError::OutOfOrder { .. })));
        assert!(matches!(commit_of(1, block, root), Err(StoreError::Conflict { .. })));
        assert!(matches!(commit_of(1, hash("block", 1), root), Err(StoreError::Conflict { .. })));
        assert!(matches!(commit_of(2, [7; 32], root), Err(StoreError::BodyMissing { block: [7, ..] })));
        assert!(matches!(store.extend_certificate(2, b"x"), Err(StoreError::OutOfOrder { .. })));
        assert!(matches!(store.checkpoint(&checkpoint(2)), Err(StoreError::OutOfOrder { .. })));
        let wrong_root = Checkpoint { root: [0; 32], ..checkpoint(1) };
        assert!(matches!(store.checkpoint(&wrong_root), Err(StoreError::Conflict { .. })));
        let too_large = vec![0; BODY_BYTES_MAX + 1];
        assert!(matches!(store.put_body(&[8; 32], &too_large), Err(StoreError::TooLarge { .. })));
        let too_large = &too_large[..VALUE_BYTES_MAX + 1];
        assert!(matches!(store.put_undecided(2, 0, &[8; 32], too_large), Err(StoreError::TooLarge { .. })));
        assert!(matches!(store.put_evidence(too_large), Err(StoreError::TooLarge { .. })));
        assert!(matches!(store.extend_certificate(1, too_large), Err(StoreError::TooLarge { .. })));
        assert_eq!(store.tip().unwrap().map(|tip| tip.height), Some(1));
        assert_eq!(store.latest_checkpoint().unwrap(), None);
        assert_decided(store, 1, 1);
        commit(store, 2).unwrap();
    });
}

#[test]
fn what_is_repeated_after_a_crash_is_taken_once() {
    on_both(|store| {
        for _ in 0..2 {
            put(store, 1, 30).unwrap();
            commit(store, 1).unwrap();
            store.checkpoint(&checkpoint(1)).unwrap();
            store.put_evidence(b"two votes").unwrap();
        }
        let fsyncs = store.fsyncs();
        put(store, 1, 30).unwrap();
        commit(store, 1).unwrap();
        assert_eq!(store.fsyncs(), fsyncs, "a repetition costs nothing");
        assert_eq!(store.evidence().unwrap(), [b"two votes"]);
        store.extend_certificate(1, b"all of them").unwrap();
        commit(store, 1).unwrap();
        let kept = store.decided(1).unwrap().unwrap().certificate;
        assert_eq!(kept, b"all of them", "a repeated commit does not take signatures away");
    });
}

#[test]
fn a_checkpoint_holds_the_rows_of_its_height_in_order() {
    on_both(|store| {
        assert!(rows(store).unwrap().is_empty());
        for height in 1..=4 {
            put(store, height, 1).unwrap();
            let (block, root, certificate) =
                (hash("block", height), hash("root", height), certificate(height));
            let checkpoint = checkpoint(height);
            store
                .commit(&Commit {
                    height,
                    block,
                    root,
                    certificate: &certificate,
                    checkpoint: Some(&checkpoint),
                })
                .unwrap();
            let info = CheckpointInfo { height, root, protocol_version: 1 };
            assert_eq!(store.latest_checkpoint().unwrap(), Some(info));
            assert_eq!(rows(store).unwrap(), expected_rows(height));
        }
        assert!(matches!(store.checkpoint(&checkpoint(3)), Err(StoreError::OutOfOrder { .. })));
        assert_eq!(rows(store).unwrap(), expected_rows(4));
        assert_eq!(store.verify().unwrap().row_count, expected_rows(4).len() as u64);
    });
}

#[test]
fn a_snapshot_is_restored_into_a_new_store_and_the_next_block_follows_it() {
    on_both(|store| {
        // 10 MiB of rows: several batches.
        let large = (0..100_u64).map(|row| ((3, row.to_be_bytes().to_vec()), Some(body(row, 100))));
        let mut snapshot = checkpoint(1000);
        snapshot.rows.extend(large);
        store.checkpoint(&snapshot).unwrap();
        assert_eq!(store.tip().unwrap(), None);
        assert_eq!(rows(store).unwrap().len(), expected_rows(1000).len() + 100);
        put(store, 5, 1).unwrap();
        put(store, 1001, 1).unwrap();
        assert!(matches!(commit(store, 5), Err(StoreError::OutOfOrder { .. })));
        commit(store, 1001).unwrap();
        assert_eq!(store.history_height_min(), 1001);
        assert_eq!(store.verify().unwrap().decided_count, 1);
    });
}

/// All rows of the state after a height, as a snapshot has them.
fn whole(height: u64) -> Checkpoint {
    let mut snapshot = checkpoint(height);
    snapshot.rows.retain(|_, value| value.is_some());
    snapshot
}

fn restore_at(store: &dyn LedgerStore, height: u64, snapshot: &Checkpoint) -> Result<(), StoreError> {
    let certificate = certificate(height);
    let (block, root) = (hash("block", height), hash("root", height));
    let commit = Commit { height, block, root, certificate: &certificate, checkpoint: Some(snapshot) };
    store.restore(&body(height, 2), &commit)
}

#[test]
fn a_snapshot_takes_the_place_of_what_was_decided() {
    on_both(|store| {
        for height in 1..=6 {
            put(store, height, 3).unwrap();
            commit(store, height).unwrap();
        }
        // A row that the snapshot does not have.
        let mut before = checkpoint(4);
        before.rows.insert((9, b"gone".to_vec()), Some(b"later".to_vec()));
        store.checkpoint(&before).unwrap();
        store.put_evidence(b"evidence").unwrap();
        store.put_waypoint(3, b"the members changed").unwrap();
        let large = (0..100_u64).map(|row| ((3, row.to_be_bytes().to_vec()), Some(body(row, 100))));
        let mut snapshot = whole(1000);
        snapshot.rows.extend(large);
        assert!(matches!(restore_at(store, 6, &whole(6)), Err(StoreError::OutOfOrder { .. })));
        let part = checkpoint(999);
        assert!(part.rows.values().any(Option::is_none));
        assert!(matches!(restore_at(store, 999, &part), Err(StoreError::OutOfOrder { .. })));
        assert_eq!(store.tip().unwrap().map(|tip| tip.height), Some(6));
        restore_at(store, 1000, &snapshot).unwrap();
        assert_eq!(store.tip().unwrap().map(|tip| (tip.height, tip.root)), Some((1000, hash("root", 1000))));
        assert_eq!(store.history_height_min(), 1000);
        let expected: Rows = snapshot
            .rows
            .iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone().unwrap()))
            .collect();
        assert!(rows(store).unwrap() == expected);
        for height in 1..=6 {
            assert_eq!(store.decided(height).unwrap(), None);
            assert_eq!(store.body(&hash("block", height)).unwrap(), None);
        }
        assert_decided(store, 1000, 2);
        assert_eq!(store.evidence().unwrap(), [b"evidence"]);
        assert_eq!(store.waypoints().unwrap(), [(3, b"the members changed".to_vec())]);
        put(store, 1001, 1).unwrap();
        commit_with(store, 1001, Some(&checkpoint(1001))).unwrap();
        assert_eq!(store.verify().unwrap().decided_count, 2);
    });
}

#[test]
fn rows_are_read_in_pages_until_a_younger_checkpoint_comes() {
    on_both(|store| {
        put(store, 1, 1).unwrap();
        let mut large = checkpoint(1);
        large.rows.extend((0..20_u64).map(|row| ((3, row.to_be_bytes().to_vec()), Some(body(row, 10)))));
        commit_with(store, 1, Some(&large)).unwrap();
        let mut cursor = RowCursor::of(1);
        let (mut read, mut pages) = (Rows::new(), 0);
        loop {
            let page = store.rows_page(&mut cursor, 30 << 10).unwrap();
            if page.is_empty() {
                break;
            }
            pages += 1;
            read.extend(page);
            // Blocks without a checkpoint are no hindrance.
            put(store, 1 + pages, 1).unwrap();
            commit(store, 1 + pages).unwrap();
        }
        assert!(pages >= 7, "{pages} pages");
        assert!(read == rows(store).unwrap());
        let mut cursor = RowCursor::of(1);
        assert_eq!(store.rows_page(&mut cursor, 1).unwrap().len(), 1);
        store.checkpoint(&checkpoint(2)).unwrap();
        assert!(matches!(store.rows_page(&mut cursor, 1), Err(StoreError::OutOfOrder { .. })));
    });
}

#[test]
fn pruning_keeps_what_a_restart_replays() {
    on_both(|store| {
        for height in 1..=10 {
            put(store, height, 30).unwrap();
            store.put_body_and_undecided(height, 1, &hash("loser", height), b"lost", b"lost").unwrap();
            commit(store, height).unwrap();
        }
        put(store, 11, 1).unwrap();
        assert_eq!(
            store.prune_bodies_below(8, 100).unwrap(),
            0,
            "without a checkpoint everything is replayed"
        );
        store.checkpoint(&checkpoint(6)).unwrap();
        assert_eq!(store.prune_bodies_below(8, 2).unwrap(), 2);
        assert_eq!(store.history_height_min(), 3);
        assert_eq!(store.prune_bodies_below(100, 100).unwrap(), 4);
        assert_eq!(store.history_height_min(), 7);
        assert_eq!(store.decided(6).unwrap(), None);
        assert_eq!(store.body(&hash("block", 6)).unwrap(), None);
        assert!(matches!(commit(store, 6), Err(StoreError::OutOfOrder { .. })));
        (7..=10).for_each(|height| assert_decided(store, height, 30));
        assert_eq!(store.prune_undecided_to(9).unwrap(), 18);
        assert_eq!(store.prune_undecided_to(100).unwrap(), 2, "a height in flight is not pruned");
        assert_eq!(store.body(&hash("loser", 10)).unwrap(), None, "the body that was not decided goes too");
        assert_eq!(store.undecided(11, 0).unwrap(), [record(11)]);
        (7..=10).for_each(|height| assert_decided(store, height, 30));
        assert_eq!(store.verify().unwrap().decided_count, 4);
    });
}

#[test]
fn everything_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let store = create(&place);
    store.put_undecided(1, 3, &[1; 32], b"before the first block").unwrap();
    drop(store);
    for height in 1..=12 {
        let store = open(&place).unwrap();
        assert_eq!(store.tip().unwrap().map_or(0, |tip| tip.height), height - 1);
        put(&store, height, 300).unwrap();
        commit(&store, height).unwrap();
        if height % 4 == 0 {
            store.checkpoint(&checkpoint(height)).unwrap();
            store.put_evidence(&height.to_be_bytes()).unwrap();
            store.prune_bodies_below(height - 2, 100).unwrap();
        }
    }
    let store = open(&place).unwrap();
    assert_eq!(store.undecided(1, 3).unwrap(), [b"before the first block"]);
    assert_eq!(store.history_height_min(), 10);
    (10..=12).for_each(|height| assert_decided(&store, height, 300));
    assert_eq!(rows(&store).unwrap(), expected_rows(12));
    assert_eq!(store.verify().unwrap().evidence_count, 3);
}

#[test]
fn a_height_costs_three_fsyncs_with_a_checkpoint_or_without() {
    for kib in [4, 30, 300, 1024] {
        let directory = tempfile::tempdir().unwrap();
        let store = create(&directory.path().join("store"));
        assert_eq!(store.fsyncs(), 0);
        for height in 1..=40 {
            let before = store.fsyncs();
            put(&store, height, kib).unwrap();
            assert_eq!(store.fsyncs() - before, 1, "proposal of {kib} KiB, height {height}");
            let checkpoint = height.is_multiple_of(3).then(|| checkpoint(height));
            commit_with(&store, height, checkpoint.as_ref()).unwrap();
            store.extend_certificate(height, &certificate(height)).unwrap();
            store.prune_undecided_to(height).unwrap();
            assert_eq!(store.fsyncs() - before, 3, "height {height} with {kib} KiB");
            let latest = store.latest_checkpoint().unwrap().map_or(0, |checkpoint| checkpoint.height);
            assert_eq!(latest, height - height % 3);
        }
        let before = store.fsyncs();
        store.checkpoint(&checkpoint(40)).unwrap();
        assert_eq!(store.fsyncs() - before, 1, "a checkpoint of its own");
        assert_eq!(rows(&store).unwrap(), expected_rows(40));
        let blobs = directory.path().join("store").join("sled").join("blobs");
        assert_eq!(blobs.read_dir().unwrap().count(), 0, "{kib} KiB values must not leave the database file");
    }
}

#[test]
fn further_blocks_of_a_height_cost_one_fsync_each_and_known_ones_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(&directory.path().join("store"));
    put(&store, 1, 4).unwrap();
    let before = store.fsyncs();
    // The same proposal, as after a restart of the engine; the second round's block is another body, which has to be durable
    // before it is voted for.
    put(&store, 1, 4).unwrap();
    assert_eq!(store.fsyncs() - before, 0);
    store.put_body_and_undecided(1, 1, &hash("second", 1), &body(7, 4), b"record").unwrap();
    assert_eq!(store.fsyncs() - before, 1);
    commit(&store, 1).unwrap();
    assert_eq!(store.fsyncs() - before, 3);
}

#[test]
fn a_checkpoint_too_large_for_the_batch_of_its_commit_follows_it() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let store = create(&place);
    let large = |count: u64| {
        let rows = (0..count).map(|row| ((3, row.to_be_bytes().to_vec()), Some(body(row, 100))));
        Checkpoint { rows: rows.collect(), ..checkpoint(count) }
    };
    // 7, 8 and 12 MiB: below the largest batch, and above it.
    for (count, fsyncs) in [(70, 3), (80, 5), (120, 5)] {
        let before = store.fsyncs();
        put_and_commit_to(&store, count - 1);
        let heights = store.fsyncs() - before;
        put(&store, count, 1).unwrap();
        commit_with(&store, count, Some(&large(count))).unwrap();
        assert_eq!(store.fsyncs() - before - heights, fsyncs, "{count} rows of 100 KiB");
        assert_eq!(rows(&store).unwrap().len() as u64, count);
    }
    drop(store);
    assert_eq!(rows(&open(&place).unwrap()).unwrap().len(), 120);
}

/// Makes all heights up to this one that are not there.
fn put_and_commit_to(store: &dyn LedgerStore, height: u64) {
    for height in store.tip().unwrap().map_or(0, |tip| tip.height) + 1..=height {
        put(store, height, 1).unwrap();
        commit(store, height).unwrap();
    }
}

#[test]
fn a_commit_takes_no_checkpoint_but_its_own_and_leaves_one_out_that_it_has_no_room_for() {
    on_both(|store| {
        put(store, 1, 1).unwrap();
        let other_root = Checkpoint { root: hash("root", 9), ..checkpoint(1) };
        assert!(matches!(commit_with(store, 1, Some(&checkpoint(2))), Err(StoreError::OutOfOrder { .. })));
        assert!(matches!(commit_with(store, 1, Some(&other_root)), Err(StoreError::Conflict { .. })));
        assert_eq!(store.tip().unwrap(), None, "nothing was written");
        let mut large = checkpoint(1);
        large.rows.insert((9, b"large".to_vec()), Some(vec![0; VALUE_BYTES_MAX]));
        commit_with(store, 1, Some(&large)).unwrap();
        assert_eq!(store.tip().unwrap().map(|tip| tip.height), Some(1));
        assert_eq!(store.latest_checkpoint().unwrap(), None);
        commit_with(store, 1, Some(&checkpoint(1))).unwrap();
        assert_eq!(
            rows(store).unwrap(),
            expected_rows(1),
            "a repeated commit takes the checkpoint it lacked"
        );
    });
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u32),
    Undecided(u64, u32, u8),
    Commit(u64, bool),
    Extend(u64),
    Checkpoint(u64),
    PruneBodies(u64, u64),
    PruneUndecided(u64),
    Evidence(u8),
    Waypoint(u64),
    Restore(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let height = 1..8_u64;
    prop_oneof![
        6 => (height.clone(), 0..2_u32).prop_map(|(height, round)| Step::Put(height, round)),
        2 => (height.clone(), 0..2_u32, 0..3_u8).prop_map(|(height, round, id)| Step::Undecided(height, round, id)),
        8 => (height.clone(), any::<bool>()).prop_map(|(height, checkpoint)| Step::Commit(height, checkpoint)),
        1 => height.clone().prop_map(Step::Extend),
        3 => height.clone().prop_map(Step::Checkpoint),
        1 => (height.clone(), 0..4_u64).prop_map(|(height, at_most)| Step::PruneBodies(height, at_most)),
        1 => height.clone().prop_map(Step::PruneUndecided),
        1 => height.clone().prop_map(Step::Waypoint),
        1 => height.prop_map(Step::Restore),
        1 => (0..3_u8).prop_map(Step::Evidence),
        1 => Just(Step::Reopen),
    ]
}

fn take(store: &dyn LedgerStore, step: &Step) -> Result<u64, String> {
    let name = |error: StoreError| format!("{error:?}").split(' ').next().unwrap_or_default().to_string();
    let done = match *step {
        Step::Put(height, round) => store.put_body_and_undecided(
            height,
            round,
            &hash("block", height),
            &body(height, 2),
            &record(height),
        ),
        Step::Undecided(height, round, id) => store.put_undecided(height, round, &[id; 32], b"undecided"),
        Step::Commit(height, with) => commit_with(store, height, with.then(|| checkpoint(height)).as_ref()),
        Step::Extend(height) => store.extend_certificate(height, b"extended"),
        Step::Checkpoint(height) => store.checkpoint(&checkpoint(height)),
        Step::PruneBodies(height, at_most) => return store.prune_bodies_below(height, at_most).map_err(name),
        Step::PruneUndecided(height) => return store.prune_undecided_to(height).map_err(name),
        Step::Evidence(byte) => store.put_evidence(&[byte]),
        Step::Waypoint(height) => store.put_waypoint(height, &[1]),
        Step::Restore(height) => restore_at(store, height, &whole(height)),
        Step::Reopen => Ok(()),
    };
    done.map(|()| 0).map_err(name)
}

fn observe(store: &dyn LedgerStore) -> String {
    let heights: Vec<_> = (0..9).map(|height| (store.decided(height), store.undecided_at(height))).collect();
    let bodies: Vec<_> = (0..9).map(|height| store.body(&hash("block", height)).unwrap().is_some()).collect();
    format!(
        "{:?} {} {:?} {:?} {heights:?} {bodies:?} {:?} {:?} {:?}",
        store.tip(),
        store.history_height_min(),
        store.latest_checkpoint(),
        rows(store),
        store.evidence(),
        store.waypoints(),
        store.verify()
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike_whatever_is_asked(steps in prop::collection::vec(step(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("store");
        let (mut disk, memory) = (create(&place), MemoryStore::new());
        for step in &steps {
            if matches!(step, Step::Reopen) {
                drop(disk);
                disk = open(&place).unwrap();
            }
            prop_assert_eq!(take(&disk, step), take(&memory, step), "{:?} of {:?}", step, steps);
        }
        prop_assert_eq!(observe(&disk), observe(&memory));
        drop(disk);
        prop_assert_eq!(observe(&open(&place).unwrap()), observe(&memory));
    }
}
