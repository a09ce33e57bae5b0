//! Capacity over time: how many accelerators are free in each slot.

use crate::time::Slot;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

mod algebra;
#[cfg(test)]
mod tests;

/// Free accelerators as a step function of time: each point says how many are free from its slot until the next point.
///
/// Before the first point and from the last one on nothing is free. The form is canonical: slots rise, no two neighbours
/// are equal, the first point frees something and the last ends it. So equal functions have equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Slot, u32)>", into = "Vec<(Slot, u32)>")]
pub struct Calendar {
    points: Vec<(Slot, u32)>,
}

/// Why a calendar, or a change of one, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The slots do not rise.
    #[error("the calendar's slots must rise, and slot {0} does not come after the one before it")]
    Unsorted(u32),
    /// A point that changes nothing.
    #[error("the calendar's point at slot {0} repeats the number before it; leave it out")]
    Repeated(u32),
    /// The last point leaves something free.
    #[error("the calendar's last point must free 0, to say where it ends")]
    OpenEnd,
    /// A time without slots, or past the last slot there is.
    #[error("{slots} slots from slot {start} on are no time in a calendar")]
    NoTime {
        /// The first slot asked for.
        start: u32,
        /// How many slots were asked for.
        slots: u32,
    },
    /// More is taken than is free.
    #[error("{quantity} accelerators are asked for, and only {free} are free all that time")]
    NotFree {
        /// How many were asked for.
        quantity: u32,
        /// How many are free in every slot of that time.
        free: u32,
    },
    /// More is given than can be counted.
    #[error("a calendar cannot count that many accelerators in one slot")]
    TooMany,
}

impl Calendar {
    /// Takes points that are in the canonical form.
    ///
    /// # Errors
    /// Says which rule of the form they break.
    pub fn new(points: Vec<(Slot, u32)>) -> Result<Self, CalendarError> {
        let mut before = 0;
        for (at, (slot, free)) in points.iter().enumerate() {
            let previous = at.checked_sub(1).and_then(|previous| points.get(previous));
            if previous.is_some_and(|(previous, _)| previous >= slot) {
                return Err(CalendarError::Unsorted(slot.0));
            }
            if *free == before {
                return Err(CalendarError::Repeated(slot.0));
            }
            before = *free;
        }
        if before == 0 { Ok(Self { points }) } else { Err(CalendarError::OpenEnd) }
    }

    /// Takes rising points, and leaves out those that change nothing.
    ///
    /// # Errors
    /// Says so when slots do not rise or the last point leaves something free.
    pub fn from_steps(steps: &[(Slot, u32)]) -> Result<Self, CalendarError> {
        let mut points: Vec<(Slot, u32)> = Vec::with_capacity(steps.len());
        let (mut before, mut last) = (0, None);
        for (slot, free) in steps {
            if last.is_some_and(|last| last >= *slot) {
                return Err(CalendarError::Unsorted(slot.0));
            }
            if *free != before {
                points.push((*slot, *free));
            }
            (before, last) = (*free, Some(*slot));
        }
        Self::new(points)
    }

    /// The same number free from `start` until before `end`; nothing if there is no slot between them.
    #[must_use]
    pub fn constant(start: Slot, end: Slot, free: u32) -> Self {
        if start >= end || free == 0 {
            return Self::default();
        }
        Self { points: vec![(start, free), (end, 0)] }
    }

    /// The points, in order.
    #[must_use]
    pub fn points(&self) -> &[(Slot, u32)] {
        &self.points
    }

    /// The number free in one slot.
    #[must_use]
    pub fn free_at(&self, slot: Slot) -> u32 {
        self.points_until(slot).last().map_or(0, |(_, free)| *free)
    }

    /// The largest number free in any slot.
    #[must_use]
    pub fn peak(&self) -> u32 {
        self.points.iter().map(|(_, free)| *free).max().unwrap_or(0)
    }

