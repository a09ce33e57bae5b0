//! What a request could change to be served: each advice is tried on the book before it is given.

use super::batch::clear;
use super::book::{Book, LaneHint, Order, Trade};
use crate::id::RequestId;
use crate::member::{CountrySet, MemberCode};
use crate::money::Price;
use crate::time::Slot;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt;

/// How many times a book is cleared, at most, to find advice for one request.
const TRIES_MAX: u32 = 24;

/// How many of them, at most, go into finding which tier, or which certificate, stands in the way.
const KIND_TRIES: u32 = 5;

/// A single change of a request with which this batch would have served it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The least limit, on the tick.
    Limit(Price),
    /// The largest number of accelerators to accept at least; the other number is what it would have got.
    QuantityMin {
        /// What to accept at least.
        quantity_min: u32,
        /// What it would have got.
        quantity: u32,
    },
    /// A later start; the earliest one that is of use.
    StartMax(Slot),
    /// The longest duration, in slots, that would have been served.
    Slots(u32),
    /// To run in any country.
    AnyCountry,
    /// The highest interconnect tier that would have been served.
    TierMin(u8),
    /// The certificates that can be kept, one bit each.
    Certificates(u32),
    /// To be served by either lane.
    AnyLane,
    /// To accept that it may be interrupted.
    Interruptible,
    /// To run in one more country.
    AlsoCountry(MemberCode),
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "it would have been served ")?;
        match self {
            Self::Limit(limit) => write!(formatter, "with a limit of {limit} EUR/h"),
            Self::QuantityMin { quantity_min, quantity } => {
                write!(formatter, "with {quantity} accelerators, had it accepted {quantity_min} or more")
            }
            Self::StartMax(slot) => write!(formatter, "had it accepted a start up to slot {}", slot.0),
            Self::Slots(slots) => write!(formatter, "had it asked for {slots} slots"),
            Self::AnyCountry => write!(formatter, "had it accepted any country"),
            Self::TierMin(tier) => write!(formatter, "had it accepted interconnect tier {tier}"),
            Self::Certificates(0) => write!(formatter, "had it asked for no certificate"),
            Self::Certificates(kept) => {
                let kept = kept.count_ones();
                write!(formatter, "had it asked for {kept} of its certificates only")
            }
            Self::AnyLane => write!(formatter, "had it accepted either lane"),
            Self::Interruptible => write!(formatter, "had it accepted to be interrupted"),
            Self::AlsoCountry(country) => write!(formatter, "had it accepted {country} as well"),
        }
    }
}

/// The nearest single changes of an unmatched request with which the batch would have served it, the smallest first. Empty
/// for a request that the book does not hold or that is served.
///
/// Each has been tried: the book with that one change, and all else as it is, serves the request. The book is cleared at most
/// 24 times; so of several numbers that would do, the one given may lie a little beyond the nearest.
#[must_use]
pub fn nearest_changes(book: &Book, request: &RequestId) -> Vec<Change> {
    let Some(order) = book.orders.iter().filter(|order| order.request == *request).min().cloned() else {
        return Vec::new();
    };
    let mut trial = Trial::new(book, &order);
    if trial.serve(&order).is_some() {
        return Vec::new();
    }
    // Changes of kind cost one or two tries each and come first; numbers are then searched with what is left.
    let mut changes: Vec<(u64, Change)> = Vec::new();
    changes.extend(trial.kinds(&order));
    let searches: [fn(&mut Trial, &Order, u32) -> Option<(u64, Change)>; 4] =
        [Trial::limit, Trial::quantity, Trial::start, Trial::slots];
    for (done, search) in searches.into_iter().enumerate() {
        let waiting = u32::try_from(searches.len().saturating_sub(done)).unwrap_or(1);
        let share = trial.left.checked_div(waiting).unwrap_or(0);
        changes.extend(search(&mut trial, &order, share));
    }
    changes.sort();
    changes.into_iter().map(|(_, change)| change).collect()
}

/// The book in which one request is changed and tried.
struct Trial {
    book: Book,
    request: RequestId,
    left: u32,
}

impl Trial {
    fn new(book: &Book, order: &Order) -> Self {
        let mut book = book.clone();
        book.orders.retain(|one| one.request != order.request);
        // Orders by id are not copied again by each clearing.
        book.orders.sort_unstable_by_key(|one| one.request);
        Self { book, request: order.request, left: TRIES_MAX }
    }

