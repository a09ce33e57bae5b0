//! The rules of the plain model for one placement: what is free and held in a slot, and what speaks against it.

use crate::model::{Done, Model, area};
use hansa_ledger::market::{Hold, Lane, LaneHint, Order, Reason, Trade};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;

/// Which calendar of a supply a placement takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Reserve,
    Market,
    Released,
}

/// Where an order might go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub supply: usize,
    pub source: Source,
    pub quantity: u32,
    pub start: u32,
}

impl Model {
    /// What could serve the order at any price, in the order it tries them: the pools of who pays first.
    pub fn compatible(&self, order: &Order) -> Result<Vec<usize>, Reason> {
        let check = |fine: bool, reason: Reason| if fine { Ok(()) } else { Err(reason) };
        let of = |place: &usize| &self.book.supplies[*place];
        check(order.start_min.max(self.book.now) <= order.start_max, Reason::WindowPassed)?;
        check(!self.book.supplies.is_empty(), Reason::NoOfferOfClass)?;
        let mut left = self.supplies(self.bucket(order));
        left.retain(|place| {
            let certified = order.certificates & !of(place).certificates == 0;
            order.countries.admits(of(place).country) && certified && of(place).tier >= order.tier_min
        });
        let shape = order.quantity > 0 && order.slots > 0 && order.quantity_min <= order.quantity;
        check(shape && !left.is_empty(), Reason::NoOfferMeetsConstraints)?;
        let entitled = order.eligible && order.credit.is_some();
        check(entitled || order.lane != LaneHint::Reserve, Reason::NotEligibleForReserve)?;
        left.retain(|place| !(order.own_group_excluded && of(place).group == order.group));
        check(!left.is_empty(), Reason::SameGroup)?;
        let cap = self.book.params.credit_ask_cap.filter(|_| order.credit.is_some());
        left.retain(|place| cap.is_none_or(|cap| of(place).ask <= cap));
        check(!left.is_empty(), Reason::AskOverCreditCap)?;
        let own = |place: &usize| order.credit.is_some() && of(place).owner == order.credit;
        let (own, others): (Vec<usize>, Vec<usize>) = left.into_iter().partition(own);
        Ok([own, others].concat())
    }

    /// What all groups, or all members, may hold in a slot: never less than a node.
    pub fn cap(&self, whole: u128, bps: u16) -> u128 {
        let nodes = self.book.supplies.iter().map(|supply| u128::from(supply.node_size.max(1)));
        nodes.max().unwrap_or(1).max(whole * u128::from(bps) / 10_000)
    }

    pub fn group_bps(&self, order: &Order, source: Source) -> u16 {
        let params = &self.book.params;
        let reserve = params.reserve_cap_bps.min(order.reserve_cap_bps);
        if source == Source::Reserve { params.cap_bps.min(reserve) } else { params.cap_bps }
    }

    pub fn reserve_price(&self, supply: usize) -> Price {
        self.ask(supply).min(self.book.params.reserve_price_cap)
    }

    /// What a reserve award pays less than the market; none where that does not fit.
    pub fn aid(&self, supply: usize, seconds: u64) -> Option<u64> {
        let benchmark = self.book.reference.unwrap_or(self.ask(supply));
        let price = self.reserve_price(supply);
        if benchmark <= price {
            Some(0)
        } else {
            Some(benchmark.charge(seconds)?.0 - price.charge(seconds)?.0)
        }
    }

    pub fn seconds(&self, order: &Order, quantity: u32) -> Option<u64> {
        area(quantity, order.slots).checked_mul(self.book.params.slot_s.into())
    }

    /// The sum over the trades so far that `of` names.
    pub fn sum(&self, of: impl Fn(&Done) -> bool, amount: impl Fn(&Done) -> u128) -> u128 {
        self.done.iter().filter(|done| of(done)).map(amount).sum()
    }

    /// What stands in `slot`, of the old holds and of the trades so far.
    fn held(&self, slot: u32, old: impl Fn(&Hold) -> bool, of: impl Fn(&Done) -> bool) -> u128 {
        let there = |hold: &&Hold| hold.start.0 <= slot && slot < hold.end.0 && old(hold);
        let before: u128 = self.book.holds.iter().filter(there).map(|hold| u128::from(hold.quantity)).sum();
        let covers = |trade: &Trade| trade.start.0 <= slot && slot < trade.start.0 + trade.slots;
        before + self.sum(|done| covers(&done.2) && of(done), |done| done.2.quantity.into())
    }

    pub fn free(&self, supply: usize, source: Source, slot: u32) -> u128 {
        let (offered, now, market) = (&self.book.supplies[supply], self.book.now.0, source == Source::Market);
        let calendar = if market { &offered.market } else { &offered.reserve };
        let lapses = source == Source::Released && slot >= now.saturating_add(self.book.params.release_slots);
        let closed = slot < now || lapses || (!market && offered.pool == Pool::Private);
        let there = if closed { 0 } else { u128::from(calendar.free_at(Slot(slot))) };
        let of_market = |trade: &Trade| trade.lane == Lane::Market && !trade.released;
        let taken = self.held(slot, |_| false, |done| done.1 == supply && of_market(&done.2) == market);
        if closed { 0 } else { there.saturating_sub(taken) }
    }

