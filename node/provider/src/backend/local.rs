//! Run jobs on this machine, in the strongest sandbox it offers.

use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, watch};

use super::log::{Log, LogLine, LogStream};
use super::sandbox::{LAUNCH_ARGUMENT, OWN_PROGRAM, Order, Plan, Report, SUPERVISE, message};
use super::{Backend, BackendError, JobReport, JobSpec, Limits, RunningJob, Tier};

/// How long the rest of a log is waited for once the job is over.
const LOG_WAIT_MAX: Duration = Duration::from_secs(5);

/// How to run jobs here. The default takes the strongest sandbox and refuses to go without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// The strongest tier to use; a lower one than the machine offers is for tests.
    pub tier_max: Tier,
    /// Run jobs even where there is no sandbox at all: every requester can then do what the agent's account can do.
    pub allow_unsandboxed: bool,
    /// The program to start as the job's supervisor, which must call [`super::maybe_run_launcher`] first thing;
    /// this program itself if `None`.
    pub launcher: Option<PathBuf>,
    /// Further paths every job may read and execute, such as `/opt/cuda`.
    pub readable: Vec<PathBuf>,
    /// Device files every job may use, such as an accelerator's. With any of them the bound on memory counts what can be
    /// written, not addresses.
    pub devices: Vec<PathBuf>,
    /// If the agent runs as root: the accounts its jobs run under, one each. They should own nothing.
    pub job_uids: RangeInclusive<u32>,
}

impl Default for LocalConfig {
    fn default() -> Self {
        LocalConfig {
            tier_max: Tier::Namespaced,
            allow_unsandboxed: false,
            launcher: None,
            readable: Vec::new(),
            devices: Vec::new(),
            // The range that systemd sets aside for accounts that exist only while something runs.
            job_uids: 61_184..=65_519,
        }
    }
}

/// The backend `local`.
#[derive(Debug)]
pub struct LocalBackend {
    config: LocalConfig,
    tier: Tier,
    findings: Vec<String>,
}

impl LocalBackend {
    /// Probe the machine, from the strongest tier down, by putting each sandbox on a process that then does nothing.
    pub async fn new(config: LocalConfig) -> Result<LocalBackend, BackendError> {
        let mut backend = LocalBackend { config, tier: Tier::None, findings: Vec::new() };
        for tier in [Tier::Namespaced, Tier::Sandboxed] {
            if tier > backend.config.tier_max {
                continue;
            }
            match backend.probe(tier).await {
                Ok(()) => {
                    backend.tier = tier;
                    tracing::info!(tier = tier.number(), "jobs run sandboxed");
                    return Ok(backend);
                }
                Err(error) => backend.findings.push(format!("tier {}: {error}", tier.number())),
            }
        }
        let reasons = match backend.findings.is_empty() {
            true => "the configuration asks for none".to_owned(),
            false => backend.findings.join("; "),
        };
        if !backend.config.allow_unsandboxed {
            return Err(BackendError::NoSandbox(reasons));
        }
        backend.probe(Tier::None).await?;
        tracing::warn!(
            reasons,
            "JOBS RUN WITHOUT A SANDBOX: whoever sends a job can read and change what this account can, and use the network"
        );
        Ok(backend)
    }

    /// Why each stronger tier could not be had, one sentence per tier.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    async fn probe(&self, tier: Tier) -> Result<(), BackendError> {
        static PROBES: AtomicU64 = AtomicU64::new(0);
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("hansa-sandbox-probe-{}-{number}", std::process::id()));
        let failed = |error: std::io::Error| BackendError::Start(format!("`{}`: {error}", folder.display()));
        std::fs::create_dir(&folder).map_err(failed)?;
        let plan = Plan { probe: true, ..self.plan(&probe_spec(folder.clone()), tier) };
        let result = self.run_probe(&plan).await;
        std::fs::remove_dir_all(&folder).map_err(failed)?;
        result
    }

    async fn run_probe(&self, plan: &Plan) -> Result<(), BackendError> {
        let mut supervisor = Supervisor::spawn(self, plan, Stdio::null(), Stdio::null()).await?;
        supervisor.await_start().await?;
        let report = supervisor.await_end().await?;
        match report.end {
            super::JobEnd::Exited(0) => Ok(()),
            other => Err(BackendError::Start(format!("the probe ended with {other:?}"))),
        }
    }

    fn plan(&self, spec: &JobSpec, tier: Tier) -> Plan {
        Plan {
            tier,
            probe: false,
            argv: spec.argv.clone(),
            environment: spec.environment.clone(),
            directory: spec.directory.clone(),
            limits: spec.limits.clone(),
            readable: self.config.readable.clone(),
            devices: self.config.devices.clone(),
            job_uids: (*self.config.job_uids.start(), *self.config.job_uids.end()),
            guarded: Vec::new(),
            account_processes_max: 0,
        }
    }
}

