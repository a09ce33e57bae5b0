//! Offices of the members, and their orders that await approval.

use super::Shared;
use super::answer::{Answer, Parameters, Problem, Segments, page, parse};
use super::backend::read;
use super::organisations::key_info;
use super::reader::Reader;
use super::visibility::forbidden;
use axum::Json;
use axum::extract;
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{Key, Office, OfficeKeys, Principal};
use hansa_ledger::tables::{Keys, OfficeOrders, Offices};
use hansa_ledger_signature::PublicKey;
use hansa_node_api::error::ErrorBody;
use hansa_node_api::filter::{OrderFilter, Page};
use hansa_node_api::office::{OfficeInfo, OrderInfo};

/// The offices of a member with their keys.
#[utoipa::path(get, path = "/v1/offices/{member}", tag = "offices",
    params(("member" = String, Path, description = "the member's code")),
    responses((status = 200, body = [OfficeInfo]), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn offices(
    extract::State(shared): extract::State<Shared>,
    Segments(member): Segments<String>,
) -> Answer<Vec<OfficeInfo>> {
    let member: MemberCode = parse("member", &member)?;
    let found: Vec<(Office, OfficeKeys, Vec<(PublicKey, Key)>)> = read(&*shared.backend, |state| {
        let office = |office| {
            let row = state.get::<Offices>(&(member, office))?.clone();
            let keys =
                state.rows::<Keys>().filter(|(_, key)| key.principal == Principal::Office(member, office));
            Some((office, row, keys.map(|(key, row)| (*key, row.clone())).collect()))
        };
        Office::ALL.into_iter().filter_map(office).collect()
    });
    if found.is_empty() {
        return Err(Problem::unknown("member with offices", &member));
    }
    // The node is asked for waiting transactions once the state is free again: it may need the state for the answer.
    let info = |(office, row, keys): (Office, OfficeKeys, Vec<(PublicKey, Key)>)| OfficeInfo {
        member,
        office,
        threshold: row.threshold,
        keys: row.keys,
        orders: row.orders,
        key_list: keys.iter().map(|(key, row)| key_info(&shared, key, row)).collect(),
    };
    Ok(Json(found.into_iter().map(info).collect()))
}

/// The orders that await approval.
#[utoipa::path(get, path = "/v1/orders", tag = "offices", params(OrderFilter),
    responses((status = 200, body = Page<OrderInfo>), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn orders(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Parameters(filter): Parameters<OrderFilter>,
) -> Answer<Page<OrderInfo>> {
    // What an office is about to do, to whom and for how much, is for members.
    if !reader.who.sees_all() {
        return Err(forbidden("list of orders"));
    }
    page::<OfficeOrders, _>(&shared, &filter, |state, id, row| {
        let wanted = filter.member.is_none_or(|member| member == row.member)
            && filter.office.is_none_or(|office| office == row.office);
        let may_sign = |key: &PublicKey| state.get::<Keys>(key).is_some_and(|row| !row.revoked);
        wanted.then(|| OrderInfo {
            id: *id,
            counted: row.count_approvals(may_sign),
            threshold: state.get::<Offices>(&(row.member, row.office)).map_or(0, |row| row.threshold),
            row: row.clone(),
        })
    })
}
