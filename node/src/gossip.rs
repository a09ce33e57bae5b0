//! Between the mempool and the network: bundles out, bundles in, blobs to those who may have
//! them, logs from those who may write them.

use crate::blob::BlobStore;
use crate::executor::{BodySource, Executor, clock};
use crate::log::LogStore;
use crate::network::{Acceptance, AdvertBook, AdvertRefusal, NetworkApplication, NetworkHandle, PeerId};
use crate::rights::{blob_right, log_right};
use crate::snapshot::Shelf;
use crate::snapshot::wire::{Kept, SnapshotReply, SnapshotRequest};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use hansa_ledger::block::Block;
use hansa_ledger::id::{BlobHash, BlockId, LeaseId, OrganisationId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Principal, Roles};
use hansa_ledger::tables::Keys;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::peer::blob::{BlobDirection, BlobRefusal, BlobRequest};
use hansa_node_api::peer::log::{LogRefusal, LogTerms};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;

/// Transactions are bundled for this long at most before they are sent on.
const BUNDLE_PAUSE: Duration = Duration::from_millis(2);

/// A bundle is sent on when it holds this many bytes. The transaction that fills it may be one of the largest: it still has to
/// fit what the network takes.
const BUNDLE_BYTES: usize = 56 * 1024;

/// How many bytes a member that comes back is sent of what waits: at least one of the largest transactions.
pub(crate) const WAITING_BYTES_MAX: usize = 96 * 1024;

/// The most transactions in a bundle that comes in.
const BUNDLE_TRANSACTIONS_MAX: u32 = 4_096;

/// Transactions that may wait to be sent on.
const OUTGOING_MAX: usize = 16_384;

/// What the node answers the network.
pub struct Gossip {
    executor: Arc<Executor>,
    blobs: BlobStore,
    logs: LogStore,
    adverts: Arc<Mutex<AdvertBook>>,
    network: Arc<OnceLock<NetworkHandle>>,
    snapshots: Arc<Shelf>,
}

impl Gossip {
    /// Puts the answers together; `network` is filled in once it runs.
    #[must_use]
    pub fn new(
        executor: Arc<Executor>,
        blobs: BlobStore,
        logs: LogStore,
        adverts: Arc<Mutex<AdvertBook>>,
        network: Arc<OnceLock<NetworkHandle>>,
        snapshots: Arc<Shelf>,
    ) -> Self {
        Self { executor, blobs, logs, adverts, network, snapshots }
    }
}

/// Reads a bundle: borsh of a list of signed transactions, nothing left over. Public for the fuzz targets alone.
#[doc(hidden)]
#[must_use]
pub fn read_bundle(bundle: &[u8]) -> Option<Vec<SignedTransaction>> {
    let count = u32::from_le_bytes(bundle.get(..4)?.try_into().ok()?);
    if count == 0 || count > BUNDLE_TRANSACTIONS_MAX {
        return None;
    }
    borsh::from_slice(bundle).ok()
}

/// Whether a refusal shows that the sender did not check what it sent on. Everything that depends on how far a node has come
/// may differ between honest members.
fn is_fault(rejection: Rejection) -> bool {
    matches!(
        rejection,
        Rejection::BadSignature | Rejection::PossessionInvalid | Rejection::WrongChain | Rejection::Malformed
    )
}

/// Remembers an advert, whether a member passed it on or a provider sent it here.
///
/// # Errors
/// Why it is not remembered.
pub fn hear_advert(
    executor: &Executor,
    adverts: &Mutex<AdvertBook>,
    bytes: &[u8],
) -> Result<(), AdvertRefusal> {
    let speaks_for = |key: &PublicKey, provider: &[u8; 32]| {
        executor.state().get::<Keys>(key).is_some_and(|row| {
            let organisation = Principal::Organisation(OrganisationId(*provider));
            !row.revoked && row.roles.includes(Roles::OPERATE) && row.principal == organisation
        })
    };
    let mut adverts = adverts.lock().expect("no thread panics while it holds the adverts");
    adverts.hear(bytes, &executor.chain().0, clock().0, speaks_for).map(|_| ())
}

