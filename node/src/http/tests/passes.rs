//! How a reader proves itself: by a pass, by a signature; and what is refused.

use super::double::{Double, key, startup};
use super::{HttpLimits, Server, name_of};
use crate::http::{Shared, router};
use axum::body::Body;
use axum::http::Request;
use hansa_ledger::action::{RemoveKey, RevokeOrganisation, SetKey};
use hansa_ledger::id::ChainId;
use hansa_ledger::possession::Possession;
use hansa_ledger::row::{Principal, Roles};
use hansa_ledger::time::TimeMs;
use hansa_ledger_signature::SecretKey;
use hansa_node_api::pass::{PASS_HEADER, PASS_LIFE, PASS_LIFE_MS_MAX, ReadPass};
use hansa_node_api::peer::now_ms;
use hansa_node_api::signed::{KEY_HEADER, RequestTerms, empty_body};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

impl Server {
    fn pass(&self, signer: &SecretKey) -> ReadPass {
        ReadPass::make(signer, self.double.chain, PASS_LIFE)
    }
}

/// The status, and the error's name if it is one.
async fn verdict(server: &Server, pass: &str, method: &str, path: &str) -> (u16, Option<String>) {
    let (status, body) = server.ask_by(Some(pass), method, path).await;
    (status, name_of(&body))
}

#[tokio::test]
async fn a_pass_that_does_not_hold_is_refused_everywhere_and_never_taken_for_the_public() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let (kodu, chain) = (key("kodu"), server.double.chain);
    let second = key("second key");
    let principal = Principal::Organisation(startup());
    let proof = Some(Possession::prove(server.double.chain, &second, principal));
    let set = SetKey { key: second.public_key(), roles: Roles::BID, amount_max: None, proof };
    server.send("kodu", set).await;
    let of_second = server.pass(&second).to_bearer().to_string();
    assert_eq!(verdict(&server, &of_second, "GET", "/v1/leases").await, (200, None));
    server.send("kodu", RemoveKey { key: second.public_key() }).await;

    let until = |ms: u64| ReadPass::sign(&kodu, chain, TimeMs(ms)).to_bearer().to_string();
    let good = server.pass(&kodu).to_bearer().to_string();
    // Behind chain, key and expiry stands the signature.
    let mut forged = good.clone();
    forged.replace_range(good.len() - 2.., if good.ends_with("00") { "01" } else { "00" });
    let elsewhere = ReadPass::make(&kodu, ChainId([1; 32]), PASS_LIFE).to_bearer().to_string();
    let nobody = server.pass(&key("nobody")).to_bearer().to_string();
    // Somebody registered, by a signature of somebody else: as wrong as that of an unknown key, so that nothing is learnt.
    let spliced = |name: &str| {
        let own = server.pass(&key("nobody")).to_bearer().to_string();
        let theirs = key(name).public_key().to_string();
        own.replace(&key("nobody").public_key().to_string(), &theirs)
    };
    let table = [
        (until(now_ms() - 1), "PassExpired"),
        (until(now_ms() + PASS_LIFE_MS_MAX + 60_000), "PassTooLong"),
        (elsewhere, "PassOtherChain"),
        (of_second, "PassKeyRevoked"),
        (nobody, "PassKeyUnknown"),
        (forged, "PassWrong"),
        (spliced("mare"), "PassWrong"),
        (spliced("never seen"), "PassWrong"),
        ("garbage".to_owned(), "PassMalformed"),
        (String::new(), "PassMalformed"),
        (good.to_uppercase(), "PassMalformed"),
        (format!("{good}00"), "PassMalformed"),
        (format!("{good}\r\n{PASS_HEADER}: {good}"), "PassMalformed"),
    ];
    for (pass, name) in table {
        for path in ["/v1/leases", "/health/live", "/v1/genesis", "/v1/events", "/metrics"] {
            let found = verdict(&server, &pass, "GET", path).await;
            assert_eq!(found, (401, Some(name.to_owned())), "{path}");
        }
    }
    assert_eq!(verdict(&server, &good, "GET", "/v1/leases").await, (200, None));
    assert_eq!(verdict(&server, &good, "HEAD", "/v1/leases").await.0, 200);
    for (method, path) in [("POST", "/v1/transactions"), ("PUT", "/v1/blobs/00"), ("POST", "/v1/bundles")] {
        let found = verdict(&server, &good, method, path).await;
        assert_eq!(found, (401, Some("PassForReads".to_owned())), "{method} {path}");
    }
    // Who lost its accreditation keeps the right to see what is its own.
    server.send("EE registrar", RevokeOrganisation { organisation: startup() }).await;
    let own = format!("/v1/organisations/{}", startup());
    assert_eq!(verdict(&server, &good, "GET", &own).await, (200, None));
}

