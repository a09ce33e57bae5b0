//! Ways out of the sandbox, each tried for real in every tier. Those that any process could do without a sandbox are also
//! tried without one, where they must succeed: a probe that cannot get out anywhere proves nothing.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;

use hansa_node_provider::backend::{JobEnd, Tier};

use crate::bench::{Bench, tiers};

/// Which probes get out of a job that runs without a sandbox, under an ordinary account.
#[derive(Clone, Copy, PartialEq)]
enum Alone {
    GetsOut,
    /// Held by the account, the limits or the machine already, or depends on how it is set up.
    MayBeHeld,
}

/// Targets outside the sandbox, all of them open to the job's account as far as files and accounts are concerned.
struct Outside {
    folder: String,
    secret: String,
    victim: String,
    tcp: (TcpListener, String),
    local: (UnixListener, String),
    datagram: (UnixDatagram, String),
    hidden: (UnixListener, String),
}

impl Outside {
    fn new(base: &Path) -> Outside {
        // As root the job runs under another account, to which the targets are opened; otherwise it is the agent's own
        // account, and a folder only the owner can read is no protection against it.
        let root = rustix::process::getuid().is_root();
        let (folder_mode, file_mode) = if root { (0o777, 0o666) } else { (0o700, 0o600) };
        let folder = base.join("agent");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(folder_mode)).unwrap();
        let text = |name: &str| folder.join(name).display().to_string();
        for name in ["key", "victim"] {
            fs::write(text(name), "the agent's key").unwrap();
            fs::set_permissions(text(name), Permissions::from_mode(file_mode)).unwrap();
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let name = format!("hansa-test-{}-{}", std::process::id(), base.display());
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let local = UnixListener::bind(text("stream")).unwrap();
        let datagram = UnixDatagram::bind(text("datagram")).unwrap();
        for socket in ["stream", "datagram"] {
            fs::set_permissions(text(socket), Permissions::from_mode(file_mode)).unwrap();
        }
        Outside {
            secret: text("key"),
            victim: text("victim"),
            tcp: (tcp, address),
            local: (local, text("stream")),
            datagram: (datagram, text("datagram")),
            hidden: (hidden, name),
            folder: folder.display().to_string(),
        }
    }

    fn probes(&self) -> Vec<(&'static str, String, Alone)> {
        use Alone::{GetsOut, MayBeHeld};
        let agent = std::process::id().to_string();
        let none = String::new;
        vec![
            ("read", self.secret.clone(), GetsOut),
            ("read", "../agent/key".into(), GetsOut),
            ("read", "/etc/passwd".into(), GetsOut),
            ("list", self.folder.clone(), GetsOut),
            ("list", "..".into(), GetsOut),
            ("list", "/home".into(), MayBeHeld),
            ("list", "/var".into(), GetsOut),
            ("list", "/sys".into(), MayBeHeld),
            ("write", format!("{}/new", self.folder), GetsOut),
            ("write", self.victim.clone(), GetsOut),
            ("write", "/tmp/hansa-escape-probe".into(), MayBeHeld),
            ("write", "/dev/shm/hansa-escape-probe".into(), MayBeHeld),
            ("write", "/usr/hansa-escape-probe".into(), MayBeHeld),
            ("write", "/proc/sys/kernel/hostname".into(), MayBeHeld),
            ("link", self.secret.clone(), GetsOut),
            ("hard-link", self.secret.clone(), MayBeHeld),
            ("remove", self.victim.clone(), GetsOut),
            ("device", "/dev/vda".into(), MayBeHeld),
            ("device", "/dev/kmsg".into(), MayBeHeld),
            ("device", "/dev/mem".into(), MayBeHeld),
            ("device", "/dev/tty".into(), MayBeHeld),
            ("environment-of", agent.clone(), MayBeHeld),
            ("environment", none(), MayBeHeld),
            ("descriptors", none(), MayBeHeld),
            ("rights", none(), MayBeHeld),
            ("limits", none(), MayBeHeld),
            ("tcp", self.tcp.1.clone(), GetsOut),
            ("udp", none(), GetsOut),
            ("local-socket", self.local.1.clone(), GetsOut),
            ("abstract-socket", self.hidden.1.clone(), GetsOut),
            ("datagram-pair", self.datagram.1.clone(), GetsOut),
            ("ptrace", agent.clone(), MayBeHeld),
            ("memory-of", agent.clone(), MayBeHeld),
            ("signal", agent, MayBeHeld),
            ("signal-parent", none(), GetsOut),
            ("signal-all", none(), GetsOut),
            ("mount", none(), MayBeHeld),
            ("unmount", none(), MayBeHeld),
            ("open-tree", none(), MayBeHeld),
            ("new-user", none(), MayBeHeld),
            ("clone-new-user", none(), MayBeHeld),
            ("clone3", none(), MayBeHeld),
            ("setns", none(), MayBeHeld),
            ("chroot", none(), MayBeHeld),
            ("keyctl", none(), GetsOut),
            ("add-key", none(), MayBeHeld),
            ("io-uring", none(), MayBeHeld),
            ("bpf", none(), MayBeHeld),
            ("perf", none(), MayBeHeld),
            ("userfaultfd", none(), MayBeHeld),
            ("handle", none(), MayBeHeld),
            ("raw-socket", none(), MayBeHeld),
            ("packet-socket", none(), MayBeHeld),
            ("netlink-socket", none(), GetsOut),
            ("six-socket", none(), MayBeHeld),
            ("personality", none(), GetsOut),
            ("host-name", none(), MayBeHeld),
            ("module", none(), MayBeHeld),
            ("make-device", none(), MayBeHeld),
            ("other-numbers", none(), MayBeHeld),
        ]
    }
}