    /// What the batch gives the changed request; nothing once all tries are used up.
    fn serve(&mut self, order: &Order) -> Option<Trade> {
        self.left = self.left.checked_sub(1)?;
        let place = self.book.orders.partition_point(|one| one.request < order.request);
        self.book.orders.insert(place, order.clone());
        let clearing = clear(&self.book);
        self.book.orders.remove(place);
        clearing.trades.into_iter().find(|trade| trade.request == self.request)
    }

    /// The changes that are no matter of numbers.
    fn kinds(&mut self, order: &Order) -> Vec<(u64, Change)> {
        let mut found = Vec::new();
        if order.lane != LaneHint::Any {
            let changed = Order { lane: LaneHint::Any, ..order.clone() };
            found.extend(self.serve(&changed).map(|_| (1, Change::AnyLane)));
        }
        if !order.interruptible && self.book.params.release_slots > 0 {
            let changed = Order { interruptible: true, ..order.clone() };
            found.extend(self.serve(&changed).map(|_| (2_000, Change::Interruptible)));
        }
        if order.countries != CountrySet::default() {
            let changed = Order { countries: CountrySet::default(), ..order.clone() };
            if let Some(trade) = self.serve(&changed) {
                let more = self.also(order, &trade).map(|country| (2_500, Change::AlsoCountry(country)));
                found.push(more.unwrap_or((3_000, Change::AnyCountry)));
            }
        }
        if order.tier_min > 0 {
            found.extend(self.tier(order).map(|tier| (4_000, Change::TierMin(tier))));
        }
        if order.certificates != 0 {
            let kept = self.certificates(order);
            found.extend(kept.map(|kept| (5_000, Change::Certificates(kept))));
        }
        found
    }

    /// The country that `trade`, of a request for any country, was served in, if it does to accept that one as well.
    fn also(&mut self, order: &Order, trade: &Trade) -> Option<MemberCode> {
        let country = self.book.supplies.iter().find(|supply| supply.offer == trade.offer)?.country;
        let countries = order.countries.with(country)?;
        self.serve(&Order { countries, ..order.clone() }).map(|_| country)
    }

    /// The highest tier below the one asked for that serves the request: whoever accepts a tier accepts those above it, so
    /// halving finds it.
    fn tier(&mut self, order: &Order) -> Option<u8> {
        let mut tiers: Vec<u8> = self.book.supplies.iter().map(|supply| supply.tier).collect();
        tiers.retain(|tier| *tier < order.tier_min);
        tiers.sort_unstable_by(|one, two| two.cmp(one));
        tiers.dedup();
        let last = u64::try_from(tiers.len()).ok().filter(|last| *last > 0)?;
        let at = |step: u64| {
            let place = usize::try_from(step).unwrap_or(usize::MAX).saturating_sub(1);
            tiers.get(place).copied().unwrap_or(order.tier_min)
        };
        let (step, _) =
            self.nearest(last, KIND_TRIES, |step| Order { tier_min: at(step), ..order.clone() })?;
        Some(at(step))
    }

    /// The most of the certificates that could be kept: all but one where that serves the request, beginning with the one that
    /// most offers lack; else none.
    fn certificates(&mut self, order: &Order) -> Option<u32> {
        self.serve(&Order { certificates: 0, ..order.clone() })?;
        let bits = (0..32u32).map(|bit| 1u32.wrapping_shl(bit)).filter(|bit| order.certificates & bit != 0);
        let lacking = |bit: &u32| self.book.supplies.iter().filter(|one| one.certificates & bit == 0).count();
        let mut singly: Vec<u32> = bits.filter(|bit| lacking(bit) > 0).collect();
        singly.sort_by_key(|bit| (Reverse(lacking(bit)), *bit));
        let single = singly.into_iter().take(KIND_TRIES as usize).map(|bit| order.certificates & !bit);
        let kept = single
            .filter(|kept| *kept != 0)
            .find(|kept| self.serve(&Order { certificates: *kept, ..order.clone() }).is_some());
        Some(kept.unwrap_or(0))
    }

    /// The least of `0..=last` steps of a change that serves the request, as nearly as `tries` clearings can tell; `None` if
    /// the last does not.
    fn nearest(&mut self, last: u64, tries: u32, change: impl Fn(u64) -> Order) -> Option<(u64, Trade)> {
        let mut tries = tries.checked_sub(1)?;
        let mut found = (last, self.serve(&change(last))?);
        let mut fails = 0u64;
        while found.0.saturating_sub(fails) > 1 && tries > 0 {
            tries = tries.saturating_sub(1);
            let middle = fails.midpoint(found.0);
            match self.serve(&change(middle)) {
                Some(trade) => found = (middle, trade),
                None => fails = middle,
            }
        }
        Some(found)
    }

