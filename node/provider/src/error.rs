//! Why an agent cannot go on.

use std::path::PathBuf;

use hansa_node_api::ApiError;

use crate::backend::BackendError;
use crate::journal::JournalError;

/// Why the agent did not start or had to stop. What goes wrong with one lease or one offer is logged instead.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A file of this machine.
    #[error("`{}` cannot be used: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The configuration or the genesis.
    #[error("the configuration is wrong{}{place}: {reason}", if place.is_empty() { "" } else { " at " })]
    Config {
        /// File, line and column, as far as they are known.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Another agent.
    #[error(
        "another agent works in `{}`; two on one folder would run jobs twice\n\nhint: stop it, or give this one a `data_dir` of its own",
        .0.display()
    )]
    Locked(PathBuf),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A node, where trying again is of no use.
    #[error("{error}\n\nhint: {}", error.hint())]
    Node {
        /// What the client said.
        #[from]
        error: ApiError,
    },
    /// A node of another federation.
    #[error(
        "the node at {url} belongs to federation {found}, and the genesis makes {expected}\n\nhint: compare `nodes` and `genesis` in the configuration"
    )]
    OtherFederation {
        /// The node.
        url: String,
        /// Its chain id.
        found: String,
        /// Ours.
        expected: String,
    },
}
