//! One job: fetch it, run it, bring back what it left behind. Nothing here touches the ledger.

use std::borrow::Cow;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hansa_ledger::id::BlobHash;
use hansa_ledger::row::JobFailure;
use hansa_node_api::job::{
    LOG_BYTES_MAX, LOG_PATH, MANIFEST_BYTES_MAX, Manifest, OUTPUTS_MAX, OutputFile, OutputManifest,
};
use hansa_node_api::text::printable;
use tokio::sync::mpsc;

use crate::backend::{CollectedOutput, JobEnd, JobReport, JobSpec, Limits, LogLine, Output, collect_outputs};
use crate::removal::remove_tree;

/// The most bytes that the agent itself adds to a log.
const NOTE_BYTES_MAX: usize = 4_096;

/// The most bytes of a log that are the job's: the rest is kept for what agent and backend add.
const LOG_OWN_BYTES_MAX: u64 = LOG_BYTES_MAX - 4 * NOTE_BYTES_MAX as u64;

/// Where the files of one job lie.
#[derive(Clone, Debug)]
pub struct JobFolder {
    root: PathBuf,
}

impl JobFolder {
    /// The folder of job `number` in the folder of its lease.
    #[must_use]
    pub fn new(lease: &Path, number: u32) -> Self {
        Self { root: lease.join(number.to_string()) }
    }

    /// Makes it anew, empty.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(&self) -> std::io::Result<()> {
        self.remove()?;
        fs::create_dir_all(self.work())
    }

    /// Removes it, if it is there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self) -> std::io::Result<()> {
        remove_tree(&self.root)
    }

    /// Removes what the job worked on and keeps its log.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove_work(&self) -> std::io::Result<()> {
        remove_tree(&self.work())
    }

    /// The job's own folder.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The file that holds the job's manifest.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.root.join("manifest")
    }

    /// The file that holds the manifest of its outputs.
    #[must_use]
    pub fn outputs(&self) -> PathBuf {
        self.root.join("outputs")
    }

    /// The job's log, stdout and stderr as they came.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Adds a sentence of the agent to the job's log.
    ///
    /// # Errors
    /// What the file system says.
    pub fn note(&self, text: &str) -> std::io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let mut file = fs::File::options().create(true).append(true).open(self.log())?;
        let end = text.floor_char_boundary(NOTE_BYTES_MAX);
        writeln!(file, "hansa: {}", &text[..end])
    }

    /// The manifest as it was fetched, if it is whole.
    #[must_use]
    pub fn read_manifest(&self) -> Option<Manifest> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.manifest()).ok()?;
        file.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
        Manifest::decode(&bytes).ok()
    }
}

/// Where the file of a manifest is laid, its folders made.
pub(crate) fn place(folder: &JobFolder, path: &str) -> std::io::Result<PathBuf> {
    // The manifest was checked: plain relative paths, no file where a folder has to be.
    let place = folder.work().join(path);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(place)
}

/// Sets who may do what with a file that was laid down.
pub(crate) fn finish_place(place: &Path, executable: bool) -> std::io::Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(place, fs::Permissions::from_mode(mode))
}

/// What the lease gives to its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The lease's id in hexadecimal.
    pub lease: String,
    /// The numbers of its accelerators, if jobs may know them.
    pub accelerators: Option<String>,
    /// How long the lease still lasts.
    pub left: Duration,
    /// How long before its end a job is told.
    pub notice: Duration,
    /// The most bytes of the log.
    pub log_bytes_max: u64,
}

/// The job as the backend takes it.
#[must_use]
pub fn spec(manifest: &Manifest, folder: &JobFolder, number: u32, surroundings: &Surroundings) -> JobSpec {
    let limits = &manifest.limits;
    let wall = Duration::from_secs(limits.wall_s).min(surroundings.left).max(Duration::from_millis(1));
    let mut environment = std::collections::BTreeMap::from([
        ("HANSA_JOB".to_owned(), number.to_string()),
        ("HANSA_LEASE".to_owned(), surroundings.lease.clone()),
        ("HOME".to_owned(), folder.work().display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("TMPDIR".to_owned(), folder.work().display().to_string()),
    ]);
    if let Some(accelerators) = &surroundings.accelerators {
        environment.insert("HANSA_ACCELERATORS".to_owned(), accelerators.clone());
    }
    JobSpec {
        argv: manifest.argv.clone(),
        directory: folder.work(),
        files: manifest.files.iter().map(|file| PathBuf::from(&file.path)).collect(),
        environment,
        limits: Limits {
            memory_bytes_max: limits.memory_bytes,
            disk_bytes_max: limits.disk_bytes,
            file_bytes_max: limits.disk_bytes,
            // The manifest bounds the wall time only, and a lease may be extended while the job runs; every accelerator's host has
            // far fewer cores than this.
            cpu_s_max: limits.wall_s.saturating_add(1).saturating_mul(1_024),
            processes_max: limits.processes,
            open_files_max: 4_096,
            log_bytes_max: surroundings.log_bytes_max.min(LOG_OWN_BYTES_MAX),
            wall,
            notice: surroundings.notice.min(wall / 2),
        },
        outputs: asked(manifest),
        log: folder.log(),
    }
}

fn asked(manifest: &Manifest) -> Vec<Output> {
    let output = |output: &hansa_node_api::job::JobOutput| Output {
        path: output.path.clone(),
        bytes_max: output.bytes_max,
    };
    manifest.outputs.iter().map(output).collect()
}

/// Why a job failed, as the ledger counts it and as its log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The ledger's word.
    pub failure: JobFailure,
    /// The sentence.
    pub text: Cow<'static, str>,
}