    /// A higher limit: one of the prices that the book knows, or a tick above one.
    fn limit(&mut self, order: &Order, tries: u32) -> Option<(u64, Change)> {
        let tick = self.book.params.tick.max(1);
        let limits = self.book.orders.iter().map(|one| one.limit);
        let known = limits.chain(self.book.supplies.iter().map(|supply| supply.ask));
        let mut prices: Vec<Price> =
            known.flat_map(|price| [price, Price(price.0.saturating_add(tick))]).collect();
        prices.retain(|price| *price > order.limit && price.0.is_multiple_of(tick));
        prices.sort_unstable();
        prices.dedup();
        let at = |step: u64| {
            let place = usize::try_from(step).unwrap_or(usize::MAX).saturating_sub(1);
            prices.get(place).copied().unwrap_or(order.limit)
        };
        let last = u64::try_from(prices.len()).ok().filter(|last| *last > 0)?;
        let (step, _) = self.nearest(last, tries, |step| Order { limit: at(step), ..order.clone() })?;
        let limit = at(step);
        let share = parts(limit.0.saturating_sub(order.limit.0), order.limit.0);
        Some((share, Change::Limit(limit)))
    }

    /// Fewer accelerators: as many as one offer would give if it accepted any number, asked for as such where it can be.
    fn quantity(&mut self, order: &Order, tries: u32) -> Option<(u64, Change)> {
        let accepting = |quantity_min: u32| Order { quantity_min, ..order.clone() };
        let last = u64::from(order.quantity_min.max(1)).checked_sub(1)?;
        if last == 0 {
            return None;
        }
        let least =
            |step: u64| u32::try_from(u64::from(order.quantity_min).saturating_sub(step)).unwrap_or(1).max(1);
        let (step, trade) = self.nearest(last, tries, |step| accepting(least(step)))?;
        // What it was given fits, so nothing between that and what it asks to accept needs to be tried.
        let quantity_min = least(step).max(trade.quantity.min(order.quantity_min));
        let share = parts(
            u64::from(order.quantity_min.saturating_sub(trade.quantity)),
            u64::from(order.quantity_min),
        );
        if quantity_min == least(step) {
            return Some((share, Change::QuantityMin { quantity_min, quantity: trade.quantity }));
        }
        let exact = self.serve(&accepting(quantity_min));
        let (quantity_min, quantity) =
            exact.map_or((least(step), trade.quantity), |exact| (quantity_min, exact.quantity));
        Some((share, Change::QuantityMin { quantity_min, quantity }))
    }

    /// A later start, up to what the calendars reach.
    fn start(&mut self, order: &Order, tries: u32) -> Option<(u64, Change)> {
        let ends = self.book.supplies.iter().flat_map(|supply| {
            [supply.market.points().last(), supply.reserve.points().last()].into_iter().flatten()
        });
        let end = ends.map(|(slot, _)| slot.0).max()?;
        let from = order.start_max.max(Slot(self.book.now.0.saturating_sub(1)));
        let last = end.checked_sub(order.slots)?.checked_sub(from.0).filter(|last| *last > 0)?;
        let at = |step: u64| Slot(from.0.saturating_add(u32::try_from(step).unwrap_or(u32::MAX)));
        let (step, trade) =
            self.nearest(u64::from(last), tries, |step| Order { start_max: at(step), ..order.clone() })?;
        // It needs to accept no start after the one it was given; that is tried too, if a try is left.
        let (tried, given) = (at(step), trade.start.max(order.start_max));
        let is_enough = given < tried && self.serve(&Order { start_max: given, ..order.clone() }).is_some();
        let start_max = if is_enough { given } else { tried };
        let later = u64::from(start_max.0.saturating_sub(order.start_max.0));
        Some((1_000u64.saturating_add(later), Change::StartMax(start_max)))
    }

    /// Fewer slots.
    fn slots(&mut self, order: &Order, tries: u32) -> Option<(u64, Change)> {
        let last = u64::from(order.slots.checked_sub(1)?);
        if last == 0 {
            return None;
        }
        let at = |step: u64| u32::try_from(u64::from(order.slots).saturating_sub(step)).unwrap_or(1).max(1);
        let (step, _) = self.nearest(last, tries, |step| Order { slots: at(step), ..order.clone() })?;
        Some((parts(step, u64::from(order.slots)), Change::Slots(at(step))))
    }
}

/// How large a change is, in parts per 10,000 of what is changed.
fn parts(change: u64, of: u64) -> u64 {
    let parts = u128::from(change).saturating_mul(10_000).checked_div(u128::from(of.max(1))).unwrap_or(0);
    u64::try_from(parts).unwrap_or(u64::MAX)
}
