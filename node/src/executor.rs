//! The node's application half: it builds, judges and commits blocks, and keeps state, store, mempool and history in step.

mod application;
mod open;
mod signatures;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

pub use crate::history::BlockRecord;
pub use open::OpenError;
pub use snapshot::RestoreError;

use crate::history::History;
use crate::mempool::Mempool;
use hansa_contracts_abi::Runtime;
use hansa_ledger::apply::{Outcome, apply_listing, chain, params};
use hansa_ledger::block::{Block, Header};
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::governance::protocol_version_at;
use hansa_ledger::id::{BlockId, ChainId, TransactionId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::state::{ChangedRow, State, Table as _};
use hansa_ledger::tables::Keys;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::{PublicKey, Verified};
use hansa_ledger_store::{Checkpoint, LedgerStore, StoreError};
use signatures::Signatures;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, broadcast, watch};

/// A checkpoint is written after this many heights...
pub const CHECKPOINT_HEIGHTS: u64 = 1_000;

/// ...or when the rows changed since the last one hold this many bytes.
pub const CHECKPOINT_BYTES: usize = 4 << 20;

/// While a snapshot is made from a checkpoint, the next one waits until the changed rows hold this many bytes; then the snapshot is
/// given up.
const CHECKPOINT_WAITS_BYTES: usize = 16 << 20;

/// Heights that pass before a checkpoint that the store had no room for is tried again.
const CHECKPOINT_RETRY_HEIGHTS: u64 = 64;

/// Verified signatures that the node remembers.
const SIGNATURES_REMEMBERED: usize = 262_144;

/// Blocks that followers may lag behind before they are told to start over.
const FOLLOWERS_LAG_MAX: usize = 1_024;

/// How far the clock is made wrong, in milliseconds; see [`crate::config::NodeConfig::test_clock_offset_ms`].
static CLOCK_OFFSET_MS: AtomicI64 = AtomicI64::new(0);

/// What an executor reads as the time now.
pub type Clock = Arc<dyn Fn() -> TimeMs + Send + Sync>;

/// The clock of this machine. Only the shell reads it; the ledger knows block time.
#[must_use]
pub fn clock() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    TimeMs(now.saturating_add_signed(CLOCK_OFFSET_MS.load(Ordering::Relaxed)))
}

/// Makes the clock of this process wrong, for tests.
pub(crate) fn make_clock_wrong(offset_ms: i64) {
    tracing::warn!(offset_ms, "the clock is made wrong, as the configuration says; this is for tests only");
    CLOCK_OFFSET_MS.store(offset_ms, Ordering::Relaxed);
}

/// A block that was executed and waits for the members' decision.
struct Executed {
    block: Block,
    outcome: Outcome,
}

/// Rows changed since the last checkpoint.
#[derive(Default)]
struct Dirty {
    rows: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>,
    bytes: usize,
    checkpoint_height: u64,
    /// No checkpoint is tried below this height: the store had no room for the last one.
    retry_height: u64,
    /// A snapshot is made from the last checkpoint, which therefore stays the last for a while.
    held: bool,
}

impl Dirty {
    /// Whether enough has changed by `height`, with `bytes` of it, that a restart would replay much.
    fn is_due(&self, height: u64, bytes: usize) -> bool {
        let much = match self.held {
            true => bytes >= CHECKPOINT_WAITS_BYTES,
            false => {
                height.saturating_sub(self.checkpoint_height) >= CHECKPOINT_HEIGHTS
                    || bytes >= CHECKPOINT_BYTES
            }
        };
        much && height >= self.retry_height
    }

    /// The checkpoint at `height` holds all of it.
    fn written(&mut self, height: u64) {
        self.rows.clear();
        self.bytes = 0;
        self.checkpoint_height = height;
    }
}

/// Bytes of a changed row, as the next checkpoint counts them.
fn row_bytes(key: &[u8], value: Option<&Vec<u8>>) -> usize {
    key.len() + value.map_or(0, Vec::len) + 1
}

