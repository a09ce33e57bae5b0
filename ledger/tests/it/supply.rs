//! Supply: who a site's capacity is entitled to, who confirmed it, what of it is reserve, and when a price counts.

use crate::scene::{all_from, demand, place};
use crate::world::{World, member, name};
use hansa_ledger::action::{
    AccreditSite, AmendOffer, AnnounceOutage, CancelRequest, ConfirmSite, EndOutage, PostOffer, SitePart,
    WithdrawOffer,
};
use hansa_ledger::event::Event;
use hansa_ledger::id::{LeaseId, OfferId, OrganisationId, OutageId, RequestId};
use hansa_ledger::market::{Calendar, Reason};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{
    AccountId, Demand, Entitlement, EntitlementKey, Lease, Offer, OrganisationClass, Pool, PoolOwner, Purse,
    SiteKey,
};
use hansa_ledger::tables::{Classes, Entitlements, Leases, Offers, OffersOpen, Outages, Requests};
use hansa_ledger::time::Slot;

fn params() -> Params {
    Params { cap_bps: 10_000, reserve_bps_min: 2_000, ..Params::testnet() }
}

fn accreditation(provider: OrganisationId, parts: &[(PoolOwner, u32, u16)]) -> AccreditSite {
    let part = |(owner, accelerators, commercial_ceiling_bps): &(PoolOwner, u32, u16)| SitePart {
        owner: *owner,
        accelerators: *accelerators,
        commercial_ceiling_bps: *commercial_ceiling_bps,
    };
    AccreditSite {
        provider,
        site: name("site"),
        class: name("a100-64"),
        accelerators: parts.iter().map(|(_, accelerators, _)| accelerators).sum(),
        node_size: 4,
        tier: 2,
        certificates: 0,
        pool: Pool::Public,
        parts: parts.iter().map(part).collect(),
    }
}

/// An offer of so much for an hour at 1.80 EUR/h.
fn offered(world: &World, owner: Option<PoolOwner>, accelerators: u32) -> PostOffer {
    let now = world.now.slot(1);
    PostOffer {
        site: name("site"),
        class: name("a100-64"),
        owner,
        ask: Price(1_800_000),
        calendar: Calendar::constant(now, Slot(now.0 + 3_600), accelerators),
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: world.code,
        contract_params: borsh::to_vec(&hansa_contracts_spot::Params::default()).unwrap(),
        parties: Vec::new(),
    }
}

/// A Spanish site of 64 that its own member owns, all of it offered; a bidder in Estonia with 1,000 EUR.
fn world(params: Params) -> (World, OfferId) {
    let mut world = World::exactly(params);
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::Sme);
    world.deposit("EE", "tallinn", 1_000);
    let offer = open_offers(&world)[0];
    (world, offer)
}

fn open_offers(world: &World) -> Vec<OfferId> {
    world.state.rows::<OffersOpen>().map(|((_, id), ())| *id).collect()
}

fn offer(world: &World, id: &OfferId) -> Offer {
    world.state.get::<Offers>(id).unwrap().clone()
}

fn part(world: &World, owner: PoolOwner) -> Option<Entitlement> {
    let site =
        SiteKey { provider: world.organisation("ES", "bsc"), site: name("site"), class: name("a100-64") };
    world.state.get::<Entitlements>(&EntitlementKey { site, owner }).cloned()
}

/// Ten slots of so many, paid in cash; awarded by the next batch.
fn lease(world: &mut World, signer: &str, quantity: u32) -> Option<Lease> {
    let mut wanted = demand(world, Purse::Cash);
    (wanted.quantity, wanted.quantity_min) = (quantity, quantity);
    let request = place(world, signer, wanted);
    batch(world);
    leased(world, &request)
}

fn leased(world: &World, request: &RequestId) -> Option<Lease> {
    world.state.get::<Leases>(&LeaseId::derive(request)).cloned()
}

