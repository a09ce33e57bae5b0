//! The same ledger in a new database: the old one's free space goes back to the disk.

use crate::copy::{copy_decided, copy_undecided};
use crate::{ArchiveError, Progress, Report, open, verify};
use hansa_ledger::genesis::Genesis;
use hansa_ledger_store::{OpenOptions, SledStore};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// What a compaction did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// What the new database holds.
    pub report: Report,
    /// Bytes on disk before.
    pub bytes_before: u64,
    /// Bytes on disk after.
    pub bytes_after: u64,
}

/// Writes the store of `directory` anew beside it, verifies the new one and lets it take the old one's place. Whenever it
/// ends, whatever ended it, a whole store is in the directory or, in the instant between two renames, beside it under a
/// name that ends in `.before-compact`.
///
/// # Errors
/// Whatever is not sound; the old store is as it was.
pub fn compact(
    directory: &Path,
    genesis: &Genesis,
    progress: Progress<'_>,
) -> Result<Compaction, ArchiveError> {
    let (fresh, before) = (beside(directory, "compacting"), beside(directory, "before-compact"));
    if fs::exists(&before).map_err(ArchiveError::file("look for", &before))? {
        return Err(ArchiveError::Exists(before));
    }
    // What an earlier attempt left is not whole.
    remove(&fresh)?;
    let bytes_before = bytes_under(directory)?;
    let from = open(directory)?;
    let to = SledStore::open(&fresh, OpenOptions { create_new: true, ..OpenOptions::default() })?;
    copy_decided(&from, &to, progress)?;
    copy_undecided(&from, &to)?;
    let report = verify(&to, genesis, progress)?;
    drop(to);
    // The lock is on a file in the directory and moves with it: until the old store is closed no node starts on it.
    rename(directory, &before)?;
    rename(&fresh, directory)?;
    drop(from);
    // The new one opens before the old one goes.
    drop(open(directory)?);
    remove(&before)?;
    Ok(Compaction { report, bytes_before, bytes_after: bytes_under(directory)? })
}

fn beside(directory: &Path, suffix: &str) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(suffix);
    directory.with_file_name(name)
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), ArchiveError> {
    fs::rename(from, to).map_err(ArchiveError::file("rename", from))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(ArchiveError::file("fsync", parent))
}

pub(crate) fn remove(directory: &Path) -> Result<(), ArchiveError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(ArchiveError::file("remove", directory)),
    }
}

fn bytes_under(directory: &Path) -> Result<u64, ArchiveError> {
    let mut bytes = 0u64;
    for entry in fs::read_dir(directory).map_err(ArchiveError::file("read", directory))? {
        let entry = entry.map_err(ArchiveError::file("read", directory))?;
        let metadata = entry.metadata().map_err(ArchiveError::file("read", directory))?;
        let more = if metadata.is_dir() { bytes_under(&entry.path())? } else { metadata.len() };
        bytes = bytes.saturating_add(more);
    }
    Ok(bytes)
}
