//! One rule for signatures (ZIP-215) on every way into a node: 14 keys by 14 points of small order or unusual encoding, by scalars
//! within and beyond the order of the group; then random signatures, broken or not.

use hansa_contracts_abi::testing::Numbers;
use hansa_ledger::action::SetKey;
use hansa_ledger::block::{Block, Validator, members_hash};
use hansa_ledger::id::{BlobHash, ChainId};
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Principal, Roles};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::{Cache, PublicKey, SecretKey, Signature, Signed, verify_bytes};
use hansa_node::consensus::ValidatorInfo;
use hansa_node::consensus::certificate::{Certificate, precommit_bytes, verify_certificate};
use hansa_node::consensus::signing::MemberVerifier;
use hansa_node::network::AdvertBook;
use hansa_node_api::pass::ReadPass;
use hansa_node_api::peer::advert::{Advert, AdvertContent};
use hansa_node_api::peer::blob::{BlobCall, BlobDirection, BlobRequest, BlobTerms, check_call};
use hansa_node_api::peer::log::{LogCall, LogTerms, check_log_call};
use hansa_node_api::signed::RequestTerms;

const NOW: u64 = 1_800_000_000_000;
const CHAIN: [u8; 32] = [1; 32];

/// Every encoding of a point of small order: eight canonical ones, and six with a coordinate not below the prime or a sign of zero.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The order of the group, least byte first.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn honest() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Letter {
    signer: PublicKey,
    signature: Signature,
    text: Vec<u8>,
}

impl Signed for Letter {
    fn signer(&self) -> PublicKey {
        self.signer
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        self.text.clone()
    }
}

/// Whether each of these holds, in one call of a fresh cache.
fn together(letters: &[Letter]) -> Vec<bool> {
    Cache::new(99).verify_all(letters.to_vec()).iter().map(Result::is_ok).collect()
}

/// Each way of checking one signature over the same text.
fn over_text(letter: &Letter) -> Vec<(&'static str, bool)> {
    let mut ways = vec![
        ("alone", verify_bytes(&letter.signer, &letter.text, &letter.signature).is_ok()),
        ("cache", Cache::new(9).verify(letter.clone()).is_ok()),
        ("batch of one", together(std::slice::from_ref(letter))[0]),
        ("member", MemberVerifier::new(CHAIN).holds(&letter.signer, &letter.text, &letter.signature)),
    ];
    for place in 0..4 {
        let mut all: Vec<Letter> = (1u8..4)
            .map(|number| {
                let (key, text) = (SecretKey::from_bytes([number; 32]), vec![number; 5]);
                Letter { signer: key.public_key(), signature: key.sign(&text), text }
            })
            .collect();
        all.insert(place, letter.clone());
        let verdicts = together(&all);
        let others = (0..4).filter(|at| *at != place).all(|at| verdicts[at]);
        assert!(others, "a sound signature is refused beside another");
        ways.push(("batch", verdicts[place]));
    }
    ways
}

