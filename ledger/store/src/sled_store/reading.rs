//! What the store on disk gives back.

use std::sync::PoisonError;

use super::SledStore;
use crate::{
    error::{StoreError, hexadecimal},
    record::{
        BodyIndex, HeightIndex, RowSum, body_index_key, body_key, certificate_key, decode, height_key, key,
        row_key, table, undecided_parts,
    },
    store::{Decided, Hash, RowCursor, RowVisitor, StoredRow, Undecided},
};

impl SledStore {
    pub(super) fn read_body(&self, id: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(index) = self.body_index(id)? else { return Ok(None) };
        let mut body = Vec::new();
        for part in 0..index.parts {
            let bytes = self.engine.get(&body_key(index.sequence, part))?;
            body.extend(bytes.ok_or_else(|| missing("a part of body", id))?);
        }
        if body.len() as u64 != index.bytes {
            return Err(missing("the end of body", id));
        }
        Ok(Some(body))
    }

    pub(super) fn body_index(&self, id: &Hash) -> Result<Option<BodyIndex>, StoreError> {
        let key = body_index_key(id);
        self.engine.get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()
    }

    pub(super) fn height_index(&self, height: u64) -> Result<Option<HeightIndex>, StoreError> {
        let key = height_key(height);
        self.engine.get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()
    }

    pub(super) fn read_decided(&self, height: u64) -> Result<Option<Decided>, StoreError> {
        // The state, not the database, says what is decided: a batch whose fsync failed does not count.
        let held = || {
            let state = self.state();
            state.tip.is_some_and(|tip| (state.history_height_min..=tip.height).contains(&height))
        };
        if !held() {
            return Ok(None);
        }
        let read = || {
            let index = self.height_index(height)?.ok_or_else(|| gone("the index", height))?;
            let certificate =
                self.engine.get(&certificate_key(height))?.ok_or_else(|| gone("the certificate", height))?;
            let body = self.read_body(&index.block)?.ok_or_else(|| gone("the body", height))?;
            Ok(Some(Decided { block: index.block, root: index.root, certificate, body }))
        };
        // A height pruned while it was being read is not damage.
        read().or_else(|error| if held() { Err(error) } else { Ok(None) })
    }

    pub(super) fn read_undecided(&self, prefix: &[&[u8]]) -> Result<Vec<Undecided>, StoreError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        self.engine.scan(&key(table::UNDECIDED, prefix), &mut |key, record| {
            let (_, round, id) = undecided_parts(key)?;
            found.push(Undecided { round, id, record: record.to_vec() });
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn read_rows(&self, each: RowVisitor<'_>) -> Result<(), StoreError> {
        let _checkpointing = self.checkpointing();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.journal_pending {
            return Err(self.fail("a checkpoint could not be applied".into()));
        }
        let mut sum = RowSum::default();
        self.engine.scan(&[table::ROW], &mut |key, value| {
            sum.add(key, value);
            let (&table, row) = key
                .get(1..)
                .and_then(<[u8]>::split_first)
                .ok_or_else(|| StoreError::damaged("a row has no table"))?;
            each(table, row, value)
        })?;
        let expected = self.state().checkpoint.map_or_else(RowSum::default, |checkpoint| checkpoint.rows);
        if sum != expected {
            return Err(StoreError::damaged(format!(
                "the checkpoint has {} rows of {}, or some of them are old",
                sum.count, expected.count
            )));
        }
        Ok(())
    }

    pub(super) fn read_page(
        &self,
        cursor: &mut RowCursor,
        bytes_max: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let _checkpointing = self.checkpointing();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.journal_pending {
            return Err(self.fail("a checkpoint could not be applied".into()));
        }
        let checkpoint = self.state().checkpoint.filter(|latest| latest.height == cursor.checkpoint);
        let checkpoint = checkpoint.ok_or_else(|| cursor.gone())?;
        let after =
            cursor.after.as_ref().map_or_else(|| vec![table::ROW], |(table, key)| row_key(*table, key));
        let mut page: Vec<StoredRow> = Vec::new();
        let (mut bytes, mut sum) = (0_usize, cursor.sum);
        self.engine.scan_after(&[table::ROW], &after, &mut |key, value| {
            sum.add(key, value);
            let (&table, row) = key
                .get(1..)
                .and_then(<[u8]>::split_first)
                .ok_or_else(|| StoreError::damaged("a row has no table"))?;
            page.push((table, row.to_vec(), value.to_vec()));
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            Ok(bytes < bytes_max)
        })?;
        match page.last() {
            Some((table, key, _)) => cursor.after = Some((*table, key.clone())),
            None if sum != checkpoint.rows => {
                return Err(StoreError::damaged(format!(
                    "the checkpoint has {} rows of {}, or some of them are old",
                    sum.count, checkpoint.rows.count
                )));
            }
            None => {}
        }
        cursor.sum = sum;
        Ok(page)
    }

    pub(super) fn read_waypoints(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        self.engine.scan(&[table::WAYPOINT], &mut |key, record| {
            let height = key.get(1..).and_then(|rest| <[u8; 8]>::try_from(rest).ok());
            let height = height.ok_or_else(|| StoreError::damaged("a waypoint has no height"))?;
            found.push((u64::from_be_bytes(height), record.to_vec()));
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn read_evidence(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        self.engine.scan(&[table::EVIDENCE], &mut |_, evidence| {
            found.push(evidence.to_vec());
            Ok(())
        })?;
        Ok(found)
    }
}

fn missing(what: &str, id: &Hash) -> StoreError {
    StoreError::damaged(format!("{what} {} is missing", hexadecimal(id)))
}

fn gone(what: &str, height: u64) -> StoreError {
    StoreError::damaged(format!("{what} of height {height} is missing"))
}
