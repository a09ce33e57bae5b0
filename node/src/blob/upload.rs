//! One blob on its way in: a temporary file, hashed and its tree built while it is written.

use super::{BlobError, BlobHash, storage};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The folder, inside the store's, for files that are not whole. All in it is removed at start.
pub(super) const TEMPORARY: &str = "temporary";

/// Temporary files are removed when this is dropped.
pub(super) struct Upload {
    content: NamedTempFile,
    outboard: NamedTempFile,
    encoder: bao::encode::Encoder<File>,
    size: u64,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Upload").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A whole blob with its hash, on disk but not yet in its place.
pub(super) struct Finished {
    content: NamedTempFile,
    outboard: NamedTempFile,
    pub(super) hash: BlobHash,
    pub(super) size: u64,
}

impl Upload {
    pub(super) fn begin(folder: &Path) -> Result<Self, BlobError> {
        let folder = folder.join(TEMPORARY);
        let failed = |error| storage(&folder, error);
        let content = NamedTempFile::new_in(&folder).map_err(failed)?;
        let outboard = NamedTempFile::new_in(&folder).map_err(failed)?;
        let encoder = bao::encode::Encoder::new_outboard(outboard.reopen().map_err(failed)?);
        Ok(Self { content, outboard, encoder, size: 0 })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Self, BlobError> {
        let path = self.content.path().to_owned();
        self.content.write_all(bytes).map_err(|error| storage(&path, error))?;
        self.encoder.write_all(bytes).map_err(|error| storage(&path, error))?;
        self.size = self.size.saturating_add(bytes.len() as u64);
        Ok(self)
    }

    pub(super) fn finish(mut self) -> Result<Finished, BlobError> {
        let path = self.content.path().to_owned();
        let failed = |error| storage(&path, error);
        let hash = *self.encoder.finalize().map_err(failed)?.as_bytes();
        self.outboard.as_file().sync_all().map_err(failed)?;
        self.content.as_file().sync_all().map_err(failed)?;
        Ok(Finished { content: self.content, outboard: self.outboard, hash, size: self.size })
    }
}

impl Finished {
    /// Renames tree, then content, into place; both are durable when this returns.
    pub(super) fn keep(self, content: &Path, outboard: &Path) -> Result<(), BlobError> {
        let folder: PathBuf = content.parent().map(Path::to_owned).unwrap_or_default();
        if !folder.exists() {
            fs::create_dir(&folder).map_err(|error| storage(&folder, error))?;
            sync_folder(folder.parent().unwrap_or(&folder))?;
        }
        self.outboard.persist(outboard).map_err(|failed| storage(outboard, failed.error))?;
        self.content.persist(content).map_err(|failed| storage(content, failed.error))?;
        sync_folder(&folder)
    }
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| storage(folder, error))
}