    /// All free time together, in accelerator-slots.
    #[must_use]
    pub fn area(&self) -> u128 {
        let steps = self.points.iter().zip(self.points.iter().skip(1));
        steps.fold(0u128, |sum, ((slot, free), (next, _))| {
            let slots = u128::from(next.0.saturating_sub(slot.0));
            // Slots and numbers are 32 bits each and no slot counts twice: the sum stays below 2^64.
            sum.saturating_add(slots.saturating_mul(u128::from(*free)))
        })
    }

    /// The number free in every one of `slots` slots from `start` on; 0 for no slots, and past the last slot there is.
    #[must_use]
    pub fn min_free(&self, start: Slot, slots: u32) -> u32 {
        let Some(end) = start.checked_add(slots).filter(|_| slots > 0) else {
            return 0;
        };
        let later = self.points_between(start, end).iter().map(|(_, free)| *free);
        later.fold(self.free_at(start), u32::min)
    }

    /// The first slot in `start_min..=start_max` from which `quantity` accelerators are free for `slots` slots.
    ///
    /// One sweep over the points, which jumps over every time with too few. `None` if there is no such slot, and for no
    /// accelerators or no slots.
    #[must_use]
    pub fn first_fit(&self, quantity: u32, slots: u32, start_min: Slot, start_max: Slot) -> Option<Slot> {
        if quantity == 0 || slots == 0 || start_min > start_max {
            return None;
        }
        let known = self.points_until(start_min);
        let mut later = self.points.iter().skip(known.len());
        let (mut start, mut free) = (start_min, known.last().map_or(0, |(_, free)| *free));
        loop {
            let next = later.next();
            if free < quantity {
                // Nothing that overlaps this time can fit: go on from where it ends.
                start = next.map(|(slot, _)| *slot).filter(|slot| *slot <= start_max)?;
            } else if next.is_some_and(|(slot, _)| start.checked_add(slots).is_some_and(|end| *slot >= end)) {
                return Some(start);
            }
            free = next?.1;
        }
    }

    /// The largest number that is free for `slots` slots from some slot in `start_min..=start_max` on.
    #[must_use]
    pub fn largest_fit(&self, slots: u32, start_min: Slot, start_max: Slot) -> u32 {
        let peak = self.peak();
        if self.first_fit(peak, slots, start_min, start_max).is_some() {
            return peak;
        }
        // Where a larger number fits, a smaller one fits too, so the answer is found by halving.
        let (mut fits, mut over) = (0u32, peak);
        while over.saturating_sub(fits) > 1 {
            let middle = fits.midpoint(over);
            match self.first_fit(middle, slots, start_min, start_max) {
                Some(_) => fits = middle,
                None => over = middle,
            }
        }
        fits
    }

    /// Takes `quantity` accelerators for `slots` slots from `start` on.
    ///
    /// # Errors
    /// Changes nothing when fewer are free in one of these slots, or when it is no time in a calendar.
    pub fn take(&mut self, start: Slot, slots: u32, quantity: u32) -> Result<(), CalendarError> {
        let end = end_of(start, slots)?;
        let free = self.min_free(start, slots);
        if free < quantity {
            return Err(CalendarError::NotFree { quantity, free });
        }
        self.shift(start, end, |free| free.saturating_sub(quantity));
        Ok(())
    }

    /// Gives `quantity` accelerators back for `slots` slots from `start` on.
    ///
    /// # Errors
    /// Changes nothing when there would be more than can be counted, or when it is no time in a calendar.
    pub fn give(&mut self, start: Slot, slots: u32, quantity: u32) -> Result<(), CalendarError> {
        let end = end_of(start, slots)?;
        let most = self.points_between(start, end).iter().map(|(_, free)| *free);
        if most.fold(self.free_at(start), u32::max).checked_add(quantity).is_none() {
            return Err(CalendarError::TooMany);
        }
        self.shift(start, end, |free| free.saturating_add(quantity));
        Ok(())
    }

