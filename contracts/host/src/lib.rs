//! Run a contract within its fuel.
//!
//! [`Host`] holds compiled modules and runs them under one fixed profile ([`vm_profile`]): integers only, no imports,
//! compiled before the first call, every operator paid for. Same module, same input: same answer, same fuel, same
//! failure, on every machine, in the first call and in the millionth.

mod host;
mod module;
mod profile;
mod shield;
mod slim;
mod strip;
mod survey;
#[cfg(test)]
mod tests;

pub use host::{Host, validate};
pub use profile::{FUEL_PER_CALL_MAX, vm_profile};
pub use shield::shield;
pub use strip::strip;
