//! `hansa job`: run jobs in a lease.

pub mod draft;

use crate::error::{Failure, Outcome};
use crate::session::{Session, short};
use crate::units::word_text;
use clap::{Args, Subcommand};
use draft::JobWish;
use hansa_ledger::action::RunJob;
use hansa_ledger::event::Event;
use serde_json::json;

/// Run jobs in a lease.
#[derive(Debug, Args)]
pub struct JobArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a job in a lease
    Run(Box<Run>),
    /// List the jobs of a lease
    List {
        /// Lease: id or beginning of it
        lease: String,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Lease: id or beginning of it
    lease: String,
    #[command(flatten)]
    job: JobWish,
}

impl JobArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Run(run) => run.run(session).await,
            Verb::List { lease } => list(session, &lease).await,
        }
    }
}

impl Run {
    async fn run(self, session: &Session) -> Outcome {
        let draft = self.job.draft(None).await?.ok_or_else(|| {
            Failure::refused("the job names no program to run").hint("give `--run PROGRAM`")
        })?;
        let account = session.account().await?;
        let lease = session.find_lease(&account.client, &self.lease).await?;
        let manifest = draft.upload(&account, session.printer).await?;
        let sent = session.send(&account, vec![RunJob { lease, manifest }.into()]).await?;
        let number = sent.done.receipt.events.iter().find_map(|event| match event {
            Event::JobSubmitted { job, .. } => Some(*job),
            _ => None,
        });
        let text =
            number.map_or_else(String::new, |job| format!("submitted job {job} to lease {}", short(&lease)));
        session.tell_sent(&sent, json!({ "lease": lease, "job": number, "manifest": manifest }), &text);
        Ok(())
    }
}

async fn list(session: &Session, lease: &str) -> Outcome {
    let client = session.reader().await?;
    let lease = session.find_lease(&client, lease).await?;
    let jobs = client.jobs(&lease).await?;
    session.printer.data(&jobs, || {
        let rows = jobs.iter().map(|one| {
            let row = &one.row;
            [
                one.job.to_string(),
                word_text(&row.state),
                row.exit_code.map(|code| code.to_string()).unwrap_or_default(),
                row.failure.as_ref().map(word_text).unwrap_or_default(),
                row.submitted_at.to_string(),
                row.ended_at.map(|time| time.to_string()).unwrap_or_default(),
                short(&row.manifest),
                row.outputs.map(|outputs| short(&outputs)).unwrap_or_default(),
            ]
        });
        session
            .printer
            .table(["JOB", "STATE", "EXIT", "FAILURE", "SUBMITTED", "ENDED", "MANIFEST", "OUTPUTS"], rows)
    });
    Ok(())
}
