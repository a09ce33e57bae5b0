//! Rules of the market that nobody gets around: by another cycle, another posting, another owner, an outage or a cancellation.

use crate::governance::enact;
use crate::scene::{demand, place};
use crate::world::{World, key, member, name};
use hansa_ledger::action::{
    AccreditOrganisation, AmendOffer, AnnounceOutage, CancelLease, EndOutage, PostOffer, Registration,
    WithdrawOffer,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{LeaseId, OfferId, OutageId, RequestId};
use hansa_ledger::market::{Calendar, Reason};
use hansa_ledger::money::Price;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::rejection::Rejection::ReserveCycleRunning;
use hansa_ledger::row::{Change, Entitlement, Lease, Offer, OrganisationClass, ParameterValue, Purse};
use hansa_ledger::tables::{
    Classes, Entitlements, Leases, Offers, OffersOpen, Organisations, Requests, Usages,
};
use hansa_ledger::time::Slot;

/// The codes that are met here, for the list of all.
pub const MET: [Rejection; 1] = [ReserveCycleRunning];

fn params() -> Params {
    Params { cap_bps: 10_000, reserve_bps_min: 2_000, ..Params::testnet() }
}

/// A Spanish site of 64, all offered for an hour at 1.80 EUR/h; a firm in Estonia with 1,000 EUR.
fn world(params: Params) -> (World, OfferId) {
    let mut world = World::exactly(params);
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Large);
    world.deposit("EE", "tallinn", 1_000);
    let id = open(&world).expect("an offer is open");
    (world, id)
}

fn open(world: &World) -> Option<OfferId> {
    world.state.rows::<OffersOpen>().map(|((_, id), ())| *id).next()
}

fn offer(world: &World) -> Offer {
    world.state.get::<Offers>(&open(world).unwrap()).unwrap().clone()
}

fn part(world: &World) -> Entitlement {
    world.state.rows::<Entitlements>().map(|(_, row)| row.clone()).next().unwrap()
}

fn batch(world: &mut World) {
    let due = world.state.get::<Classes>(&name("a100-64")).unwrap().batch_due.expect("a batch is due");
    world.block(due.0 - world.now.0, &[]);
}

fn ask(world: &mut World, signer: &str, quantity: u32, slots: u32, ahead: u32) -> RequestId {
    let mut wanted = demand(world, Purse::Cash);
    (wanted.quantity, wanted.quantity_min, wanted.slots) = (quantity, quantity, slots);
    wanted.start_min.0 += ahead;
    if ahead > 0 {
        wanted.start_max = wanted.start_min;
    }
    place(world, signer, wanted)
}

fn leased(world: &World, request: &RequestId) -> Option<Lease> {
    world.state.get::<Leases>(&LeaseId::derive(request)).cloned()
}

fn lease(world: &mut World, signer: &str, quantity: u32, slots: u32, ahead: u32) -> Option<Lease> {
    let request = ask(world, signer, quantity, slots, ahead);
    batch(world);
    leased(world, &request)
}

/// The share of the reserve in the slots `from..until` of the open offer, leased or not, in basis points of all.
fn share(world: &World, from: u32, until: u32) -> u128 {
    let (offer, part) = (offer(world), part(world));
    let reserve = offer.reserve.plus(&part.leased_reserve).cut(Slot(from), Slot(until)).area();
    let all = offer.market.plus(&offer.reserve).plus(&part.leased()).cut(Slot(from), Slot(until)).area();
    reserve * 10_000 / all
}

