//! Offers: accredited capacity enters the book.

use super::{BlockInHand, Context, FuelUse, Perform};
use crate::eligibility::sample_terms;
use crate::event::Event;
use crate::id::{CodeHash, OfferId, OrganisationId, TransactionId};
use crate::market::Calendar;
use crate::money::{Money, Price};
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{
    AskRaise, Entitlement, EntitlementKey, NamedParty, Offer, OfferState, Organisation, Pool, PoolOwner,
    Roles, Site, SiteKey,
};
use crate::tables::{Classes, Entitlements, Offers, OffersOpen, Organisations, Sites};
use crate::time::Slot;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi as abi;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

data! {
    /// Posts an offer of accredited capacity. Signed by a key with the offer role.
    pub struct PostOffer {
        /// The accredited place.
        pub site: Name,
        /// The resource class.
        pub class: Name,
        /// Whose part of it; may be left out where the site is one part.
        #[serde(default)]
        pub owner: Option<PoolOwner>,
        /// Least price per accelerator-hour.
        pub ask: Price,
        /// What is free for new leases, over time, the reserve included.
        pub calendar: Calendar,
        /// The reserve's share of it, in basis points; left out it is the federation's least for public capacity, and none
        /// for private.
        #[serde(default)]
        pub reserve_bps: Option<u16>,
        /// Over how many slots the share is met, everything in the first part of each such cycle and nothing in the rest, so
        /// that a large job fits; left out, every slot has its share.
        #[serde(default)]
        pub reserve_cycle_slots: Option<u32>,
        /// The contract that settles the leases.
        pub contract: CodeHash,
        /// Its parameters.
        #[serde(with = "crate::bytes", default)]
        pub contract_params: Vec<u8>,
        /// Accredited organisations that the contract may pay a share of their own, on their cash: parties of every lease,
        /// in this order, beside the provider. Each once, and not the provider.
        #[serde(default)]
        pub parties: Vec<OrganisationId>,
    }

    /// Changes the price or the free capacity of an open offer; leases stay as they are.
    pub struct AmendOffer {
        /// Which.
        pub offer: OfferId,
        /// New least price.
        #[serde(default)]
        pub ask: Option<Price>,
        /// New free capacity.
        #[serde(default)]
        pub calendar: Option<Calendar>,
    }

    /// Takes an offer out of the book; leases stay as they are.
    pub struct WithdrawOffer {
        /// Which.
        pub offer: OfferId,
    }
}

/// The longest parameters of a contract, in bytes.
const CONTRACT_PARAMS_BYTES_MAX: usize = 4_096;

/// The id of the offer that action `position` of a transaction posts.
#[must_use]
pub fn offer_id(transaction: TransactionId, position: u32) -> OfferId {
    OfferId::derive(&(transaction, position))
}

fn check_ask(ask: Price) -> Result<(), Rejection> {
    if ask.is_on_tick() { Ok(()) } else { Err(Rejection::PriceInvalid) }
}

fn check_calendar(calendar: &Calendar, params: &Params) -> Result<(), Rejection> {
    if calendar.points().len() > params.calendar_points_max as usize {
        return Err(Rejection::CalendarInvalid);
    }
    Ok(())
}

