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
    Roles, Site, SiteKey, WithdrawnTerms,
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

/// The longest cycle over which a reserve is met, in days: who waits for it waits no longer.
const RESERVE_CYCLE_DAYS_MAX: u32 = 28;

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
        let (part, mut entitlement) = context.part_of(&key, self.owner)?;
        if entitlement.offer.is_some() {
            return Err(Rejection::OfferExists);
        }
        context.active_contract(&self.contract)?;
        self.try_contract(context)?;
        let offer = offer_id(context.transaction, context.position);
        let mut row = self.row(provider, &organisation, &site, part.owner);
        row.parties = parties;
        row.reserve_bps = self.reserve_share(part.owner, context.params)?;
        let is_raise = context.hold_to_withdrawn(&mut row, &entitlement)?;
        context.set_free(&mut row, &mut entitlement, &self.calendar)?;
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
        if is_raise {
            let now = context.now;
            context.schedule_at(&self.class, now);
        } else {
            context.schedule_batch(&self.class);
        }
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
            let mut entitlement =
                context.view.get::<Entitlements>(&part).cloned().ok_or(Rejection::SiteUnknown)?;
            row.revision = row.revision.saturating_add(1);
            context.set_free(&mut row, &mut entitlement, calendar)?;
            context.view.put::<Entitlements>(part, entitlement);
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
        let longest =
            RESERVE_CYCLE_DAYS_MAX.saturating_mul(86_400).checked_div(params.slot_s).unwrap_or(1).max(1);
        if !allowed || self.reserve_cycle_slots.is_some_and(|cycle| cycle == 0 || cycle > longest) {
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

    /// The part of all that is offered that is reserve: its share of every slot, or everything for its share of the slots.
    ///
    /// A share that is met over time is looked at in every cycle: where what is free or leased as reserve in its first part is
    /// less than the share of all that is offered in the cycle (the calendar has gaps there, or that part has passed or is
    /// sold), every slot of the cycle has its share instead. So no calendar and no moment of posting sheds it.
    fn reserve_of(&self, free: &Calendar, part: &Entitlement) -> Calendar {
        let gross = free.plus(&part.leased());
        let Some(cycle) = self.reserve_cycle_slots.filter(|cycle| *cycle > 0) else {
            return gross.reserved(self.reserve_bps, self.node_size);
        };
        let (Some((first, _)), Some((end, _))) = (gross.points().first(), gross.points().last()) else {
            return Calendar::default();
        };
        let open = u64::from(cycle).saturating_mul(u64::from(self.reserve_bps)).div_ceil(10_000);
        let open = u32::try_from(open).unwrap_or(cycle);
        let could = free.plus(&part.leased_reserve);
        let mut reserve = Calendar::default();
        // Cycles begin at multiples of their length, so that they stay where they are whatever is offered when.
        let mut start = first.0.saturating_sub(first.0.checked_rem(cycle).unwrap_or(0));
        while start < end.0 {
            let (begin, until) = (Slot(start), Slot(start.saturating_add(cycle)));
            let whole = gross.cut(begin, until);
            let opened = Slot(start.saturating_add(open));
            let landed = could.cut(begin, opened).area().saturating_mul(10_000);
            let of_cycle = match landed >= whole.area().saturating_mul(u128::from(self.reserve_bps)) {
                true => gross.cut(begin, opened),
                false => whole.reserved(self.reserve_bps, self.node_size),
            };
            reserve = reserve.plus(&of_cycle);
            start = until.0;
        }
        reserve
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
    fn set_free(&self, offer: &mut Offer, part: &mut Entitlement, free: &Calendar) -> Result<(), Rejection> {
        let now = self.now.slot(self.params.slot_s);
        let horizon = now.checked_add(self.params.horizon_slots).ok_or(Rejection::Overflow)?;
        if free.points().last().is_some_and(|(end, _)| *end > horizon) {
            return Err(Rejection::CalendarInvalid);
        }
        let mut free = free.clone();
        free.prune(now);
        part.prune(now);
        let gross = free.plus(&part.leased());
        if gross.peak() > part.accelerators {
            return Err(Rejection::OfferOverInventory);
        }
        let points_max = self.params.calendar_points_max as usize;
        if let (Some(cycle), Some((first, _)), Some((end, _))) =
            (offer.reserve_cycle_slots, gross.points().first(), gross.points().last())
            && end.0.saturating_sub(first.0).checked_div(cycle).unwrap_or(0) as usize > points_max
        {
            return Err(Rejection::CalendarInvalid);
        }
        self.divide(offer, part, &free);
        let calendars = [&offer.reserve, &offer.market, &part.out_reserve, &part.out_market];
        if calendars.iter().any(|calendar| calendar.points().len() > points_max) {
            return Err(Rejection::CalendarInvalid);
        }
        Ok(())
    }

    /// Divides what would be free if nothing were out between the lanes, and each into what is free and what is out.
    fn divide(&self, offer: &mut Offer, part: &mut Entitlement, free: &Calendar) {
        offer.reserve = offer.reserve_of(free, part).minus(&part.leased_reserve).min_with(free);
        offer.market = free.minus(&offer.reserve);
        (part.out_market, part.out_reserve) = (Calendar::default(), Calendar::default());
        self.fit_free(part, offer);
    }

    /// Holds a new offer to what the one before it of the same part left behind: a higher price counts after the next batch
    /// that has not run since, and the reserve's cycle stays until its end. Says whether there is such a raise.
    fn hold_to_withdrawn(&self, offer: &mut Offer, part: &Entitlement) -> Result<bool, Rejection> {
        let Some(before) = &part.withdrawn else { return Ok(false) };
        let now = self.now.slot(self.params.slot_s);
        let another = offer.reserve_cycle_slots != before.reserve_cycle_slots;
        if now < before.reserve_until && (another || offer.reserve_bps < before.reserve_bps) {
            return Err(Rejection::ReserveCycleRunning);
        }
        let epoch = self.view.get::<Classes>(&offer.class).map_or(0, |class| class.epoch);
        if epoch > before.ask.epoch || offer.ask <= before.ask.ask {
            return Ok(false);
        }
        offer.ask_raise = Some(AskRaise { ask: offer.ask, epoch });
        offer.ask = before.ask.ask;
        Ok(true)
    }

    /// Brings open offers of public capacity up to a least share of the reserve that a vote has raised; leases stay as they are.
    pub(crate) fn raise_reserves(&mut self, least: u16) {
        let open: Vec<OfferId> = self.view.range::<OffersOpen>(..).map(|((_, id), ())| *id).collect();
        for id in open {
            let low = |row: &&Offer| row.pool.pool() == Pool::Public && row.reserve_bps < least;
            let Some(mut row) = self.view.get::<Offers>(&id).filter(low).cloned() else { continue };
            let key = EntitlementKey { site: row.site_key(), owner: row.pool };
            let Some(mut part) = self.view.get::<Entitlements>(&key).cloned() else { continue };
            part.prune(self.now.slot(self.params.slot_s));
            let free = row.market.plus(&row.reserve).plus(&part.out_market).plus(&part.out_reserve);
            row.reserve_bps = least;
            self.divide(&mut row, &mut part, &free);
            self.view.put::<Entitlements>(key, part);
            self.view.put::<Offers>(id, row);
            self.emit(Event::OfferAmended { offer: id });
        }
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

    /// When the cycle of an offer's reserve has ended in which it was withdrawn, and each in which its part has leases of the
    /// market: what those sold without a reserve, the first part of the cycle owes.
    fn cycle_end(&self, offer: &Offer, part: &Entitlement) -> Slot {
        let Some(cycle) = offer.reserve_cycle_slots.filter(|cycle| *cycle > 0) else { return Slot(0) };
        let now = self.now.slot(self.params.slot_s);
        let sold = part.leased_market.points().last().map_or(0, |(end, _)| end.0.saturating_sub(1));
        let last = now.0.max(sold);
        Slot(last.saturating_sub(last.checked_rem(cycle).unwrap_or(0)).saturating_add(cycle))
    }

    fn withdraw_offer(&mut self, id: OfferId, row: Offer) {
        let key = EntitlementKey { site: row.site_key(), owner: row.pool };
        if let Some(part) = self.view.get::<Entitlements>(&key).cloned() {
            let epoch = self.view.get::<Classes>(&row.class).map_or(0, |class| class.epoch);
            let withdrawn = Some(WithdrawnTerms {
                ask: AskRaise { ask: row.ask_in(epoch), epoch },
                reserve_bps: row.reserve_bps,
                reserve_cycle_slots: row.reserve_cycle_slots,
                reserve_until: self.cycle_end(&row, &part),
            });
            let (out_market, out_reserve) = (Calendar::default(), Calendar::default());
            let part = Entitlement { offer: None, out_market, out_reserve, withdrawn, ..part };
            self.view.put::<Entitlements>(key, part);
        }
        self.view.remove::<OffersOpen>(&(row.class.clone(), id));
        self.count_offer(&row.contract, false);
        self.view.put::<Offers>(id, Offer { state: OfferState::Withdrawn, ..row });
        self.emit(Event::OfferWithdrawn { offer: id });
    }
}
