//! The side that only dials out: one node, its two protocols. Provider agents and the command line use it.

use super::blob::{BlobCall, BlobReply, CALL_BYTES_MAX, REPLY_BYTES_MAX, REQUEST_LIFE_MS_MAX};
use super::codec::FrameCodec;
use super::log::{LOG_CALL_BYTES_MAX, LOG_REPLY_BYTES_MAX, LogCall, LogHeld, LogPart, LogReply, LogTerms};
use super::transfer::{self, BlobTransport, PeerError, Transfer};
use super::{BlobHash, network_key, now_ms, peer_address, stream_protocol};
use async_trait::async_trait;
use futures::StreamExt as _;
use hansa_ledger_signature::{PublicKey, SecretKey};
use libp2p::request_response::{self, OutboundFailure, OutboundRequestId, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, noise, tcp, yamux};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Blob calls and replies, framed.
pub type BlobCodec = FrameCodec<BlobCall, BlobReply>;

/// Pieces of logs and what is held of them, framed.
pub type LogCodec = FrameCodec<LogCall, LogReply>;

/// How long a node may take to answer one call.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// How long reaching a node and agreeing on keys may take.
const DIAL_TIME_MAX: Duration = Duration::from_secs(5);

/// Streams of one protocol on the connection.
const STREAMS_MAX: usize = 8;

/// How many calls wait for the network task.
const CALLS_WAITING_MAX: usize = 16;

/// The behaviour that speaks the blob protocol, answering too if `support` says so.
#[must_use]
pub fn blob_behaviour(
    chain_id: &[u8; 32],
    support: ProtocolSupport,
    streams_max: usize,
) -> request_response::Behaviour<BlobCodec> {
    request_response::Behaviour::with_codec(
        BlobCodec::new(CALL_BYTES_MAX, REPLY_BYTES_MAX),
        [(stream_protocol(chain_id, "blob"), support)],
        request_response::Config::default()
            .with_request_timeout(CALL_TIME_MAX)
            .with_max_concurrent_streams(streams_max),
    )
}

/// The behaviour that speaks the log protocol, answering too if `support` says so.
#[must_use]
pub fn log_behaviour(
    chain_id: &[u8; 32],
    support: ProtocolSupport,
    streams_max: usize,
) -> request_response::Behaviour<LogCodec> {
    request_response::Behaviour::with_codec(
        LogCodec::new(LOG_CALL_BYTES_MAX, LOG_REPLY_BYTES_MAX),
        [(stream_protocol(chain_id, "log"), support)],
        request_response::Config::default()
            .with_request_timeout(CALL_TIME_MAX)
            .with_max_concurrent_streams(streams_max),
    )
}

/// What the client speaks.
#[derive(NetworkBehaviour)]
struct Behaviour {
    blob: request_response::Behaviour<BlobCodec>,
    log: request_response::Behaviour<LogCodec>,
}

/// What a failed call means to the caller.
#[must_use]
pub fn call_failure(failure: &OutboundFailure) -> PeerError {
    match failure {
        OutboundFailure::UnsupportedProtocols => PeerError::WrongChain,
        other => PeerError::Unreachable { reason: other.to_string().to_lowercase() },
    }
}

type Answer<R> = oneshot::Sender<Result<R, PeerError>>;

enum Waiting {
    Blob(Box<BlobCall>, Answer<BlobReply>),
    Log(Box<LogCall>, Answer<LogReply>),
}

/// A connection to one node that is made when needed and made again when lost. Dropping the client ends it.
#[derive(Debug)]
pub struct PeerClient {
    chain_id: [u8; 32],
    node: PublicKey,
    calls: mpsc::Sender<Waiting>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Waiting").finish_non_exhaustive()
    }
}

impl PeerClient {
    /// A client for the node at `/ip4|ip6/../tcp/../p2p/..`. Nothing is dialled before the first call. It has a network
    /// identity of its own that lasts as long as it does: rights come from the signature in each request. To be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// [`PeerError::Address`] when the address is of another kind or does not name the node.
    pub fn new(chain_id: [u8; 32], address: &Multiaddr) -> Result<Self, PeerError> {
        let (peer, address) = peer_address(address)?;
        let node = network_key(&peer)
            .ok_or_else(|| super::AddressError::PeerMissing { address: address.to_string() })?;
        let swarm = libp2p::SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .map_err(|error| PeerError::Unreachable { reason: error.to_string() })?
            .with_behaviour(|_| Behaviour {
                blob: blob_behaviour(&chain_id, ProtocolSupport::Outbound, STREAMS_MAX),
                log: log_behaviour(&chain_id, ProtocolSupport::Outbound, STREAMS_MAX),
            })
            .expect("making this behaviour does not fail")
            .with_swarm_config(|config| config)
            .with_connection_timeout(DIAL_TIME_MAX)
            .build();
        let (calls, waiting) = mpsc::channel(CALLS_WAITING_MAX);
        tokio::spawn(run(swarm, peer, address, waiting));
        Ok(Self { chain_id, node, calls })
    }