impl Perform for PostOffer {
    fn check(&self, params: &Params) -> Result<(), Rejection> {
        check_ask(self.ask)?;
        check_calendar(&self.calendar, params)?;
        if self.calendar.peak() == 0 {
            return Err(Rejection::CalendarInvalid);
        }
        if self.contract_params.len() > CONTRACT_PARAMS_BYTES_MAX {
            return Err(Rejection::ContractRefused);
        }
        let distinct: BTreeSet<&OrganisationId> = self.parties.iter().collect();
        if self.parties.len() > abi::limits::NAMED_PARTIES_MAX || distinct.len() != self.parties.len() {
            return Err(Rejection::PartiesInvalid);
        }
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (provider, organisation) = context.organisation(Roles::OFFER)?;
        let parties = self.named(context, provider)?;
        let key = SiteKey { provider, site: self.site.clone(), class: self.class.clone() };
        let site = context.view.get::<Sites>(&key).cloned().ok_or(Rejection::SiteUnknown)?;
        let (part, entitlement) = context.part_of(&key, self.owner)?;
        if entitlement.offer.is_some() {
            return Err(Rejection::OfferExists);
        }
        context.active_contract(&self.contract)?;
        self.try_contract(context)?;
        let offer = offer_id(context.transaction, context.position);
        let mut row = self.row(provider, &organisation, &site, part.owner);
        row.parties = parties;
        row.reserve_bps = self.reserve_share(part.owner, context.params)?;
        context.set_free(&mut row, &entitlement, &self.calendar)?;
        if row.market.peak() == 0 && row.reserve.peak() == 0 {
            // What has passed already offers nothing.
            return Err(Rejection::CalendarInvalid);
        }
        context.view.put::<Entitlements>(part, Entitlement { offer: Some(offer), ..entitlement });
        let sequence = organisation.sequence.checked_add(1).ok_or(Rejection::Overflow)?;
        context.view.put::<Organisations>(provider, Organisation { sequence, ..organisation });
        context.view.put::<OffersOpen>((self.class.clone(), offer), ());
        context.view.put::<Offers>(offer, row);
        context.count_offer(&self.contract, true);
        context.hold_parts(&key, site.confirmed)?;
        context.schedule_batch(&self.class);
        context.emit(Event::OfferPosted {
            offer,
            provider,
            class: self.class.clone(),
            site: self.site.clone(),
            ask: self.ask,
        });
        Ok(())
    }
}

impl PostOffer {
    /// The organisations it names, as they are now.
    fn named(
        &self,
        context: &Context<'_, '_>,
        provider: OrganisationId,
    ) -> Result<Vec<NamedParty>, Rejection> {
        let mut named = Vec::new();
        for id in &self.parties {
            if *id == provider {
                return Err(Rejection::PartiesInvalid);
            }
            let row = context.accredited(id)?;
            named.push(NamedParty { organisation: *id, home: row.home, group: row.group });
        }
        Ok(named)
    }

    /// Asks the contract for a quote of one accelerator for one slot, so that parameters it does not accept, or by which it
    /// asks for more than the price is worth, are refused before anybody relies on them. A contract that only sponsors use
    /// is asked with one.
    fn try_contract(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let worth = self.ask.charge(u64::from(context.params.slot_s)).ok_or(Rejection::Overflow)?;
        for sponsored in [false, true] {
            if !context.has_fuel(FuelUse::Other) {
                return Err(Rejection::FuelExhausted);
            }
            let terms = sample_terms(context.params, context.now, self.ask, sponsored, self.parties.len());
            let outcome = context.runtime.quote(&self.contract.0, &self.contract_params, &terms);
            context.burn_fuel(FuelUse::Other, outcome.fuel);
            match outcome.result {
                Ok(quote) if quote.lock <= worth.wide() => return Ok(()),
                Ok(_) => return Err(Rejection::ContractRefused),
                Err(_) => {}
            }
        }
        Err(Rejection::ContractRefused)
    }

    fn row(
        &self,
        provider: OrganisationId,
        organisation: &Organisation,
        site: &Site,
        owner: PoolOwner,
    ) -> Offer {
        Offer {
            provider,
            group: organisation.group,
            // A member's own part earns for that member: its own users owe nobody anything for it.
            home: owner.member().unwrap_or(organisation.home),
            site: self.site.clone(),
            class: self.class.clone(),
            country: site.country,
            certificates: site.certificates,
            tier: site.tier,
            node_size: site.node_size,
            pool: owner,
            ask: self.ask,
            ask_raise: None,
            reserve_bps: 0,
            reserve_cycle_slots: self.reserve_cycle_slots,
            market: Calendar::default(),
            reserve: Calendar::default(),
            revision: 0,
            contract: self.contract,
            contract_params: self.contract_params.clone(),
            parties: Vec::new(),
            stake_short: Money::ZERO,
            sequence: organisation.sequence,
            state: OfferState::Open,
        }
    }
}

