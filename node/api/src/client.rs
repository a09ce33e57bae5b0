//! The typed client: one method per question.

pub mod blob;
pub mod log;
mod market;
mod reader;
mod stream;
mod submit;

pub use stream::EventStream;

use crate::certificate::Handover;
use reader::Reader;

use crate::chain::{BlockInfo, TransactionInfo};
use crate::error::{ApiError, ErrorBody, Fault};
use crate::filter::{
    CapacityFilter, ContractFilter, Filter, GrantFilter, LeaseFilter, OfferFilter, OrderFilter,
    OrganisationFilter, Page, PageFilter, ProposalFilter, RequestFilter, SiteFilter,
};
use crate::governance::ProposalInfo;
use crate::lease::{
    ContractInfo, DisputeInfo, ExtensionInfo, InterimInfo, JobInfo, LeaseInfo, SettlementInfo,
};
use crate::market::{CapacityInfo, ClassInfo, OfferInfo, QuoteAnswer, QuoteRequest, RequestInfo, SiteInfo};
use crate::office::{OfficeInfo, OrderInfo};
use crate::organisation::{GrantInfo, KeyInfo, MemberInfo, OrganisationDetail, OrganisationInfo};
use crate::proof::ProofInfo;
use crate::status::{Health, NodeStatus, PeerStatus};
use crate::view::{Shown, ShownLease, ShownOffer, ShownOrganisation, ShownSite};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{CodeHash, LeaseId, OfferId, OrganisationId, ProposalId, RequestId, TransactionId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::state::Table;
use hansa_ledger_signature::PublicKey;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// The most entries that a list method collects over all pages.
pub const LIST_ITEMS_MAX: usize = 100_000;

/// The largest answer in JSON that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long reaching a node may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);

/// How long one answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A way to one node's API. Clones share connections. Without a reader ([`Client::with_reader`]) it sees what the public sees.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    reader: Option<Arc<Reader>>,
}

