//! Blobs to and from the home node, signed.

use super::Client;
use crate::error::ApiError;
use crate::peer::now_ms;
use crate::signed::{RequestTerms, empty_body};
use futures::StreamExt as _;
use hansa_ledger::id::{BlobHash, ChainId};
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::SecretKey;
use reqwest::{Body, Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use utoipa::ToSchema;

/// How long a signed request lives, in milliseconds.
const SIGNED_LIFE_MS: u64 = 120_000;

/// How long a whole blob may take.
const BLOB_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Bytes read from the file at a time.
const READ_BYTES: usize = 256 * 1024;

/// A blob the node keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobInfo {
    /// The BLAKE3 hash of its content.
    #[schema(value_type = String)]
    pub hash: BlobHash,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// The hash and size of a file.
///
/// # Errors
/// [`ApiError::File`].
pub async fn hash_file(path: &Path) -> Result<BlobInfo, ApiError> {
    let failed = |error| ApiError::File { path: path.to_owned(), error };
    let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0u8; READ_BYTES];
    let mut bytes = 0u64;
    loop {
        let read = file.read(&mut buffer).await.map_err(failed)?;
        if read == 0 {
            return Ok(BlobInfo { hash: BlobHash(*hasher.finalize().as_bytes()), bytes });
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

impl Client {
    /// Sends a file to the node, under a key of an accredited organisation. `progress` hears of (bytes sent, bytes in all).
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn put_blob(
        &self,
        chain: ChainId,
        key: &SecretKey,
        path: &Path,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Result<BlobInfo, ApiError> {
        let failed = |error| ApiError::File { path: path.to_owned(), error };
        let info = hash_file(path).await?;
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let (total, progress) = (info.bytes, Arc::new(progress));
        let body = futures::stream::try_unfold((file, 0u64), move |(mut file, sent)| {
            let progress = progress.clone();
            async move {
                let mut buffer = vec![0u8; READ_BYTES];
                let read = file.read(&mut buffer).await?;
                if read == 0 {
                    return Ok::<_, std::io::Error>(None);
                }
                buffer.truncate(read);
                let sent = sent + read as u64;
                progress(sent, total);
                Ok(Some((bytes::Bytes::from(buffer), (file, sent))))
            }
        });
        let builder = self
            .signed(Method::PUT, chain, key, info.hash, info.hash)
            .header("content-length", total)
            .header("content-type", "application/octet-stream")
            .body(Body::wrap_stream(body));
        self.json(self.send(builder).await?).await
    }

    /// Sends bytes to the node, as [`Self::put_blob`] sends a file.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn put_blob_bytes(
        &self,
        chain: ChainId,
        key: &SecretKey,
        bytes: Vec<u8>,
    ) -> Result<BlobInfo, ApiError> {
        let hash = BlobHash(*blake3::hash(&bytes).as_bytes());
        let builder = self.signed(Method::PUT, chain, key, hash, hash);
        let builder = builder.header("content-type", "application/octet-stream").body(bytes);
        self.json(self.send(builder).await?).await
    }

    /// Fetches a blob into the file `into`. It comes under a name beside it first and takes its place once its hash is right.
    /// `progress` hears of (bytes come, bytes in all).
    ///
    /// # Errors
    /// As [`ApiError`]; `into` is untouched then.
    pub async fn get_blob(
        &self,
        chain: ChainId,
        key: &SecretKey,
        hash: BlobHash,
        into: &Path,
        progress: impl Fn(u64, u64),
    ) -> Result<BlobInfo, ApiError> {
        let mut name = into.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", &hash.to_string()[..8]));
        let part = into.with_file_name(name);
        let outcome = self.fetch(chain, key, hash, &part, progress).await;
        let failed = |error| ApiError::File { path: into.to_owned(), error };
        let outcome = match outcome {
            Ok(info) => tokio::fs::rename(&part, into).await.map_err(failed).map(|()| info),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // What came so far is of no use; that it may not be there at all is no further error.
            let _ = tokio::fs::remove_file(&part).await;
        }
        outcome
    }

    /// Fetches a blob of at most `bytes_max` bytes into memory.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn get_blob_bytes(
        &self,
        chain: ChainId,
        key: &SecretKey,
        hash: BlobHash,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ApiError> {
        let response = self.send(self.signed(Method::GET, chain, key, hash, empty_body())).await?;
        let mut stream = response.bytes_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| self.failed(&error))?);
            if bytes.len() > bytes_max {
                return Err(
                    self.unreadable(&blob_path(&hash), &format!("the blob is larger than {bytes_max} bytes"))
                );
            }
        }
        self.compare(&hash, blake3::hash(&bytes))?;
        Ok(bytes)
    }

    async fn fetch(
        &self,
        chain: ChainId,
        key: &SecretKey,
        hash: BlobHash,
        part: &Path,
        progress: impl Fn(u64, u64),
    ) -> Result<BlobInfo, ApiError> {
        let failed = |error| ApiError::File { path: part.to_owned(), error };
        let response = self.send(self.signed(Method::GET, chain, key, hash, empty_body())).await?;
        let total = response.content_length().unwrap_or(0);
        let mut file = tokio::fs::File::create(part).await.map_err(failed)?;
        let mut stream = response.bytes_stream();
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0u64;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| self.failed(&error))?;
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(failed)?;
            bytes += chunk.len() as u64;
            progress(bytes, total);
        }
        file.sync_all().await.map_err(failed)?;
        self.compare(&hash, hasher.finalize())?;
        Ok(BlobInfo { hash, bytes })
    }

    fn compare(&self, hash: &BlobHash, found: blake3::Hash) -> Result<(), ApiError> {
        if found.as_bytes() == &hash.0 {
            return Ok(());
        }
        Err(self.unreadable(&blob_path(hash), &format!("the content has hash {found}")))
    }

    fn signed(
        &self,
        method: Method,
        chain: ChainId,
        key: &SecretKey,
        hash: BlobHash,
        body: BlobHash,
    ) -> RequestBuilder {
        self.signed_request(method, &blob_path(&hash), chain, key, body).timeout(BLOB_TIME_MAX)
    }

    /// A request for a path and its query, signed.
    pub(super) fn signed_request(
        &self,
        method: Method,
        path: &str,
        chain: ChainId,
        key: &SecretKey,
        body: BlobHash,
    ) -> RequestBuilder {
        let terms = RequestTerms {
            chain,
            method: method.as_str().to_owned(),
            path: path.to_owned(),
            body,
            expires: TimeMs(now_ms()).plus(SIGNED_LIFE_MS),
        };
        let builder = self.bare(method, path);
        terms.sign(key).into_iter().fold(builder, |builder, (name, value)| builder.header(name, value))
    }
}

fn blob_path(hash: &BlobHash) -> String {
    format!("/v1/blobs/{hash}")
}