#[test]
fn no_cycle_and_no_moment_of_posting_sheds_the_reserve() {
    let (mut world, id) = world(params());
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    for cycle in [7, 100, 3_599, 3_600, 10_000, 86_400, 28 * 86_400] {
        for (from, slots) in [(0, 3_600), (30, 500), (70, 20), (2_000, 1_600)] {
            let mut world = world.fork();
            let begin = world.now.slot(1).0 + 1 + from;
            let calendar = Calendar::constant(Slot(begin), Slot(begin + slots), 64);
            let post = PostOffer { reserve_cycle_slots: Some(cycle), calendar, ..world.offer_of(64, 180) };
            match world.act("bsc", post) {
                Ok(_) => assert!(
                    share(&world, begin, begin + slots) >= 2_000,
                    "cycle {cycle}, {slots} slots from {from}: {}",
                    share(&world, begin, begin + slots)
                ),
                Err(rejection) => assert_eq!((rejection, cycle), (Rejection::CalendarInvalid, 7)),
            }
        }
    }
}

#[test]
fn a_cycle_that_sold_its_rest_cannot_be_changed_before_its_reserve_was_met() {
    let (mut world, id) = world(params());
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    let cycle = 600;
    let post = |world: &World, cycle: Option<u32>, bps: u16| PostOffer {
        reserve_cycle_slots: cycle,
        reserve_bps: Some(bps),
        ..world.offer_of(64, 180)
    };
    let first = post(&world, Some(cycle), 2_000);
    world.act("bsc", first).unwrap();
    // Sold ahead in the closed part of the cycle after this one.
    let now = world.now.slot(1).0;
    let next = (now / cycle + 1) * cycle;
    let sold = lease(&mut world, "tallinn", 64, 10, next + 300 - now).unwrap();
    assert!(sold.start.0 >= next + 120 && sold.start.0 < next + cycle);
    let id = open(&world).unwrap();
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    for (form, bps) in [(None, 2_000), (Some(cycle * 2), 2_000), (Some(cycle - 1), 2_000)] {
        let changed = post(&world, form, bps);
        assert_eq!(world.act("bsc", changed), Err(ReserveCycleRunning), "{form:?}");
    }
    let calendar = |world: &World, at: u32| {
        let now = world.now.slot(1);
        Calendar::constant(now, Slot(at), 64)
    };
    let mut same = post(&world, Some(cycle), 2_000);
    same.calendar = calendar(&world, next + 120);
    world.fork().act("bsc", same).unwrap();
    // Once that cycle is over the form is free.
    let wait = u64::from(next + cycle - world.now.slot(1).0) * 1_000;
    world.block(wait, &[]);
    let changed = post(&world, None, 2_000);
    world.act("bsc", changed).unwrap();
}

#[test]
fn a_higher_price_by_withdrawing_and_posting_counts_after_the_next_batch() {
    let (mut world, id) = world(params());
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    let higher = world.offer_of(64, 200);
    world.act("bsc", higher).unwrap();
    assert_eq!(lease(&mut world, "tallinn", 4, 10, 0).unwrap().agreement.price, Price(1_800_000));
    assert_eq!(lease(&mut world, "tallinn", 4, 10, 0).unwrap().agreement.price, Price(2_000_000));
    // In one transaction, and once more through a third price.
    let id = open(&world).unwrap();
    let (mut again, mut third) = (world.offer_of(48, 220), world.offer_of(48, 240));
    for post in [&mut again, &mut third] {
        post.calendar =
            Calendar::constant(Slot(world.now.slot(1).0 + 60), Slot(world.now.slot(1).0 + 900), 48);
    }
    world.run("bsc", vec![WithdrawOffer { offer: id }.into(), again.into()]).unwrap();
    let id = open(&world).unwrap();
    world.run("bsc", vec![WithdrawOffer { offer: id }.into(), third.into()]).unwrap();
    let price = |world: &mut World| lease(world, "tallinn", 4, 10, 100).unwrap().agreement.price;
    assert_eq!(price(&mut world), Price(2_000_000));
    assert_eq!(price(&mut world), Price(2_400_000));
    // A lower price counts at once.
    let id = open(&world).unwrap();
    let mut lower = world.offer_of(40, 150);
    lower.calendar = Calendar::constant(Slot(world.now.slot(1).0 + 60), Slot(world.now.slot(1).0 + 900), 40);
    world.run("bsc", vec![WithdrawOffer { offer: id }.into(), lower.into()]).unwrap();
    assert_eq!(price(&mut world), Price(1_500_000));
}

