//! A job's log on its way to the requester's home node while the job runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::row::JobState;
use hansa_node_api::job::JobLimits;
use hansa_node_api::peer::log::LOG_PIECE_BYTES_MAX;
use hansa_node_provider::backend::{LocalBackend, LocalConfig};

use crate::bench::{Bench, INVENTORY};
use crate::world::Log;

/// Real programs under the agent.
async fn bench() -> Bench {
    let launcher = Some(PathBuf::from(env!("CARGO_BIN_EXE_hansa-node-provider-probe")));
    let config = LocalConfig { launcher, allow_unsandboxed: true, ..LocalConfig::default() };
    Bench::with_backend(Arc::new(LocalBackend::new(config).await.unwrap()))
}

impl Bench {
    fn shell(&self, script: &str) -> BlobHash {
        self.job_with(&["sh", "-c", script], Vec::new(), Vec::new(), JobLimits::default())
    }

    /// Lets a job go on that waits for the file `go`.
    fn go(&self, lease: LeaseId, job: u32) {
        let work = self.folder.path().join(format!("leases/{lease}/{job}/work"));
        std::fs::write(work.join("go"), "").unwrap();
    }

    fn streamed(&self, lease: LeaseId, job: u32) -> Log {
        self.world.logs.lock().unwrap().get(&(lease, job)).cloned().unwrap_or_default()
    }

    async fn until_streamed(&self, lease: LeaseId, job: u32, text: &str) {
        let wanted = format!("`{text}` has come");
        self.until(&wanted, |_| self.streamed(lease, job).bytes == text.as_bytes()).await;
        assert_eq!(self.world.job_row(&lease, job).state, JobState::Submitted, "the job runs");
        assert!(!self.streamed(lease, job).ended, "and its log goes on");
    }
}

const WAITS: &str = "while [ ! -e go ]; do sleep 0.02; done";

#[tokio::test]
async fn a_log_comes_while_its_job_runs() {
    let bench = bench().await;
    let agent = bench.start(INVENTORY).await;
    let script = format!("printf 'begun\\nhalf a li'; {WAITS}; echo ne; echo failed >&2; exit 3");
    let lease = bench.lease(3_000, Some(bench.shell(&script))).await;
    // The backend keeps a line back until it ends, or the stream does.
    bench.until_streamed(lease, 0, "begun\n").await;
    bench.go(lease, 0);
    bench.until_reported(lease, 0).await;
    let log = bench.streamed(lease, 0);
    assert_eq!(
        String::from_utf8(log.bytes).unwrap(),
        bench.log(lease, 0),
        "the same as comes back with the outputs"
    );
    assert!(bench.log(lease, 0).contains("half a line\n") && bench.log(lease, 0).contains("failed\n"));
    assert!(log.ended);

    // A job that never ran has a log too: why it did not.
    bench.submit(lease, bench.world.put(b"no manifest"));
    bench.until_reported(lease, 1).await;
    let log = bench.streamed(lease, 1);
    assert_eq!(String::from_utf8(log.bytes).unwrap(), bench.log(lease, 1));
    assert!(log.ended && bench.log(lease, 1).contains("is no manifest"));
    agent.stop().await;
}

#[tokio::test]
async fn a_node_that_was_away_or_lost_a_log_gets_it_again() {
    let bench = bench().await;
    let agent = bench.start(INVENTORY).await;
    bench.world.logs_away.store(true, Ordering::SeqCst);
    let lease =
        bench.lease(3_000, Some(bench.shell(&format!("echo one; {WAITS}; rm go; echo two; {WAITS}")))).await;
    let written = bench.folder.path().join(format!("leases/{lease}/0/log"));
    let wrote = |text: &str| std::fs::read(&written).is_ok_and(|bytes| bytes == text.as_bytes());
    bench.until("the job has written", |_| wrote("one\n")).await;
    assert_eq!(bench.streamed(lease, 0), Log::default());
    bench.world.logs_away.store(false, Ordering::SeqCst);
    bench.until_streamed(lease, 0, "one\n").await;
    bench.world.logs.lock().unwrap().clear();
    bench.go(lease, 0);
    bench.until_streamed(lease, 0, "one\ntwo\n").await;

    // Another agent goes on where the one before was stopped, and says what has become of the job.
    agent.crash().await;
    let agent = bench.start(INVENTORY).await;
    bench.until_reported(lease, 0).await;
    let log = bench.streamed(lease, 0);
    assert_eq!(String::from_utf8(log.bytes).unwrap(), bench.log(lease, 0));
    assert!(log.ended && bench.log(lease, 0).starts_with("one\ntwo\nhansa: "), "{}", bench.log(lease, 0));
    agent.stop().await;
}

#[tokio::test]
async fn a_node_that_takes_no_more_harms_no_job() {
    let bench = bench().await;
    let agent = bench.start(INVENTORY).await;
    // More than fits into one piece, of which the node keeps a little more than one.
    let script = format!(
        "i=0; while [ $i -lt 4000 ]; do echo 'a line of some length, number' $i; i=$((i+1)); done; {WAITS}"
    );
    let kept = LOG_PIECE_BYTES_MAX + 1_000;
    let lease = bench.lease(3_000, None).await;
    bench.world.logs.lock().unwrap().insert((lease, 0), Log { bytes_max: Some(kept), ..Log::default() });
    bench.submit(lease, bench.shell(&script));
    bench.until("the node is full", |_| bench.streamed(lease, 0).bytes.len() == kept).await;
    bench.go(lease, 0);
    bench.until_reported(lease, 0).await;
    assert_eq!(bench.world.job_row(&lease, 0).state, JobState::Succeeded);
    let whole = bench.log(lease, 0);
    assert!(whole.len() > kept && whole.ends_with("number 3999\n"));
    assert_eq!(bench.streamed(lease, 0).bytes, whole.as_bytes()[..kept]);
    // And a node that is not there at all.
    bench.world.logs_away.store(true, Ordering::SeqCst);
    bench.submit(lease, bench.shell("echo unheard"));
    bench.until_reported(lease, 1).await;
    assert_eq!((bench.log(lease, 1), bench.streamed(lease, 1)), ("unheard\n".to_owned(), Log::default()));
    agent.stop().await;
}
