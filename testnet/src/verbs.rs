//! What `hansa testnet` does, verb by verb: options in, text or JSON out.

mod status;

pub use status::status;

use crate::banner;
use crate::cluster::{Cluster, ClusterOptions, launch, stop_all, title};
use crate::error::{TestnetError, file_error};
use crate::genesis::{Plan, parse_members};
use crate::layout::{Layout, State};
use crate::process::{GRACE, ProcessRecord, Stopped, start};
use crate::progress::Progress;
use crate::watch::{Happening, Interrupt, Watch};
use hansa_ledger::member::MemberCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a testnet lives when nothing else is said, below the current folder.
pub const FOLDER_DEFAULT: &str = "hansa-testnet";

/// The members of a testnet when nothing else is said.
pub const MEMBERS_DEFAULT: &str = "FR,DE,ES,EE";

/// The provider agents of a testnet when nothing else is said.
pub const PROVIDERS_DEFAULT: usize = 2;

/// How often a followed log is looked at.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// How long a process that was just started is watched for an early end.
const EARLY: Duration = Duration::from_secs(30);

/// How to bring a testnet up.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// Its folder.
    pub folder: PathBuf,
    /// Its members, as codes or a count; those of the folder, or [`MEMBERS_DEFAULT`], if `None`.
    pub members: Option<String>,
    /// The most provider agents.
    pub providers: usize,
    /// Whether to come back at once and leave it running.
    pub detach: bool,
    /// Whether programs read.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// Whether agents run jobs even where this machine offers no sandbox at all.
    pub allow_unsandboxed: bool,
    /// The program that runs nodes and agents; this one if `None`.
    pub executable: Option<PathBuf>,
}

/// The testnet a verb is about, and for whom it speaks.
#[derive(Clone, Debug)]
pub struct VerbOptions {
    /// Its folder.
    pub folder: PathBuf,
    /// Whether programs read.
    pub json: bool,
}

/// `testnet up`: brings a testnet up and says what there is. Unless it is to go on alone, it is watched until Ctrl-C, and then
/// stopped.
///
/// # Errors
/// What went wrong; everything that was started is stopped again.
pub async fn up(options: &UpOptions, out: &mut dyn Write) -> Result<(), TestnetError> {
    let progress = Progress::new(options.quiet);
    let layout = Layout::new(&options.folder)?;
    let plan = plan(&layout, options)?;
    let cluster = ClusterOptions {
        folder: options.folder.clone(),
        plan,
        executable: executable(options.executable.as_deref())?,
        users: true,
        allow_unsandboxed: options.allow_unsandboxed,
        outlives: options.detach,
        links: None,
    };
    let brought = Cluster::up(cluster, &progress).await;
    progress.finish();
    let mut cluster = brought?;
    let state = layout.read_state()?;
    let text = if options.json {
        banner::json(&layout, &state).to_string()
    } else {
        banner::text(&layout, &state, options.detach)
    };
    print(out, &text);
    if options.detach {
        cluster.detach();
        return Ok(());
    }
    cluster.supervise(&progress).await;
    progress.note("stopping everything");
    let stopped = cluster.down().await?;
    tell_killed(&stopped, &progress);
    Ok(())
}

/// `testnet down`: stops everything.
///
/// # Errors
/// When there is no testnet, or its record cannot be written.
pub async fn down(options: &VerbOptions, out: &mut dyn Write) -> Result<(), TestnetError> {
    let stopped = stop_all(&Layout::new(&options.folder)?).await?;
    let ran: Vec<(&String, &Stopped)> = stopped.iter().filter(|(_, how)| **how != Stopped::WasNot).collect();
    let text = match options.json {
        true => {
            let stopped =
                ran.iter().map(|(name, how)| json!({ "name": name, "killed": **how == Stopped::Killed }));
            json!({ "stopped": stopped.collect::<Vec<_>>() }).to_string()
        }
        false if ran.is_empty() => "nothing was running".to_owned(),
        false => {
            let names: Vec<&str> = ran.iter().map(|(name, _)| name.as_str()).collect();
            format!("stopped {}", names.join(" "))
        }
    };
    print(out, &text);
    Ok(())
}

