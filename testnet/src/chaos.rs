//! `hansa testnet chaos`: a federation of real processes is broken in every way its members and networks can fail, again and again,
//! while money moves. After each fault everything that must hold is looked at.
//!
//! What breaks follows from a seed; when exactly a process notices does not, for the processes and their clocks are real.

mod audit;
mod fault;
mod load;
mod pulse;
mod stage;
mod summary;

pub use fault::{Fault, Kind, Schedule, faulty_max};

use crate::cluster::{Cluster, ClusterOptions};
use crate::error::{TestnetError, file_error};
use crate::genesis::{Plan, parse_members};
use crate::layout::Layout;
use crate::progress::Progress;
use crate::proxy::Links;
use audit::{Audit, evidence};
use load::Load;
use pulse::Pulse;
use stage::{Done, Stage};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use summary::{Summary, Trial};

/// How long the federation runs unharmed before a fault.
const CALM: Duration = Duration::from_millis(1_500);

/// How long all nodes may take to be level and well after a fault.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(60);

/// What was decided when a quorum broke may still come out within this time.
const ON_ITS_WAY: Duration = Duration::from_millis(1_500);

/// A fault of at least this length must not stop a federation that keeps a quorum.
const PROGRESS_DUE: Duration = Duration::from_secs(6);

/// What to break, and for how long.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// The folder below which the federation is made.
    pub folder: PathBuf,
    /// Members with a vote.
    pub members: usize,
    /// For how long faults are begun.
    pub lasts: Duration,
    /// The most faults; no bound if `None`.
    pub faults_max: Option<usize>,
    /// What the faults follow from.
    pub seed: u64,
    /// The kinds of faults; all that this program can do if empty.
    pub kinds: Vec<Kind>,
    /// Leave the folder when all is well.
    pub keep: bool,
    /// Whether programs read.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// The program that runs nodes; this one if `None`.
    pub executable: Option<PathBuf>,
}

impl ChaosOptions {
    fn kinds(&self) -> Vec<Kind> {
        if self.kinds.is_empty() { Kind::usual() } else { self.kinds.clone() }
    }

    fn place(&self) -> PathBuf {
        self.folder.join(format!("chaos-{}", self.seed))
    }

    /// The command that does the same again.
    fn replay(&self) -> String {
        let mut command = format!(
            "hansa testnet chaos --seed {} --members {} --for {}s",
            self.seed,
            self.members,
            self.lasts.as_secs()
        );
        if let Some(max) = self.faults_max {
            command.push_str(&format!(" --count {max}"));
        }
        for kind in &self.kinds {
            command.push_str(&format!(" --fault {kind}"));
        }
        command
    }
}

/// Breaks a federation until the time is over, and tells what it found.
///
/// # Errors
/// [`TestnetError::Broken`] and its like when something does not hold, with the command that does the same again: the folder is
/// kept then.
pub async fn chaos(options: &ChaosOptions, out: &mut dyn Write) -> Result<(), TestnetError> {
    let progress = Progress::new(options.quiet);
    let plan = Plan::new(parse_members(&options.members.to_string())?, 0)?;
    let folder = options.place();
    if Layout::new(&folder)?.exists() {
        return Err(TestnetError::Refused(format!(
            "`{}` holds what an earlier run left; remove it, or choose another folder with `--dir` or another `--seed`",
            folder.display()
        )));
    }
    let links = Links::bind(&plan.members, options.seed).await?;
    let executable = crate::verbs::executable(options.executable.as_deref())?;
    let cluster = ClusterOptions {
        folder: folder.clone(),
        plan,
        executable: executable.clone(),
        users: false,
        allow_unsandboxed: false,
        outlives: false,
        links: Some(links.clone()),
    };
    let mut cluster = Cluster::up(cluster, &progress).await?;
    let (federation, layout) = (cluster.federation().clone(), cluster.layout().clone());
    let mut stage = Stage::new(federation, layout, links, executable);
    let mut summary = Summary::new(options);
    let done = cluster.guard(run(&mut stage, options, &mut summary, &progress)).await;
    // What the run has stopped or mounted is made good before the processes are ended.
    drop(stage);
    let stopped = cluster.down().await.map(|_| ());
    progress.finish();
    let outcome = done.and(stopped);
    if let Err(error) = &outcome {
        summary.fail(error);
    }
    let text = if options.json { summary.json().to_string() } else { summary.text() };
    crate::verbs::print(out, &text);
    match outcome {
        Ok(()) if options.keep => Ok(()),
        Ok(()) => std::fs::remove_dir_all(&folder).map_err(file_error("remove", &folder)),
        Err(error) => {
            progress.warn(&format!(
                "keys, data and logs are kept in `{}`; to do the same again:\n  {}",
                folder.display(),
                options.replay()
            ));
            Err(error)
        }
    }
}

