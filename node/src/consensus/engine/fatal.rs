//! Why consensus did not start, and why it ended.

use crate::consensus::application::{AppError, Id};
use crate::consensus::certificate::CertificateError;
use crate::consensus::last_signed::MemoryError;
use libp2p::Multiaddr;
use std::path::PathBuf;

/// Consensus did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that is not `/ip4|ip6/.../tcp/...`. Names are refused: resolving them is outside the federation's control.
    #[error("the address {0} is not of the form /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT")]
    Address(Multiaddr),
    /// One key for two duties.
    #[error("the network key and the validator key are the same; give the node a network key of its own")]
    SameKeys,
    /// The network key cannot be used.
    #[error("the network key cannot be used: {0}")]
    NetworkKey(String),
    /// Another program listens there.
    #[error("cannot listen on {address}: {error}; is another node running, or the port taken?")]
    AddressInUse {
        /// The listen address.
        address: Multiaddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another process holds the engine's log.
    #[error("the consensus log {path} is in use: {reason}; one validator key may run in one process only")]
    LogInUse {
        /// The log.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The engine's log cannot be read.
    #[error("the consensus log {path} cannot be read: {error}")]
    LogUnreadable {
        /// The log.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// What was signed last is not known.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The engine refused its configuration or its log.
    #[error("the consensus engine did not start: {0}")]
    Engine(String),
    /// The engine came up without listening.
    #[error("the consensus engine did not get to listen on {address}: {reason}")]
    NotListening {
        /// The listen address.
        address: Multiaddr,
        /// Why, as far as known.
        reason: String,
    },
}

/// Why consensus ended by itself. The node must end too: it signs nothing more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FatalReason {
    /// The engine stopped; starting the process again is safe.
    #[error("the consensus engine ended; start the node again")]
    EngineEnded,
    /// The engine can no longer tell what it signed. A restart could sign two things: page a person.
    #[error(
        "the consensus engine stopped itself for safety (its log could not be written or read); look at the disk and start the node again, and if that ends in the same way, run `hansa node rebuild --keep-ledger`, which sets the log aside"
    )]
    SafetyHang,
    /// A proposed block could not be kept, and no other can be: without this end the member would vote no more and say nothing.
    #[error("block {height} could not be kept, nor can any other be by this process: {error}")]
    KeepFailed {
        /// The block's height.
        height: u64,
        /// What the application said.
        error: AppError,
    },
    /// A decided block could not be made the tip.
    #[error("block {height} is decided but could not be committed: {error}")]
    CommitFailed {
        /// The block's height.
        height: u64,
        /// What the application said.
        error: AppError,
    },
    /// The end of a height could not be kept.
    #[error("height {height} could not be finalized: {error}")]
    FinalizeFailed {
        /// The height.
        height: u64,
        /// What the application said.
        error: AppError,
    },
    /// The engine's certificate does not hold against the ledger's members.
    #[error("the engine decided block {height} with a certificate that does not hold: {error}")]
    CertificateWrong {
        /// The block's height.
        height: u64,
        /// Which condition fails.
        error: CertificateError,
    },
    /// More than two thirds decided a block that this program refuses.
    #[error(
        "block {height} ({}) is decided by the others and refused by this program; upgrade it",
        hex::encode(id)
    )]
    VersionSkew {
        /// The block's height.
        height: u64,
        /// The block's id.
        id: Id,
    },
    /// The application could not judge a decided block, however often it was asked.
    #[error("block {height} ({}) is decided, and this node is not able to execute it", hex::encode(id))]
    DecidedUnjudged {
        /// The block's height.
        height: u64,
        /// The block's id.
        id: Id,
    },
    /// The ledger names no members for a height, or more than a federation has.
    #[error("the ledger names {count} members for height {height}")]
    Members {
        /// The height.
        height: u64,
        /// How many.
        count: usize,
    },
    /// The members have voted for other rules from a height on, and this program does not know them.
    #[error(
        "from height {height} on the federation follows protocol version {version}, which this program does not know; install one that does and start again"
    )]
    UnknownRules {
        /// The height.
        height: u64,
        /// The rules.
        version: u32,
    },
    /// The engine and the ledger disagree on the height.
    #[error("the engine finalized height {finalized} while the ledger's next height is {next}")]
    HeightsApart {
        /// What the engine finalized.
        finalized: u64,
        /// The ledger's tip + 1.
        next: u64,
    },
    /// Consensus did not start again on a ledger that a snapshot had replaced.
    #[error("consensus did not start again after a snapshot took the ledger's place: {0}")]
    NotStarted(String),
    /// A panic in the application: its state can no longer be trusted.
    #[error("the ledger's code failed on an assertion: {0}")]
    ApplicationPanicked(String),
}

impl FatalReason {
    /// Whether starting the process again by itself is safe and may help.
    #[must_use]
    pub fn restart_helps(&self) -> bool {
        matches!(self, Self::EngineEnded | Self::NotStarted(_))
    }

    /// Whether what the application holds in memory is still the state of one height, so that it may be written down.
    #[must_use]
    pub fn state_is_sound(&self) -> bool {
        !matches!(self, Self::ApplicationPanicked(_) | Self::CommitFailed { .. })
    }
}
