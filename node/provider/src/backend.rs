//! The seat where a lease's job runs on a machine: what a job is, how it ends, and what every backend must do.
//!
//! A backend is handed a [`JobSpec`] whose files are already fetched and verified. It runs the job within its limits,
//! streams its log, and guarantees that when [`RunningJob::wait`] returns no process of the job is left.

pub mod local;
pub mod log;
pub mod outputs;
pub mod sandbox;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use local::{LocalBackend, LocalConfig};
pub use log::{LogLine, LogStream};
pub use outputs::{CollectedOutput, OutputError, collect_outputs};
pub use sandbox::maybe_run_launcher;

/// The only variables a job may be given. Everything else in the agent's environment stays with the agent.
pub const ENVIRONMENT_ALLOWED: [&str; 7] =
    ["HANSA_ACCELERATORS", "HANSA_JOB", "HANSA_LEASE", "HOME", "LANG", "PATH", "TMPDIR"];

/// The least memory a job may ask for: below it not even a shell starts.
pub const MEMORY_BYTES_MIN: u64 = 8 << 20;

/// How strongly a job is kept apart from the machine. Ordered: a higher tier includes the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Limits and a clean environment only: the job can do whatever its account can do.
    None,
    /// Tier 1: Landlock, a system-call filter and resource limits; needs no privilege.
    Sandboxed,
    /// Tier 2: tier 1 within user, mount, process, network, IPC and host-name namespaces of its own.
    Namespaced,
}

impl Tier {
    /// The number that stands in an advert: 0, 1 or 2.
    pub fn number(self) -> u8 {
        match self {
            Tier::None => 0,
            Tier::Sandboxed => 1,
            Tier::Namespaced => 2,
        }
    }
}

/// What a job may use. Every bound holds for the job; where the kernel only bounds single processes
/// (memory, processor time), the sum over all processes is watched and the job ended when it passes the bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes: per process by the kernel, over all processes by sampling.
    pub memory_bytes_max: u64,
    /// Bytes the job's directory may hold, inputs included; sampled once a second.
    pub disk_bytes_max: u64,
    /// Bytes of any one file the job writes.
    pub file_bytes_max: u64,
    /// Processor seconds, user and system, over all processes.
    pub cpu_s_max: u64,
    /// Processes and threads at one time.
    pub processes_max: u64,
    /// Open files per process.
    pub open_files_max: u64,
    /// Bytes of log kept in the file; what comes later is counted and dropped.
    pub log_bytes_max: u64,
    /// The job is killed when it has run this long.
    pub wall: Duration,
    /// It gets SIGTERM this long before that; zero for none.
    pub notice: Duration,
}

/// A file the job should leave behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where, relative to the job's directory; no `..`, no symbolic link on the way.
    pub path: String,
    /// The most bytes it may have.
    pub bytes_max: u64,
}

/// One job, ready to run: its input files lie in `directory`, fetched and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// Program and arguments. A relative path with a `/` is looked up in `directory`, a bare name in `PATH`.
    pub argv: Vec<String>,
    /// The job's own folder, absolute: its working directory and the only place it can write to. An agent that runs
    /// as root hands it over to the account the job runs under.
    pub directory: PathBuf,
    /// The input files, relative to `directory`; each must be there as a regular file.
    pub files: Vec<PathBuf>,
    /// The job's whole environment; only names of [`ENVIRONMENT_ALLOWED`].
    pub environment: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// What it should leave behind.
    pub outputs: Vec<Output>,
    /// Where its log goes; outside `directory`, so that the job cannot rewrite it.
    pub log: PathBuf,
}

impl JobSpec {
    /// Refuse what no backend could run. Touches the file system, for `directory` and `files` only.
    pub fn check(&self) -> Result<(), BackendError> {
        let refuse = |reason: String| Err(BackendError::Spec(reason));
        let Some(program) = self.argv.first() else {
            return refuse("the job names no program to run".into());
        };
        if program.is_empty() || self.argv.iter().any(|argument| argument.contains('\0')) {
            return refuse("the program is empty or an argument holds a zero byte".into());
        }
        for (name, value) in &self.environment {
            if !ENVIRONMENT_ALLOWED.contains(&name.as_str()) || value.contains('\0') {
                let allowed = ENVIRONMENT_ALLOWED.join(", ");
                return refuse(format!("the variable `{name}` is not one a job may have ({allowed})"));
            }
        }
        if !self.directory.is_absolute() || !self.directory.is_dir() {
            return refuse(format!("`{}` is not an absolute path of a folder", self.directory.display()));
        }
        if self.log.starts_with(&self.directory) {
            return refuse("the log lies in the job's own folder, where the job could rewrite it".into());
        }
        for file in &self.files {
            let metadata = std::fs::symlink_metadata(self.directory.join(file));
            if !is_plain(file) || !metadata.is_ok_and(|metadata| metadata.is_file()) {
                return refuse(format!("the input `{}` is not a file in the job's folder", file.display()));
            }
        }
        if let Some(output) = self.outputs.iter().find(|output| !is_plain(Path::new(&output.path))) {
            return refuse(format!("the output path `{}` leaves the job's folder", output.path));
        }
        self.limits.check()
    }
}

