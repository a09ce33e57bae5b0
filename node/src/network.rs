//! The node's own swarm, beside the engine's: transactions and adverts by gossip, block bodies, blobs and
//! logs by request.
//!
//! Members are pinned by peer id in the configuration, and only they get the gossip and member protocols on their connections.
//! Anyone else may connect for blobs and logs alone, where each request carries its right. A message is forwarded only after the
//! application's verdict, and every queue has a named limit, so that a flood of one kind cannot delay another.

mod advert;
mod behaviour;
mod bucket;
mod config;
mod event_loop;
mod gossip;
mod handle;
mod member;
mod redial;
mod serve;
#[cfg(test)]
mod tests;

pub use advert::{AdvertBook, AdvertRefusal};
pub use config::{Member, NetworkConfig, NetworkError, NetworkLimits};
pub use event_loop::start;
pub use handle::{NetworkCounts, NetworkHandle, PeerInfo, PublishRefusal};
pub use libp2p::{Multiaddr, PeerId};

use crate::blob::BlobStore;
use crate::log::LogStore;
use crate::snapshot::wire::{SnapshotReply, SnapshotRequest};
use async_trait::async_trait;
use bytes::Bytes;
use hansa_node_api::peer::blob::{BlobRefusal, BlobRequest};
use hansa_node_api::peer::log::{LogRefusal, LogTerms};

/// What the application makes of a gossiped message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Good and new: forward it.
    Accept,
    /// Not to be forwarded, and nobody's fault: known already, too early, no room.
    Ignore,
    /// Wrong in a way its sender had to see: not forwarded, and counted against the sender.
    Reject,
}

/// What the network needs from the rest of the node.
#[async_trait]
pub trait NetworkApplication: Send + Sync + 'static {
    /// A bundle of transactions, as its publisher encoded it. `from` is the member that handed it to us. Called for one bundle at
    /// a time, in the order of arrival.
    async fn transactions(&self, from: Option<PeerId>, bundle: Bytes) -> Acceptance;

    /// A capacity advert. Called for one at a time, beside [`NetworkApplication::transactions`].
    async fn advert(&self, bytes: Bytes) -> Acceptance;

    /// The body of the block with this id, if this node has it.
    async fn body(&self, id: [u8; 32]) -> Option<Bytes>;

    /// What this node has of snapshots. Only members ask.
    async fn snapshot(&self, request: SnapshotRequest) -> SnapshotReply;

    /// Whether the signed request may be served: the signature, chain, node and expiry have been checked, the right has not. Gives
    /// the organisation on whose account a `Put` is stored.
    ///
    /// # Errors
    /// The refusal to answer with.
    async fn blob_access(&self, request: &BlobRequest) -> Result<[u8; 32], BlobRefusal>;

    /// Where blobs are.
    fn blobs(&self) -> &BlobStore;

    /// Whether a piece of a log may be kept: all but the right has been checked. Gives the organisation on whose account it is.
    ///
    /// # Errors
    /// The refusal to answer with.
    async fn log_access(&self, terms: &LogTerms) -> Result<[u8; 32], LogRefusal>;

    /// Where logs are.
    fn logs(&self) -> &LogStore;

    /// A member is connected and listens to gossip. Gossip is not kept for those who were away, so what is still pending has to
    /// be sent to it again ([`NetworkHandle::send_transactions`]).
    async fn member_connected(&self, peer: PeerId);
}
