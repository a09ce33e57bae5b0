//! Every message survives the way there and back, and no bytes whatever bring a node down.

use super::{CodecError, LedgerCodec, peer_id};
use crate::consensus::context::{Address, BlockId, Height, LedgerContext, Proposal, Vote};
use crate::consensus::limits::*;
use crate::consensus::parts::{Fin, Init, Part};
use bytes::Bytes;
use hansa_ledger_signature::{PublicKey, Signature};
use malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use malachitebft_app_channel::app::types::codec::{Codec, HasEncodedLen};
use malachitebft_core_consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg};
use malachitebft_core_types::{
    ExtendedCommitCertificate, ExtendedCommitSignature, NilOrVal, PolkaCertificate, PolkaSignature, Round,
    RoundCertificate, RoundCertificateType, RoundSignature, SignedMessage, ValidatorProof, Validity,
    VoteType,
};
use malachitebft_sync::{RawDecidedValue, Request, Response, Status, ValueRequest, ValueResponse};

const SIGNATURE: Signature = Signature([5; 64]);

fn address(index: u8) -> Address {
    Address(PublicKey([index; 32]))
}

fn vote(value: NilOrVal<BlockId>) -> Vote {
    Vote { kind: VoteType::Prevote, height: Height(7), round: Round::new(1), value, voter: address(1) }
}

/// There and back; cut, lengthened, of another version, with each bit flipped and with each four bytes made a huge length:
/// refused, or read as something that encodes to the same bytes. Never a panic.
fn check<T>(name: &str, message: T)
where
    T: PartialEq + std::fmt::Debug,
    LedgerCodec: Codec<T, Error = CodecError>,
{
    let bytes = Codec::<T>::encode(&LedgerCodec::default(), &message).unwrap();
    let decode = |bytes: Vec<u8>| Codec::<T>::decode(&LedgerCodec::default(), Bytes::from(bytes));
    assert_eq!(decode(bytes.to_vec()).as_ref(), Ok(&message), "{name}");
    let cuts = (0..bytes.len()).step_by((bytes.len() / 500).max(1));
    for length in cuts {
        assert!(decode(bytes[..length].to_vec()).is_err(), "{name} cut to {length}");
    }
    assert!(decode([&bytes[..], &[0]].concat()).is_err(), "{name} with a byte left over");
    let mut version = bytes.to_vec();
    version[0] = 2;
    assert_eq!(decode(version).err(), Some(CodecError::Version(2)), "{name}");
    let same = |hostile: Vec<u8>, what: &str| {
        if let Ok(read) = decode(hostile.clone()) {
            assert_eq!(LedgerCodec::default().encode(&read).unwrap(), hostile, "{name}: {what}");
        }
    };
    for position in 0..bytes.len().min(600) {
        for bit in 0..8 {
            let mut hostile = bytes.to_vec();
            hostile[position] ^= 1 << bit;
            same(hostile, "a flipped bit");
        }
        let mut hostile = bytes.to_vec();
        let end = (position + 4).min(hostile.len());
        hostile[position..end].fill(0xff);
        same(hostile, "a huge length");
    }
    assert!(decode(vec![1; 8 << 20]).is_err(), "{name} of 8 MiB");
    assert_eq!(decode(Vec::new()).err(), Some(CodecError::Empty));
}

#[test]
fn votes_and_proposals() {
    let block = NilOrVal::Val(BlockId([9; 32]));
    check("vote", SignedConsensusMsg::Vote(SignedMessage::new(vote(block), SIGNATURE)));
    check("vote for nothing", SignedConsensusMsg::Vote(SignedMessage::new(vote(NilOrVal::Nil), SIGNATURE)));
    let proposal = Proposal {
        height: Height(7),
        round: Round::new(2),
        value: BlockId([9; 32]),
        pol_round: Round::Nil,
        proposer: address(2),
    };
    check("proposal", SignedConsensusMsg::Proposal(SignedMessage::new(proposal, SIGNATURE)));
}

fn polka(signatures: usize) -> PolkaCertificate<LedgerContext> {
    PolkaCertificate {
        height: Height(7),
        round: Round::new(1),
        value_id: BlockId([9; 32]),
        polka_signatures: (0..signatures)
            .map(|index| PolkaSignature::new(address(index as u8), SIGNATURE))
            .collect(),
    }
}

fn skip(signatures: usize) -> RoundCertificate<LedgerContext> {
    let one = RoundSignature::new(VoteType::Precommit, NilOrVal::Nil, address(3), SIGNATURE);
    RoundCertificate {
        height: Height(7),
        round: Round::new(1),
        cert_type: RoundCertificateType::Skip,
        round_signatures: vec![one; signatures],
    }
}

#[test]
fn liveness_and_log() {
    let block = NilOrVal::Val(BlockId([9; 32]));
    check("liveness vote", LivenessMsg::Vote(SignedMessage::new(vote(block), SIGNATURE)));
    check("polka", LivenessMsg::PolkaCertificate(polka(3)));
    check("skip", LivenessMsg::SkipRoundCertificate(skip(3)));
    check("logged polka", polka(MEMBERS_MAX));
    let value = ProposedValue::<LedgerContext> {
        height: Height(7),
        round: Round::new(1),
        valid_round: Round::Nil,
        proposer: address(4),
        value: BlockId([9; 32]),
        validity: Validity::Invalid,
    };
    check("logged value", value);
}