impl Perform for AmendOffer {
    fn check(&self, params: &Params) -> Result<(), Rejection> {
        self.ask.map_or(Ok(()), check_ask)?;
        self.calendar.as_ref().map_or(Ok(()), |calendar| check_calendar(calendar, params))
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let mut row = own_offer(context, &self.offer)?;
        let key = row.site_key();
        let site = context.view.get::<Sites>(&key).cloned().ok_or(Rejection::SiteUnknown)?;
        if let Some(calendar) = &self.calendar {
            let part = EntitlementKey { site: key.clone(), owner: row.pool };
            let entitlement =
                context.view.get::<Entitlements>(&part).cloned().ok_or(Rejection::SiteUnknown)?;
            row.revision = row.revision.saturating_add(1);
            context.set_free(&mut row, &entitlement, calendar)?;
        }
        let class = row.class.clone();
        let epoch = context.view.get::<Classes>(&class).map_or(0, |class| class.epoch);
        if let Some(ask) = self.ask {
            row.settle_raise(epoch);
            // Whoever raises its price does so for the batch after the next: none may be raised once the orders are seen.
            (row.ask, row.ask_raise) = match ask > row.ask {
                true => (row.ask, Some(AskRaise { ask, epoch })),
                false => (ask, None),
            };
        }
        let is_raise = row.ask_raise.is_some();
        context.view.put::<Offers>(self.offer, row);
        context.hold_parts(&key, site.confirmed)?;
        if is_raise {
            // Held even where nobody waits: the raise counts after it, and not at some batch of days to come.
            let now = context.now;
            context.schedule_at(&class, now);
        } else {
            context.schedule_batch(&class);
        }
        context.emit(Event::OfferAmended { offer: self.offer });
        Ok(())
    }
}

impl Perform for WithdrawOffer {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let row = own_offer(context, &self.offer)?;
        context.withdraw_offer(self.offer, row);
        Ok(())
    }
}

/// An open offer of the signing organisation.
fn own_offer(context: &Context<'_, '_>, id: &OfferId) -> Result<Offer, Rejection> {
    let (provider, _) = context.organisation_any_standing(Roles::OFFER)?;
    let row = context.view.get::<Offers>(id);
    let row = row.filter(|row| row.provider == provider && row.state == OfferState::Open);
    row.cloned().ok_or(Rejection::OfferUnknown)
}

impl PostOffer {
    /// The reserve's share: of public capacity never less than the federation's least, of private none.
    fn reserve_share(&self, owner: PoolOwner, params: &Params) -> Result<u16, Rejection> {
        let least = match owner.pool() {
            Pool::Public => params.reserve_bps_min,
            Pool::Private => 0,
        };
        let share = self.reserve_bps.unwrap_or(least);
        let allowed = match owner.pool() {
            Pool::Public => (least..=10_000).contains(&share),
            Pool::Private => share == 0,
        };
        if !allowed || self.reserve_cycle_slots == Some(0) {
            return Err(Rejection::ReserveInvalid);
        }
        Ok(share)
    }
}

impl Offer {
    /// The site it stands at.
    #[must_use]
    pub fn site_key(&self) -> SiteKey {
        SiteKey { provider: self.provider, site: self.site.clone(), class: self.class.clone() }
    }

    /// The price in a batch of this number: a raise counts once a batch has passed since it was asked for.
    #[must_use]
    pub fn ask_in(&self, epoch: u64) -> Price {
        self.ask_raise.as_ref().filter(|raise| epoch > raise.epoch).map_or(self.ask, |raise| raise.ask)
    }

    /// Makes a raise that counts by now the price.
    fn settle_raise(&mut self, epoch: u64) {
        self.ask = self.ask_in(epoch);
        if self.ask_raise.as_ref().is_some_and(|raise| epoch > raise.epoch) {
            self.ask_raise = None;
        }
    }

    /// The part of `gross` that is reserve: its share of every slot, or everything for its share of the slots.
    fn reserve_of(&self, gross: &Calendar) -> Calendar {
        let Some(cycle) = self.reserve_cycle_slots.filter(|cycle| *cycle > 0) else {
            return gross.reserved(self.reserve_bps, self.node_size);
        };
        let (Some((first, _)), Some((end, _))) = (gross.points().first(), gross.points().last()) else {
            return Calendar::default();
        };
        let open = u64::from(cycle).saturating_mul(u64::from(self.reserve_bps)).div_ceil(10_000);
        let open = u32::try_from(open).unwrap_or(cycle);
        let mut steps = Vec::new();
        // Cycles begin at multiples of their length, so that they stay where they are whatever is offered when.
        let mut start = first.0.saturating_sub(first.0.checked_rem(cycle).unwrap_or(0));
        while start < end.0 && open > 0 {
            steps.push((Slot(start), u32::MAX));
            if open < cycle {
                steps.push((Slot(start.saturating_add(open)), 0));
            }
            start = start.saturating_add(cycle);
        }
        steps.push((Slot(start.max(end.0)), 0));
        steps.dedup_by_key(|(slot, _)| *slot);
        Calendar::from_steps(&steps).unwrap_or_default().min_with(gross)
    }
}

