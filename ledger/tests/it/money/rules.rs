//! Single rules of money, each by an example.

use crate::scene::{Scene, demand, place};
use crate::world::{World, key, member, name};
use hansa_ledger::action::{
    AmendOffer, AttestDeposit, CancelRequest, ContestUsage, CountersignUsage, EndLease, IssueGrant,
    LeaseUsage, RedeemCash, ReportUsage, RevokeOrganisation, StartLease, TransferCash, grant_id,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{GrantId, LeaseId};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    AccountId, Demand, LeaseState, OrganisationClass, Principal, Purpose, Purse, RequestState, Source,
    Standing,
};
use hansa_ledger::tables::{Leases, Members, OffersOpen, Organisations, Requests};
use hansa_ledger::time::TimeMs;
use proptest::prelude::*;

const EUR: u64 = 1_000_000;

fn line(code: &str) -> AccountId {
    AccountId::Line(member(code), name("line-1"))
}

fn cash(world: &World, home: &str, number: &str) -> u64 {
    world.balance(&AccountId::Cash(world.organisation(home, number)))
}

/// A provider in Spain and a start-up in Estonia.
fn market() -> World {
    let mut world = World::with(Params { cap_bps: 10_000, ..Params::testnet() });
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    world
}

/// Awards `demand` and begins the lease.
fn begin(world: &mut World, demand: Demand) -> LeaseId {
    let lease = LeaseId::derive(&place(world, "tallinn", demand));
    world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
    let start = world.state.get::<Leases>(&lease).unwrap().agreement.start;
    let transaction = world.sign("bsc", vec![StartLease { lease }.into()]);
    world.block(start.0 - world.now.0, &[transaction]);
    lease
}

