//! Connections: how many, how long their heads may take, and how they end.

use super::backend::Backend;
use super::{HttpLimits, Shared, router};
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// How long requests in hand may go on once the node shuts down.
const FAREWELL: Duration = Duration::from_secs(3);

/// How long to rest when the system gives no more connections.
const REST: Duration = Duration::from_millis(50);

/// The most bytes of a request's head, and of what is read ahead.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Serves the API until `shutdown`, then lets requests in hand come to their end for a few seconds.
///
/// # Errors
/// When the listener has no address, which means that it is not open.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    limits: HttpLimits,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let shared = Shared::new(backend, limits, listener.local_addr()?, shutdown.clone());
    let permits = Arc::new(Semaphore::new(shared.limits.connections_max));
    let header_time_max = shared.limits.header_time_max;
    let router = router(shared);
    let connections = TaskTracker::new();
    loop {
        // Beyond the limit connections wait in the listener's queue: nobody is cut off in the middle.
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit.map_err(std::io::Error::other)?,
            () = shutdown.cancelled() => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, or the peer has gone already: neither is the listener's end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break,
        };
        let (router, shutdown) = (router.clone(), shutdown.clone());
        connections.spawn(async move {
            connection(stream, router, header_time_max, shutdown).await;
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    // What has not ended by then is cut off with the runtime.
    let _ = tokio::time::timeout(FAREWELL, connections.wait()).await;
    Ok(())
}

async fn connection(
    stream: TcpStream,
    router: Router,
    header_time_max: Duration,
    shutdown: CancellationToken,
) {
    // Small answers must not wait for more to come; where the system refuses, they are only later.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(
        router.map_request(|request: hyper::Request<Incoming>| request.map(Body::new)),
    );
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    tokio::select! {
        // How a connection breaks is its peer's affair.
        _ = served.as_mut() => return,
        () = shutdown.cancelled() => served.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(FAREWELL, served).await;
}
