//! What stays and what goes.

use super::index::{Entry, Index};
use super::upload::TEMPORARY;
use super::{BlobError, BlobHash, BlobStore, Inner, State, storage};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// What a sweep dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many blobs.
    pub blobs: usize,
    /// How many bytes they had.
    pub bytes: u64,
}

impl BlobStore {
    /// Keeps a blob until as many [`BlobStore::unpin`] follow. Writes the index.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], or what the disk says.
    pub fn pin(&self, hash: &BlobHash) -> Result<(), BlobError> {
        self.inner.change(hash, |entry| entry.pins = entry.pins.saturating_add(1))
    }

    /// Takes one pin away. Writes the index.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], or what the disk says.
    pub fn unpin(&self, hash: &BlobHash) -> Result<(), BlobError> {
        self.inner.change(hash, |entry| entry.pins = entry.pins.saturating_sub(1))
    }

    /// Keeps a blob at least until `kept_until_ms` (since 1970), such as a lease's end with its retention. Writes the index.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], or what the disk says.
    pub fn keep_until(&self, hash: &BlobHash, kept_until_ms: u64) -> Result<(), BlobError> {
        self.inner.change(hash, |entry| {
            entry.kept_until_ms = entry.kept_until_ms.max(kept_until_ms);
        })
    }

    /// Drops every blob that is not pinned, not `named` by an open request or lease, and whose grace is over. A named blob's
    /// grace starts again. To be called off the network's threads: it writes to disk.
    ///
    /// # Errors
    /// What the disk says; a blob whose files could not be removed is forgotten all the same, and its files go at the next start.
    pub fn sweep(&self, now_ms: u64, named: &dyn Fn(&BlobHash) -> bool) -> Result<Swept, BlobError> {
        let inner = &self.inner;
        let mut state = inner.lock();
        let grace_end = now_ms.saturating_add(inner.config.grace_ms);
        let mut changed = false;
        let mut dropped = Vec::new();
        for (hash, entry) in &mut state.index.blobs {
            if named(hash) {
                changed |= entry.kept_until_ms < grace_end;
                entry.kept_until_ms = entry.kept_until_ms.max(grace_end);
            } else if entry.pins == 0 && entry.kept_until_ms <= now_ms {
                dropped.push((*hash, entry.clone()));
            }
        }
        for (hash, _) in &dropped {
            state.index.blobs.remove(hash);
        }
        if (changed || !dropped.is_empty())
            && let Err(error) = state.index.save(&inner.config.folder)
        {
            state.index.blobs.extend(dropped);
            return Err(error);
        }
        // Files go after the entries: a crash between leaves files without an entry, which the next start removes.
        let mut swept = Swept::default();
        for (hash, entry) in dropped {
            swept.blobs += 1;
            swept.bytes = swept.bytes.saturating_add(entry.size);
            inner.remove_files(&hash)?;
        }
        Ok(swept)
    }
}

impl Inner {
    fn change(&self, hash: &BlobHash, change: impl FnOnce(&mut Entry)) -> Result<(), BlobError> {
        let mut guard = self.lock();
        let State { index, .. } = &mut *guard;
        let entry = index.blobs.get_mut(hash);
        let entry = entry.ok_or_else(|| BlobError::NotFound { hash: hex::encode(hash) })?;
        let before = entry.clone();
        change(entry);
        if let Err(error) = index.save(&self.config.folder) {
            index.blobs.insert(*hash, before);
            return Err(error);
        }
        Ok(())
    }

    fn remove_files(&self, hash: &BlobHash) -> Result<(), BlobError> {
        for path in [self.blob_path(hash), self.outboard_path(hash)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(storage(&path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Brings folder and index together after whatever happened before.
    pub(super) fn tidy(&self) -> Result<(), BlobError> {
        let folder = &self.config.folder;
        for file in list(&folder.join(TEMPORARY))? {
            fs::remove_file(&file).map_err(|error| storage(&file, error))?;
        }
        let mut state = self.lock();
        if self.drop_lost(&mut state.index) {
            state.index.save(folder)?;
        }
        let mut wanted = BTreeSet::new();
        for hash in state.index.blobs.keys() {
            let (content, outboard) = (self.blob_path(hash), self.outboard_path(hash));
            if !outboard.exists() {
                rebuild_outboard(&content, &outboard, &folder.join(TEMPORARY))
                    .map_err(|error| storage(&outboard, error))?;
            }
            wanted.extend([content, outboard]);
        }
        for group in list(folder)?.into_iter().filter(|path| path.is_dir()) {
            if group.file_name().is_none_or(|name| name.len() != 2) {
                continue;
            }
            for file in list(&group)?.into_iter().filter(|file| !wanted.contains(file)) {
                fs::remove_file(&file).map_err(|error| storage(&file, error))?;
            }
        }
        Ok(())
    }

    /// Forgets entries whose file is gone or has another size; says whether there were any.
    fn drop_lost(&self, index: &mut Index) -> bool {
        let before = index.blobs.len();
        index.blobs.retain(|hash, entry| {
            let kept = fs::metadata(self.blob_path(hash)).is_ok_and(|file| file.len() == entry.size);
            if !kept {
                tracing::warn!(blob = %hex::encode(hash), "a blob in the index is missing or cut on disk; it is dropped");
            }
            kept
        });
        index.blobs.len() != before
    }
}

fn rebuild_outboard(content: &Path, outboard: &Path, temporary: &Path) -> io::Result<()> {
    let file = tempfile::NamedTempFile::new_in(temporary)?;
    let mut encoder = bao::encode::Encoder::new_outboard(file.reopen()?);
    io::copy(&mut File::open(content)?, &mut encoder)?;
    encoder.finalize()?;
    file.as_file().sync_all()?;
    file.persist(outboard)?;
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<std::path::PathBuf>, BlobError> {
    let failed = |error| storage(folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    Ok(paths)
}
