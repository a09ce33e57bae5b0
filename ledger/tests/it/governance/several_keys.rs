//! Votes and members whose offices act by several keys.

use super::{accreditation, enact, join, leave, parameter, row, tick};
use crate::world::{World, genesis, member, name, newcomer, office};
use hansa_ledger::action::{Action, ApproveOrder, AttestDeposit, Propose, Vote};
use hansa_ledger::event::Event;
use hansa_ledger::genesis::GenesisMember;
use hansa_ledger::id::OrderId;
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, Change, DeadlineKind, Office, OfficeKeys, ProposalState};
use hansa_ledger::tables::{Deadlines, OfficeOrders, Offices};

const FIRST: &str = "DE governance";
const SECOND: &str = "DE governance 2";
const THIRD: &str = "DE governance 3";

/// Germany's governance office takes two of three keys.
fn world() -> World {
    let mut genesis = genesis(Params { reserve_bps_min: 0, ..Params::testnet() });
    genesis.members[0].governance = office(2, &[FIRST, SECOND, THIRD]);
    World::from(&genesis)
}

fn order(world: &mut World, signer: &str, action: impl Into<Action>) -> OrderId {
    let events = world.act(signer, action).unwrap();
    let [Event::OrderPlaced { order, .. }] = events.as_slice() else { panic!("{events:?}") };
    *order
}

fn approve(world: &mut World, signer: &str, order: OrderId) -> Result<Vec<Event>, Rejection> {
    world.act(signer, ApproveOrder { order })
}

#[test]
fn an_office_of_two_of_three_keys_proposes_and_votes_by_order() {
    let mut world = world();
    let change = parameter("fee_bps", 150);
    let proposed = order(&mut world, FIRST, Propose { change, activate_after_ms: 2_000 });
    let events = approve(&mut world, THIRD, proposed).unwrap();
    let [Event::OrderExecuted { .. }, Event::ProposalMade { proposal, proposer, .. }] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    let proposal = *proposal;
    assert_eq!(*proposer, member("DE"));

    // One key is no vote, and the same key twice is none either.
    let voted = order(&mut world, SECOND, Vote { proposal, approve: true });
    assert_eq!(approve(&mut world, SECOND, voted), Err(Rejection::OrderApproved));
    assert!(row(&world, proposal).approvals.is_empty());
    let events = approve(&mut world, FIRST, voted).unwrap();
    assert!(events.contains(&Event::VoteCast { proposal, member: member("DE"), approve: true }));
    assert_eq!(row(&world, proposal).approvals, [member("DE")]);

    // With its two keys it is one vote of four, and a vote that comes too late is refused when it is approved.
    let changed = order(&mut world, FIRST, Vote { proposal, approve: false });
    for code in ["EE", "ES"] {
        super::vote(&mut world, code, proposal, true).unwrap();
    }
    assert_eq!(row(&world, proposal).state, ProposalState::Passed);
    assert_eq!(approve(&mut world, THIRD, changed), Err(Rejection::ProposalClosed));
    assert_eq!(row(&world, proposal).approvals, ["DE", "EE", "ES"].map(member));
}

#[test]
fn a_change_that_an_order_proposes_is_checked_when_it_is_signed_and_when_it_is_approved() {
    let mut world = world();
    let zero = |member: &mut GenesisMember| member.treasury.threshold = 0;
    let mut newcomer = newcomer("PL");
    let joins = |member: &GenesisMember| Propose {
        change: Change::MemberJoin { member: member.clone() },
        activate_after_ms: 2_000,
    };
    let sound = order(&mut world, FIRST, joins(&newcomer));
    zero(&mut newcomer);
    assert_eq!(world.act(FIRST, joins(&newcomer)), Err(Rejection::ThresholdInvalid));
    // By the time it is approved, somebody else has brought the member in.
    enact(&mut world, join("PL"), &["EE", "ES", "FR"]);
    assert_eq!(approve(&mut world, SECOND, sound), Err(Rejection::MemberExists));
}

/// Poland, whose treasury takes `threshold` of three keys.
fn poland(threshold: u32) -> GenesisMember {
    GenesisMember {
        treasury: office(threshold, &["PL treasury", "PL treasury 2", "PL treasury 3"]),
        ..newcomer("PL")
    }
}

fn offices(world: &World) -> Vec<(Office, OfficeKeys)> {
    let of_poland = world.state.rows::<Offices>().filter(|((code, _), _)| *code == member("PL"));
    of_poland.map(|((_, office), row)| (*office, row.clone())).collect()
}

#[test]
fn a_newcomer_brings_offices_of_several_keys_and_takes_their_orders_with_it() {
    let mut world = World::new();
    let founders = ["DE", "EE", "ES"];
    enact(&mut world, Change::MemberJoin { member: poland(2) }, &founders);
    let single = OfficeKeys { threshold: 1, keys: 1, orders: 0 };
    let treasury = |threshold, orders| OfficeKeys { threshold, keys: 3, orders };
    let expected = |treasury| {
        let [registrar, governance] =
            [Office::Registrar, Office::Governance].map(|one| (one, single.clone()));
        vec![registrar, (Office::Treasury, treasury), governance]
    };
    assert_eq!(offices(&world), expected(treasury(2, 0)));

    let until = world.now.plus(86_400_000);
    let krakow = accreditation(&world, "PL", "krakow", "krakow", until);
    world.act("PL registrar", krakow).unwrap();
    let organisation = world.organisation("PL", "krakow");
    let deposit = |reference: &str| AttestDeposit {
        organisation,
        amount: Money(1_000_000),
        reference: name(reference),
    };
    let first = order(&mut world, "PL treasury", deposit("one"));
    approve(&mut world, "PL treasury 3", first).unwrap();
    assert_eq!(world.balance(&AccountId::Cash(organisation)), 1_000_000);

    // What awaits approval when it leaves lapses, and no deadline is left behind.
    let open = order(&mut world, "PL treasury", deposit("two"));
    assert_eq!(offices(&world), expected(treasury(2, 1)));
    enact(&mut world, leave("PL"), &["DE", "EE", "ES", "FR"]);
    assert_eq!(offices(&world), []);
    assert!(world.state.rows::<OfficeOrders>().next().is_none());
    let lapses = world.state.rows::<Deadlines>().filter(|(row, ())| row.kind == DeadlineKind::OrderLapse);
    assert_eq!(lapses.count(), 0);

    // It comes back with another threshold: the order of before is no order, and one key is no longer too few.
    tick(&mut world);
    enact(&mut world, Change::MemberJoin { member: poland(1) }, &founders);
    assert_eq!(offices(&world), expected(treasury(1, 0)));
    assert_eq!(approve(&mut world, "PL treasury 2", open), Err(Rejection::OrderUnknown));
    let until = world.now.plus(86_400_000);
    let renewed = accreditation(&world, "PL", "krakow", "krakow", until);
    world.act("PL registrar", renewed).unwrap();
    world.act("PL treasury 2", deposit("three")).unwrap();
    assert_eq!(world.balance(&AccountId::Cash(organisation)), 2_000_000);
}
