//! Opening: the last checkpoint, then the blocks after it, every root compared.

use super::signatures::Signatures;
use super::{Clock, Dirty, Executor, FOLLOWERS_LAG_MAX, SIGNATURES_REMEMBERED, clock};
use crate::consensus::application::Application as _;
use crate::history::History;
use crate::mempool::{Mempool, MempoolLimits};
use hansa_contracts_host::{Host, vm_profile};
use hansa_ledger::apply::{PROTOCOL_VERSIONS, chain};
use hansa_ledger::block::Block;
use hansa_ledger::contract::runnable;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{BlockId, ChainId};
use hansa_ledger::invariants::check_state;
use hansa_ledger::member::MemberCode;
use hansa_ledger::state::State;
use hansa_ledger_store::{LedgerStore, StoreError};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use tokio::sync::{Notify, broadcast, watch};

/// Why the ledger could not be opened. The node does not vote.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The genesis is no genesis.
    #[error("the genesis is refused: {0}")]
    Genesis(String),
    /// Another contract engine.
    #[error(
        "the genesis asks for another contract engine than this program has; install the federation's version"
    )]
    Engine,
    /// A contract that may not run.
    #[error("contract `{name}` is refused: {reason}")]
    Contract {
        /// Its name.
        name: String,
        /// Which rule, where.
        reason: String,
    },
    /// The next block follows other rules than those this program knows.
    #[error(
        "from height {height} on the federation follows protocol version {version}, which this program does not know; install one that does and start again"
    )]
    UnknownRules {
        /// The height.
        height: u64,
        /// The rules.
        version: u32,
    },
    /// The data directory belongs to another federation.
    #[error(
        "the data directory holds the ledger of federation {stored}, and the genesis is that of {expected}; start with the genesis it was made with, or with an empty data directory"
    )]
    OtherGenesis {
        /// Whose blocks are stored.
        stored: ChainId,
        /// Whose genesis was given.
        expected: ChainId,
    },
    /// What is stored is not what was decided.
    #[error(
        "the stored ledger is not what the members decided: {0}; run `hansa node rebuild`, which sets the ledger aside and lets the node fetch it from its peers"
    )]
    Doubt(String),
}

impl Executor {
    /// Opens the ledger of `genesis` in `store`: state of the last checkpoint, blocks after it executed again.
    ///
    /// # Errors
    /// Whenever anything is in doubt; then the node must not vote.
    pub fn open(
        genesis: Genesis,
        member: MemberCode,
        store: Arc<dyn LedgerStore>,
        limits: MempoolLimits,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_knowing(genesis, member, store, limits, PROTOCOL_VERSIONS)
    }

