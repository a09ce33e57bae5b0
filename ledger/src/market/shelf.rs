//! The calendars of one kind of all offers, with a table of block maxima that turns most requests away at a glance.
//!
//! The table says for each offer (a column) and each block of slots (a row) the most that is free in the block. A request that
//! runs for `k` slots covers whole groups of slots wherever it starts; where one of these is too full, all those starts are
//! out. The test never turns away what fits; what it lets through is looked up in the calendar itself.

use super::calendar::Calendar;
use super::columns::words_for;
use crate::time::Slot;

/// The most rows of a table: enough for a few days slot by slot.
const ROWS_MAX: u32 = 512;

/// The most groups of starts a request is tested by; beyond that a look into the calendar is cheaper.
const GROUPS_MAX: usize = 64;

/// Calendars with undo.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    calendars: Vec<Calendar>,
    /// The calendars as of the last commit, where they differ.
    kept: Vec<Option<Calendar>>,
    changed: Vec<usize>,
    frames: [Option<Frame>; 3],
}

/// The block maxima of the offers in the order in which one bucket tries them.
#[derive(Clone, Debug)]
struct Frame {
    column_of: Vec<Option<usize>>,
    origin: u32,
    /// Slots in a block.
    width: u32,
    rows: usize,
    /// Cells in a row: the columns, up to whole words of bits.
    stride: usize,
    cells: Vec<i16>,
    kept: Vec<i16>,
    /// The same cells column by column, for a closer look at one offer.
    columns: Vec<i16>,
    kept_columns: Vec<i16>,
}

/// Which rows of a table tell whether a request can start: of each group of starts the rows that all of them cover.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    groups: Vec<[usize; 3]>,
}

impl Shelf {
    /// A shelf of `calendars`, one for each offer.
    pub(super) fn new(calendars: Vec<Calendar>) -> Self {
        let kept = vec![None; calendars.len()];
        Self { calendars, kept, changed: Vec::new(), frames: [None, None, None] }
    }

    /// The calendar of one offer as it stands.
    pub(super) fn calendar(&self, supply: usize) -> &Calendar {
        &self.calendars[supply]
    }

    /// Whether the calendar is as of the last commit.
    pub(super) fn is_unchanged(&self, supply: usize) -> bool {
        self.kept[supply].is_none()
    }

    /// Makes the table of one bucket, for the slots from `from` on and before `until`.
    pub(super) fn frame(&mut self, bucket: usize, ranked: &[usize], from: Slot, until: Slot, rows_max: u32) {
        let span = until.0.saturating_sub(from.0).max(1);
        let width = span.div_ceil(rows_max.clamp(1, ROWS_MAX));
        let rows = usize::try_from(span.div_ceil(width)).unwrap_or(1);
        let mut column_of = vec![None; self.calendars.len()];
        for (column, supply) in ranked.iter().enumerate() {
            column_of[*supply] = Some(column);
        }
        let stride = words_for(ranked.len()).saturating_mul(64);
        let cells = vec![0; rows.saturating_mul(stride)];
        let (kept, columns, kept_columns) = (Vec::new(), cells.clone(), Vec::new());
        let origin = from.0;
        let mut frame = Frame { column_of, origin, width, rows, stride, cells, kept, columns, kept_columns };
        for supply in ranked {
            frame.refresh(*supply, &self.calendars[*supply], from, until);
        }
        frame.kept.clone_from(&frame.cells);
        frame.kept_columns.clone_from(&frame.columns);
        self.frames[bucket] = Some(frame);
    }

    /// Forgets the tables.
    pub(super) fn unframe(&mut self) {
        self.frames = [None, None, None];
    }

    /// The rows that tell about a request; no groups where there is no table or too much to look at.
    pub(super) fn grid(&self, bucket: usize, slots: u32, start_min: Slot, start_max: Slot) -> Grid {
        self.frames[bucket].as_ref().map(|frame| frame.grid(slots, start_min, start_max)).unwrap_or_default()
    }

    /// Of the columns in `open`, those that may have `least` free for a request of that grid.
    pub(super) fn may_fit(&self, bucket: usize, grid: &Grid, least: u32, word: usize, open: u64) -> u64 {
        match &self.frames[bucket] {
            Some(frame) if !grid.groups.is_empty() && open != 0 => open & frame.may_fit(grid, least, word),
            _ => open,
        }
    }