/// `testnet kill`: kills one process as a power cut would.
///
/// # Errors
/// When there is no such process, or it does not run.
pub async fn kill(options: &VerbOptions, name: &str, out: &mut dyn Write) -> Result<(), TestnetError> {
    let layout = Layout::new(&options.folder)?;
    let (name, record) = take(&layout, name)?;
    let record = record.filter(ProcessRecord::is_alive);
    let record = record.ok_or_else(|| TestnetError::Refused(format!("{} does not run", title(&name))))?;
    record.kill();
    if !record.ended_within(GRACE).await {
        return Err(TestnetError::Missed(format!("{} did not end", title(&name))));
    }
    let text = format!("killed {}; start it again with `hansa testnet restart {name}`", title(&name));
    print(out, &if options.json { json!({ "killed": name }).to_string() } else { text });
    Ok(())
}

/// `testnet restart`: stops one process if it runs, and starts it again. It goes on when this program ends.
///
/// # Errors
/// When there is no such process, or it does not come up.
pub async fn restart(
    options: &VerbOptions,
    name: &str,
    program: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), TestnetError> {
    let layout = Layout::new(&options.folder)?;
    let (name, record) = take(&layout, name)?;
    if let Some(record) = record {
        record.stop().await;
    }
    let state = layout.read_state()?;
    let child = start(&launch(&layout, &state, &name, &executable(program)?, true))?;
    let mut watch = Watch::new(Interrupt::new()?);
    let record = watch.add(&name, child);
    layout.change_state(|state| {
        state.processes.insert(name.clone(), record);
    })?;
    let ready = status::wait_ready(&layout, &state, &name, EARLY);
    tokio::select! {
        ready = ready => ready?,
        happening = watch.next() => match happening {
            Happening::Exit(exit) => return Err(crate::cluster::ended(&layout, &exit)),
            Happening::Interrupt => return Err(TestnetError::Interrupted),
        },
    }
    let text = format!("{} runs as process {}", title(&name), record.pid);
    print(
        out,
        &if options.json { json!({ "restarted": name, "pid": record.pid }).to_string() } else { text },
    );
    Ok(())
}

/// `testnet logs`: gives a process's log, and with `follow` what is added to it until the user interrupts.
///
/// # Errors
/// When there is no such process, or its log cannot be read.
pub async fn logs(
    options: &VerbOptions,
    name: &str,
    follow: bool,
    out: &mut dyn Write,
) -> Result<(), TestnetError> {
    let layout = Layout::new(&options.folder)?;
    let name = layout.read_state()?.process(name)?;
    let path = layout.log(&name);
    let mut interrupt = Interrupt::new()?;
    let mut read = 0;
    loop {
        let mut file = std::fs::File::open(&path).map_err(file_error("read", &path))?;
        file.seek(SeekFrom::Start(read)).map_err(file_error("read", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(file_error("read", &path))?;
        read += bytes.len() as u64;
        // A reader that went away, such as `head`, has had enough.
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() || !follow {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_PAUSE) => {}
            () = interrupt.wait() => return Ok(()),
        }
    }
}

/// The program that runs nodes and agents.
pub(crate) fn executable(given: Option<&Path>) -> Result<PathBuf, TestnetError> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None => std::env::current_exe().map_err(file_error("find", Path::new("this program"))),
    }
}

/// What a new testnet is made of. One that is there has its members already.
fn plan(layout: &Layout, options: &UpOptions) -> Result<Plan, TestnetError> {
    let asked = options.members.as_deref().map(parse_members).transpose()?;
    let members = match layout.exists() {
        false => match asked {
            Some(members) => members,
            None => parse_members(MEMBERS_DEFAULT)?,
        },
        true => {
            let there: Vec<MemberCode> =
                layout.read_state()?.members.iter().map(|member| member.code).collect();
            let set = |codes: &[MemberCode]| codes.iter().copied().collect::<BTreeSet<_>>();
            if asked.is_some_and(|asked| set(&asked) != set(&there)) {
                let codes: Vec<&str> = there.iter().map(MemberCode::as_str).collect();
                return Err(TestnetError::Refused(format!(
                    "`{}` holds a testnet of {}; leave `--members` out to resume it, or choose another folder with `--dir`",
                    layout.folder().display(),
                    codes.join(",")
                )));
            }
            there
        }
    };
    Plan::new(members, options.providers)
}

/// Takes a process off the record, so that whoever watches it knows that its end is wanted.
fn take(layout: &Layout, name: &str) -> Result<(String, Option<ProcessRecord>), TestnetError> {
    let name = layout.read_state()?.process(name)?;
    let mut record = None;
    layout.change_state(|state: &mut State| record = state.processes.remove(&name))?;
    Ok((name, record))
}

