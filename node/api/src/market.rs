//! Sites, offers, requests, capacity and quotes.

use crate::error::ErrorDetail;
use hansa_ledger::id::{OfferId, OrganisationId, RequestId};
use hansa_ledger::market::{Bucket, Unmatched};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::row::{
    Class, Demand, Entitlement, Offer, PoolOwner, Purse, Request, RequestState, Site, SiteKey,
};
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

/// Why a request stands where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestWhy {
    /// The request.
    #[schema(value_type = String)]
    pub request: RequestId,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: RequestState,
    /// Why the last batch did not match it, with the numbers behind it.
    #[schema(value_type = Option<Object>)]
    pub last: Option<Unmatched>,
    /// Why the next batch would not match it, as things stand now.
    #[schema(value_type = Option<Object>)]
    pub now: Option<Unmatched>,
    /// The same as a sentence.
    pub sentence: String,
    /// When the next batch of its class runs, if one is due.
    #[schema(value_type = Option<String>)]
    pub next_batch: Option<TimeMs>,
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
    /// What the provider is called.
    #[schema(value_type = String)]
    pub provider_name: Name,
    /// Accredited accelerators.
    pub accelerators: u32,
    /// Those of them that another member has confirmed, and that may be offered.
    pub confirmed: u32,
    /// Accelerators of one node.
    pub node_size: u32,
    /// Interconnect tier.
    pub tier: u8,
    /// Certificates, as bits.
    pub certificates: u32,
    /// Whose its parts are.
    #[schema(value_type = Vec<Object>)]
    pub owners: Vec<PoolOwner>,
    /// Its open offer, the cheapest where each part has its own.
    #[schema(value_type = Option<String>)]
    pub offer: Option<OfferId>,
    /// Least price of that offer.
    #[schema(value_type = Option<String>)]
    pub ask: Option<Price>,
    /// Accelerators its offers have free in the slot in hand, the reserve's included: what the market can give.
    pub free_now: u32,
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

/// What would become of a demand if it were placed now and its batch ran next. Binds nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuoteAnswer {
    /// The lane it would clear in.
    pub lane: Lane,
    /// The delivery bucket.
    #[schema(value_type = String)]
    pub bucket: Bucket,
    /// The earliest the next batch of the class would run.
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
    /// Why the batch would not match it.
    #[schema(value_type = Option<Object>)]
    pub unmatched: Option<Unmatched>,
    /// The outcome as a sentence.
    pub sentence: String,
}

/// How a request is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// At the batch's uniform price.
    Market,
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
}
