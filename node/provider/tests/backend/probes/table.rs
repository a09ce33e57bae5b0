//! The probes: what each tries, what must come of it, and how it is run.

use hansa_node_provider::backend::{JobEnd, LimitKind, Limits};

use super::outside::Outside;

/// What a probe must come to inside the sandbox. What it must not do outside is looked at after every probe.
#[derive(Clone, Copy)]
pub enum Comes {
    /// The attempt fails, with these words of the system's, or with any.
    Refused(&'static str),
    /// The job is ended by this limit.
    Ended(LimitKind),
    /// The job's program dies or is stopped in one of these ways.
    EndedAs(&'static [JobEnd]),
    /// The job may do it with what is its own; nothing of it is left or seen outside.
    Contained,
    /// The job leaves this where an output should be, and collecting it is refused for a reason that holds this.
    Output(&'static str, &'static str),
}

/// Whether the same attempt succeeds without a sandbox, under an ordinary account: a probe that gets out nowhere proves
/// nothing.
#[derive(Clone, Copy, PartialEq)]
pub enum Alone {
    GetsOut,
    /// Held by the account, the limits or the machine already, or depends on how it is set up.
    MayBeHeld,
}

pub struct Probe {
    pub name: &'static str,
    pub tries: &'static str,
    pub comes: Comes,
    pub alone: Alone,
    /// The program `probe` with its first argument, or a script for the shell.
    pub run: Run,
    pub limits: fn(&mut Limits),
}

#[derive(Clone, Copy)]
pub enum Run {
    /// The probe program: what it tries, and on what.
    Program(&'static str, fn(&Outside) -> String),
    Script(&'static str),
}

const NO_RIGHT: Comes = Comes::Refused("Operation not permitted");
const NO_CALL: Comes = Comes::Refused("Function not implemented");
const ANY: Comes = Comes::Refused("");

fn nothing(_: &Outside) -> String {
    String::new()
}

fn same(_: &mut Limits) {}

fn out(
    name: &'static str,
    tries: &'static str,
    program: &'static str,
    on: fn(&Outside) -> String,
    comes: Comes,
) -> Probe {
    Probe { name, tries, comes, alone: Alone::GetsOut, run: Run::Program(program, on), limits: same }
}

fn held(
    name: &'static str,
    tries: &'static str,
    program: &'static str,
    on: fn(&Outside) -> String,
    comes: Comes,
) -> Probe {
    Probe { alone: Alone::MayBeHeld, ..out(name, tries, program, on, comes) }
}

/// Take more of the disk than there is for the job, where it is not easily seen.
fn filling(name: &'static str, tries: &'static str) -> Probe {
    Probe {
        limits: |limits| limits.disk_bytes_max = 100 << 20,
        ..held(name, tries, name, nothing, Comes::Ended(LimitKind::Disk))
    }
}

fn script(
    name: &'static str,
    tries: &'static str,
    script: &'static str,
    limits: fn(&mut Limits),
    comes: Comes,
) -> Probe {
    Probe { name, tries, comes, alone: Alone::MayBeHeld, run: Run::Script(script), limits }
}

pub fn probes() -> Vec<Probe> {
    [files(), processes(), kernel(), network(), resources(), remains()].into_iter().flatten().collect()
}

fn files() -> Vec<Probe> {
    vec![
        out("key", "read the agent's key by its path", "read", |o| o.secret.clone(), ANY),
        out("key-relative", "read it through `..`", "read", |_| "../agent/key".into(), ANY),
        out("key-linked", "read it through a symbolic link", "link", |o| o.secret.clone(), ANY),
        held("key-hard-linked", "link it into the job's folder", "hard-link", |o| o.secret.clone(), ANY),
        out("accounts", "read /etc/passwd", "read", |_| "/etc/passwd".into(), ANY),
        held("passwords", "read /etc/shadow", "read", |_| "/etc/shadow".into(), ANY),
        out("data-list", "list the agent's folder", "list", |o| o.folder.clone(), ANY),
        out("jobs-list", "list the folder of all jobs", "list", |_| "..".into(), ANY),
        held("homes-list", "list /home", "list", |_| "/home".into(), ANY),
        out("state-list", "list /var", "list", |_| "/var".into(), ANY),
        held("system-list", "list /sys", "list", |_| "/sys".into(), ANY),
        out("neighbour", "read a file of a job that runs", "read", |o| o.neighbour_file.clone(), ANY),
        out("neighbour-write", "change it", "write", |o| o.neighbour_file.clone(), ANY),
        out("data-write", "make a file in the agent's folder", "write", |o| format!("{}/new", o.folder), ANY),
        out("data-change", "change a file there", "write", |o| o.victim.clone(), ANY),
        out("data-empty", "empty a file there", "truncate", |o| o.victim.clone(), ANY),
        out("data-remove", "remove a file there", "remove", |o| o.victim.clone(), ANY),
        held("data-move", "move a file over one there", "rename-out", |o| o.victim.clone(), ANY),
        held("data-mode", "open a file there to everybody", "mode-of", |o| o.victim.clone(), ANY),
        held("data-owner", "give a file there away", "owner-of", |o| o.victim.clone(), ANY),
        held("data-times", "change the times of a file there", "times-of", |o| o.victim.clone(), ANY),
        held("temporary-write", "write to /tmp", "write", |_| "/tmp/hansa-escape-probe".into(), ANY),
        held("shared-write", "write to /dev/shm", "write", |_| "/dev/shm/hansa-escape-probe".into(), ANY),
        held("root-write", "write to the root", "write", |_| "/hansa-escape-probe".into(), ANY),
        held("program-write", "write to /usr", "write", |_| "/usr/hansa-escape-probe".into(), ANY),
        held("setting-write", "write a kernel setting", "write", |_| "/proc/sys/kernel/hostname".into(), ANY),
        held("disk-open", "open a disk", "device", |_| "/dev/vda".into(), ANY),
        held("log-open", "open /dev/kmsg", "device", |_| "/dev/kmsg".into(), ANY),
        held("memory-open", "open /dev/mem", "device", |_| "/dev/mem".into(), ANY),
        held("terminal-open", "open the terminal", "device", |_| "/dev/tty".into(), ANY),
        held("terminal-type", "type into the terminal (TIOCSTI)", "terminal", nothing, NO_RIGHT),
        held("device-make", "make a device node", "make-device", nothing, ANY),
        held("set-uid", "make a set-uid program", "set-mode", |_| "4755".into(), NO_RIGHT),
        held("set-gid", "make a set-gid program", "set-mode", |_| "2755".into(), NO_RIGHT),
        held(
            "set-uid-made",
            "make a file that is set-uid from its start",
            "make-mode",
            |_| "4755".into(),
            NO_RIGHT,
        ),
        held(
            "open-unread",
            "open by a call whose arguments no filter can read",
            "open-unread",
            nothing,
            NO_CALL,
        ),
        held("handle-make", "name_to_handle_at", "handle-of", nothing, NO_RIGHT),
        held("handle-open", "open_by_handle_at", "handle", nothing, NO_RIGHT),
        held("watch-all", "fanotify_init", "watch-all", nothing, NO_RIGHT),
    ]
}

fn processes() -> Vec<Probe> {
    let agent = |_: &Outside| std::process::id().to_string();
    let neighbour = |outside: &Outside| outside.neighbour_pid.to_string();
    vec![
        held("agent-environment", "read the agent's /proc/…/environ", "environment-of", agent, ANY),
        held(
            "environment",
            "find a variable of the agent's in its own",
            "environment",
            nothing,
            Comes::Refused("only the job's own"),
        ),
        held(
            "descriptors",
            "find a descriptor the agent forgot to close",
            "descriptors",
            nothing,
            Comes::Refused("nothing above"),
        ),
        held(
            "rights",
            "hold a capability, root, or the chance of new rights",
            "rights",
            nothing,
            Comes::Refused("no capability"),
        ),
        held("limits-raise", "raise a limit of its own", "limits", nothing, Comes::Refused("no limit")),
        held("agent-trace", "ptrace the agent", "ptrace", agent, NO_RIGHT),
        held("agent-memory-read", "process_vm_readv of the agent", "memory-of", agent, NO_RIGHT),
        held("agent-memory-write", "process_vm_writev to the agent", "write-memory-of", agent, NO_RIGHT),
        held("agent-descriptor", "pidfd_getfd", "descriptor-of", nothing, NO_RIGHT),
        held("agent-signal", "signal the agent", "signal", agent, ANY),
        held("agent-signal-queue", "signal it by rt_sigqueueinfo", "queue-signal", agent, ANY),
        held(
            "agent-signal-thread",
            "signal its thread by rt_tgsigqueueinfo",
            "queue-signal-thread",
            agent,
            ANY,
        ),
        held("neighbour-signal", "signal a process of another job", "signal", neighbour, ANY),
        out("parent-signal", "signal the process that watches the job", "signal-parent", nothing, ANY),
        out("parent-limit", "give that process an hour of processor time", "limit-parent", nothing, NO_RIGHT),
        out("parent-slow", "slow it down", "slow-parent", nothing, ANY),
        out("parent-pin", "pin it to one processor", "pin-parent", nothing, ANY),
        held("account-slow", "slow down every process of the account", "slow-account", nothing, NO_RIGHT),
        out("all-signal", "signal every process there is", "signal-all", nothing, NO_RIGHT),
    ]
}

fn kernel() -> Vec<Probe> {
    vec![
        held("mount", "mount", "mount", nothing, NO_RIGHT),
        held("unmount", "umount2", "unmount", nothing, NO_RIGHT),
        held("open-tree", "open_tree", "open-tree", nothing, NO_RIGHT),
        held("pivot-root", "pivot_root", "pivot-root", nothing, NO_RIGHT),
        held("chroot", "chroot", "chroot", nothing, NO_RIGHT),
        held("namespace-join", "setns", "setns", nothing, NO_RIGHT),
        held("namespace-user", "unshare a user namespace", "new-user", nothing, NO_RIGHT),
        held("namespace-clone", "clone into a user namespace", "clone-new-user", nothing, NO_RIGHT),
        held("thread-files", "start a thread with open files of its own", "thread-files", nothing, NO_RIGHT),
        held(
            "close-apart",
            "get a thread open files of its own (close_range)",
            "close-apart",
            nothing,
            NO_RIGHT,
        ),
        held("clone3", "clone3, whose flags no filter can read", "clone3", nothing, NO_CALL),
        out("keys-list", "keyctl", "keyctl", nothing, NO_RIGHT),
        held("keys-add", "add_key", "add-key", nothing, NO_RIGHT),
        held("io-uring", "io_uring_setup", "io-uring", nothing, NO_RIGHT),
        held("bpf", "bpf", "bpf", nothing, NO_RIGHT),
        held("perf", "perf_event_open", "perf", nothing, NO_RIGHT),
        held("userfaultfd", "userfaultfd", "userfaultfd", nothing, NO_RIGHT),
        out("personality", "switch address randomisation off", "personality", nothing, NO_RIGHT),
        held("module", "load a kernel module", "module", nothing, NO_RIGHT),
        held("kernel-load", "kexec_load", "kernel-load", nothing, NO_RIGHT),
        held("kernel-log", "read the kernel's log", "kernel-log", nothing, NO_RIGHT),
        held("reboot", "reboot", "reboot", nothing, NO_RIGHT),
        held("swap", "swapon", "swap", nothing, NO_RIGHT),
        held("ports", "reach the machine's ports (iopl)", "ports", nothing, ANY),
        held("host-name", "sethostname", "host-name", nothing, NO_RIGHT),
        held("domain-name", "setdomainname", "domain-name", nothing, NO_RIGHT),
        held("clock-set", "clock_settime", "clock-set", nothing, NO_RIGHT),
        held("day-set", "settimeofday", "day-set", nothing, NO_RIGHT),
        out("clock-adjust", "adjtimex", "clock-adjust", nothing, NO_RIGHT),
        held("other-numbers", "a call under its x32 number", "other-numbers", nothing, NO_CALL),
        held("young-call", "a call younger than the filter's list", "young-call", nothing, NO_CALL),
    ]
}

fn network() -> Vec<Probe> {
    vec![
        out("tcp", "connect to a port of this machine", "tcp", |o| o.tcp.1.clone(), NO_RIGHT),
        held("tcp-out", "connect to another machine", "tcp", |_| "192.0.2.1:443".into(), NO_RIGHT),
        out("udp", "a UDP socket, as for DNS", "udp", nothing, NO_RIGHT),
        held("six", "an IPv6 socket", "six-socket", nothing, NO_RIGHT),
        held("raw", "a raw socket", "raw-socket", nothing, NO_RIGHT),
        held("packet", "a packet socket", "packet-socket", nothing, NO_RIGHT),
        out("netlink", "a netlink socket", "netlink-socket", nothing, NO_RIGHT),
        out(
            "local",
            "connect to a local socket of the machine",
            "local-socket",
            |o| o.local.1.clone(),
            NO_RIGHT,
        ),
        out("abstract", "connect to an abstract one", "abstract-socket", |o| o.hidden.1.clone(), NO_RIGHT),
        out(
            "datagram",
            "send from a pair of sockets to one",
            "datagram-pair",
            |o| o.datagram.1.clone(),
            NO_RIGHT,
        ),
    ]
}

fn resources() -> Vec<Probe> {
    vec![
        script(
            "fork-bomb",
            "multiply",
            "f() { f | f & }; f; while :; do f; sleep 0.05; done",
            |limits| (limits.processes_max, limits.wall) = (24, std::time::Duration::from_secs(1)),
            Comes::EndedAs(&[
                JobEnd::TimedOut,
                JobEnd::LimitExceeded(LimitKind::Processes),
                JobEnd::Exited(2),
            ]),
        ),
        Probe {
            limits: |limits| limits.memory_bytes_max = 64 << 20,
            ..held("memory", "take memory without end", "memory", nothing, Comes::Refused("memory ended"))
        },
        Probe {
            limits: |limits| limits.memory_bytes_max = 100 << 20,
            ..held(
                "memory-many",
                "take it in many processes",
                "memory-shared-out",
                nothing,
                Comes::Ended(LimitKind::Memory),
            )
        },
        held(
            "memory-file",
            "take it as files in memory, and run them (memfd)",
            "memory-file",
            nothing,
            NO_RIGHT,
        ),
        held("memory-secret", "take it where nobody can look (memfd_secret)", "memory-secret", nothing, ANY),
        out(
            "shared-memory",
            "take it as shared memory that outlives the job, for another job",
            "shared-memory",
            nothing,
            NO_RIGHT,
        ),
        out("messages", "leave messages for another job (msgget)", "messages", nothing, NO_RIGHT),
        out("semaphores", "leave semaphores (semget)", "semaphores", nothing, NO_RIGHT),
        held("message-queue", "leave a message queue (mq_open)", "message-queue", nothing, NO_RIGHT),
        script(
            "processor",
            "use more processor time",
            "while :; do :; done",
            |limits| limits.cpu_s_max = 1,
            Comes::Ended(LimitKind::Cpu),
        ),
        script(
            "wall",
            "run longer, whatever it is told",
            "trap '' TERM HUP INT; while :; do sleep 0.05; done",
            |limits| limits.wall = std::time::Duration::from_millis(300),
            Comes::EndedAs(&[JobEnd::TimedOut]),
        ),
        script(
            "file-size",
            "write one huge file",
            "exec head -c 9000000 /dev/zero > huge",
            |limits| limits.file_bytes_max = 1 << 20,
            Comes::Ended(LimitKind::File),
        ),
        script(
            "disk",
            "fill the disk with many files",
            "i=0; while :; do head -c 900000 /dev/urandom > f$i; i=$((i+1)); sleep 0.01; done",
            |limits| limits.disk_bytes_max = 40 << 20,
            Comes::Ended(LimitKind::Disk),
        ),
        filling("disk-hidden", "fill it with files no folder lists"),
        filling("disk-mapped", "fill it with removed files that are only mapped"),
        filling("disk-leaderless", "hold such files in a process whose first thread has ended"),
        filling("disk-unlisted", "fill a folder that may be entered and not listed"),
        filling("disk-shut", "fill files in a folder that was shut when they were open"),
        filling("disk-deep", "fill a folder deeper than a path can say"),
        held(
            "disk-in-flight",
            "send removed files away in a message (sendmsg)",
            "send-message",
            nothing,
            NO_RIGHT,
        ),
        Probe {
            limits: |limits| limits.wall = std::time::Duration::from_millis(800),
            ..held(
                "leaderless",
                "stay after the job as a process whose first thread has ended",
                "leaderless",
                nothing,
                Comes::EndedAs(&[JobEnd::TimedOut]),
            )
        },
        held(
            "open-files",
            "open more files than it may",
            "open-files",
            nothing,
            Comes::Refused("Too many open files"),
        ),
    ]
}

fn remains() -> Vec<Probe> {
    vec![
        script(
            "daemon",
            "leave a process in a session of its own",
            "setsid sleep 300 & exit 0",
            same,
            Comes::Contained,
        ),
        script(
            "daemon-forked-twice",
            "leave one that is nobody's child and ignores signals",
            "(trap '' TERM HUP INT; setsid sh -c '(trap \"\" TERM; while :; do sleep 300; done) & exit 0' &); exit 0",
            same,
            Comes::Contained,
        ),
        script(
            "core",
            "leave a core dump",
            "ulimit -c unlimited 2> /dev/null; kill -SEGV $$",
            same,
            Comes::EndedAs(&[JobEnd::Signalled(11)]),
        ),
        script(
            "inputs",
            "write into its input files",
            "rm -f input; echo changed > input; echo changed > hard",
            same,
            Comes::Contained,
        ),
        script(
            "output-link",
            "a symbolic link to the key as output",
            "ln -s ../agent/key out",
            same,
            Comes::Output("out", "symbolic link"),
        ),
        script(
            "output-folder-link",
            "a symbolic link on an output's path",
            "ln -s ../agent out",
            same,
            Comes::Output("out/key", "symbolic link"),
        ),
        script(
            "output-up",
            "`..` in an output's name",
            "mkdir out",
            same,
            Comes::Output("out/../../agent/key", "leads out"),
        ),
        script("output-absolute", "an absolute output", ":", same, Comes::Output("/etc/passwd", "leads out")),
        script(
            "output-pipe",
            "a pipe as output",
            "mkfifo out",
            same,
            Comes::Output("out", "not a regular file"),
        ),
        script(
            "output-huge",
            "an output of sixty megabytes with nothing in it",
            "truncate -s 60M out",
            same,
            Comes::Output("out", "the job may return"),
        ),
        script(
            "output-many",
            "leave two thousand files beside its output",
            "mkdir many; i=0; while [ $i -lt 2000 ]; do : > many/$i; i=$((i+1)); done; mkdir out",
            same,
            Comes::Output("out", "not a regular file"),
        ),
    ]
}
