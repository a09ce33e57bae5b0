//! Requests, and why they stand where they stand.

use super::Shared;
use super::answer::{Answer, Parameters, Segments, page, parse};
use super::backend::read;
use super::reader::{Reader, Who};
use super::visibility;
use super::why;
use axum::Json;
use axum::extract;
use hansa_ledger::id::RequestId;
use hansa_ledger::market::Reason;
use hansa_ledger::row::Request;
use hansa_ledger::state::State;
use hansa_ledger::tables::Requests;
use hansa_node_api::error::ErrorBody;
use hansa_node_api::filter::{Page, RequestFilter};
use hansa_node_api::market::RequestInfo;
use hansa_node_api::why::{ReasonRow, RequestWhy};

/// The requests.
#[utoipa::path(get, path = "/v1/requests", tag = "market", params(RequestFilter),
    responses((status = 200, body = Page<RequestInfo>), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn requests(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<RequestFilter>,
) -> Answer<Page<RequestInfo>> {
    if reader.who == Who::Public {
        return Err(visibility::forbidden("list of requests"));
    }
    page::<Requests, _>(&shared, &filter, |state, id, row| {
        let wanted = reader.who.sees_request(state, row)
            && filter.organisation.is_none_or(|organisation| organisation == row.organisation)
            && filter.class.as_ref().is_none_or(|class| *class == row.demand.class)
            && filter.state.is_none_or(|state| state == row.state);
        wanted.then(|| RequestInfo { id: *id, row: row.clone() })
    })
}

/// One request.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "market",
    params(("id" = String, Path, description = "the request's id")),
    responses((status = 200, body = RequestInfo), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn request(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<RequestInfo> {
    let id: RequestId = parse("request id", &id)?;
    let row = read(&*shared.backend, |state| visible(state, reader.who, &id).cloned());
    row.map(|row| Json(RequestInfo { id, row })).ok_or_else(|| reader.who.refuse("request", &id))
}

/// A request that is whole for the reader.
pub(super) fn visible<'s>(state: &'s State, who: Who, id: &RequestId) -> Option<&'s Request> {
    state.get::<Requests>(id).filter(|row| who.sees_request(state, row))
}

/// Why a request stands where it stands, for each of its classes: what the last batch said, what the next one would say now, and
/// the nearest changes that would help.
#[utoipa::path(get, path = "/v1/requests/{id}/why", tag = "market",
    params(("id" = String, Path, description = "the request's id")),
    responses((status = 200, body = RequestWhy), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(super) async fn why(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<RequestWhy> {
    let id: RequestId = parse("request id", &id)?;
    // Who may not read it takes no place from those who compute.
    if read(&*shared.backend, |state| visible(state, reader.who, &id).is_none()) {
        return Err(reader.who.refuse("request", &id));
    }
    let (backend, advice) = (shared.backend.clone(), shared.advice.clone());
    let answer = shared.previews.run(move || why::answer(&*backend, &advice, reader.who, id));
    answer.await?.map(Json).ok_or_else(|| reader.who.refuse("request", &id))
}

/// The closed list of reasons why a request stays open, by code. Numbers and names never change their meaning.
#[utoipa::path(get, path = "/v1/market/reasons", tag = "market", responses((status = 200, body = Vec<ReasonRow>)))]
pub(super) async fn reasons() -> Json<Vec<ReasonRow>> {
    Json(Reason::ALL.into_iter().map(ReasonRow::from).collect())
}
