//! Bringing back what a job left behind, verified.

use crate::error::{Failure, Outcome};
use crate::session::{Session, short};
use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::row::JobState;
use hansa_node_api::Account;
use hansa_node_api::job::{LOG_BYTES_MAX, MANIFEST_BYTES_MAX, Manifest, OutputManifest};
use hansa_node_api::lease::JobInfo;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was brought back of one job.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// The job's number.
    pub job: u32,
    /// Where its files are.
    pub folder: PathBuf,
    /// Its files, each with the hash the job's report names.
    pub files: Vec<FetchedFile>,
}

/// A file that was brought back.
#[derive(Clone, Debug, Serialize)]
pub struct FetchedFile {
    /// Where it lies, below the folder.
    pub path: String,
    /// BLAKE3 of its content, checked.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The folder of a lease's outputs when none is named.
#[must_use]
pub fn folder_of(lease: &LeaseId) -> PathBuf {
    PathBuf::from(format!("lease-{}", short(lease)))
}

/// What a job's report says it left behind.
///
/// # Errors
/// When the report names nothing, or what it names cannot be had or is no manifest.
pub async fn outputs(account: &Account, job: &JobInfo) -> Outcome<OutputManifest> {
    let hash = job.row.outputs.ok_or_else(|| {
        let said =
            if job.row.state == JobState::Submitted { "has not ended yet" } else { "left nothing behind" };
        Failure::refused(format!("job {} {said}", job.job)).hint("list the jobs: `hansa job list LEASE`")
    })?;
    Ok(OutputManifest::decode(&manifest_bytes(account, hash).await?)?)
}

/// Brings back every output of a job into `folder`/its number. Each file takes its place only once its hash is right.
///
/// # Errors
/// When a file is missing, was not asked for, is too large, or cannot be had.
pub async fn fetch(session: &Session, account: &Account, job: &JobInfo, folder: &Path) -> Outcome<Fetched> {
    let left = outputs(account, job).await?;
    if job.row.state == JobState::Succeeded {
        let asked = Manifest::decode(&manifest_bytes(account, job.row.manifest).await?)?;
        left.answers(&asked)?;
    }
    let folder = folder.join(format!("job-{}", job.job));
    let mut files = Vec::new();
    for file in &left.files {
        // The paths of a manifest that was read are relative and stay below the folder.
        let into = folder.join(&file.path);
        let parent = into.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).map_err(|error| {
            Failure::failed(format!("cannot make the folder `{}`: {error}", parent.display()))
        })?;
        let progress = session.printer.transfer(&format!("fetching {}", file.path), file.size);
        let told = |done, _| progress.moved(done);
        let outcome = account.client.get_blob(account.chain, &account.key, file.hash, &into, told).await;
        progress.finish();
        let info = outcome?;
        if info.bytes != file.size {
            return Err(Failure::failed(format!(
                "`{}` has {} bytes, and its report says {}",
                file.path, info.bytes, file.size
            )));
        }
        files.push(FetchedFile { path: file.path.clone(), hash: info.hash, bytes: info.bytes });
    }
    Ok(Fetched { job: job.job, folder, files })
}

/// The log of a job that has ended; `None` if it left none.
///
/// # Errors
/// As [`outputs`].
pub async fn log(account: &Account, job: &JobInfo) -> Outcome<Option<Vec<u8>>> {
    let left = outputs(account, job).await?;
    let Some(file) = left.log() else { return Ok(None) };
    let most = usize::try_from(LOG_BYTES_MAX).unwrap_or(usize::MAX);
    Ok(Some(account.client.get_blob_bytes(account.chain, &account.key, file.hash, most).await?))
}

async fn manifest_bytes(account: &Account, hash: BlobHash) -> Outcome<Vec<u8>> {
    Ok(account.client.get_blob_bytes(account.chain, &account.key, hash, MANIFEST_BYTES_MAX).await?)
}
