//! `bench restart`: a node is killed with many blocks on its disk, under load, and started at once, until it has a new block and
//! votes again.

use super::behind::height as reached;
use super::field::{Ground, agreed};
use super::maker::{grow, until_ready};
use super::payers::{Payers, kill, restart};
use super::report::{Bound, Report};
use crate::error::TestnetError;
use crate::federation::Federation;
use crate::layout::Layout;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// Payers for each member.
const PAYERS: usize = 2;

/// How often a node is asked for its height.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long a node may take until it votes.
const VOTE_MAX: Duration = Duration::from_secs(300);

struct Found {
    /// Seconds it took to make the blocks.
    making_s: f64,
    height: u64,
    restarts_s: Vec<f64>,
}

pub(super) async fn run(ground: &Ground, blocks: u64, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("restart");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let layout = field.cluster.layout().clone();
    let mut children = Vec::new();
    let work = measure(&federation, &layout, ground, (blocks, count), &mut children);
    let measured = field.cluster.guard(work).await;
    let found = field.down(measured, &ground.progress).await?;
    drop(children);
    report.figure("making the blocks", "s", &[found.making_s]);
    report.target(
        format!("killed at height {} and later, started to a new block and ready", found.height),
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
    (blocks, count): (u64, usize),
    children: &mut Vec<Child>,
) -> Result<Found, TestnetError> {
    ground.progress.now(format!("making {blocks} blocks"));
    let began = Instant::now();
    let height = grow(federation, layout, blocks, &[]).await?;
    let making_s = began.elapsed().as_secs_f64();
    ground.progress.now("starting the nodes with them");
    let began = Instant::now();
    for (code, _) in federation.clients() {
        children.push(restart(layout, *code, &ground.executable)?);
    }
    for (code, client) in federation.clients() {
        until_ready(*code, client, height, began).await?;
    }
    let (code, client) = federation.clients().last().cloned().expect("a federation has a member");
    let mut payers = Payers::begin(federation, PAYERS).await?;
    let mut restarts_s = Vec::new();
    for number in 1..=count {
        ground.progress.now(format!("kill {number} of {count} with {height} blocks on the disk"));
        let before = reached(&client).await?;
        kill(layout, code).await?;
        let began = Instant::now();
        children.push(restart(layout, code, &ground.executable)?);
        while client.status().await.map_or(true, |status| status.height <= before) {
            if began.elapsed() > VOTE_MAX {
                return Err(TestnetError::Missed(format!("{code} made no block after its start")));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        until_ready(code, &client, before, began).await?;
        restarts_s.push(began.elapsed().as_secs_f64());
    }
    payers.end().await;
    agreed(federation).await?;
    Ok(Found { making_s, height, restarts_s })
}
