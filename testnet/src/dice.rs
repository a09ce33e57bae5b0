//! Chance that can be had again: numbers that follow from a seed.

/// A generator of numbers, the same for one seed on every machine (SplitMix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Dice of their own for one purpose: what one of them throws says nothing about the other.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        let mut child = Self { state: self.state ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93) };
        child.throw();
        child
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where that is 0. The bias is below `end` / 2^64.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.throw()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// An index into a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// `count` different indices into a list of this length, in any order; all of them where it is shorter.
    pub fn choose(&mut self, length: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..length).collect();
        for at in 0..count.min(length) {
            let other = at + self.index(length - at);
            all.swap(at, other);
        }
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_throws_everywhere() {
        // The first numbers that SplitMix64 is published with.
        let mut dice = Dice::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| dice.throw()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let dice = Dice::new(7);
        assert_eq!(dice.fork(1).throw(), dice.fork(1).throw());
        assert_ne!(dice.fork(1).throw(), dice.fork(2).throw());
    }

    #[test]
    fn throws_stay_within_their_bounds_and_reach_all_of_them() {
        let mut dice = Dice::new(3);
        let mut seen = [false; 5];
        for _ in 0..500 {
            seen[dice.index(5)] = true;
            assert!((3..=6).contains(&dice.between(3, 6)));
            let mut chosen = dice.choose(5, 3);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 3, "chosen ones differ");
        }
        assert_eq!((seen, dice.below(0), dice.choose(2, 9).len()), ([true; 5], 0, 2));
    }
}