fn tell_killed(stopped: &std::collections::BTreeMap<String, Stopped>, progress: &Progress) {
    for (name, _) in stopped.iter().filter(|(_, how)| **how == Stopped::Killed) {
        progress.note(&format!("{} did not end when asked, and was killed", title(name)));
    }
}

pub(crate) fn print(out: &mut dyn Write, text: &str) {
    // A reader that went away has had enough.
    let _ = writeln!(out, "{}", text.trim_end());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::found;
    use crate::process::Launch;

    fn testnet(folder: &Path) -> (Layout, VerbOptions) {
        let layout = Layout::new(&folder.join("net")).unwrap();
        found(&layout, &Plan::new(parse_members("4").unwrap(), 2).unwrap()).unwrap();
        (layout.clone(), VerbOptions { folder: layout.folder().to_owned(), json: false })
    }

    /// Puts a process that does nothing in the place of a node or agent.
    fn stand_in(layout: &Layout, name: &str) -> ProcessRecord {
        let launch = Launch {
            name: name.to_owned(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".into(), format!("echo {name} is up; exec sleep 600").into()],
            log: layout.log(name),
            outlives: false,
        };
        let record = Watch::new(Interrupt::new().unwrap()).add(name, start(&launch).unwrap());
        let insert = |state: &mut State| {
            state.processes.insert(name.to_owned(), record);
        };
        layout.change_state(insert).unwrap();
        record
    }

    fn text(out: &[u8]) -> String {
        String::from_utf8_lossy(out).into_owned()
    }

    #[tokio::test]
    async fn one_process_is_killed_by_name_and_down_stops_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, options) = testnet(folder.path());
        let records = ["FR", "DE", "bsc"].map(|name| stand_in(&layout, name));
        let mut out = Vec::new();
        kill(&options, "fr", &mut out).await.unwrap();
        assert!(!records[0].is_alive() && records[1].is_alive());
        assert!(kill(&options, "fr", &mut out).await.is_err(), "it does not run any more");
        assert!(kill(&options, "nobody", &mut out).await.unwrap_err().is_refusal());
        out.clear();
        down(&options, &mut out).await.unwrap();
        assert_eq!(text(&out), "stopped DE bsc\n");
        assert!(records.iter().all(|record| !record.is_alive()));
        out.clear();
        down(&VerbOptions { json: true, ..options.clone() }, &mut out).await.unwrap();
        assert_eq!(text(&out), "{\"stopped\":[]}\n");
        out.clear();
        status(&options, &mut out).await.unwrap();
        assert!(
            text(&out).contains("FR  http://127.0.0.1:0  down; start it with `hansa testnet restart FR`")
        );
        let elsewhere = VerbOptions { folder: folder.path().join("none"), json: false };
        assert!(down(&elsewhere, &mut out).await.unwrap_err().to_string().contains("there is no testnet"));
    }

    #[tokio::test]
    async fn a_log_is_given_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, options) = testnet(folder.path());
        let record = stand_in(&layout, "bsc");
        let mut out = Vec::new();
        while out.is_empty() {
            logs(&options, "BSC", false, &mut out).await.unwrap();
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
        assert_eq!(text(&out), "bsc is up\n");
        record.kill();
    }

    #[test]
    fn a_testnet_that_is_there_keeps_its_members() {
        let folder = tempfile::tempdir().unwrap();
        let (_, verb) = testnet(folder.path());
        let options = |folder: &Path, members: Option<&str>| UpOptions {
            folder: folder.to_owned(),
            members: members.map(str::to_owned),
            providers: 2,
            detach: false,
            json: false,
            quiet: true,
            allow_unsandboxed: false,
            executable: None,
        };
        for (at, members, count) in [
            (verb.folder.as_path(), None, Some(4)),
            (verb.folder.as_path(), Some("EE,ES,DE,FR"), Some(4)),
            (verb.folder.as_path(), Some("7"), None),
            (Path::new("/none"), None, Some(4)),
            (Path::new("/none"), Some("7"), Some(7)),
        ] {
            let made = plan(&Layout::new(at).unwrap(), &options(at, members));
            assert_eq!(made.ok().map(|plan| plan.members.len()), count, "{members:?} at {}", at.display());
        }
    }
}
