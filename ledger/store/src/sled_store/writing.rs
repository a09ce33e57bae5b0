//! Proposals, commits, evidence and pruning: every way into the database but a checkpoint of its own.

use std::{fs, io};

use super::{SledStore, State, Writer, checkpoint::Joined, engine::Batch};
use crate::{
    error::{StoreError, hexadecimal},
    limits::{self, BODY_PART_BYTES},
    operations::EngineStep,
    record::{
        BodyIndex, HISTORY_KEY, HeightIndex, JournalRecord, TIP_KEY, body_index_key, body_key,
        certificate_key, encode, evidence_key, height_key, table, undecided_key, undecided_parts,
        waypoint_key,
    },
    store::{Commit, Hash, Tip},
};

/// A batch of pruning takes no more blocks from here on: commits wait for it, and the database frees neither memory nor segments
/// before it is over. That is one block of a megabyte or two, or a hundred small ones.
const FORGET_CHANGES_MAX: usize = 1 << 9;

impl SledStore {
    /// Writes a body, an undecided record or both, in one batch with one fsync.
    pub(super) fn put(
        &self,
        body: Option<(&Hash, &[u8])>,
        undecided: Option<(u64, u32, &Hash, &[u8])>,
    ) -> Result<(), StoreError> {
        body.map_or(Ok(()), |(_, body)| limits::check_body(body))?;
        undecided.map_or(Ok(()), |(.., record)| limits::check_value("an undecided record", record))?;
        let mut writer = self.writer()?;
        let mut batch = Batch::default();
        let mut sequence_used = false;
        if let Some((id, body)) = body {
            match self.read_body(id)? {
                Some(stored) if stored == body => {}
                Some(_) => return Err(StoreError::Conflict { what: format!("body {}", hexadecimal(id)) }),
                None => {
                    insert_body(&mut batch, writer.body_sequence_next, id, body);
                    sequence_used = true;
                }
            }
        }
        if let Some((height, round, id, record)) = undecided {
            let key = undecided_key(height, round, id);
            if self.engine.get(&key)?.as_deref() != Some(record) {
                batch.insert(key, record.to_vec());
            }
        }
        // What was there before is durable: a write that failed closed the store, and opening it syncs the file.
        if batch.is_empty() {
            return Ok(());
        }
        self.check_space(batch.bytes() as u64, self.options.bytes_free_min)?;
        self.durable(&mut writer, batch)?;
        writer.body_sequence_next = writer.body_sequence_next.saturating_add(u64::from(sequence_used));
        Ok(())
    }

