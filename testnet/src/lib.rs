//! A federation on one machine, in one command.

pub mod bench;
pub mod chaos;
pub mod job;

mod banner;
mod cluster;
mod config;
mod demo;
mod dice;
mod error;
mod federation;
mod genesis;
mod keyfile;
mod layout;
mod ports;
mod process;
mod progress;
mod proxy;
mod seed;
pub mod systems;
mod verbs;
mod watch;

pub use cluster::{Cluster, ClusterOptions};
pub use demo::{DemoOptions, demo};
pub use dice::Dice;
pub use error::TestnetError;
pub use federation::Federation;
pub use genesis::{Plan, found, parse_members};
pub use layout::{GrantRecord, Layout, MemberRecord, ProviderRecord, State, UserRecord};
pub use ports::{Ports, Reservation};
pub use process::{ProcessRecord, Stopped};
pub use progress::Progress;
pub use proxy::{Links, Passage, Route, Routes, Traffic, Way};
pub use verbs::{
    FOLDER_DEFAULT, MEMBERS_DEFAULT, PROVIDERS_DEFAULT, UpOptions, VerbOptions, down, kill, logs, restart,
    status, up,
};
