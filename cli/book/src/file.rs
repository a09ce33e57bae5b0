//! The file as it is written: JSON, every field required, unknown ones refused with their path.

use crate::{BookError, bounds};
use serde::{Deserialize, Serialize};

/// A book: parameters, offers, requests and what groups hold already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookFile {
    /// The rules.
    pub params: ParamsTable,
    /// The number of the batch.
    pub epoch: u64,
    /// The present slot.
    pub now_slot: u32,
    /// What is offered.
    pub offers: Vec<OfferLine>,
    /// What is asked for.
    pub requests: Vec<RequestLine>,
    /// What groups hold from earlier batches.
    pub holds: Vec<HoldLine>,
}

/// The rules of a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamsTable {
    /// Prices are multiples of this many uEUR.
    pub tick: u64,
    /// Where between its bounds the price lies, in basis points from the lower.
    pub k_bps: u16,
    /// How many prices the search tries.
    pub price_candidates: u16,
    /// What one group may hold of a class in a slot, in basis points of its capacity.
    pub cap_bps: u16,
    /// The most an accelerator-hour of the reserve costs, in uEUR.
    pub reserve_price_cap: u64,
    /// Seconds in a slot.
    pub slot_s: u32,
    /// The longest lead time of the bucket spot, in slots.
    pub spot_slots: u32,
    /// The longest lead time of the bucket near, in slots.
    pub near_slots: u32,
    /// The federation, for the order among equals.
    pub chain_id: String,
}

/// Whose money built what is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolWord {
    /// Public money: part of it is reserve.
    Public,
    /// Private money.
    Private,
}

/// The lanes a request may be served by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneWord {
    /// The reserve where eligible, else the market.
    Any,
    /// The reserve only.
    Reserve,
    /// The market only.
    Market,
}

/// Who pays: `private`, or `credit:` and the member whose grant does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FundingText(pub String);

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferLine {
    /// Its id.
    pub id: String,
    /// Who offers.
    pub provider: String,
    /// The provider's counter.
    pub seq: u64,
    /// Where the site is: ISO 3166-1 alpha-2.
    pub country: String,
    /// The resource class.
    pub class: String,
    /// The certificates the site has.
    pub certs: Vec<String>,
    /// Its interconnect tier.
    pub tier: u8,
    /// Accelerators in a node.
    pub node_size: u32,
    /// The least it takes, in uEUR per accelerator-hour.
    pub ask: u64,
    /// Whose money built it.
    pub pool: PoolWord,
    /// The reserve's share of a public offer, in basis points.
    pub reserve_bps: u16,
    /// What is free: sorted `[slot, free]`, the last with free 0.
    pub calendar: Vec<(u32, u32)>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestLine {
    /// Its id.
    pub id: String,
    /// Who asks.
    pub org: String,
    /// The group of who asks.
    pub group: String,
    /// The organisation's counter.
    pub seq: u64,
    /// The resource class.
    pub class: String,
    /// Where it may run; empty means anywhere.
    pub countries: Vec<String>,
    /// The certificates the site must have.
    pub certs: Vec<String>,
    /// The lowest interconnect tier it accepts.
    pub min_tier: u8,
    /// Accelerators.
    pub qty: u32,
    /// The fewest it accepts.
    pub min_qty: u32,
    /// Slots.
    pub dur_slots: u32,
    /// The earliest slot it may start in.
    pub start_lo: u32,
    /// The latest slot it may start in.
    pub start_hi: u32,
    /// The most it pays, in uEUR per accelerator-hour.
    pub limit: u64,
    /// The lanes it may be served by.
    pub lane: LaneWord,
    /// Whether it is entitled to the reserve.
    pub eligible: bool,
    /// Who pays.
    pub funding: FundingText,
    /// The group's dominant share, in parts per 10^9.
    pub usage: u64,
    /// The batch it was admitted in.
    pub admitted_epoch: u64,
}

/// What a group holds from earlier batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldLine {
    /// The group.
    pub group: String,
    /// The resource class.
    pub class: String,
    /// The first slot.
    pub start: u32,
    /// The first slot after it.
    pub end: u32,
    /// Accelerators.
    pub qty: u32,
}

impl BookFile {
    /// Reads a book and holds every field of it to its bounds.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, BookError> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let book: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            // Where the text breaks off the path ends in `?`; at the top it is `.` or nothing but that.
            let path = error.path().to_string();
            let field = path.trim_end_matches('?').trim_end_matches('.');
            let field = if field.is_empty() { "book" } else { field };
            BookError::new(field, error.inner().to_string())
        })?;
        reader.end().map_err(|error| BookError::new("book", format!("more follows after it: {error}")))?;
        bounds::check(&book)?;
        Ok(book)
    }
}
