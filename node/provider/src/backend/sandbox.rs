//! The processes between the agent and a job, and what they say to each other.
//!
//! ```text
//! agent --- supervise ------------------------- job            tiers 0 and 1
//! agent --- supervise --- [ first process --- job ]             tier 2; [] is the namespace
//! ```
//! All of them are this same program, started again with a hidden first argument, because a sandbox is put on by a
//! process on itself, while it has one thread and before it becomes the job. The supervisor watches limits and kills the
//! tree; it ends the job when its socket to the agent closes, so no job outlives its agent. Messages are JSON lines.

mod calls;
mod enter;
mod files;
mod namespaces;
mod supervisor;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{JobReport, Limits, Tier};

/// The hidden first argument.
pub(crate) const LAUNCH_ARGUMENT: &str = "__sandbox-launch";

/// This program's own file, even when it was replaced or lies where a job's account cannot look.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// The longest message between the processes.
const MESSAGE_BYTES_MAX: u64 = 4 << 20;

/// Everything the sandbox processes need to know about a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub tier: Tier,
    /// Put the sandbox on and stop there, to see whether it can be had.
    pub probe: bool,
    pub argv: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub directory: PathBuf,
    pub limits: Limits,
    /// Further paths the job may read and execute.
    pub readable: Vec<PathBuf>,
    /// Further devices it may use.
    pub devices: Vec<PathBuf>,
    /// As root: the accounts jobs may run under, first and last.
    pub job_uids: (u32, u32),
    /// Processes the job must not signal: the agent, then the supervisor.
    pub guarded: Vec<i32>,
    /// The bound on processes of the job's account; the supervisor counts what the account has already.
    pub account_processes_max: u64,
}

/// What the agent asks of a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    Signal,
    /// The wall time ends no sooner than so long from now.
    Prolong(Duration),
    Kill,
}

/// What a supervisor tells the agent, or a stage its supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The job's program runs.
    Started,
    /// It could not be started.
    Failed(String),
    /// From the first process of a namespace: the job's program ended, by itself or of a signal.
    Exited(i32),
    Signalled(i32),
    /// From the supervisor: the job is over and nothing of it is left.
    Ended(JobReport),
}

/// The processes of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Supervise,
    First,
    Enter,
}

impl Stage {
    const ALL: [Stage; 3] = [Stage::Supervise, Stage::First, Stage::Enter];

    fn name(self) -> &'static str {
        match self {
            Stage::Supervise => "supervise",
            Stage::First => "first",
            Stage::Enter => "enter",
        }
    }
}

/// The name of the stage the agent starts.
pub(crate) const SUPERVISE: &str = "supervise";

/// Be one of the sandbox's processes if this process was started as one; it then never returns.
///
/// Every program that makes a [`LocalBackend`](super::LocalBackend) calls this first in `main`, before it starts a
/// thread or a runtime: the sandbox holds for a process only if it is put on while there is one thread.
pub fn maybe_run_launcher() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(LAUNCH_ARGUMENT)) {
        return;
    }
    let name = arguments.next().unwrap_or_default();
    let Some(stage) = Stage::ALL.into_iter().find(|stage| OsStr::new(stage.name()) == name) else {
        eprintln!("error: `{LAUNCH_ARGUMENT}` is for the provider agent, not for people");
        std::process::exit(2);
    };
    close_inherited();
    let code = match run_stage(stage) {
        Ok(()) => 0,
        Err(reason) => {
            // Whoever started this stage listens on standard input, a socket.
            if let Ok(mut channel) = channel() {
                let _ = send(&mut channel, &Report::Failed(reason));
            }
            125
        }
    };
    std::process::exit(code);
}

fn run_stage(stage: Stage) -> Result<(), String> {
    let channel = channel()?;
    let plan: Plan = receive(&channel)?.ok_or("the starting process went away")?;
    match stage {
        Stage::Supervise => supervisor::supervise(plan, channel),
        Stage::First => enter::first(&plan, channel),
        Stage::Enter => enter::enter(&plan, channel),
    }
}

/// Close every descriptor above standard error: what the agent had open is not for the job. Only descriptors this
/// process inherited are there yet, so nothing of ours is closed.
fn close_inherited() {
    let inherited: Vec<i32> = match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => {
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
        }
        Err(_) => (3..65_536).collect(),
    };
    for descriptor in inherited {
        if descriptor > 2 {
            // One of them was the listing's own and is closed already.
            let _ = nix::unistd::close(descriptor);
        }
    }
}

/// Standard input as the socket it is, duplicated so that it closes when the job's program starts.
fn channel() -> Result<UnixStream, String> {
    let descriptor: OwnedFd = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| format!("cannot use standard input: {error}"))?;
    Ok(UnixStream::from(descriptor))
}

pub(crate) fn message(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut line = serde_json::to_vec(value).map_err(|error| format!("cannot write a message: {error}"))?;
    line.push(b'\n');
    Ok(line)
}

fn send(channel: &mut UnixStream, value: &impl Serialize) -> Result<(), String> {
    let line = message(value)?;
    channel.write_all(&line).map_err(|error| format!("cannot send to the other process: {error}"))
}

/// Read one message. The sender waits for an answer to it, so nothing that follows it can be swallowed here.
fn receive<T: DeserializeOwned>(channel: &UnixStream) -> Result<Option<T>, String> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(channel.take(MESSAGE_BYTES_MAX));
    reader
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("cannot read from the other process: {error}"))?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| format!("cannot read a message: {error}"))
}

/// Start this program again as `stage` and hand it the plan. Its standard output and error are the job's.
fn start_stage(stage: Stage, plan: &Plan) -> Result<(Pid, UnixStream), String> {
    let (mut ours, theirs) = UnixStream::pair().map_err(|error| format!("cannot make a socket: {error}"))?;
    let child = Command::new(OWN_PROGRAM)
        .args([LAUNCH_ARGUMENT, stage.name()])
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(|error| format!("cannot start the stage `{}`: {error}", stage.name()))?;
    // The child is waited for with all other children, by number.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("the child has no number")?;
    send(&mut ours, plan)?;
    Ok((pid, ours))
}