/// A descriptor the agent forgot to mark: every process it starts inherits it.
fn forgotten_descriptor(path: &str) -> fs::File {
    let file = fs::File::open(path).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    file
}

#[tokio::test]
async fn no_probe_gets_out() {
    let mut runs = tiers().await;
    runs.push(Tier::None);
    for tier in runs {
        let bench = Bench::new(tier).await;
        let outside = Outside::new(bench.folder.path());
        let _forgotten = forgotten_descriptor(&outside.secret);
        for (index, (name, argument, alone)) in outside.probes().into_iter().enumerate() {
            // Without a sandbox some of them would reach this test itself: `ptrace` stops it for good.
            if tier == Tier::None && alone == Alone::MayBeHeld {
                continue;
            }
            let spec = bench.spec(&format!("job-{index}"), &["./probe", name, &argument]);
            let (report, log) = bench.run(&spec).await;
            if tier >= Tier::Sandboxed {
                assert_eq!(report.end, JobEnd::Exited(0), "{name} {argument} in {tier:?}: {log}");
                assert!(log.contains(": held: "), "{log}");
            } else {
                assert_eq!(
                    report.end,
                    JobEnd::Exited(1),
                    "{name} {argument} should get out without a sandbox: {log}"
                );
            }
            if tier >= Tier::Sandboxed && name == "clone3" {
                assert!(
                    log.contains("Function not implemented"),
                    "the C library falls back on this only: {log}"
                );
            }
            fs::remove_dir_all(&spec.directory).unwrap();
        }
        if tier >= Tier::Sandboxed {
            assert_eq!(fs::read_to_string(&outside.victim).unwrap(), "the agent's key");
            assert!(!Path::new(&outside.folder).join("new").exists());
        }
        drop((outside.tcp.0, outside.local.0, outside.datagram.0, outside.hidden.0));
    }
}

/// What ordinary programs do still works inside: shells, pipes, threads, local time, temporary files, running what they wrote.
#[tokio::test]
async fn ordinary_work_goes_on() {
    let script = r#"set -e
        seq 1000 | sort -r | head -3 > sorted
        date > /dev/null; dd if=/dev/urandom of=random bs=1k count=4 2> /dev/null
        mkdir deep; cd deep; printf '#!/bin/sh\necho inner $1\n' > tool; chmod +x tool; ./tool works; cd ..
        mv deep/tool here; rm -r deep; ln here hard; cat < /dev/null
        test "$HOME" = "$(pwd)"; test -w "$HOME"; cat "$HOME/sorted"; env | grep -c . "#;
    for tier in tiers().await {
        let bench = Bench::new(tier).await;
        let (report, log) = bench.run(&bench.shell("work", script)).await;
        assert_eq!(report.end, JobEnd::Exited(0), "{tier:?}: {log}");
        assert!(log.starts_with("inner works\n999\n998\n997\n"), "{log}");
    }
}
