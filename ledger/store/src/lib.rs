//! Keep the ledger on disk.
//!
//! The store deals in bytes and 32-byte hashes and knows nothing of blocks, accounts or leases. It promises one thing:
//! **what it acknowledged is still there after a power cut, whole, or it says so and refuses to go on.** The state of
//! the ledger itself lives in memory; what lies here is enough to rebuild it:
//!
//! | what | when it is written | durable |
//! |---|---|---|
//! | block body, undecided proposal | when first seen, before the reply to the engine | before return |
//! | certificate, height index, tip | at `Decided`, in one batch, then the witness file | before return |
//! | checkpoint: rows, height, root, protocol version | every few heights or some MiB of changed rows | before return |
//! | evidence of double votes | when seen | before return |
//! | waypoints: what outlives the forgetting of blocks | before the block goes | before return |
//! | a snapshot of a later height, for all of the above but evidence and waypoints | when it was verified | before return |
//! | more signatures on a certificate, pruning | whenever | with the next durable write: losing it harms nobody |
//!
//! Restart is the latest checkpoint plus a replay of the decided blocks above it. [`SledStore`] keeps this on disk,
//! [`MemoryStore`] is its twin for tests and simulations; both stand behind [`LedgerStore`].
//!
//! ```
//! use hansa_ledger_store::{Commit, LedgerStore, MemoryStore};
//!
//! # fn main() -> Result<(), hansa_ledger_store::StoreError> {
//! let store = MemoryStore::new();
//! store.put_body_and_undecided(1, 0, &[1; 32], b"the block", b"the proposal")?;
//! store.commit(&Commit { height: 1, block: [1; 32], root: [9; 32], certificate: b"2/3 signed", checkpoint: None })?;
//! assert_eq!(store.tip()?.map(|tip| tip.height), Some(1));
//! assert_eq!(store.decided(1)?.map(|decided| decided.body), Some(b"the block".to_vec()));
//! # Ok(())
//! # }
//! ```

mod error;
mod limits;
mod memory;
mod operations;
mod quarantine;
mod record;
mod sled_store;
mod store;
mod witness;

pub use error::StoreError;
pub use limits::{BATCH_BYTES_MAX, BODY_BYTES_MAX, VALUE_BYTES_MAX};
pub use memory::MemoryStore;
pub use quarantine::{quarantine, witness_tip};
pub use sled_store::{OpenOptions, SledStore};
pub use store::{
    Checkpoint, CheckpointInfo, Commit, Decided, Hash, LedgerStore, RowCursor, RowVisitor, StoredRow, Tip,
    Undecided, Verification,
};
