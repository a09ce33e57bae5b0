//! The frame of every message: a version byte, then borsh.

use super::CodecError;
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

/// The version of all messages. A change of any message raises it.
const VERSION: u8 = 1;

pub(super) fn write<T: BorshSerialize>(wire: &T, bytes_max: usize) -> Result<Bytes, CodecError> {
    let mut bytes = vec![VERSION];
    wire.serialize(&mut bytes).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if bytes.len() > bytes_max {
        return Err(CodecError::TooLong { bytes: bytes.len(), bytes_max });
    }
    Ok(bytes.into())
}

pub(super) fn read<T: BorshDeserialize>(bytes: &[u8], bytes_max: usize) -> Result<T, CodecError> {
    if bytes.len() > bytes_max {
        return Err(CodecError::TooLong { bytes: bytes.len(), bytes_max });
    }
    match bytes {
        [] => Err(CodecError::Empty),
        [VERSION, rest @ ..] => {
            borsh::from_slice(rest).map_err(|error| CodecError::Malformed(error.to_string()))
        }
        [version, ..] => Err(CodecError::Version(*version)),
    }
}

/// Implements the engine's codec for a message: `$to` makes the wire form, `$from` checks the bounds and makes the message.
macro_rules! codec {
    ($message:ty, $wire:ty, $bytes_max:expr, $to:expr, $from:expr) => {
        impl malachitebft_app_channel::app::types::codec::Codec<$message>
            for crate::consensus::codec::LedgerCodec
        {
            type Error = crate::consensus::codec::CodecError;

            fn decode(&self, bytes: bytes::Bytes) -> Result<$message, Self::Error> {
                let wire: $wire = crate::consensus::codec::frame::read(&bytes, $bytes_max)?;
                #[allow(clippy::redundant_closure_call)]
                let message: $message = ($from)(wire)?;
                if self.encode(&message)? != bytes {
                    return Err(crate::consensus::codec::CodecError::NotCanonical);
                }
                Ok(message)
            }

            fn encode(&self, message: &$message) -> Result<bytes::Bytes, Self::Error> {
                #[allow(clippy::redundant_closure_call)]
                let wire = ($to)(message);
                crate::consensus::codec::frame::write(&wire, $bytes_max)
            }
        }
    };
}

pub(super) use codec;
