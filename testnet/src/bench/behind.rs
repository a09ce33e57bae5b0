//! `bench behind`: a node that was away for many blocks catches up while payments go on; then it is killed once more, with all
//! these blocks on its disk, and started at once. The blocks are [made](super::maker) while all stand still.

use super::field::{Ground, agreed};
use super::maker::{grow, until_ready};
use super::payers::{Payers, kill, restart};
use super::recover::caught_up;
use super::report::{Bound, Report};
use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use crate::layout::Layout;
use hansa_node_api::Client;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// How long the node may take to catch up.
const CATCH_UP_MAX: Duration = Duration::from_secs(1_800);

/// Payers for each member.
const PAYERS: usize = 2;

/// Kills after the node has caught up.
const RESTARTS: usize = 5;

struct Found {
    /// Blocks that the node was behind when it started.
    behind: u64,
    caught_up_s: f64,
    /// Blocks fetched for each second, those made meanwhile counted.
    rate: f64,
    height: u64,
    restarts_s: Vec<f64>,
}

pub(super) async fn run(ground: &Ground, blocks: u64) -> Result<Report, TestnetError> {
    let mut report = Report::new("behind");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let layout = field.cluster.layout().clone();
    let mut children = Vec::new();
    let work = measure(&federation, &layout, ground, blocks, &mut children);
    let measured = field.cluster.guard(work).await;
    let found = field.down(measured, &ground.progress).await?;
    drop(children);
    report.figure("behind when it was started", "blocks", &[found.behind as f64]);
    report.figure("started to caught up, payments going on", "s", &[found.caught_up_s]);
    report.target("caught up", "blocks per s", &[found.rate], Bound::AtLeast, 100.0);
    report.target(
        format!("killed at height {}, started to caught up and ready", found.height),
        "s",
        &found.restarts_s,
        Bound::AtMost,
        10.0,
    );
    Ok(report)
}

async fn measure(
    federation: &Federation,
    layout: &Layout,
    ground: &Ground,
    blocks: u64,
    children: &mut Vec<Child>,
) -> Result<Found, TestnetError> {
    let away = federation.clients().len() - 1;
    let (code, other) = (federation.clients()[away].0, &federation.clients()[0].1);
    let firms = Payers::accredit(federation, PAYERS).await?;
    agreed(federation).await?;
    let from = height(&federation.clients()[away].1).await?;
    ground.progress.now(format!("making {blocks} blocks without {code}"));
    let reached = grow(federation, layout, blocks, &[code]).await?;
    let began = Instant::now();
    for (code, _) in &federation.clients()[..away] {
        children.push(restart(layout, *code, &ground.executable)?);
    }
    for (code, client) in &federation.clients()[..away] {
        until_ready(*code, client, reached, began).await?;
    }
    let mut payers = Payers::start(federation, firms);
    ground.progress.now(format!("{code} catches up"));
    let began = Instant::now();
    children.push(restart(layout, code, &ground.executable)?);
    // Once more when it is there: the others have gone on.
    let mut rounds = 0;
    loop {
        let goal = height(other).await?;
        caught_up(federation, away, began, CATCH_UP_MAX).await?.map_err(TestnetError::Missed)?;
        rounds += 1;
        if rounds > 1 && height(other).await?.saturating_sub(goal) < blocks / 100 + 10 {
            break;
        }
    }
    let (caught_up_s, end) = (began.elapsed().as_secs_f64(), height(other).await?);
    let mut restarts_s = Vec::new();
    for number in 1..=RESTARTS {
        ground.progress.now(format!("kill {number} of {RESTARTS} with {end} blocks on the disk"));
        kill(layout, code).await?;
        let began = Instant::now();
        children.push(restart(layout, code, &ground.executable)?);
        caught_up(federation, away, began, CATCH_UP_MAX).await?.map_err(TestnetError::Missed)?;
        until_ready(code, &federation.clients()[away].1, end, began).await?;
        restarts_s.push(began.elapsed().as_secs_f64());
    }
    payers.end().await;
    agreed(federation).await?;
    let rate = (end - from) as f64 / caught_up_s;
    Ok(Found { behind: reached - from, caught_up_s, rate, height: end, restarts_s })
}

pub(super) async fn height(client: &Client) -> Result<u64, TestnetError> {
    let status = client.status().await.map_err(api_error("a node that was not killed does not answer"))?;
    Ok(status.height)
}
