//! What consensus is told at its start, and what that means for the engine.

use super::fatal::StartError;
use crate::consensus::application::Id;
use crate::consensus::codec::peer_id;
use crate::consensus::last_signed::LAST_SIGNED_FILE;
use crate::consensus::limits::{
    GOSSIP_BYTES_MAX, LIVENESS_BYTES_MAX, PART_MESSAGE_BYTES_MAX, RPC_BYTES_MAX, SMALL_MESSAGE_BYTES_MAX,
    SYNC_REQUEST_TIMEOUT, SYNC_RESPONSE_BYTES_MAX, VOTE_BYTES_MAX,
};
use hansa_ledger_signature::{PublicKey, SecretKey};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use malachitebft_app_channel::app::config as engine;
use malachitebft_app_channel::app::config::{NodeConfig, ValueSyncConfig};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Another member's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The key that authenticates its connections.
    pub network_key: PublicKey,
    /// Where it listens: `/ip4|ip6/ADDRESS/tcp/PORT`.
    pub address: Multiaddr,
}

/// What consensus is told at its start.
#[derive(Clone, Debug)]
pub struct ConsensusConfig {
    /// The node's name in logs and metrics; unique in the process.
    pub moniker: String,
    /// What every signature is bound to; also in the name of the protocol, so that other chains' nodes are turned away.
    pub chain_id: Id,
    /// Where this node listens: `/ip4|ip6/ADDRESS/tcp/PORT`.
    pub listen_address: Multiaddr,
    /// The other members' nodes. Connections with anyone else are refused.
    pub peers: Vec<Peer>,
    /// The key that authenticates this node's connections; not the validator key.
    pub network_key: SecretKey,
    /// The key that signs this member's votes.
    pub validator_key: SecretKey,
    /// The engine's log of what it signed in the current height. Never delete it, never share it.
    pub wal_path: PathBuf,
}

impl ConsensusConfig {
    /// What this member signed last, beside the engine's log.
    pub(super) fn last_signed_path(&self) -> PathBuf {
        self.wal_path.with_file_name(LAST_SIGNED_FILE)
    }

    /// Refuses what cannot work. Gives the address to listen on.
    pub(super) fn check(&self) -> Result<SocketAddr, StartError> {
        if self.network_key.public_key() == self.validator_key.public_key() {
            return Err(StartError::SameKeys);
        }
        for peer in &self.peers {
            socket_address(&peer.address)?;
        }
        let address = socket_address(&self.listen_address)?;
        // The engine only logs a failure to listen, so it is tried here first.
        TcpListener::bind(address)
            .map(|_| address)
            .map_err(|error| StartError::AddressInUse { address: self.listen_address.clone(), error })
    }

    pub(super) fn engine_config(&self) -> EngineConfig {
        let mut consensus = engine::ConsensusConfig {
            enabled: true,
            value_payload: engine::ValuePayload::ProposalAndParts,
            ..engine::ConsensusConfig::default()
        };
        consensus.p2p = self.network_config();
        let value_sync = ValueSyncConfig {
            enabled: true,
            // Eager: a status goes out with each decision, because an idle federation has no rhythm to wait for.
            status_update_interval: Duration::ZERO,
            // Also the rhythm in which a lost request is made again.
            request_timeout: SYNC_REQUEST_TIMEOUT,
            max_request_size: engine_size(SMALL_MESSAGE_BYTES_MAX),
            max_response_size: engine_size(SYNC_RESPONSE_BYTES_MAX),
            ..ValueSyncConfig::default()
        };
        EngineConfig { moniker: self.moniker.clone(), consensus, value_sync }
    }

    fn network_config(&self) -> engine::P2pConfig {
        let chain = hex::encode(&self.chain_id[..16]);
        let mut network = engine::P2pConfig {
            listen_addr: self.listen_address.clone(),
            persistent_peers: self.peers.iter().map(pinned).collect(),
            persistent_peers_only: true,
            protocol: engine::PubSubProtocol::GossipSub(engine::GossipSubConfig::new(
                8, 16, 5, 3, true, true, true,
            )),
            pubsub_max_size: engine_size(GOSSIP_BYTES_MAX),
            rpc_max_size: engine_size(RPC_BYTES_MAX),
            ..engine::P2pConfig::default()
        };
        network.pubsub_max_size_per_topic = engine::PubSubMaxSizePerTopic {
            consensus: Some(engine_size(VOTE_BYTES_MAX)),
            proposal_parts: Some(engine_size(PART_MESSAGE_BYTES_MAX)),
            liveness: Some(engine_size(LIVENESS_BYTES_MAX)),
        };
        network.protocol_names = engine::ProtocolNames {
            consensus: format!("/hansa/{chain}/consensus/1"),
            discovery_kad: format!("/hansa/{chain}/discovery/1"),
            discovery_regres: format!("/hansa/{chain}/discovery-request/1"),
            sync: format!("/hansa/{chain}/sync/1"),
            validator_proof: format!("/hansa/{chain}/validator-proof/1"),
        };
        let peers = self.peers.len().max(4);
        network.discovery.enabled = false;
        network.discovery.num_inbound_peers = 2 * peers;
        network.discovery.num_outbound_peers = 2 * peers;
        network.discovery.max_connections_per_ip = 2 * self.peers_per_address_max().max(1);
        network
    }

    /// The most peers that share one address: members behind one gateway, or all of them on one machine.
    fn peers_per_address_max(&self) -> usize {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for peer in &self.peers {
            if let Ok(address) = socket_address(&peer.address) {
                *counts.entry(address.ip()).or_default() += 1;
            }
        }
        counts.values().copied().max().unwrap_or(0)
    }
}

/// The peer's address with the identity that must answer there.
fn pinned(peer: &Peer) -> Multiaddr {
    let identity = libp2p::PeerId::from_bytes(&peer_id(&peer.network_key).to_bytes())
        .expect("the bytes come from a peer id");
    peer.address.clone().with(Protocol::P2p(identity))
}

fn socket_address(address: &Multiaddr) -> Result<SocketAddr, StartError> {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    match parts.as_slice() {
        [Protocol::Ip4(ip), Protocol::Tcp(port)] => Ok(SocketAddr::from((*ip, *port))),
        [Protocol::Ip6(ip), Protocol::Tcp(port)] => Ok(SocketAddr::from((*ip, *port))),
        _ => Err(StartError::Address(address.clone())),
    }
}

/// What the engine asks of its configuration.
#[derive(Clone, Debug)]
pub(super) struct EngineConfig {
    moniker: String,
    consensus: engine::ConsensusConfig,
    value_sync: ValueSyncConfig,
}

impl NodeConfig for EngineConfig {
    fn moniker(&self) -> &str {
        &self.moniker
    }

    fn consensus(&self) -> &engine::ConsensusConfig {
        &self.consensus
    }

    fn consensus_mut(&mut self) -> &mut engine::ConsensusConfig {
        &mut self.consensus
    }

    fn value_sync(&self) -> &ValueSyncConfig {
        &self.value_sync
    }

    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.value_sync
    }
}

/// A number of bytes in the engine's own type, which it does not export.
fn engine_size<T: FromStr<Err: std::fmt::Debug>>(bytes: usize) -> T {
    format!("{bytes} B").parse().expect("a number with the unit B is a size")
}
