//! Work that goes on while things break: payers, and a firm that asks for capacity. What a node called final is remembered.

use crate::bench::award::{demand, offer};
use crate::bench::field::{Firm, firms};
use crate::error::TestnetError;
use crate::federation::Federation;
use hansa_ledger::action::{Action, PlaceRequest, TransferCash};
use hansa_ledger::id::{OrganisationId, TransactionId};
use hansa_ledger::money::Money;
use hansa_node_api::{Account, ApiError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a payer waits for one transfer before it tries another node.
const WAIT: Duration = Duration::from_secs(4);

/// How long a payer rests between transfers.
const REST: Duration = Duration::from_millis(20);

/// How long the firm that asks for capacity rests between requests.
const REQUEST_REST: Duration = Duration::from_millis(1_500);

/// How often one that rests looks whether it may go on.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Payers for each member.
const PAYERS_PER_MEMBER: usize = 2;

#[derive(Debug, Default)]
struct Told {
    resting: AtomicBool,
    at_work: AtomicUsize,
    failed: AtomicU64,
    refusals: Mutex<BTreeMap<String, u64>>,
    /// What a node called final and executed, with its height.
    acknowledged: Mutex<Vec<(TransactionId, u64)>>,
}

/// Payers at work.
#[derive(Debug)]
pub(super) struct Load {
    told: Arc<Told>,
    /// The organisations whose cash only moves among them.
    pub firms: Vec<OrganisationId>,
    _payers: JoinSet<()>,
}

impl Load {
    /// Accredits the firms, and lets them begin.
    pub async fn start(federation: &Federation) -> Result<Self, TestnetError> {
        let payers = federation.clients().len() * PAYERS_PER_MEMBER;
        let mut all = firms(federation, payers + 2, 0).await?;
        let market = all.split_off(payers);
        offer(federation, &market[0]).await?;
        let told = Arc::new(Told::default());
        let mut work = JoinSet::new();
        let ids: Vec<OrganisationId> = all.iter().map(|firm| firm.organisation).collect();
        for (at, firm) in all.iter().enumerate() {
            let to = ids[(at + 1) % ids.len()];
            let job = Worker::new(federation, firm, at, REST, &told);
            work.spawn(job.run(move |_| Ok(TransferCash { to, amount: Money(1) }.into())));
        }
        let asks = Worker::new(federation, &market[1], 0, REQUEST_REST, &told);
        work.spawn(asks.run(|federation| Ok(PlaceRequest { demand: demand(federation)? }.into())));
        Ok(Self { told, firms: ids, _payers: work })
    }

    /// Lets all of them rest, and waits until nobody has anything under way.
    pub async fn rest(&self) {
        self.told.resting.store(true, Ordering::SeqCst);
        while self.told.at_work.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        self.told.resting.store(false, Ordering::SeqCst);
    }

    /// What was called final since the `from`th.
    pub fn acknowledged(&self, from: usize) -> Vec<(TransactionId, u64)> {
        let all = self.told.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(from..).map(<[_]>::to_vec).unwrap_or_default()
    }

    /// How many were not called final, and were tried again at another node.
    pub fn failed(&self) -> u64 {
        self.told.failed.load(Ordering::Relaxed)
    }

    /// Refusals with their codes, as the ledger or a node gave them.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.told.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Worker {
    federation: Federation,
    key: hansa_ledger_signature::SecretKey,
    node: usize,
    rest: Duration,
    told: Arc<Told>,
}

impl Worker {
    fn new(federation: &Federation, firm: &Firm, node: usize, rest: Duration, told: &Arc<Told>) -> Self {
        let node = node % federation.clients().len();
        Self { federation: federation.clone(), key: firm.admin.clone(), node, rest, told: Arc::clone(told) }
    }

    /// Does the same again and again; where a node does not answer, through the next one.
    async fn run(mut self, make: impl Fn(&Federation) -> Result<Action, TestnetError>) {
        loop {
            // Counted before it looks, so that nobody who waits for rest misses it.
            self.told.at_work.fetch_add(1, Ordering::SeqCst);
            if !self.told.resting.load(Ordering::SeqCst) {
                self.once(&make).await;
            }
            self.told.at_work.fetch_sub(1, Ordering::SeqCst);
            let pause = if self.told.resting.load(Ordering::SeqCst) { LOOK_PAUSE } else { self.rest };
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(&mut self, make: &impl Fn(&Federation) -> Result<Action, TestnetError>) {
        let Ok(action) = make(&self.federation) else { return };
        let nodes = self.federation.clients();
        let client = nodes[self.node].1.clone();
        let mut account = Account::new(self.key.clone(), self.federation.state().chain, client);
        account.wait = WAIT;
        match timeout(WAIT, account.send_signed(vec![action])).await {
            Ok(Ok((signed, done))) => {
                let mut all = self.told.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                all.push((signed.id(), done.height));
            }
            outcome => {
                self.told.failed.fetch_add(1, Ordering::Relaxed);
                if let Ok(Err(error @ ApiError::Refused { .. })) = &outcome {
                    let mut refusals = self.told.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                    *refusals.entry(error.to_string()).or_default() += 1;
                }
                self.node = (self.node + 1) % nodes.len();
            }
        }
    }
}
