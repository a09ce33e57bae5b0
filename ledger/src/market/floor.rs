//! What placements use up: free capacity, what groups and members may still hold, owe, get and sell; with undo.

use super::book::{Hold, Order};
use super::calendar::Calendar;
use super::roster::{Roster, prefix};
use super::shelf::Shelf;
use crate::id::GroupId;
use crate::member::MemberCode;
use crate::money::Price;
use crate::row::Pool;
use crate::time::Slot;
use std::collections::BTreeMap;

/// Which calendar of an offer serves a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// What the reserve lane allocates.
    Reserve,
    /// What the market lane sells.
    Market,
    /// What the reserve lane left free, for short leases.
    Released,
}

/// A request that takes part in a lane.
#[derive(Clone, Debug)]
pub(super) struct Bid<'book> {
    pub(super) order: &'book Order,
    /// Its place in the roster.
    pub(super) place: u32,
    /// Its bucket's place.
    pub(super) bucket: usize,
    /// The place of its compatible offers.
    pub(super) compatible: usize,
    /// Its shape's place.
    pub(super) shape: usize,
    /// Its group's place on the floor.
    pub(super) group: usize,
    /// What its group may hold in a slot for this lane to give it more.
    pub(super) cap: u32,
    /// The place on the floor of the member that pays abroad.
    pub(super) funding: usize,
    /// The place on the floor of the member that funds it, where that member may hold only so much of the reserve.
    pub(super) member: Option<usize>,
    /// The earliest slot it may start in, not before now.
    pub(super) start_min: Slot,
    /// Whether this lane is the reserve.
    pub(super) is_reserve: bool,
    /// Whether it may take released reserve.
    pub(super) takes_released: bool,
}

/// A request placed at an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) supply: usize,
    pub(super) source: Source,
    pub(super) quantity: u32,
    pub(super) start: Slot,
}

/// What has been placed since the last commit, for undo.
#[derive(Clone, Copy, Debug)]
struct Taken {
    placement: Placement,
    slots: u32,
    group: usize,
    funding: usize,
    charge: u128,
    commercial: u64,
}

/// The state that the lanes and buckets of one batch share.
pub(super) struct Floor<'book> {
    pub(super) market: Shelf,
    pub(super) reserve: Shelf,
    /// There is one only when the book releases reserve.
    pub(super) released: Option<Shelf>,
    holds: BTreeMap<GroupId, Vec<&'book Hold>>,
    /// The places of the groups by the first bytes of their ids, which tell nearly all of them apart: a long book has many.
    groups: BTreeMap<u64, u32>,
    /// The places of those whose first bytes are another's.
    groups_alike: BTreeMap<GroupId, u32>,
    group_ids: Vec<GroupId>,
    /// For each group how much it holds.
    pub(super) held: Vec<Calendar>,
    /// For each group the aid of this batch, in uEUR.
    pub(super) aid_given: Vec<u128>,
    members: BTreeMap<MemberCode, usize>,
    /// For each member what it may still owe, in uEUR.
    pub(super) debit_headroom: Vec<u128>,
    /// For each member what its requests may still hold of the reserve.
    pub(super) member_headroom: Vec<Calendar>,
    /// What the requests of any member may hold of the reserve.
    pub(super) member_cap: Option<Calendar>,
    /// For each offer what its pool may still sell to commercial users, in accelerator-slots.
    pub(super) commercial_left: Vec<Option<u64>>,
    taken: Vec<Taken>,
}

impl<'book> Floor<'book> {
    /// The floor at the start of the batch.
    pub(super) fn new(roster: &Roster<'book>) -> Self {
        let book = roster.book;
        let pruned = |calendar: &Calendar| {
            let mut calendar = calendar.clone();
            calendar.prune(book.now);
            calendar
        };
        let reserve = roster.supplies.iter().map(|supply| match supply.pool {
            Pool::Public => pruned(&supply.reserve),
            Pool::Private => Calendar::default(),
        });
        let reserve: Vec<Calendar> = reserve.collect();
        let mut holds: BTreeMap<GroupId, Vec<&Hold>> = BTreeMap::new();
        for hold in book.holds.iter().filter(|hold| hold.start < hold.end) {
            holds.entry(hold.group).or_default().push(hold);
        }
        Self {
            member_cap: member_cap(roster, &reserve),
            market: Shelf::new(roster.supplies.iter().map(|supply| pruned(&supply.market)).collect()),
            reserve: Shelf::new(reserve),
            released: None,
            holds,
            groups: BTreeMap::new(),
            groups_alike: BTreeMap::new(),
            group_ids: Vec::new(),
            held: Vec::new(),
            aid_given: Vec::new(),
            members: BTreeMap::new(),
            debit_headroom: Vec::new(),
            member_headroom: Vec::new(),
            commercial_left: roster.supplies.iter().map(|supply| supply.commercial_left).collect(),
            taken: Vec::new(),
        }
    }

