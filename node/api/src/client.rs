//! The typed client: one method per question.

pub mod blob;
mod lease;
pub mod log;
mod market;
mod organisation;
mod proven;
mod reader;
mod stream;
mod submit;

pub use stream::EventStream;

use crate::certificate::Handover;
use reader::Reader;

use crate::chain::{BlockInfo, TransactionInfo};
use crate::error::{ApiError, ErrorBody, Fault};
use crate::filter::{Filter, Page, ProposalFilter};
use crate::governance::ProposalInfo;
use crate::light::{Distrust, Doubt, Light, SignedHeader};
use crate::proof::ProofInfo;
use crate::status::{Health, NodeStatus, PeerStatus};
use hansa_ledger::genesis::Genesis;
use hansa_ledger::id::{ProposalId, TransactionId};
use hansa_ledger::params::Params;
use hansa_ledger::state::Table;
use hansa_ledger::tables::Proposals;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// The most entries that a list method collects over all pages.
pub const LIST_ITEMS_MAX: usize = 100_000;

/// The largest answer in JSON that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a connection that asks nothing is kept. A node closes one after ten seconds; a request that sets out on it at that moment
/// would get no answer.
const CONNECTION_IDLE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long reaching a node may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);

/// How long one answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A way to one node's API. Clones share connections. Without a reader ([`Client::with_reader`]) it sees what the public
/// sees. With a trust ([`Client::with_trust`]) it takes nobody's word: see [`crate::light`].
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    reader: Option<Arc<Reader>>,
    trust: Option<Arc<Light>>,
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
            .pool_idle_timeout(CONNECTION_IDLE_TIME_MAX)
            .build()
            .map_err(|error| refuse(&error.to_string()))?;
        Ok(Self { http, url: parsed, reader: None, trust: None })
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
        match self.light().await? {
            None => self.open("/v1/status").await,
            Some(light) => light.same_federation(self.open_raw("/v1/status").await?),
        }
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
        let genesis = self.open_raw("/v1/genesis").await?;
        self.light().await?.map_or(Ok(()), |light| light.check_genesis(&genesis))?;
        Ok(genesis)
    }

    /// The parameters in force.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn params(&self) -> Result<Params, ApiError> {
        match self.light().await? {
            None => self.open("/v1/params").await,
            Some(_) => self.proven_params().await,
        }
    }

    /// What members have proposed, and the votes on it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn proposals(&self, filter: &ProposalFilter) -> Result<Vec<ProposalInfo>, ApiError> {
        let mut shown: Vec<ProposalInfo> = self.list_raw("/v1/proposals", filter).await?;
        let put = |one: &mut ProposalInfo, row| one.row = row;
        self.prove_each::<Proposals, _>("/v1/proposals", &mut shown, |one| Some(one.id), put).await?;
        Ok(shown)
    }

    /// One proposal.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn proposal(&self, id: &ProposalId) -> Result<ProposalInfo, ApiError> {
        let mut shown: ProposalInfo = self.get_raw(&format!("/v1/proposals/{id}")).await?;
        if let Some(row) = self.row_or_missing::<Proposals>("proposal", id).await? {
            shown = ProposalInfo { id: *id, row, ..shown };
            self.note_unproven("how many members may vote on the proposal");
        }
        Ok(shown)
    }

    /// The sets of members that signed blocks and will sign them after those of the genesis, each with a block that shows it.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn handovers(&self) -> Result<Vec<Handover>, ApiError> {
        // They are believed only as far as the believed members vouch for them.
        self.get_raw("/v1/validators").await
    }

    /// A block; the last one without a height.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn block(&self, height: Option<u64>) -> Result<BlockInfo, ApiError> {
        let name = height.map_or("latest".to_owned(), |height| height.to_string());
        let block = self.get_raw(&format!("/v1/blocks/{name}")).await?;
        self.check_block(height, &block).await?;
        Ok(block)
    }

    /// The header of a block with its certificate, also of one that is too old for [`Self::block`].
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn header(&self, height: u64) -> Result<SignedHeader, ApiError> {
        let shown = self.get_raw(&format!("/v1/headers/{height}")).await?;
        self.check_header(height, &shown).await?;
        Ok(shown)
    }

    /// What has become of a transaction; unknown ones are an answer, not an error.
    ///
    /// # Errors
    /// As [`ApiError`].
    pub async fn transaction(&self, id: &TransactionId) -> Result<TransactionInfo, ApiError> {
        self.get(&format!("/v1/transactions/{id}")).await
    }

    /// A row of table `T`, or its absence, with its proof. It is checked where there is a trust, else by
    /// nobody: see [`ProofInfo::verify`].
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
        let spelled = if key.is_empty() { "-".to_owned() } else { hex::encode(key) };
        let proof = self.get_raw(&format!("/v1/proofs/{table}/{spelled}")).await;
        let proof: ProofInfo = proof.map_err(|error| self.withheld(error))?;
        self.check_proof(table, key, &proof).await?;
        Ok(proof)
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
        self.note_told(path);
        self.page_raw(path, filter).await
    }

    async fn page_raw<T: DeserializeOwned>(
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
        self.note_told(path);
        self.list_raw(path, filter).await
    }

    /// As [`Self::list`], of what is proven afterwards.
    async fn list_raw<T: DeserializeOwned, F: Filter>(
        &self,
        path: &str,
        filter: &F,
    ) -> Result<Vec<T>, ApiError> {
        let mut page: Page<T> = self.page_raw(path, filter).await?;
        let mut items = page.items;
        while page.next.is_some() {
            page = self.page_raw(path, &filter.with_after(page.next)).await?;
            items.append(&mut page.items);
            if items.len() > LIST_ITEMS_MAX {
                return Err(ApiError::TooLong { path: path.to_owned(), items_max: LIST_ITEMS_MAX });
            }
        }
        Ok(items)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.note_told(path);
        self.get_raw(path).await
    }

    /// As [`Self::get`], of what is proven afterwards.
    async fn get_raw<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.json(self.send(self.reading(Method::GET, path)).await?).await
    }

    /// As [`Self::get`], of what everybody may read: asked without a pass, so that it is told whatever becomes of the key.
    async fn open<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.note_told(path);
        self.open_raw(path).await
    }

    /// As [`Self::open`], of what is proven afterwards.
    async fn open_raw<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
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
            Err(ApiError::Answer { .. } | ApiError::Distrust(_)) => {
                self.unreadable(&path, &format!("HTTP status {status} without an error of this API"))
            }
            Err(error) => error,
        }
    }

    async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, ApiError> {
        let path = response.url().path().to_owned();
        if self.trust.is_some() && !is_json(&response) {
            return Err(self.unreadable(&path, "it does not say that it is JSON"));
        }
        let bytes = self.bytes(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.unreadable(&path, &error.to_string()))
    }

    async fn bytes(&self, mut response: Response) -> Result<Vec<u8>, ApiError> {
        let path = response.url().path().to_owned();
        let announced = response.content_length().unwrap_or(0);
        if announced > ANSWER_BYTES_MAX as u64 {
            return Err(self.unreadable(&path, "it is longer than any answer of this API"));
        }
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
        let url = format!("{}{path}", self.url());
        match self.trust {
            None => ApiError::Answer { url, reason: reason.to_owned() },
            Some(_) => Doubt::new(Distrust::Unreadable, format!("{url}: {reason}")).into(),
        }
    }
}

/// Whether an answer says that it is JSON.
fn is_json(response: &Response) -> bool {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

/// Query parameters of a submission.
#[derive(Serialize)]
struct Wait {
    wait: &'static str,
    timeout_ms: u64,
}
