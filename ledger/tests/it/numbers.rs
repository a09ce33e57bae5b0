//! The fixed numbers: whatever stands on the wire or in the state as a number keeps it, and no number is given twice.
//!
//! `UPDATE_GOLDEN=1` writes `tests/golden/numbers.txt` anew. A new line is a new number; a line that changed or vanished is a
//! changed protocol.

use crate::wire::samples;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::action::Action;
use hansa_ledger::id::{CodeHash, GrantId, LeaseId, OrganisationId, RequestId};
use hansa_ledger::market::{Bucket, Lane, LaneHint, Reason};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    AccountId, Closing, ContractState, ContractVoteKind, DeadlineKind, Disputant, JobFailure, JobState,
    LeaseState, OfferState, Office, OrganisationClass, Pool, ProposalState, Purpose, RequestState, Roles,
    Standing,
};
use hansa_ledger::state::Tables;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/numbers.txt");

/// A kind of numbers, one of them, and its name.
type Line = (&'static str, u16, String);

/// Every case of an enumeration without fields, by the byte it is encoded as.
fn cases<T: BorshDeserialize + Serialize>(kind: &'static str) -> Vec<Line> {
    let decoded = (0..=u8::MAX).filter_map(|tag| Some((tag, borsh::from_slice::<T>(&[tag]).ok()?)));
    decoded.map(|(tag, value)| (kind, tag.into(), json_name(&value))).collect()
}

/// The name of a case in JSON: the text itself, or the only field.
fn json_name(value: &impl Serialize) -> String {
    match serde_json::to_value(value).unwrap() {
        serde_json::Value::String(name) => name,
        serde_json::Value::Object(fields) if fields.len() == 1 => fields.keys().next().unwrap().clone(),
        other => panic!("{other} has no name"),
    }
}

/// Cases with fields, by one sample of each: none is without a sample.
fn tagged<T: BorshSerialize + BorshDeserialize>(
    kind: &'static str,
    samples: &[T],
    name: impl Fn(&T) -> String,
) -> Vec<Line> {
    let lines: Vec<Line> =
        samples.iter().map(|sample| (kind, borsh::to_vec(sample).unwrap()[0].into(), name(sample))).collect();
    for tag in 0..=u8::MAX {
        let known = lines.iter().any(|(_, number, _)| *number == u16::from(tag));
        let refused = match borsh::from_slice::<T>(&[tag]) {
            Ok(_) => false,
            Err(error) => error.to_string().contains("Unexpected variant tag"),
        };
        assert_eq!(known, !refused, "{kind} {tag}: a case without a sample");
    }
    lines
}

fn accounts() -> Vec<AccountId> {
    let (member, name) = (crate::world::member("EE"), crate::world::name("line-1"));
    vec![
        AccountId::Cash(OrganisationId([1; 32])),
        AccountId::Grant(GrantId([1; 32])),
        AccountId::Line(member, name),
        AccountId::Escrow(RequestId([1; 32]), 0),
        AccountId::Fees,
        AccountId::Deposit(CodeHash([1; 32])),
        AccountId::Stake(LeaseId([1; 32])),
        AccountId::Bond(LeaseId([1; 32])),
    ]
}

fn lines() -> Vec<Line> {
    let field = |value: serde_json::Value, field: &str| value[field].as_str().unwrap().to_owned();
    let roles = [
        ("bid", Roles::BID),
        ("offer", Roles::OFFER),
        ("operate", Roles::OPERATE),
        ("treasury", Roles::TREASURY),
        ("admin", Roles::ADMIN),
        ("contract", Roles::CONTRACT),
    ];
    let mut lines: Vec<Line> = Vec::new();
    lines.extend(Rejection::ALL.iter().map(|one| ("rejection", one.code(), one.name().to_owned())));
    lines.extend(Action::KINDS.iter().map(|(tag, name)| ("action", u16::from(*tag), (*name).to_owned())));
    lines.extend(Tables::NAMES.iter().map(|(id, name)| ("table", u16::from(*id), (*name).to_owned())));
    lines.extend(roles.map(|(name, role)| ("role", role.0.into(), name.to_owned())));
    let events = samples::events();
    lines.extend(tagged("event", &events, |event| field(serde_json::to_value(event).unwrap(), "event")));
    lines.extend(tagged("change", &samples::changes(), |change| change.kind().to_owned()));
    lines.extend(tagged("account", &accounts(), json_name));
    lines.extend(cases::<DeadlineKind>("deadline"));
    lines.extend(cases::<Reason>("reason"));
    lines.extend(cases::<Closing>("closing"));
    lines.extend(cases::<LeaseState>("lease_state"));
    lines.extend(cases::<RequestState>("request_state"));
    lines.extend(cases::<OfferState>("offer_state"));
    lines.extend(cases::<JobState>("job_state"));
    lines.extend(cases::<JobFailure>("job_failure"));
    lines.extend(cases::<ProposalState>("proposal_state"));
    lines.extend(cases::<ContractState>("contract_state"));
    lines.extend(cases::<ContractVoteKind>("contract_vote"));
    lines.extend(cases::<Disputant>("disputant"));
    lines.extend(cases::<Office>("office"));
    lines.extend(cases::<OrganisationClass>("organisation_class"));
    lines.extend(cases::<Standing>("standing"));
    lines.extend(cases::<Pool>("pool"));
    lines.extend(cases::<Purpose>("purpose"));
    lines.extend(cases::<Lane>("lane"));
    lines.extend(cases::<LaneHint>("lane_hint"));
    lines.extend(cases::<Bucket>("bucket"));
    // By number within a kind, so that the order of declarations is free.
    let kinds: Vec<&str> = lines.iter().map(|(kind, ..)| *kind).collect();
    let place = |kind: &str| kinds.iter().position(|other| *other == kind);
    lines.sort_by_key(|(kind, number, _)| (place(kind), *number));
    lines
}

#[test]
fn every_number_keeps_its_meaning() {
    let found: Vec<String> =
        lines().iter().map(|(kind, number, name)| format!("{kind} {number} {name}")).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, found.join("\n") + "\n").unwrap();
    }
    let path = Path::new(PATH);
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{PATH}: {error}"));
    let fixed: Vec<&str> = text.lines().collect();
    let gone: Vec<&&str> = fixed.iter().filter(|line| !found.iter().any(|one| one == **line)).collect();
    assert!(gone.is_empty(), "these numbers changed or vanished, which changes the protocol: {gone:#?}");
    let new: Vec<&String> = found.iter().filter(|line| !fixed.contains(&line.as_str())).collect();
    assert!(new.is_empty(), "these numbers are new: write them down with UPDATE_GOLDEN=1: {new:#?}");
    assert_eq!(fixed, found, "each stands once, by kind and number");
}

#[test]
fn no_number_and_no_name_stands_for_two_things() {
    let lines = lines();
    let numbers: BTreeSet<(&str, u16)> = lines.iter().map(|(kind, number, _)| (*kind, *number)).collect();
    let names: BTreeSet<(&str, &str)> = lines.iter().map(|(kind, _, name)| (*kind, name.as_str())).collect();
    assert_eq!((numbers.len(), names.len()), (lines.len(), lines.len()));
    for kind in lines.iter().map(|(kind, ..)| *kind).collect::<BTreeSet<_>>() {
        assert!(lines.iter().filter(|(other, ..)| *other == kind).count() > 1, "{kind} has no cases");
    }
}
