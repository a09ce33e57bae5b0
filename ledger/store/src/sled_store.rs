//! The store on disk: one sled tree, one writer, our own fsyncs and a witness.
//!
//! sled's `flush()` hands its buffers to the operating system and does not fsync them, and it opens an emptied database
//! without an error. Hence after each `flush()` the file `db` is fsynced through a handle of our own, opened once so that
//! the kernel reports a failed write-back to it, and the witness remembers what the database must not forget.
//!
//! **Checkpoints** go through a journal: the changed rows are written in chunks under a prefix of their own, and the batch
//! that completes them also writes the checkpoint's record and a marker. From then on the new checkpoint is the latest one;
//! before, the previous one is whole and untouched. The chunks are then applied to the rows, and the journal is dropped once
//! they are durable. Opening a store finishes a marked journal, which may be repeated at will, and drops an unmarked one.
//!
//! **Restoring** a snapshot goes the same way: its rows, and the removal of those that it does not have, lie in the journal before
//! one batch makes its block the tip, its rows the checkpoint, and what was decided before forgotten.
//!
//! **Fsyncs** are counted: one for a proposal (body and record), one for a decision, one for the witness. A checkpoint that is
//! given with the commit of its height is part of the decision's batch, and its rows become durable with the next height's
//! proposal, so a height costs three with it or without it. Alone a checkpoint costs one.

mod checkpoint;
mod engine;
#[cfg(test)]
mod fault_tests;
mod opening;
mod reading;
mod restoring;
mod writing;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use crate::{
    error::StoreError,
    operations::{Disk, SystemOperations},
    record::{CheckpointRecord, JournalRecord},
    store::{
        Checkpoint, CheckpointInfo, Commit, Decided, Hash, LedgerStore, RowCursor, RowVisitor, StoredRow,
        Tip, Undecided,
    },
    witness::Witness,
};
use engine::Engine;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Make a new store. Without it an absent or empty database is refused, because that is what a lost one looks like;
    /// with it an existing store is refused.
    pub create_new: bool,
    /// Proposals and checkpoints are refused when fewer bytes than this are free on the file system; commits when fewer
    /// than half are, so that what was accepted can still be decided.
    pub bytes_free_min: u64,
    /// Memory the database may use as a cache, in bytes.
    pub cache_bytes: u64,
    /// A database that does not open in this time counts as damaged.
    pub open_time_max: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            create_new: false,
            bytes_free_min: 64 << 20,
            cache_bytes: 16 << 20,
            open_time_max: Duration::from_secs(300),
        }
    }
}

/// The ledger's store on disk.
pub struct SledStore {
    directory: PathBuf,
    options: OpenOptions,
    disk: Disk,
    engine: Engine,
    /// Our own handle on sled's file, for fsync.
    database: File,
    writer: Mutex<Writer>,
    /// Readers of the tip must not wait for an fsync, so what they need lies behind a lock of its own.
    state: Mutex<State>,
    /// Held while a checkpoint is written or all rows are read; taken before `writer`.
    checkpointing: Mutex<()>,
    fatal: OnceLock<String>,
    /// Last, so that it is released after the database is closed.
    _lock: File,
}

struct Writer {
    witness: Witness,
    /// Files in `blobs/` that are durable already.
    blobs_synced: BTreeSet<OsString>,
    body_sequence_next: u64,
    /// A checkpoint is complete in the journal and not yet in the rows.
    journal_pending: bool,
    /// It is in the rows too, and they become durable with the next fsync; until then the journal stays.
    journal_applied: Option<JournalRecord>,
}

#[derive(Clone, Copy, Default)]
struct State {
    tip: Option<Tip>,
    history_height_min: u64,
    checkpoint: Option<CheckpointRecord>,
}

