//! Run one member of the federation.

pub mod backend;
pub mod blob;
pub mod config;
pub mod consensus;
pub mod end;
pub mod executor;
pub mod gossip;
pub mod history;
pub mod http;
pub mod log;
pub mod mempool;
pub mod metrics;
pub mod network;
pub mod node;
pub mod readiness;
pub mod rebuild;
pub mod rights;
pub mod snapshot;

pub use config::NodeConfig;
pub use end::End;
pub use node::{Node, NodeError, NodeKeys, start};
