//! The one task that owns the swarm.

use super::behaviour::{self, Behaviour, BehaviourEvent};
use super::bucket::Bucket;
use super::gossip::{self, Check, Checks, Kind, Origin, Topics, Verdict};
use super::handle::{Command, Counters, HandleInner, count};
use super::member::{MemberReply, MemberRequest};
use super::redial::Redial;
use super::serve;
use super::{
    Acceptance, Multiaddr, NetworkApplication, NetworkConfig, NetworkError, NetworkHandle, NetworkLimits,
    PeerId, PeerInfo,
};
use bytes::Bytes;
use futures::StreamExt as _;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::peer::blob::{BlobCall, BlobRefusal, BlobReply};
use hansa_node_api::peer::client::call_failure;
use hansa_node_api::peer::identify_protocol;
use hansa_node_api::peer::log::{LogCall, LogRefusal, LogReply};
use hansa_node_api::peer::transfer::PeerError;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, PublishError};
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{Event as RequestEvent, Message, OutboundRequestId, ResponseChannel};
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Swarm, identify};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

mod requests;

/// How long binding the listening sockets may take.
const LISTEN_TIME_MAX: Duration = Duration::from_secs(5);

/// Connections with one member: two nodes may dial each other at once, and an old connection may linger.
const CONNECTIONS_PER_MEMBER_MAX: u32 = 4;

/// Starts the network on the current tokio runtime and returns when it listens.
///
/// # Errors
/// [`NetworkError`] when an address is of another kind or a socket cannot be bound.
pub async fn start(
    config: NetworkConfig,
    application: Arc<dyn NetworkApplication>,
) -> Result<NetworkHandle, NetworkError> {
    let topics = Topics::new(&config.chain_id);
    let mut swarm = behaviour::swarm(&config, &topics)?;
    let listen = listen(&mut swarm, &config).await?;
    let local = *swarm.local_peer_id();
    let limits = config.limits;
    let (transactions, transactions_queue) = mpsc::channel(limits.transactions_waiting_max);
    let (adverts, adverts_queue) = mpsc::channel(limits.adverts_waiting_max);
    let (commands, commands_queue) = mpsc::channel(limits.commands_waiting_max);
    let (peers_sender, peers) = watch::channel(Vec::new());
    let (answers, answers_queue) = mpsc::channel(limits.requests_served_max);
    let counters = Arc::new(Counters::default());
    let tip = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    let event_loop = EventLoop {
        redial: Redial::new(local, &config.members, &limits, Instant::now()),
        checks: gossip::start_checks(&application, &limits, &mut workers),
        swarm,
        workers,
        tasks: JoinSet::new(),
        topics,
        application,
        chain_id: config.chain_id,
        node: config.network_key.public_key(),
        limits: limits.clone(),
        peers: BTreeMap::new(),
        peers_sender,
        member_answers: BTreeMap::new(),
        blob_answers: BTreeMap::new(),
        answers,
        answers_queue,
        serving: 0,
        counters: counters.clone(),
        tip: tip.clone(),
        transactions_queue,
        adverts_queue,
        commands_queue,
    };
    tokio::spawn(event_loop.run());
    Ok(NetworkHandle {
        inner: Arc::new(HandleInner {
            chain_id: config.chain_id,
            local,
            listen,
            limits,
            transactions,
            adverts,
            commands,
            peers,
            counters,
            tip,
        }),
    })
}

async fn listen(
    swarm: &mut Swarm<Behaviour>,
    config: &NetworkConfig,
) -> Result<Vec<Multiaddr>, NetworkError> {
    let mut bound = Vec::new();
    for address in behaviour::listen_addresses(config)? {
        let failed = |reason: String| NetworkError::Listen { address: address.clone(), reason };
        check_port(&address).map_err(|error| failed(error.to_string()))?;
        let listener = swarm.listen_on(address.clone()).map_err(|error| failed(error.to_string()))?;
        let listening = async {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { listener_id, address } if listener_id == listener => {
                        return Ok(address);
                    }
                    SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                        return Err(format!("{reason:?}"));
                    }
                    _ => {}
                }
            }
        };
        let outcome = tokio::time::timeout(LISTEN_TIME_MAX, listening).await;
        bound.push(outcome.unwrap_or_else(|_| Err("no answer".to_owned())).map_err(failed)?);
    }
    Ok(bound)
}

