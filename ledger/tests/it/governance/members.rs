//! Members come, go and change their keys: who signs which height.

use super::{accreditation, enact, height, join, leave, parameter, pass, propose, public, row, tick, vote};
use crate::scene::{demand, place};
use crate::world::{World, member, newcomer, office};
use hansa_ledger::action::{Action, Propose, RotateKeys};
use hansa_ledger::apply::{BlockError, build_block};
use hansa_ledger::block::{Validator, members_hash, validators};
use hansa_ledger::event::Event;
use hansa_ledger::genesis::GenesisMember;
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    Change, Key, LeaseState, OrganisationClass, ProposalState, Purse, RequestState, Standing,
};
use hansa_ledger::tables::{Keys, Leases, Members, Organisations, Requests, ValidatorSets};

const FOUR: [&str; 4] = ["DE", "EE", "ES", "FR"];

fn set(codes: &[&str]) -> Vec<Validator> {
    codes
        .iter()
        .map(|code| Validator { member: member(code), key: public(&format!("{code} consensus")) })
        .collect()
}

/// The members hash in the header of the next block.
fn next_hash(world: &World) -> [u8; 32] {
    let heartbeat = world.params().heartbeat_ms;
    let (block, _) = build_block(
        &world.state,
        &world.runtime,
        world.chain,
        member("DE"),
        world.now.plus(heartbeat),
        &[],
        &mut || true,
    )
    .unwrap();
    block.header.members_hash
}

#[test]
fn a_change_of_the_members_acts_at_the_height_after_the_next() {
    for (change, after) in
        [(leave("FR"), &["DE", "EE", "ES"][..]), (join("PL"), &["DE", "EE", "ES", "FR", "PL"][..])]
    {
        let mut world = World::new();
        let first = height(&world) + 1;
        let proposal = pass(&mut world, change, &["DE", "EE", "ES"]);
        let due = row(&world, proposal).activates_at.unwrap();
        assert_eq!(next_hash(&world), members_hash(&set(&FOUR)));
        world.block(due.0 - world.now.0, &[]);
        let h = height(&world);
        // The state after h says who signs h + 1 and h + 2, and still who signed before.
        for (signed, expected) in
            [(first, &FOUR[..]), (h, &FOUR), (h + 1, &FOUR), (h + 2, after), (h + 9, after)]
        {
            assert_eq!(validators(&world.state, signed), set(expected), "height {signed} of {h}");
        }
        assert_eq!(next_hash(&world), members_hash(&set(&FOUR)), "the header of h + 1");
        tick(&mut world);
        assert_eq!(next_hash(&world), members_hash(&set(after)), "the header of h + 2");
        tick(&mut world);
        assert_eq!(next_hash(&world), members_hash(&set(after)));
    }
}

#[test]
fn a_member_proposes_blocks_for_as_long_as_it_signs_them() {
    let mut world = World::new();
    enact(&mut world, leave("FR"), &["DE", "EE", "ES"]);
    let by = |world: &World, code: &str| {
        let time = world.now.plus(world.params().heartbeat_ms);
        build_block(&world.state, &world.runtime, world.chain, member(code), time, &[], &mut || true)
            .map(|(block, _)| block.header.proposer)
    };
    assert_eq!(by(&world, "FR"), Ok(member("FR")), "it signs h + 1");
    tick(&mut world);
    assert_eq!(by(&world, "FR"), Err(BlockError::Proposer(member("FR"))));
    assert_eq!(by(&world, "ES"), Ok(member("ES")));
}

#[test]
fn a_third_of_the_members_is_never_replaced_at_once() {
    let mut world = World::new();
    enact(&mut world, leave("FR"), &["DE", "EE", "ES"]);
    tick(&mut world);
    // Of three, one would be a third.
    assert_eq!(propose(&mut world, "DE", leave("ES"), 2_000), Err(Rejection::MembersOverlap));
    // One of four is less, and with three members all three decide.
    enact(&mut world, join("PL"), &["DE", "EE", "ES"]);
    tick(&mut world);
    enact(&mut world, leave("ES"), &["DE", "EE", "PL"]);
    tick(&mut world);
    assert_eq!(validators(&world.state, height(&world) + 1), set(&["DE", "EE", "PL"]));
    // Keys change whatever the number of members: the members stay who they are.
    let keys = RotateKeys { consensus_key: public("fresh"), network_key: public("PL network") };
    assert!(world.act("PL governance", keys).is_ok());
}

