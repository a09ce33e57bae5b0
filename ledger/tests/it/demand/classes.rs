//! One request for any of several classes: it waits for all of them, and at most one serves it.

use super::{batch, capacity, lease, request};
use crate::scene::{demand, place};
use crate::world::{World, name};
use hansa_ledger::action::CancelRequest;
use hansa_ledger::batch::class_subject;
use hansa_ledger::event::Event;
use hansa_ledger::id::RequestId;
use hansa_ledger::market::Reason;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Alternative, Demand, OrganisationClass, Purse, RequestState};
use hansa_ledger::tables::{Classes, RequestsOpen};
use hansa_ledger::time::Slot;

/// A class that comes after `a100-64` by name, and before it by the hash that stands for it in deadlines.
fn later() -> Name {
    let first = class_subject(&name("a100-64"));
    (0..64).map(|number| name(&format!("h100-{number}"))).find(|class| class_subject(class) < first).unwrap()
}

/// Spanish accelerators of two classes, at 1.80 and 3.00 EUR/h, and a bidder with cash.
fn world() -> World {
    let mut world = World::new();
    world.provider("ES", "bsc", 64, 180);
    capacity(&mut world, "ES", "bsc", &later(), 32, 300);
    world.accredit("EE", "one", OrganisationClass::Sme);
    world.deposit("EE", "one", 100);
    world
}

fn either(world: &World, limit_cents: u64, other_cents: u64) -> Demand {
    let other = Alternative { class: later(), limit: Price(other_cents * 10_000) };
    Demand { limit: Price(limit_cents * 10_000), any_of: vec![other], ..demand(world, Purse::Cash) }
}

fn waits_for(world: &World, id: &RequestId) -> Vec<Name> {
    let open = world.state.rows::<RequestsOpen>().filter(|((_, request), ())| request == id);
    open.map(|((class, _), ())| class.clone()).collect()
}

#[test]
fn it_waits_for_all_its_classes_and_locks_the_most_that_one_may_need() {
    let mut world = world();
    let wanted = either(&world, 100, 200);
    let id = place(&mut world, "one", wanted);
    assert_eq!(waits_for(&world, &id), [name("a100-64"), later()]);
    let row = request(&world, &id);
    // Twenty accelerator-seconds at the higher of the limits.
    assert_eq!(row.locked, Price(2_000_000).charge(20).unwrap());
    assert_eq!(row.admitted_epochs, [0, 0]);
    batch(&mut world);
    // Each class says why, by name, with its own numbers.
    let row = request(&world, &id);
    let found: Vec<_> = row
        .unmatched
        .iter()
        .map(|one| (one.class.clone(), one.unmatched.reason, one.unmatched.detail.cheapest_ask))
        .collect();
    let below = |class, ask| (class, Reason::LimitBelowPrice, Some(Price(ask)));
    assert_eq!(found, [below(name("a100-64"), 1_800_000), below(later(), 3_000_000)]);
    // Taken back, it leaves all of them.
    let mut cancelled = world.fork();
    cancelled.act("one", CancelRequest { request: id }).unwrap();
    assert!(waits_for(&cancelled, &id).is_empty());
    // So it does when its window passes.
    while request(&world, &id).state == RequestState::Open {
        world.pass_deadline();
    }
    assert_eq!(request(&world, &id).state, RequestState::Expired);
    assert!(waits_for(&world, &id).is_empty());
}

#[test]
fn of_two_classes_that_could_serve_it_the_first_by_name_does_and_the_other_sees_it_gone() {
    let mut world = world();
    let wanted = either(&world, 400, 400);
    let id = place(&mut world, "one", wanted);
    let events = batch(&mut world);
    let cleared: Vec<(Name, u32, u32)> = events
        .iter()
        .filter_map(|event| match event {
            Event::BatchCleared { class, trades, unmatched, .. } => {
                Some((class.clone(), *trades, *unmatched))
            }
            _ => None,
        })
        .collect();
    assert_eq!(cleared, [(name("a100-64"), 1, 0), (later(), 0, 0)]);
    assert_eq!(lease(&world, &id).unwrap().class, name("a100-64"));
    let row = request(&world, &id);
    assert_eq!(row.state, RequestState::Awarded);
    let [other] = &row.unmatched[..] else { panic!("{:?}", row.unmatched) };
    assert_eq!((&other.class, other.unmatched.reason), (&later(), Reason::AlternativeServed));
    assert!(waits_for(&world, &id).is_empty());
}

#[test]
fn each_class_has_its_own_limit_and_its_own_age() {
    let mut world = world();
    // One batch of the second class before the request is there.
    let mut far = either(&world, 100, 100);
    far.start_max = Slot(far.start_min.0 + 3_000);
    let only = Demand { class: later(), any_of: Vec::new(), ..far.clone() };
    place(&mut world, "one", only);
    batch(&mut world);
    let wanted = either(&world, 100, 400);
    let id = place(&mut world, "one", wanted);
    assert_eq!(request(&world, &id).admitted_epochs, [0, 1]);
    batch(&mut world);
    let lease = lease(&world, &id).unwrap();
    assert_eq!((lease.class, lease.agreement.price), (later(), Price(3_000_000)));
    assert_eq!(world.state.get::<Classes>(&later()).unwrap().epoch, 2);
}
