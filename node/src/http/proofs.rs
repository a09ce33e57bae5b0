//! Rows of the state with their proofs.

use super::Shared;
use super::answer::{Answer, Problem, Segments};
use super::backend::read;
use super::governance::list_handovers;
use super::reader::Reader;
use super::visibility;
use axum::Json;
use axum::extract;
use hansa_ledger::root::key_hash;
use hansa_ledger::tables::{Chains, Tables};
use hansa_node_api::error::{ErrorBody, Fault};
use hansa_node_api::proof::ProofInfo;

/// The longest key of a row, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// A row, or its absence, with what proves it: the path to the state root, the header that holds the root, and the
/// certificate of that block.
#[utoipa::path(get, path = "/v1/proofs/{table}/{key}", tag = "chain",
    params(("table" = String, Path, description = "name or number of the table"),
        ("key" = String, Path, description = "the key: borsh in hexadecimal, or `-` for the one row of `chain` and `params`")),
    responses((status = 200, body = ProofInfo), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn proof(
    extract::State(shared): extract::State<Shared>,
    reader: Reader,
    Segments((table, key)): Segments<(String, String)>,
) -> Answer<ProofInfo> {
    let named = Tables::NAMES.iter().find(|(id, name)| *name == table || id.to_string() == table);
    let (table_id, name) = *named.ok_or_else(|| Problem::unknown("table", &table))?;
    let text = if key == "-" { "" } else { key.as_str() };
    let key = hex::decode(text)
        .ok()
        .filter(|key| key.len() <= KEY_BYTES_MAX)
        .ok_or_else(|| Problem::new(Fault::RequestMalformed, format!("`{key}` is no key in hexadecimal")))?;
    let proven = read(&*shared.backend, |state| {
        visibility::sees_row(reader.who, state, table_id, &key).then(|| {
            let height = state.get::<Chains>(&()).map_or(0, |chain| chain.height);
            let proof = state.trie().prove(&key_hash(table_id, &key));
            (height, state.root(), state.tables().row_bytes(table_id, &key), proof)
        })
    });
    let (height, root, row, proof) = proven.ok_or_else(|| visibility::forbidden("row"))?;
    let record = shared.backend.block(height).filter(|record| record.header.state_root == root);
    let Some(record) = record else {
        let message = "the chain has no final block yet that a proof could lead to";
        return Err(Problem::new(Fault::NotReady, message));
    };
    Ok(Json(ProofInfo {
        table: name.to_owned(),
        table_id,
        key,
        row,
        proof,
        header: record.header.clone(),
        certificate: record.certificate.clone(),
        handovers: list_handovers(&shared),
    }))
}
