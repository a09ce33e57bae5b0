//! A folder, a backend and jobs in it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hansa_node_provider::backend::{
    Backend as _, BackendError, JobReport, JobSpec, Limits, LocalBackend, LocalConfig, Output, RunningJob,
    Tier,
};
use tempfile::TempDir;

pub const PROBE: &str = env!("CARGO_BIN_EXE_hansa-node-provider-probe");

pub struct Bench {
    pub folder: TempDir,
    pub backend: LocalBackend,
}

pub fn config(tier: Tier) -> LocalConfig {
    LocalConfig {
        tier_max: tier,
        allow_unsandboxed: tier == Tier::None,
        launcher: Some(PathBuf::from(PROBE)),
        ..LocalConfig::default()
    }
}

/// The tiers to test: those this machine offers. Nothing is skipped silently: a machine without tier 1 fails.
pub async fn tiers() -> Vec<Tier> {
    let best =
        LocalBackend::new(config(Tier::Namespaced)).await.expect("tests need Landlock and seccomp").tier();
    if best < Tier::Namespaced {
        eprintln!("this machine offers no namespaces: tier 2 is not tested");
    }
    [Tier::Sandboxed, Tier::Namespaced].into_iter().filter(|tier| *tier <= best).collect()
}

pub fn limits() -> Limits {
    Limits {
        memory_bytes_max: 256 << 20,
        disk_bytes_max: 256 << 20,
        file_bytes_max: 64 << 20,
        cpu_s_max: 20,
        processes_max: 32,
        open_files_max: 64,
        log_bytes_max: 1 << 20,
        wall: Duration::from_secs(20),
        notice: Duration::ZERO,
    }
}

impl Bench {
    pub async fn new(tier: Tier) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        // An agent that runs as root runs jobs under other accounts; those must be able to reach their folder by path.
        if rustix::process::getuid().is_root() {
            fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        }
        let backend = LocalBackend::new(config(tier)).await.unwrap();
        assert_eq!(backend.tier(), tier, "{:?}", backend.findings());
        Bench { folder, backend }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A job with a folder of its own that holds the probe.
    pub fn spec(&self, name: &str, argv: &[&str]) -> JobSpec {
        let directory = self.path(name);
        fs::create_dir(&directory).unwrap();
        fs::copy(PROBE, directory.join("probe")).unwrap();
        JobSpec {
            argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
            files: vec![PathBuf::from("probe")],
            environment: BTreeMap::from([
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("HOME".to_owned(), directory.display().to_string()),
            ]),
            directory,
            limits: limits(),
            outputs: Vec::new(),
            log: self.path(&format!("{name}.log")),
        }
    }

    pub fn shell(&self, name: &str, script: &str) -> JobSpec {
        self.spec(name, &["sh", "-c", script])
    }

    pub async fn start(&self, spec: &JobSpec) -> Box<dyn RunningJob> {
        self.backend.start(spec.clone()).await.unwrap()
    }

    /// Run a job to its end; its report and its log.
    pub async fn run(&self, spec: &JobSpec) -> (JobReport, String) {
        let report = self.start(spec).await.wait().await.unwrap();
        assert_eq!(report.survivors, 0);
        (report, fs::read_to_string(&spec.log).unwrap())
    }

    pub async fn refusal(&self, spec: JobSpec) -> BackendError {
        match self.backend.start(spec).await {
            Ok(_) => panic!("the job should have been refused"),
            Err(error) => error,
        }
    }
}

pub fn output(path: &str, bytes_max: u64) -> Output {
    Output { path: path.to_owned(), bytes_max }
}

/// Processes whose command line holds `marker`, and that are not dead.
pub fn processes(marker: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().parse::<i32>().is_ok())
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(marker))
        .collect()
}

/// Wait until something holds; fail with its name if it does not within ten seconds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
