//! Move a damaged store away, so that the node can rebuild from its peers.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{error::StoreError, store::Tip, witness};

const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Renames `directory` to `directory.damaged-N`, N the first free number, and returns the new place. Nothing is deleted: what
/// lies there can be examined, and [`witness_tip`] of it says up to which height this node may have voted.
///
/// # Errors
/// `Locked` if a process has the store open, `Io` if the rename fails.
pub fn quarantine(directory: &Path) -> Result<PathBuf, StoreError> {
    // Held until the rename is done; the lock moves with the folder.
    let _lock = lock(directory)?;
    for number in 1..u32::MAX {
        let mut name = directory.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".damaged-{number}"));
        let target = directory.with_file_name(name);
        if fs::symlink_metadata(&target).is_ok() {
            continue;
        }
        fs::rename(directory, &target).map_err(|error| StoreError::io("rename", directory, error))?;
        let parent = parent(directory);
        File::open(&parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| StoreError::io("fsync", &parent, error))?;
        return Ok(target);
    }
    Err(StoreError::io("find a free name beside", directory, std::io::Error::other("all are taken")))
}

/// The tip that the witness of a store remembers, without opening the store: a node that rebuilds after quarantine must not
/// vote at or below this height.
///
/// # Errors
/// `Doubt` if the witness is damaged, `Io` if it cannot be read.
pub fn witness_tip(directory: &Path) -> Result<Option<Tip>, StoreError> {
    Ok(witness::read_tip(directory)?.flatten())
}

/// Takes the lock file of a data directory; the lock lives as long as the file is open.
pub(crate) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| StoreError::io("open the lock file", &path, error))?;
    // A child that this process is just starting shares the file until it runs its own program, so one look is not enough.
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path, error)),
        }
    }
    Err(StoreError::Locked { directory: directory.to_path_buf() })
}

pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}
