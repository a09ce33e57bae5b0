//! The seat's network side: the nodes' HTTP interface for the ledger, libp2p for blobs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hansa_ledger::action::Action;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{BlobHash, ChainId, LeaseId, OfferId, OrganisationId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Job, Lease, LeaseState, Offer, OfferState, Principal, SiteKey};
use hansa_ledger::tables::{Jobs, Leases};
use hansa_ledger_signature::{PublicKey, SecretKey};
use hansa_node_api::client::EventStream;
use hansa_node_api::event::{BlockMark, EventCursor};
use hansa_node_api::filter::{EventFilter, LeaseFilter, OfferFilter, SiteFilter};
use hansa_node_api::market::SiteInfo;
use hansa_node_api::peer::advert::Advert;
use hansa_node_api::peer::blob::BlobRefusal;
use hansa_node_api::peer::client::PeerClient;
use hansa_node_api::peer::log::{LogHeld, LogPart, LogRefusal};
use hansa_node_api::peer::transfer::PeerError;
use hansa_node_api::peer::{now_ms, peer_id};
use hansa_node_api::proof::ProofInfo;
use hansa_node_api::{Account, ApiError, Client, Fault};
use tokio::sync::{Mutex, Semaphore};

use crate::error::AgentError;
use crate::federation::{BlobError, Blobs, Federation};

/// How long a transaction may wait to be executed. Afterwards it is certain that it never will be.
const VALIDITY: Duration = Duration::from_secs(30);

/// How long one node is asked for a transaction before the next one is.
const WAIT: Duration = Duration::from_secs(10);

/// Rest before all nodes are asked once more.
const REST: Duration = Duration::from_millis(250);

/// Pieces of logs on their way at the same time: inputs and outputs come first, and a node serves a peer only so much.
const LOGS_UNDER_WAY_MAX: usize = 2;

/// The nodes of the configuration, asked in turn: the one that answered last first.
#[derive(Debug)]
pub struct NodeLink {
    clients: Vec<Client>,
    current: AtomicUsize,
    key: SecretKey,
    chain: ChainId,
    /// One transaction at a time, so that each finds the nonce that follows the one before.
    turn: Mutex<()>,
}

