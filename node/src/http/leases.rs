//! Leases, their jobs and settlements, and the contracts that settle them.

use super::Shared;
use super::answer::{Answer, Parameters, Problem, Segments, page, page_of, parse};
use super::backend::read;
use super::reader::{Reader, Who};
use super::visibility;
use axum::Json;
use axum::extract;
use hansa_ledger::extension::Extended;
use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::row::{Contract, Lease};
use hansa_ledger::state::State;
use hansa_ledger::tables::{
    ContractAliases, ContractCodes, Contracts, Disputes, Interims, Jobs, Leases, Settlements,
};
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::filter::{ContractFilter, LeaseFilter, Page, PageFilter};
use hansa_node_api::lease::{
    ContractInfo, DisputeInfo, ExtensionInfo, InterimInfo, JobInfo, LeaseInfo, SettlementInfo,
};
use hansa_node_api::view::ShownLease;
use serde::Deserialize;
use std::ops::Bound;
use utoipa::IntoParams;

/// The leases.
#[utoipa::path(get, path = "/v1/leases", tag = "leases", params(LeaseFilter),
    responses((status = 200, body = Page<ShownLease>), (status = 400, body = ErrorBody)))]
pub(super) async fn leases(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<LeaseFilter>,
) -> Answer<Page<ShownLease>> {
    // Who is on which side is told by a filter as much as by a field: it finds only leases that are whole for the reader.
    let by_side = filter.organisation.is_some() || filter.requester.is_some() || filter.provider.is_some();
    page::<Leases, _>(&shared, &filter, |state, id, row| {
        if by_side && !reader.who.sees_lease(row) {
            return None;
        }
        let wanted = filter.organisation.is_none_or(|one| one == row.requester || one == row.provider)
            && filter.requester.is_none_or(|requester| requester == row.requester)
            && filter.provider.is_none_or(|provider| provider == row.provider)
            && filter.class.as_ref().is_none_or(|class| *class == row.class)
            && filter.state.is_none_or(|state| state == row.state);
        wanted.then(|| visibility::lease(reader.who, state, id, row))
    })
}

/// One lease.
#[utoipa::path(get, path = "/v1/leases/{id}", tag = "leases",
    params(("id" = String, Path, description = "the lease's id")),
    responses((status = 200, body = LeaseInfo), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn lease(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<LeaseInfo> {
    let id: LeaseId = parse("lease id", &id)?;
    let row = read(&*shared.backend, |state| visible(state, reader.who, &id).cloned());
    row.map(|row| Json(LeaseInfo { id, row })).ok_or_else(|| reader.who.refuse("lease", &id))
}

/// A lease that is whole for the reader.
fn visible<'s>(state: &'s State, who: Who, id: &LeaseId) -> Option<&'s Lease> {
    state.get::<Leases>(id).filter(|row| who.sees_lease(row))
}

