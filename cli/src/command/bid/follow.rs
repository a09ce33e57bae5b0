//! `hansa bid --wait`: follow a request to its end.
//!
//! Events only wake it up; what it tells and does follows from the rows of the ledger, so nothing is lost when the line drops
//! and nothing is done twice.

use super::live::Live;
use crate::command::lease::fetch::{self, Fetched};
use crate::command::lease::usage::{self, Verdict, usage_text};
use crate::command::lease::{account_text, settlement};
use crate::config::Countersign;
use crate::error::{Failure, Outcome};
use crate::printer::Progress;
use crate::session::{Sent, Session, short};
use crate::units::{length, word_text};
use futures::StreamExt as _;
use hansa_ledger::action::EndLease;
use hansa_ledger::id::{LeaseId, OrganisationId, RequestId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Closing, JobState, Lease, LeaseState, RequestState, Settlement};
use hansa_node_api::filter::EventFilter;
use hansa_node_api::lease::JobInfo;
use hansa_node_api::{Account, EventCursor, EventMessage};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long to trust that silence means that nothing has happened.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A request that is followed.
pub(super) struct Follow<'a> {
    pub session: &'a Session,
    pub account: &'a Account,
    pub organisation: OrganisationId,
    pub request: RequestId,
    /// Whether it brought a job.
    pub job: bool,
    /// Whether the lease is kept when the job has ended.
    pub keep: bool,
    pub into: Option<PathBuf>,
    pub policy: Countersign,
    pub seen: Seen,
}

/// What was told and done so far.
#[derive(Default)]
pub(super) struct Seen {
    lease: Option<LeaseId>,
    /// When the lease was first seen begun, and seen ended, by this machine's clock.
    begun: Option<Instant>,
    ended: Option<Instant>,
    job_told: bool,
    /// The job's log on the way.
    live: Option<Live>,
    ending: bool,
    judged: bool,
    fetched: Option<Fetched>,
    job_end: Option<(JobState, Option<i32>)>,
}