fn batch(world: &mut World) {
    let due = world.state.get::<Classes>(&name("a100-64")).unwrap().batch_due.expect("a batch is due");
    let wait = due.0 - world.now.0;
    world.block(wait, &[]);
}

#[test]
fn a_public_offer_keeps_its_share_for_the_reserve_and_the_market_never_buys_it() {
    let (mut world, id) = world(params());
    let at = |world: &World, slot: u32| {
        let offer = offer(world, &id);
        (offer.market.free_at(Slot(slot)), offer.reserve.free_at(Slot(slot)))
    };
    let soon = world.now.slot(1).0 + 20;
    // A fifth of 64 is 12.8: 13, and in whole nodes of 4 it is 16.
    assert_eq!(at(&world, soon), (48, 16));
    assert_eq!(lease(&mut world, "tallinn", 52), None, "52 are free, but only 48 of them for the market");
    let bought = lease(&mut world, "tallinn", 48).unwrap();
    assert_eq!(at(&world, bought.start.0), (0, 16));
    // What the provider says anew is divided so that the reserve keeps its share of all, leased or not.
    let free = offer(&world, &id).market.plus(&offer(&world, &id).reserve);
    world.act("bsc", AmendOffer { offer: id, ask: None, calendar: Some(free) }).unwrap();
    assert_eq!(at(&world, bought.start.0), (0, 16));
    let part = part(&world, PoolOwner::Member(member("ES"))).unwrap();
    assert_eq!((part.leased_market.free_at(bought.start), part.leased_reserve.peak()), (48, 0));
}

#[test]
fn a_reserve_met_over_time_is_the_whole_offer_in_its_share_of_the_slots() {
    let (mut world, id) = world(params());
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    let cycle = 100;
    let post =
        PostOffer { reserve_cycle_slots: Some(cycle), reserve_bps: Some(2_500), ..offered(&world, None, 64) };
    world.act("bsc", post).unwrap();
    let offer = offer(&world, &open_offers(&world)[0]);
    // The cycle in hand has only a part left, and keeps its share there in every slot unless its first part still lies ahead.
    let first = (world.now.slot(1).0 / cycle + 1) * cycle;
    let mut reserved = 0;
    for slot in first..first + 10 * cycle {
        let both = (offer.market.free_at(Slot(slot)), offer.reserve.free_at(Slot(slot)));
        let expect = if slot % cycle < 25 { (0, 64) } else { (64, 0) };
        assert_eq!(both, expect, "slot {slot}");
        reserved += u32::from(both.1 > 0);
    }
    assert_eq!(reserved, 250);
}

#[test]
fn the_reserve_has_its_bounds() {
    let (mut world, id) = world(Params { calendar_points_max: 50, ..params() });
    world.act("bsc", WithdrawOffer { offer: id }).unwrap();
    type Row = (fn(&mut PostOffer), Option<Rejection>);
    let rows: [Row; 8] = [
        (|one| one.reserve_bps = Some(1_999), Some(Rejection::ReserveInvalid)),
        (|one| one.reserve_bps = Some(10_001), Some(Rejection::ReserveInvalid)),
        (|one| one.reserve_cycle_slots = Some(0), Some(Rejection::ReserveInvalid)),
        (|one| one.reserve_cycle_slots = Some(1), Some(Rejection::CalendarInvalid)),
        (|one| one.reserve_cycle_slots = Some(100), Some(Rejection::CalendarInvalid)),
        (|one| one.reserve_cycle_slots = Some(28 * 86_400 + 1), Some(Rejection::ReserveInvalid)),
        (|one| one.reserve_cycle_slots = Some(28 * 86_400), None),
        (|one| one.reserve_bps = Some(10_000), None),
    ];
    for (change, expected) in rows {
        let mut world = world.fork();
        let mut post = offered(&world, None, 64);
        change(&mut post);
        let found = world.act("bsc", post.clone()).err();
        assert_eq!(found, expected, "{post:?}");
    }
}

