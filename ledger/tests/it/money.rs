//! Money: whatever organisations do, in whatever order, the books balance and nothing stays locked.

mod books;
mod rules;

use crate::world::{World, member, name};
use books::{check_books, check_nothing_locked};
use hansa_ledger::action::{
    Action, AmendOffer, AttestDeposit, CancelLease, CancelRequest, ContestUsage, CountersignUsage, EndLease,
    ExtendLease, IssueGrant, LeaseUsage, ObjectLease, PlaceRequest, RedeemCash, ReportUsage,
    RevokeOrganisation, StartLease, TransferCash, delivered_max,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{GrantId, LeaseId, RequestId};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::row::{Demand, Lease, LeaseState, OrganisationClass, Purpose, Purse, RequestState, Source};
use hansa_ledger::tables::{Grants, Leases, OffersOpen, Requests};
use hansa_ledger::time::Slot;
use proptest::prelude::*;

/// Requesters first, then providers; home and name.
pub const PEOPLE: [(&str, &str); 5] =
    [("EE", "tallinn"), ("DE", "berlin"), ("FR", "paris"), ("ES", "bsc"), ("FR", "cea")];

/// What somebody tries: which kind of thing, who, with whom, how much, and how many milliseconds after the last.
#[derive(Clone, Debug)]
struct Try {
    kind: u8,
    who: usize,
    whom: usize,
    amount: u64,
    part: u64,
    wait_ms: u64,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = (0..43u8, 0..PEOPLE.len(), 0..PEOPLE.len(), 1..500_000_000u64, 0..=4u64, 1..1_500u64);
    let one = one.prop_map(|(kind, who, whom, amount, part, wait_ms)| Try {
        kind,
        who,
        whom,
        amount,
        part,
        wait_ms,
    });
    proptest::collection::vec(one, 20..60)
}

/// How often each thing came about, so that the test can be seen to reach them.
#[derive(Debug, Default)]
pub struct Reached {
    pub awarded: u32,
    pub settled: u32,
    pub refused: u32,
    pub held: u32,
    pub objected: u32,
    pub divided: u32,
    pub extended: u32,
}

#[test]
fn whatever_happens_the_books_balance_and_in_the_end_nothing_is_locked() {
    let config = ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() };
    let reached = std::cell::RefCell::new(Reached::default());
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    runner
        .run(&tries(), |tries| {
            let one = live(&tries);
            let mut all = reached.borrow_mut();
            all.awarded += one.awarded;
            all.settled += one.settled;
            all.refused += one.refused;
            all.held += one.held;
            all.objected += one.objected;
            all.divided += one.divided;
            all.extended += one.extended;
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let reached = reached.into_inner();
    assert!(
        reached.awarded > 50 && reached.settled == reached.awarded && reached.refused > 50,
        "{reached:?}"
    );
    assert!(reached.extended > 5, "{reached:?}");
    assert!(reached.held > 5 && reached.objected > 0 && reached.divided > 0, "{reached:?}");
}

fn live(tries: &[Try]) -> Reached {
    // A part that is no round one, so that rounding shows.
    let params = Params { cap_bps: 10_000, holdback_bps: 1_111, audit_window_ms: 5_000, ..Params::testnet() };
    let mut world = World::with(params);
    for (home, number) in &PEOPLE[..3] {
        world.accredit(home, number, OrganisationClass::StartUp);
        world.grant(home, number, &format!("first-{number}"), 500);
    }
    // At the second one's price a few leases meet the debit cap of 1,000 EUR.
    world.provider("ES", "bsc", 16, 180);
    world.provider("FR", "cea", 16, 900_000);
    let mut deposits = std::collections::BTreeMap::new();
    let mut reached = Reached::default();
    for one in tries {
        let Some((signer, action)) = action(&world, one) else { continue };
        let deposit = match &action {
            Action::AttestDeposit(deposit) => Some(deposit.amount.0),
            _ => None,
        };
        let transaction = world.sign(&signer, vec![action]);
        let receipts = world.block(one.wait_ms, &[transaction]);
        if receipts.transactions[0].code != 0 {
            reached.refused += 1;
        } else if let Some(amount) = deposit {
            *deposits.entry(member(PEOPLE[one.who].0)).or_default() += amount;
        }
        count(&mut reached, receipts.events());
        check_books(&world, &deposits);
        crate::extension::check_calendars(&world);
    }
    // Everything comes to its end by itself.
    while world.state.rows::<Leases>().any(|(_, lease)| lease.state != LeaseState::Settled)
        || world.state.rows::<Leases>().any(|(_, lease)| lease.held() != Money::ZERO)
        || world.state.rows::<Requests>().any(|(_, request)| request.state == RequestState::Open)
    {
        count(&mut reached, world.pass_deadline().iter());
        check_books(&world, &deposits);
        crate::extension::check_calendars(&world);
    }
    check_nothing_locked(&world);
    reached
}

fn count<'e>(reached: &mut Reached, events: impl Iterator<Item = &'e Event>) {
    for event in events {
        reached.awarded += u32::from(matches!(event, Event::LeaseAwarded { .. }));
        reached.settled += u32::from(matches!(event, Event::LeaseSettled { .. }));
        reached.extended += u32::from(matches!(event, Event::LeaseExtended { .. }));
        reached.held += u32::from(matches!(event, Event::PayHeldBack { .. }));
        reached.objected += u32::from(matches!(event, Event::LeaseObjected { .. }));
        reached.divided +=
            u32::from(matches!(event, Event::HoldbackReleased { refunds, .. } if !refunds.is_empty()));
    }
}

fn action(world: &World, one: &Try) -> Option<(String, Action)> {
    let (home, number) = PEOPLE[one.who];
    let (whom_home, whom_number) = PEOPLE[one.whom];
    let amount = Money(one.amount);
    let organisation = world.organisation(home, number);
    let whom = world.organisation(whom_home, whom_number);
    let own = |action: Action| Some((number.to_owned(), action));
    match one.kind {
        0 | 1 => {
            let reference = name(&format!("bank-{}", world.now.0));
            Some((format!("{home} treasury"), AttestDeposit { organisation, amount, reference }.into()))
        }
        2..=4 => own(TransferCash { to: whom, amount }.into()),
        5 => own(RedeemCash { amount }.into()),
        6..=8 => Some((format!("{home} treasury"), grant(world, one).into())),
        9..=14 => own(PlaceRequest { demand: demand(world, one)? }.into()),
        15 => {
            let open = world
                .state
                .rows::<Requests>()
                .find(|(_, row)| row.organisation == organisation && row.state == RequestState::Open);
            own(CancelRequest { request: *open?.0 }.into())
        }
        16 if one.part == 0 => {
            Some((format!("{home} registrar"), RevokeOrganisation { organisation }.into()))
        }
        16 => {
            let (_, offer) = world.state.rows::<OffersOpen>().nth(one.whom % 2)?.0;
            let signer = if one.who.is_multiple_of(2) { "bsc" } else { "cea" };
            let ask = Some(Price(one.amount / 1_000 * 1_000));
            Some((signer.to_owned(), AmendOffer { offer: *offer, ask, calendar: None }.into()))
        }
        _ => lease_action(world, one),
    }
}

fn grant(world: &World, one: &Try) -> IssueGrant {
    let (home, number) = PEOPLE[one.who];
    IssueGrant {
        holder: world.organisation(home, number),
        reference: name(&format!("grant-{}", world.now.0)),
        budget_line: name(if one.part > 2 { "line-1" } else { "line-2" }),
        purpose: Purpose::Innovation,
        amount: Money(one.amount),
        expires: world.now.plus(1_000 + 9_000 * one.part),
    }
}

/// From cash, from a grant, or from both.
fn demand(world: &World, one: &Try) -> Option<Demand> {
    let (home, number) = PEOPLE[one.who];
    let holder = world.organisation(home, number);
    let grants: Vec<GrantId> = world
        .state
        .rows::<Grants>()
        .filter(|(_, row)| row.holder == holder && !row.closed)
        .map(|(id, _)| *id)
        .collect();
    let source = |purse, share_bps| Source { purse, share_bps };
    let sources = match (one.part, grants.last()) {
        (0, _) | (_, None) => vec![source(Purse::Cash, 10_000)],
        (1, Some(grant)) => vec![source(Purse::Grant(*grant), 3_333), source(Purse::Cash, 6_667)],
        (_, Some(grant)) => vec![source(Purse::Grant(*grant), 10_000)],
    };
    let now = world.now.slot(1);
    let quantity = 1 + u32::try_from(one.whom).ok()? * 2;
    Some(Demand {
        class: name("a100-64"),
        quantity,
        quantity_min: 1,
        slots: 1 + u32::try_from(one.amount % 9).ok()?,
        start_min: now,
        start_max: Slot(now.0 + 2 + u32::try_from(one.part).ok()?),
        limit: Price(one.amount * 40 / 1_000 * 1_000),
        countries: Default::default(),
        certificates: 0,
        tier_min: 0,
        purpose: Purpose::Innovation,
        sources,
        job: None,
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    })
}

/// The lease that is tried upon, and what one of its sides does.
fn lease_action(world: &World, one: &Try) -> Option<(String, Action)> {
    let wanted = match one.kind {
        17 | 18 | 30..=33 | 40 => LeaseState::Awarded,
        23 | 24 | 26 | 36 => LeaseState::Ended,
        27..=29 | 41 | 42 => LeaseState::Settled,
        _ => LeaseState::Active,
    };
    let rows: Vec<(&LeaseId, &Lease)> =
        world.state.rows::<Leases>().filter(|(_, row)| row.state == wanted || one.part == 4).collect();
    // A grant pays for no extension.
    let extends = (38..=40).contains(&one.kind);
    let rows: Vec<_> = rows.into_iter().filter(|(_, row)| !extends || row.sponsor.is_none()).collect();
    // Of the settled ones the last, before its audit window has passed.
    let rows = if matches!(one.kind, 27..=29 | 41 | 42) {
        rows.into_iter().max_by_key(|(_, row)| row.ended_at).into_iter().collect()
    } else {
        rows
    };
    let (lease, row) = rows.get(one.whom % rows.len().max(1))?;
    let lease = **lease;
    let side = |organisation| {
        let number = PEOPLE.iter().find(|(home, number)| world.organisation(home, number) == organisation);
        number.map(|(_, number)| (*number).to_owned())
    };
    let (provider, requester) = (side(row.provider)?, side(row.requester)?);
    let delivered = delivered_max(row, world.now.plus(one.wait_ms)).unwrap_or(0);
    let cumulative = delivered * one.part.min(3) / 3;
    let usages = |cumulative| vec![LeaseUsage { lease, cumulative }];
    Some(match one.kind {
        17 | 30..=33 => (provider, StartLease { lease }.into()),
        18 if one.who == 0 => (requester, CancelLease { lease }.into()),
        18 => (provider, StartLease { lease }.into()),
        19 => (provider, ReportUsage { usages: usages(cumulative) }.into()),
        20 | 34 | 35 => (provider, EndLease { lease, cumulative: Some(cumulative) }.into()),
        21 => (requester, EndLease { lease, cumulative: None }.into()),
        22 => (requester, CountersignUsage { usages: usages(row.reported * one.part.min(3) / 3) }.into()),
        23 => (requester, ContestUsage { lease, admitted: row.reported * one.part.min(3) / 4 }.into()),
        24 | 36 => (requester, CountersignUsage { usages: usages(row.reported) }.into()),
        26 => {
            let admitted = row.reported * one.part.min(3) / 4;
            (format!("{} treasury", row.requester_home), ContestUsage { lease, admitted }.into())
        }
        38..=40 => {
            let slots = 1 + u32::try_from(one.amount % 20).unwrap();
            (requester, ExtendLease { lease, slots, price_max: Price(u64::MAX) }.into())
        }
        27..=29 | 41 | 42 => (format!("{} treasury", row.requester_home), ObjectLease { lease }.into()),
        _ => (provider, CancelLease { lease }.into()),
    })
}

/// The request behind a lease: ids are distinct types.
pub fn request_of(world: &World, lease: &LeaseId) -> RequestId {
    world.state.get::<Leases>(lease).unwrap().request
}
