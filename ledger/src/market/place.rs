//! Placing requests one after another: the cheapest compatible offer first, the earliest start, with undo.

use super::book::{Book, Order, Supply};
use super::calendar::Calendar;
use super::priority::OrderRank;
use super::reason::{Detail, Reason};
use crate::id::GroupId;
use crate::member::MemberCode;
use crate::money::{Money, Price};
use crate::time::Slot;
use std::collections::BTreeMap;

/// A request that takes part in the batch.
#[derive(Clone, Debug)]
pub(super) struct Bid<'book> {
    pub(super) order: &'book Order,
    /// Its turn.
    pub(super) rank: OrderRank,
    /// The earliest slot it may start in, not before now.
    pub(super) start_min: Slot,
    /// The lowest ask among the compatible offers.
    pub(super) cheapest_ask: Price,
    /// The offers that meet its hard constraints, in the order they are tried.
    pub(super) compatible: Vec<usize>,
    /// Those of them that can serve it at all in this batch; the search need not try the others.
    pub(super) feasible: Vec<usize>,
}

/// A request placed at an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) supply: usize,
    pub(super) quantity: u32,
    pub(super) start: Slot,
}

/// What placements use up: free capacity, what groups may still hold, what members may still owe.
#[derive(Clone, Debug)]
pub(super) struct Floor<'book> {
    supplies: &'book [Supply],
    slot_s: u32,
    calendars: Vec<Calendar>,
    group_cap: u32,
    group_headroom: BTreeMap<GroupId, Calendar>,
    debit_headroom: BTreeMap<MemberCode, u128>,
    placed: Vec<(&'book Order, Placement)>,
}

/// What trying one price gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// What was placed, in accelerator-slots.
    pub(super) volume: u128,
    /// What was tried and not placed, in accelerator-slots.
    pub(super) excess: u128,
    /// For each bid, in order, whether and where it was placed.
    pub(super) placements: Vec<Option<Placement>>,
}

