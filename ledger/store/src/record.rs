//! Where each record lies in the database, and the checksum every value carries.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    error::{StoreError, hexadecimal},
    store::{Checkpoint, CheckpointInfo, Hash},
};

/// First byte of every key.
pub(crate) mod table {
    /// sequence u64, part u32 -> bytes. Keyed by a counter, not by id, so that bodies are appended side by side.
    pub(crate) const BODY: u8 = b'b';
    /// id -> [`super::BodyIndex`].
    pub(crate) const BODY_INDEX: u8 = b'i';
    /// height -> [`super::HeightIndex`].
    pub(crate) const HEIGHT: u8 = b'd';
    /// height -> certificate.
    pub(crate) const CERTIFICATE: u8 = b'c';
    /// height, round, id -> record.
    pub(crate) const UNDECIDED: u8 = b'u';
    /// table, key -> value: the latest checkpoint.
    pub(crate) const ROW: u8 = b'r';
    /// height, number -> rows on their way into ROW.
    pub(crate) const JOURNAL: u8 = b'j';
    /// BLAKE3 of the evidence -> evidence.
    pub(crate) const EVIDENCE: u8 = b'e';
    /// height -> what outlives the forgetting of the block.
    pub(crate) const WAYPOINT: u8 = b'w';
}

// Single records have keys under `m`.
pub(crate) const FORMAT_KEY: &[u8] = b"mformat";
pub(crate) const TIP_KEY: &[u8] = b"mtip";
/// The lowest height with a body, u64.
pub(crate) const HISTORY_KEY: &[u8] = b"mhistory";
pub(crate) const CHECKPOINT_KEY: &[u8] = b"mcheckpoint";
pub(crate) const JOURNAL_KEY: &[u8] = b"mjournal";

/// Format of the keys and records of this file.
pub(crate) const FORMAT: u32 = 1;

const CHECKSUM_BYTES: usize = 8;

/// Where the parts of a body lie.
#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct BodyIndex {
    pub(crate) sequence: u64,
    pub(crate) parts: u32,
    pub(crate) bytes: u64,
}

/// What was decided at a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct HeightIndex {
    pub(crate) block: Hash,
    pub(crate) root: Hash,
}

/// A checkpoint, with what is needed to notice that a row is missing or extra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct CheckpointRecord {
    pub(crate) height: u64,
    pub(crate) root: Hash,
    pub(crate) protocol_version: u32,
    pub(crate) rows: RowSum,
}

impl CheckpointRecord {
    pub(crate) fn info(&self) -> CheckpointInfo {
        CheckpointInfo { height: self.height, root: self.root, protocol_version: self.protocol_version }
    }
}

/// A whole journal that may not be in the rows yet.
#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct JournalRecord {
    pub(crate) height: u64,
    pub(crate) chunks: u32,
}

/// One change in a journal: table, key, new value.
pub(crate) type RowChange = (u8, Vec<u8>, Option<Vec<u8>>);

/// Count and sum of the hashes of a set of rows; the order does not matter, so a change costs the same however many rows
/// there are. It notices accidents, not an attacker: the state root is for those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct RowSum {
    pub(crate) count: u64,
    sum: [u64; 4],
}

impl RowSum {
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_add(1);
        for (lane, word) in self.sum.iter_mut().zip(words(key, value)) {
            *lane = lane.wrapping_add(word);
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        for (lane, word) in self.sum.iter_mut().zip(words(key, value)) {
            *lane = lane.wrapping_sub(word);
        }
    }
}

fn words(key: &[u8], value: &[u8]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest(key, value).as_bytes().as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

fn digest(key: &[u8], value: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(value);
    hasher.finalize()
}

/// Appends the checksum. It covers the key too, so a value that turns up under another key is noticed.
pub(crate) fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let checksum = digest(key, &value);
    value.extend_from_slice(&checksum.as_bytes()[..CHECKSUM_BYTES]);
    value
}

