//! What consensus needs of the half of the node that knows blocks.

use bytes::Bytes;
use futures::future::BoxFuture;
use hansa_ledger_signature::PublicKey;
use std::time::Duration;

pub use super::certificate::ValidatorInfo;

/// A 32-byte hash: of a block's header, or of the genesis (the chain id).
pub type Id = [u8; 32];

/// The last block that is durably committed. Height 0 with the genesis' id before the first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Height of the block.
    pub height: u64,
    /// Id of the block.
    pub id: Id,
}

/// A block that this node proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Id of the block.
    pub id: Id,
    /// The whole block as the peers get it, in parts.
    pub body: Bytes,
}

/// How long the engine waits, in milliseconds. `delta` is added once for each further round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a proposal counts as missing.
    pub propose_ms: u64,
    /// Between > 2/3 of mixed prevotes and the precommit for nothing.
    pub prevote_ms: u64,
    /// Between > 2/3 of mixed precommits and the next round.
    pub precommit_ms: u64,
    /// What each further round adds to each of the three.
    pub delta_ms: u64,
    /// Until a node repeats its last votes, because gossip promises nothing.
    pub rebroadcast_ms: u64,
    /// What no timeout exceeds, however many rounds passed.
    pub maximum_ms: u64,
}

/// How a block reached this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The first proposal of a round, seen while that round runs: the only origin whose block may not be from the past.
    Live,
    /// Proposed again in a later round, because members may be locked on it, as far as its proposer says. Like every block
    /// without a certificate it may not be from the future: an honest one never is.
    Reproposed,
    /// Decided by the others before; fetched with its certificate.
    Synced,
    /// Kept while an earlier height was still open. Its time is compared with the clock when it is judged.
    Replayed,
}

/// What the application says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The block may be voted for.
    Valid,
    /// Proposer and hash are right; the execution refuses the content, here and on every other node, whenever it is asked. The
    /// engine remembers it against the id for good, so nothing that depends on this node's clock or disk may give it.
    Invalid(String),
    /// The block's time is ahead of this node's clock, or behind it ([`Origin::Live`] only). It gets no vote now, and nothing is held
    /// against its id: if the others decide it, it comes again as [`Origin::Synced`] and must be accepted.
    Untimely(String),
    /// The body does not hash to the id, or cannot be decoded. Nothing is remembered about the id.
    Mismatch(String),
    /// This node cannot tell: its own trouble, or the parent is missing.
    NotReady(String),
}

/// The application could not do its duty. The text says what happened, why and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AppError(pub String);

/// The half of the node that knows blocks: what consensus needs from it and nothing more. Consensus knows ids, bodies as bytes,
/// and signatures.
///
/// Every call but the two futures may block (disk, execution): the host runs it on the blocking pool. Calls come one at a time
/// except the two futures and a [`Application::build`] that overran its time, which the host no longer waits for.
pub trait Application: Send + Sync + 'static {
    /// What every signature is bound to.
    fn chain_id(&self) -> Id;

    /// The last committed block, from the same atomic write as its state and certificate.
    fn tip(&self) -> Tip;

    /// The members that sign `height`, sorted by name, each name and key once, never empty. Asked for heights up to tip + 1.
    fn validators(&self, height: u64) -> Vec<ValidatorInfo>;

    /// The rules of `height` if this program does not know them: then it signs nothing from there on. Asked for tip + 1.
    fn unknown_rules(&self, height: u64) -> Option<u32>;

    /// The timeouts of `height`, from the parameters in the state.
    fn timeouts(&self, height: u64) -> Timeouts;

    /// Builds a block on the tip within `budget`. `None`: there is nothing to propose, the round passes.
    ///
    /// # Errors
    /// When the block could not be built; the round passes.
    fn build(&self, height: u64, round: u32, budget: Duration) -> Result<Option<Built>, AppError>;

    /// Judges a block by executing it. The height is always tip + 1; proposer signature and proposer turn are checked before,
    /// except for [`Origin::Synced`], where more than two thirds of the members have signed and the header names the proposer.
    fn check(
        &self,
        height: u64,
        round: u32,
        proposer: &PublicKey,
        id: &Id,
        body: &[u8],
        origin: Origin,
    ) -> Verdict;

    /// Keeps a block that is not decided yet, with the host's `record` of it. Durable when it returns. The same
    /// (height, round, id) replaces its record; the body is stored once per id.
    ///
    /// # Errors
    /// When it is not durable.
    fn save_undecided(
        &self,
        height: u64,
        round: u32,
        id: &Id,
        body: &[u8],
        record: &[u8],
    ) -> Result<(), AppError>;

    /// Why this process can keep nothing any more, as after an fsync that failed; none while a write that failed may be tried
    /// again, as on a full disk.
    fn broken(&self) -> Option<AppError>;

    /// The records kept for one round.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn undecided(&self, height: u64, round: u32) -> Result<Vec<Vec<u8>>, AppError>;

    /// The records kept for all rounds of a height.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn undecided_at(&self, height: u64) -> Result<Vec<Vec<u8>>, AppError>;

    /// The body of a block, decided or not, if it is here.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn body(&self, id: &Id) -> Result<Option<Bytes>, AppError>;

    /// Makes a decided block the tip, durably. Its body was kept by [`Application::save_undecided`] before. Called again for the
    /// same height and id after a crash, it changes nothing.
    ///
    /// # Errors
    /// Any error ends the node: a decision that cannot be kept must never be acknowledged. That includes a block that this
    /// program cannot execute to the roots in its header. The block may not have been checked since the process started.
    fn commit(&self, height: u64, id: &Id, certificate: &[u8]) -> Result<(), AppError>;

    /// Ends a height: `certificate` carries the signatures that came late, `evidence` what members signed twice (for the audit
    /// log, one [`super::evidence::Evidence`] in borsh each). Undecided blocks up to `height` may go.
    ///
    /// # Errors
    /// Any error ends the node.
    fn finalize(&self, height: u64, certificate: &[u8], evidence: Vec<Vec<u8>>) -> Result<(), AppError>;

    /// The certificate (borsh of [`super::certificate::Certificate`]) and body of a decided height.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn decided(&self, height: u64) -> Result<Option<(Vec<u8>, Bytes)>, AppError>;

    /// The lowest height that [`Application::decided`] can serve. Raised before anything is deleted.
    fn history_height_min(&self) -> u64;

    /// Resolves when the next height has a reason to start: a valid transaction waits, a ledger deadline is due or the heartbeat
    /// passed. Asked anew after each height.
    fn work(&self) -> BoxFuture<'static, ()>;

    /// Asks the peers for a body over our own network. `None` when nobody gave it in time. The host checks the hash.
    fn fetch_body(&self, id: Id, timeout: Duration) -> BoxFuture<'static, Option<Bytes>>;
}
