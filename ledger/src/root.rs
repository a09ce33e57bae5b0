//! The state root: a binary trie over the hashes of all rows, cheap to change, cheap to prove from.
//!
//! A subtree of at most [`LEAF_ROWS_MAX`] rows is one leaf over its sorted (key hash, value hash) pairs. The shape follows from
//! the set of keys alone, so two members that hold the same rows hold the same root, however they came to them.
//! Nodes are shared: a new trie copies the paths it changes and keeps the rest, so that a block may be executed on trial.

use crate::id::{Hash, order};
use hansa_ledger_signature::fixed_bytes;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The most rows one leaf holds; a subtree with more is a branch.
pub const LEAF_ROWS_MAX: usize = 16;

/// The longest path: one branch for each bit of a key hash.
pub const DEPTH_MAX: usize = 256;

// Each kind of input is hashed under a key of its own, so that no leaf passes for a branch or a row; a branch is then
// exactly one block of BLAKE3.
const KEY_DOMAIN: &Hash = b"hansa/root/key..................";
const VALUE_DOMAIN: &Hash = b"hansa/root/value................";
const LEAF_DOMAIN: &Hash = b"hansa/root/leaf.................";
const BRANCH_DOMAIN: &Hash = b"hansa/root/branch...............";

/// The place of a row in the trie: the hash of its table's number and its key.
#[must_use]
pub fn key_hash(table: u8, key: &[u8]) -> Hash {
    *blake3::Hasher::new_keyed(KEY_DOMAIN).update(&[table]).update(key).finalize().as_bytes()
}

/// What the trie holds of a row's value.
#[must_use]
pub fn value_hash(value: &[u8]) -> Hash {
    *blake3::keyed_hash(VALUE_DOMAIN, value).as_bytes()
}

/// A row as the trie sees it: (key hash, value hash).
type Row = (Hash, Hash);

/// A change of one row: (key hash, value hash), or no value hash to remove it.
pub type Update = (Hash, Option<Hash>);

/// A set of rows with its root. A clone costs nothing; a changed trie shares all it did not change.
#[derive(Clone, Debug, Default)]
pub struct Trie {
    top: Link,
}

/// A subtree; `None` holds no rows.
type Link = Option<Arc<Node>>;

#[derive(Debug)]
struct Node {
    hash: Hash,
    rows: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Leaf(Box<[Row]>),
    Branch(Link, Link),
}

impl Trie {
    /// A trie without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The root: the hash that commits to all rows.
    #[must_use]
    pub fn root(&self) -> Hash {
        link_hash(&self.top)
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        link_rows(&self.top)
    }

    /// The value hash of one row.
    #[must_use]
    pub fn get(&self, key: &Hash) -> Option<&Hash> {
        let mut link = &self.top;
        for depth in 0..=DEPTH_MAX {
            match &link.as_ref()?.kind {
                Kind::Leaf(rows) => return find(rows, key),
                Kind::Branch(left, right) => link = if bit(key, depth) { right } else { left },
            }
        }
        None
    }

    /// The trie after `updates`, in any order; of several for one key the last counts. Removing what is not there changes
    /// nothing. Each node on a touched path is hashed once, however many updates lie below it.
    #[must_use]
    pub fn apply(&self, updates: &[Update]) -> Self {
        let mut sorted = updates.to_vec();
        // Last first among equals, for `dedup_by_key` keeps the first.
        sorted.reverse();
        sorted.sort_by(|(one, _), (next, _)| order(one, next));
        sorted.dedup_by_key(|(key, _)| *key);
        Self { top: changed(&self.top, 0, &sorted) }
    }

    /// [`Self::apply`] of updates that name each key once.
    pub(crate) fn apply_distinct(&self, mut updates: Vec<Update>) -> Self {
        updates.sort_unstable_by(|(one, _), (next, _)| order(one, next));
        debug_assert!(updates.is_sorted_by(|(one, _), (next, _)| one < next), "each key once");
        Self { top: changed(&self.top, 0, &updates) }
    }

