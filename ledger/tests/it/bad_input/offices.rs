//! Offices: their keys, and orders that await approval.

use super::Row;
use crate::scene::Scene;
use crate::world::{key, member};
use hansa_ledger::action::{
    Action, ApproveOrder, CancelOrder, RemoveOfficeKey, SetOfficeKey, SetOfficeThreshold,
};
use hansa_ledger::id::{ChainId, OrderId};
use hansa_ledger::possession::Possession;
use hansa_ledger::rejection::Rejection::*;
use hansa_ledger::row::{Office, Principal};
use hansa_ledger_signature::{PublicKey, Signature};

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("ApproveOrder", approve()),
        ("CancelOrder", cancel()),
        ("SetOfficeKey", set()),
        ("RemoveOfficeKey", remove()),
        ("SetOfficeThreshold", threshold()),
    ]
}

fn approval(order: OrderId) -> Action {
    ApproveOrder { order }.into()
}

fn approve() -> Vec<Row> {
    vec![
        ("no such order", "DE treasury 2", |_| approval(OrderId([9; 32])), OrderUnknown),
        ("by the key that proposed it", "DE treasury", |s| approval(s.order), OrderApproved),
        ("by another key that proposed it", "DE treasury 3", |s| approval(s.second), OrderApproved),
        ("by another office of the member", "DE registrar", |s| approval(s.order), OrderUnknown),
        ("by another member's treasury", "EE treasury", |s| approval(s.order), OrderUnknown),
        ("by an organisation", "tallinn", |s| approval(s.order), RoleMissing),
        ("what the ledger refuses now", "DE treasury 2", |s| approval(s.order), OrganisationRevoked),
    ]
}

fn cancellation(order: OrderId) -> Action {
    CancelOrder { order }.into()
}

fn cancel() -> Vec<Row> {
    vec![
        ("no such order", "DE treasury", |_| cancellation(OrderId([9; 32])), OrderUnknown),
        ("by another key of the office", "DE treasury 2", |s| cancellation(s.order), NotProposer),
        ("by another office of the member", "DE governance", |s| cancellation(s.order), OrderUnknown),
        ("by another member's treasury", "EE treasury", |s| cancellation(s.order), OrderUnknown),
        ("by an organisation", "tallinn", |s| cancellation(s.order), RoleMissing),
    ]
}

/// A new key of Estonia's treasury, with the proof that `prove` makes.
fn new_key(scene: &Scene, prove: fn(&Scene) -> Possession) -> Action {
    SetOfficeKey { office: Office::Treasury, key: key("new").public_key(), proof: prove(scene) }.into()
}

fn treasury_of(code: &str) -> Principal {
    Principal::Office(member(code), Office::Treasury)
}

/// A key that is there already, and the word of nobody it could be.
fn taken(scene: &Scene, of: &str) -> Action {
    let proof = scene.world.proof(of, treasury_of("EE"));
    SetOfficeKey { office: Office::Treasury, key: key(of).public_key(), proof }.into()
}

fn set() -> Vec<Row> {
    vec![
        (
            "by the treasury itself",
            "EE treasury",
            |s| new_key(s, |s| s.world.proof("new", treasury_of("EE"))),
            NotGovernance,
        ),
        (
            "by an organisation",
            "tallinn",
            |s| new_key(s, |s| s.world.proof("new", treasury_of("EE"))),
            NotGovernance,
        ),
        ("a key of the office", "EE governance", |s| taken(s, "EE treasury"), KeyInUse),
        ("a key of another office", "EE governance", |s| taken(s, "EE registrar"), KeyInUse),
        ("a key of an organisation", "EE governance", |s| taken(s, "tallinn"), KeyInUse),
        ("a key that signs votes", "EE governance", |s| taken(s, "FR consensus"), KeyInUse),
        (
            "a key of small order, whose signature anybody can make",
            "EE governance",
            |_| {
                let mut forged = [0; 64];
                forged[0] = 1;
                let proof = Possession { principal: treasury_of("EE"), signature: Signature(forged) };
                SetOfficeKey { office: Office::Treasury, key: PublicKey([0; 32]), proof }.into()
            },
            KeyWeak,
        ),
        (
            "one key too many",
            "FR governance",
            |s| new_key(s, |s| s.world.proof("new", treasury_of("FR"))),
            TooManyOfficeKeys,
        ),
        (
            "a key whose holder agreed to another member's treasury",
            "EE governance",
            |s| new_key(s, |s| s.world.proof("new", treasury_of("FR"))),
            PossessionElsewhere,
        ),
        (
            "a key whose holder agreed to another office",
            "EE governance",
            |s| new_key(s, |s| s.world.proof("new", Principal::Office(member("EE"), Office::Registrar))),
            PossessionElsewhere,
        ),
        (
            "a key whose holder agreed to an organisation",
            "EE governance",
            |s| new_key(s, |s| s.world.proof("new", Principal::Organisation(s.tallinn))),
            PossessionElsewhere,
        ),
        (
            "a proof by the governance key",
            "EE governance",
            |s| new_key(s, |s| s.world.proof("EE governance", treasury_of("EE"))),
            PossessionInvalid,
        ),
        (
            "a proof for another federation",
            "EE governance",
            |s| new_key(s, |_| Possession::prove(ChainId([1; 32]), &key("new"), treasury_of("EE"))),
            PossessionInvalid,
        ),
    ]
}

fn removal(office: Office, of: &str) -> Action {
    RemoveOfficeKey { office, key: key(of).public_key() }.into()
}

fn remove() -> Vec<Row> {
    vec![
        (
            "by the treasury itself",
            "DE treasury",
            |_| removal(Office::Treasury, "DE treasury 2"),
            NotGovernance,
        ),
        (
            "by another member's governance",
            "EE governance",
            |_| removal(Office::Treasury, "DE treasury 2"),
            OfficeKeyUnknown,
        ),
        ("nobody's key", "DE governance", |_| removal(Office::Treasury, "new"), OfficeKeyUnknown),
        (
            "a key of another office",
            "DE governance",
            |_| removal(Office::Treasury, "DE registrar"),
            OfficeKeyUnknown,
        ),
        (
            "a key taken back",
            "FR governance",
            |_| removal(Office::Treasury, "FR treasury removed"),
            OfficeKeyUnknown,
        ),
        ("the last key", "EE governance", |_| removal(Office::Treasury, "EE treasury"), OfficeKeyNeeded),
        (
            "its own last key",
            "EE governance",
            |_| removal(Office::Governance, "EE governance"),
            OfficeKeyNeeded,
        ),
    ]
}

fn takes(threshold: u32) -> Action {
    SetOfficeThreshold { office: Office::Treasury, threshold }.into()
}

fn threshold() -> Vec<Row> {
    vec![
        ("none", "DE governance", |_| takes(0), ThresholdInvalid),
        ("more than there are keys", "DE governance", |_| takes(4), ThresholdInvalid),
        ("more than there could be", "DE governance", |_| takes(u32::MAX), ThresholdInvalid),
        ("by the treasury itself", "EE treasury", |_| takes(1), NotGovernance),
        ("by an organisation", "tallinn", |_| takes(1), NotGovernance),
    ]
}
