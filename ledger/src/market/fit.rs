//! Where, when and with how many accelerators a request fits.

use super::columns::{before, columns_of};
use super::floor::{Bid, Floor, Placement, Source, accelerator_seconds, aid, debit};
use super::roster::{Compatible, Roster};
use super::shape::Shapes;
use crate::time::Slot;

/// The constraints of a placement, each with all that stand before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Constraint {
    /// Enough is free in the calendar.
    Capacity,
    /// The group's cap.
    Group,
    /// The cap of the member that funds it, in the reserve.
    Member,
    /// The group's ceiling for aid, in the reserve.
    Aid,
    /// The pool's ceiling for commercial use.
    Commercial,
    /// What the member that pays may owe.
    Debit,
}

impl Constraint {
    /// All of them, in the order in which they are asked after.
    pub(super) const ALL: [Self; 6] =
        [Self::Capacity, Self::Group, Self::Member, Self::Aid, Self::Commercial, Self::Debit];
}

/// What placing looks at: the book, who is compatible with what, and what is left.
#[derive(Clone, Copy)]
pub(super) struct View<'view, 'book> {
    pub(super) roster: &'view Roster<'book>,
    pub(super) found: &'view [Compatible],
    pub(super) floor: &'view Floor<'book>,
}

impl View<'_, '_> {
    /// The first offer within the first `reach` columns that can serve the bid: its own pools first, then in their order.
    pub(super) fn place(&self, bid: &Bid, reach: usize, shapes: &mut Shapes) -> Option<Placement> {
        if !self.has_room(bid) {
            return None;
        }
        let ranking = &self.roster.rankings[bid.bucket];
        // Who may not owe even for the least it accepts has only the sites at home.
        let home = (!self.may_owe_abroad(bid)).then(|| ranking.home(bid.order.funding_home));
        let near = |word: usize| home.map_or(u64::MAX, |home| home.map_or(0, |home| home.word(word)));
        match ranking.own(bid.order) {
            None => self.place_among(bid, reach, shapes, near),
            Some(own) => self
                .place_among(bid, reach, shapes, |word| near(word) & own.word(word))
                .or_else(|| self.place_among(bid, reach, shapes, |word| near(word) & !own.word(word))),
        }
    }

    /// What decides, in a book without constraints, whether a bid that found no place need ask again: its group, if that
    /// holds anything, its payer, and whether that may owe abroad.
    pub(super) fn stuck(&self, bid: &Bid) -> (Option<usize>, usize, bool) {
        let group = Some(bid.group).filter(|_| self.may_get_stuck(bid));
        (group, bid.funding, self.may_owe_abroad(bid))
    }

    /// Whether more than capacity and debit can keep the bid from a place: its group holds something already.
    pub(super) fn may_get_stuck(&self, bid: &Bid) -> bool {
        !self.floor.held[bid.group].points().is_empty()
    }

    /// Whether the member that pays may owe the least that the bid could cost at the sites of others.
    fn may_owe_abroad(&self, bid: &Bid) -> bool {
        if bid.is_reserve {
            // There the price is the offer's, and may be nothing.
            return true;
        }
        let least = accelerator_seconds(self.roster, bid.order, bid.order.quantity_min.max(1));
        let charge = least.and_then(|least| bid.order.limit.charge(least));
        charge.is_some_and(|charge| charge.wide() <= self.floor.debit_headroom[bid.funding])
    }

    /// Whether the group may hold the least that the bid accepts in some of its window.
    fn has_room(&self, bid: &Bid) -> bool {
        let (order, least) = (bid.order, bid.order.quantity_min.max(1));
        let room = |room| {
            self.floor.held[bid.group].first_room(room, order.slots, bid.start_min, order.start_max).is_some()
        };
        bid.cap.checked_sub(least).is_some_and(room)
    }

    fn place_among(
        &self,
        bid: &Bid,
        reach: usize,
        shapes: &mut Shapes,
        among: impl Fn(usize) -> u64,
    ) -> Option<Placement> {
        let ranking = &self.roster.rankings[bid.bucket];
        let main = if bid.is_reserve { Source::Reserve } else { Source::Market };
        for word in 0..super::columns::words_for(reach) {
            let mut open = self.found[bid.compatible].columns.word(word) & before(reach, word) & among(word);
            if bid.is_reserve {
                open &= ranking.public.word(word);
            }
            let in_main = self.open(bid, main, shapes, word, open);
            let released =
                if bid.takes_released { self.open(bid, Source::Released, shapes, word, open) } else { 0 };
            for column in columns_of(word, in_main | released) {
                let supply = ranking.supplies[column];
                for (source, columns) in [(main, in_main), (Source::Released, released)] {
                    if columns & super::columns::bit(column) == 0 {
                        continue;
                    }
                    if let Some((quantity, start)) = self.try_at(bid, source, supply, column, shapes) {
                        return Some(Placement { supply, source, quantity, start });
                    }
                }
            }
        }
        None
    }