    /// What shows that the row of `key` has its value, or that there is none.
    #[must_use]
    pub fn prove(&self, key: &Hash) -> Proof {
        let mut proof = Proof::default();
        let mut link = &self.top;
        for depth in 0..=DEPTH_MAX {
            match link.as_ref().map(|node| &node.kind) {
                None => break,
                Some(Kind::Leaf(rows)) => {
                    proof.rows = rows.iter().map(|(key, value)| (Digest(*key), Digest(*value))).collect();
                    break;
                }
                Some(Kind::Branch(left, right)) => {
                    let (next, sibling) = if bit(key, depth) { (right, left) } else { (left, right) };
                    proof.siblings.push(Digest(link_hash(sibling)));
                    link = next;
                }
            }
        }
        proof
    }
}

/// Equal rows, and therefore equal roots.
impl PartialEq for Trie {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Trie {}

fixed_bytes!(
    /// A hash inside a proof: raw bytes on the wire, hexadecimal in JSON.
    Digest,
    32
);

/// What shows, with a root, the value or the absence of one row. At a million rows it has less than 2 kB.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The hashes beside the path, from the root down.
    pub siblings: Vec<Digest>,
    /// All rows of the leaf at its end: (key hash, value hash), in order of keys; none where the path ends in nothing.
    pub rows: Vec<(Digest, Digest)>,
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// More siblings or rows than any trie has.
    #[error("the proof is longer than any path of the state; ask another member for one")]
    TooLong,
    /// The rows are out of order, or do not belong below the path.
    #[error(
        "the rows of the proof cannot stand in one leaf on the path of the key; ask another member for one"
    )]
    Misplaced,
    /// The proof leads to another root.
    #[error(
        "the proof does not lead to this root; check that the height of the root and of the proof are the same"
    )]
    OtherRoot,
    /// The row has another value.
    #[error("the proof shows another value for this key")]
    OtherValue,
    /// The row was expected, and is absent.
    #[error("the proof shows that nothing is stored under this key")]
    Absent,
    /// The row was expected to be absent, and is not.
    #[error("the proof shows that something is stored under this key")]
    Present,
}

/// Checks that under `root` the row of `key` has the value hash `value`, or is absent if there is none.
///
/// # Errors
/// Says what the proof fails to show.
pub fn verify(root: &Hash, key: &Hash, value: Option<&Hash>, proof: &Proof) -> Result<(), ProofError> {
    if proof.siblings.len() > DEPTH_MAX || proof.rows.len() > LEAF_ROWS_MAX {
        return Err(ProofError::TooLong);
    }
    let rows: Vec<Row> = proof.rows.iter().map(|(key, value)| (key.0, value.0)).collect();
    let depth = proof.siblings.len();
    let below_path = rows.iter().all(|(row, _)| (0..depth).all(|at| bit(row, at) == bit(key, at)));
    if !below_path || !rows.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(ProofError::Misplaced);
    }
    let mut hash = leaf_hash(&rows);
    for (depth, sibling) in proof.siblings.iter().enumerate().rev() {
        hash = if bit(key, depth) { branch_hash(&sibling.0, &hash) } else { branch_hash(&hash, &sibling.0) };
    }
    if hash != *root {
        return Err(ProofError::OtherRoot);
    }
    match (find(&rows, key), value) {
        (Some(found), Some(expected)) if found == expected => Ok(()),
        (Some(_), Some(_)) => Err(ProofError::OtherValue),
        (None, Some(_)) => Err(ProofError::Absent),
        (Some(_), None) => Err(ProofError::Present),
        (None, None) => Ok(()),
    }
}

/// The subtree at `depth` after `updates`, which are sorted, without repetition, and all belong below it.
fn changed(link: &Link, depth: usize, updates: &[Update]) -> Link {
    if updates.is_empty() {
        return link.clone();
    }
    match link.as_ref().map(|node| &node.kind) {
        None => build(&merged(&[], updates), depth),
        Some(Kind::Leaf(rows)) => {
            let after = merged(rows, updates);
            if *after == **rows { link.clone() } else { build(&after, depth) }
        }
        Some(Kind::Branch(left, right)) => {
            let middle = updates.partition_point(|(key, _)| !bit(key, depth));
            let (lower, upper) = updates.split_at(middle);
            let below = depth.saturating_add(1);
            let (left_after, right_after) = (changed(left, below, lower), changed(right, below, upper));
            if is_same(left, &left_after) && is_same(right, &right_after) {
                return link.clone();
            }
            join(left_after, right_after)
        }
    }
}

