//! One job: fetch it, run it, bring back what it left behind. Nothing here touches the ledger.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hansa_ledger::id::BlobHash;
use hansa_node_api::job::{MANIFEST_BYTES_MAX, Manifest, OutputFile, OutputManifest};
use tokio::sync::mpsc;

use crate::backend::{
    CollectedOutput, JobEnd, JobReport, JobSpec, Limits, LogLine, LogStream, Output, OutputError,
    collect_outputs,
};

/// Name of the job's standard output among its outputs.
pub const STDOUT_LOG: &str = "stdout.log";

/// Name of the job's standard error among its outputs; the agent adds why a job failed.
pub const STDERR_LOG: &str = "stderr.log";

/// Name of the whole log in the order in which it came, returned where the other two have gaps.
pub const JOB_LOG: &str = "job.log";

/// The most bytes that the agent itself adds to a log.
const NOTE_BYTES_MAX: usize = 4_096;

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
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what the job worked on and keeps its log.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove_work(&self) -> std::io::Result<()> {
        match fs::remove_dir_all(self.work()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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

    /// One of the log files.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Adds a sentence of the agent to the job's standard error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn note(&self, text: &str) -> std::io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let mut file = fs::File::options().create(true).append(true).open(self.log(STDERR_LOG))?;
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
            // The manifest bounds the wall time only; every accelerator's host has far fewer cores than this.
            cpu_s_max: wall.as_secs().saturating_add(1).saturating_mul(1_024),
            processes_max: limits.processes,
            open_files_max: 4_096,
            log_bytes_max: surroundings.log_bytes_max,
            wall,
            notice: surroundings.notice.min(wall / 2),
        },
        outputs: asked(manifest),
        log: folder.log(JOB_LOG),
    }
}

fn asked(manifest: &Manifest) -> Vec<Output> {
    let output = |output: &hansa_node_api::job::JobOutput| Output {
        path: output.path.clone(),
        bytes_max: output.bytes_max,
    };
    manifest.outputs.iter().map(output).collect()
}

/// The exit code, and why the job failed where the code does not say it.
#[must_use]
pub fn verdict(report: &JobReport) -> (Option<i32>, Option<String>) {
    match report.end {
        JobEnd::Exited(code) => (Some(code), None),
        JobEnd::Signalled(signal) => (None, Some(format!("the job died of signal {signal}"))),
        JobEnd::TimedOut => (None, Some("the job was still running at the end of its time".to_owned())),
        JobEnd::LimitExceeded(kind) => (None, Some(format!("the job went over its limit: {kind:?}").to_lowercase())),
        JobEnd::Killed => (None, Some("the job was killed".to_owned())),
    }
}

/// Splits the log into its two streams as it comes, and says whether a line is missing.
pub(crate) async fn split_log(
    folder: JobFolder,
    mut lines: mpsc::Receiver<LogLine>,
    bytes_max: u64,
    lease: String,
    job: u32,
) -> bool {
    let open = |name| tokio::fs::File::options().create(true).append(true).open(folder.log(name));
    let (Ok(mut out), Ok(mut err)) = (open(STDOUT_LOG).await, open(STDERR_LOG).await) else { return true };
    let (mut bytes, mut next, mut whole) = (0u64, 1u64, true);
    while let Some(line) = lines.recv().await {
        tracing::debug!(lease, job, stream = ?line.stream, "{}", line.text);
        whole &= line.number == next;
        next = line.number + 1;
        bytes = bytes.saturating_add(line.text.len() as u64 + 1);
        if bytes > bytes_max {
            continue;
        }
        let file = match line.stream {
            LogStream::Stdout => &mut out,
            LogStream::Stderr => &mut err,
        };
        let text = format!("{}\n", line.text);
        whole &= tokio::io::AsyncWriteExt::write_all(file, text.as_bytes()).await.is_ok();
    }
    for file in [&mut out, &mut err] {
        whole &= tokio::io::AsyncWriteExt::flush(file).await.is_ok();
    }
    !whole
}

/// What goes back to the requester.
#[derive(Debug)]
pub struct Returned {
    /// The manifest that names it all.
    pub manifest: OutputManifest,
    /// Each file with its hash.
    pub files: Vec<(BlobHash, PathBuf)>,
    /// The first output that should be there and is not as it should be.
    pub missing: Option<OutputError>,
}

/// Gathers what a job left behind: the outputs it was asked for, as far as they are sound, and its logs. Reads every file
/// once; to be called where blocking is allowed.
///
/// # Errors
/// What the file system says.
pub fn gather(manifest: Option<&Manifest>, folder: &JobFolder) -> std::io::Result<Returned> {
    let mut outputs = Vec::new();
    let mut missing = None;
    for output in manifest.map(asked).unwrap_or_default() {
        match collect_one(folder, output) {
            Ok(collected) => outputs.push(hashed(collected)?),
            Err(error) => missing = missing.or(Some(error)),
        }
    }
    let gaps = folder.log("gaps").exists();
    let names = [STDOUT_LOG, STDERR_LOG, JOB_LOG];
    let mut logs = Vec::new();
    for name in names.into_iter().filter(|name| *name != JOB_LOG || gaps) {
        let source = folder.log(name);
        let taken = outputs.iter().any(|(file, _): &(OutputFile, PathBuf)| file.path == name);
        match fs::File::open(&source) {
            Ok(file) if !taken && file.metadata()?.len() > 0 => {
                let bytes = file.metadata()?.len();
                logs.push(hashed(CollectedOutput { path: name.to_owned(), source, file, bytes })?);
            }
            _ => {}
        }
    }
    // A job that asks for the most outputs there may be, or for a folder of a log's name, gets no logs.
    let with_logs = || outputs.iter().chain(&logs).cloned();
    let (listed, manifest) = match OutputManifest::new(with_logs().map(|(file, _)| file).collect()) {
        Ok(manifest) => (with_logs().collect(), manifest),
        Err(_) => {
            let manifest = OutputManifest::new(outputs.iter().map(|(file, _)| file.clone()).collect());
            (outputs, manifest.map_err(std::io::Error::other)?)
        }
    };
    fs::write(folder.outputs(), manifest.encode())?;
    let mut files: Vec<(BlobHash, PathBuf)> =
        listed.into_iter().map(|(file, source)| (file.hash, source)).collect();
    files.push((manifest.hash(), folder.outputs()));
    Ok(Returned { manifest, files, missing })
}

fn collect_one(folder: &JobFolder, output: Output) -> Result<CollectedOutput, OutputError> {
    let path = output.path.clone();
    let spec = JobSpec {
        argv: Vec::new(),
        directory: folder.work(),
        files: Vec::new(),
        environment: std::collections::BTreeMap::new(),
        limits: Limits {
            memory_bytes_max: 0,
            disk_bytes_max: 0,
            file_bytes_max: 0,
            cpu_s_max: 0,
            processes_max: 0,
            open_files_max: 0,
            log_bytes_max: 0,
            wall: Duration::ZERO,
            notice: Duration::ZERO,
        },
        outputs: vec![output],
        log: PathBuf::new(),
    };
    collect_outputs(&spec)?.pop().ok_or(OutputError::Missing(path))
}

fn hashed(collected: CollectedOutput) -> std::io::Result<(OutputFile, PathBuf)> {
    let mut hasher = blake3::Hasher::new();
    let CollectedOutput { path, source, file, .. } = collected;
    std::io::copy(&mut &file, &mut hasher)?;
    let file = OutputFile { path, hash: BlobHash(*hasher.finalize().as_bytes()), size: hasher.count() };
    Ok((file, source))
}