impl Client {
    /// A client of the node at `http://host:port`. Nothing is sent before the first call.
    ///
    /// # Errors
    /// [`ApiError::Address`] when that is no such address.
    pub fn new(url: &str) -> Result<Self, ApiError> {
        let refuse = |reason: &str| ApiError::Address { address: url.to_owned(), reason: reason.to_owned() };
        let parsed = Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
        if parsed.scheme() != "http" {
            return Err(refuse("it does not begin with `http://`"));
        }
        if parsed.host_str().is_none() || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(refuse("it has no host, or more than a host and port"));
        }
        let http = reqwest::Client::builder()
            // The node is asked and nobody else, whatever proxy the environment names.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME_MAX)
            .build()
            .map_err(|error| refuse(&error.to_string()))?;
        Ok(Self { http, url: parsed, reader: None })
    }

    /// The node's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// How the node is.
    ///
    /// # Errors
    /// As [`ApiError`]; so for every method below.
    pub async fn status(&self) -> Result<NodeStatus, ApiError> {
        self.open("/v1/status").await
    }

    /// Whether the node is ready; an unready node answers, and says why.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn ready(&self) -> Result<Health, ApiError> {
        match self.open("/health/ready").await {
            Err(ApiError::Refused { detail, .. }) if detail.code == Fault::NotReady.code() => {
                Ok(Health { ok: false, reason: Some(detail.message) })
            }
            outcome => outcome,
        }
    }

    /// The node's metrics, as Prometheus reads them.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn metrics(&self) -> Result<String, ApiError> {
        let response = self.send(self.bare(Method::GET, "/metrics")).await?;
        let bytes = self.bytes(response).await?;
        String::from_utf8(bytes).map_err(|_| self.unreadable("/metrics", "it is no text"))
    }

    /// The other members' nodes.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, ApiError> {
        self.open("/v1/peers").await
    }

    /// The genesis of the federation. Its chain id is its hash: compare it with one you trust.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn genesis(&self) -> Result<Genesis, ApiError> {
        self.open("/v1/genesis").await
    }

    /// The parameters in force.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn params(&self) -> Result<Params, ApiError> {
        self.open("/v1/params").await
    }

    /// The members with their positions and limits.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn members(&self) -> Result<Vec<MemberInfo>, ApiError> {
        self.list("/v1/members", &PageFilter::default()).await
    }

    /// The organisations. Those that the reader may see whole; the others stand in [`Self::organisations_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn organisations(
        &self,
        filter: &OrganisationFilter,
    ) -> Result<Vec<OrganisationInfo>, ApiError> {
        let shown = self.organisations_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The organisations. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn organisations_shown(
        &self,
        filter: &OrganisationFilter,
    ) -> Result<Vec<ShownOrganisation>, ApiError> {
        self.list("/v1/organisations", filter).await
    }

    /// An organisation with its keys and purses.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn organisation(&self, id: &OrganisationId) -> Result<OrganisationDetail, ApiError> {
        self.get(&format!("/v1/organisations/{id}")).await
    }

    /// A key: who it acts for, its roles, its next nonce.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for a key that nobody registered.
    pub async fn key(&self, key: &PublicKey) -> Result<KeyInfo, ApiError> {
        self.get(&format!("/v1/keys/{key}")).await
    }

    /// The nonce of the key's next transaction, those counted that wait on the node.
    ///
    /// # Errors
    /// As [`Self::key`]; an unregistered key is [`Rejection::UnknownKey`], one that was taken back
    /// [`Rejection::KeyRevoked`]. The client reads as this key, or as somebody else who may see it.
    pub async fn next_nonce(&self, key: &PublicKey) -> Result<u64, ApiError> {
        match self.key(key).await {
            Ok(info) => Ok(info.next_nonce),
            Err(error) => Err(match error.fault() {
                Some(Fault::NotFound | Fault::PassKeyUnknown) => Rejection::UnknownKey.into(),
                Some(Fault::PassKeyRevoked) => Rejection::KeyRevoked.into(),
                _ => error,
            }),
        }
    }

    /// The offices of a member with their keys.
    ///
    /// # Errors
    /// As [`ApiError`]; [`crate::Fault::NotFound`] for who is no member.
    pub async fn offices(&self, member: MemberCode) -> Result<Vec<OfficeInfo>, ApiError> {
        self.get(&format!("/v1/offices/{member}")).await
    }

    /// The orders of offices that await approval.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn orders(&self, filter: &OrderFilter) -> Result<Vec<OrderInfo>, ApiError> {
        self.list("/v1/orders", filter).await
    }

    /// What members have proposed, and the votes on it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn proposals(&self, filter: &ProposalFilter) -> Result<Vec<ProposalInfo>, ApiError> {
        self.list("/v1/proposals", filter).await
    }

    /// One proposal.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn proposal(&self, id: &ProposalId) -> Result<ProposalInfo, ApiError> {
        self.get(&format!("/v1/proposals/{id}")).await
    }

    /// The sets of members that signed blocks and will sign them after those of the genesis, each with a block that shows it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn handovers(&self) -> Result<Vec<Handover>, ApiError> {
        self.get("/v1/validators").await
    }

    /// The accredited sites. Those that the reader may see whole; the others stand in [`Self::sites_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn sites(&self, filter: &SiteFilter) -> Result<Vec<SiteInfo>, ApiError> {
        let shown = self.sites_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The accredited sites. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn sites_shown(&self, filter: &SiteFilter) -> Result<Vec<ShownSite>, ApiError> {
        self.list("/v1/sites", filter).await
    }

    /// The resource classes.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn classes(&self) -> Result<Vec<ClassInfo>, ApiError> {
        self.list("/v1/classes", &PageFilter::default()).await
    }

    /// The offers. Those that the reader may see whole; the others stand in [`Self::offers_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn offers(&self, filter: &OfferFilter) -> Result<Vec<OfferInfo>, ApiError> {
        let shown = self.offers_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The offers. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn offers_shown(&self, filter: &OfferFilter) -> Result<Vec<ShownOffer>, ApiError> {
        self.list("/v1/offers", filter).await
    }

    /// One offer, as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn offer(&self, id: &OfferId) -> Result<ShownOffer, ApiError> {
        self.get(&format!("/v1/offers/{id}")).await
    }

    /// The requests that the reader may see: its own, and those of leases it provides.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Vec<RequestInfo>, ApiError> {
        self.list("/v1/requests", filter).await
    }

    /// One request.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn request_info(&self, id: &RequestId) -> Result<RequestInfo, ApiError> {
        self.get(&format!("/v1/requests/{id}")).await
    }

    /// The leases. Those that the reader may see whole; the others stand in [`Self::leases_shown`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn leases(&self, filter: &LeaseFilter) -> Result<Vec<LeaseInfo>, ApiError> {
        let shown = self.leases_shown(filter).await?;
        Ok(shown.into_iter().filter_map(Shown::whole).collect())
    }

    /// The leases. All of them, each as the reader may see it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn leases_shown(&self, filter: &LeaseFilter) -> Result<Vec<ShownLease>, ApiError> {
        self.list("/v1/leases", filter).await
    }

    /// One lease.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn lease(&self, id: &LeaseId) -> Result<LeaseInfo, ApiError> {
        self.get(&format!("/v1/leases/{id}")).await
    }

    /// The jobs of a lease.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn jobs(&self, lease: &LeaseId) -> Result<Vec<JobInfo>, ApiError> {
        self.list(&format!("/v1/leases/{lease}/jobs"), &PageFilter::default()).await
    }

    /// How a lease was settled; [`crate::Fault::NotFound`] as long as it was not.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn settlement(&self, lease: &LeaseId) -> Result<SettlementInfo, ApiError> {
        self.get(&format!("/v1/leases/{lease}/settlement")).await
    }

    /// The settlements of a lease before the one that closes it, those that failed included, in their order.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn interims(&self, lease: &LeaseId) -> Result<Vec<InterimInfo>, ApiError> {
        self.list(&format!("/v1/leases/{lease}/interims"), &PageFilter::default()).await
    }

    /// The dispute over a lease, open or decided; [`crate::Fault::NotFound`] where nobody opened one.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn dispute(&self, lease: &LeaseId) -> Result<DisputeInfo, ApiError> {
        self.get(&format!("/v1/leases/{lease}/dispute")).await
    }

    /// What extending a lease by so many slots would give and take now. Nothing is signed or changed.
    ///
    /// # Errors
    /// As [`ApiError`]; also with the reason why it would be refused.
    pub async fn extension(&self, lease: &LeaseId, slots: u32) -> Result<ExtensionInfo, ApiError> {
        self.get(&format!("/v1/leases/{lease}/extension?slots={slots}")).await
    }

    /// The grants that the reader may see: its own.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn grants(&self, filter: &GrantFilter) -> Result<Vec<GrantInfo>, ApiError> {
        self.list("/v1/grants", filter).await
    }

    /// The contracts, without their code.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn contracts(&self) -> Result<Vec<ContractInfo>, ApiError> {
        self.list("/v1/contracts", &ContractFilter::default()).await
    }

    /// One contract, with its code.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn contract(&self, hash: &CodeHash) -> Result<ContractInfo, ApiError> {
        self.get(&format!("/v1/contracts/{hash}?code=true")).await
    }

    /// What can be had now.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn capacity(&self, filter: &CapacityFilter) -> Result<Vec<CapacityInfo>, ApiError> {
        self.list("/v1/capacity", filter).await
    }

    /// A block; the last one without a height.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn block(&self, height: Option<u64>) -> Result<BlockInfo, ApiError> {
        match height {
            Some(height) => self.get(&format!("/v1/blocks/{height}")).await,
            None => self.get("/v1/blocks/latest").await,
        }
    }

    /// What has become of a transaction; unknown ones are an answer, not an error.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn transaction(&self, id: &TransactionId) -> Result<TransactionInfo, ApiError> {
        self.get(&format!("/v1/transactions/{id}")).await
    }

    /// What would become of a demand.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn quote(&self, request: &QuoteRequest) -> Result<QuoteAnswer, ApiError> {
        let builder = self.reading(Method::POST, "/v1/quote").json(request);
        self.json(self.send(builder).await?).await
    }

    /// A row of table `T`, or its absence, with its proof. Nothing is checked here: see [`ProofInfo::verify`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn proof<T: Table>(&self, key: &T::Key) -> Result<ProofInfo, ApiError> {
        let key = borsh::to_vec(key).map_err(|error| self.unreadable("the key", &error.to_string()))?;
        self.proof_of(T::NAME, &key).await
    }

    /// As [`Self::proof`], with the table by name or number and the key's bytes.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn proof_of(&self, table: &str, key: &[u8]) -> Result<ProofInfo, ApiError> {
        // The chain and the parameters are single rows with an empty key, which no path can spell.
        let key = if key.is_empty() { "-".to_owned() } else { hex::encode(key) };
        self.get(&format!("/v1/proofs/{table}/{key}")).await
    }

    /// One page of a list.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &impl Filter,
    ) -> Result<Page<T>, ApiError> {
        let builder = self.reading(Method::GET, path).query(filter);
        self.json(self.send(builder).await?).await
    }

    /// All pages of a list, from where the filter begins. A limit in the filter is that of one page.
    ///
    /// # Errors
    /// As [`ApiError`]; [`ApiError::TooLong`] over [`LIST_ITEMS_MAX`] entries.
    pub async fn list<T: DeserializeOwned, F: Filter>(
        &self,
        path: &str,
        filter: &F,
    ) -> Result<Vec<T>, ApiError> {
        let mut page: Page<T> = self.page(path, filter).await?;
        let mut items = page.items;
        while page.next.is_some() {
            page = self.page(path, &filter.with_after(page.next)).await?;
            items.append(&mut page.items);
            if items.len() > LIST_ITEMS_MAX {
                return Err(ApiError::TooLong { path: path.to_owned(), items_max: LIST_ITEMS_MAX });
            }
        }
        Ok(items)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.json(self.send(self.reading(Method::GET, path)).await?).await
    }

    /// As [`Self::get`], of what everybody may read: asked without a pass, so that it is told whatever becomes of the key.
    async fn open<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.json(self.send(self.bare(Method::GET, path)).await?).await
    }

    /// A request that says who reads.
    fn reading(&self, method: Method, path: &str) -> RequestBuilder {
        self.as_reader(self.bare(method, path))
    }

    /// A request that says nothing of who sends it.
    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url())).timeout(ANSWER_TIME_MAX)
    }

    /// Sends, and turns every refusal into an error.
    async fn send(&self, builder: RequestBuilder) -> Result<Response, ApiError> {
        let response = builder.send().await.map_err(|error| self.failed(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> ApiError {
        let status = response.status().as_u16();
        let path = response.url().path().to_owned();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        match self.json::<ErrorBody>(response).await {
            Ok(body) => ApiError::Refused { status, detail: body.error, retry_after },
            Err(ApiError::Answer { .. }) => {
                self.unreadable(&path, &format!("HTTP status {status} without an error of this API"))
            }
            Err(error) => error,
        }
    }

    async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, ApiError> {
        let path = response.url().path().to_owned();
        let bytes = self.bytes(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.unreadable(&path, &error.to_string()))
    }

    async fn bytes(&self, mut response: Response) -> Result<Vec<u8>, ApiError> {
        let path = response.url().path().to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.unreadable(&path, "it is longer than any answer of this API"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn failed(&self, error: &reqwest::Error) -> ApiError {
        let url = self.url().to_owned();
        if error.is_timeout() && !error.is_connect() {
            return ApiError::Timeout { url };
        }
        // The outermost sentence only says that it failed; the innermost says why.
        let mut reason: &dyn std::error::Error = error;
        while let Some(inner) = reason.source() {
            reason = inner;
        }
        ApiError::Unreachable { url, reason: reason.to_string().to_lowercase() }
    }

    fn unreadable(&self, path: &str, reason: &str) -> ApiError {
        ApiError::Answer { url: format!("{}{path}", self.url()), reason: reason.to_owned() }
    }
}

/// Query parameters of a submission.
#[derive(Serialize)]
struct Wait {
    wait: &'static str,
    timeout_ms: u64,
}