/// The subtree at `depth` that holds `rows`, which are sorted and without repetition.
fn build(rows: &[Row], depth: usize) -> Link {
    if rows.is_empty() {
        return None;
    }
    if rows.len() <= LEAF_ROWS_MAX {
        return Some(leaf(rows.into()));
    }
    // More rows than a leaf holds differ in some bit, so the depth stays below that of the last bit.
    let (left, right) = rows.split_at(rows.partition_point(|(key, _)| !bit(key, depth)));
    let below = depth.saturating_add(1);
    Some(branch(build(left, below), build(right, below)))
}

/// Two halves as one subtree: a leaf if they fit into one, so that the shape follows from the rows alone.
fn join(left: Link, right: Link) -> Link {
    let rows = link_rows(&left).saturating_add(link_rows(&right));
    if rows > LEAF_ROWS_MAX {
        return Some(branch(left, right));
    }
    let mut all = Vec::with_capacity(rows);
    collect(&left, &mut all);
    collect(&right, &mut all);
    if all.is_empty() { None } else { Some(leaf(all.into())) }
}

fn collect(link: &Link, rows: &mut Vec<Row>) {
    match link.as_ref().map(|node| &node.kind) {
        None => {}
        Some(Kind::Leaf(own)) => rows.extend_from_slice(own),
        Some(Kind::Branch(left, right)) => {
            collect(left, rows);
            collect(right, rows);
        }
    }
}

/// `rows` after `updates`, both sorted and without repetition.
fn merged(rows: &[Row], updates: &[Update]) -> Vec<Row> {
    let mut after = Vec::with_capacity(rows.len().saturating_add(updates.len()));
    let (mut old, mut new) = (rows.iter().peekable(), updates.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return after,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((row, _)), Some((update, _))) => order(row, update),
        };
        if order == Ordering::Less {
            after.extend(old.next());
            continue;
        }
        if order == Ordering::Equal {
            old.next();
        }
        after.extend(new.next().and_then(|(key, value)| value.map(|value| (*key, value))));
    }
}

fn leaf(rows: Box<[Row]>) -> Arc<Node> {
    Arc::new(Node { hash: leaf_hash(&rows), rows: rows.len(), kind: Kind::Leaf(rows) })
}

fn branch(left: Link, right: Link) -> Arc<Node> {
    let hash = branch_hash(&link_hash(&left), &link_hash(&right));
    let rows = link_rows(&left).saturating_add(link_rows(&right));
    Arc::new(Node { hash, rows, kind: Kind::Branch(left, right) })
}

/// The hash of a leaf; of nothing, the leaf without rows.
fn leaf_hash(rows: &[Row]) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(LEAF_DOMAIN);
    for (key, value) in rows {
        hasher.update(key).update(value);
    }
    *hasher.finalize().as_bytes()
}

fn branch_hash(left: &Hash, right: &Hash) -> Hash {
    let mut both = [0u8; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    *blake3::keyed_hash(BRANCH_DOMAIN, &both).as_bytes()
}

fn link_hash(link: &Link) -> Hash {
    link.as_ref().map_or_else(|| leaf_hash(&[]), |node| node.hash)
}

fn link_rows(link: &Link) -> usize {
    link.as_ref().map_or(0, |node| node.rows)
}

fn is_same(one: &Link, other: &Link) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

fn find<'row>(rows: &'row [Row], key: &Hash) -> Option<&'row Hash> {
    let at = rows.binary_search_by_key(&key, |(row, _)| row).ok()?;
    rows.get(at).map(|(_, value)| value)
}

/// The bit of `key` that chooses the side at `depth`, the highest bit of the first byte first.
fn bit(key: &Hash, depth: usize) -> bool {
    key.get(depth >> 3).is_some_and(|byte| byte & (0x80u8 >> (depth & 7)) != 0)
}
