//! The market's public face, by class: figures of each batch, prices, and the book.

use super::Shared;
use super::answer::{Answer, Parameters, Problem, Segments, page_of, parse};
use super::backend::read;
use super::market::slot_now;
use super::reader::{Reader, Who};
use axum::Json;
use axum::extract;
use hansa_ledger::id::{GroupId, OfferId, RequestId};
use hansa_ledger::market::Bucket;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Class, Figures, Offer, OfferState, Request};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Classes, FiguresTable, Offers, OffersOpen, ParamsTable, Requests, RequestsOpen};
use hansa_ledger::time::Slot;
use hansa_node_api::book::{
    AskLevel, BookOffer, BucketNow, FiguresInfo, MarketBook, MarketPrice, ReserveNow, bands,
};
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::filter::{FiguresFilter, Page};
use hansa_node_api::market::RequestInfo;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The most requests of a book that one answer looks at.
const REQUESTS_SCANNED_MAX: usize = 50_000;

/// The most offers, and the most orders, that one answer tells.
const ENTRIES_MAX: usize = 1_000;

/// The most batches that are looked at for the last price of each bucket.
const BATCHES_SCANNED_MAX: usize = 1_000;

/// What the batches of a class decided, the oldest first: price per bucket, accelerator-time by lane, what stayed open and why, and
/// how concentrated the class is.
#[utoipa::path(get, path = "/v1/market/{class}/figures", tag = "market",
    params(("class" = String, Path, description = "the resource class"), FiguresFilter),
    responses((status = 200, body = Page<FiguresInfo>), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn figures(
    extract::State(shared): extract::State<Shared>,
    Segments(class): Segments<String>,
    Parameters(filter): Parameters<FiguresFilter>,
) -> Answer<Page<FiguresInfo>> {
    let class: Name = parse("class", &class)?;
    let answer = read(&*shared.backend, |state| {
        let (params, _) = class_of(state, &class)?;
        let first = (class.clone(), filter.from.unwrap_or(0));
        let range = (Bound::Included(first), Bound::Included((class.clone(), u64::MAX)));
        page_of::<FiguresTable, _>(state, &state.view(), range, &filter, |_, (_, epoch), row| {
            Some(FiguresInfo::new(*epoch, row.clone(), params.slot_s))
        })
    });
    answer.map(Json)
}

/// What a class costs: the price each bucket cleared at last, and what the reserve costs.
#[utoipa::path(get, path = "/v1/market/{class}/price", tag = "market",
    params(("class" = String, Path, description = "the resource class")),
    responses((status = 200, body = MarketPrice), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn price(
    extract::State(shared): extract::State<Shared>,
    Segments(class): Segments<String>,
) -> Answer<MarketPrice> {
    let class: Name = parse("class", &class)?;
    let answer = read(&*shared.backend, |state| {
        let (params, row) = class_of(state, &class)?;
        Ok(MarketPrice {
            epoch: row.epoch,
            last_price: row.price,
            next_batch: row.batch_due,
            batch_ms: params.batch_ms,
            market: buckets(state, params, &class, row.epoch),
            reserve: reserve(state, params, &class, row.epoch),
            class: class.clone(),
        })
    });
    answer.map(Json)
}

/// The book of a class: every offer; of requests those that are the reader's, and of the rest sums over bands of prices, each of at
/// least three groups of owners and as the last batch left them.
#[utoipa::path(get, path = "/v1/market/{class}/book", tag = "market",
    params(("class" = String, Path, description = "the resource class")),
    responses((status = 200, body = MarketBook), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(super) async fn book(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(class): Segments<String>,
) -> Answer<MarketBook> {
    let class: Name = parse("class", &class)?;
    let backend = shared.backend.clone();
    let answer = shared.views.run(move || read(&*backend, |state| book_of(state, reader.who, class)));
    answer.await?.map(Json)
}

fn class_of<'s>(state: &'s State, class: &Name) -> Result<(&'s Params, &'s Class), Problem> {
    let params = state.get::<ParamsTable>(&()).ok_or(Fault::NotReady)?;
    let row = state.get::<Classes>(class).ok_or_else(|| Problem::unknown("class", class))?;
    Ok((params, row))
}

/// The last price of each bucket, and when it was found.
fn buckets(state: &State, params: &Params, class: &Name, epoch: u64) -> Vec<BucketNow> {
    let lead = |bucket| match bucket {
        Bucket::Spot => Some(params.spot_slots),
        Bucket::Near => Some(params.near_slots),
        Bucket::Forward => None,
    };
    let seconds = |slots: u64| slots.saturating_mul(u64::from(params.slot_s));
    let mut told = Bucket::ALL.map(|bucket| BucketNow {
        bucket,
        within_s: lead(bucket).map(|slots| seconds(u64::from(slots))),
        price: None,
        seconds: 0,
        epoch: None,
        cleared_at: None,
    });
    for (epoch, row) in batches_back(state, class, epoch).take(BATCHES_SCANNED_MAX) {
        for one in told.iter_mut().filter(|one| one.price.is_none()) {
            let found = row.prices.iter().find(|price| price.bucket == one.bucket);
            if let Some(found) = found {
                one.price = Some(found.price);
                one.seconds = seconds(found.volume);
                (one.epoch, one.cleared_at) = (Some(epoch), Some(row.cleared_at));
            }
        }
        if told.iter().all(|one| one.price.is_some()) {
            break;
        }
    }
    told.into()
}

/// The figures of a class that are kept, from batch `epoch` back.
fn batches_back<'s>(
    state: &'s State,
    class: &'s Name,
    epoch: u64,
) -> impl Iterator<Item = (u64, &'s Figures)> {
    let mut next = Some(epoch);
    std::iter::from_fn(move || {
        let ((of, epoch), row) = state.row_up_to::<FiguresTable>(&(class.clone(), next?))?;
        next = epoch.checked_sub(1);
        (of == class).then_some((*epoch, row))
    })
}

fn reserve(state: &State, params: &Params, class: &Name, epoch: u64) -> ReserveNow {
    let (slot, price_max) = (slot_now(state), Price(params.reserve_price_cap));
    let offers = offers(state, class).map(|(_, row)| (row.ask_in(epoch), row.reserve.free_at(slot)));
    let free: Vec<(Price, u32)> = offers.filter(|(_, free)| *free > 0).collect();
    ReserveNow {
        price_max,
        price: free.iter().map(|(ask, _)| (*ask).min(price_max)).min(),
        free: free.iter().fold(0u32, |sum, (_, free)| sum.saturating_add(*free)),
    }
}

/// The open offers of a class.
fn offers<'s>(state: &'s State, class: &Name) -> impl Iterator<Item = (OfferId, &'s Offer)> {
    let range = (class.clone(), OfferId([0; 32]))..=(class.clone(), OfferId([255; 32]));
    let ids: Vec<OfferId> = state.view().range::<OffersOpen>(range).map(|((_, id), ())| *id).collect();
    ids.into_iter().filter_map(|id| {
        let row = state.get::<Offers>(&id).filter(|row| row.state == OfferState::Open)?;
        Some((id, row))
    })
}

