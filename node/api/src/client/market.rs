//! The market's public face, and why a request waits.

use super::Client;
use super::proven::missing;
use crate::book::{BucketNow, FiguresInfo, MarketBook, MarketPrice, ReserveNow};
use crate::error::ApiError;
use crate::filter::{CapacityFilter, FiguresFilter, OfferFilter, PageFilter, RequestFilter, SiteFilter};
use crate::light::{Distrust, Doubt};
use crate::market::{CapacityInfo, ClassInfo, OfferInfo, QuoteAnswer, QuoteRequest, RequestInfo, SiteInfo};
use crate::peer::now_ms;
use crate::view::{Shown, ShownOffer, ShownSite};
use crate::why::{ReasonRow, RequestWhy};
use hansa_ledger::id::{OfferId, RequestId};
use hansa_ledger::market::Bucket;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Figures, OfferState};
use hansa_ledger::tables::{Classes, FiguresTable, Offers, Requests};
use hansa_ledger::time::{Slot, TimeMs};
use reqwest::Method;

/// The most batches that are proven one by one for the last price of each bucket.
const BATCHES_PROVEN_MAX: usize = 64;

impl Client {
    /// Why a request stands where it stands.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn request_why(&self, id: &RequestId) -> Result<RequestWhy, ApiError> {
        self.get(&format!("/v1/requests/{id}/why")).await
    }

    /// The closed list of reasons why a request stays open, by code.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn reasons(&self) -> Result<Vec<ReasonRow>, ApiError> {
        self.open("/v1/market/reasons").await
    }

    /// What the batches of a class have decided, the oldest first, as far as the node's ledger keeps it.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a class that is none.
    pub async fn market_figures(
        &self,
        class: &Name,
        filter: &FiguresFilter,
    ) -> Result<Vec<FiguresInfo>, ApiError> {
        let path = format!("/v1/market/{class}/figures");
        if self.light().await?.is_none() {
            return self.list(&path, filter).await;
        }
        let shown: Vec<FiguresInfo> = self.list_raw(&path, filter).await?;
        let slot_s = self.proven_params().await?.slot_s;
        self.note_unproven(&format!("that {path} leaves nothing out"));
        let mut proven = Vec::new();
        for one in shown {
            let row = self.proven::<FiguresTable>(&(class.clone(), one.epoch)).await?;
            let row =
                row.ok_or_else(|| Doubt::new(Distrust::AnswerDiffers, "it lists a batch that is not kept"))?;
            proven.push(FiguresInfo::new(one.epoch, row, slot_s));
        }
        Ok(proven)
    }

    /// What a class costs.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a class that is none.
    pub async fn market_price(&self, class: &Name) -> Result<MarketPrice, ApiError> {
        let path = format!("/v1/market/{class}/price");
        match self.light().await? {
            None => self.open(&path).await,
            Some(_) => self.proven_price(class, self.open_raw(&path).await?).await,
        }
    }

    /// What a class costs, by the rows of the class, of the parameters and of its last batches.
    async fn proven_price(&self, class: &Name, told: MarketPrice) -> Result<MarketPrice, ApiError> {
        let params = self.proven_params().await?;
        let row = self.proven::<Classes>(class).await?.ok_or_else(|| missing("class"))?;
        let mut market = buckets(&params);
        // Batches that found no price leave no figures, or figures without a price of the bucket.
        let mut epoch = row.epoch;
        for _ in 0..BATCHES_PROVEN_MAX {
            if let Some(figures) = self.proven::<FiguresTable>(&(class.clone(), epoch)).await? {
                fill(&mut market, epoch, &figures, params.slot_s);
            }
            let all = market.iter().all(|one| one.price.is_some());
            match epoch.checked_sub(1) {
                Some(before) if !all => epoch = before,
                _ => break,
            }
        }
        if epoch > 0 && market.iter().any(|one| one.price.is_none()) {
            self.note_unproven(&format!("what cleared before batch {epoch}"));
            for (one, told) in market.iter_mut().zip(told.market) {
                if one.price.is_none() && one.bucket == told.bucket && told.epoch.is_some_and(|at| at < epoch)
                {
                    *one = told;
                }
            }
        }
        self.note_unproven("what the reserve costs now and how much of it is free");
        let price_max = Price(params.reserve_price_cap);
        Ok(MarketPrice {
            class: class.clone(),
            epoch: row.epoch,
            last_price: row.price,
            next_batch: row.batch_due,
            batch_ms: params.batch_ms,
            market,
            reserve: ReserveNow { price_max, ..told.reserve },
        })
    }

    /// The book of a class, as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a class that is none.
    pub async fn market_book(&self, class: &Name) -> Result<MarketBook, ApiError> {
        self.get(&format!("/v1/market/{class}/book")).await
    }

    /// The accredited sites. Those that the reader may see whole; the others stand in [`Self::sites_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn sites(&self, filter: &SiteFilter) -> Result<Vec<SiteInfo>, ApiError> {
        let shown = self.sites_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The accredited sites. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn sites_shown(&self, filter: &SiteFilter) -> Result<Vec<ShownSite>, ApiError> {
        self.list("/v1/sites", filter).await
    }

    /// The resource classes.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn classes(&self) -> Result<Vec<ClassInfo>, ApiError> {
        let mut shown: Vec<ClassInfo> = self.list_raw("/v1/classes", &PageFilter::default()).await?;
        let key = |one: &ClassInfo| Some(one.class.clone());
        self.prove_each::<Classes, _>("/v1/classes", &mut shown, key, |one, row| one.row = row).await?;
        self.note_unproven("how many offers, requests and leases a class has");
        Ok(shown)
    }

    /// The offers. Those that the reader may see whole; the others stand in [`Self::offers_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn offers(&self, filter: &OfferFilter) -> Result<Vec<OfferInfo>, ApiError> {
        let shown = self.offers_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The offers. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn offers_shown(&self, filter: &OfferFilter) -> Result<Vec<ShownOffer>, ApiError> {
        let mut shown: Vec<ShownOffer> = self.list_raw("/v1/offers", filter).await?;
        let put = |one: &mut ShownOffer, row| {
            if let Shown::Whole(whole) = one {
                whole.row = row;
            }
        };
        let key = |one: &ShownOffer| if let Shown::Whole(whole) = one { Some(whole.id) } else { None };
        self.prove_each::<Offers, _>("/v1/offers", &mut shown, key, put).await?;
        self.free_now(&mut shown).await?;
        Ok(shown)
    }

    /// Counts what offers have free now by their proven rows.
    async fn free_now(&self, shown: &mut [ShownOffer]) -> Result<(), ApiError> {
        if self.light().await?.is_none() {
            return Ok(());
        }
        let slot_s = self.proven_params().await?.slot_s;
        // The next lease could start in the slot after the one in hand.
        let slot = Slot(TimeMs(now_ms()).slot(slot_s).0.saturating_add(1));
        for one in shown {
            if let Shown::Whole(OfferInfo { row, free_now, .. }) = one {
                let free = row.market.free_at(slot).saturating_add(row.reserve.free_at(slot));
                *free_now = if row.state == OfferState::Open { free } else { 0 };
            }
        }
        Ok(())
    }

    /// One offer, as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn offer(&self, id: &OfferId) -> Result<ShownOffer, ApiError> {
        let mut shown = [self.get_raw::<ShownOffer>(&format!("/v1/offers/{id}")).await?];
        if self.light().await?.is_some() {
            match &mut shown[0] {
                Shown::Whole(whole) => {
                    whole.id = *id;
                    whole.row = self.proven::<Offers>(id).await?.ok_or_else(|| missing("offer"))?;
                }
                Shown::Public(public) if public.id == *id => {
                    self.note_unproven("the public form of an offer that is another's");
                }
                Shown::Public(_) => return Err(Doubt::from(Distrust::OtherRow).into()),
            }
            self.free_now(&mut shown).await?;
        }
        let [shown] = shown;
        Ok(shown)
    }

    /// The requests that the reader may see: its own, and those of leases it provides.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Vec<RequestInfo>, ApiError> {
        let mut shown: Vec<RequestInfo> = self.list_raw("/v1/requests", filter).await?;
        let put = |one: &mut RequestInfo, row| one.row = row;
        self.prove_each::<Requests, _>("/v1/requests", &mut shown, |one| Some(one.id), put).await?;
        Ok(shown)
    }

    /// One request.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn request_info(&self, id: &RequestId) -> Result<RequestInfo, ApiError> {
        match self.row_or_missing::<Requests>("request", id).await? {
            None => self.get(&format!("/v1/requests/{id}")).await,
            Some(row) => Ok(RequestInfo { id: *id, row }),
        }
    }

    /// What can be had now.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn capacity(&self, filter: &CapacityFilter) -> Result<Vec<CapacityInfo>, ApiError> {
        self.list("/v1/capacity", filter).await
    }

    /// What would become of a demand.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn quote(&self, request: &QuoteRequest) -> Result<QuoteAnswer, ApiError> {
        self.note_told("/v1/quote");
        let builder = self.reading(Method::POST, "/v1/quote").json(request);
        self.json(self.send(builder).await?).await
    }
}

/// The buckets, as if nothing had traded.
fn buckets(params: &Params) -> Vec<BucketNow> {
    let within = |slots: u32| Some(u64::from(slots).saturating_mul(u64::from(params.slot_s)));
    let empty = |bucket| BucketNow {
        bucket,
        within_s: match bucket {
            Bucket::Spot => within(params.spot_slots),
            Bucket::Near => within(params.near_slots),
            Bucket::Forward => None,
        },
        price: None,
        seconds: 0,
        epoch: None,
        cleared_at: None,
    };
    Bucket::ALL.map(empty).into()
}

/// Takes the prices of a batch for the buckets that have none of a later one.
fn fill(market: &mut [BucketNow], epoch: u64, figures: &Figures, slot_s: u32) {
    for one in market.iter_mut().filter(|one| one.price.is_none()) {
        if let Some(found) = figures.prices.iter().find(|price| price.bucket == one.bucket) {
            one.price = Some(found.price);
            one.seconds = found.volume.saturating_mul(u64::from(slot_s));
            (one.epoch, one.cleared_at) = (Some(epoch), Some(figures.cleared_at));
        }
    }
}
