//! One running node: the ledger opened, the network and consensus started, the interface served; and how it all ends.

#[cfg(test)]
mod tests;

use crate::backend::NodeBackend;
use crate::blob::{BlobError, BlobStore, BlobStoreConfig};
use crate::config::{ConfigError, NodeConfig, PeerConfig};
use crate::consensus::last_signed::is_rebuilding;
use crate::consensus::{
    self, Application as _, ConsensusConfig, ConsensusHandle, FatalReason, Peer, StartError,
};
use crate::executor::{Executor, OpenError, clock, make_clock_wrong};
use crate::gossip::{Gossip, Outgoing, PeerBodies};
use crate::http::{self, HttpLimits};
use crate::log::{LogStore, LogStoreConfig};
use crate::mempool::MempoolLimits;
use crate::network::{self, AdvertBook, Member, NetworkConfig, NetworkError, NetworkHandle, NetworkLimits};
use crate::readiness::{PeerHeights, follow_heights};
use crate::rights::{leases_over, named_by_ledger};
use bytes::Bytes;
use hansa_ledger::apply::params;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::TransactionId;
use hansa_ledger::state::State;
use hansa_ledger::tables::Members;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::{PublicKey, SecretKey};
use hansa_ledger_store::{LedgerStore, OpenOptions, SledStore, StoreError};
use hansa_node_api::peer;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often blobs that nothing names any more are looked for.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);

/// How often the bodies of blocks beyond the configured history are looked for.
const PRUNE_PAUSE: Duration = Duration::from_secs(60);

/// How many of them are forgotten at one time.
const PRUNE_BLOCKS_MAX: u64 = 10_000;

/// How often transactions that still wait are sent to the members again: gossip promises nothing.
const RESEND_PAUSE: Duration = Duration::from_secs(2);

/// The secret keys of a node.
#[derive(Clone, Debug)]
pub struct NodeKeys {
    /// Signs votes.
    pub consensus: SecretKey,
    /// Authenticates connections.
    pub network: SecretKey,
}

