//! Try to get out of the sandbox, one way per run; and be the launcher in this crate's tests.
//!
//! `hansa-node-provider-probe NAME [ARGUMENT]` exits with 0 and says why if the sandbox held, with 1 if it did not.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

use rustix::io::Errno;

/// What one attempt achieved; an error is what should happen.
type Attempt = io::Result<String>;

fn main() -> ExitCode {
    hansa_node_provider::backend::maybe_run_launcher();
    let mut arguments = std::env::args().skip(1);
    let (name, argument) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    match attempt(&name, &argument) {
        Some(Ok(gained)) => {
            println!("{name}: escaped: {gained}");
            ExitCode::from(1)
        }
        Some(Err(error)) => {
            println!("{name}: held: {error}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("error: there is no probe `{name}`");
            ExitCode::from(2)
        }
    }
}

fn attempt(name: &str, argument: &str) -> Option<Attempt> {
    let pid = argument.parse().unwrap_or(1);
    Some(match name {
        "read" => fs::read_to_string(argument),
        "list" => fs::read_dir(argument).map(|entries| format!("{} entries", entries.count())),
        "write" => fs::write(argument, "x").map(|()| format!("wrote {argument}")),
        "remove" => fs::remove_file(argument).map(|()| format!("removed {argument}")),
        "link" => {
            std::os::unix::fs::symlink(argument, "way-out").and_then(|()| fs::read_to_string("way-out"))
        }
        "hard-link" => fs::hard_link(argument, "way-in").map(|()| "linked".to_owned()),
        "device" => fs::File::open(argument).map(|_| format!("opened {argument}")),
        "environment-of" => {
            fs::read(format!("/proc/{argument}/environ")).map(|bytes| format!("{} bytes", bytes.len()))
        }
        "environment" => environment(),
        "descriptors" => descriptors(),
        "rights" => rights(),
        "limits" => raise_limits(),
        "tcp" => std::net::TcpStream::connect(argument).map(|_| "connected".to_owned()),
        "udp" => std::net::UdpSocket::bind("127.0.0.1:0").map(|_| "bound".to_owned()),
        "local-socket" => std::os::unix::net::UnixStream::connect(argument).map(|_| "connected".to_owned()),
        "abstract-socket" => abstract_socket(argument),
        "datagram-pair" => datagram_pair(argument),
        "memory" => take_memory(usize::MAX),
        "memory-piece" => take_memory(24 << 20),
        "memory-shared-out" => share_memory_out(),
        "disk-hidden" => fill_unseen(Unseen::Removed),
        "disk-mapped" => fill_unseen(Unseen::Mapped),
        "disk-unlisted" => fill_unseen(Unseen::Unlisted),
        "disk-shut" => fill_unseen(Unseen::Shut),
        "disk-deep" => fill_unseen(Unseen::Deep),
        "disk-leaderless" => without_leader(|| fill_unseen(Unseen::Removed)),
        "send-message" => send_message(),
        "leaderless" => without_leader(|| {
            std::thread::sleep(std::time::Duration::from_secs(60));
            Ok("nobody ended it".to_owned())
        }),
        "open-files" => open_files(),
        "set-mode" => fs::set_permissions("probe-mode", mode(argument)).map(|()| format!("mode {argument}")),
        "make-mode" => make_with_mode(argument),
        "mode-of" => fs::set_permissions(argument, mode("777")).map(|()| "mode changed".to_owned()),
        "owner-of" => {
            std::os::unix::fs::lchown(argument, Some(1), Some(1)).map(|()| "owner changed".to_owned())
        }
        "times-of" => fs::File::options()
            .read(true)
            .open(argument)
            .and_then(|file| file.set_modified(std::time::UNIX_EPOCH))
            .map(|()| "times changed".to_owned()),
        "truncate" => {
            fs::OpenOptions::new().write(true).truncate(true).open(argument).map(|_| "emptied".to_owned())
        }
        "rename-out" => {
            fs::write("moved", "x").and_then(|()| fs::rename("moved", argument)).map(|()| "moved".to_owned())
        }
        "terminal" => terminal(),
        "limit-parent" => limit_parent(),
        "queue-signal" | "queue-signal-thread" => queue_signal(name, pid),
        other => return system_call(other, pid).or_else(|| more_calls(other, pid)),
    })
}

/// One raw call per name, with arguments that would do something if it were allowed.
fn system_call(name: &str, pid: i64) -> Option<Attempt> {
    const NEW_USER: i64 = libc::CLONE_NEWUSER as i64;
    let (number, arguments) = match name {
        "ptrace" => (libc::SYS_ptrace, [libc::PTRACE_ATTACH as i64, pid, 0, 0, 0]),
        "memory-of" => (libc::SYS_process_vm_readv, [pid, 0, 0, 0, 0]),
        "signal" => (libc::SYS_kill, [pid, 0, 0, 0, 0]),
        "signal-parent" => (libc::SYS_kill, [i64::from(std::os::unix::process::parent_id()), 0, 0, 0, 0]),
        "signal-all" => (libc::SYS_kill, [-1, 0, 0, 0, 0]),
        "mount" => {
            (libc::SYS_mount, [c"none".as_ptr() as i64, c".".as_ptr() as i64, c"tmpfs".as_ptr() as i64, 0, 0])
        }
        "unmount" => (libc::SYS_umount2, [c"/proc".as_ptr() as i64, libc::MNT_DETACH.into(), 0, 0, 0]),
        "open-tree" => (libc::SYS_open_tree, [libc::AT_FDCWD.into(), c".".as_ptr() as i64, 1, 0, 0]),
        "new-user" => (libc::SYS_unshare, [NEW_USER, 0, 0, 0, 0]),
        "clone-new-user" => (libc::SYS_clone, [NEW_USER | i64::from(libc::SIGCHLD), 0, 0, 0, 0]),
        "clone3" => (libc::SYS_clone3, [0, 0, 0, 0, 0]),
        "setns" => (libc::SYS_setns, [0, 0, 0, 0, 0]),
        "chroot" => (libc::SYS_chroot, [c".".as_ptr() as i64, 0, 0, 0, 0]),
        "keyctl" => (libc::SYS_keyctl, [0, -4, 1, 0, 0]),
        "add-key" => (
            libc::SYS_add_key,
            [c"user".as_ptr() as i64, c"hansa".as_ptr() as i64, c"x".as_ptr() as i64, 1, -3],
        ),
        "io-uring" => {
            let parameters = [0u64; 15];
            return Some(call(libc::SYS_io_uring_setup, [1, parameters.as_ptr() as i64, 0, 0, 0]));
        }
        "bpf" => (libc::SYS_bpf, [0, 0, 0, 0, 0]),
        "perf" => (libc::SYS_perf_event_open, [0, 0, -1, -1, 0]),
        "userfaultfd" => (libc::SYS_userfaultfd, [1, 0, 0, 0, 0]),
        "handle" => (libc::SYS_open_by_handle_at, [libc::AT_FDCWD.into(), 0, 0, 0, 0]),
        "raw-socket" => (libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_RAW.into(), 1, 0, 0]),
        "packet-socket" => (libc::SYS_socket, [libc::AF_PACKET.into(), libc::SOCK_RAW.into(), 0, 0, 0]),
        "netlink-socket" => (libc::SYS_socket, [libc::AF_NETLINK.into(), libc::SOCK_RAW.into(), 0, 0, 0]),
        "six-socket" => (libc::SYS_socket, [libc::AF_INET6.into(), libc::SOCK_STREAM.into(), 0, 0, 0]),
        "personality" => (libc::SYS_personality, [libc::ADDR_NO_RANDOMIZE.into(), 0, 0, 0, 0]),
        "host-name" => (libc::SYS_sethostname, [c"x".as_ptr() as i64, 1, 0, 0, 0]),
        "module" => (libc::SYS_init_module, [0, 0, c"".as_ptr() as i64, 0, 0]),
        "make-device" => (
            libc::SYS_mknodat,
            [libc::AT_FDCWD.into(), c"kmsg".as_ptr() as i64, i64::from(libc::S_IFCHR | 0o666), 0x10b, 0],
        ),
        // The same call under its x32 number, which a filter by number could overlook.
        "other-numbers" => (libc::SYS_getpid | 0x4000_0000, [0; 5]),
        _ => return None,
    };
    Some(call(number, arguments))
}

