//! The market's resources, and the quote against what the ledger then does.

use super::double::{centre, demand, key, name, slot, spot, startup};
use super::{HttpLimits, Server};
use crate::http::Backend as _;
use hansa_ledger::action::{CancelRequest, PlaceRequest, request_id};
use hansa_ledger::market::Reason;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::{Demand, LeaseState, Purpose, Purse, RequestState, Source};
use hansa_ledger::tables::Classes;
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::Fault;
use hansa_node_api::filter::{CapacityFilter, LeaseFilter, OfferFilter, RequestFilter, SiteFilter};
use hansa_node_api::market::QuoteRequest;
use hansa_node_api::peer::advert::AdvertContent;
use hansa_node_api::peer::now_ms;

fn quote_of(demand: &Demand) -> QuoteRequest {
    QuoteRequest { organisation: startup(), demand: demand.clone() }
}

/// Runs the batch that is due.
fn run_batch(server: &Server) {
    let mut due = None;
    server
        .double
        .read(&mut |state| due = state.get::<Classes>(&name("h100")).and_then(|class| class.batch_due));
    server.double.produce(due.expect("a batch is due").max(server.double.later()));
}

#[tokio::test]
async fn a_quote_is_what_the_next_batch_then_awards() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let client = &server.client;
    let demand = demand();
    let quote = client.quote(&quote_of(&demand)).await.unwrap();
    assert_eq!(quote.refusal, None);
    // 4 accelerators for 600 s at the limit of 3 EUR an hour.
    assert_eq!((quote.locked, quote.sources[0].locked), (Some(Money(2_000_000)), Money(2_000_000)));
    assert_eq!(quote.sources[0].balance, Money(100_000_000));
    let award = quote.award.clone().expect("the market can serve it");

    let account = server.account("kodu");
    let (signed, _) = account.send_signed(vec![PlaceRequest { demand }.into()]).await.unwrap();
    let request = request_id(signed.id(), 0);
    let open = client.request_info(&request).await.unwrap();
    assert_eq!((open.row.state, open.row.locked), (RequestState::Open, Money(2_000_000)));
    assert_eq!(client.request_why(&request).await.unwrap().sentence, "the next batch would award it");
    assert_eq!(client.organisation(&startup()).await.unwrap().escrowed, Money(2_000_000));
    run_batch(&server);

    let leases =
        client.leases(&LeaseFilter { requester: Some(startup()), ..Default::default() }).await.unwrap();
    let lease = &leases[0];
    assert_eq!(
        (lease.row.offer, lease.row.provider, lease.row.quantity),
        (award.offer, award.provider, award.quantity)
    );
    assert_eq!((lease.row.agreement.price, lease.row.locked), (award.price, award.cost_max));
    assert_eq!(lease.row.sources[0].locked, quote.sources[0].cost_max.unwrap());
    let ahead = |start: Slot, from: TimeMs| start.0 - from.slot(1).0;
    assert_eq!(ahead(lease.row.start, lease.row.awarded_at), ahead(award.start_slot, quote.next_batch));
    assert_eq!(client.request_info(&request).await.unwrap().row.state, RequestState::Awarded);

    // The lease, its job, and its settlement that is not there yet.
    assert_eq!(client.lease(&lease.id).await.unwrap(), *lease);
    let jobs = client.jobs(&lease.id).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].job, Some(jobs[0].row.manifest)), (1, 0, open.row.demand.job));
    let unsettled = client.settlement(&lease.id).await.unwrap_err();
    assert_eq!(unsettled.fault(), Some(Fault::NotFound));
    assert!(unsettled.to_string().contains("not settled yet"));
    // Given up by its provider, it is settled at once.
    let cancel = hansa_ledger::action::CancelLease { lease: lease.id };
    server.send("mare", cancel).await;
    let settlement = client.settlement(&lease.id).await.unwrap();
    assert_eq!((settlement.lease, settlement.row.contract), (lease.id, spot()));
    let settled =
        LeaseFilter { state: Some(LeaseState::Settled), organisation: Some(centre()), ..Default::default() };
    assert_eq!(client.leases(&settled).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_quote_refuses_what_the_ledger_refuses_with_the_same_number() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let cash = |share_bps| Source { purse: Purse::Cash, share_bps };
    let change = |change: &dyn Fn(&mut Demand)| {
        let mut demand = demand();
        change(&mut demand);
        demand
    };
    let table = [
        change(&|demand| demand.quantity = 0),
        change(&|demand| demand.quantity_min = 5),
        change(&|demand| demand.slots = 0),
        change(&|demand| demand.slots = u32::MAX),
        change(&|demand| demand.start_max = Slot(demand.start_min.0 - 1)),
        change(&|demand| (demand.start_min, demand.start_max) = (Slot(1), Slot(2))),
        change(&|demand| demand.start_max = Slot(u32::MAX)),
        change(&|demand| demand.limit = Price(1_500)),
        change(&|demand| demand.class = name("abacus")),
        change(&|demand| demand.tier_min = 3),
        change(&|demand| demand.certificates = 2),
        change(&|demand| (demand.quantity, demand.quantity_min) = (65, 65)),
        change(&|demand| demand.purpose = Purpose::Research),
        change(&|demand| demand.sources = vec![cash(9_999)]),
        change(&|demand| demand.sources = Vec::new()),
        change(&|demand| {
            demand.sources = vec![cash(10_000)];
            demand.slots = 6_000;
        }),
        change(&|demand| demand.sources[0].purse = Purse::Grant(hansa_ledger::id::GrantId([1; 32]))),
        change(&|demand| demand.limit = Price(18_000_000_000_000_000_000)),
    ];
    let account = server.account("kodu");
    let mut numbers = std::collections::BTreeSet::new();
    for demand in table {
        let quoted = server.client.quote(&quote_of(&demand)).await.unwrap();
        let refused = account.send(vec![PlaceRequest { demand: demand.clone() }.into()]).await.unwrap_err();
        let number = refused.code().unwrap();
        assert_eq!(quoted.refusal.map(|refusal| refusal.code), Some(number), "{refused}: {demand:?}");
        assert!(quoted.award.is_none() && !quoted.sentence.is_empty());
        numbers.insert(number);
    }
    assert!(numbers.len() >= 10, "{numbers:?}");
    let nobody = QuoteRequest { organisation: hansa_ledger::id::OrganisationId([0; 32]), demand: demand() };
    let quoted = server.client.quote(&nobody).await.unwrap();
    assert_eq!(quoted.refusal.unwrap().name, "OrganisationUnknown");
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_before_and_after() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let client = &server.client;
    let cheap = Demand { limit: Price(900_000), ..demand() };
    let quote = client.quote(&quote_of(&cheap)).await.unwrap();
    let unmatched = quote.unmatched.expect("the limit is below the ask");
    assert_eq!(
        (unmatched.reason, unmatched.detail.cheapest_ask),
        (Reason::LimitBelowPrice, Some(Price(2_000_000)))
    );
    assert!(quote.sentence.contains("2.00 EUR/h"), "{}", quote.sentence);

    let (signed, _) =
        server.account("kodu").send_signed(vec![PlaceRequest { demand: cheap }.into()]).await.unwrap();
    let request = request_id(signed.id(), 0);
    run_batch(&server);
    let why = client.request_why(&request).await.unwrap();
    assert_eq!(why.last.map(|last| last.reason), Some(Reason::LimitBelowPrice));
    assert_eq!(why.now.map(|now| now.reason), Some(Reason::LimitBelowPrice));
    let open = RequestFilter {
        state: Some(RequestState::Open),
        organisation: Some(startup()),
        ..Default::default()
    };
    assert_eq!(client.requests(&open).await.unwrap().len(), 1);
    server.send("kodu", CancelRequest { request }).await;
    let why = client.request_why(&request).await.unwrap();
    assert_eq!((why.state, why.now, why.next_batch), (RequestState::Cancelled, None, None));
    assert_eq!(why.sentence, "its organisation took it back");
    assert!(client.requests(&open).await.unwrap().is_empty());
    // A quote leaves nothing behind.
    assert_eq!(client.grants(&Default::default()).await.unwrap()[0].balance, Money(100_000_000));
}

