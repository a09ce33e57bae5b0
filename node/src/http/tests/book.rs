//! The market's public face: figures, prices, the book, and what a block's proposer left waiting.

use super::double::{accredit, centre, demand, grant, name, rival, slot, spot, startup};
use super::quotes::paid_by;
use super::{HttpLimits, Server, name_of};
use hansa_ledger::action::{
    AccreditSite, AmendOffer, AttestDeposit, PlaceRequest, PostOffer, organisation_id,
};
use hansa_ledger::id::{OrganisationId, TransactionId};
use hansa_ledger::market::{Bucket, Calendar, Reason};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::{Demand, OrganisationClass, Pool, PoolOwner, Purse, ReasonCount};
use hansa_ledger::time::Slot;
use hansa_ledger::waiting::waiting_root;
use hansa_node_api::book::{AskLevel, DemandBand, FiguresInfo};
use hansa_node_api::filter::FiguresFilter;
use hansa_node_api::pass::{PASS_LIFE, ReadPass};
use hansa_node_api::{Client, Fault};

/// A third start-up, in France.
fn third() -> OrganisationId {
    organisation_id("FR".parse().unwrap(), "F-30")
}

impl Server {
    /// Three start-ups with money, and the centre's offer.
    async fn open_wide_market(&self) {
        self.open_market().await;
        let deposit =
            AttestDeposit { organisation: third(), amount: Money(100_000_000), reference: name("d-3") };
        let chain = self.double.chain;
        let newcomer = accredit(chain, "FR", "F-30", "troisieme", OrganisationClass::StartUp);
        let more = [("FR registrar", newcomer), ("FR treasury", deposit.into())];
        for (who, action) in rival(chain).into_iter().chain(more) {
            self.send(who, action).await;
        }
    }
}

/// Four accelerators for ten minutes, paid in cash.
fn cash(limit: u64) -> Demand {
    Demand { limit: Price(limit), sources: paid_by(&[(Purse::Cash, 10_000)]), ..demand() }
}

fn readers(server: &Server) -> [Client; 5] {
    let reader = |name| server.reader(name);
    let public = server.client.clone().without_reader();
    [public, reader("kodu"), reader("rivaal"), reader("mare"), reader("FR treasury")]
}

#[tokio::test]
async fn the_book_tells_offers_whole_ones_own_orders_and_of_others_sums_over_three_groups() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_wide_market().await;
    let class = name("h100");
    let mut orders = Vec::new();
    for (who, limit) in [("kodu", 517_000), ("rivaal", 423_000), ("troisieme", 371_000)] {
        orders.push(server.place(who, cash(limit)).await);
    }
    let all: std::collections::BTreeSet<_> = orders.iter().copied().collect();
    let band =
        |requests: u64| DemandBand { from: Price(0), below: None, requests, accelerators: 4 * requests };
    for batches in 0..2 {
        for (client, own) in
            readers(&server).iter().zip([vec![], vec![orders[0]], vec![orders[1]], vec![], orders.clone()])
        {
            let book = client.market_book(&class).await.unwrap();
            let told: std::collections::BTreeSet<_> = book.orders.iter().map(|one| one.id).collect();
            assert_eq!(told, own.into_iter().collect(), "one's own, and for members all");
            assert_eq!((book.epoch, book.requests_open, book.more), (batches, 3, false));
            // What no batch has seen yet is told to nobody.
            let expected = if batches == 0 { vec![] } else { vec![band(3)] };
            assert_eq!(book.wanted, expected, "{client:?}");
            let ask = AskLevel { ask: Price(2_000_000), offers: 1, free: 48, reserve: 16 };
            assert_eq!((book.asks.as_slice(), book.capacity), (&[ask][..], 64));
            let offer = &book.offers[0];
            assert_eq!(
                (offer.provider, offer.free, offer.reserve, offer.pool),
                (centre(), 48, 16, PoolOwner::Member("ES".parse().unwrap()))
            );
        }
        // Nothing in the answer to somebody else names or prices an order.
        for who in [None, Some("mare")] {
            let pass =
                who.map(|who| ReadPass::make(&super::key(who), server.double.chain, PASS_LIFE).to_bearer());
            let (status, body) =
                server.ask_by(pass.as_ref().map(|pass| pass.as_str()), "GET", "/v1/market/h100/book").await;
            assert_eq!(status, 200);
            let limits = [517_000, 423_000, 371_000].map(|limit| Price(limit).to_string());
            let others = [startup(), third()].map(|id| id.to_string());
            let ids = all.iter().map(ToString::to_string);
            for secret in ids.chain(limits).chain(others) {
                assert!(!body.contains(&secret), "{who:?} is told {secret}: {body}");
            }
        }
        if batches == 0 {
            server.run_batch("h100");
        }
    }
    // One that comes later counts, and its price band is told when its batch has run.
    server.place("kodu", cash(250_000)).await;
    let public = &readers(&server)[0];
    let book = public.market_book(&class).await.unwrap();
    assert_eq!((book.requests_open, book.wanted), (4, vec![band(3)]));
    server.run_batch("h100");
    assert_eq!(public.market_book(&class).await.unwrap().wanted, [band(4)]);
    // Two groups are too few to be told of.
    let cancel = hansa_ledger::action::CancelRequest { request: orders[2] };
    server.send("troisieme", cancel).await;
    let book = public.market_book(&class).await.unwrap();
    assert_eq!((book.requests_open, book.wanted), (3, vec![]));
}

