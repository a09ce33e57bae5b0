//! Canonical bytes of values, made quickly: a block encodes thousands of rows, most of them some dozens of small fields.

use borsh::BorshSerialize;
use borsh::io::{Result, Write};

/// Most rows and facts are shorter; what is longer moves to the heap.
const SHORT: usize = 1_024;

/// Memory to encode into, one value after another. It stands on the stack while values are short, and writing a field into it
/// is a copy of known width, where a growing vector would look and call for each.
pub(crate) struct Scratch {
    short: [u8; SHORT],
    long: Vec<u8>,
    length: usize,
}

impl Scratch {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self { short: [0; SHORT], long: Vec::new(), length: 0 }
    }

    /// The borsh encoding of `value`, in place of what was here before.
    pub(crate) fn encode(&mut self, value: &impl BorshSerialize) -> &[u8] {
        self.length = 0;
        value.serialize(self).expect("encoding into memory cannot fail");
        let length = self.length;
        self.room().get(..length).unwrap_or_default()
    }

    #[inline(always)]
    fn room(&mut self) -> &mut [u8] {
        if self.long.is_empty() { &mut self.short } else { &mut self.long }
    }

    #[cold]
    fn grow(&mut self, bytes: &[u8]) {
        let needed = self.length.saturating_add(bytes.len());
        let mut long = self.room().to_vec();
        long.resize(needed.saturating_mul(2), 0);
        self.long = long;
        if let Some(room) = self.long.get_mut(self.length..needed) {
            room.copy_from_slice(bytes);
        }
    }
}

impl Write for Scratch {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let from = self.length;
        let room = self.room().get_mut(from..).and_then(|left| left.split_at_mut_checked(bytes.len()));
        match room {
            Some((room, _)) => room.copy_from_slice(bytes),
            None => self.grow(bytes),
        }
        self.length = from.saturating_add(bytes.len());
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The borsh encoding of `value`, in no more memory than it takes: such bytes stay in rows.
pub(crate) fn encode(value: &impl BorshSerialize) -> Vec<u8> {
    Scratch::new().encode(value).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_encoded_alike_whatever_its_length_and_whatever_stood_there_before() {
        let mut scratch = Scratch::new();
        for length in [0, 1, 31, 1_000, 1_015, 1_016, 1_017, 5_000, 3, 40_000, 0, 1_016, 100_000] {
            let value = (7u64, vec![0xa5u8; length], Some(length as u32), vec![3u64; length / 9]);
            let expected = borsh::to_vec(&value).unwrap();
            assert_eq!(scratch.encode(&value), expected, "{length}");
            assert_eq!(encode(&value), expected, "{length}");
        }
    }
}
