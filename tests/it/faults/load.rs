//! Transfers that go on while something breaks.

use crate::testnet::Testnet;
use hansa_ledger::action::TransferCash;
use hansa_ledger::id::TransactionId;
use hansa_ledger::money::Money;
use hansa_node_api::chain::TransactionStatus;
use hansa_node_api::{Account, ApiError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a payer waits after a refusal: its node may be away.
const REST: Duration = Duration::from_millis(100);

/// How long a payer rests between two transfers: the machine should not be busy with them alone.
const PAUSE: Duration = Duration::from_millis(10);

/// Payers at work.
pub struct Load<'a> {
    testnet: &'a Testnet,
    told: Arc<Told>,
    payers: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    stop: AtomicBool,
    /// What a node called final, and in which block.
    acknowledged: Mutex<Vec<(TransactionId, u64)>>,
}

impl<'a> Load<'a> {
    /// Lets two firms in two members pay each other, each through the node of its home.
    pub fn start(testnet: &'a Testnet) -> Self {
        Self::start_without(testnet, "")
    }

    /// The same, without the firm whose home is this member.
    pub fn start_without(testnet: &'a Testnet, code: &str) -> Self {
        let told = Arc::new(Told::default());
        let (one, other) = ("sme-fr", "public-es");
        let payers = [(one, other), (other, one)].into_iter();
        let payers = payers.filter(|(from, _)| testnet.user(from).home.as_str() != code).map(|(from, to)| {
            let to = testnet.user(to).organisation;
            testnet.spawn(pay(testnet.account(from), TransferCash { to, amount: Money(1) }, told.clone()))
        });
        Self { testnet, payers: payers.collect(), told: told.clone() }
    }

    /// Waits until so many more transfers are acknowledged.
    #[track_caller]
    pub fn go_on(&self, more: usize) {
        let count = || self.told.acknowledged.lock().unwrap().len();
        let goal = count() + more;
        let what = format!("{more} more transfers are acknowledged");
        self.testnet.until(&what, Duration::from_secs(30), || (count() >= goal).then_some(()));
    }

    /// Ends the load. Whatever any node has called final must be final at every node, in the same block.
    #[track_caller]
    pub fn stop(self) {
        self.told.stop.store(true, Ordering::Relaxed);
        for payer in self.payers {
            self.testnet.wait(payer).unwrap();
        }
        let acknowledged = std::mem::take(&mut *self.told.acknowledged.lock().unwrap());
        assert!(!acknowledged.is_empty());
        let last = acknowledged.iter().map(|(_, height)| *height).max().unwrap();
        self.testnet.agree(last);
        for (code, client) in self.testnet.federation.clients() {
            for (id, height) in &acknowledged {
                match self.testnet.wait(client.transaction(id)).unwrap().status {
                    TransactionStatus::Final(found) => {
                        assert_eq!(
                            (found.height, found.receipt.code),
                            (*height, 0),
                            "transaction {id} at {code}"
                        );
                    }
                    other => panic!("transaction {id} was final in block {height}; {code} says {other:?}"),
                }
            }
        }
    }
}

async fn pay(account: Account, transfer: TransferCash, told: Arc<Told>) {
    while !told.stop.load(Ordering::Relaxed) {
        let sent: Result<_, ApiError> = account.send_signed(vec![transfer.clone().into()]).await;
        match sent {
            Ok((signed, done)) => {
                told.acknowledged.lock().unwrap().push((signed.id(), done.height));
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}
