//! Extending a lease: into free slots that follow, at its own price, and at nobody's cost.

mod refused;

use crate::demand::batch;
use crate::scene::{demand, place};
use crate::world::World;
use hansa_ledger::action::{
    Action, AmendOffer, CancelLease, CountersignUsage, EndLease, ExtendLease, LeaseUsage, ReportUsage,
    StartLease, WithdrawOffer, delivered_max,
};
use hansa_ledger::event::Event;
use hansa_ledger::extension::{extension_price, preview_extension};
use hansa_ledger::id::LeaseId;
use hansa_ledger::lease::exposure;
use hansa_ledger::market::Calendar;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    AccountId, Deadline, DeadlineKind, Demand, EntitlementKey, Lease, LeaseState, Offer, OrganisationClass,
    Purse, SiteKey,
};
use hansa_ledger::tables::{
    Deadlines, Entitlements, Leases, LeasesLive, Members, Offers, OffersOpen, Requests, Usages,
};
use hansa_ledger::time::Slot;
pub use refused::MET;

/// A Spanish site of 64 at 1.80 EUR/h, that is 0.0005 EUR a second; an Estonian firm with 1,000 EUR.
pub fn world(params: Params) -> World {
    let mut world = World::with(params);
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 1_000);
    world
}

pub fn wide() -> Params {
    Params { cap_bps: 10_000, ..Params::testnet() }
}

/// Awards so many accelerators for so many slots to `tallinn`, paid in cash.
pub fn leased(world: &mut World, quantity: u32, slots: u32) -> LeaseId {
    let wanted = Demand { quantity, quantity_min: quantity, slots, ..demand(world, Purse::Cash) };
    let id = LeaseId::derive(&place(world, "tallinn", wanted));
    batch(world);
    assert!(world.state.get::<Leases>(&id).is_some(), "it is awarded");
    id
}

pub fn row(world: &World, lease: &LeaseId) -> Lease {
    world.state.get::<Leases>(lease).unwrap().clone()
}

pub fn begin(world: &mut World, lease: LeaseId) {
    let start = row(world, &lease).agreement.start;
    let begin = world.sign("bsc", vec![StartLease { lease }.into()]);
    let receipts = world.block(start.0 - world.now.0, &[begin]);
    assert_eq!(receipts.transactions[0].code, 0);
}

pub fn extend(lease: LeaseId, slots: u32) -> ExtendLease {
    ExtendLease { lease, slots, price_max: Price(1_800_000) }
}

fn offer(world: &World) -> Offer {
    let ((_, id), ()) = world.state.rows::<OffersOpen>().next().unwrap();
    world.state.get::<Offers>(id).unwrap().clone()
}

fn cash(world: &World, home: &str, number: &str) -> u64 {
    world.balance(&AccountId::Cash(world.organisation(home, number)))
}

fn usage(world: &World) -> u64 {
    world.state.rows::<Usages>().map(|(_, row)| row.accelerator_seconds).sum()
}

/// From the next slot on each part of a site has leased what its live leases hold, and nothing else.
pub fn check_calendars(world: &World) {
    let next = Slot(world.now.slot(1).0 + 1);
    for (key, part) in world.state.rows::<Entitlements>() {
        let live = world.state.rows::<LeasesLive>().map(|((_, id), ())| row(world, id));
        let here = live.filter(|lease| {
            let site =
                SiteKey { provider: lease.provider, site: lease.site.clone(), class: lease.class.clone() };
            EntitlementKey { site, owner: lease.pool } == *key
        });
        let held = here.fold(Calendar::default(), |sum, lease| {
            let end = Slot(lease.start.0 + lease.slots);
            sum.plus(&Calendar::constant(lease.start, end, lease.quantity))
        });
        let from = |calendar: &Calendar| calendar.cut(next, Slot(u32::MAX));
        assert_eq!(from(&part.leased()), from(&held), "what leases hold of {}", key.site.site);
    }
}

