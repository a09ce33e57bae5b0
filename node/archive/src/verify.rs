//! Reads everything, and executes every block whose state before it is known.

use crate::{ArchiveError, Progress, Report, Stage};
use hansa_contracts_host::{Host, vm_profile};
use hansa_ledger::apply::{apply_listing, chain};
use hansa_ledger::block::{Block, Header, Validator, members_hash, validators};
use hansa_ledger::contract::runnable;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::BlockId;
use hansa_ledger::invariants::check_state;
use hansa_ledger::state::State;
use hansa_ledger::tables::ValidatorSets;
use hansa_ledger_signature::Cache;
use hansa_ledger_store::{CheckpointInfo, Decided, LedgerStore};
use hansa_node_api::certificate::{self, Handover};
use std::collections::BTreeMap;

/// Signatures remembered while blocks are executed; a transaction stands in one block, so none is looked up again.
const SIGNATURES_REMEMBERED: usize = 1;

/// Checks everything a store holds against the genesis: checksums, the chain of headers, every certificate, every block executed
/// whose state before it is known (all of them where the first block is still kept), and the rows of the checkpoint.
///
/// # Errors
/// The first thing that is not sound.
pub fn verify(
    store: &dyn LedgerStore,
    genesis: &Genesis,
    progress: Progress<'_>,
) -> Result<Report, ArchiveError> {
    progress(Stage::Reading, 0, None);
    let read = store.verify()?;
    let mut report = Report { evidence: read.evidence_count, ..Report::default() };
    let checkpoint = store.latest_checkpoint()?;
    let Some(tip) = store.tip()? else {
        let state = genesis.state().map_err(ArchiveError::Genesis)?;
        finish(&mut report, &state);
        return Ok(report);
    };
    (report.height_first, report.height_last) = (store.history_height_min(), tip.height);
    let saved = match checkpoint {
        Some(info) => Some((info, load(store, genesis, info)?)),
        None => None,
    };
    let mut walk = match saved {
        Some((info, state)) if report.height_first > 1 => {
            follow_members(store, genesis, &state, report.height_first..=tip.height)?;
            let walk = Walk::new(genesis, state)?;
            walk.check_headers(store, report.height_first..=info.height, &mut report, progress)?;
            walk
        }
        saved => {
            if report.height_first != 1 {
                return Err(block(
                    report.height_first,
                    "the blocks before it are gone, and there is no checkpoint",
                ));
            }
            let mut walk = Walk::new(genesis, genesis.state().map_err(ArchiveError::Genesis)?)?;
            walk.saved = saved.map(|(info, state)| (info.height, state.root()));
            walk
        }
    };
    for height in chain(&walk.state).height.saturating_add(1)..=tip.height {
        walk.execute(&decided(store, height)?, height, &mut report)?;
        progress(Stage::Executing, height, Some(tip.height));
    }
    if walk.state.root() != tip.root || walk.state.tip().0 != tip.block {
        return Err(block(tip.height, "it is not the one the store calls its last"));
    }
    finish(&mut report, &walk.state);
    Ok(report)
}

fn finish(report: &mut Report, state: &State) {
    report.rows = u64::try_from(state.trie().rows()).unwrap_or(u64::MAX);
    report.state_root = hex(&state.root());
}

fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

pub(crate) fn block(height: u64, what: impl Into<String>) -> ArchiveError {
    ArchiveError::Block { height, what: what.into() }
}

pub(crate) fn decided(store: &dyn LedgerStore, height: u64) -> Result<Decided, ArchiveError> {
    store.decided(height)?.ok_or_else(|| block(height, "it is missing"))
}

