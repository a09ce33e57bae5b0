//! The store's twin in memory: the same promises, short of surviving the process.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard},
};

use crate::{
    error::StoreError,
    limits,
    store::{
        Checkpoint, CheckpointInfo, Commit, Decided, Hash, LedgerStore, RowCursor, RowVisitor, StoredRow,
        Tip, Undecided,
    },
};

/// Keeps everything in ordered maps. Written apart from the store on disk and simpler, so that tests can hold one against the
/// other.
#[derive(Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    bodies: BTreeMap<Hash, Vec<u8>>,
    undecided: BTreeMap<(u64, u32, Hash), Vec<u8>>,
    decided: BTreeMap<u64, Decision>,
    tip: Option<Tip>,
    history_height_min: u64,
    checkpoint: Option<CheckpointInfo>,
    rows: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    evidence: BTreeMap<Hash, Vec<u8>>,
    waypoints: BTreeMap<u64, Vec<u8>>,
}

struct Decision {
    block: Hash,
    root: Hash,
    certificate: Vec<u8>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // No method leaves the maps half changed, so a panic of another thread does not spoil them.
        self.content.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Content {
    fn put_body(&mut self, id: &Hash, body: &[u8]) -> Result<(), StoreError> {
        limits::check_body(body)?;
        match self.bodies.get(id) {
            Some(stored) if stored != body => {
                Err(StoreError::Conflict { what: "a body with this id".into() })
            }
            _ => {
                self.bodies.insert(*id, body.to_vec());
                Ok(())
            }
        }
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        limits::check_value("a certificate", commit.certificate)?;
        if self.tip.is_some_and(|tip| commit.height <= tip.height) {
            return match self.decided.get(&commit.height) {
                Some(decided) if decided.block == commit.block && decided.root == commit.root => Ok(()),
                Some(_) => Err(StoreError::Conflict { what: format!("height {}", commit.height) }),
                None => {
                    Err(StoreError::OutOfOrder { what: format!("height {} is forgotten", commit.height) })
                }
            };
        }
        let below = self.tip.map(|tip| tip.height).or(self.checkpoint.map(|checkpoint| checkpoint.height));
        if below.is_some_and(|below| below.checked_add(1) != Some(commit.height)) {
            return Err(StoreError::OutOfOrder {
                what: format!("height {} does not follow the tip", commit.height),
            });
        }
        if !self.bodies.contains_key(&commit.block) {
            return Err(StoreError::BodyMissing { block: commit.block });
        }
        if self.tip.is_none() {
            self.history_height_min = commit.height;
        }
        let decision =
            Decision { block: commit.block, root: commit.root, certificate: commit.certificate.to_vec() };
        self.decided.insert(commit.height, decision);
        self.tip = Some(Tip { height: commit.height, block: commit.block, root: commit.root });
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        limits::check_rows(checkpoint)?;
        let info = CheckpointInfo {
            height: checkpoint.height,
            root: checkpoint.root,
            protocol_version: checkpoint.protocol_version,
        };
        if let Some(latest) = self.checkpoint {
            if latest == info {
                return Ok(());
            }
            if latest.height == info.height {
                return Err(StoreError::Conflict { what: format!("a checkpoint at height {}", info.height) });
            }
            if info.height < latest.height {
                return Err(StoreError::OutOfOrder {
                    what: "the checkpoint is older than the latest".into(),
                });
            }
        }
        match self.tip {
            Some(tip) if checkpoint.height > tip.height => {
                return Err(StoreError::OutOfOrder { what: "the checkpoint is above the tip".into() });
            }
            None if self.checkpoint.is_some() => {
                return Err(StoreError::OutOfOrder {
                    what: "the checkpoint is above the restored one".into(),
                });
            }
            _ => {}
        }
        if self.decided.get(&checkpoint.height).is_some_and(|decided| decided.root != checkpoint.root) {
            return Err(StoreError::Conflict { what: format!("the root of height {}", checkpoint.height) });
        }
        for (key, value) in &checkpoint.rows {
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        self.checkpoint = Some(info);
        Ok(())
    }
}

impl LedgerStore for MemoryStore {
    fn put_body(&self, id: &Hash, body: &[u8]) -> Result<(), StoreError> {
        self.content().put_body(id, body)
    }

    fn put_undecided(&self, height: u64, round: u32, id: &Hash, record: &[u8]) -> Result<(), StoreError> {
        limits::check_value("an undecided record", record)?;
        self.content().undecided.insert((height, round, *id), record.to_vec());
        Ok(())
    }

    fn put_body_and_undecided(
        &self,
        height: u64,
        round: u32,
        id: &Hash,
        body: &[u8],
        record: &[u8],
    ) -> Result<(), StoreError> {
        limits::check_value("an undecided record", record)?;
        let mut content = self.content();
        content.put_body(id, body)?;
        content.undecided.insert((height, round, *id), record.to_vec());
        Ok(())
    }

    fn body(&self, id: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().bodies.get(id).cloned())
    }

    fn undecided(&self, height: u64, round: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let content = self.content();
        let range = (height, round, [0; 32])..=(height, round, [255; 32]);
        Ok(content.undecided.range(range).map(|(_, record)| record.clone()).collect())
    }

    fn undecided_at(&self, height: u64) -> Result<Vec<Undecided>, StoreError> {
        let content = self.content();
        let range = (height, 0, [0; 32])..=(height, u32::MAX, [255; 32]);
        let undecided = content.undecided.range(range);
        Ok(undecided
            .map(|(&(_, round, id), record)| Undecided { round, id, record: record.clone() })
            .collect())
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        commit.check_checkpoint()?;
        let mut content = self.content();
        content.commit(commit)?;
        match commit.checkpoint.map_or(Ok(()), |checkpoint| content.checkpoint(checkpoint)) {
            Err(StoreError::TooLarge { .. }) => Ok(()),
            written => written,
        }
    }

    fn extend_certificate(&self, height: u64, certificate: &[u8]) -> Result<(), StoreError> {
        limits::check_value("a certificate", certificate)?;
        match self.content().decided.get_mut(&height) {
            Some(decided) => {
                decided.certificate = certificate.to_vec();
                Ok(())
            }
            None => Err(StoreError::OutOfOrder { what: format!("height {height} is not decided here") }),
        }
    }

    fn decided(&self, height: u64) -> Result<Option<Decided>, StoreError> {
        let content = self.content();
        let Some(decision) = content.decided.get(&height) else { return Ok(None) };
        let body = content.bodies.get(&decision.block).cloned();
        let body =
            body.ok_or_else(|| StoreError::damaged(format!("the body of height {height} is missing")))?;
        let certificate = decision.certificate.clone();
        Ok(Some(Decided { block: decision.block, root: decision.root, certificate, body }))
    }

    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        Ok(self.content().tip)
    }

