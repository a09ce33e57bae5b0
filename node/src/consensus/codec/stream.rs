//! Parts of block bodies and the stream messages around them.

use super::CodecError;
use super::frame::codec;
use crate::consensus::limits::{PART_BYTES, PART_MESSAGE_BYTES_MAX, STREAM_ID_BYTES_MAX, STREAM_PARTS_MAX};
use crate::consensus::parts::Part;
use malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};

fn bounded(part: Part) -> Result<Part, CodecError> {
    if matches!(&part, Part::Data(data) if data.is_empty() || data.len() > PART_BYTES) {
        return Err(CodecError::Bounds("a part carries 1 byte to 128 KiB"));
    }
    Ok(part)
}

codec!(Part, Part, PART_MESSAGE_BYTES_MAX, |part: &Part| part.clone(), bounded);

/// Stream id, position, content (none is the engine's own end mark).
type WireStream = (Vec<u8>, u64, Option<Part>);

codec!(
    StreamMessage<Part>,
    WireStream,
    PART_MESSAGE_BYTES_MAX,
    |message: &StreamMessage<Part>| -> WireStream {
        (message.stream_id.to_bytes().to_vec(), message.sequence, message.content.as_data().cloned())
    },
    |(stream_id, sequence, content): WireStream| {
        if stream_id.is_empty() || stream_id.len() > STREAM_ID_BYTES_MAX {
            return Err(CodecError::Bounds("a stream id has 1 to 64 bytes"));
        }
        if sequence >= STREAM_PARTS_MAX {
            return Err(CodecError::Bounds("a stream has no part of this number"));
        }
        let content = match content {
            Some(part) => StreamContent::Data(bounded(part)?),
            None => StreamContent::Fin,
        };
        Ok(StreamMessage::new(StreamId::new(stream_id.into()), sequence, content))
    }
);
