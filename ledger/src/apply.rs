//! One block: what runs by itself, then the transactions, then the invariants, then the root.

use crate::action::{BlockInHand, Context, fuel_kept};
use crate::block::{Block, Header, Receipt, Receipts, members_hash, transactions_root, validators};
use crate::deadline::next_deadline;
use crate::event::Event;
use crate::governance::protocol_version_at;
use crate::id::{ChainId, TransactionId};
use crate::member::MemberCode;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{Chain, Key, Quota};
use crate::state::{Changes, State, View};
use crate::tables::{Chains, Keys, ParamsTable, Quotas};
use crate::time::TimeMs;
use crate::transaction::SignedTransaction;
use crate::waiting::{is_list, list, waiting_root};
use hansa_contracts_abi::Runtime;
use hansa_ledger_signature::Verified;
use std::collections::BTreeSet;

/// The rules that a federation of this program begins with.
pub const PROTOCOL_VERSION: u32 = 1;

/// The rules this program knows, rising. A chain that asks for others stops it before the height they begin at.
pub const PROTOCOL_VERSIONS: &[u32] = &[PROTOCOL_VERSION];

/// What a block does.
#[derive(Clone)]
pub struct Outcome {
    /// The header, with every root filled in.
    pub header: Header,
    /// What became of it.
    pub receipts: Receipts,
    /// What it changes.
    pub changes: Changes,
}

