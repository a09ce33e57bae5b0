//! No batch is held that would serve nobody, and none is left out that would serve somebody.

use crate::governance::{enact, limits, parameter};
use crate::scene::{demand, place};
use crate::world::{World, genesis, key, name};
use hansa_ledger::action::{
    AccreditOrganisation, Action, AmendOffer, CancelRequest, EndLease, PlaceRequest, StartLease,
};
use hansa_ledger::batch::book;
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::id::{LeaseId, OfferId, RequestId};
use hansa_ledger::market::{Calendar, LaneHint, Reason, clear};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::row::{Change, Class, Demand, Lease, OrganisationClass, Principal, Purse};
use hansa_ledger::tables::{Classes, Leases, LeasesLive, OffersOpen, Requests, RequestsOpen};
use hansa_ledger::time::{Slot, TimeMs};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use std::cell::Cell;

/// Who asks, and whether a grant pays.
const BIDDERS: [(&str, OrganisationClass, bool); 4] = [
    ("cash-one", OrganisationClass::Sme, false),
    ("cash-two", OrganisationClass::Large, false),
    ("grant-one", OrganisationClass::StartUp, true),
    ("grant-two", OrganisationClass::Research, true),
];

/// A federation in which everything that binds a batch binds soon: a reserve that is released half a minute ahead, groups that
/// may hold more of it as they grow older, and a member that may owe little.
fn federation() -> (World, Vec<Purse>) {
    let params = Params {
        reserve_bps_min: 2_500,
        release_slots: 30,
        release_lease_slots_max: 15,
        reserve_ramp_ms: 40_000,
        reserve_ramp_bps_min: 1_000,
        cap_bps: 6_000,
        reserve_cap_bps: 4_000,
        aid_ceiling: 20_000,
        ..Params::testnet()
    };
    let mut genesis = genesis(params);
    genesis.members[1].debit_cap = Money(60_000);
    let mut world = World::from(&genesis);
    world.provider("ES", "bsc", 24, 180);
    world.provider("FR", "idris", 16, 260);
    let mut purses = Vec::new();
    for (number, class, is_granted) in BIDDERS {
        world.accredit("EE", number, class);
        world.deposit("EE", number, 100);
        let granted = is_granted.then(|| world.grant("EE", number, &format!("grant-{number}"), 100));
        purses.push(granted.map_or(Purse::Cash, Purse::Grant));
    }
    (world, purses)
}

/// Makes sure that no batch was left out from the last block until `until`: of each class for which none is due, the batch
/// would serve nobody. Says of how many books with somebody waiting that was so.
fn check_quiet(world: &World, until: TimeMs) -> Result<u32, TestCaseError> {
    let (step, mut waited) = (world.params().batch_ms, 0);
    for batch in (world.now.0 / step + 1..).map(|batch| TimeMs(batch * step)).take_while(|at| *at <= until) {
        for (class, row) in world.state.rows::<Classes>() {
            if row.batch_due.is_some_and(|due| due <= batch) {
                continue;
            }
            let book = book(&world.state.view(), world.params(), world.chain, class, batch);
            waited += u32::from(!book.orders.is_empty());
            let trades = clear(&book).trades;
            prop_assert!(trades.is_empty(), "left out at {}: {trades:?} of {book:#?}", batch.0);
        }
    }
    Ok(waited)
}

/// Lets time pass, with a block for whatever runs by itself.
fn pass(world: &mut World, milliseconds: u64) -> Result<u32, TestCaseError> {
    let (until, mut waited) = (world.now.plus(milliseconds), 0);
    while let Some(due) = next_deadline(&world.state).filter(|due| *due <= until) {
        waited += check_quiet(world, TimeMs(due.0.saturating_sub(1)))?;
        world.pass_deadline();
    }
    Ok(waited + check_quiet(world, until)?)
}

fn wanted(world: &World, purse: Purse, (size, time, rest): (u32, u32, u32)) -> Demand {
    let base = demand(world, purse);
    let quantity = 1 + size % 12;
    let start = base.start_min.0 + time % 50;
    Demand {
        quantity,
        quantity_min: if size.is_multiple_of(3) { quantity } else { 1 },
        slots: 1 + time / 50 % 20,
        start_min: Slot(start),
        start_max: Slot(start + rest % 80),
        limit: Price(u64::from(100 + rest / 80 % 30 * 10) * 10_000),
        lane: [LaneHint::Any, LaneHint::Any, LaneHint::Market, LaneHint::Reserve][(rest / 7 % 4) as usize],
        interruptible: rest.is_multiple_of(2),
        ..base
    }
}

