//! Sending: each node gets the transfers of its own signers, in bundles, no faster than the federation makes them final.

use super::LoadOptions;
use crate::error::{TestnetError, api_error};
use hansa_ledger::member::MemberCode;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::{Client, Fault};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a sender rests when enough is under way, or a node has no room.
const REST: Duration = Duration::from_millis(5);

/// What the senders and the one who watches the nodes tell each other.
pub(super) struct Flow {
    under_way_max: u64,
    until: Option<Instant>,
    taken: AtomicU64,
    done: AtomicU64,
    sending: AtomicUsize,
    failed: AtomicBool,
    failure: Mutex<Option<TestnetError>>,
}

impl Flow {
    /// The flow of a load; its time begins now.
    pub fn new(options: &LoadOptions) -> Self {
        Self {
            under_way_max: options.under_way as u64,
            until: options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            taken: AtomicU64::new(0),
            done: AtomicU64::new(0),
            sending: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Transfers the nodes have taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// Tells how many of them are final on every node.
    pub fn done(&self, count: u64) {
        self.done.store(count, Ordering::SeqCst);
    }

    /// Whether every sender has ended.
    pub fn is_sent(&self) -> bool {
        self.sending.load(Ordering::SeqCst) == 0
    }

    /// What stopped a sender, if something did.
    pub fn check(&self) -> Result<(), TestnetError> {
        let failure = self.failure.lock().expect("no thread panics while it holds the failure").take();
        failure.map_or(Ok(()), Err)
    }

    fn has_room(&self) -> bool {
        self.taken().saturating_sub(self.done.load(Ordering::SeqCst)) < self.under_way_max
    }

    fn is_over(&self) -> bool {
        self.failed.load(Ordering::SeqCst) || self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn fail(&self, error: TestnetError) {
        self.failed.store(true, Ordering::SeqCst);
        self.failure.lock().expect("no thread panics while it holds the failure").get_or_insert(error);
    }
}

/// The sender of one node.
pub(super) struct Feed {
    code: MemberCode,
    client: Client,
    queue: std::vec::IntoIter<SignedTransaction>,
    flow: std::sync::Arc<Flow>,
    bundle: usize,
}

impl Feed {
    /// A sender that counts as sending from now on.
    pub fn new(
        code: MemberCode,
        client: Client,
        queue: Vec<SignedTransaction>,
        flow: std::sync::Arc<Flow>,
        bundle: usize,
    ) -> Self {
        flow.sending.fetch_add(1, Ordering::SeqCst);
        Self { code, client, queue: queue.into_iter(), flow, bundle }
    }

    /// Sends until the queue is empty, the time is over, or a transfer is refused for good.
    pub async fn run(mut self) {
        if let Err(error) = self.send_all().await {
            self.flow.fail(error);
        }
        self.flow.sending.fetch_sub(1, Ordering::SeqCst);
    }

    async fn send_all(&mut self) -> Result<(), TestnetError> {
        let mut again: Vec<SignedTransaction> = Vec::new();
        loop {
            if self.flow.is_over() {
                return Ok(());
            }
            if !self.flow.has_room() {
                tokio::time::sleep(REST).await;
                continue;
            }
            let resting = !again.is_empty();
            // What was put off comes first, for its signers' later transfers wait for it.
            let mut bundle = std::mem::take(&mut again);
            bundle.extend(self.queue.by_ref().take(self.bundle.saturating_sub(bundle.len())));
            if bundle.is_empty() {
                return Ok(());
            }
            again = self.send(bundle).await?;
            if resting && !again.is_empty() {
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// Sends a bundle, and gives back what the node has no room for at the moment.
    async fn send(&self, bundle: Vec<SignedTransaction>) -> Result<Vec<SignedTransaction>, TestnetError> {
        let verdicts = match self.client.submit_bundle(&bundle).await {
            Err(error) if error.fault() == Some(Fault::Busy) => return Ok(bundle),
            answer => answer.map_err(api_error(format!("the node of {} took no bundle", self.code)))?,
        };
        let mut again = Vec::new();
        for (transaction, verdict) in bundle.into_iter().zip(verdicts) {
            match verdict.rejection() {
                None => {
                    self.flow.taken.fetch_add(1, Ordering::SeqCst);
                }
                Some(Rejection::NonceGap | Rejection::MempoolFull | Rejection::TooManyWaiting) => {
                    again.push(transaction)
                }
                Some(rejection) => {
                    let text = format!("the node of {} refused a transfer: {rejection}", self.code);
                    return Err(TestnetError::Broken(text));
                }
            }
        }
        Ok(again)
    }
}
