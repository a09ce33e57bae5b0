//! The sponsor of a lease: the member whose grant pays may contest its usage, and object while part of the pay is held back.

use crate::scene::{demand, place};
use crate::world::{World, member};
use hansa_ledger::action::{
    CancelLease, ContestUsage, CountersignUsage, EndLease, LeaseUsage, ObjectLease, StartLease,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{GrantId, LeaseId};
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    AccountId, Closing, Demand, Holdback, Lease, LeaseState, OrganisationClass, Purse, Source,
};
use hansa_ledger::tables::{Leases, Members};

/// The audit window of these tests, in milliseconds.
const WINDOW_MS: u64 = 40_000;

struct Scene {
    world: World,
    grant: GrantId,
    lease: LeaseId,
}

impl Scene {
    /// A lease of two accelerators at 0.0005 EUR a second, of which `cash_bps` are paid in cash, with this final report.
    fn reported(provider_home: &str, cash_bps: u16, cumulative: u64) -> Self {
        let params = Params { holdback_bps: 1_500, audit_window_ms: WINDOW_MS, ..Params::testnet() };
        let mut world = World::with(params);
        world.provider(provider_home, "bsc", 64, 180);
        world.accredit("EE", "one", OrganisationClass::StartUp);
        world.deposit("EE", "one", 1);
        let grant = world.grant("EE", "one", "grant-1", 1);
        let sources = [(Purse::Cash, cash_bps), (Purse::Grant(grant), 10_000 - cash_bps)];
        let sources = sources.into_iter().filter(|(_, share_bps)| *share_bps > 0);
        let sources = sources.map(|(purse, share_bps)| Source { purse, share_bps }).collect();
        let wanted = Demand { sources, ..demand(&world, Purse::Cash) };
        let lease = LeaseId::derive(&place(&mut world, "one", wanted));
        world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
        let start = world.state.get::<Leases>(&lease).unwrap().agreement.start;
        let begin = world.sign("bsc", vec![StartLease { lease }.into()]);
        world.block(start.0 - world.now.0, &[begin]);
        let end = world.sign("bsc", vec![EndLease { lease, cumulative: Some(cumulative) }.into()]);
        world.block(10_000, &[end]);
        Self { world, grant, lease }
    }

    fn countersign(&mut self, cumulative: u64) {
        let usages = vec![LeaseUsage { lease: self.lease, cumulative }];
        self.world.act("one", CountersignUsage { usages }).unwrap();
    }

    fn row(&self) -> Lease {
        self.world.state.get::<Leases>(&self.lease).unwrap().clone()
    }

    /// What the provider has, what is left of the grant, what is held back, and what the lease still holds of the debit cap.
    fn books(&self) -> [u64; 4] {
        let home = self.row().provider_home;
        let provider = self.world.organisation(home.as_str(), "bsc");
        let locked = self.world.state.get::<Members>(&member("EE")).unwrap().locked.0;
        let (cash, grant) = (AccountId::Cash(provider), AccountId::Grant(self.grant));
        [self.world.balance(&cash), self.world.balance(&grant), self.row().held().0, locked]
    }

    fn released(&mut self) -> Event {
        self.world.pass_until(|event| matches!(event, Event::HoldbackReleased { .. }).then(|| event.clone()))
    }
}

#[test]
fn part_of_the_pay_out_of_a_grant_is_held_back_and_paid_when_the_window_has_passed() {
    for (home, cap_held) in [("ES", 742), ("EE", 0)] {
        let mut scene = Scene::reported(home, 0, 10);
        scene.countersign(10);
        // 10 accelerator-seconds cost 5,000, of which 50 are the fee; of 4,950 the 15 % are 742.5, rounded down.
        assert_eq!(scene.books(), [4_950 - 742, 995_000, 742, cap_held], "provider in {home}");
        let due = scene.world.now.plus(WINDOW_MS);
        let held = Holdback { amount: Money(742), due, objected: false, released: false };
        assert_eq!(scene.row().holdback, Some(held.clone()));
        assert_eq!(scene.row().state, LeaseState::Settled);
        let Event::HoldbackReleased { payments, refunds, .. } = scene.released() else { panic!() };
        assert_eq!((payments.len(), payments[0].amount, refunds.len()), (1, Money(742), 0));
        assert_eq!(scene.world.now, due);
        assert_eq!(scene.books(), [4_950, 995_000, 0, 0]);
        assert_eq!(scene.row().holdback, Some(Holdback { released: true, ..held }));
    }
}

