//! What the books must hold after every block, computed from the rows and not by the ledger's own checks.

use super::request_of;
use crate::world::World;
use hansa_ledger::lease::exposure;
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{AccountId, LeaseState, Purse, RequestState};
use hansa_ledger::tables::{Accounts, Grants, Leases, Members, Organisations, Requests, Settlements};
use std::collections::BTreeMap;

/// `deposits`: what each member attested so far, in uEUR.
pub fn check_books(world: &World, deposits: &BTreeMap<MemberCode, u64>) {
    check_members(world);
    check_grants(world, deposits);
    check_escrows(world);
    check_settlements(world);
    for (id, row) in world.state.rows::<Organisations>() {
        let open = world.state.rows::<Requests>();
        let open = open.filter(|(_, one)| one.organisation == *id && one.state == RequestState::Open).count();
        assert_eq!(row.requests_open as usize, open, "open requests of {}", row.name);
    }
}

/// I1, I2: positions sum to zero; none is past its cap, with what leases hold of it, and leases hold what they may cost.
fn check_members(world: &World) {
    let mut positions = 0;
    for (code, member) in world.state.rows::<Members>() {
        positions += member.position;
        let headroom = member.position - i128::from(member.locked.0) + i128::from(member.debit_cap.0);
        assert!(headroom >= 0, "{code} is {headroom} past its debit cap");
        let open = world.state.rows::<Leases>();
        let open =
            open.filter(|(_, lease)| lease.requester_home == *code && lease.state != LeaseState::Settled);
        let held: u64 = open.map(|(_, lease)| exposure(lease).0).sum();
        // And what is held back of a settled lease's pay, where it will go abroad.
        let back = world.state.rows::<Leases>().filter(|(_, lease)| lease.state == LeaseState::Settled);
        let back = back.filter(|(_, one)| one.requester_home == *code && one.provider_home != *code);
        let held = held + back.map(|(_, lease)| lease.held().0).sum::<u64>();
        assert_eq!(member.locked.0, held, "what leases hold of the cap of {code}");
    }
    assert_eq!(positions, 0);
    assert!(
        world.state.rows::<Accounts>().all(|(_, account)| account.balance.0 > 0),
        "an empty account has a row"
    );
}

/// I8: what a member granted is spent, locked, free or returned.
fn check_grants(world: &World, deposits: &BTreeMap<MemberCode, u64>) {
    for (code, member) in world.state.rows::<Members>() {
        let mut held = 0u64;
        for (account, row) in world.state.rows::<Accounts>().filter(|(_, row)| row.home == *code) {
            held += match account {
                AccountId::Grant(_) | AccountId::Line(..) => row.balance.0,
                AccountId::Escrow(request, index) => {
                    let request = world.state.get::<Requests>(request).unwrap();
                    match request.demand.sources[usize::from(*index)].purse {
                        Purse::Grant(_) => row.balance.0,
                        Purse::Cash => 0,
                    }
                }
                AccountId::Cash(_)
                | AccountId::Fees
                | AccountId::Deposit(_)
                | AccountId::Stake(_)
                | AccountId::Bond(_) => 0,
            };
        }
        let leases = world.state.rows::<Leases>().filter(|(_, lease)| lease.requester_home == *code);
        let sources = leases.flat_map(|(_, lease)| &lease.sources);
        let spent: u64 =
            sources.filter(|one| matches!(one.purse, Purse::Grant(_))).map(|one| one.paid.0).sum();
        let granted = member.issued.0 - deposits.get(code).copied().unwrap_or(0);
        assert_eq!(granted, spent + held, "grants of {code}");
    }
    for (id, grant) in world.state.rows::<Grants>() {
        let free = world.balance(&AccountId::Grant(*id));
        assert!(free <= grant.amount.0 && (!grant.closed || free == 0), "grant {id} holds {free}");
    }
}

/// Escrows hold what their open request locked or their lease did not pay yet, and stand under nothing else.
fn check_escrows(world: &World) {
    let mut escrows: BTreeMap<_, u64> = BTreeMap::new();
    for (account, row) in world.state.rows::<Accounts>() {
        if let AccountId::Escrow(request, _) = account {
            *escrows.entry(*request).or_default() += row.balance.0;
        }
    }
    for (id, request) in world.state.rows::<Requests>() {
        let held = escrows.remove(id).unwrap_or(0);
        let lease = request.lease.and_then(|lease| world.state.get::<Leases>(&lease));
        let expected = match (request.state, lease) {
            (RequestState::Open, _) => request.locked.0,
            (RequestState::Awarded, Some(lease)) if lease.state != LeaseState::Settled => lease.locked.0,
            (_, lease) => lease.map_or(0, |lease| lease.held().0),
        };
        assert_eq!(held, expected, "escrow of request {id}");
    }
    assert!(escrows.is_empty());
}

/// I4, I5: a lease is settled once, and payments and refunds are exactly what it had locked.
fn check_settlements(world: &World) {
    for (id, lease) in world.state.rows::<Leases>() {
        let settlement = world.state.get::<Settlements>(id);
        assert_eq!(settlement.is_some(), lease.state == LeaseState::Settled, "settlement of {id}");
        let Some(settlement) = settlement else { continue };
        let sum = |list: &[hansa_ledger::row::Payment]| list.iter().map(|one| one.amount.0).sum::<u64>();
        let (paid, refunded) = (sum(&settlement.payments), sum(&settlement.refunds));
        let back = lease.holdback.as_ref().map_or(0, |back| back.amount.0);
        assert_eq!(paid + refunded + back, lease.locked.0, "settlement of {id}");
        let moved = lease.sources.iter().map(|source| source.paid.0).sum::<u64>();
        match &lease.holdback {
            Some(one) if one.released && one.objected => assert!((paid..=paid + back).contains(&moved)),
            Some(one) if one.released => assert_eq!((moved, lease.held().0), (paid + back, 0)),
            _ => assert_eq!((moved, lease.held().0), (paid, back)),
        }
        let paid = paid + back;
        // Not more than the price for what was reported, rounded down, whatever the reports were.
        let due = u128::from(lease.agreement.price.0) * u128::from(lease.reported) / 3_600;
        assert!(u128::from(paid) <= due, "{id} paid {paid} for {due}");
        assert!(
            settlement.payments.iter().all(|one| {
                matches!(one.from, AccountId::Escrow(from, _) if from == request_of(world, id))
            })
        );
    }
}

/// When everything has come to its end: no escrow, and nothing held of any cap.
pub fn check_nothing_locked(world: &World) {
    assert!(!world.state.rows::<Accounts>().any(|(account, _)| matches!(account, AccountId::Escrow(..))));
    assert!(world.state.rows::<Members>().all(|(_, member)| member.locked.0 == 0));
}
