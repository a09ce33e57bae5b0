//! Extending a lease: free slots that follow on it, at the lease's own price, where nobody is passed over by it.
//!
//! The price is the lease's agreed one, and a lease may be extended only where that is neither below what the offer asks now
//! nor below what the class cleared at last: who pays less than others would has to place a request and take its turn.

use crate::action::{BlockInHand, fuel_kept};
use crate::apply::{chain, params};
use crate::batch::{commercial_left, offered_capacity, open_offers, open_requests};
use crate::demand::day_of;
use crate::event::Event;
use crate::id::{ChainId, LeaseId};
use crate::market::{Bucket, Calendar, Lane, LaneHint, Trade};
use crate::money::{Money, Price};
use crate::rejection::Rejection;
use crate::row::{
    AccountId, Contract, Deadline, DeadlineKind, Extension, Lease, LeaseState, Offer, OfferState, Purse,
    Request,
};
use crate::share;
use crate::state::{State, View};
use crate::tables::{Classes, Contracts, Deadlines, Leases, Offers, Requests};
use crate::time::{Slot, TimeMs};
use hansa_contracts_abi::Runtime;

/// The most parts a lease is made of: extensions of one day out of one state of the offer count as one.
const EXTENSIONS_MAX: usize = 256;

/// The most waiting requests that one extension is held against.
const EXTENSION_REQUESTS_MAX: usize = 2_048;

/// What an extension gives and takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    /// The lease's end with it.
    pub end: TimeMs,
    /// The price per accelerator-hour: the lease's own.
    pub price: Price,
    /// What is locked for the whole lease with it.
    pub locked: Money,
    /// What of that is locked on top.
    pub added: Money,
}

/// The price at which the requester could extend a lease now, as far as something is free: the lease's own.
///
/// # Errors
/// Why it may not be extended at that price, or at all.
pub fn extension_price(view: &View<'_>, lease: &Lease) -> Result<Price, Rejection> {
    extendable(view, lease).map(|_| lease.agreement.price)
}

/// The offer that an extension would come from, and everything that does not depend on how long it is.
fn extendable(view: &View<'_>, lease: &Lease) -> Result<Offer, Rejection> {
    if !matches!(lease.state, LeaseState::Awarded | LeaseState::Active) {
        return Err(Rejection::LeaseStateWrong);
    }
    let request = view.get::<Requests>(&lease.request).ok_or(Rejection::RequestUnknown)?;
    if lease.sponsor.is_some() || request.demand.sources.iter().any(|source| source.purse != Purse::Cash) {
        return Err(Rejection::ExtensionSponsored);
    }
    if lease.released || lease.lane == Lane::Reserve {
        return Err(Rejection::ExtensionOfReserve);
    }
    let agreement = &lease.agreement;
    let same = |offer: &&Offer| {
        offer.state == OfferState::Open
            && offer.contract == agreement.contract
            && offer.contract_params == agreement.contract_params
            && offer.home == lease.provider_home
    };
    let offer = view.get::<Offers>(&lease.offer).filter(same).ok_or(Rejection::ExtensionOfferChanged)?;
    if !view.get::<Contracts>(&agreement.contract).is_some_and(Contract::is_active) {
        return Err(Rejection::ContractInactive);
    }
    let class = view.get::<Classes>(&lease.class).ok_or(Rejection::ClassUnknown)?;
    let least = offer.ask_in(class.epoch).max(class.price.unwrap_or_default());
    if agreement.price < least {
        return Err(Rejection::ExtensionPriceLow);
    }
    Ok(offer.clone())
}

/// What extending a lease by `slots` would give and take, if its requester did it at `now`. Changes nothing; signature, nonce
/// and the limit of a key are not asked for.
///
/// # Errors
/// Why it would be refused.
pub fn preview_extension(
    state: &State,
    runtime: &dyn Runtime,
    id: ChainId,
    lease: &LeaseId,
    slots: u32,
    now: TimeMs,
) -> Result<Extended, Rejection> {
    let mut block = BlockInHand {
        view: state.view(),
        params: params(state),
        height: chain(state).height.saturating_add(1),
        now: now.max(TimeMs(chain(state).time.0.saturating_add(1))),
        runtime,
        fuel: params(state).block_fuel_max,
        fuel_kept: fuel_kept(params(state), runtime),
        events: Vec::new(),
    };
    block.run_deadlines(id);
    let row = block.view.get::<Leases>(lease).cloned().ok_or(Rejection::LeaseUnknown)?;
    block.accredited(&row.requester)?;
    if slots == 0 {
        return Err(Rejection::DurationInvalid);
    }
    block.fuel = block.params.block_fuel_max;
    block.fuel_kept = fuel_kept(block.params, runtime);
    block.extend_lease(*lease, row, slots)
}

