//! Any row can be shown to stand under the root that the members signed, and its absence too.

use crate::scene::{Scene, demand, place};
use crate::world::{World, key, member, name};
use hansa_ledger::action::{ClaimPayment, OpenDispute, PostOffer, TransferCash};
use hansa_ledger::apply::build_block;
use hansa_ledger::block::transaction_leaf;
use hansa_ledger::event::Event;
use hansa_ledger::id::{BlockId, Hash, TransactionId};
use hansa_ledger::market::Calendar;
use hansa_ledger::merkle;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::root::{Proof, ProofError, key_hash, value_hash, verify};
use hansa_ledger::row::{AccountId, PoolOwner, Purse};
use hansa_ledger::state::{State, Table, Tables};
use hansa_ledger::tables::{Accounts, Leases, Members, Settlements};
use hansa_ledger::time::Slot;
use std::collections::BTreeSet;

/// A block over the scene, and the state root in its header.
fn signed_root(scene: &mut Scene) -> Hash {
    let world = &mut scene.world;
    let transactions =
        [world.sign("tallinn", vec![TransferCash { to: scene.tartu, amount: Money(5) }.into()])];
    let time = world.now.plus(1);
    let (block, _) = build_block(
        &world.state,
        &world.runtime,
        world.chain,
        member("DE"),
        time,
        &transactions,
        &mut || true,
    )
    .unwrap();
    world.block(1, &transactions);
    assert_eq!(world.state.tip(), block.header.id());
    block.header.state_root
}

fn shown(
    world: &World,
    root: &Hash,
    table: u8,
    row_key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), ProofError> {
    let place = key_hash(table, row_key);
    let proof = world.state.trie().prove(&place);
    let bytes = borsh::to_vec(&proof).unwrap();
    assert!(bytes.len() <= 2_048, "a proof of {} bytes", bytes.len());
    let read: Proof = borsh::from_slice(&bytes).unwrap();
    verify(root, &place, value.map(value_hash).as_ref(), &read)
}

#[test]
fn every_row_of_every_table_is_shown_under_the_root_of_the_header() {
    let mut scene = Scene::new();
    // An award out of the reserve, so that aid stands somewhere too.
    let now = scene.world.now.slot(1);
    let offer = PostOffer {
        site: name("shared"),
        class: name("a100-64"),
        owner: Some(PoolOwner::Member(member("FR"))),
        ask: Price(1_800_000),
        calendar: Calendar::constant(now, Slot(now.0 + 3_600), 8),
        reserve_bps: Some(10_000),
        reserve_cycle_slots: None,
        contract: scene.world.code,
        contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap(),
        parties: Vec::new(),
    };
    scene.world.act("cea", offer).unwrap();
    scene.world.act("bsc", ClaimPayment { lease: scene.active }).unwrap();
    scene.world.act("tallinn", OpenDispute { lease: scene.ended, usage: 0, reason: 0 }).unwrap();
    let wanted = demand(&scene.world, Purse::Grant(scene.grant));
    place(&mut scene.world, "tallinn", wanted);
    scene.world.pass_until(|event| matches!(event, Event::AidGranted { .. }).then_some(()));
    // A claim, a dispute, and a transaction that a proposer has seen waiting.
    crate::withheld::list(&mut scene.world, &[TransactionId([7; 32])]);
    let root = signed_root(&mut scene);
    let world = &scene.world;
    let mut tables = BTreeSet::new();
    for (table, row_key, value) in world.rows() {
        assert_eq!(shown(world, &root, table, &row_key, Some(&value)), Ok(()), "table {table}");
        assert_eq!(world.state.tables().row_bytes(table, &row_key).as_deref(), Some(&value[..]));
        // Not with another value, not as absent, and not in another table.
        let other = [&value[..], &[0]].concat();
        assert_eq!(shown(world, &root, table, &row_key, Some(&other)), Err(ProofError::OtherValue));
        assert_eq!(shown(world, &root, table, &row_key, None), Err(ProofError::Present));
        assert_eq!(shown(world, &root, 200, &row_key, Some(&value)), Err(ProofError::Absent));
        tables.insert(table);
    }
    let all: BTreeSet<u8> = Tables::NAMES.iter().map(|(table, _)| *table).collect();
    assert_eq!(tables, all, "the scene has a row in every table");
}

