//! The table of actions: one line per kind. Tag, codec, JSON name and dispatch derive from it.

mod admission;
mod claim;
mod context;
mod contract;
mod dispute;
mod extension;
mod governance;
mod grant;
mod job;
mod key;
mod lease;
mod objection;
mod offer;
mod office;
mod order;
mod organisation;
mod outage;
mod purse;
mod request;
mod site;
mod usage;
mod window;

pub use claim::ClaimPayment;
pub use context::{Block as BlockInHand, Context, FuelUse, fuel_kept};
pub use contract::{
    ApproveContract, DeprecateContract, MODULE_BYTES_MAX, QuarantineContract, REASON_BYTES_MAX,
    RenewContract, ResumeContract, SetAlias, UploadContract,
};
pub use dispute::{OpenDispute, RuleDispute};
pub use extension::ExtendLease;
pub use governance::{Propose, RotateKeys, Vote};
pub use grant::{AttestDeposit, IssueGrant, grant_id};
pub use job::{ReportJob, RunJob};
pub use key::{RemoveKey, SetKey};
pub use lease::{CancelLease, EndLease, StartLease};
pub use objection::ObjectLease;
pub use offer::{AmendOffer, PostOffer, WithdrawOffer};
pub use office::{RemoveOfficeKey, SetOfficeKey, SetOfficeThreshold};
pub use order::{ApproveOrder, CancelOrder};
pub(crate) use organisation::expiry;
pub use organisation::{AccreditOrganisation, Registration, RevokeOrganisation, organisation_id};
pub use purse::{RedeemCash, TransferCash};

pub use admission::{ALTERNATIVES_MAX, admit_demand};
pub use outage::{AnnounceOutage, EndOutage, outage_id};
pub(crate) use request::Admitted;
pub use request::{CancelRequest, PlaceRequest, request_id};
pub use site::{AccreditSite, ConfirmSite, SitePart};
pub(crate) use usage::report_due;
pub use usage::{ContestUsage, CountersignUsage, LeaseUsage, ReportUsage, delivered_max};
pub use window::{LeaseWindow, ReportWindows, WINDOWS_MAX};

/// What every kind of action has: a check without the state, and its effect on the state.
pub(crate) trait Perform {
    /// Refuses what no state could accept; guards the mempool.
    fn check(&self, params: &crate::params::Params) -> Result<(), crate::rejection::Rejection>;
    /// The new key that the action registers, and its holder's word.
    fn possession(&self) -> Option<(hansa_ledger_signature::PublicKey, &crate::possession::Possession)> {
        None
    }
    /// Does it. A refusal leaves no trace: the caller rolls back.
    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), crate::rejection::Rejection>;
}

/// Derives the action type from the table.
macro_rules! actions {
    ($($(#[$meta:meta])* $tag:literal => $kind:ident,)*) => {
        /// One thing a transaction does.
        #[derive(
            Clone, Debug, PartialEq, Eq,
            borsh::BorshSerialize, borsh::BorshDeserialize, serde::Serialize, serde::Deserialize,
        )]
        #[borsh(use_discriminant = true)]
        #[serde(tag = "action", rename_all = "snake_case")]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Action {
            $($kind($kind) = $tag,)*
        }

        impl Action {
            /// Tag and name of every kind.
            pub const KINDS: &'static [(u8, &'static str)] = &[$(($tag, stringify!($kind)),)*];

            /// The name of this kind.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                }
            }

            /// Refuses what no state could accept.
            ///
            /// # Errors
            /// The first rule that is broken.
            pub fn check(&self, params: &crate::params::Params) -> Result<(), crate::rejection::Rejection> {
                match self {
                    $(Self::$kind(action) => Perform::check(action, params),)*
                }
            }

            /// The new key that the action registers, and its holder's word.
            #[must_use]
            pub fn possession(
                &self,
            ) -> Option<(hansa_ledger_signature::PublicKey, &crate::possession::Possession)> {
                match self {
                    $(Self::$kind(action) => Perform::possession(action),)*
                }
            }

            /// Does it, or, where one key of an office does not suffice, says [`Rejection::OrderNeeded`]. See
            /// [`Context::perform`].
            ///
            /// [`Rejection::OrderNeeded`]: crate::rejection::Rejection::OrderNeeded
            ///
            /// # Errors
            /// Why it is refused; the caller rolls back.
            fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), crate::rejection::Rejection> {
                match self {
                    $(Self::$kind(action) => Perform::apply(action, context),)*
                }
            }
        }

        $(impl From<$kind> for Action {
            fn from(action: $kind) -> Self {
                Self::$kind(action)
            }
        })*
    };
}

actions! {
    // Tags are wire format: never renumber, never reuse.
    1 => AccreditOrganisation,
    2 => RevokeOrganisation,
    3 => SetKey,
    4 => RemoveKey,
    5 => AccreditSite,
    6 => IssueGrant,
    7 => AttestDeposit,
    8 => RedeemCash,
    9 => TransferCash,
    10 => PostOffer,
    11 => AmendOffer,
    12 => WithdrawOffer,
    13 => PlaceRequest,
    14 => CancelRequest,
    15 => StartLease,
    16 => ReportUsage,
    17 => CountersignUsage,
    18 => ContestUsage,
    19 => EndLease,
    20 => CancelLease,
    21 => RunJob,
    22 => ReportJob,
    23 => ObjectLease,
    24 => ReportWindows,
    30 => ConfirmSite,
    31 => AnnounceOutage,
    32 => EndOutage,
    33 => ExtendLease,
    40 => ApproveOrder,
    41 => CancelOrder,
    42 => SetOfficeKey,
    43 => RemoveOfficeKey,
    44 => SetOfficeThreshold,
    50 => Propose,
    51 => Vote,
    52 => RotateKeys,
    60 => UploadContract,
    61 => ApproveContract,
    62 => DeprecateContract,
    63 => RenewContract,
    64 => QuarantineContract,
    65 => ResumeContract,
    66 => SetAlias,
    70 => ClaimPayment,
    71 => OpenDispute,
    72 => RuleDispute,
}