/// What the provider and the federation hold after a lease of ten seconds whose use was reported in these steps.
fn settled_after(reports: &[u64], last: u64) -> (u64, u64, i128) {
    let mut world = market();
    let grant = world.grant("EE", "tallinn", "grant-1", 100);
    let demand = demand(&world, Purse::Grant(grant));
    // A price at which one accelerator-second is no whole number of uEUR.
    let offer = world.state.rows::<OffersOpen>().map(|((_, offer), ())| *offer).next().unwrap();
    world.act("bsc", AmendOffer { offer, ask: Some(Price(1_001_000)), calendar: None }).unwrap();
    let lease = begin(&mut world, demand);
    for cumulative in reports {
        let usages = vec![LeaseUsage { lease, cumulative: *cumulative }];
        let transaction = world.sign("bsc", vec![ReportUsage { usages }.into()]);
        world.block(1_000, &[transaction]);
    }
    let end = world.sign("bsc", vec![EndLease { lease, cumulative: Some(last) }.into()]);
    world.block(9_500 - 1_000 * reports.len() as u64, &[end]);
    // Nothing used needs no countersignature: it is settled at once.
    if last > 0 {
        world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    }
    assert_eq!(world.state.get::<Leases>(&lease).unwrap().state, LeaseState::Settled);
    (cash(&world, "ES", "bsc"), world.balance(&AccountId::Fees), world.position("EE"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_reports_pay_what_one_report_pays(steps in proptest::collection::vec(0..=2u64, 0..8), more in 0..=2u64) {
        let reports: Vec<u64> = steps.iter().scan(0, |sum, step| { *sum += step; Some(*sum) }).collect();
        let last = reports.last().copied().unwrap_or(0) + more;
        prop_assert_eq!(settled_after(&reports, last), settled_after(&[], last));
    }
}

#[test]
fn revocation_refunds_requests_withdraws_offers_and_lets_leases_end() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let (grant, locked) =
        (AccountId::Grant(scene.grant), world.state.get::<Requests>(&scene.waiting).unwrap().locked);
    let before = world.balance(&grant);
    world.act("EE registrar", RevokeOrganisation { organisation: scene.tallinn }).unwrap();
    assert_eq!(world.balance(&grant), before + locked.0);
    assert_eq!(world.state.get::<Requests>(&scene.waiting).unwrap().state, RequestState::Revoked);
    assert_eq!(world.state.get::<Organisations>(&scene.tallinn).unwrap().standing, Standing::Revoked);
    world.act("ES registrar", RevokeOrganisation { organisation: scene.bsc }).unwrap();
    assert_eq!(world.state.rows::<OffersOpen>().count(), 0);
    // Both sides of what was agreed may still bring it to its end, and take what is theirs.
    let usages = || vec![LeaseUsage { lease: scene.ended, cumulative: 4 }];
    world.act("tallinn", CountersignUsage { usages: usages() }).unwrap();
    world.act("bsc", EndLease { lease: scene.active, cumulative: Some(4) }).unwrap();
    let usages = vec![LeaseUsage { lease: scene.active, cumulative: 4 }];
    world.act("tallinn", CountersignUsage { usages }).unwrap();
    for lease in [scene.ended, scene.active] {
        assert_eq!(world.state.get::<Leases>(&lease).unwrap().state, LeaseState::Settled);
    }
    // Four accelerator-seconds at 0.0005 EUR, twice, less one per cent, and what its own requests had locked.
    assert_eq!(cash(world, "ES", "bsc"), 3_960 + 24);
    world.act("bsc", RedeemCash { amount: Money(3_984) }).unwrap();
}

#[test]
fn an_accreditation_that_ends_refunds_open_requests_by_itself() {
    let scene = Scene::new();
    let mut world = scene.world;
    let until = world.state.get::<Organisations>(&scene.tallinn).unwrap().accredited_until;
    let mut closed = Vec::new();
    while world.now < until {
        closed.extend(world.pass_deadline());
    }
    assert!(
        closed.contains(&Event::OrganisationClosed {
            organisation: scene.tallinn,
            standing: Standing::Expired
        })
    );
    assert_eq!(world.state.get::<Organisations>(&scene.tallinn).unwrap().requests_open, 0);
    super::check_nothing_locked(&world);
}

fn issue(world: &mut World, reference: &str, eur: u64, expires: TimeMs) -> Result<GrantId, Rejection> {
    let action = IssueGrant {
        holder: world.organisation("EE", "tallinn"),
        reference: name(reference),
        budget_line: name("line-1"),
        purpose: Purpose::Innovation,
        amount: Money(eur * EUR),
        expires,
    };
    world.act("EE treasury", action)?;
    Ok(grant_id(member("EE"), &name(reference)))
}

#[test]
fn an_expired_grant_returns_to_its_line_and_the_next_draws_on_it_first() {
    let mut world = market();
    let issued = |world: &World| world.state.get::<Members>(&member("EE")).unwrap().issued.0 / EUR;
    let expires = world.now.plus(5_000);
    let first = issue(&mut world, "first", 60, expires).unwrap();
    // A request that is open when its grant expires, and one that is a lease by then.
    let mut far = demand(&world, Purse::Grant(first));
    far.start_min.0 += 300;
    let wanted = demand(&world, Purse::Grant(first));
    let lease = begin(&mut world, wanted);
    let open = place(&mut world, "tallinn", Demand { limit: Price(1_000_000), ..far });
    let locked = world.state.get::<Requests>(&open).unwrap().locked.0
        + world.state.get::<Leases>(&lease).unwrap().locked.0;
    assert_eq!((issued(&world), world.balance(&line("EE"))), (60, 0));
    world.pass_until(|event| matches!(event, Event::GrantClosed { .. }).then_some(()));
    assert_eq!(world.balance(&AccountId::Grant(first)), 0);
    assert_eq!(world.balance(&line("EE")), 60 * EUR - locked);
    // The lease goes on; what it does not use returns to the line, and so does the open request.
    let usages = vec![LeaseUsage { lease, cumulative: 2 }];
    world.act("bsc", EndLease { lease, cumulative: Some(2) }).unwrap();
    world.act("tallinn", CountersignUsage { usages }).unwrap();
    world.act("tallinn", CancelRequest { request: open }).unwrap();
    assert_eq!(world.balance(&line("EE")), 60 * EUR - 1_000);
    let expires = world.now.plus(5_000);
    issue(&mut world, "second", 50, expires).unwrap();
    assert_eq!((issued(&world), world.balance(&line("EE"))), (60, 10 * EUR - 1_000));
    issue(&mut world, "third", 15, expires).unwrap();
    assert_eq!(world.balance(&line("EE")), 0);
    let issued = world.state.get::<Members>(&member("EE")).unwrap().issued.0;
    assert_eq!(issued, 65 * EUR + 1_000);
}

#[test]
fn two_sources_lock_pay_and_are_refunded_by_their_shares() {
    let mut world = market();
    let grant = world.grant("EE", "tallinn", "grant-1", 10);
    world.deposit("EE", "tallinn", 10);
    let sources = vec![
        Source { purse: Purse::Cash, share_bps: 2_500 },
        Source { purse: Purse::Grant(grant), share_bps: 7_500 },
    ];
    let purses = |world: &World| {
        (10 * EUR - cash(world, "EE", "tallinn"), 10 * EUR - world.balance(&AccountId::Grant(grant)))
    };
    // At the limit 20,000 uEUR, at the price found 10,000.
    let mut wanted = Demand { sources, ..demand(&world, Purse::Cash) };
    wanted.start_min.0 += 2;
    let request = place(&mut world, "tallinn", wanted);
    assert_eq!(purses(&world), (5_000, 15_000));
    world.pass_until(|event| matches!(event, Event::LeaseAwarded { .. }).then_some(()));
    assert_eq!(purses(&world), (2_500, 7_500));
    let lease = LeaseId::derive(&request);
    let start = world.state.get::<Leases>(&lease).unwrap().agreement.start;
    let transaction = world.sign("bsc", vec![StartLease { lease }.into()]);
    world.block(start.0 - world.now.0, &[transaction]);
    // 3 accelerator-seconds cost 1,500: of the provider's 1,485 and of the fee of 15 the first source pays a quarter, and
    // what rounding leaves.
    let end = world.sign("bsc", vec![EndLease { lease, cumulative: Some(3) }.into()]);
    world.block(2_000, &[end]);
    world.act("tallinn", CountersignUsage { usages: vec![LeaseUsage { lease, cumulative: 3 }] }).unwrap();
    assert_eq!(purses(&world), (372 + 4, 1_113 + 11));
    assert_eq!((cash(&world, "ES", "bsc"), world.balance(&AccountId::Fees)), (1_485, 15));
}

#[test]
fn cash_moves_positions_only_when_it_crosses_a_border() {
    let mut world = market();
    world.accredit("EE", "tartu", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 20);
    let to = |world: &mut World, home, number, eur| {
        let to = world.organisation(home, number);
        world.act("tallinn", TransferCash { to, amount: Money(eur * EUR) }).map(|events| events.len())
    };
    assert_eq!(to(&mut world, "EE", "tartu", 5), Ok(1));
    assert_eq!((world.position("EE"), world.position("ES")), (0, 0));
    assert_eq!(to(&mut world, "ES", "bsc", 7), Ok(2));
    assert_eq!((world.position("EE"), world.position("ES")), (-7_000_000, 7_000_000));
    assert_eq!(
        (cash(&world, "EE", "tallinn"), cash(&world, "EE", "tartu"), cash(&world, "ES", "bsc")),
        (8 * EUR, 5 * EUR, 7 * EUR)
    );
    world
        .act("bsc", TransferCash { to: world.organisation("EE", "tallinn"), amount: Money(2 * EUR) })
        .unwrap();
    assert_eq!((world.position("EE"), world.position("ES")), (-5_000_000, 5_000_000));
}

#[test]
fn redeemed_cash_leaves_the_ledger_and_frees_the_issue_limit() {
    let mut world = market();
    let deposit = |world: &mut World, reference: &str, amount| {
        let organisation = world.organisation("EE", "tallinn");
        world.act(
            "EE treasury",
            AttestDeposit { organisation, amount: Money(amount), reference: name(reference) },
        )
    };
    deposit(&mut world, "all", 1_000_000_000_000).unwrap();
    assert_eq!(deposit(&mut world, "more", 1), Err(Rejection::IssueLimit));
    world.act("tallinn", RedeemCash { amount: Money(300) }).unwrap();
    let row = world.state.get::<Members>(&member("EE")).unwrap();
    assert_eq!((row.issued.0, row.redeemed.0, row.position), (1_000_000_000_000, 300, 0));
    assert_eq!(deposit(&mut world, "over", 301), Err(Rejection::IssueLimit));
    deposit(&mut world, "fits", 300).unwrap();
}

#[test]
fn a_member_whose_providers_redeemed_what_they_earned_abroad_can_still_issue() {
    let mut world = market();
    world.deposit("EE", "tallinn", 20);
    world
        .act("tallinn", TransferCash { to: world.organisation("ES", "bsc"), amount: Money(7 * EUR) })
        .unwrap();
    world.act("bsc", RedeemCash { amount: Money(7 * EUR) }).unwrap();
    let row = world.state.get::<Members>(&member("ES")).unwrap();
    assert_eq!((row.issued.0, row.redeemed.0), (0, 7 * EUR));
    world.deposit("ES", "bsc", 1);
    assert_eq!(cash(&world, "ES", "bsc"), EUR);
}

#[test]
fn what_leases_hold_of_the_debit_cap_cannot_be_spent_otherwise() {
    let mut world = market();
    world.deposit("EE", "tallinn", 5_000);
    let wanted = demand(&world, Purse::Cash);
    let lease = begin(&mut world, wanted);
    let held = world.state.get::<Members>(&member("EE")).unwrap().locked.0;
    assert_eq!(held, world.state.get::<Leases>(&lease).unwrap().locked.0);
    assert_eq!(held, 10_000);
    let to = world.organisation("ES", "bsc");
    let pay = |world: &mut World, amount| {
        world.act("tallinn", TransferCash { to, amount: Money(amount) }).map(|_| ())
    };
    assert_eq!(pay(&mut world, 1_000 * EUR - held + 1), Err(Rejection::DebitCap));
    assert_eq!(pay(&mut world, 1_000 * EUR - held), Ok(()));
    assert_eq!(pay(&mut world, 1), Err(Rejection::DebitCap));
    // The lease itself is paid out of what it held; what it did not use is free again.
    world.act("bsc", EndLease { lease, cumulative: Some(0) }).unwrap();
    assert_eq!(world.state.get::<Members>(&member("EE")).unwrap().locked.0, 0);
    assert_eq!(pay(&mut world, held + 1), Err(Rejection::DebitCap));
    assert_eq!(pay(&mut world, held), Ok(()));
    assert_eq!(world.position("EE"), -1_000_000_000);
}

#[test]
fn usage_countersigned_after_it_was_contested_is_admitted() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    world.act("tallinn", ContestUsage { lease: scene.ended, admitted: 0 }).unwrap();
    let usages = vec![LeaseUsage { lease: scene.ended, cumulative: 2 }];
    world.act("tallinn", CountersignUsage { usages }).unwrap();
    world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    // Two admitted, and half of the two that stay contested: 3 at 500 uEUR, less the fee.
    assert_eq!(cash(world, "ES", "bsc"), 1_485);
}

#[test]
fn a_key_binds_no_more_than_its_limit() {
    let mut world = market();
    world.deposit("EE", "tallinn", 20);
    world.accredit("EE", "tartu", OrganisationClass::Sme);
    let treasurer = hansa_ledger::action::SetKey {
        key: key("treasurer").public_key(),
        roles: hansa_ledger::row::Roles::TREASURY,
        amount_max: Some(Money(3 * EUR)),
        proof: Some(world.proof("treasurer", Principal::Organisation(world.organisation("EE", "tallinn")))),
    };
    world.act("tallinn", treasurer).unwrap();
    let to = world.organisation("EE", "tartu");
    for (amount, expected) in [(3 * EUR, Ok(())), (3 * EUR + 1, Err(Rejection::AmountOverKeyLimit))] {
        assert_eq!(world.act("treasurer", TransferCash { to, amount: Money(amount) }).map(|_| ()), expected);
    }
}
