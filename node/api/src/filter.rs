//! What lists can be narrowed by, and how long they are.

use hansa_ledger::id::{LeaseId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::name::Name;
use hansa_ledger::row::{LeaseState, OfferState, Office, ProposalState, RequestState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most entries of one page.
pub const PAGE_ITEMS_MAX: u32 = 1_000;

/// The entries of one page when nothing is asked for.
pub const PAGE_ITEMS_DEFAULT: u32 = 100;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries, by key.
    pub items: Vec<T>,
    /// Give this as `after` for the next part; none at the end of the list.
    pub next: Option<String>,
}

/// A filter of a list, which also says which part of it is wanted.
pub trait Filter: Serialize {
    /// Where the part begins, and how long it is.
    fn page(&self) -> (Option<&str>, Option<u32>);
    /// The same filter for the part that begins after `after`.
    #[must_use]
    fn with_after(&self, after: Option<String>) -> Self;
}

/// Declares filters: each has its own fields, all optional, and the two that every list has.
macro_rules! filters {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $field_doc:literal])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields, default)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $(
                $(#[doc = $field_doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                #[param(value_type = Option<String>)]
                pub $field: Option<$kind>,
            )*
            /// Most entries of the answer; at most 1000.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub limit: Option<u32>,
            /// Only what comes after this: `next` of the answer before.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub after: Option<String>,
        }

        impl Filter for $name {
            fn page(&self) -> (Option<&str>, Option<u32>) {
                (self.after.as_deref(), self.limit)
            }

            fn with_after(&self, after: Option<String>) -> Self {
                Self { after, ..self.clone() }
            }
        }
    )*};
}

filters! {
    /// A list without a filter of its own.
    PageFilter {}
    /// Narrows the list of organisations.
    OrganisationFilter {
        /// Home member.
        home: MemberCode,
    }
    /// Narrows the list of proposals.
    ProposalFilter {
        /// Where they stand.
        state: ProposalState,
    }
    /// Narrows the list of sites.
    SiteFilter {
        /// Resource class.
        class: Name,
        /// Provider.
        provider: OrganisationId,
        /// Country.
        country: MemberCode,
    }
    /// Narrows the list of offers.
    OfferFilter {
        /// Resource class.
        class: Name,
        /// Site.
        site: Name,
        /// Provider.
        provider: OrganisationId,
        /// Where they stand.
        state: OfferState,
    }
    /// Narrows the list of requests.
    RequestFilter {
        /// Who asks.
        organisation: OrganisationId,
        /// Resource class.
        class: Name,
        /// Where they stand.
        state: RequestState,
    }
    /// Narrows the list of leases.
    LeaseFilter {
        /// Either side of it.
        organisation: OrganisationId,
        /// Who uses it.
        requester: OrganisationId,
        /// Who delivers it.
        provider: OrganisationId,
        /// Resource class.
        class: Name,
        /// Where they stand.
        state: LeaseState,
    }
    /// Narrows the list of grants.
    GrantFilter {
        /// Who holds them.
        holder: OrganisationId,
        /// Who issued them.
        issuer: MemberCode,
    }
    /// Narrows the list of orders that await approval.
    OrderFilter {
        /// Whose they are.
        member: MemberCode,
        /// Of which office.
        office: Office,
    }
    /// Narrows the list of contracts.
    ContractFilter {
        /// Whether the code comes with them.
        code: bool,
    }
    /// Narrows the history of a class.
    FiguresFilter {
        /// The first batch, by its number.
        from: u64,
    }
    /// Narrows the list of capacity.
    CapacityFilter {
        /// Resource class.
        class: Name,
        /// Country.
        country: MemberCode,
        /// Provider.
        provider: OrganisationId,
    }
}

/// Narrows the stream of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// Events that name this organisation, or a lease or request of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub organisation: Option<OrganisationId>,
    /// Events of this lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub lease: Option<LeaseId>,
    /// Kinds of events, such as `lease_awarded`, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where to go on: `height:index` of the last event that was seen. The header `Last-Event-ID` counts more. Without
    /// either the stream begins with the next block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether the end of every block is told too, as `block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<bool>,
}
