//! Refusals, parameters and pages: what every resource has in common.

use super::Shared;
use super::backend::read;
use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::state::{State, Table, View};
use hansa_node_api::error::{ErrorBody, ErrorDetail, Fault};
use hansa_node_api::filter::{Filter, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, Page};
use serde::de::DeserializeOwned;
use std::ops::Bound;
use std::str::FromStr;
use std::time::Duration;

/// The most rows that one answer looks at; a filter that matches little gets an empty page and goes on from there.
const ROWS_SCANNED_MAX: usize = 50_000;

/// Seconds after which what is full for the moment is worth another try.
const RETRY_AFTER_S: u32 = 1;

/// A refusal on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: u16,
    detail: ErrorDetail,
}

impl Problem {
    /// A refusal of the server with what happened in this case.
    pub(super) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { status: fault.status(), detail: ErrorDetail { message: message.into(), ..fault.into() } }
    }

    /// Something is not there.
    pub(super) fn unknown(what: &str, id: &impl std::fmt::Display) -> Self {
        Self::new(Fault::NotFound, format!("there is no {what} {id}"))
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self { status: fault.status(), detail: fault.into() }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let status = match rejection {
            Rejection::Malformed | Rejection::TooManyActions => 400,
            Rejection::BadSignature | Rejection::PossessionInvalid => 401,
            Rejection::UnknownKey
            | Rejection::KeyRevoked
            | Rejection::RoleMissing
            | Rejection::NotRegistrar
            | Rejection::NotTreasury
            | Rejection::NotGovernance
            | Rejection::NotProposer => 403,
            Rejection::NonceUsed | Rejection::NonceGap | Rejection::AlreadyKnown => 409,
            Rejection::TransactionTooLarge => 413,
            Rejection::QuotaExceeded | Rejection::MempoolFull | Rejection::TooManyWaiting => 429,
            _ => 422,
        };
        Self { status, detail: rejection.into() }
    }
}

impl From<super::backend::BlobFailure> for Problem {
    fn from(failure: super::backend::BlobFailure) -> Self {
        Self::new(failure.fault, failure.message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(ErrorBody { error: self.detail })).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}

/// What a handler answers.
pub(super) type Answer<T> = Result<Json<T>, Problem>;

/// The query of a request; unknown parameters are refused by the types that are read.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| Problem::new(Fault::RequestMalformed, innermost(&error)))
    }
}

/// The variable parts of the path, as text.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(error) => Err(Problem::new(Fault::RequestMalformed, error.body_text().to_lowercase())),
        }
    }
}

/// The innermost reason of an error: the outer ones only say that the query was bad.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}

/// Reads an id or the like from the path.
pub(super) fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| Problem::new(Fault::RequestMalformed, format!("`{text}` is no {what}: {error}")))
}

/// Reads a whole body of at most `bytes_max` bytes that comes within `time_max`.
pub(super) async fn body(body: Body, bytes_max: usize, time_max: Duration) -> Result<Vec<u8>, Problem> {
    let read = async {
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Problem::new(Fault::RequestMalformed, innermost(&error)))?;
            if bytes.len().saturating_add(chunk.len()) > bytes_max {
                let message = format!("the body is larger than the {bytes_max} bytes this path takes");
                return Err(Problem::new(Fault::BodyTooLarge, message));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(time_max, read).await.unwrap_or_else(|_| Err(Fault::RequestTimeout.into()))
}

/// One page of a table: `item` turns a row into an entry, or leaves it out.
pub(super) fn page<T: Table, I>(
    shared: &Shared,
    filter: &impl Filter,
    item: impl FnMut(&State, &T::Key, &T::Row) -> Option<I>,
) -> Answer<Page<I>> {
    read(&*shared.backend, |state| {
        let view = state.view();
        page_of::<T, I>(state, &view, (Bound::Unbounded, Bound::Unbounded), filter, item)
    })
    .map(Json)
}

/// As [`page`], of the rows within a range of keys.
pub(super) fn page_of<T: Table, I>(
    state: &State,
    view: &View<'_>,
    range: (Bound<T::Key>, Bound<T::Key>),
    filter: &impl Filter,
    mut item: impl FnMut(&State, &T::Key, &T::Row) -> Option<I>,
) -> Result<Page<I>, Problem> {
    let (after, limit) = filter.page();
    let limit = limit.unwrap_or(PAGE_ITEMS_DEFAULT).clamp(1, PAGE_ITEMS_MAX) as usize;
    let start = match after {
        None => range.0,
        Some(after) => {
            let key = hex::decode(after).ok().and_then(|bytes| borsh::from_slice::<T::Key>(&bytes).ok());
            let refuse =
                || Problem::new(Fault::RequestMalformed, format!("`{after}` is no `next` of this list"));
            let key = key.ok_or_else(refuse)?;
            // A range that ends before it begins is no range; what lies before it is simply not there.
            match &range.0 {
                Bound::Included(first) if key < *first => return Err(refuse()),
                _ => Bound::Excluded(key),
            }
        }
    };
    if let (Bound::Excluded(start), Bound::Included(end)) = (&start, &range.1)
        && start >= end
    {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let mut items = Vec::new();
    let mut last: Option<&T::Key> = None;
    for (scanned, (key, row)) in view.range::<T>((start, range.1)).enumerate() {
        if items.len() == limit || scanned == ROWS_SCANNED_MAX {
            let next = last.map(|key| hex::encode(borsh::to_vec(key).unwrap_or_default()));
            return Ok(Page { items, next });
        }
        items.extend(item(state, key, row));
        last = Some(key);
    }
    Ok(Page { items, next: None })
}