    /// The most that one column may have free for a request of that grid.
    pub(super) fn most(&self, bucket: usize, grid: &Grid, column: usize) -> u32 {
        let Some(frame) = self.frames[bucket].as_ref().filter(|_| !grid.groups.is_empty()) else {
            return u32::MAX;
        };
        let most = grid.groups.iter().map(|rows| frame.least_of(rows, column)).max().unwrap_or(0);
        if most == i16::MAX { u32::MAX } else { u32::try_from(most).unwrap_or(0) }
    }

    /// Whether one offer's block maxima allow some start in `start_min..=start_max`: a closer look than
    /// [`Shelf::may_fit`], and like it one that never turns away what fits.
    pub(super) fn may_start(
        &self,
        bucket: usize,
        supply: usize,
        least: u32,
        slots: u32,
        (start_min, start_max): (Slot, Slot),
    ) -> bool {
        let Some(frame) = &self.frames[bucket] else { return true };
        frame.may_start(supply, narrowed(least), slots, start_min.0, start_max.0).unwrap_or(true)
    }

    /// Takes what a placement needs; the caller has found it free.
    pub(super) fn take(&mut self, supply: usize, start: Slot, slots: u32, quantity: u32) {
        if self.kept[supply].is_none() {
            self.kept[supply] = Some(self.calendars[supply].clone());
            self.changed.push(supply);
        }
        let taken = self.calendars[supply].take(start, slots, quantity);
        debug_assert_eq!(taken, Ok(()), "a placement fits where it was found");
        let end = Slot(start.0.saturating_add(slots));
        for frame in self.frames.iter_mut().flatten() {
            frame.refresh(supply, &self.calendars[supply], start, end);
        }
    }

    /// Takes everything back since the last commit.
    pub(super) fn undo(&mut self) {
        for supply in self.changed.drain(..) {
            if let Some(kept) = self.kept[supply].take() {
                self.calendars[supply] = kept;
            }
            for frame in self.frames.iter_mut().flatten() {
                if let Some(range) = frame.column_range(supply) {
                    frame.columns[range.clone()].copy_from_slice(&frame.kept_columns[range]);
                }
            }
        }
        for frame in self.frames.iter_mut().flatten() {
            frame.cells.copy_from_slice(&frame.kept);
        }
    }

    /// Keeps everything for good.
    pub(super) fn commit(&mut self) {
        for supply in self.changed.drain(..) {
            self.kept[supply] = None;
        }
        for frame in self.frames.iter_mut().flatten() {
            frame.kept.copy_from_slice(&frame.cells);
            frame.kept_columns.copy_from_slice(&frame.columns);
        }
    }
}

impl Frame {
    /// The row of a slot; slots outside the table have none.
    fn row(&self, slot: u32) -> Option<usize> {
        let block = slot.checked_sub(self.origin)?.checked_div(self.width)?;
        usize::try_from(block).ok().filter(|row| *row < self.rows)
    }

    /// Reads the blocks that overlap `from..until` again from the calendar.
    fn refresh(&mut self, supply: usize, calendar: &Calendar, from: Slot, until: Slot) {
        let Some(column) = self.column_of[supply] else { return };
        let (Some(first), Some(last_slot)) = (self.row(from.0), until.0.checked_sub(1)) else { return };
        let last = self.row(last_slot).unwrap_or(self.rows.saturating_sub(1));
        let mut at = self.origin.saturating_add(self.width.saturating_mul(u32::try_from(first).unwrap_or(0)));
        let (mut free, mut later) = calendar.since(Slot(at));
        for row in first..=last {
            let end = at.saturating_add(self.width);
            let mut most = free;
            while let Some(((slot, next), rest)) = later.split_first().filter(|((slot, _), _)| slot.0 < end) {
                (free, later) = (*next, rest);
                most = if slot.0 == at { free } else { most.max(free) };
            }
            let index = row.saturating_mul(self.stride).saturating_add(column);
            self.cells[index] = narrowed(most);
            let index = column.saturating_mul(self.rows).saturating_add(row);
            self.columns[index] = narrowed(most);
            at = end;
        }
    }