/// Why a block is no block of this chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Rules this program does not have.
    #[error(
        "the block follows protocol version {0}, which this program does not know; install one that does"
    )]
    ProtocolVersion(u32),
    /// It does not follow the last block.
    #[error("the block is for height {found}, and the chain stands before height {expected}")]
    Height {
        /// The next height.
        expected: u64,
        /// The block's.
        found: u64,
    },
    /// Time stands still or runs back.
    #[error("the block's time {0} is not later than its parent's")]
    Time(TimeMs),
    /// Nothing to do.
    #[error("the block is empty, no deadline is due and the heartbeat has not passed")]
    Needless,
    /// Too much.
    #[error("the block holds more transactions or bytes than a block may")]
    TooLarge,
    /// The list of what waits is no such list.
    #[error(
        "the list of waiting transactions does not rise, is too long, or names one that stands in the block"
    )]
    Waiting,
    /// The proposer is no member with a vote.
    #[error("the proposer {0} has no vote")]
    Proposer(MemberCode),
    /// A transaction that no block may hold.
    #[error("transaction {index} may stand in no block now: {rejection}")]
    Transaction {
        /// Its position.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
    /// The header says something else than the execution.
    #[error("the header's {0} is not what the execution gives")]
    Header(&'static str),
}

/// The parameters in force.
#[must_use]
pub fn params(state: &State) -> &Params {
    state.get::<ParamsTable>(&()).expect("a state made by a genesis holds parameters")
}

/// The chain as of the last block.
#[must_use]
pub fn chain(state: &State) -> &Chain {
    state.get::<Chains>(&()).expect("a state made by a genesis holds the chain")
}

/// Whether a transaction may stand in a block at `now`: key, chain life, nonce, quota. Signature and shape come before.
///
/// # Errors
/// The first rule that is broken. [`Rejection::NonceGap`] may heal by itself.
pub fn admit(
    view: &View<'_>,
    params: &Params,
    now: TimeMs,
    transaction: &SignedTransaction,
    bytes: u64,
) -> Result<Quota, Rejection> {
    let content = &transaction.transaction;
    if content.valid_until < now {
        return Err(Rejection::Expired);
    }
    if content.valid_until > now.plus(params.transaction_validity_ms_max) {
        return Err(Rejection::ValidUntilTooFar);
    }
    let key = view.get::<Keys>(&content.signer).ok_or(Rejection::UnknownKey)?;
    if key.revoked {
        return Err(Rejection::KeyRevoked);
    }
    match content.nonce.cmp(&key.nonce) {
        std::cmp::Ordering::Less => return Err(Rejection::NonceUsed),
        std::cmp::Ordering::Greater => return Err(Rejection::NonceGap),
        std::cmp::Ordering::Equal => {}
    }
    let epoch = now.0.checked_div(params.epoch_ms).unwrap_or(0);
    let used = view.get::<Quotas>(&key.principal).filter(|quota| quota.epoch == epoch);
    let (actions, spent) = used.map_or((0, 0), |quota| (quota.actions, quota.bytes));
    let actions = actions.saturating_add(u32::try_from(content.actions.len()).unwrap_or(u32::MAX));
    let spent = spent.saturating_add(bytes);
    if actions > params.epoch_actions_max || spent > params.epoch_bytes_max {
        return Err(Rejection::QuotaExceeded);
    }
    Ok(Quota { epoch, actions, bytes: spent })
}

/// [`apply_listing`] of a block that lists nothing.
///
/// # Errors
/// Why it is no block of this chain.
pub fn apply_block(
    state: &State,
    runtime: &dyn Runtime,
    id: ChainId,
    header: &Header,
    transactions: &[Verified<SignedTransaction>],
) -> Result<Outcome, BlockError> {
    apply_listing(state, runtime, id, header, transactions, &[])
}

/// Executes a block that others proposed and compares every field of its header. `waiting` is what the block lists.
///
/// # Errors
/// Why it is no block of this chain.
pub fn apply_listing(
    state: &State,
    runtime: &dyn Runtime,
    id: ChainId,
    header: &Header,
    transactions: &[Verified<SignedTransaction>],
    waiting: &[TransactionId],
) -> Result<Outcome, BlockError> {
    if !state.protocol_versions().contains(&header.protocol_version) {
        return Err(BlockError::ProtocolVersion(header.protocol_version));
    }
    let opening = Opening::new(state, runtime, header.time)?;
    let params = opening.params();
    let mut execution = Execution::start(state, opening, &params, runtime, id, header.proposer)?;
    if header.height != execution.block.height {
        return Err(BlockError::Height { expected: execution.block.height, found: header.height });
    }
    for (index, transaction) in transactions.iter().enumerate() {
        execution.add(transaction).map_err(|rejection| match rejection {
            Refused::BlockFull => BlockError::TooLarge,
            Refused::Transaction(rejection) => BlockError::Transaction { index, rejection },
        })?;
    }
    let outcome = execution.finish(waiting)?;
    let ours = &outcome.header;
    for (same, field) in [
        (ours.protocol_version == header.protocol_version, "protocol version"),
        (ours.chain == header.chain, "chain"),
        (ours.parent == header.parent, "parent"),
        (ours.transactions_root == header.transactions_root, "transactions root"),
        (ours.waiting_root == header.waiting_root, "waiting root"),
        (ours.receipts_root == header.receipts_root, "receipts root"),
        (ours.state_root == header.state_root, "state root"),
        (ours.members_hash == header.members_hash, "members hash"),
    ] {
        if !same {
            return Err(BlockError::Header(field));
        }
    }
    Ok(outcome)
}

/// [`build_listing`] by a proposer that has seen nothing wait.
///
/// # Errors
/// [`BlockError::Needless`] when there is nothing to do, [`BlockError::Time`] when the clock is not past the parent's time.
pub fn build_block(
    state: &State,
    runtime: &dyn Runtime,
    id: ChainId,
    proposer: MemberCode,
    time: TimeMs,
    candidates: &[Verified<SignedTransaction>],
    go_on: &mut dyn FnMut() -> bool,
) -> Result<(Block, Outcome), BlockError> {
    build_listing(state, runtime, id, &Proposal { proposer, time, candidates, seen: &[] }, go_on)
}

/// What a proposer makes a block of.
#[derive(Clone, Copy)]
pub struct Proposal<'a> {
    /// Who proposes.
    pub proposer: MemberCode,
    /// Time of the block.
    pub time: TimeMs,
    /// What may stand in it, in the order it is tried.
    pub candidates: &'a [Verified<SignedTransaction>],
    /// What has been waiting, the longest first, candidates included: what does not stand in the block is listed in it, as
    /// far as the list goes. What may stand in no block now is left out of both.
    pub seen: &'a [TransactionId],
}

/// Builds a block of the candidates, in their order, leaving out those that may not stand in it now. `go_on` is asked before
/// each of them: a proposer that runs out of time stops there.
///
/// # Errors
/// [`BlockError::Needless`] when there is nothing to do, a list included; [`BlockError::Time`] when the clock is not past the
/// parent's time.
pub fn build_listing(
    state: &State,
    runtime: &dyn Runtime,
    id: ChainId,
    proposal: &Proposal<'_>,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<(Block, Outcome), BlockError> {
    let opening = Opening::new(state, runtime, proposal.time)?;
    let params = opening.params();
    let mut execution = Execution::start(state, opening, &params, runtime, id, proposal.proposer)?;
    let mut refused = BTreeSet::new();
    for candidate in proposal.candidates {
        if !go_on() {
            break;
        }
        match execution.add(candidate) {
            Ok(()) => {}
            Err(Refused::BlockFull) => break,
            Err(Refused::Transaction(_)) => drop(refused.insert(candidate.id())),
        }
    }
    let transactions = execution.transactions.clone();
    let waiting = match proposal.seen {
        [] => Vec::new(),
        seen => list(seen, &execution.included(), &refused),
    };
    let outcome = execution.finish(&waiting)?;
    Ok((Block { header: outcome.header.clone(), transactions, waiting }, outcome))
}

