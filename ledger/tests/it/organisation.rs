//! Accreditation over time, and keys that sign nothing else.

use crate::world::{World, key, name};
use hansa_ledger::action::{AccreditOrganisation, RevokeOrganisation, SetKey};
use hansa_ledger::event::Event;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{OrganisationClass, Roles, Standing};
use hansa_ledger::tables::Organisations;

fn renewal(world: &World, signer: &str, hours: u64) -> AccreditOrganisation {
    AccreditOrganisation {
        register_number: "tallinn".to_owned(),
        owner: None,
        name: name("tallinn"),
        class: OrganisationClass::Sme,
        accredited_until: world.now.plus(hours * 3_600_000),
        key: key(signer).public_key(),
        proof: None,
    }
}

#[test]
fn an_accreditation_is_renewed_before_and_after_its_end_and_never_after_a_revocation() {
    let mut world = World::new();
    let id = world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let registrar = "EE registrar";
    for (what, signer, hours, expected) in [
        ("another key", "other", 48, Err(Rejection::OrganisationExists)),
        ("an earlier end", "tallinn", 12, Err(Rejection::OrganisationExists)),
        ("a later end", "tallinn", 48, Ok(())),
    ] {
        let action = renewal(&world, signer, hours);
        assert_eq!(world.run(registrar, vec![action.into()]).map(|_| ()), expected, "{what}");
    }
    assert_eq!(world.state.get::<Organisations>(&id).unwrap().class, OrganisationClass::Sme);
    // Its first end passes and closes nothing; the second closes it.
    let closed = world.pass_until(|event| match event {
        Event::OrganisationClosed { standing, .. } => Some(*standing),
        _ => None,
    });
    assert_eq!(closed, Standing::Expired);
    assert!(world.now.0 >= crate::world::START.0 + 48 * 3_600_000);
    let action = renewal(&world, "tallinn", 24);
    world.run(registrar, vec![action.into()]).unwrap();
    assert_eq!(world.state.get::<Organisations>(&id).unwrap().standing, Standing::Accredited);
    world.run(registrar, vec![RevokeOrganisation { organisation: id }.into()]).unwrap();
    let action = renewal(&world, "tallinn", 48);
    assert_eq!(world.run(registrar, vec![action.into()]), Err(Rejection::OrganisationExists));
}

#[test]
fn keys_of_votes_and_connections_are_never_keys_of_organisations() {
    let mut world = World::new();
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    for taken in ["FR consensus", "FR network", "FR treasury"] {
        let action =
            SetKey { key: key(taken).public_key(), roles: Roles::BID, amount_max: None, proof: None };
        assert_eq!(world.run("tallinn", vec![action.into()]), Err(Rejection::KeyInUse), "{taken}");
    }
}
