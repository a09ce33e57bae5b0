//! Every state of a contract against everything that can be asked for it.

use super::*;

/// What is asked of a contract, and by whom.
const ASKED: [(&str, &str); 9] = [
    ("upload", "tallinn"),
    ("approve", "FR governance"),
    ("deprecate", "bsc"),
    ("vote to deprecate", "FR governance"),
    ("renew", "bsc"),
    ("quarantine", "FR governance"),
    ("resume", "FR governance"),
    ("alias", "FR governance"),
    ("offer", "bsc"),
];

fn action(world: &World, what: &str, code: CodeHash) -> Action {
    match what {
        "upload" => module("carbon").into(),
        "approve" => ApproveContract { code }.into(),
        "deprecate" | "vote to deprecate" => DeprecateContract { code }.into(),
        "renew" => RenewContract { code }.into(),
        "quarantine" => QuarantineContract { code, reason: "why".to_owned() }.into(),
        "resume" => ResumeContract { code }.into(),
        "alias" => SetAlias { name: name("eu.carbon"), code }.into(),
        _ => offering(world, code),
    }
}

/// A federation whose contract stands there.
fn in_state(state: &str) -> (World, CodeHash) {
    let mut world = world();
    let code = hash("carbon");
    if state == "none" {
        return (world, code);
    }
    upload(&mut world, "bsc", "carbon");
    if state == "validated" {
        return (world, code);
    }
    if state == "approved" {
        approve(&mut world, code, &["DE", "EE"]);
        return (world, code);
    }
    activate(&mut world, code);
    if state == "deprecated" || state == "quarantined and deprecated" {
        // A lease keeps it from being archived.
        offer(&mut world, code).unwrap();
        lease(&mut world);
        withdraw(&mut world);
    }
    match state {
        "active" => {}
        "deprecated" => drop(world.act("bsc", DeprecateContract { code }).unwrap()),
        "quarantined" => quarantine(&mut world, code, "under study"),
        "quarantined and deprecated" => {
            quarantine(&mut world, code, "under study");
            world.act("bsc", DeprecateContract { code }).unwrap();
        }
        _ => archive(&mut world, "bsc", code),
    }
    (world, code)
}

#[test]
fn every_step_out_of_order_is_refused() {
    use Rejection::{ContractExists as Exists, ContractInactive as Inactive, ContractStateWrong as Wrong};
    const OK: Option<Rejection> = None;
    let (exists, inactive, wrong) = (Some(Exists), Some(Inactive), Some(Wrong));
    let unknown = Some(Rejection::ContractUnknown);
    // In the order of what is asked.
    let table: [(&str, [Option<Rejection>; 9]); 8] = [
        ("none", [OK, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown]),
        ("validated", [exists, OK, OK, OK, wrong, wrong, wrong, inactive, inactive]),
        ("approved", [exists, wrong, OK, OK, wrong, wrong, wrong, inactive, inactive]),
        ("active", [exists, wrong, OK, OK, OK, OK, wrong, OK, OK]),
        ("deprecated", [exists, wrong, wrong, wrong, wrong, OK, wrong, inactive, inactive]),
        ("quarantined", [exists, wrong, OK, OK, OK, wrong, OK, inactive, inactive]),
        ("quarantined and deprecated", [exists, wrong, wrong, wrong, wrong, wrong, OK, inactive, inactive]),
        ("archived", [OK, wrong, wrong, wrong, wrong, wrong, wrong, inactive, inactive]),
    ];
    let mut wrong = Vec::new();
    for (state, expected) in table {
        let (world, code) = in_state(state);
        for ((what, signer), expected) in ASKED.into_iter().zip(expected) {
            let mut world = world.fork();
            let action = action(&world, what, code);
            let found = world.act(signer, action).err();
            if found != expected {
                wrong.push(format!("{state}: {what}: {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_quarantine_returns_to_where_it_came_from() {
    for (state, after) in
        [("quarantined", ContractState::Active), ("quarantined and deprecated", ContractState::Deprecated)]
    {
        let (mut world, code) = in_state(state);
        assert_eq!(row(&world, code).reason.as_deref(), Some("under study"));
        resume(&mut world, code);
        let row = row(&world, code);
        assert_eq!((row.state, row.quarantined_from, row.reason), (after, None, None));
    }
}

#[test]
fn what_comes_again_after_the_archive_keeps_its_record() {
    let (mut world, code) = in_state("archived");
    let before = states(&row(&world, code));
    upload(&mut world, "tallinn", "carbon");
    let again = row(&world, code);
    assert_eq!(again.deployer.as_ref().unwrap().home, crate::world::member("EE"));
    assert_eq!(states(&again)[..before.len()], before);
    activate(&mut world, code);
    assert!(offer(&mut world, code).is_ok());
}
