//! Snapshots: the state after a block, in files that a node gives to others, so that a new, destroyed or late one need not
//! execute all blocks. `docs/decisions/0020` says what they hold, how long they live, and what a peer that lies can do.
//!
//! `make` writes one from the store's checkpoint while the node goes on, `shelf` keeps the newest on the disk, `fetch` gets one
//! from the others, `restore` checks it against the members' signatures before anything of it becomes the ledger, and `waypoint`
//! keeps the blocks that show how the members followed each other when their bodies are forgotten.

mod fetch;
mod follow;
mod make;
mod manifest;
mod restore;
mod shelf;
#[cfg(test)]
mod tests;
mod waypoint;
pub mod wire;

pub use fetch::{Answer, Fetcher, SnapshotPeers};
pub(crate) use follow::{Restoring, SnapshotSettings, follow_snapshots};
pub use make::{MakeError, make, make_when_due};
pub use manifest::{
    CHUNK_BYTES, Content, MANIFEST_BYTES_MAX, Manifest, PART_BYTES_MAX, PARTS_MAX, Part, Refusal, Step,
    Trust, decode_rows,
};
pub use restore::{Restored, load};
pub use shelf::{SNAPSHOTS_KEPT, Shelf};
pub use waypoint::{Sets, Shown, keep_waypoints, member_sets, shown_blocks};

use std::sync::{Mutex, PoisonError};

/// How far the fetching of a snapshot has come, for people.
#[derive(Debug, Default)]
pub struct SnapshotProgress(Mutex<Option<String>>);

impl SnapshotProgress {
    /// What is being done now; nothing where no snapshot is fetched.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what is being done.
    pub fn set(&self, what: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}
