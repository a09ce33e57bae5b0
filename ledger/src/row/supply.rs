//! Sites, who their parts are entitled to, outages and offers.

use super::{NamedParty, OfferState, Pool};
use crate::id::{CodeHash, GroupId, LeaseId, OfferId, OrganisationId};
use crate::market::Calendar;
use crate::member::MemberCode;
use crate::money::{Money, Price};
use crate::name::Name;
use crate::time::Slot;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Who a part of a site's capacity is entitled to.
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
#[serde(rename_all = "snake_case")]
pub enum PoolOwner {
    /// A private firm: the provider itself.
    Private,
    /// A member state, or the joint undertaking.
    Member(MemberCode),
}

impl PoolOwner {
    /// Whose money built it.
    #[must_use]
    pub fn pool(self) -> Pool {
        match self {
            Self::Private => Pool::Private,
            Self::Member(_) => Pool::Public,
        }
    }

    /// The member that owns it.
    #[must_use]
    pub fn member(self) -> Option<MemberCode> {
        match self {
            Self::Private => None,
            Self::Member(member) => Some(member),
        }
    }
}

impl std::fmt::Display for PoolOwner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Private => formatter.write_str("private"),
            Self::Member(member) => write!(formatter, "{member}"),
        }
    }
}

impl std::str::FromStr for PoolOwner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "private" { Ok(Self::Private) } else { text.parse().map(Self::Member) }
    }
}

