//! The public face of the market, by class: the book, the prices, and the figures of each batch.
//!
//! What others bid stays theirs: of the requests of others the book tells sums over price bands only, each of at least
//! [`BAND_GROUPS_MIN`] groups and on edges that are nobody's limit, as the last batch left them. What has come since is told to
//! nobody before its batch.

use crate::market::RequestInfo;
use hansa_ledger::id::{GroupId, OfferId, OrganisationId};
use hansa_ledger::market::Bucket;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Figures, PoolOwner};
use hansa_ledger::time::TimeMs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// The fewest beneficial-owner groups whose requests are told together.
pub const BAND_GROUPS_MIN: usize = 3;

/// The edges of bands are multiples of this price, in uEUR per accelerator-hour.
pub const BAND_EDGE_UEUR: u64 = 100_000;

/// What a batch of a class decided, and who holds the class after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FiguresInfo {
    /// The number of the batch.
    pub epoch: u64,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Figures,
    /// Accelerator-seconds awarded by the market, over all buckets.
    pub market_seconds: u64,
    /// Accelerator-seconds awarded out of the reserve.
    pub reserve_seconds: u64,
}

impl FiguresInfo {
    /// The figures of batch `epoch`, where a slot has `slot_s` seconds.
    #[must_use]
    pub fn new(epoch: u64, row: Figures, slot_s: u32) -> Self {
        let seconds = |slots: u64| slots.saturating_mul(u64::from(slot_s));
        let market = row.prices.iter().fold(0u64, |sum, price| sum.saturating_add(price.volume));
        let (market_seconds, reserve_seconds) = (seconds(market), seconds(row.reserve_volume));
        Self { epoch, row, market_seconds, reserve_seconds }
    }
}

/// What a class costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MarketPrice {
    /// The class.
    #[schema(value_type = String)]
    pub class: Name,
    /// Batches so far.
    pub epoch: u64,
    /// Price of the last batch that traded, whatever the bucket.
    #[schema(value_type = Option<String>)]
    pub last_price: Option<Price>,
    /// When the next batch runs, if anything changed since the last.
    #[schema(value_type = Option<String>)]
    pub next_batch: Option<TimeMs>,
    /// Batches run at multiples of so many milliseconds.
    pub batch_ms: u64,
    /// The market lane, by delivery bucket.
    pub market: Vec<BucketNow>,
    /// The reserve lane.
    pub reserve: ReserveNow,
}

/// What a delivery bucket costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BucketNow {
    /// The bucket.
    #[schema(value_type = String)]
    pub bucket: Bucket,
    /// It holds what starts within so many seconds of the batch and is not of an earlier bucket; none for whatever is later.
    pub within_s: Option<u64>,
    /// The price it cleared at last; none where no batch whose figures are kept traded in it.
    #[schema(value_type = Option<String>)]
    pub price: Option<Price>,
    /// Accelerator-seconds that were awarded at it.
    pub seconds: u64,
    /// The batch that found it.
    pub epoch: Option<u64>,
    /// When that was.
    #[schema(value_type = Option<String>)]
    pub cleared_at: Option<TimeMs>,
}

/// What the reserve costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReserveNow {
    /// The most an accelerator-hour of it costs anywhere.
    #[schema(value_type = String)]
    pub price_max: Price,
    /// What the cheapest offer with reserve that is free costs in it; none where there is none.
    #[schema(value_type = Option<String>)]
    pub price: Option<Price>,
    /// Accelerators free in the next slot that only the reserve gives.
    pub free: u32,
}

/// The book of a class: what is offered, and what is asked for as far as the reader may know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MarketBook {
    /// The class.
    #[schema(value_type = String)]
    pub class: Name,
    /// Batches so far.
    pub epoch: u64,
    /// Accredited accelerators.
    pub capacity: u32,
    /// Price of the last batch that traded.
    #[schema(value_type = Option<String>)]
    pub last_price: Option<Price>,
    /// When the next batch runs, if anything changed since the last.
    #[schema(value_type = Option<String>)]
    pub next_batch: Option<TimeMs>,
    /// The moment for which free accelerators are counted: the beginning of the next slot.
    #[schema(value_type = String)]
    pub free_at: TimeMs,
    /// What is offered, by price, the cheapest first.
    pub asks: Vec<AskLevel>,
    /// The open offers, the cheapest first; at most a thousand.
    pub offers: Vec<BookOffer>,
    /// Open requests, those that came since the last batch included.
    pub requests_open: u64,
    /// What the last batch left unserved, in bands of at least three groups, the highest limits first. Empty where fewer wait.
    pub wanted: Vec<DemandBand>,
    /// The open requests that are the reader's to see, whole; at most a thousand.
    pub orders: Vec<RequestInfo>,
    /// Whether the book holds more requests than were looked at for `wanted` and `orders`, or more orders than are told.
    pub more: bool,
}

/// What is offered at one price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskLevel {
    /// The ask per accelerator-hour.
    #[schema(value_type = String)]
    pub ask: Price,
    /// Offers.
    pub offers: u32,
    /// Accelerators free for the market.
    pub free: u64,
    /// Accelerators free for the reserve, on top.
    pub reserve: u64,
}

