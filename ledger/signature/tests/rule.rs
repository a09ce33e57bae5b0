//! One rule: single, batch of one, batch of many and bisection give the same verdict on every signature.

use hansa_ledger_signature::{
    Cache, Enclosed, Lookup, PublicKey, SecretKey, Signature, SignatureError, Signed, verify_bytes,
};

/// Something signed.
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

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn secret(number: u64) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn letter(number: u64) -> Letter {
    let key = secret(number % 7);
    let text = format!("letter {number}").into_bytes();
    Letter { signer: key.public_key(), signature: key.sign(&text), text }
}

fn single(letter: &Letter) -> Result<(), SignatureError> {
    verify_bytes(&letter.signer, &letter.text, &letter.signature)
}

/// The verdicts of one call of a fresh cache.
fn together(letters: &[Letter]) -> Vec<Result<(), SignatureError>> {
    Cache::new(10_000).verify_all(letters.to_vec()).into_iter().map(|one| one.map(|_| ())).collect()
}

/// Checks the verdict on one signature on every path: alone, in a batch of one, among sound ones, and among unsound ones,
/// where the batch is bisected.
fn check_everywhere(odd: &Letter, expected: Result<(), SignatureError>) {
    assert_eq!(single(odd), expected, "{odd:?}");
    assert_eq!(Cache::new(1).verify(odd.clone()).map(|_| ()), expected, "{odd:?}");
    assert_eq!(together(std::slice::from_ref(odd)), [expected], "{odd:?}");
    let forged = Letter { text: b"another text".to_vec(), ..letter(3) };
    for (others, verdict) in [(letter(2), Ok(())), (forged, Err(SignatureError::Mismatch))] {
        for place in 0..4 {
            let mut letters: Vec<Letter> = (0..3).map(|number| letter(10 + number)).collect();
            letters.push(others.clone());
            letters.insert(place, odd.clone());
            let verdicts = together(&letters);
            for (one, found) in letters.iter().zip(verdicts) {
                let expected = if one == odd {
                    expected
                } else if *one == others {
                    verdict
                } else {
                    Ok(())
                };
                assert_eq!(found, expected, "place {place}: {one:?}");
            }
        }
    }
}

/// Every encoding of a point of small order: 8 canonical ones, and 6 with a y not below the prime or a sign for x = 0.
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

fn small_order(key: &str, point: &str, scalar: u8) -> Letter {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&bytes::<32>(point));
    signature[32] = scalar;
    Letter { signer: PublicKey(bytes(key)), signature: Signature(signature), text: b"Zcash".to_vec() }
}

#[test]
fn the_grid_of_small_order_points_is_accepted_on_every_path() {
    let mut all = Vec::new();
    for key in SMALL_ORDER {
        for point in SMALL_ORDER {
            let odd = small_order(key, point, 0);
            check_everywhere(&odd, Ok(()));
            // With another scalar the equation does not hold.
            check_everywhere(&small_order(key, point, 1), Err(SignatureError::Mismatch));
            all.push(odd);
        }
    }
    assert_eq!(all.len(), 196);
    assert!(together(&all).iter().all(Result::is_ok));
    // All of them again, with one forgery among them that sends them through the bisection.
    all.insert(77, small_order(SMALL_ORDER[0], SMALL_ORDER[0], 1));
    let verdicts = together(&all);
    assert_eq!(verdicts.iter().filter(|verdict| verdict.is_err()).count(), 1);
    assert_eq!(verdicts[77], Err(SignatureError::Mismatch));
}

#[test]
fn what_is_no_point_is_refused_on_every_path() {
    let good = letter(1);
    let no_key = Letter { signer: PublicKey([2; 32]), ..good.clone() };
    check_everywhere(&no_key, Err(SignatureError::KeyMalformed));
    let mut no_point = good.clone();
    no_point.signature.0[..32].copy_from_slice(&[2; 32]);
    check_everywhere(&no_point, Err(SignatureError::Mismatch));
}

