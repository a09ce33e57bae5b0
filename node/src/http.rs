//! The HTTP server: what people and programs outside the federation talk to.
//!
//! It holds no authority: every write is a transaction that its owner signed. One file per resource; each answers from the
//! state as of the last block what the reader may see ([`reader`], [`visibility`]), and refuses in one shape
//! ([`hansa_node_api::ErrorBody`]).

mod answer;
pub mod backend;
mod blobs;
mod book;
mod bundles;
mod chain;
mod connection;
mod desk;
mod events;
mod governance;
mod leases;
mod logs;
mod market;
mod node;
mod offices;
mod organisations;
mod proofs;
mod quote;
mod reader;
mod requests;
mod visibility;
mod why;

#[cfg(test)]
mod tests;

pub use backend::{
    Backend, BlobBody, BlobFailure, BlockRecord, FinalTransaction, NodeStatus, PeerStatus, TransactionStatus,
};
pub use connection::serve;

use answer::Problem;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hansa_node_api::error::Fault;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Answers of one sort that are computed at a time.
const COMPUTING_MAX: usize = 2;

/// Answers of one sort that are computed or wait for that.
const COMPUTING_SEATS_MAX: usize = 32;

/// What the server takes, and how long it waits.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Largest body but for blobs, in bytes.
    pub body_bytes_max: usize,
    /// Open connections.
    pub connections_max: usize,
    /// Requests in hand at one time, streams of events not counted.
    pub requests_max: usize,
    /// Streams of events at one time.
    pub streams_max: usize,
    /// How long the head of a request may take, and how long an idle connection is kept.
    pub header_time_max: Duration,
    /// How long a body may take, and an answer after it.
    pub request_time_max: Duration,
    /// How long the sender of a blob may be silent.
    pub idle_time_max: Duration,
    /// The longest that a request may wait for finality.
    pub wait_time_max: Duration,
    /// Requests that wait for more of a log at one time; beyond, they are answered at once.
    pub log_waits_max: usize,
    /// How often a silent stream of events says that it lives.
    pub keep_alive: Duration,
    /// Names that the server answers under besides the address it listens on and the loopback ones.
    pub hosts: Vec<String>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 * 1024 * 1024,
            connections_max: 1_024,
            requests_max: 256,
            streams_max: 256,
            header_time_max: Duration::from_secs(10),
            request_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(20),
            wait_time_max: Duration::from_secs(30),
            log_waits_max: 64,
            keep_alive: Duration::from_secs(15),
            hosts: Vec::new(),
        }
    }
}

/// What every handler has.
#[derive(Clone)]
struct Shared {
    backend: Arc<dyn Backend>,
    limits: Arc<HttpLimits>,
    listens: SocketAddr,
    shown: governance::Shown,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    log_waits: Arc<Semaphore>,
    passes: Arc<reader::Passes>,
    /// What clears books: dry runs, and why requests wait.
    previews: desk::Desk,
    /// What goes through long books.
    views: desk::Desk,
    advice: Arc<why::Advice>,
    shutdown: CancellationToken,
}

impl Shared {
    fn new(
        backend: Arc<dyn Backend>,
        limits: HttpLimits,
        listens: SocketAddr,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            backend,
            listens,
            shown: governance::Shown::default(),
            requests: Arc::new(Semaphore::new(limits.requests_max)),
            streams: Arc::new(Semaphore::new(limits.streams_max)),
            log_waits: Arc::new(Semaphore::new(limits.log_waits_max)),
            limits: Arc::new(limits),
            passes: Arc::default(),
            previews: desk::Desk::new(COMPUTING_MAX, COMPUTING_SEATS_MAX),
            views: desk::Desk::new(COMPUTING_MAX, COMPUTING_SEATS_MAX),
            advice: Arc::default(),
            shutdown,
        }
    }
}

/// Declares the routes: the router and the description of the API come from the same lines.
macro_rules! routes {
    ($($method:ident $path:literal => $module:ident::$handler:ident;)*) => {
        /// Method and path of every route.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path),)*];

        /// The description of the API.
        #[derive(utoipa::OpenApi)]
        #[openapi(
            info(
                title = "hansa",
                description = "A member's node of the federation. Money is decimal euro, times are RFC 3339, ids and bytes are hexadecimal. \
                    Without proof of who reads, answers hold what everybody may know. A reader proves itself for every GET, and for \
                    `/v1/quote`, by the header `x-hansa-read-pass`: a pass that its key signed for at most twelve hours; or for one \
                    GET by the headers `x-hansa-key`, `x-hansa-expires-ms` and `x-hansa-signature`.",
                license(name = "Apache-2.0"),
            ),
            paths($($module::$handler,)*),
            // The two forms in which a thing may be shown: the deriving macro does not follow them by itself.
            components(schemas(
                hansa_node_api::lease::LeaseInfo,
                hansa_node_api::market::OfferInfo,
                hansa_node_api::market::SiteInfo,
                hansa_node_api::organisation::OrganisationInfo,
                hansa_node_api::view::PublicLease,
                hansa_node_api::view::PublicOffer,
                hansa_node_api::view::PublicSite,
                hansa_node_api::view::PublicOrganisation,
            )),
        )]
        struct Description;

        fn table() -> Router<Shared> {
            Router::new()$(.route($path, axum::routing::$method($module::$handler)))*
        }
    };
}

