//! The log of a job while it runs, from the home node, signed.

use super::{ANSWER_TIME_MAX, Client};
use crate::account::Account;
use crate::error::ApiError;
use crate::signed::empty_body;
use hansa_ledger::id::{ChainId, LeaseId};
use hansa_ledger_signature::SecretKey;
use reqwest::Method;
use reqwest::header::HeaderMap;
use std::time::Duration;
use tokio::time::Instant;

/// The header that says where in the log the next piece begins, in bytes.
pub const NEXT_HEADER: &str = "x-hansa-log-next";
/// The header that says whether the log has ended, and ends with this piece.
pub const COMPLETE_HEADER: &str = "x-hansa-log-complete";
/// The header that says whether the node keeps the beginning of the log only.
pub const CUT_HEADER: &str = "x-hansa-log-cut";
/// The header that says whether the job's end stands on the ledger.
pub const JOB_ENDED_HEADER: &str = "x-hansa-job-ended";

/// The most bytes of one piece.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;

/// The longest one call waits on the server.
const ONE_WAIT_MAX: Duration = Duration::from_secs(20);

/// The least time between two calls that bring nothing.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// A piece of a job's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// The bytes from where they were asked for, as the job wrote them: nobody's word but the job's. They may be none.
    pub bytes: Vec<u8>,
    /// Where the next piece begins.
    pub next: u64,
    /// Whether the log has ended, and ends with this piece.
    pub complete: bool,
    /// Whether the node keeps the beginning of the log only; the whole comes back with the job's outputs.
    pub cut: bool,
    /// Whether the job's end stands on the ledger.
    pub job_ended: bool,
}

impl Client {
    /// What the node holds of a job's log from `offset` on, at most [`PIECE_BYTES_MAX`] bytes. When there is nothing yet, the node
    /// waits up to `wait` for more, or for the job's end. For the two sides of the lease, at the node of the requester's home.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn job_log(
        &self,
        chain: ChainId,
        key: &SecretKey,
        lease: &LeaseId,
        job: u32,
        offset: u64,
        wait: Duration,
    ) -> Result<LogPiece, ApiError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        // The query is signed with the path, so that nobody on the way can have another part read.
        let path = format!("/v1/leases/{lease}/jobs/{job}/log?offset={offset}&wait_ms={wait_ms}");
        let builder = self
            .signed_request(Method::GET, &path, chain, key, empty_body())
            .timeout(wait.saturating_add(ANSWER_TIME_MAX));
        let response = self.send(builder).await?;
        let headers = response.headers().clone();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let next = text(NEXT_HEADER).and_then(|next| next.parse().ok());
        let next = next.ok_or_else(|| self.unreadable(&path, &format!("`{NEXT_HEADER}` is missing")))?;
        let bytes = self.bytes(response).await?;
        if bytes.len() > PIECE_BYTES_MAX || offset.checked_add(bytes.len() as u64) != Some(next) {
            return Err(self.unreadable(&path, "the piece does not have the length it is said to have"));
        }
        Ok(LogPiece {
            bytes,
            next,
            complete: is_true(&headers, COMPLETE_HEADER),
            cut: is_true(&headers, CUT_HEADER),
            job_ended: is_true(&headers, JOB_ENDED_HEADER),
        })
    }
}

fn is_true(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).is_some_and(|value| value == "true")
}

/// Follows the log of one job from its beginning, piece by piece.
#[derive(Debug)]
pub struct LogFollower {
    account: Account,
    lease: LeaseId,
    job: u32,
    offset: u64,
    asked: Option<Instant>,
}

impl LogFollower {
    /// A follower that has seen nothing yet.
    #[must_use]
    pub fn new(account: Account, lease: LeaseId, job: u32) -> Self {
        Self { account, lease, job, offset: 0, asked: None }
    }

    /// How many bytes were given so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Waits for the next piece. It comes without bytes when there were none for a while, or when the job has ended. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// As [`ApiError`]; after one that [`ApiError::is_transient`] the caller may simply go on.
    pub async fn next(&mut self) -> Result<LogPiece, ApiError> {
        // A node that cannot wait for everybody answers at once; it is not to be asked all the time for that.
        if let Some(asked) = self.asked {
            tokio::time::sleep_until(asked + PAUSE_MIN).await;
        }
        let began = Instant::now();
        let Account { client, chain, key, .. } = &self.account;
        let outcome = client.job_log(*chain, key, &self.lease, self.job, self.offset, ONE_WAIT_MAX).await;
        self.asked = match &outcome {
            Ok(piece) if !piece.bytes.is_empty() => None,
            _ => Some(began),
        };
        let piece = outcome?;
        self.offset = piece.next;
        Ok(piece)
    }
}
