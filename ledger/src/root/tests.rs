use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A key hash whose first bits are those of `start` and whose rest is `end`, so that deep and shared paths occur.
fn key(start: u8, end: u8) -> Hash {
    let mut key = [0u8; 32];
    key[0] = start;
    key[31] = end;
    key
}

fn number(number: u64) -> Hash {
    key_hash(1, &number.to_le_bytes())
}

fn trie(rows: &BTreeMap<Hash, Hash>) -> Trie {
    let updates: Vec<Update> = rows.iter().map(|(key, value)| (*key, Some(*value))).collect();
    Trie::new().apply(&updates)
}

/// The root as the definition has it, from nothing, sharing no code with the trie but the hashes of leaf and branch.
fn by_definition(rows: &[Row], depth: usize) -> Hash {
    if rows.len() <= LEAF_ROWS_MAX {
        return leaf_hash(rows);
    }
    let (left, right): (Vec<Row>, Vec<Row>) =
        rows.iter().partition(|(key, _)| (key[depth / 8] >> (7 - depth % 8)) & 1 == 0);
    branch_hash(&by_definition(&left, depth + 1), &by_definition(&right, depth + 1))
}

fn root_by_definition(rows: &BTreeMap<Hash, Hash>) -> Hash {
    let rows: Vec<Row> = rows.iter().map(|(key, value)| (*key, *value)).collect();
    by_definition(&rows, 0)
}

fn any_update() -> impl Strategy<Value = Update> {
    let spread = (any::<u8>(), 0..4u8).prop_map(|(start, end)| key(start, end));
    let crowded = (0..2u8, any::<u8>()).prop_map(|(start, end)| key(start, end));
    (prop_oneof![spread, crowded], prop::option::weighted(0.6, 0..3u8))
        .prop_map(|(key, value)| (key, value.map(|value| [value; 32])))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_way_to_the_same_rows_gives_the_same_root(
        batches in prop::collection::vec(prop::collection::vec(any_update(), 0..60), 1..8),
    ) {
        let mut rows = BTreeMap::new();
        let mut trie = Trie::new();
        for batch in &batches {
            let (before, base) = (trie.root(), trie.clone());
            for (key, value) in batch {
                match value {
                    Some(value) => rows.insert(*key, *value),
                    None => rows.remove(key),
                };
            }
            trie = trie.apply(batch);
            prop_assert_eq!(trie.root(), root_by_definition(&rows));
            prop_assert_eq!(trie.rows(), rows.len());
            prop_assert_eq!(base.root(), before, "the base of a change stays as it was");
        }
        for (key, value) in &rows {
            prop_assert_eq!(trie.get(key), Some(value));
        }
        let removals: Vec<Update> = rows.keys().rev().map(|key| (*key, None)).collect();
        prop_assert_eq!(trie.apply(&removals).root(), Trie::new().root());
    }

    #[test]
    fn every_row_and_every_gap_can_be_proven(
        updates in prop::collection::vec(any_update(), 0..120),
        asked in any_update(),
        other in any::<[u8; 32]>(),
    ) {
        let trie = Trie::new().apply(&updates);
        let (root, key) = (trie.root(), asked.0);
        let proof = trie.prove(&key);
        let value = trie.get(&key).copied();
        prop_assert_eq!(verify(&root, &key, value.as_ref(), &proof), Ok(()));
        let expected = if value.is_some() { ProofError::OtherValue } else { ProofError::Absent };
        prop_assert_eq!(verify(&root, &key, Some(&other), &proof), Err(expected));
        if value.is_some() {
            prop_assert_eq!(verify(&root, &key, None, &proof), Err(ProofError::Present));
        }
        prop_assert!(verify(&other, &key, value.as_ref(), &proof).is_err());
    }
}

/// The subtrees a key can be absent from: an empty trie, a leaf, and an empty half below branches.
fn shapes() -> Vec<(&'static str, Trie, Hash)> {
    let leaf: BTreeMap<Hash, Hash> = (0..5u8).map(|end| (key(7, end), [1; 32])).collect();
    let crowd: BTreeMap<Hash, Hash> = (0..40u8).map(|end| (key(0x80, end), [2; 32])).collect();
    vec![
        ("an empty trie", Trie::new(), key(1, 1)),
        ("one leaf", trie(&leaf), key(7, 9)),
        ("an empty half at the top", trie(&crowd), key(0x01, 0)),
        ("an empty half further down", trie(&crowd), key(0x81, 0)),
        ("a leaf far down", trie(&crowd), key(0x80, 41)),
    ]
}

#[test]
fn absence_is_proven_in_every_shape_and_no_byte_may_change() {
    for (shape, trie, absent) in shapes() {
        let (root, proof) = (trie.root(), trie.prove(&absent));
        assert_eq!(verify(&root, &absent, None, &proof), Ok(()), "{shape}");
        assert_eq!(verify(&root, &absent, Some(&[1; 32]), &proof), Err(ProofError::Absent), "{shape}");
        check_flips(shape, &root, &absent, None, &proof);
    }
}

