//! Every file operation of a commit and a checkpoint fails once, and after each failure two stores are opened again: the
//! directory as the process left it, and a shadow that holds only what was fsynced, which is what a power cut leaves.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{OpenOptions, SledStore};
use crate::{
    Checkpoint, Commit, LedgerStore, StoreError,
    operations::{EngineStep, Operations},
};

const NEVER: u64 = u64::MAX;

struct Faults {
    live: PathBuf,
    shadow: PathBuf,
    calls: AtomicU64,
    fail_from: AtomicU64,
    bytes_free: AtomicU64,
    renames: Mutex<Vec<(PathBuf, PathBuf)>>,
}

struct FaultyOperations(Arc<Faults>);

impl Faults {
    fn new(root: &Path) -> Arc<Self> {
        let (live, shadow) = (root.join("live"), root.join("shadow"));
        fs::create_dir_all(&shadow).unwrap();
        Arc::new(Self {
            live,
            shadow,
            calls: AtomicU64::new(0),
            fail_from: AtomicU64::new(NEVER),
            bytes_free: AtomicU64::new(1 << 40),
            renames: Mutex::new(Vec::new()),
        })
    }

    fn open(self: &Arc<Self>, create_new: bool) -> Result<SledStore, StoreError> {
        let operations = Box::new(FaultyOperations(self.clone()));
        SledStore::open_with(&self.live, OpenOptions { create_new, ..OpenOptions::default() }, operations)
    }

    fn fail_from(&self, number: u64) {
        self.calls.store(0, Ordering::SeqCst);
        self.fail_from.store(number, Ordering::SeqCst);
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Counts an operation. From the chosen one on all fail, as on a disk that went away.
    fn step(&self) -> io::Result<()> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.fail_from.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        Ok(())
    }

    fn in_shadow(&self, path: &Path) -> PathBuf {
        self.shadow.join(path.strip_prefix(&self.live).unwrap_or(Path::new("outside")))
    }

    fn keep(&self, path: &Path) -> io::Result<()> {
        let target = self.in_shadow(path);
        fs::create_dir_all(target.parent().unwrap())?;
        fs::copy(path, target).map(|_| ())
    }
}

impl Operations for FaultyOperations {
    fn engine(&self, _step: EngineStep) -> io::Result<()> {
        self.0.step()
    }
    fn sync_all(&self, _file: &File, path: &Path) -> io::Result<()> {
        self.0.step()?;
        self.0.keep(path)
    }
    fn sync_data(&self, _file: &File, path: &Path) -> io::Result<()> {
        self.0.step()?;
        self.0.keep(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.0.step()?;
        for (from, to) in self.0.renames.lock().unwrap().drain(..) {
            fs::rename(self.0.in_shadow(&from), self.0.in_shadow(&to))?;
        }
        // Names that went away are gone for good now.
        for entry in fs::read_dir(self.0.in_shadow(path)).into_iter().flatten() {
            let kept = entry?.path();
            if kept.is_file() && !path.join(kept.file_name().unwrap()).exists() {
                fs::remove_file(kept)?;
            }
        }
        Ok(())
    }
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let step = self.0.step();
        // A write that fails leaves its first half behind.
        let written = if step.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        file.write_all_at(written, offset)?;
        step
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.step()?;
        self.0.renames.lock().unwrap().push((from.to_path_buf(), to.to_path_buf()));
        fs::rename(from, to)
    }
    fn bytes_free(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.0.bytes_free.load(Ordering::SeqCst))
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_directory(&path, &target)
        } else {
            fs::copy(&path, target).map(|_| ()).unwrap()
        }
    }
}