/// Why a node does not start. Nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration or the genesis.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The member or its keys are not the ledger's.
    #[error("{0}")]
    Identity(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger in the store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Consensus.
    #[error(transparent)]
    Consensus(#[from] StartError),
    /// The interface.
    #[error("cannot listen on `{address}` for the interface: {error}; another process may use the port")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// A folder or a thread.
    #[error("the node cannot be set up: {0}")]
    Setup(#[from] std::io::Error),
}

/// Everything of a running node that its interface needs.
pub struct Parts {
    /// The application half.
    pub executor: Arc<Executor>,
    /// The network.
    pub network: NetworkHandle,
    /// The blobs.
    pub blobs: BlobStore,
    /// The logs of running jobs.
    pub logs: LogStore,
    /// The adverts heard.
    pub adverts: Arc<Mutex<AdvertBook>>,
    /// Where transactions are sent on.
    pub outgoing: Outgoing,
    /// How far the other members say they are.
    pub heights: Arc<PeerHeights>,
    /// Height and round of consensus.
    pub consensus: tokio::sync::watch::Receiver<consensus::Status>,
    /// The other members' nodes.
    pub peers: Vec<PeerConfig>,
    /// This process's metrics.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
}

impl Parts {
    /// Peer id and full address of another member's node on the network.
    #[must_use]
    pub fn member_address(&self, peer: &PeerConfig) -> Option<(network::PeerId, String)> {
        let key = network_key(&self.executor.state(), peer)?;
        let id = peer::peer_id(&key)?;
        Some((id, format!("{}/p2p/{id}", peer.network)))
    }
}

/// A running node.
pub struct Node {
    parts: Arc<Parts>,
    consensus: ConsensusHandle,
    stop: CancellationToken,
    api: std::net::SocketAddr,
    api_thread: std::thread::JoinHandle<()>,
}

/// Starts a node.
///
/// # Errors
/// [`NodeError`]; whatever was started is stopped again.
pub async fn start(config: NodeConfig, keys: NodeKeys) -> Result<Node, NodeError> {
    start_serving(config, keys, serve).await
}

/// As [`start`], with `serve` to bring the interface up.
async fn start_serving(config: NodeConfig, keys: NodeKeys, serve: Serve) -> Result<Node, NodeError> {
    let genesis = config.genesis()?;
    check_peers(&config)?;
    check_clock(&config)?;
    let listener = std::net::TcpListener::bind(config.api.listen)
        .map_err(|error| NodeError::Listen { address: config.api.listen, error })?;
    listener.set_nonblocking(true)?;
    std::fs::create_dir_all(&config.data)?;
    let executor = open(&config, &genesis).await?;
    check_keys(&config, &executor.state(), &keys)?;
    let limits = params(&executor.state()).clone();
    let blobs = BlobStore::new(BlobStoreConfig {
        folder: config.data.join("blobs"),
        blob_bytes_max: limits.blob_bytes_max,
        owner_bytes_max: limits.organisation_blob_bytes_max,
        grace_ms: limits.blob_retention_ms,
    })?;
    // Logs are worth less than blocks: they leave as much again of the disk free.
    let disk_bytes_min = config.disk_bytes_min.saturating_mul(2);
    let logs = LogStore::new(LogStoreConfig::new(&config.data.join("logs"), disk_bytes_min));
    let adverts = Arc::new(Mutex::new(AdvertBook::new()));
    let heights = Arc::new(PeerHeights::new(executor.tip().height));
    let late = Arc::new(OnceLock::new());
    let gossip = Gossip::new(executor.clone(), blobs.clone(), logs.clone(), adverts.clone(), late.clone());
    let network = network::start(network_config(&config, &executor, &keys)?, Arc::new(gossip)).await?;
    // Set once, here; the gossip side only needs it after a member has connected.
    let _ = late.set(network.clone());
    executor.set_bodies(Arc::new(PeerBodies(network.clone())));
    let consensus =
        match consensus::start(consensus_config(&config, &executor, &keys), executor.clone()).await {
            Ok(consensus) => consensus,
            Err(error) => {
                network.shutdown().await;
                return Err(error.into());
            }
        };
    let stop = CancellationToken::new();
    let parts = Arc::new(Parts {
        executor,
        outgoing: Outgoing::start(network.clone()),
        network,
        blobs,
        logs,
        adverts,
        heights,
        consensus: consensus.status_changes(),
        peers: config.peers.clone(),
        metrics: crate::metrics::install(),
    });
    tokio::spawn(follow_heights(
        parts.executor.clone(),
        parts.network.clone(),
        parts.heights.clone(),
        stop.clone(),
    ));
    let house = tokio::spawn(keep_house(parts.clone(), config.history_blocks, stop.clone()));
    let served = listener.local_addr().and_then(|api| {
        let api_thread = serve(listener, parts.clone(), config.api.hosts.clone(), stop.clone())?;
        Ok((api, api_thread))
    });
    match served {
        Ok((api, api_thread)) => Ok(Node { parts, consensus, stop, api, api_thread }),
        Err(error) => {
            stop.cancel();
            consensus.stop().await;
            parts.network.shutdown().await;
            // It ends by its token; what it was doing is not left half done.
            let _ = house.await;
            Err(error.into())
        }
    }
}

impl Node {
    /// Where the interface is served.
    #[must_use]
    pub fn api(&self) -> std::net::SocketAddr {
        self.api
    }

    /// The node's parts, for tests and tools in the same process.
    #[must_use]
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Runs until `shutdown` resolves or consensus ends by itself, then stops everything in order: the interface, consensus,
    /// the network, and last a checkpoint, so that the next start replays nothing.
    ///
    /// # Errors
    /// Why consensus ended by itself.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), FatalReason> {
        let ended = tokio::select! {
            () = shutdown => None,
            reason = &mut self.consensus.fatal => reason.ok(),
        };
        self.stop.cancel();
        self.consensus.stop().await;
        self.parts.network.shutdown().await;
        let executor = self.parts.executor.clone();
        let api_thread = self.api_thread;
        let sound = ended.as_ref().is_none_or(FatalReason::state_is_sound);
        let closing = tokio::task::spawn_blocking(move || {
            if api_thread.join().is_err() {
                tracing::error!("the interface's thread ended with a panic");
            }
            // A state in doubt is not written down: the next start rebuilds it from the blocks.
            if sound { executor.checkpoint() } else { Ok(()) }
        });
        if let Ok(Err(error)) = closing.await {
            tracing::warn!(%error, "no checkpoint was written at the end; the next start replays the blocks since the last one");
        }
        ended.map_or(Ok(()), Err)
    }
}

/// A node does not name itself among its peers.
fn check_peers(config: &NodeConfig) -> Result<(), NodeError> {
    match config.peers.iter().find(|peer| peer.member == config.member) {
        Some(peer) => {
            Err(NodeError::Identity(format!("{} stands among its own peers; leave it out", peer.member)))
        }
        None => Ok(()),
    }
}

/// Makes the clock wrong where that is asked for, and refuses to where anybody else could be in the federation.
fn check_clock(config: &NodeConfig) -> Result<(), NodeError> {
    match config.test_clock_offset_ms {
        0 => Ok(()),
        offset if config.is_local() => {
            make_clock_wrong(offset);
            Ok(())
        }
        _ => Err(NodeError::Identity(
            "`test_clock_offset_ms` makes the clock wrong, which is for tests on one machine: leave it out, or let this node and all its peers listen on the loopback interface".to_owned(),
        )),
    }
}

/// Refuses keys that are not those of the member on the ledger. A member that is not there yet, or has left, may follow with any.
fn check_keys(config: &NodeConfig, state: &State, keys: &NodeKeys) -> Result<(), NodeError> {
    let code = config.member;
    let row = state.get::<Members>(&code);
    let (Some(consensus), Some(network)) =
        (row.and_then(|row| row.consensus_key), row.and_then(|row| row.network_key))
    else {
        tracing::warn!(member = %code, "the ledger as far as it is here has no such member: the node follows without a vote");
        return Ok(());
    };
    for (what, expected, found) in [
        ("consensus", consensus, keys.consensus.public_key()),
        ("network", network, keys.network.public_key()),
    ] {
        if expected != found {
            return Err(NodeError::Identity(format!(
                "the {what} key file holds another key than the ledger gives {code}; a new key is for after the block that changes it"
            )));
        }
    }
    Ok(())
}

/// The key of a peer's node: what the configuration says, else what the ledger says.
fn network_key(state: &State, peer: &PeerConfig) -> Option<PublicKey> {
    peer.network_key.or_else(|| state.get::<Members>(&peer.member)?.network_key)
}

/// Opens store and ledger off the async threads: reading a large checkpoint takes its time.
async fn open(config: &NodeConfig, genesis: &Genesis) -> Result<Arc<Executor>, NodeError> {
    let (directory, genesis, member) = (config.ledger(), genesis.clone(), config.member);
    let options = OpenOptions {
        create_new: is_absent(&directory) && may_begin(config)?,
        bytes_free_min: config.disk_bytes_min,
        ..OpenOptions::default()
    };
    let opened = tokio::task::spawn_blocking(move || -> Result<Arc<Executor>, NodeError> {
        let store = SledStore::open(&directory, options)?;
        Ok(Executor::open(genesis, member, Arc::new(store), MempoolLimits::default())?)
    });
    opened.await.map_err(|error| NodeError::Setup(std::io::Error::other(error)))?
}

/// A new ledger is made only where nothing points to an old one, or a person asked for it: a lost database must not look like a
/// beginning.
fn may_begin(config: &NodeConfig) -> Result<bool, StartError> {
    let last_signed = config.last_signed();
    Ok((is_absent(&config.wal()) && is_absent(&last_signed)) || is_rebuilding(&last_signed)?)
}

fn is_absent(directory: &Path) -> bool {
    std::fs::symlink_metadata(directory).is_err()
}

fn network_config(
    config: &NodeConfig,
    executor: &Executor,
    keys: &NodeKeys,
) -> Result<NetworkConfig, NodeError> {
    let mut members = Vec::new();
    for peer in &config.peers {
        let Some(key) = network_key(&executor.state(), peer) else {
            tracing::warn!(member = %peer.member, "no member of the ledger: its node is not connected to; give its `network_key` to let it follow");
            continue;
        };
        let peer_id = peer::peer_id(&key).ok_or_else(|| {
            NodeError::Identity(format!("the network key of {} is no key of a peer", peer.member))
        })?;
        members.push(Member { peer_id, address: peer.network.clone() });
    }
    Ok(NetworkConfig {
        chain_id: executor.chain().0,
        listen: vec![config.network_listen.clone()],
        network_key: keys.network.clone(),
        members,
        limits: NetworkLimits::default(),
    })
}

fn consensus_config(config: &NodeConfig, executor: &Executor, keys: &NodeKeys) -> ConsensusConfig {
    let peers = config.peers.iter().filter_map(|peer| {
        let network_key = network_key(&executor.state(), peer)?;
        Some(Peer { network_key, address: peer.consensus.clone() })
    });
    ConsensusConfig {
        moniker: config.member.to_string(),
        chain_id: executor.chain().0,
        listen_address: config.consensus_listen.clone(),
        peers: peers.collect(),
        network_key: keys.network.clone(),
        validator_key: keys.consensus.clone(),
        wal_path: config.wal(),
    }
}

/// Brings the interface up on this listener, for these host names, until the token is cancelled.
type Serve = fn(
    std::net::TcpListener,
    Arc<Parts>,
    Vec<String>,
    CancellationToken,
) -> Result<std::thread::JoinHandle<()>, std::io::Error>;

/// Serves the interface on a runtime and a thread of its own, so that a flood of questions does not delay votes.
fn serve(
    listener: std::net::TcpListener,
    parts: Arc<Parts>,
    hosts: Vec<String>,
    stop: CancellationToken,
) -> Result<std::thread::JoinHandle<()>, std::io::Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("hansa-api")
        .enable_all()
        .build()?;
    std::thread::Builder::new().name("hansa-api".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let served = match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let limits = HttpLimits { hosts, ..HttpLimits::default() };
                    http::serve(listener, Arc::new(NodeBackend::new(parts)), limits, stop).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::error!(%error, "the interface ended");
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(2));
    })
}

