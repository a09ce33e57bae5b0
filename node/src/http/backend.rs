//! What the HTTP server asks of the node. It holds no state and no authority of its own.

use bytes::Bytes;
use futures::future::BoxFuture;
use hansa_contracts_abi::Runtime;
use hansa_ledger::extension::Extended;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{BlobHash, ChainId, LeaseId, OrganisationId, TransactionId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::state::State;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::PublicKey;
pub use hansa_node_api::chain::{FinalTransaction, TransactionStatus};
use hansa_node_api::error::Fault;
use hansa_node_api::light::SignedHeader;
use hansa_node_api::peer::advert::AdvertContent;
pub use hansa_node_api::status::{NodeStatus, PeerStatus};
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::AsyncRead;
use tokio::sync::broadcast;

pub use crate::history::BlockRecord;
use crate::log::LogStore;

/// The content of a blob as it comes in.
pub type BlobBody = Pin<Box<dyn AsyncRead + Send>>;

/// Why an advert was not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertFailure {
    /// Which refusal it is.
    pub fault: Fault,
    /// What happened, for a person.
    pub message: String,
}

/// Why a blob was not kept or given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobFailure {
    /// Which refusal it is.
    pub fault: Fault,
    /// What happened, for a person.
    pub message: String,
}

impl From<crate::blob::BlobError> for BlobFailure {
    fn from(error: crate::blob::BlobError) -> Self {
        use crate::blob::BlobError;
        let fault = match &error {
            BlobError::TooLarge { .. } => Fault::BlobTooLarge,
            BlobError::QuotaExceeded { .. } | BlobError::OwnerFull { .. } | BlobError::LeaseFull { .. } => {
                Fault::BlobQuota
            }
            BlobError::HashMismatch { .. } => Fault::BlobHashMismatch,
            BlobError::DiskFull => Fault::StorageFull,
            BlobError::NotFound { .. } => Fault::BlobUnknown,
            BlobError::Busy => Fault::Busy,
            BlobError::Stream(_) => Fault::RequestMalformed,
            _ => Fault::Internal,
        };
        // What went wrong inside is for the node's log: a path of its disk is nobody else's business.
        let message = if fault == Fault::Internal { fault.to_string() } else { error.to_string() };
        if fault == Fault::Internal {
            tracing::error!(%error, "a blob could not be kept or read");
        }
        Self { fault, message }
    }
}

/// The node, as the HTTP server sees it.
pub trait Backend: Send + Sync + 'static {
    /// The genesis.
    fn genesis(&self) -> &Genesis;

    /// The federation's id.
    fn chain(&self) -> ChainId;

    /// How the node is.
    fn status(&self) -> NodeStatus;

    /// Reads the state under its lock: the reader is called once and has to be quick.
    fn read(&self, reader: &mut dyn FnMut(&State));

    /// Checks a transaction's canonical bytes, puts it in the mempool and sends it on.
    fn submit(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<TransactionId, Rejection>>;

    /// As [`Self::submit`] for many, each with its own verdict, in order.
    fn submit_bundle(
        &self,
        transactions: Vec<SignedTransaction>,
    ) -> BoxFuture<'_, Vec<Result<TransactionId, Rejection>>>;

    /// Remembers an advert's canonical bytes and passes them on.
    fn advert(&self, bytes: Vec<u8>) -> Result<(), AdvertFailure>;

    /// The nonce of the key's next transaction if some of it wait here; none if none wait.
    fn next_nonce(&self, key: &PublicKey) -> Option<u64>;

    /// What has become of a transaction.
    fn transaction(&self, id: &TransactionId) -> TransactionStatus;

    /// A final block; none above the tip and below what is kept.
    fn block(&self, height: u64) -> Option<Arc<BlockRecord>>;

    /// The header of a final block with its certificate, as far back as the ledger keeps blocks.
    fn header(&self, height: u64) -> Option<SignedHeader>;

    /// The final blocks from now on. A record comes after the state holds the block.
    fn follow(&self) -> broadcast::Receiver<Arc<BlockRecord>>;

    /// The blocks after `height`, in order; none when the first of them is not kept any more.
    fn since(&self, height: u64) -> Option<Vec<Arc<BlockRecord>>>;

    /// The adverts that hold now.
    fn adverts(&self) -> Vec<AdvertContent>;

    /// The other members' nodes.
    fn peers(&self) -> Vec<PeerStatus>;

    /// What runs contracts, for previews of what the ledger would do.
    fn runtime(&self) -> &dyn Runtime;

    /// What extending a lease by so many slots would give and take if its requester did it now, or why it would be refused.
    fn preview_extension(&self, lease: &LeaseId, slots: u32) -> Result<Extended, Rejection>;

    /// Keeps a blob on the account of `owner`, if its content has this hash; gives its size in bytes.
    fn put_blob(
        &self,
        owner: OrganisationId,
        hash: BlobHash,
        body: BlobBody,
    ) -> BoxFuture<'_, Result<u64, BlobFailure>>;

    /// Whether an organisation may have a blob: it keeps it here itself, or a lease that it
    /// provides names it and that lease's requester keeps it.
    /// Gives the fault to refuse with otherwise.
    fn may_read_blob(&self, reader: OrganisationId, hash: BlobHash) -> BoxFuture<'_, Result<(), Fault>>;

    /// A blob's file and size in bytes; none if it is not here.
    fn open_blob(&self, hash: BlobHash)
    -> BoxFuture<'_, Result<Option<(tokio::fs::File, u64)>, BlobFailure>>;

    /// The logs of running jobs, as their providers send them.
    fn logs(&self) -> &LogStore;

    /// The metrics, as Prometheus reads them.
    fn metrics(&self) -> String;
}

/// Reads the state and gives what the reader gives.
pub(super) fn read<R>(backend: &dyn Backend, reader: impl FnOnce(&State) -> R) -> R {
    let (mut reader, mut answer) = (Some(reader), None);
    backend.read(&mut |state| {
        if let Some(reader) = reader.take() {
            answer = Some(reader(state));
        }
    });
    answer.expect("the backend calls the reader, as its contract says")
}

/// A chunk of a body, or why it did not come.
pub(super) type Chunk = std::io::Result<Bytes>;
