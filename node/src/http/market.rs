//! Sites, classes, offers, capacity.

use super::Shared;
use super::answer::{Answer, Parameters, Segments, page, parse};
use super::backend::read;
use super::reader::{Reader, Who};
use super::visibility;
use axum::Json;
use axum::extract;
use hansa_ledger::id::{LeaseId, OfferId, RequestId};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Entitlement, EntitlementKey, Offer, OfferState, Site, SiteKey};
use hansa_ledger::state::{State, Table};
use hansa_ledger::tables::{
    Classes, Entitlements, LeasesLive, Offers, OffersOpen, Organisations, ParamsTable, RequestsOpen, Sites,
};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::error::ErrorBody;
use hansa_node_api::filter::{CapacityFilter, OfferFilter, Page, PageFilter, SiteFilter};
use hansa_node_api::market::{AdvertInfo, CapacityInfo, ClassInfo, OfferInfo};
use hansa_node_api::peer::now_ms;
use hansa_node_api::view::{Shown, ShownOffer, ShownSite};
use std::collections::BTreeMap;

/// The accredited sites.
#[utoipa::path(get, path = "/v1/sites", tag = "market", params(SiteFilter),
    responses((status = 200, body = Page<ShownSite>), (status = 400, body = ErrorBody)))]
pub(super) async fn sites(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<SiteFilter>,
) -> Answer<Page<ShownSite>> {
    page::<Sites, _>(&shared, &filter, |state, key, row| {
        let wanted = filter.class.as_ref().is_none_or(|class| *class == key.class)
            && filter.provider.is_none_or(|provider| provider == key.provider)
            && filter.country.is_none_or(|country| country == row.country);
        wanted.then(|| visibility::site(reader.who, state, key, row))
    })
}

/// The resource classes.
#[utoipa::path(get, path = "/v1/classes", tag = "market", params(PageFilter),
    responses((status = 200, body = Page<ClassInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn classes(
    extract::State(shared): extract::State<Shared>,
    Parameters(filter): Parameters<PageFilter>,
) -> Answer<Page<ClassInfo>> {
    page::<Classes, _>(&shared, &filter, |state, class, row| {
        Some(ClassInfo {
            class: class.clone(),
            row: row.clone(),
            offers_open: count::<OffersOpen, OfferId>(state, class),
            requests_open: count::<RequestsOpen, RequestId>(state, class),
            leases_live: count::<LeasesLive, LeaseId>(state, class),
        })
    })
}

/// How many entries an index has under one class.
fn count<T, I>(state: &State, class: &Name) -> u64
where
    T: Table<Key = (Name, I), Row = ()>,
    I: Copy + Ord + From<[u8; 32]>,
{
    let range = (class.clone(), I::from([0; 32]))..=(class.clone(), I::from([255; 32]));
    state.view().range::<T>(range).count() as u64
}

/// The offers.
#[utoipa::path(get, path = "/v1/offers", tag = "market", params(OfferFilter),
    responses((status = 200, body = Page<ShownOffer>), (status = 400, body = ErrorBody)))]
pub(super) async fn offers(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<OfferFilter>,
) -> Answer<Page<ShownOffer>> {
    page::<Offers, _>(&shared, &filter, |state, id, row| {
        let wanted = filter.class.as_ref().is_none_or(|class| *class == row.class)
            && filter.site.as_ref().is_none_or(|site| *site == row.site)
            && filter.provider.is_none_or(|provider| provider == row.provider)
            && filter.state.is_none_or(|wanted| wanted == row.state);
        if wanted { offer_shown(reader.who, state, id, row) } else { None }
    })
}

