//! Blobs by BLAKE3 hash on disk: job inputs, bundles and outputs, bounded per blob and per organisation.
//!
//! A blob is written to a temporary file while it is hashed, fsynced, renamed into place beside its verification tree, and only
//! then entered in the index, itself replaced by rename. So after a crash a blob is there and counted, or it is not there.

mod account;
mod index;
mod sweep;
#[cfg(test)]
mod tests;
mod upload;

pub use account::{Account, LEASE_OUTPUT_BYTES_MAX, LEASE_OUTPUTS_MAX, OWNER_BLOBS_MAX};
pub use hansa_node_api::peer::BlobHash;
pub use sweep::Swept;

use hansa_node_api::peer::slice;
use index::{Entry, Index};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use upload::Upload;

/// The most blobs one node keeps.
pub const BLOBS_MAX: usize = 16_384;

/// The most blobs that arrive piece by piece at the same time.
pub const UPLOADS_MAX: usize = 32;

/// How long an upload may rest before another may take its place, in milliseconds.
pub const UPLOAD_REST_MS_MAX: u64 = 10 * 60 * 1_000;

/// How many bytes are read from a stream before they are hashed and written.
const READ_BYTES: usize = 256 * 1024;

/// Where the store is and what it keeps.
#[derive(Clone, Debug)]
pub struct BlobStoreConfig {
    /// The folder; made when missing.
    pub folder: PathBuf,
    /// The largest blob, in bytes.
    pub blob_bytes_max: u64,
    /// The most that one organisation keeps here, in bytes.
    pub owner_bytes_max: u64,
    /// How long a blob that nothing names stays, in milliseconds, counted from when it came or was last named.
    pub grace_ms: u64,
}

/// Why a blob was not stored or not found.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Over the size limit.
    #[error("the blob is larger than the {bytes_max} bytes this node keeps; split it")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The owner's quota does not allow it.
    #[error(
        "the organisation already keeps {used} bytes here, and its quota is {bytes_max}; wait until old blobs are dropped or ask the member"
    )]
    QuotaExceeded {
        /// What it keeps, with uploads under way, in bytes.
        used: u64,
        /// The quota in bytes.
        bytes_max: u64,
    },
    /// The owner keeps as many blobs as one may.
    #[error(
        "the organisation already keeps {count} blobs here, as many as one may; wait until old blobs are dropped or send fewer files"
    )]
    OwnerFull {
        /// How many it keeps, with uploads under way.
        count: usize,
    },
    /// The provider of a lease has left as much behind as one lease may.
    #[error(
        "the provider has put {count} blobs of {used} bytes in the name of this lease, and the limits are {LEASE_OUTPUTS_MAX} blobs and {LEASE_OUTPUT_BYTES_MAX} bytes; let the job leave less behind"
    )]
    LeaseFull {
        /// How many, with uploads under way.
        count: usize,
        /// Their size in bytes.
        used: u64,
    },
    /// The content has another hash.
    #[error("the content has hash {found}, not {expected}; it was changed on its way or is another file")]
    HashMismatch {
        /// The hash announced, in hexadecimal.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// The disk is full.
    #[error("the node's disk is full; its operator has to make room")]
    DiskFull,
    /// Not here.
    #[error("no blob {hash} is kept here")]
    NotFound {
        /// The hash, in hexadecimal.
        hash: String,
    },
    /// As many blobs or uploads as the node takes.
    #[error("the node takes no more blobs at the moment; try again later")]
    Busy,
    /// A piece that does not follow the one before, or another size than announced.
    #[error("the piece does not continue the upload")]
    OutOfOrder,
    /// The sender's stream broke.
    #[error("the content could not be read: {0}")]
    Stream(io::Error),
    /// The index does not match the folder.
    #[error(
        "the blob index `{path}` cannot be used: {reason}; restore it, or move the whole folder away to start empty"
    )]
    Index {
        /// The index file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// Something else on disk.
    #[error("the blob store cannot use `{path}`: {error}")]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// BLAKE3 of the content.
    pub hash: BlobHash,
    /// Its size in bytes.
    pub size: u64,
}