#[test]
fn what_has_passed_is_refused_when_too_few_members_are_left_by_then() {
    let mut world = World::new();
    let first = pass(&mut world, leave("FR"), &["DE", "EE", "ES"]);
    let second = pass(&mut world, leave("ES"), &["DE", "EE", "FR"]);
    let due = row(&world, second).activates_at.unwrap();
    // Both are due in one block. The members change once in it; the second comes in the next, and would take a third.
    let receipts = world.block(due.0 - world.now.0, &[]);
    assert_eq!(row(&world, first).state, ProposalState::Activated);
    assert_eq!(row(&world, second).state, ProposalState::Passed);
    let left = |event: &&Event| matches!(event, Event::MemberLeft { .. });
    assert_eq!(receipts.deadlines.iter().filter(left).count(), 1);
    world.block(1, &[]);
    let found = row(&world, second);
    assert_eq!((found.state, found.failure), (ProposalState::Failed, Some(Rejection::MembersOverlap.code())));
    assert_eq!(validators(&world.state, height(&world) + 2), set(&["DE", "EE", "ES"]));
}

#[test]
fn the_members_change_once_in_a_block() {
    let mut world = World::new();
    let rotate = |code: &str| -> Action {
        RotateKeys {
            consensus_key: public(&format!("{code} fresh")),
            network_key: public(&format!("{code} network")),
        }
        .into()
    };
    let two = ["DE", "EE"].map(|code| world.sign(&format!("{code} governance"), vec![rotate(code)]));
    let receipts = world.block(1, &two);
    assert_eq!(
        receipts.transactions.iter().map(|receipt| receipt.code).collect::<Vec<_>>(),
        [0, Rejection::MembersChanging.code()]
    );
    // In the next block it may, before the first has begun to act.
    assert!(world.act("EE governance", rotate("EE")).is_ok());
    let h = height(&world);
    let fresh = |height, code: &str| {
        let key = public(&format!("{code} fresh"));
        validators(&world.state, height).iter().any(|one| one.key == key)
    };
    assert_eq!([h, h + 1, h + 2].map(|height| fresh(height, "DE")), [false, true, true]);
    assert_eq!([h, h + 1, h + 2].map(|height| fresh(height, "EE")), [false, false, true]);
    // A proposal is no change yet: it may stand beside one.
    let keys = world.sign("ES governance", vec![rotate("ES")]);
    let leaves = Propose { change: leave("FR"), activate_after_ms: 2_000 };
    let proposal = world.sign("DE governance", vec![leaves.into()]);
    let receipts = world.block(1, &[keys, proposal]);
    assert!(receipts.transactions.iter().all(|receipt| receipt.code == 0));
}

#[test]
fn a_member_changes_the_keys_of_its_node_without_a_vote() {
    let mut world = World::new();
    let keys = RotateKeys { consensus_key: public("fresh"), network_key: public("fresh network") };
    let events = world.act("FR governance", keys).unwrap();
    let h = height(&world);
    assert_eq!(events, [Event::MemberKeysChanged { member: member("FR"), from: h + 2 }]);
    let mut expected = set(&FOUR);
    assert_eq!(validators(&world.state, h + 1), expected);
    expected[3].key = public("fresh");
    assert_eq!(validators(&world.state, h + 2), expected);
    let found = world.state.get::<Members>(&member("FR")).unwrap();
    assert_eq!(found.consensus_key, Some(public("fresh")));
    assert_eq!(found.network_key, Some(public("fresh network")));
    // The keys that are or were a node's are nobody else's, and sign no transactions.
    for name in ["fresh", "fresh network", "FR consensus"] {
        let taken = RotateKeys { consensus_key: public(name), network_key: public("ES network") };
        assert_eq!(world.act("ES governance", taken), Err(Rejection::KeyInUse), "{name}");
        let until = world.now.plus(86_400_000);
        let action = accreditation(&world, "EE", "newcomer", name, until);
        assert_eq!(world.act("EE registrar", action), Err(Rejection::KeyInUse), "{name}");
    }
}

#[test]
fn the_others_can_change_a_members_keys_by_vote() {
    let mut world = World::new();
    let change = Change::MemberKeys {
        member: member("FR"),
        consensus_key: public("fresh"),
        network_key: public("FR network"),
    };
    let h = enact(&mut world, change, &["DE", "EE", "ES"]);
    let mut expected = set(&FOUR);
    expected[3].key = public("fresh");
    assert_eq!(validators(&world.state, h + 2), expected);
}

#[test]
fn a_newcomer_votes_and_its_offices_act_and_one_that_left_does_neither() {
    let mut world = World::new();
    let until = world.now.plus(86_400_000);
    let [early, krakow, late] =
        ["early", "krakow", "late"].map(|number| accreditation(&world, "PL", number, number, until));
    assert_eq!(world.act("PL registrar", early), Err(Rejection::UnknownKey));
    enact(&mut world, join("PL"), &["DE", "EE", "ES"]);
    assert!(world.act("PL registrar", krakow).is_ok());
    world.grant("PL", "krakow", "grant-1", 100);
    let proposal = propose(&mut world, "PL", parameter("fee_bps", 150), 2_000).unwrap();
    // Of five, four decide.
    for code in ["DE", "EE", "ES"] {
        vote(&mut world, code, proposal, true).unwrap();
        assert_eq!(row(&world, proposal).state, ProposalState::Open);
    }
    vote(&mut world, "PL", proposal, true).unwrap();
    assert_eq!(row(&world, proposal).state, ProposalState::Passed);

    enact(&mut world, leave("PL"), &["DE", "EE", "ES", "FR"]);
    for office in ["registrar", "treasury", "governance"] {
        let signer = format!("PL {office}");
        assert_eq!(world.act(&signer, late.clone()), Err(Rejection::KeyRevoked), "{office}");
    }
    // Its books stay, and nobody signs for it.
    let row = world.state.get::<Members>(&member("PL")).unwrap();
    assert_eq!((row.issued, row.consensus_key, row.network_key), (Money(100_000_000), None, None));
}

