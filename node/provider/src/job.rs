//! The life of one job: fetched, run once, brought back, reported; after a restart from where it was.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hansa_ledger::action::ReportJob;
use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::JobFailure;
use hansa_ledger::time::TimeMs;
use hansa_node_api::ApiError;
use hansa_node_api::job::Manifest;
use tokio::sync::watch;

use crate::agent::Core;
use crate::award::DistrustReason;
use crate::backend::{JobSpec, RunningJob, collect_outputs};
use crate::federation::BlobError;
use crate::feed::LogFeed;
use crate::journal::{JournalError, Step};
use crate::work::{self, Cause, JobFolder, Surroundings};

/// Rest before something is tried again, in milliseconds; it doubles up to [`REST_MS_MAX`].
const REST_MS: u64 = 250;
const REST_MS_MAX: u64 = 30_000;

/// How long a node that refuses a blob may need to catch up with the ledger, in milliseconds.
const REFUSAL_MS_MAX: u64 = 10_000;

/// How long the backend may need to do by itself what the agent tells it at the lease's end.
const BACKSTOP: Duration = Duration::from_secs(1);

/// What a job is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Go on.
    Run,
    /// The end is near.
    Notice,
    /// The end is here, and why.
    Kill(Cause),
    /// The lease is settled: nothing can be returned any more.
    Abandon,
}

/// One job of a lease, and all it takes to run it.
pub(crate) struct JobLife {
    pub core: Arc<Core>,
    pub lease: LeaseId,
    pub home: MemberCode,
    /// The lease's end, which moves when it is extended.
    pub end: watch::Receiver<TimeMs>,
    pub number: u32,
    pub accelerators: Option<String>,
    pub stop: watch::Receiver<Stop>,
}

