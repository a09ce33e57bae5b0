//! Accrediting capacity.

use super::{Context, Perform};
use crate::event::Event;
use crate::id::OrganisationId;
use crate::market::Calendar;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Class, Office, Pool, Site, SiteKey};
use crate::tables::{Classes, Sites};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Accredits the capacity of one class at a site, or changes it. Signed by the registrar of the member it stands in.
    pub struct AccreditSite {
        /// Who may offer it.
        pub provider: OrganisationId,
        /// The place.
        pub site: Name,
        /// The resource class.
        pub class: Name,
        /// Accelerators; 0 takes the accreditation back.
        pub accelerators: u32,
        /// Accelerators of one node.
        pub node_size: u32,
        /// Interconnect tier; higher is faster.
        pub tier: u8,
        /// Certificates, as bits.
        #[serde(default)]
        pub certificates: u32,
        /// Whose money built it.
        pub pool: Pool,
    }
}

impl Perform for AccreditSite {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        let withdrawn = self.accelerators == 0;
        if self.node_size == 0 || (!withdrawn && self.node_size > self.accelerators) {
            return Err(Rejection::SiteInvalid);
        }
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let country = context.office(Office::Registrar, Rejection::NotRegistrar)?;
        if country.country_bit().is_none() {
            return Err(Rejection::CountryInvalid);
        }
        context.accredited(&self.provider)?;
        let key = SiteKey { provider: self.provider, site: self.site.clone(), class: self.class.clone() };
        let (before, offer, mut leased) = match context.view.get::<Sites>(&key).cloned() {
            Some(site) if site.country != country => return Err(Rejection::CountryInvalid),
            Some(site) => (site.accelerators, site.offer, site.leased),
            None => (0, None, Calendar::default()),
        };
        leased.prune(context.now.slot(context.params.slot_s));
        if leased.peak() > self.accelerators {
            return Err(Rejection::OfferBelowLeases);
        }
        if context.gross_peak(offer, &leased) > self.accelerators {
            return Err(Rejection::OfferOverInventory);
        }
        let class = context.view.get::<Classes>(&self.class).cloned();
        let mut class = class.unwrap_or(Class { capacity: 0, epoch: 0, batch_due: None, price: None });
        class.capacity = class
            .capacity
            .saturating_sub(before)
            .checked_add(self.accelerators)
            .ok_or(Rejection::Overflow)?;
        context.view.put::<Classes>(self.class.clone(), class);
        let site = Site {
            country,
            accelerators: self.accelerators,
            node_size: self.node_size,
            tier: self.tier,
            certificates: self.certificates,
            pool: self.pool,
            offer,
            leased,
        };
        context.refresh_offer(&site);
        context.view.put::<Sites>(key, site);
        context.emit(Event::SiteAccredited {
            provider: self.provider,
            site: self.site.clone(),
            class: self.class.clone(),
            accelerators: self.accelerators,
        });
        Ok(())
    }
}
