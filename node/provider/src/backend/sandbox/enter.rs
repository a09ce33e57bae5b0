//! The last steps before a job's program: put the sandbox on this process and become the program.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getppid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use super::calls::Filters;
use super::{Plan, Report, Stage, files, namespaces, send, start_stage, tree};
use crate::backend::Tier;

/// Be the first process of a namespace: start the job in it, reap what it leaves, say how it ended. When this process
/// ends, the kernel kills whatever is left in the namespace.
pub(super) fn first(plan: &Plan, mut channel: UnixStream) -> Result<(), String> {
    die_with_parent(None)?;
    // The job runs under the same account: it must not look into this process.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let (main, stage) = start_stage(Stage::Enter, plan)?;
    let mut answer = String::new();
    // The socket closes when the job's program starts; before that it can only say what failed.
    let read = BufReader::new(&stage).read_line(&mut answer);
    match read.ok().filter(|bytes| *bytes > 0).and_then(|_| serde_json::from_str::<Report>(&answer).ok()) {
        Some(Report::Failed(reason)) => return Err(reason),
        _ => send(&mut channel, &Report::Started)?,
    }
    loop {
        let mut end = None;
        let none_left = tree::reap(|pid, status| {
            if pid == main {
                end = status
                    .exit_status()
                    .map(Report::Exited)
                    .or_else(|| status.terminating_signal().map(Report::Signalled));
            }
        });
        if let Some(end) = end {
            return send(&mut channel, &end);
        }
        if none_left {
            return Err("the job's program was lost".to_owned());
        }
        // Sleeps until some child ends, without taking its status: the loop above does that.
        let ended = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let _ = rustix::process::waitid(rustix::process::WaitId::All, ended);
    }
}

/// Put the sandbox on and become the job's program. Returns only if that fails, or after a probe.
pub(super) fn enter(plan: &Plan, mut channel: UnixStream) -> Result<(), String> {
    let supervisor = plan.guarded.last().copied().filter(|_| plan.tier < Tier::Namespaced);
    die_with_parent(supervisor)?;
    setsid().map_err(|error| format!("cannot start a session: {error}"))?;
    let proc = if plan.tier >= Tier::Namespaced { namespaces::build_root(plan)? } else { false };
    set_no_new_privs(true).map_err(|error| format!("cannot give up gaining rights: {error}"))?;
    if plan.tier >= Tier::Sandboxed {
        files::restrict(plan, proc)?;
    }
    drop_capabilities(plan.tier)?;
    let filters = if plan.tier >= Tier::Sandboxed { Some(Filters::new(plan)?) } else { None };
    let mut command = program(plan)?;
    limit(plan)?;
    if let Some(filters) = &filters {
        filters.apply()?;
    }
    if plan.probe {
        return Ok(());
    }
    let error = run_program(&mut command);
    // The attempt has already replaced standard input, so the caller could no longer report this.
    let reason = format!("cannot run `{}`: {error}", plan.argv.first().map_or("", String::as_str));
    send(&mut channel, &Report::Failed(reason))?;
    std::process::exit(125)
}

/// Become the program. Returns only why it could not.
fn run_program(command: &mut Command) -> std::io::Error {
    const TRIES_MAX: u32 = 100;
    let mut error = command.exec();
    for _ in 1..TRIES_MAX {
        // Another process the agent started while it wrote this file holds it open for writing until it runs its own
        // program: a matter of milliseconds.
        if error.kind() != std::io::ErrorKind::ExecutableFileBusy {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        error = command.exec();
    }
    error
}

/// Have the kernel kill this process when the one that started it ends, and make sure that has not happened already.
fn die_with_parent(expected: Option<i32>) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot tie this process to its parent: {error}"))?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
    if expected.is_some() && parent != expected {
        return Err("the supervisor went away".to_owned());
    }
    Ok(())
}

fn program(plan: &Plan) -> Result<Command, String> {
    let (program, arguments) = plan.argv.split_first().ok_or("the job names no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&plan.environment).stdin(Stdio::null());
    Ok(command)
}

/// Give up every capability, and the chance of getting one back from a program file.
fn drop_capabilities(tier: Tier) -> Result<(), String> {
    let failed = |error: rustix::io::Errno| format!("cannot give up capabilities: {error}");
    let _ = clear_ambient_capability_set();
    // Without the right to shrink the bounding set, `no_new_privs` alone stops program files from granting any.
    for bit in 0..64 {
        let result = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit));
        if result == Err(rustix::io::Errno::INVAL) {
            break;
        }
        if tier >= Tier::Namespaced {
            result.map_err(failed)?;
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(failed)
}

fn limit(plan: &Plan) -> Result<(), String> {
    let limits = &plan.limits;
    // Accelerator drivers reserve far more addresses than they use; there, only memory that can be written counts.
    let addresses = plan.devices.is_empty().then_some(limits.memory_bytes_max);
    let bounds = [
        (Resource::Core, Some(0), Some(0)),
        // The soft bound sends SIGXCPU, which says why; the hard one kills a program that ignores it.
        (Resource::Cpu, Some(limits.cpu_s_max), Some(limits.cpu_s_max.saturating_add(2))),
        (Resource::Fsize, Some(limits.file_bytes_max), Some(limits.file_bytes_max)),
        (Resource::Nofile, Some(limits.open_files_max), Some(limits.open_files_max)),
        (Resource::Nproc, Some(plan.account_processes_max), Some(plan.account_processes_max)),
        (Resource::Memlock, Some(0), Some(0)),
        (Resource::Msgqueue, Some(0), Some(0)),
        (Resource::Data, Some(limits.memory_bytes_max), Some(limits.memory_bytes_max)),
        (Resource::As, addresses, addresses),
    ];
    for (resource, current, maximum) in bounds {
        let had = rustix::process::getrlimit(resource).maximum;
        // A bound can be lowered, not raised, by an ordinary user: what the machine allows is the most.
        let most = |wanted: Option<u64>| match (wanted, had) {
            (Some(wanted), Some(had)) => Some(wanted.min(had)),
            (wanted, had) => wanted.or(had),
        };
        setrlimit(resource, Rlimit { current: most(current), maximum: most(maximum) })
            .map_err(|error| format!("cannot limit the job's {resource:?}: {error}"))?;
    }
    Ok(())
}
