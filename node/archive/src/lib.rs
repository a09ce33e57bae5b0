//! Verify, export, import and compact the ledger that a node keeps.
//!
//! Everything here works on a store that no node has open, and believes nothing that it has not checked itself: a block is
//! believed since more than two thirds of the members of its height signed it, a state since executing the blocks gives it or
//! since a signed header names its root. The members of the first height come from the genesis, which the operator trusts.
//!
//! | task | reads | writes |
//! |---|---|---|
//! | [`verify`] | everything in the store | nothing |
//! | [`export`] | everything in the store | one file, complete or absent |
//! | [`import`] | such a file | a store in a new directory, verified before it gets its name |
//! | [`compact`] | everything in the store | the same store anew, verified before it takes the old one's place |
//!
//! An archive holds decided blocks with their certificates, the rows of the last checkpoint and the evidence. What a node
//! had under way when it stopped (undecided proposals) is no part of the ledger and of no archive; [`compact`] keeps it.

mod compact;
mod copy;
mod file;
mod import;
mod verify;

pub use compact::{Compaction, compact};
pub use file::{ARCHIVE_FORMAT, count_records, export};
pub use import::import;
pub use verify::verify;

pub use hansa_ledger_store::StoreError;

use hansa_ledger_store::{OpenOptions, SledStore};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Every record of the store is read and compared with its checksum.
    Reading,
    /// Blocks are checked, and executed where the state before them is known.
    Executing,
    /// Blocks are copied.
    Blocks,
    /// Rows of the checkpoint are copied.
    Rows,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Stage::Reading => "reading every record",
            Stage::Executing => "checking and executing blocks",
            Stage::Blocks => "copying blocks",
            Stage::Rows => "copying rows",
        })
    }
}

/// Told how far a stage is: done, and of how many where that is known.
pub type Progress<'a> = &'a mut dyn FnMut(Stage, u64, Option<u64>);

/// What was found, all of it sound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The first block that is kept; 0 where there is none.
    pub height_first: u64,
    /// The last block; 0 where there is none.
    pub height_last: u64,
    /// Blocks whose certificate was checked.
    pub blocks: u64,
    /// Blocks that were executed again.
    pub blocks_executed: u64,
    /// Transactions in the blocks.
    pub transactions: u64,
    /// Rows of the state after the last block.
    pub rows: u64,
    /// Pieces of evidence of double votes.
    pub evidence: u64,
    /// Root of the state after the last block, in hexadecimal.
    pub state_root: String,
}

/// Why it was not done. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("cannot {what} `{}`: {error}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The genesis is none, or is another federation's.
    #[error("the genesis does not fit: {0}")]
    Genesis(String),
    /// What is stored is not what the members decided.
    #[error("block {height} is not sound: {what}; rebuild this node from its peers")]
    Block {
        /// The height.
        height: u64,
        /// What is wrong.
        what: String,
    },
    /// The rows are not the state.
    #[error("the stored state is not sound: {0}; rebuild this node from its peers")]
    State(String),
    /// The file is no archive, or not whole.
    #[error("`{}` is no sound archive: {what}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The place is taken.
    #[error("`{}` exists already; give a name that is free", .0.display())]
    Exists(PathBuf),
}

impl ArchiveError {
    fn file<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + use<'a> {
        move |error| Self::File { what, path: path.to_owned(), error }
    }
}

/// Opens the store of a node's ledger, which must be there.
///
/// # Errors
/// Why it does not open; [`StoreError::Locked`] where a node has it.
pub fn open(directory: &Path) -> Result<SledStore, ArchiveError> {
    Ok(SledStore::open(directory, OpenOptions::default())?)
}
