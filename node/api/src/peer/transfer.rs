//! Fetch or send a whole blob, piece by piece, verified, going on where a broken connection left off.

use super::blob::{
    BlobCall, BlobDirection, BlobRefusal, BlobReply, BlobRequest, BlobTerms, REQUEST_LIFE_MS_MAX,
};
use super::slice::{self, PIECE_BYTES_MAX};
use super::{BlobHash, now_ms};
use async_trait::async_trait;
use hansa_ledger_signature::{PublicKey, SecretKey};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a call is tried again, without any progress, before the transfer gives up.
pub const ATTEMPTS_MAX: u32 = 8;

/// The first pause before trying again; it doubles each time up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Something that carries one call to one node and brings the answer.
#[async_trait]
pub trait BlobTransport: Send + Sync {
    /// The federation both sides belong to.
    fn chain_id(&self) -> [u8; 32];

    /// The network key of the node that is asked.
    fn node(&self) -> PublicKey;

    /// Asks once.
    async fn call(&self, call: BlobCall) -> Result<BlobReply, PeerError>;
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The address is of no use.
    #[error(transparent)]
    Address(#[from] super::AddressError),
    /// The node did not answer; the transfer can be repeated and goes on where it stopped.
    #[error(
        "the node did not answer ({reason}); what was transferred is kept, so repeat the command to go on"
    )]
    Unreachable {
        /// What the network said.
        reason: String,
    },
    /// The node answers, but not on this chain.
    #[error(
        "the node does not speak this protocol of this federation; compare chain id and version with the node's"
    )]
    WrongChain,
    /// The node refused.
    #[error("the node refused: {0}")]
    Refused(BlobRefusal),
    /// The node refused a piece of a log.
    #[error("the node refused the log: {0}")]
    LogRefused(super::log::LogRefusal),
    /// Bytes do not match the hash.
    #[error("what {source_name} gave does not match blob {hash}; no unverified byte was kept")]
    Corrupt {
        /// The hash asked for, in hexadecimal.
        hash: String,
        /// Who gave it: the node or the file.
        source_name: &'static str,
    },
    /// The node's answer makes no sense.
    #[error("the node gave an answer that does not fit the request")]
    Nonsense,
    /// The file could not be read or written.
    #[error("cannot use `{path}`: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The client was stopped.
    #[error("the peer client has stopped")]
    Stopped,
}

impl PeerError {
    fn passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused(BlobRefusal::Busy))
    }
}

/// What a transfer is about.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// BLAKE3 of the whole blob.
    pub hash: BlobHash,
    /// The lease in whose name it is asked.
    pub lease: [u8; 32],
    /// The requester's key.
    pub key: &'a SecretKey,
}

/// Fetches a blob into the file `into` and gives its size in bytes. The bytes are verified piece by piece, kept in a hidden
/// file beside `into` that a later call goes on with, verified as a whole, fsynced and renamed. `progress` gets (bytes so far,
/// bytes in all).
///
/// # Errors
/// As [`PeerError`]; `into` is untouched then.
pub async fn get_blob(
    transport: &dyn BlobTransport,
    transfer: Transfer<'_>,
    into: &Path,
    progress: impl Fn(u64, u64),
) -> Result<u64, PeerError> {
    let partial = partial_path(into, &transfer.hash);
    let resumed = std::fs::metadata(&partial).is_ok_and(|file| file.len() > 0);
    let outcome = get_from_partial(transport, transfer, into, &partial, &progress).await;
    match outcome {
        // The leftover may be what is wrong: fetch once more from nothing before blaming the node.
        Err(PeerError::Corrupt { .. } | PeerError::Refused(BlobRefusal::Malformed)) if resumed => {
            remove(&partial)?;
            get_from_partial(transport, transfer, into, &partial, &progress).await
        }
        other => other,
    }
}

async fn get_from_partial(
    transport: &dyn BlobTransport,
    transfer: Transfer<'_>,
    into: &Path,
    partial: &Path,
    progress: &impl Fn(u64, u64),
) -> Result<u64, PeerError> {
    let failed = |error| PeerError::File { path: partial.to_owned(), error };
    let (mut file, mut offset) = open_partial(partial).map_err(failed)?;
    let corrupt = || corrupt(&transfer.hash, "the node");
    let mut total_seen = None;
    let total = loop {
        let terms = |now| terms(transport, &transfer, BlobDirection::Get, offset, 0, now);
        let reply = call_patiently(transport, transfer.key, terms, Vec::new()).await?;
        let BlobReply::Piece { total, slice } = reply else {
            return Err(PeerError::Nonsense);
        };
        let piece = slice::verify(&transfer.hash, &slice, offset, PIECE_BYTES_MAX).map_err(|_| corrupt())?;
        if piece.total != total || total_seen.is_some_and(|seen| seen != total) || offset > total {
            return Err(corrupt());
        }
        total_seen = Some(total);
        file.write_all(&piece.content).map_err(failed)?;
        offset += piece.content.len() as u64;
        progress(offset, total);
        if offset == total {
            break total;
        }
    };
    finish_file(file, partial, into, transfer.hash).await?;
    Ok(total)
}

/// Opens what an earlier attempt left, cut back to whole pieces, or a new file.
fn open_partial(partial: &Path) -> io::Result<(File, u64)> {
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(partial)?;
    let length = file.metadata()?.len();
    let offset = length - length % u64::from(PIECE_BYTES_MAX);
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok((file, offset))
}

