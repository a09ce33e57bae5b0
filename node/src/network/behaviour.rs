//! The protocols of the swarm and their bounds.

use super::config::{NetworkConfig, NetworkError};
use super::gossip::Topics;
use super::member::{MemberCodec, OnlyFor};
use super::{Multiaddr, PeerId};
use hansa_node_api::peer::advert::ADVERT_BYTES_MAX;
use hansa_node_api::peer::client::{BlobCodec, LogCodec, blob_behaviour, log_behaviour};
use hansa_node_api::peer::{identify_protocol, plain_address, stream_protocol};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Swarm, gossipsub, identify, memory_connection_limits, noise, ping, tcp, yamux};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long reaching a peer and agreeing on keys may take, either way.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a member may take to answer a request.
const MEMBER_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections being made at the same time, each way.
const PENDING_MAX: u32 = 32;

/// Connections with one stranger: an old one may linger.
const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// Streams of one request protocol on one connection.
const STREAMS_MAX: usize = 8;

/// Gossip messages that wait for one peer. The library's own bound, 5,000, would be 280 MB of bundles for each.
const GOSSIP_QUEUE_MAX: usize = 128;

/// What a gossip frame holds beside the message.
const FRAME_BYTES: usize = 4 * 1024;

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pending: connection_limits::Behaviour,
    strangers: OnlyFor<connection_limits::Behaviour>,
    memory: memory_connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) gossip: OnlyFor<gossipsub::Behaviour>,
    pub(super) member: OnlyFor<request_response::Behaviour<MemberCodec>>,
    pub(super) blob: request_response::Behaviour<BlobCodec>,
    pub(super) log: request_response::Behaviour<LogCodec>,
}

/// Makes the swarm; it does not listen or dial yet.
pub(super) fn swarm(config: &NetworkConfig, topics: &Topics) -> Result<Swarm<Behaviour>, NetworkError> {
    for member in &config.members {
        plain_address(&member.address)?;
    }
    let secret = libp2p::identity::ed25519::SecretKey::try_from_bytes(&mut *config.network_key.to_bytes())
        .map_err(setup)?;
    let keypair = Keypair::from(libp2p::identity::ed25519::Keypair::from(secret));
    let idle_time_max = config.limits.idle_time_max;
    let behaviour = behaviour(config, topics, &keypair)?;
    Ok(libp2p::SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(setup)?
        .with_behaviour(|_| behaviour)
        .map_err(setup)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(idle_time_max))
        .with_connection_timeout(HANDSHAKE_TIME_MAX)
        .build())
}

fn behaviour(config: &NetworkConfig, topics: &Topics, keypair: &Keypair) -> Result<Behaviour, NetworkError> {
    let limits = &config.limits;
    let local = keypair.public().to_peer_id();
    let members: BTreeSet<PeerId> =
        config.members.iter().map(|member| member.peer_id).filter(|peer| *peer != local).collect();
    let mut pending = connection_limits::Behaviour::new(
        ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_MAX))
            .with_max_pending_outgoing(Some(PENDING_MAX)),
    );
    members.iter().for_each(|peer| pending.bypass_peer_id(peer));
    // Counted without the members, so that neither takes the other's places.
    let strangers = connection_limits::Behaviour::new(
        ConnectionLimits::default()
            .with_max_established_incoming(Some(limits.strangers_max))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX)),
    );
    let identify = identify::Config::new(identify_protocol(&config.chain_id), keypair.public())
        .with_agent_version(concat!("hansa/", env!("CARGO_PKG_VERSION")).to_owned())
        .with_cache_size(0)
        .with_hide_listen_addrs(true);
    let request_bytes_max = u32::try_from(limits.bundle_bytes_max).map_err(setup)?.saturating_add(64);
    let member = request_response::Behaviour::with_codec(
        MemberCodec::new(request_bytes_max, limits.body_bytes_max.saturating_add(64)),
        [(stream_protocol(&config.chain_id, "member"), ProtocolSupport::Full)],
        request_response::Config::default()
            .with_request_timeout(MEMBER_REQUEST_TIME_MAX)
            .with_max_concurrent_streams(STREAMS_MAX),
    );
    Ok(Behaviour {
        pending,
        strangers: OnlyFor::strangers(strangers, members.clone()),
        memory: memory_connection_limits::Behaviour::with_max_bytes(limits.memory_bytes_max),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::default(),
        gossip: OnlyFor::members(gossip(config, topics, &members)?, members.clone()),
        member: OnlyFor::members(member, members),
        blob: blob_behaviour(&config.chain_id, ProtocolSupport::Full, STREAMS_MAX),
        // Logs come in; a node has none to send.
        log: log_behaviour(&config.chain_id, ProtocolSupport::Inbound, STREAMS_MAX),
    })
}

fn gossip(
    config: &NetworkConfig,
    topics: &Topics,
    members: &BTreeSet<PeerId>,
) -> Result<gossipsub::Behaviour, NetworkError> {
    let limits = &config.limits;
    let settings = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/hansa/{}/gossip", hex::encode(config.chain_id)))
        .validate_messages()
        // Members are known by their connection and transactions by their own signatures: no third signature in between.
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .message_id_fn(super::gossip::message_id)
        .max_transmit_size(limits.bundle_bytes_max.saturating_add(FRAME_BYTES))
        .max_transmit_size_for_topic(ADVERT_BYTES_MAX.saturating_add(FRAME_BYTES), topics.adverts.hash())
        .max_messages_per_rpc(Some(500))
        // Each may be a whole bundle. What finds no room is refused to the sender, which waits; what is only passed on is dropped.
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .build()
        .map_err(setup)?;
    let mut gossip =
        gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, settings).map_err(setup)?;
    gossip.subscribe(&topics.transactions).map_err(setup)?;
    gossip.subscribe(&topics.adverts).map_err(setup)?;
    if members.len() <= limits.explicit_members_max {
        members.iter().for_each(|peer| gossip.add_explicit_peer(peer));
    }
    Ok(gossip)
}

/// The addresses to listen on, checked.
pub(super) fn listen_addresses(config: &NetworkConfig) -> Result<Vec<Multiaddr>, NetworkError> {
    config.listen.iter().map(|address| Ok(plain_address(address)?)).collect()
}

fn setup(error: impl std::fmt::Display) -> NetworkError {
    NetworkError::Setup { reason: error.to_string() }
}
