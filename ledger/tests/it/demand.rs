//! The demand side of the market: several classes at once, who may use the reserve, usage that follows the group, and aid.

mod aid;
mod classes;

use crate::scene::{all_from, demand, place};
use crate::world::{World, key, member, name};
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, CancelLease, CountersignUsage, EndLease, LeaseUsage, PlaceRequest,
    PostOffer, Registration, StartLease,
};
use hansa_ledger::batch::book;
use hansa_ledger::demand::is_reserve_class;
use hansa_ledger::event::Event;
use hansa_ledger::id::{LeaseId, OrganisationId, RequestId};
use hansa_ledger::market::{Book, Calendar, LaneHint, Order};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Demand, Lease, OrganisationClass, Pool, Principal, Purpose, Purse, Request, Source};
use hansa_ledger::tables::{Classes, Leases, Requests, Usages};
use hansa_ledger::time::Slot;

/// Another class at a provider's site, all of it offered for an hour.
pub fn capacity(world: &mut World, home: &str, number: &str, class: &Name, accelerators: u32, cents: u64) {
    let site = AccreditSite {
        provider: world.organisation(home, number),
        site: name("site"),
        class: class.clone(),
        accelerators,
        node_size: 4,
        tier: 2,
        certificates: 0b1,
        pool: Pool::Public,
        parts: Vec::new(),
    };
    world.run(&format!("{home} registrar"), vec![site.into()]).unwrap();
    let now = world.now.slot(1);
    let offer = PostOffer {
        site: name("site"),
        class: class.clone(),
        ask: Price(cents * 10_000),
        calendar: Calendar::constant(now, Slot(now.0 + 3_600), accelerators),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: world.code,
        contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap(),
        parties: Vec::new(),
    };
    world.run(number, vec![offer.into()]).unwrap();
}

pub fn request(world: &World, id: &RequestId) -> Request {
    world.state.get::<Requests>(id).unwrap().clone()
}

pub fn lease(world: &World, request: &RequestId) -> Option<Lease> {
    world.state.get::<Leases>(&LeaseId::derive(request)).cloned()
}

/// Runs the batches that are due next.
pub fn batch(world: &mut World) -> Vec<Event> {
    let due = world.state.rows::<Classes>().filter_map(|(_, class)| class.batch_due).min();
    let wait = due.expect("a batch is due").0 - world.now.0;
    world.block(wait, &[]).deadlines
}

fn book_of(world: &World) -> Book {
    book(&world.state.view(), world.params(), world.chain, &name("a100-64"), world.now)
}

fn order_of(world: &World, request: &RequestId) -> Order {
    book_of(world).orders.into_iter().find(|order| order.request == *request).unwrap()
}

fn accredit(
    world: &mut World,
    number: &str,
    owner: Option<&str>,
    class: OrganisationClass,
) -> OrganisationId {
    let action = AccreditOrganisation {
        register_number: number.to_owned(),
        owner: owner.map(|owner| Registration { country: member("FR"), number: owner.to_owned() }),
        name: name(number),
        class,
        accredited_until: world.now.plus(400 * 86_400_000),
        key: key(number).public_key(),
        proof: Some(world.proof(number, Principal::Organisation(world.organisation("EE", number)))),
    };
    world.act("EE registrar", action).unwrap();
    world.organisation("EE", number)
}

#[test]
fn the_reserve_is_for_eligible_classes_that_grants_alone_pay_and_ceilings_bind_commerce() {
    use OrganisationClass::{Large, Public, Research, Sme, StartUp};
    let mut world = World::new();
    world.provider("ES", "bsc", 64, 180);
    // Class, purpose of the demand, part in cash in basis points: eligible, paid by a grant, commercial.
    type Row = (OrganisationClass, Purpose, u16, [bool; 3]);
    let rows: [Row; 10] = [
        (StartUp, Purpose::Innovation, 0, [true, true, false]),
        (Sme, Purpose::Innovation, 0, [true, true, false]),
        (Research, Purpose::Innovation, 0, [true, true, false]),
        (Public, Purpose::Innovation, 0, [true, true, false]),
        (Large, Purpose::Innovation, 0, [false, true, true]),
        // A part in cash leads out of the reserve, but not past what binds a grant.
        (StartUp, Purpose::Innovation, 1, [false, true, false]),
        (StartUp, Purpose::Innovation, 10_000, [false, false, false]),
        (Research, Purpose::Industrial, 10_000, [false, false, true]),
        (Large, Purpose::Research, 10_000, [false, false, true]),
        (Sme, Purpose::Research, 10_000, [false, false, false]),
    ];
    for (number, (class, purpose, cash_bps, expected)) in rows.into_iter().enumerate() {
        let who = format!("org-{number}");
        accredit(&mut world, &who, None, class);
        world.deposit("EE", &who, 100);
        let grant = Purse::Grant(world.grant("EE", &who, &format!("grant-{number}"), 100));
        let sources = [(Purse::Cash, cash_bps), (grant, 10_000 - cash_bps)];
        let sources = sources.into_iter().filter(|(_, share_bps)| *share_bps > 0);
        let sources = sources.map(|(purse, share_bps)| Source { purse, share_bps }).collect();
        let wanted = Demand { purpose, sources, ..demand(&world, Purse::Cash) };
        // For the reserve alone, who may not use it is refused at once.
        let reserve = PlaceRequest { demand: Demand { lane: LaneHint::Reserve, ..wanted.clone() } };
        let refused = if expected[0] { Ok(()) } else { Err(Rejection::ReserveIneligible) };
        assert_eq!(world.fork().act(&who, reserve).map(|_| ()), refused, "{class:?} {purpose:?} {cash_bps}");
        let id = place(&mut world, &who, wanted);
        let order = order_of(&world, &id);
        let found = [order.eligible, order.credit == Some(member("EE")), order.commercial];
        assert_eq!(found, expected, "{class:?} {purpose:?} {cash_bps}");
        assert_eq!(order.own_group_excluded, expected[1]);
    }
}