#[test]
fn organisations_of_a_member_that_leaves_lose_their_orders_and_keep_their_leases() {
    let mut world = World::new();
    world.provider("ES", "bsc", 64, 180);
    world.accredit("FR", "paris", OrganisationClass::StartUp);
    world.deposit("FR", "paris", 1_000);
    let running = demand(&world, Purse::Cash);
    let request = place(&mut world, "paris", running.clone());
    let lease = world.pass_until(|event| match event {
        Event::LeaseAwarded { lease, request: of, .. } if *of == request => Some(*lease),
        _ => None,
    });
    let far = world.now.slot(1).0 + 3_000;
    let waiting = place(
        &mut world,
        "paris",
        hansa_ledger::row::Demand {
            start_min: hansa_ledger::time::Slot(far),
            start_max: hansa_ledger::time::Slot(far + 10),
            limit: hansa_ledger::money::Price(1_000),
            ..running
        },
    );
    let paris = world.organisation("FR", "paris");
    let escrowed = world.state.get::<Requests>(&waiting).unwrap().locked;
    assert!(escrowed > Money(0));
    enact(&mut world, leave("FR"), &["DE", "EE", "ES"]);
    assert_eq!(world.state.get::<Organisations>(&paris).unwrap().standing, Standing::Expired);
    assert_eq!(
        world.state.get::<Organisations>(&world.organisation("ES", "bsc")).unwrap().standing,
        Standing::Accredited
    );
    assert_eq!(world.state.get::<Requests>(&waiting).unwrap().state, RequestState::Revoked);
    assert_ne!(world.state.get::<Leases>(&lease).unwrap().state, LeaseState::Settled);
    // The lease comes to its end, and what is France's to pay or get stays in its position.
    world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    let row = world.state.get::<Members>(&member("FR")).unwrap();
    assert_eq!(row.locked, Money(0));
}

#[test]
fn who_comes_back_finds_its_books_and_signs_with_the_keys_it_comes_with() {
    let mut world = World::new();
    world.accredit("FR", "paris", OrganisationClass::StartUp);
    world.deposit("FR", "paris", 1_000);
    let nonce = world.nonce("FR treasury");
    let before = world.state.get::<Members>(&member("FR")).unwrap().clone();
    enact(&mut world, leave("FR"), &["DE", "EE", "ES"]);
    tick(&mut world);
    let back = GenesisMember {
        consensus_key: public("fresh"),
        governance: office(1, &["fresh governance"]),
        issue_limit: Money(2_000_000_000),
        ..newcomer("FR")
    };
    let h = enact(&mut world, Change::MemberJoin { member: back }, &["DE", "EE", "ES"]);
    let mut expected = set(&FOUR);
    expected[3].key = public("fresh");
    assert_eq!(validators(&world.state, h + 2), expected);
    let after = world.state.get::<Members>(&member("FR")).unwrap();
    assert_eq!(
        (after.position, after.issued, after.issue_limit),
        (before.position, before.issued, Money(2_000_000_000))
    );
    // The offices named again act again, and no old transaction of theirs does; the key that was not named stays dead.
    let key = |name: &str| -> Key { world.state.get::<Keys>(&public(name)).unwrap().clone() };
    assert!(!key("FR treasury").revoked && key("FR treasury").nonce == nonce);
    assert!(key("FR governance").revoked && !key("fresh governance").revoked);
    let until = world.now.plus(86_400_000);
    let renewed = accreditation(&world, "FR", "paris", "paris", until);
    world.act("FR registrar", renewed).unwrap();
    world.deposit("FR", "paris", 1);
    assert_eq!(world.state.rows::<ValidatorSets>().count(), 3, "every set that ever signed is known");
}

#[test]
fn the_last_members_cannot_all_leave() {
    let mut world = World::with(Params { member_proposals_max: 1_000, ..Params::testnet() });
    let mut left = 0;
    for code in ["FR", "ES", "EE", "DE"] {
        let voters: Vec<String> =
            validators(&world.state, height(&world) + 2).iter().map(|one| one.member.to_string()).collect();
        let voters: Vec<&str> = voters.iter().map(String::as_str).collect();
        match propose(&mut world, voters[0], leave(code), 2_000) {
            Ok(_) => {
                enact(&mut world, leave(code), &voters[..3]);
                left += 1;
            }
            Err(rejection) => assert_eq!(rejection, Rejection::MembersOverlap),
        }
    }
    assert_eq!(left, 1);
}
