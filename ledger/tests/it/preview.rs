//! A dry run says what the next batch does, whenever nothing else changes.

use crate::demand::{capacity, lease, request};
use crate::scene::{all_from, demand, place};
use crate::world::{World, name};
use hansa_ledger::action::{PlaceRequest, TransferCash};
use hansa_ledger::event::Event;
use hansa_ledger::market::{Lane, LaneHint, Reason};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::preview::{Preview, PreviewAward, PreviewOutcome, preview_request};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Alternative, ClassUnmatched, Demand, OrganisationClass, Purse, RequestState};
use hansa_ledger::tables::RequestsOpen;
use hansa_ledger::time::Slot;
use proptest::prelude::*;

const BIDDERS: [(&str, &str); 3] = [("EE", "one"), ("DE", "two"), ("EE", "three")];
const CLASSES: [&str; 3] = ["a100-64", "h100-80", "mi250-128"];

/// What somebody asks for.
#[derive(Clone, Debug)]
struct Ask {
    who: usize,
    class: usize,
    other: Option<(usize, u64)>,
    granted: bool,
    lane: LaneHint,
    interruptible: bool,
    quantity: u32,
    quantity_min: u32,
    slots: u32,
    start: u32,
    window: u32,
    limit: u64,
    wait_ms: u64,
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let what = (0..3usize, 0..3usize, proptest::option::of((0..3usize, 0..60u64)), any::<bool>());
    let how = (0..8u8, any::<bool>(), 1..=20u32, 0..=20u32, 1..=12u32);
    let when = (0..12u32, 1..12u32, 0..60u64, 1..1_500u64);
    let one = (what, how, when).prop_map(|(what, how, when)| Ask {
        who: what.0,
        class: what.1,
        other: what.2,
        granted: what.3,
        lane: match how.0 {
            0 => LaneHint::Reserve,
            1 => LaneHint::Market,
            _ => LaneHint::Any,
        },
        interruptible: how.1,
        quantity: how.2,
        quantity_min: how.2.saturating_sub(how.3).max(1),
        slots: how.4,
        start: when.0,
        window: when.1,
        limit: when.2,
        wait_ms: when.3,
    });
    proptest::collection::vec(one, 4..14)
}

fn market() -> World {
    furnished(World::with(Params { cap_bps: 6_000, ..Params::testnet() }))
}

/// The same with a reserve, part of which is released for the next half minute, and a ceiling for aid that is soon met.
fn market_with_reserve() -> World {
    furnished(World::exactly(Params {
        cap_bps: 6_000,
        reserve_bps_min: 5_000,
        reserve_cap_bps: 5_000,
        release_slots: 30,
        release_lease_slots_max: 6,
        aid_ceiling: 40_000,
        ..Params::testnet()
    }))
}

fn furnished(mut world: World) -> World {
    world.provider("ES", "bsc", 16, 180);
    world.provider("FR", "cea", 12, 240);
    capacity(&mut world, "ES", "bsc", &name("h100-80"), 16, 300);
    capacity(&mut world, "FR", "cea", &name("mi250-128"), 20, 120);
    for (home, number) in BIDDERS {
        world.accredit(home, number, OrganisationClass::StartUp);
        world.deposit(home, number, 10);
        world.grant(home, number, &format!("grant-{number}"), 10);
    }
    world
}

fn wanted(world: &World, ask: &Ask) -> Demand {
    let (home, number) = BIDDERS[ask.who];
    let reference = name(&format!("grant-{number}"));
    let grant = hansa_ledger::action::grant_id(crate::world::member(home), &reference);
    let now = world.now.slot(1);
    let price = |tenths: u64| Price(tenths * 100_000);
    let other = ask.other.filter(|(class, _)| *class != ask.class);
    Demand {
        class: name(CLASSES[ask.class]),
        quantity: ask.quantity,
        quantity_min: ask.quantity_min,
        slots: ask.slots,
        start_min: Slot(now.0 + ask.start),
        start_max: Slot(now.0 + ask.start + ask.window),
        limit: price(ask.limit),
        sources: all_from(if ask.granted { Purse::Grant(grant) } else { Purse::Cash }),
        lane: ask.lane,
        interruptible: ask.interruptible,
        any_of: other
            .map(|(class, limit)| Alternative { class: name(CLASSES[class]), limit: price(limit) })
            .into_iter()
            .collect(),
        ..demand(world, Purse::Cash)
    }
}

fn preview(world: &World, who: usize, demand: &Demand) -> Result<Preview, Rejection> {
    let (home, number) = BIDDERS[who];
    let organisation = world.organisation(home, number);
    let now = world.now.plus(1);
    preview_request(&world.state, &world.runtime, world.chain, organisation, demand, now)
}

/// How often each outcome was met.
#[derive(Debug, Default)]
struct Reached {
    refused: u32,
    awarded: u32,
    unmatched: u32,
    /// Of those awarded.
    reserve: u32,
    released: u32,
    aided: u32,
    /// Of those unmatched.
    over_aid: u32,
}

