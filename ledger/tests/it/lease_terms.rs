//! A signed deal stays as it was signed: a vote on fees, windows and deadlines changes only leases awarded after it.

use crate::governance::enact;
use crate::scene::{all_from, demand, place};
use crate::world::World;
use hansa_ledger::action::{ContestUsage, LeaseUsage, ReportUsage, StartLease};
use hansa_ledger::event::Event;
use hansa_ledger::id::{GrantId, LeaseId};
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::row::{
    AccountId, Agreement, Change, Closing, Demand, Lease, LeaseState, OrganisationClass, ParameterValue,
    Purse,
};
use hansa_ledger::tables::Leases;
use hansa_ledger::time::{Slot, TimeMs};
use std::collections::BTreeMap;

/// What a lease copies of the parameters: name, value before the vote, value after it.
const TERMS: [(&str, u64, u64); 11] = [
    ("fee_bps", 100, 2_000),
    ("contest_provider_bps", 5_000, 0),
    ("lease_start_window_ms", 30_000, 10_000),
    ("lease_report_window_ms", 30_000, 7_000),
    ("lease_challenge_window_ms", 20_000, 5_000),
    ("holdback_bps", 1_000, 5_000),
    ("audit_window_ms", 20_000, 3_000),
    ("interim_interval_ms", 2_000, 0),
    ("dispute_window_ms", 20_000, 40_000),
    ("dispute_bond_bps", 1_000, 2_000),
    ("dispute_bond_min", 1_000, 20_000),
];

/// What an agreement says of the same, in the same order.
fn terms(agreement: &Agreement) -> [u64; TERMS.len()] {
    [
        agreement.fee_bps.into(),
        agreement.contest_provider_bps.into(),
        agreement.start_deadline.0 - agreement.start.0,
        agreement.report_window_ms,
        agreement.challenge_window_ms,
        agreement.holdback_bps.into(),
        agreement.audit_window_ms,
        agreement.interim_interval_ms,
        agreement.dispute_window_ms,
        agreement.dispute_bond_bps.into(),
        agreement.dispute_bond_min.0,
    ]
}

/// Two leases awarded by one batch: one is used, one is never begun.
#[derive(Clone, Copy)]
struct Pair {
    used: LeaseId,
    idle: LeaseId,
}

fn lease(world: &World, id: LeaseId) -> Lease {
    world.state.get::<Leases>(&id).unwrap().clone()
}

/// Awards two leases of two accelerators for a minute from `start` on.
fn award(world: &mut World, grant: GrantId, start: Slot) -> Pair {
    let whole = Demand {
        slots: 60,
        start_min: start,
        start_max: start,
        sources: all_from(Purse::Grant(grant)),
        ..demand(world, Purse::Grant(grant))
    };
    let [used, idle] = [(); 2].map(|()| LeaseId::derive(&place(world, "tallinn", whole.clone())));
    world.pass_until(|event| matches!(event, Event::BatchCleared { trades: 2, .. }).then_some(()));
    Pair { used, idle }
}

/// Two leases under the parameters of the genesis, two under those that were voted for after their award, all from one slot.
fn awarded() -> (World, Pair, Pair) {
    let genesis = Params { holdback_bps: 1_000, reserve_bps_min: 0, ..Params::testnet() };
    let mut world = World::exactly(genesis);
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let grant = world.grant("EE", "tallinn", "grant-1", 100);
    let start = Slot(world.now.slot(1).0 + 100);
    let old = award(&mut world, grant, start);
    let before = [old.used, old.idle].map(|id| lease(&world, id));
    let values = TERMS.map(|(name, _, value)| ParameterValue { name: name.to_owned(), value });
    enact(&mut world, Change::Parameters { values: values.to_vec() }, &["DE", "ES", "FR"]);
    assert_eq!(world.params().fee_bps, 2_000, "the vote has changed the parameters");
    assert_eq!([old.used, old.idle].map(|id| lease(&world, id)), before, "and no lease");
    let new = award(&mut world, grant, start);
    (world, old, new)
}

#[test]
fn a_lease_copies_its_terms_at_award_and_keeps_them_after_a_vote() {
    let (world, old, new) = awarded();
    for (pair, expected) in
        [(old, TERMS.map(|(_, before, _)| before)), (new, TERMS.map(|(_, _, after)| after))]
    {
        for id in [pair.used, pair.idle] {
            assert_eq!(terms(&lease(&world, id).agreement), expected);
        }
    }
}

/// Lets time pass until every lease is settled and paid, contesting each final report; gives when which lease was settled.
fn live(world: &mut World, used: [LeaseId; 2], until: usize) -> BTreeMap<LeaseId, TimeMs> {
    let mut settled = BTreeMap::new();
    for _ in 0..60 {
        for event in world.pass_deadline() {
            match event {
                Event::LeaseSettled { lease, .. } => drop(settled.insert(lease, world.now)),
                Event::UsageReported { lease, last: true, .. } if used.contains(&lease) => {
                    world.act("tallinn", ContestUsage { lease, admitted: 4 }).unwrap();
                }
                _ => {}
            }
        }
        if settled.len() == until {
            return settled;
        }
    }
    panic!("{} leases settled in sixty deadlines", settled.len());
}

#[test]
fn leases_of_before_and_after_a_vote_are_settled_each_by_its_own_terms() {
    let (mut world, old, new) = awarded();
    let agreement = lease(&world, old.used).agreement;
    let (start, end) = (agreement.start, agreement.end);
    assert_eq!(lease(&world, new.used).agreement.start, start, "they run side by side");
    let used = [old.used, new.used];
    world.block(start.0 - 1_000 - world.now.0, &[]);
    let begin = used.map(|lease| world.sign("bsc", vec![StartLease { lease }.into()]));
    world.block(1_000, &begin);
    let usages = used.map(|lease| LeaseUsage { lease, cumulative: 16 }).to_vec();
    let report = world.sign("bsc", vec![ReportUsage { usages }.into()]);
    world.block(9_000, &[report]);
    let settled = live(&mut world, used, 4);
    // Never begun: closed when the own window to begin has passed. Reported at last: the own windows to report and, from the
    // first contest a millisecond later on, to answer.
    for (id, due, closing) in [
        (new.idle, start.plus(10_000), Closing::NoShow),
        (old.idle, start.plus(30_000), Closing::NoShow),
        (new.used, end.plus(7_000 + 1 + 5_000), Closing::Ruling),
        (old.used, end.plus(30_000 + 1 + 20_000), Closing::Ruling),
    ] {
        let row = lease(&world, id);
        assert_eq!((row.state, row.closing), (LeaseState::Settled, Some(closing)));
        assert_eq!(settled[&id], due);
    }
    // 500 uEUR each second. Of the twelve contested the older one pays half, at a fee of 1 %; the newer one none, at 20 %.
    let [old_paid, new_paid] = [(4 + 6) * 500, 4 * 500];
    let fees = old_paid / 100 + new_paid / 5;
    assert_eq!(world.balance(&AccountId::Fees), fees);
    // A tenth of the older pay is held back for 20 seconds, half of the newer for 3.
    for (id, amount, window) in [(old.used, 495, 20_000), (new.used, 800, 3_000)] {
        let held = lease(&world, id).holdback.unwrap();
        assert_eq!((held.amount, held.due), (Money(amount), settled[&id].plus(window)));
    }
    world.block(20_000, &[]);
    let provider = AccountId::Cash(world.organisation("ES", "bsc"));
    assert_eq!(world.balance(&provider), old_paid + new_paid - fees);
}
