//! Carry block bodies between members: split into parts, and put together whatever order they come in.
//!
//! A stream is one [`Part::Init`], the body in parts of 128 KiB, and one [`Part::Fin`] with the proposer's signature. Parts are
//! gossiped unchecked by relays, so everything a publisher can fill here is bounded: parts, bytes, streams, age.

use super::application::Id;
use super::limits::{
    BODY_BYTES_MAX, PART_BYTES, STREAM_AGE_MAX, STREAM_PARTS_MAX, STREAMS_MAX, STREAMS_PER_PEER_MAX,
};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use hansa_ledger_signature::{PublicKey, Signature};
use malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use malachitebft_app_channel::app::types::PeerId;
use malachitebft_core_types::Round;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Opens a stream: whose turn the body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Init {
    /// Height of the block.
    pub height: u64,
    /// The round it was first proposed in.
    pub round: Round,
    /// The earlier round with more than two thirds of prevotes for it, if it was proposed again.
    pub pol_round: Round,
    /// Who proposed it.
    pub proposer: PublicKey,
}

/// Closes a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fin {
    /// Id of the block.
    pub id: Id,
    /// The proposer's signature over [`super::signing::parts_bytes`].
    pub signature: Signature,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Part {
    /// The opening, always first.
    Init(Init),
    /// A piece of the body.
    Data(Vec<u8>),
    /// The closing, always last.
    Fin(Fin),
}

/// A whole proposal as it was streamed: nothing of it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// The opening.
    pub init: Init,
    /// The closing.
    pub fin: Fin,
    /// The block's body.
    pub body: Bytes,
}

/// Why a part was refused. The stream it belongs to is given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartRefusal {
    /// The gossip message has no publisher.
    #[error("the part has no publisher")]
    Unpublished,
    /// A position that no stream has.
    #[error("the part has number {0}, and a stream has {STREAM_PARTS_MAX} parts at most")]
    Position(u64),
    /// An opening, piece or closing where it does not belong.
    #[error("part {0} is not where it belongs in its stream")]
    Misplaced(u64),
    /// Another part with this position was there before.
    #[error("part {0} came twice with different content")]
    Conflict(u64),
    /// A piece that is empty or too large, or a body over the limit.
    #[error("part {0} has a size that no part has")]
    Size(u64),
    /// The stream was given up or completed before.
    #[error("the stream is closed")]
    Closed,
}

/// Splits `streamed` into the messages of one stream with a fresh id, opening first.
#[must_use]
pub fn split(streamed: &Streamed) -> Vec<StreamMessage<Part>> {
    let stream_id = stream_id_fresh(&streamed.init);
    let data = streamed.body.chunks(PART_BYTES).map(|chunk| Part::Data(chunk.to_vec()));
    std::iter::once(Part::Init(streamed.init))
        .chain(data)
        .chain(std::iter::once(Part::Fin(streamed.fin)))
        .enumerate()
        .map(|(sequence, part)| {
            StreamMessage::new(stream_id.clone(), sequence as u64, StreamContent::Data(part))
        })
        .collect()
}

