//! What comes in many or goes to all: bundles of transactions, and adverts.

use super::Shared;
use super::answer::{Answer, Problem, body};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use hansa_node_api::bundle::{BUNDLE_BYTES_MAX, BundleVerdict, decode};
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::peer::advert::ADVERT_BYTES_MAX;

/// Sends many signed transactions at once: the canonical bytes (borsh) of a list of 1 to 4,096 of them, 1 MiB at most.
#[utoipa::path(post, path = "/v1/bundles", tag = "chain",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Vec<BundleVerdict>), (status = 400, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 415, body = ErrorBody)))]
pub(super) async fn submit(
    State(shared): State<Shared>,
    headers: HeaderMap,
    content: Body,
) -> Answer<Vec<BundleVerdict>> {
    let bytes = binary(&shared, &headers, content, BUNDLE_BYTES_MAX).await?;
    let transactions = decode(&bytes).map_err(|reason| Problem::new(Fault::RequestMalformed, reason))?;
    let ids: Vec<_> = transactions.iter().map(|transaction| transaction.id()).collect();
    let verdicts = shared.backend.submit_bundle(transactions).await;
    let told = ids.into_iter().zip(verdicts).map(|(id, verdict)| BundleVerdict {
        id,
        code: verdict.map_or_else(|rejection| rejection.code(), |_| 0),
    });
    Ok(Json(told.collect()))
}

/// Publishes an advert: its canonical bytes, signed by a key of the provider it speaks for.
#[utoipa::path(post, path = "/v1/adverts", tag = "market",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "the advert is known here and on its way to all members"),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn advert(
    State(shared): State<Shared>,
    headers: HeaderMap,
    content: Body,
) -> Result<(), Problem> {
    let bytes = binary(&shared, &headers, content, ADVERT_BYTES_MAX).await?;
    shared.backend.advert(bytes).map_err(|failure| Problem::new(failure.fault, failure.message))
}

/// Reads a body that is bytes, and nothing else.
async fn binary(
    shared: &Shared,
    headers: &HeaderMap,
    content: Body,
    bytes_max: usize,
) -> Result<Vec<u8>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !matches!(kind, "application/octet-stream" | "") {
        return Err(Problem::new(
            Fault::MediaType,
            format!("this path does not take bodies of type `{kind}`"),
        ));
    }
    body(content, bytes_max.min(shared.limits.body_bytes_max), shared.limits.request_time_max).await
}