impl BlockInHand<'_> {
    /// Brings the open offers of a site up to what is accredited now.
    pub(super) fn refresh_offers(&mut self, key: &SiteKey, site: &Site) {
        let Site { country, certificates, tier, node_size, .. } = *site;
        for (_, part) in self.parts_of(key) {
            if let Some((id, offer)) =
                part.offer.and_then(|id| Some((id, self.view.get::<Offers>(&id)?.clone())))
            {
                self.view.put::<Offers>(id, Offer { country, certificates, tier, node_size, ..offer });
            }
        }
    }

    /// What a part has leased and offered, over time.
    pub(crate) fn gross(&self, part: &Entitlement) -> Calendar {
        let mut gross = part.leased();
        if let Some(offer) = part.offer.and_then(|id| self.view.get::<Offers>(&id)) {
            gross = gross.plus(&offer.market).plus(&offer.reserve);
        }
        gross
    }

    /// Takes what its provider says is free, and divides it between the lanes: within the horizon, no more than the owner is
    /// granted, and nothing of what is out of order.
    ///
    /// The reserve's share is counted from all that is offered, leased or not, so that it does not shrink as the market buys.
    fn set_free(&self, offer: &mut Offer, part: &Entitlement, free: &Calendar) -> Result<(), Rejection> {
        let now = self.now.slot(self.params.slot_s);
        let horizon = now.checked_add(self.params.horizon_slots).ok_or(Rejection::Overflow)?;
        if free.points().last().is_some_and(|(end, _)| *end > horizon) {
            return Err(Rejection::CalendarInvalid);
        }
        let (mut free, mut part) = (free.clone(), part.clone());
        free.prune(now);
        part.prune(now);
        let leased = part.leased();
        if leased.plus(&free).peak() > part.accelerators {
            return Err(Rejection::OfferOverInventory);
        }
        let whole = Calendar::constant(now, horizon, part.accelerators);
        let free = free.min_with(&whole.minus(&part.outage).minus(&leased));
        let points_max = self.params.calendar_points_max as usize;
        let gross = free.plus(&leased);
        if let (Some(cycle), Some((first, _)), Some((end, _))) =
            (offer.reserve_cycle_slots, gross.points().first(), gross.points().last())
            && end.0.saturating_sub(first.0).checked_div(cycle).unwrap_or(0) as usize > points_max
        {
            return Err(Rejection::CalendarInvalid);
        }
        let share = offer.reserve_of(&gross);
        offer.reserve = share.minus(&part.leased_reserve).min_with(&free);
        offer.market = free.minus(&offer.reserve);
        if offer.reserve.points().len() > points_max || offer.market.points().len() > points_max {
            return Err(Rejection::CalendarInvalid);
        }
        Ok(())
    }

    pub(super) fn withdraw_offers_of(&mut self, provider: OrganisationId) {
        let first = Name::new("0").expect("a digit is a name");
        let site = SiteKey { provider, site: first.clone(), class: first };
        let first = EntitlementKey { site, owner: PoolOwner::Private };
        let open: Vec<OfferId> = self
            .view
            .range::<Entitlements>(first..)
            .take_while(|(key, _)| key.site.provider == provider)
            .filter_map(|(_, part)| part.offer)
            .collect();
        for id in open {
            if let Some(row) = self.view.get::<Offers>(&id).cloned() {
                self.withdraw_offer(id, row);
            }
        }
    }

    fn withdraw_offer(&mut self, id: OfferId, row: Offer) {
        let key = EntitlementKey { site: row.site_key(), owner: row.pool };
        if let Some(part) = self.view.get::<Entitlements>(&key).cloned() {
            self.view.put::<Entitlements>(key, Entitlement { offer: None, ..part });
        }
        self.view.remove::<OffersOpen>(&(row.class.clone(), id));
        self.count_offer(&row.contract, false);
        self.view.put::<Offers>(id, Offer { state: OfferState::Withdrawn, ..row });
        self.emit(Event::OfferWithdrawn { offer: id });
    }
}
