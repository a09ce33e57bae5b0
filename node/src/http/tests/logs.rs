//! The log of a running job, over HTTP: who reads it, from where, and how long one may wait.

use super::double::{centre, demand, key, rival, startup};
use super::{HttpLimits, Server};
use crate::http::Backend as _;
use crate::log::LogAppend;
use crate::rights::{leases_over, log_right};
use hansa_ledger::action::{ReportJob, StartLease};
use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::row::LeaseState;
use hansa_ledger::tables::Leases;
use hansa_ledger::time::TimeMs;
use hansa_node_api::client::log::{LogFollower, LogPiece, PIECE_BYTES_MAX};
use hansa_node_api::peer::log::LogRefusal;
use hansa_node_api::{ApiError, Fault};
use std::time::Duration;

impl Server {
    /// A market, at the home of a start-up with a lease and a job in it; the rival has no part in it.
    async fn with_job(limits: HttpLimits) -> (Self, LeaseId) {
        let server = Self::start(limits).await;
        server.open_market().await;
        for (who, action) in rival(server.double.chain) {
            server.send(who, action).await;
        }
        *server.double.member.lock().unwrap() = "EE".parse().unwrap();
        let lease = server.lease("kodu", demand().sources, BlobHash([7; 32])).await;
        (server, lease)
    }

    async fn append(&self, lease: LeaseId, offset: u64, bytes: &[u8], ended: bool) {
        let owner = startup().0;
        let append = LogAppend { key: (lease.0, 0), owner, offset, bytes: bytes.to_vec(), ended, now_ms: 0 };
        assert_eq!(self.double.logs().append(append).await.unwrap().next_offset, offset + bytes.len() as u64);
    }

    async fn log(&self, who: &str, lease: LeaseId, job: u32, offset: u64) -> Result<LogPiece, ApiError> {
        self.client.job_log(self.double.chain, &key(who), &lease, job, offset, Duration::ZERO).await
    }

    async fn report(&self, lease: LeaseId) {
        let mut start = TimeMs(0);
        self.double.read(&mut |state| start = state.get::<Leases>(&lease).unwrap().agreement.start);
        self.act_at("mare", StartLease { lease }, start.max(self.double.later())).await;
        let report = ReportJob { lease, job: 0, exit_code: Some(0), outputs: None, failure: None };
        self.act_at("mare", report, self.double.later()).await;
    }
}

fn piece(bytes: &[u8], next: u64) -> LogPiece {
    LogPiece { bytes: bytes.to_vec(), next, ..LogPiece::default() }
}

