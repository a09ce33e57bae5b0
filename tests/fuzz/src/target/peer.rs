//! What nodes, agents and command lines say to each other: blobs, logs, adverts, read passes.

use super::Verdict;
use futures::executor::block_on;
use futures::io::Cursor;
use hansa_ledger::id::ChainId;
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::{PublicKey, SecretKey, Signed as _, verify_bytes};
use hansa_node_api::pass::ReadPass;
use hansa_node_api::peer::advert::{Advert, AdvertContent};
use hansa_node_api::peer::blob::{BlobCall, BlobDirection, BlobReply, BlobRequest, BlobTerms, check_call};
use hansa_node_api::peer::codec::FrameCodec;
use hansa_node_api::peer::log::{LogCall, LogHeld, LogReply, LogTerms, check_log_call};
use hansa_node_api::peer::slice::{PIECE_BYTES_MAX, extract, verify};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec as _;

const NOW: u64 = 1_800_000_000_000;
const CHAIN: [u8; 32] = [1; 32];
const FRAME_BYTES_MAX: u32 = 2_048;

fn key() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

/// First byte: which of four frames. What is read writes the same frame, and no longer one than may be.
pub fn frames(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = bytes.split_first() else { return Verdict::Refused };
    let protocol = StreamProtocol::new("/hansa/fuzz/1");
    let node = key().public_key();
    let (mut blobs, mut logs) = (
        FrameCodec::<BlobCall, BlobReply>::new(FRAME_BYTES_MAX, FRAME_BYTES_MAX),
        FrameCodec::<LogCall, LogReply>::new(FRAME_BYTES_MAX, FRAME_BYTES_MAX),
    );
    let (mut input, mut output) = (Cursor::new(bytes), Vec::new());
    let taken = block_on(async {
        match kind % 4 {
            0 => {
                let call = blobs.read_request(&protocol, &mut input).await.ok()?;
                let verdict = check_call(&call, &CHAIN, &node, NOW);
                if verdict.is_ok() {
                    let terms = &call.request.terms;
                    assert_eq!((terms.chain_id, terms.node), (CHAIN, node), "for another node");
                    assert!(terms.expires_ms > NOW && (1..=PIECE_BYTES_MAX).contains(&terms.length));
                    assert!(honest(
                        call.request.signer(),
                        &call.request.signing_bytes(),
                        call.request.signature()
                    ));
                }
                blobs.write_request(&protocol, &mut output, call).await.unwrap();
                Some(verdict.is_ok())
            }
            1 => {
                let reply = blobs.read_response(&protocol, &mut input).await.ok()?;
                blobs.write_response(&protocol, &mut output, reply).await.unwrap();
                Some(true)
            }
            2 => {
                let call = logs.read_request(&protocol, &mut input).await.ok()?;
                let verdict = check_log_call(&call, &CHAIN, &node, NOW);
                if verdict.is_ok() {
                    assert_eq!((call.terms.chain_id, call.terms.node), (CHAIN, node), "for another node");
                    assert_eq!(call.terms.hash, *blake3::hash(&call.bytes).as_bytes());
                    assert!(honest(call.signer(), &call.signing_bytes(), call.signature()));
                }
                logs.write_request(&protocol, &mut output, call).await.unwrap();
                Some(verdict.is_ok())
            }
            _ => {
                let reply = logs.read_response(&protocol, &mut input).await.ok()?;
                logs.write_response(&protocol, &mut output, reply).await.unwrap();
                Some(true)
            }
        }
    });
    match taken {
        None => Verdict::Refused,
        Some(taken) => {
            assert_eq!(output, bytes[..output.len()], "another encoding");
            if taken { Verdict::Accepted } else { Verdict::Refused }
        }
    }
}

/// Whether a signature is one that the one key of these tests made. Anybody may sign as somebody else; nobody as it.
fn honest(signer: PublicKey, bytes: &[u8], signature: hansa_ledger_signature::Signature) -> bool {
    signer != key().public_key() || key().sign(bytes) == signature
}