/// A small site of a higher tier at 2.50 EUR/h, for what asks for that tier.
async fn open_fast_site(server: &Server) {
    let site = AccreditSite {
        provider: centre(),
        site: name("mare-3"),
        class: name("h100"),
        accelerators: 16,
        node_size: 4,
        tier: 3,
        certificates: 0,
        pool: Pool::Private,
        parts: Vec::new(),
    };
    let offer = PostOffer {
        site: name("mare-3"),
        class: name("h100"),
        ask: Price(2_500_000),
        calendar: Calendar::constant(Slot(slot()), Slot(slot() + 200_000), 16),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        parties: Vec::new(),
        contract: spot(),
        contract_params: vec![0; 16],
    };
    server.send("ES registrar", site).await;
    server.send("mare", offer).await;
}

#[tokio::test]
async fn prices_are_those_of_each_bucket_and_of_the_reserve_and_history_has_each_batch() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_wide_market().await;
    open_fast_site(&server).await;
    let class = name("h100");
    let public = &readers(&server)[0];
    let before = public.market_price(&class).await.unwrap();
    assert!(before.market.iter().all(|one| one.price.is_none() && one.epoch.is_none()), "{before:?}");
    assert_eq!(
        before.market.iter().map(|one| one.within_s).collect::<Vec<_>>(),
        [Some(86_400), Some(604_800), None]
    );
    assert_eq!(
        (before.reserve.price_max, before.reserve.price, before.reserve.free),
        (Price(1_000_000), Some(Price(1_000_000)), 16)
    );
    assert_eq!(public.market_figures(&class, &FiguresFilter::default()).await.unwrap(), []);

    // The first batch: one in the reserve, one soon, one that stays open.
    server.place("kodu", demand()).await;
    server.place("rivaal", cash(3_000_000)).await;
    server.place("troisieme", cash(500_000)).await;
    server.run_batch("h100");
    // The second: one in two days, which only the fast site meets.
    let near = Demand {
        start_min: Slot(slot() + 90_000),
        start_max: Slot(slot() + 91_000),
        tier_min: 3,
        ..cash(3_000_000)
    };
    server.place("rivaal", near).await;
    server.run_batch("h100");

    let after = public.market_price(&class).await.unwrap();
    let told: Vec<_> =
        after.market.iter().map(|one| (one.bucket, one.price, one.seconds, one.epoch)).collect();
    assert_eq!(
        told,
        [
            (Bucket::Spot, Some(Price(2_000_000)), 2_400, Some(1)),
            (Bucket::Near, Some(Price(2_500_000)), 2_400, Some(2)),
            (Bucket::Forward, None, 0, None),
        ]
    );
    assert_eq!((after.epoch, after.last_price), (2, Some(Price(2_500_000))));
    let history = public.market_figures(&class, &FiguresFilter::default()).await.unwrap();
    let rows: Vec<_> = history
        .iter()
        .map(|one| (one.epoch, one.market_seconds, one.reserve_seconds, one.row.trades, one.row.open))
        .collect();
    assert_eq!(rows, [(1, 2_400, 2_400, 2, 1), (2, 2_400, 0, 1, 1)]);
    assert_eq!(history[0].row.unmatched, [ReasonCount { reason: Reason::LimitBelowPrice, requests: 1 }]);
    // Two groups hold as much as each other.
    let concentration = &history[0].row.concentration;
    assert_eq!((concentration.held, concentration.hhi_bps, concentration.largest.len()), (8, 5_000, 2));
    // From a batch on, and page by page.
    let from = FiguresFilter { from: Some(2), ..FiguresFilter::default() };
    assert_eq!(public.market_figures(&class, &from).await.unwrap(), history[1..]);
    let one = FiguresFilter { limit: Some(1), ..FiguresFilter::default() };
    let page = public.page::<FiguresInfo>("/v1/market/h100/figures", &one).await.unwrap();
    assert_eq!((page.items.as_slice(), page.next.is_some()), (&history[..1], true));
    assert_eq!(public.market_figures(&class, &one).await.unwrap(), history);
    // A raise of the ask counts after the next batch: till then the book has the old one.
    let offer = public.market_book(&class).await.unwrap().offers[0].offer;
    let amend = AmendOffer { offer, ask: Some(Price(2_200_000)), calendar: None };
    server.send("mare", amend).await;
    let asks = || async {
        public.market_book(&class).await.unwrap().asks.iter().map(|one| one.ask.0).collect::<Vec<_>>()
    };
    assert_eq!(asks().await, [2_000_000, 2_500_000]);
    server.run_batch("h100");
    assert_eq!(asks().await, [2_200_000, 2_500_000]);
}

