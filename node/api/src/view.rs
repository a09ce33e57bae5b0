//! What the public sees of things that are somebody's: the fields of each, and no more.
//!
//! A list tells each reader what it may see whole as it stands on the ledger, and the rest in these forms. Which is which is
//! decided in one place, by the node (`node/src/http/visibility.rs`).

use crate::lease::LeaseInfo;
use crate::market::{OfferInfo, PartInfo, SiteInfo};
use crate::organisation::OrganisationInfo;
use hansa_ledger::id::{CodeHash, LeaseId, OfferId, OrganisationId};
use hansa_ledger::market::Calendar;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::root::Digest;
use hansa_ledger::row::{LeaseState, OfferState, OrganisationClass, PoolOwner, SiteKey, Standing};
use hansa_ledger::time::TimeMs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something as its reader may see it. In JSON the two forms stand for themselves: the public one lacks fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Shown<W, P> {
    /// All of it: it is the reader's, or the reader is a member.
    Whole(W),
    /// What everybody may know.
    Public(P),
}

impl<W, P> Shown<W, P> {
    /// All of it, if the reader may see that.
    #[must_use]
    pub fn whole(self) -> Option<W> {
        match self {
            Self::Whole(whole) => Some(whole),
            Self::Public(_) => None,
        }
    }
}

/// An organisation in a list.
pub type ShownOrganisation = Shown<OrganisationInfo, PublicOrganisation>;
/// A site in a list.
pub type ShownSite = Shown<SiteInfo, PublicSite>;
/// An offer.
pub type ShownOffer = Shown<OfferInfo, PublicOffer>;
/// A lease in a list.
pub type ShownLease = Shown<LeaseInfo, PublicLease>;

/// An organisation as a pseudonym.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicOrganisation {
    /// Its id.
    #[schema(value_type = String)]
    pub id: OrganisationId,
    /// The member that accredited it.
    #[schema(value_type = String)]
    pub home: MemberCode,
    /// Its class.
    #[schema(value_type = String)]
    pub class: OrganisationClass,
    /// Whether it may act.
    #[schema(value_type = String)]
    pub standing: Standing,
}

/// Accredited capacity as its provider publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicSite {
    /// Provider, site, class.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub key: SiteKey,
    /// The country it stands in.
    #[schema(value_type = String)]
    pub country: MemberCode,
    /// Accelerators.
    pub accelerators: u32,
    /// Accelerators of one node.
    pub node_size: u32,
    /// Interconnect tier.
    pub tier: u8,
    /// Certificates, as bits.
    pub certificates: u32,
    /// Accelerators that another member has confirmed.
    pub confirmed: u32,
    /// The member that confirmed them.
    #[schema(value_type = Option<String>)]
    pub confirmed_by: Option<MemberCode>,
    /// Its parts, by owner: what of it is leased and out of order is everybody's to see, to whom is not.
    pub parts: Vec<PartInfo>,
}

/// An open offer as its provider publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicOffer {
    /// Its id.
    #[schema(value_type = String)]
    pub id: OfferId,
    /// Who offers, as a pseudonym.
    #[schema(value_type = String)]
    pub provider: OrganisationId,
    /// Where.
    #[schema(value_type = String)]
    pub site: Name,
    /// What.
    #[schema(value_type = String)]
    pub class: Name,
    /// The country it stands in.
    #[schema(value_type = String)]
    pub country: MemberCode,
    /// Certificates, as bits.
    pub certificates: u32,
    /// Interconnect tier.
    pub tier: u8,
    /// Accelerators of one node.
    pub node_size: u32,
    /// Least price.
    #[schema(value_type = String)]
    pub ask: Price,
    /// Whose part of the site it sells.
    #[schema(value_type = Object)]
    pub pool: PoolOwner,
    /// The reserve's share, in basis points.
    pub reserve_bps: u16,
    /// What is free for the market, over time.
    #[schema(value_type = Object)]
    pub market: Calendar,
    /// What is free for the reserve, over time, on top.
    #[schema(value_type = Object)]
    pub reserve: Calendar,
    /// The contract that settles its leases.
    #[schema(value_type = String)]
    pub contract: CodeHash,
    /// Where it stands: open.
    #[schema(value_type = String)]
    pub state: OfferState,
    /// Accelerators free in the slot in hand.
    pub free_now: u32,
}

/// A lease as a pseudonym.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicLease {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LeaseId,
    /// The resource class.
    #[schema(value_type = String)]
    pub class: Name,
    /// Where.
    #[schema(value_type = String)]
    pub site: Name,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: LeaseState,
    /// When it begins.
    #[schema(value_type = String)]
    pub start: TimeMs,
    /// When it ends.
    #[schema(value_type = String)]
    pub end: TimeMs,
    /// The hash of its settlement's row, as it stands under the state root; none as long as it is not settled.
    #[schema(value_type = Option<String>)]
    pub settlement: Option<Digest>,
}