#[test]
fn an_extended_lease_goes_on_in_place_at_its_own_price() {
    let mut world = world(wide());
    let lease = leased(&mut world, 8, 10);
    begin(&mut world, lease);
    let before = row(&world, &lease);
    assert_eq!(before.locked, Money(40_000));
    assert_eq!(extension_price(&world.state.view(), &before), Ok(Price(1_800_000)));
    let tallinn = world.organisation("EE", "tallinn");
    let preview = preview_extension(&world.state, &world.runtime, world.chain, &lease, 6, world.now).unwrap();
    let events = world.act("tallinn", extend(lease, 6)).unwrap();
    let after = row(&world, &lease);
    let end = before.agreement.end.plus(6_000);
    assert_eq!((after.slots, after.agreement.end, after.start), (16, end, before.start));
    assert_eq!((after.agreement.price, after.state), (before.agreement.price, LeaseState::Active));
    // 48 accelerator-seconds more.
    assert_eq!((after.locked, preview.added), (Money(64_000), Money(24_000)));
    assert_eq!((preview.end, preview.price, preview.locked), (end, Price(1_800_000), Money(64_000)));
    assert_eq!(after.sources[0].locked, Money(64_000));
    assert_eq!(world.state.get::<Requests>(&after.request).unwrap().locked, Money(64_000));
    assert_eq!(world.balance(&AccountId::Escrow(after.request, 0)), 64_000);
    assert_eq!(cash(&world, "EE", "tallinn"), 1_000_000_000 - 64_000);
    assert_eq!(
        world.state.get::<Members>(&crate::world::member("EE")).unwrap().locked,
        exposure(&after),
        "the debit cap is held for all of it"
    );
    let told = Event::LeaseExtended {
        lease,
        provider: after.provider,
        requester: tallinn,
        end,
        slots: 6,
        price: Price(1_800_000),
        locked: Money(64_000),
    };
    assert_eq!(events, [told]);
    // Its end moved, and the slots are nobody else's.
    let due = |due| Deadline { due, kind: DeadlineKind::LeaseEnd, subject: lease.0 };
    assert!(world.state.get::<Deadlines>(&due(before.agreement.end)).is_none());
    assert!(world.state.get::<Deadlines>(&due(end)).is_some());
    let last = after.start.0 + 15;
    assert_eq!([last, last + 1].map(|slot| offer(&world).market.free_at(Slot(slot))), [56, 64]);
    check_calendars(&world);
    assert_eq!(usage(&world), 128, "usage counts from the extension on");
    // Used to the end, and paid for: sixteen seconds of eight.
    world.pass_until(|event| matches!(event, Event::LeaseEnded { .. }).then_some(()));
    assert_eq!(world.now, end);
    world.act("bsc", EndLease { lease, cumulative: Some(128) }).unwrap();
    let usages = vec![LeaseUsage { lease, cumulative: 128 }];
    world.act("tallinn", CountersignUsage { usages }).unwrap();
    assert_eq!(row(&world, &lease).state, LeaseState::Settled);
    assert_eq!(cash(&world, "ES", "bsc"), 64_000 - 640);
    assert_eq!((cash(&world, "EE", "tallinn"), usage(&world)), (1_000_000_000 - 64_000, 128));
}

#[test]
fn what_an_extension_did_not_use_returns_money_capacity_and_usage() {
    let mut world = world(wide());
    let lease = leased(&mut world, 8, 10);
    begin(&mut world, lease);
    world.act("tallinn", extend(lease, 20)).unwrap();
    world.act("tallinn", extend(lease, 20)).unwrap();
    assert_eq!(row(&world, &lease).extensions.len(), 1, "of one day and one revision");
    // Three seconds into the first extension.
    let end = world.sign("bsc", vec![EndLease { lease, cumulative: Some(104) }.into()]);
    assert_eq!(world.block(13_100, &[end]).transactions[0].code, 0);
    let usages = vec![LeaseUsage { lease, cumulative: 104 }];
    world.act("tallinn", CountersignUsage { usages }).unwrap();
    assert_eq!(cash(&world, "EE", "tallinn"), 1_000_000_000 - 52_000);
    assert_eq!(
        (usage(&world), world.state.get::<Members>(&crate::world::member("EE")).unwrap().locked.0),
        (104, 0)
    );
    let next = world.now.slot(1).0 + 1;
    assert_eq!(offer(&world).market.min_free(Slot(next), 60), 64);
    check_calendars(&world);
}