/// Small duties that recur: send waiting transactions again, drop blobs, logs and adverts whose time is over, and the bodies of
/// blocks beyond `history_blocks` unless that is 0.
async fn keep_house(parts: Arc<Parts>, history_blocks: u64, stop: CancellationToken) {
    let mut resend = tokio::time::interval(RESEND_PAUSE);
    let mut sweep = tokio::time::interval(SWEEP_PAUSE);
    let mut prune = tokio::time::interval(PRUNE_PAUSE);
    let mut oldest = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = resend.tick() => oldest = resend_waiting(&parts, oldest).await,
            _ = sweep.tick() => {
                sweep_blobs(&parts).await;
                sweep_logs(&parts).await;
            }
            _ = prune.tick(), if history_blocks > 0 => {
                let store = parts.executor.store().clone();
                let pruned = tokio::task::spawn_blocking(move || prune_bodies(store.as_ref(), history_blocks));
                if let Ok(Err(error)) = pruned.await {
                    tracing::warn!(%error, "the bodies of old blocks could not be forgotten");
                }
            }
        }
    }
}

/// What has waited for a whole pause was not carried by gossip to a member whose turn it was. Gives the oldest that waits, to be
/// compared the next time.
async fn resend_waiting(parts: &Arc<Parts>, before: Option<TransactionId>) -> Option<TransactionId> {
    let waiting = parts.executor.waiting(crate::gossip::WAITING_BYTES_MAX);
    let oldest = waiting.first().map(SignedTransaction::id);
    if oldest.is_some() && oldest == before {
        // Gossip drops bytes it has seen, so they are handed to each member directly.
        let bundle = Bytes::from(borsh::to_vec(&waiting).expect("encoding into memory cannot fail"));
        let members = parts.network.peers().into_iter().filter(|peer| peer.member && peer.ready);
        for member in members {
            let (network, bundle) = (parts.network.clone(), bundle.clone());
            tokio::spawn(async move { network.send_transactions(member.peer_id, bundle).await });
        }
    }
    oldest
}

