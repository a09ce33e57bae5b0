//! What a node is told in its file: every field documented, unknown fields refused with their line and column.

use crate::consensus::last_signed::LAST_SIGNED_FILE;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::member::MemberCode;
use hansa_ledger_signature::PublicKey;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A node's configuration file (TOML). Relative paths are relative to the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The member this node is run by.
    pub member: MemberCode,
    /// The federation's genesis.
    pub genesis: PathBuf,
    /// Where the ledger, the engine's log and the blobs are kept. One process at a time.
    pub data: PathBuf,
    /// The member's keys for this node.
    pub keys: KeyFiles,
    /// The interface for programs.
    pub api: ApiConfig,
    /// Where this node listens for consensus: `/ip4|ip6/ADDRESS/tcp/PORT`.
    pub consensus_listen: Multiaddr,
    /// Where this node listens for transactions, adverts and blobs: `/ip4|ip6/ADDRESS/tcp/PORT`.
    pub network_listen: Multiaddr,
    /// The other members' nodes.
    pub peers: Vec<PeerConfig>,
    /// Blocks whose bodies are kept; 0 keeps all. Those since the last checkpoint stay in any case: a restart replays them. So do
    /// those above the older of this node's snapshots: whoever fetches it needs them.
    #[serde(default)]
    pub history_blocks: u64,
    /// A snapshot for other members is made at each height that is a multiple of this, and the last two are kept; 0 makes none.
    /// Members should say the same, so that a new node can fetch the parts of one snapshot from all of them.
    #[serde(default = "snapshot_blocks")]
    pub snapshot_blocks: u64,
    /// The least free disk space, in bytes; below it the node refuses to write rather than to fail half-way.
    #[serde(default = "disk_bytes_min")]
    pub disk_bytes_min: u64,
    /// How far this node's clock is to be wrong, in milliseconds, for tests of wrong clocks. Anything but 0 is refused unless the
    /// node and all its peers listen on the loopback interface, as no real federation does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub test_clock_offset_ms: i64,
}

/// The files of a node's keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFiles {
    /// Signs votes.
    pub consensus: PathBuf,
    /// Authenticates connections.
    pub network: PathBuf,
    /// A file that holds the passphrase of encrypted key files; without it the node asks on the terminal.
    #[serde(default)]
    pub passphrase_file: Option<PathBuf>,
}

/// The interface for programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Host names under which it may be addressed, besides loopback ones.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// Another member's node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Whose.
    pub member: MemberCode,
    /// Where it listens for consensus.
    pub consensus: Multiaddr,
    /// Where it listens for transactions, adverts and blobs.
    pub network: Multiaddr,
    /// Its node's key on the network, where the ledger does not say it: of a member that is to join and follows already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_key: Option<PublicKey>,
}

/// How often a snapshot is made where the configuration does not say it, in blocks.
pub const SNAPSHOT_BLOCKS: u64 = 1_000;

fn snapshot_blocks() -> u64 {
    SNAPSHOT_BLOCKS
}

fn disk_bytes_min() -> u64 {
    64 << 20
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that the serializer calls")]
fn is_zero(offset: &i64) -> bool {
    *offset == 0
}

/// Why a configuration or a genesis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("`{path}` is not a valid {what}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Line, column and rule.
        reason: String,
    },
}

impl NodeConfig {
    /// Reads a configuration file and makes its paths absolute.
    ///
    /// # Errors
    /// Names the file, and for a mistake in it the line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read_toml(path, "node configuration")?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for file in
            [&mut config.genesis, &mut config.data, &mut config.keys.consensus, &mut config.keys.network]
        {
            *file = folder.join(&*file);
        }
        config.keys.passphrase_file = config.keys.passphrase_file.map(|file| folder.join(file));
        Ok(config)
    }

    /// Where the ledger lies.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.data.join("ledger")
    }

    /// Where snapshots for other members lie, and what is fetched of one.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.data.join("snapshots")
    }

    /// The engine's log.
    #[must_use]
    pub fn wal(&self) -> PathBuf {
        self.data.join("consensus.wal")
    }

    /// What the member signed last.
    #[must_use]
    pub fn last_signed(&self) -> PathBuf {
        self.data.join(LAST_SIGNED_FILE)
    }

    /// Whether this node and all its peers are on one machine, and nobody else can be among them.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let own = [&self.consensus_listen, &self.network_listen];
        let theirs = self.peers.iter().flat_map(|peer| [&peer.consensus, &peer.network]);
        own.into_iter().chain(theirs).all(is_loopback)
    }

    /// Reads the genesis the configuration names.
    ///
    /// # Errors
    /// Names the file, and for a mistake in it the line and column.
    pub fn genesis(&self) -> Result<Genesis, ConfigError> {
        read_toml(&self.genesis, "genesis")
    }
}

/// Whether an address is that of this machine alone.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// Reads a TOML file into a value.
///
/// # Errors
/// Names the file, and for a mistake in it the line and column.
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
    toml::from_str(&text).map_err(|error| {
        let place = error.span().map(|span| place_of(&text, span.start)).unwrap_or_default();
        let reason = format!("{place}{}", error.message());
        ConfigError::Invalid { path: path.to_owned(), what, reason }
    })
}

/// "line L, column C: " of a byte offset.
fn place_of(text: &str, offset: usize) -> String {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    format!("line {line}, column {column}: ")
}