/// How a body of a missing block can be had from peers.
pub trait BodySource: Send + Sync + 'static {
    /// Asks the peers; the hash is checked by the caller.
    fn fetch(
        &self,
        id: [u8; 32],
        timeout: Duration,
    ) -> futures::future::BoxFuture<'static, Option<bytes::Bytes>>;
}

/// The application half of a node.
pub struct Executor {
    this: Weak<Self>,
    genesis: Genesis,
    chain: ChainId,
    member: MemberCode,
    /// That of this machine, but in a simulation.
    clock: Clock,
    runtime: Arc<dyn Runtime>,
    store: Arc<dyn LedgerStore>,
    state: RwLock<State>,
    executed: Mutex<BTreeMap<BlockId, Executed>>,
    dirty: Mutex<Dirty>,
    mempool: Mutex<Mempool>,
    signatures: Signatures,
    history: RwLock<History>,
    followers: broadcast::Sender<Arc<BlockRecord>>,
    changed: Arc<Notify>,
    bodies: OnceLock<Arc<dyn BodySource>>,
    /// A snapshot is due at the multiples of this height; 0 for none.
    snapshot_blocks: AtomicU64,
    /// The last height that a snapshot can be made of.
    snapshots_due: watch::Sender<u64>,
}

impl Executor {
    /// The federation's beginning.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The federation.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// The member this node is run by.
    #[must_use]
    pub fn member(&self) -> MemberCode {
        self.member
    }

