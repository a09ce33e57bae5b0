//! How the node is: status, peers, health, metrics, the description of the API.

use super::answer::{Answer, Problem};
use super::{Description, Shared};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::status::{Health, NodeStatus, PeerStatus};
use utoipa::OpenApi as _;

/// How the node is.
#[utoipa::path(get, path = "/v1/status", tag = "node", responses((status = 200, body = NodeStatus)))]
pub(super) async fn status(State(shared): State<Shared>) -> Json<NodeStatus> {
    Json(shared.backend.status())
}

/// The other members' nodes.
#[utoipa::path(get, path = "/v1/peers", tag = "node", responses((status = 200, body = Vec<PeerStatus>)))]
pub(super) async fn peers(State(shared): State<Shared>) -> Json<Vec<PeerStatus>> {
    Json(shared.backend.peers())
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", tag = "node", responses((status = 200, body = Health)))]
pub(super) async fn live() -> Json<Health> {
    Json(Health { ok: true, reason: None })
}

/// Whether the node may be asked: it has caught up and takes part.
#[utoipa::path(get, path = "/health/ready", tag = "node", responses(
    (status = 200, body = Health), (status = 503, body = ErrorBody)
))]
pub(super) async fn ready(State(shared): State<Shared>) -> Answer<Health> {
    let status = shared.backend.status();
    if status.ready {
        return Ok(Json(Health { ok: true, reason: None }));
    }
    let reason = status.unready_reason.unwrap_or_else(|| Fault::NotReady.to_string());
    Err(Problem::new(Fault::NotReady, reason))
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "node", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.backend.metrics())
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "node", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
