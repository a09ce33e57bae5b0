//! What nodes, provider agents and command lines say to each other over libp2p: blobs by hash, logs while they grow,
//! and capacity adverts.
//!
//! Everything here is bytes on the wire, signed where somebody's right depends on it. The node serves it
//! (`hansa_node::network`); [`client::PeerClient`] is the side that only dials out.

pub mod advert;
pub mod blob;
pub mod client;
pub mod codec;
pub mod log;
pub mod slice;
pub mod transfer;

use hansa_ledger_signature::PublicKey;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, StreamProtocol};

/// A 32-byte BLAKE3 hash of a blob's content.
pub type BlobHash = [u8; 32];

/// The version that `identify` exchanges. It carries the chain id, so that nodes of two federations part at once.
#[must_use]
pub fn identify_protocol(chain_id: &[u8; 32]) -> String {
    format!("/hansa/{}/1", hex::encode(chain_id))
}

/// The name of one request-response protocol of this chain, such as `blob`.
#[must_use]
pub fn stream_protocol(chain_id: &[u8; 32], name: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/hansa/{}/{name}/1", hex::encode(chain_id)))
        .expect("the name starts with a slash, which is all that is asked of it")
}

/// The Ed25519 key inside a peer id, or nothing when the peer uses another kind of key.
#[must_use]
pub fn network_key(peer: &PeerId) -> Option<PublicKey> {
    let multihash = peer.as_ref();
    // Code 0 is the identity "hash": the digest is the encoded key itself, as libp2p asks for keys up to 42 bytes.
    if multihash.code() != 0 {
        return None;
    }
    let key = libp2p::identity::PublicKey::try_decode_protobuf(multihash.digest()).ok()?;
    Some(PublicKey(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The peer id of a network key, or nothing when the 32 bytes are no Ed25519 key.
#[must_use]
pub fn peer_id(key: &PublicKey) -> Option<PeerId> {
    let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(&key.0).ok()?;
    Some(PeerId::from_public_key(&key.into()))
}

/// Why an address of a peer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `/ip4` or `/ip6` followed by `/tcp`.
    #[error(
        "`{address}` is not an address this network uses; write it as `/ip4/192.0.2.1/tcp/27000` (names and other transports are refused)"
    )]
    Unsupported {
        /// The address as given.
        address: String,
    },
    /// No `/p2p/<peer id>` at the end.
    #[error("`{address}` does not say who is there; end it with `/p2p/<peer id>`")]
    PeerMissing {
        /// The address as given.
        address: String,
    },
}

/// Checks that an address is `/ip4|ip6/../tcp/..`, with or without `/p2p/..` at the end, and gives it back without that end.
///
/// # Errors
/// [`AddressError::Unsupported`] for anything else: names would need a resolver, and a resolver is somebody else's word.
pub fn plain_address(address: &Multiaddr) -> Result<Multiaddr, AddressError> {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    match parts.as_slice() {
        [ip @ (Protocol::Ip4(_) | Protocol::Ip6(_)), tcp @ Protocol::Tcp(_)]
        | [ip @ (Protocol::Ip4(_) | Protocol::Ip6(_)), tcp @ Protocol::Tcp(_), Protocol::P2p(_)] => {
            Ok(Multiaddr::empty().with(ip.clone()).with(tcp.clone()))
        }
        _ => Err(AddressError::Unsupported { address: address.to_string() }),
    }
}

/// Splits `/ip4/../tcp/../p2p/..` into who and where.
///
/// # Errors
/// As [`plain_address`], and [`AddressError::PeerMissing`] when the peer id is not there.
pub fn peer_address(address: &Multiaddr) -> Result<(PeerId, Multiaddr), AddressError> {
    let plain = plain_address(address)?;
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Ok((peer, plain)),
        _ => Err(AddressError::PeerMissing { address: address.to_string() }),
    }
}

/// Milliseconds since 1970 by this machine's clock.
#[must_use]
pub fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger_signature::SecretKey;

    #[test]
    fn peer_ids_and_network_keys_are_the_same_thing() {
        let key = SecretKey::generate().public_key();
        let peer = peer_id(&key).unwrap();
        assert_eq!(network_key(&peer), Some(key));
    }

    #[test]
    fn only_plain_ip_and_tcp_addresses_are_taken() {
        let peer = peer_id(&SecretKey::generate().public_key()).unwrap();
        for (address, good) in [
            ("/ip4/127.0.0.1/tcp/1".to_owned(), true),
            ("/ip6/::1/tcp/1".to_owned(), true),
            (format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}"), true),
            ("/dns/example.org/tcp/1".to_owned(), false),
            ("/ip4/127.0.0.1/udp/1/quic-v1".to_owned(), false),
            ("/ip4/127.0.0.1".to_owned(), false),
            (format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}/p2p-circuit"), false),
        ] {
            let address: Multiaddr = address.parse().unwrap();
            assert_eq!(plain_address(&address).is_ok(), good, "{address}");
        }
        let nobody: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        assert!(matches!(peer_address(&nobody), Err(AddressError::PeerMissing { .. })));
    }
}