#[test]
fn what_is_not_there_is_shown_to_be_absent() {
    let mut scene = Scene::new();
    let root = signed_root(&mut scene);
    let world = &scene.world;
    let absent = [
        (Members::ID, borsh::to_vec(&member("PL")).unwrap()),
        (Accounts::ID, borsh::to_vec(&AccountId::Cash(scene.gone)).unwrap()),
        (Settlements::ID, borsh::to_vec(&scene.active).unwrap()),
        (4, borsh::to_vec(&key("nobody").public_key()).unwrap()),
        (8, borsh::to_vec(&(member("EE"), name("no-such-deposit"))).unwrap()),
    ];
    for (table, row_key) in absent {
        assert_eq!(shown(world, &root, table, &row_key, None), Ok(()), "table {table}");
        assert_eq!(shown(world, &root, table, &row_key, Some(&[])), Err(ProofError::Absent));
        assert_eq!(world.state.tables().row_bytes(table, &row_key), None);
    }
}

#[test]
fn a_proof_of_an_earlier_height_does_not_hold_later() {
    let mut scene = Scene::new();
    let account = key_hash(Accounts::ID, &borsh::to_vec(&AccountId::Cash(scene.tallinn)).unwrap());
    let before = (scene.world.state.root(), scene.world.state.trie().prove(&account));
    let old =
        borsh::to_vec(scene.world.state.get::<Accounts>(&AccountId::Cash(scene.tallinn)).unwrap()).unwrap();
    let root = signed_root(&mut scene);
    assert_ne!(before.0, root);
    assert_eq!(verify(&before.0, &account, Some(&value_hash(&old)), &before.1), Ok(()));
    assert_eq!(verify(&root, &account, Some(&value_hash(&old)), &before.1), Err(ProofError::OtherRoot));
    let now = scene.world.state.trie().prove(&account);
    assert_eq!(verify(&root, &account, Some(&value_hash(&old)), &now), Err(ProofError::OtherValue));
}

#[test]
fn a_state_loaded_from_its_rows_in_any_order_is_the_same() {
    let scene = Scene::new();
    let (state, mut rows) = (&scene.world.state, scene.world.rows());
    rows.reverse();
    let loaded = State::load(rows.clone(), state.tip()).unwrap();
    assert_eq!((loaded.root(), loaded.tip()), (state.root(), state.tip()));
    let mut again = Vec::new();
    loaded.tables().each_row(|table, row_key, value| again.push((table, row_key, value)));
    assert!(again == scene.world.rows());
    assert_eq!(loaded.get::<Leases>(&scene.active), state.get::<Leases>(&scene.active));
    // One row less, or one byte more, is seen.
    let less = State::load(rows[1..].to_vec(), BlockId([0; 32])).unwrap();
    assert_ne!(less.root(), state.root());
    type Spoil = fn(&mut (u8, Vec<u8>, Vec<u8>));
    let spoils: [Spoil; 3] = [|row| row.0 = 99, |row| row.1.push(0), |row| row.2.push(0)];
    for spoil in spoils {
        let mut rows = rows.clone();
        spoil(&mut rows[0]);
        assert!(State::load(rows, BlockId([0; 32])).is_err());
    }
}

#[test]
fn transactions_and_receipts_are_shown_under_the_roots_of_the_header() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let transactions: Vec<_> = (1..=5)
        .map(|amount| {
            world.sign("tallinn", vec![TransferCash { to: scene.tartu, amount: Money(amount) }.into()])
        })
        .collect();
    let time = world.now.plus(1);
    let (block, outcome) = build_block(
        &world.state,
        &world.runtime,
        world.chain,
        member("DE"),
        time,
        &transactions,
        &mut || true,
    )
    .unwrap();
    let lists = [
        (block.header.transactions_root, block.transactions.iter().map(transaction_leaf).collect::<Vec<_>>()),
        (block.header.receipts_root, outcome.receipts.leaves()),
    ];
    // The first leaf of the receipts is what happened by itself.
    assert_eq!(lists[1].1.len(), 6);
    for (root, leaves) in lists {
        for (index, leaf) in leaves.iter().enumerate() {
            let proof = merkle::prove(&leaves, index).unwrap();
            let (place, count) = (index as u64, leaves.len() as u64);
            assert_eq!(merkle::verify(&root, leaf, place, count, &proof), Ok(()));
            assert!(
                merkle::verify(&root, &leaves[(index + 1) % leaves.len()], place, count, &proof).is_err()
            );
        }
    }
}
