//! The running node as its HTTP interface sees it.

use crate::executor::{BlockRecord, clock};
use crate::gossip::hear_advert;
use crate::http::backend::{
    AdvertFailure, Backend, BlobBody, BlobFailure, FinalTransaction, NodeStatus, PeerStatus,
    TransactionStatus,
};
use crate::log::LogStore;
use crate::metrics::Figures;
use crate::network::AdvertRefusal;
use crate::node::Parts;
use crate::readiness::Standing;
use crate::rights::may_read;
use crate::snapshot::shown_blocks;
use futures::future::BoxFuture;
use hansa_contracts_abi::Runtime;
use hansa_ledger::apply::chain;
use hansa_ledger::block::Block;
use hansa_ledger::extension::{Extended, preview_extension};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{BlobHash, ChainId, LeaseId, OrganisationId, TransactionId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::root::Digest;
use hansa_ledger::state::State;
use hansa_ledger::tables::Keys;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::PublicKey;
use hansa_node_api::error::Fault;
use hansa_node_api::light::SignedHeader;
use hansa_node_api::peer::advert::AdvertContent;
use std::sync::Arc;
use tokio::sync::broadcast;

/// The node behind its interface.
pub struct NodeBackend {
    parts: Arc<Parts>,
    started: TimeMs,
}

impl NodeBackend {
    /// The interface's view of these parts.
    #[must_use]
    pub fn new(parts: Arc<Parts>) -> Self {
        Self { parts, started: clock() }
    }
}

impl Backend for NodeBackend {
    fn genesis(&self) -> &Genesis {
        self.parts.executor.genesis()
    }

    fn chain(&self) -> ChainId {
        self.parts.executor.chain()
    }

    fn status(&self) -> NodeStatus {
        let executor = &self.parts.executor;
        let standing = Standing {
            snapshot: self.parts.snapshot_progress.get(),
            ..Standing::of(executor, &self.parts.network, &self.parts.heights)
        };
        let (mempool_transactions, mempool_bytes) = executor.mempool_size();
        let (tip, block, state_root, versions) = {
            let state = executor.state();
            (chain(&state).clone(), state.tip(), Digest(state.root()), state.protocol_versions())
        };
        let unready_reason = standing.unready_reason();
        NodeStatus {
            member: executor.member(),
            federation: executor.genesis().name.clone(),
            chain: executor.chain(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_version: tip.protocol_version,
            protocol_versions: versions.to_vec(),
            upgrade: tip.upgrade,
            height: tip.height,
            round: self.parts.consensus.borrow().round,
            block,
            state_root,
            time: tip.time,
            transactions: tip.transactions,
            peers_connected: u32::try_from(standing.peers_connected).unwrap_or(u32::MAX),
            members: u32::try_from(standing.members).unwrap_or(u32::MAX),
            mempool_transactions: mempool_transactions as u64,
            mempool_bytes: mempool_bytes as u64,
            syncing: standing.is_syncing(),
            ready: unready_reason.is_none(),
            unready_reason,
            peer_address: self.peer_address(),
            started: self.started,
            signature_checks: executor.signature_checks(),
            fsyncs: executor.fsyncs(),
        }
    }

    fn read(&self, reader: &mut dyn FnMut(&State)) {
        reader(&self.parts.executor.state());
    }

    fn submit(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<TransactionId, Rejection>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let executor = parts.executor.clone();
            let taken = tokio::task::spawn_blocking(move || {
                let params = hansa_ledger::apply::params(&executor.state()).clone();
                let transaction = SignedTransaction::decode(&bytes, &params)?;
                let verdict = executor.submit_all(vec![transaction.clone()]).remove(0);
                verdict.map(|id| (id, transaction))
            });
            // A panic while a transaction was taken is this node's fault, and nothing was kept of it.
            let (id, transaction) = taken.await.map_err(|_| Rejection::MempoolFull)??;
            parts.outgoing.send(transaction).await;
            Ok(id)
        })
    }

    fn submit_bundle(
        &self,
        transactions: Vec<SignedTransaction>,
    ) -> BoxFuture<'_, Vec<Result<TransactionId, Rejection>>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let count = transactions.len();
            let executor = parts.executor.clone();
            let taken = tokio::task::spawn_blocking(move || {
                let verdicts = executor.submit_all(transactions.clone());
                (verdicts, transactions)
            });
            // A panic while they were taken is this node's fault, and nothing was kept of them.
            let Ok((verdicts, transactions)) = taken.await else {
                return vec![Err(Rejection::MempoolFull); count];
            };
            for (transaction, verdict) in transactions.into_iter().zip(&verdicts) {
                if verdict.is_ok() {
                    parts.outgoing.send(transaction).await;
                }
            }
            verdicts
        })
    }

    fn advert(&self, bytes: Vec<u8>) -> Result<(), AdvertFailure> {
        let parts = &self.parts;
        let heard = hear_advert(&parts.executor, &parts.adverts, &bytes);
        heard.map_err(|refusal| AdvertFailure {
            fault: advert_fault(&refusal),
            message: refusal.to_string(),
        })?;
        parts
            .network
            .publish_advert(bytes.into())
            .map_err(|refusal| AdvertFailure { fault: Fault::Busy, message: refusal.to_string() })
    }

    fn next_nonce(&self, key: &PublicKey) -> Option<u64> {
        let final_next = self.parts.executor.state().get::<Keys>(key)?.nonce;
        let next = self.parts.executor.nonce_next(key);
        (next != final_next).then_some(next)
    }

    fn transaction(&self, id: &TransactionId) -> TransactionStatus {
        let executor = &self.parts.executor;
        if let Some((record, index)) = executor.history().transaction(id)
            && let Some(receipt) = record.receipts.transactions.get(index)
        {
            return TransactionStatus::Final(FinalTransaction {
                height: record.header.height,
                index: u32::try_from(index).unwrap_or(u32::MAX),
                time: record.header.time,
                receipt: receipt.clone(),
            });
        }
        if executor.is_waiting(id) { TransactionStatus::Waiting } else { TransactionStatus::Unknown }
    }

    fn block(&self, height: u64) -> Option<Arc<BlockRecord>> {
        self.parts.executor.history().block(height).cloned()
    }

    fn header(&self, height: u64) -> Option<SignedHeader> {
        if let Some(record) = self.block(height) {
            return Some(record.signed_header());
        }
        // A block that memory does not hold any more, or never did since the start.
        let store = self.parts.executor.store();
        let unreadable = |error| tracing::error!(%error, height, "a block could not be read");
        let Some(decided) = store.decided(height).map_err(unreadable).ok()? else {
            // One that outlives its body, because it shows who the members were.
            let shown = shown_blocks(store.as_ref()).map_err(unreadable).ok()?.remove(&height)?;
            return Some(shown.signed_header());
        };
        let header = Block::decode(&decided.body).ok()?.header;
        Some(SignedHeader { id: header.id(), header, certificate: decided.certificate })
    }

    fn follow(&self) -> broadcast::Receiver<Arc<BlockRecord>> {
        self.parts.executor.follow()
    }

    fn since(&self, height: u64) -> Option<Vec<Arc<BlockRecord>>> {
        let executor = &self.parts.executor;
        // Read first: what becomes final in between only makes the history longer.
        let tip = chain(&executor.state()).height;
        executor.history().since(height, tip)
    }

    fn adverts(&self) -> Vec<AdvertContent> {
        let adverts = self.parts.adverts.lock().expect("no thread panics while it holds the adverts");
        adverts.list(clock().0).map(|advert| advert.content.clone()).collect()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let connected = self.parts.network.peers();
        self.parts
            .peers
            .iter()
            .map(|peer| {
                let address = self.parts.member_address(peer);
                let height = address.as_ref().and_then(|(id, _)| self.parts.heights.height(id));
                let is_connected = address
                    .as_ref()
                    .is_some_and(|(id, _)| connected.iter().any(|info| info.peer_id == *id && info.ready));
                PeerStatus {
                    member: peer.member,
                    connected: is_connected,
                    address: address.map(|(_, address)| address),
                    height,
                }
            })
            .collect()
    }

    fn preview_extension(&self, lease: &LeaseId, slots: u32) -> Result<Extended, Rejection> {
        let executor = &self.parts.executor;
        preview_extension(&executor.state(), executor.runtime(), executor.chain(), lease, slots, clock())
    }

    fn runtime(&self) -> &dyn Runtime {
        self.parts.executor.runtime()
    }

    fn put_blob(
        &self,
        owner: OrganisationId,
        hash: BlobHash,
        body: BlobBody,
    ) -> BoxFuture<'_, Result<u64, BlobFailure>> {
        Box::pin(async move {
            let stored = self.parts.blobs.put(owner.0, Some(hash.0), body, clock().0).await?;
            Ok(stored.size)
        })
    }

    fn may_read_blob(&self, reader: OrganisationId, hash: BlobHash) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { may_read(&self.parts.executor, &self.parts.blobs, reader, &hash).await })
    }

    fn open_blob(
        &self,
        hash: BlobHash,
    ) -> BoxFuture<'_, Result<Option<(tokio::fs::File, u64)>, BlobFailure>> {
        Box::pin(async move {
            match self.parts.blobs.open(&hash.0).await {
                Ok(opened) => Ok(Some(opened)),
                Err(crate::blob::BlobError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn logs(&self) -> &LogStore {
        &self.parts.logs
    }

    fn metrics(&self) -> String {
        let status = self.status();
        Figures {
            height: status.height,
            round: status.round,
            peers_connected: status.peers_connected as usize,
            mempool_transactions: usize::try_from(status.mempool_transactions).unwrap_or(usize::MAX),
            mempool_bytes: usize::try_from(status.mempool_bytes).unwrap_or(usize::MAX),
            signature_checks: status.signature_checks,
            fsyncs: status.fsyncs,
            gossip_rejected: self.parts.network.counts().rejected,
        }
        .record();
        self.parts.metrics.render()
    }
}

impl NodeBackend {
    /// Where this node is dialled for blobs.
    fn peer_address(&self) -> String {
        let network = &self.parts.network;
        let address = network.listen_addresses().first().map(ToString::to_string).unwrap_or_default();
        format!("{address}/p2p/{}", network.local_peer_id())
    }
}

/// How a refusal of an advert is told to the one who sent it.
fn advert_fault(refusal: &AdvertRefusal) -> Fault {
    match refusal {
        AdvertRefusal::Signer => Fault::KeyRefused,
        AdvertRefusal::Signature(_) => Fault::SignatureWrong,
        AdvertRefusal::Full => Fault::Busy,
        AdvertRefusal::Shape(_) | AdvertRefusal::Stale => Fault::RequestMalformed,
    }
}