#[tokio::test]
async fn a_signed_request_reads_what_it_was_signed_for() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let ask = async |signer: &str, signed: &str, asked: &str| {
        let terms = RequestTerms {
            chain: server.double.chain,
            method: "GET".to_owned(),
            path: signed.to_owned(),
            body: empty_body(),
            expires: TimeMs(now_ms() + 60_000),
        };
        let headers: String =
            terms.sign(&key(signer)).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head =
            format!("GET {asked} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n", server.address);
        let (status, body) = server.raw(head.as_bytes()).await;
        (status, name_of(&body).unwrap_or_default())
    };
    let own = format!("/v1/organisations/{}", startup());
    let filtered = format!("/v1/leases?organisation={}", startup());
    let wrong = (401, "SignatureWrong".to_owned());
    assert_eq!(ask("kodu", &own, &own).await, (200, String::new()));
    assert_eq!(ask("ES treasury", &own, &own).await, (200, String::new()));
    assert_eq!(ask("mare", &own, &own).await, (403, "ReadForbidden".to_owned()));
    assert_eq!(ask("nobody", &own, &own).await, (403, "KeyRefused".to_owned()));
    assert_eq!(ask("kodu", &filtered, &filtered).await, (200, String::new()));
    assert_eq!(ask("kodu", &filtered, "/v1/leases").await, wrong, "the query is signed too");
    assert_eq!(ask("kodu", "/v1/leases", &own).await, wrong);
    let half = format!("GET {own} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.address);
    let half = format!("{half}x-hansa-key: {}\r\n\r\n", key("kodu").public_key());
    let (status, body) = server.raw(half.as_bytes()).await;
    assert_eq!((status, name_of(&body).as_deref()), (401, Some("SignatureMissing")));
}

#[tokio::test]
async fn the_signature_of_a_pass_is_checked_once() {
    let double = Arc::new(Double::new());
    double.idle(1);
    let pass = ReadPass::make(&key("EE registrar"), double.chain, PASS_LIFE).to_bearer();
    let listens = "127.0.0.1:1".parse().unwrap();
    let shared = Shared::new(double, HttpLimits::default(), listens, CancellationToken::new());
    for _ in 0..5 {
        let request = Request::get("/v1/leases").header("host", "localhost").header(PASS_HEADER, &**pass);
        let answer = router(shared.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["vary"], format!("{PASS_HEADER}, {KEY_HEADER}"));
    }
    assert_eq!(shared.passes.checks(), 1);
}

#[tokio::test]
async fn a_stream_ends_when_the_key_of_its_reader_is_taken_back() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let second = key("second key");
    let principal = Principal::Organisation(startup());
    let proof = Some(Possession::prove(server.double.chain, &second, principal));
    let set = SetKey { key: second.public_key(), roles: Roles::BID, amount_max: None, proof };
    server.send("kodu", set).await;
    let pass = server.pass(&second).to_bearer();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        format!("GET /v1/events?blocks=true HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.address);
    stream.write_all(format!("{head}{PASS_HEADER}: {}\r\n\r\n", &*pass).as_bytes()).await.unwrap();
    let mut first = [0u8; 64];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut first)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first[..read]).starts_with("HTTP/1.1 200"));
    server.double.idle(1);
    server.send("kodu", RemoveKey { key: second.public_key() }).await;
    let mut rest = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.contains("event: block") && !rest.contains("key_removed"), "{rest}");
}
