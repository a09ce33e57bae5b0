//! What the server takes, and from whom.

use super::{HttpLimits, Server, name_of};
use crate::http::is_known;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[test]
fn the_host_is_the_own_address_a_loopback_one_or_a_configured_name() {
    let listens = "192.0.2.7:8080".parse().unwrap();
    let hosts = ["node.example".to_owned()];
    for (host, known) in [
        ("127.0.0.1", true),
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("localhost:9", true),
        ("LOCALHOST", true),
        ("192.0.2.7:1", true),
        ("192.0.2.8", false),
        ("node.example:8080", true),
        ("Node.Example", true),
        ("evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("localhost.evil.example:8080", false),
        ("", false),
        ("[", false),
    ] {
        assert_eq!(is_known(host, listens, &hosts), known, "{host}");
    }
}

#[tokio::test]
async fn a_foreign_host_name_gets_nothing() {
    let server = Server::start(HttpLimits::default()).await;
    for host in ["host: evil.example\r\n", ""] {
        let request = format!("GET /v1/status HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let (status, body) = server.raw(request.as_bytes()).await;
        assert_eq!((status, name_of(&body).as_deref()), (403, Some("HostRefused")));
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_announced_or_not() {
    let server = Server::start(HttpLimits { body_bytes_max: 1_000, ..HttpLimits::default() }).await;
    for path in ["/v1/transactions", "/v1/quote"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.address);
        let announced = format!("{head}content-length: 1001\r\n\r\n{}", "x".repeat(1_001));
        let chunked =
            format!("{head}transfer-encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1_001));
        for request in [announced, chunked] {
            let (status, body) = server.raw(request.as_bytes()).await;
            assert_eq!((status, name_of(&body).as_deref()), (413, Some("BodyTooLarge")), "{path}");
        }
    }
}

#[tokio::test]
async fn a_sender_that_falls_silent_is_given_up() {
    let short = Duration::from_millis(150);
    let limits = HttpLimits {
        header_time_max: short,
        request_time_max: short,
        idle_time_max: short,
        ..HttpLimits::default()
    };
    let server = Server::start(limits).await;
    let slow = format!(
        "POST /v1/quote HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 9\r\n\r\nx",
        server.address
    );
    let (status, body) = server.raw(slow.as_bytes()).await;
    assert_eq!((status, name_of(&body).as_deref()), (408, Some("RequestTimeout")));

    // A head that never ends ends the connection.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the server closes the connection");
}

#[tokio::test]
async fn a_silent_sender_of_a_blob_is_given_up() {
    use hansa_ledger::id::BlobHash;
    use hansa_ledger::time::TimeMs;
    use hansa_node_api::signed::RequestTerms;
    let limits = HttpLimits { idle_time_max: Duration::from_millis(150), ..HttpLimits::default() };
    let server = Server::start(limits).await;
    server.open_market().await;
    let hash = BlobHash([3; 32]);
    let path = format!("/v1/blobs/{hash}");
    let terms = RequestTerms {
        chain: server.double.chain,
        method: "PUT".to_owned(),
        path: path.clone(),
        body: hash,
        expires: TimeMs(hansa_node_api::peer::now_ms() + 60_000),
    };
    let signed = terms.sign(&super::double::key("kodu"));
    let headers: String = signed.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}", server.address);
    let (status, body) = server.raw(format!("{head}content-length: 9\r\n\r\nx").as_bytes()).await;
    assert_eq!((status, name_of(&body).as_deref()), (408, Some("RequestTimeout")), "{body}");
    // One that lies about its length by leaving it out is stopped where the federation's limit is.
    let chunk = format!("{head}transfer-encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n", "x".repeat(1_025));
    let (status, body) = server.raw(chunk.as_bytes()).await;
    assert_eq!((status, name_of(&body).as_deref()), (413, Some("BlobTooLarge")), "{body}");
}

#[tokio::test]
async fn a_full_server_says_so_and_stays_alive() {
    let limits = HttpLimits { requests_max: 0, ..HttpLimits::default() };
    let server = Server::start(limits).await;
    let request = format!("GET /v1/status HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.address);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(server.ask("GET", "/health/live").await.0, 200);

    let limits = HttpLimits { streams_max: 0, ..HttpLimits::default() };
    let server = Server::start(limits).await;
    assert_eq!(server.ask("GET", "/v1/events").await, (429, "TooManyStreams".to_owned()));
}

#[tokio::test]
async fn shutting_down_ends_streams_and_the_server() {
    let server = Server::start(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0u8; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    server.shutdown.cancel();
    let served = tokio::time::timeout(Duration::from_secs(10), server.served).await;
    assert!(served.unwrap().unwrap().is_ok());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
