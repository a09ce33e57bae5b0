//! Blobs to and from this node, by signed requests.

use super::Shared;
use super::answer::{Answer, Problem, Segments, parse};
use super::backend::{Chunk, read};
use super::reader::{Reader, Who, by_signature};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use hansa_ledger::id::{BlobHash, OrganisationId};
use hansa_ledger::row::Standing;
use hansa_ledger::tables::{Organisations, ParamsTable};
use hansa_node_api::client::blob::BlobInfo;
use hansa_node_api::error::{ErrorBody, Fault};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::io::{ReaderStream, StreamReader};

/// How large a piece of a file is read at a time, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Keeps a blob on the account of the organisation whose key signs the request.
#[utoipa::path(put, path = "/v1/blobs/{hash}", tag = "blobs",
    params(("hash" = String, Path, description = "the BLAKE3 hash of the content"),
        ("x-hansa-key" = String, Header, description = "the key that signs"),
        ("x-hansa-expires-ms" = String, Header, description = "until when the request holds"),
        ("x-hansa-signature" = String, Header, description = "over chain, method, path, body hash and expiry")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = BlobInfo), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(super) async fn put(
    State(shared): State<Shared>,
    Segments(hash): Segments<String>,
    uri: Uri,
    headers: HeaderMap,
    content: Body,
) -> Answer<BlobInfo> {
    let hash: BlobHash = parse("blob hash", &hash)?;
    let owner = signer(&shared, &headers, &Method::PUT, uri.path(), hash, true)?;
    let bytes_max =
        read(&*shared.backend, |state| state.get::<ParamsTable>(&()).map(|params| params.blob_bytes_max));
    let bytes_max = bytes_max.ok_or(Fault::NotReady)?;
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let broken = Arc::new(Mutex::new(None));
    let stream = bounded(content, bytes_max, shared.limits.idle_time_max, broken.clone());
    let kept = shared.backend.put_blob(owner, hash, Box::pin(StreamReader::new(stream))).await;
    // When the body itself broke off, that is what happened, whatever it looked like from inside.
    if let Some(problem) = broken.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take() {
        return Err(problem);
    }
    Ok(Json(BlobInfo { hash, bytes: kept? }))
}

fn too_large(bytes_max: u64) -> Problem {
    Problem::new(
        Fault::BlobTooLarge,
        format!("the blob is larger than the {bytes_max} bytes that one may have"),
    )
}

/// The body as it comes, up to `bytes_max`; a sender that is silent for `idle` is given up. Why it broke off is left in `broken`.
fn bounded(
    body: Body,
    bytes_max: u64,
    idle: Duration,
    broken: Arc<Mutex<Option<Problem>>>,
) -> impl Stream<Item = Chunk> + Send {
    let give_up = move |problem: Problem| {
        *broken.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(problem);
        std::io::Error::other("the body was refused")
    };
    futures::stream::try_unfold((body.into_data_stream(), 0u64), move |(mut stream, come)| {
        let give_up = give_up.clone();
        async move {
            let chunk = match tokio::time::timeout(idle, stream.next()).await {
                Err(_) => return Err(give_up(Fault::RequestTimeout.into())),
                Ok(None) => return Ok(None),
                Ok(Some(chunk)) => chunk.map_err(std::io::Error::other)?,
            };
            let come = come.saturating_add(chunk.len() as u64);
            if come > bytes_max {
                return Err(give_up(too_large(bytes_max)));
            }
            Ok(Some((chunk, (stream, come))))
        }
    })
}

/// Gives a blob to who keeps it here, or to the provider of a lease of theirs that names it.
#[utoipa::path(get, path = "/v1/blobs/{hash}", tag = "blobs",
    params(("hash" = String, Path, description = "the BLAKE3 hash of the content"),
        ("x-hansa-read-pass" = Option<String>, Header, description = "who reads, if the request is not signed"),
        ("x-hansa-key" = Option<String>, Header, description = "the key that signs"),
        ("x-hansa-expires-ms" = Option<String>, Header, description = "until when the request holds"),
        ("x-hansa-signature" = Option<String>, Header, description = "over chain, method, path, the hash of no body, and expiry")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    State(shared): State<Shared>,
    reader: Reader,
    Segments(hash): Segments<String>,
) -> Result<Response, Problem> {
    let hash: BlobHash = parse("blob hash", &hash)?;
    // Members see what stands on the ledger; what it names by hash is for the two sides of a lease.
    let reader = match reader.who {
        Who::Organisation(organisation) => organisation,
        Who::Office(..) => return Err(Fault::KeyRefused.into()),
        Who::Public => return Err(Fault::SignatureMissing.into()),
    };
    // Asked before whether it is here, so that a stranger does not learn what this node keeps.
    let opened = match shared.backend.may_read_blob(reader, hash).await {
        Ok(()) => shared.backend.open_blob(hash).await?,
        Err(Fault::BlobUnknown) => None,
        Err(fault) => return Err(fault.into()),
    };
    let Some((file, bytes)) = opened else {
        return Err(Problem::new(Fault::BlobUnknown, format!("this node keeps no blob {hash} for you")));
    };
    let body = Body::from_stream(ReaderStream::with_capacity(file, READ_BYTES));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
    ];
    Ok((headers, body).into_response())
}

/// The organisation whose key signed this request. Where it is to pay for something it has to be accredited now.
pub(super) fn signer(
    shared: &Shared,
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    body: BlobHash,
    accredited: bool,
) -> Result<OrganisationId, Problem> {
    let reader = by_signature(shared, headers, method, path, body)?;
    let Who::Organisation(organisation) = reader.who else { return Err(Fault::KeyRefused.into()) };
    let standing =
        read(&*shared.backend, |state| state.get::<Organisations>(&organisation).map(|row| row.standing));
    match standing {
        Some(standing) if !accredited || standing == Standing::Accredited => Ok(organisation),
        _ => Err(Fault::KeyRefused.into()),
    }
}