    /// Opens to the market what the reserve lane left free for the next slots.
    pub(super) fn release(&mut self, roster: &Roster) {
        let (now, slots) = (roster.book.now, roster.book.params.release_slots);
        if slots > 0 {
            let until = Slot(now.0.saturating_add(slots));
            let left = (0..roster.supplies.len()).map(|supply| self.reserve.calendar(supply).cut(now, until));
            self.released = Some(Shelf::new(left.collect()));
        }
    }

    /// The calendars of one kind.
    pub(super) fn shelf(&self, source: Source) -> &Shelf {
        match (source, &self.released) {
            (Source::Reserve, _) => &self.reserve,
            (Source::Released, Some(released)) => released,
            (Source::Market | Source::Released, _) => &self.market,
        }
    }

    fn shelf_mut(&mut self, source: Source) -> &mut Shelf {
        match (source, &mut self.released) {
            (Source::Reserve, _) => &mut self.reserve,
            (Source::Released, Some(released)) => released,
            (Source::Market | Source::Released, _) => &mut self.market,
        }
    }

    /// What an offer has free for the market lane, in accelerator-slots.
    pub(super) fn area(&self, supply: usize) -> u128 {
        let released = self.released.as_ref().map_or(0, |released| released.calendar(supply).area());
        self.market.calendar(supply).area().saturating_add(released)
    }

    /// The part of it within some slots.
    pub(super) fn area_within(&self, supply: usize, from: Slot, until: Slot) -> u128 {
        let area = |shelf: &Shelf| shelf.calendar(supply).cut(from, until).area();
        area(&self.market).saturating_add(self.released.as_ref().map_or(0, area))
    }

    /// The place of a group.
    pub(super) fn group(&mut self, group: &GroupId) -> usize {
        // There are at most as many groups as requests, of which the roster counts fewer than 2^32.
        let place = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        let known = *self.groups.entry(prefix(&group.0)).or_insert(place);
        let found = match self.group_ids.get(known as usize) {
            Some(id) if id == group => known,
            Some(_) => *self.groups_alike.entry(*group).or_insert(place),
            None => place,
        };
        if found == place {
            self.group_ids.push(*group);
            let held = self
                .holds
                .get(group)
                .map(|holds| steps(changes(holds), 0, |held| u32::try_from(held).unwrap_or(u32::MAX)));
            self.held.push(held.unwrap_or_default());
            self.aid_given.push(0);
        }
        found as usize
    }

    /// The place of a member.
    pub(super) fn member(&mut self, roster: &Roster, member: MemberCode) -> usize {
        if let Some(place) = self.members.get(&member) {
            return *place;
        }
        let place = self.debit_headroom.len();
        self.debit_headroom.push(roster.book.debit_headroom.get(&member).copied().unwrap_or(0));
        let headroom = self.member_cap.as_ref().map(|cap| {
            let holds: Vec<&Hold> =
                roster.book.holds.iter().filter(|hold| hold.reserve == Some(member)).collect();
            let held = steps(changes(&holds), 0, |held| u32::try_from(held).unwrap_or(u32::MAX));
            cap.minus(&held)
        });
        self.member_headroom.push(headroom.unwrap_or_default());
        self.members.insert(member, place);
        place
    }

    /// Takes what a placement needs.
    pub(super) fn take(&mut self, roster: &Roster, bid: &Bid, placement: Placement, aid: u64) {
        let Placement { supply, source, quantity, start } = placement;
        let slots = bid.order.slots;
        self.shelf_mut(source).take(supply, start, slots, quantity);
        let held = self.held[bid.group].give(start, slots, quantity);
        debug_assert_eq!(held, Ok(()), "a placement fits where it was found");
        let charge = debit(roster, bid, supply, quantity).unwrap_or_default();
        self.debit_headroom[bid.funding] = self.debit_headroom[bid.funding].saturating_sub(charge);
        let mut commercial = 0;
        if let Some(left) = self.commercial_left[supply].as_mut().filter(|_| bid.order.commercial) {
            commercial = u64::from(quantity).saturating_mul(u64::from(slots));
            *left = left.saturating_sub(commercial);
        }
        if bid.is_reserve {
            if let Some(member) = bid.member {
                let held = self.member_headroom[member].take(start, slots, quantity);
                debug_assert_eq!(held, Ok(()), "a placement fits where it was found");
            }
            self.aid_given[bid.group] = self.aid_given[bid.group].saturating_add(u128::from(aid));
            // The reserve lane never takes an award back.
            return;
        }
        let (group, funding) = (bid.group, bid.funding);
        self.taken.push(Taken { placement, slots, group, funding, charge, commercial });
    }

