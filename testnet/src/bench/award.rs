//! `bench award`: from the moment a request is sent until its lease is awarded, with a batch every second.

use super::field::{Firm, Ground, agreed, firms, validity_end};
use super::report::{Bound, Report};
use super::statistics::percentile;
use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use crate::seed;
use futures::StreamExt as _;
use hansa_ledger::action::{AccreditSite, Action, PlaceRequest, PostOffer, request_id};
use hansa_ledger::event::Event;
use hansa_ledger::id::{CodeHash, RequestId};
use hansa_ledger::market::Calendar;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::{Demand, Office, Pool, Purpose, Purse, Source};
use hansa_ledger::time::{Slot, TimeMs};
use hansa_node_api::filter::EventFilter;
use hansa_node_api::peer::now_ms;
use hansa_node_api::{Account, EventMessage};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Accelerators of the one site: enough for all requests to run side by side.
const ACCELERATORS: u32 = 4_096;

/// How long a lease lasts, in slots.
const SLOTS: u32 = 60;

/// How long an award may take.
const AWARD_TIME_MAX: Duration = Duration::from_secs(20);

/// How long the market rests between requests: not in step with its batches.
const REST_MS_MAX: u64 = 1_000;

pub(super) async fn run(ground: &Ground, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("award");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let measured = field.cluster.guard(measure(&federation, count, ground)).await;
    let times = field.down(measured, &ground.progress).await?;
    let values = |percent| percentile(&times, percent).into_iter().collect::<Vec<f64>>();
    report.target("request sent to lease awarded, p50", "ms", &values(50.0), Bound::AtMost, 1_200.0);
    report.figure("request sent to lease awarded, p99", "ms", &values(99.0));
    report.figure("request sent to lease awarded", "ms", &times);
    report.note(format!("a batch every {} ms", federation.genesis().params.batch_ms));
    Ok(report)
}

async fn measure(federation: &Federation, count: usize, ground: &Ground) -> Result<Vec<f64>, TestnetError> {
    // One offers and the others ask, for a group may not hold all of a class.
    let firms = firms(federation, 9, 0).await?;
    offer(federation, &firms[0]).await?;
    agreed(federation).await?;
    let mut awards = listen(federation);
    ground.progress.now(format!("placing {count} requests, one at a time"));
    let mut times = Vec::new();
    for number in 0..=count {
        let noise = blake3::hash(&number.to_le_bytes()).as_bytes()[0];
        tokio::time::sleep(Duration::from_millis(REST_MS_MAX * u64::from(noise) / 256)).await;
        let firm = &firms[1 + number % (firms.len() - 1)];
        let client = federation.client(firm.home)?;
        let nonce = client
            .next_nonce(&firm.admin.public_key())
            .await
            .map_err(api_error("a firm's nonce cannot be read"))?;
        let signed = Account::new(firm.admin.clone(), federation.state().chain, client.clone())
            .sign(nonce, vec![PlaceRequest { demand: demand(federation)? }.into()]);
        let began = Instant::now();
        client.submit(&signed).await.map_err(api_error("a request was not taken"))?;
        match tokio::time::timeout(AWARD_TIME_MAX, until(&mut awards, request_id(signed.id(), 0))).await {
            // The first one only shows that the listener is there.
            Ok(at) if number > 0 => times.push((at - began).as_secs_f64() * 1_000.0),
            Err(_) if number > 0 => {
                return Err(TestnetError::Missed(format!("request {number} was awarded no lease in time")));
            }
            _ => {}
        }
    }
    Ok(times)
}

fn class() -> Result<Name, TestnetError> {
    Name::new("bench-class").map_err(TestnetError::Broken)
}

fn slot(federation: &Federation) -> u32 {
    TimeMs(now_ms()).slot(federation.genesis().params.slot_s).0
}

/// Accredits a site of the firm, and offers all of it.
pub(crate) async fn offer(federation: &Federation, firm: &Firm) -> Result<(), TestnetError> {
    let site = Name::new("bench-site").map_err(TestnetError::Broken)?;
    let accredit: Action = AccreditSite {
        provider: firm.organisation,
        site: site.clone(),
        class: class()?,
        accelerators: ACCELERATORS,
        node_size: 4,
        tier: 2,
        certificates: 0,
        pool: Pool::Public,
        parts: Vec::new(),
    }
    .into();
    seed::sign(federation, firm.home, Office::Registrar, vec![accredit]).await?;
    seed::confirm(federation).await?;
    let end = validity_end().slot(federation.genesis().params.slot_s);
    let offer = PostOffer {
        site,
        class: class()?,
        ask: Price(1_000_000),
        calendar: Calendar::constant(Slot(slot(federation)), end, ACCELERATORS),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: CodeHash(*blake3::hash(hansa_contracts_bundle::SPOT).as_bytes()),
        // No least fee.
        contract_params: vec![0; 16],
        parties: Vec::new(),
    };
    let sent = firm.account(federation, federation.client(firm.home)?).send(vec![offer.into()]).await;
    sent.map(|_| ()).map_err(api_error("the offer was not taken"))
}

pub(crate) fn demand(federation: &Federation) -> Result<Demand, TestnetError> {
    let now = slot(federation);
    Ok(Demand {
        class: class()?,
        quantity: 4,
        quantity_min: 4,
        slots: SLOTS,
        start_min: Slot(now),
        start_max: Slot(now + 600),
        limit: Price(2_000_000),
        countries: Default::default(),
        certificates: 0,
        tier_min: 0,
        purpose: Purpose::Innovation,
        sources: vec![Source { purse: Purse::Cash, share_bps: 10_000 }],
        job: None,
        lane: Default::default(),
        interruptible: false,
        any_of: Vec::new(),
    })
}

/// Listens for awards at one node.
fn listen(federation: &Federation) -> mpsc::UnboundedReceiver<(RequestId, Instant)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let filter = EventFilter { kind: Some("lease_awarded".to_owned()), ..EventFilter::default() };
    let mut events = federation.clients()[0].1.events(filter, None);
    tokio::spawn(async move {
        while let Some(message) = events.next().await {
            let Ok(EventMessage::Event(event)) = message else { continue };
            let Event::LeaseAwarded { request, .. } = event.event else { continue };
            // Nobody listens any more once all has been measured.
            if sender.send((request, Instant::now())).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn until(awards: &mut mpsc::UnboundedReceiver<(RequestId, Instant)>, request: RequestId) -> Instant {
    loop {
        match awards.recv().await {
            Some((awarded, at)) if awarded == request => return at,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}
