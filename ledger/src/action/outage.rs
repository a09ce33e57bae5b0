//! Outages and maintenance: capacity that is out for some time, and the leases that it hits.

use super::{BlockInHand, Context, Perform};
use crate::event::Event;
use crate::id::{LeaseId, OutageId, TransactionId};
use crate::market::Calendar;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{
    Deadline, DeadlineKind, Entitlement, EntitlementKey, Lease, Offer, OfferState, Outage, PoolOwner, Roles,
    SiteKey,
};
use crate::tables::{Deadlines, Entitlements, Leases, LeasesLive, Offers, Outages};
use crate::time::Slot;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

data! {
    /// Announces that accelerators of a site are out of order or in maintenance for some time: they leave the book, and the
    /// leases that can no longer be served whole are named. Signed by a key with the offer role.
    pub struct AnnounceOutage {
        /// The place.
        pub site: Name,
        /// The resource class.
        pub class: Name,
        /// Whose part of it; may be left out where the site is one part.
        #[serde(default)]
        pub owner: Option<PoolOwner>,
        /// The first slot.
        pub start: Slot,
        /// The first slot after it.
        pub end: Slot,
        /// Accelerators that are out.
        pub accelerators: u32,
        /// Whether it is planned maintenance.
        pub planned: bool,
    }

    /// Says that an outage is over before its time. Signed by a key with the offer role.
    pub struct EndOutage {
        /// Which.
        pub outage: OutageId,
    }
}

/// The id of the outage that action `position` of a transaction announces.
#[must_use]
pub fn outage_id(transaction: TransactionId, position: u32) -> OutageId {
    OutageId::derive(&(transaction, position))
}

impl Perform for AnnounceOutage {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if self.accelerators == 0 || self.start >= self.end { Err(Rejection::OutageInvalid) } else { Ok(()) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (provider, _) = context.organisation_any_standing(Roles::OFFER)?;
        let site = SiteKey { provider, site: self.site.clone(), class: self.class.clone() };
        let (key, mut part) = context.part_of(&site, self.owner)?;
        let slot_s = context.params.slot_s;
        let now = context.now.slot(slot_s);
        let horizon = now.checked_add(context.params.horizon_slots).ok_or(Rejection::Overflow)?;
        let start = self.start.max(now);
        if start >= self.end || self.end > horizon {
            return Err(Rejection::OutageInvalid);
        }
        part.prune(now);
        let out = part.outage.plus(&Calendar::constant(start, self.end, self.accelerators));
        if out.peak() > part.accelerators {
            return Err(Rejection::OutageInvalid);
        }
        if out.points().len() > context.params.calendar_points_max as usize {
            return Err(Rejection::CalendarInvalid);
        }
        part.outage = out;
        let hit = context.leases_hit(&key, &part, start, self.end);
        let notice = start.begins(slot_s).0.saturating_sub(context.now.0);
        let announced = self.planned && notice >= context.params.maintenance_notice_ms;
        if announced {
            context.excuse(&hit);
        }
        let leases: Vec<LeaseId> = hit.iter().map(|(lease, _)| *lease).collect();
        let (taken_market, taken_reserve, offer_revision) = context.take_out(&mut part);
        let id = outage_id(context.transaction, context.position);
        let row = Outage {
            part: key.clone(),
            start,
            end: self.end,
            accelerators: self.accelerators,
            planned: self.planned,
            announced,
            leases: leases.clone(),
            taken_market,
            taken_reserve,
            offer: part.offer,
            offer_revision,
        };
        context.view.put::<Entitlements>(key, part);
        context.view.put::<Deadlines>(row.deadline(id, slot_s), ());
        context.view.put::<Outages>(id, row);
        context.emit(Event::OutageAnnounced {
            outage: id,
            provider,
            site: self.site.clone(),
            class: self.class.clone(),
            start: start.begins(slot_s),
            end: self.end.begins(slot_s),
            accelerators: self.accelerators,
            planned: self.planned,
            leases,
        });
        Ok(())
    }
}

impl Perform for EndOutage {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (provider, _) = context.organisation_any_standing(Roles::OFFER)?;
        let row = context.view.get::<Outages>(&self.outage).filter(|row| row.part.site.provider == provider);
        let row = row.cloned().ok_or(Rejection::OutageUnknown)?;
        let deadline = row.deadline(self.outage, context.params.slot_s);
        context.view.remove::<Deadlines>(&deadline);
        context.end_outage(self.outage)
    }
}

impl Outage {
    fn deadline(&self, id: OutageId, slot_s: u32) -> Deadline {
        Deadline { due: self.end.begins(slot_s), kind: DeadlineKind::OutageEnd, subject: id.0 }
    }
}