/// The rest of the raw calls: other processes' pace, memory that outlives a process, the machine's state.
fn more_calls(name: &str, pid: i64) -> Option<Attempt> {
    let parent = i64::from(std::os::unix::process::parent_id());
    let private = i64::from(libc::IPC_PRIVATE);
    let create = i64::from(libc::IPC_CREAT | 0o666);
    let first_second = [1i64, 0];
    let mask = [1u64; 16];
    let thread = i64::from(libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD);
    let (number, arguments) = match name {
        "slow-parent" => (libc::SYS_setpriority, [libc::PRIO_PROCESS.into(), parent, 19, 0, 0]),
        "slow-account" => {
            // To the pace it has, so that it slows down nobody if it is allowed. The kernel tells twenty less the pace.
            let pace = call_six(libc::SYS_getpriority, [0; 6]).map_or(0, |told| 20 - told);
            (libc::SYS_setpriority, [libc::PRIO_USER.into(), 0, pace, 0, 0])
        }
        "pin-parent" => (libc::SYS_sched_setaffinity, [parent, 128, mask.as_ptr() as i64, 0, 0]),
        "shared-memory" => (libc::SYS_shmget, [private, 1 << 20, create, 0, 0]),
        "messages" => (libc::SYS_msgget, [private, create, 0, 0, 0]),
        "semaphores" => (libc::SYS_semget, [private, 1, create, 0, 0]),
        // Files of its own for one thread, which whoever looks at the process does not see. Its stack is no memory: it
        // takes the process down if it is allowed.
        "thread-files" => (libc::SYS_clone, [thread, 16, 0, 0, 0]),
        "close-apart" => (libc::SYS_close_range, [4000, 4001, libc::CLOSE_RANGE_UNSHARE.into(), 0, 0]),
        "message-queue" => (
            libc::SYS_mq_open,
            [c"hansa".as_ptr() as i64, (libc::O_CREAT | libc::O_RDWR).into(), 0o666, 0, 0],
        ),
        "memory-file" => (libc::SYS_memfd_create, [c"hansa".as_ptr() as i64, 0, 0, 0, 0]),
        "memory-secret" => (libc::SYS_memfd_secret, [0, 0, 0, 0, 0]),
        "pivot-root" => (libc::SYS_pivot_root, [c".".as_ptr() as i64, c".".as_ptr() as i64, 0, 0, 0]),
        "swap" => (libc::SYS_swapon, [c"probe".as_ptr() as i64, 0, 0, 0, 0]),
        // The last argument asks for nothing but that control-alt-delete be ignored.
        "reboot" => (libc::SYS_reboot, [0xfee1_dead, 0x2812_1969, 0, 0, 0]),
        "clock-set" => (libc::SYS_clock_settime, [0, first_second.as_ptr() as i64, 0, 0, 0]),
        "day-set" => (libc::SYS_settimeofday, [first_second.as_ptr() as i64, 0, 0, 0, 0]),
        "clock-adjust" => {
            let nothing = [0u64; 32];
            return Some(call(libc::SYS_adjtimex, [nothing.as_ptr() as i64, 0, 0, 0, 0]));
        }
        "domain-name" => (libc::SYS_setdomainname, [c"x".as_ptr() as i64, 1, 0, 0, 0]),
        "kernel-log" => (libc::SYS_syslog, [10, 0, 0, 0, 0]),
        "kernel-load" => (libc::SYS_kexec_load, [0, 0, 0, 0, 0]),
        "handle-of" => (libc::SYS_name_to_handle_at, [libc::AT_FDCWD.into(), c".".as_ptr() as i64, 0, 0, 0]),
        "write-memory-of" => (libc::SYS_process_vm_writev, [pid, 0, 0, 0, 0]),
        "descriptor-of" => (libc::SYS_pidfd_getfd, [0, 0, 0, 0, 0]),
        "watch-all" => (libc::SYS_fanotify_init, [0, 0, 0, 0, 0]),
        "ports" => (libc::SYS_iopl, [3, 0, 0, 0, 0]),
        // open_tree_attr of Linux 6.15, younger than the list of calls this sandbox was made from.
        "young-call" => (467, [libc::AT_FDCWD.into(), c".".as_ptr() as i64, 1, 0, 0]),
        // A call whose arguments no filter can read, because they lie in memory.
        "open-unread" => {
            (libc::SYS_openat2, [libc::AT_FDCWD.into(), c".".as_ptr() as i64, mask.as_ptr() as i64, 24, 0])
        }
        _ => return None,
    };
    let done = call_six(number, [arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], 0]);
    if let Ok(made) = &done {
        remove_shared(number, *made);
    }
    Some(done.map(|result| format!("the call gave {result}")))
}