#[test]
fn capacity_is_offered_once_another_member_has_confirmed_it() {
    let mut world = World::exactly(Params { site_confirmations: 1, ..params() });
    let provider = world.accredit("ES", "bsc", OrganisationClass::Public);
    let own = PoolOwner::Member(member("ES"));
    world.act("ES registrar", accreditation(provider, &[(own, 64, 10_000)])).unwrap();
    let confirm =
        |accelerators| ConfirmSite { provider, site: name("site"), class: name("a100-64"), accelerators };
    let capacity = |world: &World| world.state.get::<Classes>(&name("a100-64")).unwrap().capacity;
    assert_eq!(capacity(&world), 0);
    let post = offered(&world, None, 64);
    assert_eq!(world.act("bsc", post.clone()), Err(Rejection::OfferOverInventory));
    assert_eq!(world.act("ES registrar", confirm(64)), Err(Rejection::SiteOwnConfirmation));
    assert_eq!(world.act("FR registrar", confirm(63)), Err(Rejection::SiteDiffers));
    world.act("FR registrar", confirm(64)).unwrap();
    assert_eq!(capacity(&world), 64);
    world.act("bsc", post).unwrap();
    // More than was confirmed waits for another look; what was confirmed goes on.
    world.act("ES registrar", accreditation(provider, &[(own, 80, 10_000)])).unwrap();
    assert_eq!(capacity(&world), 64);
    let id = open_offers(&world)[0];
    let now = world.now.slot(1);
    let more = Calendar::constant(now, Slot(now.0 + 100), 80);
    let amend = AmendOffer { offer: id, ask: None, calendar: Some(more) };
    assert_eq!(world.act("bsc", amend.clone()), Err(Rejection::OfferOverInventory));
    world.act("FR registrar", confirm(80)).unwrap();
    world.act("bsc", amend).unwrap();
}

#[test]
fn parts_of_a_site_are_their_owners() {
    let mut world = World::exactly(params());
    let provider = world.accredit("ES", "bsc", OrganisationClass::Public);
    let (union, estonia, firm) =
        (PoolOwner::Member(member("EU")), PoolOwner::Member(member("EE")), PoolOwner::Private);
    let parts = [(firm, 16, 10_000), (estonia, 16, 10_000), (union, 32, 2_000)];
    world.act("ES registrar", accreditation(provider, &parts)).unwrap();
    let post = offered(&world, None, 16);
    assert_eq!(world.act("bsc", post), Err(Rejection::OfferOwnerMissing));
    let post = offered(&world, Some(estonia), 17);
    assert_eq!(world.act("bsc", post), Err(Rejection::OfferOverInventory), "Estonia's part is 16");
    for (owner, accelerators, _) in parts {
        let post = offered(&world, Some(owner), accelerators);
        world.act("bsc", post).unwrap();
        let again = offered(&world, Some(owner), 1);
        assert_eq!(world.act("bsc", again), Err(Rejection::OfferExists));
    }
    let reserves: Vec<(PoolOwner, u32)> = open_offers(&world)
        .iter()
        .map(|id| offer(&world, id))
        .map(|offer| (offer.pool, offer.reserve.peak()))
        .collect();
    for expect in [(firm, 0), (estonia, 4), (union, 8)] {
        assert!(reserves.contains(&expect), "{reserves:?}");
    }
    let dropped = [(estonia, 32, 10_000), (union, 32, 2_000)];
    let drop = accreditation(provider, &dropped);
    assert_eq!(
        world.act("ES registrar", drop),
        Err(Rejection::OfferOverInventory),
        "the firm's part is offered"
    );
}

