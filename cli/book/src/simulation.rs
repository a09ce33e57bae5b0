//! What comes out: trades, prices, and a reason for every request that stays.

use crate::convert;
use crate::file::BookFile;
use hansa_ledger::id::{OfferId, RequestId};
use hansa_ledger::market::{Bucket, Lane, Reason, clear};
use serde::Serialize;
use std::collections::BTreeMap;

/// A request that found its offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TradeLine {
    /// The request.
    pub request: String,
    /// The offer.
    pub offer: String,
    /// The lane that served it.
    pub lane: Lane,
    /// Its bucket.
    pub bucket: Bucket,
    /// Accelerators.
    pub qty: u32,
    /// The first slot.
    pub start: u32,
    /// What it pays, in uEUR per accelerator-hour.
    pub price: u64,
}

/// The uniform price of a class and bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PriceLine {
    /// The resource class.
    pub class: String,
    /// The bucket.
    pub bucket: Bucket,
    /// The price, in uEUR per accelerator-hour.
    pub price: u64,
    /// What was traded at it, in accelerator-slots.
    pub volume: u64,
}

/// A request that stays open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnmatchedLine {
    /// The request.
    pub request: String,
    /// Why.
    pub reason: Reason,
}

/// What the batch would do. Each request stands once, in `trades` or in `unmatched`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// By request.
    pub trades: Vec<TradeLine>,
    /// By class, then bucket.
    pub prices: Vec<PriceLine>,
    /// By request.
    pub unmatched: Vec<UnmatchedLine>,
}

impl BookFile {
    /// Clears every class of the book, as the ledger's batch does.
    #[must_use]
    pub fn simulate(&self) -> Simulation {
        let requests: BTreeMap<RequestId, &str> =
            self.requests.iter().map(|line| (convert::request_id(&line.id), line.id.as_str())).collect();
        let offers: BTreeMap<OfferId, &str> =
            self.offers.iter().map(|line| (convert::offer_id(&line.id), line.id.as_str())).collect();
        let request = |id: &RequestId| requests.get(id).copied().unwrap_or_default().to_owned();
        let mut simulation = Simulation::default();
        for (class, book) in convert::books(self) {
            let clearing = clear(&book);
            simulation.trades.extend(clearing.trades.iter().map(|trade| TradeLine {
                request: request(&trade.request),
                offer: offers.get(&trade.offer).copied().unwrap_or_default().to_owned(),
                lane: trade.lane,
                bucket: trade.bucket,
                qty: trade.quantity,
                start: trade.start.0,
                price: trade.price.0,
            }));
            simulation.prices.extend(clearing.prices.iter().map(|price| PriceLine {
                class: class.to_owned(),
                bucket: price.bucket,
                price: price.price.0,
                volume: price.volume,
            }));
            simulation.unmatched.extend(
                clearing
                    .unmatched
                    .iter()
                    .map(|one| UnmatchedLine { request: request(&one.request), reason: one.reason }),
            );
        }
        simulation.trades.sort_by(|left, right| left.request.cmp(&right.request));
        simulation.unmatched.sort_by(|left, right| left.request.cmp(&right.request));
        simulation
    }
}
