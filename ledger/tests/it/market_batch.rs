//! The batch, over whole blocks: one price, a reason for all that stays open, and only when something changed.

use crate::scene::{all_from, demand, place};
use crate::world::{World, key, member, name};
use hansa_ledger::action::{
    AccreditOrganisation, AccreditSite, AmendOffer, CancelRequest, EndLease, PlaceRequest, Registration,
    RevokeOrganisation, StartLease, TransferCash, WithdrawOffer, request_id,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{LeaseId, OrganisationId, RequestId};
use hansa_ledger::market::{Reason, Unmatched};
use hansa_ledger::member::CountrySet;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::row::{
    Class, Demand, Lease, OrganisationClass, Pool, Principal, Purse, Request, RequestState,
};
use hansa_ledger::tables::{Classes, Leases, Offers, OffersOpen, Requests};
use hansa_ledger::time::{Slot, TimeMs};

/// A Spanish provider of so many accelerators at 1.80 EUR/h, and bidders with 100 EUR each in Estonia.
fn market(accelerators: u32, cap_bps: u16, bidders: &[&str]) -> World {
    let mut world = World::with(Params { cap_bps, ..Params::testnet() });
    world.provider("ES", "bsc", accelerators, 180);
    for number in bidders {
        world.accredit("EE", number, OrganisationClass::Sme);
        world.deposit("EE", number, 100);
    }
    world
}

/// So many accelerators for ten slots, with one slot to start in, a few seconds ahead.
fn wanted(world: &World, quantity: u32, limit_cents: u64) -> Demand {
    let base = demand(world, Purse::Cash);
    let start = Slot(base.start_min.0 + 5);
    let limit = Price(limit_cents * 10_000);
    Demand { quantity, quantity_min: quantity, start_min: start, start_max: start, limit, ..base }
}

fn class(world: &World) -> Class {
    world.state.get::<Classes>(&name("a100-64")).unwrap().clone()
}

fn request(world: &World, id: &RequestId) -> Request {
    world.state.get::<Requests>(id).unwrap().clone()
}

fn lease(world: &World, request: &RequestId) -> Option<Lease> {
    world.state.get::<Leases>(&LeaseId::derive(request)).cloned()
}

fn unmatched(world: &World, id: &RequestId) -> Unmatched {
    let row = request(world, id);
    assert_eq!(row.state, RequestState::Open);
    let [found] = &row.unmatched[..] else { panic!("a batch gave one reason: {:?}", row.unmatched) };
    assert_eq!(found.class, name("a100-64"));
    found.unmatched.clone()
}

/// Runs the batch that is due.
fn batch(world: &mut World) -> Vec<Event> {
    let due = class(world).batch_due.expect("a batch is due");
    let wait = due.0 - world.now.0;
    world.block(wait, &[]).deadlines
}

#[test]
fn all_that_is_matched_pays_one_price_between_ask_and_limit() {
    let mut world = market(8, 10_000, &["one", "two", "three"]);
    let requests = [("one", 500), ("two", 400), ("three", 300)].map(|(signer, limit)| {
        let demand = wanted(&world, 4, limit);
        place(&mut world, signer, demand)
    });
    let events = batch(&mut world);
    let prices: Vec<(Price, u64)> = events
        .iter()
        .filter_map(|event| match event {
            Event::BatchPriced { price, volume, .. } => Some((*price, *volume)),
            _ => None,
        })
        .collect();
    let [(price, volume)] = prices[..] else { panic!("{events:?}") };
    assert_eq!(volume, 2 * 4 * 10);
    assert_eq!(class(&world).price, Some(price));
    let awarded: Vec<&RequestId> = requests.iter().filter(|id| lease(&world, id).is_some()).collect();
    assert_eq!(awarded, [&requests[0], &requests[1]], "8 of the 12 accelerators asked for are there");
    for id in &requests {
        let row = request(&world, id);
        match lease(&world, id) {
            Some(lease) => {
                assert_eq!((lease.agreement.price, row.state), (price, RequestState::Awarded));
                assert!(Price(1_800_000) <= price && price <= row.demand.limit);
                // What was locked beyond the price found has gone back.
                assert_eq!(lease.locked, price.charge(40).unwrap());
                assert_eq!(row.locked, lease.locked);
            }
            None => {
                // The price is the best limit that was shut out, so nobody is shut out above it.
                let unmatched = unmatched(&world, id);
                assert_eq!(unmatched.detail.clearing_price, Some(price));
                assert_eq!(
                    (unmatched.reason, row.demand.limit),
                    (Reason::LimitBelowPrice, price),
                    "{unmatched}"
                );
                assert_eq!(unmatched.detail.cheapest_ask, Some(Price(1_800_000)));
            }
        }
    }
}

#[test]
fn what_stays_open_keeps_its_money_and_says_why_with_numbers() {
    let mut world = market(64, 2_500, &["one"]);
    type Row = (fn(&mut Demand), Reason, fn(&Unmatched) -> bool);
    let rows: [Row; 3] = [
        (
            |one| one.limit = Price(1_000_000),
            Reason::LimitBelowPrice,
            |found| found.detail.cheapest_ask == Some(Price(1_800_000)),
        ),
        // The offer ends an hour after it was posted.
        (|one| one.slots = 7_200, Reason::NoCapacityInWindow, |found| found.detail.largest_free == Some(0)),
        (
            |one| (one.quantity, one.quantity_min, one.limit) = (16, 16, Price(1_000)),
            Reason::LimitBelowPrice,
            |found| found.detail.cheapest_ask.is_some(),
        ),
    ];
    for (change, reason, numbers) in rows {
        let mut world = world.fork();
        let mut demand = wanted(&world, 1, 400);
        change(&mut demand);
        let id = place(&mut world, "one", demand);
        let locked = request(&world, &id).locked;
        batch(&mut world);
        let found = unmatched(&world, &id);
        assert_eq!(found.reason, reason, "{found}");
        assert!(numbers(&found), "{found:?}");
        assert_eq!((request(&world, &id).locked, found.request), (locked, id));
        world.act("one", CancelRequest { request: id }).unwrap();
    }
    // A window that passes without a match closes the request by itself, and its money returns.
    let demand = wanted(&world, 1, 100);
    let before = world.rows();
    let id = place(&mut world, "one", demand);
    world.pass_until(|event| matches!(event, Event::RequestClosed { .. }).then_some(()));
    assert_eq!(request(&world, &id).state, RequestState::Expired);
    let accounts = |rows: Vec<(u8, Vec<u8>, Vec<u8>)>| {
        rows.into_iter().filter(|(table, ..)| *table == 6).collect::<Vec<_>>()
    };
    assert!(accounts(before) == accounts(world.rows()));
}

#[test]
fn a_group_holds_no_more_than_its_cap_in_one_batch() {
    let mut world = market(64, 2_500, &["one"]);
    let [first, second] = [wanted(&world, 10, 400), wanted(&world, 10, 400)];
    let ids = [first, second].map(|demand| place(&mut world, "one", demand));
    batch(&mut world);
    let (awarded, refused): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| lease(&world, id).is_some());
    assert_eq!(awarded.len(), 1);
    let found = unmatched(&world, &refused[0]);
    assert_eq!((found.reason, found.detail.group_cap), (Reason::GroupCapReached, Some(16)));
}

