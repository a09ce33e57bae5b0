//! One rule for signatures, whatever the way they come.

use super::Verdict;
use hansa_ledger_signature::{Cache, PublicKey, SecretKey, Signature, SignatureError, Signed, verify_bytes};
use hansa_node::consensus::signing::MemberVerifier;

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

fn letter(number: u8) -> Letter {
    let key = SecretKey::from_bytes([number; 32]);
    let text = vec![number; 9];
    Letter { signer: key.public_key(), signature: key.sign(&text), text }
}

/// A key, a signature and a text: alone, in a batch of one, in batches with others in two orders, and as members check each other.
pub fn paths(bytes: &[u8]) -> Verdict {
    let Some((key, rest)) = bytes.split_first_chunk::<32>() else { return Verdict::Refused };
    let Some((signature, text)) = rest.split_first_chunk::<64>() else { return Verdict::Refused };
    let odd = Letter { signer: PublicKey(*key), signature: Signature(*signature), text: text.to_vec() };
    let alone = verify_bytes(&odd.signer, &odd.text, &odd.signature);
    let all = |letters: Vec<Letter>| -> Vec<Result<(), SignatureError>> {
        Cache::new(99).verify_all(letters).into_iter().map(|one| one.map(|_| ())).collect()
    };
    assert_eq!(all(vec![odd.clone()]), [alone], "a batch of one");
    let mut others: Vec<Letter> = (1..6).map(letter).collect();
    others.insert(usize::from(key[0] % 6), odd.clone());
    let expected = |letters: &[Letter]| -> Vec<_> {
        letters.iter().map(|one| if *one == odd { alone } else { Ok(()) }).collect()
    };
    assert_eq!(all(others.clone()), expected(&others), "a batch");
    others.reverse();
    assert_eq!(all(others.clone()), expected(&others), "the batch in another order");
    assert_eq!(
        MemberVerifier::new([1; 32]).holds(&odd.signer, &odd.text, &odd.signature),
        alone.is_ok(),
        "members"
    );
    Verdict::of(&alone)
}

pub fn path_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (10..14)
        .map(|number| {
            let Letter { signer, signature, text } = letter(number);
            [&signer.0[..], &signature.0, &text].concat()
        })
        .collect();
    // A key and a point of small order: the equation holds for the scalar 0.
    let one = [&[1u8][..], &[0; 31]].concat();
    seeds.push([&one[..], &one, &[0; 32], b"Zcash"].concat());
    seeds
}
