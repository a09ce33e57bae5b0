//! A crash anywhere: no job runs twice, no meter is lost, every lease settles.

use hansa_ledger::event::Event;
use hansa_ledger::row::{Closing, JobState, LeaseState};
use hansa_node_provider::metering::final_usage;

use crate::bench::{Bench, INVENTORY, count};

/// More points than any run passes: the loop ends by itself before.
const POINTS_MAX: usize = 200;

/// Crashes the agent at every point where it touches the world, one run each, and lets another go on.
#[tokio::test]
async fn a_crash_at_any_step_runs_no_job_twice_and_loses_no_meter() {
    let mut lost = 0;
    let mut done = 0;
    for point in 1..POINTS_MAX {
        let bench = Bench::new();
        let agent = bench.start(INVENTORY).await;
        bench.until("the offer is posted", |world| !world.performed.lock().unwrap().is_empty()).await;
        bench.world.crash.arm(point);
        let lease = bench.lease(6, Some(bench.double("ab"))).await;
        bench.submit(lease, bench.job(&["crash"]));
        let settled = |world: &crate::world::World| world.lease_row(&lease).state == LeaseState::Settled;
        bench
            .until("the agent crashes or the lease settles", |world| {
                *world.crash.reached.borrow() || settled(world)
            })
            .await;
        let crashed = *bench.world.crash.reached.borrow();
        agent.crash().await;
        bench.world.crash.arm(0);
        let agent = bench.start(INVENTORY).await;
        bench.until("the use is reported", |world| world.lease_row(&lease).reported_final).await;
        bench.world.advance(bench.world.genesis.params.lease_challenge_window_ms);
        bench.until_state(lease, LeaseState::Settled).await;
        bench.until_reported(lease, 0).await;
        bench.until_reported(lease, 1).await;
        agent.stop().await;

        let jobs = bench.jobs_run();
        for job in ["double 0", "crash 1"] {
            let runs = jobs.iter().filter(|run| *run == job).count();
            assert!(runs <= 1, "crash at point {point}: {jobs:?}");
        }
        let ended = |number| {
            count(
                &bench.world,
                |event| matches!(event, Event::JobEnded { lease: of, job, .. } if *of == lease && *job == number),
            )
        };
        assert_eq!((ended(0), ended(1)), (1, 1), "crash at point {point}");
        let last = count(&bench.world, |event| matches!(event, Event::UsageReported { last: true, .. }));
        let row = bench.world.lease_row(&lease);
        assert_eq!((last, row.closing), (1, Some(Closing::Final)), "crash at point {point}");
        assert_eq!(row.reported, final_usage(&row), "crash at point {point}");
        match bench.world.job_row(&lease, 0).state {
            JobState::Succeeded => {
                assert!(
                    bench.left(lease, 0).iter().any(|(_, text)| text == "abab"),
                    "crash at point {point}"
                );
                done += 1;
            }
            _ => {
                // Whether it ran is not known, so it is not run again.
                let log = bench.log(lease, 0);
                assert!(log.contains("agent was restarted"), "crash at point {point}: {log}");
                lost += 1;
            }
        }
        if !crashed {
            assert!(point > 15, "the run passes many points");
            assert!(lost > 0 && done > lost, "{lost} lost, {done} done");
            return;
        }
    }
    panic!("a run passes more than {POINTS_MAX} points");
}