/// Why a job cannot go on now; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Setback {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Node(#[from] ApiError),
    #[error("the job is not run: {0}")]
    Distrust(#[from] DistrustReason),
    #[error("the job's folder cannot be used: {0}")]
    Folder(#[from] std::io::Error),
}

/// Why a blob will never go through.
struct Hopeless(Cause);

impl JobLife {
    /// Goes on until the job's end stands on the ledger.
    pub async fn run(mut self) {
        let mut rest = REST_MS;
        while let Err(error) = self.advance().await {
            tracing::warn!(lease = %self.lease, job = self.number, %error, "the job cannot go on; trying again");
            self.pause(rest).await;
            rest = rest.saturating_mul(2).min(REST_MS_MAX);
        }
    }

    /// Each step is on disk before the next begins, so that a crash between any two is met by going on from the last.
    async fn advance(&mut self) -> Result<(), Setback> {
        loop {
            match self.core.journal.step(&self.lease, self.number) {
                None => self.first_run().await?,
                Some(Step::Started) => {
                    let cause = Cause::new(
                        JobFailure::AgentStopped,
                        "the provider's agent was restarted while the job ran",
                    );
                    self.end(None, Some(cause)).await?;
                }
                Some(Step::Ended { exit_code, failure, .. }) => self.bring_back(exit_code, failure).await?,
                Some(Step::Pushed { exit_code, failure, outputs }) => {
                    self.report(exit_code, failure, outputs).await?;
                }
                Some(Step::Reported) => return Ok(()),
            }
        }
    }

    async fn first_run(&mut self) -> Result<(), Setback> {
        let folder = self.folder();
        folder.create()?;
        if let Some(cause) = self.killed() {
            return self.end(None, Some(cause)).await;
        }
        let proof = self.core.federation.prove_job(&self.lease, self.number).await?;
        let job = self.core.trust.check_job(&proof, &self.lease, self.number, self.core.clock.now())?;
        let mut stop = self.stop.clone();
        let fetched = tokio::select! {
            fetched = self.fetch(&folder, job.manifest) => fetched?,
            cause = killed(&mut stop) => Err(Hopeless(cause)),
        };
        let manifest = match fetched {
            Ok(manifest) => manifest,
            Err(Hopeless(cause)) => return self.end(None, Some(cause)).await,
        };
        let spec = work::spec(&manifest, &folder, self.number, &self.surroundings());
        self.record(Step::Started).await?;
        tracing::info!(lease = %self.lease, job = self.number, program = spec.argv[0], "the job starts");
        let running = match self.core.backend.start(spec.clone()).await {
            Ok(running) => running,
            Err(error) => {
                let cause = Cause::new(JobFailure::NotStarted, error.to_string());
                return self.end(None, Some(cause)).await;
            }
        };
        let wall_max = Duration::from_secs(manifest.limits.wall_s);
        let (exit_code, cause) = self.follow(running, &spec, wall_max).await;
        self.end(exit_code, cause).await
    }

    fn surroundings(&self) -> Surroundings {
        let settings = &self.core.settings;
        let left = self.left();
        Surroundings {
            lease: self.lease.to_string(),
            accelerators: self.accelerators.clone().filter(|_| settings.accelerators_visible),
            left,
            notice: Duration::from_millis(settings.notice_ms),
            log_bytes_max: settings.log_bytes_max,
        }
    }

    /// How long the backend may let a job run by itself: until the lease's end, and a moment more.
    fn left(&self) -> Duration {
        let end = *self.end.borrow();
        Duration::from_millis(end.0.saturating_sub(self.core.clock.now().0)) + BACKSTOP
    }

    /// Lays down the manifest and the files it names, each verified by its hash.
    async fn fetch(&self, folder: &JobFolder, hash: BlobHash) -> Result<Result<Manifest, Hopeless>, Setback> {
        if let Err(hopeless) = self.fetch_one(hash, &folder.manifest()).await {
            return Ok(Err(hopeless));
        }
        let Some(manifest) = folder.read_manifest() else {
            let text = format!("blob {hash} is no manifest of a job");
            return Ok(Err(Hopeless(Cause::new(JobFailure::InputInvalid, text))));
        };
        let bytes = manifest.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
        if bytes > manifest.limits.disk_bytes {
            let most = manifest.limits.disk_bytes;
            let text = format!("the inputs have {bytes} bytes, and the job may use {most}");
            return Ok(Err(Hopeless(Cause::new(JobFailure::InputInvalid, text))));
        }
        for file in &manifest.files {
            let place = work::place(folder, &file.path)?;
            match self.fetch_one(file.hash, &place).await {
                Ok(size) if size != file.size => {
                    let (path, named) = (&file.path, file.size);
                    let text = format!("the input `{path}` has {size} bytes, and the manifest says {named}");
                    return Ok(Err(Hopeless(Cause::new(JobFailure::InputInvalid, text))));
                }
                Ok(_) => work::finish_place(&place, file.executable)?,
                Err(Hopeless(cause)) => {
                    let text = format!("the input `{}`: {}", file.path, cause.text);
                    return Ok(Err(Hopeless(Cause::new(cause.failure, text))));
                }
            }
        }
        Ok(Ok(manifest))
    }

    async fn fetch_one(&self, hash: BlobHash, into: &Path) -> Result<u64, Hopeless> {
        let mut refused_since = None;
        loop {
            let outcome = self.core.blobs.fetch(self.home, self.lease, hash, into).await;
            match outcome {
                Ok(size) => return Ok(size),
                Err(error) => self.judge(error, &mut refused_since).await?,
            }
        }
    }

    async fn push_one(&self, hash: BlobHash, path: &Path) -> Result<(), Hopeless> {
        let mut refused_since = None;
        loop {
            if *self.stop.borrow() == Stop::Abandon {
                return Err(Hopeless(Cause::lease_settled()));
            }
            match self.core.blobs.push(self.home, self.lease, hash, path).await {
                Ok(()) => return Ok(()),
                Err(error) => self.judge(error, &mut refused_since).await?,
            }
        }
    }

    /// Rests before the next try, or says that there is no sense in one.
    async fn judge(&self, error: BlobError, refused_since: &mut Option<TimeMs>) -> Result<(), Hopeless> {
        let now = self.core.clock.now();
        match error {
            BlobError::Failed(reason) => {
                return Err(Hopeless(Cause::new(JobFailure::InputInvalid, reason)));
            }
            BlobError::Refused(reason) => {
                let since = *refused_since.get_or_insert(now);
                if now >= since.plus(REFUSAL_MS_MAX) {
                    return Err(Hopeless(Cause::new(JobFailure::InputMissing, reason)));
                }
            }
            BlobError::Away(reason) => {
                tracing::warn!(lease = %self.lease, job = self.number, home = %self.home, reason, "the requester's node is away");
            }
        }
        self.pause(REST_MS).await;
        Ok(())
    }

    /// Waits for the job's end, and hands on what it is told meanwhile.
    async fn follow(
        &mut self,
        running: Box<dyn RunningJob>,
        spec: &JobSpec,
        wall_max: Duration,
    ) -> (Option<i32>, Option<Cause>) {
        let started = self.core.clock.now();
        let mut end = self.end.clone();
        let mut ends = true;
        if let Some(lines) = running.log_lines() {
            // It ends by itself with the job.
            tokio::spawn(work::show_log(lines, self.lease.to_string(), self.number));
        }
        // It ends with this function: what is left then is sent with the outputs.
        let feed = self.feed();
        let feeding = feed.follow();
        tokio::pin!(feeding);
        let mut feeds = true;
        let mut killed_for = None;
        let mut told = false;
        let mut followed = true;
        let ended = loop {
            let stop = self.stop.borrow_and_update().clone();
            told &= stop != Stop::Run;
            if stop == Stop::Notice && !told {
                told = true;
                tracing::info!(lease = %self.lease, job = self.number, "the job is told that its end is near");
                running.signal_before_end().await;
            }
            if let (Some(cause), None) = (cause_of(&stop, followed), &killed_for) {
                tracing::info!(lease = %self.lease, job = self.number, reason = %cause.text, "the job is killed");
                killed_for = Some(cause);
                running.kill_tree().await;
            }
            tokio::select! {
                ended = running.wait() => break ended,
                changed = self.stop.changed(), if followed => followed = changed.is_ok(),
                () = &mut feeding, if feeds => feeds = false,
                changed = end.changed(), if ends => {
                    ends = changed.is_ok();
                    // The job's own limit of wall time stays what it was.
                    let ran = Duration::from_millis(self.core.clock.now().0.saturating_sub(started.0));
                    running.prolong(self.left().min(wall_max.saturating_sub(ran))).await;
                }
            }
        };
        let (exit_code, reason) = match ended {
            Ok(report) => work::verdict(&report),
            Err(error) => (None, Some(Cause::new(JobFailure::AgentStopped, error.to_string()))),
        };
        match (killed_for, exit_code) {
            (Some(killed_for), None) => (None, Some(killed_for)),
            (_, Some(0)) => match collect_outputs(spec) {
                Ok(_) => (exit_code, reason),
                // To the ledger a job has succeeded when it exits with 0 and its outputs return.
                Err(missing) => (None, Some(Cause::new(JobFailure::OutputMissing, missing.to_string()))),
            },
            _ => (exit_code, reason),
        }
    }

    async fn end(&self, exit_code: Option<i32>, cause: Option<Cause>) -> Result<(), Setback> {
        let reason = cause.as_ref().map(|cause| cause.text.as_ref());
        let shown = reason.unwrap_or("it exited");
        tracing::info!(lease = %self.lease, job = self.number, exit_code, reason = shown, "the job has ended");
        if let Some(reason) = reason {
            self.folder().note(reason)?;
        }
        let (failure, reason) = (cause.as_ref().map(|cause| cause.failure), reason.map(str::to_owned));
        self.record(Step::Ended { exit_code, failure, reason }).await
    }

    /// Sends outputs and log to the requester's home node, and tells those who follow the log that it has ended.
    async fn bring_back(&self, exit_code: Option<i32>, failure: Option<JobFailure>) -> Result<(), Setback> {
        let finish = async {
            if *self.stop.borrow() != Stop::Abandon {
                self.feed().finish().await;
            }
        };
        let ((), outputs) = tokio::join!(finish, self.push_outputs());
        self.record(Step::Pushed { exit_code, failure, outputs: outputs? }).await
    }

    /// Sends what the job left behind, the manifest that names it all last, and gives that manifest's hash; none where it cannot
    /// be returned.
    async fn push_outputs(&self) -> Result<Option<BlobHash>, Setback> {
        let folder = self.folder();
        let gathered = tokio::task::spawn_blocking(move || {
            let manifest = folder.read_manifest();
            work::gather(manifest.as_ref(), &folder)
        });
        let returned = gathered.await.map_err(std::io::Error::other)??;
        for (hash, path) in &returned.files {
            if let Err(Hopeless(cause)) = self.push_one(*hash, path).await {
                tracing::warn!(lease = %self.lease, job = self.number, reason = %cause.text, "the job's outputs cannot be returned");
                return Ok(None);
            }
        }
        Ok(Some(returned.hash))
    }

    async fn report(
        &self,
        exit_code: Option<i32>,
        failure: Option<JobFailure>,
        outputs: Option<BlobHash>,
    ) -> Result<(), Setback> {
        let report = ReportJob { lease: self.lease, job: self.number, exit_code, outputs, failure };
        match self.core.federation.perform(vec![report.into()]).await {
            Ok(()) => {}
            // It was reported before, and the agent stopped before it could write that down.
            Err(error) if error.rejection() == Some(Rejection::JobStateWrong) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!(lease = %self.lease, job = self.number, exit_code, outputs = outputs.map(|hash| hash.to_string()), "the job is reported");
        self.record(Step::Reported).await?;
        Ok(self.folder().remove_work()?)
    }

    async fn record(&self, step: Step) -> Result<(), Setback> {
        let now = self.core.clock.now().0;
        Ok(self.core.journal.record(self.lease, self.number, now, step).await?)
    }

    async fn pause(&self, milliseconds: u64) {
        let until = self.core.clock.now().plus(milliseconds);
        let mut stop = self.stop.clone();
        stop.mark_unchanged();
        tokio::select! {
            () = self.core.clock.sleep_until(until) => {}
            // What a job is told may change what there is to do.
            Ok(()) = stop.changed() => {}
        }
    }

    fn feed(&self) -> LogFeed {
        let (core, home, lease, job) = (self.core.clone(), self.home, self.lease, self.number);
        LogFeed { core, home, lease, job, path: self.folder().log() }
    }

    fn folder(&self) -> JobFolder {
        JobFolder::new(&self.core.lease_folder(&self.lease), self.number)
    }

    fn killed(&self) -> Option<Cause> {
        cause_of(&self.stop.borrow(), true)
    }
}

/// Why a job must not run, if so. A job that nobody follows any more must not either.
fn cause_of(stop: &Stop, followed: bool) -> Option<Cause> {
    match stop {
        Stop::Kill(cause) => Some(cause.clone()),
        Stop::Abandon => Some(Cause::lease_settled()),
        Stop::Run | Stop::Notice if !followed => Some(Cause::unfollowed()),
        Stop::Run | Stop::Notice => None,
    }
}

async fn killed(stop: &mut watch::Receiver<Stop>) -> Cause {
    loop {
        let told = stop.borrow_and_update().clone();
        if let Some(cause) = cause_of(&told, true) {
            return cause;
        }
        if stop.changed().await.is_err() {
            return Cause::unfollowed();
        }
    }
}