/// Places what the preview was of, lets the ledger run to the batch it named, and compares.
fn compare(world: &World, ask: &Ask, reached: &mut Reached) -> Result<(), TestCaseError> {
    let mut world = world.fork();
    let demand = wanted(&world, ask);
    let root = world.state.root();
    let previewed = preview(&world, ask.who, &demand);
    prop_assert_eq!(world.state.root(), root, "a preview changes nothing");
    let signer = BIDDERS[ask.who].1;
    let preview = match previewed {
        Err(rejection) => {
            reached.refused += 1;
            prop_assert_eq!(world.act(signer, PlaceRequest { demand }).map(|_| ()), Err(rejection));
            return Ok(());
        }
        Ok(preview) => preview,
    };
    let id = place(&mut world, signer, demand);
    prop_assert_eq!(request(&world, &id).locked, preview.locked);
    while hansa_ledger::deadline::next_deadline(&world.state).is_some_and(|due| due <= preview.batch) {
        world.pass_deadline();
    }
    match (preview.outcome, lease(&world, &id)) {
        (PreviewOutcome::Award(award), Some(lease)) => {
            reached.awarded += 1;
            reached.reserve += u32::from(award.lane == Lane::Reserve);
            reached.released += u32::from(award.released);
            reached.aided += u32::from(award.aid > Money::ZERO);
            prop_assert_eq!(*award, PreviewAward::from(lease));
        }
        (PreviewOutcome::Unmatched(found), None) => {
            reached.unmatched += 1;
            let is_over_aid = |one: &ClassUnmatched| one.unmatched.reason == Reason::AidCeiling;
            reached.over_aid += u32::from(found.iter().any(is_over_aid));
            let row = request(&world, &id);
            let plain = |list: &[ClassUnmatched]| {
                list.iter()
                    .map(|one| (one.class.clone(), one.unmatched.reason, one.unmatched.detail.clone()))
                    .collect::<Vec<_>>()
            };
            prop_assert_eq!(plain(&found), plain(&row.unmatched));
        }
        (preview, lease) => prop_assert!(false, "{:?} and {:?}", preview, lease.is_some()),
    }
    Ok(())
}

/// Every open request stands in the book of each of its classes, and nothing else does.
fn check_indices(world: &World) -> Result<(), TestCaseError> {
    let mut open = std::collections::BTreeSet::new();
    for (id, row) in world.state.rows::<hansa_ledger::tables::Requests>() {
        if row.state == RequestState::Open {
            open.extend(row.demand.classes().map(|(class, _)| (class.clone(), *id)));
        }
    }
    let found = world.state.rows::<RequestsOpen>().map(|(key, ())| key.clone()).collect();
    prop_assert_eq!(open, found);
    Ok(())
}

/// Compares previews with batches in as many random histories as `HANSA_CASES` says, else in 24.
fn compared(base: &World) -> Reached {
    let cases = std::env::var("HANSA_CASES").ok().map_or(24, |cases| cases.parse().expect("a number"));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let reached = std::cell::RefCell::new(Reached::default());
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    runner
        .run(&asks(), |asks| {
            let mut world = base.fork();
            for ask in &asks {
                compare(&world, ask, &mut reached.borrow_mut())?;
                let demand = wanted(&world, ask);
                // Refused or not, time goes on.
                world.act(BIDDERS[ask.who].1, PlaceRequest { demand }).ok();
                let to = world.organisation("ES", "bsc");
                let anything = world.sign("one", vec![TransferCash { to, amount: Money(1) }.into()]);
                world.block(ask.wait_ms, &[anything]);
                check_indices(&world)?;
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    reached.into_inner()
}

#[test]
fn a_preview_is_what_the_next_batch_does() {
    let reached = compared(&market());
    assert!(reached.refused > 5 && reached.awarded > 30 && reached.unmatched > 30, "{reached:?}");
}

#[test]
fn a_preview_knows_the_reserve_its_aid_and_what_is_released() {
    let reached = compared(&market_with_reserve());
    assert!(reached.reserve > 20 && reached.released > 0 && reached.aided > 10, "{reached:?}");
    assert!(reached.over_aid > 0 && reached.awarded > reached.reserve, "{reached:?}");
}

#[test]
fn a_preview_sees_what_happens_by_itself_before_its_batch() {
    let mut world = market();
    // All that one group may hold is leased, and nobody begins the lease.
    let whole = Demand {
        class: name("mi250-128"),
        quantity: 12,
        quantity_min: 12,
        slots: 900,
        limit: Price(1_200_000),
        ..demand(&world, Purse::Cash)
    };
    let held = place(&mut world, "one", whole.clone());
    world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
    let closes = lease(&world, &held).unwrap().agreement.start_deadline;
    let to = world.organisation("ES", "bsc");
    for (before_ms, served) in [(1_300, false), (300, true)] {
        let anything = TransferCash { to, amount: Money(1) };
        let anything = world.sign("two", vec![anything.into()]);
        let wait = closes.0 - before_ms - world.now.0;
        world.block(wait, &[anything]);
        let later = Demand { start_max: Slot(whole.start_max.0 + 200), ..whole.clone() };
        let found = preview(&world, 1, &later).unwrap();
        assert_eq!(matches!(found.outcome, PreviewOutcome::Award(_)), served, "{found:?}");
        let mut real = world.fork();
        let id = place(&mut real, "two", later);
        while hansa_ledger::deadline::next_deadline(&real.state).is_some_and(|due| due <= found.batch) {
            real.pass_deadline();
        }
        assert_eq!(lease(&real, &id).is_some(), served);
    }
}