#[async_trait]
impl NetworkApplication for Gossip {
    async fn transactions(&self, _from: Option<PeerId>, bundle: Bytes) -> Acceptance {
        let executor = self.executor.clone();
        let verdicts =
            tokio::task::spawn_blocking(move || Some(executor.submit_all(read_bundle(&bundle)?))).await;
        match verdicts {
            Ok(Some(verdicts)) if verdicts.iter().any(|verdict| verdict.is_err_and(is_fault)) => {
                Acceptance::Reject
            }
            Ok(Some(verdicts)) if verdicts.iter().any(Result::is_ok) => Acceptance::Accept,
            Ok(Some(_)) | Err(_) => Acceptance::Ignore,
            Ok(None) => Acceptance::Reject,
        }
    }

    async fn advert(&self, bytes: Bytes) -> Acceptance {
        match hear_advert(&self.executor, &self.adverts, &bytes) {
            Ok(()) => Acceptance::Accept,
            Err(refusal) => refusal.acceptance(),
        }
    }

    async fn body(&self, id: [u8; 32]) -> Option<Bytes> {
        let store = self.executor.store().clone();
        let body = tokio::task::spawn_blocking(move || store.body(&id)).await.ok()?.ok()?;
        body.map(Bytes::from)
    }

    async fn snapshot(&self, request: SnapshotRequest) -> SnapshotReply {
        let bytes = |bytes: Option<Vec<u8>>| bytes.map_or(SnapshotReply::Missing, SnapshotReply::Bytes);
        match request {
            SnapshotRequest::Kept => {
                let blocks_from = self.executor.store().history_height_min();
                SnapshotReply::Kept(Kept { blocks_from, snapshots: self.snapshots.offers() })
            }
            SnapshotRequest::Manifest(id) => bytes(self.snapshots.manifest(&id)),
            SnapshotRequest::Part { id, index } => {
                let snapshots = self.snapshots.clone();
                bytes(tokio::task::spawn_blocking(move || snapshots.part(&id, index)).await.ok().flatten())
            }
        }
    }

    async fn blob_access(&self, request: &BlobRequest) -> Result<[u8; 32], BlobRefusal> {
        let terms = &request.terms;
        let (lease, hash) = (LeaseId(terms.lease), BlobHash(terms.hash));
        let write = terms.direction == BlobDirection::Put;
        blob_right(&self.executor, &self.blobs, &terms.requester, &lease, &hash, write)
            .await
            .map(|owner| owner.0)
            .ok_or(BlobRefusal::NotAllowed)
    }

    fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    async fn log_access(&self, terms: &LogTerms) -> Result<[u8; 32], LogRefusal> {
        let home = self.executor.member();
        let owner = log_right(&self.executor, &terms.sender, &LeaseId(terms.lease), terms.job, home)?;
        Ok(owner.0)
    }

    fn logs(&self) -> &LogStore {
        &self.logs
    }

    async fn member_connected(&self, peer: PeerId) {
        let Some(network) = self.network.get().cloned() else { return };
        let waiting = self.executor.waiting(WAITING_BYTES_MAX);
        if waiting.is_empty() {
            return;
        }
        let bundle = borsh::to_vec(&waiting).expect("encoding into memory cannot fail");
        // A member that goes away again gets them when it comes back.
        tokio::spawn(async move { network.send_transactions(peer, Bytes::from(bundle)).await });
    }
}

/// Sends transactions on, several in one message. They come from users of this node; what comes by gossip is forwarded by the
/// network itself.
#[derive(Clone)]
pub struct Outgoing {
    queue: mpsc::Sender<SignedTransaction>,
}

impl Outgoing {
    /// Starts the sender. It ends when every handle is dropped.
    #[must_use]
    pub fn start(network: NetworkHandle) -> Self {
        let (queue, mut waiting) = mpsc::channel::<SignedTransaction>(OUTGOING_MAX);
        tokio::spawn(async move {
            while let Some(first) = waiting.recv().await {
                let mut bytes = first.encode().len();
                let mut bundle = vec![first];
                let until = tokio::time::Instant::now() + BUNDLE_PAUSE;
                while bytes < BUNDLE_BYTES && bundle.len() < BUNDLE_TRANSACTIONS_MAX as usize {
                    match tokio::time::timeout_at(until, waiting.recv()).await {
                        Ok(Some(next)) => {
                            bytes += next.encode().len();
                            bundle.push(next);
                        }
                        _ => break,
                    }
                }
                publish(&network, &bundle).await;
            }
        });
        Self { queue }
    }