fn book_of(state: &State, who: Who, class: Name) -> Result<MarketBook, Problem> {
    let (params, row) = class_of(state, &class)?;
    let slot = slot_now(state);
    let mut offers: Vec<BookOffer> =
        offers(state, &class).map(|(id, offer)| book_offer(id, offer, row.epoch, slot)).collect();
    offers.sort_by_key(|offer| (offer.ask, offer.offer));
    let asks = levels(&offers);
    offers.truncate(ENTRIES_MAX);
    let range = (class.clone(), RequestId([0; 32]))..=(class.clone(), RequestId([255; 32]));
    let view = state.view();
    let open = || view.range::<RequestsOpen>(range.clone()).map(|((_, id), ())| *id);
    let requests_open = open().count();
    let scanned: Vec<(RequestId, &Request)> =
        open().take(REQUESTS_SCANNED_MAX).filter_map(|id| Some((id, state.get::<Requests>(&id)?))).collect();
    // What has come since the last batch is told to nobody before its own.
    let left = scanned.iter().filter_map(|(_, request)| left_by_batch(request, &class, row.epoch));
    let wanted = bands(left);
    let mine = || scanned.iter().filter(|(_, request)| who.sees_request(state, request));
    let orders = mine().take(ENTRIES_MAX).map(|(id, row)| RequestInfo { id: *id, row: (*row).clone() });
    Ok(MarketBook {
        epoch: row.epoch,
        capacity: row.capacity,
        last_price: row.price,
        next_batch: row.batch_due,
        free_at: slot.begins(params.slot_s),
        asks,
        offers,
        requests_open: requests_open as u64,
        wanted,
        orders: orders.collect(),
        more: requests_open > REQUESTS_SCANNED_MAX || mine().nth(ENTRIES_MAX).is_some(),
        class,
    })
}

fn book_offer(id: OfferId, offer: &Offer, epoch: u64, slot: Slot) -> BookOffer {
    BookOffer {
        offer: id,
        provider: offer.provider,
        site: offer.site.clone(),
        country: offer.country,
        tier: offer.tier,
        certificates: offer.certificates,
        node_size: offer.node_size,
        pool: offer.pool,
        ask: offer.ask_in(epoch),
        free: offer.market.free_at(slot),
        reserve: offer.reserve.free_at(slot),
    }
}

/// What is offered at each price, from offers by price.
fn levels(offers: &[BookOffer]) -> Vec<AskLevel> {
    let mut levels: BTreeMap<Price, AskLevel> = BTreeMap::new();
    for offer in offers {
        let empty = AskLevel { ask: offer.ask, offers: 0, free: 0, reserve: 0 };
        let level = levels.entry(offer.ask).or_insert(empty);
        level.offers = level.offers.saturating_add(1);
        level.free = level.free.saturating_add(u64::from(offer.free));
        level.reserve = level.reserve.saturating_add(u64::from(offer.reserve));
    }
    levels.into_values().collect()
}

/// A request that a batch of the class has left open: what it pays there at most, whose it is, and how many it wants.
fn left_by_batch(request: &Request, class: &Name, epoch: u64) -> Option<(Price, GroupId, u32)> {
    let (index, (_, limit)) = request.demand.classes().enumerate().find(|(_, (name, _))| *name == class)?;
    let admitted = request.admitted_epochs.get(index)?;
    (*admitted < epoch).then_some((limit, request.group, request.demand.quantity))
}
