//! Offices that act by several keys: orders, approvals, and the keys themselves.

use crate::world::{World, genesis_of_several, key, member, name, office};
use hansa_ledger::action::{
    AccreditOrganisation, Action, ApproveOrder, AttestDeposit, CancelOrder, IssueGrant, RemoveOfficeKey,
    RevokeOrganisation, SetOfficeKey, SetOfficeThreshold, grant_id,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{OrderId, OrganisationId};
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    AccountId, DeadlineKind, Office, OfficeKeys, OfficeOrder, OrganisationClass, Principal, Purpose,
};
use hansa_ledger::tables::{Deadlines, Grants, OfficeOrders, Offices, Organisations};

const FIRST: &str = "DE treasury";
const SECOND: &str = "DE treasury 2";
const THIRD: &str = "DE treasury 3";
const GOVERNANCE: &str = "DE governance";

/// Germany's treasury takes two of three keys, and `berlin` is accredited.
fn world() -> World {
    of_several(Params::testnet())
}

fn of_several(params: Params) -> World {
    let mut world = World::from(&genesis_of_several(params));
    world.accredit("DE", "berlin", OrganisationClass::StartUp);
    world
}

fn deposit(world: &World, reference: &str) -> Action {
    let organisation = world.organisation("DE", "berlin");
    AttestDeposit { organisation, amount: Money(5_000_000), reference: name(reference) }.into()
}

fn cash(world: &World) -> u64 {
    world.balance(&AccountId::Cash(world.organisation("DE", "berlin")))
}

/// Signs an action that becomes an order, and says which.
fn propose(world: &mut World, signer: &str, action: impl Into<Action>) -> OrderId {
    let action = action.into();
    let events = world.act(signer, action.clone()).unwrap();
    let [Event::OrderPlaced { order, due, .. }] = events.as_slice() else { panic!("{events:?}") };
    let row = world.state.get::<OfficeOrders>(order).unwrap();
    assert_eq!(row.action, action);
    assert_eq!((row.proposer, row.approvals.as_slice()), (key(signer).public_key(), &[row.proposer][..]));
    assert_eq!((row.placed_at, row.due), (world.now, *due));
    assert_eq!(*order, OfficeOrder::id(row.transaction, row.position));
    *order
}

fn approve(world: &mut World, signer: &str, order: OrderId) -> Result<Vec<Event>, Rejection> {
    world.act(signer, ApproveOrder { order })
}

/// What is known of Germany's office: threshold, keys, open orders.
fn row(world: &World, office: Office) -> (u32, u32, u32) {
    let OfficeKeys { threshold, keys, orders } =
        world.state.get::<Offices>(&(member("DE"), office)).unwrap().clone();
    (threshold, keys, orders)
}

fn lapses(world: &World) -> usize {
    world.state.rows::<Deadlines>().filter(|(row, ())| row.kind == DeadlineKind::OrderLapse).count()
}

