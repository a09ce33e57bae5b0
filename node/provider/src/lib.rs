//! Turn a lease into work on a machine.
//!
//! [`run`] is the provider agent: it keeps a provider's offers in line with its inventory, follows its leases, believes an
//! award only when it is proven against the members pinned in the genesis, runs each job once, sends its log on while it runs,
//! returns what it left behind, and reports the use. It dials out only. [`backend`] is the seat where a lease's jobs run: a sandbox that keeps them from
//! the machine, from each other and from the agent, bounds what they use, and leaves nothing of them behind.

pub mod accelerators;
pub mod agent;
pub mod award;
pub mod backend;
pub mod clock;
pub mod config;
pub mod error;
pub mod federation;
mod feed;
pub mod inventory;
mod job;
pub mod journal;
mod lease;
pub mod link;
pub mod metering;
mod removal;
pub mod work;

pub use agent::run;
pub use config::Config;
pub use error::AgentError;