/// Checks and removes the checksum.
pub(crate) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (value, checksum) =
        sealed.len().checked_sub(CHECKSUM_BYTES).map(|length| sealed.split_at(length)).ok_or_else(|| {
            StoreError::damaged(format!("the value of key {} is cut short", hexadecimal(key)))
        })?;
    if digest(key, value).as_bytes()[..CHECKSUM_BYTES] != *checksum {
        return Err(StoreError::damaged(format!("the checksum of key {} does not match", hexadecimal(key))));
    }
    Ok(value)
}

pub(crate) fn encode(record: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(record).expect("writing plain records to memory cannot fail")
}

pub(crate) fn decode<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    T::try_from_slice(bytes).map_err(|error| {
        StoreError::damaged(format!("the record of key {} is unreadable: {error}", hexadecimal(key)))
    })
}

pub(crate) fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![table];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub(crate) fn body_index_key(id: &Hash) -> Vec<u8> {
    key(table::BODY_INDEX, &[id])
}

pub(crate) fn body_key(sequence: u64, part: u32) -> Vec<u8> {
    key(table::BODY, &[&sequence.to_be_bytes(), &part.to_be_bytes()])
}

pub(crate) fn height_key(height: u64) -> Vec<u8> {
    key(table::HEIGHT, &[&height.to_be_bytes()])
}

pub(crate) fn certificate_key(height: u64) -> Vec<u8> {
    key(table::CERTIFICATE, &[&height.to_be_bytes()])
}

pub(crate) fn undecided_key(height: u64, round: u32, id: &Hash) -> Vec<u8> {
    key(table::UNDECIDED, &[&height.to_be_bytes(), &round.to_be_bytes(), id])
}

/// Height, round and id of an undecided key.
pub(crate) fn undecided_parts(key: &[u8]) -> Result<(u64, u32, Hash), StoreError> {
    let parse = || {
        let (height, rest) = key.get(1..)?.split_first_chunk::<8>()?;
        let (round, rest) = rest.split_first_chunk::<4>()?;
        Some((u64::from_be_bytes(*height), u32::from_be_bytes(*round), Hash::try_from(rest).ok()?))
    };
    parse().ok_or_else(|| StoreError::damaged(format!("key {} has no proposal's form", hexadecimal(key))))
}

pub(crate) fn row_key(table: u8, row: &[u8]) -> Vec<u8> {
    key(table::ROW, &[&[table], row])
}

pub(crate) fn journal_key(height: u64, chunk: u32) -> Vec<u8> {
    key(table::JOURNAL, &[&height.to_be_bytes(), &chunk.to_be_bytes()])
}

pub(crate) fn waypoint_key(height: u64) -> Vec<u8> {
    key(table::WAYPOINT, &[&height.to_be_bytes()])
}

pub(crate) fn evidence_key(evidence: &[u8]) -> Vec<u8> {
    key(table::EVIDENCE, &[blake3::hash(evidence).as_bytes()])
}

/// Bytes of all rows of a checkpoint, roughly: what its journal will take.
pub(crate) fn checkpoint_bytes(checkpoint: &Checkpoint) -> u64 {
    checkpoint
        .rows
        .iter()
        .map(|((_, key), value)| {
            (key.len() as u64).saturating_add(value.as_ref().map_or(0, |value| value.len() as u64))
        })
        .fold(0, |sum, bytes| sum.saturating_add(bytes.saturating_add(16)))
}

#[cfg(test)]
mod tests {
    use super::{RowSum, seal, unseal};

    #[test]
    fn a_sealed_value_is_refused_when_any_bit_or_its_key_changes() {
        let sealed = seal(b"key", b"value".to_vec());
        assert_eq!(unseal(b"key", &sealed).unwrap(), b"value");
        assert!(unseal(b"kez", &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"key", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(unseal(b"key", &sealed[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_sum_of_rows_depends_on_the_rows_alone() {
        let (mut forth, mut back) = (RowSum::default(), RowSum::default());
        forth.add(b"a", b"1");
        forth.add(b"b", b"2");
        back.add(b"b", b"2");
        back.add(b"c", b"3");
        back.add(b"a", b"1");
        assert_ne!(forth, back);
        back.remove(b"c", b"3");
        assert_eq!(forth, back);
        back.remove(b"a", b"1");
        back.add(b"a", b"2");
        assert_ne!(forth, back, "same count, another value");
    }
}