    /// Sends a transaction on. When the queue is full it waits, so that a flood is slowed down at its source.
    pub async fn send(&self, transaction: SignedTransaction) {
        // The queue closes only when the node stops.
        let _ = self.queue.send(transaction).await;
    }
}

async fn publish(network: &NetworkHandle, bundle: &[SignedTransaction]) {
    let bytes = Bytes::from(borsh::to_vec(bundle).expect("encoding into memory cannot fail"));
    let mut pause = Duration::from_millis(1);
    while network.publish_transactions(bytes.clone()) == Err(crate::network::PublishRefusal::QueueFull) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Whether `body` is the whole block of this id. Its header alone shows nothing: a member could send it with other transactions,
/// and the honest ones would not be asked any more.
fn is_body(id: &[u8; 32], body: &[u8]) -> bool {
    Block::read(&BlockId(*id), body).is_ok()
}

/// Bodies from the other members.
pub struct PeerBodies(pub NetworkHandle);

impl BodySource for PeerBodies {
    fn fetch(&self, id: [u8; 32], timeout: Duration) -> BoxFuture<'static, Option<Bytes>> {
        let network = self.0.clone();
        Box::pin(async move { network.fetch_body(id, timeout, |body| is_body(&id, body)).await })
    }
}

#[cfg(test)]
mod tests {
    use super::{BUNDLE_BYTES, WAITING_BYTES_MAX, is_body};
    use crate::consensus::application::Application;
    use crate::consensus::limits::BODY_BYTES_MAX;
    use crate::executor::tests::{accreditation, genesis, open};
    use crate::http::HttpLimits;
    use crate::mempool::MempoolLimits;
    use crate::network::NetworkLimits;
    use hansa_ledger::action::MODULE_BYTES_MAX;
    use hansa_ledger::block::Block;
    use hansa_ledger::params::Params;
    use hansa_ledger_store::MemoryStore;
    use std::sync::Arc;
    use std::time::Duration;

    /// From the door of a node into a block of every other, nothing is in the way of the largest transaction that the members
    /// may allow, nor of a transaction with the largest module under the default parameters.
    #[test]
    fn the_largest_transaction_fits_whatever_carries_it() {
        let bound = |name: &str, column: usize| {
            let table = Params::table();
            let row = table.into_iter().find(|row| row[0] == name).unwrap();
            row[column].parse::<usize>().unwrap()
        };
        let (usual, most) = (bound("transaction_bytes_max", 1), bound("transaction_bytes_max", 3));
        assert!(usual >= MODULE_BYTES_MAX + 1_024, "a module and what is signed with it");
        let network = NetworkLimits::default();
        // Borsh writes the number of transactions before them.
        assert!(
            BUNDLE_BYTES - 1 + most + 4 <= network.bundle_bytes_max,
            "the last of a bundle may be the largest"
        );
        assert!((most..=network.bundle_bytes_max - 4).contains(&WAITING_BYTES_MAX), "what is sent again");
        assert!(MempoolLimits::default().principal_bytes_max >= most);
        assert!(HttpLimits::default().body_bytes_max >= 2 * most, "as hexadecimal digits too");
        assert!(bound("block_bytes_max", 2) >= most, "no vote can make blocks too small for it");
        assert!(BODY_BYTES_MAX > bound("block_bytes_max", 3));
    }

    #[test]
    fn a_body_with_other_transactions_under_the_same_header_is_passed_over() {
        let node = open(&genesis(), Arc::new(MemoryStore::new()));
        assert!(node.submit_all(vec![accreditation(&node, 0, "one")])[0].is_ok());
        let built = node.build(1, 0, Duration::from_secs(1)).unwrap().unwrap();
        assert!(is_body(&built.id, &built.body));
        let mut lie = Block::decode(&built.body).unwrap();
        lie.transactions = vec![accreditation(&node, 0, "two")];
        assert!(!is_body(&built.id, &lie.encode()));
        lie.transactions.clear();
        assert!(!is_body(&built.id, &lie.encode()));
        assert!(!is_body(&[7; 32], &built.body));
    }
}
