//! Child processes: started with a log and a group of their own, bound to the life of their parent unless they are to outlive
//! it, found again by another process, and ended.

use crate::error::{TestnetError, file_error};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a process may take to end after it was asked to, before it is killed.
pub const GRACE: Duration = Duration::from_secs(10);

/// How often a process that is no child of ours is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The most bytes read from the end of a log.
const TAIL_BYTES_MAX: u64 = 64 * 1024;

/// A process, told apart from a later one that got the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessRecord {
    /// Its number.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot; none where the system does not tell.
    pub started_ticks: Option<u64>,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What people call it.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where its output goes, after what is there.
    pub log: PathBuf,
    /// Whether it goes on when its parent ends.
    pub outlives: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was not running.
    WasNot,
    /// By itself after SIGTERM.
    Ended,
    /// By SIGKILL, since it took too long.
    Killed,
}

impl ProcessRecord {
    /// The process of this number, as it is now.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self { pid, started_ticks: stat(pid).map(|stat| stat.started_ticks) }
    }

    /// Whether it runs: one that ended and was not yet fetched by its parent does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match stat(self.pid) {
            Some(stat) => !stat.ended && self.started_ticks.is_none_or(|ticks| ticks == stat.started_ticks),
            // Where there is no /proc, the number is all there is.
            None => !Path::new("/proc/self/stat").exists() && self.signal_zero(),
        }
    }

    fn signal_zero(&self) -> bool {
        self.raw().is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
    }

    fn raw(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// Kills it and what it started, at once.
    pub fn kill(&self) {
        if let Some(pid) = self.raw().filter(|_| self.is_alive()) {
            // It leads a group of its own; where it has not come that far, it is killed alone. That it ended meanwhile is
            // what was wanted.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Asks it to end, and kills it after [`GRACE`].
    pub async fn stop(&self) -> Stopped {
        let Some(pid) = self.raw().filter(|_| self.is_alive()) else { return Stopped::WasNot };
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        if self.ended_within(GRACE).await {
            return Stopped::Ended;
        }
        self.kill();
        self.ended_within(GRACE).await;
        Stopped::Killed
    }

    /// Waits until it has ended; `false` when it has not in that time.
    pub async fn ended_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while self.is_alive() {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        true
    }
}

struct Stat {
    ended: bool,
    started_ticks: u64,
}

/// What the kernel says about a process; none if there is no such process.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in brackets and may hold anything; the fields after the last bracket do not.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    // The first thread of a killed process may be gone while others still hold its ports and locks.
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    let ended = matches!(state, "Z" | "X") && threads <= 1;
    let started_ticks = fields.nth(1)?.parse().ok()?;
    Some(Stat { ended, started_ticks })
}

/// Starts a process. Its parent must be the one to wait for it, so that it does not stay in the table of processes.
///
/// # Errors
/// When the log cannot be opened or the program not started.
pub fn start(launch: &Launch) -> Result<Child, TestnetError> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&launch.log)
        .map_err(file_error("open the log", &launch.log))?;
    let errors = log.try_clone().map_err(file_error("open the log", &launch.log))?;
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
    bind_to_parent(&mut command, launch.outlives);
    command.spawn().map_err(|error| TestnetError::Start { name: launch.name.clone(), error })
}

/// Gives the child a group of its own, so that Ctrl-C reaches the parent alone and it can end things in order. A child that
/// must not outlive its parent gets SIGTERM when the thread that started it is gone; one that must, gets a session of its own.
#[allow(unsafe_code)]
fn bind_to_parent(command: &mut Command, outlives: bool) {
    let parent = std::process::id();
    let prepare = move || -> std::io::Result<()> {
        if outlives {
            rustix::process::setsid()?;
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
            if now != Some(parent) {
                return Err(rustix::io::Errno::SRCH.into());
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = parent;
        Ok(())
    };
    if !outlives {
        command.process_group(0);
    }
    // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// The last `lines` lines of a log, indented.
#[must_use]
pub fn tail(log: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = match read() {
        Ok(bytes) => bytes,
        Err(error) => return format!("    (it cannot be read: {error})"),
    };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    if all.is_empty() {
        return "    (it is empty)".to_owned();
    }
    let last = &all[all.len().saturating_sub(lines)..];
    last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(folder: &Path, script: &str) -> Launch {
        Launch {
            name: "script".to_owned(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            log: folder.join("log"),
            outlives: false,
        }
    }

    async fn until_logged(folder: &Path, text: &str) {
        while !tail(&folder.join("log"), 5).contains(text) {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    #[tokio::test]
    async fn a_process_is_asked_first_and_killed_with_its_children_when_it_does_not_listen() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = start(&launch(folder.path(), "echo up; exec sleep 600")).unwrap();
        let record = ProcessRecord::of(child.id().unwrap());
        until_logged(folder.path(), "up").await;
        assert!(record.is_alive());
        assert_eq!(record.stop().await, Stopped::Ended);
        assert!(!record.is_alive(), "ended, though not yet waited for");
        child.wait().await.unwrap();
        assert_eq!(record.stop().await, Stopped::WasNot);

        let script = "trap '' TERM; sleep 600 & echo child $!; wait; wait";
        let mut child = start(&launch(folder.path(), script)).unwrap();
        let record = ProcessRecord::of(child.id().unwrap());
        until_logged(folder.path(), "child ").await;
        let text = tail(&folder.path().join("log"), 1);
        let inner = ProcessRecord::of(text.trim().trim_start_matches("child ").parse().unwrap());
        assert!(inner.is_alive());
        record.kill();
        child.wait().await.unwrap();
        assert!(inner.ended_within(GRACE).await, "the group dies as one");
    }

    #[tokio::test]
    async fn another_process_with_the_same_number_is_not_taken_for_it() {
        let own = ProcessRecord::of(std::process::id());
        assert!(own.is_alive());
        let earlier = ProcessRecord { started_ticks: own.started_ticks.map(|ticks| ticks + 1), ..own };
        assert!(!earlier.is_alive());
        assert_eq!(earlier.stop().await, Stopped::WasNot);
    }

    #[test]
    fn the_tail_is_the_end_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(tail(&log, 2).contains("cannot be read"));
        std::fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&log, 2), "    two\n    three");
    }
}