    /// Fetches a blob into the file `into`, verified, and gives its size in bytes. See [`transfer::get_blob`].
    ///
    /// # Errors
    /// As [`PeerError`]; `into` is untouched then.
    pub async fn get_blob(
        &self,
        hash: BlobHash,
        lease: [u8; 32],
        key: &SecretKey,
        into: &Path,
        progress: impl Fn(u64, u64),
    ) -> Result<u64, PeerError> {
        transfer::get_blob(self, Transfer { hash, lease, key }, into, progress).await
    }

    /// Sends the file at `path` and gives its size in bytes once the node has verified and kept it. See
    /// [`transfer::put_blob`].
    ///
    /// # Errors
    /// As [`PeerError`].
    pub async fn put_blob(
        &self,
        path: &Path,
        hash: BlobHash,
        lease: [u8; 32],
        key: &SecretKey,
        progress: impl Fn(u64, u64),
    ) -> Result<u64, PeerError> {
        transfer::put_blob(self, Transfer { hash, lease, key }, path, progress).await
    }

    /// Sends one piece of a job's log, once, and gives what the node holds of the log now.
    ///
    /// # Errors
    /// As [`PeerError`]; [`PeerError::LogRefused`] when the node does not take it.
    pub async fn append_log(&self, part: LogPart, key: &SecretKey) -> Result<LogHeld, PeerError> {
        let terms = LogTerms {
            chain_id: self.chain_id,
            node: self.node,
            lease: part.lease,
            job: part.job,
            offset: part.offset,
            hash: [0; 32],
            ended: part.ended,
            sender: key.public_key(),
            // Half of what is allowed, so that clocks may differ by the other half.
            expires_ms: now_ms().saturating_add(REQUEST_LIFE_MS_MAX / 2),
        };
        match self.send_log(LogCall::sign(terms, part.bytes, key)).await? {
            LogReply::Held(held) => Ok(held),
            LogReply::Refused(refusal) => Err(PeerError::LogRefused(refusal)),
        }
    }

    /// Sends one signed piece of a log as it is.
    ///
    /// # Errors
    /// As [`PeerError`]; a refusal is an answer.
    pub async fn send_log(&self, call: LogCall) -> Result<LogReply, PeerError> {
        self.ask(|answer| Waiting::Log(Box::new(call), answer)).await
    }

    async fn ask<R>(&self, waiting: impl FnOnce(Answer<R>) -> Waiting) -> Result<R, PeerError> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(waiting(answer)).await.map_err(|_| PeerError::Stopped)?;
        answered.await.map_err(|_| PeerError::Stopped)?
    }
}

#[async_trait]
impl BlobTransport for PeerClient {
    fn chain_id(&self) -> [u8; 32] {
        self.chain_id
    }

    fn node(&self) -> PublicKey {
        self.node
    }

    async fn call(&self, call: BlobCall) -> Result<BlobReply, PeerError> {
        self.ask(|answer| Waiting::Blob(Box::new(call), answer)).await
    }
}

/// The calls of one protocol that wait for their answers.
struct Open<R>(BTreeMap<OutboundRequestId, Answer<R>>);

impl<R> Open<R> {
    fn answer<Q>(&mut self, event: request_response::Event<Q, R>) {
        let (id, outcome) = match event {
            request_response::Event::Message {
                message: request_response::Message::Response { request_id, response },
                ..
            } => (request_id, Ok(response)),
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                (request_id, Err(call_failure(&error)))
            }
            _ => return,
        };
        if let Some(answer) = self.0.remove(&id) {
            // The caller may have given up meanwhile; then nobody wants the answer.
            let _ = answer.send(outcome);
        }
    }
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    peer: PeerId,
    address: Multiaddr,
    mut calls: mpsc::Receiver<Waiting>,
) {
    let (mut blobs, mut logs) = (Open(BTreeMap::new()), Open(BTreeMap::new()));
    loop {
        tokio::select! {
            waiting = calls.recv() => {
                let addresses = vec![address.clone()];
                let behaviour = swarm.behaviour_mut();
                match waiting {
                    Some(Waiting::Blob(call, answer)) => {
                        let id = behaviour.blob.send_request_with_addresses(&peer, *call, addresses);
                        blobs.0.insert(id, answer);
                    }
                    Some(Waiting::Log(call, answer)) => {
                        let id = behaviour.log.send_request_with_addresses(&peer, *call, addresses);
                        logs.0.insert(id, answer);
                    }
                    None => return,
                }
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Blob(event)) => blobs.answer(event),
                SwarmEvent::Behaviour(BehaviourEvent::Log(event)) => logs.answer(event),
                _ => {}
            }
        }
    }
}