impl<'book> Floor<'book> {
    /// The floor before the first bucket. `supplies` are those of the book, each once.
    pub(super) fn new(book: &'book Book, supplies: &'book [Supply], bids: &[Bid<'book>]) -> Self {
        let group_cap = group_cap(book, supplies, book.params.cap_bps);
        let groups = bids.iter().map(|bid| bid.order.group);
        let mut holds: BTreeMap<GroupId, Vec<(Slot, i128)>> =
            groups.map(|group| (group, Vec::new())).collect();
        for hold in book.holds.iter().filter(|hold| hold.start < hold.end) {
            if let Some(changes) = holds.get_mut(&hold.group) {
                changes.push((hold.start, i128::from(hold.quantity)));
                changes.push((hold.end, i128::from(hold.quantity).saturating_neg()));
            }
        }
        Self {
            supplies,
            slot_s: book.params.slot_s,
            calendars: supplies.iter().map(|supply| supply.market.clone()).collect(),
            group_cap,
            group_headroom: holds
                .into_iter()
                .map(|(group, changes)| (group, headroom(group_cap, changes)))
                .collect(),
            debit_headroom: book.debit_headroom.clone(),
            placed: Vec::new(),
        }
    }

    /// The free capacity of one offer as it now stands, in accelerator-slots.
    pub(super) fn area(&self, supply: usize) -> u128 {
        self.calendars.get(supply).map_or(0, Calendar::area)
    }

    /// Notes which offers can serve the bid at all; what cannot now cannot after further placements.
    pub(super) fn narrow(&self, bid: &mut Bid<'book>) {
        let able = |supply: &&usize| self.fit(bid, **supply).is_some();
        bid.feasible = bid.compatible.iter().filter(able).copied().collect();
    }

    /// Places the bids whose limit reaches `price`, in their order, at offers that ask no more than it. `turned_away` sees
    /// each that finds no place, as things stand at its turn.
    pub(super) fn greedy(
        &mut self,
        bids: &[Bid<'book>],
        price: Price,
        mut turned_away: impl FnMut(&Self, usize),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        for (turn, bid) in bids.iter().enumerate() {
            let placement =
                if bid.order.limit >= price { self.place(bid, &bid.feasible, price) } else { None };
            let slots = u128::from(bid.order.slots);
            match placement {
                Some(placement) => {
                    let volume = slots.saturating_mul(u128::from(placement.quantity));
                    outcome.volume = outcome.volume.saturating_add(volume);
                    self.take(bid.order, placement);
                }
                None if bid.order.limit >= price => {
                    let volume = slots.saturating_mul(u128::from(bid.order.quantity));
                    outcome.excess = outcome.excess.saturating_add(volume);
                    turned_away(self, turn);
                }
                None => {}
            }
            outcome.placements.push(placement);
        }
        outcome
    }

    /// Takes back all placements since the last commit.
    pub(super) fn undo(&mut self) {
        while let Some((order, placement)) = self.placed.pop() {
            let given = self
                .calendars
                .get_mut(placement.supply)
                .map_or(Ok(()), |calendar| calendar.give(placement.start, order.slots, placement.quantity));
            let freed = self
                .group_headroom
                .get_mut(&order.group)
                .map_or(Ok(()), |headroom| headroom.give(placement.start, order.slots, placement.quantity));
            debug_assert_eq!((given, freed), (Ok(()), Ok(())), "what was taken can be given back");
            if let Some((member, charge)) = self.debit(order, placement.supply, placement.quantity).flatten()
                && let Some(headroom) = self.debit_headroom.get_mut(&member)
            {
                *headroom = headroom.saturating_add(charge);
            }
        }
    }

    /// Keeps all placements for good.
    pub(super) fn commit(&mut self) {
        self.placed.clear();
    }

    /// The first of `supplies` that asks at most `price` and can serve the bid.
    fn place(&self, bid: &Bid<'book>, supplies: &[usize], price: Price) -> Option<Placement> {
        let in_reach = |supply: &&usize| self.supplies.get(**supply).is_some_and(|one| one.ask <= price);
        // The offers are in order of their asks, so the first that is too dear ends the list.
        supplies.iter().take_while(in_reach).find_map(|supply| {
            let (quantity, start) = self.fit(bid, *supply)?;
            Some(Placement { supply: *supply, quantity, start })
        })
    }

    fn take(&mut self, order: &'book Order, placement: Placement) {
        let taken = self
            .calendars
            .get_mut(placement.supply)
            .map_or(Ok(()), |calendar| calendar.take(placement.start, order.slots, placement.quantity));
        let held = self
            .group_headroom
            .get_mut(&order.group)
            .map_or(Ok(()), |headroom| headroom.take(placement.start, order.slots, placement.quantity));
        debug_assert_eq!((taken, held), (Ok(()), Ok(())), "a placement fits where it was found");
        if let Some((member, charge)) = self.debit(order, placement.supply, placement.quantity).flatten()
            && let Some(headroom) = self.debit_headroom.get_mut(&member)
        {
            *headroom = headroom.saturating_sub(charge);
        }
        self.placed.push((order, placement));
    }

    /// The most accelerators the offer can give the bid, in steps of a node from the full quantity down, and the first
    /// slot they can start in.
    fn fit(&self, bid: &Bid<'book>, supply: usize) -> Option<(u32, Slot)> {
        let order = bid.order;
        let node_size = self.supplies.get(supply)?.node_size.max(1);
        let quantity = |steps: u32| order.quantity.saturating_sub(node_size.saturating_mul(steps));
        let start = |steps: u32| {
            let affordable = self.is_affordable(order, supply, quantity(steps));
            if affordable { self.first_start(bid, supply, quantity(steps)) } else { None }
        };
        if let Some(start) = start(0) {
            return Some((order.quantity, start));
        }
        let less = order.quantity.saturating_sub(order.quantity_min.max(1));
        let (mut fails, mut fits) = (0u32, less.checked_div(node_size)?);
        if fits == 0 {
            return None;
        }
        // What fits with more accelerators fits with fewer, so the largest quantity is found by halving.
        let mut found = start(fits)?;
        while fits.saturating_sub(fails) > 1 {
            let middle = fails.midpoint(fits);
            match start(middle) {
                Some(start) => (fits, found) = (middle, start),
                None => fails = middle,
            }
        }
        Some((quantity(fits), found))
    }

    /// The first slot from which both the offer is free and the group may hold so many.
    fn first_start(&self, bid: &Bid<'book>, supply: usize, quantity: u32) -> Option<Slot> {
        let (calendar, headroom) = (self.calendars.get(supply)?, self.group_headroom.get(&bid.order.group)?);
        let (slots, last) = (bid.order.slots, bid.order.start_max);
        let mut from = bid.start_min;
        loop {
            let free = calendar.first_fit(quantity, slots, from, last)?;
            from = headroom.first_fit(quantity, slots, free, last)?;
            if from == free {
                return Some(free);
            }
        }
    }

    fn is_affordable(&self, order: &Order, supply: usize, quantity: u32) -> bool {
        match self.debit(order, supply, quantity) {
            Some(Some((member, charge))) => {
                self.debit_headroom.get(&member).is_some_and(|most| charge <= *most)
            }
            Some(None) => true,
            None => false,
        }
    }

    /// What a placement may make one member owe to another, in uEUR: nothing at home, and at most the charge at the limit
    /// abroad. `None` if that charge is over what money can count.
    fn debit(&self, order: &Order, supply: usize, quantity: u32) -> Option<Option<(MemberCode, u128)>> {
        let home = self.supplies.get(supply)?.home;
        if home == order.funding_home {
            return Some(None);
        }
        let slots = u64::from(quantity).checked_mul(u64::from(order.slots))?;
        let charge = order.limit.charge(slots.checked_mul(u64::from(self.slot_s))?)?;
        Some(Some((order.funding_home, charge.wide())))
    }

    /// Why the bid finds no place at offers that ask at most `price`, as things stand; `None` if it finds one.
    pub(super) fn obstacle(&self, bid: &Bid<'book>, price: Price) -> Option<(Reason, Detail)> {
        let cheapest_ask = Some(bid.cheapest_ask);
        if bid.cheapest_ask > price {
            return Some((Reason::NoOfferMeetsConstraints, Detail { cheapest_ask, ..Detail::default() }));
        }
        if self.place(bid, &bid.compatible, price).is_some() {
            return None;
        }
        let in_reach = |supply: &usize| self.supplies.get(*supply).is_some_and(|one| one.ask <= price);
        let reachable: Vec<usize> = bid.compatible.iter().copied().filter(in_reach).collect();
        let least = |supply: &usize| self.least(bid.order, *supply);
        let (slots, last) = (bid.order.slots, bid.order.start_max);
        let is_free = |supply: &usize| {
            self.calendars
                .get(*supply)
                .is_some_and(|one| one.first_fit(least(supply), slots, bid.start_min, last).is_some())
        };
        let is_within_cap = |supply: &usize| self.first_start(bid, *supply, least(supply)).is_some();
        let mut detail = Detail { cheapest_ask, ..Detail::default() };
        if reachable.iter().any(is_within_cap) {
            let headroom = self.debit_headroom.get(&bid.order.funding_home).copied().unwrap_or(0);
            detail.debit_headroom = Some(Money::try_from(headroom).unwrap_or(Money(u64::MAX)));
            return Some((Reason::NetDebitCap, detail));
        }
        detail.largest_free = Some(self.largest_free(bid, &reachable));
        if reachable.iter().any(is_free) {
            detail.group_cap = Some(self.group_cap);
            return Some((Reason::GroupCapReached, detail));
        }
        let some = detail.largest_free.is_some_and(|free| free > 0);
        Some((if some { Reason::PartialNotAllowed } else { Reason::NoCapacityInWindow }, detail))
    }

    /// The smallest quantity the offer could award.
    fn least(&self, order: &Order, supply: usize) -> u32 {
        let node_size = self.supplies.get(supply).map_or(1, |one| one.node_size.max(1));
        let less = order.quantity.saturating_sub(order.quantity_min.max(1));
        let steps = less.checked_div(node_size).unwrap_or(0);
        order.quantity.saturating_sub(steps.saturating_mul(node_size))
    }

    fn largest_free(&self, bid: &Bid<'book>, supplies: &[usize]) -> u32 {
        supplies.iter().filter_map(|supply| self.calendars.get(*supply)).fold(0, |most, calendar| {
            // A calendar that never has more free need not be searched.
            if calendar.peak() <= most {
                return most;
            }
            most.max(calendar.largest_fit(bid.order.slots, bid.start_min, bid.order.start_max))
        })
    }
}

/// What one group may hold in a slot: its share of the class's capacity, and never less than the largest node.
fn group_cap(book: &Book, supplies: &[Supply], cap_bps: u16) -> u32 {
    let node = supplies.iter().map(|supply| supply.node_size).max().unwrap_or(0);
    let share =
        u128::from(book.capacity).saturating_mul(u128::from(cap_bps)).checked_div(10_000).unwrap_or(0);
    u32::try_from(share).unwrap_or(u32::MAX).max(node)
}

/// What a group may still hold in each slot, under holds given as changes of their sum.
fn headroom(group_cap: u32, mut changes: Vec<(Slot, i128)>) -> Calendar {
    changes.sort_unstable();
    let mut held = 0i128;
    let mut steps: Vec<(Slot, u32)> = vec![(Slot(0), group_cap)];
    for (slot, change) in changes {
        held = held.saturating_add(change);
        // A group above the cap keeps what it has and gets nothing more.
        let left = group_cap.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        match steps.last_mut() {
            Some((last, free)) if *last == slot => *free = left,
            _ => steps.push((slot, left)),
        }
    }
    match steps.last_mut() {
        Some((last, free)) if *last == Slot(u32::MAX) => *free = 0,
        _ => steps.push((Slot(u32::MAX), 0)),
    }
    // Slots rise and the last frees nothing, so the steps always make a calendar.
    Calendar::from_steps(&steps).unwrap_or_default()
}