fn body(height: u64) -> Vec<u8> {
    let mut bytes = vec![0; 300 << 10];
    blake3::Hasher::new().update(&height.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn checkpoint(height: u64, row_count: u64, row_bytes: usize) -> Checkpoint {
    let rows = (0..row_count).map(|number| {
        let value = (number % 7 != height % 7).then(|| vec![height as u8; row_bytes]);
        ((0, number.to_be_bytes().to_vec()), value)
    });
    Checkpoint { height, root: [height as u8; 32], protocol_version: 1, rows: rows.collect() }
}

fn rows_of(checkpoints: &[&Checkpoint]) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
    let mut rows = BTreeMap::new();
    for (key, value) in checkpoints.iter().flat_map(|checkpoint| &checkpoint.rows) {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
    rows
}

/// How far a height got before the failure.
#[derive(Debug, Default)]
struct Acknowledged {
    body: bool,
    commit: bool,
    checkpoint: bool,
}

/// Writes a height with its checkpoint, in one batch or one after the other, and the next height's proposal, which makes the
/// checkpoint's rows durable.
fn write_height(store: &SledStore, height: u64, checkpoint: &Checkpoint, joined: bool) -> Acknowledged {
    let (block, root) = ([height as u8; 32], [height as u8; 32]);
    let with = joined.then_some(checkpoint);
    let commit = Commit { height, block, root, certificate: b"certificate", checkpoint: with };
    // Another block than the one that the next height is decided with.
    let next = [height as u8 + 100; 32];
    let stored = store.put_body_and_undecided(height, 0, &block, &body(height), b"record").is_ok();
    let commit = stored && store.commit(&commit).is_ok();
    let checkpoint = commit && (joined || store.checkpoint(checkpoint).is_ok());
    let next = checkpoint
        && store.put_body_and_undecided(height + 1, 1, &next, &body(height + 100), b"record").is_ok();
    let body = stored;
    if !next {
        // After a failure nothing is written any more, whatever the disk does.
        let refused = store.put_evidence(b"late");
        assert!(matches!(refused, Err(StoreError::Fatal { .. })), "a write after a failure gave {refused:?}");
    }
    Acknowledged { body, commit, checkpoint }
}

/// Old or new, whole, and nothing acknowledged is lost.
fn check_whole(
    directory: &Path,
    acknowledged: &Acknowledged,
    old: &Checkpoint,
    new: &Checkpoint,
    context: &str,
) {
    let store = SledStore::open(directory, OpenOptions::default())
        .unwrap_or_else(|error| panic!("{context}: does not open: {error}"));
    let verified = store.verify().unwrap_or_else(|error| panic!("{context}: {error}"));
    let tip = store.tip().unwrap().unwrap();
    assert!(tip.height == 2 || tip.height == 3, "{context}: tip {tip:?}");
    assert_eq!(verified.decided_count, tip.height, "{context}");
    assert!(tip.height == 3 || !acknowledged.commit, "{context}: the commit was acknowledged and is lost");
    if acknowledged.body {
        assert_eq!(store.body(&[3; 32]).unwrap(), Some(body(3)), "{context}: body");
        assert_eq!(store.undecided(3, 0).unwrap(), [b"record"], "{context}: undecided");
    }
    assert_eq!(
        store.decided(3).unwrap().map(|decided| decided.body),
        (tip.height == 3).then(|| body(3)),
        "{context}"
    );
    let height = store.latest_checkpoint().unwrap().unwrap().height;
    assert!(
        height == new.height || (height == old.height && !acknowledged.checkpoint),
        "{context}: checkpoint {height}"
    );
    let mut rows = BTreeMap::new();
    store
        .rows(&mut |table, key, value| {
            rows.insert((table, key.to_vec()), value.to_vec());
            Ok(())
        })
        .unwrap();
    let expected = if height == new.height { rows_of(&[old, new]) } else { rows_of(&[old]) };
    assert!(rows == expected, "{context}: the rows are not those of checkpoint {height}");
    // And the store goes on from there.
    if tip.height == 2 {
        write_height(&store, 3, new, false);
    } else {
        store.checkpoint(new).unwrap();
    }
    assert_eq!(store.latest_checkpoint().unwrap().unwrap().height, 3, "{context}: it does not go on");
}

fn check_each_failure(row_count: u64, row_bytes: usize, stride: u64, joined: bool) {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (checkpoint(2, row_count, row_bytes), checkpoint(3, row_count, row_bytes));
    let template = root.path().join("template");
    let store =
        SledStore::open(&template, OpenOptions { create_new: true, ..OpenOptions::default() }).unwrap();
    write_height(&store, 1, &checkpoint(1, 0, 0), joined);
    write_height(&store, 2, &old, joined);
    drop(store);
    let mut fail_at = 0;
    loop {
        let place = tempfile::tempdir_in(root.path()).unwrap();
        let faults = Faults::new(place.path());
        copy_directory(&template, &faults.live);
        let store = faults.open(false).unwrap();
        faults.fail_from(fail_at);
        let acknowledged = write_height(&store, 3, &new, joined);
        // The steps that could fail are all behind us when none did.
        let failed = faults.calls() > fail_at;
        drop(store);
        let context = format!("operation {fail_at} failed, {acknowledged:?}");
        check_whole(&faults.shadow, &acknowledged, &old, &new, &format!("{context}, power cut"));
        check_whole(&faults.live, &acknowledged, &old, &new, &format!("{context}, process gone"));
        if !failed {
            assert!(acknowledged.checkpoint, "{context}: everything is acknowledged when nothing fails");
            // Three each for two proposals and the decision, two for the witness, the rows, the journal's end; three for a marker.
            let seen = if joined { 13 } else { 16 };
            assert!(fail_at >= seen, "only {fail_at} operations were seen, joined: {joined}");
            return;
        }
        // Behind the marker each chunk of a large checkpoint is one more step of the same kind.
        fail_at += if fail_at < 17 { 1 } else { stride };
    }
}

#[test]
fn a_failure_of_any_operation_leaves_the_old_or_the_new_height_whole() {
    check_each_failure(40, 100, 1, false);
    check_each_failure(40, 100, 1, true);
}

#[test]
fn a_failure_of_any_operation_leaves_the_old_or_the_new_large_checkpoint_whole() {
    // Almost 5 MiB of rows: more than one batch of the journal.
    check_each_failure(55, 100 << 10, 12, false);
    check_each_failure(55, 100 << 10, 12, true);
}

/// The snapshot of a later height with the rows that are there.
fn restore_snapshot(store: &SledStore, new: &Checkpoint) -> bool {
    let (height, block, root) = (new.height, [new.height as u8; 32], new.root);
    let commit = Commit { height, block, root, certificate: b"certificate", checkpoint: Some(new) };
    store.restore(&body(height), &commit).is_ok()
}

#[test]
fn a_failure_of_any_operation_leaves_the_old_ledger_or_the_snapshot_whole() {
    let root = tempfile::tempdir().unwrap();
    let old = checkpoint(2, 40, 100);
    // Almost 5 MiB of rows, and some of the old ones go.
    let mut new = checkpoint(90, 55, 100 << 10);
    new.rows.retain(|_, value| value.is_some());
    let template = root.path().join("template");
    let store =
        SledStore::open(&template, OpenOptions { create_new: true, ..OpenOptions::default() }).unwrap();
    write_height(&store, 1, &checkpoint(1, 0, 0), false);
    write_height(&store, 2, &old, false);
    drop(store);
    let (mut fail_at, mut olds, mut news) = (0, 0, 0);
    loop {
        let place = tempfile::tempdir_in(root.path()).unwrap();
        let faults = Faults::new(place.path());
        copy_directory(&template, &faults.live);
        let store = faults.open(false).unwrap();
        faults.fail_from(fail_at);
        let restored = restore_snapshot(&store, &new);
        let failed = faults.calls() > fail_at;
        drop(store);
        for directory in [&faults.shadow, &faults.live] {
            let context = format!("operation {fail_at} failed, {}", directory.display());
            let store = SledStore::open(directory, OpenOptions::default())
                .unwrap_or_else(|error| panic!("{context}: does not open: {error}"));
            let verified = store.verify().unwrap_or_else(|error| panic!("{context}: {error}"));
            let tip = store.tip().unwrap().unwrap().height;
            let mut rows = BTreeMap::new();
            store
                .rows(&mut |table, key, value| {
                    rows.insert((table, key.to_vec()), value.to_vec());
                    Ok(())
                })
                .unwrap();
            if tip == 90 {
                news += 1;
                assert_eq!((verified.decided_count, store.history_height_min()), (1, 90), "{context}");
                assert!(rows == rows_of(&[&new]), "{context}: the rows are not those of the snapshot");
                assert_eq!(store.decided(2).unwrap(), None, "{context}");
            } else {
                olds += 1;
                assert!(!restored, "{context}: what was acknowledged is lost");
                assert_eq!((tip, store.latest_checkpoint().unwrap().unwrap().height), (2, 2), "{context}");
                assert!(rows == rows_of(&[&old]), "{context}: the rows are not those of the old ledger");
                assert!(restore_snapshot(&store, &new), "{context}: it cannot be done again");
            }
            let commit =
                Commit { height: 91, block: [91; 32], root: [91; 32], certificate: b"c", checkpoint: None };
            store.put_body(&[91; 32], b"next").unwrap();
            store.commit(&commit).unwrap_or_else(|error| panic!("{context}: it does not go on: {error}"));
        }
        if !failed {
            assert!(restored && fail_at >= 15 && olds > 10 && news > 2, "{fail_at} {olds} {news}");
            return;
        }
        fail_at += if fail_at < 24 { 1 } else { 9 };
    }
}

#[test]
fn a_failure_while_creating_or_opening_can_be_repeated() {
    for create_new in [true, false] {
        for fail_at in 0.. {
            let place = tempfile::tempdir().unwrap();
            let faults = Faults::new(place.path());
            if !create_new {
                write_height(&faults.open(true).unwrap(), 1, &checkpoint(1, 3, 10), false);
            }
            faults.fail_from(fail_at);
            let opened = faults.open(create_new).map(drop);
            let failed = faults.calls() > fail_at;
            assert_eq!(opened.is_err(), failed, "operation {fail_at}: {opened:?}");
            faults.fail_from(NEVER);
            let again = faults.open(create_new && !faults.live.join("witness").exists());
            let again = again.unwrap_or_else(|error| panic!("after operation {fail_at} failed: {error}"));
            assert_eq!(again.tip().unwrap().is_some(), !create_new);
            if !failed {
                assert!(fail_at >= 4, "only {fail_at} operations were seen");
                break;
            }
        }
    }
}

#[test]
fn a_low_disk_refuses_proposals_before_commits_and_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let faults = Faults::new(place.path());
    let store = faults.open(true).unwrap();
    store.put_body_and_undecided(1, 0, &[1; 32], b"body", b"record").unwrap();
    let minimum = OpenOptions::default().bytes_free_min;
    faults.bytes_free.store(minimum, Ordering::SeqCst);
    let low = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::DiskLow { .. })), "{result:?}");
    };
    low(store.put_body(&[2; 32], b"body"));
    low(store.put_undecided(2, 0, &[2; 32], b"record"));
    low(store.put_body_and_undecided(2, 0, &[2; 32], b"body", b"record"));
    low(store.put_evidence(b"evidence"));
    low(store.checkpoint(&checkpoint(1, 3, 10)));
    let commit = Commit { height: 1, block: [1; 32], root: [1; 32], certificate: b"c", checkpoint: None };
    faults.bytes_free.store(minimum / 2, Ordering::SeqCst);
    low(store.commit(&commit));
    faults.bytes_free.store(minimum / 2 + 1024, Ordering::SeqCst);
    store.commit(&commit).unwrap();
    low(store.extend_certificate(1, b"more"));
    faults.bytes_free.store(1 << 40, Ordering::SeqCst);
    store.extend_certificate(1, b"more").unwrap();
    assert_eq!(store.verify().unwrap().decided_count, 1);
}