#[test]
fn presence_is_proven_and_no_byte_may_change() {
    let rows: BTreeMap<Hash, Hash> = (0..300).map(|row| (number(row), value_hash(&[7]))).collect();
    let trie = trie(&rows);
    for row in 0..300 {
        let proof = trie.prove(&number(row));
        assert_eq!(verify(&trie.root(), &number(row), Some(&value_hash(&[7])), &proof), Ok(()));
    }
    let key = number(123);
    check_flips("presence", &trie.root(), &key, Some(&value_hash(&[7])), &trie.prove(&key));
}

/// Flips every bit of the proof's bytes, and of the value and the root: nothing of it may still hold.
fn check_flips(name: &str, root: &Hash, key: &Hash, value: Option<&Hash>, proof: &Proof) {
    let bytes = borsh::to_vec(proof).unwrap();
    assert_eq!(borsh::from_slice::<Proof>(&bytes).unwrap(), *proof);
    for at in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[at / 8] ^= 1 << (at % 8);
        let held =
            borsh::from_slice::<Proof>(&changed).is_ok_and(|proof| verify(root, key, value, &proof).is_ok());
        assert!(!held, "{name}: bit {at}");
    }
    for at in 0..32 {
        let mut changed = *root;
        changed[at] ^= 1;
        assert!(verify(&changed, key, value, proof).is_err(), "{name}: root byte {at}");
        if let Some(value) = value {
            let mut changed = *value;
            changed[at] ^= 1;
            assert_eq!(verify(root, key, Some(&changed), proof), Err(ProofError::OtherValue), "{name}: {at}");
        }
    }
}

#[test]
fn a_proof_for_one_key_does_not_speak_of_another() {
    let rows: BTreeMap<Hash, Hash> = (0..300).map(|row| (number(row), [3; 32])).collect();
    let trie = trie(&rows);
    let proof = trie.prove(&number(5));
    for row in 0..300 {
        let in_leaf = proof.rows.iter().any(|(key, _)| key.0 == number(row));
        // The leaf shows all of its rows; for any other row the same bytes prove neither presence nor absence.
        assert_eq!(verify(&trie.root(), &number(row), Some(&[3; 32]), &proof).is_ok(), in_leaf);
        let expected = if in_leaf { ProofError::Present } else { ProofError::Misplaced };
        assert_eq!(verify(&trie.root(), &number(row), None, &proof), Err(expected));
    }
}

#[test]
fn a_proof_longer_than_any_path_is_refused() {
    let too_deep = Proof { siblings: vec![Digest([0; 32]); DEPTH_MAX + 1], rows: Vec::new() };
    let too_wide = Proof { siblings: Vec::new(), rows: vec![(Digest([0; 32]), Digest([0; 32])); 17] };
    for proof in [too_deep, too_wide] {
        assert_eq!(verify(&[0; 32], &[0; 32], None, &proof), Err(ProofError::TooLong));
    }
}

#[test]
fn keys_that_differ_in_the_last_bit_alone_split_at_the_last_branch() {
    // 17 rows share all bits but the last five: the path to them is as long as it gets.
    let rows: BTreeMap<Hash, Hash> = (0..17u8).map(|end| (key(0, end), [end; 32])).collect();
    let trie = trie(&rows);
    let proof = trie.prove(&key(0, 3));
    assert_eq!(proof.siblings.len(), 252);
    assert_eq!(verify(&trie.root(), &key(0, 3), Some(&[3; 32]), &proof), Ok(()));
    // One row less and the whole path folds into one leaf.
    let folded = trie.apply(&[(key(0, 16), None)]);
    assert_eq!(folded.prove(&key(0, 3)).siblings.len(), 0);
    assert_eq!(folded.apply(&[(key(0, 16), Some([16; 32]))]), trie);
}

#[test]
fn of_several_updates_of_one_key_the_last_counts() {
    let updates = [(number(1), Some([1; 32])), (number(1), None), (number(1), Some([2; 32]))];
    assert_eq!(Trie::new().apply(&updates).get(&number(1)), Some(&[2; 32]));
    assert_eq!(Trie::new().apply(&updates[..2]).rows(), 0);
}

#[test]
fn tables_and_kinds_of_input_do_not_collide() {
    assert_ne!(key_hash(1, b"x"), key_hash(2, b"x"));
    assert_ne!(key_hash(b'x', b""), value_hash(b"x"));
    assert_ne!(leaf_hash(&[([1; 32], [2; 32])]), branch_hash(&[1; 32], &[2; 32]));
}

#[test]
fn a_proof_from_a_million_rows_has_less_than_two_kilobytes() {
    let updates: Vec<Update> = (0..1_000_000).map(|row| (number(row), Some([9; 32]))).collect();
    let trie = Trie::new().apply(&updates);
    let sizes = (0..20_000).map(|row| borsh::to_vec(&trie.prove(&number(row * 97))).unwrap().len());
    let largest = sizes.max().unwrap();
    assert!(largest <= 2_000, "{largest} bytes");
}

#[test]
fn a_proof_in_json_is_hexadecimal() {
    let trie = Trie::new().apply(&[(number(1), Some([1; 32]))]);
    let proof = trie.prove(&number(1));
    let json = serde_json::to_string(&proof).unwrap();
    assert!(json.contains(&hex::encode([1u8; 32])), "{json}");
    assert_eq!(serde_json::from_str::<Proof>(&json).unwrap(), proof);
}