async fn sweep_blobs(parts: &Arc<Parts>) {
    let now = clock();
    let retention = params(&parts.executor.state()).blob_retention_ms;
    parts.adverts.lock().expect("no thread panics while it holds the adverts").drop_past(now.0);
    let named = named_by_ledger(&parts.executor, &parts.blobs, now.0, retention).await;
    let blobs = parts.blobs.clone();
    let swept = tokio::task::spawn_blocking(move || {
        blobs.sweep(now.0, &|hash| named.contains(&hansa_ledger::id::BlobHash(*hash)))
    });
    if let Ok(Err(error)) = swept.await {
        tracing::warn!(%error, "blobs could not be swept");
    }
}

/// Logs go with the blobs of their lease.
async fn sweep_logs(parts: &Arc<Parts>) {
    let retention = params(&parts.executor.state()).blob_retention_ms;
    let over = leases_over(&parts.executor, parts.logs.leases(), clock().0, retention);
    let logs = parts.logs.clone();
    let swept = tokio::task::spawn_blocking(move || logs.sweep(&|lease| !over.contains(lease)));
    if let Err(error) = swept.await {
        tracing::warn!(%error, "logs of jobs could not be swept");
    }
}

/// Forgets the bodies of all but the last `history_blocks` blocks, a part of them at a time, and says how many. The block of the
/// latest checkpoint stays: a restart begins with it.
fn prune_bodies(store: &dyn LedgerStore, history_blocks: u64) -> Result<u64, StoreError> {
    let (Some(tip), Some(checkpoint)) = (store.tip()?, store.latest_checkpoint()?) else { return Ok(0) };
    let below = tip.height.saturating_add(1).saturating_sub(history_blocks).min(checkpoint.height);
    store.prune_bodies_below(below, PRUNE_BLOCKS_MAX)
}
