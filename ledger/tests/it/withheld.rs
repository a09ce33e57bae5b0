//! Against censorship: what proposers list as waiting, and who is named when it is left out.

use crate::world::{World, genesis, key, member, office};
use hansa_ledger::action::{Action, TransferCash};
use hansa_ledger::apply::{BlockError, Proposal, apply_listing, build_listing, chain};
use hansa_ledger::block::Block;
use hansa_ledger::event::Event;
use hansa_ledger::genesis::GenesisMember;
use hansa_ledger::id::TransactionId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::row::OrganisationClass;
use hansa_ledger::tables::{Proposers, Waits};
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger::waiting::{WAITING_MAX, WAITS_MAX, waiting_root};
use hansa_ledger_signature::Verified;

const FOUR: [&str; 4] = ["DE", "EE", "ES", "FR"];
const SEVEN: [&str; 7] = ["AT", "DE", "EE", "ES", "FI", "FR", "IT"];

/// A federation of these members, and somebody who pays.
fn world(codes: &[&str], params: Params) -> World {
    let members = codes.iter().map(|code| GenesisMember {
        code: member(code),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        registrar: office(1, &[&format!("{code} registrar")]),
        treasury: office(1, &[&format!("{code} treasury")]),
        governance: office(1, &[&format!("{code} governance")]),
        issue_limit: Money(1_000_000_000_000),
        debit_cap: Money(1_000_000_000),
    });
    let mut world =
        World::from(&hansa_ledger::genesis::Genesis { members: members.collect(), ..genesis(params) });
    for number in ["payer", "payee"] {
        world.accredit("EE", number, OrganisationClass::Sme);
    }
    world.deposit("EE", "payer", 1_000);
    world
}

fn payment(world: &mut World) -> Verified<SignedTransaction> {
    let to = world.organisation("EE", "payee");
    world.sign("payer", vec![Action::from(TransferCash { to, amount: Money(1) })])
}