/// What outlives a process is taken away again: a probe that gets out leaves nothing on the machine.
fn remove_shared(number: i64, made: i64) {
    let remove = i64::from(libc::IPC_RMID);
    let _ = match number {
        libc::SYS_shmget => call(libc::SYS_shmctl, [made, remove, 0, 0, 0]),
        libc::SYS_msgget => call(libc::SYS_msgctl, [made, remove, 0, 0, 0]),
        libc::SYS_semget => call(libc::SYS_semctl, [made, 0, remove, 0, 0]),
        libc::SYS_mq_open => call(libc::SYS_mq_unlink, [c"hansa".as_ptr() as i64, 0, 0, 0, 0]),
        _ => return,
    };
}

fn mode(octal: &str) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(u32::from_str_radix(octal, 8).unwrap_or(0))
}

fn make_with_mode(octal: &str) -> Attempt {
    use std::os::unix::fs::OpenOptionsExt as _;
    let bits = u32::from_str_radix(octal, 8).unwrap_or(0);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(bits)
        .open("made")
        .map(|_| format!("made {octal}"))
}

/// Type a character into whatever terminal there is.
fn terminal() -> Attempt {
    let mut last = io::Error::other("there is no descriptor");
    for descriptor in 0..3 {
        match call(libc::SYS_ioctl, [descriptor, libc::TIOCSTI.cast_signed(), c"x".as_ptr() as i64, 0, 0]) {
            Ok(done) => return Ok(done),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Let the process that watches this job run out of processor time.
fn limit_parent() -> Attempt {
    let parent = i64::from(std::os::unix::process::parent_id());
    let bound = [3600u64, 3600];
    call(libc::SYS_prlimit64, [parent, libc::RLIMIT_CPU.into(), bound.as_ptr() as i64, 0, 0])
}

/// Signal 0 by the calls that carry a value: nothing is delivered, and the right to deliver is checked.
fn queue_signal(name: &str, pid: i64) -> Attempt {
    // Signal, error and origin (SI_QUEUE), as the kernel wants them of ordinary processes.
    let mut information = [0i32; 32];
    information[2] = -1;
    let information = information.as_ptr() as i64;
    if name == "queue-signal" {
        call(libc::SYS_rt_sigqueueinfo, [pid, 0, information, 0, 0])
    } else {
        call(libc::SYS_rt_tgsigqueueinfo, [pid, pid, 0, information, 0])
    }
}

/// Where files that fill the disk are not found by who only looks through the job's folder.
#[derive(Clone, Copy, PartialEq)]
enum Unseen {
    /// Removed, and still open.
    Removed,
    /// Removed, and mapped only.
    Mapped,
    /// In a folder that may be entered and not listed.
    Unlisted,
    /// In a folder that was shut when they were open.
    Shut,
    /// Deeper than a path can say.
    Deep,
}

fn fill_unseen(how: Unseen) -> Attempt {
    const PIECE: usize = 8 << 20;
    let piece = vec![1u8; PIECE];
    let mut held = Vec::new();
    fs::create_dir("room")?;
    std::env::set_current_dir("room")?;
    if how == Unseen::Deep {
        for _ in 0..20 {
            let name = "n".repeat(250);
            fs::create_dir(&name)?;
            std::env::set_current_dir(&name)?;
        }
    }
    if how == Unseen::Unlisted {
        fs::set_permissions(".", mode("300"))?;
    }
    let open = |number| -> io::Result<fs::File> {
        let name = format!("unseen-{number}");
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&name)?;
        if matches!(how, Unseen::Removed | Unseen::Mapped) {
            fs::remove_file(&name)?;
        }
        Ok(file)
    };
    let files = (0..32).map(open).collect::<io::Result<Vec<_>>>()?;
    if how == Unseen::Shut {
        fs::set_permissions(".", mode("400"))?;
    }
    for mut file in files {
        file.write_all(&piece)?;
        if how == Unseen::Mapped {
            let descriptor = i64::from(std::os::fd::AsRawFd::as_raw_fd(&file));
            let place = call_six(libc::SYS_mmap, [0, 4096, 1, 1, descriptor, 0])?;
            held.push(format!("{place:x}"));
        } else {
            std::mem::forget(file);
        }
    }
    println!("holding {} MiB and {} maps", 32 * (PIECE >> 20), held.len());
    io::stdout().flush()?;
    std::thread::sleep(std::time::Duration::from_secs(15));
    Ok("nobody minded".to_owned())
}

/// Send a message that could take open files along.
fn send_message() -> Attempt {
    use std::os::fd::AsRawFd as _;
    let (one, _other) = std::os::unix::net::UnixStream::pair()?;
    let content = [0u8; 1];
    let pieces = [content.as_ptr() as u64, 1];
    // Address and its length, pieces and their number, control and its length, flags.
    let message = [0, 0, pieces.as_ptr() as u64, 1, 0, 0, 0];
    call(libc::SYS_sendmsg, [one.as_raw_fd().into(), message.as_ptr() as i64, 0, 0, 0])
}

/// Go on in a second thread while the first one ends: the process then looks as if it were dead.
fn without_leader(goes_on: fn() -> Attempt) -> Attempt {
    std::thread::spawn(move || {
        let gained = goes_on();
        std::process::exit(i32::from(gained.is_ok()));
    });
    call(libc::SYS_exit, [0; 5])
}

fn open_files() -> Attempt {
    let mut held = Vec::new();
    loop {
        match fs::File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) if held.len() < 64 => return Err(error),
            Err(error) => return Ok(format!("{} files: {error}", held.len())),
        }
    }
}

