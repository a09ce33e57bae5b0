//! What a node asks of a store: the trait and its plain values.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{error::StoreError, record::RowSum};

/// A BLAKE3 hash: the id of a block, the root of a state.
pub type Hash = [u8; 32];

/// Called once per row with table, key and value.
pub type RowVisitor<'a> = &'a mut dyn FnMut(u8, &[u8], &[u8]) -> Result<(), StoreError>;

/// The last decided block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// Its height.
    pub height: u64,
    /// Its id.
    pub block: Hash,
    /// The state root after it.
    pub root: Hash,
}

/// What `Decided` makes durable.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// Height of the block: one above the tip. The first commit of a store may have any height; after a restored
    /// checkpoint it is the one above it.
    pub height: u64,
    /// Id of the block; its body is stored already.
    pub block: Hash,
    /// State root after the block.
    pub root: Hash,
    /// The signatures of more than 2/3 of the members, encoded by the caller; at most [`crate::VALUE_BYTES_MAX`].
    pub certificate: &'a [u8],
    /// A checkpoint of this height to write with it, best in the same fsync. It is left out, and the commit stands, when there is
    /// no room for it or one of its rows is too large: [`LedgerStore::latest_checkpoint`] says whether it was written.
    pub checkpoint: Option<&'a Checkpoint>,
}

impl Commit<'_> {
    /// A commit takes no checkpoint but its own.
    pub(crate) fn check_checkpoint(&self) -> Result<(), StoreError> {
        match self.checkpoint {
            Some(checkpoint) if checkpoint.height != self.height => Err(StoreError::OutOfOrder {
                what: format!("checkpoint {} came with the commit of {}", checkpoint.height, self.height),
            }),
            Some(checkpoint) if checkpoint.root != self.root => {
                Err(StoreError::Conflict { what: format!("the root of height {}", self.height) })
            }
            _ => Ok(()),
        }
    }

    /// The checkpoint of a commit that is restored: it has one, with every row in it.
    pub(crate) fn whole_checkpoint(&self) -> Result<&Checkpoint, StoreError> {
        let whole = self.checkpoint.filter(|checkpoint| checkpoint.rows.values().all(Option::is_some));
        whole.ok_or_else(|| StoreError::OutOfOrder {
            what: format!("the snapshot of height {} does not have every row", self.height),
        })
    }
}

/// The rows changed since the latest checkpoint of this store: after a restart that is
/// [`LedgerStore::latest_checkpoint`], which may be older than the last one asked for, and the store cannot tell if rows
/// changed in between are left out (the state root, compared after a restart, can).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The checkpoint holds the state after this height.
    pub height: u64,
    /// Root of that state; compared with the commit of the same height.
    pub root: Hash,
    /// Rules in force at that height.
    pub protocol_version: u32,
    /// (table, key) to the new value, or `None` to delete the row. Rows not named here stay as they were.
    pub rows: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>,
}

/// The latest whole checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// Height whose state it holds.
    pub height: u64,
    /// Root of that state.
    pub root: Hash,
    /// Rules in force at that height.
    pub protocol_version: u32,
}

/// A decided block with the proof that it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Id of the block.
    pub block: Hash,
    /// State root after it.
    pub root: Hash,
    /// Its certificate, with the signatures that came later if there were any.
    pub certificate: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A row of a checkpoint: table, key, value.
pub type StoredRow = (u8, Vec<u8>, Vec<u8>);

/// A place among the rows of one checkpoint, for [`LedgerStore::rows_page`].
#[derive(Clone, Debug)]
pub struct RowCursor {
    pub(crate) checkpoint: u64,
    /// Table and key of the last row that was read.
    pub(crate) after: Option<(u8, Vec<u8>)>,
    pub(crate) sum: RowSum,
}

impl RowCursor {
    /// Before the first row of the checkpoint of this height.
    #[must_use]
    pub fn of(checkpoint: u64) -> Self {
        Self { checkpoint, after: None, sum: RowSum::default() }
    }

    /// Why a page cannot be read any more.
    pub(crate) fn gone(&self) -> StoreError {
        StoreError::OutOfOrder {
            what: format!("the checkpoint of height {} is not the latest", self.checkpoint),
        }
    }
}