/// Each way into a node that carries a signature over bytes of its own, with this key and signature put in: for a key of small
/// order the text does not matter.
fn over_own(key: PublicKey, signature: Signature) -> Vec<(&'static str, bool)> {
    let (chain, node) = (ChainId(CHAIN), honest().public_key());
    let transaction =
        Transaction { chain, signer: key, nonce: 0, valid_until: TimeMs(NOW), actions: Vec::new() };
    let signed = SignedTransaction { transaction, signature };
    let principal = Principal::Organisation(hansa_ledger::id::OrganisationId([2; 32]));
    let set =
        SetKey { key, roles: Roles::BID, amount_max: None, proof: Some(Possession { principal, signature }) };
    let registration = Transaction {
        chain,
        signer: honest().public_key(),
        nonce: 0,
        valid_until: TimeMs(NOW),
        actions: vec![set.into()],
    }
    .sign(&honest());
    let pass = [&CHAIN[..], &key.0, &NOW.to_le_bytes(), &signature.0].concat();
    let pass = ReadPass::from_bearer(&hex::encode(pass)).unwrap();
    let request = RequestTerms {
        chain,
        method: "GET".to_owned(),
        path: "/v1/leases".to_owned(),
        body: BlobHash([0; 32]),
        expires: TimeMs(NOW),
    };
    let blob = BlobTerms {
        chain_id: CHAIN,
        node,
        direction: BlobDirection::Get,
        hash: [3; 32],
        offset: 0,
        length: 5,
        total: 0,
        lease: [4; 32],
        requester: key,
        expires_ms: NOW + 10_000,
    };
    let blob = BlobCall { request: BlobRequest { terms: blob, signature }, slice: Vec::new() };
    let log = LogTerms {
        chain_id: CHAIN,
        node,
        lease: [2; 32],
        job: 0,
        offset: 0,
        hash: *blake3::hash(b"").as_bytes(),
        ended: false,
        sender: key,
        expires_ms: NOW + 10_000,
    };
    let log = LogCall { terms: log, signature, bytes: Vec::new() };
    let advert = Advert { content: advert(key), signature };
    let (node_takes, client_takes) = certificates(key, signature);
    vec![
        ("transaction", Cache::new(9).verify(signed.clone()).is_ok()),
        ("transactions", Cache::new(9).verify_all(vec![registration_of_nothing(), signed])[1].is_ok()),
        ("proof of possession", Cache::new(9).verify(registration.clone()).is_ok()),
        (
            "proof of possession in a batch",
            Cache::new(9).verify_all(vec![registration, registration_of_nothing()])[0].is_ok(),
        ),
        ("read pass", Cache::new(9).verify(pass).is_ok()),
        ("signed request", request.verify(&key, &signature).is_ok()),
        ("blob", check_call(&blob, &CHAIN, &node, NOW).is_ok()),
        ("log", check_log_call(&log, &CHAIN, &node, NOW).is_ok()),
        ("advert", AdvertBook::new().hear(&advert.encode(), &CHAIN, NOW, |_, _| true).is_ok()),
        ("certificate at a node", node_takes.0),
        ("certificate by the engine's memory", node_takes.1),
        ("certificate at a light client", client_takes),
    ]
}

fn registration_of_nothing() -> SignedTransaction {
    let (chain, signer) = (ChainId(CHAIN), honest().public_key());
    Transaction { chain, signer, nonce: 1, valid_until: TimeMs(NOW), actions: Vec::new() }.sign(&honest())
}

fn advert(signer: PublicKey) -> AdvertContent {
    AdvertContent {
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
        signer,
    }
}

/// A certificate of a federation in which this key is one of four members, and its signature one of three.
fn certificates(key: PublicKey, signature: Signature) -> ((bool, bool), bool) {
    let others: Vec<SecretKey> = (1..4).map(|byte| SecretKey::from_bytes([byte; 32])).collect();
    let golden = hex::decode(include_str!("../../../golden/block.hex").trim_end()).unwrap();
    let mut header = Block::decode(&golden).unwrap().header;
    let member = |code: &str, key| Validator { member: code.parse().unwrap(), key };
    let keys = others.iter().map(SecretKey::public_key);
    let mut validators: Vec<Validator> =
        ["DE", "EE", "ES"].into_iter().zip(keys).map(|(code, key)| member(code, key)).collect();
    validators.push(member("FR", key));
    header.members_hash = members_hash(&validators);
    let id = header.id().0;
    let signed = precommit_bytes(&header.chain.0, header.height, 0, &id);
    let mut signatures: Vec<_> =
        others[..2].iter().map(|one| (one.public_key(), one.sign(&signed))).collect();
    signatures.push((key, signature));
    signatures.sort_by_key(|(key, _)| key.0);
    let certificate = Certificate { height: header.height, round: 0, id, signatures };
    let infos: Vec<ValidatorInfo> =
        validators.iter().map(|one| ValidatorInfo { name: one.member.to_string(), key: one.key }).collect();
    let node = verify_certificate(&header.chain.0, &infos, &certificate).is_ok();
    let engine = MemberVerifier::new(header.chain.0).verify_certificate(&infos, &certificate).is_ok();
    let client = hansa_node_api::certificate::verify(&header, &certificate.to_bytes(), &validators).is_ok();
    ((node, engine), client)
}

/// The scalar plus a number of orders of the group, if it fits in its 32 bytes.
fn beyond(scalar: u8, times: u8) -> [u8; 32] {
    let order: [u8; 32] = bytes(ORDER);
    let mut sum = [0u8; 32];
    sum[0] = scalar;
    for _ in 0..times {
        let mut carry = 0u16;
        for (byte, more) in sum.iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(more);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
    }
    sum
}

