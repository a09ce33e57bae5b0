//! Plant faults and see them caught; take the figures of reliability and publish them.
//!
//! Two lists drive it. `planted.toml` names deliberate faults: a place in the source, what is put there, and the tests that
//! must fail then. `figures.toml` names the claims of docs/reliability.md, each with the command that measures it at the gate
//! and in the long run. What a run found is kept in docs/reliability/results.json, and the page's tables are made of it.

pub mod figure;
pub mod planted;
pub mod publish;
pub mod run;

use std::path::PathBuf;

/// The top folder of the repository.
#[must_use]
pub fn top() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
