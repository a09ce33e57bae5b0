//! What members say to each other to decide blocks, and what they keep of it.

use super::Verdict;
use crate::corpus::golden;
use hansa_ledger::block::{Block, Header, Validator, members_hash};
use hansa_ledger_signature::{PublicKey, SecretKey, Signature};
use hansa_node::consensus::certificate::{Certificate, precommit_bytes, quorum};
use hansa_node::consensus::codec::{MESSAGE_KINDS, peer_id, reencode};
use hansa_node::consensus::{ValidatorInfo, verify_certificate};
use std::sync::LazyLock;

pub fn consensus(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = bytes.split_first() else { return Verdict::Refused };
    match reencode(usize::from(*kind), bytes) {
        Ok(again) => {
            assert_eq!(again, bytes, "{}: another encoding", MESSAGE_KINDS[usize::from(*kind)]);
            Verdict::Accepted
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Verdict::Refused
        }
    }
}

/// Messages of every kind, written by hand: a frame is a version byte and borsh.
pub fn consensus_seeds() -> Vec<Vec<u8>> {
    let (key, signature, id) = (PublicKey([3; 32]), Signature([5; 64]), [9u8; 32]);
    let peer = peer_id(&key).to_bytes();
    let mut seeds = Vec::new();
    let mut put = |kind: u8, wire: Vec<u8>| seeds.push([vec![kind, 1], wire].concat());
    let bytes = |value: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        value(&mut bytes);
        bytes
    };
    macro_rules! wire {
        ($($value:expr),*) => { bytes(&|out: &mut Vec<u8>| { $(borsh::to_writer(&mut *out, &$value).unwrap();)* }) };
    }
    // Rounds and kinds of votes are enums of the engine: their first bytes are tried, and what is read is kept.
    for (round, vote) in [(0u8, 0u8), (1, 0), (1, 1)] {
        let round = if round == 0 { vec![0u8] } else { [vec![1u8], 1u32.to_le_bytes().to_vec()].concat() };
        for value in [vec![0u8], [vec![1u8], id.to_vec()].concat()] {
            for kind in [0u8, 1] {
                put(
                    kind,
                    [wire!(0u8, vote, 7u64), round.clone(), value.clone(), wire!(key, signature)].concat(),
                );
            }
        }
        put(0, [wire!(1u8, 7u64), round.clone(), id.to_vec(), vec![0], wire!(key, signature)].concat());
        put(2, [wire!(0u8, 7u64), round.clone(), vec![0], wire!(key)].concat());
        put(5, [wire!(7u64), round.clone(), vec![0], wire!(key, id, 1u8)].concat());
        put(6, [wire!(7u64), round.clone(), wire!(id, vec![(key, signature)])].concat());
        let value = (vec![1u8; 40], 7u64);
        put(9, [wire!(7u64, 1u32, value), round.clone(), wire!(id, vec![(key, signature)])].concat());
    }
    put(2, wire!(1u8, vec![7u8; 20]));
    put(2, wire!(2u8, id, signature));
    put(3, wire!(b"stream".to_vec(), 3u64, 1u8, 1u8, vec![7u8; 20]));
    put(3, wire!(b"stream".to_vec(), 4u64, 0u8));
    put(4, wire!(vec![1u8; 32], peer, signature));
    put(7, wire!(peer, 9u64, 1u64));
    put(8, wire!(3u64, 7u64));
    put(9, wire!(7u64, 0u32));
    seeds
}

/// Four members with their keys, and a block that they decided.
struct Council {
    keys: Vec<SecretKey>,
    validators: Vec<Validator>,
    header: Header,
}

static COUNCIL: LazyLock<Council> = LazyLock::new(|| {
    let keys: Vec<SecretKey> = (1..=4).map(|byte| SecretKey::from_bytes([byte; 32])).collect();
    let plain: Vec<Validator> =
        borsh::from_slice::<hansa_ledger::row::ValidatorSet>(&golden("validator_set")[0]).unwrap().members;
    let validators: Vec<Validator> = keys
        .iter()
        .zip(plain.iter().cycle())
        .map(|(key, one)| Validator { key: key.public_key(), ..one.clone() })
        .collect();
    let mut header = Block::decode(&golden("block")[0]).unwrap().header;
    header.members_hash = members_hash(&validators);
    Council { keys, validators, header }
});