/// The order of the group, least byte first.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn a_scalar_plus_the_order_is_refused_on_every_path() {
    let order: [u8; 32] = bytes(ORDER);
    for number in 0..20 {
        let good = letter(number);
        check_everywhere(&good, Ok(()));
        let mut second = good.clone();
        let mut carry = 0u16;
        for (byte, more) in second.signature.0[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(more);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert_eq!(carry, 0);
        check_everywhere(&second, Err(SignatureError::Mismatch));
    }
    // The order itself for 0.
    let mut zero = small_order(SMALL_ORDER[0], SMALL_ORDER[0], 0);
    zero.signature.0[32..].copy_from_slice(&order);
    check_everywhere(&zero, Err(SignatureError::Mismatch));
}

#[test]
fn the_vectors_of_rfc_8032_hold() {
    for (secret, public, text, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ] {
        let key = SecretKey::from_bytes(bytes(secret));
        let text = hex::decode(text).unwrap();
        assert_eq!(key.public_key(), PublicKey(bytes(public)));
        assert_eq!(key.sign(&text), Signature(bytes(signature)));
        let good = Letter { signer: key.public_key(), signature: key.sign(&text), text };
        check_everywhere(&good, Ok(()));
        for byte in [0, 31, 32, 63] {
            let mut changed = good.clone();
            changed.signature.0[byte] ^= 1;
            check_everywhere(&changed, Err(SignatureError::Mismatch));
        }
    }
}

#[test]
fn planted_forgeries_are_found_wherever_they_stand() {
    let mut random = blake3::Hasher::new().update(b"planted forgeries").finalize_xof();
    let mut below = |bound: u64| {
        let mut word = [0; 8];
        random.fill(&mut word);
        u64::from_le_bytes(word) % bound
    };
    let mut forged = 0;
    for round in 0..200 {
        let count = 1 + below(40);
        let bad_of_ten = below(11);
        let letters: Vec<Letter> = (0..count)
            .map(|number| {
                let mut one = letter(round * 100 + number);
                if below(10) < bad_of_ten {
                    match below(5) {
                        0 => one.text.push(b'!'),
                        1 => one.signature.0[usize::try_from(below(64)).unwrap()] ^= 1 << below(8),
                        2 => one.signer = secret(100 + number).public_key(),
                        3 => one.signer.0[usize::try_from(below(32)).unwrap()] ^= 1 << below(8),
                        _ => one.signature = letter(round * 100 + number + 1).signature,
                    }
                }
                one
            })
            .collect();
        let expected: Vec<_> = letters.iter().map(single).collect();
        forged += expected.iter().filter(|verdict| verdict.is_err()).count();
        assert_eq!(together(&letters), expected, "round {round}");
        let mut reversed = letters;
        reversed.reverse();
        assert_eq!(together(&reversed), expected.into_iter().rev().collect::<Vec<_>>(), "round {round}");
    }
    assert!(forged > 1_000, "{forged}");
}

