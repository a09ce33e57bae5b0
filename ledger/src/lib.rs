//! Decide what every transaction does.
//!
//! The ledger is a function: [`apply::apply_block`] takes a state and a block and gives changes, receipts and a root. Nothing
//! here reads a clock, a file or a random number, keeps a hash map, starts a thread or computes with floats; the lints below
//! make the compiler refuse it.

#![deny(
    clippy::disallowed_types,
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::arithmetic_side_effects))]

pub mod action;
pub mod aid;
pub mod apply;
pub mod batch;
pub mod block;
pub mod bytes;
pub mod contract;
pub mod deadline;
pub mod demand;
pub mod dispute;
pub mod eligibility;
mod encoding;
pub mod event;
pub mod extension;
pub mod facts;
pub mod figures;
pub mod genesis;
pub mod governance;
pub mod holdback;
pub mod id;
pub mod interim;
pub mod invariants;
pub mod journal;
pub mod lease;
pub mod market;
pub mod member;
pub mod merkle;
pub mod money;
pub mod name;
mod ownership;
pub mod params;
pub mod possession;
pub mod preview;
pub mod rejection;
pub mod replay;
pub mod root;
pub mod row;
pub mod share;
pub mod stake;
pub mod state;
pub mod tables;
pub mod time;
pub mod transaction;
pub mod waiting;
mod waking;
