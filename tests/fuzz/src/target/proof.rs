//! Proofs: what they show is true, whoever wrote them.

use super::Verdict;
use crate::corpus::golden;
use crate::scene::Scene;
use hansa_ledger::merkle;
use hansa_ledger::root::{self, Trie, key_hash, value_hash};
use std::cell::OnceCell;

/// A tree of rows, and their keys and values.
struct Rows {
    trie: Trie,
    rows: Vec<([u8; 32], Option<[u8; 32]>)>,
}

thread_local! {
    static ROWS: OnceCell<Rows> = const { OnceCell::new() };
}

fn with_rows<T>(act: impl FnOnce(&Rows) -> T) -> T {
    ROWS.with(|cell| {
        act(cell.get_or_init(|| {
            let world = Scene::new().world;
            let there = world.rows().into_iter();
            let mut rows: Vec<_> =
                there.map(|(table, key, value)| (key_hash(table, &key), Some(value_hash(&value)))).collect();
            rows.truncate(120);
            // And as many that are not there.
            rows.extend((0u8..120).map(|number| (key_hash(200, &[number]), None)));
            Rows { trie: world.state.trie().clone(), rows }
        }))
    })
}

/// First byte: the row. Second: whether the claim is of it, of its absence, or of another value. Then the proof.
pub fn state(bytes: &[u8]) -> Verdict {
    let [row, claim, bytes @ ..] = bytes else { return Verdict::Refused };
    let Ok(proof) = borsh::from_slice::<root::Proof>(bytes) else { return Verdict::Refused };
    with_rows(|all| {
        let (key, truth) = &all.rows[usize::from(*row) % all.rows.len()];
        let claimed = match claim % 3 {
            0 => *truth,
            1 => None,
            _ => Some(value_hash(&[*claim])),
        };
        let shown = root::verify(&all.trie.root(), key, claimed.as_ref(), &proof);
        if shown.is_ok() {
            assert_eq!(claimed, *truth, "a proof of what is not so");
        }
        Verdict::of(&shown)
    })
}

pub fn state_seeds() -> Vec<Vec<u8>> {
    with_rows(|all| {
        let wanted = [0u8, 1, 7, 60, 119, 120, 130, 200];
        let proofs = wanted.map(|row| {
            let proof = all.trie.prove(&all.rows[usize::from(row)].0);
            [vec![row, 0], borsh::to_vec(&proof).unwrap()].concat()
        });
        proofs.to_vec()
    })
}

fn elements() -> Vec<[u8; 32]> {
    (0u8..21).map(|number| *blake3::hash(&[number]).as_bytes()).collect()
}

/// First byte: the element. Second and third: the place and the count that are claimed. Then the proof.
pub fn list(bytes: &[u8]) -> Verdict {
    let [element, index, count, bytes @ ..] = bytes else { return Verdict::Refused };
    let Ok(proof) = borsh::from_slice::<merkle::Proof>(bytes) else { return Verdict::Refused };
    let elements = elements();
    let claimed = *blake3::hash(&[*element]).as_bytes();
    let root = merkle::root(&elements);
    let shown = merkle::verify(&root, &claimed, u64::from(*index), u64::from(*count), &proof);
    // How long the list is stands beside the root wherever one is used, so a proof is held to the true length.
    if shown.is_ok() && usize::from(*count) == elements.len() {
        assert_eq!(elements.get(usize::from(*index)), Some(&claimed), "a proof of what is not there");
    }
    Verdict::of(&shown)
}

pub fn list_seeds() -> Vec<Vec<u8>> {
    let elements = elements();
    let mut seeds: Vec<Vec<u8>> = [0u8, 1, 10, 19, 20]
        .iter()
        .map(|index| {
            let proof = merkle::prove(&elements, usize::from(*index)).unwrap();
            [vec![*index, *index, 21], borsh::to_vec(&proof).unwrap()].concat()
        })
        .collect();
    seeds.extend(golden("merkle_proof").iter().map(|bytes| [&[0, 0, 21], &bytes[..]].concat()));
    seeds
}
