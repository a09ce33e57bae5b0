//! The executor's part in snapshots: checkpoints at their heights, and a state taken over from one.

use super::{Dirty, Executor};
use crate::history::History;
use crate::snapshot::{Restored, Shown};
use hansa_ledger::apply::chain;
use hansa_ledger::contract::runnable;
use hansa_ledger_store::{Commit, StoreError};
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// Why a snapshot did not become the ledger.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger is as far already.
    #[error("the ledger is at height {height} already, and the snapshot is of height {snapshot}")]
    Old {
        /// The ledger's height.
        height: u64,
        /// The snapshot's.
        snapshot: u64,
    },
    /// A contract of it does not run here.
    #[error("contract `{name}` is refused: {reason}")]
    Contract {
        /// Its name.
        name: String,
        /// Which rule, where.
        reason: String,
    },
}

impl Executor {
    /// Has checkpoints written at the multiples of `blocks`, so that snapshots can be made of them; 0 for none.
    pub fn set_snapshot_blocks(&self, blocks: u64) {
        self.snapshot_blocks.store(blocks, Ordering::Relaxed);
    }

    /// Whether this node makes snapshots for others.
    #[must_use]
    pub fn makes_snapshots(&self) -> bool {
        self.snapshot_blocks.load(Ordering::Relaxed) > 0
    }

    /// The last height that a snapshot can be made of. Until [`Self::release_checkpoint`] is called the store keeps its checkpoint,
    /// unless much changes.
    #[must_use]
    pub fn snapshots_due(&self) -> watch::Receiver<u64> {
        self.snapshots_due.subscribe()
    }

    /// The snapshot is made, or given up: the next checkpoint may come.
    pub fn release_checkpoint(&self) {
        self.lock_dirty().held = false;
    }

    pub(super) fn is_snapshot_height(&self, height: u64) -> bool {
        let blocks = self.snapshot_blocks.load(Ordering::Relaxed);
        blocks > 0 && height.is_multiple_of(blocks)
    }

    /// After a checkpoint was written: holds it for a snapshot, if one is due and somebody makes it.
    pub(super) fn offer_snapshot(&self, dirty: &mut Dirty) {
        let height = dirty.checkpoint_height;
        if self.is_snapshot_height(height) && self.snapshots_due.receiver_count() > 0 {
            dirty.held = true;
            self.snapshots_due.send_replace(height);
        }
    }

    /// Takes a snapshot of a later height for the ledger: first durably, then in memory. Consensus must not run meanwhile.
    ///
    /// # Errors
    /// Why not; the ledger is as it was, unless the store cannot write any more.
    pub fn restore(&self, snapshot: Restored) -> Result<(), RestoreError> {
        let header = &snapshot.manifest.header;
        // Locked first, as when a block is adopted: rows, height and root are those of one state.
        let mut dirty = self.lock_dirty();
        let height = chain(&self.state()).height;
        if header.height <= height {
            return Err(RestoreError::Old { height, snapshot: header.height });
        }
        for (name, _, code) in runnable(&snapshot.state) {
            self.runtime.load(code).map_err(|refusal| RestoreError::Contract {
                name: name.to_string(),
                reason: refusal.to_string(),
            })?;
        }
        for step in &snapshot.manifest.steps {
            let shown = Shown { header: step.header.clone(), certificate: step.certificate.clone() };
            shown.keep(self.store.as_ref())?;
        }
        let checkpoint = snapshot.checkpoint();
        self.store.restore(
            &snapshot.body,
            &Commit {
                height: header.height,
                block: header.id().0,
                root: header.state_root,
                certificate: &snapshot.manifest.certificate,
                checkpoint: Some(&checkpoint),
            },
        )?;
        drop(checkpoint);
        dirty.written(header.height);
        dirty.held = false;
        self.lock_executed().clear();
        // Before the state changes, so that nobody is told of a gap in the history as if it were none.
        *self.history.write().expect("no thread panics while it holds the history") = History::default();
        *self.state.write().expect("no thread panics while it holds the state") = snapshot.state;
        {
            let state = self.state();
            let now = self.block_time(&state);
            let mut mempool = self.lock_mempool();
            mempool.tidy(&state, now);
            mempool.drop_expired(now);
        }
        self.changed.notify_waiters();
        Ok(())
    }
}