    /// The bid at one offer: first by its block maxima, then by its calendar. Where nothing is left for requests like it,
    /// they need not ask again, for less is free as the lane goes on.
    fn try_at(
        &self,
        bid: &Bid,
        source: Source,
        supply: usize,
        column: usize,
        shapes: &mut Shapes,
    ) -> Option<(u32, Slot)> {
        let (order, shelf) = (bid.order, self.floor.shelf(source));
        let is_unchanged = shelf.is_unchanged(supply);
        let (least, window) = (order.quantity_min.max(1), (bid.start_min, order.start_max));
        if !shelf.may_start(bid.bucket, supply, least, order.slots, window) {
            if is_unchanged || shapes.is_shared {
                shapes.close(bid.shape, source, column, is_unchanged);
            }
            return None;
        }
        let most = shelf.most(bid.bucket, shapes.grid(bid.shape, source), column);
        let found = self.fit_up_to(most, bid, source, supply, Constraint::Debit);
        if found.is_none() && (is_unchanged || shapes.is_shared) && !self.is_free(bid, source, supply) {
            shapes.close(bid.shape, source, column, is_unchanged);
        }
        found
    }

    /// Of the columns in `open`, those that may still serve the bid; requests like it will not ask the others again.
    fn open(&self, bid: &Bid, source: Source, shapes: &mut Shapes, word: usize, open: u64) -> u64 {
        let open = open & shapes.open(bid.shape, source, word);
        let fits = self.may_fit(bid, source, shapes, word, open);
        if shapes.is_shared && open != fits {
            shapes.close_all(bid.shape, source, word, open & !fits);
        }
        fits
    }

    /// Of the columns in `open`, those whose block maxima do not rule the bid out.
    pub(super) fn may_fit(&self, bid: &Bid, source: Source, shapes: &Shapes, word: usize, open: u64) -> u64 {
        let least = bid.order.quantity_min.max(1);
        let grid = shapes.grid(bid.shape, source);
        self.floor.shelf(source).may_fit(bid.bucket, grid, least, word, open)
    }

    /// Whether the calendar alone would serve the bid.
    pub(super) fn is_free(&self, bid: &Bid, source: Source, supply: usize) -> bool {
        let (order, calendar) = (bid.order, self.floor.shelf(source).calendar(supply));
        let least = self.least(bid, supply);
        calendar.first_fit(least, order.slots, bid.start_min, order.start_max).is_some()
    }

    /// The smallest quantity the offer could award.
    pub(super) fn least(&self, bid: &Bid, supply: usize) -> u32 {
        let node_size = self.roster.supplies[supply].node_size.max(1);
        let less = bid.order.quantity.saturating_sub(bid.order.quantity_min.max(1));
        bid.order.quantity.saturating_sub(less.saturating_sub(less.checked_rem(node_size).unwrap_or(0)))
    }

    /// The most accelerators the offer can give the bid under the constraints up to `last`, in steps of a node from the full
    /// quantity down, and the first slot they can start in.
    pub(super) fn fit(
        &self,
        bid: &Bid,
        source: Source,
        supply: usize,
        last: Constraint,
    ) -> Option<(u32, Slot)> {
        self.fit_up_to(u32::MAX, bid, source, supply, last)
    }

    /// The same where it is known that no more than `most` are free.
    fn fit_up_to(
        &self,
        most: u32,
        bid: &Bid,
        source: Source,
        supply: usize,
        last: Constraint,
    ) -> Option<(u32, Slot)> {
        let order = bid.order;
        let node_size = self.roster.supplies[supply].node_size.max(1);
        let quantity = |steps: u32| order.quantity.saturating_sub(node_size.saturating_mul(steps));
        let start = |quantity: u32| {
            let affordable = self.is_affordable(bid, supply, quantity, last);
            if affordable { self.first_start(bid, source, supply, quantity, last) } else { None }
        };
        let within_aid = |(most, found): (u32, Slot)| match self.within_aid(bid, supply, most, last)? {
            granted if granted == most => Some((most, found)),
            granted => Some((granted, start(granted)?)),
        };
        let less = order.quantity.saturating_sub(order.quantity_min.max(1));
        let mut fails = order.quantity.saturating_sub(most).div_ceil(node_size);
        let mut fits = less.checked_div(node_size)?;
        if fails > fits {
            return None;
        }
        if let Some(found) = start(quantity(fails)) {
            return within_aid((quantity(fails), found));
        }
        if fails == fits {
            return None;
        }
        // What fits with more accelerators fits with fewer, so the largest quantity is found by halving.
        let mut found = start(quantity(fits))?;
        while fits.saturating_sub(fails) > 1 {
            let middle = fails.midpoint(fits);
            match start(quantity(middle)) {
                Some(start) => (fits, found) = (middle, start),
                None => fails = middle,
            }
        }
        within_aid((quantity(fits), found))
    }

