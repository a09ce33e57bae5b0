//! Whatever order of steps the contracts of a federation go through: money is neither made nor lost, deposits stand for what
//! is there, and no lease is left whose code has gone.

use super::*;
use hansa_ledger::action::CancelLease;
use hansa_ledger::row::{AccountId, LeaseState};
use hansa_ledger::tables::Accounts;
use proptest::prelude::*;

const WORDS: [&str; 3] = ["carbon", "traps", "home=EE"];
const MEMBERS: [&str; 4] = ["DE", "EE", "ES", "FR"];

/// What is tried next; most of it is refused at most times.
#[derive(Clone, Debug)]
enum Step {
    Upload(usize, bool),
    Approve(usize, usize),
    Deprecate(usize, Option<usize>),
    Renew(usize),
    Quarantine(usize, usize),
    Resume(usize, usize),
    Point(usize, usize),
    Offer(usize),
    Withdraw,
    Ask,
    Start,
    End,
    Cancel,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (code, one) = (0..WORDS.len(), 0..MEMBERS.len());
    prop_oneof![
        3 => (code.clone(), any::<bool>()).prop_map(|(code, other)| Step::Upload(code, other)),
        6 => (code.clone(), one.clone()).prop_map(|(code, one)| Step::Approve(code, one)),
        2 => (code.clone(), prop::option::of(one.clone())).prop_map(|(code, one)| Step::Deprecate(code, one)),
        1 => code.clone().prop_map(Step::Renew),
        3 => (code.clone(), one.clone()).prop_map(|(code, one)| Step::Quarantine(code, one)),
        3 => (code.clone(), one.clone()).prop_map(|(code, one)| Step::Resume(code, one)),
        2 => (code.clone(), one).prop_map(|(code, one)| Step::Point(code, one)),
        3 => code.prop_map(Step::Offer),
        1 => Just(Step::Withdraw),
        4 => Just(Step::Ask),
        3 => Just(Step::Start),
        2 => Just(Step::End),
        1 => Just(Step::Cancel),
        4 => (1..40_000u64).prop_map(Step::Wait),
    ]
}

fn governance(one: usize) -> String {
    format!("{} governance", MEMBERS[one])
}

/// The first lease in this state.
fn lease_in(world: &World, state: LeaseState) -> Option<LeaseId> {
    world.state.rows::<Leases>().find(|(_, lease)| lease.state == state).map(|(id, _)| *id)
}

fn signed(world: &World, step: &Step) -> Option<(String, Action)> {
    let code = |index: &usize| hash(WORDS[*index]);
    let bsc = || "bsc".to_owned();
    Some(match step {
        Step::Upload(index, other) => {
            (if *other { "tallinn".to_owned() } else { bsc() }, module(WORDS[*index]).into())
        }
        Step::Approve(index, one) => (governance(*one), ApproveContract { code: code(index) }.into()),
        Step::Deprecate(index, one) => {
            (one.map_or_else(bsc, governance), DeprecateContract { code: code(index) }.into())
        }
        Step::Renew(index) => (bsc(), renew(code(index))),
        Step::Quarantine(index, one) => {
            let reason = "why".to_owned();
            (governance(*one), QuarantineContract { code: code(index), reason }.into())
        }
        Step::Resume(index, one) => (governance(*one), ResumeContract { code: code(index) }.into()),
        Step::Point(index, one) => {
            (governance(*one), SetAlias { name: name("eu.script"), code: code(index) }.into())
        }
        Step::Offer(index) => (bsc(), offering(world, code(index))),
        Step::Withdraw => {
            let ((_, offer), ()) = world.state.rows::<hansa_ledger::tables::OffersOpen>().next()?;
            (bsc(), hansa_ledger::action::WithdrawOffer { offer: *offer }.into())
        }
        Step::Ask => {
            let demand = cash_demand(world);
            ("tallinn".to_owned(), hansa_ledger::action::PlaceRequest { demand }.into())
        }
        Step::Start => (bsc(), StartLease { lease: lease_in(world, LeaseState::Awarded)? }.into()),
        Step::End => {
            let lease = lease_in(world, LeaseState::Active)?;
            (bsc(), EndLease { lease, cumulative: None }.into())
        }
        Step::Cancel => {
            ("tallinn".to_owned(), CancelLease { lease: lease_in(world, LeaseState::Awarded)? }.into())
        }
        Step::Wait(_) => return None,
    })
}

/// What holds after every block, beside the books, which are checked with every block.
fn check(world: &World) {
    let mut deposits = 0u64;
    for (code, row) in world.state.rows::<Contracts>() {
        assert_eq!(world.balance(&AccountId::Deposit(*code)), row.deposit.0);
        deposits += row.deposit.0;
        let open = |lease: &Lease| lease.agreement.contract == *code && lease.state != LeaseState::Settled;
        let leases = world.state.rows::<Leases>().filter(|(_, lease)| open(lease)).count();
        assert_eq!(row.leases, leases as u64, "{code} counts its leases");
        let offers = world.state.rows::<hansa_ledger::tables::Offers>();
        let named = offers.filter(|(_, offer)| {
            offer.contract == *code && offer.state == hansa_ledger::row::OfferState::Open
        });
        assert_eq!(row.offers, named.count() as u64, "{code} counts its offers");
        if row.state != ContractState::Archived {
            assert!(has_code(world, *code));
        }
        assert_eq!(row.quarantined_from.is_some(), row.state == ContractState::Quarantined);
    }
    for (id, lease) in world.state.rows::<Leases>().filter(|(_, lease)| lease.state != LeaseState::Settled) {
        let code = lease.agreement.contract;
        assert!(has_code(world, code), "the code of {id} is gone");
        assert_ne!(row(world, code).state, ContractState::Archived);
    }
    let held = world.state.rows::<Accounts>().filter(|(id, _)| matches!(id, AccountId::Deposit(_)));
    assert_eq!(held.map(|(_, account)| account.balance.0).sum::<u64>(), deposits);
    for (code, _) in world.state.rows::<ContractCodes>() {
        assert!(world.state.get::<Contracts>(code).is_some(), "code of no contract");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_order_of_steps_strands_money_or_a_lease(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = world_with(hansa_ledger::params::Params {
            contract_approval_ms: 60_000,
            contract_life_ms: 120_000,
            contract_timelock_ms: 500,
            ..hansa_ledger::params::Params::testnet()
        });
        for step in steps {
            match (&step, signed(&world, &step)) {
                (Step::Wait(ms), _) => idle(&mut world, *ms),
                (_, Some((signer, action))) => drop(world.act(&signer, action)),
                _ => {}
            }
            check(&world);
        }
        // Left alone, every lease is settled, and what nobody approved or renewed has gone, with its deposit.
        pass(&mut world, |world| world.now.plus(600_000));
        check(&world);
        prop_assert!(world.state.rows::<Leases>().all(|(_, lease)| lease.state == LeaseState::Settled));
        let kept: Vec<_> = world.state.rows::<Contracts>()
            .filter(|(code, _)| **code != world.code)
            .map(|(_, row)| row.state)
            .collect();
        prop_assert!(kept.iter().all(|state| *state == ContractState::Archived), "{:?}", kept);
    }
}