    /// Everything that speaks against a placement; it fits where nothing does.
    pub fn obstacles(&self, order: &Order, at: Placement) -> Vec<Reason> {
        let Placement { supply, source, quantity, start } = at;
        let (book, offered, more, mut found) =
            (&self.book, &self.book.supplies[supply], u128::from(quantity), vec![]);
        let (Some(end), Some(seconds)) = (start.checked_add(order.slots), self.seconds(order, quantity))
        else {
            return vec![Reason::NoCapacityInWindow];
        };
        let slots = start..end;
        if slots.clone().any(|slot| self.free(supply, source, slot) < more) {
            return vec![Reason::NoCapacityInWindow];
        }
        let charge = |order: &Order, seconds| order.limit.charge(seconds).map_or(u128::MAX, Money::wide);
        let abroad = |order: &Order, at: usize| order.funding_home != book.supplies[at].home;
        let debit = |done: &Done| done.0.funding_home == order.funding_home && abroad(&done.0, done.1);
        let owed = self.sum(debit, |done| charge(&done.0, self.seconds(&done.0, done.2.quantity).unwrap()));
        let headroom = book.debit_headroom.get(&order.funding_home).copied().unwrap_or(0);
        if abroad(order, supply) && charge(order, seconds) > headroom.saturating_sub(owed) {
            found.push(Reason::NetDebitCap);
        }
        let sold = self.sum(
            |done| done.1 == supply && done.0.commercial,
            |done| area(done.2.quantity, done.2.slots).into(),
        );
        let sale = sold + u128::from(area(quantity, order.slots));
        if order.commercial && offered.commercial_left.is_some_and(|left| sale > left.into()) {
            found.push(Reason::CommercialCeiling);
        }
        let cap = self.cap(book.capacity.into(), self.group_bps(order, source));
        let group =
            |slot| self.held(slot, |hold| hold.group == order.group, |done| done.0.group == order.group);
        if slots.clone().any(|slot| group(slot) + more > cap) {
            found.push(Reason::GroupCapReached);
        }
        if source != Source::Reserve {
            return found;
        }
        let public = || book.supplies.iter().filter(|supply| supply.pool == Pool::Public);
        let old = |slot| self.held(slot, |hold| hold.reserve.is_some(), |_| false);
        let whole =
            |slot| old(slot) + public().map(|one| u128::from(one.reserve.free_at(Slot(slot)))).sum::<u128>();
        let award = |done: &Done| done.0.credit == order.credit && done.2.lane == Lane::Reserve;
        let member =
            |slot| self.held(slot, |hold| hold.reserve.is_some() && hold.reserve == order.credit, award);
        let bps = book.params.reserve_member_cap_bps;
        if bps < 10_000 && slots.clone().any(|slot| member(slot) + more > self.cap(whole(slot), bps)) {
            found.push(Reason::MemberReserveCap);
        }
        let given = self.sum(|done| done.0.group == order.group, |done| done.2.aid.into());
        let total = self.aid(supply, seconds).map(|aid| given + u128::from(aid));
        if total.is_none() || order.aid_left.is_some_and(|left| total > Some(left)) {
            found.push(Reason::AidCeiling);
        }
        found
    }

    /// All that an order tries at `price`, or in the reserve lane without one: supplies in turn, of each first the market's
    /// calendar, the largest quantity first, the earliest start first. Starts after the last calendar's end are left out.
    pub fn tries(&self, order: &Order, price: Option<Price>) -> Vec<Placement> {
        let (book, mut tries) = (&self.book, Vec::new());
        let release = order.interruptible && order.slots <= book.params.release_lease_slots_max;
        let calendars = book.supplies.iter().flat_map(|supply| [&supply.market, &supply.reserve]);
        let end = calendars.filter_map(|calendar| calendar.points().last()).map(|point| point.0).max();
        for supply in self.compatible(order).unwrap_or_default() {
            let node = book.supplies[supply].node_size.max(1) as usize;
            let sources: &[Source] = match price {
                None if self.reserve_price(supply) <= order.limit => &[Source::Reserve],
                Some(price) if self.ask(supply) <= price && release => &[Source::Market, Source::Released],
                Some(price) if self.ask(supply) <= price => &[Source::Market],
                _ => &[],
            };
            for source in sources.iter().copied() {
                for quantity in (order.quantity_min.max(1)..=order.quantity).rev().step_by(node) {
                    let starts =
                        order.start_min.max(book.now).0..=order.start_max.min(end.unwrap_or(Slot(0))).0;
                    tries.extend(starts.map(|start| Placement { supply, source, quantity, start }));
                }
            }
        }
        tries
    }

    /// The first thing that fits.
    pub fn place(&self, order: &Order, price: Option<Price>) -> Option<Placement> {
        self.tries(order, price).into_iter().find(|at| self.obstacles(order, *at).is_empty())
    }

    /// Takes a placement, at the price of the bucket or of the reserve.
    pub fn take(&mut self, order: &Order, at: Placement, price: Option<Price>) {
        let Placement { supply, source, quantity, start } = at;
        let (seconds, reserve) = (self.seconds(order, quantity).expect("it fits"), source == Source::Reserve);
        let trade = Trade {
            request: order.request,
            offer: self.book.supplies[supply].offer,
            lane: if reserve { Lane::Reserve } else { Lane::Market },
            bucket: self.bucket(order),
            released: source == Source::Released,
            quantity,
            start: Slot(start),
            slots: order.slots,
            price: price.unwrap_or_else(|| self.reserve_price(supply)),
            aid: if reserve { self.aid(supply, seconds).expect("it fits") } else { 0 },
        };
        self.done.push((order.clone(), supply, trade));
    }
}