/// A system call by number: safe wrappers check first what the sandbox is there to refuse.
#[allow(unsafe_code, reason = "the probe asks the kernel directly for what safe wrappers do not offer")]
fn call_six(number: i64, arguments: [i64; 6]) -> io::Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: every pointer passed is null, to a string with its end, or to a buffer that outlives the call; memory is
    // mapped only where the kernel chooses.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == 0 && number == libc::SYS_clone {
        // The child of a clone that was not refused: only the parent reports.
        std::process::exit(0);
    }
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn call(number: i64, arguments: [i64; 5]) -> Attempt {
    let [a, b, c, d, e] = arguments;
    call_six(number, [a, b, c, d, e, 0]).map(|result| format!("the call gave {result}"))
}

fn environment() -> Attempt {
    let allowed = hansa_node_provider::backend::ENVIRONMENT_ALLOWED;
    // A shell between the supervisor and us may set its own; a job's first process has none but these.
    let leaked: Vec<String> =
        std::env::vars().map(|(name, _)| name).filter(|name| !allowed.contains(&name.as_str())).collect();
    if leaked.is_empty() {
        Err(io::Error::other("only the job's own variables"))
    } else {
        Ok(leaked.join(" "))
    }
}

fn descriptors() -> Attempt {
    let open: Vec<i64> =
        (3..4096).filter(|descriptor| call(libc::SYS_fcntl, [*descriptor, 1, 0, 0, 0]).is_ok()).collect();
    if open.is_empty() {
        Err(io::Error::other("nothing above standard error is open"))
    } else {
        Ok(format!("{open:?}"))
    }
}

