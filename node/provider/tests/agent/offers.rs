//! The offers on the ledger follow the inventory.

use hansa_ledger::action::{Action, AnnounceOutage};
use hansa_ledger::event::Event;
use hansa_ledger::id::OfferId;
use hansa_ledger::market::Calendar;
use hansa_ledger::money::Price;
use hansa_ledger::row::{Offer, OfferState};
use hansa_ledger::tables::Offers;
use hansa_ledger::time::Slot;
use hansa_ledger_signature::{Signed as _, verify_bytes};
use hansa_node_api::peer::advert::Advert;

use crate::bench::{Bench, INVENTORY, count};
use crate::world::{World, name};

fn open(world: &World) -> Vec<(OfferId, Offer)> {
    world.with(|state| {
        let open = state.rows::<Offers>().filter(|(_, offer)| offer.state == OfferState::Open);
        open.map(|(id, offer)| (*id, offer.clone())).collect()
    })
}

/// What an offer has free, for the market and for the reserve.
fn offered(offer: &Offer) -> Calendar {
    offer.market.plus(&offer.reserve)
}

/// The price an offer asks for, or will once the raise has waited for its batch.
fn asked(offer: &Offer) -> Price {
    offer.ask_raise.as_ref().map_or(offer.ask, |raise| raise.ask)
}

fn next_slot(world: &World) -> Slot {
    Slot(world.clock.borrow().slot(1).0 + 1)
}

#[tokio::test]
async fn offers_follow_the_inventory() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    bench.until("the offer is posted", |world| open(world).len() == 1).await;
    let (first, offer) = open(&bench.world).remove(0);
    assert_eq!((offer.ask, offered(&offer).peak()), (Price(1_800_000), 16));

    // A higher price and fewer accelerators amend it; a lease in between does not.
    let lease = bench.lease(600, None).await;
    let reload = |rest: String| {
        let config = bench.config(&rest);
        let reloads = agent.reloads.clone();
        async move { reloads.send(config).await.unwrap() }
    };
    reload(INVENTORY.replace("1.80", "2.10").replace("accelerators = 16", "accelerators = 12")).await;
    bench.until("the ask is amended", |world| asked(&open(world)[0].1) == Price(2_100_000)).await;
    let (same, offer) = open(&bench.world).remove(0);
    let row = bench.world.lease_row(&lease);
    assert_eq!(same, first);
    assert_eq!(offered(&offer).free_at(next_slot(&bench.world)), 8, "12 less the 4 that are leased");
    assert_eq!(offered(&offer).free_at(Slot(row.start.0 + row.slots)), 12);

    // Another contract makes another offer, in one transaction. Its least fee is within the price of one accelerator-slot.
    let params = "contract_params = \"64000000000000000000000000000000\"\n";
    reload(format!("{INVENTORY}{params}")).await;
    bench.until("the offer is replaced", |world| open(world).iter().any(|(id, _)| *id != first)).await;
    assert_eq!(open(&bench.world).len(), 1);

    reload(String::new()).await;
    bench.until("the offer is withdrawn", |world| open(world).is_empty()).await;
    agent.stop().await;
}

/// Leases come and go and time passes: the offer is left alone until its end comes near.
#[tokio::test]
async fn an_offer_in_line_costs_nothing() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(5, None).await;
    bench.until_state(lease, hansa_ledger::row::LeaseState::Settled).await;
    let changes = |world: &World| {
        let performed = world.performed.lock().unwrap();
        let is_change = |action: &Action| matches!(action, Action::PostOffer(_) | Action::AmendOffer(_));
        performed.iter().filter(|(actions, _)| actions.iter().any(is_change)).count()
    };
    assert_eq!(changes(&bench.world), 1);
    let end = |world: &World| offered(&open(world)[0].1).points().last().unwrap().0;
    let before = end(&bench.world);
    bench.world.advance(1_000_000);
    bench.until("the offer is extended", |world| end(world) > before).await;
    assert_eq!(changes(&bench.world), 2);
    agent.stop().await;
}

/// What an outage takes out of the offer is not offered again, and comes back with its end, without a word of the agent.
#[tokio::test]
async fn what_is_out_is_not_offered() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    bench.until("the offer is posted", |world| open(world).len() == 1).await;
    let start = Slot(next_slot(&bench.world).0 + 10);
    let outage = AnnounceOutage {
        site: name("marenostrum"),
        class: name("h100"),
        owner: None,
        start,
        end: Slot(start.0 + 2_000),
        accelerators: 6,
        planned: true,
    };
    bench.world.act("bsc", vec![outage.into()]).unwrap();
    let free = |world: &World| offered(&open(world)[0].1).free_at(start);
    assert_eq!(free(&bench.world), 10);
    // The agent looks again when the offer's end comes near.
    let end = |world: &World| offered(&open(world)[0].1).points().last().unwrap().0;
    let before = end(&bench.world);
    bench.world.advance(1_000_000);
    bench.until("the offer is extended", |world| end(world) > before).await;
    let later = next_slot(&bench.world);
    assert!(later < Slot(start.0 + 2_000));
    let offer = open(&bench.world).remove(0).1;
    assert_eq!(offered(&offer).free_at(later), 10);
    assert_eq!(offered(&offer).free_at(Slot(start.0 + 2_000)), 16);
    agent.stop().await;
}

/// Nothing is sent for a site without accreditation; once it has one, it is offered. What the ledger refuses is not repeated.
#[tokio::test]
async fn refusals_are_not_repeated() {
    let bench = Bench::new();
    let elsewhere = INVENTORY.replace("marenostrum", "elsewhere");
    let agent = bench.start(&elsewhere).await;
    for _ in 0..100 {
        bench.world.advance(600);
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.world.performed.lock().unwrap().len(), 0);
    // Fewer than the inventory says, which the ledger refuses.
    bench.world.accredit_site("ES", bench.provider, "elsewhere", 8);
    bench.until("the offer is refused", |world| world.performed.lock().unwrap().len() == 1).await;
    assert!(bench.world.performed.lock().unwrap()[0].1.is_err());
    for _ in 0..100 {
        bench.world.advance(200);
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.world.performed.lock().unwrap().len(), 1);
    bench.world.accredit_site("ES", bench.provider, "elsewhere", 16);
    bench.until("the offer is posted", |world| open(world).len() == 1).await;
    assert_eq!(count(&bench.world, |event| matches!(event, Event::OfferPosted { .. })), 1);
    agent.stop().await;
}

/// Adverts are signed, hold for a while, and say what the offer has free now.
#[tokio::test]
async fn adverts_say_what_is_free() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    bench.lease(600, None).await;
    let chain = bench.world.genesis.chain_id().0;
    let free = |world: &World, free: u32| {
        let adverts = world.adverts.lock().unwrap();
        adverts.last().is_some_and(|advert| advert.content.free == free)
    };
    bench.until("the lease shows in an advert", |world| free(world, 12)).await;
    let adverts = bench.world.adverts.lock().unwrap().clone();
    let last = adverts.last().unwrap();
    let now = bench.world.clock.borrow().0;
    assert_eq!(Advert::decode(&last.encode(), &chain, now).as_ref(), Ok(last));
    assert_eq!(verify_bytes(&last.signer(), &last.signing_bytes(), &last.signature()), Ok(()));
    let content = &last.content;
    assert_eq!((content.total, content.tier, content.price_ask_ueur), (16, 1, 1_800_000));
    assert!(adverts.is_sorted_by(|one, next| one.content.sequence < next.content.sequence));
    agent.stop().await;
}
