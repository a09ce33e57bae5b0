//! See, signal and kill every process below this one, whatever session or process group it moved to.
//!
//! The supervisor is a subreaper: a process whose parent ends becomes its child, so none can leave the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

/// How long to wait for killed processes to be gone.
const KILL_WAIT_MAX: Duration = Duration::from_secs(10);

/// One process of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: Pid,
    /// User and system time of it and of its waited-for children, in clock ticks.
    pub ticks: u64,
    pub threads: u64,
    /// A thread that has not ended. The first one may have, while others go on: then what `/proc` tells of the process
    /// under its own number is that of a dead one.
    thread: Pid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    ticks: u64,
    ticks_children: u64,
    threads: u64,
    /// Its first thread has ended.
    dead: bool,
    /// Its address space: none from the moment it is about to end.
    space_bytes: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may itself hold spaces and parentheses.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(11)? + number(12)?,
        ticks_children: number(13)? + number(14)?,
        threads: number(17)?,
        dead: matches!(*fields.first()?, "Z" | "X"),
        space_bytes: number(20)?,
    })
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn processes() -> BTreeMap<i32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

/// A thread of a process that has not ended, if there is one.
fn thread(pid: Pid, first: Stat) -> Option<Pid> {
    if !first.dead {
        return Some(pid);
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).ok()?;
    threads
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|thread| stat(*thread).is_some_and(|stat| !stat.dead))
        .and_then(Pid::from_raw)
}

/// Every process below this one. Those that ended and wait to be reaped are left out.
pub(super) fn descendants() -> Vec<Process> {
    let all = processes();
    let own = getpid().as_raw_nonzero().get();
    let mut found = Vec::new();
    let mut parents = vec![own];
    while let Some(parent) = parents.pop() {
        for (pid, stat) in all.iter().filter(|(_, stat)| stat.parent == parent) {
            parents.push(*pid);
            if let Some(pid) = Pid::from_raw(*pid)
                && let Some(thread) = thread(pid, *stat)
            {
                let ticks = stat.ticks + stat.ticks_children;
                found.push(Process { pid, ticks, threads: stat.threads, thread });
            }
        }
    }
    found
}

/// Clock ticks used so far, by these processes and those that were waited for.
pub(super) fn ticks(processes: &[Process]) -> u64 {
    let reaped = stat(getpid().as_raw_nonzero().get()).map_or(0, |stat| stat.ticks_children);
    processes.iter().map(|process| process.ticks).sum::<u64>() + reaped
}

/// Bytes of memory that are this process's own or shared memory it has touched; pages of files are the machine's.
pub(super) fn memory_bytes(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.thread.as_raw_nonzero()));
    status
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("RssAnon:") || line.starts_with("RssShmem:"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum::<u64>()
        * 1024
}

/// Bytes on disk of files that no folder lists, because they were removed, and that a process still has open or mapped.
/// `None` if the process hides which those are. `seen` counts each file once; `mapped_bytes` stands for a file that is only
/// mapped, whose size nobody outside can look up.
pub(super) fn unlisted_bytes(process: &Process, seen: &mut BTreeSet<u64>, mapped_bytes: u64) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let thread = process.thread.as_raw_nonzero().get();
    let ends = || stat(thread).is_none_or(|stat| stat.dead || stat.space_bytes == 0);
    // What is about to end belongs to root and holds nothing any more: it does not hide.
    let unread = |error: &std::io::Error, bytes| {
        (error.kind() != std::io::ErrorKind::PermissionDenied || ends()).then_some(bytes)
    };
    let open = match std::fs::read_dir(format!("/proc/{thread}/fd")) {
        Ok(open) => open,
        Err(error) => return unread(&error, 0),
    };
    let mut bytes = 0u64;
    for metadata in open.flatten().filter_map(|entry| std::fs::metadata(entry.path()).ok()) {
        if metadata.is_file() && metadata.nlink() == 0 && seen.insert(metadata.ino()) {
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
        }
    }
    let maps = match std::fs::read_to_string(format!("/proc/{thread}/maps")) {
        Ok(maps) => maps,
        Err(error) => return unread(&error, bytes),
    };
    for line in maps.lines().filter(|line| line.ends_with(" (deleted)")) {
        let mut fields = line.split_whitespace().skip(3);
        let inode = fields.nth(1).and_then(|inode| inode.parse().ok());
        // Memory shared between processes is listed as a removed file of this name.
        let memory = fields.next().is_some_and(|name| name == "/dev/zero");
        if let (Some(inode), false) = (inode, memory)
            && seen.insert(inode)
        {
            bytes = bytes.saturating_add(mapped_bytes);
        }
    }
    Some(bytes)
}

/// Processes and threads that run under an account now.
pub(super) fn account_threads(uid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<i32>().ok()?, entry.metadata().ok()?.uid()))
        })
        .filter(|(_, owner)| *owner == uid)
        .filter_map(|(pid, _)| Some(stat(pid)?.threads))
        .sum()
}

/// Signal every process of the tree but `spared`.
pub(super) fn signal(signal: Signal, spared: Option<Pid>) {
    for process in descendants().into_iter().filter(|process| Some(process.pid) != spared) {
        // It may have ended since; that is what was wanted.
        let _ = kill_process(process.pid, signal);
    }
}

/// Reap every child that has ended; `seen` gets each one. True when no child is left.
pub(super) fn reap(mut seen: impl FnMut(Pid, WaitStatus)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => seen(pid, status),
            Ok(None) => return false,
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// Kill the whole tree and wait until it is gone. Returns how many processes would not die.
pub(super) fn kill(mut seen: impl FnMut(Pid, WaitStatus)) -> u64 {
    // Stopped processes cannot fork while we look: a tree that multiplies is frozen first.
    let mut count = 0;
    for _ in 0..16 {
        signal(Signal::STOP, None);
        let now = descendants().len();
        if now == count {
            break;
        }
        count = now;
    }
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        signal(Signal::KILL, None);
        if reap(&mut seen) {
            return 0;
        }
        if started.elapsed() > KILL_WAIT_MAX {
            return descendants().len() as u64;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let rest = "S 41 42 43 0 -1 4194560 1 2 3 4 100 20 7 3 20 0 5 0 99 4096 2";
        for name in ["sh", "a b", "a) Z 1 1", "((x)"] {
            let stat = parse_stat(&format!("44 ({name}) {rest}")).unwrap();
            assert_eq!(
                stat,
                Stat {
                    parent: 41,
                    ticks: 120,
                    ticks_children: 10,
                    threads: 5,
                    dead: false,
                    space_bytes: 4096
                },
                "{name}"
            );
        }
        assert_eq!(parse_stat("44 (sh"), None);
        assert_eq!(parse_stat("44 (sh) S 1"), None);
    }
}