fn rights() -> Attempt {
    use rustix::thread::{capabilities, no_new_privs};
    let sets = capabilities(None)?;
    let held = sets.effective | sets.permitted | sets.inheritable;
    let bounded = (0..41).any(|bit| {
        let capability = rustix::thread::CapabilitySet::from_bits_retain(1 << bit);
        rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(true)
    });
    if !held.is_empty() || !no_new_privs()? || rustix::process::geteuid().is_root() {
        return Ok(format!("capabilities {held:?}, account {:?}", rustix::process::geteuid()));
    }
    Err(io::Error::other(format!("no capability; some in the bounding set: {bounded}")))
}

fn raise_limits() -> Attempt {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for resource in
        [Resource::Nproc, Resource::As, Resource::Fsize, Resource::Nofile, Resource::Cpu, Resource::Core]
    {
        let Some(most) = getrlimit(resource).maximum else {
            return Ok(format!("{resource:?} is not limited"));
        };
        let more = Rlimit { current: Some(most + 1), maximum: Some(most + 1) };
        match setrlimit(resource, more) {
            Err(Errno::PERM | Errno::INVAL) => {}
            other => return Ok(format!("{resource:?}: {other:?}")),
        }
    }
    Err(io::Error::other("no limit can be raised"))
}

fn abstract_socket(name: &str) -> Attempt {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    std::os::unix::net::UnixStream::connect_addr(&address).map(|_| "connected".to_owned())
}

