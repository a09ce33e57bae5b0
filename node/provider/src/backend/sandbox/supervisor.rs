//! Watch one job from outside its sandbox: its end, its limits, its time, and the agent's orders; then leave nothing.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, Uid};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, WaitStatus, getpid, getppid, getuid, pidfd_open,
    set_child_subreaper, set_dumpable_behavior, setsid,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::de::DeserializeOwned;

use super::{Order, Plan, Report, Stage, namespaces, send, start_stage, tree};
use crate::backend::{JobEnd, JobReport, JobUsage, LimitKind, Tier};

/// How often limits are looked at. Looking may cost a twentieth of the time at most, so on a machine with very many
/// processes it is done less often.
const SAMPLE_PERIOD: Duration = Duration::from_millis(100);
const SAMPLE_COST: u32 = 20;
const DISK_PERIOD: Duration = Duration::from_secs(1);

/// Entries looked at in the job's folder; more count as going over the limit.
const ENTRIES_MAX: usize = 1_000_000;

/// Run the job of `plan` to its end and report it.
pub(super) fn supervise(mut plan: Plan, channel: UnixStream) -> Result<(), String> {
    setsid().map_err(|error| format!("cannot start a session: {error}"))?;
    std::env::set_current_dir(&plan.directory)
        .map_err(|error| format!("cannot go to `{}`: {error}", plan.directory.display()))?;
    let own = getpid();
    if getuid().is_root() {
        drop_root(&plan)?;
    }
    set_child_subreaper(Some(own)).map_err(|error| format!("cannot adopt orphans: {error}"))?;
    plan.guarded = getppid().into_iter().chain([own]).map(|pid| pid.as_raw_nonzero().get()).collect();
    plan.account_processes_max = plan.limits.processes_max.saturating_add(match plan.tier {
        // In a user namespace the count starts anew: this process and the first one are in it.
        Tier::Namespaced => 2,
        _ => tree::account_threads(getuid().as_raw()),
    });
    let stage = if plan.tier >= Tier::Namespaced {
        namespaces::prepare()?;
        Stage::First
    } else {
        Stage::Enter
    };
    let (main, stage) = start_stage(stage, &plan)?;
    let mut watch = Watch::new(&plan, main, Messages::new(channel)?, Messages::new(stage)?);
    let end = watch.run();
    // The kernel does not count what it kills with a namespace, so what was used is read before and after.
    let ticks = tree::ticks(&tree::descendants());
    let survivors = tree::kill(|_, _| {});
    let Watch { orders, failed, mut usage, started, .. } = watch;
    let report = match (failed, end) {
        (Some(reason), _) => Report::Failed(reason),
        (None, end) => {
            usage.wall_ms = milliseconds(started.elapsed());
            usage.cpu_ms = usage.cpu_ms.max(ticks_ms(tree::ticks(&[]).max(ticks)));
            Report::Ended(JobReport { end, usage, survivors })
        }
    };
    let mut channel = orders.into_blocking()?;
    // Nobody may be listening any more; the tree is gone, and that is what matters.
    let _ = send(&mut channel, &report);
    Ok(())
}

/// As root, leave root: the job's processes get an account that has nothing else, and the job's folder with it.
fn drop_root(plan: &Plan) -> Result<(), String> {
    let (first, last) = plan.job_uids;
    let count = u64::from(last.saturating_sub(first)) + 1;
    // Start at a place that differs between supervisors, so that two do not pick one account.
    let offset = u64::from(std::process::id()) % count;
    let account = (0..count)
        .filter_map(|step| u32::try_from((offset + step) % count).ok())
        .map(|step| first + step)
        .find(|uid| *uid != 0 && tree::account_threads(*uid) == 0)
        .ok_or("every account set aside for jobs is in use")?;
    give(Path::new("."), account)?;
    let (uid, gid) = (Uid::from_raw(account), Gid::from_raw(account));
    set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .map_err(|error| format!("cannot change to the account {account}: {error}"))?;
    // Changing the account hides a process's own /proc entries from it; there is no secret in this one.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(|error| format!("cannot use /proc: {error}"))
}

fn give(path: &Path, account: u32) -> Result<(), String> {
    let failed = |error| format!("cannot hand `{}` to the job's account: {error}", path.display());
    lchown(path, Some(account), Some(account)).map_err(failed)?;
    if path.symlink_metadata().map_err(failed)?.is_dir() {
        for entry in path.read_dir().map_err(failed)? {
            give(&entry.map_err(failed)?.path(), account)?;
        }
    }
    Ok(())
}

struct Watch<'a> {
    plan: &'a Plan,
    main: Pid,
    orders: Messages,
    stage: Messages,
    pidfd: Option<OwnedFd>,
    started: Instant,
    running: bool,
    failed: Option<String>,
    noticed: bool,
    /// When the job has to end, counted from its start.
    wall: Duration,
    usage: JobUsage,
    sample_next: Instant,
    disk_next: Instant,
}

