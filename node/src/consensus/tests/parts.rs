//! Bodies come together from parts in any order, and nothing a peer sends grows without bound.

use crate::consensus::limits::*;
use crate::consensus::parts::*;
use bytes::Bytes;
use hansa_ledger_signature::{PublicKey, Signature};
use malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use malachitebft_app_channel::app::types::PeerId;
use malachitebft_core_types::Round;
use std::time::Duration;
use tokio::time::Instant;

fn peer(index: u8) -> Option<PeerId> {
    Some(crate::consensus::codec::peer_id(&PublicKey([index; 32])))
}

fn streamed(bytes: usize) -> Streamed {
    let proposer = PublicKey([1; 32]);
    Streamed {
        init: Init { height: 5, round: Round::new(0), pol_round: Round::Nil, proposer },
        fin: Fin { id: [2; 32], signature: Signature([3; 64]) },
        body: (0..bytes).map(|index| (index / 7) as u8).collect::<Vec<_>>().into(),
    }
}

fn data(bytes: usize) -> Part {
    Part::Data(vec![1; bytes])
}

fn message(id: &[u8], sequence: u64, part: Part) -> StreamMessage<Part> {
    StreamMessage::new(StreamId::new(Bytes::copy_from_slice(id)), sequence, StreamContent::Data(part))
}

#[test]
fn bodies_survive_every_order() {
    for bytes in [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 5, BODY_BYTES_MAX] {
        let whole = streamed(bytes);
        let forward = split(&whole);
        assert_eq!(forward.len(), bytes.div_ceil(PART_BYTES) + 2);
        let mut backward = forward.clone();
        backward.reverse();
        let mut rotated = forward.clone();
        rotated.rotate_left(2);
        let twice = forward.iter().flat_map(|one| [one.clone(), one.clone()]).collect();
        for (name, order) in
            [("forward", forward), ("backward", backward), ("rotated", rotated), ("twice", twice)]
        {
            let mut assembler = Assembler::default();
            let now = Instant::now();
            let complete: Vec<Streamed> = order
                .into_iter()
                .filter_map(|part| assembler.insert(peer(1), part, now).ok().flatten())
                .collect();
            assert_eq!(complete, std::slice::from_ref(&whole), "{bytes} bytes {name}");
        }
    }
}

#[test]
fn parts_out_of_bounds_close_their_stream() {
    let (init, fin) = (Part::Init(streamed(1).init), Part::Fin(streamed(1).fin));
    let full = PART_BYTES;
    type Row = (&'static str, Vec<(u64, Part)>, PartRefusal);
    let table: [Row; 11] = [
        ("too many", vec![(STREAM_PARTS_MAX, data(1))], PartRefusal::Position(STREAM_PARTS_MAX)),
        ("a late opening", vec![(1, init.clone())], PartRefusal::Misplaced(1)),
        ("data first", vec![(0, data(1))], PartRefusal::Misplaced(0)),
        ("a closing without data", vec![(1, fin.clone())], PartRefusal::Misplaced(1)),
        ("data after the closing", vec![(2, fin.clone()), (3, data(1))], PartRefusal::Misplaced(3)),
        ("a closing before data", vec![(3, data(1)), (2, fin.clone())], PartRefusal::Misplaced(2)),
        ("two closings", vec![(2, fin.clone()), (3, fin.clone())], PartRefusal::Misplaced(3)),
        ("two contents", vec![(1, data(1)), (1, data(2))], PartRefusal::Conflict(1)),
        ("nothing", vec![(1, data(0))], PartRefusal::Size(1)),
        ("a part too large", vec![(1, data(full + 1))], PartRefusal::Size(1)),
        (
            "a short part inside",
            vec![(0, init.clone()), (1, data(1)), (2, data(full)), (3, fin.clone())],
            PartRefusal::Size(1),
        ),
    ];
    for (name, parts, expected) in table {
        let mut assembler = Assembler::default();
        let now = Instant::now();
        let mut last = Ok(None);
        for (sequence, part) in parts {
            assert_eq!(last, Ok(None), "{name}: only the last part is refused");
            last = assembler.insert(peer(1), message(b"s", sequence, part), now);
        }
        assert_eq!(last, Err(expected), "{name}");
        let more = assembler.insert(peer(1), message(b"s", 0, init.clone()), now);
        assert_eq!(more, Err(PartRefusal::Closed), "{name}: the stream is closed");
    }
    let nobody = Assembler::default().insert(None, message(b"s", 0, init), Instant::now());
    assert_eq!(nobody, Err(PartRefusal::Unpublished));
}

#[test]
fn streams_are_kept_apart_by_publisher_and_forgotten_by_age_and_number() {
    let now = Instant::now();
    let whole = split(&streamed(10));
    // The same stream id of two publishers does not mix.
    let mut assembler = Assembler::default();
    assembler.insert(peer(1), whole[0].clone(), now).unwrap();
    assembler.insert(peer(2), whole[1].clone(), now).unwrap();
    assert_eq!(assembler.insert(peer(2), whole[2].clone(), now), Ok(None));
    assembler.insert(peer(1), whole[1].clone(), now).unwrap();
    assert!(assembler.insert(peer(1), whole[2].clone(), now).unwrap().is_some());

    // An unfinished stream ends with its age.
    let mut assembler = Assembler::default();
    assembler.insert(peer(1), whole[0].clone(), now).unwrap();
    let later = now + STREAM_AGE_MAX + Duration::from_millis(1);
    assembler.insert(peer(1), whole[1].clone(), later).unwrap();
    assert_eq!(assembler.insert(peer(1), whole[2].clone(), later), Ok(None));

    // A publisher over its share loses its own oldest stream and nobody else's.
    let mut assembler = Assembler::default();
    let others = split(&streamed(20));
    assembler.insert(peer(2), others[0].clone(), now).unwrap();
    assembler.insert(peer(1), whole[0].clone(), now).unwrap();
    for index in 0..STREAMS_PER_PEER_MAX as u64 {
        let soon = now + Duration::from_millis(index + 1);
        assembler.insert(peer(1), message(&[index as u8], 1, data(1)), soon).unwrap();
    }
    let soon = now + Duration::from_millis(9);
    assembler.insert(peer(1), whole[1].clone(), soon).unwrap();
    assert_eq!(assembler.insert(peer(1), whole[2].clone(), soon), Ok(None), "forgotten");
    assembler.insert(peer(2), others[1].clone(), soon).unwrap();
    assert!(assembler.insert(peer(2), others[2].clone(), soon).unwrap().is_some(), "untouched");
}
