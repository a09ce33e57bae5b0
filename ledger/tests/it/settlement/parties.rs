//! Parties that an offer names, and the sponsor.

use super::stage::{Setup, Stage, market, offer};
use crate::scripted::{Answer, Script};
use crate::world::{World, member};
use hansa_contracts_abi::{Facts, Role};
use hansa_ledger::action::{ObjectLease, PostOffer, RevokeOrganisation};
use hansa_ledger::event::Event;
use hansa_ledger::id::OrganisationId;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;

/// Two investors, from France and from the requester's own home, with a quarter and a tenth of what is due.
fn invested(cash_bps: u16, holdback_bps: u16) -> Setup {
    let script = Script { named: vec![2_500, 1_000], ..Script::default() };
    let params = Params { holdback_bps, ..Setup::default().params };
    let parties = &[("FR", "fund"), ("EE", "bank")];
    Setup { params, script: Some(script), cash_bps, parties, ..Setup::default() }
}

#[test]
fn named_parties_are_paid_on_their_cash_in_their_homes_books() {
    let mut stage = Stage::reported(&invested(10_000, 0), 10);
    stage.countersign(10).unwrap();
    // Of 5,000: 1,250 and 500; one hundredth of all of it is the fee, and the rest is the provider's.
    assert_eq!([stage.cash("FR", "fund"), stage.cash("EE", "bank")], [1_250, 500]);
    assert_eq!(stage.provider(), 1_000_000 + 3_200);
    assert_eq!(stage.requester(), 1_000_000 - 5_000);
    let positions = ["EE", "ES", "FR", "EU"].map(|code| stage.world.position(code));
    assert_eq!(positions, [-(5_000 - 500), 3_200, 1_250, 50]);
    stage.check_closed();
}

#[test]
fn a_lease_at_home_holds_the_cap_for_a_party_abroad() {
    let home = Setup { provider_home: "EE", ..invested(10_000, 0) };
    let stage = Stage::awarded(&home);
    assert_eq!(stage.cap_held("EE"), 20_000);
    let all_home = Setup { parties: &[("EE", "bank")], ..home };
    let stage = Stage::awarded(&all_home);
    assert_eq!(stage.cap_held("EE"), 200, "the fee alone");
}

#[test]
fn the_contract_knows_the_sponsor_its_part_and_how_many_are_named() {
    for (cash_bps, sponsored) in [(10_000, false), (2_500, true)] {
        let mut stage = Stage::reported(&invested(cash_bps, 0), 10);
        stage.countersign(10).unwrap();
        let facts: Facts = borsh::from_slice(&stage.settlement().facts).unwrap();
        assert_eq!(facts.terms.sponsor_bps, 10_000 - cash_bps);
        let sponsor = facts.terms.parties.get(3) == Some(&Role::Sponsor);
        assert_eq!((sponsor, facts.terms.parties.len()), (sponsored, if sponsored { 6 } else { 5 }));
        assert_eq!(facts.terms.check(), Ok(()));
        assert_eq!([stage.cash("FR", "fund"), stage.cash("EE", "bank")], [1_250, 500]);
        stage.check_closed();
    }
}

#[test]
fn a_grants_part_of_a_named_partys_pay_is_held_back_and_divided_like_the_providers() {
    for (objected, fund, bank) in [(false, 1_250, 500), (true, 1_157, 463)] {
        let mut stage = Stage::reported(&invested(0, 1_500), 10);
        stage.countersign(10).unwrap();
        // 15 % of 1,250, of 500 and of 3,200, each rounded down.
        assert_eq!([stage.cash("FR", "fund"), stage.cash("EE", "bank")], [1_063, 425]);
        assert_eq!(stage.provider(), 1_000_000 + 3_200 - 480);
        assert_eq!(stage.row().held().0, 187 + 75 + 480);
        assert_eq!(stage.cap_held("EE"), 187 + 480, "the Estonian bank's part stays at home");
        if objected {
            stage.after(1, "EE treasury", ObjectLease { lease: stage.lease }).unwrap();
        }
        stage.world.pass_until(|event| matches!(event, Event::HoldbackReleased { .. }).then_some(()));
        let halved = |held: u64| if objected { held / 2 } else { held };
        assert_eq!(
            [stage.cash("FR", "fund"), stage.cash("EE", "bank")],
            [1_063 + halved(187), 425 + halved(75)]
        );
        assert_eq!(
            [stage.cash("FR", "fund"), stage.cash("EE", "bank")][..1],
            [fund - u64::from(objected)][..]
        );
        assert_eq!(stage.cash("EE", "bank"), bank - u64::from(objected));
        assert_eq!(stage.provider(), 1_000_000 + 3_200 - 480 + halved(480));
        stage.check_closed();
    }
}