#[test]
fn usage_returns_by_the_day_it_was_counted_on_what_was_counted_last_first() {
    // A half of it counts the next day.
    let mut world = world(Params { usage_decay_q32: 2_147_483_648, ..wide() });
    let first = world.now.slot(1).0;
    let ((_, offer), ()) = world.state.rows::<OffersOpen>().next().unwrap();
    let offer = *offer;
    let calendar = Some(Calendar::constant(Slot(first), Slot(first + 100_000), 64));
    world.act("bsc", AmendOffer { offer, ask: None, calendar }).unwrap();
    let start = Slot(first + 70_000);
    let wanted = Demand {
        quantity: 8,
        quantity_min: 8,
        start_min: start,
        start_max: start,
        ..demand(&world, Purse::Cash)
    };
    let lease = LeaseId::derive(&place(&mut world, "tallinn", wanted));
    batch(&mut world);
    assert_eq!(usage(&world), 80);
    world.act("tallinn", extend(lease, 10)).unwrap();
    assert_eq!(usage(&world), 160, "the same day");
    // Past midnight, which is sixteen hours after these tests begin.
    world.block(57_600_000, &[]);
    world.act("tallinn", extend(lease, 4)).unwrap();
    assert_eq!(usage(&world), 80 + 32);
    assert_eq!(row(&world, &lease).extensions.len(), 2);
    // Begun and used for two seconds: the rest is taken off at what it counts by now.
    let mut used = world.fork();
    let wait = row(&used, &lease).agreement.start.0 - used.now.0 - 10;
    used.block(wait, &[]);
    begin(&mut used, lease);
    let end = used.sign("bsc", vec![EndLease { lease, cumulative: Some(16) }.into()]);
    assert_eq!(used.block(2_000, &[end]).transactions[0].code, 0);
    let usages = vec![LeaseUsage { lease, cumulative: 16 }];
    used.act("tallinn", CountersignUsage { usages }).unwrap();
    assert_eq!(usage(&used), 8);
    // Given up unused: everything that was counted is taken off again.
    world.act("tallinn", CancelLease { lease }).unwrap();
    assert!(world.state.rows::<Usages>().next().is_none());
}

#[test]
fn free_slots_return_to_the_offer_only_as_far_as_they_were_taken_out_of_what_its_provider_says_now() {
    let mut world = world(wide());
    let ((_, id), ()) = world.state.rows::<OffersOpen>().next().unwrap();
    let id = *id;
    let lease = leased(&mut world, 8, 10);
    begin(&mut world, lease);
    let start = row(&world, &lease).start.0;
    // The provider says anew what is free: sixteen from now on. Then the lease is extended out of that.
    let calendar = Calendar::constant(Slot(start), Slot(start + 100), 16);
    world.act("bsc", AmendOffer { offer: id, ask: None, calendar: Some(calendar) }).unwrap();
    world.act("tallinn", extend(lease, 10)).unwrap();
    let free = |world: &World, slot: u32| offer(world).market.free_at(Slot(start + slot));
    assert_eq!([5, 15, 25].map(|slot| free(&world, slot)), [16, 8, 16]);
    world.act("tallinn", EndLease { lease, cumulative: None }).unwrap();
    assert_eq!([5, 15, 25].map(|slot| free(&world, slot)), [16, 16, 16]);
    check_calendars(&world);
}

