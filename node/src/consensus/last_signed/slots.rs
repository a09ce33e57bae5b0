//! Where the record lies: in a file, or in a simulation on a disk that fails.

use super::{SLOT_BYTES, folder_of, set_aside};
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Two slots of [`SLOT_BYTES`] each.
pub trait Slots: Debug + Send {
    /// The file's name, for what a person is told.
    fn path(&self) -> &Path;

    /// What both slots hold, shorter if the file is; `None` if there is no file.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Makes the file anew with this content, durably and as a whole: what was there before stays until all of it is.
    ///
    /// # Errors
    /// What the system says.
    fn create(&mut self, content: &[u8]) -> io::Result<()>;

    /// Writes one slot at `offset`. It outlives the process, and is not waited for the disk.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, offset: u64, slot: &[u8]) -> io::Result<()>;

    /// Puts a damaged file out of the way, durably.
    ///
    /// # Errors
    /// What the system says.
    fn set_aside(&mut self) -> io::Result<()>;
}

/// A file.
#[derive(Debug)]
pub(super) struct FileSlots {
    path: PathBuf,
    file: Option<File>,
}

impl FileSlots {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }
}

impl Slots for FileSlots {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(2 * SLOT_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Written aside, synced, renamed, the folder synced.
    fn create(&mut self, content: &[u8]) -> io::Result<()> {
        let folder = folder_of(&self.path);
        fs::create_dir_all(folder)?;
        let aside = self.path.with_extension("new");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&aside)?;
        file.write_all_at(content, 0)?;
        file.sync_all()?;
        fs::rename(&aside, &self.path)?;
        File::open(folder)?.sync_all()?;
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, offset: u64, slot: &[u8]) -> io::Result<()> {
        let file = self.file.as_ref().ok_or_else(|| io::Error::other("the file was not made yet"))?;
        file.write_all_at(slot, offset)
    }

    fn set_aside(&mut self) -> io::Result<()> {
        set_aside(&self.path).map(drop)
    }
}
