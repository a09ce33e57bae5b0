//! One running node: the ledger opened, the network and consensus started, the interface served; and how it all ends.

mod house;
mod keys;
mod seat;
#[cfg(test)]
mod tests;

use crate::backend::NodeBackend;
use crate::blob::{BlobError, BlobStore, BlobStoreConfig};
use crate::config::{ConfigError, NodeConfig, PeerConfig, SNAPSHOT_BLOCKS};
use crate::consensus::last_signed::is_rebuilding;
use crate::consensus::{self, Application as _, ConsensusConfig, FatalReason, Peer, StartError};
use crate::executor::{Executor, OpenError, make_clock_wrong};
use crate::gossip::{Gossip, Outgoing, PeerBodies};
use crate::http::{self, HttpLimits};
use crate::log::{LogStore, LogStoreConfig};
use crate::mempool::MempoolLimits;
use crate::network::{self, AdvertBook, Member, NetworkConfig, NetworkError, NetworkHandle, NetworkLimits};
use crate::readiness::{PeerHeights, follow_heights};
use crate::snapshot::{
    Fetcher, Restoring, Shelf, SnapshotProgress, SnapshotSettings, follow_snapshots, make_when_due,
};
use hansa_ledger::apply::params;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::state::State;
use hansa_ledger::tables::Members;
use hansa_ledger_signature::{PublicKey, SecretKey};
use hansa_ledger_store::{OpenOptions, SledStore, StoreError};
use hansa_node_api::peer;
#[cfg(test)]
pub(crate) use house::prune_bodies;
use house::{keep_history, keep_house};
use keys::{tell_of_keys, watch_keys};
use seat::Seat;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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
    pub consensus: watch::Receiver<consensus::Status>,
    /// How far the fetching of a snapshot has come.
    pub snapshot_progress: Arc<SnapshotProgress>,
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
    seat: JoinHandle<Option<FatalReason>>,
    duties: Vec<JoinHandle<()>>,
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
    tell_of_keys(config.member, &executor.state(), &keys);
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
    let snapshots = Arc::new(Shelf::open(&config.snapshots(), executor.chain())?);
    executor.set_snapshot_blocks(config.snapshot_blocks);
    let gossip = Gossip::new(
        executor.clone(),
        blobs.clone(),
        logs.clone(),
        adverts.clone(),
        late.clone(),
        snapshots.clone(),
    );
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
    let (status, statuses) = watch::channel(consensus.status());
    let parts = Arc::new(Parts {
        executor,
        outgoing: Outgoing::start(network.clone()),
        network,
        blobs,
        logs,
        adverts,
        heights,
        consensus: statuses,
        snapshot_progress: Arc::default(),
        peers: config.peers.clone(),
        metrics: crate::metrics::install(),
    });
    let (restore, restoring) = mpsc::channel(1);
    let duties = begin_duties(&parts, &config, &keys, &snapshots, restore, &stop);
    let hosts = config.api.hosts.clone();
    let seat = Seat { parts: parts.clone(), config, keys, status, restoring, stop: stop.clone() };
    let seat = tokio::spawn(seat.hold(consensus));
    let served = listener.local_addr().and_then(|api| {
        let api_thread = serve(listener, parts.clone(), hosts, stop.clone())?;
        Ok((api, api_thread))
    });
    match served {
        Ok((api, api_thread)) => Ok(Node { parts, seat, duties, stop, api, api_thread }),
        Err(error) => {
            stop.cancel();
            // They end by their token; what they were doing is not left half done.
            let _ = seat.await;
            parts.network.shutdown().await;
            end_duties(duties).await;
            Err(error.into())
        }
    }
}

/// Starts what the node does beside consensus and its interface.
fn begin_duties(
    parts: &Arc<Parts>,
    config: &NodeConfig,
    keys: &NodeKeys,
    snapshots: &Arc<Shelf>,
    restore: mpsc::Sender<Restoring>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let Parts { executor, network, heights, .. } = parts.as_ref();
    let fetcher = Fetcher::new(
        Arc::new(network.clone()),
        snapshots.clone(),
        parts.snapshot_progress.clone(),
        config.disk_bytes_min,
    );
    let blocks = if config.snapshot_blocks == 0 { SNAPSHOT_BLOCKS } else { config.snapshot_blocks };
    let settings = SnapshotSettings { blocks_ahead: blocks.saturating_mul(2) };
    vec![
        tokio::spawn(follow_heights(executor.clone(), network.clone(), heights.clone(), stop.clone())),
        tokio::spawn(make_when_due(executor.clone(), snapshots.clone(), stop.clone())),
        tokio::spawn(follow_snapshots(parts.clone(), fetcher, settings, restore, stop.clone())),
        tokio::spawn(watch_keys(parts.clone(), config.member, keys.clone(), stop.clone())),
        tokio::spawn(keep_house(parts.clone(), stop.clone())),
        tokio::spawn(keep_history(parts.clone(), snapshots.clone(), config.history_blocks, stop.clone())),
    ]
}

/// Waits for what ends by its token.
async fn end_duties(duties: Vec<JoinHandle<()>>) {
    for duty in duties {
        if let Err(error) = duty.await {
            tracing::error!(%error, "a duty of the node ended with a panic");
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
            ended = &mut self.seat => Some(ended),
        };
        self.stop.cancel();
        let ended = match ended {
            Some(ended) => ended,
            None => (&mut self.seat).await,
        };
        let ended = ended.unwrap_or_else(|error| Some(FatalReason::NotStarted(error.to_string())));
        self.parts.network.shutdown().await;
        end_duties(self.duties).await;
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
