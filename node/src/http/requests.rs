//! Requests, and why they stand where they stand.

use super::Shared;
use super::answer::{Answer, Parameters, Segments, page, parse};
use super::backend::read;
use super::quote::{clear_aside, next_batch};
use super::reader::{Reader, Who};
use super::visibility;
use axum::Json;
use axum::extract;
use hansa_ledger::batch::book;
use hansa_ledger::id::RequestId;
use hansa_ledger::market::{Book, Quote, Unmatched};
use hansa_ledger::row::{Request, RequestState};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Classes, ParamsTable, Requests};
use hansa_ledger::time::TimeMs;
use hansa_node_api::error::ErrorBody;
use hansa_node_api::filter::{Page, RequestFilter};
use hansa_node_api::market::{RequestInfo, RequestWhy};

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
fn visible<'s>(state: &'s State, who: Who, id: &RequestId) -> Option<&'s Request> {
    state.get::<Requests>(id).filter(|row| who.sees_request(state, row))
}

/// Why a request stands where it stands: what the last batch said, and what the next one would say now.
#[utoipa::path(get, path = "/v1/requests/{id}/why", tag = "market",
    params(("id" = String, Path, description = "the request's id")),
    responses((status = 200, body = RequestWhy), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn why(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<RequestWhy> {
    let id: RequestId = parse("request id", &id)?;
    let chain = shared.backend.chain();
    let found: Option<(Request, Option<TimeMs>, Option<Book>)> = read(&*shared.backend, |state| {
        let row = visible(state, reader.who, &id)?.clone();
        let class = &row.demand.class;
        let due = state.get::<Classes>(class).and_then(|class| class.batch_due);
        let book = state.get::<ParamsTable>(&()).filter(|_| row.state == RequestState::Open).map(|params| {
            let view = state.view();
            let next = next_batch(&view, params, class);
            let mut book = book(&view, params, chain, class, next);
            shared.backend.ask_contracts(&view, params, next, &mut book);
            book
        });
        Some((row, due, book))
    });
    let (row, due, book) = found.ok_or_else(|| reader.who.refuse("request", &id))?;
    let quote = match book {
        Some(book) => clear_aside(book, id).await?,
        None => None,
    };
    let sentence = sentence(&row, quote.as_ref());
    let now = match quote {
        Some(Quote::Unmatched(unmatched)) => Some(unmatched),
        _ => None,
    };
    Ok(Json(RequestWhy {
        request: id,
        state: row.state,
        last: row.last_unmatched().cloned(),
        now,
        sentence,
        next_batch: due.filter(|_| row.state == RequestState::Open),
    }))
}

fn sentence(row: &Request, quote: Option<&Quote>) -> String {
    let because = |unmatched: &Unmatched| unmatched.to_string();
    match (row.state, quote) {
        (RequestState::Open, Some(Quote::Award(_))) => "the next batch would award it".to_owned(),
        (RequestState::Open, Some(Quote::Unmatched(unmatched))) => because(unmatched),
        (RequestState::Open, None) => "it waits for the next batch".to_owned(),
        (RequestState::Awarded, _) => match row.lease {
            Some(lease) => format!("it was awarded as lease {lease}"),
            None => "it was awarded".to_owned(),
        },
        (RequestState::Cancelled, _) => "its organisation took it back".to_owned(),
        (RequestState::Revoked, _) => "its organisation is not accredited any more".to_owned(),
        (RequestState::Expired, _) => match row.last_unmatched() {
            Some(unmatched) => format!("its window passed without a match: {}", because(unmatched)),
            None => "its window passed without a match".to_owned(),
        },
    }
}
