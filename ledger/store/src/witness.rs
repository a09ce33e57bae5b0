//! The witness: a small file beside the database that remembers the tip the database must not forget.
//!
//! Two slots of 4 KiB are written in turn, each with a sequence number and a checksum, so that a write torn by a power cut
//! leaves the other slot, which is one commit older. The database is durable before the witness is written, so a sound
//! database is at the witness or one height above it.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    error::{REBUILD, StoreError},
    operations::Disk,
    store::Tip,
};

/// Names the engine and the layout of its keys; a store written by another is refused.
pub(crate) const ENGINE_ID: [u8; 16] = *b"hansa-sled-0.34a";

const MAGIC: [u8; 8] = *b"hansawit";
const SLOT_BYTES: usize = 4096;
const CHECKSUM_BYTES: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Record {
    magic: [u8; 8],
    engine: [u8; 16],
    sequence: u64,
    tip: Option<Tip>,
}

/// The open witness file.
pub(crate) struct Witness {
    file: File,
    path: PathBuf,
    record: Record,
}

impl Witness {
    pub(crate) fn path(directory: &Path) -> PathBuf {
        directory.join("witness")
    }

    /// Creates the file with no tip: written aside, synced, renamed, the folder synced.
    pub(crate) fn create(directory: &Path, disk: &Disk) -> io::Result<Self> {
        let (path, aside) = (Self::path(directory), directory.join("witness.new"));
        let record = Record { magic: MAGIC, engine: ENGINE_ID, sequence: 0, tip: None };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&aside)?;
        let mut bytes = vec![0; SLOT_BYTES.saturating_mul(2)];
        let slot = encode(&record)?;
        bytes[..slot.len()].copy_from_slice(&slot);
        disk.operations().write_at(&file, &bytes, 0)?;
        disk.sync_all(&file, &aside)?;
        disk.operations().rename(&aside, &path)?;
        disk.sync_directory(directory)?;
        Ok(Self { file, path, record })
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>, StoreError> {
        let path = Self::path(directory);
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open the witness", &path, error)),
        };
        let record = read(&path)?;
        Ok(Some(Self { file, path, record }))
    }

    pub(crate) fn tip(&self) -> Option<Tip> {
        self.record.tip
    }

    /// Makes `tip` durable in the older slot.
    pub(crate) fn write(&mut self, tip: Tip, disk: &Disk) -> io::Result<()> {
        let sequence = self.record.sequence.saturating_add(1);
        let record = Record { magic: MAGIC, engine: ENGINE_ID, sequence, tip: Some(tip) };
        let offset = if sequence.is_multiple_of(2) { 0 } else { SLOT_BYTES as u64 };
        disk.operations().write_at(&self.file, &encode(&record)?, offset)?;
        disk.sync_data(&self.file, &self.path)?;
        self.record = record;
        Ok(())
    }
}

/// The tip in the witness of `directory`, without opening the database: `None` if there is no witness.
pub(crate) fn read_tip(directory: &Path) -> Result<Option<Option<Tip>>, StoreError> {
    let path = Witness::path(directory);
    if fs::exists(&path).map_err(|error| StoreError::io("look for the witness", &path, error))? {
        Ok(Some(read(&path)?.tip))
    } else {
        Ok(None)
    }
}

fn read(path: &Path) -> Result<Record, StoreError> {
    let mut bytes = Vec::new();
    // A witness is 8 KiB; whatever is longer is not one, and is not read into memory.
    let limit = (SLOT_BYTES as u64).saturating_mul(2);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| StoreError::io("read the witness", path, error))?;
    bytes.resize(SLOT_BYTES.saturating_mul(2), 0);
    let (first, second) = bytes.split_at(SLOT_BYTES);
    let record = [first, second].into_iter().filter_map(decode).max_by_key(|record| record.sequence);
    let record = record.ok_or_else(|| StoreError::Doubt {
        what: format!("both slots of the witness `{}` are damaged", path.display()),
        next: REBUILD,
    })?;
    if record.engine != ENGINE_ID {
        return Err(StoreError::Doubt {
            what: format!(
                "the witness was written by `{}`, this is `{}`",
                String::from_utf8_lossy(&record.engine),
                String::from_utf8_lossy(&ENGINE_ID)
            ),
            next: "start the version of the program that wrote it, or run `hansa node rebuild` to rebuild from peers",
        });
    }
    Ok(record)
}

fn encode(record: &Record) -> io::Result<Vec<u8>> {
    let payload = borsh::to_vec(record).map_err(|error| io::Error::other(error.to_string()))?;
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut slot = length.to_le_bytes().to_vec();
    slot.extend_from_slice(&payload);
    slot.extend_from_slice(blake3::hash(&slot).as_bytes());
    Ok(slot)
}

fn decode(slot: &[u8]) -> Option<Record> {
    let length = u32::from_le_bytes(slot.first_chunk::<4>().copied()?) as usize;
    let end = length.checked_add(4)?;
    let checksum = slot.get(end..end.checked_add(CHECKSUM_BYTES)?)?;
    if blake3::hash(slot.get(..end)?).as_bytes() != checksum {
        return None;
    }
    let record = Record::try_from_slice(slot.get(4..end)?).ok()?;
    (record.magic == MAGIC).then_some(record)
}