impl BlockInHand<'_> {
    /// Prolongs a lease in place by `slots` free slots of its offer that follow on it.
    pub(crate) fn extend_lease(
        &mut self,
        id: LeaseId,
        mut lease: Lease,
        slots: u32,
    ) -> Result<Extended, Rejection> {
        let mut offer = extendable(&self.view, &lease)?;
        let request = self.view.get::<Requests>(&lease.request).cloned().ok_or(Rejection::RequestUnknown)?;
        let trade = self.following(&lease, slots)?;
        self.within_group_cap(&lease, &trade)?;
        // As it was awarded: it is given back the same way.
        let commercial = lease.commercial;
        let volume = u64::from(slots).saturating_mul(u64::from(lease.quantity));
        let left = commercial_left(&self.view, self.params, self.now, &offer);
        if commercial && left.is_some_and(|left| left < volume) {
            return Err(Rejection::CommercialCeiling);
        }
        let free = offer.market.clone();
        self.take_free(&mut offer, &trade).map_err(|rejection| match rejection {
            Rejection::OfferOverInventory => Rejection::ExtensionNotFree,
            other => other,
        })?;
        self.passes_nobody_over(&lease, &free, &offer)?;
        self.hold_part(&offer, &trade, commercial)?;
        let old_end = lease.agreement.end;
        lease.slots = lease.slots.checked_add(slots).ok_or(Rejection::Overflow)?;
        lease.agreement.end = Slot(lease.start.0.saturating_add(lease.slots)).begins(self.params.slot_s);
        self.note_extension(&mut lease, slots, offer.revision)?;
        let added = self.top_up(id, &mut lease, request)?;
        self.count_seconds(&lease, lease.seconds_of(slots, self.params.slot_s));
        let end = Deadline { due: old_end, kind: DeadlineKind::LeaseEnd, subject: id.0 };
        if self.view.get::<Deadlines>(&end).is_some() {
            self.view.remove::<Deadlines>(&end);
            self.view.put::<Deadlines>(Deadline { due: lease.agreement.end, ..end }, ());
        }
        let extended =
            Extended { end: lease.agreement.end, price: lease.agreement.price, locked: lease.locked, added };
        self.emit(Event::LeaseExtended {
            lease: id,
            provider: lease.provider,
            requester: lease.requester,
            end: extended.end,
            slots,
            price: extended.price,
            locked: extended.locked,
        });
        self.view.put::<Offers>(lease.offer, offer);
        self.view.put::<Leases>(id, lease);
        Ok(extended)
    }

    /// The slots that follow on a lease, as a trade: none that have begun, no more in all than a lease may have, and none
    /// beyond the horizon.
    fn following(&self, lease: &Lease, slots: u32) -> Result<Trade, Rejection> {
        let start = lease.start.checked_add(lease.slots).ok_or(Rejection::Overflow)?;
        if start.begins(self.params.slot_s) <= self.now {
            return Err(Rejection::LeaseStateWrong);
        }
        let whole = lease.slots.checked_add(slots).ok_or(Rejection::Overflow)?;
        let end = start.checked_add(slots).ok_or(Rejection::Overflow)?;
        let horizon = self.now.slot(self.params.slot_s).checked_add(self.params.horizon_slots);
        if whole > self.params.lease_slots_max || end > horizon.ok_or(Rejection::Overflow)? {
            return Err(Rejection::ExtensionTooLong);
        }
        Ok(Trade {
            request: lease.request,
            offer: lease.offer,
            lane: Lane::Market,
            bucket: Bucket::Spot,
            released: false,
            quantity: lease.quantity,
            start,
            slots,
            price: lease.agreement.price,
            aid: 0,
        })
    }

    /// Refuses to take what somebody else who waits for the batch that is due could have of this offer: with `free` before the
    /// extension, and no more with what is left after it. Whether that batch would give it is not asked: it decides.
    fn passes_nobody_over(&self, lease: &Lease, free: &Calendar, offer: &Offer) -> Result<(), Rejection> {
        let Some(class) = self.view.get::<Classes>(&lease.class) else { return Ok(()) };
        if class.batch_due.is_none() {
            return Ok(());
        }
        let ask = offer.ask_in(class.epoch);
        let next = self.now.slot(self.params.slot_s).checked_add(1).ok_or(Rejection::Overflow)?;
        let mut waiting = open_requests(&self.view, &lease.class);
        let could_have = |request: &Request| {
            let demand = &request.demand;
            let limit = demand.classes().find(|(class, _)| **class == lease.class).map(|(_, limit)| limit);
            let meets = demand.countries.admits(offer.country)
                && offer.certificates & demand.certificates == demand.certificates
                && offer.tier >= demand.tier_min
                && demand.lane != LaneHint::Reserve
                && limit.is_some_and(|limit| limit >= ask)
                && !(demand.has_grant() && request.group == offer.group);
            let fits = |free: &Calendar| {
                let most = free.largest_fit(demand.slots, demand.start_min.max(next), demand.start_max);
                most >= demand.quantity_min.max(1)
            };
            meets && request.organisation != lease.requester && fits(free) && !fits(&offer.market)
        };
        let is_awaited = waiting.by_ref().take(EXTENSION_REQUESTS_MAX).any(could_have);
        // Of more than can be looked at here, some may be such.
        if is_awaited || waiting.next().is_some() { Err(Rejection::ExtensionAwaited) } else { Ok(()) }
    }

    /// Refuses what would give a group more of the class in one slot than one may hold: as much as a batch would give it.
    fn within_group_cap(&self, lease: &Lease, trade: &Trade) -> Result<(), Rejection> {
        let end = Slot(trade.start.0.saturating_add(trade.slots));
        let held = self
            .holds(&lease.class)
            .filter(|hold| hold.group == lease.group && hold.start < end && trade.start < hold.end)
            .map(|hold| Calendar::constant(hold.start, hold.end, hold.quantity).cut(trade.start, end))
            .fold(Calendar::default(), |sum, hold| sum.plus(&hold));
        let capacity = offered_capacity(&self.view, &lease.class);
        let share = capacity.saturating_mul(u64::from(self.params.cap_bps)).checked_div(10_000).unwrap_or(0);
        let node = open_offers(&self.view, &lease.class).map(|(_, offer)| offer.node_size).max();
        let cap = share.max(u64::from(node.unwrap_or(1)));
        let wanted = u64::from(held.peak()).saturating_add(u64::from(trade.quantity));
        if wanted > cap { Err(Rejection::ExtensionOverCap) } else { Ok(()) }
    }

    /// Remembers which slots were added when and out of which state of the offer.
    fn note_extension(&self, lease: &mut Lease, slots: u32, offer_revision: u32) -> Result<(), Rejection> {
        let added = Extension { slots, awarded_at: self.now, offer_revision };
        let same = |last: &&mut Extension| {
            day_of(last.awarded_at) == day_of(self.now) && last.offer_revision == offer_revision
        };
        let full = lease.extensions.len() >= EXTENSIONS_MAX;
        match lease.extensions.last_mut().filter(same) {
            Some(last) => last.slots = last.slots.checked_add(slots).ok_or(Rejection::Overflow)?,
            None if full => return Err(Rejection::ExtensionTooLong),
            None => lease.extensions.push(added),
        }
        Ok(())
    }

    /// Locks what the contract may need for the longer lease beyond what is locked, out of the same purses, and what it asks
    /// the provider to stake beyond what is staked; holds the debit caps for both.
    fn top_up(&mut self, id: LeaseId, lease: &mut Lease, mut request: Request) -> Result<Money, Rejection> {
        let (quote, stake) = self.quote(lease)?;
        let worth = lease.agreement.price.charge(lease.awarded_seconds(self.params.slot_s));
        // As at the award: a contract may ask for no more than the price is worth.
        if quote > worth.ok_or(Rejection::Overflow)?.max(lease.locked) {
            return Err(Rejection::ContractRefused);
        }
        let added = quote.checked_sub(lease.locked).unwrap_or(Money::ZERO);
        let shares: Vec<u16> = lease.sources.iter().map(|source| source.share_bps).collect();
        let parts = share::split(added, &shares).ok_or(Rejection::Overflow)?;
        for (number, (source, part)) in (0u8..).zip(lease.sources.iter_mut().zip(parts)) {
            let purse = source.purse.account(lease.requester);
            self.transfer(&purse, AccountId::Escrow(lease.request, number), lease.requester_home, part)?;
            source.locked = source.locked.checked_add(part).ok_or(Rejection::Overflow)?;
        }
        self.unlock_exposure(lease)?;
        lease.locked = lease.locked.checked_add(added).ok_or(Rejection::Overflow)?;
        self.hold_stake(id, lease, stake)?;
        self.lock_exposure(lease)?;
        request.locked = lease.locked;
        self.view.put::<Requests>(lease.request, request);
        Ok(added)
    }
}