#[test]
fn orders_of_the_batchs_own_block_wait_for_the_next() {
    let mut world = market(64, 10_000, &["one", "two"]);
    let (early, late) = (wanted(&world, 4, 400), wanted(&world, 4, 400));
    let early = place(&mut world, "one", early);
    let due = class(&world).batch_due.unwrap();
    let transaction = world.sign("two", vec![PlaceRequest { demand: late }.into()]);
    let late = request_id(transaction.id(), 0);
    let receipts = world.block(due.0 - world.now.0, &[transaction]);
    assert_eq!(receipts.transactions[0].code, 0);
    assert!(lease(&world, &early).is_some());
    assert_eq!(
        (request(&world, &late).state, request(&world, &late).unmatched),
        (RequestState::Open, Vec::new())
    );
    assert_eq!(class(&world).batch_due, Some(TimeMs(due.0 + 1_000)));
    batch(&mut world);
    assert!(lease(&world, &late).is_some());
}

#[test]
fn a_batch_is_due_only_when_something_changed_and_somebody_waits() {
    let mut world = market(64, 10_000, &["one"]);
    // An offer was posted, and nobody waits for it.
    assert_eq!((class(&world).batch_due, class(&world).epoch), (None, 0));
    let mut patient = wanted(&world, 4, 100);
    patient.start_max.0 += 300;
    let id = place(&mut world, "one", patient);
    assert!(class(&world).batch_due.is_some());
    batch(&mut world);
    assert_eq!((class(&world).batch_due, class(&world).epoch), (None, 1));
    assert_eq!(unmatched(&world, &id).reason, Reason::LimitBelowPrice);
    // Time that passes is no change: heartbeats bring no batch.
    for _ in 0..3 {
        assert!(world.block(30_000, &[]).deadlines.is_empty());
    }
    let offer = world.state.rows::<OffersOpen>().map(|((_, offer), ())| *offer).next().unwrap();
    world.act("bsc", AmendOffer { offer, ask: Some(Price(900_000)), calendar: None }).unwrap();
    batch(&mut world);
    assert!(lease(&world, &id).is_some());
    assert_eq!((class(&world).batch_due, class(&world).epoch), (None, 2));
}