#[tokio::test]
async fn both_sides_read_a_log_from_where_they_like_and_nobody_else_does() {
    let (server, lease) = Server::with_job(HttpLimits::default()).await;
    assert_eq!(server.log("kodu", lease, 0, 0).await.unwrap(), piece(b"", 0), "nothing yet");
    server.append(lease, 0, b"one\x1b[31m\n", false).await;
    for who in ["kodu", "mare"] {
        assert_eq!(server.log(who, lease, 0, 0).await.unwrap(), piece(b"one\x1b[31m\n", 9));
        assert_eq!(server.log(who, lease, 0, 4).await.unwrap(), piece(b"[31m\n", 9));
        assert_eq!(server.log(who, lease, 0, 9).await.unwrap(), piece(b"", 9));
        assert_eq!(server.log(who, lease, 0, 99).await.unwrap(), piece(b"", 99));
    }
    let refused = async |who: &str, lease, job, offset| {
        server.log(who, lease, job, offset).await.unwrap_err().fault().unwrap()
    };
    assert_eq!(refused("rivaal", lease, 0, 0).await, Fault::LogForbidden);
    assert_eq!(refused("rivaal", lease, 9, 0).await, Fault::LogForbidden);
    assert_eq!(refused("nobody", lease, 0, 0).await, Fault::KeyRefused);
    assert_eq!(refused("kodu", lease, 1, 0).await, Fault::NotFound);
    assert_eq!(refused("kodu", LeaseId([1; 32]), 0, 0).await, Fault::NotFound);
    assert_eq!(refused("kodu", lease, 0, u64::MAX).await, Fault::RequestMalformed);
    let path = format!("/v1/leases/{lease}/jobs/0/log");
    assert_eq!(server.ask("GET", &path).await, (401, "SignatureMissing".to_owned()));
    for wrong in ["?offset=x", "?ofset=1", "?wait_ms=-1"] {
        assert_eq!(server.ask("GET", &format!("{path}{wrong}")).await, (400, "RequestMalformed".to_owned()));
    }
    assert_eq!(server.ask("GET", &path.replace("jobs/0", "jobs/x")).await.0, 400);
    // Signed for another job's log.
    let [one, two, three] = hansa_node_api::signed::RequestTerms {
        chain: server.double.chain,
        method: "GET".to_owned(),
        path: format!("/v1/leases/{lease}/jobs/1/log"),
        body: hansa_node_api::signed::empty_body(),
        expires: TimeMs(hansa_node_api::peer::now_ms() + 60_000),
    }
    .sign(&key("kodu"))
    .map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.address);
    let (status, body) = server.raw(format!("{head}{one}{two}{three}\r\n").as_bytes()).await;
    assert_eq!((status, super::name_of(&body).as_deref()), (401, Some("SignatureWrong")));

    // Large logs come in pieces, the last of which says so.
    let large = vec![b'z'; PIECE_BYTES_MAX];
    server.append(lease, 9, &large, false).await;
    server.append(lease, 9 + PIECE_BYTES_MAX as u64, b"end", true).await;
    let first = server.log("kodu", lease, 0, 0).await.unwrap();
    assert_eq!((first.bytes.len(), first.complete), (PIECE_BYTES_MAX, false));
    let last = server.log("kodu", lease, 0, first.next).await.unwrap();
    assert_eq!((last.bytes.len(), last.complete, last.job_ended), (12, true, false));
    server.report(lease).await;
    assert!(server.log("kodu", lease, 0, last.next).await.unwrap().job_ended);
    // Another member's node has no log of this lease, and says whose has.
    *server.double.member.lock().unwrap() = "ES".parse().unwrap();
    let error = server.log("kodu", lease, 0, 0).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::LogElsewhere));
    assert!(error.to_string().contains("the node of EE"), "{error}");
}

#[tokio::test]
async fn who_follows_a_log_waits_for_it_and_for_the_jobs_end() {
    let (server, lease) = Server::with_job(HttpLimits::default()).await;
    let mut follower = LogFollower::new(server.account("kodu"), lease, 0);
    // Each wait is long; that these come at all within the test's time is because they are woken.
    for (offset, text) in [(0, b"one\n".as_slice()), (4, b"two\n")] {
        let writes = async {
            server.double.until_log_waits(lease).await;
            server.append(lease, offset, text, false).await;
        };
        let (next, ()) = tokio::join!(follower.next(), writes);
        assert_eq!(next.unwrap(), piece(text, offset + 4));
    }
    let ends = async {
        server.double.until_log_waits(lease).await;
        server.report(lease).await;
    };
    let (ended, ()) = tokio::join!(follower.next(), ends);
    assert_eq!(
        ended.unwrap(),
        LogPiece { job_ended: true, ..piece(b"", 8) },
        "nothing more is there, and told so"
    );
    server.append(lease, 8, b"", true).await;
    assert!(follower.next().await.unwrap().complete);
    assert_eq!(follower.offset(), 8);
}