impl Limits {
    fn check(&self) -> Result<(), BackendError> {
        let positive = [
            ("disk_bytes_max", self.disk_bytes_max),
            ("file_bytes_max", self.file_bytes_max),
            ("cpu_s_max", self.cpu_s_max),
            ("processes_max", self.processes_max),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(BackendError::Spec(format!("the limit {name} is zero")));
            }
        }
        if self.memory_bytes_max < MEMORY_BYTES_MIN {
            return Err(BackendError::Spec(format!("memory_bytes_max is below {MEMORY_BYTES_MIN} bytes")));
        }
        if self.open_files_max < 16 {
            return Err(BackendError::Spec("open_files_max is below 16, too few to start a program".into()));
        }
        if self.wall.is_zero() || self.notice > self.wall {
            return Err(BackendError::Spec("the wall time is zero or shorter than the notice".into()));
        }
        Ok(())
    }
}

/// A relative path of plain names: not empty, no `..`, no `.`, not absolute.
pub(crate) fn is_plain(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    !text.is_empty()
        && !text.contains(&0)
        && !text.ends_with(b"/")
        && path.components().all(|component| matches!(component, Component::Normal(_)))
}

/// Which bound a job went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// [`Limits::memory_bytes_max`], over all processes.
    Memory,
    /// [`Limits::disk_bytes_max`].
    Disk,
    /// [`Limits::file_bytes_max`].
    File,
    /// [`Limits::cpu_s_max`].
    Cpu,
    /// [`Limits::processes_max`].
    Processes,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobEnd {
    /// Its first process ended by itself with this code.
    Exited(i32),
    /// Its first process died of this signal, which we did not send because of a limit.
    Signalled(i32),
    /// It was still running at the end of its wall time, or left when told that the end was near.
    TimedOut,
    /// It went over a limit.
    LimitExceeded(LimitKind),
    /// It was killed on request, or because the agent went away.
    Killed,
}

/// What a job used. Peaks are sampled ten times a second, so short ones may be missed; so may the last tenth of a second
/// of processor time of background processes that were killed when the job's program ended. The rest is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobUsage {
    /// From start to end, in milliseconds.
    pub wall_ms: u64,
    /// User and system time over all processes, in milliseconds.
    pub cpu_ms: u64,
    /// Most memory over all processes seen at one time, in bytes.
    pub memory_bytes_peak: u64,
    /// Most processes and threads seen at one time.
    pub processes_peak: u64,
}

/// The end of a job and what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// How it ended.
    pub end: JobEnd,
    /// What it used.
    pub usage: JobUsage,
    /// Processes that did not die within ten seconds of SIGKILL; only a hung device or file system does that.
    pub survivors: u64,
}

/// Why a job could not be started or followed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BackendError {
    /// The job itself is wrong.
    #[error("the job cannot run: {0}")]
    Spec(String),
    /// The program could not be started within the sandbox.
    #[error("the job did not start: {0}")]
    Start(String),
    /// This machine cannot keep jobs apart, and nobody allowed to run them anyway.
    #[error(
        "this machine offers no sandbox, so no job is run: {0}\n\nhint: use a kernel from 5.13 on with Landlock switched \
         on, or set `allow_unsandboxed` if every requester is trusted"
    )]
    NoSandbox(String),
    /// The process that watches the job failed.
    #[error("the job's supervisor failed: {0}")]
    Supervisor(String),
}

/// Somewhere jobs can run.
#[async_trait]
pub trait Backend: Send + Sync {
    /// How strongly jobs are kept apart here, as probed when the backend was made.
    fn tier(&self) -> Tier;

    /// Start a job. Returns when its program runs; an error means that nothing of it runs.
    async fn start(&self, spec: JobSpec) -> Result<Box<dyn RunningJob>, BackendError>;
}

/// A job that was started. Dropping it kills the job.
#[async_trait]
pub trait RunningJob: Send + Sync {
    /// Wait until the job has ended and none of its processes is left. May be called any number of times.
    async fn wait(&self) -> Result<JobReport, BackendError>;

    /// Tell every process of the job, by SIGTERM, that its end is near.
    async fn signal_before_end(&self);

    /// Let the job run for `left` from now on, where its wall time would end it sooner. It is told anew when that end is near.
    async fn prolong(&self, left: Duration);

    /// Kill every process of the job, also those that left its process group or session.
    async fn kill_tree(&self);

    /// The job's log as it comes, stdout and stderr. There is one receiver: the second call gives `None`.
    /// A reader that is slow loses lines (the numbers show a gap); the file keeps them.
    fn log_lines(&self) -> Option<mpsc::Receiver<LogLine>>;
}
