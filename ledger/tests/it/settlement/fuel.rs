//! A part of every block's fuel is kept for final settlements.

use super::stage::{Setup, market, offer, wanted};
use crate::scene::place;
use crate::scripted::{Contracts, Script};
use crate::world::{World, member};
use hansa_ledger::action::{
    Action, ClaimPayment, CountersignUsage, EndLease, LeaseUsage, PlaceRequest, StartLease, fuel_kept,
};
use hansa_ledger::apply::build_block;
use hansa_ledger::event::Event;
use hansa_ledger::id::{GrantId, LeaseId};
use hansa_ledger::market::Reason;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Closing, LeaseState, Request, RequestState};
use hansa_ledger::tables::{Leases, Requests, Settlements};

/// What every call takes, and what a call may take at most: two of them fill a block.
const CALL: u64 = 2_000_000;

/// A federation whose blocks have the fuel of two calls, with an offer under the scripted contract.
fn federation() -> (World, GrantId) {
    let params = Params { block_fuel_max: 2 * CALL, interim_interval_ms: 1, ..Setup::default().params };
    let script = Script { fuel: CALL, ..Script::default() };
    let setup = Setup { params, script: Some(script), ..Setup::default() };
    let (mut world, grant) = market(&setup);
    world.runtime = world.runtime.with_call(CALL);
    let offer = offer(&world, &setup);
    world.run("bsc", vec![offer.into()]).unwrap();
    (world, grant)
}

/// Three leases that have begun there.
fn three() -> (World, Vec<LeaseId>) {
    let (mut world, grant) = federation();
    let mut leases = Vec::new();
    for _ in 0..3 {
        let mut demand = wanted(&world, grant, 10_000);
        demand.start_min.0 += 10;
        leases.push(LeaseId::derive(&place(&mut world, "one", demand)));
        world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
    }
    let start = |lease| world.state.get::<Leases>(lease).unwrap().agreement.start.0;
    let last = leases.iter().map(start).max().unwrap();
    let starts: Vec<_> =
        leases.iter().map(|lease| world.sign("bsc", vec![StartLease { lease: *lease }.into()])).collect();
    world.block(last - world.now.0, &starts);
    (world, leases)
}

fn state(world: &World, lease: &LeaseId) -> LeaseState {
    world.state.get::<Leases>(lease).unwrap().state
}

/// How many of these actions of the provider and the requester a proposer takes into one block.
fn taken(world: &mut World, actions: Vec<(&str, Action)>) -> usize {
    let signed: Vec<_> =
        actions.into_iter().map(|(signer, action)| world.sign(signer, vec![action])).collect();
    let time = world.now.plus(2_000);
    let (block, _) =
        build_block(&world.state, &world.runtime, world.chain, member("DE"), time, &signed, &mut || true)
            .unwrap();
    block.transactions.len()
}

#[test]
fn claims_cannot_use_up_what_final_settlements_need() {
    let (mut world, leases) = three();
    let claim = |lease: &LeaseId| ("bsc", Action::from(ClaimPayment { lease: *lease }));
    // Two calls would fit: the second is kept for what closes a lease.
    assert_eq!(taken(&mut world.fork(), vec![claim(&leases[0]), claim(&leases[1])]), 1);
    let end = |lease: &LeaseId| ("bsc", EndLease { lease: *lease, cumulative: Some(2) }.into());
    let (signer, action) = end(&leases[2]);
    let ended = world.sign(signer, vec![action]);
    world.block(3_000, &[ended]);
    let usages = vec![LeaseUsage { lease: leases[2], cumulative: 2 }];
    let agree = ("one", Action::from(CountersignUsage { usages }));
    let both = vec![claim(&leases[0]), agree.clone()];
    assert_eq!(taken(&mut world.fork(), both), 2, "a final settlement stands beside the claim");
    assert_eq!(taken(&mut world.fork(), vec![agree, claim(&leases[0])]), 2, "in either order");
}

#[test]
fn final_settlements_that_do_not_fit_come_in_the_next_block_and_by_their_contract() {
    let (mut world, leases) = three();
    let ends: Vec<_> = leases
        .iter()
        .map(|lease| world.sign("bsc", vec![EndLease { lease: *lease, cumulative: Some(2) }.into()]))
        .collect();
    world.block(3_000, &ends);
    let due = world.state.get::<Leases>(&leases[0]).unwrap().challenge_due.unwrap();
    let settled =
        |world: &World| leases.iter().filter(|lease| state(world, lease) == LeaseState::Settled).count();
    world.block(due.0 - world.now.0, &[]);
    assert_eq!(settled(&world), 2, "all of the block's fuel is theirs");
    // The next block begins with the one that is left, one millisecond later and not after a heartbeat.
    world.block(1, &[]);
    assert_eq!(settled(&world), 3);
    for lease in &leases {
        let settlement = world.state.get::<Settlements>(lease).unwrap();
        assert_eq!((settlement.failure.as_ref(), settlement.fuel), (None, CALL));
        assert_eq!(world.state.get::<Leases>(lease).unwrap().closing, Some(Closing::Final));
    }
}

#[test]
fn a_batch_awards_what_it_has_fuel_for_and_the_next_one_the_rest() {
    let (mut world, grant) = federation();
    // Of the two calls of a block one is kept, so a batch can ask for one quote.
    let bids: Vec<Action> = (0..2)
        .map(|_| {
            let mut demand = wanted(&world, grant, 10_000);
            demand.start_min.0 += 10;
            PlaceRequest { demand }.into()
        })
        .collect();
    world.run("one", bids).unwrap();
    let cleared = |event: &Event| match event {
        Event::BatchCleared { trades, .. } => Some(*trades),
        _ => None,
    };
    assert_eq!(world.pass_until(cleared), 2, "there is capacity for both");
    let waiting = |world: &World| -> Vec<Option<Reason>> {
        let open = |row: &&Request| row.state == RequestState::Open;
        let rows = world.state.rows::<Requests>().map(|(_, row)| row).filter(open);
        rows.map(|row| row.last_unmatched().map(|unmatched| unmatched.reason)).collect()
    };
    assert_eq!(waiting(&world), [Some(Reason::BatchFull)]);
    assert_eq!(world.pass_until(cleared), 1);
    assert_eq!(waiting(&world), []);
    assert_eq!(world.state.rows::<Leases>().count(), 2);
}

#[test]
fn the_part_that_is_kept_is_at_least_one_call_and_no_more_than_there_is() {
    for (block_fuel_max, final_fuel_bps, call, kept) in [
        (100_000_000, 2_500, CALL, 25_000_000),
        (100_000_000, 0, CALL, CALL),
        (4_000_000, 2_500, CALL, CALL),
        (4_000_000, 2_500, 5_000_000, 4_000_000),
        (10_000_000_000, 9_000, 0, 9_000_000_000),
    ] {
        let params = Params { block_fuel_max, final_fuel_bps, ..Params::default() };
        let runtime = Contracts { fuel_per_call_max: call };
        assert_eq!(fuel_kept(&params, &runtime), kept);
    }
}
