//! Simulate a federation: the real nodes on a simulated network and disks, all from one seed.

pub mod checks;
pub mod client;
pub mod disk;
pub mod engine;
pub mod genesis;
pub mod network;
pub mod node;
pub mod profile;
pub mod random;
pub mod run;
pub mod store;
pub mod story;
pub mod sync;
pub mod trace;
pub mod treason;
pub mod wire;
pub mod workload;
pub mod world;