#[test]
fn nobody_extends_below_the_ask_or_the_last_price() {
    let mut world = world(wide());
    let lease = leased(&mut world, 8, 10);
    let ((_, id), ()) = world.state.rows::<OffersOpen>().next().unwrap();
    let id = *id;
    let price = |world: &World| extension_price(&world.state.view(), &row(world, &lease));
    // A raise counts after the next batch, and not before.
    world.act("bsc", AmendOffer { offer: id, ask: Some(Price(2_000_000)), calendar: None }).unwrap();
    assert_eq!(price(&world), Ok(Price(1_800_000)));
    let cheap = Demand { limit: Price(1_000), ..demand(&world, Purse::Cash) };
    place(&mut world, "tallinn", cheap);
    batch(&mut world);
    assert_eq!(price(&world), Err(Rejection::ExtensionPriceLow));
    assert_eq!(world.act("tallinn", extend(lease, 1)), Err(Rejection::ExtensionPriceLow));
    // It lowers the ask again, but others pay more by now.
    world.act("bsc", AmendOffer { offer: id, ask: Some(Price(1_000_000)), calendar: None }).unwrap();
    assert_eq!(price(&world), Ok(Price(1_800_000)));
    world.provider("FR", "cea", 16, 250);
    let countries = hansa_ledger::member::CountrySet::of([crate::world::member("FR")]).unwrap();
    let dear = Demand { countries, ..demand(&world, Purse::Cash) };
    place(&mut world, "tallinn", dear);
    batch(&mut world);
    assert_eq!(price(&world), Err(Rejection::ExtensionPriceLow));
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    assert_eq!(price(&world), Err(Rejection::ExtensionOfferChanged));
}

/// What happens next to one of two leases.
type Step = (u8, usize, u32, u64);

fn action(
    world: &World,
    leases: &[LeaseId; 2],
    (kind, which, slots, wait_ms): Step,
) -> (&'static str, Action) {
    let lease = leases[which];
    let row = row(world, &lease);
    let delivered = delivered_max(&row, world.now.plus(wait_ms)).unwrap();
    let usages = |cumulative| vec![LeaseUsage { lease, cumulative }];
    match kind {
        0..=3 => ("tallinn", extend(lease, slots).into()),
        4 | 5 => ("bsc", StartLease { lease }.into()),
        6 => ("bsc", ReportUsage { usages: usages(delivered) }.into()),
        7 => ("bsc", EndLease { lease, cumulative: Some(delivered / 2) }.into()),
        8 => ("tallinn", EndLease { lease, cumulative: None }.into()),
        9 => ("tallinn", CountersignUsage { usages: usages(row.reported) }.into()),
        10 => ("tallinn", CancelLease { lease }.into()),
        _ => ("bsc", CancelLease { lease }.into()),
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]
    #[test]
    fn extended_ended_cancelled_and_settled_in_any_order_money_and_calendars_are_kept(
        steps in proptest::collection::vec((0u8..12, 0usize..2, 1u32..30, 1u64..3_000), 4..24),
    ) {
        let mut world = world(wide());
        let leases = [leased(&mut world, 8, 10), leased(&mut world, 12, 6)];
        let granted = offer(&world).market.plus(&world.state.rows::<Entitlements>().next().unwrap().1.leased());
        for step in steps {
            let (signer, action) = action(&world, &leases, step);
            let extends = matches!(action, Action::ExtendLease(_));
            let before = [0, 1].map(|which| row(&world, &leases[which]));
            let transaction = world.sign(signer, vec![action]);
            let done = world.block(step.3, &[transaction]).transactions[0].code == 0;
            check_calendars(&world);
            let after = row(&world, &leases[step.1]);
            if extends && done {
                assert_eq!(after.slots, before[step.1].slots + step.2);
                assert_eq!(after.locked, Price(1_800_000).charge(after.awarded_seconds(1)).unwrap());
            } else {
                assert_eq!(after.slots, before[step.1].slots);
            }
            // What is free and what is leased is what was offered, from the next slot on.
            let next = Slot(world.now.slot(1).0 + 1);
            let part = world.state.rows::<Entitlements>().next().unwrap().1.leased();
            let all = offer(&world).market.plus(&part).cut(next, Slot(u32::MAX));
            assert_eq!(all, granted.cut(next, Slot(u32::MAX)));
        }
        while leases.iter().any(|lease| row(&world, lease).state != LeaseState::Settled) {
            world.pass_deadline();
            check_calendars(&world);
        }
        let reported: u64 = leases.iter().map(|lease| row(&world, lease).reported).sum();
        assert_eq!(usage(&world), reported, "what was not used does not count");
        assert!(world.state.rows::<Members>().all(|(_, member)| member.locked == Money::ZERO));
        let held = cash(&world, "EE", "tallinn") + cash(&world, "ES", "bsc") + world.balance(&AccountId::Fees);
        assert_eq!(held, 1_000_000_000);
    }
}
