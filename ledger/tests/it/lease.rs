//! The way of one request: funded by a grant, awarded, used, settled.

use crate::world::{World, member};
use hansa_ledger::action::{
    CancelLease, CancelRequest, ContestUsage, CountersignUsage, EndLease, LeaseUsage, PlaceRequest,
    ReportUsage, StartLease,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{GrantId, LeaseId, RequestId};
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::Price;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, Closing, Demand, LeaseState, OrganisationClass, Purpose, Purse, Source};
use hansa_ledger::tables::{Leases, Offers, Requests};
use hansa_ledger::time::Slot;

/// Eight accelerators for ten one-second slots at up to 3.60 EUR/h: 0.001 EUR per accelerator-second, so 0.08 EUR at most.
fn demand(world: &World, grant: GrantId) -> Demand {
    let now = world.now.slot(1);
    Demand {
        class: crate::world::name("a100-64"),
        quantity: 8,
        quantity_min: 8,
        slots: 10,
        start_min: now,
        start_max: Slot(now.0 + 600),
        limit: Price(3_600_000),
        countries: CountrySet::of([member("ES"), member("FR")]).unwrap(),
        certificates: 0b1,
        tier_min: 1,
        purpose: Purpose::Innovation,
        sources: vec![Source { purse: Purse::Grant(grant), share_bps: 10_000 }],
        job: None,
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    }
}

struct Scene {
    world: World,
    grant: GrantId,
    request: RequestId,
    lease: LeaseId,
}

fn awarded() -> Scene {
    let mut world = World::new();
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let grant = world.grant("EE", "tallinn", "grant-1", 100);
    let demand = demand(&world, grant);
    let events = world.run("tallinn", vec![PlaceRequest { demand }.into()]).unwrap();
    let request = events
        .iter()
        .find_map(|event| match event {
            Event::RequestPlaced { request, locked, .. } => {
                assert_eq!(locked.0, 80_000);
                Some(*request)
            }
            _ => None,
        })
        .unwrap();
    let lease = world.pass_until(|event| match event {
        Event::LeaseAwarded { lease, price, quantity, .. } => {
            assert_eq!((price.0, *quantity), (1_800_000, 8));
            Some(*lease)
        }
        _ => None,
    });
    Scene { world, grant, request, lease }
}

impl Scene {
    fn grant_balance(&self) -> u64 {
        self.world.balance(&AccountId::Grant(self.grant))
    }

    fn lease(&self) -> hansa_ledger::row::Lease {
        self.world.state.get::<Leases>(&self.lease).unwrap().clone()
    }

    fn start(&mut self) {
        let wait = self.lease().agreement.start.0.saturating_sub(self.world.now.0).max(1);
        let lease = self.lease;
        let transaction = self.world.sign("bsc", vec![StartLease { lease }.into()]);
        let receipts = self.world.block(wait, &[transaction]);
        assert_eq!(receipts.transactions[0].code, 0);
    }

    fn usage(&self, cumulative: u64) -> Vec<LeaseUsage> {
        vec![LeaseUsage { lease: self.lease, cumulative }]
    }
}

/// Amounts in uEUR: what the provider got, the fee, and what is left of the grant of 100 EUR.
fn check_settled(scene: &Scene, closing: Closing, paid: u64) {
    let world = &scene.world;
    let fee = paid / 100;
    let provider = AccountId::Cash(world.organisation("ES", "bsc"));
    assert_eq!(scene.lease().state, LeaseState::Settled);
    assert_eq!(scene.lease().closing, Some(closing));
    assert_eq!(world.balance(&provider), paid - fee);
    assert_eq!(world.balance(&AccountId::Fees), fee);
    assert_eq!(scene.grant_balance(), 100_000_000 - paid);
    let positions = ["EE", "ES", "EU"].map(|code| world.position(code));
    assert_eq!(positions, [-i128::from(paid), i128::from(paid - fee), i128::from(fee)]);
}

#[test]
fn a_grant_pays_a_lease_abroad_and_the_rest_returns_to_it() {
    let mut scene = awarded();
    // At the price found 0.04 EUR can be needed at most: what was locked beyond returned with the award.
    assert_eq!(scene.grant_balance(), 100_000_000 - 40_000);
    scene.start();
    // Five seconds of eight accelerators at 0.0005 EUR each.
    let usages = scene.usage(24);
    let report = scene.world.sign("bsc", vec![ReportUsage { usages }.into()]);
    assert_eq!(scene.world.block(3_000, &[report]).transactions[0].code, 0);
    let end = EndLease { lease: scene.lease, cumulative: Some(40) };
    let end = scene.world.sign("bsc", vec![end.into()]);
    assert_eq!(scene.world.block(2_000, &[end]).transactions[0].code, 0);
    assert_eq!(scene.lease().state, LeaseState::Ended);
    let usages = scene.usage(40);
    scene.world.run("tallinn", vec![CountersignUsage { usages }.into()]).unwrap();
    check_settled(&scene, Closing::Final, 20_000);
}

#[test]
fn a_silent_requester_pays_when_the_window_has_passed() {
    let mut scene = awarded();
    scene.start();
    let end = EndLease { lease: scene.lease, cumulative: Some(16) };
    let end = scene.world.sign("bsc", vec![end.into()]);
    scene.world.block(2_000, &[end]);
    scene.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    check_settled(&scene, Closing::Final, 8_000);
}

