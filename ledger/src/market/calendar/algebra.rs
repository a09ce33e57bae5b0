//! Calendars made of calendars: shares, sums, differences and parts.

use super::Calendar;
use crate::time::Slot;

impl Calendar {
    /// The share of each step that a reserve takes: `reserve_bps` basis points of what is free, rounded up, then up to whole
    /// nodes, and never more than is free. All rounding favours access. A `node_size` of 0 counts as 1.
    #[must_use]
    pub fn reserved(&self, reserve_bps: u16, node_size: u32) -> Self {
        let node = u64::from(node_size.max(1));
        self.map(|free| {
            // 32 bits times 16 bits, and a multiple of a 32-bit number next to it: both fit 64 bits.
            let share = u64::from(free).saturating_mul(u64::from(reserve_bps)).div_ceil(10_000);
            let nodes = share.div_ceil(node).saturating_mul(node);
            u32::try_from(nodes).unwrap_or(u32::MAX).min(free)
        })
    }

    /// In each slot what is free here and not in `other`: the difference, or nothing where `other` has more.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.combined(other, u32::saturating_sub)
    }

    /// In each slot what is free here and in `other` together; a sum over what can be counted is the largest number.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combined(other, u32::saturating_add)
    }

    /// In each slot the lesser of what is free here and in `other`.
    #[must_use]
    pub fn min_with(&self, other: &Self) -> Self {
        self.combined(other, u32::min)
    }

    /// What is free in the slots from `from` on and before `until`.
    #[must_use]
    pub fn cut(&self, from: Slot, until: Slot) -> Self {
        if from >= until {
            return Self::default();
        }
        let inside = self.points_between(from, until).iter().copied();
        let first = std::iter::once((from, self.free_at(from)));
        Self::canonical(first.chain(inside).chain(std::iter::once((until, 0))))
    }

    /// Each number replaced by what `change` makes of it; `change(0)` must be 0, for nothing is free outside a calendar.
    fn map(&self, change: impl Fn(u32) -> u32) -> Self {
        Self::canonical(self.points.iter().map(|(slot, free)| (*slot, change(*free))))
    }

    /// In each slot `combine` of both numbers; `combine(0, 0)` must be 0. One sweep over both.
    fn combined(&self, other: &Self, combine: impl Fn(u32, u32) -> u32) -> Self {
        let (mut left, mut right) = (self.points.iter().peekable(), other.points.iter().peekable());
        let (mut here, mut there) = (0, 0);
        let steps = std::iter::from_fn(|| {
            let next = |point: &&(Slot, u32)| point.0;
            let slot = match (left.peek().map(next), right.peek().map(next)) {
                (Some(one), Some(two)) => one.min(two),
                (one, two) => one.or(two)?,
            };
            here = left.next_if(|point| point.0 == slot).map_or(here, |(_, free)| *free);
            there = right.next_if(|point| point.0 == slot).map_or(there, |(_, free)| *free);
            Some((slot, combine(here, there)))
        });
        Self::canonical(steps)
    }

    /// The calendar of steps whose slots rise and of which the last frees nothing, without those that change nothing.
    fn canonical(steps: impl Iterator<Item = (Slot, u32)>) -> Self {
        let mut points: Vec<(Slot, u32)> = Vec::new();
        for (slot, free) in steps {
            if points.last().map_or(0, |(_, before)| *before) != free {
                points.push((slot, free));
            }
        }
        Self { points }
    }
}