/// Why a transaction is not taken into the block in hand.
enum Refused {
    /// No room is left for it.
    BlockFull,
    /// It may not stand in a block now.
    Transaction(Rejection),
}

/// The beginning of a block: what the members have voted for and is due, before anything else of it. The parameters in force
/// are known after it.
struct Opening<'a> {
    view: View<'a>,
    events: Vec<Event>,
    height: u64,
    time: TimeMs,
    protocol_version: u32,
}

impl<'a> Opening<'a> {
    fn new(state: &'a State, runtime: &'a dyn Runtime, time: TimeMs) -> Result<Self, BlockError> {
        let tip = chain(state);
        let height = tip.height.saturating_add(1);
        let protocol_version = known_version(state, height)?;
        if time <= tip.time || time > TimeMs::MAX {
            return Err(BlockError::Time(time));
        }
        let params = params(state);
        let fuel = params.block_fuel_max;
        let fuel_kept = fuel_kept(params, runtime);
        let (view, events) = (state.view(), Vec::new());
        let mut block = BlockInHand { view, params, height, now: time, runtime, fuel, fuel_kept, events };
        block.activate_proposals();
        if height == 1 {
            block.describe_genesis();
        }
        Ok(Self { view: block.view, events: block.events, height, time, protocol_version })
    }

    /// The parameters of the block.
    fn params(&self) -> Params {
        self.view.get::<ParamsTable>(&()).cloned().expect("a state made by a genesis holds parameters")
    }
}

/// The rules of the block at `height`, which is the next one.
///
/// # Errors
/// [`BlockError::ProtocolVersion`] when this program does not know them.
pub fn known_version(state: &State, height: u64) -> Result<u32, BlockError> {
    let version = protocol_version_at(chain(state), height);
    if state.protocol_versions().contains(&version) {
        Ok(version)
    } else {
        Err(BlockError::ProtocolVersion(version))
    }
}

/// A block in the course of being executed.
struct Execution<'a> {
    state: &'a State,
    chain: ChainId,
    protocol_version: u32,
    proposer: MemberCode,
    block: BlockInHand<'a>,
    deadlines: Vec<Event>,
    receipts: Vec<Receipt>,
    transactions: Vec<SignedTransaction>,
    bytes: u64,
}

impl<'a> Execution<'a> {
    fn start(
        state: &'a State,
        opening: Opening<'a>,
        params: &'a Params,
        runtime: &'a dyn Runtime,
        id: ChainId,
        proposer: MemberCode,
    ) -> Result<Self, BlockError> {
        let Opening { view, events, height, time, protocol_version } = opening;
        if !validators(state, height).iter().any(|validator| validator.member == proposer) {
            return Err(BlockError::Proposer(proposer));
        }
        let fuel = params.block_fuel_max;
        let fuel_kept = fuel_kept(params, runtime);
        let mut block = BlockInHand { view, params, height, now: time, runtime, fuel, fuel_kept, events };
        block.run_deadlines(id);
        block.tell_withheld();
        let deadlines = std::mem::take(&mut block.events);
        Ok(Self {
            state,
            chain: id,
            protocol_version,
            proposer,
            block,
            deadlines,
            receipts: Vec::new(),
            transactions: Vec::new(),
            bytes: 0,
        })
    }