impl SledStore {
    /// Opens or creates the store in `directory`, which is its own: the database, the witness and a lock file lie there.
    ///
    /// # Errors
    /// `Locked` if another process has it; `Damaged` if the database does not open or read; `Doubt` if it may have
    /// forgotten something, or is there and should be new; `Io`.
    pub fn open(directory: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        Self::open_with(directory, options, Box::new(SystemOperations))
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match self.fatal.get() {
            Some(what) => Err(StoreError::Fatal { what: what.clone() }),
            None => Ok(writer),
        }
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_state(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn checkpointing(&self) -> MutexGuard<'_, ()> {
        self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the first failure and refuses every write from now on.
    fn fail(&self, what: String) -> StoreError {
        StoreError::Fatal { what: self.fatal.get_or_init(|| what).clone() }
    }
}

impl LedgerStore for SledStore {
    fn put_body(&self, id: &Hash, body: &[u8]) -> Result<(), StoreError> {
        self.put(Some((id, body)), None)
    }

    fn put_undecided(&self, height: u64, round: u32, id: &Hash, record: &[u8]) -> Result<(), StoreError> {
        self.put(None, Some((height, round, id, record)))
    }

    fn put_body_and_undecided(
        &self,
        height: u64,
        round: u32,
        id: &Hash,
        body: &[u8],
        record: &[u8],
    ) -> Result<(), StoreError> {
        self.put(Some((id, body)), Some((height, round, id, record)))
    }

    fn body(&self, id: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_body(id)
    }

    fn undecided(&self, height: u64, round: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let records = self.read_undecided(&[&height.to_be_bytes(), &round.to_be_bytes()])?;
        Ok(records.into_iter().map(|undecided| undecided.record).collect())
    }

    fn undecided_at(&self, height: u64) -> Result<Vec<Undecided>, StoreError> {
        self.read_undecided(&[&height.to_be_bytes()])
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.write_commit(commit)
    }

    fn extend_certificate(&self, height: u64, certificate: &[u8]) -> Result<(), StoreError> {
        self.write_certificate(height, certificate)
    }

    fn decided(&self, height: u64) -> Result<Option<Decided>, StoreError> {
        self.read_decided(height)
    }

    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        Ok(self.state().tip)
    }

    fn history_height_min(&self) -> u64 {
        self.state().history_height_min
    }

    fn prune_bodies_below(&self, height: u64, at_most: u64) -> Result<u64, StoreError> {
        self.forget_decided(height, at_most)
    }

    fn prune_undecided_to(&self, height: u64) -> Result<u64, StoreError> {
        self.forget_undecided(height)
    }

    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.write_checkpoint(checkpoint)
    }

    fn latest_checkpoint(&self) -> Result<Option<CheckpointInfo>, StoreError> {
        Ok(self.state().checkpoint.map(|checkpoint| checkpoint.info()))
    }

    fn rows(&self, each: RowVisitor<'_>) -> Result<(), StoreError> {
        self.read_rows(each)
    }

    fn rows_page(&self, cursor: &mut RowCursor, bytes_max: usize) -> Result<Vec<StoredRow>, StoreError> {
        self.read_page(cursor, bytes_max)
    }

    fn restore(&self, body: &[u8], commit: &Commit<'_>) -> Result<(), StoreError> {
        self.write_restored(body, commit)
    }

    fn put_waypoint(&self, height: u64, record: &[u8]) -> Result<(), StoreError> {
        self.write_waypoint(height, record)
    }

    fn waypoints(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read_waypoints()
    }

    fn put_evidence(&self, evidence: &[u8]) -> Result<(), StoreError> {
        self.write_evidence(evidence)
    }

    fn evidence(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read_evidence()
    }

    fn writable(&self) -> Result<(), StoreError> {
        // Without the writer's lock: who asks must not wait for an fsync.
        match self.fatal.get() {
            Some(what) => Err(StoreError::Fatal { what: what.clone() }),
            None => self.check_space(0, self.options.bytes_free_min),
        }
    }

    fn fsyncs(&self) -> u64 {
        self.disk.fsyncs()
    }
}
