//! Measure a block in which no batch is due, over a class in which many requests wait:
//! `cargo run --release -p hansa-ledger --example quiet -- 1000000`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code)]
#[path = "../tests/it/engine.rs"]
mod engine;
#[allow(dead_code)]
#[path = "../tests/it/scripted.rs"]
mod scripted;
#[allow(dead_code)]
#[path = "../tests/it/world.rs"]
mod world;

use hansa_ledger::action::PlaceRequest;
use hansa_ledger::apply::build_block;
use hansa_ledger::event::Event;
use hansa_ledger::id::RequestId;
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::{Demand, OrganisationClass, Purpose, Purse, Request, Source};
use hansa_ledger::tables::{Classes, Requests, RequestsOpen};
use hansa_ledger::time::Slot;
use std::time::Instant;
use world::{World, member, name};

/// Rounds that count, after one that warms up.
const ROUNDS: usize = 9;

fn main() {
    let count: u32 = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().unwrap());
    let mut world = World::new();
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 100);
    let start = world.now.slot(1).0 + 3_000;
    let demand = Demand {
        class: name("a100-64"),
        quantity: 2,
        quantity_min: 2,
        slots: 10,
        start_min: Slot(start),
        start_max: Slot(start + 600),
        limit: Price(1_000_000),
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
    world.run("tallinn", vec![PlaceRequest { demand }.into()]).unwrap();
    world.pass_until(|event| matches!(event, Event::BatchCleared { .. }).then_some(()));
    let waiting = world.state.rows::<RequestsOpen>().map(|((_, id), ())| *id).next().unwrap();
    let row = Request { locked: Money::ZERO, ..world.state.get::<Requests>(&waiting).unwrap().clone() };
    let mut view = world.state.view();
    for number in 0..count {
        let id = RequestId(*blake3::hash(&number.to_be_bytes()).as_bytes());
        view.put::<Requests>(id, row.clone());
        view.put::<RequestsOpen>((name("a100-64"), id), ());
    }
    let changes = view.into_changes(world.state.trie());
    let tip = world.state.tip();
    world.state.commit(changes, tip);
    assert_eq!(world.state.get::<Classes>(&name("a100-64")).unwrap().batch_due, None);

    let time = world.now.plus(30_000);
    let mut times: Vec<f64> = (0..=ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let built =
                build_block(&world.state, &world.runtime, world.chain, member("DE"), time, &[], &mut || true);
            let took = began.elapsed().as_secs_f64() * 1_000.0;
            let (_, outcome) = built.unwrap();
            assert!(outcome.receipts.deadlines.is_empty(), "no batch is held");
            took
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{} requests wait, no batch is due: a block takes {:.3} ms ({:.3} to {:.3}, of {ROUNDS})",
        world.state.rows::<RequestsOpen>().count(),
        times[ROUNDS / 2],
        times[0],
        times[ROUNDS - 1]
    );
}
