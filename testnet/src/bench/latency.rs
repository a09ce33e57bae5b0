//! `bench latency`: from the moment a transfer is sent to one node until all nodes say that it is final, with nothing else to do.

use super::field::{Firm, Ground, agreed, firms, payment};
use super::report::{Bound, Report};
use super::statistics::percentile;
use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use futures::StreamExt as _;
use hansa_ledger::id::TransactionId;
use hansa_node_api::EventMessage;
use hansa_node_api::filter::EventFilter;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the federation rests before each transfer, at least.
const REST_MS_MIN: u64 = 120;

/// How much more it may rest: transfers do not come in step with anything of the nodes.
const REST_MS_MORE: u64 = 100;

/// Transfers before those that count.
const WARM_UP: usize = 5;

/// How long a transfer may take to be final.
const FINAL_TIME_MAX: Duration = Duration::from_secs(10);

/// A node said that a transaction is final.
struct Heard {
    node: usize,
    transaction: TransactionId,
    at: Instant,
}

pub(super) async fn run(ground: &Ground, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("latency");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let measured = field.cluster.guard(measure(&federation, count, ground)).await;
    let (everywhere, first) = field.down(measured, &ground.progress).await?;
    for (percent, target) in [(50.0, 60.0), (99.0, 150.0)] {
        let values: Vec<f64> = percentile(&everywhere, percent).into_iter().collect();
        report.target(
            format!("sent to final on all nodes, p{percent}"),
            "ms",
            &values,
            Bound::AtMost,
            target,
        );
    }
    report.figure("sent to final on all nodes", "ms", &everywhere);
    report.figure("sent to final on the node it was sent to", "ms", &first);
    Ok(report)
}

/// The times until all nodes, and until the node that was asked, in milliseconds.
async fn measure(
    federation: &Federation,
    count: usize,
    ground: &Ground,
) -> Result<(Vec<f64>, Vec<f64>), TestnetError> {
    let firms = firms(federation, 2, 0).await?;
    agreed(federation).await?;
    let mut heard = listen(federation);
    ground.progress.now(format!("sending {count} transfers, one at a time"));
    let (mut everywhere, mut first) = (Vec::new(), Vec::new());
    let nonce = nonce_of(federation, &firms[0]).await?;
    for number in 0..WARM_UP + count {
        tokio::time::sleep(rest(number)).await;
        let node = number % federation.clients().len();
        let transfer = payment(federation, &firms[0].admin, nonce + number as u64, firms[1].organisation);
        let began = Instant::now();
        let client = &federation.clients()[node].1;
        client.submit(&transfer).await.map_err(api_error("a transfer was not taken"))?;
        let all = until_everywhere(&mut heard, transfer.id(), federation.clients().len());
        let Ok(told) = tokio::time::timeout(FINAL_TIME_MAX, all).await else {
            // A listener that was not connected yet hears from the next transfer on.
            if number < WARM_UP {
                continue;
            }
            return Err(TestnetError::Missed(format!(
                "transfer {number} was not final on all nodes in time"
            )));
        };
        if number >= WARM_UP {
            let times = told.iter().map(|heard| (heard.node, (heard.at - began).as_secs_f64() * 1_000.0));
            everywhere.extend(times.clone().map(|(_, time)| time).max_by(f64::total_cmp));
            first.extend(times.filter(|(at, _)| *at == node).map(|(_, time)| time));
        }
    }
    agreed(federation).await?;
    Ok((everywhere, first))
}

/// The nonce that the firm's administrator key signs next.
pub(super) async fn nonce_of(federation: &Federation, firm: &Firm) -> Result<u64, TestnetError> {
    let nonce = federation.clients()[0].1.next_nonce(&firm.admin.public_key()).await;
    nonce.map_err(api_error("the nonce of a firm cannot be read"))
}

/// A pause that differs each time and is the same in every run.
pub(super) fn rest(number: usize) -> Duration {
    let noise = blake3::hash(&number.to_le_bytes()).as_bytes()[0];
    Duration::from_millis(REST_MS_MIN + REST_MS_MORE * u64::from(noise) / 256)
}

/// Listens to all nodes at once.
fn listen(federation: &Federation) -> mpsc::UnboundedReceiver<Heard> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (node, (_, client)) in federation.clients().iter().enumerate() {
        let filter = EventFilter { kind: Some("cash_transferred".to_owned()), ..EventFilter::default() };
        let (mut events, sender) = (client.events(filter, None), sender.clone());
        tokio::spawn(async move {
            while let Some(message) = events.next().await {
                let Ok(EventMessage::Event(event)) = message else { continue };
                let Some(transaction) = event.transaction else { continue };
                // Nobody listens any more once all has been measured.
                if sender.send(Heard { node, transaction, at: Instant::now() }).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

async fn until_everywhere(
    heard: &mut mpsc::UnboundedReceiver<Heard>,
    transaction: TransactionId,
    nodes: usize,
) -> Vec<Heard> {
    let mut told = Vec::new();
    while told.len() < nodes {
        match heard.recv().await {
            Some(one) if one.transaction == transaction => told.push(one),
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
    told
}
