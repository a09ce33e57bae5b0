//! Sets of offers as bits, so that a request asks about sixty-four offers at once.

/// A set of columns: places in the order in which a bucket tries its offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    words: Vec<u64>,
}

impl Columns {
    /// Those of the first `count` columns that `holds` is true of.
    pub(super) fn collect(count: usize, mut holds: impl FnMut(usize) -> bool) -> Self {
        let mut words = vec![0u64; words_for(count)];
        for column in (0..count).filter(|column| holds(*column)) {
            words[column / 64] |= bit(column);
        }
        Self { words }
    }

    /// The sixty-four columns of one word.
    pub(super) fn word(&self, word: usize) -> u64 {
        self.words.get(word).copied().unwrap_or(0)
    }

    /// Keeps the columns that `holds` is true of.
    pub(super) fn retain(&mut self, mut holds: impl FnMut(usize) -> bool) {
        for (word, bits) in self.words.iter_mut().enumerate() {
            for column in columns_of(word, *bits).filter(|column| !holds(*column)) {
                *bits &= !bit(column);
            }
        }
    }

    /// The columns, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(word, bits)| columns_of(word, *bits))
    }

    /// The first column.
    pub(super) fn first(&self) -> Option<usize> {
        self.iter().next()
    }
}

/// How many words hold `count` columns.
pub(super) fn words_for(count: usize) -> usize {
    count.div_ceil(64)
}

/// The bits of `word` that stand for columns before `count`.
pub(super) fn before(count: usize, word: usize) -> u64 {
    match count.saturating_sub(word.saturating_mul(64)) {
        0 => 0,
        left @ 1..64 => !(u64::MAX.wrapping_shl(u32::try_from(left).unwrap_or(0))),
        _ => u64::MAX,
    }
}

/// The bit of a column within its word.
pub(super) fn bit(column: usize) -> u64 {
    1u64.wrapping_shl(u32::try_from(column % 64).unwrap_or(0))
}

/// The columns that the bits of a word stand for, in order.
pub(super) fn columns_of(word: usize, mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = usize::try_from(bits.trailing_zeros()).ok().filter(|_| bits != 0)?;
        bits &= bits.wrapping_sub(1);
        Some(word.saturating_mul(64).saturating_add(lowest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stand_for_columns() {
        let mut odd = Columns::collect(130, |column| column % 2 == 1);
        assert_eq!(
            odd.iter().collect::<Vec<_>>(),
            (0..130).filter(|column| column % 2 == 1).collect::<Vec<_>>()
        );
        odd.retain(|column| column > 126);
        assert_eq!(odd.iter().collect::<Vec<_>>(), [127, 129]);
        assert_eq!((odd.first(), odd.word(0), odd.word(2), odd.word(3)), (Some(127), 0, 2, 0));
        for (count, word, bits) in
            [(0, 0, 0), (1, 0, 1), (64, 0, u64::MAX), (65, 1, 1), (64, 1, 0), (200, 1, u64::MAX)]
        {
            assert_eq!(before(count, word), bits, "{count} {word}");
        }
    }
}