/// A proposal that is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Round of the proposal.
    pub round: u32,
    /// Id of the proposed block.
    pub id: Hash,
    /// What the caller stored with it.
    pub record: Vec<u8>,
}

/// What a full read of the store found, all of it sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Decided blocks read with body and certificate.
    pub decided_count: u64,
    /// Rows of the latest checkpoint.
    pub row_count: u64,
    /// Pieces of evidence.
    pub evidence_count: u64,
}

/// Where the ledger is kept.
///
/// Every method may block on the disk: call it from a blocking thread. "Durable" means that the bytes survive a power cut
/// from the moment the method returns `Ok`. After [`StoreError::Fatal`] every later write is refused with the same error.
pub trait LedgerStore: Send + Sync {
    /// Keeps a block body, durably. Writing the same body again does nothing.
    ///
    /// # Errors
    /// `Conflict` if another body has this id, `TooLarge`, `DiskLow`, `Fatal`.
    fn put_body(&self, id: &Hash, body: &[u8]) -> Result<(), StoreError>;

    /// Keeps what the engine must get back after a restart about a proposal of a height in flight, durably. A second
    /// record for the same height, round and id replaces the first.
    ///
    /// # Errors
    /// `TooLarge`, `DiskLow`, `Fatal`.
    fn put_undecided(&self, height: u64, round: u32, id: &Hash, record: &[u8]) -> Result<(), StoreError>;

    /// Does both in one batch with one fsync: the way of every proposal.
    ///
    /// # Errors
    /// As [`LedgerStore::put_body`].
    fn put_body_and_undecided(
        &self,
        height: u64,
        round: u32,
        id: &Hash,
        body: &[u8],
        record: &[u8],
    ) -> Result<(), StoreError>;

    /// The body with this id.
    ///
    /// # Errors
    /// `Damaged` if it is stored but cannot be read whole.
    fn body(&self, id: &Hash) -> Result<Option<Vec<u8>>, StoreError>;

    /// The records of one round, ordered by id.
    ///
    /// # Errors
    /// `Damaged`.
    fn undecided(&self, height: u64, round: u32) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The records of all rounds of a height, ordered by round and id.
    ///
    /// # Errors
    /// `Damaged`.
    fn undecided_at(&self, height: u64) -> Result<Vec<Undecided>, StoreError>;

    /// Makes a decision durable: certificate, height index and tip in one batch, fsync, then the witness, fsync. Deciding
    /// the same block of the same height again does nothing. A checkpoint that the commit carries is part of the batch, or
    /// follows it if it is too large for one.
    ///
    /// # Errors
    /// `BodyMissing`, `OutOfOrder`, `Conflict`, `TooLarge`, `DiskLow`, `Fatal`.
    fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError>;

    /// Replaces the certificate of a decided height by one with more signatures. Not fsynced on its own: the certificate
    /// of the commit is sufficient, so a power cut may take the extra signatures.
    ///
    /// # Errors
    /// `OutOfOrder` if the height is not decided here, `TooLarge`, `DiskLow`, `Fatal`.
    fn extend_certificate(&self, height: u64, certificate: &[u8]) -> Result<(), StoreError>;

    /// The decided block of a height; `None` above the tip and below [`LedgerStore::history_height_min`].
    ///
    /// # Errors
    /// `Damaged` if it should be there and is not whole.
    fn decided(&self, height: u64) -> Result<Option<Decided>, StoreError>;

    /// The last decided block.
    ///
    /// # Errors
    /// None today; callers must not assume so.
    fn tip(&self) -> Result<Option<Tip>, StoreError>;

    /// The lowest height that [`LedgerStore::decided`] can return; 0 while nothing is decided.
    fn history_height_min(&self) -> u64;

    /// Forgets decided blocks below `height`, oldest first, and says how many: at most `at_most`, and of large ones as many as go
    /// into one batch. Blocks above the latest checkpoint stay whatever is asked, because a restart replays them; so does the tip.
    ///
    /// # Errors
    /// `Damaged`, `Fatal`.
    fn prune_bodies_below(&self, height: u64, at_most: u64) -> Result<u64, StoreError>;

