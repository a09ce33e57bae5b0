//! The dry run against what the ledger then does.

use super::double::{centre, demand, grant, name, slot, spot, startup};
use super::{HttpLimits, Server};
use hansa_ledger::action::{AccreditSite, PlaceRequest, PostOffer, request_id};
use hansa_ledger::id::LeaseId;
use hansa_ledger::market::{Calendar, Lane, LaneHint};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::{Alternative, Demand, LeaseState, Pool, Purpose, Purse, RequestState, Source};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::Fault;
use hansa_node_api::filter::LeaseFilter;
use hansa_node_api::market::QuoteRequest;

pub(super) fn quote_of(demand: &Demand) -> QuoteRequest {
    QuoteRequest { organisation: startup(), demand: demand.clone() }
}

/// Sources with their parts in basis points.
pub(super) fn paid_by(parts: &[(Purse, u16)]) -> Vec<Source> {
    parts.iter().map(|(purse, share_bps)| Source { purse: *purse, share_bps: *share_bps }).collect()
}

impl Server {
    /// A second class at the same centre: 32 accelerators of it at 1.00 EUR/h, without reserve.
    pub(super) async fn open_second_class(&self) {
        let site = AccreditSite {
            provider: centre(),
            site: name("mare-2"),
            class: name("a100"),
            accelerators: 32,
            node_size: 4,
            tier: 3,
            certificates: 0,
            pool: Pool::Private,
            parts: Vec::new(),
        };
        let offer = PostOffer {
            site: name("mare-2"),
            class: name("a100"),
            ask: Price(1_000_000),
            calendar: Calendar::constant(Slot(slot()), Slot(slot() + 100_000), 32),
            owner: None,
            reserve_bps: None,
            reserve_cycle_slots: None,
            parties: Vec::new(),
            contract: spot(),
            contract_params: vec![0; 16],
        };
        self.send("ES registrar", site).await;
        self.send("mare", offer).await;
    }
}

/// What is placed and awarded first, and what is then quoted and placed; the lane, the price and the count of the award, none for no award.
type Case = (&'static str, Vec<Demand>, Demand, Option<(Lane, u64, u32)>);

fn cases() -> Vec<Case> {
    // Far enough ahead that nothing but the batch decides when it starts.
    let later =
        |demand: Demand| Demand { start_min: Slot(slot() + 60), start_max: Slot(slot() + 160), ..demand };
    let base = later(demand());
    let cash = Demand { sources: paid_by(&[(Purse::Cash, 10_000)]), ..base.clone() };
    let or = |limit, other| Demand {
        limit: Price(limit),
        any_of: vec![Alternative { class: name("a100"), limit: Price(other) }],
        ..cash.clone()
    };
    vec![
        ("the reserve", vec![], base.clone(), Some((Lane::Reserve, 1_000_000, 4))),
        (
            "the market for a grant",
            vec![],
            Demand { lane: LaneHint::Market, ..base.clone() },
            Some((Lane::Market, 2_000_000, 4)),
        ),
        ("the market for cash", vec![], cash.clone(), Some((Lane::Market, 2_000_000, 4))),
        (
            "two sources",
            vec![],
            Demand {
                sources: paid_by(&[(Purse::Grant(grant()), 7_001), (Purse::Cash, 2_999)]),
                ..base.clone()
            },
            Some((Lane::Market, 2_000_000, 4)),
        ),
        ("another class", vec![], or(1_500_000, 1_500_000), Some((Lane::Market, 1_000_000, 4))),
        ("neither class", vec![], or(1_500_000, 900_000), None),
        (
            "what the group's cap leaves",
            vec![Demand { quantity: 12, quantity_min: 12, lane: LaneHint::Market, ..base.clone() }],
            Demand { quantity: 8, quantity_min: 4, lane: LaneHint::Market, ..base.clone() },
            Some((Lane::Market, 2_000_000, 4)),
        ),
    ]
}

#[tokio::test]
async fn a_dry_run_is_the_next_batchs_award_in_every_lane() {
    for (what, before, demand, expected) in cases() {
        let server = Server::start(HttpLimits::default()).await;
        server.open_market().await;
        server.open_second_class().await;
        for demand in before {
            server.place("kodu", demand).await;
            server.run_batch("h100");
        }
        let quote = server.client.quote(&quote_of(&demand)).await.unwrap();
        assert_eq!(quote.refusal, None, "{what}");
        let request = server.place("kodu", demand.clone()).await;
        let placed = server.client.request_info(&request).await.unwrap().row;
        assert_eq!(Some(placed.locked), quote.locked, "{what}");
        server.run_batch("h100");
        let shown = quote.award.as_ref().map(|award| (award.lane, award.price.0, award.quantity));
        assert_eq!(shown, expected, "{what}: {}", quote.sentence);
        let row = server.client.request_info(&request).await.unwrap().row;
        let Some(award) = quote.award else {
            // The reasons are those of the batch, class by class.
            let found = row.unmatched.iter().map(|one| (&one.class, one.unmatched.reason.code()));
            let told = quote.unmatched.iter().map(|one| (&one.class, one.code));
            assert_eq!(told.collect::<Vec<_>>(), found.collect::<Vec<_>>(), "{what}");
            assert_eq!((quote.unmatched.len(), row.state), (2, RequestState::Open), "{what}");
            continue;
        };
        let lease = server.client.lease(&LeaseId::derive(&request)).await.unwrap().row;
        assert_eq!(
            (lease.offer, lease.provider, lease.site, lease.class, lease.quantity, lease.start, lease.slots),
            (
                award.offer,
                award.provider,
                award.site,
                award.class,
                award.quantity,
                award.start_slot,
                award.slots
            ),
            "{what}"
        );
        let agreed = &lease.agreement;
        assert_eq!((agreed.price, agreed.start, agreed.end), (award.price, award.start, award.end), "{what}");
        assert_eq!(
            (lease.lane, lease.released, lease.locked, lease.aid),
            (award.lane, award.released, award.cost_max, award.aid),
            "{what}"
        );
        let costs: Vec<_> = quote.sources.iter().map(|source| (source.purse, source.cost_max)).collect();
        let locked: Vec<_> = lease.sources.iter().map(|source| (source.purse, Some(source.locked))).collect();
        assert_eq!(costs, locked, "{what}");
    }
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
    server.run_batch("h100");

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