#[test]
fn every_way_in_takes_the_same_signatures_at_the_edge() {
    let mut checked = 0;
    for key in SMALL_ORDER {
        for point in SMALL_ORDER {
            // 0 solves the equation; 1 does not; each of them plus the order, up to what 32 bytes hold, is another text of it.
            for (scalar, times, expected) in
                [(0, 0, true), (1, 0, false), (0, 1, false), (1, 1, false), (0, 2, false), (0, 15, false)]
            {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&bytes::<32>(point));
                signature[32..].copy_from_slice(&beyond(scalar, times));
                let (key, signature) = (PublicKey(bytes(key)), Signature(signature));
                let letter = Letter { signer: key, signature, text: b"Zcash".to_vec() };
                for (way, holds) in over_text(&letter).into_iter().chain(over_own(key, signature)) {
                    assert_eq!(holds, expected, "{way}: {key}, {point}, {scalar} + {times} orders");
                    checked += 1;
                }
            }
        }
    }
    assert_eq!(checked, 14 * 14 * 6 * 20);
}

#[test]
fn a_good_scalar_plus_the_order_is_no_other_signature() {
    for number in 0..20u8 {
        let key = SecretKey::from_bytes([number; 32]);
        let text = vec![number; 7];
        let good = Letter { signer: key.public_key(), signature: key.sign(&text), text };
        assert!(over_text(&good).iter().all(|(_, holds)| *holds));
        let order = beyond(0, 1);
        let mut other = good.clone();
        let mut carry = 0u16;
        for (byte, more) in other.signature.0[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(more);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert!(over_text(&other).iter().all(|(_, holds)| !holds), "{number}");
    }
}

/// A signature as somebody might send it: good, or with key, point, scalar or text from elsewhere.
fn some_letter(numbers: &mut Numbers) -> Letter {
    let key = SecretKey::from_bytes([numbers.below(40) as u8; 32]);
    let text: Vec<u8> = (0..numbers.below(40)).map(|_| numbers.next() as u8).collect();
    let mut letter = Letter { signer: key.public_key(), signature: key.sign(&text), text };
    let small = |numbers: &mut Numbers| bytes::<32>(numbers.pick(&SMALL_ORDER));
    match numbers.below(10) {
        0 => letter.signer.0 = small(numbers),
        1 => letter.signature.0[..32].copy_from_slice(&small(numbers)),
        2 => {
            letter.signer.0 = small(numbers);
            letter.signature.0[..32].copy_from_slice(&small(numbers));
            letter.signature.0[32..].copy_from_slice(&beyond(numbers.below(2) as u8, numbers.below(3) as u8));
        }
        3 => letter.signature.0[numbers.below(64) as usize] ^= 1 << numbers.below(8),
        4 => letter.signer.0[numbers.below(32) as usize] ^= 1 << numbers.below(8),
        5 => letter.text.push(0),
        6 => letter.signature.0[..32].iter_mut().for_each(|byte| *byte = numbers.next() as u8),
        _ => {}
    }
    letter
}

/// `HANSA_CASES=100000` tries as many.
#[test]
fn random_signatures_get_one_verdict_whatever_their_way() {
    let cases = hansa_contracts_abi::testing::cases(400);
    let mut numbers = Numbers::new(215);
    let (mut held, mut refused) = (0u64, 0u64);
    let mut last: Vec<Letter> = Vec::new();
    for case in 0..cases {
        let letter = some_letter(&mut numbers);
        let ways = over_text(&letter);
        let expected = ways[0].1;
        assert!(ways.iter().all(|(_, holds)| *holds == expected), "case {case}: {ways:?}, {letter:?}");
        if expected {
            held += 1
        } else {
            refused += 1
        }
        last.push(letter);
        if last.len() == 16 {
            // Sixteen at once, unsound ones among them, in an order of their own.
            let expected: Vec<bool> =
                last.iter().map(|one| verify_bytes(&one.signer, &one.text, &one.signature).is_ok()).collect();
            assert_eq!(together(&last), expected, "case {case}");
            let mut order: Vec<usize> = (0..16).collect();
            for at in (1..16).rev() {
                order.swap(at, numbers.below(at as u64 + 1) as usize);
            }
            let shuffled: Vec<Letter> = order.iter().map(|at| last[*at].clone()).collect();
            let expected: Vec<bool> = order.iter().map(|at| expected[*at]).collect();
            assert_eq!(together(&shuffled), expected, "case {case}, shuffled");
            last.clear();
        }
    }
    assert!(held > cases / 5 && refused > cases / 5, "{held} held, {refused} were refused");
}