/// One thing that somebody does; much of it is refused, as it is in life.
fn act(world: &mut World, purses: &[Purse], (kind, size, time, rest): (u8, u32, u32, u32)) {
    let pick = |count: usize| (size as usize).checked_rem(count);
    let offers: Vec<OfferId> = world.state.rows::<OffersOpen>().map(|((_, id), ())| *id).collect();
    let leases: Vec<LeaseId> = world.state.rows::<LeasesLive>().map(|((_, id), ())| *id).collect();
    let open: Vec<RequestId> = world.state.rows::<RequestsOpen>().map(|((_, id), ())| *id).collect();
    let (bidder, provider) = (size as usize % BIDDERS.len(), ["bsc", "idris"][size as usize % 2]);
    let action: (&str, Action) = match kind {
        0..=5 => {
            let demand = wanted(world, purses[bidder], (size / 4, time, rest));
            (BIDDERS[bidder].0, PlaceRequest { demand }.into())
        }
        6 => match pick(open.len()) {
            Some(at) => (BIDDERS[bidder].0, CancelRequest { request: open[at] }.into()),
            None => return,
        },
        7 => match pick(offers.len()) {
            Some(at) => {
                let ask = Price(u64::from(120 + time % 20 * 10) * 10_000);
                (provider, AmendOffer { offer: offers[at], ask: Some(ask), calendar: None }.into())
            }
            None => return,
        },
        8 => match pick(offers.len()) {
            Some(at) => {
                let now = world.now.slot(1).0;
                let calendar = Calendar::constant(Slot(now), Slot(now + 20 + time % 200), 4 + rest % 12);
                (provider, AmendOffer { offer: offers[at], ask: None, calendar: Some(calendar) }.into())
            }
            None => return,
        },
        9 => match pick(leases.len()) {
            Some(at) => (provider, StartLease { lease: leases[at] }.into()),
            None => return,
        },
        _ => match pick(leases.len()) {
            Some(at) => (BIDDERS[bidder].0, EndLease { lease: leases[at], cumulative: None }.into()),
            None => return,
        },
    };
    // What is refused changes nothing but the count of its key.
    let _ = world.act(action.0, action.1);
}

/// How many random federations are watched; `HANSA_CASES` says another number.
fn cases() -> u32 {
    std::env::var("HANSA_CASES").ok().map_or(6, |cases| cases.parse().expect("HANSA_CASES is a number"))
}

#[test]
fn a_batch_that_is_left_out_would_have_served_nobody() {
    let waits = prop_oneof![3 => 0..800u64, 2 => 0..15_000u64];
    let step = (0..11u8, 0..10_000u32, 0..10_000u32, 0..10_000u32, waits);
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    };
    let waited = Cell::new(0);
    let run = TestRunner::new(config).run(&prop::collection::vec(step, 40..70), |steps| {
        let (mut world, purses) = federation();
        for (kind, size, time, rest, wait) in steps {
            act(&mut world, &purses, (kind, size, time, rest));
            waited.set(waited.get() + pass(&mut world, wait)?);
        }
        Ok(())
    });
    println!("{} batches with somebody waiting were left out in {} federations", waited.get(), cases());
    run.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(waited.get() > 20 * cases(), "hardly anybody ever waited: {}", waited.get());
}

fn class(world: &World) -> Class {
    world.state.get::<Classes>(&name("a100-64")).unwrap().clone()
}

fn lease(world: &World, request: &RequestId) -> Option<Lease> {
    world.state.get::<Leases>(&LeaseId::derive(request)).cloned()
}

/// Lets the batch run that is due, and those that follow from it.
fn rest(world: &mut World) {
    for _ in 0..4 {
        if let Some(due) = class(world).batch_due.filter(|due| due.0 <= world.now.0 + 2_000) {
            world.block(due.0 - world.now.0, &[]);
        }
    }
}

