//! Aid: entered at the award, summed per group over three years, and taken back for what was not used.

use super::{accredit, order_of};
use crate::scene::{demand, place};
use crate::world::{World, member};
use hansa_ledger::action::{CancelLease, CountersignUsage, EndLease, LeaseUsage, StartLease};
use hansa_ledger::aid::aid_sum;
use hansa_ledger::event::Event;
use hansa_ledger::id::{GroupId, LeaseId, RequestId};
use hansa_ledger::market::{Lane, LaneHint, Reason, clear};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::row::{Aid, AidEntry, AidPart, Demand, OrganisationClass, Purse};
use hansa_ledger::tables::{Aids, Leases, Organisations};

/// The length of a quarter, in milliseconds.
const QUARTER_MS: u64 = 7_889_400_000;

/// Twenty accelerator-seconds at 1.80 instead of 1.00 EUR/h, each rounded up: 10,000 - 5,556.
const AID: u64 = 4_444;

fn world(aid_ceiling: u64) -> World {
    let mut world = World::exactly(Params { aid_ceiling, reserve_bps_min: 10_000, ..Params::testnet() });
    world.provider("ES", "bsc", 64, 180);
    accredit(&mut world, "one", Some("owner"), OrganisationClass::StartUp);
    accredit(&mut world, "two", Some("owner"), OrganisationClass::StartUp);
    world
}

fn group(world: &World) -> GroupId {
    world.state.get::<Organisations>(&world.organisation("EE", "one")).unwrap().group
}

fn sum(world: &World) -> u64 {
    aid_sum(&world.state.view(), group(world), world.now).0
}

fn open(world: &mut World, who: &str) -> RequestId {
    let reference = format!("grant-{}", world.now.0);
    let grant = world.grant("EE", who, &reference, 100);
    let wanted = Demand { lane: LaneHint::Reserve, ..demand(world, Purse::Grant(grant)) };
    place(world, who, wanted)
}

fn awarded(world: &mut World, who: &str) -> LeaseId {
    let request = open(world, who);
    let events = super::batch(world);
    let granted = Event::AidGranted {
        lease: LeaseId::derive(&request),
        group: group(world),
        member: member("EE"),
        amount: Money(AID),
        basis: Price(1_800_000),
        price: Price(1_000_000),
    };
    assert!(events.contains(&granted), "{events:?}");
    let award =
        |event: &Event| matches!(event, Event::LeaseAwarded { lane: Lane::Reserve, released: false, .. });
    assert!(events.iter().any(award), "{events:?}");
    LeaseId::derive(&request)
}

