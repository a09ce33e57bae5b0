//! Offers: accredited capacity enters the book.

use super::{BlockInHand, Context, Perform};
use crate::event::Event;
use crate::id::{CodeHash, OfferId, OrganisationId, TransactionId};
use crate::market::Calendar;
use crate::money::Price;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Offer, OfferState, Organisation, Roles, Site, SiteKey};
use crate::tables::{Contracts, Offers, OffersOpen, Organisations, Sites};
use crate::time::Slot;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi as abi;
use serde::{Deserialize, Serialize};

data! {
    /// Posts an offer of accredited capacity. Signed by a key with the offer role.
    pub struct PostOffer {
        /// The accredited place.
        pub site: Name,
        /// The resource class.
        pub class: Name,
        /// Least price per accelerator-hour.
        pub ask: Price,
        /// What is free for new leases, over time.
        pub calendar: Calendar,
        /// The contract that settles the leases.
        pub contract: CodeHash,
        /// Its parameters.
        #[serde(with = "crate::bytes", default)]
        pub contract_params: Vec<u8>,
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
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (provider, organisation) = context.organisation(Roles::OFFER)?;
        let key = SiteKey { provider, site: self.site.clone(), class: self.class.clone() };
        let site = context.view.get::<Sites>(&key).cloned().ok_or(Rejection::SiteUnknown)?;
        if site.offer.is_some() {
            return Err(Rejection::OfferExists);
        }
        let calendar = context.fit_calendar(&site, &self.calendar)?;
        if calendar.peak() == 0 {
            // What has passed already offers nothing.
            return Err(Rejection::CalendarInvalid);
        }
        context.view.get::<Contracts>(&self.contract).ok_or(Rejection::ContractUnknown)?;
        self.try_contract(context)?;
        let offer = offer_id(context.transaction, context.position);
        let row = self.row(provider, &organisation, &site, calendar);
        context.view.put::<Sites>(key, Site { offer: Some(offer), ..site });
        let sequence = organisation.sequence.checked_add(1).ok_or(Rejection::Overflow)?;
        context.view.put::<Organisations>(provider, Organisation { sequence, ..organisation });
        context.view.put::<OffersOpen>((self.class.clone(), offer), ());
        context.view.put::<Offers>(offer, row);
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
    /// Asks the contract for a quote of one accelerator for one slot, so that parameters it does not accept, or by which it
    /// asks for more than the price is worth, are refused before anybody relies on them.
    fn try_contract(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let start = context.now.seconds();
        let terms = abi::Terms {
            parties: vec![abi::Role::Requester, abi::Role::Provider, abi::Role::Operator],
            unit: abi::Unit::AcceleratorSecond,
            units: 1,
            start,
            end: start.saturating_add(u64::from(context.params.slot_s)),
            price: abi::Price { num: u128::from(self.ask.0), den: 3_600 },
            fee_bps: context.params.fee_bps,
            slash_max: 0,
            sla: Vec::new(),
        };
        if context.fuel < context.runtime.fuel_per_call_max() {
            return Err(Rejection::FuelExhausted);
        }
        let outcome = context.runtime.quote(&self.contract.0, &self.contract_params, &terms);
        context.fuel = context.fuel.saturating_sub(outcome.fuel);
        let quote = outcome.result.map_err(|_| Rejection::ContractRefused)?;
        let worth = self.ask.charge(u64::from(context.params.slot_s)).ok_or(Rejection::Overflow)?;
        if quote.lock > worth.wide() { Err(Rejection::ContractRefused) } else { Ok(()) }
    }

    fn row(
        &self,
        provider: OrganisationId,
        organisation: &Organisation,
        site: &Site,
        calendar: Calendar,
    ) -> Offer {
        Offer {
            provider,
            group: organisation.group,
            home: organisation.home,
            site: self.site.clone(),
            class: self.class.clone(),
            country: site.country,
            certificates: site.certificates,
            tier: site.tier,
            node_size: site.node_size,
            ask: self.ask,
            calendar,
            contract: self.contract,
            contract_params: self.contract_params.clone(),
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
        if let Some(calendar) = &self.calendar {
            let key = SiteKey { provider: row.provider, site: row.site.clone(), class: row.class.clone() };
            let site = context.view.get::<Sites>(&key).cloned().ok_or(Rejection::SiteUnknown)?;
            row.calendar = context.fit_calendar(&site, calendar)?;
        }
        row.ask = self.ask.unwrap_or(row.ask);
        let class = row.class.clone();
        context.view.put::<Offers>(self.offer, row);
        context.schedule_batch(&class);
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

impl BlockInHand<'_> {
    /// Brings the open offer of a site up to what is accredited now.
    pub(super) fn refresh_offer(&mut self, site: &Site) {
        let Some((id, offer)) =
            site.offer.and_then(|id| self.view.get::<Offers>(&id).map(|row| (id, row.clone())))
        else {
            return;
        };
        let Site { country, certificates, tier, node_size, .. } = *site;
        let class = offer.class.clone();
        self.view.put::<Offers>(id, Offer { country, certificates, tier, node_size, ..offer });
        self.schedule_batch(&class);
    }

    /// The most that a site has leased and offered in any slot.
    pub(super) fn gross_peak(&self, offer: Option<OfferId>, leased: &Calendar) -> u32 {
        match offer.and_then(|id| self.view.get::<Offers>(&id)) {
            Some(offer) => sum(leased, &offer.calendar).map_or(u32::MAX, |both| both.peak()),
            None => leased.peak(),
        }
    }

    /// Takes a calendar of free capacity: within the horizon, and with what is leased not over what is accredited.
    fn fit_calendar(&self, site: &Site, calendar: &Calendar) -> Result<Calendar, Rejection> {
        let now = self.now.slot(self.params.slot_s);
        let horizon = now.checked_add(self.params.horizon_slots).ok_or(Rejection::Overflow)?;
        if calendar.points().last().is_some_and(|(end, _)| *end > horizon) {
            return Err(Rejection::CalendarInvalid);
        }
        let mut calendar = calendar.clone();
        calendar.prune(now);
        let mut leased = site.leased.clone();
        leased.prune(now);
        let both = sum(&leased, &calendar).ok_or(Rejection::OfferOverInventory)?;
        if both.peak() > site.accelerators {
            return Err(Rejection::OfferOverInventory);
        }
        Ok(calendar)
    }

    pub(super) fn withdraw_offers_of(&mut self, provider: OrganisationId) {
        let first = Name::new("0").expect("a digit is a name");
        let first = SiteKey { provider, site: first.clone(), class: first };
        let open: Vec<OfferId> = self
            .view
            .range::<Sites>(first..)
            .take_while(|(key, _)| key.provider == provider)
            .filter_map(|(_, site)| site.offer)
            .collect();
        for id in open {
            if let Some(row) = self.view.get::<Offers>(&id).cloned() {
                self.withdraw_offer(id, row);
            }
        }
    }

    fn withdraw_offer(&mut self, id: OfferId, row: Offer) {
        let key = SiteKey { provider: row.provider, site: row.site.clone(), class: row.class.clone() };
        if let Some(site) = self.view.get::<Sites>(&key).cloned() {
            self.view.put::<Sites>(key, Site { offer: None, ..site });
        }
        self.view.remove::<OffersOpen>(&(row.class.clone(), id));
        self.view.put::<Offers>(id, Offer { state: OfferState::Withdrawn, ..row });
        self.emit(Event::OfferWithdrawn { offer: id });
    }
}

/// Two calendars together, or `None` when a slot has more than can be counted.
fn sum(left: &Calendar, right: &Calendar) -> Option<Calendar> {
    let mut both = left.clone();
    for pair in right.points().windows(2) {
        let [(start, free), (end, _)] = pair else { continue };
        let slots = end.0.saturating_sub(start.0);
        if *free > 0 {
            both.give(Slot(start.0), slots, *free).ok()?;
        }
    }
    Some(both)
}