#[test]
fn an_office_of_one_acts_at_once_and_another_only_with_enough_keys() {
    // Threshold, keys, and how many sign before it is done.
    for (threshold, keys) in [(1u32, 1usize), (1, 3), (2, 2), (2, 3), (3, 3), (16, 16)] {
        let names: Vec<String> = (0..keys).map(|number| format!("treasurer {number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut genesis = genesis_of_several(Params::testnet());
        genesis.members[0].treasury = office(threshold, &names);
        let mut world = World::from(&genesis);
        world.accredit("DE", "berlin", OrganisationClass::StartUp);
        let action = deposit(&world, "bank-1");
        let mut events = world.act(names[0], action).unwrap();
        let order = match events.as_slice() {
            [Event::OrderPlaced { order, .. }] => Some(*order),
            _ => None,
        };
        for signed in 1..threshold {
            assert_eq!(cash(&world), 0, "{signed} of {threshold}");
            assert!(order.is_some() && row(&world, Office::Treasury).2 == 1);
            let next = names[signed as usize];
            events = approve(&mut world, next, order.unwrap()).unwrap();
            let told = events.iter().any(
                |event| matches!(event, Event::OrderApproved { approvals, .. } if *approvals == signed + 1),
            );
            assert_eq!(told, signed + 1 < threshold);
        }
        assert!(events.iter().any(|event| matches!(event, Event::DepositAttested { .. })), "{events:?}");
        assert_eq!(cash(&world), 5_000_000, "{threshold} of {keys}");
        assert_eq!((row(&world, Office::Treasury).2, lapses(&world)), (0, 0));
        if let Some(order) = order {
            let last = names[keys - 1];
            assert_eq!(approve(&mut world, last, order), Err(Rejection::OrderUnknown), "done once");
        }
    }
}

#[test]
fn a_key_counts_once_and_each_pair_of_keys_suffices() {
    for (proposer, approver) in [(FIRST, SECOND), (FIRST, THIRD), (THIRD, FIRST), (SECOND, THIRD)] {
        let mut world = world();
        let action = deposit(&world, "bank-1");
        let order = propose(&mut world, proposer, action);
        for _ in 0..3 {
            assert_eq!(approve(&mut world, proposer, order), Err(Rejection::OrderApproved));
        }
        // A key that signs the action itself again proposes it anew.
        let action = deposit(&world, "bank-1");
        let again = propose(&mut world, proposer, action);
        assert_ne!(again, order);
        assert_eq!(cash(&world), 0);
        let events = approve(&mut world, approver, order).unwrap();
        assert_eq!(cash(&world), 5_000_000);
        let executed = Event::OrderExecuted {
            order,
            member: member("DE"),
            office: Office::Treasury,
            key: key(approver).public_key(),
        };
        assert_eq!(events[0], executed, "what an order did comes after it");
        assert_eq!(events.len(), 2);
        assert_eq!(approve(&mut world, approver, again), Err(Rejection::DepositExists));
    }
}

#[test]
fn an_approval_of_a_key_that_was_taken_back_does_not_count() {
    let mut world = world();
    let action = deposit(&world, "bank-1");
    let order = propose(&mut world, FIRST, action);
    let removal = RemoveOfficeKey { office: Office::Treasury, key: key(FIRST).public_key() };
    world.act(GOVERNANCE, removal).unwrap();
    assert_eq!(row(&world, Office::Treasury), (2, 2, 1));
    assert_eq!(world.act(FIRST, ApproveOrder { order }), Err(Rejection::KeyRevoked));
    let events = approve(&mut world, SECOND, order).unwrap();
    let expected = Event::OrderApproved { order, key: key(SECOND).public_key(), approvals: 1, threshold: 2 };
    assert_eq!(events, [expected]);
    assert_eq!(approve(&mut world, SECOND, order), Err(Rejection::OrderApproved));
    assert_eq!(cash(&world), 0);
    approve(&mut world, THIRD, order).unwrap();
    assert_eq!(cash(&world), 5_000_000);
}

#[test]
fn keys_of_other_offices_approve_nothing() {
    let mut world = world();
    let action = deposit(&world, "bank-1");
    let order = propose(&mut world, FIRST, action);
    for (signer, expected) in [
        ("EE treasury", Rejection::OrderUnknown),
        ("DE registrar", Rejection::OrderUnknown),
        (GOVERNANCE, Rejection::OrderUnknown),
        ("berlin", Rejection::RoleMissing),
    ] {
        assert_eq!(approve(&mut world, signer, order), Err(expected), "{signer}");
        assert_eq!(world.act(signer, CancelOrder { order }), Err(expected), "{signer}");
    }
    // What the office may not do at all is refused at once, and no order.
    let organisation = world.organisation("DE", "berlin");
    let revoke = RevokeOrganisation { organisation };
    assert_eq!(world.act(FIRST, revoke), Err(Rejection::NotRegistrar));
    assert_eq!(row(&world, Office::Treasury).2, 1);
}

#[test]
fn an_order_lapses_at_its_deadline_and_not_a_millisecond_before() {
    let params = Params { office_order_ms: 60_000, ..Params::testnet() };
    for (wait, expected) in [(59_999, Ok(())), (60_000, Err(Rejection::OrderUnknown))] {
        let mut world = of_several(params.clone());
        let action = deposit(&world, "bank-1");
        let order = propose(&mut world, FIRST, action);
        let placed = world.now;
        let approval = world.sign(SECOND, vec![ApproveOrder { order }.into()]);
        let receipts = world.block(wait, &[approval]);
        let code = receipts.transactions[0].code;
        assert_eq!(Rejection::from_code(code).map_or(Ok(()), Err), expected);
        let lapsed = receipts.deadlines.contains(&Event::OrderLapsed { order });
        assert_eq!(lapsed, expected.is_err());
        assert_eq!(world.now, placed.plus(wait));
        assert_eq!((row(&world, Office::Treasury).2, lapses(&world)), (0, 0));
        assert_eq!(cash(&world), if lapsed { 0 } else { 5_000_000 });
    }
}

#[test]
fn an_order_past_its_deadline_is_not_approved_while_its_lapse_waits_for_room() {
    let params = Params { office_order_ms: 60_000, block_deadlines_max: 1, ..Params::testnet() };
    let mut world = of_several(params);
    let two: Vec<Action> = vec![deposit(&world, "bank-1"), deposit(&world, "bank-2")];
    let events = world.run(FIRST, two).unwrap();
    let mut orders: Vec<OrderId> = events
        .iter()
        .map(|event| match event {
            Event::OrderPlaced { order, .. } => *order,
            other => panic!("{other:?}"),
        })
        .collect();
    orders.sort();
    let approvals = orders.iter().map(|order| ApproveOrder { order: *order }.into()).collect::<Vec<Action>>();
    let first = world.sign(SECOND, vec![approvals[0].clone()]);
    let second = world.sign(SECOND, vec![approvals[1].clone()]);
    let receipts = world.block(60_000, &[first, second]);
    assert_eq!(receipts.deadlines, [Event::OrderLapsed { order: orders[0] }]);
    let codes: Vec<u16> = receipts.transactions.iter().map(|receipt| receipt.code).collect();
    assert_eq!(codes, [Rejection::OrderUnknown.code(); 2]);
    assert_eq!(world.block(1, &[]).deadlines, [Event::OrderLapsed { order: orders[1] }]);
    assert_eq!(cash(&world), 0);
}

#[test]
fn a_refused_execution_takes_the_approval_back_and_a_later_one_may_succeed() {
    let mut world = World::from(&genesis_of_several(Params::testnet()));
    // The organisation is not accredited yet: nothing is checked before the order is done.
    let action = deposit(&world, "bank-1");
    let order = propose(&mut world, FIRST, action);
    for signer in [SECOND, THIRD, SECOND] {
        assert_eq!(approve(&mut world, signer, order), Err(Rejection::OrganisationUnknown));
        assert_eq!(world.state.get::<OfficeOrders>(&order).unwrap().approvals.len(), 1);
    }
    world.accredit("DE", "berlin", OrganisationClass::StartUp);
    approve(&mut world, SECOND, order).unwrap();
    assert_eq!(cash(&world), 5_000_000);
}

#[test]
fn the_proposer_takes_an_order_back() {
    let mut world = world();
    let action = deposit(&world, "bank-1");
    let order = propose(&mut world, FIRST, action);
    assert_eq!(world.act(SECOND, CancelOrder { order }), Err(Rejection::NotProposer));
    assert_eq!(world.act(FIRST, CancelOrder { order }).unwrap(), [Event::OrderCancelled { order }]);
    assert_eq!(approve(&mut world, SECOND, order), Err(Rejection::OrderUnknown));
    assert_eq!((row(&world, Office::Treasury).2, lapses(&world), cash(&world)), (0, 0, 0));
}

#[test]
fn an_office_has_a_bounded_number_of_orders_open() {
    let mut world = of_several(Params { office_orders_max: 2, ..Params::testnet() });
    let actions: Vec<Action> = (0..3).map(|number| deposit(&world, &format!("bank-{number}"))).collect();
    let first = propose(&mut world, FIRST, actions[0].clone());
    propose(&mut world, THIRD, actions[1].clone());
    assert_eq!(world.act(SECOND, actions[2].clone()), Err(Rejection::TooManyOrders));
    assert_eq!(row(&world, Office::Treasury).2, 2);
    approve(&mut world, SECOND, first).unwrap();
    propose(&mut world, SECOND, actions[2].clone());
}

#[test]
fn what_an_order_makes_has_the_id_that_was_known_when_it_was_placed() {
    let mut world = world();
    let holder = world.organisation("DE", "berlin");
    let issue = |reference: &str| {
        IssueGrant {
            holder,
            reference: name(reference),
            budget_line: name("line"),
            purpose: Purpose::Research,
            amount: Money(7_000_000),
            expires: world.now.plus(3_600_000),
        }
        .into()
    };
    let (issues, known): (Vec<Action>, Vec<_>) =
        ["one", "two"].map(|one| (issue(one), grant_id(member("DE"), &name(one)))).into_iter().unzip();
    let signed = world.sign(FIRST, issues);
    let id = signed.id();
    world.block(1, &[signed]);
    for (position, grant) in (0u32..).zip(known) {
        assert!(world.state.get::<Grants>(&grant).is_none());
        approve(&mut world, SECOND, OfficeOrder::id(id, position)).unwrap();
        assert_eq!(world.balance(&AccountId::Grant(grant)), 7_000_000);
    }
}

#[test]
fn a_registrar_of_several_accredits_with_the_proof_that_the_order_carries() {
    let mut genesis = genesis_of_several(Params::testnet());
    genesis.members[0].registrar = office(2, &["one", "two"]);
    let mut world = World::from(&genesis);
    let id: OrganisationId = world.organisation("DE", "hamburg");
    let action = AccreditOrganisation {
        register_number: "hamburg".to_owned(),
        owner: None,
        name: name("hamburg"),
        class: OrganisationClass::Sme,
        accredited_until: world.now.plus(3_600_000),
        key: key("hamburg").public_key(),
        proof: Some(world.proof("hamburg", Principal::Organisation(id))),
    };
    let order = propose(&mut world, "one", action.clone());
    // A proof that does not hold makes no order.
    let forged = AccreditOrganisation { key: key("stranger").public_key(), ..action };
    assert_eq!(world.act("one", forged), Err(Rejection::PossessionInvalid));
    approve(&mut world, "two", order).unwrap();
    assert!(world.state.get::<Organisations>(&id).is_some());
}

#[test]
fn governance_manages_the_keys_of_every_office_its_own_too() {
    let mut world = world();
    for office in Office::ALL {
        let (threshold, keys, _) = row(&world, office);
        let added = format!("DE {office} added");
        let proof = world.proof(&added, Principal::Office(member("DE"), office));
        let set = SetOfficeKey { office, key: key(&added).public_key(), proof };
        let events = world.act(GOVERNANCE, set.clone()).unwrap();
        let expected = Event::OfficeKeySet { member: member("DE"), office, key: set.key };
        assert_eq!(events, [expected]);
        assert_eq!(row(&world, office), (threshold, keys + 1, 0));
        assert_eq!(world.act(GOVERNANCE, set), Err(Rejection::KeyInUse), "twice");
        if office == Office::Governance {
            continue;
        }
        let removal = RemoveOfficeKey { office, key: key(&added).public_key() };
        world.act(GOVERNANCE, removal).unwrap();
        assert_eq!(row(&world, office), (threshold, keys, 0));
        // For ever: neither registered again nor of any use.
        let proof = world.proof(&added, Principal::Office(member("DE"), office));
        let again = SetOfficeKey { office, key: key(&added).public_key(), proof };
        assert_eq!(world.act(GOVERNANCE, again), Err(Rejection::KeyInUse));
        let action = deposit(&world, "late");
        assert_eq!(world.act(&added, action), Err(Rejection::KeyRevoked));
    }
    // From here on governance takes both its keys, for its own matters too.
    let both = SetOfficeThreshold { office: Office::Governance, threshold: 2 };
    world.act(GOVERNANCE, both).unwrap();
    let lower = SetOfficeThreshold { office: Office::Treasury, threshold: 1 };
    let order = propose(&mut world, GOVERNANCE, lower);
    assert_eq!(row(&world, Office::Treasury).0, 2);
    approve(&mut world, "DE governance added", order).unwrap();
    assert_eq!(row(&world, Office::Treasury).0, 1);
    let action = deposit(&world, "bank-1");
    world.act(THIRD, action).unwrap();
    assert_eq!(cash(&world), 5_000_000, "one key of the treasury suffices now");
    let too_few = RemoveOfficeKey { office: Office::Governance, key: key(GOVERNANCE).public_key() };
    let order = propose(&mut world, GOVERNANCE, too_few);
    assert_eq!(approve(&mut world, "DE governance added", order), Err(Rejection::OfficeKeyNeeded));
}

#[test]
fn an_open_order_follows_the_threshold_of_now() {
    // A lower one: the next signature does it, even the proposer's.
    let mut lower = world();
    let action = deposit(&lower, "bank-1");
    let order = propose(&mut lower, FIRST, action);
    lower.act(GOVERNANCE, SetOfficeThreshold { office: Office::Treasury, threshold: 1 }).unwrap();
    assert_eq!(cash(&lower), 0, "nothing happens by itself");
    approve(&mut lower, FIRST, order).unwrap();
    assert_eq!(cash(&lower), 5_000_000);
    // A higher one: it takes one more.
    let mut higher = world();
    let action = deposit(&higher, "bank-1");
    let order = propose(&mut higher, FIRST, action);
    higher.act(GOVERNANCE, SetOfficeThreshold { office: Office::Treasury, threshold: 3 }).unwrap();
    approve(&mut higher, SECOND, order).unwrap();
    assert_eq!(cash(&higher), 0);
    approve(&mut higher, THIRD, order).unwrap();
    assert_eq!(cash(&higher), 5_000_000);
}
