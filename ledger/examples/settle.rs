//! Measure how many usage records a block settles by the `spot` contract in its virtual machine, signatures aside:
//! `cargo run --release -p hansa-ledger --example settle -- 1000`, with a second number for more rounds than nine.
//!
//! Each record is the final usage of one lease. The requester countersigns all of them in one block, and each is settled there:
//! facts, a call of the contract in an instance of its own, the checks of its answer, payments by double entry, refunds, the
//! settlement row, the state root and the invariants. The block is executed as a member does that did not make it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code)]
#[path = "support/engine.rs"]
mod engine;
#[allow(dead_code)]
#[path = "../tests/it/world.rs"]
mod world;

use hansa_ledger::action::{
    Action, CountersignUsage, EndLease, LeaseUsage, PlaceRequest, PostOffer, StartLease,
};
use hansa_ledger::apply::{apply_block, build_block};
use hansa_ledger::genesis::GenesisContract;
use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::market::Calendar;
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::Price;
use hansa_ledger::params::Params;
use hansa_ledger::row::{Demand, LeaseState, OrganisationClass, Purpose, Purse, Source};
use hansa_ledger::tables::{Leases, Settlements};
use hansa_ledger::time::Slot;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_signature::{Cache, Verified};
use std::time::Instant;
use world::{World, member, name};

/// Rounds that count unless told otherwise, after one that warms up.
const ROUNDS: usize = 9;

/// Seconds of every lease, and what one accelerator delivers in the part of it that is used.
const SLOTS: u32 = 60;
const USED: u64 = 4;

fn main() {
    let count: u32 = std::env::args().nth(1).map_or(1_000, |count| count.parse().unwrap());
    let rounds: usize = std::env::args().nth(2).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut world = federation(count);
    let leases = ended(&mut world, count);
    let agree = countersignatures(&mut world, &leases);
    let time = world.now.plus(1);
    let (block, outcome) =
        build_block(&world.state, &world.runtime, world.chain, member("DE"), time, &agree, &mut || true)
            .unwrap();
    assert_eq!(block.transactions.len(), agree.len(), "all of them stand in one block");
    assert!(outcome.receipts.transactions.iter().all(|receipt| receipt.code == 0));
    let apply = || apply_block(&world.state, &world.runtime, world.chain, &block.header, &agree).unwrap();
    let mut times: Vec<f64> = (0..=rounds)
        .map(|_| {
            let began = Instant::now();
            let outcome = std::hint::black_box(apply());
            let took = began.elapsed().as_secs_f64();
            drop(outcome);
            took
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    world.state.commit(outcome.changes, block.header.id());
    let settled = world.state.rows::<Settlements>().map(|(_, row)| row);
    let (number, fuel) = settled.fold((0, 0), |(number, fuel), row| {
        assert_eq!(row.failure, None, "the contract decided, not the fallback");
        (number + 1, fuel + row.fuel)
    });
    assert_eq!(number, count);
    let (middle, per_record) = (times[rounds / 2], 1e6 / f64::from(count));
    println!(
        "{count} usage records settled by the contract in one block: {:.2} us each ({:.2} to {:.2}, of {rounds}), {:.0} per s, \
         {} fuel each",
        middle * per_record,
        times[0] * per_record,
        times[rounds - 1] * per_record,
        f64::from(count) / middle,
        fuel / u64::from(count)
    );
}

/// Four members with the real module, a site with one accelerator for each lease, and a requester with money.
fn federation(count: u32) -> World {
    let mut genesis = world::genesis(Params {
        reserve_bps_min: 0,
        cap_bps: 10_000,
        organisation_requests_max: count.max(1_000),
        block_fuel_max: 10_000_000_000,
        lease_start_window_ms: 600_000,
        ..Params::testnet()
    });
    genesis.vm_profile = hansa_contracts_host::vm_profile();
    let spot = hansa_contracts_bundle::SPOT;
    genesis.contracts = vec![GenesisContract { name: name("spot"), code: spot.to_vec() }];
    let mut world = World::from(&genesis);
    world.code = CodeHash(*blake3::hash(spot).as_bytes());
    world.site("ES", "bsc", count);
    let from = world.now.slot(1);
    let calendar = Calendar::constant(from, Slot(from.0 + 36_000), count);
    let offer = PostOffer { calendar, ..world.offer_of(count, 180) };
    world.run("bsc", vec![offer.into()]).unwrap();
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 1_000);
    world
}

/// So many leases that were used and have ended.
fn ended(world: &mut World, count: u32) -> Vec<LeaseId> {
    let start = Slot(world.now.slot(1).0 + 30);
    let demand = Demand {
        class: name("a100-64"),
        quantity: 1,
        quantity_min: 1,
        slots: SLOTS,
        start_min: start,
        start_max: start,
        limit: Price(3_600_000),
        countries: CountrySet::default(),
        certificates: 0,
        tier_min: 0,
        purpose: Purpose::Innovation,
        sources: vec![Source { purse: Purse::Cash, share_bps: 10_000 }],
        job: None,
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    };
    let places = (0..count).map(|_| PlaceRequest { demand: demand.clone() }.into()).collect();
    run_all(world, "tallinn", places, 1);
    while world.state.rows::<Leases>().count() < count as usize {
        world.pass_deadline();
    }
    let leases: Vec<LeaseId> = world.state.rows::<Leases>().map(|(id, _)| *id).collect();
    let wait = world.state.get::<Leases>(&leases[0]).unwrap().agreement.start.0 - world.now.0;
    run_all(world, "bsc", leases.iter().map(|lease| StartLease { lease: *lease }.into()).collect(), wait);
    let end = |lease: &LeaseId| EndLease { lease: *lease, cumulative: Some(USED) }.into();
    run_all(world, "bsc", leases.iter().map(end).collect(), USED * 1_000);
    for lease in &leases {
        assert_eq!(world.state.get::<Leases>(lease).unwrap().state, LeaseState::Ended);
    }
    leases
}

/// Carries out actions in one block, as many in a transaction as may be.
fn run_all(world: &mut World, signer: &str, actions: Vec<Action>, after_ms: u64) {
    let most = world.params().transaction_actions_max as usize;
    let signed: Vec<_> = actions.chunks(most).map(|chunk| world.sign(signer, chunk.to_vec())).collect();
    let receipts = world.block(after_ms, &signed);
    assert!(receipts.transactions.iter().all(|receipt| receipt.code == 0), "every action is carried out");
}

/// What the requester signs for all of them.
fn countersignatures(world: &mut World, leases: &[LeaseId]) -> Vec<Verified<SignedTransaction>> {
    let mut cache = Cache::new(1_000);
    leases
        .chunks(1_000)
        .enumerate()
        .map(|(number, chunk)| {
            let usages = chunk.iter().map(|lease| LeaseUsage { lease: *lease, cumulative: USED }).collect();
            let mut transaction = world.envelope("tallinn", vec![CountersignUsage { usages }.into()]);
            transaction.nonce += number as u64;
            cache.verify(transaction.sign(&world::key("tallinn"))).unwrap()
        })
        .collect()
}
