//! The root of a list: a binary Merkle tree over the transactions or receipts of a block.
//!
//! The shape is that of RFC 6962: the left half is the largest power of two smaller than the list, and a last element without
//! a partner moves up as it is, so no list passes for one with its last element repeated. The root also covers the length.

use crate::id::Hash;
use crate::root::Digest;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The longest proof: a list has at most 2^64 elements.
pub const SIBLINGS_MAX: usize = 64;

const LEAF_DOMAIN: &Hash = b"hansa/merkle/leaf...............";
const NODE_DOMAIN: &Hash = b"hansa/merkle/node...............";
const ROOT_DOMAIN: &Hash = b"hansa/merkle/root...............";

/// What shows, with a root, that an element stands at its place in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(pub Vec<Digest>);

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The list has no such place.
    #[error("the list has {count} elements, and the proof is for element {index} counted from 0")]
    OutOfRange {
        /// The place asked for.
        index: u64,
        /// The length of the list.
        count: u64,
    },
    /// More or fewer siblings than the place has.
    #[error("the proof has not as many hashes as a list of this length needs")]
    WrongLength,
    /// The proof leads to another root.
    #[error("the proof does not lead to this root; check that both belong to the same block")]
    OtherRoot,
}

/// The root of the list `elements`. The empty list has one too.
#[must_use]
pub fn root<E: AsRef<[u8]>>(elements: &[E]) -> Hash {
    let mut level = leaves(elements);
    while level.len() > 1 {
        level = level_above(&level);
    }
    root_hash(length(elements), level.first())
}

/// What shows that element `index` stands in the list; `None` if there is no such element.
#[must_use]
pub fn prove<E: AsRef<[u8]>>(elements: &[E], index: usize) -> Option<Proof> {
    if index >= elements.len() {
        return None;
    }
    let mut siblings = Vec::new();
    let mut level = leaves(elements);
    let mut place = index;
    while level.len() > 1 {
        siblings.extend(level.get(place ^ 1).copied().map(Digest));
        level = level_above(&level);
        place >>= 1;
    }
    Some(Proof(siblings))
}

/// Checks that `element` stands at `index` in the list of `count` elements that has this root.
///
/// # Errors
/// Says what the proof fails to show.
pub fn verify(root: &Hash, element: &[u8], index: u64, count: u64, proof: &Proof) -> Result<(), ProofError> {
    if index >= count {
        return Err(ProofError::OutOfRange { index, count });
    }
    if proof.0.len() > SIBLINGS_MAX {
        return Err(ProofError::WrongLength);
    }
    let mut siblings = proof.0.iter();
    let mut hash = leaf_hash(element);
    let (mut place, mut last) = (index, count.saturating_sub(1));
    while last > 0 {
        // The last of an odd level has no partner and moves up as it is.
        if place & 1 == 1 || place < last {
            let sibling = siblings.next().ok_or(ProofError::WrongLength)?;
            hash = if place & 1 == 1 { node_hash(&sibling.0, &hash) } else { node_hash(&hash, &sibling.0) };
        }
        place >>= 1;
        last >>= 1;
    }
    if siblings.next().is_some() {
        return Err(ProofError::WrongLength);
    }
    if root_hash(count, Some(&hash)) == *root { Ok(()) } else { Err(ProofError::OtherRoot) }
}

fn leaves<E: AsRef<[u8]>>(elements: &[E]) -> Vec<Hash> {
    elements.iter().map(|element| leaf_hash(element.as_ref())).collect()
}

fn level_above(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node_hash(left, right),
            single => single.first().copied().unwrap_or_default(),
        })
        .collect()
}

fn leaf_hash(element: &[u8]) -> Hash {
    *blake3::keyed_hash(LEAF_DOMAIN, element).as_bytes()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    *blake3::Hasher::new_keyed(NODE_DOMAIN).update(left).update(right).finalize().as_bytes()
}

/// The root covers the length, so that a proof shows the place as well as the element.
fn root_hash(count: u64, top: Option<&Hash>) -> Hash {
    let top: &[u8] = top.map_or(&[], |top| top.as_slice());
    *blake3::Hasher::new_keyed(ROOT_DOMAIN).update(&count.to_le_bytes()).update(top).finalize().as_bytes()
}

fn length<E>(elements: &[E]) -> u64 {
    u64::try_from(elements.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: u8) -> Vec<Vec<u8>> {
        (0..count).map(|element| vec![element; usize::from(element % 3)]).collect()
    }

    /// The tree of RFC 6962, section 2.1, as its text defines it.
    fn by_definition(elements: &[Vec<u8>]) -> Hash {
        match elements {
            [single] => leaf_hash(single),
            _ => {
                let (left, right) = elements.split_at(elements.len().next_power_of_two() / 2);
                node_hash(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn the_shape_is_that_of_the_definition() {
        for count in 1..40 {
            let elements = list(count);
            assert_eq!(root(&elements), root_hash(u64::from(count), Some(&by_definition(&elements))));
        }
    }

    #[test]
    fn a_proof_holds_for_its_element_place_and_length_only() {
        for count in 1..20u8 {
            let elements = list(count);
            let top = root(&elements);
            for index in 0..count {
                let proof = prove(&elements, usize::from(index)).unwrap();
                let element = &elements[usize::from(index)];
                for (claimed_index, claimed_count) in
                    (0..22u64).flat_map(|index| (0..22u64).map(move |count| (index, count)))
                {
                    let truth = claimed_index == u64::from(index) && claimed_count == u64::from(count);
                    let held = verify(&top, element, claimed_index, claimed_count, &proof).is_ok();
                    assert_eq!(held, truth, "{index} of {count} as {claimed_index} of {claimed_count}");
                }
            }
        }
    }

    #[test]
    fn a_changed_element_or_proof_fails() {
        let elements = list(13);
        let top = root(&elements);
        let proof = prove(&elements, 5).unwrap();
        assert_eq!(verify(&top, b"other", 5, 13, &proof), Err(ProofError::OtherRoot));
        for sibling in 0..proof.0.len() {
            for byte in 0..32 {
                let mut changed = proof.clone();
                changed.0[sibling].0[byte] ^= 1;
                assert_eq!(verify(&top, &elements[5], 5, 13, &changed), Err(ProofError::OtherRoot));
            }
        }
        let (mut shorter, mut longer) = (proof.clone(), proof);
        shorter.0.pop();
        longer.0.push(Digest([0; 32]));
        for proof in [shorter, longer] {
            assert_eq!(verify(&top, &elements[5], 5, 13, &proof), Err(ProofError::WrongLength));
        }
        let error = verify(&top, &elements[5], 13, 13, &Proof::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the list has 13 elements, and the proof is for element 13 counted from 0"
        );
    }

    #[test]
    fn lists_of_another_length_or_split_have_another_root() {
        let three = [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()];
        let four = [b"a".to_vec(), b"b".to_vec(), b"c".to_vec(), b"c".to_vec()];
        let none: [Vec<u8>; 0] = [];
        // The hash of an inner node taken as an element must not stand for the two below it.
        let inner = [node_hash(&leaf_hash(b"a"), &leaf_hash(b"b")).to_vec(), b"c".to_vec()];
        let roots = [root(&three), root(&four), root(&none), root(&[b""]), root(&inner)];
        for (at, one) in roots.iter().enumerate() {
            assert!(!roots[..at].contains(one), "{at}");
        }
        assert_eq!(prove(&none, 0), None);
    }
}