    /// Takes back all placements of the market lane since the last commit.
    pub(super) fn undo(&mut self) {
        self.market.undo();
        self.released.iter_mut().for_each(Shelf::undo);
        while let Some(Taken { placement, slots, group, funding, charge, commercial }) = self.taken.pop() {
            let freed = self.held[group].take(placement.start, slots, placement.quantity);
            debug_assert_eq!(freed, Ok(()), "what was taken can be given back");
            self.debit_headroom[funding] = self.debit_headroom[funding].saturating_add(charge);
            if let Some(left) = &mut self.commercial_left[placement.supply] {
                *left = left.saturating_add(commercial);
            }
        }
    }

    /// Keeps all placements for good.
    pub(super) fn commit(&mut self) {
        self.market.commit();
        self.released.iter_mut().for_each(Shelf::commit);
        self.taken.clear();
    }
}

/// The accelerator-seconds of a placement; `None` if they cannot be counted.
pub(super) fn accelerator_seconds(roster: &Roster, order: &Order, quantity: u32) -> Option<u64> {
    let slots = u64::from(quantity).checked_mul(u64::from(order.slots))?;
    slots.checked_mul(u64::from(roster.book.params.slot_s))
}

/// What a placement may make one member owe to another, in uEUR: nothing at home; abroad the charge at the price of the
/// reserve, which is known, and in the market the charge at the limit, which the price is not above. `None` if that charge is
/// over what money can count.
pub(super) fn debit(roster: &Roster, bid: &Bid, supply: usize, quantity: u32) -> Option<u128> {
    let order = bid.order;
    if roster.supplies[supply].home == order.funding_home {
        return Some(0);
    }
    let price = if bid.is_reserve { reserve_price(roster, supply) } else { order.limit };
    Some(price.charge(accelerator_seconds(roster, order, quantity)?)?.wide())
}

/// What an accelerator-hour of the reserve costs at an offer.
pub(super) fn reserve_price(roster: &Roster, supply: usize) -> Price {
    roster.supplies[supply].ask.min(roster.book.params.reserve_price_cap)
}

/// What an award of the reserve pays less than the market price, in uEUR; `None` if that cannot be counted.
pub(super) fn aid(roster: &Roster, order: &Order, supply: usize, quantity: u32) -> Option<u64> {
    let price = reserve_price(roster, supply);
    let benchmark = roster.book.reference.unwrap_or(roster.supplies[supply].ask);
    if benchmark <= price {
        return Some(0);
    }
    let seconds = accelerator_seconds(roster, order, quantity)?;
    benchmark.charge(seconds)?.0.checked_sub(price.charge(seconds)?.0)
}

/// What the requests of one member may hold of the reserve: a share of what it has with nothing allocated, and never less
/// than the largest node. `None` where there is no limit.
fn member_cap(roster: &Roster, reserve: &[Calendar]) -> Option<Calendar> {
    let bps = i128::from(roster.book.params.reserve_member_cap_bps);
    if bps >= 10_000 {
        return None;
    }
    let holds: Vec<&Hold> = roster.book.holds.iter().filter(|hold| hold.reserve.is_some()).collect();
    let mut changes = changes(&holds);
    for calendar in reserve {
        let mut before = 0;
        for (slot, free) in calendar.points() {
            changes.push((*slot, i128::from(*free).saturating_sub(before)));
            before = i128::from(*free);
        }
    }
    let cap = |total: i128| {
        let share = total.saturating_mul(bps).checked_div(10_000).unwrap_or(0);
        u32::try_from(share).unwrap_or(u32::MAX).max(roster.node_max)
    };
    Some(steps(changes, roster.node_max, cap))
}

/// The changes of the sum of holds.
fn changes(holds: &[&Hold]) -> Vec<(Slot, i128)> {
    let holds = holds.iter().filter(|hold| hold.start < hold.end);
    let both = holds.flat_map(|hold| {
        let quantity = i128::from(hold.quantity);
        [(hold.start, quantity), (hold.end, quantity.saturating_neg())]
    });
    both.collect()
}

/// A calendar of what `number` makes of a sum whose changes are given, and of `first` before them; it ends with time.
fn steps(mut changes: Vec<(Slot, i128)>, first: u32, number: impl Fn(i128) -> u32) -> Calendar {
    changes.sort_unstable();
    let mut sum = 0i128;
    let mut steps: Vec<(Slot, u32)> = vec![(Slot(0), first)];
    for (slot, change) in changes {
        sum = sum.saturating_add(change);
        let number = number(sum);
        match steps.last_mut() {
            Some((last, free)) if *last == slot => *free = number,
            _ => steps.push((slot, number)),
        }
    }
    match steps.last_mut() {
        Some((last, free)) if *last == Slot(u32::MAX) => *free = 0,
        _ => steps.push((Slot(u32::MAX), 0)),
    }
    // Slots rise and the last frees nothing, so the steps always make a calendar.
    Calendar::from_steps(&steps).unwrap_or_default()
}
