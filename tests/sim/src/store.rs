//! A member's ledger on its disk: the real twin of the store, with the disk's faults before and after each write.

use crate::disk::{Death, Disk, Step};
use crate::random::Random;
use hansa_ledger_store::{
    Checkpoint, CheckpointInfo, Commit, Decided, Hash, LedgerStore, MemoryStore, RowCursor, RowVisitor,
    StoreError, StoredRow, Tip, Undecided,
};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A write that was made, to be made again on what a power cut leaves.
#[derive(Clone)]
enum Write {
    Body(Hash, Vec<u8>),
    Undecided(u64, u32, Hash, Vec<u8>),
    Both(u64, u32, Hash, Vec<u8>, Vec<u8>),
    Commit(u64, Hash, Hash, Vec<u8>, Option<Checkpoint>),
    Extend(u64, Vec<u8>),
    PruneUndecided(u64),
    PruneBodies(u64, u64),
    Checkpoint(Checkpoint),
    Evidence(Vec<u8>),
    Waypoint(u64, Vec<u8>),
    Restore(Vec<u8>, u64, Hash, Hash, Vec<u8>, Option<Checkpoint>),
}

impl Write {
    /// Whether the store promises that it is durable when it returns.
    fn is_durable(&self) -> bool {
        !matches!(self, Self::Extend(..) | Self::PruneUndecided(..) | Self::PruneBodies(..))
    }

    fn make(&self, store: &MemoryStore) -> Result<u64, StoreError> {
        let done = |result: Result<(), StoreError>| result.map(|()| 0);
        match self {
            Self::Body(id, body) => done(store.put_body(id, body)),
            Self::Undecided(height, round, id, record) => {
                done(store.put_undecided(*height, *round, id, record))
            }
            Self::Both(height, round, id, body, record) => {
                done(store.put_body_and_undecided(*height, *round, id, body, record))
            }
            Self::Commit(height, block, root, certificate, checkpoint) => done(store.commit(&Commit {
                height: *height,
                block: *block,
                root: *root,
                certificate,
                checkpoint: checkpoint.as_ref(),
            })),
            Self::Extend(height, certificate) => done(store.extend_certificate(*height, certificate)),
            Self::PruneUndecided(height) => store.prune_undecided_to(*height),
            Self::PruneBodies(height, at_most) => store.prune_bodies_below(*height, *at_most),
            Self::Checkpoint(checkpoint) => done(store.checkpoint(checkpoint)),
            Self::Evidence(evidence) => done(store.put_evidence(evidence)),
            Self::Waypoint(height, record) => done(store.put_waypoint(*height, record)),
            Self::Restore(body, height, block, root, certificate, checkpoint) => {
                let checkpoint = checkpoint.as_ref();
                let commit = Commit { height: *height, block: *block, root: *root, certificate, checkpoint };
                done(store.restore(body, &commit))
            }
        }
    }
}

/// What outlives the node.
#[derive(Default)]
struct Kept {
    /// Every write, in order.
    writes: Vec<Write>,
    /// How many of them a power cut leaves for sure.
    durable: usize,
}

/// What a member's ledger leaves on its disk; clones are the same.
#[derive(Clone)]
pub struct Shelf {
    disk: Disk,
    kept: Arc<Mutex<Kept>>,
}

impl Shelf {
    /// An empty one.
    #[must_use]
    pub fn new(disk: Disk) -> Self {
        Self { disk, kept: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses what a death may take.
    pub fn settle(&self, death: Death, random: &mut Random) {
        let mut kept = self.lock();
        if death == Death::PowerCut {
            let (durable, all) = (kept.durable, kept.writes.len());
            kept.writes.truncate(durable + random.index(all - durable + 1));
        }
        kept.durable = kept.writes.len();
    }

    /// The store as a new process finds it.
    #[must_use]
    pub fn open(&self) -> Arc<FaultyStore> {
        let store = MemoryStore::new();
        for write in &self.lock().writes {
            // It was made once, so nothing but a write that was refused then is refused now.
            let _ = write.make(&store);
        }
        Arc::new(FaultyStore { store, shelf: self.clone(), broken: Mutex::new(None) })
    }
}

/// The store of one process.
pub struct FaultyStore {
    store: MemoryStore,
    shelf: Shelf,
    broken: Mutex<Option<String>>,
}

impl FaultyStore {
    fn fatal(&self, what: &str) -> StoreError {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        StoreError::Fatal { what: broken.get_or_insert_with(|| what.to_owned()).clone() }
    }

    fn refuse_if_broken(&self) -> Result<(), StoreError> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.as_ref().map_or(Ok(()), |what| Err(StoreError::Fatal { what: what.clone() }))
    }

    fn write(&self, write: Write) -> Result<u64, StoreError> {
        self.refuse_if_broken()?;
        let step = self.shelf.disk.step(write.is_durable());
        match step {
            Step::Die => return Err(self.fatal("the simulated node is dead")),
            Step::Full => {
                let directory = PathBuf::from("simulated");
                return Err(StoreError::DiskLow { directory, bytes_free: 0, bytes_needed: 1 });
            }
            Step::Unsynced { done } => {
                if done {
                    self.keep(write)?;
                }
                return Err(self.fatal("the simulated disk could not sync"));
            }
            Step::Do | Step::DoAndDie => {}
        }
        let made = self.keep(write)?;
        if matches!(step, Step::DoAndDie) {
            return Err(self.fatal("the simulated node is dead"));
        }
        Ok(made)
    }

    fn keep(&self, write: Write) -> Result<u64, StoreError> {
        let made = write.make(&self.store)?;
        let mut kept = self.shelf.lock();
        let durable = write.is_durable();
        kept.writes.push(write);
        if durable {
            // One log beneath: what came before is durable with it.
            kept.durable = kept.writes.len();
        }
        Ok(made)
    }
}

impl LedgerStore for FaultyStore {
    fn put_body(&self, id: &Hash, body: &[u8]) -> Result<(), StoreError> {
        self.write(Write::Body(*id, body.to_vec())).map(drop)
    }

