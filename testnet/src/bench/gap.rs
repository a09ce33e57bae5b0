//! `bench gap`: how long a federation under load makes no block when a member's node is killed. The node killed is whichever
//! chance says: within as many blocks as there are members its turn to propose comes, and the others wait for it in vain.

use super::field::{Ground, agreed};
use super::payers::{Payers, kill, restart};
use super::recover::caught_up;
use super::report::{Bound, Report};
use super::statistics::{median, percentile};
use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use crate::layout::Layout;
use hansa_node_api::Client;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// Payers for each member.
const PAYERS: usize = 2;

/// How long the load goes on before a kill.
const CALM: Duration = Duration::from_millis(1_000);

/// How long a killed node stays away: several of its turns.
const AWAY: Duration = Duration::from_secs(5);

/// How long a node may take to catch up.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// How often a node that lives is asked for its height: the error of each gap.
const LOOK_PAUSE: Duration = Duration::from_millis(4);

#[derive(Default)]
struct Found {
    /// From a kill to the next block, in milliseconds.
    next: Vec<f64>,
    /// The longest time without a block while the node was away, the one that runs at the end counted, by kill.
    longest: Vec<f64>,
    /// Every time between two blocks while a node was away.
    all: Vec<f64>,
}

pub(super) async fn run(ground: &Ground, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("gap");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let layout = field.cluster.layout().clone();
    let mut children = Vec::new();
    let work = measure(&federation, &layout, ground, count, &mut children);
    let measured = field.cluster.guard(work).await;
    let found = field.down(measured, &ground.progress).await?;
    drop(children);
    for (name, values) in [
        ("from a kill to the next block", &found.next),
        ("longest time without a block, by kill", &found.longest),
        ("between blocks with one member down", &found.all),
    ] {
        let middle: Vec<f64> = median(values).into_iter().collect();
        report.target(format!("{name}, median"), "ms", &middle, Bound::AtMost, 1_000.0);
        let tail: Vec<f64> = percentile(values, 99.0).into_iter().collect();
        report.target(format!("{name}, p99"), "ms", &tail, Bound::AtMost, 4_000.0);
        report.figure(name, "ms", values);
    }
    Ok(report)
}

async fn measure(
    federation: &Federation,
    layout: &Layout,
    ground: &Ground,
    count: usize,
    children: &mut Vec<Child>,
) -> Result<Found, TestnetError> {
    let members = federation.clients().len();
    let mut payers = Payers::begin(federation, PAYERS).await?;
    let mut found = Found::default();
    for number in 1..=count {
        tokio::time::sleep(CALM).await;
        // Which one is chance, and the same chance in every run.
        let chosen = usize::from(blake3::hash(&number.to_le_bytes()).as_bytes()[0]) % members;
        let code = federation.clients()[chosen].0;
        ground.progress.now(format!("kill {number} of {count}: the node of {code}"));
        kill(layout, code).await?;
        watch(&federation.clients()[(chosen + 1) % members].1, &mut found).await?;
        let began = Instant::now();
        children.push(restart(layout, code, &ground.executable)?);
        caught_up(federation, chosen, began, CATCH_UP_MAX).await?.map_err(TestnetError::Missed)?;
    }
    payers.end().await;
    agreed(federation).await?;
    Ok(found)
}

/// Takes down when a node that lives tells of new blocks, while another is away.
async fn watch(client: &Client, found: &mut Found) -> Result<(), TestnetError> {
    let killed = Instant::now();
    let (mut height, mut last) = (None, killed);
    let (mut first, mut longest) = (None, 0.0_f64);
    while killed.elapsed() < AWAY {
        let status =
            client.status().await.map_err(api_error("a node that was not killed does not answer"))?;
        let now = Instant::now();
        if height.is_some_and(|height| status.height > height) {
            let gap = (now - last).as_secs_f64() * 1_000.0;
            match first {
                None => first = Some(gap),
                Some(_) => found.all.push(gap),
            }
            (longest, last) = (longest.max(gap), now);
        }
        height = Some(status.height);
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    let open = last.elapsed().as_secs_f64() * 1_000.0;
    found.next.push(first.unwrap_or(open));
    found.longest.push(longest.max(open));
    Ok(())
}