/// A datagram socket of a pair needs no `connect` to reach another one.
fn datagram_pair(path: &str) -> Attempt {
    let (socket, _other) = UnixDatagram::pair()?;
    socket.send_to(b"x", path).map(|bytes| format!("sent {bytes} bytes"))
}

/// Take memory up to `bytes`, a piece at a time, and hold it until the job is ended.
fn take_memory(bytes: usize) -> Attempt {
    const PIECE: usize = 1 << 20;
    let mut held = Vec::new();
    while held.len() < bytes / PIECE && held.len() < 4096 {
        let mut piece: Vec<u8> = Vec::new();
        if piece.try_reserve_exact(PIECE).is_err() {
            return Err(io::Error::other(format!("memory ended after {} MiB", held.len())));
        }
        // Not zero: the system hands out pages only when something is written to them.
        piece.resize(PIECE, 1);
        held.push(piece);
    }
    println!("holding {} MiB", held.len());
    io::stdout().flush()?;
    std::thread::sleep(std::time::Duration::from_secs(60));
    Ok(format!("{} MiB", held.len()))
}

/// Each process within its own bound, all together far over it.
fn share_memory_out() -> Attempt {
    let children: Vec<_> = (0..8)
        .map(|_| std::process::Command::new("./probe").arg("memory-piece").spawn())
        .collect::<Result<_, _>>()?;
    let taken = take_memory(24 << 20)?;
    Ok(format!("{} children and {taken}", children.len()))
}