    fn put_undecided(&self, height: u64, round: u32, id: &Hash, record: &[u8]) -> Result<(), StoreError> {
        self.write(Write::Undecided(height, round, *id, record.to_vec())).map(drop)
    }

    fn put_body_and_undecided(
        &self,
        height: u64,
        round: u32,
        id: &Hash,
        body: &[u8],
        record: &[u8],
    ) -> Result<(), StoreError> {
        self.write(Write::Both(height, round, *id, body.to_vec(), record.to_vec())).map(drop)
    }

    fn body(&self, id: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.body(id)
    }

    fn undecided(&self, height: u64, round: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.undecided(height, round)
    }

    fn undecided_at(&self, height: u64) -> Result<Vec<Undecided>, StoreError> {
        self.store.undecided_at(height)
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let Commit { height, block, root, certificate, checkpoint } = *commit;
        self.write(Write::Commit(height, block, root, certificate.to_vec(), checkpoint.cloned())).map(drop)
    }

    fn extend_certificate(&self, height: u64, certificate: &[u8]) -> Result<(), StoreError> {
        self.write(Write::Extend(height, certificate.to_vec())).map(drop)
    }

    fn decided(&self, height: u64) -> Result<Option<Decided>, StoreError> {
        self.store.decided(height)
    }

    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        self.store.tip()
    }

    fn history_height_min(&self) -> u64 {
        self.store.history_height_min()
    }

    fn prune_bodies_below(&self, height: u64, at_most: u64) -> Result<u64, StoreError> {
        self.write(Write::PruneBodies(height, at_most))
    }

    fn prune_undecided_to(&self, height: u64) -> Result<u64, StoreError> {
        self.write(Write::PruneUndecided(height))
    }

    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.write(Write::Checkpoint(checkpoint.clone())).map(drop)
    }

    fn latest_checkpoint(&self) -> Result<Option<CheckpointInfo>, StoreError> {
        self.store.latest_checkpoint()
    }

    fn rows(&self, each: RowVisitor<'_>) -> Result<(), StoreError> {
        self.store.rows(each)
    }

    fn rows_page(&self, cursor: &mut RowCursor, bytes_max: usize) -> Result<Vec<StoredRow>, StoreError> {
        self.store.rows_page(cursor, bytes_max)
    }

    fn restore(&self, body: &[u8], commit: &Commit<'_>) -> Result<(), StoreError> {
        let Commit { height, block, root, certificate, checkpoint } = *commit;
        let checkpoint = checkpoint.cloned();
        self.write(Write::Restore(body.to_vec(), height, block, root, certificate.to_vec(), checkpoint))
            .map(drop)
    }

    fn put_waypoint(&self, height: u64, record: &[u8]) -> Result<(), StoreError> {
        self.write(Write::Waypoint(height, record.to_vec())).map(drop)
    }

    fn waypoints(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.store.waypoints()
    }

    fn put_evidence(&self, evidence: &[u8]) -> Result<(), StoreError> {
        self.write(Write::Evidence(evidence.to_vec())).map(drop)
    }

    fn evidence(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.evidence()
    }

    fn writable(&self) -> Result<(), StoreError> {
        self.refuse_if_broken()
    }

    fn fsyncs(&self) -> u64 {
        self.store.fsyncs()
    }
}