#[test]
fn a_grant_never_becomes_its_holders_cash() {
    // The requester is itself named by the offer, for nearly everything.
    let script = Script { named: vec![9_000], ..Script::default() };
    let parties = &[("EE", "one")];
    for (cash_bps, own) in [(10_000, 4_500), (5_000, 0), (0, 0)] {
        let setup = Setup { script: Some(script.clone()), parties, cash_bps, ..Setup::default() };
        let mut stage = named_requester(&setup);
        stage.end(12_000, 10).unwrap();
        stage.countersign(10).unwrap();
        assert_eq!(stage.provider(), 1_000_000 + 450);
        let paid = 500 + own;
        // Each payment is spread by itself, and what does not divide is the first source's.
        let grants = 10_000 - u64::from(cash_bps);
        let cash: u64 = [450, 50, own].iter().map(|amount| amount - amount * grants / 10_000).sum();
        assert_eq!(stage.requester(), 1_000_000 - cash + own, "{cash_bps}");
        assert_eq!(stage.grant(), 1_000_000 - (paid - cash), "{cash_bps}");
        stage.check_closed();
    }
}

/// [`Stage::active`], where the one who is named has been accredited before.
fn named_requester(setup: &Setup) -> Stage {
    let plain = Setup {
        parties: &[],
        params: setup.params.clone(),
        script: setup.script.clone(),
        ..Setup::default()
    };
    let (mut world, grant) = market(&plain);
    let offer = offer(&world, setup);
    world.run("bsc", vec![offer.into()]).unwrap();
    let demand = super::stage::wanted(&world, grant, setup.cash_bps);
    let request = crate::scene::place(&mut world, "one", demand);
    let lease = hansa_ledger::id::LeaseId::derive(&request);
    world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
    let mut stage = Stage { world, lease, grant, home: "ES" };
    let start = stage.row().agreement.start.0 - stage.world.now.0;
    stage.after(start, "bsc", hansa_ledger::action::StartLease { lease }).unwrap();
    stage
}

#[test]
fn an_offer_names_up_to_twelve_accredited_others_each_once() {
    let setup = invested(10_000, 0);
    let (mut world, _) = market(&setup);
    let fund = world.organisation("FR", "fund");
    let many: Vec<OrganisationId> = (0..12)
        .map(|index| {
            world.accredit("PT", &format!("many-{index}"), hansa_ledger::row::OrganisationClass::Large)
        })
        .collect();
    let bsc = world.organisation("ES", "bsc");
    let post = |world: &mut World, parties: Vec<OrganisationId>| {
        let action = PostOffer { parties, ..offer(world, &setup) };
        world.act("bsc", action).map(|_| ())
    };
    for (what, parties, expected) in [
        ("thirteen", [&many[..], &[fund]].concat(), Err(Rejection::PartiesInvalid)),
        ("one twice", vec![fund, fund], Err(Rejection::PartiesInvalid)),
        ("the provider", vec![bsc], Err(Rejection::PartiesInvalid)),
        ("nobody", vec![OrganisationId([9; 32])], Err(Rejection::OrganisationUnknown)),
        ("twelve", many.clone(), Ok(())),
    ] {
        assert_eq!(post(&mut world.fork(), parties), expected, "{what}");
    }
    world.act("FR registrar", RevokeOrganisation { organisation: fund }).unwrap();
    assert_eq!(post(&mut world, vec![fund]), Err(Rejection::OrganisationRevoked));
    assert_eq!(member("FR").as_str(), "FR");
}

#[test]
fn a_contract_cannot_pay_a_party_that_nobody_named() {
    let closing = Answer::Exactly(hansa_contracts_abi::Split {
        pay: vec![(hansa_contracts_abi::Party(5), 1)],
        slash: 0,
        consume: 0,
        notes: vec![],
        state: vec![],
    });
    let script = Script { closing, ..Script::default() };
    let setup = Setup { script: Some(script), ..invested(10_000, 0) };
    let mut stage = Stage::reported(&setup, 10);
    stage.countersign(10).unwrap();
    assert!(stage.settlement().failure.is_some());
    assert_eq!([stage.cash("FR", "fund"), stage.cash("EE", "bank"), stage.provider()], [0, 0, 1_004_950]);
    stage.check_closed();
}