impl Follow<'_> {
    /// Tells each stage as it comes, until the lease is settled.
    pub async fn run(mut self, sent: &Sent, since: EventCursor) -> Outcome {
        let progress = self.session.printer.progress("waiting for the batch");
        let placed =
            json!({ "request": self.request, "transaction": sent.signed.id(), "height": sent.done.height });
        self.tell(&progress, "placed", placed, &format!("placed     request {}", short(&self.request)));
        let outcome = self.follow(&progress, since).await;
        progress.finish();
        let (lease, settlement) = outcome?;
        self.settled(&lease, &settlement);
        self.verdict(&lease)
    }

    async fn follow(&mut self, progress: &Progress, since: EventCursor) -> Outcome<(Lease, Settlement)> {
        let filter = EventFilter { organisation: Some(self.organisation), ..EventFilter::default() };
        let mut events = self.account.client.events(filter, Some(since));
        loop {
            match self.advance(progress).await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => {}
                // A node that is away for a while has not changed what stands on the ledger.
                Err(failure) if failure.exit == crate::exit::Exit::Failed => progress.now(&failure.message),
                Err(failure) => return Err(failure),
            }
            match tokio::time::timeout(LOOK_AGAIN, events.next()).await {
                Ok(Some(Ok(EventMessage::Event(_) | EventMessage::Block(_) | EventMessage::Reset(_))))
                | Err(_) => {}
                Ok(Some(Err(error))) if error.is_transient() => progress.now(&error.to_string()),
                Ok(Some(Err(error))) => return Err(error.into()),
                Ok(None) => return Err(Failure::failed("the node ended the stream of events")),
            }
        }
    }

    /// Looks at the ledger and does what is next; gives the end once the lease is settled.
    async fn advance(&mut self, progress: &Progress) -> Outcome<Option<(Lease, Settlement)>> {
        let id = match self.seen.lease {
            Some(id) => id,
            None => match self.awarded(progress).await? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        let row = self.account.client.lease(&id).await?.row;
        self.watch(progress, &id, &row);
        if self.job {
            self.watch_job(progress, &id, &row).await?;
        }
        if row.state == LeaseState::Ended && row.reported_final && !self.seen.judged {
            self.judge(progress, &id, &row).await?;
        }
        if row.state != LeaseState::Settled {
            return Ok(None);
        }
        let settled = settlement(&self.account.client, &id).await?;
        Ok(settled.map(|settled| (row, settled.row)))
    }

    async fn awarded(&mut self, progress: &Progress) -> Outcome<Option<LeaseId>> {
        let row = self.account.client.request_info(&self.request).await?.row;
        match (row.state, row.lease) {
            (RequestState::Open, _) => {
                if let Some(unmatched) = row.last_unmatched() {
                    progress.now(&format!("waiting: {unmatched}"));
                }
                Ok(None)
            }
            (RequestState::Awarded, Some(id)) => {
                let lease = self.account.client.lease(&id).await?.row;
                let text = format!(
                    "awarded    lease {}: {} at {} in {} for {} EUR/h, from {} for {}",
                    short(&id),
                    lease.quantity,
                    lease.site,
                    lease.provider_home,
                    lease.agreement.price,
                    lease.agreement.start,
                    length(lease.agreement.end.0.saturating_sub(lease.agreement.start.0)),
                );
                self.seen.lease = Some(id);
                self.tell(progress, "awarded", json!({ "lease": id, "row": lease }), &text);
                progress.now("waiting for the provider to begin");
                Ok(Some(id))
            }
            (state, _) => {
                let why = row.last_unmatched().map(|unmatched| format!(": {unmatched}")).unwrap_or_default();
                Err(Failure::refused(format!("the request is {}, unmatched{why}", word_text(&state)))
                    .hint(format!("its money is back; see `hansa request why {}`", short(&self.request))))
            }
        }
    }

    /// Tells when the lease begins and ends.
    fn watch(&mut self, progress: &Progress, id: &LeaseId, row: &Lease) {
        if self.seen.begun.is_none() && row.started_at.is_some() {
            self.seen.begun = Some(Instant::now());
            self.tell(
                progress,
                "started",
                json!({ "lease": id, "at": row.started_at }),
                "started    the provider has begun the lease",
            );
            progress.now(if self.job { "the job runs" } else { "the lease is open" });
            if self.job {
                let live = self.seen.live.insert(Live::new(progress));
                live.start(self.account, *id, 0);
            }
        }
        if self.seen.ended.is_none() && row.ended_at.is_some() && row.started_at.is_some() {
            self.seen.ended = Some(Instant::now());
            self.tell(
                progress,
                "ended",
                json!({ "lease": id, "at": row.ended_at }),
                "ended      the lease is over",
            );
            progress.now("waiting for the final usage");
        }
    }

    /// Tells how the job ended, brings its outputs back, and ends the lease unless it is to be kept.
    async fn watch_job(&mut self, progress: &Progress, id: &LeaseId, lease: &Lease) -> Outcome {
        if !self.seen.job_told {
            let jobs = self.account.client.jobs(id).await?;
            let Some(job) = jobs.iter().find(|job| job.job == 0 && job.row.state != JobState::Submitted)
            else {
                return Ok(());
            };
            self.seen.job_told = true;
            self.seen.job_end = Some((job.row.state, job.row.exit_code));
            self.show_log(progress, job).await;
            let exit = match (job.row.exit_code, &job.row.failure) {
                (_, Some(failure)) => word_text(failure),
                (Some(code), None) => format!("exit code {code}"),
                (None, None) => "no exit code".to_owned(),
            };
            let text = format!("job        {} with {exit}", word_text(&job.row.state));
            self.tell(progress, "job", json!({ "lease": id, "job": job }), &text);
            if job.row.outputs.is_some() {
                self.fetch(progress, id, job).await?;
            }
        }
        if lease.state == LeaseState::Active && !self.keep && !self.seen.ending {
            self.seen.ending = true;
            progress.now("ending the lease");
            match self.account.send(vec![EndLease { lease: *id, cumulative: None }.into()]).await {
                // The provider, or the clock, was first.
                Err(error) if error.rejection() == Some(Rejection::LeaseStateWrong) => {}
                outcome => {
                    outcome?;
                }
            }
        }
        Ok(())
    }

    /// Shows what of the log of a job that has ended was not shown while it ran. The log among its outputs is the whole.
    async fn show_log(&mut self, progress: &Progress, job: &JobInfo) {
        let whole = match job.row.outputs {
            // That it cannot be had is told where the outputs are fetched.
            Some(_) => fetch::log(self.account, job).await.ok().flatten(),
            None => None,
        };
        self.seen.live.get_or_insert_with(|| Live::new(progress)).finish(whole.as_deref()).await;
    }

    async fn fetch(&mut self, progress: &Progress, id: &LeaseId, job: &JobInfo) -> Outcome {
        let folder = self.into.clone().unwrap_or_else(|| fetch::folder_of(id));
        let fetched = fetch::fetch(self.session, self.account, job, &folder).await?;
        let text = format!(
            "fetched    {} files into {}, hashes right",
            fetched.files.len(),
            fetched.folder.display()
        );
        self.tell(progress, "fetched", json!({ "lease": id, "fetched": fetched }), &text);
        self.seen.fetched = Some(fetched);
        Ok(())
    }

    /// Countersigns or contests the final report, as the user has set.
    async fn judge(&mut self, progress: &Progress, id: &LeaseId, row: &Lease) -> Outcome {
        self.seen.judged = true;
        let printer = self.session.printer;
        let verdict = usage::verdict(self.policy, row, self.observed(row), || usage::asked(printer, row));
        let text = match verdict {
            Verdict::Countersign => format!("usage      countersigned {}", usage_text(row.reported)),
            Verdict::Contest(admitted) => {
                format!(
                    "usage      contested {}, admitting {}",
                    usage_text(row.reported),
                    usage_text(admitted)
                )
            }
            Verdict::Silent => format!("usage      {} reported, not countersigned", usage_text(row.reported)),
        };
        match usage::carry_out(self.session, self.account, *id, row.reported, verdict).await {
            Ok(_) => {}
            // The challenge window passed meanwhile: the lease is settled.
            Err(failure) if failure.refusal.as_ref().is_some_and(|(code, _)| is_over(*code)) => return Ok(()),
            Err(failure) => {
                self.seen.judged = false;
                return Err(failure);
            }
        }
        let outcome = match verdict {
            Verdict::Countersign => "countersigned",
            Verdict::Contest(_) => "contested",
            Verdict::Silent => "silent",
        };
        let data =
            json!({ "lease": id, "outcome": outcome, "reported": row.reported, "policy": self.policy });
        self.tell(progress, "usage", data, &text);
        progress.now("waiting for the settlement");
        Ok(())
    }

    /// Accelerator-seconds by this machine's own clock, if it saw the lease begin and end. Events arrive a little late at both
    /// ends, and a lease counts whole seconds: two seconds at either end are nobody's lie.
    fn observed(&self, row: &Lease) -> Option<u64> {
        let length = self.seen.ended?.checked_duration_since(self.seen.begun?)?;
        Some((length.as_secs() + 2).saturating_mul(u64::from(row.quantity)))
    }

    /// The result: what people and programs read from stdout.
    fn settled(&self, row: &Lease, settlement: &Settlement) {
        let data = json!({
            "stage": "settled", "lease": self.seen.lease, "closing": row.closing, "height": settlement.height,
            "payments": settlement.payments, "refunds": settlement.refunds,
        });
        let money = |kind: &str, payments: &[hansa_ledger::row::Payment]| {
            let each = payments
                .iter()
                .map(|one| format!("\n           {kind} {} EUR to {}", one.amount, account_text(&one.to)));
            each.collect::<String>()
        };
        let text = format!(
            "settled    lease {}{}{}",
            self.seen.lease.map(|id| short(&id)).unwrap_or_default(),
            money("paid", &settlement.payments),
            money("back", &settlement.refunds),
        );
        self.session.printer.data(&data, || text);
    }

    /// What scripts learn from the exit code: whether the job did its work, or else whether the capacity was there.
    fn verdict(&self, row: &Lease) -> Outcome {
        match (self.job, self.seen.job_end) {
            (true, Some((JobState::Succeeded, _))) => return Ok(()),
            (true, Some((_, code))) => {
                let exit =
                    code.map_or("without an exit code".to_owned(), |code| format!("with exit code {code}"));
                return Err(Failure::refused(format!("the job ended {exit}"))
                    .hint("its log is among what was fetched; only what was used was paid"));
            }
            _ => {}
        }
        match row.closing {
            Some(Closing::NoShow | Closing::CancelledByProvider) => {
                Err(Failure::failed("the provider did not deliver; what was not used went back")
                    .hint("bid again; other providers may have room: `hansa capacity list`"))
            }
            _ if self.job => Err(Failure::failed("the lease is settled, and its job never ended")
                .hint("bid for a longer lease, or set `--wall` below its length")),
            _ => Ok(()),
        }
    }

    fn tell(&self, progress: &Progress, stage: &str, mut data: Value, text: &str) {
        if !self.session.printer.is_json() {
            progress.done(text);
            return;
        }
        if let Value::Object(fields) = &mut data {
            fields.insert("stage".to_owned(), Value::from(stage));
        }
        self.session.printer.data(&data, String::new);
    }
}

fn is_over(code: u16) -> bool {
    [Rejection::LeaseStateWrong, Rejection::NotContestable].iter().any(|rejection| rejection.code() == code)
}
