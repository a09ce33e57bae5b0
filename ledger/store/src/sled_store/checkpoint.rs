//! Checkpoints: into a journal, marked, then into the rows.

use super::{SledStore, State, Writer, engine::Batch};
use crate::{
    error::StoreError,
    limits::{self, BATCH_BYTES_MAX, CHUNK_BYTES, VALUE_BYTES_MAX},
    record::{
        CHECKPOINT_KEY, CheckpointRecord, JOURNAL_KEY, JournalRecord, RowChange, RowSum, checkpoint_bytes,
        decode, encode, journal_key, key, row_key, table,
    },
    store::{Checkpoint, CheckpointInfo},
};

/// Bytes of a batch that are kept for a commit beside a checkpoint: its certificate, the index, the tip, and what keys take.
const JOINED_BYTES_KEPT: usize = VALUE_BYTES_MAX + (64 << 10);

/// A checkpoint made ready to go into the batch of a commit.
pub(super) struct Joined {
    pub(super) record: CheckpointRecord,
    chunks: Vec<Vec<u8>>,
}

impl SledStore {
    pub(super) fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        limits::check_rows(checkpoint)?;
        let _checkpointing = self.checkpointing();
        drop(self.writer()?); // refuses if an earlier write failed
        let state = self.state();
        if !self.is_next(&state, checkpoint)? {
            return Ok(());
        }
        self.check_checkpoint_space(checkpoint)?;
        let record = self.checkpoint_record(&state, checkpoint)?;
        let journal = self.write_journal(checkpoint, &record)?;
        self.apply_journal(&journal)
    }

    /// The rows lie in the journal and in their place for a while.
    pub(super) fn check_checkpoint_space(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let bytes = checkpoint_bytes(checkpoint).saturating_mul(2);
        self.check_space(bytes, self.options.bytes_free_min)
    }

    fn checkpoint_record(
        &self,
        state: &State,
        checkpoint: &Checkpoint,
    ) -> Result<CheckpointRecord, StoreError> {
        Ok(CheckpointRecord {
            height: checkpoint.height,
            root: checkpoint.root,
            protocol_version: checkpoint.protocol_version,
            rows: self.row_sum_after(state, checkpoint)?,
        })
    }

    /// A checkpoint that can go into the batch of its own height's commit: then it costs no fsync of its own. `None` when it is
    /// too large for that, or refused for what the commit is not refused for. Called with [`SledStore::checkpointing`] held.
    pub(super) fn join(&self, checkpoint: &Checkpoint) -> Result<Option<Joined>, StoreError> {
        if limits::check_rows(checkpoint).is_err() {
            return Ok(None);
        }
        match self.check_checkpoint_space(checkpoint) {
            Ok(()) => {}
            Err(StoreError::DiskLow { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut chunks = Vec::new();
        let mut bytes = JOINED_BYTES_KEPT;
        for chunk in chunked(checkpoint) {
            let value = encode(&chunk);
            bytes = bytes.saturating_add(value.len());
            if bytes > BATCH_BYTES_MAX {
                return Ok(None);
            }
            chunks.push(value);
        }
        let record = self.checkpoint_record(&self.state(), checkpoint)?;
        Ok(Some(Joined { record, chunks }))
    }

    /// Adds a joined checkpoint to the commit's batch. One batch is in the database as a whole or not at all, so the marker
    /// vouches for chunks that are as durable as itself, and the checkpoint for a commit that is.
    pub(super) fn add_joined(
        &self,
        writer: &mut Writer,
        batch: &mut Batch,
        joined: &Joined,
    ) -> Result<JournalRecord, StoreError> {
        if writer.journal_applied.is_some() {
            // Only when two commits follow each other without a body in between: the older journal's rows must be durable before
            // a younger marker takes its place.
            self.durable(writer, Batch::default())?;
        }
        let height = joined.record.height;
        let mut chunks = 0_u32;
        for chunk in &joined.chunks {
            batch.insert(journal_key(height, chunks), chunk.clone());
            chunks = chunks.saturating_add(1);
        }
        let journal = JournalRecord { height, chunks };
        batch.insert(CHECKPOINT_KEY.to_vec(), encode(&joined.record));
        batch.insert(JOURNAL_KEY.to_vec(), encode(&journal));
        // Set before the write: if that fails half way, nobody may read the rows.
        writer.journal_pending = true;
        Ok(journal)
    }

    /// Whether the checkpoint is to be written: `false` if it is there already.
    fn is_next(&self, state: &State, checkpoint: &Checkpoint) -> Result<bool, StoreError> {
        let (height, root) = (checkpoint.height, checkpoint.root);
        if let Some(latest) = state.checkpoint.map(|latest| latest.info()) {
            if latest == (CheckpointInfo { height, root, protocol_version: checkpoint.protocol_version }) {
                return Ok(false);
            }
            if latest.height == height {
                return Err(StoreError::Conflict { what: format!("a checkpoint at height {height}") });
            }
            if height < latest.height {
                let what = format!("checkpoint {height} is older than the latest, {}", latest.height);
                return Err(StoreError::OutOfOrder { what });
            }
        }
        match (state.tip, state.checkpoint) {
            (Some(tip), _) if height > tip.height => {
                return Err(StoreError::OutOfOrder {
                    what: format!("checkpoint {height} is above the tip, {}", tip.height),
                });
            }
            (None, Some(latest)) => {
                let what = format!(
                    "checkpoint {height} is above the restored one, {}, without blocks between",
                    latest.height
                );
                return Err(StoreError::OutOfOrder { what });
            }
            _ => {}
        }
        if self.height_index(height)?.is_some_and(|decided| decided.root != root) {
            return Err(StoreError::Conflict { what: format!("the root of height {height}") });
        }
        Ok(true)
    }

    fn row_sum_after(&self, state: &State, checkpoint: &Checkpoint) -> Result<RowSum, StoreError> {
        let mut sum = state.checkpoint.map_or_else(RowSum::default, |latest| latest.rows);
        for ((table, row), value) in &checkpoint.rows {
            let key = row_key(*table, row);
            if let Some(old) = self.engine.get(&key)? {
                sum.remove(&key, &old);
            }
            if let Some(new) = value {
                sum.add(&key, new);
            }
        }
        Ok(sum)
    }

    /// Writes the chunks, then the marker with the last of them, for a checkpoint that does not go with a commit. When this returns the checkpoint is the latest one.
    fn write_journal(
        &self,
        checkpoint: &Checkpoint,
        record: &CheckpointRecord,
    ) -> Result<JournalRecord, StoreError> {
        let Chunks { mut batch, chunks, synced } =
            self.write_chunks(checkpoint.height, chunked(checkpoint))?;
        let mut writer = self.writer()?;
        if !synced || writer.journal_applied.is_some() {
            // The marker must not reach the disk before the chunks that it vouches for, nor take the place of an older one whose
            // rows have not reached it.
            self.durable(&mut writer, std::mem::take(&mut batch))?;
        }
        let journal = JournalRecord { height: checkpoint.height, chunks };
        batch.insert(CHECKPOINT_KEY.to_vec(), encode(record));
        batch.insert(JOURNAL_KEY.to_vec(), encode(&journal));
        // Set before the write: if that fails half way, nobody may read the rows.
        writer.journal_pending = true;
        self.durable(&mut writer, batch)?;
        self.change_state(|state| state.checkpoint = Some(*record));
        Ok(journal)
    }

    /// Writes the chunks of a journal but for the last of them, which are in the batch that is given back.
    pub(super) fn write_chunks(
        &self,
        height: u64,
        changes: impl Iterator<Item = Vec<RowChange>>,
    ) -> Result<Chunks, StoreError> {
        let mut written = Chunks { batch: Batch::default(), chunks: 0, synced: true };
        for chunk in changes {
            let value = encode(&chunk);
            // Half a batch is kept free, for the marker and because a chunk may be larger than a part.
            if written.batch.bytes().saturating_add(value.len()) > BATCH_BYTES_MAX / 2 {
                let _writer = self.writer()?;
                self.apply(std::mem::take(&mut written.batch))?;
                written.synced = false;
            }
            written.batch.insert(journal_key(height, written.chunks), value);
            written.chunks = written.chunks.saturating_add(1);
        }
        Ok(written)
    }

    /// Applies a marked journal to the rows. May be repeated from any point. Commits go on between chunks.
    ///
    /// The rows get no fsync of their own: until the next one of whatever kind, which [`SledStore::durable`] makes and then drops
    /// the journal, a power cut leaves the marked journal, and opening the store applies it again.
    pub(super) fn apply_journal(&self, journal: &JournalRecord) -> Result<(), StoreError> {
        for number in 0..journal.chunks {
            let key = journal_key(journal.height, number);
            let bytes = self.engine.get(&key)?;
            let bytes = bytes
                .ok_or_else(|| StoreError::damaged(format!("part {number} of a checkpoint is missing")))?;
            let mut batch = Batch::default();
            for (table, row, value) in decode::<Vec<RowChange>>(&key, &bytes)? {
                match value {
                    Some(value) => batch.insert(row_key(table, &row), value),
                    None => batch.remove(row_key(table, &row)),
                }
            }
            let _writer = self.writer()?;
            self.apply(batch)?;
        }
        let mut writer = self.writer()?;
        writer.journal_pending = false;
        writer.journal_applied = Some(*journal);
        Ok(())
    }

    /// Drops a journal whose rows are durable; that it goes need not be.
    pub(super) fn drop_journal(&self, journal: &JournalRecord) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.remove(JOURNAL_KEY.to_vec());
        for number in 0..journal.chunks {
            batch.remove(journal_key(journal.height, number));
        }
        self.apply(batch)
    }

    /// At opening: finishes a whole journal, drops a half one.
    pub(super) fn settle_journal(&self) -> Result<(), StoreError> {
        if let Some(bytes) = self.engine.get(JOURNAL_KEY)? {
            let journal: JournalRecord = decode(JOURNAL_KEY, &bytes)?;
            let latest = self.state().checkpoint.map(|checkpoint| checkpoint.height);
            if latest != Some(journal.height) {
                return Err(StoreError::damaged("the journal and the checkpoint are of different heights"));
            }
            self.writer()?.journal_pending = true;
            self.apply_journal(&journal)?;
            self.durable(&mut *self.writer()?, Batch::default())?;
        }
        let mut left = Vec::new();
        let _writer = self.writer()?;
        self.engine.scan(&key(table::JOURNAL, &[]), &mut |key, _| {
            left.push(key.to_vec());
            Ok(())
        })?;
        if left.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        left.into_iter().for_each(|key| batch.remove(key));
        self.apply(batch)
    }
}

/// Chunks of a journal, most of them written.
pub(super) struct Chunks {
    /// What is left to write.
    pub(super) batch: Batch,
    /// How many there are.
    pub(super) chunks: u32,
    /// None was written, so all are in the batch.
    pub(super) synced: bool,
}

/// The rows in chunks of about [`CHUNK_BYTES`], in order.
pub(super) fn chunked(checkpoint: &Checkpoint) -> impl Iterator<Item = Vec<RowChange>> {
    let mut rows = checkpoint.rows.iter().peekable();
    std::iter::from_fn(move || {
        let mut chunk = Vec::new();
        let mut bytes = 0_usize;
        while let Some(((table, key), value)) = rows.peek() {
            let row_bytes = key.len().saturating_add(value.as_ref().map_or(0, Vec::len)).saturating_add(16);
            bytes = bytes.saturating_add(row_bytes);
            if !chunk.is_empty() && bytes > CHUNK_BYTES {
                break;
            }
            chunk.push((*table, key.clone(), (*value).clone()));
            rows.next();
        }
        (!chunk.is_empty()).then_some(chunk)
    })
}