/// How far an upload by pieces is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where the next piece belongs.
    pub next_offset: u64,
    /// Whether the blob is whole, verified and kept.
    pub complete: bool,
}

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: BlobStoreConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    index: Index,
    uploads: BTreeMap<(BlobHash, [u8; 32]), Partial>,
}

/// An upload by pieces. While a piece is being written, `upload` is out.
#[derive(Debug)]
struct Partial {
    upload: Option<Upload>,
    total: u64,
    touched_ms: u64,
    /// The lease in whose name it began.
    lease: Option<[u8; 32]>,
}

impl BlobStore {
    /// Opens the store in its folder: removes what a crash left half done, drops entries whose file is gone.
    ///
    /// # Errors
    /// [`BlobError::Index`] when the index is damaged or missing beside blobs, [`BlobError::Storage`] when the folder cannot be
    /// used.
    pub fn new(config: BlobStoreConfig) -> Result<Self, BlobError> {
        let index = Index::load(&config.folder)?;
        let state = Mutex::new(State { index, uploads: BTreeMap::new() });
        let store = Self { inner: Arc::new(Inner { config, state }) };
        store.inner.tidy()?;
        Ok(store)
    }

    /// Stores what the stream gives on the account of `owner`. `expected` is what the sender says its hash is; the stream is
    /// not read when the owner keeps that blob here already. Another owner of the same content sends it all the same: an account
    /// gives the right to read, so it is opened by the content alone and never by its hash.
    ///
    /// # Errors
    /// As [`BlobError`]; nothing of a refused blob is kept.
    pub async fn put(
        &self,
        owner: [u8; 32],
        expected: Option<BlobHash>,
        mut stream: impl AsyncRead + Unpin,
        now_ms: u64,
    ) -> Result<Stored, BlobError> {
        if let Some(hash) = expected
            && let Some(entry) = self.inner.lock().index.blobs.get(&hash)
            && entry.owners.contains(&owner)
        {
            return Ok(Stored { hash, size: entry.size });
        }
        let inner = self.inner.clone();
        let mut upload = blocking(move || Upload::begin(&inner.config.folder)).await?;
        loop {
            let mut bytes = Vec::with_capacity(READ_BYTES);
            let mut limited = (&mut stream).take(READ_BYTES as u64);
            limited.read_to_end(&mut bytes).await.map_err(BlobError::Stream)?;
            if bytes.is_empty() {
                break;
            }
            let size = upload.size().saturating_add(bytes.len() as u64);
            self.inner.check_size(size)?;
            // Refused as soon as it cannot fit, not after gigabytes have come.
            self.inner.lock().check_quota(&self.inner.config, &Account::of(owner), size)?;
            upload = blocking(move || upload.write(&bytes)).await?;
        }
        let inner = self.inner.clone();
        blocking(move || inner.commit(upload, &Account::of(owner), expected, now_ms)).await
    }

    /// Takes one verified piece of a blob whose whole is `total` bytes. A piece that is not the next one is not an error: the
    /// answer says where to go on, which is 0 for an upload this store does not know (any more).
    ///
    /// # Errors
    /// As [`BlobError`]; the upload is dropped then.
    pub async fn put_piece(
        &self,
        account: Account,
        hash: BlobHash,
        total: u64,
        offset: u64,
        content: Vec<u8>,
        now_ms: u64,
    ) -> Result<Progress, BlobError> {
        let inner = self.inner.clone();
        blocking(move || inner.put_piece(&account, hash, total, offset, &content, now_ms)).await
    }

    /// Opens a blob for reading and gives its size in bytes.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], or what the disk says.
    pub async fn open(&self, hash: &BlobHash) -> Result<(tokio::fs::File, u64), BlobError> {
        let (inner, hash) = (self.inner.clone(), *hash);
        let (file, size) = blocking(move || inner.open(&hash)).await?;
        Ok((tokio::fs::File::from_std(file), size))
    }

