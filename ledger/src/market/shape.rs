//! What requests with the same needs have in common: the offers that have nothing left for any of them.

use super::columns::{before, words_for};
use super::floor::Source;
use super::shelf::Grid;
use crate::time::Slot;
use std::collections::BTreeMap;

/// What decides whether a calendar serves a request: which offers, when, how long, and how few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) compatible: usize,
    pub(super) start_min: Slot,
    pub(super) start_max: Slot,
    pub(super) slots: u32,
    /// What the quantities it accepts are counted down from; 0 where all offers have nodes of one accelerator.
    pub(super) quantity: u32,
    pub(super) quantity_min: u32,
}

/// The shapes of the requests of a lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Shapes {
    known: BTreeMap<Shape, usize>,
    columns: usize,
    /// For each shape the rows that tell about it, in the lane's calendars and in the released ones.
    grids: Vec<[Grid; 2]>,
    /// For each shape and kind of calendar the columns that may still serve it, at the start of the bucket.
    lasting: Vec<u64>,
    /// The same as things stand in the present run.
    now: Vec<u64>,
    /// The run that each shape's `now` is of.
    runs: Vec<u32>,
    run: u32,
}

impl Shapes {
    /// No shapes yet, over so many columns.
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// The place of a shape; `grids` are made for one that is new.
    pub(super) fn place(&mut self, shape: Shape, grids: impl FnOnce() -> [Grid; 2]) -> usize {
        if let Some(place) = self.known.get(&shape) {
            return *place;
        }
        let place = self.grids.len();
        self.grids.push(grids());
        let words = words_for(self.columns);
        for _ in 0..2 {
            self.lasting.extend((0..words).map(|word| before(self.columns, word)));
        }
        self.now.extend_from_slice(&self.lasting[self.now.len()..]);
        self.runs.push(self.run);
        self.known.insert(shape, place);
        place
    }

    /// Starts a run from the start of the bucket.
    pub(super) fn restart(&mut self) {
        self.run = self.run.wrapping_add(1);
    }

    /// The rows that tell about a shape.
    pub(super) fn grid(&self, shape: usize, source: Source) -> &Grid {
        &self.grids[shape][kind(source)]
    }

    /// The columns of one word that may still serve the shape.
    pub(super) fn open(&self, shape: usize, source: Source, word: usize) -> u64 {
        let at = self.at(shape, source, word);
        if self.runs[shape] == self.run { self.now[at] } else { self.lasting[at] }
    }

    /// Notes that a column has nothing left for the shape; for good, if it had nothing from the start.
    pub(super) fn close(&mut self, shape: usize, source: Source, column: usize, for_good: bool) {
        if self.runs[shape] != self.run {
            let (first, words) =
                (self.at(shape, Source::Market, 0), words_for(self.columns).saturating_mul(2));
            let end = first.saturating_add(words);
            self.now[first..end].copy_from_slice(&self.lasting[first..end]);
            self.runs[shape] = self.run;
        }
        let at = self.at(shape, source, column / 64);
        self.now[at] &= !super::columns::bit(column);
        if for_good {
            self.lasting[at] &= !super::columns::bit(column);
        }
    }

    fn at(&self, shape: usize, source: Source, word: usize) -> usize {
        let words = words_for(self.columns);
        shape.saturating_mul(2).saturating_add(kind(source)).saturating_mul(words).saturating_add(word)
    }
}

fn kind(source: Source) -> usize {
    usize::from(source == Source::Released)
}
