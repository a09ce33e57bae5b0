//! A provider's agent that dies while a job runs.

use super::crash::signal;
use crate::hansa::Home;
use crate::testnet::{Testnet, below, tail};
use hansa_ledger::row::{JobState, LeaseState};
use hansa_node_api::lease::{JobInfo, LeaseInfo};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

const TIME_MAX: Duration = Duration::from_secs(20);

/// A length of sleep that nothing else on this machine is likely to ask for.
const MARK: &str = "7331.25";

pub fn killed_under_its_job(testnet: &Testnet) {
    let home = testnet.home();
    home.write("slow.sh", format!("#!/bin/sh\necho begun\nsleep {MARK}\n"));
    let words =
        ["bid", "--class", "h100-64", "--quantity", "4", "--duration", "2m", "--limit", "2.40", "--grant"];
    let placed: Value =
        home.ask(&[&words[..], &["innovation-1", "--within", "1m", "--run", "slow.sh"]].concat());
    let request = placed["request"].as_str().unwrap().to_owned();
    let lease = testnet.until("the award", TIME_MAX, || {
        let shown: Value = home.ask(&["request", "show", &request]);
        shown["lease"].as_str().map(str::to_owned)
    });
    testnet.until("the job runs", TIME_MAX, || (!sleepers().is_empty()).then_some(()));

    // Killed alone, without its group: what it started has to see to its own end.
    let agent = testnet.process("bsc");
    signal(&agent, Signal::KILL);
    testnet.until("no process of the job is left", TIME_MAX, || sleepers().is_empty().then_some(()));
    testnet.restart("bsc");
    let job = testnet.until("the job is reported", TIME_MAX, || {
        let jobs: Vec<JobInfo> = home.ask(&["job", "list", &lease]);
        assert_eq!(jobs.len(), 1);
        jobs.into_iter().find(|job| job.row.state != JobState::Submitted)
    });
    assert_eq!((job.row.state, job.row.exit_code), (JobState::Failed, None));
    assert!(sleepers().is_empty(), "it does not run a second time");
    let log: Value = home.ask(&["lease", "logs", &lease]);
    let log = log["log"].as_str().unwrap();
    assert_eq!(log.matches("begun").count(), 1, "{log}");
    assert!(log.contains("restarted while the job ran"), "{log}");
    let agent_log = testnet.layout.log("bsc");
    let starts = std::fs::read_to_string(&agent_log).unwrap();
    let starts =
        starts.lines().filter(|line| line.contains("the job starts") && line.contains(&lease)).count();
    assert_eq!(starts, 1, "{}", tail(&agent_log));

    // The lease goes on: another job runs in it, and then it is settled, once, for the time by the ledger's clock.
    home.run(&["job", "run", &lease, "--run", "true"]).succeeded();
    testnet.until("the next job succeeds", TIME_MAX, || {
        let jobs: Vec<JobInfo> = home.ask(&["job", "list", &lease]);
        jobs.iter().any(|job| job.row.state == JobState::Succeeded).then_some(())
    });
    home.run(&["lease", "end", &lease]).succeeded();
    let show = |home: &Home| -> LeaseInfo {
        let shown: Value = home.ask(&["lease", "show", &lease]);
        serde_json::from_value(shown["lease"].clone()).unwrap()
    };
    testnet.until("the final usage", TIME_MAX, || show(&home).row.reported_final.then_some(()));
    home.run(&["lease", "countersign", &lease, "--policy", "always"]).succeeded();
    let settled = testnet.until("the settlement", TIME_MAX, || {
        Some(show(&home)).filter(|lease| lease.row.state == LeaseState::Settled)
    });
    let row = settled.row;
    let seconds = (row.ended_at.unwrap().0 - row.started_at.unwrap().0) / 1_000;
    assert_eq!(row.reported, 4 * seconds, "no second is lost or invented: {row:?}");
    let genesis = below(testnet.layout.folder(), "genesis.toml");
    home.run(&["lease", "verify", &lease, "--genesis", &genesis]).succeeded();
    let count = |kind: &str| {
        let words = ["--json", "chain", "events", "--lease", &lease, "--last", "100000", "--kind", kind];
        home.run(&words).succeeded().stdout.lines().count()
    };
    assert_eq!((count("lease_started"), count("lease_settled"), count("job_ended")), (1, 1, 2));
}

/// The processes that sleep for the job.
fn sleepers() -> Vec<u32> {
    let commands = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        command.split(|byte| *byte == 0).any(|word| word == MARK.as_bytes()).then_some(pid)
    });
    commands.collect()
}
