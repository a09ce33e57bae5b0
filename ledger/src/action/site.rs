//! Accrediting capacity: a site's own member says what stands there and who each part is entitled to, another confirms it.

use super::{Context, Perform};
use crate::event::Event;
use crate::id::OrganisationId;
use crate::member::MemberCode;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Class, Entitlement, EntitlementKey, Office, Pool, PoolOwner, Site, SiteKey};
use crate::tables::{Classes, Entitlements, Members, Sites};
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
        /// Whose money built it, where it is one pool: public capacity is the member's that it stands in.
        pub pool: Pool,
        /// The parts, where it is several owners'; they sum to `accelerators`.
        #[serde(default)]
        pub parts: Vec<SitePart>,
    }

    /// An owner's part of a site.
    pub struct SitePart {
        /// Whose it is.
        pub owner: PoolOwner,
        /// Accelerators.
        pub accelerators: u32,
        /// What commercial users may have of it in a year, in basis points; 10,000 for no ceiling.
        pub commercial_ceiling_bps: u16,
    }

    /// Confirms the capacity that a site's own member accredits. Signed by the registrar of another member.
    pub struct ConfirmSite {
        /// Who may offer it.
        pub provider: OrganisationId,
        /// The place.
        pub site: Name,
        /// The resource class.
        pub class: Name,
        /// The accelerators that were found: as many as are accredited.
        pub accelerators: u32,
    }
}

/// The accelerators one site may have: more than all of Europe's, and few enough that sums of sites can be counted.
const ACCELERATORS_MAX: u32 = 16_000_000;

/// The parts one site may have: every member state, the joint undertaking and a private firm.
const PARTS_MAX: usize = 29;

impl Perform for AccreditSite {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        let withdrawn = self.accelerators == 0;
        let counts =
            (1..=ACCELERATORS_MAX).contains(&self.node_size) && self.accelerators <= ACCELERATORS_MAX;
        if !counts || (!withdrawn && self.node_size > self.accelerators) {
            return Err(Rejection::SiteInvalid);
        }
        if self.parts.is_empty() {
            return Ok(());
        }
        let owners: std::collections::BTreeSet<PoolOwner> =
            self.parts.iter().map(|part| part.owner).collect();
        let sum = self.parts.iter().try_fold(0u32, |sum, part| sum.checked_add(part.accelerators));
        let sound = |part: &SitePart| part.accelerators > 0 && part.commercial_ceiling_bps <= 10_000;
        let distinct = owners.len() == self.parts.len() && self.parts.len() <= PARTS_MAX;
        if !distinct || sum != Some(self.accelerators) || !self.parts.iter().all(sound) {
            return Err(Rejection::SitePartsInvalid);
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
        let before = context.view.get::<Sites>(&key).cloned();
        if before.as_ref().is_some_and(|site| site.country != country) {
            return Err(Rejection::CountryInvalid);
        }
        let parts = self.parts(country);
        for part in &parts {
            if let Some(member) = part.owner.member() {
                context.view.get::<Members>(&member).ok_or(Rejection::SitePartsInvalid)?;
            }
        }
        // What was confirmed stays so as far as it is still accredited.
        let (confirmed, confirmed_by) = match (context.params.site_confirmations, &before) {
            (0, _) => (self.accelerators, None),
            (_, Some(site)) => (site.confirmed.min(self.accelerators), site.confirmed_by),
            (_, None) => (0, None),
        };
        let site = Site {
            country,
            accelerators: self.accelerators,
            confirmed,
            confirmed_by,
            node_size: self.node_size,
            tier: self.tier,
            certificates: self.certificates,
        };
        context.count_capacity(&self.class, before.map_or(0, |site| site.confirmed), confirmed)?;
        context.view.put::<Sites>(key.clone(), site.clone());
        context.divide_site(&key, &parts)?;
        context.hold_parts(&key, confirmed)?;
        context.refresh_offers(&key, &site);
        context.emit(Event::SiteAccredited {
            provider: self.provider,
            site: self.site.clone(),
            class: self.class.clone(),
            accelerators: self.accelerators,
        });
        Ok(())
    }
}