async fn run(
    stage: &mut Stage,
    options: &ChaosOptions,
    summary: &mut Summary,
    progress: &Progress,
) -> Result<(), TestnetError> {
    progress.now("accrediting the firms");
    let load = Load::start(&stage.federation).await?;
    let (pulse, mut audit) = (Pulse::start(&stage.federation), Audit::default());
    let began = Instant::now();
    let members = stage.members();
    let schedule = Schedule::new(options.seed, &members, &options.kinds());
    for (number, fault) in schedule.take(options.faults_max.unwrap_or(usize::MAX)).enumerate() {
        if began.elapsed() >= options.lasts {
            break;
        }
        let tip = pulse.tip();
        progress.now(format!(
            "fault {} at {:.0} s, height {tip}, {} final, 0 lost: {fault}",
            number + 1,
            began.elapsed().as_secs_f64(),
            audit.held
        ));
        let outcome = trial(stage, &fault, &load, &pulse, &mut audit).await;
        summary.load(&load, &audit, stage, evidence(&stage.layout, &members), began.elapsed());
        match outcome {
            Ok(trial) => {
                if let Some(reason) = &trial.skipped {
                    progress.note(&format!("{fault} was skipped: {reason}"));
                }
                summary.add(trial);
            }
            Err(error) => {
                summary.failing(number + 1, &fault);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// One fault: a while without, then with it, then all made good, and everything looked at.
async fn trial(
    stage: &mut Stage,
    fault: &Fault,
    load: &Load,
    pulse: &Pulse,
    audit: &mut Audit,
) -> Result<Trial, TestnetError> {
    load.go_on();
    tokio::time::sleep(CALM).await;
    let known = evidence(&stage.layout, &stage.members());
    let (began, before) = (Instant::now(), pulse.tip());
    let hit = match stage.harm(fault, before).await? {
        Done::To(hit) => hit,
        Done::Skipped(reason) => {
            well(stage, load, audit, before).await?;
            return Ok(Trial::skipped(fault.clone(), reason));
        }
    };
    let head = ON_ITS_WAY.min(fault.lasts);
    stage.last(fault, head).await;
    let early = pulse.tip();
    stage.last(fault, fault.lasts.saturating_sub(head)).await;
    let (late, ended) = (pulse.tip(), Instant::now());
    let gaps = pulse.gaps(began, ended);
    if !fault.kind.leaves_a_quorum() && late > early {
        return Err(TestnetError::Broken(format!(
            "blocks {} to {late} were decided where no part of the members is a quorum",
            early + 1
        )));
    }
    if fault.kind.leaves_a_quorum() && fault.lasts >= PROGRESS_DUE && late <= early {
        return Err(TestnetError::Broken(format!(
            "nothing was decided after height {early} for {:.1} s, though more than two thirds of the members are well",
            (fault.lasts - head).as_secs_f64()
        )));
    }
    alive(stage)?;
    stage.heal(fault, &hit).await?;
    // Everybody comes to what was decided, and new blocks come.
    let healed = Instant::now();
    stage.level(late + 1, RECOVERY_TIME_MAX).await?;
    let recovered = healed.elapsed();
    well(stage, load, audit, late + 1).await?;
    let found = evidence(&stage.layout, &stage.members()).saturating_sub(known);
    if fault.kind.lie().is_some() && fault.kind.signs_twice() && found == 0 {
        let text = format!("{fault}: nobody keeps evidence of what was signed twice");
        return Err(TestnetError::Broken(text));
    }
    let blocks = late.saturating_sub(before);
    Ok(Trial { fault: fault.clone(), hit, blocks, gaps, recovered, skipped: None })
}

/// Lets the load rest and looks at everything.
async fn well(stage: &Stage, load: &Load, audit: &mut Audit, height: u64) -> Result<(), TestnetError> {
    load.rest().await;
    stage.level(height, RECOVERY_TIME_MAX).await?;
    audit.look(&stage.federation, load).await?;
    alive(stage)?;
    let members = stage.members();
    if stage.twinned.is_empty() && evidence(&stage.layout, &members) > 0 {
        let text = "evidence of double signing is kept, and no member was made to sign twice; see the logs";
        return Err(TestnetError::Broken(text.to_owned()));
    }
    Ok(())
}

/// Nobody ends by itself: what a fault kills, or may end, is off the record.
fn alive(stage: &Stage) -> Result<(), TestnetError> {
    match stage.dead()?.as_slice() {
        [] => Ok(()),
        dead => Err(TestnetError::Broken(format!("these nodes ended by themselves: {}", dead.join(" ")))),
    }
}