    fn add(&mut self, transaction: &Verified<SignedTransaction>) -> Result<(), Refused> {
        let params = self.block.params;
        let encoded = u64::try_from(transaction.encode().len()).unwrap_or(u64::MAX);
        let bytes = self.bytes.saturating_add(encoded);
        if bytes > u64::from(params.block_bytes_max)
            || self.receipts.len() >= params.block_transactions_max as usize
        {
            return Err(Refused::BlockFull);
        }
        if encoded > u64::from(params.transaction_bytes_max) {
            return Err(Refused::Transaction(Rejection::TransactionTooLarge));
        }
        transaction.check(&self.chain, params).map_err(Refused::Transaction)?;
        let quota = admit(&self.block.view, params, self.block.now, transaction, encoded)
            .map_err(Refused::Transaction)?;
        let mark = self.block.view.mark();
        self.burn(transaction, quota);
        let receipt = self.perform(transaction);
        if receipt.code == Rejection::FuelExhausted.code() {
            // Others have used the fuel up: it is not refused, it comes into a later block.
            self.block.view.roll_back(mark);
            return Err(Refused::BlockFull);
        }
        self.receipts.push(receipt);
        self.transactions.push(SignedTransaction::clone(transaction));
        self.bytes = bytes;
        Ok(())
    }

    /// Counts the nonce and the quota, whatever becomes of the actions.
    fn burn(&mut self, transaction: &SignedTransaction, quota: Quota) {
        let signer = transaction.transaction.signer;
        let key = self.block.view.get::<Keys>(&signer).cloned().expect("the key was admitted just before");
        self.block.view.put::<Quotas>(key.principal, quota);
        let nonce = key.nonce.saturating_add(1);
        self.block.view.put::<Keys>(signer, Key { nonce, ..key });
    }

    fn perform(&mut self, transaction: &SignedTransaction) -> Receipt {
        let id = transaction.id();
        let mark = self.block.view.mark();
        let fuel = self.block.fuel;
        self.block.events = Vec::new();
        for (position, action) in (0u32..).zip(&transaction.transaction.actions) {
            let signer = transaction.transaction.signer;
            let mut context = Context::new(&mut self.block, signer, id, position);
            if let Err(rejection) = context.perform(action) {
                self.block.view.roll_back(mark);
                // Fuel stays spent: work that was done for a refused action counts against the block all the same.
                self.block.fuel = self.block.fuel.min(fuel);
                self.block.events = Vec::new();
                return Receipt {
                    transaction: id,
                    code: rejection.code(),
                    action: Some(position),
                    events: Vec::new(),
                };
            }
        }
        let mut events = std::mem::take(&mut self.block.events);
        // Nodes keep receipts of many blocks in memory, and a list of one event is made with room for four.
        events.shrink_to_fit();
        Receipt { transaction: id, code: 0, action: None, events }
    }

    fn included(&self) -> BTreeSet<TransactionId> {
        self.receipts.iter().map(|receipt| receipt.transaction).collect()
    }

    fn finish(mut self, waiting: &[TransactionId]) -> Result<Outcome, BlockError> {
        let included = self.included();
        if !is_list(waiting, &included) {
            return Err(BlockError::Waiting);
        }
        let tip = chain(self.state).clone();
        let due = next_deadline(self.state).is_some_and(|due| due <= self.block.now);
        let silent = self.block.now.0.saturating_sub(tip.time.0);
        if self.transactions.is_empty() && !due && silent < self.block.params.heartbeat_ms {
            return Err(BlockError::Needless);
        }
        self.block.note_waiting(self.proposer, &included, waiting);
        self.block.schedule_changed();
        self.block.assert_invariants();
        let members = validators(self.state, self.block.height);
        let count = u64::try_from(self.transactions.len()).unwrap_or(u64::MAX);
        let receipts = Receipts { deadlines: self.deadlines, transactions: self.receipts };
        // The chain's row carries the parent: a header commits to the state, so the state cannot name the header.
        let upgrade = self.block.view.get::<Chains>(&()).and_then(|chain| chain.upgrade.clone());
        self.block.view.put::<Chains>(
            (),
            Chain {
                protocol_version: self.protocol_version,
                upgrade: upgrade.filter(|upgrade| upgrade.height > self.block.height),
                height: self.block.height,
                time: self.block.now,
                transactions: tip.transactions.saturating_add(count),
            },
        );
        let (height, time) = (self.block.height, self.block.now);
        let changes = self.block.view.into_changes(self.state.trie());
        let header = Header {
            protocol_version: self.protocol_version,
            chain: self.chain,
            height,
            time,
            parent: self.state.tip(),
            proposer: self.proposer,
            transactions_root: transactions_root(&self.transactions),
            waiting_root: waiting_root(waiting),
            receipts_root: receipts.root(),
            state_root: changes.root(),
            members_hash: members_hash(members),
        };
        Ok(Outcome { header, receipts, changes })
    }
}