#[tokio::test]
async fn capacity_is_the_offer_beside_what_the_provider_says() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    let client = &server.client;
    let capacity = client.capacity(&CapacityFilter::default()).await.unwrap();
    assert_eq!(capacity.len(), 1);
    assert_eq!((capacity[0].free_now, capacity[0].ask, capacity[0].tier), (64, Some(Price(2_000_000)), 2));
    assert_eq!((capacity[0].provider_name.clone(), capacity[0].advert.clone()), (Some(name("mare")), None));

    let said = |free, issued_ms| AdvertContent {
        chain_id: server.double.chain.0,
        provider: centre().0,
        site: "mare-1".to_owned(),
        class: "h100".to_owned(),
        free,
        total: 64,
        tier: 1,
        price_ask_ueur: 2_000_000,
        issued_ms,
        lives_ms: 60_000,
        sequence: 1,
        signer: key("mare").public_key(),
    };
    let now = now_ms();
    *server.double.adverts.lock().unwrap() = vec![said(12, now), said(50, now - 1_000)];
    let advert = client.capacity(&CapacityFilter::default()).await.unwrap()[0].advert.clone().unwrap();
    assert_eq!((advert.free, advert.sandbox_tier, advert.expires), (12, 1, TimeMs(now + 60_000)));

    for (filter, count) in [
        (CapacityFilter { country: Some("ES".parse().unwrap()), ..Default::default() }, 1),
        (CapacityFilter { country: Some("FR".parse().unwrap()), ..Default::default() }, 0),
        (CapacityFilter { class: Some(name("abacus")), ..Default::default() }, 0),
        (CapacityFilter { provider: Some(startup()), ..Default::default() }, 0),
    ] {
        assert_eq!(client.capacity(&filter).await.unwrap().len(), count, "{filter:?}");
    }
    let sites = client.sites(&SiteFilter { provider: Some(centre()), ..Default::default() }).await.unwrap();
    assert_eq!((sites.len(), sites[0].row.accelerators), (1, 64));
    let classes = client.classes().await.unwrap();
    assert_eq!((classes[0].offers_open, classes[0].requests_open, classes[0].row.capacity), (1, 0, 64));
    let offers =
        client.offers(&OfferFilter { class: Some(name("h100")), ..Default::default() }).await.unwrap();
    assert_eq!((offers.len(), offers[0].free_now), (1, 64));
    assert_eq!(client.offer(&offers[0].id).await.unwrap().whole().as_ref(), offers.first());
    assert_eq!(offers[0].row.market.plus(&offers[0].row.reserve).free_at(Slot(slot() + 10)), 64);
}