fn probe_spec(directory: PathBuf) -> JobSpec {
    JobSpec {
        argv: vec!["probe".to_owned()],
        directory,
        files: Vec::new(),
        environment: Default::default(),
        limits: Limits {
            memory_bytes_max: 1 << 30,
            disk_bytes_max: 1 << 20,
            file_bytes_max: 1 << 20,
            cpu_s_max: 10,
            processes_max: 16,
            open_files_max: 64,
            log_bytes_max: 0,
            wall: Duration::from_secs(10),
            notice: Duration::ZERO,
        },
        outputs: Vec::new(),
        log: PathBuf::new(),
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn tier(&self) -> Tier {
        self.tier
    }

    async fn start(&self, spec: JobSpec) -> Result<Box<dyn RunningJob>, BackendError> {
        spec.check()?;
        make_executable(&spec)?;
        let file = std::fs::File::create(&spec.log).map_err(|error| {
            BackendError::Start(format!("cannot write the log `{}`: {error}", spec.log.display()))
        })?;
        let (log, lines) = Log::new(file, spec.limits.log_bytes_max);
        let plan = self.plan(&spec, self.tier);
        let mut supervisor = Supervisor::spawn(self, &plan, Stdio::piped(), Stdio::piped()).await?;
        let pipes = (supervisor.child.stdout.take(), supervisor.child.stderr.take());
        let pumps = tokio::spawn({
            let log = Arc::clone(&log);
            async move {
                let (Some(out), Some(err)) = pipes else { return };
                tokio::join!(
                    Arc::clone(&log).pump(LogStream::Stdout, out),
                    Arc::clone(&log).pump(LogStream::Stderr, err)
                );
            }
        });
        supervisor.await_start().await?;
        let (sender, ended) = watch::channel(None);
        let orders = Arc::clone(&supervisor.orders);
        tokio::spawn(async move {
            let result = supervisor.await_end().await;
            // Its processes are gone, so the pipes are closed: the log is whole before anybody hears of the end. Only a
            // process that could not be killed still holds one; it must not hold up the lease.
            let stop = pumps.abort_handle();
            if tokio::time::timeout(LOG_WAIT_MAX, pumps).await.is_err() {
                stop.abort();
            }
            log.close();
            drop(log);
            sender.send_replace(Some(result));
        });
        Ok(Box::new(LocalJob { orders, ended, lines: StdMutex::new(Some(lines)) }))
    }
}

/// A fetched program has no execute bit: the manifest does not carry one, naming it as the program is the wish.
fn make_executable(spec: &JobSpec) -> Result<(), BackendError> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(program) = spec.argv.first() else { return Ok(()) };
    let program = PathBuf::from(program.strip_prefix("./").unwrap_or(program));
    if spec.files.contains(&program) {
        std::fs::set_permissions(spec.directory.join(&program), std::fs::Permissions::from_mode(0o700))
            .map_err(|error| {
                BackendError::Start(format!("cannot make `{}` executable: {error}", program.display()))
            })?;
    }
    Ok(())
}

/// The agent's end of a supervisor process.
struct Supervisor {
    child: Child,
    reports: Lines<BufReader<OwnedReadHalf>>,
    /// Closing this half makes the supervisor kill the job.
    orders: Arc<Mutex<Option<OwnedWriteHalf>>>,
}