    /// Cuts a piece with its proof and gives it with the size of the whole blob. `offset` may be the end.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::OutOfOrder`] for an offset behind the end, or what the disk says.
    pub async fn slice(
        &self,
        hash: &BlobHash,
        offset: u64,
        length: u32,
    ) -> Result<(u64, Vec<u8>), BlobError> {
        let (inner, hash) = (self.inner.clone(), *hash);
        blocking(move || {
            let (content, total) = inner.open(&hash)?;
            if offset > total {
                return Err(BlobError::OutOfOrder);
            }
            let path = inner.outboard_path(&hash);
            let outboard = File::open(&path).map_err(|error| storage(&path, error))?;
            let slice =
                slice::extract(content, outboard, offset, length).map_err(|error| storage(&path, error))?;
            Ok((total, slice))
        })
        .await
    }

    /// The size of a blob in bytes, if it is here.
    #[must_use]
    pub fn size(&self, hash: &BlobHash) -> Option<u64> {
        self.inner.lock().index.blobs.get(hash).map(|entry| entry.size)
    }

    /// Whether a blob is kept here on the account of this organisation.
    #[must_use]
    pub fn owns(&self, owner: &[u8; 32], hash: &BlobHash) -> bool {
        self.inner.lock().index.blobs.get(hash).is_some_and(|entry| entry.owners.contains(owner))
    }

    /// The organisations on whose account a blob is kept here; none if it is not here.
    #[must_use]
    pub fn owners(&self, hash: &BlobHash) -> BTreeSet<[u8; 32]> {
        self.inner.lock().index.blobs.get(hash).map(|entry| entry.owners.clone()).unwrap_or_default()
    }