    /// As [`Self::open`], with another clock than that of this machine.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_clock(
        genesis: Genesis,
        member: MemberCode,
        store: Arc<dyn LedgerStore>,
        limits: MempoolLimits,
        clock: Clock,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_at(genesis, member, store, limits, PROTOCOL_VERSIONS, clock)
    }

    /// As [`Self::open`], in a program that knows these rules.
    pub(crate) fn open_knowing(
        genesis: Genesis,
        member: MemberCode,
        store: Arc<dyn LedgerStore>,
        limits: MempoolLimits,
        versions: &'static [u32],
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_at(genesis, member, store, limits, versions, Arc::new(clock))
    }

    fn open_at(
        genesis: Genesis,
        member: MemberCode,
        store: Arc<dyn LedgerStore>,
        limits: MempoolLimits,
        versions: &'static [u32],
        clock: Clock,
    ) -> Result<Arc<Self>, OpenError> {
        if genesis.vm_profile != vm_profile() {
            return Err(OpenError::Engine);
        }
        check_federation(&genesis, store.as_ref())?;
        let state = load(&genesis, store.as_ref(), versions)?.knowing(versions);
        let host = Host::new();
        // Those of later blocks are loaded as they become active, when the blocks after the checkpoint are executed again.
        for (name, _, code) in runnable(&state) {
            host.load(code).map_err(|refusal| OpenError::Contract {
                name: name.to_string(),
                reason: refusal.to_string(),
            })?;
        }
        let mut dirty = Dirty { checkpoint_height: chain(&state).height, ..Dirty::default() };
        if dirty.checkpoint_height == 0 {
            // The first checkpoint has to hold what genesis made as well.
            state.tables().each_row(|table, key, value| {
                dirty.rows.insert((table, key), Some(value));
            });
        }
        let executor = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            chain: genesis.chain_id(),
            genesis,
            member,
            clock,
            runtime: Arc::new(host),
            store,
            state: RwLock::new(state),
            executed: Mutex::new(BTreeMap::new()),
            dirty: Mutex::new(dirty),
            mempool: Mutex::new(Mempool::new(limits)),
            signatures: Signatures::new(SIGNATURES_REMEMBERED),
            history: RwLock::new(History::default()),
            followers: broadcast::Sender::new(FOLLOWERS_LAG_MAX),
            changed: Arc::new(Notify::new()),
            bodies: OnceLock::new(),
            snapshot_blocks: AtomicU64::new(0),
            snapshots_due: watch::Sender::new(0),
        });
        executor.replay()?;
        let height = chain(&executor.state()).height.saturating_add(1);
        match executor.unknown_rules(height) {
            Some(version) => Err(OpenError::UnknownRules { height, version }),
            None => Ok(executor),
        }
    }

    /// Executes the decided blocks after the checkpoint again.
    fn replay(&self) -> Result<(), OpenError> {
        let Some(tip) = self.store.tip()? else { return Ok(()) };
        let first = chain(&self.state()).height + 1;
        for height in first..=tip.height {
            if let Some(version) = self.unknown_rules(height) {
                return Err(OpenError::UnknownRules { height, version });
            }
            let decided = self
                .store
                .decided(height)?
                .ok_or_else(|| OpenError::Doubt(format!("block {height} is missing")))?;
            let id = BlockId(decided.block);
            let doubt = |reason: String| OpenError::Doubt(format!("block {height}: {reason}"));
            let block = Block::read(&id, &decided.body).map_err(doubt)?;
            self.execute(id, block).map_err(doubt)?;
            let executed = self.lock_executed().remove(&id);
            let executed = executed.ok_or_else(|| doubt("it vanished while it was executed".to_owned()))?;
            if executed.outcome.header.state_root != decided.root {
                return Err(doubt("its state root is not the one that was kept".to_owned()));
            }
            let changed = executed.outcome.changes.rows();
            drop(self.adopt(id, executed, changed, &decided.certificate, self.lock_dirty()));
            if self.rules_end() {
                self.checkpoint_if_due(true)?;
            }
        }
        Ok(())
    }

    /// Writes a checkpoint of the present state: a clean stop does, so that the next start replays nothing.
    ///
    /// # Errors
    /// When the store cannot write it; nothing is lost by that.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.checkpoint_if_due(true)
    }
}

/// Refuses blocks of another federation before anything is read from them: with a checkpoint the genesis itself is not executed.
fn check_federation(genesis: &Genesis, store: &dyn LedgerStore) -> Result<(), OpenError> {
    let Some(tip) = store.tip()? else { return Ok(()) };
    let decided = store
        .decided(tip.height)?
        .ok_or_else(|| OpenError::Doubt(format!("the last block, {}, is missing", tip.height)))?;
    let block = Block::read(&BlockId(decided.block), &decided.body)
        .map_err(|reason| OpenError::Doubt(format!("block {}: {reason}", tip.height)))?;
    let (stored, expected) = (block.header.chain, genesis.chain_id());
    if stored == expected { Ok(()) } else { Err(OpenError::OtherGenesis { stored, expected }) }
}

/// The state of the last whole checkpoint, or of genesis.
fn load(genesis: &Genesis, store: &dyn LedgerStore, versions: &[u32]) -> Result<State, OpenError> {
    let Some(checkpoint) = store.latest_checkpoint()? else {
        return genesis.state().map_err(OpenError::Genesis);
    };
    let (height, version) = (checkpoint.height, checkpoint.protocol_version);
    if !versions.contains(&version) {
        // A newer program wrote it: its rows may have forms that this one cannot read.
        return Err(OpenError::UnknownRules { height, version });
    }
    let mut rows = Vec::new();
    store.rows(&mut |table, key, value| {
        rows.push((table, key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    let tip = store.decided(checkpoint.height)?.ok_or_else(|| {
        OpenError::Doubt(format!("the block of the checkpoint at {} is missing", checkpoint.height))
    })?;
    let block = Block::read(&BlockId(tip.block), &tip.body)
        .map_err(|reason| OpenError::Doubt(format!("block {}: {reason}", checkpoint.height)))?;
    if block.header.chain != genesis.chain_id() {
        return Err(OpenError::OtherGenesis { stored: block.header.chain, expected: genesis.chain_id() });
    }
    let state = State::load(rows, BlockId(tip.block)).map_err(OpenError::Doubt)?;
    if state.root() != checkpoint.root || block.header.state_root != checkpoint.root {
        return Err(OpenError::Doubt(format!(
            "the checkpoint at {} has another root than its block",
            checkpoint.height
        )));
    }
    check_state(&state).map_err(OpenError::Doubt)?;
    Ok(state)
}
