//! Set a damaged ledger aside so that the node can fetch it from its peers, without forgetting what the member signed.

use crate::config::{ConfigError, NodeConfig};
use crate::consensus::StartError;
use crate::consensus::engine::log_is_free;
use crate::consensus::last_signed::{MemoryError, prepare_rebuild, read_log, set_aside};
use hansa_ledger_signature::PublicKey;
use hansa_ledger_store::{StoreError, quarantine, witness_tip};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Where the damaged parts lie now.
    pub set_aside: Vec<PathBuf>,
    /// The lowest height that the member votes in from now on.
    pub vote_from: u64,
}

/// Why nothing was rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The genesis.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger could not be set aside; most likely the node runs.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine's log is in use or cannot be read.
    #[error(transparent)]
    Log(#[from] StartError),
    /// The record of what was signed.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// There is nothing.
    #[error("`{}` holds no node's data, so there is nothing to rebuild; a new node is simply started", data.display())]
    Nothing {
        /// The data directory.
        data: PathBuf,
    },
    /// Nothing says where it is safe to vote.
    #[error(
        "nothing in `{}` says what this member signed last; ask another member for the height that stands (`hansa chain status --node URL`) and give two more as --vote-from",
        data.display()
    )]
    FloorUnknown {
        /// The data directory.
        data: PathBuf,
    },
    /// The engine's log could not be moved.
    #[error("cannot set aside `{}`: {error}", path.display())]
    SetAside {
        /// The log.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// Sets the ledger of a stopped node aside (unless `keep_ledger`), and the engine's log, which belongs to it. The record of what was
/// signed stays and keeps the member from voting in any height where it may have voted; where it is missing or may be an old one,
/// `vote_from` or what the other files name makes the floor. Broken off halfway it can be done again.
///
/// # Errors
/// [`RebuildError`]; nothing is ever deleted.
pub fn rebuild(
    config: &NodeConfig,
    vote_from: Option<u64>,
    keep_ledger: bool,
) -> Result<Rebuilt, RebuildError> {
    let (ledger, wal, last_signed) = (config.ledger(), config.wal(), config.last_signed());
    let chain = config.genesis()?.chain_id().0;
    if [&ledger, &wal, &last_signed].iter().all(|path| std::fs::symlink_metadata(path).is_err()) {
        return Err(RebuildError::Nothing { data: config.data.clone() });
    }
    log_is_free(&wal)?;
    let log = read_log(&wal, &PublicKey([0; 32]))
        .map_err(|error| StartError::LogUnreadable { path: wal.clone(), error })?;
    let height = highest_tip(&ledger).max(log.present.then_some(log.height));
    let mut moved = Vec::new();
    if !keep_ledger && ledger.exists() {
        moved.push(quarantine(&ledger)?);
    }
    // Before the log goes: what it names is in the record from here on.
    let vote_from = prepare_rebuild(&last_signed, chain, height, vote_from)?
        .ok_or_else(|| RebuildError::FloorUnknown { data: config.data.clone() })?;
    if wal.exists() {
        let aside = set_aside(&wal);
        moved.push(aside.map_err(|error| RebuildError::SetAside { path: wal.clone(), error })?);
    }
    Ok(Rebuilt { set_aside: moved, vote_from })
}

/// The highest height that a witness names: of the ledger, or of one that was set aside before.
fn highest_tip(ledger: &Path) -> Option<u64> {
    let name = ledger.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = ledger.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let set_aside = beside.map(|entry| entry.path()).filter(|path| {
        path.file_name()
            .and_then(OsStr::to_str)
            .is_some_and(|other| other.starts_with(&format!("{name}.damaged-")))
    });
    // A witness that cannot be read says nothing.
    let tips = set_aside.chain([ledger.to_owned()]).filter_map(|folder| witness_tip(&folder).ok().flatten());
    tips.map(|tip| tip.height).max()
}
