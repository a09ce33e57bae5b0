//! Tests of whole features, over real processes.
//!
//! Federations are slow to start, so each file starts one and checks one feature after another on it; every feature is
//! checked, whatever became of the ones before. The rules of the repository are tests too: `architecture` and `tidy`.

mod architecture;
mod demo;
mod faults;
mod hansa;
mod marketplace;
mod repository;
mod testnet;
mod tidy;