/// The state of the checkpoint: its rows have the root that its block names, and keep the ledger's rules.
fn load(store: &dyn LedgerStore, genesis: &Genesis, info: CheckpointInfo) -> Result<State, ArchiveError> {
    let mut rows = Vec::new();
    store.rows(&mut |table, key, value| {
        rows.push((table, key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    let decided = decided(store, info.height)?;
    let id = BlockId(decided.block);
    let stored = Block::read(&id, &decided.body).map_err(|what| block(info.height, what))?;
    if stored.header.chain != genesis.chain_id() {
        return Err(ArchiveError::Genesis("the ledger is another federation's".to_owned()));
    }
    let state = State::load(rows, id).map_err(ArchiveError::State)?;
    if state.root() != stored.header.state_root {
        return Err(ArchiveError::State(format!("its root is not the one that block {} names", info.height)));
    }
    check_state(&state).map_err(ArchiveError::State)?;
    Ok(state)
}

/// Where the first blocks are gone, the members that sign the last ones have to follow from those of the genesis.
fn follow_members(
    store: &dyn LedgerStore,
    genesis: &Genesis,
    state: &State,
    heights: std::ops::RangeInclusive<u64>,
) -> Result<(), ArchiveError> {
    let sets: BTreeMap<u64, Vec<Validator>> =
        state.rows::<ValidatorSets>().map(|(from, set)| (*from, set.members.clone())).collect();
    let waypoints: BTreeMap<u64, (Header, Vec<u8>)> = store
        .waypoints()?
        .into_iter()
        .map(|(height, record)| {
            let read = borsh::from_slice(&record);
            Ok((height, read.map_err(|error| block(height, format!("what is kept of it: {error}")))?))
        })
        .collect::<Result<_, ArchiveError>>()?;
    let mut handovers = Vec::new();
    for (from, set) in &sets {
        let until =
            sets.range(from.saturating_add(1)..).next().map_or(u64::MAX, |(next, _)| next.saturating_sub(1));
        let shown = (*from).max(*heights.start());
        let kept = shown <= until && heights.contains(&shown);
        let waypoint = waypoints.range(*from..=until).next().map(|(_, shown)| shown.clone());
        let (header, bytes) = if let Some((header, bytes)) = waypoint {
            (Some(header), Some(bytes))
        } else if kept {
            let decided = decided(store, shown)?;
            let stored =
                Block::read(&BlockId(decided.block), &decided.body).map_err(|what| block(shown, what))?;
            (Some(stored.header), Some(decided.certificate))
        } else {
            (None, None)
        };
        handovers.push(Handover { from: *from, validators: set.clone(), header, certificate: bytes });
    }
    let height = chain(state).height;
    let decided = decided(store, height)?;
    let stored = Block::read(&BlockId(decided.block), &decided.body).map_err(|what| block(height, what))?;
    certificate::follow(&genesis.validators(), &handovers, &stored.header)
        .map(drop)
        .map_err(|error| block(height, error.to_string()))
}

/// The ledger up to a height, and what executes the next one.
struct Walk {
    state: State,
    host: Host,
    signatures: Cache,
    genesis: Genesis,
    /// Height and root of a checkpoint that is still to be met.
    saved: Option<(u64, [u8; 32])>,
}

impl Walk {
    fn new(genesis: &Genesis, state: State) -> Result<Self, ArchiveError> {
        if genesis.vm_profile != vm_profile() {
            return Err(ArchiveError::Genesis(
                "it asks for another contract engine than this program has".to_owned(),
            ));
        }
        let host = Host::new();
        for (name, _, code) in runnable(&state) {
            let loaded = host.load(code);
            loaded.map_err(|refusal| ArchiveError::State(format!("contract `{name}`: {refusal}")))?;
        }
        let signatures = Cache::new(SIGNATURES_REMEMBERED);
        Ok(Self { state, host, signatures, genesis: genesis.clone(), saved: None })
    }

    /// Checks what can be checked of blocks whose state before them is gone: that they hang together, and who signed them.
    fn check_headers(
        &self,
        store: &dyn LedgerStore,
        heights: std::ops::RangeInclusive<u64>,
        report: &mut Report,
        progress: Progress<'_>,
    ) -> Result<(), ArchiveError> {
        let last = *heights.end();
        let mut parent = None;
        for height in heights {
            let decided = decided(store, height)?;
            let read = self.check_signed(&decided, height, validators(&self.state, height))?;
            if parent.is_some_and(|parent| parent != read.header.parent) {
                return Err(block(height, "it does not follow the one before"));
            }
            parent = Some(read.header.id());
            count(report, &read);
            progress(Stage::Executing, height, Some(last));
        }
        if parent == Some(self.state.tip()) {
            Ok(())
        } else {
            Err(block(last, "it is not the one of the checkpoint"))
        }
    }

    /// Body, id, height and federation belong together, and more than two thirds of the members signed.
    fn check_signed(
        &self,
        decided: &Decided,
        height: u64,
        members: &[Validator],
    ) -> Result<Block, ArchiveError> {
        let read = Block::read(&BlockId(decided.block), &decided.body).map_err(|what| block(height, what))?;
        if read.header.chain != self.genesis.chain_id() {
            return Err(ArchiveError::Genesis("the ledger is another federation's".to_owned()));
        }
        if read.header.height != height {
            return Err(block(height, format!("its header says {}", read.header.height)));
        }
        if read.header.state_root != decided.root {
            return Err(block(height, "the root that was kept is not the one its header names"));
        }
        if read.header.members_hash != members_hash(members) {
            return Err(block(height, "its header names other members than the ledger"));
        }
        certificate::verify(&read.header, &decided.certificate, members)
            .map_err(|error| block(height, error.to_string()))?;
        Ok(read)
    }

    fn execute(&mut self, decided: &Decided, height: u64, report: &mut Report) -> Result<(), ArchiveError> {
        let read = self.check_signed(decided, height, validators(&self.state, height))?;
        count(report, &read);
        let mut verified = Vec::with_capacity(read.transactions.len());
        for (index, verdict) in self.signatures.verify_all(read.transactions).into_iter().enumerate() {
            verified.push(verdict.map_err(|error| block(height, format!("transaction {index}: {error}")))?);
        }
        let chain = self.genesis.chain_id();
        let outcome = apply_listing(&self.state, &self.host, chain, &read.header, &verified, &read.waiting)
            .map_err(|error| block(height, error.to_string()))?;
        self.state.commit(outcome.changes, BlockId(decided.block));
        report.blocks_executed = report.blocks_executed.saturating_add(1);
        if self.saved.is_some_and(|(saved, root)| saved == height && root != self.state.root()) {
            return Err(ArchiveError::State(format!(
                "the checkpoint at {height} is not what the blocks give"
            )));
        }
        Ok(())
    }
}

fn count(report: &mut Report, read: &Block) {
    report.blocks = report.blocks.saturating_add(1);
    let transactions = u64::try_from(read.transactions.len()).unwrap_or(u64::MAX);
    report.transactions = report.transactions.saturating_add(transactions);
}
