//! Bodies of the interface: what nodes and their users send each other as JSON.

use super::Verdict;
use crate::corpus::golden;
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::{
    ErrorBody, EventInfo, book, bundle, certificate, chain, event, filter, governance, job, lease, market,
    office, organisation, proof, status, why,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is read is written, and reads again as what is written the same.
fn body<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Verdict {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return Verdict::Refused };
    let written = serde_json::to_string(&value).unwrap();
    let again: T = serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(serde_json::to_string(&again).unwrap(), written);
    Verdict::Accepted
}

/// The kinds of bodies, by the first byte of an input.
const KINDS: &[fn(&[u8]) -> Verdict] = &[
    body::<SignedTransaction>,
    body::<hansa_ledger::action::Action>,
    body::<market::QuoteRequest>,
    body::<market::QuoteAnswer>,
    body::<ErrorBody>,
    body::<EventInfo>,
    body::<event::BlockMark>,
    body::<filter::EventFilter>,
    body::<proof::ProofInfo>,
    body::<certificate::Handover>,
    body::<chain::BlockInfo>,
    body::<chain::BlockContent>,
    body::<chain::TransactionInfo>,
    body::<bundle::BundleVerdict>,
    body::<governance::ProposalInfo>,
    body::<lease::LeaseInfo>,
    body::<lease::SettlementInfo>,
    body::<lease::DisputeInfo>,
    body::<lease::ContractInfo>,
    body::<market::OfferInfo>,
    body::<market::RequestInfo>,
    body::<market::CapacityInfo>,
    body::<market::SiteInfo>,
    body::<market::AdvertInfo>,
    body::<office::OfficeInfo>,
    body::<organisation::MemberInfo>,
    body::<organisation::OrganisationDetail>,
    body::<status::NodeStatus>,
    body::<status::Health>,
    body::<why::RequestWhy>,
    body::<book::MarketBook>,
    body::<book::FiguresInfo>,
    body::<job::Manifest>,
    body::<filter::Page<market::OfferInfo>>,
];

pub fn bodies(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = bytes.split_first() else { return Verdict::Refused };
    KINDS.get(usize::from(*kind)).map_or(Verdict::Refused, |read| read(bytes))
}

pub fn body_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut put = |kind: u8, text: String| seeds.push([&[kind], text.as_bytes()].concat());
    for bytes in golden("transaction_") {
        let transaction: SignedTransaction = borsh::from_slice(&bytes).unwrap();
        put(1, serde_json::to_string(&transaction.transaction.actions[0]).unwrap());
        put(0, serde_json::to_string(&transaction).unwrap());
    }
    let hash = "07".repeat(32);
    let demand = crate::samples::actions().into_iter().find_map(|action| match action {
        hansa_ledger::action::Action::PlaceRequest(place) => Some(place.demand),
        _ => None,
    });
    let demand = serde_json::to_string(&demand.unwrap()).unwrap();
    put(2, format!(r#"{{"organisation":"{hash}","demand":{demand}}}"#));
    put(4, r#"{"error":{"code":"request_malformed","message":"no","hint":null}}"#.to_owned());
    put(6, format!(r#"{{"height":5,"time":"2027-01-15T08:00:00Z","block":"{hash}"}}"#));
    put(7, r#"{"since":5}"#.to_owned());
    put(13, format!(r#"{{"id":"{hash}","code":7}}"#));
    put(
        32,
        serde_json::to_string(&job::Manifest {
            argv: vec!["a".to_owned()],
            files: Vec::new(),
            outputs: Vec::new(),
            limits: job::JobLimits::default(),
        })
        .unwrap(),
    );
    put(33, r#"{"items":[],"next":"0102"}"#.to_owned());
    seeds
}
