//! `hansa lease logs`: what a job has written, and what it writes.

use super::{chosen_jobs, fetch};
use crate::error::{Failure, Outcome};
use crate::printer::Printer;
use crate::session::Session;
use hansa_ledger::id::LeaseId;
use hansa_ledger::row::JobState;
use hansa_node_api::Account;
use hansa_node_api::client::log::LogFollower;
use hansa_node_api::text::Lines;
use serde_json::json;
use std::time::Duration;

/// Shows the log of a job: the one that came back with its outputs once it has ended, else what has come so far.
pub(super) async fn run(session: &Session, lease: &str, number: Option<u32>, follow: bool) -> Outcome {
    let account = session.account().await?;
    let lease = session.find_lease(&account.client, lease).await?;
    let jobs = chosen_jobs(&account.client, &lease, number).await?;
    let Some(job) = jobs.last() else { return Ok(()) };
    let mut view = View::new(session.printer, lease, job.job, follow);
    if job.row.state != JobState::Submitted && job.row.outputs.is_some() {
        let log = fetch::log(&account, job).await?.ok_or_else(|| {
            Failure::refused(format!("job {} left no log", job.job)).hint("its provider may not return logs")
        })?;
        view.show(&log);
        view.finish();
        return Ok(());
    }
    match follow {
        true => self::follow(session, &account, lease, job.job, &mut view).await?,
        false => so_far(session, &account, lease, job.job, &mut view).await?,
    }
    view.finish();
    Ok(())
}

/// Everything that the node holds by now.
async fn so_far(session: &Session, account: &Account, lease: LeaseId, job: u32, view: &mut View) -> Outcome {
    let mut offset = 0;
    loop {
        let Account { client, chain, key, .. } = account;
        let piece = client.job_log(*chain, key, &lease, job, offset, Duration::ZERO).await?;
        view.show(&piece.bytes);
        offset = piece.next;
        if !piece.bytes.is_empty() && !piece.complete {
            continue;
        }
        let note = match (piece.complete, piece.job_ended) {
            (true, _) => None,
            (false, true) => Some("the job has ended, and the end of its log never came"),
            (false, false) => Some("the job has not ended; `--follow` shows what comes"),
        };
        if let Some(note) = note {
            session.printer.note(note);
        }
        return Ok(());
    }
}

/// Everything until the job has ended. What the node could not keep comes with the outputs.
async fn follow(session: &Session, account: &Account, lease: LeaseId, job: u32, view: &mut View) -> Outcome {
    let mut follower = LogFollower::new(account.clone(), lease, job);
    let mut told = false;
    loop {
        match follower.next().await {
            Ok(piece) => {
                view.show(&piece.bytes);
                if piece.complete {
                    return Ok(());
                }
                if piece.job_ended && piece.bytes.is_empty() {
                    break;
                }
                if piece.cut && piece.bytes.is_empty() && !told {
                    told = true;
                    session
                        .printer
                        .note("the node keeps no more of this log; the rest comes when the job has ended");
                }
            }
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut told, true) {
                    session.printer.note(&format!("{error}; still trying"));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let jobs = chosen_jobs(&account.client, &lease, Some(job)).await?;
    let whole = match jobs.first() {
        Some(job) if job.row.outputs.is_some() => fetch::log(account, job).await?,
        _ => None,
    };
    match whole {
        Some(log) => view.show(after(&log, follower.offset())),
        None => session.printer.note("the job has ended, and the end of its log never came"),
    }
    Ok(())
}

/// What of a log comes after its first `offset` bytes.
#[must_use]
pub fn after(log: &[u8], offset: u64) -> &[u8] {
    usize::try_from(offset).ok().and_then(|offset| log.get(offset..)).unwrap_or_default()
}

/// Shows a log as it comes: to a pipe the bytes as they are, to a terminal lines in which nothing is acted upon, to programs
/// lines in JSON while it is followed, and else all of it as one value.
struct View {
    printer: Printer,
    lease: LeaseId,
    job: u32,
    way: Way,
}

enum Way {
    Bytes,
    Shown(Lines),
    Followed(Lines),
    Whole(Vec<u8>),
}

impl View {
    fn new(printer: Printer, lease: LeaseId, job: u32, follow: bool) -> Self {
        let way = match (printer.is_json(), follow, printer.is_terminal()) {
            (true, true, _) => Way::Followed(Lines::verbatim()),
            (true, false, _) => Way::Whole(Vec::new()),
            (false, _, true) => Way::Shown(Lines::default()),
            (false, _, false) => Way::Bytes,
        };
        Self { printer, lease, job, way }
    }

    fn show(&mut self, bytes: &[u8]) {
        let lines = match &mut self.way {
            Way::Bytes => return self.printer.raw(bytes),
            Way::Whole(whole) => return whole.extend_from_slice(bytes),
            Way::Shown(lines) | Way::Followed(lines) => lines.take(bytes),
        };
        lines.iter().for_each(|line| self.line(line));
    }

    fn finish(mut self) {
        match &mut self.way {
            Way::Bytes => {}
            Way::Whole(whole) => {
                let log = String::from_utf8_lossy(whole);
                let data = json!({ "lease": self.lease, "job": self.job, "log": log });
                self.printer.data(&data, String::new);
            }
            Way::Shown(lines) | Way::Followed(lines) => {
                if let Some(line) = lines.finish() {
                    self.line(&line);
                }
            }
        }
    }

    fn line(&self, line: &str) {
        match self.printer.is_json() {
            true => {
                let data = json!({ "lease": self.lease, "job": self.job, "line": line });
                self.printer.data(&data, String::new);
            }
            false => self.printer.raw(format!("{line}\n").as_bytes()),
        }
    }
}