data! {
    /// Where capacity stands: provider, site, class.
    #[derive(PartialOrd, Ord)]
    pub struct SiteKey {
        /// Who offers it.
        pub provider: OrganisationId,
        /// The place.
        pub site: Name,
        /// The resource class.
        pub class: Name,
    }

    /// Accredited capacity.
    pub struct Site {
        /// The country it stands in.
        pub country: MemberCode,
        /// Accelerators, as its own member accredits them.
        pub accelerators: u32,
        /// Accelerators that another member has confirmed: no more than these can be offered.
        pub confirmed: u32,
        /// The member that confirmed them.
        pub confirmed_by: Option<MemberCode>,
        /// Accelerators of one node: capacity is leased in steps of it where a request allows a range.
        pub node_size: u32,
        /// Interconnect tier; higher is faster.
        pub tier: u8,
        /// Certificates it holds, as bits.
        pub certificates: u32,
    }

    /// A part of a site's capacity and who it is entitled to.
    #[derive(PartialOrd, Ord)]
    pub struct EntitlementKey {
        /// The site.
        pub site: SiteKey,
        /// Whose part it is.
        pub owner: PoolOwner,
    }

    /// An owner's part of a site: in every slot, what its offer has free in both lanes, what is leased of both and what is out
    /// together are no more than it was granted.
    pub struct Entitlement {
        /// Accelerators granted, out of the site's.
        pub accelerators: u32,
        /// What commercial users may have of it in a year, in basis points of the year's accelerator-slots.
        pub commercial_ceiling_bps: u16,
        /// The year `commercial_taken` counts: years of 365 days since 1970.
        pub commercial_year: u32,
        /// What commercial users were awarded of it in that year, in accelerator-slots.
        pub commercial_taken: u64,
        /// Its open offer.
        pub offer: Option<OfferId>,
        /// What leases of the market lane hold, over time.
        pub leased_market: Calendar,
        /// What leases out of the reserve hold, over time.
        pub leased_reserve: Calendar,
        /// What is out of order or in maintenance, over time.
        pub outage: Calendar,
        /// What its open offer would have free for the market and has not, since it is out: it returns as the outages end.
        pub out_market: Calendar,
        /// What its open offer would have free for the reserve and has not, since it is out.
        pub out_reserve: Calendar,
        /// What the offer that was withdrawn last leaves behind for the next one.
        pub withdrawn: Option<WithdrawnTerms>,
    }

    /// The terms of a withdrawn offer that the next offer of the same part cannot shake off.
    pub struct WithdrawnTerms {
        /// Its price then, and the class's batch count: until that batch has run, a higher price does not count.
        pub ask: AskRaise,
        /// The reserve's share.
        pub reserve_bps: u16,
        /// The cycle of its reserve.
        pub reserve_cycle_slots: Option<u32>,
        /// The first slot from which another cycle or a lower share may be chosen.
        pub reserve_until: Slot,
    }

    /// Capacity that is out for some time.
    pub struct Outage {
        /// The part of a site.
        pub part: EntitlementKey,
        /// The first slot.
        pub start: Slot,
        /// The first slot after it.
        pub end: Slot,
        /// Accelerators that are out.
        pub accelerators: u32,
        /// Whether it is planned maintenance.
        pub planned: bool,
        /// Whether it was announced as long ahead as maintenance must be for the leases it hits to lack nothing promised.
        pub announced: bool,
        /// The leases that could not be served whole when it was announced.
        pub leases: Vec<LeaseId>,
        /// What it took of the offer's free capacity for the market.
        pub taken_market: Calendar,
        /// What it took of the offer's free reserve.
        pub taken_reserve: Calendar,
        /// The offer it took it from.
        pub offer: Option<OfferId>,
        /// The offer's revision then.
        pub offer_revision: u32,
    }

    /// A price that takes effect once a batch has passed.
    pub struct AskRaise {
        /// The price.
        pub ask: Price,
        /// The class's batch count when it was asked for: the batch of that number still has the old price.
        pub epoch: u64,
    }

    /// An offer.
    pub struct Offer {
        /// Who offers.
        pub provider: OrganisationId,
        /// Beneficial-owner group of the provider.
        pub group: GroupId,
        /// The member on whose side of the books its proceeds stand: the provider's home, or the pool's owner.
        pub home: MemberCode,
        /// Where.
        pub site: Name,
        /// What.
        pub class: Name,
        /// The country it stands in.
        pub country: MemberCode,
        /// As accredited.
        pub certificates: u32,
        /// As accredited.
        pub tier: u8,
        /// As accredited.
        pub node_size: u32,
        /// Whose part of the site it sells.
        pub pool: PoolOwner,
        /// Least price.
        pub ask: Price,
        /// A higher price that takes effect after the next batch.
        pub ask_raise: Option<AskRaise>,
        /// The reserve's share of all that is offered, in basis points; 0 for private capacity.
        pub reserve_bps: u16,
        /// Over how many slots the share is met: in the first part of each such cycle everything is reserve, in the rest
        /// nothing; none where every slot has its share.
        pub reserve_cycle_slots: Option<u32>,
        /// What is free for the market, over time.
        pub market: Calendar,
        /// What is free for the open-access reserve, over time, on top.
        pub reserve: Calendar,
        /// How often its provider has said what is free.
        pub revision: u32,
        /// The contract that settles its leases.
        pub contract: CodeHash,
        /// The contract's parameters (borsh of the template's own type).
        #[serde(with = "crate::bytes")]
        pub contract_params: Vec<u8>,
        /// Whom it names for a share of their own beside the provider.
        pub parties: Vec<NamedParty>,
        /// The stake that its provider could not fund when a lease was last to be awarded: while the provider's cash is below
        /// it, the offer stays out of the book.
        pub stake_short: Money,
        /// The provider's count of orders at posting; part of the tie rule.
        pub sequence: u64,
        /// Where it stands.
        pub state: OfferState,
    }
}

impl Default for Entitlement {
    fn default() -> Self {
        Self {
            accelerators: 0,
            commercial_ceiling_bps: 10_000,
            commercial_year: 0,
            commercial_taken: 0,
            offer: None,
            leased_market: Calendar::default(),
            leased_reserve: Calendar::default(),
            outage: Calendar::default(),
            out_market: Calendar::default(),
            out_reserve: Calendar::default(),
            withdrawn: None,
        }
    }
}

impl Entitlement {
    /// What is leased of it in both lanes, over time.
    #[must_use]
    pub fn leased(&self) -> Calendar {
        self.leased_market.plus(&self.leased_reserve)
    }

    /// Forgets what lies before `now`.
    pub fn prune(&mut self, now: Slot) {
        let leased = [&mut self.leased_market, &mut self.leased_reserve];
        let out = [&mut self.outage, &mut self.out_market, &mut self.out_reserve];
        for calendar in leased.into_iter().chain(out) {
            calendar.prune(now);
        }
    }
}