pub fn certificate(bytes: &[u8]) -> Verdict {
    let council = &*COUNCIL;
    let (chain, id) = (council.header.chain.0, council.header.id().0);
    let light = hansa_node_api::certificate::verify(&council.header, bytes, &council.validators);
    let Ok(certificate) = Certificate::from_bytes(bytes) else {
        assert!(light.is_err(), "a light client reads what a node does not");
        return Verdict::Refused;
    };
    assert_eq!(certificate.to_bytes(), bytes, "another encoding");
    let members: Vec<ValidatorInfo> = council.validators.iter().map(info).collect();
    let full = verify_certificate(&chain, &members, &certificate);
    let of_block = (certificate.height, certificate.id) == (council.header.height, id);
    assert_eq!(full.is_ok() && of_block, light.is_ok(), "node: {full:?}, light client: {light:?}");
    if full.is_ok() {
        assert!(certificate.signatures.len() >= quorum(members.len()));
        let signed = precommit_bytes(&chain, certificate.height, certificate.round, &certificate.id);
        for (signer, signature) in &certificate.signatures {
            let own = council.keys.iter().find(|key| key.public_key() == *signer).expect("a member");
            // Signing is deterministic, so a signature that was not made by the key is another.
            assert_eq!(own.sign(&signed), *signature, "a forged signature holds");
        }
    }
    Verdict::of(&full)
}

fn info(validator: &Validator) -> ValidatorInfo {
    ValidatorInfo { name: validator.member.to_string(), key: validator.key }
}

pub fn certificate_seeds() -> Vec<Vec<u8>> {
    let council = &*COUNCIL;
    let (chain, height, id) = (council.header.chain.0, council.header.height, council.header.id().0);
    let make = |round: u32, count: usize| {
        let bytes = precommit_bytes(&chain, height, round, &id);
        let mut signatures: Vec<_> =
            council.keys.iter().take(count).map(|key| (key.public_key(), key.sign(&bytes))).collect();
        signatures.sort_by_key(|(key, _)| key.0);
        Certificate { height, round, id, signatures }.to_bytes()
    };
    [(0, 4), (1, 3), (0, 2), (0, 0)].map(|(round, count)| make(round, count)).to_vec()
}

pub fn archive(bytes: &[u8]) -> Verdict {
    let counted = hansa_node_archive::count_records(bytes);
    if let Err(error) = &counted {
        assert!(error.to_string().contains("archive"), "{error}");
    }
    Verdict::of(&counted)
}

/// Small archives, record by record: length, tag, content; last the hash of all before it.
pub fn archive_seeds() -> Vec<Vec<u8>> {
    let block =
        || [vec![1u8], borsh::to_vec(&(1u64, [1u8; 32], [2u8; 32], vec![3u8; 9], vec![4u8; 20])).unwrap()];
    let head = [vec![0u8], borsh::to_vec(&([7u8; 32], (1u64, 1u64), Some((1u64, [2u8; 32], 1u32)))).unwrap()];
    let rows = [vec![2u8], borsh::to_vec(&vec![(1u8, vec![1u8, 2], vec![3u8; 5])]).unwrap()];
    let evidence = [vec![3u8], borsh::to_vec(&vec![6u8; 12]).unwrap()];
    let lists =
        [vec![head.concat()], vec![head.concat(), evidence.concat(), block().concat(), rows.concat()]];
    lists
        .iter()
        .map(|records| {
            let mut bytes = hansa_node_archive::ARCHIVE_FORMAT.to_vec();
            let put = |bytes: &mut Vec<u8>, record: &[u8]| {
                bytes.extend((record.len() as u32).to_le_bytes());
                bytes.extend(record);
            };
            records.iter().for_each(|record| put(&mut bytes, record));
            let hash = *blake3::hash(&bytes).as_bytes();
            put(&mut bytes, &[&[4u8][..], &hash].concat());
            bytes
        })
        .collect()
}
