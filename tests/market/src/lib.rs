//! Measure the market: a synthetic quarter, misreporting, collusion and growth.
//!
//! The market here is the ledger's own `clear`; only what is asked for is made up. Unlike the ledger these studies use floats
//! and random numbers, from a seed, so that a run can be repeated to the byte.

pub mod chart;
pub mod collude;
pub mod demand;
pub mod federation;
pub mod growth;
pub mod instance;
pub mod measure;
pub mod misreport;
pub mod publish;
pub mod quarter;
pub mod random;
pub mod report;
#[path = "../../../testnet/src/systems.rs"]
pub mod systems;