#[tokio::test]
async fn questions_after_no_class_are_refused() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_market().await;
    for view in ["figures", "price", "book"] {
        for (class, query, status, fault) in [
            ("abacus", "", 404, Fault::NotFound),
            ("H100", "", 400, Fault::RequestMalformed),
            ("h100", "?to=3", if view == "figures" { 400 } else { 200 }, Fault::RequestMalformed),
        ] {
            let (code, body) = server.ask_by(None, "GET", &format!("/v1/market/{class}/{view}{query}")).await;
            assert_eq!(code, status, "{class} {view}: {body}");
            if code != 200 {
                assert_eq!(name_of(&body).as_deref(), Some(fault.name()), "{class} {view}");
            }
        }
    }
    let (code, _) = server.ask_by(None, "GET", "/v1/market/h100/figures?from=-1").await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn a_block_names_what_its_proposer_left_waiting() {
    let server = Server::start(HttpLimits::default()).await;
    server.open_wide_market().await;
    let mut seen = [TransactionId([9; 32]), TransactionId([4; 32])];
    *server.double.seen.lock().unwrap() = seen.to_vec();
    let sent = server.send("kodu", PlaceRequest { demand: demand() }).await;
    seen.sort();
    for client in readers(&server) {
        let block = client.block(Some(sent.height)).await.unwrap();
        assert_eq!(block.waiting, seen);
        assert_eq!(waiting_root(&block.waiting), block.header.waiting_root, "it is what the members signed");
    }
    assert_eq!(server.client.block(Some(1)).await.unwrap().waiting, []);
    assert!(matches!(demand().sources[0].purse, Purse::Grant(id) if id == grant()));
}