#[test]
fn each_signature_is_checked_once_however_often_it_comes_by() {
    let mut cache = Cache::new(100);
    let letters: Vec<Letter> = (0..10).map(letter).collect();
    assert!(!cache.knows(&letters[0]));
    for _ in 0..3 {
        assert!(cache.verify_all(letters.clone()).iter().all(Result::is_ok));
        assert!(cache.verify(letters[4].clone()).is_ok());
        assert_eq!(cache.checks(), 10);
    }
    assert!(cache.knows(&letters[0]));
    // Twice in one call, and the second time after it was refused.
    let fresh = [letter(50), letter(50), letter(51)].to_vec();
    assert!(cache.verify_all(fresh).iter().all(Result::is_ok));
    assert_eq!(cache.checks(), 12);
    let forged = Letter { text: b"forged".to_vec(), ..letter(1) };
    let verdicts = cache.verify_all(vec![forged.clone(), letter(52), forged.clone()]);
    assert_eq!(verdicts.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(cache.checks(), 14);
    // What was refused is not remembered, and what stands beside it is.
    assert!(!cache.knows(&forged) && cache.knows(&letter(52)));
    assert_eq!(cache.verify(forged), Err(SignatureError::Mismatch));
    assert_eq!(cache.checks(), 15);
}

#[test]
fn two_lookups_at_once_check_each_signature_once() {
    let mut cache = Cache::new(100);
    assert!(cache.verify(letter(0)).is_ok());
    let forged = Letter { text: b"forged".to_vec(), ..letter(1) };
    let mut first = Lookup::new(vec![letter(0), letter(1), letter(2), letter(2), forged.clone()]);
    let mut second = Lookup::new(vec![letter(2), letter(3), forged.clone()]);
    cache.claim(&mut first);
    cache.claim(&mut second);
    // The cache is free while both check.
    first.check();
    second.check();
    assert!(!cache.knows(&letter(2)) && !cache.knows(&letter(3)), "not before it is settled");
    cache.settle(&mut second);
    cache.claim(&mut second);
    assert!(second.is_open() && !second.has_claims(), "the first has two of the second's in hand");
    cache.settle(&mut first);
    cache.claim(&mut first);
    assert!(!first.is_open() && !first.has_claims());
    assert_eq!(cache.checks(), 5, "letters 0 to 3 and the forgery, once each");
    cache.claim(&mut second);
    assert!(
        second.has_claims() && !second.is_open(),
        "a refusal is not remembered, so it is the second's now"
    );
    second.check();
    cache.settle(&mut second);
    assert_eq!(cache.checks(), 6);
    let oks = |lookup: Lookup<Letter>| lookup.into_verdicts().iter().map(Result::is_ok).collect::<Vec<_>>();
    assert_eq!(oks(first), [true, true, true, true, false]);
    assert_eq!(oks(second), [true, true, false]);
    // What is given up can be claimed by another, and is never taken for checked.
    let mut third = Lookup::new(vec![letter(9), forged.clone()]);
    cache.claim(&mut third);
    cache.give_up(&mut third);
    let mut fourth = Lookup::new(vec![letter(9)]);
    cache.claim(&mut fourth);
    assert!(fourth.has_claims());
    assert_eq!(oks(third), [true, false]);
}

/// A letter with letters of others in it.
#[derive(Clone, Debug)]
struct Bundle {
    outer: Letter,
    inner: Vec<Letter>,
}

impl Bundle {
    fn new(number: u64, inner: Vec<Letter>) -> Self {
        let text = format!("bundle {number} {inner:?}").into_bytes();
        let outer = Letter { signer: secret(1).public_key(), signature: secret(1).sign(&text), text };
        Self { outer, inner }
    }
}

impl Signed for Bundle {
    fn signer(&self) -> PublicKey {
        self.outer.signer
    }

    fn signature(&self) -> Signature {
        self.outer.signature
    }

    fn signing_bytes(&self) -> Vec<u8> {
        self.outer.text.clone()
    }

    fn enclosed(&self) -> Vec<Enclosed> {
        let enclose = |one: &Letter| Enclosed {
            signer: one.signer,
            signature: one.signature,
            signing_bytes: one.text.clone(),
        };
        self.inner.iter().map(enclose).collect()
    }
}

#[test]
fn what_a_value_carries_within_is_checked_and_counted_with_it() {
    let forged = Letter { text: b"forged".to_vec(), ..letter(1) };
    let no_point = Letter { signer: PublicKey([2; 32]), ..letter(1) };
    let sound = |number| Bundle::new(number, vec![letter(number), letter(number + 1)]);
    let mut unsigned = sound(9);
    unsigned.outer.signature.0[0] ^= 1;
    for (odd, expected) in [
        (Bundle::new(0, Vec::new()), Ok(())),
        (sound(5), Ok(())),
        (Bundle::new(1, vec![forged.clone()]), Err(SignatureError::EnclosedMismatch)),
        (Bundle::new(2, vec![letter(3), forged]), Err(SignatureError::EnclosedMismatch)),
        (Bundle::new(3, vec![no_point]), Err(SignatureError::EnclosedMismatch)),
        (unsigned, Err(SignatureError::Mismatch)),
    ] {
        assert_eq!(Cache::new(9).verify(odd.clone()).map(|_| ()), expected);
        let mut cache = Cache::new(9);
        let signatures = 6 + 1 + odd.inner.len() as u64;
        let verdicts = cache.verify_all(vec![sound(10), odd.clone(), sound(20)]);
        let verdicts: Vec<_> = verdicts.into_iter().map(|one| one.map(|_| ())).collect();
        assert_eq!(verdicts, [Ok(()), expected, Ok(())]);
        assert_eq!(cache.checks(), signatures);
        // Known as a whole: what is within is not checked again.
        assert!(cache.verify(sound(10)).is_ok());
        assert_eq!(cache.checks(), signatures);
        assert_eq!(cache.knows(&odd), expected.is_ok());
    }
}

#[test]
fn the_cache_forgets_the_oldest_and_holds_no_more_than_it_may() {
    let mut cache = Cache::new(3);
    for number in 0..5 {
        assert!(cache.verify(letter(number)).is_ok());
    }
    let known: Vec<bool> = (0..5).map(|number| cache.knows(&letter(number))).collect();
    assert_eq!(known, [false, false, true, true, true]);
    cache.verify_all((10..20).map(letter).collect());
    let known = (0..20).filter(|number| cache.knows(&letter(*number))).collect::<Vec<_>>();
    assert_eq!(known, [17, 18, 19]);
    let mut none = Cache::new(0);
    assert!(none.verify(letter(1)).is_ok() && !none.knows(&letter(1)));
}

#[test]
fn a_known_content_with_another_signature_signer_or_text_is_checked_anew() {
    let mut cache = Cache::new(100);
    let good = letter(1);
    assert!(cache.verify(good.clone()).is_ok());
    let mut signature = good.clone();
    signature.signature.0[0] ^= 1;
    let signer = Letter { signer: secret(99).public_key(), ..good.clone() };
    let text = Letter { text: b"else".to_vec(), ..good };
    for (count, changed) in [signature, signer, text].into_iter().enumerate() {
        assert!(!cache.knows(&changed));
        assert_eq!(cache.verify(changed), Err(SignatureError::Mismatch));
        assert_eq!(cache.checks(), 2 + count as u64);
    }
}

#[test]
fn batches_beyond_the_largest_are_verified_in_parts() {
    let mut letters: Vec<Letter> = (0..2_100).map(letter).collect();
    for place in [0, 1_023, 1_024, 2_099] {
        letters[place].text.push(b'!');
    }
    let verdicts = together(&letters);
    let refused: Vec<usize> =
        verdicts.iter().enumerate().filter(|(_, verdict)| verdict.is_err()).map(|(place, _)| place).collect();
    assert_eq!(refused, [0, 1_023, 1_024, 2_099]);
}

#[test]
fn weak_keys_are_known() {
    for key in SMALL_ORDER {
        assert!(PublicKey(bytes(key)).is_weak(), "{key}");
    }
    // Not on the curve, and two spellings of points of large order whose y is not below the prime.
    for key in [
        "0202020202020202020202020202020202020202020202020202020202020202",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        assert!(PublicKey(bytes(key)).is_weak(), "{key}");
    }
    for number in 0..50 {
        assert!(!secret(number).public_key().is_weak());
    }
    assert!(!SecretKey::generate().public_key().is_weak());
}

#[test]
fn a_secret_key_shows_nothing_of_itself() {
    let key = secret(1);
    assert_eq!(format!("{key:?} {key:#?}"), "SecretKey(hidden) SecretKey(hidden)");
    let shown = format!("{:?}", Some(&key));
    let raw = hex::encode(*key.to_bytes());
    assert!(!shown.contains(&raw[..8]));
    assert_ne!(*SecretKey::generate().to_bytes(), *SecretKey::generate().to_bytes());
    assert_eq!(*key.clone().to_bytes(), *key.to_bytes());
}

#[test]
fn keys_and_signatures_are_hexadecimal_in_text_and_raw_on_the_wire() {
    let good = letter(1);
    let text = good.signer.to_string();
    assert_eq!(text, hex::encode(good.signer.0));
    assert_eq!(text.parse(), Ok(good.signer));
    assert_eq!(text.to_uppercase().parse(), Ok(good.signer));
    for spoiled in ["", &text[1..], &format!("{text}00"), &format!("zz{}", &text[2..])] {
        assert_eq!(spoiled.parse::<PublicKey>(), Err("expected 64 hexadecimal characters".to_owned()));
    }
    assert_eq!(borsh::to_vec(&good.signature).unwrap(), good.signature.0);
    assert_eq!(borsh::from_slice::<PublicKey>(&good.signer.0).unwrap(), good.signer);
    assert!(borsh::from_slice::<PublicKey>(&good.signer.0[1..]).is_err());
}
