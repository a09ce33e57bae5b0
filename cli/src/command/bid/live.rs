//! The log of a bid's job, shown while it runs.

use crate::command::lease::log::after;
use crate::printer::Progress;
use hansa_ledger::id::LeaseId;
use hansa_node_api::Account;
use hansa_node_api::client::log::LogFollower;
use hansa_node_api::text::Lines;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long the end of a log is waited for once its job has ended. The whole is among the outputs.
const END_TIME_MAX: Duration = Duration::from_secs(3);

/// What has been shown of a log.
#[derive(Default)]
struct Shown {
    offset: u64,
    lines: Lines,
}

/// A log that is shown line by line, by a task that ends with this.
pub(super) struct Live {
    progress: Progress,
    shown: Arc<Mutex<Shown>>,
    task: Option<JoinHandle<()>>,
}

impl Live {
    /// Nothing of the log has come yet, and nobody waits for it.
    pub fn new(progress: &Progress) -> Self {
        Self { progress: progress.clone(), shown: Arc::default(), task: None }
    }

    /// Shows the log of this job from now on.
    pub fn start(&mut self, account: &Account, lease: LeaseId, job: u32) {
        let mut follower = LogFollower::new(account.clone(), lease, job);
        let (progress, shown) = (self.progress.clone(), self.shown.clone());
        let task = tokio::spawn(async move {
            loop {
                match follower.next().await {
                    Ok(piece) => {
                        let mut shown = lock(&shown);
                        shown.lines.take(&piece.bytes).iter().for_each(|line| tell(&progress, line));
                        shown.offset = piece.next;
                        if piece.complete || (piece.job_ended && piece.bytes.is_empty()) {
                            return;
                        }
                    }
                    Err(error) if error.is_transient() => {}
                    // A node that has no logs to show: the log comes with the outputs.
                    Err(_) => return,
                }
            }
        });
        if let Some(before) = self.task.replace(task) {
            before.abort();
        }
    }

    /// Shows the rest of a log whose job has ended: what comes from the node, and what of the `whole` has not been shown then.
    pub async fn finish(&mut self, whole: Option<&[u8]>) {
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(END_TIME_MAX, &mut task).await.is_err()
        {
            task.abort();
        }
        let mut shown = lock(&self.shown);
        let rest = after(whole.unwrap_or_default(), shown.offset);
        shown.offset = shown.offset.saturating_add(rest.len() as u64);
        let lines = shown.lines.take(rest);
        lines.into_iter().chain(shown.lines.finish()).for_each(|line| tell(&self.progress, &line));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn tell(progress: &Progress, line: &str) {
    progress.done(&format!("log        {line}"));
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    // A panic elsewhere leaves it whole: lines are told before they count.
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
