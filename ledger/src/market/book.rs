//! What goes into a batch, and what comes out of it: plain values.

use super::calendar::Calendar;
use super::eligibility::Eligibility;
use super::reason::Unmatched;
use crate::id::{ChainId, GroupId, OfferId, OrganisationId, RequestId};
use crate::member::{CountrySet, MemberCode};
use crate::money::Price;
use crate::name::Name;
use crate::row::Pool;
use crate::time::Slot;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rules a batch follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookParams {
    /// Prices are multiples of this many uEUR; 0 counts as 1.
    pub tick: u64,
    /// Where between its bounds the price lies, in basis points from the lower; over 10,000 counts as 10,000.
    pub k_bps: u16,
    /// How many prices the search tries.
    pub price_candidates: u16,
    /// What one group may hold of the class in one slot, in basis points of its capacity.
    pub cap_bps: u16,
    /// Seconds in a slot.
    pub slot_s: u32,
    /// The longest lead time of the bucket spot, in slots.
    pub spot_slots: u32,
    /// The longest lead time of the bucket near, in slots.
    pub near_slots: u32,
    /// The federation, for the order among equals.
    pub chain: ChainId,
    /// Whether the highest limit goes first instead of the lowest usage.
    pub limit_first: bool,
    /// How many requests a batch considers.
    pub orders_max: u32,
    /// How many requests of one group a batch considers.
    pub orders_per_group_max: u32,
    /// How many offers a batch considers, the cheapest first; where there are more, those with nothing free last.
    pub supplies_max: u32,
    /// The most an accelerator-hour of the reserve costs.
    pub reserve_price_cap: Price,
    /// What one group may hold of the class in one slot for the reserve lane to give it more, in basis points of its
    /// capacity; never more than `cap_bps`.
    pub reserve_cap_bps: u16,
    /// What the requests that one member funds may hold of the class's reserve in one slot, in basis points of what the
    /// reserve has in that slot with nothing allocated; 10,000 for no limit.
    pub reserve_member_cap_bps: u16,
    /// Offers that ask more do not qualify for requests that a grant pays; none for no limit.
    pub credit_ask_cap: Option<Price>,
    /// Reserve that the reserve lane left free is released to the market for leases that end within so many slots from now;
    /// 0 releases nothing.
    pub release_slots: u32,
    /// The longest lease that may take released reserve, in slots.
    pub release_lease_slots_max: u32,
}

/// The way a request may be, or was, served.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Lane {
    /// The open-access reserve: by need, at a capped price.
    Reserve = 0,
    /// The market: one price for all.
    Market = 1,
}

/// The lanes a request may be served by.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum LaneHint {
    /// The reserve, where it is eligible, and else the market.
    #[default]
    Any = 0,
    /// The reserve only.
    Reserve = 1,
    /// The market only.
    Market = 2,
}

/// A request as the batch sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// Its id.
    pub request: RequestId,
    /// Who asks.
    pub organisation: OrganisationId,
    /// The group of who asks; usage and caps are the group's.
    pub group: GroupId,
    /// The organisation's counter of requests, for the order among equals.
    pub sequence: u64,
    /// Where it may run; the empty set is anywhere.
    pub countries: CountrySet,
    /// The certificates a site must have, one bit each.
    pub certificates: u32,
    /// The lowest interconnect tier it accepts.
    pub tier_min: u8,
    /// How many accelerators it asks for.
    pub quantity: u32,
    /// The fewest it accepts; equal to `quantity` for all or nothing.
    pub quantity_min: u32,
    /// For how many slots.
    pub slots: u32,
    /// The earliest slot it may start in.
    pub start_min: Slot,
    /// The latest slot it may start in.
    pub start_max: Slot,
    /// The most it pays.
    pub limit: Price,
    /// The group's past usage; less goes first.
    pub usage: u64,
    /// The epoch it was admitted in; earlier goes first among equal usage.
    pub admitted_epoch: u64,
    /// The member whose position pays when it runs at a site of another home.
    pub funding_home: MemberCode,
    /// Whether offers of its own group are out of the question, as for grants.
    pub own_group_excluded: bool,
    /// The lanes it may be served by.
    pub lane: LaneHint,
    /// Whether its organisation is entitled to the reserve.
    pub eligible: bool,
    /// The member whose grant pays for it; none where private money does. Only what a grant pays enters the reserve.
    pub credit: Option<MemberCode>,
    /// Whether it accepts released reserve, from which it may be interrupted.
    pub interruptible: bool,
    /// Whether it counts against the commercial ceilings of pools.
    pub commercial: bool,
    /// What its group may hold for the reserve lane to give it more, in basis points of the class's capacity, on top of the
    /// parameter: lower for a new organisation, 10,000 for no limit of its own.
    pub reserve_cap_bps: u16,
    /// How much more aid its group may get, in uEUR; none for no ceiling.
    pub aid_left: Option<u128>,
}

impl Order {
    /// What it asks for, in accelerator-slots.
    pub(super) fn volume(&self) -> u64 {
        u64::from(self.quantity).saturating_mul(u64::from(self.slots))
    }
}