    /// Forgets the proposals up to `height` (at most up to the tip), with the bodies that were not decided, and says how many.
    ///
    /// # Errors
    /// `Damaged`, `Fatal`.
    fn prune_undecided_to(&self, height: u64) -> Result<u64, StoreError>;

    /// Writes a checkpoint. It becomes the latest one as a whole or not at all; until then the previous one stays whole.
    /// Repeating the latest checkpoint does nothing. On a store without blocks and checkpoint any height is taken: that is
    /// how a snapshot from peers is restored.
    ///
    /// # Errors
    /// `OutOfOrder` if it is above the tip or below the latest checkpoint, `Conflict` if the root is not the decided one,
    /// `TooLarge`, `DiskLow`, `Fatal`.
    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// The latest whole checkpoint.
    ///
    /// # Errors
    /// None today; callers must not assume so.
    fn latest_checkpoint(&self) -> Result<Option<CheckpointInfo>, StoreError>;

    /// Visits all rows of the latest whole checkpoint, ordered by table and key. The visitor must not call the store. What
    /// it was given counts only if this returns `Ok`: that rows are missing is known at the end.
    ///
    /// # Errors
    /// `Damaged`, or what the visitor returned.
    fn rows(&self, each: RowVisitor<'_>) -> Result<(), StoreError>;

    /// Reads the next rows of the checkpoint that the cursor is of, about `bytes_max` of them, ordered by table and key, and moves
    /// the cursor on. None are left where none are given: then all were whole. Between two pages the store goes on, and only a
    /// younger checkpoint ends the reading.
    ///
    /// # Errors
    /// `OutOfOrder` if the checkpoint is not the latest any more; `Damaged`.
    fn rows_page(&self, cursor: &mut RowCursor, bytes_max: usize) -> Result<Vec<StoredRow>, StoreError>;

    /// Takes a snapshot of a later height for all that is stored: the block of `commit`, with `body`, becomes the tip and the
    /// lowest height, and the rows of its checkpoint, which are all rows of the state, the only ones. As a whole or not at all.
    /// Evidence and waypoints stay.
    ///
    /// # Errors
    /// `OutOfOrder` if the commit has no checkpoint or is not above the tip, `Conflict`, `TooLarge`, `DiskLow`: nothing was
    /// lost then. `Fatal`.
    fn restore(&self, body: &[u8], commit: &Commit<'_>) -> Result<(), StoreError>;

    /// Keeps a record of a height that outlives the forgetting of blocks, durably. A second record replaces the first.
    ///
    /// # Errors
    /// `TooLarge`, `DiskLow`, `Fatal`.
    fn put_waypoint(&self, height: u64, record: &[u8]) -> Result<(), StoreError>;

    /// The records that outlive the forgetting of blocks, by height.
    ///
    /// # Errors
    /// `Damaged`.
    fn waypoints(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Keeps a proof of misbehaviour, durably. Writing the same bytes again does nothing.
    ///
    /// # Errors
    /// `TooLarge`, `DiskLow`, `Fatal`.
    fn put_evidence(&self, evidence: &[u8]) -> Result<(), StoreError>;

    /// All proofs of misbehaviour, ordered by their hash.
    ///
    /// # Errors
    /// `Damaged`.
    fn evidence(&self) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Whether a proposal would be kept now: nothing is written to find out.
    ///
    /// # Errors
    /// `Fatal` after a failed write, `DiskLow` below the floor, `Io` when the free space cannot be asked for.
    fn writable(&self) -> Result<(), StoreError>;

    /// How many fsyncs (of files and folders, by our own calls) the store has made since it was opened.
    fn fsyncs(&self) -> u64;

    /// Reads everything that must be there and checks it: slow, for the operator and for tests.
    ///
    /// # Errors
    /// `Damaged` at the first unsound value.
    fn verify(&self) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        if let Some(tip) = self.tip()? {
            for height in self.history_height_min()..=tip.height {
                self.decided(height)?
                    .ok_or_else(|| StoreError::damaged(format!("the block of height {height} is missing")))?;
                found.decided_count = found.decided_count.saturating_add(1);
            }
        }
        self.rows(&mut |_, _, _| {
            found.row_count = found.row_count.saturating_add(1);
            Ok(())
        })?;
        found.evidence_count = self.evidence()?.len() as u64;
        self.waypoints()?;
        Ok(found)
    }
}