#[test]
fn the_federation_says_which_classes_may_use_the_reserve() {
    use OrganisationClass::{Large, Public, Research, Sme, StartUp};
    for (bit, only) in [(1, StartUp), (2, Sme), (4, Large), (8, Research), (16, Public)] {
        let params = Params { reserve_classes: bit, ..Params::testnet() };
        for class in [StartUp, Sme, Large, Research, Public] {
            assert_eq!(is_reserve_class(&params, class), class == only, "{class:?} under {bit}");
        }
        let default = is_reserve_class(&Params::default(), only);
        assert_eq!(default, only != Large);
    }
}

#[test]
fn a_new_groups_cap_in_the_reserve_grows_with_its_oldest_organisation() {
    let day = 86_400_000;
    let params = Params {
        reserve_ramp_ms: 90 * day,
        reserve_ramp_bps_min: 1_000,
        cap_bps: 10_000,
        reserve_cap_bps: 2_000,
        ..Params::testnet()
    };
    let mut world = World::with(params);
    let old = accredit(&mut world, "old", Some("owner"), OrganisationClass::Sme);
    world.block(45 * day, &[]);
    world.provider("ES", "bsc", 64, 180);
    accredit(&mut world, "young", Some("owner"), OrganisationClass::Sme);
    accredit(&mut world, "new", None, OrganisationClass::Sme);
    let [young, new] = ["young", "new"].map(|who| {
        let grant = world.grant("EE", who, &format!("grant-{who}"), 100);
        let wanted = demand(&world, Purse::Grant(grant));
        place(&mut world, who, wanted)
    });
    // Half of the way for the group of the old one: 20 % of a tenth and half of the other nine tenths.
    assert_eq!(order_of(&world, &young).reserve_cap_bps, 1_100);
    assert_eq!(order_of(&world, &new).reserve_cap_bps, 200);
    // Who lost its accreditation lends its age to nobody.
    let revoke = hansa_ledger::action::RevokeOrganisation { organisation: old };
    world.act("EE registrar", revoke).unwrap();
    assert_eq!(order_of(&world, &young).reserve_cap_bps, 200);
}

/// What the group of `who` is counted for in the class, in accelerator-seconds.
fn used(world: &World, who: &str) -> Option<u64> {
    let organisation = world.organisation("EE", who);
    let row = world.state.get::<hansa_ledger::tables::Organisations>(&organisation).unwrap();
    world.state.get::<Usages>(&(row.group, name("a100-64"))).map(|usage| usage.accelerator_seconds)
}

#[test]
fn usage_counts_from_the_award_follows_the_group_and_gives_back_exactly_what_was_not_used() {
    let mut world = World::new();
    world.provider("ES", "bsc", 64, 180);
    for who in ["left", "right"] {
        accredit(&mut world, who, Some("owner"), OrganisationClass::Sme);
        world.deposit("EE", who, 100);
    }
    let two = |world: &World| Demand { sources: all_from(Purse::Cash), ..demand(world, Purse::Cash) };
    let [first, second, third] = ["left", "right", "left"].map(|who| {
        let wanted = two(&world);
        place(&mut world, who, wanted)
    });
    assert_eq!(used(&world, "left"), None, "a request is no usage");
    batch(&mut world);
    // Three times two accelerators for ten seconds, counted for both alike.
    assert_eq!((used(&world, "left"), used(&world, "right")), (Some(60), Some(60)));
    let wanted = two(&world);
    let open = place(&mut world, "right", wanted);
    let book = book_of(&world);
    let group = order_of(&world, &open).group;
    assert_eq!((book.usage[&group].accelerator_seconds, book.usage[&group].other), (60, 0));
    assert_eq!((book.capacity, order_of(&world, &open).usage), (64, 60 * 1_000_000_000 / 64));
    let [first, second] = [first, second].map(|id| LeaseId::derive(&id));
    // Cancelled before its start, it was never used.
    world.act("left", CancelLease { lease: LeaseId::derive(&third) }).unwrap();
    assert_eq!(used(&world, "left"), Some(40));
    // Seven accelerator-seconds stay of the one that ends early; the one that never begins leaves nothing.
    let start = world.state.get::<Leases>(&first).unwrap().agreement.start;
    let begin = world.sign("bsc", vec![StartLease { lease: first }.into()]);
    world.block(start.0 - world.now.0, &[begin]);
    let end = world.sign("bsc", vec![EndLease { lease: first, cumulative: Some(7) }.into()]);
    world.block(4_000, &[end]);
    // The last request has become a lease by now as well.
    assert_eq!(used(&world, "left"), Some(60), "given back when it is settled, not when it ends");
    let usages = vec![LeaseUsage { lease: first, cumulative: 7 }];
    world.act("left", CountersignUsage { usages }).unwrap();
    assert_eq!(used(&world, "left"), Some(47));
    world.pass_until(|event| match event {
        Event::LeaseSettled { lease, .. } => (*lease == second).then_some(()),
        _ => None,
    });
    let left = LeaseId::derive(&open);
    if world.state.get::<Leases>(&left).unwrap().closing.is_none() {
        world.pass_until(|event| matches!(event, Event::LeaseSettled { .. }).then_some(()));
    }
    assert_eq!(used(&world, "right"), Some(7));
}