/// An offer as the batch sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Supply {
    /// Its id.
    pub offer: OfferId,
    /// Who offers.
    pub provider: OrganisationId,
    /// The provider's group.
    pub group: GroupId,
    /// The provider's counter of offers, for the order among equals.
    pub sequence: u64,
    /// The member whose position is credited.
    pub home: MemberCode,
    /// Where the site is.
    pub country: MemberCode,
    /// The certificates the site has, one bit each.
    pub certificates: u32,
    /// Its interconnect tier.
    pub tier: u8,
    /// Accelerators in a node: partial awards differ from the full one by whole nodes; 0 counts as 1.
    pub node_size: u32,
    /// The least it takes.
    pub ask: Price,
    /// Whose money built it: only what is public has a reserve.
    pub pool: Pool,
    /// The member that owns the pool: requests it funds try its own pools before all others.
    pub owner: Option<MemberCode>,
    /// What the market lane may sell, and when.
    pub market: Calendar,
    /// What the reserve lane may allocate, and when; on top of `market`.
    pub reserve: Calendar,
    /// How many accelerator-slots commercial requests may still take of the pool; none for no ceiling.
    pub commercial_left: Option<u64>,
}

/// What a group holds from earlier batches; it counts against the group's cap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// Who holds.
    pub group: GroupId,
    /// The first slot.
    pub start: Slot,
    /// The first slot after it.
    pub end: Slot,
    /// How many accelerators.
    pub quantity: u32,
    /// The member that funds it, where it was given out of the reserve.
    pub reserve: Option<MemberCode>,
}

/// What a group has used of the class, for an order by need that follows each award of the reserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupShare {
    /// Decayed usage of this class, in accelerator-seconds.
    pub accelerator_seconds: u64,
    /// Its largest share of any other class, in parts per 10^9.
    pub other: u64,
}

/// One class at one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// The rules.
    pub params: BookParams,
    /// The class.
    pub class: Name,
    /// The number of the batch.
    pub epoch: u64,
    /// The present slot; nothing starts before it.
    pub now: Slot,
    /// The open requests.
    pub orders: Vec<Order>,
    /// The open offers.
    pub supplies: Vec<Supply>,
    /// What groups hold already.
    pub holds: Vec<Hold>,
    /// The accelerators of the class that caps and shares are counted from: what is accredited, leased or not.
    pub capacity: u64,
    /// What groups have used. The usage of a group that stands here is `max(other, accelerator_seconds / capacity)` in parts
    /// per 10^9, and grows with each award of the reserve lane; one that does not keeps the usage of each of its orders.
    pub usage: BTreeMap<GroupId, GroupShare>,
    /// What each member may still owe to others, in uEUR; a member that is not named may owe nothing.
    pub debit_headroom: BTreeMap<MemberCode, u128>,
    /// The last price of the class: of equally good prices the nearer one is taken, and without it the lower; and what the
    /// aid of a reserve award is measured against, the ask without it.
    pub reference: Option<Price>,
    /// What contracts say of who may have a lease.
    pub eligibility: Eligibility,
}

/// How far ahead a request starts; each bucket has a price of its own.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Bucket {
    /// Soon: within a day by default.
    Spot = 0,
    /// Within a week by default.
    Near = 1,
    /// Later.
    Forward = 2,
}

impl Bucket {
    /// All buckets, in the order they are cleared.
    pub const ALL: [Self; 3] = [Self::Spot, Self::Near, Self::Forward];

    /// The bucket of a request that may start at `start_min`, seen from `now`.
    #[must_use]
    pub fn of(start_min: Slot, now: Slot, params: &BookParams) -> Self {
        let lead = start_min.0.saturating_sub(now.0);
        if lead <= params.spot_slots {
            Self::Spot
        } else if lead <= params.near_slots {
            Self::Near
        } else {
            Self::Forward
        }
    }
}

/// A request that found its offer.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct Trade {
    /// The request.
    pub request: RequestId,
    /// The offer.
    pub offer: OfferId,
    /// The lane that served it.
    pub lane: Lane,
    /// Its bucket.
    pub bucket: Bucket,
    /// Whether it takes released reserve, from which it may be interrupted.
    pub released: bool,
    /// How many accelerators.
    pub quantity: u32,
    /// The first slot.
    pub start: Slot,
    /// For how many slots.
    pub slots: u32,
    /// The price of the bucket in the market lane; the lesser of ask and cap in the reserve lane.
    pub price: Price,
    /// In the reserve lane, what it pays less than the market price, in uEUR; else 0.
    pub aid: u64,
}

/// The one price of a bucket.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct BucketPrice {
    /// The bucket.
    pub bucket: Bucket,
    /// Its price.
    pub price: Price,
    /// What was traded at it, in accelerator-slots.
    pub volume: u64,
}

/// What a batch does. Each request stands once, in `trades` or in `unmatched`; both are sorted by request.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Clearing {
    /// The requests that found their offers.
    pub trades: Vec<Trade>,
    /// The price of each bucket that traded, in the order of the buckets.
    pub prices: Vec<BucketPrice>,
    /// The requests that stay open, and why.
    pub unmatched: Vec<Unmatched>,
}

/// What a batch would do with one request.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quote {
    /// It would be awarded.
    Award(Trade),
    /// It would stay open.
    Unmatched(Unmatched),
}