    /// What an organisation keeps here, in bytes, with its uploads under way.
    #[must_use]
    pub fn used(&self, owner: &[u8; 32]) -> u64 {
        self.inner.lock().used_by(owner).bytes
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state whole: every change is one insert or removal.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn check_size(&self, size: u64) -> Result<(), BlobError> {
        let bytes_max = self.config.blob_bytes_max;
        if size > bytes_max { Err(BlobError::TooLarge { bytes_max }) } else { Ok(()) }
    }

    fn put_piece(
        &self,
        account: &Account,
        hash: BlobHash,
        total: u64,
        offset: u64,
        content: &[u8],
        now_ms: u64,
    ) -> Result<Progress, BlobError> {
        self.check_size(total)?;
        let key = (hash, account.owner);
        let Some(mut upload) = self.take_upload(hash, account, total, now_ms)? else {
            return Ok(Progress { next_offset: total, complete: true });
        };
        if upload.size() != offset {
            let next_offset = upload.size();
            self.give_back(key, upload);
            return Ok(Progress { next_offset, complete: false });
        }
        let written = if offset.saturating_add(content.len() as u64) > total {
            Err(BlobError::OutOfOrder)
        } else {
            upload.write(content)
        };
        upload = match written {
            Ok(upload) => upload,
            Err(error) => {
                self.lock().uploads.remove(&key);
                return Err(error);
            }
        };
        let next_offset = upload.size();
        if next_offset < total {
            self.give_back(key, upload);
            return Ok(Progress { next_offset, complete: false });
        }
        // The reservation goes before the entry comes; the quota is checked again with the entry.
        self.lock().uploads.remove(&key);
        self.commit(upload, account, Some(hash), now_ms)?;
        Ok(Progress { next_offset, complete: true })
    }

    /// Takes the upload out to write to it, or nothing when the owner has the blob here already.
    fn take_upload(
        &self,
        hash: BlobHash,
        account: &Account,
        total: u64,
        now_ms: u64,
    ) -> Result<Option<Upload>, BlobError> {
        let key = (hash, account.owner);
        let mut state = self.lock();
        // Only who brought the content before is told that it is here: for others a hash proves nothing.
        if state.index.blobs.get(&key.0).is_some_and(|entry| entry.owners.contains(&key.1)) {
            return Ok(None);
        }
        if let Some(partial) = state.uploads.get_mut(&key) {
            if partial.total != total {
                return Err(BlobError::OutOfOrder);
            }
            partial.touched_ms = now_ms;
            return partial.upload.take().map(Some).ok_or(BlobError::Busy);
        }
        state.uploads.retain(|_, partial| partial.touched_ms.saturating_add(UPLOAD_REST_MS_MAX) > now_ms);
        if state.uploads.len() >= UPLOADS_MAX {
            return Err(BlobError::Busy);
        }
        state.check_quota(&self.config, account, total)?;
        let upload = Upload::begin(&self.config.folder)?;
        state.uploads.insert(key, Partial { upload: None, total, touched_ms: now_ms, lease: account.lease });
        Ok(Some(upload))
    }

    fn give_back(&self, key: (BlobHash, [u8; 32]), upload: Upload) {
        if let Some(partial) = self.lock().uploads.get_mut(&key) {
            partial.upload = Some(upload);
        }
    }

    fn commit(
        &self,
        upload: Upload,
        account: &Account,
        expected: Option<BlobHash>,
        now_ms: u64,
    ) -> Result<Stored, BlobError> {
        let finished = upload.finish()?;
        let (hash, size) = (finished.hash, finished.size);
        if let Some(expected) = expected.filter(|expected| *expected != hash) {
            let (expected, found) = (hex::encode(expected), hex::encode(hash));
            return Err(BlobError::HashMismatch { expected, found });
        }
        let mut state = self.lock();
        let known = state.index.blobs.get(&hash).cloned();
        let is_owned = known.as_ref().is_some_and(|entry| entry.owners.contains(&account.owner));
        if !is_owned {
            state.check_quota(&self.config, account, size)?;
        }
        let kept_until_ms = now_ms.saturating_add(self.config.grace_ms);
        let mut entry = match &known {
            Some(entry) => entry.clone(),
            None => {
                if state.index.blobs.len() >= BLOBS_MAX {
                    return Err(BlobError::Busy);
                }
                finished.keep(&self.blob_path(&hash), &self.outboard_path(&hash))?;
                Entry::new(size, now_ms)
            }
        };
        entry.owners.insert(account.owner);
        // What the owner had before is not the provider's doing.
        entry.leases.extend(account.lease.filter(|_| !is_owned));
        entry.kept_until_ms = entry.kept_until_ms.max(kept_until_ms);
        state.index.blobs.insert(hash, entry);
        if let Err(error) = state.index.save(&self.config.folder) {
            match known {
                Some(entry) => state.index.blobs.insert(hash, entry),
                None => state.index.blobs.remove(&hash),
            };
            return Err(error);
        }
        Ok(Stored { hash, size })
    }

    fn open(&self, hash: &BlobHash) -> Result<(File, u64), BlobError> {
        let size = self.lock().index.blobs.get(hash).map(|entry| entry.size);
        let size = size.ok_or_else(|| BlobError::NotFound { hash: hex::encode(hash) })?;
        let path = self.blob_path(hash);
        Ok((File::open(&path).map_err(|error| storage(&path, error))?, size))
    }

    fn blob_path(&self, hash: &BlobHash) -> PathBuf {
        let name = hex::encode(hash);
        self.config.folder.join(&name[..2]).join(name)
    }

    fn outboard_path(&self, hash: &BlobHash) -> PathBuf {
        self.blob_path(hash).with_extension("outboard")
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(BlobError::Storage { path: PathBuf::new(), error: io::Error::other(error) })
    })
}

/// Names the file, and tells a full disk from other trouble.
fn storage(path: &Path, error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::DiskFull,
        _ => BlobError::Storage { path: path.to_owned(), error },
    }
}
