//! A federation on one machine, in one command.

pub mod job;

mod cluster;
mod config;
mod error;
mod federation;
mod genesis;
mod keyfile;
mod layout;
mod ports;
mod process;
mod progress;
mod seed;
pub mod systems;
mod watch;

pub use cluster::{Cluster, ClusterOptions};
pub use error::TestnetError;
pub use federation::Federation;
pub use genesis::{Plan, found, parse_members};
pub use layout::{GrantRecord, Layout, MemberRecord, ProviderRecord, State, UserRecord};
pub use ports::{Ports, Reservation};
pub use process::{ProcessRecord, Stopped};
pub use progress::Progress;
