//! Read and write what the engine sends to peers and keeps in its log.
//!
//! Every message is one version byte and borsh. Decoding faces attackers: the length is bounded before anything is read, lists
//! are bounded, bytes left over are refused, and a message must encode to the very bytes it came from. The log's form is an
//! on-disk format: finish the height before changing it.

mod consensus;
mod frame;
mod log;
mod peer;
mod proof;
mod stream;
mod sync;

#[cfg(test)]
mod tests;

pub use peer::peer_id;
pub use sync::PeerTips;

use std::sync::Arc;

/// The codec of all messages of this version. Clones share what was read of the peers' statuses.
#[derive(Clone, Debug, Default)]
pub struct LedgerCodec {
    tips: Arc<PeerTips>,
}

impl LedgerCodec {
    /// A codec that notes in `tips` how far the peers say they are. The engine keeps that to itself, and the pause between
    /// heights needs it.
    #[must_use]
    pub fn observing(tips: Arc<PeerTips>) -> Self {
        Self { tips }
    }
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than any message of this kind.
    #[error("the message has {bytes} bytes, and {bytes_max} are the most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// No bytes at all.
    #[error("the message is empty")]
    Empty,
    /// A version that this program does not speak.
    #[error("the message has version {0}, and this program speaks version 1")]
    Version(u8),
    /// Not borsh of this kind, or bytes left over.
    #[error("the message cannot be read: {0}")]
    Malformed(String),
    /// A list, key or range out of bounds.
    #[error("the message is out of bounds: {0}")]
    Bounds(&'static str),
    /// The bytes are not the one encoding of what they say.
    #[error("the message is not in its one encoding")]
    NotCanonical,
}