impl BlockInHand<'_> {
    /// The part of a site that is meant, where it may be left out for a site of one part.
    pub(super) fn part_of(
        &self,
        site: &SiteKey,
        owner: Option<PoolOwner>,
    ) -> Result<(EntitlementKey, Entitlement), Rejection> {
        let mut parts = self.parts_of(site);
        parts.retain(|(key, _)| owner.is_none_or(|owner| key.owner == owner));
        match parts.len() {
            0 | 1 => parts.pop().ok_or(Rejection::SiteUnknown),
            _ => Err(Rejection::OfferOwnerMissing),
        }
    }

    /// The leases that a part can no longer serve whole: of those that overlap, those out of released reserve
    /// first, which may be interrupted, and of each kind the latest awarded first, until what is left
    /// fits into what is not out; and what each of them lacks, over time.
    fn leases_hit(
        &self,
        key: &EntitlementKey,
        part: &Entitlement,
        start: Slot,
        end: Slot,
    ) -> Vec<(LeaseId, Calendar)> {
        let granted = Calendar::constant(start, end, part.accelerators);
        let mut excess = part.leased().plus(&part.outage).cut(start, end).minus(&granted);
        if excess.peak() == 0 {
            return Vec::new();
        }
        let class = &key.site.class;
        let range = (class.clone(), LeaseId([0; 32]))..=(class.clone(), LeaseId([255; 32]));
        let here = |lease: &Lease| {
            lease.pool == key.owner && lease.site == key.site.site && lease.provider == key.site.provider
        };
        let mut leases: Vec<(LeaseId, &Lease)> = self
            .view
            .range::<LeasesLive>(range)
            .filter_map(|((_, id), ())| Some((*id, self.view.get::<Leases>(id)?)))
            .filter(|(_, lease)| here(lease))
            .collect();
        leases.sort_by_key(|(id, lease)| (Reverse(lease.released), Reverse(lease.awarded_at), *id));
        let mut hit = Vec::new();
        for (id, lease) in leases {
            let until = Slot(lease.start.0.saturating_add(lease.slots));
            let held = Calendar::constant(lease.start, until, lease.quantity);
            let lacks = held.min_with(&excess);
            if lacks.peak() > 0 {
                excess = excess.minus(&held);
                hit.push((id, lacks));
            }
        }
        hit.sort_unstable_by_key(|(id, _)| *id);
        hit
    }

    /// Maintenance that was announced long enough ahead is no breach of the leases it hits: what they lack was not promised.
    /// What more outages than a calendar can hold take from one lease stays promised.
    fn excuse(&mut self, hit: &[(LeaseId, Calendar)]) {
        for (id, lacks) in hit {
            if let Some(mut lease) = self.view.get::<Leases>(id).cloned() {
                let until = Slot(lease.start.0.saturating_add(lease.slots));
                let whole = Calendar::constant(lease.start, until, lease.quantity);
                let maintenance = lease.maintenance.plus(lacks).min_with(&whole);
                if maintenance.points().len() <= self.params.calendar_points_max as usize {
                    lease.maintenance = maintenance;
                    self.view.put::<Leases>(*id, lease);
                }
            }
        }
    }

    /// Maintenance is over before its time: from now on its leases can have again what it took.
    fn promise_again(&mut self, row: &Outage, now: Slot) {
        let over = Calendar::constant(row.start.max(now), row.end, row.accelerators);
        for id in row.leases.iter().filter(|_| row.announced && over.peak() > 0) {
            if let Some(mut lease) = self.view.get::<Leases>(id).cloned() {
                lease.maintenance = lease.maintenance.minus(&over);
                self.view.put::<Leases>(*id, lease);
            }
        }
    }

    /// Takes out of the part's offer what is free and out, from the market first; says what was taken of each lane, and at
    /// which revision of the offer.
    fn take_out(&mut self, part: &mut Entitlement) -> (Calendar, Calendar, u32) {
        let open = part.offer.and_then(|id| Some((id, self.view.get::<Offers>(&id)?.clone())));
        let Some((id, mut offer)) = open else { return (Calendar::default(), Calendar::default(), 0) };
        let (market, reserve) = (offer.market.clone(), offer.reserve.clone());
        self.fit_free(part, &mut offer);
        let taken = (market.minus(&offer.market), reserve.minus(&offer.reserve), offer.revision);
        self.view.put::<Offers>(id, offer);
        taken
    }

    /// Divides all that an offer would have free, what is out included, anew into what is free and what is out: no more is
    /// free than was granted, less what is leased and out, and the reserve keeps its own before the market. Whatever order
    /// outages and leases come and go in, the sum of the two stays.
    pub(crate) fn fit_free(&self, part: &mut Entitlement, offer: &mut Offer) {
        let now = self.now.slot(self.params.slot_s);
        part.prune(now);
        offer.market.prune(now);
        offer.reserve.prune(now);
        let market = offer.market.plus(&part.out_market);
        let reserve = offer.reserve.plus(&part.out_reserve);
        let both = market.plus(&reserve);
        let (Some((first, _)), Some((last, _))) = (both.points().first(), both.points().last()) else {
            return;
        };
        let granted = Calendar::constant(*first, *last, part.accelerators);
        let room = granted.minus(&part.leased()).minus(&part.outage);
        offer.reserve = reserve.min_with(&room);
        offer.market = market.min_with(&room.minus(&offer.reserve));
        part.out_reserve = reserve.minus(&offer.reserve);
        part.out_market = market.minus(&offer.market);
    }

    /// An outage is over: what is out no more returns to the offer that would have it free.
    pub(crate) fn end_outage(&mut self, id: OutageId) -> Result<(), Rejection> {
        let row = self.view.get::<Outages>(&id).cloned().ok_or(Rejection::OutageUnknown)?;
        self.view.remove::<Outages>(&id);
        let now = self.now.slot(self.params.slot_s);
        self.promise_again(&row, now);
        let Some(mut part) = self.view.get::<Entitlements>(&row.part).cloned() else { return Ok(()) };
        part.prune(now);
        part.outage = part.outage.minus(&Calendar::constant(row.start.max(now), row.end, row.accelerators));
        let open = |offer: &&Offer| offer.state == OfferState::Open;
        let offer = part.offer.and_then(|id| Some((id, self.view.get::<Offers>(&id).filter(open)?.clone())));
        if let Some((id, mut offer)) = offer {
            self.fit_free(&mut part, &mut offer);
            self.view.put::<Offers>(id, offer);
        }
        self.view.put::<Entitlements>(row.part.clone(), part);
        self.schedule_batch(&row.part.site.class);
        self.emit(Event::OutageEnded { outage: id });
        Ok(())
    }
}