    pub(super) fn write_commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        limits::check_value("a certificate", commit.certificate)?;
        commit.check_checkpoint()?;
        let Some(checkpoint) = commit.checkpoint else { return self.decide(commit, None).map(|_| ()) };
        let journal = {
            let _checkpointing = self.checkpointing();
            let journal = self.decide(commit, self.join(checkpoint)?.as_ref())?;
            if let Some(journal) = &journal {
                self.apply_journal(journal)?;
            }
            journal
        };
        if journal.is_some() {
            return Ok(());
        }
        match self.write_checkpoint(checkpoint) {
            // The commit stands: the caller sees that the latest checkpoint is not this one.
            Err(StoreError::TooLarge { .. } | StoreError::DiskLow { .. }) => Ok(()),
            written => written,
        }
    }

    /// Makes a decision durable, with a checkpoint in the same batch if there is one, whose journal is then to be applied. A
    /// decision that was there before takes no checkpoint with it.
    fn decide(
        &self,
        commit: &Commit<'_>,
        joined: Option<&Joined>,
    ) -> Result<Option<JournalRecord>, StoreError> {
        let mut writer = self.writer()?;
        let state = self.state();
        let index = HeightIndex { block: commit.block, root: commit.root };
        if state.tip.is_some_and(|tip| commit.height <= tip.height) {
            return match self.height_index(commit.height)? {
                Some(decided) if decided == index => Ok(None),
                Some(_) => Err(StoreError::Conflict { what: format!("height {}", commit.height) }),
                None => {
                    Err(StoreError::OutOfOrder { what: format!("height {} is forgotten", commit.height) })
                }
            };
        }
        self.check_follows(&state, commit)?;
        let tip = Tip { height: commit.height, block: commit.block, root: commit.root };
        let mut batch = Batch::default();
        batch.insert(height_key(commit.height), encode(&index));
        batch.insert(certificate_key(commit.height), commit.certificate.to_vec());
        batch.insert(TIP_KEY.to_vec(), encode(&tip));
        if state.tip.is_none() {
            batch.insert(HISTORY_KEY.to_vec(), encode(&commit.height));
        }
        self.check_space(batch.bytes() as u64, self.options.bytes_free_min / 2)?;
        let journal = match joined {
            Some(joined) => Some(self.add_joined(&mut writer, &mut batch, joined)?),
            None => None,
        };
        self.durable(&mut writer, batch)?;
        let written = writer.witness.write(tip, &self.disk);
        written.map_err(|error| self.fail(format!("the witness: {error}")))?;
        self.change_state(|state| {
            if state.tip.is_none() {
                state.history_height_min = commit.height;
            }
            state.tip = Some(tip);
            if let Some(joined) = joined {
                state.checkpoint = Some(joined.record);
            }
        });
        Ok(journal)
    }

    /// A commit is the one above the tip, of a body that is here.
    fn check_follows(&self, state: &State, commit: &Commit<'_>) -> Result<(), StoreError> {
        let below = state.tip.map(|tip| tip.height).or(state.checkpoint.map(|checkpoint| checkpoint.height));
        if let Some(below) = below.filter(|below| below.checked_add(1) != Some(commit.height)) {
            return Err(StoreError::OutOfOrder {
                what: format!("height {} does not follow {below}", commit.height),
            });
        }
        if self.body_index(&commit.block)?.is_none() {
            return Err(StoreError::BodyMissing { block: commit.block });
        }
        Ok(())
    }

    pub(super) fn write_certificate(&self, height: u64, certificate: &[u8]) -> Result<(), StoreError> {
        limits::check_value("a certificate", certificate)?;
        let _writer = self.writer()?;
        let state = self.state();
        if !state.tip.is_some_and(|tip| (state.history_height_min..=tip.height).contains(&height)) {
            return Err(StoreError::OutOfOrder { what: format!("height {height} is not decided here") });
        }
        let mut batch = Batch::default();
        batch.insert(certificate_key(height), certificate.to_vec());
        self.check_space(batch.bytes() as u64, self.options.bytes_free_min)?;
        self.apply(batch)
    }

    pub(super) fn write_waypoint(&self, height: u64, record: &[u8]) -> Result<(), StoreError> {
        limits::check_value("a waypoint", record)?;
        let mut writer = self.writer()?;
        let key = waypoint_key(height);
        if self.engine.get(&key)?.as_deref() == Some(record) {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.insert(key, record.to_vec());
        self.check_space(batch.bytes() as u64, self.options.bytes_free_min)?;
        self.durable(&mut writer, batch)
    }

    pub(super) fn write_evidence(&self, evidence: &[u8]) -> Result<(), StoreError> {
        limits::check_value("evidence", evidence)?;
        let mut writer = self.writer()?;
        let key = evidence_key(evidence);
        if self.engine.get(&key)?.is_some() {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.insert(key, evidence.to_vec());
        self.check_space(batch.bytes() as u64, self.options.bytes_free_min)?;
        self.durable(&mut writer, batch)
    }

    /// Pruning is not checked for space, because it is how space is won, and not synced, because it may be repeated.
    pub(super) fn forget_decided(&self, height: u64, at_most: u64) -> Result<u64, StoreError> {
        let _writer = self.writer()?;
        let state = self.state();
        let (Some(tip), Some(checkpoint)) = (state.tip, state.checkpoint) else { return Ok(0) };
        let bound = height.min(checkpoint.height.saturating_add(1)).min(tip.height);
        let bound = bound.min(state.history_height_min.saturating_add(at_most));
        if bound <= state.history_height_min {
            return Ok(0);
        }
        let mut batch = Batch::default();
        let mut end = state.history_height_min;
        while end < bound && batch.changes() < FORGET_CHANGES_MAX {
            if let Some(index) = self.height_index(end)? {
                self.remove_body(&mut batch, &index.block)?;
            }
            batch.remove(height_key(end));
            batch.remove(certificate_key(end));
            end = end.saturating_add(1);
        }
        batch.insert(HISTORY_KEY.to_vec(), encode(&end));
        let count = end.saturating_sub(state.history_height_min);
        // Readers see the heights go before the database loses them, so that they never take pruning for damage.
        self.change_state(|state| state.history_height_min = end);
        self.apply(batch)?;
        Ok(count)
    }

    pub(super) fn forget_undecided(&self, height: u64) -> Result<u64, StoreError> {
        let _writer = self.writer()?;
        let Some(tip) = self.state().tip else { return Ok(0) };
        let mut keys = Vec::new();
        let above = height.min(tip.height);
        let scanned = self.engine.scan(&[table::UNDECIDED], &mut |key, _| {
            let (height, _, id) = undecided_parts(key)?;
            if height > above {
                return Err(StoreError::OutOfOrder { what: String::new() });
            }
            keys.push((key.to_vec(), height, id));
            Ok(())
        });
        // The scan is ordered by height and stopped at the first one to keep.
        scanned.or_else(
            |error| if matches!(error, StoreError::OutOfOrder { .. }) { Ok(()) } else { Err(error) },
        )?;
        let mut batch = Batch::default();
        for (key, height, id) in &keys {
            if self.height_index(*height)?.is_none_or(|decided| decided.block != *id) {
                self.remove_body(&mut batch, id)?;
            }
            batch.remove(key.clone());
        }
        if !batch.is_empty() {
            self.apply(batch)?;
        }
        Ok(keys.len() as u64)
    }

    pub(super) fn remove_body(&self, batch: &mut Batch, id: &Hash) -> Result<(), StoreError> {
        if let Some(index) = self.body_index(id)? {
            for part in 0..index.parts {
                batch.remove(body_key(index.sequence, part));
            }
            batch.remove(body_index_key(id));
        }
        Ok(())
    }

    /// Refuses a write that would leave less than `bytes_free_min` on the file system.
    pub(super) fn check_space(&self, bytes: u64, bytes_free_min: u64) -> Result<(), StoreError> {
        let free = self.disk.operations().bytes_free(&self.directory);
        let bytes_free =
            free.map_err(|error| StoreError::io("ask for the free space of", &self.directory, error))?;
        let bytes_needed = bytes_free_min.saturating_add(bytes);
        if bytes_free < bytes_needed {
            return Err(StoreError::DiskLow { directory: self.directory.clone(), bytes_free, bytes_needed });
        }
        Ok(())
    }

    /// Puts a batch into the database without waiting for the disk.
    pub(super) fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.disk
            .operations()
            .engine(EngineStep::Apply)
            .map_err(|error| self.fail(format!("applying a batch: {error}")))?;
        self.engine.apply(batch).map_err(|error| self.fail(error.to_string()))
    }

    /// Puts a batch into the database and waits until it, and all that was put there before, would survive a power cut. That
    /// includes the rows of a journal applied before, which then has done its duty.
    pub(super) fn durable(&self, writer: &mut Writer, batch: Batch) -> Result<(), StoreError> {
        let applied = writer.journal_applied.take();
        self.apply(batch)?;
        self.disk
            .operations()
            .engine(EngineStep::Flush)
            .map_err(|error| self.fail(format!("flushing the database: {error}")))?;
        self.engine.flush().map_err(|error| self.fail(error.to_string()))?;
        self.sync_database(writer).map_err(|error| self.fail(format!("fsync of the database: {error}")))?;
        applied.map_or(Ok(()), |journal| self.drop_journal(&journal))
    }

    /// New files in `blobs/` first, then their folder, then `db`, which points to them.
    pub(super) fn sync_database(&self, writer: &mut Writer) -> io::Result<()> {
        let folder = self.directory.join("sled").join("blobs");
        let mut new = false;
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            if writer.blobs_synced.contains(&name) {
                continue;
            }
            let path = folder.join(&name);
            match fs::File::open(&path) {
                Ok(file) => self.disk.sync_all(&file, &path)?,
                // sled removes blobs that a later page replaced.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            writer.blobs_synced.insert(name);
            new = true;
        }
        if new {
            self.disk.sync_directory(&folder)?;
        }
        self.disk.sync_all(&self.database, &self.directory.join("sled").join("db"))
    }
}

fn insert_body(batch: &mut Batch, sequence: u64, id: &Hash, body: &[u8]) {
    let mut parts = 0_u32;
    for bytes in body.chunks(BODY_PART_BYTES) {
        batch.insert(body_key(sequence, parts), bytes.to_vec());
        parts = parts.saturating_add(1);
    }
    let index = BodyIndex { sequence, parts, bytes: body.len() as u64 };
    batch.insert(body_index_key(id), encode(&index));
}