/// The jobs of a lease.
#[utoipa::path(get, path = "/v1/leases/{id}/jobs", tag = "leases",
    params(("id" = String, Path, description = "the lease's id"), PageFilter),
    responses((status = 200, body = Page<JobInfo>), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn jobs(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
    Parameters(filter): Parameters<PageFilter>,
) -> Answer<Page<JobInfo>> {
    let id: LeaseId = parse("lease id", &id)?;
    read(&*shared.backend, |state| {
        if visible(state, reader.who, &id).is_none() {
            return Err(reader.who.refuse("lease", &id));
        }
        let range = (Bound::Included((id, 0)), Bound::Included((id, u32::MAX)));
        page_of::<Jobs, _>(state, &state.view(), range, &filter, |_, (lease, job), row| {
            Some(JobInfo { lease: *lease, job: *job, row: row.clone() })
        })
    })
    .map(Json)
}

/// How a lease was settled, complete enough to run the contract again.
#[utoipa::path(get, path = "/v1/leases/{id}/settlement", tag = "leases",
    params(("id" = String, Path, description = "the lease's id")),
    responses((status = 200, body = SettlementInfo), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn settlement(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<SettlementInfo> {
    let lease: LeaseId = parse("lease id", &id)?;
    let row = read(&*shared.backend, |state| {
        visible(state, reader.who, &lease).map(|_| state.get::<Settlements>(&lease).cloned())
    });
    match row {
        Some(Some(row)) => Ok(Json(SettlementInfo { lease, row })),
        Some(None) => Err(Problem::new(Fault::NotFound, format!("lease {lease} is not settled yet"))),
        None => Err(reader.who.refuse("lease", &lease)),
    }
}

/// The settlements of a lease before the one that closes it, those that failed included.
#[utoipa::path(get, path = "/v1/leases/{id}/interims", tag = "leases",
    params(("id" = String, Path, description = "the lease's id"), PageFilter),
    responses((status = 200, body = Page<InterimInfo>), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn interims(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
    Parameters(filter): Parameters<PageFilter>,
) -> Answer<Page<InterimInfo>> {
    let id: LeaseId = parse("lease id", &id)?;
    read(&*shared.backend, |state| {
        if visible(state, reader.who, &id).is_none() {
            return Err(reader.who.refuse("lease", &id));
        }
        let range = (Bound::Included((id, 0)), Bound::Included((id, u32::MAX)));
        page_of::<Interims, _>(state, &state.view(), range, &filter, |_, (lease, number), row| {
            Some(InterimInfo { lease: *lease, number: *number, row: row.clone() })
        })
    })
    .map(Json)
}

/// The dispute over a lease, open or decided.
#[utoipa::path(get, path = "/v1/leases/{id}/dispute", tag = "leases",
    params(("id" = String, Path, description = "the lease's id")),
    responses((status = 200, body = DisputeInfo), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn dispute(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
) -> Answer<DisputeInfo> {
    let lease: LeaseId = parse("lease id", &id)?;
    let row = read(&*shared.backend, |state| {
        visible(state, reader.who, &lease).map(|_| state.get::<Disputes>(&lease).cloned())
    });
    match row {
        Some(Some(row)) => Ok(Json(DisputeInfo { lease, row })),
        Some(None) => {
            Err(Problem::new(Fault::NotFound, format!("nobody has opened a dispute over lease {lease}")))
        }
        None => Err(reader.who.refuse("lease", &lease)),
    }
}

/// The contracts.
#[utoipa::path(get, path = "/v1/contracts", tag = "leases", params(ContractFilter),
    responses((status = 200, body = Page<ContractInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn contracts(
    extract::State(shared): extract::State<Shared>,
    Parameters(filter): Parameters<ContractFilter>,
) -> Answer<Page<ContractInfo>> {
    let code = filter.code.unwrap_or(false);
    page::<Contracts, _>(&shared, &filter, |state, hash, row| Some(contract_info(state, hash, row, code)))
}

/// By how much a lease would be extended.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ByHowMuch {
    /// Slots that would follow on it.
    slots: Option<u32>,
}

/// What extending a lease would give and take now; refused with the reason why it could not be extended.
#[utoipa::path(get, path = "/v1/leases/{id}/extension", tag = "leases",
    params(("id" = String, Path, description = "the lease's id"), ByHowMuch),
    responses((status = 200, body = ExtensionInfo), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn extension(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments(id): Segments<String>,
    Parameters(wanted): Parameters<ByHowMuch>,
) -> Answer<ExtensionInfo> {
    let id: LeaseId = parse("lease id", &id)?;
    if read(&*shared.backend, |state| visible(state, reader.who, &id).is_none()) {
        return Err(reader.who.refuse("lease", &id));
    }
    let slots = wanted.slots.ok_or_else(|| {
        Problem::new(Fault::RequestMalformed, "`slots` is missing: by how many the lease is to be extended")
    })?;
    let Extended { end, price, locked, added } = shared.backend.preview_extension(&id, slots)?;
    Ok(Json(ExtensionInfo { lease: id, slots, end, price, locked, added }))
}

/// What of a contract is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct WithCode {
    /// Whether the code comes with it.
    code: Option<bool>,
}

/// One contract.
#[utoipa::path(get, path = "/v1/contracts/{hash}", tag = "leases",
    params(("hash" = String, Path, description = "the hash of its code"), WithCode),
    responses((status = 200, body = ContractInfo), (status = 404, body = ErrorBody)))]
pub(super) async fn contract(
    extract::State(shared): extract::State<Shared>,
    Segments(hash): Segments<String>,
    Parameters(wanted): Parameters<WithCode>,
) -> Answer<ContractInfo> {
    let hash: CodeHash = parse("code hash", &hash)?;
    let code = wanted.code.unwrap_or(false);
    let info = read(&*shared.backend, |state| {
        state.get::<Contracts>(&hash).map(|row| contract_info(state, &hash, row, code))
    });
    info.map(Json).ok_or_else(|| Problem::unknown("contract", &hash))
}

fn contract_info(state: &State, hash: &CodeHash, row: &Contract, with_code: bool) -> ContractInfo {
    let code = state.get::<ContractCodes>(hash).map(|row| &row.code);
    let aliases = state.rows::<ContractAliases>().filter(|(_, alias)| alias.code == Some(*hash));
    ContractInfo {
        hash: *hash,
        name: row.name.clone(),
        aliases: aliases.map(|(name, _)| name.clone()).collect(),
        state: row.state,
        quarantined_from: row.quarantined_from,
        reason: row.reason.clone(),
        deployer: row.deployer.as_ref().map(|deployer| deployer.principal),
        summary: row.summary.clone(),
        uploaded_at: row.uploaded_at,
        approve_until: row.approve_until,
        approvals: row.approvals.clone(),
        active_from: row.active_from,
        expires_at: row.expires_at,
        deposit: row.deposit,
        leases: row.leases,
        offers: row.offers,
        settlements: row.settlements,
        failures: row.failures,
        history: row.history.clone(),
        bytes: code.map_or(0, |code| code.len() as u64),
        code: code.filter(|_| with_code).cloned(),
    }
}
