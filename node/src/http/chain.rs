//! The chain: genesis, parameters, blocks, transactions.

use super::Shared;
use super::answer::{Answer, Parameters, Problem, Segments, body, parse};
use super::backend::read;
use super::reader::Reader;
use super::visibility;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use hansa_ledger::id::TransactionId;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::tables::{Keys, ParamsTable};
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::chain::{BlockContent, BlockInfo, TransactionInfo, TransactionStatus};
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::light::SignedHeader;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

/// The genesis document; its hash is the chain id.
#[utoipa::path(get, path = "/v1/genesis", tag = "chain", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn genesis(State(shared): State<Shared>) -> Answer<serde_json::Value> {
    let genesis = serde_json::to_value(shared.backend.genesis());
    genesis.map(Json).map_err(|error| Problem::new(Fault::Internal, error.to_string()))
}

/// The parameters in force.
#[utoipa::path(get, path = "/v1/params", tag = "chain", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn params(State(shared): State<Shared>) -> Answer<hansa_ledger::params::Params> {
    read(&*shared.backend, |state| state.get::<ParamsTable>(&()).cloned())
        .map(Json)
        .ok_or_else(|| Fault::NotReady.into())
}

/// A block by its height, or `latest`.
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "chain",
    params(("height" = String, Path, description = "a height, or `latest`")),
    responses((status = 200, body = BlockInfo), (status = 404, body = ErrorBody), (status = 410, body = ErrorBody)))]
pub(super) async fn block(
    State(shared): State<Shared>,
    reader: Reader,
    Segments(height): Segments<String>,
) -> Answer<BlockInfo> {
    let tip = shared.backend.status().height;
    let height = match height.as_str() {
        "latest" => tip,
        text => parse("height", text)?,
    };
    match shared.backend.block(height) {
        Some(record) => Ok(Json(BlockInfo {
            id: record.id,
            header: record.header.clone(),
            transactions: record.transactions.iter().map(SignedTransaction::id).collect(),
            waiting: record.waiting.clone(),
            content: reader.who.sees_all().then(|| BlockContent {
                transactions: record.transactions.clone(),
                receipts: record.receipts.clone(),
            }),
            certificate: record.certificate.clone(),
        })),
        None if height > tip => Err(Problem::unknown("block at height", &height)),
        None if height == 0 => Err(Problem::new(
            Fault::NotFound,
            "height 0 is the genesis, which has no block; ask for `/v1/genesis`",
        )),
        None => Err(Problem::new(
            Fault::HistoryGone,
            format!("the node does not keep the block at height {height}"),
        )),
    }
}

/// The header of a block with its certificate, which light clients follow the members by; as far back as the ledger keeps blocks.
#[utoipa::path(get, path = "/v1/headers/{height}", tag = "chain",
    params(("height" = u64, Path, description = "the block's height")),
    responses((status = 200, body = SignedHeader), (status = 404, body = ErrorBody), (status = 410, body = ErrorBody)))]
pub(super) async fn header_of(
    State(shared): State<Shared>,
    Segments(height): Segments<String>,
) -> Answer<SignedHeader> {
    let height: u64 = parse("height", &height)?;
    let tip = shared.backend.status().height;
    let backend = shared.backend.clone();
    let found = tokio::task::spawn_blocking(move || backend.header(height)).await;
    let found = found.map_err(|error| Problem::new(Fault::Internal, error.to_string()))?;
    found.map(Json).ok_or_else(|| match height {
        0 => Problem::new(
            Fault::NotFound,
            "height 0 is the genesis, which has no header; ask for `/v1/genesis`",
        ),
        _ if height > tip => Problem::unknown("block at height", &height),
        _ => Problem::new(Fault::HistoryGone, format!("the node does not keep the block at height {height}")),
    })
}

/// Whether to wait, and how long.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// `final` answers once the transaction stands in a block, or when time is up.
    wait: Option<String>,
    /// How long to wait at most, in milliseconds.
    timeout_ms: Option<u64>,
}