#[test]
fn a_raised_minimum_reaches_open_offers_per_slot_and_over_time() {
    for cycle in [None, Some(100)] {
        let (mut world, id) = world(Params { governance_voting_ms: 5_000, ..params() });
        world.act("bsc", WithdrawOffer { offer: id }).unwrap();
        let post = PostOffer { reserve_cycle_slots: cycle, ..world.offer_of(64, 180) };
        world.act("bsc", post).unwrap();
        let values = vec![ParameterValue { name: "reserve_bps_min".to_owned(), value: 5_000 }];
        enact(&mut world, Change::Parameters { values }, &["DE", "FR", "ES"]);
        let row = offer(&world);
        assert_eq!(row.reserve_bps, 5_000);
        let from = (world.now.slot(1).0 / 100 + 2) * 100;
        for start in [from, from + 100, from + 1_000] {
            assert_eq!(share(&world, start, start + 100), 5_000, "{cycle:?}");
        }
        assert_eq!(row.market.plus(&row.reserve).free_at(Slot(from)), 64);
    }
}

#[test]
fn the_cap_is_a_share_of_what_is_offered_and_not_of_what_is_accredited() {
    let mut world = World::exactly(Params { cap_bps: 5_000, reserve_bps_min: 0, ..params() });
    world.provider("ES", "bsc", 64, 180);
    // Ten times as much stands at a site whose provider offers none of it.
    world.site("FR", "idle", 640);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 1_000);
    let request = ask(&mut world, "tallinn", 36, 10, 0);
    batch(&mut world);
    let row = world.state.get::<Requests>(&request).unwrap().clone();
    assert_eq!(row.last_unmatched().map(|one| one.reason), Some(Reason::GroupCapReached));
    assert!(lease(&mut world, "tallinn", 32, 10, 100).is_some());
    // What is leased is still offered: another group may hold as much.
    world.accredit("EE", "tartu", OrganisationClass::Sme);
    world.deposit("EE", "tartu", 1_000);
    assert!(lease(&mut world, "tartu", 32, 10, 100).is_some());
}

#[test]
fn what_is_cancelled_is_given_back_to_the_commercial_ceiling_of_its_year() {
    let (mut world, _) = world(Params { reserve_bps_min: 0, ..params() });
    let one = lease(&mut world, "tallinn", 16, 100, 200).unwrap();
    let two = lease(&mut world, "tallinn", 8, 100, 200).unwrap();
    assert_eq!(part(&world).commercial_taken, 2_400);
    world.act("tallinn", CancelLease { lease: LeaseId::derive(&one.request) }).unwrap();
    assert_eq!(part(&world).commercial_taken, 800);
    // One whose provider never begins it is used by nobody.
    let due = two.agreement.start_deadline;
    world.block(due.0 - world.now.0 + 1, &[]);
    assert_eq!(part(&world).commercial_taken, 0);
}

#[test]
fn an_award_of_last_year_gives_nothing_back_to_this_years_ceiling() {
    let (mut world, id) = world(Params { reserve_bps_min: 0, ..params() });
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    // The next year of 365 days since 1970 begins then.
    let year = 31_536_000;
    let turn = (world.now.0 / 1_000 / year + 1) * year * 1_000;
    let registrar = AccreditOrganisation {
        accredited_until: hansa_ledger::time::TimeMs(turn + 86_400_000),
        ..renewal("bsc", "ES", OrganisationClass::Public)
    };
    world.act("ES registrar", registrar).unwrap();
    let registrar = AccreditOrganisation {
        accredited_until: hansa_ledger::time::TimeMs(turn + 86_400_000),
        ..renewal("tallinn", "EE", OrganisationClass::Large)
    };
    world.act("EE registrar", registrar).unwrap();
    world.now = hansa_ledger::time::TimeMs(turn - 20_000);
    world.offer("bsc", 64, 180).unwrap();
    let old = lease(&mut world, "tallinn", 16, 100, 200).unwrap();
    assert_eq!(part(&world).commercial_taken, 1_600);
    world.now = hansa_ledger::time::TimeMs(turn + 1_000);
    lease(&mut world, "tallinn", 8, 100, 200).unwrap();
    assert_eq!(part(&world).commercial_taken, 800, "a new year counts from nothing");
    world.act("tallinn", CancelLease { lease: LeaseId::derive(&old.request) }).unwrap();
    assert_eq!(part(&world).commercial_taken, 800);
}

