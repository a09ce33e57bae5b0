//! What the network is started with, and why it may not start.

use super::{Multiaddr, PeerId};
use std::time::Duration;

/// A member as pinned by configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its network key, as peer id. A node at the address with another key is not talked to.
    pub peer_id: PeerId,
    /// `/ip4|ip6/../tcp/..`.
    pub address: Multiaddr,
}

/// What the network is started with.
#[derive(Clone)]
pub struct NetworkConfig {
    /// The federation.
    pub chain_id: [u8; 32],
    /// Where to listen: `/ip4|ip6/../tcp/..`; port 0 takes a free one.
    pub listen: Vec<Multiaddr>,
    /// The secret Ed25519 network key.
    pub network_key: hansa_ledger_signature::SecretKey,
    /// All members; this node itself may be among them.
    pub members: Vec<Member>,
    /// The bounds.
    pub limits: NetworkLimits,
}

/// Every bound of the network.
#[derive(Clone, Debug)]
pub struct NetworkLimits {
    /// A bundle of transactions, in bytes.
    pub bundle_bytes_max: usize,
    /// A block body, in bytes.
    pub body_bytes_max: u32,
    /// Bundles of our own that wait to be published.
    pub transactions_waiting_max: usize,
    /// Adverts of our own that wait to be published.
    pub adverts_waiting_max: usize,
    /// Bundles from others that wait for the application.
    pub transaction_checks_waiting_max: usize,
    /// Adverts from others that wait for the application.
    pub advert_checks_waiting_max: usize,
    /// Requests of our own that wait to be sent.
    pub commands_waiting_max: usize,
    /// Bundles from one member per second; as many again may come at once.
    pub bundles_per_second_max: u32,
    /// Bytes of bundles from one member per second; as many again may come at once.
    pub bundle_bytes_per_second_max: u32,
    /// Adverts from one member per second; as many again may come at once.
    pub adverts_per_second_max: u32,
    /// Rejected messages from one member per minute, before all of its gossip is ignored until a minute's share is back.
    pub rejections_per_minute_max: u32,
    /// Requests from one peer per second; as many again may come at once.
    pub requests_per_second_max: u32,
    /// Requests that are served at the same time, in all.
    pub requests_served_max: usize,
    /// Requests that are served at the same time, for one peer.
    pub requests_served_per_peer_max: u32,
    /// Connections from peers that are not members.
    pub strangers_max: u32,
    /// Resident memory of the process above which no new connection is taken, in bytes.
    pub memory_bytes_max: usize,
    /// Up to this many members each talks to every other; above, gossip runs over a mesh, because a message sent by everyone to
    /// everyone costs the square of their number.
    pub explicit_members_max: usize,
    /// How long a connection without a stream stays.
    pub idle_time_max: Duration,
    /// The first pause before a lost member is dialled again; it doubles up to [`NetworkLimits::redial_pause_max`].
    pub redial_pause_min: Duration,
    /// The longest pause between two dials of a member.
    pub redial_pause_max: Duration,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            bundle_bytes_max: 128 * 1024,
            body_bytes_max: 8 << 20,
            transactions_waiting_max: 256,
            adverts_waiting_max: 64,
            transaction_checks_waiting_max: 256,
            advert_checks_waiting_max: 64,
            commands_waiting_max: 64,
            bundles_per_second_max: 1_000,
            bundle_bytes_per_second_max: 32 << 20,
            adverts_per_second_max: 100,
            rejections_per_minute_max: 60,
            requests_per_second_max: 200,
            requests_served_max: 16,
            requests_served_per_peer_max: 4,
            strangers_max: 32,
            memory_bytes_max: 4 << 30,
            explicit_members_max: 8,
            idle_time_max: Duration::from_secs(30),
            redial_pause_min: Duration::from_millis(100),
            redial_pause_max: Duration::from_secs(10),
        }
    }
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// An address of another kind.
    #[error(transparent)]
    Address(#[from] hansa_node_api::peer::AddressError),
    /// The socket could not be bound.
    #[error(
        "cannot listen on `{address}`: {reason}; another process may use the port, so stop it or configure another"
    )]
    Listen {
        /// Where.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// A part of libp2p did not take its configuration.
    #[error("the network could not be set up: {reason}")]
    Setup {
        /// What it said.
        reason: String,
    },
}