async fn finish_file(mut file: File, partial: &Path, into: &Path, hash: BlobHash) -> Result<(), PeerError> {
    let failed = |error| PeerError::File { path: partial.to_owned(), error };
    let found = tokio::task::spawn_blocking(move || {
        // Pieces of earlier attempts lay on this disk, so the whole is checked once more.
        let mut hasher = blake3::Hasher::new();
        file.rewind()?;
        hasher.update_reader(&mut file)?;
        file.sync_all()?;
        Ok(*hasher.finalize().as_bytes())
    })
    .await
    .map_err(|_| PeerError::Stopped)?
    .map_err(failed)?;
    if found != hash {
        remove(partial)?;
        return Err(corrupt(&hash, "the node"));
    }
    std::fs::rename(partial, into).map_err(failed)?;
    sync_folder(into).map_err(failed)
}

/// Sends the file at `path`, whose BLAKE3 hash is `transfer.hash`, and gives its size in bytes once the node has verified and
/// kept the whole. `progress` gets (bytes so far, bytes in all).
///
/// # Errors
/// As [`PeerError`]; [`PeerError::Corrupt`] when the file's content has another hash.
pub async fn put_blob(
    transport: &dyn BlobTransport,
    transfer: Transfer<'_>,
    path: &Path,
    progress: impl Fn(u64, u64),
) -> Result<u64, PeerError> {
    let failed = |error| PeerError::File { path: path.to_owned(), error };
    let opened = path.to_owned();
    let (mut source, found) = blocking(move || Source::open(&opened)).await?.map_err(failed)?;
    if found != transfer.hash {
        return Err(corrupt(&transfer.hash, "the file"));
    }
    let total = source.total;
    let mut offset = 0;
    let mut setbacks = 0;
    loop {
        let piece;
        (source, piece) = blocking(move || source.piece(offset)).await?.map_err(failed)?;
        let terms = |now| terms(transport, &transfer, BlobDirection::Put, offset, total, now);
        match call_patiently(transport, transfer.key, terms, piece).await? {
            BlobReply::Stored { complete: true, .. } => {
                progress(total, total);
                return Ok(total);
            }
            BlobReply::Stored { next_offset, complete: false }
                if next_offset < total && next_offset.is_multiple_of(u64::from(PIECE_BYTES_MAX)) =>
            {
                // A node that restarted starts over; one that never gets further is given up.
                if next_offset <= offset {
                    setbacks += 1;
                }
                if setbacks > ATTEMPTS_MAX {
                    return Err(PeerError::Nonsense);
                }
                offset = next_offset;
                progress(offset, total);
            }
            _ => return Err(PeerError::Nonsense),
        }
    }
}

/// A file to send with the tree over it.
struct Source {
    content: File,
    outboard: File,
    total: u64,
}

impl Source {
    fn open(path: &Path) -> io::Result<(Self, BlobHash)> {
        let mut content = File::open(path)?;
        let mut encoder = bao::encode::Encoder::new_outboard(tempfile::tempfile()?);
        let mut buffer = vec![0u8; 256 * 1024];
        let mut total = 0u64;
        loop {
            let read = io::Read::read(&mut content, &mut buffer)?;
            if read == 0 {
                break;
            }
            encoder.write_all(&buffer[..read])?;
            total += read as u64;
        }
        let hash = *encoder.finalize()?.as_bytes();
        Ok((Self { content, outboard: encoder.into_inner(), total }, hash))
    }

    fn piece(self, offset: u64) -> io::Result<(Self, Vec<u8>)> {
        let piece = slice::extract(&self.content, &self.outboard, offset, PIECE_BYTES_MAX)?;
        Ok((self, piece))
    }
}

fn terms(
    transport: &dyn BlobTransport,
    transfer: &Transfer<'_>,
    direction: BlobDirection,
    offset: u64,
    total: u64,
    now_ms: u64,
) -> BlobTerms {
    BlobTerms {
        chain_id: transport.chain_id(),
        node: transport.node(),
        direction,
        hash: transfer.hash,
        offset,
        length: PIECE_BYTES_MAX,
        total,
        lease: transfer.lease,
        requester: transfer.key.public_key(),
        // Half of what is allowed, so that clocks may differ by the other half.
        expires_ms: now_ms.saturating_add(REQUEST_LIFE_MS_MAX / 2),
    }
}

/// Asks until there is an answer, signing anew each time, with growing pauses while the node is away or busy.
async fn call_patiently(
    transport: &dyn BlobTransport,
    key: &SecretKey,
    terms: impl Fn(u64) -> BlobTerms,
    slice: Vec<u8>,
) -> Result<BlobReply, PeerError> {
    let mut pause = PAUSE_MIN;
    let mut attempt = 1;
    loop {
        let request = BlobRequest::sign(terms(now_ms()), key);
        let outcome = match transport.call(BlobCall { request, slice: slice.clone() }).await {
            Ok(BlobReply::Refused(refusal)) => Err(PeerError::Refused(refusal)),
            other => other,
        };
        match outcome {
            Err(error) if error.passing() && attempt < ATTEMPTS_MAX => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PeerError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PeerError::Stopped)
}

fn corrupt(hash: &BlobHash, source_name: &'static str) -> PeerError {
    PeerError::Corrupt { hash: hex::encode(hash), source_name }
}

fn partial_path(into: &Path, hash: &BlobHash) -> PathBuf {
    into.with_file_name(format!(".{}.partial", hex::encode(hash)))
}

fn remove(path: &Path) -> Result<(), PeerError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PeerError::File { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