/// A Spanish provider and a bidder from Estonia with cash, whose request for so many accelerators is turned away for `reason`
/// in a federation of these rules.
fn turned_away(params: Params, demand: impl Fn(Demand) -> Demand, reason: Reason) -> (World, RequestId) {
    let mut genesis = genesis(params);
    genesis.members[1].debit_cap = Money(100_000);
    let mut world = World::from(&genesis);
    world.provider("ES", "bsc", 32, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Large);
    world.deposit("EE", "tallinn", 100);
    let grant = world.grant("EE", "tallinn", "grant-1", 100);
    let base = self::demand(&world, Purse::Grant(grant));
    let base = Demand { quantity: 8, quantity_min: 8, start_min: Slot(base.start_min.0 + 120), ..base };
    let request = place(&mut world, "tallinn", demand(base));
    rest(&mut world);
    let row = world.state.get::<Requests>(&request).unwrap();
    assert_eq!(row.last_unmatched().map(|one| one.reason), Some(reason));
    assert_eq!(class(&world).batch_due, None, "nothing more is to be expected");
    (world, request)
}

fn params() -> Params {
    Params {
        reserve_bps_min: 2_500,
        cap_bps: 10_000,
        reserve_cap_bps: 10_000,
        release_slots: 0,
        ..Params::testnet()
    }
}

const VOTERS: [&str; 3] = ["DE", "ES", "FR"];

#[test]
fn a_change_of_the_rules_or_of_a_members_limits_brings_a_batch() {
    let by_vote: [(Params, Reason, Change); 2] = [
        (
            Params { credit_ask_cap: 1_000_000, ..params() },
            Reason::AskOverCreditCap,
            parameter("credit_ask_cap", 0),
        ),
        (params(), Reason::NetDebitCap, limits("EE", 1_000_000_000_000, 1_000_000_000)),
    ];
    for (params, reason, change) in by_vote {
        let much = |demand: Demand| match reason {
            Reason::NetDebitCap => Demand { slots: 100, lane: LaneHint::Market, ..demand },
            _ => Demand { lane: LaneHint::Market, ..demand },
        };
        let (mut world, request) = turned_away(params, much, reason);
        enact(&mut world, change, &VOTERS);
        assert!(class(&world).batch_due.is_some(), "{reason:?}");
        rest(&mut world);
        assert!(lease(&world, &request).is_some(), "{reason:?}");
    }
}

#[test]
fn an_organisation_that_becomes_eligible_brings_a_batch() {
    let mut world = World::exactly(params());
    world.provider("ES", "bsc", 32, 180);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let grant = world.grant("EE", "tallinn", "grant-1", 100);
    let wanted = demand(&world, Purse::Grant(grant));
    let request = place(&mut world, "tallinn", Demand { lane: LaneHint::Reserve, ..wanted });
    let renew = |world: &mut World, class: OrganisationClass, days: u64| {
        let action = AccreditOrganisation {
            register_number: "tallinn".to_owned(),
            owner: None,
            name: name("tallinn"),
            class,
            accredited_until: world.now.plus(days * 86_400_000),
            key: key("tallinn").public_key(),
            proof: Some(world.proof("tallinn", Principal::Organisation(world.organisation("EE", "tallinn")))),
        };
        world.act("EE registrar", action).unwrap();
    };
    renew(&mut world, OrganisationClass::Large, 2);
    rest(&mut world);
    let row = world.state.get::<Requests>(&request).unwrap();
    assert_eq!(row.last_unmatched().map(|one| one.reason), Some(Reason::NotEligibleForReserve));
    assert_eq!(class(&world).batch_due, None);
    renew(&mut world, OrganisationClass::StartUp, 3);
    rest(&mut world);
    assert!(lease(&world, &request).is_some());
}