/// One offer.
#[utoipa::path(get, path = "/v1/offers/{id}", tag = "market",
    params(("id" = String, Path, description = "the offer's id")),
    responses((status = 200, body = ShownOffer), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn offer(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<ShownOffer> {
    let id: OfferId = parse("offer id", &id)?;
    let shown = read(&*shared.backend, |state| {
        state.get::<Offers>(&id).and_then(|row| offer_shown(reader.who, state, &id, row))
    });
    shown.map(Json).ok_or_else(|| reader.who.refuse("offer", &id))
}

/// An offer as it is seen; none where nothing of it is.
fn offer_shown(who: Who, state: &State, id: &OfferId, row: &Offer) -> Option<ShownOffer> {
    let free_now = free_now(row, slot_now(state));
    match who.sees(row.provider) {
        true => Some(Shown::Whole(OfferInfo { id: *id, row: row.clone(), free_now })),
        false => visibility::offer_public(id, row, free_now).map(Shown::Public),
    }
}

fn free_now(row: &Offer, slot: Slot) -> u32 {
    if row.state == OfferState::Open {
        row.market.free_at(slot).saturating_add(row.reserve.free_at(slot))
    } else {
        0
    }
}

/// The slot that the next lease could start in: the one in hand has begun already.
pub(super) fn slot_now(state: &State) -> Slot {
    let slot_s = state.get::<ParamsTable>(&()).map_or(1, |params| params.slot_s);
    Slot(TimeMs(now_ms()).slot(slot_s).0.saturating_add(1))
}

/// What can be had now: accredited sites with their open offers, and what their providers say is free.
#[utoipa::path(get, path = "/v1/capacity", tag = "market", params(CapacityFilter),
    responses((status = 200, body = Page<CapacityInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn capacity(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<CapacityFilter>,
) -> Answer<Page<CapacityInfo>> {
    let mut adverts: BTreeMap<SiteKey, (u64, AdvertInfo)> = BTreeMap::new();
    for advert in shared.backend.adverts() {
        let (Ok(site), Ok(class)) = (Name::new(&advert.site), Name::new(&advert.class)) else { continue };
        let key = SiteKey { provider: advert.provider.into(), site, class };
        let info = AdvertInfo {
            free: advert.free,
            total: advert.total,
            sandbox_tier: advert.tier,
            ask: Price(advert.price_ask_ueur),
            issued: TimeMs(advert.issued_ms),
            expires: TimeMs(advert.issued_ms).plus(advert.lives_ms),
        };
        if adverts.get(&key).is_none_or(|(issued, _)| *issued < advert.issued_ms) {
            adverts.insert(key, (advert.issued_ms, info));
        }
    }
    page::<Entitlements, _>(&shared, &filter, |state, key, part| {
        let site = state.get::<Sites>(&key.site)?;
        let wanted = filter.class.as_ref().is_none_or(|class| *class == key.site.class)
            && filter.provider.is_none_or(|provider| provider == key.site.provider)
            && filter.country.is_none_or(|country| country == site.country);
        if !wanted || part.accelerators == 0 {
            return None;
        }
        let mut info = capacity_info(reader.who, state, key, part, site);
        info.advert = adverts.get(&key.site).map(|(_, advert)| advert.clone());
        Some(info)
    })
}

fn capacity_info(
    who: Who,
    state: &State,
    key: &EntitlementKey,
    part: &Entitlement,
    site: &Site,
) -> CapacityInfo {
    let provider = key.site.provider;
    let name = || state.get::<Organisations>(&provider).map(|row| row.name.clone());
    let row = part.offer.and_then(|id| state.get::<Offers>(&id));
    let epoch = state.get::<Classes>(&key.site.class).map_or(0, |class| class.epoch);
    let slot = slot_now(state);
    CapacityInfo {
        class: key.site.class.clone(),
        site: key.site.site.clone(),
        country: site.country,
        provider,
        provider_name: who.sees(provider).then(name).flatten(),
        accelerators: part.accelerators,
        node_size: site.node_size,
        tier: site.tier,
        certificates: site.certificates,
        owner: key.owner,
        pool: key.owner.pool(),
        offer: part.offer,
        ask: row.map(|row| row.ask_in(epoch)),
        free_now: row.map_or(0, |row| free_now(row, slot)),
        reserve_now: row.map_or(0, |row| row.reserve.free_at(slot)),
        advert: None,
    }
}
