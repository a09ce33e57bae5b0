//! How a node and its peers are.

use hansa_ledger::id::{BlockId, ChainId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::root::Digest;
use hansa_ledger::row::Upgrade;
use hansa_ledger::time::TimeMs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// The member whose node it is.
    #[schema(value_type = String)]
    pub member: MemberCode,
    /// What the federation is called.
    #[schema(value_type = String)]
    pub federation: Name,
    /// The federation's id.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// Version of the program.
    pub version: String,
    /// Rules in force.
    pub protocol_version: u32,
    /// Rules that this program knows.
    #[serde(default)]
    pub protocol_versions: Vec<u32>,
    /// Other rules that a vote has set a height for.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub upgrade: Option<Upgrade>,
    /// Height of the last final block.
    pub height: u64,
    /// Consensus round of the height in hand.
    pub round: u32,
    /// The last final block.
    #[schema(value_type = String)]
    pub block: BlockId,
    /// Root of the state after it.
    #[schema(value_type = String)]
    pub state_root: Digest,
    /// Its time.
    #[schema(value_type = String)]
    pub time: TimeMs,
    /// Transactions on the chain.
    pub transactions: u64,
    /// Members this node is connected to.
    pub peers_connected: u32,
    /// Members with a vote.
    pub members: u32,
    /// Transactions that wait.
    pub mempool_transactions: u64,
    /// Their size, in bytes.
    pub mempool_bytes: u64,
    /// Whether it catches up with the others.
    pub syncing: bool,
    /// Whether it may be asked and voted with.
    pub ready: bool,
    /// Why it is not ready.
    pub unready_reason: Option<String>,
    /// Where to dial for blobs: a multiaddress that ends in `/p2p/..`.
    pub peer_address: String,
    /// When the process began.
    #[schema(value_type = String)]
    pub started: TimeMs,
    /// Signatures it has checked since.
    pub signature_checks: u64,
    /// Times it has waited for the disk since.
    pub fsyncs: u64,
}

/// How a node sees another member's node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerStatus {
    /// The member.
    #[schema(value_type = String)]
    pub member: MemberCode,
    /// Whether there is a connection.
    pub connected: bool,
    /// Its address, where known.
    pub address: Option<String>,
    /// The last height it told of.
    pub height: Option<u64>,
}

/// Whether a node is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether it is.
    pub ok: bool,
    /// Why it is not.
    pub reason: Option<String>,
}