impl AccreditSite {
    /// The parts as they are listed; a site without a list is one part.
    fn parts(&self, country: MemberCode) -> Vec<SitePart> {
        if !self.parts.is_empty() {
            return self.parts.clone();
        }
        let owner = match self.pool {
            Pool::Public => PoolOwner::Member(country),
            Pool::Private => PoolOwner::Private,
        };
        vec![SitePart { owner, accelerators: self.accelerators, commercial_ceiling_bps: 10_000 }]
    }
}

impl Perform for ConfirmSite {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = context.office(Office::Registrar, Rejection::NotRegistrar)?;
        let key = SiteKey { provider: self.provider, site: self.site.clone(), class: self.class.clone() };
        let site = context.view.get::<Sites>(&key).cloned().ok_or(Rejection::SiteUnknown)?;
        if member == site.country {
            return Err(Rejection::SiteOwnConfirmation);
        }
        if self.accelerators != site.accelerators {
            return Err(Rejection::SiteDiffers);
        }
        context.count_capacity(&self.class, site.confirmed, site.accelerators)?;
        let confirmed = site.accelerators;
        context.view.put::<Sites>(key, Site { confirmed, confirmed_by: Some(member), ..site });
        context.emit(Event::SiteConfirmed {
            provider: self.provider,
            site: self.site.clone(),
            class: self.class.clone(),
            accelerators: confirmed,
            member,
        });
        Ok(())
    }
}

impl super::BlockInHand<'_> {
    /// The class's capacity once a site has `after` confirmed accelerators instead of `before`.
    fn count_capacity(&mut self, class: &Name, before: u32, after: u32) -> Result<(), Rejection> {
        let row = self.view.get::<Classes>(class).cloned();
        let mut row = row.unwrap_or(Class { capacity: 0, epoch: 0, batch_due: None, price: None });
        row.capacity = row.capacity.saturating_sub(before).checked_add(after).ok_or(Rejection::Overflow)?;
        self.view.put::<Classes>(class.clone(), row);
        self.schedule_batch(class);
        Ok(())
    }

    /// The parts of a site, by owner.
    pub(crate) fn parts_of(&self, key: &SiteKey) -> Vec<(EntitlementKey, Entitlement)> {
        let first = EntitlementKey { site: key.clone(), owner: PoolOwner::Private };
        let rows = self.view.range::<Entitlements>(first..);
        rows.take_while(|(one, _)| one.site == *key).map(|(one, row)| (one.clone(), row.clone())).collect()
    }

    /// Gives each owner its part; a part that is no longer listed must hold nothing any more.
    fn divide_site(&mut self, key: &SiteKey, parts: &[SitePart]) -> Result<(), Rejection> {
        let now = self.now.slot(self.params.slot_s);
        for (one, mut row) in self.parts_of(key) {
            if parts.iter().any(|part| part.owner == one.owner) {
                continue;
            }
            row.prune(now);
            if row.offer.is_some() {
                return Err(Rejection::OfferOverInventory);
            }
            if row.leased_market.peak() > 0 || row.leased_reserve.peak() > 0 {
                return Err(Rejection::OfferBelowLeases);
            }
            self.view.remove::<Entitlements>(&one);
        }
        for part in parts {
            let one = EntitlementKey { site: key.clone(), owner: part.owner };
            let mut row = self.view.get::<Entitlements>(&one).cloned().unwrap_or_default();
            row.accelerators = part.accelerators;
            row.commercial_ceiling_bps = part.commercial_ceiling_bps;
            row.prune(now);
            self.view.put::<Entitlements>(one, row);
        }
        Ok(())
    }

    /// Refuses to have more leased or offered than is accredited and confirmed, of each part and in sum.
    pub(super) fn hold_parts(&self, key: &SiteKey, confirmed: u32) -> Result<(), Rejection> {
        let (mut leased, mut gross) = (0u32, 0u32);
        for (_, row) in self.parts_of(key) {
            let peak = row.leased().peak();
            let with_offer = self.gross(&row).peak();
            if peak > row.accelerators {
                return Err(Rejection::OfferBelowLeases);
            }
            if with_offer > row.accelerators {
                return Err(Rejection::OfferOverInventory);
            }
            leased = leased.checked_add(peak).ok_or(Rejection::Overflow)?;
            gross = gross.checked_add(with_offer).ok_or(Rejection::Overflow)?;
        }
        if leased > confirmed {
            return Err(Rejection::OfferBelowLeases);
        }
        if gross > confirmed { Err(Rejection::OfferOverInventory) } else { Ok(()) }
    }
}
