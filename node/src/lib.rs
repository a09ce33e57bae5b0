//! Run one member of the federation.

pub mod backend;
pub mod blob;
pub mod config;
pub mod consensus;
pub mod executor;
pub mod gossip;
pub mod history;
pub mod http;
pub mod mempool;
pub mod metrics;
pub mod network;
pub mod node;
pub mod rights;

pub use config::NodeConfig;
pub use node::{Node, NodeError, NodeKeys, start};