/// A renewal with the organisation's own key, its end and owner still to be said.
fn renewal(number: &str, _home: &str, class: OrganisationClass) -> AccreditOrganisation {
    AccreditOrganisation {
        register_number: number.to_owned(),
        owner: None,
        name: name(number),
        class,
        accredited_until: hansa_ledger::time::TimeMs(0),
        key: key(number).public_key(),
        proof: None,
    }
}

fn announce(world: &mut World, accelerators: u32, start: u32, slots: u32) -> (OutageId, Vec<LeaseId>) {
    let action = AnnounceOutage {
        site: name("site"),
        class: name("a100-64"),
        owner: None,
        start: Slot(start),
        end: Slot(start + slots),
        accelerators,
        planned: true,
    };
    let found = world.act("bsc", action).unwrap().into_iter().find_map(|event| match event {
        Event::OutageAnnounced { outage, leases, .. } => Some((outage, leases)),
        _ => None,
    });
    found.unwrap()
}

/// Steps of a small generator: enough to mix the order of things.
fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

#[test]
fn whatever_order_outages_and_leases_come_and_go_in_everything_returns_exactly_once() {
    let cases = std::env::var("HANSA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12u64);
    let (world, id) = world(params());
    for case in 0..cases {
        let (mut world, mut seed) = (world.fork(), case + 1);
        let base = world.now.slot(1).0 + 100;
        let (mut outages, mut leases): (Vec<OutageId>, Vec<LeaseId>) = (Vec::new(), Vec::new());
        for step in 0..14 {
            match draw(&mut seed, 5) {
                0 => {
                    let (quantity, ahead) = (4 + 4 * draw(&mut seed, 5) as u32, draw(&mut seed, 60) as u32);
                    let ahead = base + ahead - world.now.slot(1).0;
                    leases.extend(
                        lease(&mut world, "tallinn", quantity, 20, ahead)
                            .map(|lease| LeaseId::derive(&lease.request)),
                    );
                }
                1 => {
                    let room = 64 - part(&world).outage.peak();
                    if room > 0 {
                        let out = 1 + draw(&mut seed, u64::from(room)) as u32;
                        let start = base + draw(&mut seed, 60) as u32;
                        outages.push(announce(&mut world, out, start, 30).0);
                    }
                }
                2 if !outages.is_empty() => {
                    let outage = outages.swap_remove(draw(&mut seed, outages.len() as u64) as usize);
                    world.act("bsc", EndOutage { outage }).unwrap();
                }
                3 if !leases.is_empty() => {
                    let lease = leases.swap_remove(draw(&mut seed, leases.len() as u64) as usize);
                    world.act("tallinn", CancelLease { lease }).unwrap();
                }
                // Its provider says anew that all that is not leased is free: what is leased before that returns to no offer.
                4 if leases.is_empty() => {
                    let end = offer(&world).market.points().last().unwrap().0;
                    let all = Calendar::constant(world.now.slot(1), end, 64);
                    world.act("bsc", AmendOffer { offer: id, ask: None, calendar: Some(all) }).unwrap();
                }
                _ => {}
            }
            let (offer, part) = (offer(&world), part(&world));
            let known = offer.market.plus(&offer.reserve).plus(&part.leased());
            let known = known.plus(&part.out_market).plus(&part.out_reserve);
            for slot in [base, base + 15, base + 35, base + 59, base + 80, base + 200] {
                let slot = Slot(slot);
                let context = format!("case {case}, step {step}, slot {slot:?}: {offer:?} {part:?}");
                assert_eq!(known.free_at(slot), 64, "{context}");
                let free = offer.market.free_at(slot) + offer.reserve.free_at(slot);
                let expect = 64u32.saturating_sub(part.leased().free_at(slot) + part.outage.free_at(slot));
                assert_eq!(free, expect, "{context}");
            }
        }
    }
}

#[test]
fn ten_firms_that_come_under_one_owner_gain_nothing_from_then_on() {
    let mut world = World::exactly(Params { cap_bps: 2_500, reserve_bps_min: 0, ..params() });
    world.provider("ES", "bsc", 64, 180);
    let names: Vec<String> = (0..10).map(|number| format!("firm-{number}")).collect();
    for number in &names {
        world.accredit("EE", number, OrganisationClass::Sme);
        world.deposit("EE", number, 100);
    }
    let held: Vec<Lease> = ["firm-0", "firm-1"]
        .iter()
        .map(|firm| lease(&mut world, firm, 8, 100, 200).expect("each group may hold 16"))
        .collect();
    let used = |world: &World, group| {
        let rows = world.state.rows::<Usages>().filter(|((of, _), _)| *of == group);
        rows.map(|(_, row)| row.accelerator_seconds).sum::<u64>()
    };
    let group = |world: &World, number: &str| {
        world.state.get::<Organisations>(&world.organisation("EE", number)).unwrap().group
    };
    let before: u64 = ["firm-0", "firm-1"].iter().map(|firm| used(&world, group(&world, firm))).sum();
    assert!(before > 0);
    let alone = group(&world, "firm-0");
    // One waits as it moves.
    let waits = ask(&mut world, "firm-2", 8, 100, 200);
    for number in &names {
        let until = world.state.get::<Organisations>(&world.organisation("EE", number)).unwrap();
        let action = AccreditOrganisation {
            owner: Some(Registration { country: member("FR"), number: "holding".to_owned() }),
            accredited_until: until.accredited_until,
            ..renewal(number, "EE", OrganisationClass::Sme)
        };
        let events = world.act("EE registrar", action).unwrap();
        assert!(events.iter().any(|event| matches!(event, Event::OrganisationMoved { .. })), "{events:?}");
    }
    let owner = group(&world, "firm-9");
    assert_ne!(owner, alone);
    assert_eq!((used(&world, alone), used(&world, owner)), (0, before), "what they have had came along");
    for lease in &held {
        let row = world.state.get::<Leases>(&LeaseId::derive(&lease.request)).unwrap();
        assert_eq!(row.group, owner);
    }
    batch(&mut world);
    let row = world.state.get::<Requests>(&waits).unwrap();
    assert_eq!((row.group, leased(&world, &waits)), (owner, None), "16 of 64 are theirs already");
    assert_eq!(row.last_unmatched().map(|one| one.reason), Some(Reason::GroupCapReached));
    for number in &names[3..] {
        assert_eq!(lease(&mut world, number, 4, 100, 200), None, "{number}");
    }
    // Who splits off takes the account along, and its leases with it.
    let until = world.state.get::<Organisations>(&world.organisation("EE", "firm-0")).unwrap();
    let action = AccreditOrganisation {
        owner: Some(Registration { country: member("EE"), number: "firm-0".to_owned() }),
        accredited_until: until.accredited_until,
        ..renewal("firm-0", "EE", OrganisationClass::Sme)
    };
    world.act("EE registrar", action).unwrap();
    assert_eq!(group(&world, "firm-0"), alone);
    assert_eq!((used(&world, alone), used(&world, owner)), (before, before));
}
