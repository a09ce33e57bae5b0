use crate::scene::*;
use crate::world::*;
use hansa_ledger::action::*;
use hansa_ledger::event::Event;
use hansa_ledger::id::LeaseId;
use hansa_ledger::money::*;
use hansa_ledger::params::Params;
use hansa_ledger::row::*;
use hansa_ledger::tables::*;
use hansa_ledger::time::*;
#[test]
fn probe_cancel() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let usages = vec![LeaseUsage { lease: scene.active, cumulative: 4 }];
    let events = world
        .run("bsc", vec![ReportUsage { usages }.into(), CancelLease { lease: scene.active }.into()])
        .unwrap();
    println!("{events:#?}");
}
#[test]
fn probe_cap() {
    let mut world = World::with(Params { cap_bps: 2_500, ..Params::testnet() });
    world.provider("ES", "bsc", 64, 180);
    for n in ["a", "b", "c", "d"] {
        world.accredit("EE", n, OrganisationClass::Sme);
        world.deposit("EE", n, 100);
    }
    let mut ids = vec![];
    for n in ["a", "b", "c"] {
        let mut d = demand(&world, Purse::Cash);
        d.quantity = 16;
        d.quantity_min = 16;
        d.slots = 3590;
        d.limit = Price(1_800_000);
        ids.push(place(&mut world, n, d));
        world.pass_until(|e| matches!(e, Event::BatchCleared { .. }).then_some(()));
        println!(
            "{n} {:?} {:?}",
            world.state.get::<Leases>(&LeaseId::derive(ids.last().unwrap())).is_some(),
            world.state.get::<Requests>(ids.last().unwrap()).unwrap().unmatched
        );
    }
    let _ = Slot(0);
}
#[test]
fn probe_consensus_key() {
    let mut s = Scene::new();
    println!(
        "{:?}",
        s.world.act(
            "bsc",
            SetKey { key: key("DE consensus").public_key(), roles: Roles::BID, amount_max: None }
        )
    );
}
