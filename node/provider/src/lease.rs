//! The life of one lease at its provider. What to do next follows from the ledger's row, the journal and the clock alone, so
//! events only wake it up, and a restart goes on where the last agent was.

use std::sync::Arc;

use hansa_ledger::action::{EndLease, StartLease};
use hansa_ledger::id::LeaseId;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{JobFailure, JobState, Lease, LeaseState};
use hansa_ledger::time::TimeMs;
use hansa_node_api::ApiError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::accelerators::Allocation;
use crate::agent::Core;
use crate::award::DistrustReason;
use crate::job::{JobLife, Stop};
use crate::journal::{JournalError, Step};
use crate::metering::final_usage;
use crate::work::Cause;

/// Rest before something is tried again, in milliseconds; it doubles up to [`REST_MS_MAX`].
const REST_MS: u64 = 250;
const REST_MS_MAX: u64 = 30_000;

/// Rest after the ledger said "not yet", in milliseconds: its time is that of blocks.
const EARLY_REST_MS: u64 = 200;

/// How long the ledger may need to end a lease by itself before the agent asks it to, in milliseconds.
const END_GRACE_MS: u64 = 2_000;

/// How long a job may take to be put away when the agent stops, in milliseconds of real time.
const STOP_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// One lease, from its award to its settlement.
pub(crate) struct LeaseLife {
    core: Arc<Core>,
    id: LeaseId,
    wake: watch::Sender<u64>,
    award: Option<Lease>,
    accelerators: Option<Allocation>,
    runner: Option<Runner>,
}