#[test]
fn contested_usage_is_divided_as_signed() {
    let mut scene = awarded();
    scene.start();
    let end = EndLease { lease: scene.lease, cumulative: Some(16) };
    let end = scene.world.sign("bsc", vec![end.into()]);
    scene.world.block(2_000, &[end]);
    let lease = scene.lease;
    let contest = |admitted| vec![ContestUsage { lease, admitted }.into()];
    assert_eq!(scene.world.run("tallinn", contest(16)), Err(Rejection::NotContestable));
    scene.world.run("tallinn", contest(4)).unwrap();
    scene.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    // The admitted 4, and half of the contested 12.
    check_settled(&scene, Closing::Ruling, 5_000);
}

#[test]
fn a_provider_that_never_begins_gets_nothing() {
    let mut scene = awarded();
    scene.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    check_settled(&scene, Closing::NoShow, 0);
}

#[test]
fn a_provider_that_vanishes_is_paid_what_it_reported() {
    let mut scene = awarded();
    scene.start();
    let usages = scene.usage(8);
    let report = scene.world.sign("bsc", vec![ReportUsage { usages }.into()]);
    scene.world.block(1_000, &[report]);
    scene.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    check_settled(&scene, Closing::Expired, 4_000);
}

#[test]
fn a_lease_cancelled_before_its_start_costs_nothing() {
    let mut scene = awarded();
    let lease = scene.lease;
    scene.world.run("tallinn", vec![CancelLease { lease }.into()]).unwrap();
    check_settled(&scene, Closing::CancelledByRequester, 0);
}

#[test]
fn usage_is_refused_backwards_over_the_lease_twice_and_from_others() {
    let mut scene = awarded();
    let usages = scene.usage(1);
    let early = scene.world.run("bsc", vec![ReportUsage { usages: usages.clone() }.into()]);
    assert_eq!(early, Err(Rejection::LeaseStateWrong));
    scene.start();
    let usages = scene.usage(16);
    let report = scene.world.sign("bsc", vec![ReportUsage { usages }.into()]);
    scene.world.block(2_000, &[report]);
    let lease = scene.lease;
    for (signer, usages, expected) in [
        ("bsc", scene.usage(15), Rejection::UsageBackwards),
        ("bsc", scene.usage(1_000), Rejection::UsageOverLease),
        ("tallinn", scene.usage(16), Rejection::LeaseUnknown),
    ] {
        assert_eq!(scene.world.run(signer, vec![ReportUsage { usages }.into()]), Err(expected));
    }
    let end = || vec![EndLease { lease, cumulative: Some(16) }.into()];
    scene.world.run("bsc", end()).unwrap();
    assert_eq!(scene.world.run("bsc", end()), Err(Rejection::UsageFinal));
    let usages = scene.usage(17);
    assert_eq!(
        scene.world.run("tallinn", vec![CountersignUsage { usages }.into()]),
        Err(Rejection::UsageUnreported)
    );
}

#[test]
fn an_open_request_can_be_taken_back_and_an_awarded_one_cannot() {
    let mut scene = awarded();
    let request = scene.request;
    let cancelled = scene.world.run("tallinn", vec![CancelRequest { request }.into()]);
    assert_eq!(cancelled, Err(Rejection::RequestUnknown));
    let demand = demand(&scene.world, scene.grant);
    let before = scene.grant_balance();
    let events = scene.world.run("tallinn", vec![PlaceRequest { demand }.into()]).unwrap();
    let Some(Event::RequestPlaced { request, .. }) = events.first() else { panic!("{events:?}") };
    assert_eq!(scene.grant_balance(), before - 80_000);
    scene.world.run("tallinn", vec![CancelRequest { request: *request }.into()]).unwrap();
    assert_eq!(scene.grant_balance(), before);
    assert!(scene.world.state.get::<Requests>(request).unwrap().lease.is_none());
}

#[test]
fn a_provider_that_walks_away_is_paid_only_what_was_countersigned() {
    let mut scene = awarded();
    scene.start();
    let (lease, usages) = (scene.lease, scene.usage(16));
    let report = scene.world.sign("bsc", vec![ReportUsage { usages }.into()]);
    scene.world.block(2_000, &[report]);
    let usages = scene.usage(6);
    scene.world.run("tallinn", vec![CountersignUsage { usages }.into()]).unwrap();
    scene.world.run("bsc", vec![CancelLease { lease }.into()]).unwrap();
    check_settled(&scene, Closing::CancelledByProvider, 3_000);
}

#[test]
fn what_a_silent_provider_last_reported_can_be_contested() {
    let mut scene = awarded();
    scene.start();
    let (lease, usages) = (scene.lease, scene.usage(16));
    let report = scene.world.sign("bsc", vec![ReportUsage { usages }.into()]);
    scene.world.block(2_000, &[report]);
    scene.world.pass_until(|event| matches!(event, Event::UsageReported { last: true, .. }).then_some(()));
    scene.world.run("tallinn", vec![ContestUsage { lease, admitted: 0 }.into()]).unwrap();
    scene.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    check_settled(&scene, Closing::Ruling, 4_000);
}

#[test]
fn an_offer_does_not_grow_with_the_leases_it_had() {
    let mut scene = awarded();
    for _ in 0..6 {
        let demand = demand(&scene.world, scene.grant);
        scene.world.run("tallinn", vec![PlaceRequest { demand }.into()]).unwrap();
        scene.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    }
    scene.world.pass_until(|event| {
        matches!(event, Event::OrganisationClosed { .. } | Event::GrantClosed { .. }).then_some(())
    });
    let offer = scene.lease().offer;
    let points = scene.world.state.get::<Offers>(&offer).unwrap().market.points().len();
    assert!(points <= 6, "{points} points");
}
