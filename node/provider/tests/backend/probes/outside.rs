//! What lies outside the sandbox, all of it open to the job's account as far as files and accounts are concerned; and the
//! look, after every probe, whether any of it was touched.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use hansa_node_provider::backend::{JobReport, JobSpec, RunningJob};

use crate::bench::{Bench, exists, until};

const SECRET: &str = "the agent's key";

/// Places outside where a probe tries to leave a file.
const TRACES: [&str; 4] = [
    "/tmp/hansa-escape-probe",
    "/dev/shm/hansa-escape-probe",
    "/hansa-escape-probe",
    "/usr/hansa-escape-probe",
];

pub struct Outside {
    pub folder: String,
    pub secret: String,
    pub victim: String,
    pub tcp: (TcpListener, String),
    pub local: (UnixListener, String),
    pub datagram: (UnixDatagram, String),
    pub hidden: (UnixListener, String),
    /// A file of another job that runs all the while, and one of that job's processes.
    pub neighbour_file: String,
    pub neighbour_pid: i32,
    _neighbour: Box<dyn RunningJob>,
    before: Vec<String>,
    clocks: (Instant, SystemTime),
}

impl Outside {
    pub async fn new(bench: &Bench) -> Outside {
        // As root the job runs under another account, to which the targets are opened; otherwise it is the agent's own
        // account, and a folder only the owner can read is no protection against it.
        let base = bench.folder.path();
        let root = rustix::process::getuid().is_root();
        let (folder_mode, file_mode) = if root { (0o777, 0o666) } else { (0o700, 0o600) };
        let folder = base.join("agent");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(folder_mode)).unwrap();
        let text = |name: &str| folder.join(name).display().to_string();
        for name in ["key", "victim"] {
            fs::write(text(name), SECRET).unwrap();
            fs::set_permissions(text(name), Permissions::from_mode(file_mode)).unwrap();
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let name = format!("hansa-test-{}-{}", std::process::id(), base.display());
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        hidden.set_nonblocking(true).unwrap();
        let local = UnixListener::bind(text("stream")).unwrap();
        local.set_nonblocking(true).unwrap();
        let datagram = UnixDatagram::bind(text("datagram")).unwrap();
        datagram.set_nonblocking(true).unwrap();
        for socket in ["stream", "datagram"] {
            fs::set_permissions(text(socket), Permissions::from_mode(file_mode)).unwrap();
        }
        let (neighbour, neighbour_file, neighbour_pid) = neighbour(bench).await;
        let mut outside = Outside {
            secret: text("key"),
            victim: text("victim"),
            tcp: (tcp, address),
            local: (local, text("stream")),
            datagram: (datagram, text("datagram")),
            hidden: (hidden, name),
            folder: folder.display().to_string(),
            neighbour_file,
            neighbour_pid,
            _neighbour: neighbour,
            before: Vec::new(),
            clocks: (Instant::now(), SystemTime::now()),
        };
        outside.before = outside.state();
        outside
    }

    /// Whatever of the outside a job could change: files with their content, owner, mode and time; names; limits.
    fn state(&self) -> Vec<String> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.extend([PathBuf::from(&self.folder), PathBuf::from(&self.neighbour_file)]);
        paths.sort();
        let mut state: Vec<String> = paths
            .iter()
            .map(|path| {
                let metadata = fs::symlink_metadata(path).unwrap();
                let content =
                    if metadata.is_file() { fs::read_to_string(path).unwrap() } else { String::new() };
                let changed = if metadata.is_file() { metadata.mtime() } else { 0 };
                let (mode, owner, links) = (metadata.mode(), metadata.uid(), metadata.nlink());
                format!("{} {mode:o} {owner} {links} {changed} {content}", path.display())
            })
            .collect();
        for file in ["/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/proc/self/limits"] {
            state.push(fs::read_to_string(file).unwrap());
        }
        state.extend(TRACES.iter().filter(|path| exists(Path::new(path))).map(|path| format!("left {path}")));
        state
    }

    /// Nothing outside is other than before, nothing reached a socket, nothing of the job is left, its log holds no secret.
    pub fn untouched(&self, probe: &str, spec: &JobSpec, report: &JobReport, log: &str) {
        assert_eq!(self.state(), self.before, "{probe} changed what lies outside: {log}");
        assert!(!log.contains(SECRET) && !log.contains("escaped"), "{probe}: {log}");
        assert!(self.tcp.0.accept().is_err(), "{probe} reached a port");
        assert!(self.local.0.accept().is_err(), "{probe} reached a socket");
        assert!(self.hidden.0.accept().is_err(), "{probe} reached an abstract socket");
        assert!(self.datagram.0.recv(&mut [0; 8]).is_err(), "{probe} sent a datagram");
        assert!(Path::new(&format!("/proc/{}", self.neighbour_pid)).exists(), "{probe} ended another job");
        let (monotonic, wall) = (self.clocks.0.elapsed(), self.clocks.1.elapsed().unwrap_or_default());
        assert!(monotonic.abs_diff(wall).as_secs() < 3600, "{probe} set the clock");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&spec.directory.display().to_string()), "{probe} left a mount: {mounts}");
        assert_eq!(report.survivors, 0, "{probe}");
        assert_eq!(within(&spec.directory), Vec::<i32>::new(), "{probe} left processes");
        let most = spec.limits.processes_max + 1;
        assert!(report.usage.processes_peak <= most, "{probe}: {report:?}");
        remains(probe, &spec.directory);
    }
}

/// No file of a job grants its account, is a device, or is a picture of its memory.
fn remains(probe: &str, folder: &Path) {
    // What a job shut, its owner may open; only root needs not.
    fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let metadata = entry.metadata().unwrap();
        let kind = metadata.file_type();
        let name = entry.file_name();
        assert_eq!(metadata.mode() & 0o6000, 0, "{probe} left {name:?} with the rights of its account");
        assert!(!kind.is_char_device() && !kind.is_block_device(), "{probe} left the device {name:?}");
        assert!(!name.to_string_lossy().starts_with("core"), "{probe} left {name:?}");
        // Deeper down a path cannot say where it lies.
        if metadata.is_dir() && entry.path().as_os_str().len() < 3_000 {
            remains(probe, &entry.path());
        }
    }
}

/// Processes that work in a folder, wherever they stand in the tree of processes. Each thread is looked at: the first one
/// of a process may have ended.
fn within(folder: &Path) -> Vec<i32> {
    let works =
        |thread: PathBuf| fs::read_link(thread.join("cwd")).is_ok_and(|place| place.starts_with(folder));
    let threads = |process: &Path| fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, process)| threads(process).any(|thread| works(thread.path())))
        .map(|(pid, _)| pid)
        .collect()
}

/// Another job, which keeps a file anybody could read if it could get there.
async fn neighbour(bench: &Bench) -> (Box<dyn RunningJob>, String, i32) {
    let script = "echo the neighbour > own; chmod 666 own; exec sleep 3600";
    let mut spec = bench.shell("next-door", script);
    spec.limits.wall = std::time::Duration::from_secs(36_000);
    let job = bench.start(&spec).await;
    let sleeps =
        |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n");
    let mut pid = None;
    until("the neighbour", || {
        pid = within(&spec.directory).into_iter().find(sleeps);
        pid.is_some()
    })
    .await;
    (job, spec.directory.join("own").display().to_string(), pid.expect("the neighbour runs"))
}