#[test]
fn parts_and_streams() {
    let init = Init { height: 7, round: Round::new(0), pol_round: Round::Nil, proposer: PublicKey([1; 32]) };
    let fin = Part::Fin(Fin { id: [9; 32], signature: SIGNATURE });
    let id = || StreamId::new(Bytes::from_static(b"stream"));
    check("init", Part::Init(init));
    check("data", Part::Data(vec![7; PART_BYTES]));
    check("fin", fin.clone());
    check("stream", StreamMessage::new(id(), 3, StreamContent::Data(fin)));
    check("stream end", StreamMessage::<Part>::new(id(), 4, StreamContent::Fin));
    let data = StreamContent::Data(Part::Data(vec![7; PART_BYTES]));
    check("full part", StreamMessage::new(id(), 1, data));
}

fn response(values: usize, bytes: usize, signatures: usize) -> Response<LedgerContext> {
    let signed = (0..signatures)
        .map(|index| ExtendedCommitSignature::new(address(index as u8), SIGNATURE, None))
        .collect::<Vec<_>>();
    let value = |index: usize| {
        let certificate = ExtendedCommitCertificate {
            height: Height(7 + index as u64),
            round: Round::new(0),
            value_id: BlockId([9; 32]),
            commit_signatures: signed.clone(),
        };
        RawDecidedValue::new(vec![1; bytes].into(), certificate)
    };
    Response::ValueResponse(ValueResponse::new(Height(7), (0..values).map(value).collect()))
}

#[test]
fn proofs_and_sync() {
    let peer = peer_id(&PublicKey([3; 32]));
    let proof = ValidatorProof::<LedgerContext>::new(vec![1; 32], peer.to_bytes(), SIGNATURE);
    check("proof", proof);
    check(
        "status",
        Status::<LedgerContext> { peer_id: peer, tip_height: Height(9), history_min_height: Height(1) },
    );
    check("request", Request::<LedgerContext>::ValueRequest(ValueRequest::new(Height(3)..=Height(7))));
    check("response", response(3, 100, 4));
    check("empty response", response(0, 0, 0));
    for (values, bytes, signatures) in [(0, 0, 0), (1, 0, 0), (2, 1000, 4), (1, BODY_BYTES_MAX, 128)] {
        let message = response(values, bytes, signatures);
        let encoded = LedgerCodec::default().encode(&message).unwrap().len();
        assert_eq!(LedgerCodec::default().encoded_len(&message), Ok(encoded), "the length is told exactly");
    }
}

/// What an honest encoder cannot be made to say is built by hand: `wire` after the version byte.
fn refused<T>(name: &str, wire: &impl borsh::BorshSerialize)
where
    LedgerCodec: Codec<T, Error = CodecError>,
{
    let bytes = [vec![1], borsh::to_vec(wire).unwrap()].concat();
    let read = Codec::<T>::decode(&LedgerCodec::default(), bytes.into());
    assert!(matches!(read, Err(CodecError::Bounds(_))), "{name}: {:?}", read.err());
}

#[test]
fn lists_keys_and_ranges_are_bounded() {
    type Ctx = LedgerContext;
    let good = peer_id(&PublicKey([3; 32])).to_bytes();
    let mut rsa = good.clone();
    rsa[3] = 0;
    let sha = [vec![0x12, 0x20], vec![7; 32]].concat();
    let endless = vec![0xff; 38];
    for (name, peer) in [("nothing", vec![]), ("rsa", rsa), ("sha", sha), ("endless varint", endless)] {
        refused::<Status<Ctx>>(name, &(peer.clone(), 9u64, 1u64));
        refused::<ValidatorProof<Ctx>>(name, &(vec![1u8; 32], peer, SIGNATURE));
    }
    refused::<ValidatorProof<Ctx>>("a short key", &(vec![1u8; 31], good, SIGNATURE));
    refused::<Request<Ctx>>("backwards", &(7u64, 3u64));
    refused::<Request<Ctx>>("too many", &(1u64, 1 + SYNC_HEIGHTS_MAX as u64));
    refused::<Request<Ctx>>("everything", &(0u64, u64::MAX));
    refused::<PolkaCertificate<Ctx>>("signatures", &polka(MEMBERS_MAX + 1));
    refused::<LivenessMsg<Ctx>>("votes", &(2u8, skip(2 * MEMBERS_MAX + 1)));
    refused::<Part>("an empty part", &Part::Data(Vec::new()));
    refused::<Part>("a part too large", &Part::Data(vec![0; PART_BYTES + 1]));
    let end: Option<Part> = None;
    refused::<StreamMessage<Part>>("no stream id", &(Vec::<u8>::new(), 0u64, end.clone()));
    refused::<StreamMessage<Part>>("a long stream id", &(vec![0u8; 65], 0u64, end.clone()));
    refused::<StreamMessage<Part>>("a far part", &(vec![0u8; 8], STREAM_PARTS_MAX, end));
    let many = LedgerCodec::default().encode(&response(SYNC_HEIGHTS_MAX + 1, 1, 0)).unwrap();
    assert!(matches!(
        Codec::<Response<Ctx>>::decode(&LedgerCodec::default(), many),
        Err(CodecError::Bounds(_))
    ));
    let large = LedgerCodec::default().encode(&response(1, BODY_BYTES_MAX + 33, 0)).unwrap();
    assert!(matches!(
        Codec::<Response<Ctx>>::decode(&LedgerCodec::default(), large),
        Err(CodecError::Bounds(_))
    ));
}
