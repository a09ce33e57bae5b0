//! The file operations that durability hangs on, behind one small trait, so that tests can make each of them fail.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// A step of the database whose failure tests want to see, although it is not a file operation of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineStep {
    /// A batch goes into the database.
    Apply,
    /// The database writes its buffers to the operating system.
    Flush,
}

pub(crate) trait Operations: Send + Sync {
    /// Called before a step of the database; an error stands for the failure of that step.
    fn engine(&self, _step: EngineStep) -> io::Result<()> {
        Ok(())
    }
    /// fsync.
    fn sync_all(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_all()
    }
    /// fdatasync.
    fn sync_data(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_data()
    }
    /// Makes names created or changed in a folder durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    /// Bytes an unprivileged process may still use on the file system of `path`.
    fn bytes_free(&self, path: &Path) -> io::Result<u64> {
        let statistics = rustix::fs::statvfs(path)?;
        Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
    }
}

/// The operating system itself.
pub(crate) struct SystemOperations;

impl Operations for SystemOperations {}

/// Operations that count their fsyncs.
pub(crate) struct Disk {
    operations: Box<dyn Operations>,
    fsyncs: AtomicU64,
}

impl Disk {
    pub(crate) fn new(operations: Box<dyn Operations>) -> Self {
        Self { operations, fsyncs: AtomicU64::new(0) }
    }

    pub(crate) fn fsyncs(&self) -> u64 {
        self.fsyncs.load(Ordering::Relaxed)
    }

    pub(crate) fn restart_count(&self) {
        self.fsyncs.store(0, Ordering::Relaxed);
    }

    pub(crate) fn operations(&self) -> &dyn Operations {
        &*self.operations
    }

    pub(crate) fn sync_all(&self, file: &File, path: &Path) -> io::Result<()> {
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.operations.sync_all(file, path)
    }

    pub(crate) fn sync_data(&self, file: &File, path: &Path) -> io::Result<()> {
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.operations.sync_data(file, path)
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.operations.sync_directory(path)
    }
}