    fn history_height_min(&self) -> u64 {
        self.content().history_height_min
    }

    fn prune_bodies_below(&self, height: u64, at_most: u64) -> Result<u64, StoreError> {
        let mut content = self.content();
        let (Some(tip), Some(checkpoint)) = (content.tip, content.checkpoint) else { return Ok(0) };
        let bound = height.min(checkpoint.height.saturating_add(1)).min(tip.height);
        let mut count = 0;
        while count < at_most && content.history_height_min < bound {
            let lowest = content.history_height_min;
            if let Some(decided) = content.decided.remove(&lowest) {
                content.bodies.remove(&decided.block);
            }
            content.history_height_min = lowest.saturating_add(1);
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    fn prune_undecided_to(&self, height: u64) -> Result<u64, StoreError> {
        let mut content = self.content();
        let Some(tip) = content.tip else { return Ok(0) };
        let kept = content.undecided.split_off(&(height.min(tip.height).saturating_add(1), 0, [0; 32]));
        let forgotten = std::mem::replace(&mut content.undecided, kept);
        for (height, _, id) in forgotten.keys() {
            if content.decided.get(height).is_none_or(|decided| decided.block != *id) {
                content.bodies.remove(id);
            }
        }
        Ok(forgotten.len() as u64)
    }

    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.content().checkpoint(checkpoint)
    }

    fn latest_checkpoint(&self) -> Result<Option<CheckpointInfo>, StoreError> {
        Ok(self.content().checkpoint)
    }

    fn rows(&self, each: RowVisitor<'_>) -> Result<(), StoreError> {
        self.content().rows.iter().try_for_each(|((table, key), value)| each(*table, key, value))
    }

    fn rows_page(&self, cursor: &mut RowCursor, bytes_max: usize) -> Result<Vec<StoredRow>, StoreError> {
        let content = self.content();
        if content.checkpoint.is_none_or(|latest| latest.height != cursor.checkpoint) {
            return Err(cursor.gone());
        }
        let from = cursor.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes = 0_usize;
        let mut page = Vec::new();
        for ((table, key), value) in content.rows.range((from, Bound::Unbounded)) {
            page.push((*table, key.clone(), value.clone()));
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len()).saturating_add(2);
            if bytes >= bytes_max {
                break;
            }
        }
        if let Some((table, key, _)) = page.last() {
            cursor.after = Some((*table, key.clone()));
        }
        Ok(page)
    }

    fn restore(&self, body: &[u8], commit: &Commit<'_>) -> Result<(), StoreError> {
        limits::check_body(body)?;
        limits::check_value("a certificate", commit.certificate)?;
        commit.check_checkpoint()?;
        let checkpoint = commit.whole_checkpoint()?;
        limits::check_rows(checkpoint)?;
        let mut content = self.content();
        if content.tip.is_some_and(|tip| tip.height >= commit.height) {
            return Err(StoreError::OutOfOrder { what: "the snapshot is not above the tip".into() });
        }
        for decision in std::mem::take(&mut content.decided).into_values() {
            content.bodies.remove(&decision.block);
        }
        *content = Content {
            bodies: std::mem::take(&mut content.bodies),
            undecided: std::mem::take(&mut content.undecided),
            evidence: std::mem::take(&mut content.evidence),
            waypoints: std::mem::take(&mut content.waypoints),
            ..Content::default()
        };
        content.put_body(&commit.block, body)?;
        content.commit(commit)?;
        content.checkpoint(checkpoint)
    }

    fn put_waypoint(&self, height: u64, record: &[u8]) -> Result<(), StoreError> {
        limits::check_value("a waypoint", record)?;
        self.content().waypoints.insert(height, record.to_vec());
        Ok(())
    }

    fn waypoints(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        Ok(self.content().waypoints.clone().into_iter().collect())
    }

    fn put_evidence(&self, evidence: &[u8]) -> Result<(), StoreError> {
        limits::check_value("evidence", evidence)?;
        self.content().evidence.insert(*blake3::hash(evidence).as_bytes(), evidence.to_vec());
        Ok(())
    }

    fn evidence(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.content().evidence.values().cloned().collect())
    }

    fn writable(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Always 0: there is no disk.
    fn fsyncs(&self) -> u64 {
        0
    }
}