/// Binds the port once for a moment. The swarm binds with `SO_REUSEPORT`, and so would share a port with another node of the same
/// user without a word, each getting some of the connections.
fn check_port(address: &Multiaddr) -> std::io::Result<()> {
    let mut parts = address.iter();
    let ip: std::net::IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => std::net::TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

/// What is known of a connected peer.
struct Peer {
    address: Multiaddr,
    member: bool,
    connections: u32,
    identified: bool,
    hears_transactions: bool,
    hears_adverts: bool,
    serving: u32,
    bundles: Bucket,
    bundle_bytes: Bucket,
    adverts: Bucket,
    rejections: Bucket,
    requests: Bucket,
}

impl Peer {
    fn new(address: Multiaddr, member: bool, limits: &NetworkLimits, now: Instant) -> Self {
        let second = |count| Bucket::new(count, Duration::from_secs(1), now);
        Self {
            address,
            member,
            connections: 0,
            identified: false,
            hears_transactions: false,
            hears_adverts: false,
            serving: 0,
            bundles: second(limits.bundles_per_second_max),
            bundle_bytes: second(limits.bundle_bytes_per_second_max),
            adverts: second(limits.adverts_per_second_max),
            rejections: Bucket::new(limits.rejections_per_minute_max, Duration::from_secs(60), now),
            requests: second(limits.requests_per_second_max),
        }
    }

    fn ready(&self) -> bool {
        self.identified && (!self.member || (self.hears_transactions && self.hears_adverts))
    }
}

/// An answer that a serving task has made.
enum Answer {
    Member { reply: MemberReply, channel: ResponseChannel<MemberReply> },
    Blob { reply: Box<BlobReply>, channel: ResponseChannel<BlobReply> },
    Log { reply: LogReply, channel: ResponseChannel<LogReply> },
}

// Fields are dropped in this order: the sockets and tasks before the command queue, whose end tells `shutdown` that all is over.
struct EventLoop {
    swarm: Swarm<Behaviour>,
    workers: JoinSet<()>,
    tasks: JoinSet<()>,
    checks: Checks,
    topics: Topics,
    application: Arc<dyn NetworkApplication>,
    chain_id: [u8; 32],
    node: PublicKey,
    limits: NetworkLimits,
    redial: Redial,
    peers: BTreeMap<PeerId, Peer>,
    peers_sender: watch::Sender<Vec<PeerInfo>>,
    member_answers: BTreeMap<OutboundRequestId, oneshot::Sender<Option<MemberReply>>>,
    blob_answers: BTreeMap<OutboundRequestId, oneshot::Sender<Result<BlobReply, PeerError>>>,
    answers: mpsc::Sender<(PeerId, Answer)>,
    answers_queue: mpsc::Receiver<(PeerId, Answer)>,
    serving: usize,
    counters: Arc<Counters>,
    /// The height that members are told when they ask.
    tip: Arc<AtomicU64>,
    transactions_queue: mpsc::Receiver<Bytes>,
    adverts_queue: mpsc::Receiver<Bytes>,
    commands_queue: mpsc::Receiver<Command>,
}

impl EventLoop {
    async fn run(mut self) {
        loop {
            let redial = self.redial.next().unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            // One of those that are ready, by chance: none of them can keep the others waiting.
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(verdict) = self.checks.verdicts.recv() => self.on_verdict(verdict),
                Some((peer, answer)) = self.answers_queue.recv() => self.on_answer(peer, answer),
                Some(bundle) = self.transactions_queue.recv() => {
                    self.publish(&self.topics.transactions.clone(), bundle);
                }
                Some(advert) = self.adverts_queue.recv() => {
                    self.publish(&self.topics.adverts.clone(), advert);
                }
                command = self.commands_queue.recv() => match command {
                    Some(command @ (Command::AskMember { .. } | Command::AskBlob { .. })) => self.ask(command),
                    // Stopped, or every handle is gone.
                    Some(Command::Stop) | None => break,
                },
                () = tokio::time::sleep_until(redial.into()) => self.dial_due(),
                Some(ended) = self.workers.join_next() => {
                    // The workers run as long as the loop: one that ended has panicked, and a node that no longer hears anything
                    // must not look alive.
                    tracing::error!(?ended, "gossip can no longer be judged; the network stops");
                    break;
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "telling of a new member failed");
                    }
                }
            }
        }
        self.workers.shutdown().await;
        self.tasks.shutdown().await;
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            // An error means that it has gone meanwhile.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn dial_due(&mut self) {
        let now = Instant::now();
        for (peer, address) in self.redial.take_due(now) {
            // From a new port: two nodes that dial each other from their listening ports at once can meet in a TCP handshake
            // in which both are the caller.
            let dial = DialOpts::peer_id(peer).addresses(vec![address]).allocate_new_port().build();
            if let Err(error) = self.swarm.dial(dial) {
                tracing::debug!(%peer, %error, "not dialled");
                if !self.swarm.is_connected(&peer) {
                    self.redial.lost(&peer, now);
                }
            }
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Member(event)) => self.on_member_request(event),
            SwarmEvent::Behaviour(BehaviourEvent::Blob(event)) => self.on_blob_request(event),
            SwarmEvent::Behaviour(BehaviourEvent::Log(event)) => self.on_log_request(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => self.on_identified(peer_id, &info),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let member = self.redial.is_member(&peer_id);
                let address = endpoint.get_remote_address().clone();
                let now = Instant::now();
                let limits = &self.limits;
                let peer =
                    self.peers.entry(peer_id).or_insert_with(|| Peer::new(address, member, limits, now));
                peer.connections += 1;
                if peer.connections > CONNECTIONS_PER_MEMBER_MAX {
                    self.swarm.close_connection(connection_id);
                }
                self.redial.connected(&peer_id);
                self.tell_peers();
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established, .. } => {
                if num_established == 0 {
                    self.peers.remove(&peer_id);
                    self.redial.lost(&peer_id, Instant::now());
                    self.tell_peers();
                } else if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.connections = num_established;
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "could not be reached");
                if !self.swarm.is_connected(&peer) {
                    self.redial.lost(&peer, Instant::now());
                }
            }
            _ => {}
        }
    }

    fn on_identified(&mut self, peer_id: PeerId, info: &identify::Info) {
        if info.protocol_version != identify_protocol(&self.chain_id) {
            tracing::warn!(peer = %peer_id, theirs = %info.protocol_version, "a peer of another chain is disconnected");
            count(&self.counters.wrong_chain);
            // An error means that it has gone already.
            let _ = self.swarm.disconnect_peer_id(peer_id);
            return;
        }
        self.change_peer(peer_id, |peer| peer.identified = true);
    }

    /// Changes what is known of a peer, and says so if that made it ready.
    fn change_peer(&mut self, peer_id: PeerId, change: impl FnOnce(&mut Peer)) {
        let Some(peer) = self.peers.get_mut(&peer_id) else { return };
        let before = peer.ready();
        change(peer);
        let (ready, member) = (peer.ready(), peer.member);
        if ready == before {
            return;
        }
        self.tell_peers();
        if ready && member {
            self.redial.ready(&peer_id);
            let application = self.application.clone();
            self.tasks.spawn(async move { application.member_connected(peer_id).await });
        }
    }

    fn tell_peers(&self) {
        let info = |(peer_id, peer): (&PeerId, &Peer)| PeerInfo {
            peer_id: *peer_id,
            address: peer.address.clone(),
            member: peer.member,
            ready: peer.ready(),
        };
        self.peers_sender.send_replace(self.peers.iter().map(info).collect());
    }

    fn publish(&mut self, topic: &IdentTopic, bytes: Bytes) {
        let gossip = self.swarm.behaviour_mut().gossip.inner_mut();
        match gossip.publish(topic.hash(), bytes) {
            // A duplicate is on its way already.
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(error) => {
                tracing::debug!(%error, "a message reached no member");
                count(&self.counters.unheard);
            }
        }
    }
}