fn entry(world: &World, lease: LeaseId) -> Aid {
    match world.state.get::<Aids>(&(group(world), AidPart::Lease(lease))) {
        Some(AidEntry::Award(aid)) => aid.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_award_out_of_the_reserve_enters_its_aid_and_its_hold_on_the_members_part() {
    let mut world = world(10_000);
    let lease = awarded(&mut world, "one");
    let expected = Aid {
        amount: Money(AID),
        basis: Price(1_800_000),
        price: Price(1_000_000),
        member: member("EE"),
        awarded_at: world.now,
        returned: Money::ZERO,
    };
    assert_eq!(entry(&world, lease), expected);
    let row = world.state.get::<Leases>(&lease).unwrap().clone();
    assert_eq!((row.lane, row.aid, row.sponsor), (Lane::Reserve, Money(AID), Some(member("EE"))));
    let holds = super::book_of(&world).holds;
    assert_eq!(holds.iter().map(|hold| hold.reserve).collect::<Vec<_>>(), [Some(member("EE"))]);
    // What is left is the group's, whichever of its organisations asks.
    let waiting = open(&mut world, "two");
    assert_eq!(order_of(&world, &waiting).aid_left, Some(10_000 - u128::from(AID)));
    super::batch(&mut world);
    let waiting = open(&mut world, "one");
    assert_eq!(order_of(&world, &waiting).aid_left, Some(10_000 - 2 * u128::from(AID)));
    // Without a ceiling nothing is left out.
    let mut free = self::world(0);
    let waiting = open(&mut free, "one");
    assert_eq!(order_of(&free, &waiting).aid_left, None);
}

#[test]
fn the_reserve_gives_what_the_ceiling_leaves_and_then_says_so() {
    for (aid_ceiling, awards) in [(0, 3), (3 * AID, 3), (3 * AID - 1, 2), (AID, 1), (AID - 1, 0)] {
        let mut world = world(aid_ceiling);
        let ids = ["one", "two", "one"].map(|who| open(&mut world, who));
        let clearing = clear(&super::book_of(&world));
        let found: Vec<(Lane, Price, u64)> =
            clearing.trades.iter().map(|trade| (trade.lane, trade.price, trade.aid)).collect();
        assert_eq!(found, vec![(Lane::Reserve, Price(1_000_000), AID); awards], "{aid_ceiling}");
        assert_eq!(clearing.trades.len() + clearing.unmatched.len(), ids.len());
        for unmatched in &clearing.unmatched {
            assert_eq!(unmatched.reason, Reason::AidCeiling);
            let left = aid_ceiling - AID * awards as u64;
            assert_eq!(unmatched.detail.aid_left, Some(Money(left)), "{unmatched}");
        }
        let mut carried = world.fork();
        carried.carry_out(clearing, None);
        assert_eq!(sum(&carried), AID * awards as u64);
    }
}

#[test]
fn the_aid_for_what_was_not_used_is_taken_back_at_the_close() {
    let mut world = world(0);
    let cancelled = awarded(&mut world, "one");
    assert_eq!(sum(&world), AID);
    world.act("one", CancelLease { lease: cancelled }).unwrap();
    assert_eq!((sum(&world), entry(&world, cancelled).returned), (0, Money(AID)));
    let used = awarded(&mut world, "one");
    let start = world.state.get::<Leases>(&used).unwrap().agreement.start;
    let begin = world.sign("bsc", vec![StartLease { lease: used }.into()]);
    world.block(start.0 - world.now.0, &[begin]);
    let end = world.sign("bsc", vec![EndLease { lease: used, cumulative: Some(9) }.into()]);
    world.block(5_000, &[end]);
    let usages = vec![LeaseUsage { lease: used, cumulative: 9 }];
    let events = world.act("one", CountersignUsage { usages }).unwrap();
    // Nine accelerator-seconds: 4,500 at the market price, 2,500 were paid.
    let returned = Money(AID - 2_000);
    let group = group(&world);
    assert!(events.contains(&Event::AidReturned { lease: used, group, amount: returned }), "{events:?}");
    assert_eq!((sum(&world), entry(&world, used).returned), (2_000, returned));
}

#[test]
fn aid_counts_for_three_years_and_its_sums_do_not_grow() {
    let mut world = world(0);
    let now = world.now.0;
    let next_quarter = |after: u64| (now / QUARTER_MS + after) * QUARTER_MS - now;
    let mut request = Vec::new();
    for _ in 0..2 {
        request.push(awarded(&mut world, "one"));
    }
    assert_eq!(sum(&world), 2 * AID);
    // Nobody begins them: one is settled so, which takes its aid back; the ledger forgets nothing else in between.
    let view = world.state.view();
    for (quarters, expected) in [(0, 2 * AID), (1, 2 * AID), (12, 2 * AID), (13, 0), (40, 0)] {
        let then = hansa_ledger::time::TimeMs(now + if quarters == 0 { 0 } else { next_quarter(quarters) });
        assert_eq!(aid_sum(&view, group(&world), then), Money(expected), "{quarters} quarters later");
    }
    drop(view);
    // Thirteen quarters on, an award forgets the sum that counts no more, and keeps the entries.
    world.block(13 * QUARTER_MS, &[]);
    let quarters = |world: &World| {
        world.state.rows::<Aids>().filter(|((_, part), _)| matches!(part, AidPart::Quarter(_))).count()
    };
    world.provider("ES", "late", 64, 180);
    accredit(&mut world, "three", Some("owner"), OrganisationClass::StartUp);
    let _ = awarded(&mut world, "three");
    assert_eq!(quarters(&world), 1);
    assert_eq!(sum(&world), AID);
    assert_eq!(world.state.rows::<Aids>().count(), 4);
}
