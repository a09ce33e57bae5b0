//! Proposals, and who signs blocks.

use super::Shared;
use super::answer::{Answer, Parameters, Problem, Segments, page, parse};
use super::backend::read;
use axum::Json;
use axum::extract;
use hansa_ledger::apply::chain;
use hansa_ledger::block::validators;
use hansa_ledger::id::ProposalId;
use hansa_ledger::row::Proposal;
use hansa_ledger::state::State;
use hansa_ledger::tables::{Proposals, ValidatorSets};
use hansa_node_api::certificate::Handover;
use hansa_node_api::error::ErrorBody;
use hansa_node_api::filter::{Page, ProposalFilter};
use hansa_node_api::governance::ProposalInfo;
use hansa_node_api::light::SignedHeader;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The handovers that are shown by a block already: final blocks do not change.
pub(super) type Shown = Arc<Mutex<BTreeMap<u64, Handover>>>;

/// What members have proposed, and the votes on it.
#[utoipa::path(get, path = "/v1/proposals", tag = "governance", params(ProposalFilter),
    responses((status = 200, body = Page<ProposalInfo>), (status = 400, body = ErrorBody)))]
pub(super) async fn proposals(
    extract::State(shared): extract::State<Shared>,
    Parameters(filter): Parameters<ProposalFilter>,
) -> Answer<Page<ProposalInfo>> {
    page::<Proposals, _>(&shared, &filter, |state, id, row| {
        filter.state.is_none_or(|wanted| wanted == row.state).then(|| info(state, id, row))
    })
}

/// One proposal.
#[utoipa::path(get, path = "/v1/proposals/{id}", tag = "governance",
    params(("id" = String, Path, description = "the proposal's id")),
    responses((status = 200, body = ProposalInfo), (status = 404, body = ErrorBody)))]
pub(super) async fn proposal(
    extract::State(shared): extract::State<Shared>,
    Segments(id): Segments<String>,
) -> Answer<ProposalInfo> {
    let id: ProposalId = parse("proposal id", &id)?;
    let found = read(&*shared.backend, |state| state.get::<Proposals>(&id).map(|row| info(state, &id, row)));
    found.map(Json).ok_or_else(|| Problem::unknown("proposal", &id))
}

fn info(state: &State, id: &ProposalId, row: &Proposal) -> ProposalInfo {
    // Who votes is the latest set, though it may not sign yet.
    let members = validators(state, u64::MAX).len();
    ProposalInfo { id: *id, members: u32::try_from(members).unwrap_or(u32::MAX), row: row.clone() }
}

/// The sets of members that signed blocks and will sign them after those of the genesis, each with a block that shows it.
#[utoipa::path(get, path = "/v1/validators", tag = "governance",
    responses((status = 200, body = Vec<Handover>)))]
pub(super) async fn handovers(extract::State(shared): extract::State<Shared>) -> Answer<Vec<Handover>> {
    Ok(Json(list_handovers(&shared)))
}

/// Every set after the genesis's, by height.
pub(super) fn list_handovers(shared: &Shared) -> Vec<Handover> {
    let (tip, mut sets) = read(&*shared.backend, |state| {
        let sets: Vec<Handover> = state
            .rows::<ValidatorSets>()
            .skip(1)
            .map(|(from, set)| Handover {
                from: *from,
                validators: set.members.clone(),
                header: None,
                certificate: None,
            })
            .collect();
        (chain(state).height, sets)
    });
    let ends: Vec<u64> =
        sets.iter().skip(1).map(|next| next.from.saturating_sub(1)).chain(std::iter::once(tip)).collect();
    for (handover, last) in sets.iter_mut().zip(ends) {
        show(shared, handover, last.min(tip));
    }
    sets
}

/// Adds a block that the set signed: its first, or where that is forgotten, its last.
fn show(shared: &Shared, handover: &mut Handover, last: u64) {
    let mut shown = shared.shown.lock().expect("no thread panics while it holds the handovers");
    if let Some(known) = shown.get(&handover.from) {
        handover.clone_from(known);
        return;
    }
    let kept = |height: u64| -> Option<SignedHeader> {
        if height < handover.from { None } else { shared.backend.header(height) }
    };
    // A set whose height has not come has signed nothing.
    let first = if handover.from <= last { kept(handover.from) } else { None };
    if let Some(record) = first.or_else(|| kept(last)) {
        handover.header = Some(record.header);
        handover.certificate = Some(record.certificate);
        shown.insert(handover.from, handover.clone());
    }
}
