//! The log of a job while it runs, by signed requests.

use super::Shared;
use super::answer::{Parameters, Problem, Segments, parse};
use super::backend::read;
use super::reader::{Reader, Who};
use crate::log::LogRead;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use hansa_ledger::id::{LeaseId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::JobState;
use hansa_ledger::tables::{Jobs, Leases};
use hansa_node_api::client::log::{
    COMPLETE_HEADER, CUT_HEADER, JOB_ENDED_HEADER, NEXT_HEADER, PIECE_BYTES_MAX,
};
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::job::LOG_BYTES_MAX;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

/// Which part of a log is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Where in the log it begins, in bytes; at its beginning if not said.
    offset: Option<u64>,
    /// How long to wait for more when there is nothing yet, in milliseconds; not at all if not said.
    wait_ms: Option<u64>,
}

/// The log of a job while it runs, from an offset on: for the lease's requester and provider, at the node of the requester's home.
/// The whole log comes back with the job's outputs.
#[utoipa::path(get, path = "/v1/leases/{id}/jobs/{job}/log", tag = "leases",
    params(("id" = String, Path, description = "the lease's id"), ("job" = u32, Path, description = "the job's number in it"), Part,
        ("x-hansa-key" = String, Header, description = "the key that signs"),
        ("x-hansa-expires-ms" = String, Header, description = "until when the request holds"),
        ("x-hansa-signature" = String, Header, description = "over chain, method, path with query, the hash of no body, and expiry; or a read pass")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
            description = "At most 65536 bytes as the job wrote them; they may be none.",
            headers(("x-hansa-log-next" = u64, description = "where the next piece begins, in bytes"),
                ("x-hansa-log-complete" = bool, description = "whether the log has ended, and ends with this piece"),
                ("x-hansa-log-cut" = bool, description = "whether only the beginning of the log is kept"),
                ("x-hansa-job-ended" = bool, description = "whether the job's end stands on the ledger"))),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub(super) async fn log(
    State(shared): State<Shared>,
    Segments((lease, job)): Segments<(String, String)>,
    Parameters(part): Parameters<Part>,
    reader: Reader,
) -> Result<Response, Problem> {
    let lease: LeaseId = parse("lease id", &lease)?;
    let job: u32 = parse("number of a job", &job)?;
    let offset = part.offset.unwrap_or(0);
    if offset > LOG_BYTES_MAX {
        let message = format!("`offset` is over {LOG_BYTES_MAX}, the most bytes that a log may have");
        return Err(Problem::new(Fault::RequestMalformed, message));
    }
    let reader = match reader.who {
        Who::Organisation(organisation) => organisation,
        Who::Public => return Err(Fault::SignatureMissing.into()),
        Who::Office(..) => return Err(Fault::LogForbidden.into()),
    };
    let home = shared.backend.status().member;
    may_read(&shared, &lease, job, reader, home)?;
    let wait = Duration::from_millis(part.wait_ms.unwrap_or(0)).min(shared.limits.wait_time_max);
    let (piece, job_ended) = wait_piece(&shared, lease, job, offset, wait).await;
    let flag = |name, value: bool| (HeaderName::from_static(name), value.to_string());
    let next = offset.saturating_add(piece.bytes.len() as u64);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        // What a job writes is nobody's page, whatever it looks like.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (HeaderName::from_static(NEXT_HEADER), next.to_string()),
        flag(COMPLETE_HEADER, piece.complete),
        flag(CUT_HEADER, piece.cut),
        flag(JOB_ENDED_HEADER, job_ended),
    ];
    Ok((headers, piece.bytes).into_response())
}

/// Refuses all but the two sides of the lease, and says where the log is if not here.
fn may_read(
    shared: &Shared,
    lease: &LeaseId,
    job: u32,
    reader: OrganisationId,
    home: MemberCode,
) -> Result<(), Problem> {
    read(&*shared.backend, |state| {
        let row = state.get::<Leases>(lease).ok_or_else(|| Problem::unknown("lease", lease))?;
        if reader != row.requester && reader != row.provider {
            return Err(Fault::LogForbidden.into());
        }
        if state.get::<Jobs>(&(*lease, job)).is_none() {
            return Err(Problem::unknown("job", &format!("{job} in lease {lease}")));
        }
        if row.requester_home != home {
            let message =
                format!("the log comes to the node of {}, not to that of {home}", row.requester_home);
            return Err(Problem::new(Fault::LogElsewhere, message));
        }
        Ok(())
    })
}

/// The piece, and whether the job has ended. Waits while there is nothing to tell.
async fn wait_piece(
    shared: &Shared,
    lease: LeaseId,
    job: u32,
    offset: u64,
    wait: Duration,
) -> (LogRead, bool) {
    let logs = shared.backend.logs();
    let key = (lease.0, job);
    // Subscribed before the first look, so that nothing comes in between.
    let mut changes = logs.changes(key);
    let mut blocks = shared.backend.follow();
    let look = || async move {
        // The job's end first: a piece that comes in between is then given with it or before it, never after.
        let ended = read(&*shared.backend, |state| {
            state.get::<Jobs>(&(lease, job)).is_none_or(|row| row.state != JobState::Submitted)
        });
        (logs.read(key, offset, PIECE_BYTES_MAX).await, ended)
    };
    let is_news = |(piece, ended): &(LogRead, bool)| !piece.bytes.is_empty() || piece.complete || *ended;
    let first = look().await;
    if is_news(&first) || wait.is_zero() {
        return first;
    }
    // Nobody who waits keeps others from being answered.
    let Ok(_place) = shared.log_waits.try_acquire() else { return first };
    let watch = async {
        loop {
            tokio::select! {
                // The store lives as long as the node, and so do its listeners.
                Ok(()) = changes.changed() => {}
                block = blocks.recv() => if matches!(block, Err(RecvError::Closed)) { return look().await },
                () = shared.shutdown.cancelled() => return look().await,
            }
            let found = look().await;
            if is_news(&found) {
                return found;
            }
        }
    };
    match tokio::time::timeout(wait, watch).await {
        Ok(found) => found,
        Err(_) => look().await,
    }
}