#[test]
fn a_member_that_uses_its_own_part_abroad_owes_nobody_and_others_owe_it() {
    let mut world = World::exactly(Params { fee_bps: 0, ..params() });
    let provider = world.accredit("ES", "bsc", OrganisationClass::Public);
    let estonia = PoolOwner::Member(member("EE"));
    world.act("ES registrar", accreditation(provider, &[(estonia, 64, 10_000)])).unwrap();
    let post = offered(&world, None, 64);
    world.act("bsc", post).unwrap();
    for (home, number) in [("EE", "tallinn"), ("FR", "paris")] {
        world.accredit(home, number, OrganisationClass::Sme);
        world.deposit(home, number, 1_000);
    }
    let income = AccountId::Line(member("EE"), name("pool-income"));
    let mut earned = 0;
    for (signer, home) in [("tallinn", "EE"), ("paris", "FR")] {
        let before = world.position("EE");
        let lease = lease(&mut world, signer, 8).unwrap();
        assert_eq!((&lease.payee, lease.provider_home), (&income, member("EE")));
        let paid = settle(&mut world, &lease);
        assert!(paid > 0);
        earned += paid;
        assert_eq!(world.balance(&income), earned);
        let moved = if home == "EE" { 0 } else { i128::from(paid) };
        assert_eq!(world.position("EE") - before, moved, "{home}");
    }
    assert_eq!(world.balance(&AccountId::Cash(provider)), 0);
    assert_eq!(world.position("ES"), 0);
}

/// Runs a lease to its end and returns what was paid to its payee.
fn settle(world: &mut World, lease: &Lease) -> u64 {
    use hansa_ledger::action::{CountersignUsage, EndLease, LeaseUsage, StartLease};
    let id = LeaseId::derive(&lease.request);
    let wait = lease.agreement.start.0.saturating_sub(world.now.0).max(1);
    let start = world.sign("bsc", vec![StartLease { lease: id }.into()]);
    world.block(wait, &[start]);
    let wait = lease.agreement.end.0.saturating_sub(world.now.0).max(1);
    world.block(wait, &[]);
    let row = world.state.get::<Leases>(&id).unwrap();
    let used = (row.ended_at.unwrap().0 - row.started_at.unwrap().0) / 1_000 * u64::from(row.quantity);
    world.act("bsc", EndLease { lease: id, cumulative: Some(used) }).unwrap();
    let signer = if lease.requester_home == member("EE") { "tallinn" } else { "paris" };
    let usages = vec![LeaseUsage { lease: id, cumulative: used }];
    let events = world.act(signer, CountersignUsage { usages }).unwrap();
    let payments = events.iter().find_map(|event| match event {
        Event::LeaseSettled { payments, .. } => Some(payments.clone()),
        _ => None,
    });
    let payments = payments.expect("it is settled").into_iter().filter(|one| one.to == lease.payee);
    payments.map(|one| one.amount.0).sum()
}

#[test]
fn a_raise_counts_after_the_next_batch_and_a_cut_at_once() {
    let (mut world, id) = world(params());
    let amend = |ask| AmendOffer { offer: id, ask: Some(Price(ask)), calendar: None };
    let price = |world: &mut World| lease(world, "tallinn", 4).unwrap().agreement.price.0;
    world.act("bsc", amend(2_000_000)).unwrap();
    assert_eq!(price(&mut world), 1_800_000, "orders that were placed in view of 1.80 are met at 1.80");
    assert_eq!(price(&mut world), 2_000_000);
    world.act("bsc", amend(1_500_000)).unwrap();
    assert_eq!(price(&mut world), 1_500_000);
    // A second raise does not bring the first forward, and a cut below takes both back.
    world.act("bsc", amend(1_600_000)).unwrap();
    world.act("bsc", amend(1_700_000)).unwrap();
    assert_eq!(price(&mut world), 1_500_000);
    world.act("bsc", amend(1_400_000)).unwrap();
    assert_eq!(price(&mut world), 1_400_000);
    assert_eq!(offer(&world, &id).ask_raise, None);
    // Where nobody waits a batch is held for the raise alone, so that the next bidder does not find the old price.
    world.act("bsc", amend(1_900_000)).unwrap();
    let due = hansa_ledger::deadline::next_deadline(&world.state).expect("a batch");
    let events = world.block(due.0 - world.now.0, &[]).deadlines;
    assert!(events.iter().any(|event| matches!(event, Event::BatchCleared { .. })), "{events:?}");
    assert_eq!(price(&mut world), 1_900_000);
}

