//! Who comes first: need before money, and an order among equals that nobody can choose.

use super::book::{Book, Bucket, Supply};
use super::calendar::Calendar;
use super::roster::Roster;
use crate::id::{GroupId, Hash, OrganisationId, hash_of};
use crate::money::Price;
use crate::time::Slot;
use std::collections::BTreeMap;

/// A request that waits for its turn, without what decides among equals.
///
/// A long book has as many of these as requests: they hold what most of them are asked for and nothing else, for fresh memory
/// costs more than the work that is done in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) usage: u64,
    pub(super) admitted_epoch: u64,
    pub(super) limit: Price,
    /// Its place in the roster.
    pub(super) order: u32,
    /// The place of its compatible offers.
    pub(super) compatible: u32,
}

/// What orders turns, up to the tie. The first part is what the limit still lacks to the highest there is, where limits go
/// first; else 0.
type Need = (u64, u64, u64);

fn need(turn: &Turn, limit_first: bool) -> Need {
    let shortfall = if limit_first { u64::MAX.saturating_sub(turn.limit.0) } else { 0 };
    (shortfall, turn.usage, turn.admitted_epoch)
}

/// How many turns are sorted at first; each time more are read, three times as many are.
const SORTED_MIN: usize = 4_096;

/// Requests in order of their turns. They are sorted, and the hashes that decide among equals computed, only as far as the
/// queue is read: most of a long queue is never reached.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    turns: Vec<Turn>,
    limit_first: bool,
    /// How many of the turns are in order of need, with none before them among the others.
    sorted: usize,
    /// How many of these are in their final order.
    settled: usize,
}

impl Queue {
    /// Turns in any order. `limit_first` says whether the highest limit goes before the lowest usage.
    pub(super) fn new(turns: Vec<Turn>, limit_first: bool) -> Self {
        Self { turns, limit_first, sorted: 0, settled: 0 }
    }

    /// Turns that are in order already.
    pub(super) fn in_order(turns: Vec<Turn>) -> Self {
        let count = turns.len();
        Self { turns, limit_first: false, sorted: count, settled: count }
    }

    /// All turns; in order as far as they have been read.
    pub(super) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The turn at `place`. Turns that have been read keep their places.
    pub(super) fn get(&mut self, roster: &Roster, place: usize) -> Option<Turn> {
        while self.settled <= place && self.settled < self.turns.len() {
            self.settle(roster);
        }
        self.turns.get(place).copied()
    }

    /// Brings the first turns that are not in their final order, all of equal need, into it.
    fn settle(&mut self, roster: &Roster) {
        if self.settled == self.sorted {
            self.sort_more();
        }
        let limit_first = self.limit_first;
        let Some(first) = self.turns.get(self.settled).map(|turn| need(turn, limit_first)) else { return };
        let sorted = &self.turns[self.settled..self.sorted];
        // Each turn is looked at once or twice, where halving would look at many for each need.
        let alike = sorted.iter().take_while(|turn| need(turn, limit_first) == first).count();
        let mut end = self.settled.saturating_add(alike);
        if end == self.sorted {
            // Others of the same need may wait among those that are not sorted yet.
            for place in self.sorted..self.turns.len() {
                if need(&self.turns[place], limit_first) == first {
                    self.turns.swap(place, end);
                    end = end.saturating_add(1);
                }
            }
            self.sorted = end;
        }
        let equals = &mut self.turns[self.settled..end];
        if equals.len() > 1 {
            equals.sort_by_cached_key(|turn| {
                let order = roster.order(turn.order);
                let bucket = roster.bucket(order);
                (tie(roster.book, bucket, &order.organisation, order.sequence), order.request)
            });
        }
        self.settled = end;
    }

    fn sort_more(&mut self) {
        let rest = &mut self.turns[self.sorted..];
        let count = SORTED_MIN.max(self.sorted.saturating_mul(2)).min(rest.len());
        if count < rest.len() {
            rest.select_nth_unstable_by_key(count, |turn| need(turn, self.limit_first));
        }
        rest[..count].sort_unstable_by_key(|turn| need(turn, self.limit_first));
        self.sorted = self.sorted.saturating_add(count);
    }

    /// The turns that a batch considers: the first of each group, and of all, up to the book's numbers. The others are given
    /// to `refuse`.
    pub(super) fn considered(mut self, roster: &Roster, mut refuse: impl FnMut(&Turn)) -> Vec<Turn> {
        let params = &roster.book.params;
        let mut of_group: BTreeMap<GroupId, u32> = BTreeMap::new();
        let mut considered = Vec::new();
        let mut place = 0usize;
        while u32::try_from(considered.len()).is_ok_and(|count| count < params.orders_max) {
            let Some(turn) = self.get(roster, place) else { break };
            place = place.saturating_add(1);
            let count = of_group.entry(roster.order(turn.order).group).or_default();
            if *count >= params.orders_per_group_max {
                refuse(&turn);
                continue;
            }
            *count = count.saturating_add(1);
            considered.push(turn);
        }
        self.turns.iter().skip(place).for_each(refuse);
        considered
    }
}

/// The places of `supplies` in the order a bucket tries them: cheapest first, at most as many as a batch considers. Where there
/// are more, what has nothing free makes room for what has.
pub(super) fn supply_order(book: &Book, bucket: Bucket, supplies: &[&Supply]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..supplies.len()).collect();
    places.sort_by_key(|place| supplies[*place].ask);
    for equals in places.chunk_by_mut(|one, two| supplies[*one].ask == supplies[*two].ask) {
        if equals.len() > 1 {
            equals.sort_by_cached_key(|place| {
                let supply = supplies[*place];
                (tie(book, bucket, &supply.provider, supply.sequence), supply.offer)
            });
        }
    }
    let mut most = usize::try_from(book.params.supplies_max).unwrap_or(usize::MAX);
    if places.len() > most {
        let open: Vec<bool> = supplies.iter().map(|supply| is_open(supply, book.now)).collect();
        let count = places.iter().filter(|place| open[**place]).count();
        let mut sold_out = most.saturating_sub(count);
        places.retain(|place| {
            let left = if open[*place] { &mut most } else { &mut sold_out };
            let is_considered = *left > 0;
            *left = left.saturating_sub(1);
            is_considered
        });
    }
    places
}

/// Whether an offer has anything free from `now` on.
fn is_open(supply: &Supply, now: Slot) -> bool {
    let is_free = |calendar: &Calendar| {
        let (free, later) = calendar.since(now);
        free > 0 || later.iter().any(|(_, free)| *free > 0)
    };
    is_free(&supply.market) || is_free(&supply.reserve)
}

/// The order among equals: it changes with every batch, and nothing in it is chosen by a proposer or a member.
pub(super) fn tie(book: &Book, bucket: Bucket, organisation: &OrganisationId, sequence: u64) -> Hash {
    hash_of("tie", &(book.params.chain, book.epoch, &book.class, bucket, organisation, sequence))
}
