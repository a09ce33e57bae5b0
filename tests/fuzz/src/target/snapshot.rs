//! Snapshots from members that are not believed.

use super::Verdict;
use hansa_ledger::block::{Header, Validator, members_hash};
use hansa_ledger::id::{BlockId, ChainId};
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::SecretKey;
use hansa_node::consensus::certificate::{Certificate, precommit_bytes};
use hansa_node::snapshot::wire::{Kept, Offer, SnapshotReply, SnapshotRequest};
use hansa_node::snapshot::{
    CHUNK_BYTES, Content, Manifest, PART_BYTES_MAX, PARTS_MAX, Part, Step, Trust, decode_rows,
};

const CHAIN: [u8; 32] = [1; 32];

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

fn members() -> Vec<Validator> {
    let one =
        |(code, seed): (&str, u8)| Validator { member: code.parse().unwrap(), key: key(seed).public_key() };
    ["DE", "EE", "ES", "FR"].into_iter().zip(1u8..).map(one).collect()
}

/// First byte: which of four things. What is read is within its bounds and has one encoding; what passes the check is what the
/// members signed.
pub fn reading(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = bytes.split_first() else { return Verdict::Refused };
    let same = |again: Vec<u8>| assert_eq!(again, bytes, "another encoding");
    let taken = match kind % 4 {
        0 => Manifest::decode(bytes).is_ok_and(|manifest| {
            same(manifest.encode());
            let parts = &manifest.content.parts;
            assert!(manifest.content.rows > 0 && (2..=PARTS_MAX).contains(&parts.len()));
            assert!(parts.iter().all(|part| (1..=PART_BYTES_MAX).contains(&part.bytes)));
            assert!(parts[1..parts.len() - 1].iter().all(|part| part.bytes as usize >= CHUNK_BYTES));
            let trust =
                Trust { chain: ChainId(CHAIN), height: 3, sets: [(0, members())].into(), versions: &[1] };
            if manifest.check(&trust).is_ok() {
                let header = &manifest.header;
                assert!(header.chain.0 == CHAIN && header.height > 3, "of another federation, or old");
                assert_eq!(header.id(), seed().header.id(), "nobody signed this block");
            }
            true
        }),
        1 => decode_rows(bytes).is_ok_and(|rows| {
            same(borsh::to_vec(&rows).unwrap());
            true
        }),
        2 => borsh::from_slice::<SnapshotRequest>(bytes).is_ok_and(|request| {
            same(borsh::to_vec(&request).unwrap());
            true
        }),
        _ => borsh::from_slice::<SnapshotReply>(bytes).is_ok_and(|reply| {
            same(borsh::to_vec(&reply).unwrap());
            true
        }),
    };
    if taken { Verdict::Accepted } else { Verdict::Refused }
}

/// A manifest that three of four members signed.
fn seed() -> Manifest {
    let header = Header {
        protocol_version: 1,
        chain: ChainId(CHAIN),
        height: 7,
        time: TimeMs(1),
        parent: BlockId([2; 32]),
        proposer: members()[0].member,
        transactions_root: [3; 32],
        waiting_root: [6; 32],
        receipts_root: [4; 32],
        state_root: [5; 32],
        members_hash: members_hash(&members()),
    };
    let bytes = precommit_bytes(&ChainId(CHAIN).0, 7, 0, &header.id().0);
    let signatures = (1..=3).map(|seed| (key(seed).public_key(), key(seed).sign(&bytes))).collect();
    let certificate = Certificate { height: 7, round: 0, id: header.id().0, signatures };
    let certificate = borsh::to_vec(&certificate).unwrap();
    let step = Step { validators: members(), header: header.clone(), certificate: certificate.clone() };
    let part = Part { hash: [8; 32], bytes: 9 };
    Manifest::new(header, certificate, vec![step], Content { rows: 2, parts: vec![part, part] })
}

pub fn reading_seeds() -> Vec<Vec<u8>> {
    let rows = vec![(1u8, vec![1u8, 2], vec![3u8; 9]), (2, vec![4], Vec::new())];
    let kept = Kept { blocks_from: 5, snapshots: vec![Offer { height: 7, id: [9; 32] }] };
    let tagged = |kind: u8, bytes: Vec<u8>| [vec![kind], bytes].concat();
    vec![
        tagged(0, seed().encode()),
        tagged(1, borsh::to_vec(&rows).unwrap()),
        tagged(2, borsh::to_vec(&SnapshotRequest::Part { id: [9; 32], index: 3 }).unwrap()),
        tagged(2, borsh::to_vec(&SnapshotRequest::Kept).unwrap()),
        tagged(3, borsh::to_vec(&SnapshotReply::Kept(kept)).unwrap()),
        tagged(3, borsh::to_vec(&SnapshotReply::Bytes(vec![1, 2])).unwrap()),
    ]
}