#[test]
fn what_a_lease_gives_back_goes_to_the_offer_unless_its_provider_has_spoken_since() {
    use hansa_ledger::action::CancelLease;
    for amended in [false, true] {
        let (mut world, id) = world(Params { reserve_bps_min: 0, ..params() });
        let bought = lease(&mut world, "tallinn", 24).unwrap();
        assert_eq!(offer(&world, &id).market.free_at(bought.start), 40);
        if amended {
            let now = world.now.slot(1);
            let less = Calendar::constant(now, Slot(now.0 + 3_600), 8);
            world.act("bsc", AmendOffer { offer: id, ask: None, calendar: Some(less) }).unwrap();
        }
        world.act("tallinn", CancelLease { lease: LeaseId::derive(&bought.request) }).unwrap();
        let last = Slot(bought.start.0 + bought.slots - 1);
        let free = offer(&world, &id).market.free_at(last);
        assert_eq!(free, if amended { 8 } else { 64 });
        let part = part(&world, PoolOwner::Member(member("ES"))).unwrap();
        assert_eq!(part.leased_market.free_at(last), 0);
    }
}

/// Announces that so many are out for `slots` slots from the present one on; says which and what it hits.
fn announce(world: &mut World, accelerators: u32, start: u32, slots: u32) -> (OutageId, Vec<LeaseId>) {
    let start = Slot(world.now.slot(1).0 + start);
    let action = AnnounceOutage {
        site: name("site"),
        class: name("a100-64"),
        owner: None,
        start,
        end: Slot(start.0 + slots),
        accelerators,
        planned: true,
    };
    let events = world.act("bsc", action).unwrap();
    let announced = events.into_iter().find_map(|event| match event {
        Event::OutageAnnounced { outage, leases, .. } => Some((outage, leases)),
        _ => None,
    });
    announced.unwrap()
}

#[test]
fn an_outage_takes_what_is_free_from_the_market_first_and_gives_it_back() {
    let (world, id) = world(params());
    // 48 of the market and 16 of the reserve are free.
    for (out, market, reserve) in [(8, 40, 16), (48, 0, 16), (50, 0, 14), (64, 0, 0)] {
        for early in [false, true] {
            let mut world = world.fork();
            let (outage, hit) = announce(&mut world, out, 50, 20);
            let start = world.state.get::<Outages>(&outage).unwrap().start;
            let free = |world: &World, slot: u32| {
                let offer = offer(world, &id);
                (offer.market.free_at(Slot(slot)), offer.reserve.free_at(Slot(slot)))
            };
            assert_eq!(hit, []);
            let (before, during, after) = (start.0 - 1, start.0 + 19, start.0 + 20);
            let found = [before, during, after].map(|slot| free(&world, slot));
            assert_eq!(found, [(48, 16), (market, reserve), (48, 16)]);
            // The provider may go on as if nothing were out; what is out stays out.
            if early {
                world.act("bsc", EndOutage { outage }).unwrap();
                assert_eq!(free(&world, during), (48, 16));
            } else {
                let all = Calendar::constant(Slot(start.0 - 30), Slot(start.0 + 300), 64);
                world.act("bsc", AmendOffer { offer: id, ask: None, calendar: Some(all) }).unwrap();
                let (market, reserve) = free(&world, during);
                assert_eq!(market + reserve, 64 - out);
                world.pass_until(|event| matches!(event, Event::OutageEnded { .. }).then_some(()));
            }
            assert_eq!(world.state.get::<Outages>(&outage), None);
            assert_eq!(part(&world, PoolOwner::Member(member("ES"))).unwrap().outage.peak(), 0);
            assert_eq!(world.act("bsc", EndOutage { outage }), Err(Rejection::OutageUnknown));
        }
    }
}

