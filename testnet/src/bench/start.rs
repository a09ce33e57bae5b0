//! `bench start`: from the start of a testnet until every node holds its first final block.

use super::field::{Ground, firms, statuses};
use super::report::{Bound, Report};
use crate::error::TestnetError;
use std::time::{Duration, Instant};

/// How often the nodes are asked.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn run(ground: &Ground, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("start");
    let (mut ready, mut first) = (Vec::new(), Vec::new());
    for number in 1..=count {
        ground.progress.now(format!("start {number} of {count}"));
        let began = Instant::now();
        let mut field = ground.field().await?;
        ready.push(began.elapsed().as_secs_f64() * 1_000.0);
        let federation = field.cluster.federation().clone();
        let work = async {
            // An idle federation makes no block until its heartbeat, so somebody has to want one.
            let wanted = firms(&federation, 1, 0);
            let seen = async {
                while statuses(&federation).await?.iter().any(|node| node.height == 0) {
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                Ok(began.elapsed().as_secs_f64() * 1_000.0)
            };
            futures::future::try_join(wanted, seen).await.map(|(_, at)| at)
        };
        let measured = field.cluster.guard(work).await;
        first.push(field.down(measured, &ground.progress).await?);
    }
    report.target("start to first final block on all nodes", "ms", &first, Bound::AtMost, 3_000.0);
    report.figure("start to all nodes ready", "ms", &ready);
    report.note(
        "counted from before the genesis and its keys are made, so a little more than the processes take",
    );
    Ok(report)
}
