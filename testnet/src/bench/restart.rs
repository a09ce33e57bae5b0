//! `bench restart`: a node is killed with many blocks on its disk, under load, and started at once, until it votes again. With
//! one member or two the federation makes no block without it, so that the first new one is its vote.

use super::behind::{height, until_ready};
use super::field::{Ground, agreed};
use super::payers::{Payers, kill, restart};
use super::report::{Bound, Report};
use crate::error::TestnetError;
use crate::federation::Federation;
use crate::layout::Layout;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// Payers for each member: enough for every block to have something in it.
const PAYERS: usize = 8;

/// How often a node is asked for its height.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long a node may take until it votes.
const VOTE_MAX: Duration = Duration::from_secs(300);

struct Found {
    /// Blocks made for each second before the first kill.
    made: f64,
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
    report.figure("blocks made", "per s", &[found.made]);
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
    let (code, client) = federation.clients().last().cloned().expect("a federation has a member");
    let mut payers = Payers::begin(federation, PAYERS).await?;
    let (from, began) = (height(&client).await?, Instant::now());
    let mut reached = from;
    while reached < blocks {
        ground.progress.now(format!("{reached} of {blocks} blocks"));
        tokio::time::sleep(LOOK_PAUSE).await;
        reached = height(&client).await?;
    }
    let made = reached.saturating_sub(from) as f64 / began.elapsed().as_secs_f64();
    let mut restarts_s = Vec::new();
    for number in 1..=count {
        ground.progress.now(format!("kill {number} of {count} with {reached} blocks on the disk"));
        let before = height(&client).await?;
        kill(layout, code).await?;
        let began = Instant::now();
        children.push(restart(layout, code, &ground.executable)?);
        while client.status().await.map_or(true, |status| status.height <= before) {
            if began.elapsed() > VOTE_MAX {
                return Err(TestnetError::Missed(format!("{code} made no block after its start")));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        until_ready(&client, began).await?;
        restarts_s.push(began.elapsed().as_secs_f64());
    }
    payers.end().await;
    agreed(federation).await?;
    Ok(Found { made, height: reached, restarts_s })
}