#[test]
fn an_outage_names_the_leases_it_hits_the_latest_first() {
    let (mut world, _) = world(Params { reserve_bps_min: 0, ..params() });
    let leases = [24, 24, 16].map(|quantity| lease(&mut world, "tallinn", quantity).unwrap());
    let ids = leases.each_ref().map(|lease| LeaseId::derive(&lease.request));
    let first = leases.iter().map(|lease| lease.start.0).max().unwrap();
    let last = leases.iter().map(|lease| lease.start.0 + lease.slots).min().unwrap();
    assert!(first + 2 < last, "the three overlap");
    let check = |accelerators: u32, expect: &[LeaseId]| {
        let mut world = world.fork();
        let from = first - world.now.slot(1).0;
        let (_, mut hit) = announce(&mut world, accelerators, from, 1);
        let mut expect = expect.to_vec();
        hit.sort();
        expect.sort();
        assert_eq!(hit, expect, "{accelerators} of 64 are out");
    };
    check(1, &ids[2..]);
    check(16, &ids[2..]);
    check(17, &ids[1..]);
    check(64, &ids);
    let mut after = world.fork();
    let from = last + 100 - after.now.slot(1).0;
    assert_eq!(announce(&mut after, 64, from, 5).1, []);
}

#[test]
fn an_outage_hits_what_runs_on_released_reserve_before_all_others() {
    let (mut world, _) = world(params());
    let from = world.now.slot(1).0 + 60;
    let mut take = |start: u32, slots: u32, quantity: u32, interruptible: bool| {
        let start = Slot(from + start);
        let wanted = Demand {
            quantity,
            quantity_min: quantity,
            slots,
            start_min: start,
            start_max: start,
            interruptible,
            ..demand(&world, Purse::Cash)
        };
        let request = place(&mut world, "tallinn", wanted);
        batch(&mut world);
        (LeaseId::derive(&request), leased(&world, &request).unwrap().released)
    };
    // The market's 48 are taken when the second begins, so it runs on the reserve's 16; the third comes last.
    let (_, first) = take(0, 10, 48, false);
    let (second, on_released) = take(5, 20, 8, true);
    let (third, last) = take(12, 10, 48, false);
    assert_eq!((first, on_released, last), (false, true, false));
    for (out, expect) in [(8, vec![]), (9, vec![second]), (16, vec![second]), (17, vec![second, third])] {
        let mut world = world.fork();
        let start = from + 15 - world.now.slot(1).0;
        let (_, mut hit) = announce(&mut world, out, start, 1);
        let mut expect = expect;
        hit.sort();
        expect.sort();
        assert_eq!(hit, expect, "{out} of 64 are out");
    }
}

#[test]
fn a_request_that_the_reserve_keeps_out_holds_its_money_and_its_reason_until_it_is_taken_back() {
    let (mut world, _) = world(params());
    let mut wanted = demand(&world, Purse::Cash);
    (wanted.quantity, wanted.quantity_min, wanted.sources) = (60, 60, all_from(Purse::Cash));
    let request = place(&mut world, "tallinn", wanted);
    batch(&mut world);
    assert_eq!(leased(&world, &request), None);
    let row = world.state.get::<Requests>(&request).unwrap();
    assert_eq!(row.last_unmatched().map(|one| one.reason), Some(Reason::PartialNotAllowed));
    assert_eq!(row.last_unmatched().and_then(|one| one.detail.largest_free), Some(48));
    // 60 accelerators for ten seconds at 3.60 EUR/h.
    assert_eq!(row.locked, Money(600_000));
    let purse = AccountId::Cash(world.organisation("EE", "tallinn"));
    assert_eq!(world.balance(&purse), 1_000_000_000 - 600_000);
    world.act("tallinn", CancelRequest { request }).unwrap();
    assert_eq!(world.balance(&purse), 1_000_000_000);
}
