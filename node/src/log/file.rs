//! One log on disk: a head that says whose it is and whether it has ended, and its bytes.

use super::LogKey;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Begins the file.
const MAGIC: &[u8; 16] = b"hansa job log 1\n";

/// Where the log's bytes begin.
const HEAD_BYTES: u64 = 64;

/// What stands at the beginning of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The organisation on whose account it is.
    pub owner: [u8; 32],
    /// Whether the provider said that nothing more comes.
    pub ended: bool,
    /// Whether bytes had to be left out.
    pub cut: bool,
}

impl Head {
    fn encode(&self) -> [u8; HEAD_BYTES as usize] {
        let mut bytes = [0; HEAD_BYTES as usize];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..48].copy_from_slice(&self.owner);
        bytes[48] = u8::from(self.ended);
        bytes[49] = u8::from(self.cut);
        bytes
    }

    fn decode(bytes: &[u8; HEAD_BYTES as usize]) -> Option<Self> {
        let owner = bytes[16..48].try_into().ok()?;
        let head = Self { owner, ended: bytes[48] == 1, cut: bytes[49] == 1 };
        (head.encode() == *bytes).then_some(head)
    }
}

/// The file of a log.
pub(super) fn path(folder: &Path, (lease, job): &LogKey) -> PathBuf {
    folder.join(format!("{}-{job}", hex::encode(lease)))
}

/// Reads what logs there are, each with how many bytes are held and when it was last written, in milliseconds since 1970. What is
/// no log is removed: the folder is the store's own.
pub(super) fn load(folder: &Path) -> io::Result<BTreeMap<LogKey, (Head, u64, u64)>> {
    fs::create_dir_all(folder)?;
    let mut logs = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match read_head(folder, &path)? {
            Some((key, log)) => drop(logs.insert(key, log)),
            None => fs::remove_file(&path)?,
        }
    }
    Ok(logs)
}

fn read_head(folder: &Path, file: &Path) -> io::Result<Option<(LogKey, (Head, u64, u64))>> {
    let name = file.file_name().and_then(|name| name.to_str());
    let key = name.and_then(|name| {
        let (lease, job) = name.split_once('-')?;
        let key = (hex::decode(lease).ok()?.try_into().ok()?, job.parse().ok()?);
        // One name for each log, and no other.
        (path(folder, &key) == file).then_some(key)
    });
    let Some(key) = key else { return Ok(None) };
    let mut opened = File::open(file)?;
    let mut bytes = [0; HEAD_BYTES as usize];
    if let Err(error) = opened.read_exact(&mut bytes) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let metadata = opened.metadata()?;
    let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = written.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Ok(Head::decode(&bytes).map(|head| (key, (head, metadata.len().saturating_sub(HEAD_BYTES), written))))
}

/// Writes bytes behind what is held, then the head; leaves the file as it was if that fails.
pub(super) fn write(path: &Path, head: &Head, at: u64, bytes: &[u8], new: bool) -> io::Result<()> {
    let file = File::options().create(new).truncate(new).write(true).open(path)?;
    let begins = HEAD_BYTES.saturating_add(at);
    // The bytes first: a head that says that the log has ended must not stand before its last bytes.
    let written = file.write_all_at(bytes, begins).and_then(|()| file.write_all_at(&head.encode(), 0));
    if written.is_err() {
        // What cannot be cut off is overwritten by the next piece that is taken.
        let _ = file.set_len(begins);
    }
    written
}

/// Fills `bytes` from the log at `offset`.
pub(super) fn read(path: &Path, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    File::open(path)?.read_exact_at(bytes, HEAD_BYTES.saturating_add(offset))
}

/// The free space of the disk below a folder, in bytes; none where it cannot be told.
pub(super) fn bytes_free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
