//! Break inputs: what decoders trip over, and parts of other inputs.

use hansa_contracts_abi::testing::Numbers;

/// Numbers at the edges of what a field can hold.
const EDGES: [u64; 14] =
    [0, 1, 2, 7, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX / 2, u64::MAX];

/// What texts trip over: digits, quotes, units, other alphabets.
const TOKENS: [&str; 30] = [
    "0",
    "1",
    "9",
    "-",
    "+",
    ".",
    "e",
    "E308",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "\n",
    " ",
    "\u{0}",
    "€",
    "µ",
    "𝄞",
    "18446744073709551615",
    "18446744073709551616",
    "%",
    "EUR/h",
    "T",
    "Z",
];

/// A source of broken inputs, the same for the same seed.
pub struct Mutator {
    numbers: Numbers,
}

impl Mutator {
    /// A source for this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { numbers: Numbers::new(seed) }
    }

    /// Which of so many comes next.
    pub fn below(&mut self, bound: usize) -> usize {
        self.numbers.below(bound.max(1) as u64) as usize
    }

    /// One of `inputs`, broken in up to eight places and no longer than `bytes_max`.
    pub fn next(&mut self, inputs: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
        let mut bytes = match inputs.len() {
            0 => Vec::new(),
            count => inputs[self.below(count)].clone(),
        };
        let places = 1 << self.below(4);
        for _ in 0..1 + self.below(places) {
            self.change(&mut bytes, inputs);
        }
        bytes.truncate(bytes_max);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let span = 1 + self.below(32);
        let end = (at + span).min(bytes.len());
        match self.below(12) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 if at < bytes.len() => bytes[at] = self.numbers.next() as u8,
            3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add([1, 0xff][self.below(2)]),
            4 | 5 => {
                let edge = EDGES[self.below(EDGES.len())].wrapping_add(self.below(3) as u64).wrapping_sub(1);
                let width = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&edge.to_le_bytes()[..width]);
            }
            6 => drop(bytes.drain(at..end)),
            7 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            8 => {
                let token = TOKENS[self.below(TOKENS.len())];
                bytes.splice(at..if self.numbers.once_in(2) { end.min(at + 1) } else { at }, token.bytes());
            }
            9 if !inputs.is_empty() => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                let until = (from + 1 + self.below(64)).min(other.len());
                bytes.splice(at..end, other[from..until].iter().copied());
            }
            10 if self.numbers.once_in(4) => bytes.truncate(at),
            _ => {
                let more = self.numbers.next().to_le_bytes();
                let count = 1 + self.below(8);
                bytes.splice(at..at, more[..count].iter().copied());
            }
        }
    }
}
