//! What ledger and contract agree on.
//!
//! A contract is a pure function of bytes: the ledger hands it the signed terms and the metered usage, the contract
//! answers who gets how much of the escrow, and the ledger checks that answer ([`check_split`]) before a single unit
//! of money moves. Everything both sides must mean the same way stands in this crate: the values, their one encoding
//! (borsh), the limits, the arithmetic, the checks, and the rule that decides when a contract fails.
#![no_std]
#![deny(
    clippy::disallowed_types,
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::arithmetic_side_effects))]

extern crate alloc;
#[cfg(any(test, feature = "testing"))]
extern crate std;

mod check;
mod claims;
mod codec;
mod contract;
mod counted;
mod export;
mod facts;
#[cfg(not(target_arch = "wasm32"))]
pub mod fallback;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
pub mod limits;
pub mod math;
mod meta;
mod module;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod params;
mod runtime;
mod split;
mod terms;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod wire;

pub use check::{CheckedSplit, SplitError, check_split};
pub use claims::{Admission, Claims};
pub use contract::{Code, Contract};
pub use counted::{Counted, contested_bps};
pub use facts::{Ctx, Escrow, Evidence, Facts, Reading, Trigger, Usage, Window};
#[cfg(not(target_arch = "wasm32"))]
pub use fallback::{Fallback, fallback_split};
pub use meta::{Meta, ModuleMeta};
pub use module::{ModuleRefusal, ModuleRule, ModuleSummary};
#[cfg(not(target_arch = "wasm32"))]
pub use native::Native;
pub use runtime::{Failure, Outcome, Runtime};
pub use split::{Note, Quote, Split};
pub use terms::{Bps, Money, Party, Price, Role, SlaStep, Terms, Unit};

/// The version of this ABI. A published version never changes; new facts mean a new number and new export names.
pub const ABI_VERSION: u16 = 1;