impl Wait {
    /// How long to wait; none for not at all.
    fn time(&self, shared: &Shared) -> Result<Option<Duration>, Problem> {
        match self.wait.as_deref() {
            None => Ok(None),
            Some("final") => {
                let most = shared.limits.wait_time_max;
                Ok(Some(self.timeout_ms.map_or(most, |ms| Duration::from_millis(ms).min(most))))
            }
            Some(other) => {
                Err(Problem::new(Fault::RequestMalformed, format!("`wait` can be `final`, and is `{other}`")))
            }
        }
    }
}

/// What has become of a transaction.
#[utoipa::path(get, path = "/v1/transactions/{id}", tag = "chain",
    params(("id" = String, Path, description = "the transaction's id"), Wait),
    responses((status = 200, body = TransactionInfo), (status = 400, body = ErrorBody)))]
pub(super) async fn transaction(
    State(shared): State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
    Parameters(wait): Parameters<Wait>,
) -> Answer<TransactionInfo> {
    let id: TransactionId = parse("transaction id", &id)?;
    let mut status = match wait.time(&shared)? {
        Some(time) => wait_final(&shared, &id, time).await,
        None => shared.backend.transaction(&id),
    };
    if let TransactionStatus::Final(done) = &mut status {
        let block = shared.backend.block(done.height);
        let signed = block.as_ref().and_then(|block| block.transactions.get(done.index as usize));
        let signer = signed.map(|signed| signed.transaction.signer);
        read(&*shared.backend, |state| {
            let signer = signer.and_then(|key| state.get::<Keys>(&key));
            if !signer.is_some_and(|key| reader.who.sees_principal(key.principal)) {
                done.receipt.events.retain(|event| visibility::sees_event(reader.who, state, event));
            }
        });
    }
    Ok(Json(TransactionInfo { id, status }))
}

/// Sends a signed transaction: its canonical bytes, or its JSON form. Whoever has them is told all that it did.
#[utoipa::path(post, path = "/v1/transactions", tag = "chain", params(Wait),
    request_body(content(
        (Vec<u8> = "application/octet-stream"),
        (serde_json::Value = "application/json"),
    )),
    responses((status = 200, body = TransactionInfo), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(super) async fn submit(
    State(shared): State<Shared>,
    Parameters(wait): Parameters<Wait>,
    headers: HeaderMap,
    content: Body,
) -> Answer<TransactionInfo> {
    let time = wait.time(&shared)?;
    let limits = &shared.limits;
    let bytes = body(content, limits.body_bytes_max, limits.request_time_max).await?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let bytes = match kind.split(';').next().unwrap_or_default().trim() {
        "application/octet-stream" | "" => bytes,
        "application/json" => {
            let transaction: SignedTransaction = serde_json::from_slice(&bytes).map_err(|error| {
                Problem::new(Fault::RequestMalformed, format!("the body is no transaction: {error}"))
            })?;
            transaction.encode()
        }
        other => {
            return Err(Problem::new(
                Fault::MediaType,
                format!("this path does not take bodies of type `{other}`"),
            ));
        }
    };
    if bytes.is_empty() {
        return Err(Rejection::Malformed.into());
    }
    let id = shared.backend.submit(bytes).await?;
    let status = match time {
        Some(time) => wait_final(&shared, &id, time).await,
        None => shared.backend.transaction(&id),
    };
    Ok(Json(TransactionInfo { id, status }))
}

/// Waits until a transaction is final, or time is up.
async fn wait_final(shared: &Shared, id: &TransactionId, time: Duration) -> TransactionStatus {
    let mut blocks = shared.backend.follow();
    let watch = async {
        loop {
            // Looked up after the subscription, so that no block comes in between.
            let status = shared.backend.transaction(id);
            if matches!(status, TransactionStatus::Final(_)) || shared.shutdown.is_cancelled() {
                return status;
            }
            tokio::select! {
                block = blocks.recv() => if matches!(block, Err(RecvError::Closed)) { return status },
                () = shared.shutdown.cancelled() => {}
            }
        }
    };
    match tokio::time::timeout(time, watch).await {
        Ok(status) => status,
        Err(_) => shared.backend.transaction(id),
    }
}