routes! {
    get "/health/live" => node::live;
    get "/health/ready" => node::ready;
    get "/metrics" => node::metrics;
    get "/openapi.json" => node::openapi;
    get "/v1/status" => node::status;
    get "/v1/peers" => node::peers;
    get "/v1/genesis" => chain::genesis;
    get "/v1/params" => chain::params;
    get "/v1/blocks/{height}" => chain::block;
    get "/v1/headers/{height}" => chain::header_of;
    get "/v1/transactions/{id}" => chain::transaction;
    post "/v1/transactions" => chain::submit;
    post "/v1/bundles" => bundles::submit;
    post "/v1/adverts" => bundles::advert;
    get "/v1/proofs/{table}/{key}" => proofs::proof;
    get "/v1/members" => organisations::members;
    get "/v1/validators" => governance::handovers;
    get "/v1/proposals" => governance::proposals;
    get "/v1/proposals/{id}" => governance::proposal;
    get "/v1/organisations" => organisations::organisations;
    get "/v1/organisations/{id}" => organisations::organisation;
    get "/v1/keys/{key}" => organisations::key;
    get "/v1/grants" => organisations::grants;
    get "/v1/offices/{member}" => offices::offices;
    get "/v1/orders" => offices::orders;
    get "/v1/sites" => market::sites;
    get "/v1/classes" => market::classes;
    get "/v1/offers" => market::offers;
    get "/v1/offers/{id}" => market::offer;
    get "/v1/capacity" => market::capacity;
    get "/v1/market/reasons" => requests::reasons;
    get "/v1/market/{class}/figures" => book::figures;
    get "/v1/market/{class}/price" => book::price;
    get "/v1/market/{class}/book" => book::book;
    get "/v1/requests" => requests::requests;
    get "/v1/requests/{id}" => requests::request;
    get "/v1/requests/{id}/why" => requests::why;
    post "/v1/quote" => quote::quote;
    get "/v1/leases" => leases::leases;
    get "/v1/leases/{id}" => leases::lease;
    get "/v1/leases/{id}/jobs" => leases::jobs;
    get "/v1/leases/{id}/jobs/{job}/log" => logs::log;
    get "/v1/leases/{id}/settlement" => leases::settlement;
    get "/v1/leases/{id}/interims" => leases::interims;
    get "/v1/leases/{id}/dispute" => leases::dispute;
    get "/v1/leases/{id}/extension" => leases::extension;
    get "/v1/contracts" => leases::contracts;
    get "/v1/contracts/{hash}" => leases::contract;
    get "/v1/events" => events::events;
    put "/v1/blobs/{hash}" => blobs::put;
    get "/v1/blobs/{hash}" => blobs::get;
}

/// The description of the API as JSON.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    use utoipa::OpenApi as _;
    Description::openapi()
}

fn router(shared: Shared) -> Router {
    table()
        .fallback(|| async { Problem::from(Fault::RouteUnknown) })
        .method_not_allowed_fallback(|| async { Problem::from(Fault::MethodRefused) })
        .layer(from_fn_with_state(shared.clone(), reader::identify))
        .layer(from_fn_with_state(shared.clone(), bounded))
        .layer(from_fn_with_state(shared.clone(), known_host))
        .with_state(shared)
}

/// Lets only so many requests in at one time, and none of them for ever.
async fn bounded(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // Whether the process lives must be told however busy it is.
    if path == "/health/live" {
        return next.run(request).await;
    }
    let Ok(_permit) = shared.requests.clone().try_acquire_owned() else {
        return Problem::from(Fault::Busy).into_response();
    };
    // Blobs may be long; their senders are bounded by how long they may be silent.
    if path.starts_with("/v1/blobs/") {
        return next.run(request).await;
    }
    let limits = &shared.limits;
    let most = limits.request_time_max.saturating_mul(2).saturating_add(limits.wait_time_max);
    match tokio::time::timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::from(Fault::RequestTimeout).into_response(),
    }
}

/// Answers under known names only: a web page that has its own name point at this machine gets nothing.
async fn known_host(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_known(host, shared.listens, &shared.limits.hosts) {
        return next.run(request).await;
    }
    let message = format!("the node does not answer under the host name `{host}`");
    Problem::new(Fault::HostRefused, message).into_response()
}

fn is_known(host: &str, listens: SocketAddr, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if name.eq_ignore_ascii_case("localhost") || hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return true;
    }
    // An address is no name that somebody else could point elsewhere; of those, its own and the loopback ones count.
    name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address == listens.ip())
}