/// A job in hand. Dropping it drops the job, and with it the backend's processes.
struct Runner {
    stop: watch::Sender<Stop>,
    end: watch::Sender<TimeMs>,
    task: JoinHandle<()>,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What comes next.
enum Next {
    /// Look again at once.
    Again,
    /// Look again at this time, or when woken.
    At(TimeMs),
    /// Look again when woken.
    Woken,
    /// Nothing any more.
    Done,
}

#[derive(Debug, thiserror::Error)]
enum Setback {
    #[error(transparent)]
    Node(#[from] ApiError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the award is refused, nothing is run: {0}")]
    Distrust(#[from] DistrustReason),
}

impl LeaseLife {
    pub fn new(core: Arc<Core>, id: LeaseId, wake: watch::Sender<u64>) -> Self {
        Self { core, id, wake, award: None, accelerators: None, runner: None }
    }

    /// Goes on until the lease is settled and all its jobs are reported, or the agent stops.
    pub async fn run(mut self) {
        let mut woken = self.wake.subscribe();
        let mut stopping = self.core.stopping.subscribe();
        let mut rest = REST_MS;
        loop {
            woken.mark_unchanged();
            let next = match self.advance().await {
                Ok(Next::Done) => return,
                Ok(next) => {
                    rest = REST_MS;
                    next
                }
                Err(error) => {
                    tracing::warn!(lease = %self.id, %error, "the lease cannot go on; trying again");
                    let until = self.core.clock.now().plus(rest);
                    rest = rest.saturating_mul(2).min(REST_MS_MAX);
                    Next::At(until)
                }
            };
            let until = match next {
                Next::Again => continue,
                Next::At(until) => until,
                Next::Woken | Next::Done => TimeMs::MAX,
            };
            let stops = async { stopping.wait_for(|stopping| *stopping).await.map(|_| ()) };
            let stops = tokio::select! {
                () = self.core.clock.sleep_until(until) => false,
                _ = woken.changed() => false,
                _ = stops => true,
            };
            if stops {
                return self.put_away().await;
            }
        }
    }

    async fn advance(&mut self) -> Result<Next, Setback> {
        if self.runner.as_ref().is_some_and(|runner| runner.task.is_finished()) {
            self.runner = None;
        }
        let Some(lease) = self.core.federation.lease(&self.id).await? else {
            // A node that has not come as far as the one before.
            return Ok(Next::At(self.core.clock.now().plus(REST_MS)));
        };
        match lease.state {
            LeaseState::Awarded => self.begin(&lease).await,
            LeaseState::Active => self.deliver(&lease).await,
            LeaseState::Ended => self.finish(&lease).await,
            LeaseState::Settled => self.close(&lease).await,
        }
    }

    /// The award, once it is proven; proven anew once the ledger says that it was extended. An extension that is not proven
    /// changes nothing.
    async fn proven(&mut self, lease: &Lease) -> Result<Lease, Setback> {
        let known = self.award.clone();
        if let Some(award) = known.as_ref().filter(|award| award.agreement.end >= lease.agreement.end) {
            return Ok(award.clone());
        }
        match (self.prove().await, known) {
            (Ok(award), _) => {
                self.prolong(award.agreement.end);
                self.award = Some(award.clone());
                Ok(award)
            }
            (Err(error), Some(award)) => {
                tracing::warn!(lease = %self.id, %error, "the lease's extension is not proven; it counts for nothing yet");
                Ok(award)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn prove(&self) -> Result<Lease, Setback> {
        let proof = self.core.federation.prove_lease(&self.id).await?;
        let now = self.core.clock.now();
        let award = self.core.trust.check_award(&proof, &self.id, &self.core.provider, now)?;
        tracing::info!(lease = %self.id, requester = %award.requester, quantity = award.quantity,
            start = %award.agreement.start, end = %award.agreement.end, height = proof.header.height,
            "the award is proven");
        Ok(award)
    }

    async fn begin(&mut self, lease: &Lease) -> Result<Next, Setback> {
        let award = self.proven(lease).await?;
        let now = self.core.clock.now();
        if now < award.agreement.start {
            return Ok(Next::At(award.agreement.start));
        }
        if now >= lease.agreement.start_deadline {
            return Ok(Next::Woken);
        }
        let start = StartLease { lease: self.id };
        match self.core.federation.perform(vec![start.into()]).await {
            Ok(()) => {
                tracing::info!(lease = %self.id, "the lease is begun");
                Ok(Next::Again)
            }
            Err(error) => match error.rejection() {
                Some(Rejection::LeaseNotYet | Rejection::LeaseStateWrong) => {
                    Ok(Next::At(self.core.clock.now().plus(EARLY_REST_MS)))
                }
                _ => Err(error.into()),
            },
        }
    }

    async fn deliver(&mut self, lease: &Lease) -> Result<Next, Setback> {
        let award = self.proven(lease).await?;
        let end = award.agreement.end;
        let notice = TimeMs(end.0.saturating_sub(self.core.settings.notice_ms));
        let now = self.core.clock.now();
        // An extension that is not proven yet is asked for again.
        let again = if end < lease.agreement.end { now.plus(REST_MS) } else { TimeMs::MAX };
        if now >= end {
            self.tell(Stop::Kill(Cause::lease_ended()));
            // Also where it was extended and that is not proven: the ledger ends it no sooner.
            let grace = end.max(lease.agreement.end).plus(END_GRACE_MS);
            if now < grace {
                return Ok(Next::At(grace));
            }
            return self.report_final(lease).await;
        }
        if self.runner.is_none() {
            self.take_next_job(&award, Stop::Run).await?;
        }
        if now >= notice {
            self.tell(Stop::Notice);
            return Ok(Next::At(end.min(again)));
        }
        Ok(Next::At(notice.min(again)))
    }

    /// The lease is over: jobs are put away and returned first, for settling closes the requester's node for them.
    async fn finish(&mut self, lease: &Lease) -> Result<Next, Setback> {
        let over = Stop::Kill(Cause::lease_ended());
        self.tell(over.clone());
        let working = self.runner.is_some() || self.take_next_job(lease, over).await?;
        if lease.reported_final {
            return Ok(Next::Woken);
        }
        let ended = lease.ended_at.unwrap_or(lease.agreement.end);
        let latest = ended.plus(lease.agreement.report_window_ms / 2);
        if working && self.core.clock.now() < latest {
            return Ok(Next::At(latest));
        }
        self.report_final(lease).await
    }

    async fn report_final(&mut self, lease: &Lease) -> Result<Next, Setback> {
        let cumulative = final_usage(lease);
        let end = EndLease { lease: self.id, cumulative: Some(cumulative) };
        match self.core.federation.perform(vec![end.into()]).await {
            Ok(()) => {
                tracing::info!(lease = %self.id, cumulative, "the final usage is reported");
                Ok(Next::Again)
            }
            Err(error) => match error.rejection() {
                Some(Rejection::UsageFinal | Rejection::LeaseStateWrong | Rejection::UsageOverLease) => {
                    Ok(Next::At(self.core.clock.now().plus(EARLY_REST_MS)))
                }
                _ => Err(error.into()),
            },
        }
    }

    async fn close(&mut self, lease: &Lease) -> Result<Next, Setback> {
        self.tell(Stop::Abandon);
        // What never began has no jobs to report.
        let began = lease.started_at.is_some();
        if self.runner.is_some() || (began && self.take_next_job(lease, Stop::Abandon).await?) {
            return Ok(Next::Woken);
        }
        self.core.journal.close(self.id, self.core.clock.now().0).await?;
        let folder = self.core.lease_folder(&self.id);
        if folder.is_dir()
            && let Err(error) = std::fs::write(folder.join(crate::agent::CLOSED), b"")
        {
            tracing::warn!(lease = %self.id, %error, "the lease's folder cannot be marked for removal");
        }
        tracing::info!(lease = %self.id, closing = ?lease.closing, "the lease is settled");
        Ok(Next::Done)
    }

    /// Takes the first job in order whose end is not on the ledger; `false` if there is none.
    async fn take_next_job(&mut self, award: &Lease, stop: Stop) -> Result<bool, Setback> {
        let reported = |number| self.core.journal.step(&self.id, number) == Some(Step::Reported);
        let jobs = self.core.federation.jobs(&self.id).await?;
        let waiting =
            jobs.iter().find(|(number, job)| job.state == JobState::Submitted && !reported(*number));
        let Some((number, _)) = waiting else { return Ok(false) };
        let core = &self.core;
        let accelerators = self
            .accelerators
            .get_or_insert_with(|| core.accelerators.take(&award.site, &award.class, award.quantity));
        let (sender, receiver) = watch::channel(stop);
        let (end, ends) = watch::channel(award.agreement.end);
        let life = JobLife {
            core: self.core.clone(),
            lease: self.id,
            home: award.requester_home,
            end: ends,
            number: *number,
            accelerators: Some(accelerators.text()),
            stop: receiver,
        };
        let wake = self.wake.clone();
        let task = tokio::spawn(async move {
            life.run().await;
            wake.send_modify(|count| *count += 1);
        });
        self.runner = Some(Runner { stop: sender, end, task });
        Ok(true)
    }

    /// The lease was extended: the job in hand goes on, and is told again when the new end is near.
    fn prolong(&self, end: TimeMs) {
        let Some(runner) = &self.runner else { return };
        let later = runner.end.send_if_modified(|known| {
            let later = end > *known;
            *known = end.max(*known);
            later
        });
        if later {
            runner.stop.send_if_modified(|told| {
                let again = *told == Stop::Notice;
                if again {
                    *told = Stop::Run;
                }
                again
            });
        }
    }

    /// Tells the job in hand; never less than it was told before.
    fn tell(&self, stop: Stop) {
        let weight = |stop: &Stop| match stop {
            Stop::Run => 0,
            Stop::Notice => 1,
            Stop::Kill(_) => 2,
            Stop::Abandon => 3,
        };
        if let Some(runner) = &self.runner {
            runner.stop.send_if_modified(|told| {
                let more = weight(&stop) > weight(told);
                if more {
                    *told = stop.clone();
                }
                more
            });
        }
    }

    /// The agent stops: the job in hand is killed, so that the next agent knows how it ended.
    async fn put_away(mut self) {
        self.tell(Stop::Kill(Cause::new(JobFailure::AgentStopped, "the provider's agent was stopped")));
        if let Some(runner) = &mut self.runner {
            // What is not done in time is done by the next agent, from the journal.
            let _ = tokio::time::timeout(STOP_TIME_MAX, &mut runner.task).await;
        }
    }
}