impl Supervisor {
    async fn spawn(
        backend: &LocalBackend,
        plan: &Plan,
        out: Stdio,
        err: Stdio,
    ) -> Result<Supervisor, BackendError> {
        let failed =
            |what: &str, error: std::io::Error| BackendError::Supervisor(format!("cannot {what}: {error}"));
        let (ours, theirs) = StdUnixStream::pair().map_err(|error| failed("make a socket", error))?;
        ours.set_nonblocking(true).map_err(|error| failed("set up a socket", error))?;
        let launcher = backend.config.launcher.clone().unwrap_or_else(|| PathBuf::from(OWN_PROGRAM));
        let child = Command::new(&launcher)
            .args([LAUNCH_ARGUMENT, SUPERVISE])
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| failed(&format!("start `{}`", launcher.display()), error))?;
        let (reports, mut orders) =
            UnixStream::from_std(ours).map_err(|error| failed("set up a socket", error))?.into_split();
        let plan = message(plan).map_err(BackendError::Supervisor)?;
        match orders.write_all(&plan).await {
            // It has ended already: waiting for its first word tells how.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.map_err(|error| failed("hand over the job", error))?,
        }
        let reports = BufReader::new(reports).lines();
        Ok(Supervisor { child, reports, orders: Arc::new(Mutex::new(Some(orders))) })
    }

    async fn report(&mut self) -> Result<Report, BackendError> {
        match self.reports.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line)
                .map_err(|error| BackendError::Supervisor(format!("its message cannot be read: {error}"))),
            Ok(None) | Err(_) => {
                let status =
                    self.child.wait().await.map_or("unknown".to_owned(), |status| status.to_string());
                Err(BackendError::Supervisor(format!(
                    "it ended ({status}) without a word; the program must call `maybe_run_launcher` first in `main`"
                )))
            }
        }
    }

    async fn await_start(&mut self) -> Result<(), BackendError> {
        match self.report().await? {
            Report::Started => Ok(()),
            Report::Failed(reason) => {
                let _ = self.child.wait().await;
                Err(BackendError::Start(reason))
            }
            other => Err(BackendError::Supervisor(format!("it said {other:?} before the start"))),
        }
    }

    async fn await_end(&mut self) -> Result<JobReport, BackendError> {
        let report = self.report().await?;
        let _ = self.child.wait().await;
        match report {
            Report::Ended(report) => Ok(report),
            other => Err(BackendError::Supervisor(format!("it said {other:?} at the end"))),
        }
    }
}

#[derive(Debug)]
struct LocalJob {
    orders: Arc<Mutex<Option<OwnedWriteHalf>>>,
    ended: watch::Receiver<Option<Result<JobReport, BackendError>>>,
    lines: StdMutex<Option<mpsc::Receiver<LogLine>>>,
}

impl LocalJob {
    async fn order(&self, order: Order) {
        let Ok(line) = message(&order) else { return };
        if let Some(orders) = self.orders.lock().await.as_mut() {
            // A supervisor that is gone has nothing left to order about.
            let _ = orders.write_all(&line).await;
        }
    }
}

#[async_trait]
impl RunningJob for LocalJob {
    async fn wait(&self) -> Result<JobReport, BackendError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or_else(|| Err(lost())),
            Err(_) => Err(lost()),
        }
    }

    async fn signal_before_end(&self) {
        self.order(Order::Signal).await;
    }

    async fn prolong(&self, left: Duration) {
        self.order(Order::Prolong(left)).await;
    }

    async fn kill_tree(&self) {
        self.order(Order::Kill).await;
    }

    fn log_lines(&self) -> Option<mpsc::Receiver<LogLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for LocalJob {
    fn drop(&mut self) {
        // Closing our half is what the supervisor waits for; it then kills the tree. If an order is being written at this
        // moment, that writer holds the lock, and it cannot: it would have to borrow this job.
        if let Ok(mut orders) = self.orders.try_lock() {
            orders.take();
        }
    }
}

fn lost() -> BackendError {
    BackendError::Supervisor("the agent stopped following the job".to_owned())
}
