//! Members, organisations, keys, grants.

use super::Shared;
use super::answer::{Answer, Parameters, Problem, Segments, page, parse};
use super::backend::read;
use super::reader::{Reader, Who};
use super::visibility;
use axum::Json;
use axum::extract;
use hansa_ledger::id::{GrantId, OrganisationId};
use hansa_ledger::money::Money;
use hansa_ledger::row::{AccountId, Grant, Key, Principal, RequestState};
use hansa_ledger::state::State;
use hansa_ledger::tables::{Accounts, Grants, Keys, Members, Organisations, Quotas, Requests};
use hansa_ledger_signature::PublicKey;
use hansa_node_api::error::ErrorBody;
use hansa_node_api::filter::{GrantFilter, OrganisationFilter, Page, PageFilter};
use hansa_node_api::organisation::{GrantInfo, KeyInfo, MemberInfo, OrganisationDetail, OrganisationInfo};
use hansa_node_api::view::ShownOrganisation;

/// The members with their positions and limits.
#[utoipa::path(get, path = "/v1/members", tag = "organisations", params(PageFilter),
    responses((status = 200, body = Page<MemberInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn members(
    extract::State(shared): extract::State<Shared>,
    Parameters(filter): Parameters<PageFilter>,
) -> Answer<Page<MemberInfo>> {
    page::<Members, _>(&shared, &filter, |_, code, row| Some(MemberInfo::new(*code, row.clone())))
}

/// The organisations.
#[utoipa::path(get, path = "/v1/organisations", tag = "organisations", params(OrganisationFilter),
    responses((status = 200, body = Page<ShownOrganisation>), (status = 400, body = ErrorBody)))]
pub(super) async fn organisations(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<OrganisationFilter>,
) -> Answer<Page<ShownOrganisation>> {
    page::<Organisations, _>(&shared, &filter, |_, id, row| {
        let wanted = filter.home.is_none_or(|home| home == row.home);
        wanted.then(|| visibility::organisation(reader.who, id, row))
    })
}

/// An organisation with its keys and purses.
#[utoipa::path(get, path = "/v1/organisations/{id}", tag = "organisations",
    params(("id" = String, Path, description = "the organisation's id")),
    responses((status = 200, body = OrganisationDetail), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn organisation(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<OrganisationDetail> {
    let id: OrganisationId = parse("organisation id", &id)?;
    if !reader.who.sees(id) {
        return Err(reader.who.refuse("organisation", &id));
    }
    let detail = read(&*shared.backend, |state| {
        let row = state.get::<Organisations>(&id).cloned()?;
        let keys: Vec<(PublicKey, Key)> = state
            .rows::<Keys>()
            .filter(|(_, key)| key.principal == Principal::Organisation(id))
            .map(|(key, row)| (*key, row.clone()))
            .collect();
        let grants = state
            .rows::<Grants>()
            .filter(|(_, grant)| grant.holder == id)
            .map(|(grant, row)| grant_info(state, grant, row))
            .collect();
        let detail = OrganisationDetail {
            organisation: OrganisationInfo { id, row },
            key_list: Vec::new(),
            cash: balance(state, &AccountId::Cash(id)),
            grants,
            escrowed: escrowed(state, id),
            quota: state.get::<Quotas>(&Principal::Organisation(id)).cloned(),
        };
        Some((detail, keys))
    });
    // The node is asked for waiting transactions once the state is free again: it may need the state for the answer.
    let (mut detail, keys) = detail.ok_or_else(|| Problem::unknown("organisation", &id))?;
    detail.key_list = keys.iter().map(|(key, row)| key_info(&shared, key, row)).collect();
    Ok(Json(detail))
}

/// What the escrows of an organisation's requests hold, those that became leases included.
fn escrowed(state: &State, id: OrganisationId) -> Money {
    let open =
        |row: &hansa_ledger::row::Request| matches!(row.state, RequestState::Open | RequestState::Awarded);
    let mut sum = 0u64;
    for (request, row) in state.rows::<Requests>().filter(|(_, row)| row.organisation == id && open(row)) {
        for (index, _) in (0u8..).zip(&row.demand.sources) {
            sum = sum.saturating_add(balance(state, &AccountId::Escrow(*request, index)).0);
        }
    }
    Money(sum)
}

/// A key: who it acts for, its roles, its next nonce.
#[utoipa::path(get, path = "/v1/keys/{key}", tag = "organisations",
    params(("key" = String, Path, description = "the public key in hexadecimal")),
    responses((status = 200, body = KeyInfo), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn key(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(key): Segments<String>,
) -> Answer<KeyInfo> {
    let key: PublicKey = parse("public key", &key)?;
    let row = read(&*shared.backend, |state| state.get::<Keys>(&key).cloned());
    // An office reads its own key as it reads all others.
    let row = row.filter(|row| reader.who.sees_principal(row.principal));
    let row = row.ok_or_else(|| reader.who.refuse("registered key", &key))?;
    Ok(Json(key_info(&shared, &key, &row)))
}

pub(super) fn key_info(shared: &Shared, key: &PublicKey, row: &Key) -> KeyInfo {
    let waiting = shared.backend.next_nonce(key).unwrap_or(0);
    KeyInfo { key: *key, row: row.clone(), next_nonce: waiting.max(row.nonce) }
}

/// The grants.
#[utoipa::path(get, path = "/v1/grants", tag = "organisations", params(GrantFilter),
    responses((status = 200, body = Page<GrantInfo>), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn grants(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<GrantFilter>,
) -> Answer<Page<GrantInfo>> {
    if reader.who == Who::Public {
        return Err(visibility::forbidden("list of grants"));
    }
    page::<Grants, _>(&shared, &filter, |state, id, row| {
        let wanted = reader.who.sees(row.holder)
            && filter.holder.is_none_or(|holder| holder == row.holder)
            && filter.issuer.is_none_or(|issuer| issuer == row.issuer);
        wanted.then(|| grant_info(state, id, row))
    })
}

fn grant_info(state: &State, id: &GrantId, row: &Grant) -> GrantInfo {
    GrantInfo { id: *id, row: row.clone(), balance: balance(state, &AccountId::Grant(*id)) }
}

/// What an account holds; one without a row holds nothing.
pub(super) fn balance(state: &State, account: &AccountId) -> Money {
    state.get::<Accounts>(account).map_or(Money::ZERO, |row| row.balance)
}
