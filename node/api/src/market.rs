//! Sites, offers, requests, capacity and quotes.

use crate::error::ErrorDetail;
use crate::why::ReasonInfo;
use hansa_ledger::id::{OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Bucket, Lane};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::row::{Class, Demand, Entitlement, Offer, Pool, PoolOwner, Purse, Request, Site, SiteKey};
use hansa_ledger::time::{Slot, TimeMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Accredited capacity of one class at one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteInfo {
    /// Provider, site, class.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub key: SiteKey,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Site,
    /// Its parts, by owner.
    pub parts: Vec<PartInfo>,
}

/// An owner's part of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartInfo {
    /// Whose it is.
    #[schema(value_type = Object)]
    pub owner: PoolOwner,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Entitlement,
}

/// A resource class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassInfo {
    /// Its name.
    #[schema(value_type = String)]
    pub class: Name,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Class,
    /// Open offers.
    pub offers_open: u64,
    /// Open requests.
    pub requests_open: u64,
    /// Leases that hold capacity.
    pub leases_live: u64,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfferInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: OfferId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Offer,
    /// Accelerators free in the slot in hand.
    pub free_now: u32,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RequestId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Request,
}

/// What can be had of one class at one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CapacityInfo {
    /// The class.
    #[schema(value_type = String)]
    pub class: Name,
    /// The site.
    #[schema(value_type = String)]
    pub site: Name,
    /// The country it stands in.
    #[schema(value_type = String)]
    pub country: MemberCode,
    /// Who offers it.
    #[schema(value_type = String)]
    pub provider: OrganisationId,
    /// What the provider is called, for itself and for members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub provider_name: Option<Name>,
    /// Accredited accelerators.
    pub accelerators: u32,
    /// Accelerators of one node.
    pub node_size: u32,
    /// Interconnect tier.
    pub tier: u8,
    /// Certificates, as bits.
    pub certificates: u32,
    /// Whose part of the site it is.
    #[schema(value_type = Object)]
    pub owner: PoolOwner,
    /// Whose money built it.
    #[schema(value_type = String)]
    pub pool: Pool,
    /// Its open offer.
    #[schema(value_type = Option<String>)]
    pub offer: Option<OfferId>,
    /// Least price of the offer.
    #[schema(value_type = Option<String>)]
    pub ask: Option<Price>,
    /// Accelerators the offer has free in the slot in hand, the reserve included.
    pub free_now: u32,
    /// Of these, the accelerators that only the reserve gives.
    pub reserve_now: u32,
    /// What the provider says is free, if it has said so within the last minutes. It binds nobody.
    pub advert: Option<AdvertInfo>,
}

/// What a provider says is free now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvertInfo {
    /// Accelerators free.
    pub free: u32,
    /// Accelerators in all.
    pub total: u32,
    /// The sandbox tier that jobs run in.
    pub sandbox_tier: u8,
    /// The ask.
    #[schema(value_type = String)]
    pub ask: Price,
    /// When it was said.
    #[schema(value_type = String)]
    pub issued: TimeMs,
    /// Until when it holds.
    #[schema(value_type = String)]
    pub expires: TimeMs,
}

/// Asks what would become of a demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// Who would ask.
    #[schema(value_type = String)]
    pub organisation: OrganisationId,
    /// What would be asked.
    #[schema(value_type = Object)]
    pub demand: Demand,
}

/// What would become of a demand if it were placed now and nobody did anything else before its batch. Binds nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuoteAnswer {
    /// The delivery bucket.
    #[schema(value_type = String)]
    pub bucket: Bucket,
    /// When the next batch of its classes would run, the last of them where it names several.
    #[schema(value_type = String)]
    pub next_batch: TimeMs,
    /// What would be locked, over all sources, until the batch has found the price; none if the request would be refused.
    #[schema(value_type = Option<String>)]
    pub locked: Option<Money>,
    /// The same per source, in the demand's order.
    pub sources: Vec<SourceQuote>,
    /// Why the request would be refused at once.
    pub refusal: Option<ErrorDetail>,
    /// What the batch would award.
    pub award: Option<AwardQuote>,
    /// Why no batch would match it, for each of its classes.
    pub unmatched: Vec<ReasonInfo>,
    /// The outcome as a sentence.
    pub sentence: String,
}

/// What one source would pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceQuote {
    /// The purse.
    #[schema(value_type = Object)]
    pub purse: Purse,
    /// Its part, in basis points.
    pub share_bps: u16,
    /// What would be locked of it.
    #[schema(value_type = String)]
    pub locked: Money,
    /// What it holds.
    #[schema(value_type = String)]
    pub balance: Money,
    /// The most it would pay at the award's price; none without an award.
    #[schema(value_type = Option<String>)]
    pub cost_max: Option<Money>,
}

/// What a batch would award.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AwardQuote {
    /// The offer.
    #[schema(value_type = String)]
    pub offer: OfferId,
    /// Who provides.
    #[schema(value_type = String)]
    pub provider: OrganisationId,
    /// Where.
    #[schema(value_type = String)]
    pub site: Name,
    /// The country it stands in.
    #[schema(value_type = String)]
    pub country: MemberCode,
    /// What.
    #[schema(value_type = String)]
    pub class: Name,
    /// The lane that would serve it.
    #[schema(value_type = String)]
    pub lane: Lane,
    /// Whether it would run on released reserve, from which it may be interrupted.
    pub released: bool,
    /// Accelerators.
    pub quantity: u32,
    /// First slot.
    #[schema(value_type = u32)]
    pub start_slot: Slot,
    /// Slots.
    pub slots: u32,
    /// When it would begin.
    #[schema(value_type = String)]
    pub start: TimeMs,
    /// When it would end.
    #[schema(value_type = String)]
    pub end: TimeMs,
    /// Price per accelerator-hour.
    #[schema(value_type = String)]
    pub price: Price,
    /// The most it would cost, fee included.
    #[schema(value_type = String)]
    pub cost_max: Money,
    /// What it would pay less than the market price.
    #[schema(value_type = String)]
    pub aid: Money,
}
