//! The rest of the node's side of the network.

use super::member::{MemberReply, MemberRequest};
use super::{Multiaddr, NetworkLimits, PeerId};
use crate::snapshot::wire::{SnapshotReply, SnapshotRequest};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::peer::blob::{BlobCall, BlobReply};
use hansa_node_api::peer::network_key;
use hansa_node_api::peer::transfer::{self, BlobTransport, PeerError, Transfer};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long one member is waited for before the next is asked as well.
const NEXT_MEMBER_AFTER: Duration = Duration::from_millis(300);

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who.
    pub peer_id: PeerId,
    /// Where it is connected from or to.
    pub address: Multiaddr,
    /// Whether it is pinned as a member.
    pub member: bool,
    /// Whether it has shown that it is on this chain and, for a member, listens to gossip.
    pub ready: bool,
}

/// Why a message was not taken for publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// Too many wait already: try again when some have gone out.
    #[error("too many messages wait to be published; try again shortly")]
    QueueFull,
    /// Over the limit of its kind.
    #[error("the message is larger than the network carries; split it")]
    TooLarge,
    /// The network has stopped.
    #[error("the network has stopped")]
    Stopped,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What happened since the start, each a count.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct NetworkCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
        }

        impl Counters {
            fn read(&self) -> NetworkCounts {
                NetworkCounts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counts! {
    /// Messages the application accepted.
    accepted,
    /// Messages the application ignored.
    ignored,
    /// Messages the application rejected.
    rejected,
    /// Bundles dropped because too many waited for the application.
    transactions_dropped,
    /// Adverts dropped because too many waited for the application.
    adverts_dropped,
    /// Messages and requests over a peer's rate.
    over_rate,
    /// Messages of our own that no member could be given.
    unheard,
    /// Peers of another chain that were disconnected.
    wrong_chain,
    /// Requests answered with busy.
    busy,
    /// Requests served.
    served,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the handle asks the event loop to do.
#[derive(Debug)]
pub(super) enum Command {
    AskMember { peer: PeerId, request: MemberRequest, answer: oneshot::Sender<Option<MemberReply>> },
    AskBlob { peer: PeerId, call: Box<BlobCall>, answer: oneshot::Sender<Result<BlobReply, PeerError>> },
    Stop,
}

/// A running network. Clones share it; it runs until [`NetworkHandle::shutdown`].
#[derive(Clone, Debug)]
pub struct NetworkHandle {
    pub(super) inner: Arc<HandleInner>,
}

#[derive(Debug)]
pub(super) struct HandleInner {
    pub(super) chain_id: [u8; 32],
    pub(super) local: PeerId,
    pub(super) listen: Vec<Multiaddr>,
    pub(super) limits: NetworkLimits,
    pub(super) transactions: mpsc::Sender<Bytes>,
    pub(super) adverts: mpsc::Sender<Bytes>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) peers: watch::Receiver<Vec<PeerInfo>>,
    pub(super) counters: Arc<Counters>,
    pub(super) tip: Arc<AtomicU64>,
}

impl NetworkHandle {
    /// Gives a bundle to every member by gossip. It returns at once; a member that is away does not get it.
    ///
    /// # Errors
    /// [`PublishRefusal`]; the bundle was not taken then.
    pub fn publish_transactions(&self, bundle: Bytes) -> Result<(), PublishRefusal> {
        if bundle.len() > self.inner.limits.bundle_bytes_max {
            return Err(PublishRefusal::TooLarge);
        }
        try_publish(&self.inner.transactions, bundle)
    }

    /// Gives an advert to every member by gossip. It returns at once.
    ///
    /// # Errors
    /// [`PublishRefusal`]; the advert was not taken then.
    pub fn publish_advert(&self, advert: Bytes) -> Result<(), PublishRefusal> {
        if advert.len() > hansa_node_api::peer::advert::ADVERT_BYTES_MAX {
            return Err(PublishRefusal::TooLarge);
        }
        try_publish(&self.inner.adverts, advert)
    }

    /// Gives a bundle to one member and waits until its application has judged it: for what is still pending when the member
    /// comes back. `None` when it did not answer or is busy, else whether it accepted.
    pub async fn send_transactions(&self, peer: PeerId, bundle: Bytes) -> Option<bool> {
        match self.ask_member(peer, MemberRequest::Transactions(bundle.to_vec())).await? {
            MemberReply::Taken { accepted } => Some(accepted),
            _ => None,
        }
    }

    /// Sets the height that members are told when they ask how far this node is.
    pub fn set_tip(&self, height: u64) {
        self.inner.tip.store(height, Ordering::Relaxed);
    }

    /// Asks a member how far it is. `None` when it did not answer or is busy.
    pub async fn ask_tip(&self, peer: PeerId) -> Option<u64> {
        match self.ask_member(peer, MemberRequest::Tip).await? {
            MemberReply::Tip { height } => Some(height),
            _ => None,
        }
    }

    /// Asks a member about its snapshots. `None` when it did not answer or is busy.
    pub async fn ask_snapshot(&self, peer: PeerId, request: SnapshotRequest) -> Option<SnapshotReply> {
        match self.ask_member(peer, MemberRequest::Snapshot(request)).await? {
            MemberReply::Snapshot(reply) => Some(reply),
            _ => None,
        }
    }

    /// Asks the connected members for a block body, one after the other with overlap, until one gives bytes that `verify` holds
    /// to be the body of that id, or `time_max` is over.
    pub async fn fetch_body(
        &self,
        id: [u8; 32],
        time_max: Duration,
        verify: impl Fn(&[u8]) -> bool,
    ) -> Option<Bytes> {
        let members: Vec<PeerId> = self
            .peers()
            .into_iter()
            .filter(|peer| peer.member && peer.ready)
            .map(|peer| peer.peer_id)
            .collect();
        let search = async {
            let mut waiting = members.into_iter();
            let mut asked = FuturesUnordered::new();
            loop {
                if let Some(peer) = waiting.next() {
                    asked.push(self.ask_member(peer, MemberRequest::Body(id)));
                } else if asked.is_empty() {
                    return None;
                }
                // Until one answers or the next shall be asked as well; with nobody left to ask, until one answers.
                let pause = if waiting.len() == 0 { time_max } else { NEXT_MEMBER_AFTER };
                if let Ok(Some(Some(MemberReply::Body(body)))) =
                    tokio::time::timeout(pause, asked.next()).await
                    && verify(&body)
                {
                    return Some(Bytes::from(body));
                }
            }
        };
        tokio::time::timeout(time_max, search).await.ok().flatten()
    }

    /// Fetches a blob from a member or another connected peer into the file `into` and gives its size in bytes. See
    /// [`transfer::get_blob`].
    ///
    /// # Errors
    /// As [`PeerError`]; `into` is untouched then.
    pub async fn fetch_blob(
        &self,
        from: PeerId,
        transfer: Transfer<'_>,
        into: &Path,
        progress: impl Fn(u64, u64),
    ) -> Result<u64, PeerError> {
        let node = network_key(&from).ok_or(PeerError::Nonsense)?;
        let transport = PeerTransport { handle: self, peer: from, node };
        transfer::get_blob(&transport, transfer, into, progress).await
    }

    /// The connected peers.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.inner.peers.borrow().clone()
    }

    /// The connected peers, to be awaited: it changes with every connection that is made, ready or lost.
    #[must_use]
    pub fn watch_peers(&self) -> watch::Receiver<Vec<PeerInfo>> {
        self.inner.peers.clone()
    }

    /// Who this node is.
    #[must_use]
    pub fn local_peer_id(&self) -> PeerId {
        self.inner.local
    }

    /// Where it listens, with the ports that were taken.
    #[must_use]
    pub fn listen_addresses(&self) -> &[Multiaddr] {
        &self.inner.listen
    }

    /// What happened since the start.
    #[must_use]
    pub fn counts(&self) -> NetworkCounts {
        self.inner.counters.read()
    }

    /// Stops the network and returns when it has stopped: sockets closed, tasks ended.
    pub async fn shutdown(&self) {
        // An error means that it has stopped already.
        let _ = self.inner.commands.send(Command::Stop).await;
        self.inner.commands.closed().await;
    }

    pub(super) async fn ask_member(&self, peer: PeerId, request: MemberRequest) -> Option<MemberReply> {
        let (answer, answered) = oneshot::channel();
        let command = Command::AskMember { peer, request, answer };
        self.inner.commands.send(command).await.ok()?;
        answered.await.ok().flatten()
    }
}

fn try_publish(queue: &mpsc::Sender<Bytes>, bytes: Bytes) -> Result<(), PublishRefusal> {
    queue.try_send(bytes).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => PublishRefusal::QueueFull,
        mpsc::error::TrySendError::Closed(_) => PublishRefusal::Stopped,
    })
}

struct PeerTransport<'a> {
    handle: &'a NetworkHandle,
    peer: PeerId,
    node: PublicKey,
}

#[async_trait]
impl BlobTransport for PeerTransport<'_> {
    fn chain_id(&self) -> [u8; 32] {
        self.handle.inner.chain_id
    }

    fn node(&self) -> PublicKey {
        self.node
    }

    async fn call(&self, call: BlobCall) -> Result<BlobReply, PeerError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::AskBlob { peer: self.peer, call: Box::new(call), answer };
        self.handle.inner.commands.send(command).await.map_err(|_| PeerError::Stopped)?;
        answered.await.map_err(|_| PeerError::Stopped)?
    }
}