/// An open offer in the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BookOffer {
    /// Its id.
    #[schema(value_type = String)]
    pub offer: OfferId,
    /// Who offers, as a pseudonym.
    #[schema(value_type = String)]
    pub provider: OrganisationId,
    /// Where.
    #[schema(value_type = String)]
    pub site: Name,
    /// The country it stands in.
    #[schema(value_type = String)]
    pub country: MemberCode,
    /// Interconnect tier.
    pub tier: u8,
    /// Certificates, as bits.
    pub certificates: u32,
    /// Accelerators of one node.
    pub node_size: u32,
    /// Whose part of the site it sells.
    #[schema(value_type = Object)]
    pub pool: PoolOwner,
    /// The least it takes in the next batch.
    #[schema(value_type = String)]
    pub ask: Price,
    /// Accelerators free for the market.
    pub free: u32,
    /// Accelerators free for the reserve, on top.
    pub reserve: u32,
}

/// Requests whose limits lie between two prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DemandBand {
    /// Their limits are this or more.
    #[schema(value_type = String)]
    pub from: Price,
    /// And less than this; none for the highest band.
    #[schema(value_type = Option<String>)]
    pub below: Option<Price>,
    /// How many.
    pub requests: u64,
    /// What they ask for together.
    pub accelerators: u64,
}

/// One band in the making.
#[derive(Default)]
struct Band {
    requests: u64,
    accelerators: u64,
    groups: BTreeSet<GroupId>,
}

impl Band {
    fn take(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.accelerators = self.accelerators.saturating_add(other.accelerators);
        self.groups.extend(other.groups);
    }
}

/// The bands of requests with these limits, groups and accelerators: each as narrow as it can be with at least
/// [`BAND_GROUPS_MIN`] groups in it; none where all of them together have fewer.
#[must_use]
pub fn bands(orders: impl IntoIterator<Item = (Price, GroupId, u32)>) -> Vec<DemandBand> {
    let mut steps: BTreeMap<u64, Band> = BTreeMap::new();
    for (limit, group, quantity) in orders {
        let step = steps.entry(limit.0 / BAND_EDGE_UEUR).or_default();
        let groups = BTreeSet::from([group]);
        step.take(Band { requests: 1, accelerators: u64::from(quantity), groups });
    }
    let mut closed: Vec<(u64, Band)> = Vec::new();
    let mut open = Band::default();
    for (step, band) in steps.into_iter().rev() {
        open.take(band);
        if open.groups.len() >= BAND_GROUPS_MIN {
            closed.push((step, std::mem::take(&mut open)));
        }
    }
    // What is left at the low end is too little to stand alone.
    let Some((lowest, band)) = closed.last_mut() else { return Vec::new() };
    band.take(open);
    *lowest = 0;
    let mut below = None;
    let told = closed.into_iter().map(|(step, band)| {
        let from = Price(step.saturating_mul(BAND_EDGE_UEUR));
        let (requests, accelerators) = (band.requests, band.accelerators);
        DemandBand { from, below: below.replace(from), requests, accelerators }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u8) -> GroupId {
        GroupId([number; 32])
    }

    #[test]
    fn bands_are_of_enough_groups_and_end_at_nobodys_limit() {
        let euro = |cents: u64| Price(cents * 10_000);
        let order = |cents, number, quantity| (euro(cents), group(number), quantity);
        assert_eq!(bands([]), []);
        assert_eq!(bands([order(300, 1, 4), order(200, 2, 4), order(100, 2, 9)]), [], "two groups");
        let orders = [
            order(555, 1, 1),
            order(431, 1, 2),
            order(399, 2, 4),
            order(312, 3, 8),
            order(305, 4, 16),
            order(299, 5, 32),
            order(207, 6, 64),
            order(204, 1, 128),
            order(11, 7, 256),
        ];
        let band = |from, below: Option<u64>, requests, accelerators| DemandBand {
            from: euro(from),
            below: below.map(euro),
            requests,
            accelerators,
        };
        // The last one would stand alone, so it is told with those above.
        assert_eq!(bands(orders), [band(310, None, 4, 15), band(0, Some(310), 5, 496)]);
    }

    #[test]
    fn no_band_of_any_small_book_tells_of_fewer_groups_than_it_may() {
        // Four orders, each of one of four groups and at one of four prices that lie on edges and between them.
        let prices = [99_000, 100_000, 199_000, 1_000_000].map(Price);
        for book in 0..16u32.pow(4) {
            let orders: Vec<(Price, GroupId, u32)> = (0..4u32)
                .map(|index| {
                    let pick = book / 16u32.pow(index) % 16;
                    (prices[(pick / 4) as usize], group((pick % 4) as u8), 1 << index)
                })
                .collect();
            let told = bands(orders.clone());
            let groups: BTreeSet<GroupId> = orders.iter().map(|(_, group, _)| *group).collect();
            assert_eq!(told.is_empty(), groups.len() < BAND_GROUPS_MIN, "{orders:?}");
            let mut below = None;
            for band in &told {
                let inside: Vec<_> = orders
                    .iter()
                    .filter(|(limit, ..)| {
                        *limit >= band.from && band.below.is_none_or(|below| *limit < below)
                    })
                    .collect();
                let groups: BTreeSet<GroupId> = inside.iter().map(|(_, group, _)| *group).collect();
                assert!(groups.len() >= BAND_GROUPS_MIN, "{band:?} of {orders:?}");
                assert!(band.from.0.is_multiple_of(BAND_EDGE_UEUR));
                let counted: u64 = inside.iter().map(|(_, _, quantity)| u64::from(*quantity)).sum();
                assert_eq!((band.requests, band.accelerators), (inside.len() as u64, counted));
                assert_eq!(band.below, below.replace(band.from), "they meet");
            }
            assert!(told.last().is_none_or(|band| band.from == Price(0)), "nobody's lowest limit is told");
        }
    }
}
