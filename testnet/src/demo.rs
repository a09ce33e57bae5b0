//! `hansa demo`: a federation on this machine settles one real job, end to end, and proves it.

mod bid;
mod grant;
mod settle;
mod story;
mod teller;
mod verify;
mod work;

use crate::cluster::{Cluster, ClusterOptions, TAIL_LINES};
use crate::error::TestnetError;
use crate::genesis::{Plan, parse_members};
use crate::layout::Layout;
use crate::process::{Stopped, tail};
use crate::progress::Progress;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use story::Story;
use teller::{Teller, milliseconds};
use tokio::time::Instant;

/// The members of the demo.
const MEMBERS: &str = "FR,DE,ES,EE";

/// Its provider agents.
const PROVIDERS: usize = 2;

/// How to run the demo.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where the federation lives; a folder of its own among the temporary files if `None`.
    pub folder: Option<PathBuf>,
    /// Whether the folder stays when all is well. It stays anyway when the user chose it, or when something failed.
    pub keep: bool,
    /// Whether programs read: one object per stage instead of text.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// Whether agents run jobs even where this machine offers no sandbox at all.
    pub allow_unsandboxed: bool,
    /// The program that runs nodes and agents; this one if `None`.
    pub executable: Option<PathBuf>,
}

/// Runs the demo. What happens goes to `out`, progress to stderr. Returns when every process has ended.
///
/// # Errors
/// Which stage failed and why; everything was stopped, and the folder was kept.
pub async fn demo(options: &DemoOptions, out: &mut dyn Write) -> Result<(), TestnetError> {
    let progress = Progress::new(options.quiet);
    let executable = crate::verbs::executable(options.executable.as_deref())?;
    let (folder, own) = match &options.folder {
        Some(folder) => (folder.clone(), false),
        None => (temporary()?, true),
    };
    let layout = Layout::new(&folder)?;
    if layout.exists() {
        let text = "holds a testnet already; the demo needs a folder of its own";
        return Err(TestnetError::Refused(format!("`{}` {text}", folder.display())));
    }
    let cluster = ClusterOptions {
        folder,
        plan: Plan::new(parse_members(MEMBERS)?, PROVIDERS)?,
        executable,
        users: false,
        allow_unsandboxed: options.allow_unsandboxed,
        outlives: false,
        links: None,
    };
    let mut teller = Teller::new(out, options.json, progress.clone());
    let outcome = stages(cluster, &mut teller, &progress).await;
    progress.finish();
    match &outcome {
        Ok(()) if own && !options.keep => {
            // What is left of it lies among the temporary files, which the system clears.
            let _ = std::fs::remove_dir_all(layout.folder());
        }
        Ok(()) => progress.note(&format!("kept: `{}`", layout.folder().display())),
        Err(TestnetError::Refused(_)) => {}
        Err(_) => progress.note(&format!("keys, data and logs are kept in `{}`", layout.folder().display())),
    }
    outcome
}

async fn stages(
    options: ClusterOptions,
    teller: &mut Teller<'_>,
    progress: &Progress,
) -> Result<(), TestnetError> {
    teller.begin(1, "genesis", "four members make a federation, and two centres offer capacity");
    let began = Instant::now();
    let mut cluster = Cluster::up(options, progress).await.map_err(stage(1, "genesis"))?;
    tell_genesis(&cluster, milliseconds(began.elapsed()), teller);
    let outcome = settle_one_job(&mut cluster, teller).await;
    teller.now("stopping everything");
    let stopped = cluster.down().await;
    outcome?;
    tell_end(&stopped.map_err(stage(6, "verify"))?, teller);
    Ok(())
}

/// Stages 2 to 6, as far as the shutdown. A process that ends by itself meanwhile ends the stage.
async fn settle_one_job(cluster: &mut Cluster, teller: &mut Teller<'_>) -> Result<(), TestnetError> {
    let story = story(cluster).map_err(stage(2, "grant"))?;
    let home = country(&story);
    teller.begin(2, "grant", &format!("{home} accredits a start-up and issues it a grant"));
    let grant = cluster.guard(grant::run(&story, teller)).await.map_err(blame(&story, 2, "grant"))?;
    teller.end();
    teller.begin(3, "bid", "the start-up bids for capacity to run its job in");
    let bid = cluster.guard(bid::run(&story, grant, teller)).await.map_err(blame(&story, 3, "bid"))?;
    teller.end();
    teller.begin(4, "run", "a centre abroad is awarded the lease and runs the job");
    let mut work = cluster.guard(work::run(&story, &bid, teller)).await.map_err(blame(&story, 4, "run"))?;
    teller.end();
    teller.begin(5, "settle", "the use is countersigned, and the contract divides the money");
    let settled =
        cluster.guard(settle::run(&story, &mut work, teller)).await.map_err(blame(&story, 5, "settle"))?;
    teller.end();
    teller.begin(6, "verify", "everything is checked, and everything stops");
    cluster.guard(verify::run(&story, &work, &settled, teller)).await.map_err(blame(&story, 6, "verify"))
}

