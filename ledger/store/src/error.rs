//! What can go wrong with a store, in sentences that say what to do next.

use std::path::{Path, PathBuf};

use crate::store::Hash;

/// What the operator does about a store that cannot be trusted.
pub(crate) const REBUILD: &str = "stop the node and run `hansa node rebuild`, which sets the directory aside and lets the node rebuild from peers what lay in it";

/// Why the store refused or could not do what was asked.
///
/// `Damaged`, `Doubt` and `Fatal` mean: do not vote with this store. The others leave it as it was.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory.
    #[error("another process uses the data directory `{}`: stop it first, or give this node a directory of its own", directory.display())]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// The database cannot be read, or what it returns is not what was written.
    #[error("the database is damaged ({what}): do not vote; {REBUILD}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// The database opens but may have forgotten something it acknowledged.
    #[error("refuse to vote: {what}; {next}")]
    Doubt {
        /// What was found.
        what: String,
        /// What the operator does about it.
        next: &'static str,
    },
    /// Free space fell below the floor; nothing was written.
    #[error(
        "the disk is low: {bytes_free} bytes free under `{}`, {bytes_needed} needed: free some space, then go on; nothing was lost",
        directory.display()
    )]
    DiskLow {
        /// The data directory.
        directory: PathBuf,
        /// What the file system still offers.
        bytes_free: u64,
        /// The floor, plus what was to be written.
        bytes_needed: u64,
    },
    /// A write or an fsync failed, now or earlier: what is on the disk is unknown until the store is opened again.
    #[error("the store stopped writing ({what}): halt the node, look at the disk, then start again")]
    Fatal {
        /// The first failure.
        what: String,
    },
    /// Something else is already stored in this place.
    #[error(
        "{what} is already stored with other content: the caller contradicts itself, so nothing was written"
    )]
    Conflict {
        /// The place.
        what: String,
    },
    /// A height was left out, or comes too late.
    #[error("{what}: nothing was written")]
    OutOfOrder {
        /// Expectation and offer.
        what: String,
    },
    /// A block cannot be committed before its body is stored.
    #[error("the body of block {} is not stored: put it first, or fetch it from a peer", hexadecimal(block))]
    BodyMissing {
        /// The block.
        block: Hash,
    },
    /// A value is larger than the store takes.
    #[error("{what} has {bytes} bytes, and the store takes at most {bytes_max}: nothing was written")]
    TooLarge {
        /// The value.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The operating system refused a file operation before anything was written.
    #[error("cannot {what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// True if the node must not vote with this store.
    #[must_use]
    pub fn forbids_voting(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Doubt { .. } | Self::Fatal { .. })
    }

    pub(crate) fn io(what: &str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what: format!("{what} `{}`", path.display()), source }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