impl<'a> Watch<'a> {
    fn new(plan: &'a Plan, main: Pid, orders: Messages, stage: Messages) -> Self {
        let started = Instant::now();
        // Before Linux 5.3 there is none; then the samples find the end.
        let pidfd = pidfd_open(main, PidfdFlags::empty()).ok();
        Watch {
            plan,
            main,
            orders,
            stage,
            pidfd,
            started,
            running: false,
            failed: None,
            noticed: false,
            wall: plan.limits.wall,
            usage: JobUsage::default(),
            sample_next: started + SAMPLE_PERIOD,
            disk_next: started + DISK_PERIOD,
        }
    }

    /// Until something ends the job. Whatever of it still runs then is for the caller to kill.
    fn run(&mut self) -> JobEnd {
        loop {
            self.sleep();
            let mut end = None;
            tree::reap(|pid, status| {
                if pid == self.main {
                    end = Some(status);
                }
            });
            let told = self.hear_stage(end.is_some());
            if self.failed.is_some() {
                return JobEnd::Killed;
            }
            if let Some(end) = told.or(end.map(ended)) {
                return self.judge(end);
            }
            if let Some(end) = self.obey().or_else(|| self.check_time()).or_else(|| self.sample()) {
                return end;
            }
        }
    }

    /// Wait for a message, the end of the first process or the next time to look.
    fn sleep(&self) {
        let wall = self.started + self.wall;
        let next =
            if self.noticed { wall } else { wall.checked_sub(self.plan.limits.notice).unwrap_or(wall) };
        let pause = next.min(self.sample_next).saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: 0, tv_nsec: i64::from(pause.min(Duration::from_millis(999)).subsec_nanos()) };
        let mut sources = vec![PollFd::new(&self.orders.stream, PollFlags::IN)];
        if !self.stage.ended {
            sources.push(PollFd::new(&self.stage.stream, PollFlags::IN));
        }
        if let Some(pidfd) = &self.pidfd {
            sources.push(PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN));
        }
        // Interrupted or not, the loop looks at everything.
        let _ = poll(&mut sources, Some(&timeout));
    }

    /// What the inner process says. If it is dead, what it said before is still in the socket.
    fn hear_stage(&mut self, dead: bool) -> Option<JobEnd> {
        let mut end = None;
        for report in self.stage.take::<Report>() {
            match report {
                Report::Failed(reason) => self.failed = Some(reason),
                Report::Started => self.start(),
                Report::Exited(code) => end = Some(JobEnd::Exited(code)),
                Report::Signalled(signal) => end = Some(JobEnd::Signalled(signal)),
                Report::Ended(_) => {}
            }
        }
        // Without a namespace the socket closes when the program starts; silence means success.
        if self.plan.tier < Tier::Namespaced && (self.stage.ended || dead) && self.failed.is_none() {
            self.start();
        }
        if dead && !self.running && self.failed.is_none() {
            self.failed = Some("the sandbox ended before the job's program started".to_owned());
        }
        end
    }

    fn start(&mut self) {
        if !self.running {
            self.running = true;
            // The agent finds the socket closed if it cannot be told, and so do we, at once.
            let _ = self.orders.say(&Report::Started);
        }
    }

    fn judge(&self, end: JobEnd) -> JobEnd {
        match end {
            JobEnd::Signalled(libc::SIGXCPU) => JobEnd::LimitExceeded(LimitKind::Cpu),
            JobEnd::Signalled(libc::SIGXFSZ) => JobEnd::LimitExceeded(LimitKind::File),
            JobEnd::Signalled(libc::SIGTERM) if self.noticed => JobEnd::TimedOut,
            other => other,
        }
    }

    fn obey(&mut self) -> Option<JobEnd> {
        for order in self.orders.take::<Order>() {
            match order {
                Order::Signal => self.signal_before_end(),
                Order::Prolong(left) => self.prolong(left),
                Order::Kill => return Some(JobEnd::Killed),
            }
        }
        self.orders.ended.then_some(JobEnd::Killed)
    }

    /// An end that is further away than what was told is told anew.
    fn prolong(&mut self, left: Duration) {
        let wall = self.started.elapsed().saturating_add(left);
        if wall > self.wall {
            self.wall = wall;
            self.noticed &= left <= self.plan.limits.notice;
        }
    }

    fn signal_before_end(&self) {
        let first = (self.plan.tier >= Tier::Namespaced).then_some(self.main);
        tree::signal(Signal::TERM, first);
    }

    fn check_time(&mut self) -> Option<JobEnd> {
        let limits = &self.plan.limits;
        let elapsed = self.started.elapsed();
        if elapsed >= self.wall {
            return Some(JobEnd::TimedOut);
        }
        if !self.noticed && !limits.notice.is_zero() && elapsed >= self.wall - limits.notice {
            self.noticed = true;
            self.signal_before_end();
        }
        None
    }

    fn sample(&mut self) -> Option<JobEnd> {
        let now = Instant::now();
        if now < self.sample_next {
            return None;
        }
        let limits = &self.plan.limits;
        let first = (self.plan.tier >= Tier::Namespaced).then_some(self.main);
        let processes = tree::descendants();
        let cpu_ms = ticks_ms(tree::ticks(&processes));
        let (mut memory, mut threads) = (0, 0);
        for process in processes {
            if Some(process.pid) != first {
                threads += process.threads;
                memory += tree::memory_bytes(&process);
            }
        }
        self.usage.cpu_ms = self.usage.cpu_ms.max(cpu_ms);
        self.usage.memory_bytes_peak = self.usage.memory_bytes_peak.max(memory);
        self.usage.processes_peak = self.usage.processes_peak.max(threads);
        let mut over = None;
        if memory > limits.memory_bytes_max {
            over = Some(LimitKind::Memory);
        } else if threads > limits.processes_max {
            over = Some(LimitKind::Processes);
        } else if cpu_ms > limits.cpu_s_max.saturating_mul(1000) {
            over = Some(LimitKind::Cpu);
        } else if now >= self.disk_next {
            if self.unlisted_bytes(first).saturating_add(disk_bytes(Path::new("."))) > limits.disk_bytes_max {
                over = Some(LimitKind::Disk);
            }
            self.disk_next = now + DISK_PERIOD.max(now.elapsed() * SAMPLE_COST);
        }
        self.sample_next = Instant::now() + SAMPLE_PERIOD.max(now.elapsed() * SAMPLE_COST);
        over.map(JobEnd::LimitExceeded)
    }
}