#[test]
fn several_boundaries_that_passed_are_one_batch() {
    let mut world = market(64, 10_000, &["one"]);
    let mut patient = wanted(&world, 4, 400);
    patient.start_max.0 += 300;
    place(&mut world, "one", patient);
    let events = world.block(10_500, &[]).deadlines;
    assert_eq!(events.iter().filter(|event| matches!(event, Event::BatchCleared { .. })).count(), 1);
    assert_eq!(class(&world).epoch, 1);
    assert_eq!(class(&world).batch_due, None);
}

#[test]
fn of_equal_limits_who_has_had_less_goes_first() {
    let mut world = market(8, 10_000, &["used", "new"]);
    let first = wanted(&world, 4, 400);
    place(&mut world, "used", first);
    batch(&mut world);
    // Both want all of the next hour; the one that had something asks first.
    let all = |world: &World, limit| {
        let mut all = wanted(world, 8, limit);
        (all.start_min.0, all.start_max.0) = (all.start_min.0 + 60, all.start_max.0 + 60);
        all
    };
    let (early, late) = (all(&world, 400), all(&world, 400));
    let used = place(&mut world, "used", early);
    let new = place(&mut world, "new", late);
    batch(&mut world);
    assert!(lease(&world, &new).is_some());
    assert_eq!(unmatched(&world, &used).reason, Reason::NoCapacityInWindow);
}

#[test]
fn a_revoked_provider_is_matched_no_more() {
    let mut world = market(64, 10_000, &["one"]);
    let demand = wanted(&world, 4, 400);
    let id = place(&mut world, "one", demand);
    let organisation = world.organisation("ES", "bsc");
    let events = world.act("ES registrar", RevokeOrganisation { organisation }).unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::OfferWithdrawn { .. })), "{events:?}");
    batch(&mut world);
    assert_eq!(unmatched(&world, &id).reason, Reason::NoOfferOfClass);
}

