//! The market's resources: capacity, sites, classes, offers.

use super::double::{centre, key, name, slot, startup};
use super::{HttpLimits, Server};
use hansa_ledger::money::Price;
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::filter::{CapacityFilter, OfferFilter, SiteFilter};
use hansa_node_api::peer::advert::AdvertContent;
use hansa_node_api::peer::now_ms;

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