#[tokio::test]
async fn nobody_waits_for_longer_or_beside_more_others_than_is_allowed() {
    let limits = HttpLimits { wait_time_max: Duration::from_millis(100), ..HttpLimits::default() };
    let (server, lease) = Server::with_job(limits).await;
    let wait = |server: &Server, time| {
        let (client, chain) = (server.client.clone(), server.double.chain);
        async move { client.job_log(chain, &key("kodu"), &lease, 0, 0, time).await }
    };
    let hour = Duration::from_secs(3_600);
    assert_eq!(wait(&server, hour).await.unwrap(), piece(b"", 0), "the node's limit counts");
    let (server, lease) = Server::with_job(HttpLimits { log_waits_max: 1, ..HttpLimits::default() }).await;
    let wait = |time| {
        let (client, chain) = (server.client.clone(), server.double.chain);
        async move { client.job_log(chain, &key("kodu"), &lease, 0, 0, time).await }
    };
    let first = tokio::spawn(wait(hour));
    server.double.until_log_waits(lease).await;
    // Which of the two has the place is not known; the other is answered at once.
    let second = tokio::spawn(wait(hour));
    let mut both = [first, second];
    let (answered, index, rest) = futures::future::select_all(both.iter_mut()).await;
    assert_eq!(answered.unwrap().unwrap(), piece(b"", 0));
    drop(rest);
    server.append(lease, 0, b"x", false).await;
    let waited = (&mut both[1 - index]).await.unwrap().unwrap();
    assert_eq!(waited, piece(b"x", 1));
    // A node that stops lets nobody wait.
    let (server, lease) = Server::with_job(HttpLimits::default()).await;
    let (client, chain) = (server.client.clone(), server.double.chain);
    let last = tokio::spawn(async move { client.job_log(chain, &key("kodu"), &lease, 0, 0, hour).await });
    server.double.until_log_waits(lease).await;
    server.shutdown.cancel();
    assert_eq!(last.await.unwrap().unwrap(), piece(b"", 0));
}

#[tokio::test]
async fn only_the_provider_of_a_live_lease_writes_and_only_at_the_requesters_home() {
    let (server, lease) = Server::with_job(HttpLimits::default()).await;
    let right = |who: &str, lease, job, home: &str| {
        log_right(&server.double, &key(who).public_key(), &lease, job, home.parse().unwrap())
    };
    assert_eq!(right("mare", lease, 0, "EE"), Ok(startup()));
    for (who, lease, job, home, refusal) in [
        ("kodu", lease, 0, "EE", LogRefusal::NotAllowed),
        ("rivaal", lease, 0, "EE", LogRefusal::NotAllowed),
        ("nobody", lease, 0, "EE", LogRefusal::NotAllowed),
        ("ES registrar", lease, 0, "EE", LogRefusal::NotAllowed),
        ("mare", lease, 1, "EE", LogRefusal::NotAllowed),
        ("mare", LeaseId([1; 32]), 0, "EE", LogRefusal::NotAllowed),
        ("mare", lease, 0, "ES", LogRefusal::WrongHome),
    ] {
        assert_eq!(right(who, lease, job, home), Err(refusal), "{who} {job} {home}");
    }
    server.report(lease).await;
    assert_eq!(right("mare", lease, 0, "EE"), Ok(startup()), "the end of a log may come after its job's");

    // A lease that is settled takes nothing more, and what it left goes after the retention.
    let row = |state: &hansa_ledger::state::State| state.get::<Leases>(&lease).unwrap().clone();
    let mut last = None;
    for _ in 0..100 {
        let next = server.double.later().plus(60_000 * (1 + u64::from(last.is_some())));
        let due = server.double.due().unwrap_or(next);
        server.double.produce(due.max(server.double.later()));
        server.double.read(&mut |state| last = Some(row(state)));
        if last.as_ref().unwrap().state == LeaseState::Settled {
            break;
        }
    }
    let row = last.unwrap();
    assert_eq!((row.state, row.provider), (LeaseState::Settled, centre()));
    assert_eq!(right("mare", lease, 0, "EE"), Err(LogRefusal::NotAllowed));
    let ended = row.ended_at.unwrap().0;
    let over = |now_ms| leases_over(&server.double, [lease.0, [1; 32]].into(), now_ms, 1_000);
    assert_eq!(over(ended + 999), [[1; 32]].into(), "one that the ledger does not know is not waited for");
    assert_eq!(over(ended + 1_000), [lease.0, [1; 32]].into());
}