#[test]
fn who_would_pay_for_what_one_batch_left_is_served_by_the_next() {
    let mut world = World::with(Params { cap_bps: 10_000, ..Params::testnet() });
    world.provider("ES", "bsc", 16, 180);
    world.provider("FR", "idris", 8, 260);
    for bidder in ["used", "one", "two"] {
        world.accredit("EE", bidder, OrganisationClass::Sme);
        world.deposit("EE", bidder, 100);
    }
    let wanted = |world: &World, after: u32, limit: u64| {
        let base = demand(world, Purse::Cash);
        let start = Slot(base.start_min.0 + after);
        let limit = Price(limit * 10_000);
        Demand { quantity: 8, quantity_min: 8, start_min: start, start_max: start, limit, ..base }
    };
    let first = wanted(&world, 5, 400);
    place(&mut world, "used", first);
    rest(&mut world);
    // At 1.80 the two go first that have had nothing, and take all of the cheap offer; at 2.60 less would be traded.
    let later = [wanted(&world, 60, 260), wanted(&world, 60, 180), wanted(&world, 60, 180)];
    let mut requests = Vec::new();
    for (bidder, demand) in ["used", "one", "two"].into_iter().zip(later) {
        requests.push(place(&mut world, bidder, demand));
    }
    let epoch = class(&world).epoch;
    rest(&mut world);
    let prices: Vec<u64> =
        requests.iter().map(|id| lease(&world, id).unwrap().agreement.price.0 / 10_000).collect();
    assert_eq!(prices, [260, 180, 180]);
    assert_eq!((class(&world).epoch - epoch, class(&world).batch_due), (2, None));
}

#[test]
fn reserve_that_time_releases_brings_a_batch() {
    let params =
        Params { release_slots: 30, release_lease_slots_max: 20, lease_start_window_ms: 600_000, ..params() };
    let mut world = World::exactly(params);
    world.provider("ES", "bsc", 32, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 100);
    let base = demand(&world, Purse::Cash);
    let long = Demand {
        quantity: 24,
        quantity_min: 24,
        slots: 400,
        start_max: Slot(base.start_min.0 + 20),
        ..base.clone()
    };
    place(&mut world, "tallinn", long);
    rest(&mut world);
    let start = world.now.slot(1).0 + 100;
    let short = Demand { quantity: 4, quantity_min: 4, interruptible: true, ..base };
    let short = Demand { start_min: Slot(start), start_max: Slot(start + 50), ..short };
    let request = place(&mut world, "tallinn", short);
    rest(&mut world);
    assert!(lease(&world, &request).is_none());
    // The ten slots from the first that it may start in are released when the tenth is.
    let due = class(&world).batch_due.expect("time will release more");
    assert_eq!(due, Slot(start + 10 - 30 - 1).begins(1));
    let wait = due.0 - world.now.0;
    assert!(pass(&mut world, wait).is_ok());
    let lease = lease(&world, &request).unwrap();
    assert!(lease.released && lease.start == Slot(start));
}

#[test]
fn a_group_that_may_hold_more_with_age_brings_a_batch() {
    let params = Params { reserve_ramp_ms: 100_000, reserve_ramp_bps_min: 1_000, ..params() };
    let mut world = World::exactly(params);
    world.provider("ES", "bsc", 32, 180);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let (since, grant) = (world.now, world.grant("EE", "tallinn", "grant-1", 100));
    let base = demand(&world, Purse::Grant(grant));
    // A quarter of its class of 32, which it may hold at a quarter of the whole: a sixth of the way from a tenth.
    let wanted = Demand { quantity: 8, quantity_min: 8, lane: LaneHint::Reserve, ..base };
    let request = place(&mut world, "tallinn", wanted);
    rest(&mut world);
    assert!(lease(&world, &request).is_none());
    assert!(pass(&mut world, 60_000).is_ok());
    let lease = lease(&world, &request).unwrap();
    let after = lease.awarded_at.0 - since.0;
    assert!((16_667..18_000).contains(&after), "{after} ms after it was accredited");
}

#[test]
fn aid_of_long_ago_is_looked_at_when_a_quarter_ends() {
    let only = |demand: Demand| Demand { lane: LaneHint::Reserve, slots: 40, ..demand };
    let mut world = World::exactly(Params { aid_ceiling: 1_000, reserve_price_cap: 100_000, ..params() });
    world.provider("ES", "bsc", 32, 180);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let grant = world.grant("EE", "tallinn", "grant-1", 100);
    let wanted = only(demand(&world, Purse::Grant(grant)));
    let request = place(&mut world, "tallinn", wanted);
    rest(&mut world);
    let row = world.state.get::<Requests>(&request).unwrap();
    assert_eq!(row.last_unmatched().map(|one| one.reason), Some(Reason::AidCeiling));
    let quarter = 7_889_400_000;
    let next = (world.now.0 / quarter + 1) * quarter;
    assert_eq!(class(&world).batch_due, Some(TimeMs(next.next_multiple_of(1_000))));
}