impl Watch<'_> {
    /// Bytes of removed files the job still holds. A process that hides its files counts as over the limit: what cannot be
    /// counted could be anything.
    fn unlisted_bytes(&self, first: Option<Pid>) -> u64 {
        let mut seen = BTreeSet::new();
        let processes = tree::descendants().into_iter().filter(|process| Some(process.pid) != first);
        processes.fold(0u64, |bytes, process| {
            let held = tree::unlisted_bytes(&process, &mut seen, self.plan.limits.file_bytes_max);
            bytes.saturating_add(held.unwrap_or(u64::MAX))
        })
    }
}

fn ended(status: WaitStatus) -> JobEnd {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => JobEnd::Exited(code),
        (None, Some(signal)) => JobEnd::Signalled(signal),
        (None, None) => JobEnd::Killed,
    }
}

/// Bytes a folder takes on the disk, holes not counted. One that cannot be looked through, because it is shut, lies deeper than
/// a path can say or has more than [`ENTRIES_MAX`] entries, counts as all there is.
fn disk_bytes(folder: &Path) -> u64 {
    let (mut bytes, mut entries) = (0u64, 0);
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let listing = match folder.read_dir() {
            Ok(listing) => listing,
            Err(error) if is_gone(&error) => continue,
            Err(_) => return u64::MAX,
        };
        for entry in listing {
            entries += 1;
            let Ok(entry) = entry else { return u64::MAX };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if is_gone(&error) => continue,
                Err(_) => return u64::MAX,
            };
            if entries > ENTRIES_MAX {
                return u64::MAX;
            }
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

/// Whether the job took it away, or put something else there, while it was looked for.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn ticks_ms(ticks: u64) -> u64 {
    ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1)
}

/// One side of a conversation in JSON lines, read without waiting.
struct Messages {
    stream: UnixStream,
    buffer: Vec<u8>,
    ended: bool,
}

impl Messages {
    fn new(stream: UnixStream) -> Result<Messages, String> {
        stream.set_nonblocking(true).map_err(|error| format!("cannot set up a socket: {error}"))?;
        Ok(Messages { stream, buffer: Vec::new(), ended: false })
    }

    /// Every whole message that has come. One that cannot be read is left out: only our own program sends them.
    fn take<T: DeserializeOwned>(&mut self) -> Vec<T> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(bytes) => {
                    self.buffer.extend_from_slice(&chunk[..bytes]);
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
            break;
        }
        let mut messages = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            messages.extend(serde_json::from_slice(&line).ok());
        }
        messages
    }

    fn say(&mut self, report: &Report) -> Result<(), String> {
        send(&mut self.stream, report)
    }

    fn into_blocking(self) -> Result<UnixStream, String> {
        self.stream.set_nonblocking(false).map_err(|error| format!("cannot set up a socket: {error}"))?;
        Ok(self.stream)
    }
}
