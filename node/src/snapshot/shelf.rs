//! The folder with this node's snapshots, and with the parts of one that is being fetched.

use super::manifest::{Manifest, Part};
use super::wire::Offer;
use hansa_ledger::id::ChainId;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many snapshots a node keeps: who began to fetch the older one can finish while a newer one is made.
pub const SNAPSHOTS_KEPT: usize = 2;

const MANIFEST: &str = "manifest";
const INCOMING: &str = "incoming";
const HASH_BYTES: usize = 32;

/// The snapshots of a node. Nothing here is fsynced: whatever is not what it should be is dropped, and made or fetched again.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    held: Mutex<BTreeMap<u64, Arc<Held>>>,
}

#[derive(Debug)]
struct Held {
    id: [u8; 32],
    folder: PathBuf,
    manifest: Manifest,
}

impl Shelf {
    /// Opens the folder, or makes it. What was not finished, is damaged or of another federation goes.
    ///
    /// # Errors
    /// When the folder cannot be read or made.
    pub fn open(folder: &Path, chain: ChainId) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut held = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == INCOMING {
                continue;
            }
            let manifest = read_manifest(&path).filter(|manifest| {
                manifest.header.chain == chain && name == manifest.header.height.to_string()
            });
            match manifest {
                Some(manifest) => {
                    let one = Held { id: manifest.id(), folder: path, manifest };
                    held.insert(one.manifest.header.height, Arc::new(one));
                }
                None => remove(&path)?,
            }
        }
        let shelf = Self { folder: folder.to_owned(), held: Mutex::new(held) };
        shelf.drop_surplus();
        Ok(shelf)
    }

    /// What there is for others, newest first.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        self.lock().iter().rev().map(|(height, held)| Offer { height: *height, id: held.id }).collect()
    }

    /// The lowest height that there is a snapshot of, once there are as many as are kept: who fetches it needs the blocks above.
    #[must_use]
    pub fn lowest(&self) -> Option<u64> {
        let held = self.lock();
        if held.len() < SNAPSHOTS_KEPT { None } else { held.keys().next().copied() }
    }

    /// The manifest of the snapshot with this content.
    #[must_use]
    pub fn manifest(&self, id: &[u8; 32]) -> Option<Vec<u8>> {
        Some(self.find(id)?.manifest.encode())
    }

    /// A part of the snapshot with this content. If it is not what the manifest says, the whole snapshot is dropped.
    #[must_use]
    pub fn part(&self, id: &[u8; 32], index: u32) -> Option<Vec<u8>> {
        let held = self.find(id)?;
        let part = held.manifest.content.parts.get(index as usize)?;
        let read = read_part(&part_path(&held.folder, index), part);
        if read.is_none() {
            let height = held.manifest.header.height;
            // While it was read it may have become one too many.
            if self.lock().remove(&height).is_some() {
                tracing::warn!(
                    height,
                    index,
                    "a snapshot is damaged and dropped; the next one is made in time"
                );
                drop_folder(&held.folder);
            }
        }
        read
    }

    fn find(&self, id: &[u8; 32]) -> Option<Arc<Held>> {
        self.lock().values().find(|held| held.id == *id).cloned()
    }

    /// An empty folder to make a snapshot of this height in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn aside(&self, height: u64) -> io::Result<PathBuf> {
        let aside = self.folder.join(format!("{height}.making"));
        remove(&aside)?;
        fs::create_dir(&aside)?;
        Ok(aside)
    }

    /// Takes a folder with all parts of a snapshot in, and lets the oldest go.
    ///
    /// # Errors
    /// When the files cannot be written or moved.
    pub(super) fn adopt(&self, aside: &Path, manifest: Manifest) -> io::Result<()> {
        let height = manifest.header.height;
        let mut bytes = manifest.encode();
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        fs::write(aside.join(MANIFEST), bytes)?;
        let folder = self.folder.join(height.to_string());
        self.lock().remove(&height);
        remove(&folder)?;
        fs::rename(aside, &folder)?;
        let held = Held { id: manifest.id(), folder, manifest };
        self.lock().insert(height, Arc::new(held));
        self.drop_surplus();
        Ok(())
    }

    fn drop_surplus(&self) {
        let mut held = self.lock();
        while held.len() > SNAPSHOTS_KEPT {
            let Some((_, oldest)) = held.pop_first() else { break };
            drop_folder(&oldest.folder);
        }
    }

    /// The folder for the parts of the snapshot with this content while it is fetched. Parts of others go.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn incoming(&self, id: &[u8; 32]) -> io::Result<PathBuf> {
        let incoming = self.folder.join(INCOMING);
        let folder = incoming.join(hex::encode(id));
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&incoming)? {
            let path = entry?.path();
            if path != folder {
                remove(&path)?;
            }
        }
        Ok(folder)
    }

    /// Drops whatever was fetched.
    pub(super) fn drop_incoming(&self) {
        drop_folder(&self.folder.join(INCOMING));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a part lies.
pub(super) fn part_path(folder: &Path, index: u32) -> PathBuf {
    folder.join(format!("{index:05}"))
}

/// The bytes of a part, if they are those of the manifest.
pub(super) fn read_part(path: &Path, part: &Part) -> Option<Vec<u8>> {
    let is_long = fs::metadata(path).is_ok_and(|metadata| metadata.len() == u64::from(part.bytes));
    let bytes = if is_long { fs::read(path).ok()? } else { return None };
    is_part(&bytes, part).then_some(bytes)
}

/// Whether these are the bytes of a part.
pub(super) fn is_part(bytes: &[u8], part: &Part) -> bool {
    bytes.len() == part.bytes as usize && *blake3::hash(bytes).as_bytes() == part.hash
}

fn read_manifest(folder: &Path) -> Option<Manifest> {
    let bytes = fs::read(folder.join(MANIFEST)).ok()?;
    let (manifest, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
    if blake3::hash(manifest).as_bytes() != hash {
        return None;
    }
    Manifest::decode(manifest).ok()
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn drop_folder(folder: &Path) {
    if let Err(error) = remove(folder) {
        tracing::warn!(folder = %folder.display(), %error, "an old snapshot could not be removed");
    }
}