#[test]
fn a_withdrawn_offer_is_matched_no_more_and_can_be_posted_again() {
    let mut world = market(64, 10_000, &["one"]);
    let offer = world.state.rows::<OffersOpen>().map(|((_, offer), ())| *offer).next().unwrap();
    world.act("bsc", WithdrawOffer { offer }).unwrap();
    let demand = wanted(&world, 4, 400);
    let id = place(&mut world, "one", demand);
    batch(&mut world);
    assert_eq!(unmatched(&world, &id).reason, Reason::NoOfferOfClass);
    world.offer("bsc", 64, 200).unwrap();
    batch(&mut world);
    assert_eq!(lease(&world, &id).unwrap().agreement.price, Price(2_000_000));
}

#[test]
fn a_lease_that_ends_early_gives_its_capacity_to_who_waits() {
    let mut world = market(8, 10_000, &["one", "two"]);
    let mut long = wanted(&world, 8, 400);
    long.slots = 3_000;
    let mut patient = wanted(&world, 8, 400);
    patient.start_max.0 += 300;
    let first = place(&mut world, "one", long);
    batch(&mut world);
    let second = place(&mut world, "two", patient);
    batch(&mut world);
    assert_eq!(unmatched(&world, &second).reason, Reason::NoCapacityInWindow);
    assert_eq!(class(&world).batch_due, None);
    let (id, held) = (LeaseId::derive(&first), lease(&world, &first).unwrap());
    let start = world.sign("bsc", vec![StartLease { lease: id }.into()]);
    world.block(held.agreement.start.0 - world.now.0, &[start]);
    let end = world.sign("one", vec![EndLease { lease: id, cumulative: None }.into()]);
    world.block(20_000, &[end]);
    let ended = world.now;
    batch(&mut world);
    let lease = lease(&world, &second).unwrap();
    assert!(lease.agreement.start > ended && lease.agreement.start.0 < held.agreement.end.0);
    // No slot has more leased than there is.
    let offer = world.state.get::<Offers>(&lease.offer).unwrap();
    assert_eq!(offer.market.free_at(lease.start), 0);
    assert_eq!(offer.market.free_at(Slot(lease.start.0 + lease.slots)), 8);
}

/// An organisation under this owner, with 100 EUR of cash and a grant of 100 EUR.
fn owned(world: &mut World, home: &str, number: &str) -> OrganisationId {
    let action = AccreditOrganisation {
        register_number: number.to_owned(),
        owner: Some(Registration { country: member("FR"), number: "owner".to_owned() }),
        name: name(number),
        class: OrganisationClass::Large,
        accredited_until: world.now.plus(86_400_000),
        key: key(number).public_key(),
        proof: Some(world.proof(number, Principal::Organisation(world.organisation(home, number)))),
    };
    world.act(&format!("{home} registrar"), action).unwrap();
    world.deposit(home, number, 100);
    world.organisation(home, number)
}

#[test]
fn organisations_of_one_owner_share_one_cap_and_one_usage() {
    let mut world = market(64, 2_500, &["other"]);
    let demands = [wanted(&world, 16, 400), wanted(&world, 16, 400), wanted(&world, 16, 400)];
    for number in ["left", "right"] {
        owned(&mut world, "EE", number);
    }
    let [left, right, other] = demands;
    let [left, right, other] = [("left", left), ("right", right), ("other", other)]
        .map(|(signer, demand)| place(&mut world, signer, demand));
    batch(&mut world);
    assert!(lease(&world, &other).is_some());
    let [with, without] = [left, right].map(|id| lease(&world, &id).is_some());
    assert_ne!(with, without, "one of the two");
    let refused = if with { right } else { left };
    assert_eq!(unmatched(&world, &refused).reason, Reason::GroupCapReached);
}