pub fn frame_seeds() -> Vec<Vec<u8>> {
    let key = key();
    let terms = |direction, total, length| BlobTerms {
        chain_id: CHAIN,
        node: key.public_key(),
        direction,
        hash: *blake3::hash(b"content").as_bytes(),
        offset: 0,
        length,
        total,
        lease: [4; 32],
        requester: key.public_key(),
        expires_ms: NOW + 10_000,
    };
    let call = |direction, total, length, slice| {
        borsh::to_vec(&BlobCall { request: BlobRequest::sign(terms(direction, total, length), &key), slice })
    };
    let log = LogTerms {
        chain_id: CHAIN,
        node: key.public_key(),
        lease: [2; 32],
        job: 3,
        offset: 4,
        hash: [0; 32],
        ended: false,
        sender: key.public_key(),
        expires_ms: NOW + 10_000,
    };
    let frames = [
        (0u8, call(BlobDirection::Get, 0, 5, Vec::new())),
        (0, call(BlobDirection::Put, 5, PIECE_BYTES_MAX, vec![0; 13])),
        (1, borsh::to_vec(&BlobReply::Piece { total: 7, slice: b"piece".to_vec() })),
        (1, borsh::to_vec(&BlobReply::Stored { next_offset: 9, complete: true })),
        (2, borsh::to_vec(&LogCall::sign(log, b"a line\n".to_vec(), &key))),
        (3, borsh::to_vec(&LogReply::Held(LogHeld { next_offset: 4, open: true }))),
    ];
    frames
        .into_iter()
        .map(|(kind, bytes)| {
            let bytes = bytes.unwrap();
            [vec![kind], (bytes.len() as u32).to_le_bytes().to_vec(), bytes].concat()
        })
        .collect()
}

fn content() -> Vec<u8> {
    (0..3_000u32).map(|index| (index % 251) as u8).collect()
}

/// First byte: the offset in steps of 1,024. Second: the length in steps of 64. Then the piece with its proof.
pub fn piece(bytes: &[u8]) -> Verdict {
    let [offset, length, slice @ ..] = bytes else { return Verdict::Refused };
    let (offset, length) = (u64::from(offset % 4) * 1_024, u32::from(*length) * 64);
    let content = content();
    let hash = *blake3::hash(&content).as_bytes();
    let piece = verify(&hash, slice, offset, length);
    if let Ok(piece) = &piece {
        let begin = (offset as usize).min(content.len());
        let end = (begin + length as usize).min(content.len());
        assert!(piece.content.is_empty() || piece.content == content[begin..end], "another content");
        if !piece.content.is_empty() {
            assert_eq!(piece.content.len(), end - begin);
        }
    }
    Verdict::of(&piece)
}

pub fn piece_seeds() -> Vec<Vec<u8>> {
    let content = content();
    let (outboard, _) = bao::encode::outboard(&content);
    let mut seeds = Vec::new();
    for (offset, length) in [(0u8, 16u8), (1, 16), (2, 47), (0, 47)] {
        let (from, bytes) = (u64::from(offset) * 1_024, u32::from(length) * 64);
        let (content, outboard) = (std::io::Cursor::new(&content), std::io::Cursor::new(&outboard));
        seeds.push([vec![offset, length], extract(content, outboard, from, bytes).unwrap()].concat());
    }
    seeds
}

pub fn advert(bytes: &[u8]) -> Verdict {
    let Ok(advert) = Advert::decode(bytes, &CHAIN, NOW) else { return Verdict::Refused };
    assert_eq!(advert.encode(), bytes, "another encoding");
    let mut book = hansa_node::network::AdvertBook::default();
    let heard = book.hear(bytes, &CHAIN, NOW, |_, _| true).map(|_| ());
    let signed = verify_bytes(&advert.signer(), &advert.signing_bytes(), &advert.signature());
    assert_eq!(heard.is_ok(), signed.is_ok(), "{heard:?}");
    assert!(heard.is_err() || honest(advert.signer(), &advert.signing_bytes(), advert.signature()));
    assert!(book.hear(bytes, &[2; 32], NOW, |_, _| true).is_err(), "of another federation");
    Verdict::of(&heard)
}

pub fn advert_seeds() -> Vec<Vec<u8>> {
    let content = AdvertContent {
        chain_id: CHAIN,
        provider: [2; 32],
        site: "marenostrum".to_owned(),
        class: "h100".to_owned(),
        free: 3,
        total: 8,
        tier: 1,
        price_ask_ueur: 2_500_000,
        issued_ms: NOW - 5,
        lives_ms: 60_000,
        sequence: 7,
        signer: key().public_key(),
    };
    vec![Advert::sign(content, &key()).encode()]
}

pub fn pass(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let Ok(pass) = ReadPass::from_bearer(text) else { return Verdict::Refused };
    assert_eq!(*pass.to_bearer(), text, "another text of one pass");
    let holds = verify_bytes(&pass.signer(), &pass.signing_bytes(), &pass.signature());
    assert!(holds.is_err() || honest(pass.signer(), &pass.signing_bytes(), pass.signature()));
    Verdict::of(&holds)
}

pub fn pass_seeds() -> Vec<Vec<u8>> {
    let pass = ReadPass::sign(&key(), ChainId(CHAIN), TimeMs(NOW));
    vec![pass.to_bearer().as_bytes().to_vec()]
}
