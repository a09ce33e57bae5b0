//! Sites, classes, offers, capacity.

use super::Shared;
use super::answer::{Answer, Parameters, Problem, Segments, page, parse};
use super::backend::read;
use axum::Json;
use axum::extract;
use hansa_ledger::id::{LeaseId, OfferId, RequestId};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::{EntitlementKey, Offer, OfferState, PoolOwner, Site, SiteKey};
use hansa_ledger::state::{State, Table};
use hansa_ledger::tables::{
    Classes, Entitlements, LeasesLive, Offers, OffersOpen, Organisations, ParamsTable, RequestsOpen, Sites,
};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::error::ErrorBody;
use hansa_node_api::filter::{CapacityFilter, OfferFilter, Page, PageFilter, SiteFilter};
use hansa_node_api::market::{AdvertInfo, CapacityInfo, ClassInfo, OfferInfo, PartInfo, SiteInfo};
use hansa_node_api::peer::now_ms;
use std::collections::BTreeMap;

/// The accredited sites.
#[utoipa::path(get, path = "/v1/sites", tag = "market", params(SiteFilter),
    responses((status = 200, body = Page<SiteInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn sites(
    extract::State(shared): extract::State<Shared>,
    Parameters(filter): Parameters<SiteFilter>,
) -> Answer<Page<SiteInfo>> {
    page::<Sites, _>(&shared, &filter, |state, key, row| {
        let wanted = filter.class.as_ref().is_none_or(|class| *class == key.class)
            && filter.provider.is_none_or(|provider| provider == key.provider)
            && filter.country.is_none_or(|country| country == row.country);
        wanted.then(|| SiteInfo { key: key.clone(), row: row.clone(), parts: parts(state, key) })
    })
}

/// The parts of a site, by owner.
fn parts(state: &State, site: &SiteKey) -> Vec<PartInfo> {
    let first = EntitlementKey { site: site.clone(), owner: PoolOwner::Private };
    let view = state.view();
    let here = view.range::<Entitlements>(first..).take_while(|(key, _)| key.site == *site);
    here.map(|(key, row)| PartInfo { owner: key.owner, row: row.clone() }).collect()
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
    responses((status = 200, body = Page<OfferInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn offers(
    extract::State(shared): extract::State<Shared>,
    Parameters(filter): Parameters<OfferFilter>,
) -> Answer<Page<OfferInfo>> {
    page::<Offers, _>(&shared, &filter, |state, id, row| {
        let wanted = filter.class.as_ref().is_none_or(|class| *class == row.class)
            && filter.site.as_ref().is_none_or(|site| *site == row.site)
            && filter.provider.is_none_or(|provider| provider == row.provider)
            && filter.state.is_none_or(|wanted| wanted == row.state);
        wanted.then(|| offer_info(state, id, row))
    })
}

/// One offer.
#[utoipa::path(get, path = "/v1/offers/{id}", tag = "market",
    params(("id" = String, Path, description = "the offer's id")),
    responses((status = 200, body = OfferInfo), (status = 404, body = ErrorBody)))]
pub(super) async fn offer(
    extract::State(shared): extract::State<Shared>,
    Segments(id): Segments<String>,
) -> Answer<OfferInfo> {
    let id: OfferId = parse("offer id", &id)?;
    read(&*shared.backend, |state| state.get::<Offers>(&id).map(|row| Json(offer_info(state, &id, row))))
        .ok_or_else(|| Problem::unknown("offer", &id))
}

fn offer_info(state: &State, id: &OfferId, row: &Offer) -> OfferInfo {
    OfferInfo { id: *id, row: row.clone(), free_now: free_now(row, slot_now(state)) }
}

fn free_now(row: &Offer, slot: Slot) -> u32 {
    if row.state == OfferState::Open { row.market.plus(&row.reserve).free_at(slot) } else { 0 }
}

/// The slot that the next lease could start in: the one in hand has begun already.
fn slot_now(state: &State) -> Slot {
    let slot_s = state.get::<ParamsTable>(&()).map_or(1, |params| params.slot_s);
    Slot(TimeMs(now_ms()).slot(slot_s).0.saturating_add(1))
}

/// What can be had now: accredited sites with their open offers, and what their providers say is free.
#[utoipa::path(get, path = "/v1/capacity", tag = "market", params(CapacityFilter),
    responses((status = 200, body = Page<CapacityInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn capacity(
    extract::State(shared): extract::State<Shared>,
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
    page::<Sites, _>(&shared, &filter, |state, key, row| {
        let wanted = filter.class.as_ref().is_none_or(|class| *class == key.class)
            && filter.provider.is_none_or(|provider| provider == key.provider)
            && filter.country.is_none_or(|country| country == row.country);
        if !wanted || row.accelerators == 0 {
            return None;
        }
        let mut info = capacity_info(state, key, row)?;
        info.advert = adverts.get(key).map(|(_, advert)| advert.clone());
        Some(info)
    })
}

fn capacity_info(state: &State, key: &SiteKey, site: &Site) -> Option<CapacityInfo> {
    let parts = parts(state, key);
    let offers: Vec<(OfferId, &Offer)> = parts
        .iter()
        .filter_map(|part| part.row.offer)
        .filter_map(|id| Some((id, state.get::<Offers>(&id)?)))
        .collect();
    let cheapest = offers.iter().min_by_key(|(id, row)| (row.ask, *id));
    let slot = slot_now(state);
    Some(CapacityInfo {
        class: key.class.clone(),
        site: key.site.clone(),
        country: site.country,
        provider: key.provider,
        provider_name: state.get::<Organisations>(&key.provider)?.name.clone(),
        accelerators: site.accelerators,
        confirmed: site.confirmed,
        node_size: site.node_size,
        tier: site.tier,
        certificates: site.certificates,
        owners: parts.iter().map(|part| part.owner).collect(),
        offer: cheapest.map(|(id, _)| *id),
        ask: cheapest.map(|(_, row)| row.ask),
        free_now: offers.iter().fold(0, |sum, (_, row)| sum.saturating_add(free_now(row, slot))),
        advert: None,
    })
}