    /// The state after the last block. Be quick: commits wait for it.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no thread panics while it holds the state")
    }

    /// The last blocks.
    pub fn history(&self) -> RwLockReadGuard<'_, History> {
        self.history.read().expect("no thread panics while it holds the history")
    }

    /// Every block from now on, as it becomes final.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<BlockRecord>> {
        self.followers.subscribe()
    }

    /// Tells whence missing bodies can be had. Called once, when the network is up.
    pub fn set_bodies(&self, bodies: Arc<dyn BodySource>) {
        // A second call would be a fault of the node's own start; the first source stays.
        let _ = self.bodies.set(bodies);
    }

    /// Signatures really checked since the start.
    #[must_use]
    pub fn signature_checks(&self) -> u64 {
        self.signatures.checks()
    }

    /// Fsyncs of the store since the start.
    #[must_use]
    pub fn fsyncs(&self) -> u64 {
        self.store.fsyncs()
    }

    /// Runs contracts.
    #[must_use]
    pub fn runtime(&self) -> &dyn Runtime {
        self.runtime.as_ref()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn LedgerStore> {
        &self.store
    }

    /// How many transactions wait, and their bytes.
    #[must_use]
    pub fn mempool_size(&self) -> (usize, usize) {
        self.lock_mempool().size()
    }

    /// Whether this transaction waits.
    #[must_use]
    pub fn is_waiting(&self, id: &TransactionId) -> bool {
        self.lock_mempool().contains(id)
    }

    /// The nonce a key's next transaction should carry.
    #[must_use]
    pub fn nonce_next(&self, key: &hansa_ledger_signature::PublicKey) -> u64 {
        let state = self.state();
        let final_next = state.get::<hansa_ledger::tables::Keys>(key).map_or(0, |key| key.nonce);
        self.lock_mempool().nonce_next(key, final_next)
    }

    /// Takes transactions into the mempool, each with its own verdict. Cheap checks come first, then the signatures in batches,
    /// with nothing locked, so that blocks are built and committed meanwhile; then the limits once more.
    pub fn submit_all(&self, transactions: Vec<SignedTransaction>) -> Vec<Result<TransactionId, Rejection>> {
        let mut verdicts = Vec::with_capacity(transactions.len());
        let (mut sizes, mut sound) = (Vec::new(), Vec::new());
        {
            let now = self.now();
            let state = self.state();
            let mempool = self.lock_mempool();
            let mut missing = BTreeMap::new();
            for transaction in transactions {
                let bytes = transaction.encode().len();
                match mempool.precheck(&state, &self.chain, now, &transaction, bytes, &mut missing) {
                    Ok(()) => {
                        verdicts.push(None);
                        sizes.push(bytes);
                        sound.push(transaction);
                    }
                    Err(Rejection::NonceUsed) if self.history().transaction(&transaction.id()).is_some() => {
                        verdicts.push(Some(Err(Rejection::AlreadyKnown)));
                    }
                    Err(rejection) => verdicts.push(Some(Err(rejection))),
                }
            }
        }
        let verified = self.signatures.verify_all(sound);
        let mut inserted = {
            let now = self.now();
            let state = self.state();
            let mut mempool = self.lock_mempool();
            let insert = |(bytes, verdict): (usize, Result<Verified<SignedTransaction>, _>)| match verdict {
                Ok(verified) => mempool.insert(&state, now, bytes, verified),
                Err(error) => Err(SignedTransaction::refusal(error)),
            };
            sizes.into_iter().zip(verified).map(insert).collect::<Vec<_>>().into_iter()
        };
        let verdicts: Vec<_> = verdicts
            .into_iter()
            .map(|verdict| {
                verdict.unwrap_or_else(|| inserted.next().expect("every sound transaction has a verdict"))
            })
            .collect();
        if verdicts.iter().any(Result::is_ok) {
            self.changed.notify_waiters();
        }
        verdicts
    }

    /// What waits, for a peer that was away.
    #[must_use]
    pub fn waiting(&self, bytes_max: usize) -> Vec<SignedTransaction> {
        self.lock_mempool().waiting(bytes_max)
    }

    /// When a block is due though nobody sends anything: the next ledger deadline or the heartbeat.
    #[must_use]
    pub fn due(&self) -> TimeMs {
        let state = self.state();
        let heartbeat = chain(&state).time.plus(params(&state).heartbeat_ms);
        next_deadline(&state).map_or(heartbeat, |due| due.min(heartbeat))
    }

    /// Whether a transaction waits that a block built now could hold.
    fn is_ready(&self) -> bool {
        let state = self.state();
        self.lock_mempool().is_ready(&state, self.block_time(&state))
    }

    fn now(&self) -> TimeMs {
        (self.clock)()
    }

    /// The time of a block built now: this node's clock, but always later than the parent's.
    fn block_time(&self, state: &State) -> TimeMs {
        self.now().max(chain(state).time.plus(1))
    }

    fn lock_mempool(&self) -> MutexGuard<'_, Mempool> {
        self.mempool.lock().expect("no thread panics while it holds the mempool")
    }

    fn lock_executed(&self) -> MutexGuard<'_, BTreeMap<BlockId, Executed>> {
        self.executed.lock().expect("no thread panics while it holds the executed blocks")
    }

    /// Executes a block on the last state and remembers what it does.
    fn execute(&self, id: BlockId, block: Block) -> Result<(), String> {
        let verdicts = self.signatures.verify_all(block.transactions.clone());
        let mut verified: Vec<Verified<SignedTransaction>> = Vec::with_capacity(verdicts.len());
        for (index, verdict) in verdicts.into_iter().enumerate() {
            verified.push(verdict.map_err(|error| format!("transaction {index}: {error}"))?);
        }
        let state = self.state();
        let runtime = self.runtime.as_ref();
        let outcome = apply_listing(&state, runtime, self.chain, &block.header, &verified, &block.waiting)
            .map_err(|error| error.to_string())?;
        drop(state);
        self.remember(id, Executed { block, outcome });
        Ok(())
    }

    fn remember(&self, id: BlockId, executed: Executed) {
        self.lock_executed().insert(id, executed);
    }

    /// Makes an executed block part of state, mempool, history and the rows for the next checkpoint. `dirty` is held until the
    /// state has the changes too: a checkpoint of one without the other would be no state of any height.
    fn adopt<'a>(
        &'a self,
        id: BlockId,
        executed: Executed,
        changed: Vec<ChangedRow>,
        certificate: &[u8],
        mut dirty: MutexGuard<'a, Dirty>,
    ) -> MutexGuard<'a, Dirty> {
        let Executed { block, outcome } = executed;
        let mut touched: BTreeSet<PublicKey> =
            block.transactions.iter().map(|signed| signed.transaction.signer).collect();
        {
            for (table, key, value) in changed {
                if table == Keys::ID {
                    touched.extend(borsh::from_slice::<PublicKey>(&key));
                }
                dirty.bytes += row_bytes(&key, value.as_ref());
                dirty.rows.insert((table, key), value);
            }
            let mut state = self.state.write().expect("no thread panics while it holds the state");
            state.commit(outcome.changes, id);
        }
        {
            let state = self.state();
            let now = self.block_time(&state);
            let mut mempool = self.lock_mempool();
            mempool.on_commit(&state, now, touched);
            mempool.mark_height();
            if block.header.height.is_multiple_of(64) {
                mempool.tidy(&state, now);
                mempool.drop_expired(now);
            }
        }
        self.lock_executed().clear();
        let record = Arc::new(BlockRecord {
            id,
            header: block.header,
            transactions: block.transactions,
            waiting: block.waiting,
            receipts: outcome.receipts,
            certificate: certificate.to_vec(),
        });
        self.history.write().expect("no thread panics while it holds the history").push(record.clone());
        // Nobody following is no error.
        let _ = self.followers.send(record);
        self.changed.notify_waiters();
        dirty
    }

    fn lock_dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().expect("no thread panics while it holds the dirty rows")
    }

    /// Whether the last block is the last of its rules.
    fn rules_end(&self) -> bool {
        let state = self.state();
        let chain = chain(&state);
        protocol_version_at(chain, chain.height.saturating_add(1)) != chain.protocol_version
    }

    /// The checkpoint that goes with the commit of a block that did this, if one is due: beside the commit it costs no fsync. The
    /// rows are copied, because nothing has changed while the commit may fail.
    fn checkpoint_due_with(
        &self,
        dirty: &Dirty,
        header: &Header,
        changed: &[ChangedRow],
    ) -> Option<Checkpoint> {
        let height = header.height;
        let bytes: usize = changed.iter().map(|(_, key, value)| row_bytes(key, value.as_ref())).sum();
        if !dirty.is_due(height, dirty.bytes.saturating_add(bytes)) && !self.is_snapshot_height(height) {
            return None;
        }
        let mut rows = dirty.rows.clone();
        rows.extend(changed.iter().cloned().map(|(table, key, value)| ((table, key), value)));
        Some(Checkpoint { height, root: header.state_root, protocol_version: header.protocol_version, rows })
    }

    /// Writes a checkpoint of its own, when asked to or when the one due could not go with its commit.
    fn checkpoint_if_due(&self, force: bool) -> Result<(), StoreError> {
        // Locked first, as in `adopt`: rows, height and root are those of one state.
        let mut dirty = self.lock_dirty();
        let (height, root, protocol_version) = {
            let state = self.state();
            let chain = chain(&state);
            (chain.height, state.root(), chain.protocol_version)
        };
        if height == dirty.checkpoint_height || !(force || dirty.is_due(height, dirty.bytes)) {
            return Ok(());
        }
        let checkpoint = Checkpoint { height, root, protocol_version, rows: std::mem::take(&mut dirty.rows) };
        let written = self.store.checkpoint(&checkpoint);
        if written.is_ok() {
            dirty.written(height);
        } else {
            dirty.rows = checkpoint.rows;
            dirty.retry_height = height.saturating_add(CHECKPOINT_RETRY_HEIGHTS);
        }
        written
    }
}