#[test]
fn a_grant_never_pays_its_own_group_and_cash_may() {
    let mut world = World::with(Params { cap_bps: 10_000, ..Params::testnet() });
    let requester = owned(&mut world, "EE", "mine");
    let provider = owned(&mut world, "ES", "bsc");
    let site = AccreditSite {
        provider,
        site: name("site"),
        class: name("a100-64"),
        accelerators: 64,
        node_size: 4,
        tier: 2,
        certificates: 0,
        pool: Pool::Private,
        parts: Vec::new(),
    };
    world.act("ES registrar", site).unwrap();
    world.offer("bsc", 64, 180).unwrap();
    let grant = world.grant("EE", "mine", "grant-1", 100);
    let (with_grant, with_cash) = (wanted(&world, 4, 400), wanted(&world, 4, 400));
    let with_grant =
        place(&mut world, "mine", Demand { sources: all_from(Purse::Grant(grant)), ..with_grant });
    let with_cash = place(&mut world, "mine", with_cash);
    batch(&mut world);
    assert_eq!(unmatched(&world, &with_grant).reason, Reason::SameGroup);
    assert_eq!(lease(&world, &with_cash).map(|lease| lease.requester), Some(requester));
}

#[test]
fn a_member_at_its_debit_cap_awards_nothing_abroad_and_says_what_is_left() {
    let mut world = market(64, 10_000, &["one"]);
    for _ in 0..10 {
        world.deposit("EE", "one", 100);
    }
    let to = world.organisation("ES", "bsc");
    let left = 30_000;
    world.act("one", TransferCash { to, amount: Money(1_000_000_000 - left) }).unwrap();
    // 40 accelerator-seconds at 1.80 EUR/h are 20,000 uEUR: one fits, the second not.
    let (first, second) = (wanted(&world, 4, 180), wanted(&world, 4, 180));
    let ids = [first, second].map(|demand| place(&mut world, "one", demand));
    batch(&mut world);
    let (awarded, refused): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| lease(&world, id).is_some());
    assert_eq!(awarded.len(), 1);
    let found = unmatched(&world, &refused[0]);
    assert_eq!((found.reason, found.detail.debit_headroom), (Reason::NetDebitCap, Some(Money(10_000))));
}

#[test]
fn hard_constraints_go_before_price() {
    let mut world = market(64, 10_000, &["one"]);
    world.provider("FR", "cea", 16, 700);
    type Row = (fn(&mut Demand), &'static str, u32);
    let rows: [Row; 4] = [
        (|_| (), "bsc", 4),
        (|one| one.countries = CountrySet::of([member("FR")]).unwrap(), "cea", 4),
        (|one| (one.quantity, one.quantity_min) = (64, 64), "bsc", 64),
        // A range is met in whole nodes below the full number.
        (
            |one| {
                one.countries = CountrySet::of([member("FR")]).unwrap();
                (one.quantity, one.quantity_min) = (22, 4);
            },
            "cea",
            14,
        ),
    ];
    for (change, provider, quantity) in rows {
        let mut world = world.fork();
        let mut demand = wanted(&world, 4, 900);
        change(&mut demand);
        let id = place(&mut world, "one", demand);
        batch(&mut world);
        let lease = lease(&world, &id).unwrap();
        let home = if provider == "bsc" { "ES" } else { "FR" };
        assert_eq!((lease.provider, lease.quantity), (world.organisation(home, provider), quantity));
    }
}

#[test]
fn a_certificate_taken_back_counts_in_the_next_batch() {
    let mut world = market(64, 10_000, &["one"]);
    let provider = world.organisation("ES", "bsc");
    let certified = Demand { certificates: 0b1, ..wanted(&world, 4, 400) };
    let id = place(&mut world, "one", certified);
    let site = AccreditSite {
        provider,
        site: name("site"),
        class: name("a100-64"),
        accelerators: 64,
        node_size: 4,
        tier: 2,
        certificates: 0,
        pool: Pool::Public,
        parts: Vec::new(),
    };
    world.act("ES registrar", site).unwrap();
    batch(&mut world);
    assert_eq!(unmatched(&world, &id).reason, Reason::NoOfferMeetsConstraints);
}
