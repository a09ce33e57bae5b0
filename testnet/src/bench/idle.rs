//! `bench idle`: processor time and memory of nodes that have nothing to do.

use super::field::{Ground, agreed, firms};
use super::machine::{processor_time, resident_mb};
use super::report::{Bound, Report};
use crate::error::TestnetError;
use std::time::{Duration, Instant};

/// How long the nodes settle down after the last transaction.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) async fn run(ground: &Ground, seconds: u64) -> Result<Report, TestnetError> {
    let mut report = Report::new("idle");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let processes: Vec<u32> = field.processes()?.into_iter().map(|(_, pid)| pid).collect();
    let work = async {
        firms(&federation, ground.members, 0).await?;
        let before = agreed(&federation).await?[0].height;
        ground.progress.now(format!("watching idle nodes for {seconds} s"));
        tokio::time::sleep(SETTLE).await;
        let (began, used) = (Instant::now(), times(&processes)?);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let (elapsed, later) = (began.elapsed().as_secs_f64(), times(&processes)?);
        let percent: Vec<f64> = later
            .iter()
            .zip(&used)
            .map(|(later, used)| (*later - *used).as_secs_f64() / elapsed * 100.0)
            .collect();
        let memory = processes.iter().map(|pid| resident_mb(*pid)).collect::<Result<Vec<f64>, _>>()?;
        let blocks = agreed(&federation).await?[0].height - before;
        Ok((percent, memory, blocks))
    };
    let measured = field.cluster.guard(work).await;
    let (percent, memory, blocks) = field.down(measured, &ground.progress).await?;
    report.target("processor time of an idle node", "% of one", &percent, Bound::AtMost, 2.0);
    report.target("memory of an idle node", "MB", &memory, Bound::AtMost, 120.0);
    report.note(format!("{blocks} blocks were made meanwhile, by the heartbeat alone"));
    Ok(report)
}

fn times(processes: &[u32]) -> Result<Vec<Duration>, TestnetError> {
    processes.iter().map(|pid| processor_time(*pid)).collect()
}
