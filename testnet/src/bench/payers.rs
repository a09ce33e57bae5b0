//! Firms that pay each other without a rest while nodes are killed and started again.

use super::field::{Firm, firms};
use crate::cluster::launch;
use crate::error::TestnetError;
use crate::federation::Federation;
use crate::layout::Layout;
use crate::process::{ProcessRecord, start};
use hansa_ledger::action::TransferCash;
use hansa_ledger::id::{OrganisationId, TransactionId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::{Account, ApiError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::Child;
use tokio::task::JoinHandle;

/// How long a killed process may take to be gone.
const KILL_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a payer waits for one transfer before it tries another node.
const PAYMENT_TIME_MAX: Duration = Duration::from_secs(8);

/// How long a payer rests between transfers.
const PAYMENT_PAUSE: Duration = Duration::from_millis(20);

/// A transfer that a node called final.
#[derive(Clone, Copy)]
pub(super) struct Acknowledged {
    pub id: TransactionId,
    pub signer: PublicKey,
    pub nonce: u64,
}

/// What the payers have been told.
#[derive(Default)]
struct Ledger {
    stop: AtomicBool,
    /// Transfers a node called final.
    acknowledged: Mutex<Vec<Acknowledged>>,
    retried: AtomicU64,
}

/// Payers at work.
pub(super) struct Payers {
    ledger: Arc<Ledger>,
    tasks: Vec<JoinHandle<()>>,
}

impl Payers {
    /// Accredits so many firms for each member, and lets them pay each other.
    pub async fn begin(federation: &Federation, for_each: usize) -> Result<Self, TestnetError> {
        Ok(Self::start(federation, Self::accredit(federation, for_each).await?))
    }

    /// Accredits so many firms for each member.
    pub async fn accredit(federation: &Federation, for_each: usize) -> Result<Vec<Firm>, TestnetError> {
        firms(federation, federation.clients().len() * for_each, 0).await
    }

    /// Lets firms pay each other.
    pub fn start(federation: &Federation, firms: Vec<Firm>) -> Self {
        let firms = Arc::new(firms);
        let ledger = Arc::new(Ledger::default());
        let tasks = (0..firms.len())
            .map(|index| tokio::spawn(pay(federation.clone(), firms.clone(), index, ledger.clone())))
            .collect();
        Self { ledger, tasks }
    }

    /// What nodes have called final so far.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.ledger.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many transfers were tried again at another node.
    pub fn retried(&self) -> u64 {
        self.ledger.retried.load(Ordering::SeqCst)
    }

    /// Lets every payer end what it is at.
    pub async fn end(&mut self) {
        self.ledger.stop.store(true, Ordering::SeqCst);
        futures::future::join_all(self.tasks.drain(..)).await;
    }
}

/// Kills a node's process. It is taken off the record first, so that its end counts as wanted.
pub(super) async fn kill(layout: &Layout, code: MemberCode) -> Result<(), TestnetError> {
    let mut record: Option<ProcessRecord> = None;
    layout.change_state(|state| record = state.processes.remove(code.as_str()))?;
    let record = record.ok_or_else(|| TestnetError::Broken(format!("the node of {code} does not run")))?;
    record.kill();
    match record.ended_within(KILL_TIME_MAX).await {
        true => Ok(()),
        false => Err(TestnetError::Missed(format!("the node of {code} could not be killed"))),
    }
}

/// Starts a node's process again. It belongs to this process.
pub(super) fn restart(layout: &Layout, code: MemberCode, executable: &Path) -> Result<Child, TestnetError> {
    let state = layout.read_state()?;
    let child = start(&launch(layout, &state, code.as_str(), executable, false))?;
    let record = ProcessRecord::of(child.id().unwrap_or_default());
    layout.change_state(|state| {
        state.processes.insert(code.to_string(), record);
    })?;
    Ok(child)
}

/// Pays again and again; where a node does not answer, through the next one.
async fn pay(federation: Federation, firms: Arc<Vec<Firm>>, index: usize, ledger: Arc<Ledger>) {
    let nodes = federation.clients();
    let to: OrganisationId = firms[(index + 1) % firms.len()].organisation;
    let mut node = index % nodes.len();
    while !ledger.stop.load(Ordering::SeqCst) {
        let mut account =
            Account::new(firms[index].admin.clone(), federation.state().chain, nodes[node].1.clone());
        account.wait = PAYMENT_TIME_MAX;
        match account.send_signed(vec![TransferCash { to, amount: Money(1) }.into()]).await {
            Ok((signed, _)) => {
                let one = Acknowledged {
                    id: signed.id(),
                    signer: signed.transaction.signer,
                    nonce: signed.transaction.nonce,
                };
                ledger.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            }
            Err(error) => {
                ledger.retried.fetch_add(1, Ordering::SeqCst);
                if !matches!(error, ApiError::Refused { .. }) {
                    node = (node + 1) % nodes.len();
                }
            }
        }
        tokio::time::sleep(PAYMENT_PAUSE).await;
    }
}