/// A stream id that this node never used: height, round, start of the process and a counter.
fn stream_id_fresh(init: &Init) -> StreamId {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut bytes = Vec::with_capacity(32);
    bytes.extend_from_slice(&init.height.to_be_bytes());
    bytes.extend_from_slice(&init.round.as_i64().to_be_bytes());
    bytes.extend_from_slice(&nanoseconds.to_be_bytes());
    bytes.extend_from_slice(&COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    StreamId::new(bytes.into())
}

#[derive(Debug)]
struct Stream {
    since: Instant,
    /// `None` once completed or given up: what still arrives of it is not collected again.
    open: Option<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    parts: BTreeMap<u64, Part>,
    bytes: usize,
    /// The position of the closing, once seen.
    last: Option<u64>,
}

/// Puts streams together, keyed by publisher and stream id: relays differ, publishers are authenticated by gossip.
#[derive(Debug, Default)]
pub struct Assembler {
    streams: BTreeMap<(PeerId, StreamId), Stream>,
}

impl Assembler {
    /// Takes one message published by `publisher`. Gives the whole proposal with the part that completes it.
    ///
    /// # Errors
    /// Why the part is refused; its stream is then closed for [`STREAM_AGE_MAX`].
    pub fn insert(
        &mut self,
        publisher: Option<PeerId>,
        message: StreamMessage<Part>,
        now: Instant,
    ) -> Result<Option<Streamed>, PartRefusal> {
        let publisher = publisher.ok_or(PartRefusal::Unpublished)?;
        self.streams.retain(|_, stream| now.saturating_duration_since(stream.since) < STREAM_AGE_MAX);
        let StreamContent::Data(part) = message.content else {
            // The engine's own end mark carries nothing; our streams end with `Part::Fin`.
            return Ok(None);
        };
        let key = (publisher, message.stream_id);
        if !self.streams.contains_key(&key) {
            self.make_room(publisher);
        }
        let stream = self
            .streams
            .entry(key)
            .or_insert_with(|| Stream { since: now, open: Some(Collected::default()) });
        let collected = stream.open.as_mut().ok_or(PartRefusal::Closed)?;
        let result = collected.insert(message.sequence, part);
        if !matches!(result, Ok(None)) {
            stream.open = None;
        }
        result
    }

    /// Forgets the oldest stream where a publisher, or all of them together, follow too many; closed ones go first.
    fn make_room(&mut self, publisher: PeerId) {
        let own = self.streams.keys().filter(|(peer, _)| *peer == publisher).count();
        let all = self.streams.len() >= STREAMS_MAX;
        if own < STREAMS_PER_PEER_MAX && !all {
            return;
        }
        let oldest = self
            .streams
            .iter()
            .filter(|((peer, _), _)| all || *peer == publisher)
            .min_by_key(|(_, stream)| (stream.open.is_some(), stream.since))
            .map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.streams.remove(&key);
        }
    }
}

impl Collected {
    fn insert(&mut self, sequence: u64, part: Part) -> Result<Option<Streamed>, PartRefusal> {
        if sequence >= STREAM_PARTS_MAX {
            return Err(PartRefusal::Position(sequence));
        }
        if let Some(known) = self.parts.get(&sequence) {
            return if *known == part { Ok(None) } else { Err(PartRefusal::Conflict(sequence)) };
        }
        if self.last.is_some_and(|last| sequence > last) {
            return Err(PartRefusal::Misplaced(sequence));
        }
        match &part {
            Part::Init(_) if sequence != 0 => return Err(PartRefusal::Misplaced(sequence)),
            Part::Data(_) | Part::Fin(_) if sequence == 0 => {
                return Err(PartRefusal::Misplaced(sequence));
            }
            Part::Init(_) => {}
            Part::Data(data) => {
                if data.is_empty() || data.len() > PART_BYTES || self.bytes + data.len() > BODY_BYTES_MAX {
                    return Err(PartRefusal::Size(sequence));
                }
                self.bytes += data.len();
            }
            Part::Fin(_) => {
                let beyond = self.parts.keys().next_back().is_some_and(|last| *last > sequence);
                if beyond || sequence < 2 {
                    return Err(PartRefusal::Misplaced(sequence));
                }
                self.last = Some(sequence);
            }
        }
        self.parts.insert(sequence, part);
        match self.last {
            Some(last) if self.parts.len() as u64 == last + 1 => self.complete(),
            _ => Ok(None),
        }
    }

    fn complete(&mut self) -> Result<Option<Streamed>, PartRefusal> {
        let mut body = Vec::with_capacity(self.bytes);
        let mut opening = None;
        let mut closing = None;
        let last = self.last;
        for (sequence, part) in std::mem::take(&mut self.parts) {
            match part {
                Part::Init(init) => opening = Some(init),
                Part::Data(data) => {
                    // Only the last piece may be short, so that one body has one way to be split.
                    if data.len() < PART_BYTES && Some(sequence + 1) != last {
                        return Err(PartRefusal::Size(sequence));
                    }
                    body.extend_from_slice(&data);
                }
                Part::Fin(fin) => closing = Some(fin),
            }
        }
        match (opening, closing) {
            (Some(init), Some(fin)) => Ok(Some(Streamed { init, fin, body: body.into() })),
            _ => Err(PartRefusal::Misplaced(0)),
        }
    }
}
