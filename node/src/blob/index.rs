//! Who keeps which blob until when: one JSON file, replaced by rename.

use super::upload::{TEMPORARY, sync_folder};
use super::{BlobError, BlobHash, storage};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

const FILE: &str = "index.json";

/// What is known of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The organisations that brought it and whose quota it counts against.
    pub(super) owners: BTreeSet<[u8; 32]>,
    /// The leases in whose name a provider brought it: what one lease may leave behind is limited.
    pub(super) leases: BTreeSet<[u8; 32]>,
    /// In bytes.
    pub(super) size: u64,
    /// When it first came, in milliseconds since 1970.
    pub(super) put_ms: u64,
    /// Not dropped before, in milliseconds since 1970.
    pub(super) kept_until_ms: u64,
    /// Not dropped while above zero.
    pub(super) pins: u32,
}

impl Entry {
    pub(super) fn new(size: u64, put_ms: u64) -> Self {
        Self {
            owners: BTreeSet::new(),
            leases: BTreeSet::new(),
            size,
            put_ms,
            kept_until_ms: put_ms,
            pins: 0,
        }
    }
}

/// The index in memory.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) blobs: BTreeMap<BlobHash, Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexFile {
    version: u32,
    blobs: BTreeMap<String, EntryFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFile {
    owners: Vec<String>,
    /// Absent in files written before leases were limited.
    #[serde(default)]
    leases: Vec<String>,
    size: u64,
    put_ms: u64,
    kept_until_ms: u64,
    pins: u32,
}

impl Index {
    /// Reads the index, or starts one in a folder that has never held a blob.
    pub(super) fn load(folder: &Path) -> Result<Self, BlobError> {
        let temporary = folder.join(TEMPORARY);
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                fs::create_dir_all(&temporary).map_err(|error| storage(&temporary, error))?;
                decode(&bytes).map_err(|reason| BlobError::Index { path, reason })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // The first start leaves an index behind, so a store without one has lost it. Going on would drop its blobs.
                if holds_blobs(folder) {
                    let reason = "it is missing beside blobs".to_owned();
                    return Err(BlobError::Index { path, reason });
                }
                fs::create_dir_all(&temporary).map_err(|error| storage(&temporary, error))?;
                let index = Self::default();
                index.save(folder)?;
                Ok(index)
            }
            Err(error) => Err(storage(&path, error)),
        }
    }

    /// Replaces the file; durable when this returns.
    pub(super) fn save(&self, folder: &Path) -> Result<(), BlobError> {
        let path = folder.join(FILE);
        let failed = |error| storage(&path, error);
        let bytes =
            serde_json::to_vec_pretty(&self.file()).map_err(|error| failed(std::io::Error::other(error)))?;
        let mut file = tempfile::NamedTempFile::new_in(folder.join(TEMPORARY)).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        sync_folder(folder)
    }

    fn file(&self) -> IndexFile {
        let entry = |(hash, entry): (&BlobHash, &Entry)| {
            let owners = entry.owners.iter().map(hex::encode).collect();
            let leases = entry.leases.iter().map(hex::encode).collect();
            let Entry { size, put_ms, kept_until_ms, pins, .. } = *entry;
            (hex::encode(hash), EntryFile { owners, leases, size, put_ms, kept_until_ms, pins })
        };
        IndexFile { version: 1, blobs: self.blobs.iter().map(entry).collect() }
    }
}

fn decode(bytes: &[u8]) -> Result<Index, String> {
    let file: IndexFile = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if file.version != 1 {
        return Err(format!("version {} is not known to this program", file.version));
    }
    let mut index = Index::default();
    for (hash, entry) in file.blobs {
        let EntryFile { owners, leases, size, put_ms, kept_until_ms, pins } = entry;
        let owners = owners.iter().map(|owner| bytes_of(owner)).collect::<Result<_, _>>()?;
        let leases = leases.iter().map(|lease| bytes_of(lease)).collect::<Result<_, _>>()?;
        let entry = Entry { owners, leases, size, put_ms, kept_until_ms, pins };
        index.blobs.insert(bytes_of(&hash)?, entry);
    }
    Ok(index)
}

fn bytes_of(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| format!("`{text}` is not 64 hexadecimal characters"))?;
    Ok(bytes)
}

/// Whether there is any two-character folder, as blobs lie in.
fn holds_blobs(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().len() == 2 && entry.path().is_dir())
    })
}
