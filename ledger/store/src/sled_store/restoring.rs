//! A snapshot takes the place of everything that was decided.

use super::{
    SledStore, State,
    checkpoint::{Chunks, chunked},
    engine::Batch,
};
use crate::{
    error::StoreError,
    limits::{self, CHUNK_BYTES},
    record::{
        CHECKPOINT_KEY, CheckpointRecord, HISTORY_KEY, HeightIndex, JOURNAL_KEY, JournalRecord, RowChange,
        RowSum, TIP_KEY, certificate_key, encode, height_key, row_key, table,
    },
    store::{Checkpoint, Commit, Tip},
};

/// Blocks that are forgotten in one batch.
const FORGET_BLOCKS_MAX: u64 = 1_000;

impl SledStore {
    /// Everything but the last step may be broken off and done again: until the batch that makes the snapshot's block the tip, the
    /// store is what it was, less the blocks that a restart does not need.
    pub(super) fn write_restored(&self, body: &[u8], commit: &Commit<'_>) -> Result<(), StoreError> {
        limits::check_body(body)?;
        limits::check_value("a certificate", commit.certificate)?;
        commit.check_checkpoint()?;
        let checkpoint = commit.whole_checkpoint()?;
        limits::check_rows(checkpoint)?;
        let _checkpointing = self.checkpointing();
        drop(self.writer()?); // refuses if an earlier write failed
        if let Some(tip) = self.state().tip.filter(|tip| tip.height >= commit.height) {
            let what =
                format!("the snapshot of height {} is not above the tip, {}", commit.height, tip.height);
            return Err(StoreError::OutOfOrder { what });
        }
        self.check_checkpoint_space(checkpoint)?;
        // A restart begins with the block of the checkpoint.
        let below = self.state().checkpoint.map_or(0, |latest| latest.height);
        while self.forget_decided(below, FORGET_BLOCKS_MAX)? > 0 {}
        self.put(Some((&commit.block, body)), None)?;
        let mut sum = RowSum::default();
        for ((table, row), value) in &checkpoint.rows {
            sum.add(&row_key(*table, row), value.as_deref().unwrap_or_default());
        }
        let changes = chunked(checkpoint).chain(self.vanished(checkpoint)?);
        let Chunks { batch, chunks, .. } = self.write_chunks(commit.height, changes)?;
        let record = CheckpointRecord {
            height: commit.height,
            root: checkpoint.root,
            protocol_version: checkpoint.protocol_version,
            rows: sum,
        };
        let journal = JournalRecord { height: commit.height, chunks };
        self.take_over(commit, batch, &record, &journal)?;
        self.apply_journal(&journal)
    }

    /// The rows that the snapshot does not have, to be removed.
    fn vanished(&self, checkpoint: &Checkpoint) -> Result<impl Iterator<Item = Vec<RowChange>>, StoreError> {
        let mut chunks = vec![Vec::new()];
        let mut bytes = 0_usize;
        let _writer = self.writer()?;
        self.engine.scan(&[table::ROW], &mut |key, _| {
            let (&table, row) = key
                .get(1..)
                .and_then(<[u8]>::split_first)
                .ok_or_else(|| StoreError::damaged("a row has no table"))?;
            if !checkpoint.rows.contains_key(&(table, row.to_vec())) {
                bytes = bytes.saturating_add(row.len()).saturating_add(16);
                if bytes > CHUNK_BYTES {
                    bytes = 0;
                    chunks.push(Vec::new());
                }
                if let Some(chunk) = chunks.last_mut() {
                    chunk.push((table, row.to_vec(), None));
                }
            }
            Ok(())
        })?;
        chunks.retain(|chunk| !chunk.is_empty());
        Ok(chunks.into_iter())
    }

    /// Makes the rest of the journal durable, and then in one batch the snapshot's block the only one.
    fn take_over(
        &self,
        commit: &Commit<'_>,
        chunks: Batch,
        record: &CheckpointRecord,
        journal: &JournalRecord,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        // The marker must not reach the disk before the chunks that it vouches for.
        self.durable(&mut writer, chunks)?;
        let before = self.state();
        let tip = Tip { height: commit.height, block: commit.block, root: commit.root };
        let mut batch = Batch::default();
        if let Some(last) = before.tip {
            // What the latest checkpoint did not let go of before.
            for height in before.history_height_min..=last.height {
                if let Some(index) = self.height_index(height)? {
                    self.remove_body(&mut batch, &index.block)?;
                }
                batch.remove(height_key(height));
                batch.remove(certificate_key(height));
            }
        }
        batch.insert(height_key(tip.height), encode(&HeightIndex { block: tip.block, root: tip.root }));
        batch.insert(certificate_key(tip.height), commit.certificate.to_vec());
        batch.insert(TIP_KEY.to_vec(), encode(&tip));
        batch.insert(HISTORY_KEY.to_vec(), encode(&tip.height));
        batch.insert(CHECKPOINT_KEY.to_vec(), encode(record));
        batch.insert(JOURNAL_KEY.to_vec(), encode(journal));
        // Set before the write: if that fails half way, nobody may read the rows.
        writer.journal_pending = true;
        self.durable(&mut writer, batch)?;
        let written = writer.witness.write(tip, &self.disk);
        written.map_err(|error| self.fail(format!("the witness: {error}")))?;
        self.change_state(|state| {
            *state = State { tip: Some(tip), history_height_min: tip.height, checkpoint: Some(*record) };
        });
        Ok(())
    }
}