    /// The number free in `slot`, and the points after it.
    pub(super) fn since(&self, slot: Slot) -> (u32, &[(Slot, u32)]) {
        let (known, later) = self.points.split_at(self.points_until(slot).len());
        (known.last().map_or(0, |(_, free)| *free), later)
    }

    /// As if the numbers said what is held: the first slot in `start_min..=start_max` from which at most `most` are held for
    /// `slots` slots. Outside the points nothing is held.
    pub(super) fn first_room(&self, most: u32, slots: u32, start_min: Slot, start_max: Slot) -> Option<Slot> {
        let (mut held, mut later) = self.since(start_min);
        let mut start = start_min;
        while start <= start_max {
            let end = start.checked_add(slots)?;
            let next = later.split_first();
            if held > most {
                // Nothing that overlaps this time has room: go on from where it ends.
                start = next?.0.0;
            } else if next.is_none_or(|((slot, _), _)| *slot >= end) {
                return Some(start);
            }
            let ((_, number), rest) = next?;
            (held, later) = (*number, rest);
        }
        None
    }

    /// Forgets what lies before `now`.
    pub fn prune(&mut self, now: Slot) {
        let passed = self.points_until(now).len();
        let free = self.free_at(now);
        self.points.drain(..passed);
        if passed > 0 && free > 0 {
            self.points.insert(0, (now, free));
        }
    }

    /// Changes every number between `start` and before `end` by the same amount, which the caller has checked.
    fn shift(&mut self, start: Slot, end: Slot, change: impl Fn(u32) -> u32) {
        self.split(start);
        self.split(end);
        let (first, last) = (self.index_of(start), self.index_of(end));
        for (_, free) in self.points.get_mut(first..last).unwrap_or_default() {
            *free = change(*free);
        }
        // Neighbours inside keep their difference; only at the two ends may one have vanished.
        self.merge(last);
        self.merge(first);
    }

    /// Makes sure that a point stands at `slot`.
    fn split(&mut self, slot: Slot) {
        let index = self.index_of(slot);
        if self.points.get(index).is_none_or(|(at, _)| *at != slot) {
            self.points.insert(index, (slot, self.free_at(slot)));
        }
    }

    /// Removes the point at `index` if it changes nothing.
    fn merge(&mut self, index: usize) {
        let before =
            index.checked_sub(1).and_then(|before| self.points.get(before)).map_or(0, |(_, free)| *free);
        if self.points.get(index).is_some_and(|(_, free)| *free == before) {
            self.points.remove(index);
        }
    }

    /// The index of the first point at or after `slot`.
    fn index_of(&self, slot: Slot) -> usize {
        self.points.partition_point(|(at, _)| *at < slot)
    }

    /// The points at or before `slot`.
    fn points_until(&self, slot: Slot) -> &[(Slot, u32)] {
        let count = self.points.partition_point(|(at, _)| *at <= slot);
        self.points.get(..count).unwrap_or_default()
    }

    /// The points after `start` and before `end`.
    fn points_between(&self, start: Slot, end: Slot) -> &[(Slot, u32)] {
        let first = self.points.partition_point(|(at, _)| *at <= start);
        self.points.get(first..self.index_of(end)).unwrap_or_default()
    }
}

fn end_of(start: Slot, slots: u32) -> Result<Slot, CalendarError> {
    let end = start.checked_add(slots).filter(|_| slots > 0);
    end.ok_or(CalendarError::NoTime { start: start.0, slots })
}

impl TryFrom<Vec<(Slot, u32)>> for Calendar {
    type Error = CalendarError;

    fn try_from(points: Vec<(Slot, u32)>) -> Result<Self, CalendarError> {
        Self::new(points)
    }
}

impl From<Calendar> for Vec<(Slot, u32)> {
    fn from(calendar: Calendar) -> Self {
        calendar.points
    }
}

impl BorshDeserialize for Calendar {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let points = Vec::<(Slot, u32)>::deserialize_reader(reader)?;
        Self::new(points).map_err(|_| crate::name::invalid("calendar is not in canonical form"))
    }
}
