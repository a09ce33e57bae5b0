//! Why a testnet does not do what it should: what happened, and what to do next.

use hansa_node_api::ApiError;
use std::path::{Path, PathBuf};

/// Why a testnet or the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// The user asked for something that cannot be.
    #[error("{0}")]
    Refused(String),
    /// A file or folder cannot be used.
    #[error("cannot {action} `{}`: {error}", path.display())]
    File {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A process cannot be started.
    #[error("cannot start {name}: {error}")]
    Start {
        /// Which.
        name: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A process ended by itself.
    #[error("{name} ended by itself ({status}); the last lines of `{}`:\n{tail}", log.display())]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// A process does not become ready.
    #[error("{name} was not ready within {seconds} s: {reason}; the last lines of `{}`:\n{tail}", log.display())]
    NotReady {
        /// Which.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// What it says about it.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// A node refused or did not answer.
    #[error("{what}: {error}")]
    Api {
        /// What was tried.
        what: String,
        /// Why not.
        error: Box<ApiError>,
    },
    /// Something did not come about in time.
    #[error("{0}")]
    Missed(String),
    /// Something that was checked does not hold.
    #[error("the check failed: {0}")]
    Broken(String),
    /// A stage of the demo.
    #[error("stage {number} ({stage}) failed: {error}{}", culprit.as_ref().map(|text| format!("\n{text}")).unwrap_or_default())]
    Stage {
        /// Its number, from 1.
        number: u8,
        /// Its name.
        stage: &'static str,
        /// Why.
        error: Box<TestnetError>,
        /// The end of the log of the process that should have done it, where the reason does not hold one.
        culprit: Option<String>,
    },
    /// Ctrl-C, or a request to end.
    #[error("interrupted; everything was stopped")]
    Interrupted,
}

impl TestnetError {
    /// What to do next, where something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused(_) | Self::Interrupted | Self::Broken(_) => None,
            Self::File { .. } => Some("check its permissions and the space on its disk"),
            Self::Start { .. } => Some("check that the program is there and may be run"),
            Self::Ended { .. } | Self::NotReady { .. } => Some("the rest of the log says more"),
            Self::Api { error, .. } => Some(error.hint()),
            Self::Missed(_) => {
                Some("a machine that is busy may be too slow; try again, or look into the logs")
            }
            Self::Stage { error, .. } => error.hint(),
        }
    }

    /// Whether the user can do something about it by asking otherwise.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Stage { error, .. } => error.is_refusal(),
            _ => false,
        }
    }

    /// How the program should end: 1 for what the user can change, 2 for the rest, 130 after Ctrl-C.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Interrupted => 130,
            _ => 2,
        }
    }
}

/// Puts the path beside what the system said.
pub(crate) fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TestnetError {
    let path = path.to_owned();
    move |error| TestnetError::File { action, path, error }
}

/// Puts what was tried beside what the node said.
pub(crate) fn api_error(what: impl Into<String>) -> impl FnOnce(ApiError) -> TestnetError {
    let what = what.into();
    move |error| TestnetError::Api { what, error: Box::new(error) }
}