    /// Where the cells of one offer are among the columns.
    fn column_range(&self, supply: usize) -> Option<std::ops::Range<usize>> {
        let first = self.column_of[supply]?.saturating_mul(self.rows);
        Some(first..first.saturating_add(self.rows))
    }

    /// Looks for a start from which every block has `least` free, each time from the end backwards: what is found too full
    /// there moves the start behind it. `None` where the table does not reach.
    fn may_start(&self, supply: usize, least: i16, slots: u32, first: u32, last: u32) -> Option<bool> {
        let cells = &self.columns[self.column_range(supply)?];
        let row_last = self.row(last)?;
        let mut start = first;
        // The blocks before this one, from the block of the start on, have been found free enough.
        let mut from = self.row(first)?;
        loop {
            let end = self.row(start.checked_add(slots)?.checked_sub(1)?)?;
            let full = (from..=end).rev().find(|row| cells[*row] < least);
            let Some(full) = full else { return Some(true) };
            from = full.saturating_add(1);
            if from > row_last {
                return Some(false);
            }
            start = self.origin.saturating_add(self.width.saturating_mul(u32::try_from(from).ok()?));
        }
    }

    fn grid(&self, slots: u32, start_min: Slot, start_max: Slot) -> Grid {
        let mut groups = Vec::new();
        // Starts are taken in groups of half the length, so that each group shares half of its slots.
        let wide = slots.div_ceil(2).max(1);
        let count = start_max.0.saturating_sub(start_min.0).checked_div(wide).unwrap_or(0);
        let size =
            if usize::try_from(count).is_ok_and(|count| count < GROUPS_MAX) { wide } else { slots.max(1) };
        let mut first = start_min.0;
        while first <= start_max.0 {
            let last = first.saturating_add(size.saturating_sub(1)).min(start_max.0);
            // All starts in first..=last cover the slots from `last` on to the end of the one that starts first.
            let end = first.saturating_add(slots.saturating_sub(1));
            let rows = [last, last.midpoint(end), end].map(|slot| self.row(slot));
            let [Some(one), Some(two), Some(three)] = rows else { return Grid::default() };
            groups.push([one, two, three]);
            if groups.len() > GROUPS_MAX {
                return Grid::default();
            }
            let Some(next) = last.checked_add(1) else { break };
            first = next;
        }
        Grid { groups }
    }

    fn least_of(&self, rows: &[usize; 3], column: usize) -> i16 {
        let cell = |row: usize| self.cells[row.saturating_mul(self.stride).saturating_add(column)];
        cell(rows[0]).min(cell(rows[1])).min(cell(rows[2]))
    }

    /// One bit for each column of the word: whether in some group of starts all rows have `least` free.
    fn may_fit(&self, grid: &Grid, least: u32, word: usize) -> u64 {
        let offset = word.saturating_mul(64);
        let cells = |row: usize| -> &[i16; 64] {
            let first = row.saturating_mul(self.stride).saturating_add(offset);
            let cells = self.cells.get(first..first.saturating_add(64)).unwrap_or_default();
            cells.try_into().unwrap_or(&[i16::MAX; 64])
        };
        let mut most = [0i16; 64];
        for [one, two, three] in &grid.groups {
            let (one, two, three) = (cells(*one), cells(*two), cells(*three));
            for column in 0..64 {
                most[column] = most[column].max(one[column].min(two[column]).min(three[column]));
            }
        }
        let least = narrowed(least);
        let mut fits = [0u8; 64];
        for column in 0..64 {
            fits[column] = u8::from(most[column] >= least);
        }
        gathered(&fits)
    }
}

/// A number as a cell keeps it: what is larger counts as the largest.
fn narrowed(free: u32) -> i16 {
    i16::try_from(free).unwrap_or(i16::MAX)
}

/// Sixty-four bytes of 0 or 1 as one word of bits.
fn gathered(bytes: &[u8; 64]) -> u64 {
    let mut bits = 0u64;
    for (place, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
        // The product brings the lowest bit of byte i to bit 56 + i.
        let byte = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080).wrapping_shr(56);
        bits |= byte.wrapping_shl(u32::try_from(place).unwrap_or(0).wrapping_mul(8));
    }
    bits
}
