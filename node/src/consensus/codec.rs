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

/// The kinds of message that [`reencode`] knows, by their place.
#[doc(hidden)]
pub const MESSAGE_KINDS: [&str; 10] = [
    "vote or proposal",
    "liveness",
    "part",
    "stream",
    "validator proof",
    "logged value",
    "logged polka",
    "status",
    "sync request",
    "sync response",
];

/// Reads a message of one of [`MESSAGE_KINDS`] and writes it again, for the fuzz targets: the engine's types stay in this module.
///
/// # Errors
/// Why the bytes are no such message; [`CodecError::Empty`] for a kind that there is not.
#[doc(hidden)]
pub fn reencode(kind: usize, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    use super::context::LedgerContext as Context;
    use malachitebft_core_consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg};
    use malachitebft_core_types::{PolkaCertificate, ValidatorProof};

    fn again<T>(bytes: &[u8]) -> Result<Vec<u8>, CodecError>
    where
        LedgerCodec: malachitebft_app_channel::app::types::codec::Codec<T, Error = CodecError>,
    {
        use malachitebft_app_channel::app::types::codec::Codec;
        let codec = LedgerCodec::default();
        let message: T = Codec::<T>::decode(&codec, bytes::Bytes::copy_from_slice(bytes))?;
        Codec::<T>::encode(&codec, &message).map(|bytes| bytes.to_vec())
    }

    match kind {
        0 => again::<SignedConsensusMsg<Context>>(bytes),
        1 => again::<LivenessMsg<Context>>(bytes),
        2 => again::<super::parts::Part>(bytes),
        3 => again::<malachitebft_app_channel::app::streaming::StreamMessage<super::parts::Part>>(bytes),
        4 => again::<ValidatorProof<Context>>(bytes),
        5 => again::<ProposedValue<Context>>(bytes),
        6 => again::<PolkaCertificate<Context>>(bytes),
        7 => again::<malachitebft_sync::Status<Context>>(bytes),
        8 => again::<malachitebft_sync::Request<Context>>(bytes),
        9 => again::<malachitebft_sync::Response<Context>>(bytes),
        _ => Err(CodecError::Empty),
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