#[test]
fn cash_is_not_held_back_and_neither_is_what_nobody_earned() {
    // A quarter in cash: of the provider's 4,950 the grant pays 3,713, rounding included, and of those 15 % are held.
    let mut scene = Scene::reported("ES", 2_500, 10);
    scene.countersign(10);
    let held = scene.row().sources.iter().map(|source| source.held.0).collect::<Vec<_>>();
    assert_eq!(held[0], 0);
    assert_eq!(held[1], (4_950 * 3 / 4) * 15 / 100);
    let all_cash = Scene::reported("ES", 10_000, 10);
    assert_eq!(all_cash.row().sponsor, None);
    let mut all_cash = all_cash;
    all_cash.countersign(10);
    assert_eq!((all_cash.row().holdback, all_cash.books()[0]), (None, 4_950));
    let nothing = Scene::reported("ES", 0, 0);
    assert_eq!((nothing.row().state, nothing.row().holdback), (LeaseState::Settled, None));
}

#[test]
fn an_objection_divides_what_is_held_back_at_the_end_of_the_window() {
    let mut scene = Scene::reported("ES", 0, 10);
    scene.countersign(10);
    let object = ObjectLease { lease: scene.lease };
    assert_eq!(scene.world.act("ES treasury", object.clone()), Err(Rejection::NotSponsor));
    let mut late = Scene { world: scene.world.fork(), ..scene };
    late.released();
    assert_eq!(late.world.act("EE treasury", object.clone()), Err(Rejection::NotObjectionable));
    let events = scene.world.act("EE treasury", object.clone()).unwrap();
    assert_eq!(events, [Event::LeaseObjected { lease: scene.lease, sponsor: member("EE") }]);
    assert_eq!(scene.world.act("EE treasury", object), Err(Rejection::NotObjectionable));
    let due = scene.row().holdback.unwrap().due;
    scene.released();
    // Half of the 742, as signed for what stays contested, and not before the window has passed.
    assert_eq!(scene.world.now, due);
    assert_eq!(scene.books(), [4_950 - 371, 995_371, 0, 0]);
}

fn act(scene: &mut Scene, who: &str, admitted: u64) {
    scene.world.act(who, ContestUsage { lease: scene.lease, admitted }).unwrap();
}

#[test]
fn what_the_sponsor_contests_the_requester_cannot_settle() {
    // What requester and sponsor do, and what the provider is paid for, half of the contested included.
    type Row = (&'static str, fn(&mut Scene), u64, Closing);
    let rows: [Row; 5] = [
        ("nobody does anything", |_| (), 10, Closing::Final),
        ("the sponsor alone", |scene| act(scene, "EE treasury", 2), 6, Closing::Ruling),
        (
            "the requester agrees to all of it afterwards",
            |scene| {
                act(scene, "EE treasury", 2);
                scene.countersign(10);
            },
            6,
            Closing::Ruling,
        ),
        (
            "the requester had agreed to most of it before",
            |scene| {
                scene.countersign(9);
                act(scene, "EE treasury", 0);
            },
            5,
            Closing::Ruling,
        ),
        (
            "both, and the least counts",
            |scene| {
                act(scene, "one", 4);
                act(scene, "EE treasury", 8);
            },
            7,
            Closing::Ruling,
        ),
    ];
    for (what, story, paid, closing) in rows {
        let mut scene = Scene::reported("ES", 0, 10);
        story(&mut scene);
        assert_eq!(scene.row().state, LeaseState::Ended, "{what}");
        scene.world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
        let [provider, grant, held, _] = scene.books();
        assert_eq!((grant, scene.row().closing), (1_000_000 - paid * 500, Some(closing)), "{what}");
        assert_eq!(provider + held, paid * 500 - paid * 5, "{what}");
    }
}

#[test]
fn a_lease_that_costs_nothing_holds_nothing_back() {
    let mut scene = Scene::reported("ES", 0, 10);
    scene.countersign(10);
    scene.released();
    let wanted = demand(&scene.world, Purse::Grant(scene.grant));
    let lease = LeaseId::derive(&place(&mut scene.world, "one", wanted));
    scene.world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
    scene.world.act("one", CancelLease { lease }).unwrap();
    assert_eq!(scene.world.state.get::<Leases>(&lease).unwrap().holdback, None);
    assert_eq!(scene.books(), [4_950, 995_000, 0, 0]);
}