impl Cause {
    /// A reason with a sentence.
    pub(crate) fn new(failure: JobFailure, text: impl Into<Cow<'static, str>>) -> Self {
        Self { failure, text: text.into() }
    }

    /// The lease is over.
    pub(crate) fn lease_ended() -> Self {
        Self::new(JobFailure::LeaseEnded, "the lease has ended")
    }

    pub(crate) fn lease_settled() -> Self {
        Self::new(JobFailure::LeaseEnded, "the lease is settled")
    }

    pub(crate) fn unfollowed() -> Self {
        Self::new(JobFailure::AgentStopped, "the provider's agent stopped following the job")
    }
}

/// The exit code, and why the job failed where the code does not say it.
#[must_use]
pub fn verdict(report: &JobReport) -> (Option<i32>, Option<Cause>) {
    let (failure, text) = match report.end {
        JobEnd::Exited(code) => return (Some(code), None),
        JobEnd::Signalled(signal) => (JobFailure::Signalled, format!("the job died of signal {signal}")),
        JobEnd::TimedOut => {
            (JobFailure::TimeExceeded, "the job was still running at the end of its time".to_owned())
        }
        JobEnd::LimitExceeded(kind) => {
            (JobFailure::LimitExceeded, format!("the job went over its limit: {kind:?}").to_lowercase())
        }
        // Nobody but the agent kills a job, and where it had a reason that one is told.
        JobEnd::Killed => (JobFailure::AgentStopped, "the job was killed".to_owned()),
    };
    (None, Some(Cause::new(failure, text)))
}

/// Shows the log of a job to whoever follows the agent's own, at its finest level.
pub(crate) async fn show_log(mut lines: mpsc::Receiver<LogLine>, lease: String, job: u32) {
    while let Some(line) = lines.recv().await {
        tracing::trace!(lease, job, stream = ?line.stream, "{}", printable(&line.text));
    }
}

/// What goes back to the requester.
#[derive(Debug)]
pub struct Returned {
    /// The hash of the manifest that names it all.
    pub hash: BlobHash,
    /// Each file with its hash, the manifest last.
    pub files: Vec<(BlobHash, PathBuf)>,
}

/// Gathers what a job left behind: the outputs it was asked for, as far as they are sound, and its log. Reads every file
/// once; to be called where blocking is allowed.
///
/// # Errors
/// What the file system says.
pub fn gather(manifest: Option<&Manifest>, folder: &JobFolder) -> std::io::Result<Returned> {
    let mut outputs = Vec::new();
    if let Some(manifest) = manifest {
        let all = spec(manifest, folder, 0, &Surroundings::default());
        for output in &all.outputs {
            let one = JobSpec { outputs: vec![output.clone()], ..all.clone() };
            // What is missing or unsound is left out: the job's end says so.
            for collected in collect_outputs(&one).unwrap_or_default() {
                outputs.push(hashed(collected)?);
            }
        }
    }
    let source = folder.log();
    // A job that was asked for as many outputs as there may be gets no log with them.
    if outputs.len() < OUTPUTS_MAX && source.is_file() {
        let file = fs::File::open(&source)?;
        let bytes = file.metadata()?.len();
        outputs.push(hashed(CollectedOutput { path: LOG_PATH.to_owned(), source, file, bytes })?);
    }
    let listed = outputs.iter().map(|(file, _)| file.clone()).collect();
    let manifest = OutputManifest::new(listed).map_err(std::io::Error::other)?;
    fs::write(folder.outputs(), manifest.encode())?;
    let mut files: Vec<(BlobHash, PathBuf)> =
        outputs.into_iter().map(|(file, source)| (file.hash, source)).collect();
    files.push((manifest.hash(), folder.outputs()));
    Ok(Returned { hash: manifest.hash(), files })
}

fn hashed(collected: CollectedOutput) -> std::io::Result<(OutputFile, PathBuf)> {
    let mut hasher = blake3::Hasher::new();
    let CollectedOutput { path, source, file, .. } = collected;
    std::io::copy(&mut &file, &mut hasher)?;
    let file = OutputFile { path, hash: BlobHash(*hasher.finalize().as_bytes()), size: hasher.count() };
    Ok((file, source))
}
