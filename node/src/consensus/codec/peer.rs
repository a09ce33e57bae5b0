//! Network identities: only those of Ed25519 keys, in their one form of 38 bytes.

use super::CodecError;
use hansa_ledger_signature::PublicKey;
use malachitebft_app_channel::app::types::PeerId;

/// An identity multihash of 36 bytes that hold a protobuf key of type 1 (Ed25519) with 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The network identity that belongs to a network key.
#[must_use]
pub fn peer_id(key: &PublicKey) -> PeerId {
    let mut bytes = PREFIX.to_vec();
    bytes.extend_from_slice(&key.0);
    PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
}

/// Reads the bytes of a peer id. Anything else than an Ed25519 identity is refused before the multihash code sees it.
pub(super) fn read_peer_id(bytes: &[u8]) -> Result<PeerId, CodecError> {
    if bytes.len() != PREFIX.len() + 32 || !bytes.starts_with(&PREFIX) {
        return Err(CodecError::Bounds("a peer id is that of an Ed25519 key, 38 bytes"));
    }
    PeerId::from_bytes(bytes).map_err(|error| CodecError::Malformed(error.to_string()))
}
