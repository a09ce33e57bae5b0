//! What happens to leases and offers when something happens to their contract.

use super::*;
use hansa_contracts_abi::Failure;
use hansa_ledger::action::{ContestUsage, ExtendLease};
use hansa_ledger::apply::{apply_block, build_block};
use hansa_ledger::market::Reason;
use hansa_ledger::row::LeaseState;
use hansa_ledger::tables::LeasesLive;

/// A federation with an open offer under a contract of these words.
pub fn offered(words: &str) -> (World, CodeHash) {
    let mut world = world();
    let code = upload(&mut world, "bsc", words);
    activate(&mut world, code);
    offer(&mut world, code).unwrap();
    (world, code)
}

pub fn reason(world: &World, id: RequestId) -> Option<Reason> {
    request(world, id).last_unmatched().map(|unmatched| unmatched.reason)
}

pub fn failure(settlement: &Settlement) -> Option<Failure> {
    settlement.failure.as_ref().map(|bytes| borsh::from_slice(bytes).unwrap())
}

#[test]
fn offers_of_a_stopped_contract_match_nothing_and_requests_are_told_why() {
    for deprecated in [false, true] {
        let (mut world, code) = offered("carbon");
        match deprecated {
            true => drop(world.act("bsc", DeprecateContract { code }).unwrap()),
            false => quarantine(&mut world, code, "under study"),
        }
        let id = ask(&mut world);
        clear(&mut world);
        assert_eq!(request(&world, id).state, RequestState::Open);
        assert_eq!(reason(&world, id), Some(Reason::ContractStopped));
        if deprecated {
            continue;
        }
        // Once it goes on, so does what waited: nobody has to do anything.
        resume(&mut world, code);
        clear(&mut world);
        assert_eq!(request(&world, id).state, RequestState::Awarded);
    }
}

#[test]
fn a_stopped_offer_is_not_what_keeps_from_another() {
    let (mut world, code) = offered("carbon");
    quarantine(&mut world, code, "under study");
    // Nothing it has would do.
    let demand = hansa_ledger::row::Demand { tier_min: 9, ..cash_demand(&world) };
    let refused = world.act("tallinn", hansa_ledger::action::PlaceRequest { demand });
    assert_eq!(refused.map(|_| ()), Err(Rejection::RequestImpossible));
    // A sound offer of another takes it.
    world.provider("FR", "cea", 16, 200);
    let lease = lease(&mut world);
    assert_eq!(lease_row(&world, lease).agreement.contract, world.code);
}

#[test]
fn leases_of_a_quarantined_contract_are_settled_by_the_rule_both_signed() {
    let (mut world, code) = offered("traps");
    let id = lease(&mut world);
    start(&mut world, id);
    quarantine(&mut world, code, "under study");
    let settlement = settle(&mut world, id, 4);
    assert_eq!((failure(&settlement), settlement.fuel), (Some(Failure::Quarantined), 0));
    // Eight accelerator-seconds at 0.0005 EUR were not contested: they are paid.
    let paid: u64 = settlement.payments.iter().map(|payment| payment.amount.0).sum();
    assert_eq!(paid, 4_000);
    let row = row(&world, code);
    assert_eq!((row.leases, row.settlements, row.failures), (0, 1, 0), "stopping it is not its own failure");
}

#[test]
fn a_contract_that_was_resumed_settles_again() {
    let (mut world, code) = offered("carbon");
    let id = lease(&mut world);
    start(&mut world, id);
    quarantine(&mut world, code, "under study");
    resume(&mut world, code);
    assert_eq!(failure(&settle(&mut world, id, 4)), None);
}

#[test]
fn a_lease_of_a_contract_that_ended_is_not_made_longer() {
    let (mut world, code) = offered("carbon");
    let id = lease(&mut world);
    let longer = || ExtendLease { lease: id, slots: 1, price_max: Price(1_800_000) };
    let mut sound = world.fork();
    assert!(sound.act("tallinn", longer()).is_ok());
    assert_eq!(row(&sound, code).leases, 1, "an extension is the same lease");
    quarantine(&mut world, code, "under study");
    assert_eq!(world.act("tallinn", longer()), Err(Rejection::ContractInactive));
    resume(&mut world, code);
    world.act("bsc", DeprecateContract { code }).unwrap();
    assert_eq!(world.act("tallinn", longer()), Err(Rejection::ContractInactive));
}

#[test]
fn a_node_that_starts_again_has_every_contract_that_may_be_called() {
    let (mut world, code) = offered("carbon");
    let id = lease(&mut world);
    start(&mut world, id);
    let other = upload(&mut world, "bsc", "waiting");
    let quarantined = upload(&mut world, "bsc", "stopped");
    activate(&mut world, quarantined);
    quarantine(&mut world, quarantined, "under study");
    world.act("bsc", DeprecateContract { code }).unwrap();
    use hansa_contracts_abi::Runtime;
    let again = world.runtime.restarted(&world.state);
    assert!(
        again.knows(&code.0) && again.knows(&quarantined.0),
        "deprecated and quarantined ones may be called"
    );
    assert!(!again.knows(&other.0), "what nobody approved is not loaded");
    // It makes the same of the next blocks as one that never stopped.
    let end = EndLease { lease: id, cumulative: Some(8) };
    let end = [world.sign("bsc", vec![end.into()])];
    let time = world.now.plus(4_000);
    let proposer = crate::world::member("DE");
    let (block, _) =
        build_block(&world.state, &again, world.chain, proposer, time, &end, &mut || true).unwrap();
    assert!(apply_block(&world.state, &world.runtime, world.chain, &block.header, &end).is_ok());
    world.block(4_000, &end);
    let due = lease_row(&world, id).challenge_due.unwrap();
    let (block, outcome) =
        build_block(&world.state, &again, world.chain, proposer, due, &[], &mut || true).unwrap();
    assert!(apply_block(&world.state, &world.runtime, world.chain, &block.header, &[]).is_ok());
    let fallbacks = outcome.receipts.deadlines.iter().filter_map(|event| match event {
        Event::LeaseSettled { fallback, .. } => Some(*fallback),
        _ => None,
    });
    assert_eq!(fallbacks.collect::<Vec<_>>(), [false], "the contract itself settled it");
}

#[test]
fn a_contract_counts_its_leases_from_the_award_to_the_settlement() {
    let (mut world, code) = offered("carbon");
    let [first, second] = [lease(&mut world), lease(&mut world)];
    assert_eq!(row(&world, code).leases, 2);
    world.act("tallinn", hansa_ledger::action::CancelLease { lease: second }).unwrap();
    assert_eq!((row(&world, code).leases, row(&world, code).settlements), (1, 1));
    start(&mut world, first);
    let end = EndLease { lease: first, cumulative: Some(8) };
    let end = world.sign("bsc", vec![end.into()]);
    world.block(4_000, &[end]);
    assert_eq!(world.state.rows::<LeasesLive>().count(), 0);
    assert_eq!(row(&world, code).leases, 1, "it is not settled yet");
    world.act("tallinn", ContestUsage { lease: first, admitted: 2 }).unwrap();
    world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    assert_eq!(lease_row(&world, first).state, LeaseState::Settled);
    assert_eq!((row(&world, code).leases, row(&world, code).settlements), (0, 2));
}