impl NodeLink {
    /// A link to the nodes at these addresses. Nothing is sent before the first call.
    ///
    /// # Errors
    /// [`AgentError::Node`] when an address is none.
    pub fn new(nodes: &[String], key: SecretKey, chain: ChainId) -> Result<Self, AgentError> {
        // Leases, jobs and their proofs are told to the provider and to nobody else outside: the agent reads as its key.
        let client = |url: &String| Client::new(url).map(|client| client.with_reader(key.clone(), chain));
        let clients = nodes.iter().map(client).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { clients, current: AtomicUsize::new(0), key, chain, turn: Mutex::new(()) })
    }

    /// Checks that every node that answers is of this federation.
    ///
    /// # Errors
    /// [`AgentError::OtherFederation`]; nodes that are away are no error.
    pub async fn check_federation(&self) -> Result<(), AgentError> {
        for client in &self.clients {
            match client.status().await {
                Ok(status) if status.chain != self.chain => {
                    return Err(AgentError::OtherFederation {
                        url: client.url().to_owned(),
                        found: status.chain.to_string(),
                        expected: self.chain.to_string(),
                    });
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(node = client.url(), %error, "a node does not answer"),
            }
        }
        Ok(())
    }

    fn client(&self) -> &Client {
        &self.clients[self.current.load(Ordering::Relaxed) % self.clients.len()]
    }

    fn fail_over(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks one node after the other until one answers.
    async fn ask<T, F>(&self, question: impl Fn(Client) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let mut asked = 0;
        loop {
            let client = self.client().clone();
            asked += 1;
            match question(client.clone()).await {
                Err(error) if error.is_transient() && asked < self.clients.len() => {
                    tracing::warn!(node = client.url(), %error, "asking the next node");
                    self.fail_over();
                }
                outcome => return outcome,
            }
        }
    }

    /// The blob side of the same nodes.
    #[must_use]
    pub fn blobs(self: &Arc<Self>, genesis: &Genesis) -> NodeBlobs {
        let keys = genesis.members.iter().map(|member| (member.code, member.network_key)).collect();
        let logs = Semaphore::new(LOGS_UNDER_WAY_MAX);
        NodeBlobs { link: self.clone(), keys, clients: Mutex::new(BTreeMap::new()), logs }
    }

    /// Where the node of a member is dialled.
    async fn peer_address(&self, home: MemberCode) -> Result<Option<String>, ApiError> {
        let address = |client: Client| async move {
            let status = client.status().await?;
            if status.member == home {
                return Ok(Some(status.peer_address));
            }
            let peers = client.peers().await?;
            Ok(peers.into_iter().find(|peer| peer.member == home).and_then(|peer| peer.address))
        };
        self.ask(address).await
    }
}

/// Turns "there is none" into `None`, and "not for you" too: what is not there and what is another's are told alike.
fn optional<T>(outcome: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.fault(), Some(Fault::NotFound | Fault::ReadForbidden)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Federation for NodeLink {
    async fn tip(&self) -> Result<BlockMark, ApiError> {
        let status = self.ask(|client| async move { client.status().await }).await?;
        Ok(BlockMark { height: status.height, time: status.time })
    }

    async fn organisation_of(&self, key: &PublicKey) -> Result<OrganisationId, ApiError> {
        let info = self.ask(|client| async move { client.key(key).await }).await;
        let info = info.map_err(|error| match error.fault() {
            // A node that does not know the key tells nothing to it either.
            Some(Fault::NotFound | Fault::PassKeyUnknown) => Rejection::UnknownKey.into(),
            Some(Fault::PassKeyRevoked) => Rejection::KeyRevoked.into(),
            _ => error,
        });
        match info?.row.principal {
            Principal::Organisation(organisation) => Ok(organisation),
            Principal::Office(..) => Err(Rejection::RoleMissing.into()),
        }
    }

    async fn site(&self, key: &SiteKey) -> Result<Option<SiteInfo>, ApiError> {
        let filter = SiteFilter {
            class: Some(key.class.clone()),
            provider: Some(key.provider),
            ..SiteFilter::default()
        };
        let filter = &filter;
        let sites = self.ask(|client| async move { client.sites(filter).await }).await?;
        Ok(sites.into_iter().find(|site| site.key == *key))
    }

    async fn offers_open(&self, provider: &OrganisationId) -> Result<Vec<(OfferId, Offer)>, ApiError> {
        let filter = OfferFilter {
            provider: Some(*provider),
            state: Some(OfferState::Open),
            ..OfferFilter::default()
        };
        let filter = &filter;
        let offers = self.ask(|client| async move { client.offers(filter).await }).await?;
        Ok(offers.into_iter().map(|offer| (offer.id, offer.row)).collect())
    }

    async fn leases_unsettled(&self, provider: &OrganisationId) -> Result<Vec<(LeaseId, Lease)>, ApiError> {
        let mut leases = BTreeMap::new();
        // In the order of a lease's life, so that one that moves on meanwhile is met later.
        for state in [LeaseState::Awarded, LeaseState::Active, LeaseState::Ended] {
            let filter =
                LeaseFilter { provider: Some(*provider), state: Some(state), ..LeaseFilter::default() };
            let filter = &filter;
            let part = self.ask(|client| async move { client.leases(filter).await }).await?;
            leases.extend(part.into_iter().map(|lease| (lease.id, lease.row)));
        }
        Ok(leases.into_iter().collect())
    }

    async fn lease(&self, lease: &LeaseId) -> Result<Option<Lease>, ApiError> {
        let info = self.ask(|client| async move { client.lease(lease).await }).await;
        Ok(optional(info)?.map(|info| info.row))
    }

    async fn jobs(&self, lease: &LeaseId) -> Result<Vec<(u32, Job)>, ApiError> {
        let jobs = self.ask(|client| async move { client.jobs(lease).await }).await?;
        let mut jobs: Vec<(u32, Job)> = jobs.into_iter().map(|job| (job.job, job.row)).collect();
        jobs.sort_by_key(|(number, _)| *number);
        Ok(jobs)
    }

    async fn prove_lease(&self, lease: &LeaseId) -> Result<ProofInfo, ApiError> {
        self.ask(|client| async move { client.proof::<Leases>(lease).await }).await
    }

    async fn prove_job(&self, lease: &LeaseId, job: u32) -> Result<ProofInfo, ApiError> {
        self.ask(|client| async move { client.proof::<Jobs>(&(*lease, job)).await }).await
    }

    async fn perform(&self, actions: Vec<Action>) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        let key = self.key.public_key();
        let nonce = self.ask(|client| async move { client.next_nonce(&key).await }).await?;
        let account = Account {
            validity: VALIDITY,
            wait: WAIT,
            ..Account::new(self.key.clone(), self.chain, self.client().clone())
        };
        let signed = account.sign(nonce, actions);
        loop {
            // The same bytes to every node: they can only be executed once.
            let outcome = self
                .ask(|client| {
                    let signed = &signed;
                    async move { client.submit_and_wait(signed, WAIT).await }
                })
                .await;
            match outcome {
                Ok(done) => return done.rejection().map_or(Ok(()), |rejection| Err(rejection.into())),
                Err(error) if error.is_transient() && now_ms() < signed.transaction.valid_until.0 => {
                    tracing::warn!(transaction = %signed.id(), %error, "asking again what became of it");
                    self.fail_over();
                    tokio::time::sleep(REST).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn events(&self, organisation: OrganisationId, since: EventCursor) -> EventStream {
        let filter =
            EventFilter { organisation: Some(organisation), blocks: Some(true), ..EventFilter::default() };
        self.client().events(filter, Some(since))
    }

    async fn advertise(&self, advert: &Advert) -> Result<(), ApiError> {
        self.ask(|client| async move { client.advert(advert).await }).await
    }
}

/// Blobs and logs over libp2p, from and to the node of any member. Who answers is pinned: its network key stands in the genesis.
#[derive(Debug)]
pub struct NodeBlobs {
    link: Arc<NodeLink>,
    keys: BTreeMap<MemberCode, PublicKey>,
    clients: Mutex<BTreeMap<MemberCode, Arc<PeerClient>>>,
    logs: Semaphore,
}

impl NodeBlobs {
    async fn client(&self, home: MemberCode) -> Result<Arc<PeerClient>, BlobError> {
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(&home) {
            return Ok(client.clone());
        }
        let key = self.keys.get(&home);
        let peer = key
            .and_then(peer_id)
            .ok_or_else(|| BlobError::Failed(format!("member {home} is not in the pinned genesis")))?;
        let address =
            self.link.peer_address(home).await.map_err(|error| BlobError::Away(error.to_string()))?;
        let address =
            address.ok_or_else(|| BlobError::Away(format!("no node knows the address of {home}'s node")))?;
        let place = address.split("/p2p/").next().unwrap_or_default();
        let address = format!("{place}/p2p/{peer}");
        let address =
            address.parse().map_err(|_| BlobError::Away(format!("`{address}` is no address of a node")))?;
        let client = PeerClient::new(self.link.chain.0, &address).map_err(blob_error)?;
        let client = Arc::new(client);
        clients.insert(home, client.clone());
        Ok(client)
    }

    /// A node that does not answer may have moved: its address is asked for again next time.
    async fn judge<T>(&self, home: MemberCode, outcome: Result<T, PeerError>) -> Result<T, BlobError> {
        if matches!(outcome, Err(PeerError::Unreachable { .. } | PeerError::Stopped)) {
            self.clients.lock().await.remove(&home);
        }
        outcome.map_err(blob_error)
    }
}

fn blob_error(error: PeerError) -> BlobError {
    let text = error.to_string();
    match error {
        PeerError::Unreachable { .. } | PeerError::Stopped | PeerError::WrongChain => BlobError::Away(text),
        PeerError::Refused(BlobRefusal::Busy | BlobRefusal::StorageFailed) => BlobError::Away(text),
        PeerError::LogRefused(LogRefusal::Busy | LogRefusal::StorageFailed) => BlobError::Away(text),
        PeerError::Refused(_) | PeerError::LogRefused(_) | PeerError::Nonsense => BlobError::Refused(text),
        PeerError::Address(_) | PeerError::Corrupt { .. } | PeerError::File { .. } => BlobError::Failed(text),
    }
}

#[async_trait]
impl Blobs for NodeBlobs {
    async fn fetch(
        &self,
        home: MemberCode,
        lease: LeaseId,
        hash: BlobHash,
        into: &Path,
    ) -> Result<u64, BlobError> {
        let client = self.client(home).await?;
        let outcome = client.get_blob(hash.0, lease.0, &self.link.key, into, |_, _| ()).await;
        self.judge(home, outcome).await
    }

    async fn push(
        &self,
        home: MemberCode,
        lease: LeaseId,
        hash: BlobHash,
        path: &Path,
    ) -> Result<(), BlobError> {
        let client = self.client(home).await?;
        let outcome = client.put_blob(path, hash.0, lease.0, &self.link.key, |_, _| ()).await;
        self.judge(home, outcome.map(|_| ())).await
    }

    async fn append_log(&self, home: MemberCode, part: LogPart) -> Result<LogHeld, BlobError> {
        let _place = self.logs.acquire().await.map_err(|_| BlobError::Away("stopped".to_owned()))?;
        let client = self.client(home).await?;
        let outcome = client.append_log(part, &self.link.key).await;
        self.judge(home, outcome).await
    }
}
