//! Run one member of the federation.

pub mod blob;
pub mod consensus;
pub mod network;
pub mod config;
pub mod executor;
pub mod gossip;
pub mod history;
pub mod mempool;
pub mod rights;
pub mod http;
