//! What the agent asks of the federation, and of the nodes that keep blobs: the seat between the agent and the network.

use std::path::Path;

use async_trait::async_trait;
use hansa_ledger::action::Action;
use hansa_ledger::id::{BlobHash, LeaseId, OfferId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{Job, Lease, Offer, SiteKey};
use hansa_ledger_signature::PublicKey;
use hansa_node_api::ApiError;
use hansa_node_api::client::EventStream;
use hansa_node_api::event::{BlockMark, EventCursor};
use hansa_node_api::market::SiteInfo;
use hansa_node_api::peer::advert::Advert;
use hansa_node_api::peer::log::{LogHeld, LogPart};
use hansa_node_api::proof::ProofInfo;

/// The ledger, as some node tells of it. Answers inform; only what [`crate::award::Trust`] has checked is acted upon.
#[async_trait]
pub trait Federation: Send + Sync {
    /// The last block.
    async fn tip(&self) -> Result<BlockMark, ApiError>;

    /// The organisation that a key acts for.
    async fn organisation_of(&self, key: &PublicKey) -> Result<OrganisationId, ApiError>;

    /// The accredited capacity of one class at one site.
    async fn site(&self, key: &SiteKey) -> Result<Option<SiteInfo>, ApiError>;

    /// The open offers of a provider.
    async fn offers_open(&self, provider: &OrganisationId) -> Result<Vec<(OfferId, Offer)>, ApiError>;

    /// The leases of a provider that are not settled.
    async fn leases_unsettled(&self, provider: &OrganisationId) -> Result<Vec<(LeaseId, Lease)>, ApiError>;

    /// One lease.
    async fn lease(&self, lease: &LeaseId) -> Result<Option<Lease>, ApiError>;

    /// The jobs of a lease, by number.
    async fn jobs(&self, lease: &LeaseId) -> Result<Vec<(u32, Job)>, ApiError>;

    /// The row of a lease with its proof, unchecked.
    async fn prove_lease(&self, lease: &LeaseId) -> Result<ProofInfo, ApiError>;

    /// The row of a job with its proof, unchecked.
    async fn prove_job(&self, lease: &LeaseId, job: u32) -> Result<ProofInfo, ApiError>;

    /// Signs the actions as one transaction, sends it, and returns once it is final and was executed. After an error that
    /// [`ApiError::is_transient`], it may still be executed later: the caller reads the ledger again before it acts.
    async fn perform(&self, actions: Vec<Action>) -> Result<(), ApiError>;

    /// What happens to the organisation from after `since` on, with the end of every block.
    fn events(&self, organisation: OrganisationId, since: EventCursor) -> EventStream;

    /// Hands a signed advert of what is free to a node, which passes it on to the others.
    async fn advertise(&self, advert: &Advert) -> Result<(), ApiError>;
}

/// Why a blob did not go through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The node is away or busy; it may be tried again for as long as there is time.
    #[error("{0}")]
    Away(String),
    /// The node refuses. It may have to catch up with the ledger first, so it may be tried again for a little while.
    #[error("{0}")]
    Refused(String),
    /// The content is not what its hash says, or this machine's files fail: trying again is of no use.
    #[error("{0}")]
    Failed(String),
}

/// What the members' nodes keep for their organisations: blobs, and the logs of running jobs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Fetches a blob that a lease names from a member's node into the file `into`, verified.
    async fn fetch(
        &self,
        home: MemberCode,
        lease: LeaseId,
        hash: BlobHash,
        into: &Path,
    ) -> Result<u64, BlobError>;

    /// Sends the file at `path`, whose hash is `hash`, to a member's node in the name of a lease.
    async fn push(
        &self,
        home: MemberCode,
        lease: LeaseId,
        hash: BlobHash,
        path: &Path,
    ) -> Result<(), BlobError>;

    /// Sends the next bytes of a job's log to a member's node, once, and gives what the node holds of the log now.
    async fn append_log(&self, home: MemberCode, part: LogPart) -> Result<LogHeld, BlobError>;
}