    /// The first slot from which the offer is free and both the group and the member that funds it may hold so many.
    fn first_start(
        &self,
        bid: &Bid,
        source: Source,
        supply: usize,
        quantity: u32,
        last: Constraint,
    ) -> Option<Slot> {
        let (slots, latest) = (bid.order.slots, bid.order.start_max);
        let calendar = self.floor.shelf(source).calendar(supply);
        let mut from = calendar.first_fit(quantity, slots, bid.start_min, latest)?;
        if last < Constraint::Group {
            return Some(from);
        }
        let held = &self.floor.held[bid.group];
        let room = bid.cap.checked_sub(quantity)?;
        let member =
            bid.member.filter(|_| last >= Constraint::Member).map(|one| &self.floor.member_headroom[one]);
        loop {
            let mut next = held.first_room(room, slots, from, latest)?;
            if let Some(headroom) = member {
                next = headroom.first_fit(quantity, slots, next, latest)?;
            }
            if next == from {
                return Some(from);
            }
            from = calendar.first_fit(quantity, slots, next, latest)?;
        }
    }

    /// What does not depend on the start, and gets no harder with fewer accelerators.
    fn is_affordable(&self, bid: &Bid, supply: usize, quantity: u32, last: Constraint) -> bool {
        let order = bid.order;
        if accelerator_seconds(self.roster, order, quantity).is_none() {
            return false;
        }
        if bid.is_reserve && last >= Constraint::Aid && aid(self.roster, order, supply, quantity).is_none() {
            return false;
        }
        if last >= Constraint::Commercial
            && order.commercial
            && let Some(left) = self.floor.commercial_left[supply]
            && u64::from(quantity).saturating_mul(u64::from(order.slots)) > left
        {
            return false;
        }
        last < Constraint::Debit
            || debit(self.roster, bid, supply, quantity)
                .is_some_and(|charge| charge == 0 || charge <= self.floor.debit_headroom[bid.funding])
    }

    /// The largest quantity the bid may get, from `most` down in steps of a node, whose aid is within its group's ceiling.
    fn within_aid(&self, bid: &Bid, supply: usize, most: u32, last: Constraint) -> Option<u32> {
        let Some(ceiling) = bid.order.aid_left.filter(|_| bid.is_reserve && last >= Constraint::Aid) else {
            return Some(most);
        };
        let left = ceiling.checked_sub(self.floor.aid_given[bid.group])?;
        let fits = |quantity: u32| {
            aid(self.roster, bid.order, supply, quantity).is_some_and(|aid| u128::from(aid) <= left)
        };
        if fits(most) {
            return Some(most);
        }
        let node_size = self.roster.supplies[supply].node_size.max(1);
        let least = self.least(bid, supply);
        // Up to rounding the aid grows with the quantity. So halving ends near the answer, and a few steps up and down from
        // there, over every quantity whose aid rounding could decide, find it.
        let quantity = |steps: u32| most.saturating_sub(node_size.saturating_mul(steps));
        let steps_max = most.saturating_sub(least).checked_div(node_size).unwrap_or(0);
        let (mut over, mut within) = (0u32, steps_max);
        while within.saturating_sub(over) > 1 {
            let middle = over.midpoint(within);
            if fits(quantity(middle)) { within = middle } else { over = middle }
        }
        let near = self.rounding_steps(bid.order.slots, node_size, supply);
        let first = within.saturating_sub(near).max(1);
        (first..=within.saturating_add(near).min(steps_max)).map(quantity).find(|quantity| fits(*quantity))
    }

    /// Over how many steps of a node rounding can decide whether the aid of a quantity is within a ceiling.
    fn rounding_steps(&self, slots: u32, node_size: u32, supply: usize) -> u32 {
        let step = u64::from(slots)
            .saturating_mul(u64::from(node_size))
            .saturating_mul(u64::from(self.roster.book.params.slot_s));
        let price = super::floor::reserve_price(self.roster, supply);
        let benchmark = self.roster.book.reference.unwrap_or(self.roster.supplies[supply].ask);
        // Two rounded charges differ from the exact difference by less than 1 uEUR each way: 2 uEUR are 7,200 parts.
        let each = step.saturating_mul(benchmark.0.saturating_sub(price.0)).max(1);
        u32::try_from(7_200u64.div_ceil(each)).unwrap_or(7_200).saturating_add(1)
    }
}