fn id(number: u16) -> TransactionId {
    let mut bytes = [0xee; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    TransactionId(bytes)
}

/// The next block, by this member, of these transactions, listing what it has seen; executed twice and compared.
fn block(
    world: &mut World,
    proposer: &str,
    candidates: &[Verified<SignedTransaction>],
    seen: &[TransactionId],
) -> (Block, Vec<Event>) {
    world.now = world.now.plus(if candidates.is_empty() { world.params().heartbeat_ms } else { 1 });
    let proposal = Proposal { proposer: member(proposer), time: world.now, candidates, seen };
    let (block, outcome) =
        build_listing(&world.state, &world.runtime, world.chain, &proposal, &mut || true).unwrap();
    let again =
        apply_listing(&world.twin, &world.runtime, world.chain, &block.header, candidates, &block.waiting)
            .unwrap();
    assert_eq!(again.changes.rows(), outcome.changes.rows());
    let block_id = block.header.id();
    world.state.commit(outcome.changes, block_id);
    world.twin.commit(again.changes, block_id);
    let mut told = outcome.receipts.deadlines;
    told.retain(|event| matches!(event, Event::TransactionWithheld { .. }));
    (block, told)
}

/// The next block, which lists these.
pub fn list(world: &mut World, seen: &[TransactionId]) {
    block(world, "DE", &[], seen);
}

fn followed(world: &World) -> Vec<TransactionId> {
    world.state.rows::<Waits>().map(|(id, _)| *id).collect()
}

fn members(codes: &[&str]) -> Vec<MemberCode> {
    codes.iter().map(|code| member(code)).collect()
}

#[test]
fn what_enough_members_list_and_nobody_includes_is_told_with_those_who_proposed() {
    // Of four members two are enough, of seven three; the last of them counts only once.
    for (codes, listers, others) in [
        (&FOUR[..], &["EE", "ES"][..], &["DE", "FR"][..]),
        (&SEVEN[..], &["EE", "EE", "ES", "IT"][..], &["AT", "DE", "FI"][..]),
    ] {
        let mut world = world(codes, Params { withheld_heights: 4, ..Params::testnet() });
        let listed = id(1);
        for (place, lister) in listers.iter().enumerate() {
            assert!(block(&mut world, lister, &[], &[listed]).1.is_empty());
            let since = world.state.get::<Waits>(&listed).unwrap().since;
            assert_eq!(since.is_some(), place + 1 == listers.len(), "{codes:?} after {lister}");
        }
        let since = chain(&world.state).height;
        // Four heights pass, by members that do not include it.
        for place in 0..4 {
            assert!(block(&mut world, others[place % 2], &[], &[]).1.is_empty());
        }
        assert_eq!(followed(&world), [listed]);
        let told = block(&mut world, others[others.len() - 1], &[], &[]).1;
        let mut listed_by = members(listers);
        listed_by.dedup();
        // The block it is told in comes too late for its proposer to be one of them.
        let proposers = members(&others[..2]);
        assert_eq!(told, [Event::TransactionWithheld { transaction: listed, since, listed_by, proposers }]);
        assert!(followed(&world).is_empty());
        assert!(world.state.rows::<Proposers>().next().is_none(), "nothing is followed any more");
    }
}

#[test]
fn what_is_included_in_time_is_told_of_by_nobody() {
    let params = Params { withheld_heights: 4, heartbeat_ms: 1_000, ..Params::testnet() };
    let mut world = world(&FOUR, params);
    let payment = payment(&mut world);
    for proposer in ["EE", "ES", "DE", "FR", "DE"] {
        let seen = if proposer.starts_with('E') { vec![payment.id()] } else { Vec::new() };
        block(&mut world, proposer, &[], &seen);
    }
    assert!(world.state.get::<Waits>(&payment.id()).unwrap().since.is_some());
    // The last height that is in time.
    let (made, _) = block(&mut world, "DE", std::slice::from_ref(&payment), &[payment.id()]);
    assert!(made.waiting.is_empty(), "what the block holds is not listed in it");
    assert!(followed(&world).is_empty());
    for _ in 0..6 {
        assert!(block(&mut world, "FR", &[], &[]).1.is_empty());
    }
}

#[test]
fn what_too_few_list_is_forgotten() {
    for (codes, listers) in [(&FOUR[..], &["EE"][..]), (&SEVEN[..], &["EE", "ES"][..])] {
        let mut world = world(codes, Params { withheld_heights: 2, ..Params::testnet() });
        for lister in listers {
            block(&mut world, lister, &[], &[id(1)]);
        }
        // Four heights without anybody who lists it, and the fifth forgets it.
        for _ in 0..4 {
            assert!(block(&mut world, "DE", &[], &[]).1.is_empty());
            assert_eq!(followed(&world), [id(1)]);
            assert!(world.state.rows::<Proposers>().count() <= 3);
        }
        assert!(block(&mut world, "DE", &[], &[]).1.is_empty());
        assert!(followed(&world).is_empty());
    }
}

#[test]
fn rows_are_bounded_and_one_member_crowds_nothing_out() {
    let mut world = world(&FOUR, Params { withheld_heights: 1_000, ..Params::testnet() });
    block(&mut world, "DE", &[], &[id(0)]);
    block(&mut world, "FR", &[], &[id(0)]);
    block(&mut world, "FR", &[], &[id(1)]);
    let per_block = u16::try_from(WAITING_MAX).unwrap();
    let blocks = u16::try_from(WAITS_MAX / WAITING_MAX).unwrap();
    for number in 0..blocks {
        let first = 1_000 + number * per_block;
        let seen: Vec<TransactionId> = (first..first + per_block + 1).map(id).collect();
        let (made, _) = block(&mut world, "ES", &[], &seen);
        assert_eq!(made.waiting, seen[..WAITING_MAX]);
    }
    let rows = followed(&world);
    assert_eq!(rows.len(), WAITS_MAX);
    // What two have listed stays; what one has listed goes, the oldest first.
    assert!(rows.contains(&id(0)) && !rows.contains(&id(1)));
    assert!(!rows.contains(&id(1_000)) && rows.contains(&id(1_000 + blocks * per_block - 1)));
}

#[test]
fn a_list_is_part_of_what_makes_a_block_valid_and_never_a_reason_for_one() {
    let mut world = world(&FOUR, Params::testnet());
    let payment = payment(&mut world);
    let proposer = member("DE");
    let time = world.now.plus(1);
    let make = |candidates: &[Verified<SignedTransaction>], seen: &[TransactionId]| {
        let proposal = Proposal { proposer, time, candidates, seen };
        build_listing(&world.state, &world.runtime, world.chain, &proposal, &mut || true)
    };
    assert!(matches!(make(&[], &[id(1)]), Err(BlockError::Needless)), "no block merely for a list");
    let candidates = [payment.clone()];
    let (made, _) = make(&candidates, &[id(9), payment.id(), id(3)]).unwrap();
    assert_eq!(made.waiting, [id(3), id(9)]);
    assert_eq!(made.header.waiting_root, waiting_root(&[id(3), id(9)]));
    let apply = |block: &Block, waiting: &[TransactionId]| {
        let outcome =
            apply_listing(&world.state, &world.runtime, world.chain, &block.header, &candidates, waiting);
        outcome.err()
    };
    assert_eq!(apply(&made, &made.waiting), None);
    let many: Vec<TransactionId> = (0..257).map(id).collect();
    for (waiting, expected) in [
        (vec![], BlockError::Header("waiting root")),
        (vec![id(3)], BlockError::Header("waiting root")),
        (vec![id(9), id(3)], BlockError::Waiting),
        (vec![id(3), id(3)], BlockError::Waiting),
        (vec![payment.id()], BlockError::Waiting),
        (many, BlockError::Waiting),
    ] {
        assert_eq!(apply(&made, &waiting), Some(expected), "{waiting:?}");
    }
    assert_eq!(Block::decode(&made.encode()), Ok(made));
}

#[test]
fn what_may_stand_in_no_block_is_not_listed() {
    let mut world = world(&FOUR, Params::testnet());
    let (one, _) = (payment(&mut world), payment(&mut world));
    let late = payment(&mut world);
    // The second is missing, so the third may not stand in the block.
    let candidates = [one.clone(), late.clone()];
    let seen = [late.id(), one.id(), id(5)];
    let proposal =
        Proposal { proposer: member("DE"), time: world.now.plus(1), candidates: &candidates, seen: &seen };
    let (made, _) =
        build_listing(&world.state, &world.runtime, world.chain, &proposal, &mut || true).unwrap();
    assert_eq!((made.transactions.len(), made.waiting), (1, vec![id(5)]));
}