fn story(cluster: &Cluster) -> Result<Story, TestnetError> {
    let federation = cluster.federation().clone();
    let user = federation.state().users.first().cloned();
    let user = user.ok_or_else(|| TestnetError::Broken("the testnet has no users".to_owned()))?;
    let account = federation.user(&user)?;
    Ok(Story { layout: cluster.layout().clone(), federation, user, account })
}

fn country(story: &Story) -> String {
    match story.user.home.as_str() {
        "EE" => "Estonia".to_owned(),
        code => code.to_owned(),
    }
}

fn tell_genesis(cluster: &Cluster, took: u64, teller: &mut Teller<'_>) {
    let federation = cluster.federation();
    let state = federation.state();
    teller.line(format!("federation {} with {} members", bid::short(&state.chain), state.members.len()));
    for member in &state.members {
        let api = state.api(member.code).unwrap_or_default();
        teller.line(format!("{}: a node, its interface at {api}", member.code));
    }
    for provider in &state.providers {
        let capacity = &provider.capacity;
        teller.line(format!(
            "{}: the agent of {} offers {} x {} of {} from {} EUR/h",
            capacity.country,
            provider.name,
            capacity.accelerators,
            capacity.class,
            capacity.system,
            capacity.ask
        ));
    }
    teller.line(format!("everything is ready after {took} ms"));
    let members: Vec<_> = state
        .members
        .iter()
        .map(|member| json!({ "member": member.code, "api": state.api(member.code) }))
        .collect();
    let providers: Vec<_> = state
        .providers
        .iter()
        .map(|provider| json!({ "provider": provider.name, "capacity": provider.capacity }))
        .collect();
    teller.fact("chain", state.chain);
    teller.fact("members", members);
    teller.fact("providers", providers);
    teller.fact("folder", cluster.layout().folder());
    teller.end();
}

fn tell_end(stopped: &std::collections::BTreeMap<String, Stopped>, teller: &mut Teller<'_>) {
    let killed: Vec<&String> =
        stopped.iter().filter(|(_, how)| **how == Stopped::Killed).map(|(name, _)| name).collect();
    teller.line(format!("all {} processes have ended", stopped.len()));
    if !killed.is_empty() {
        teller.line(format!("(killed, since they did not end when asked: {killed:?})"));
    }
    teller.fact("processes_ended", stopped.len());
    teller.fact("processes_killed", killed);
    teller.line(format!("all held, in {:.1} s", teller.elapsed().as_secs_f64()));
    teller.end();
}

/// Says in which stage it failed; what the user did is told as it is.
fn stage(number: u8, stage: &'static str) -> impl FnOnce(TestnetError) -> TestnetError {
    move |error| match error {
        TestnetError::Interrupted => TestnetError::Interrupted,
        error => TestnetError::Stage { number, stage, error: Box::new(error), culprit: None },
    }
}

/// The same, with the last lines of the process that should have done it: of the agent abroad, or of the start-up's node.
fn blame(story: &Story, number: u8, name: &'static str) -> impl FnOnce(TestnetError) -> TestnetError {
    let providers = &story.federation.state().providers;
    let agent = providers.iter().find(|provider| provider.capacity.country != story.user.home);
    let process = match (name, agent) {
        ("run" | "settle", Some(agent)) => agent.name.to_string(),
        _ => story.user.home.to_string(),
    };
    let log = story.layout.log(&process);
    move |error| match stage(number, name)(error) {
        TestnetError::Stage { number, stage, error, .. } => {
            let told = matches!(*error, TestnetError::Ended { .. } | TestnetError::NotReady { .. });
            let lines = || format!("the last lines of `{}`:\n{}", log.display(), tail(&log, TAIL_LINES));
            TestnetError::Stage { number, stage, error, culprit: (!told).then(lines) }
        }
        other => other,
    }
}

/// A new folder among the temporary files. Jobs may run under another account, which must be able to reach it.
fn temporary() -> Result<PathBuf, TestnetError> {
    let base = std::env::temp_dir();
    let folder = |attempt: u32| base.join(format!("hansa-demo-{}-{attempt}", std::process::id()));
    let mut attempt = 0;
    loop {
        let folder: PathBuf = folder(attempt);
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && attempt < 1_000 => {
                attempt += 1
            }
            Err(error) => return Err(file(&folder, error)),
        }
    }
}

fn file(path: &Path, error: std::io::Error) -> TestnetError {
    TestnetError::File { action: "make the folder", path: path.to_owned(), error }
}
