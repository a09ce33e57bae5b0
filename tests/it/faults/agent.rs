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
    let agent_log = testnet.layout.log("bsc");
    let starts = || {
        let text = std::fs::read_to_string(&agent_log).unwrap();
        text.lines().filter(|line| line.contains("the job starts") && line.contains(&lease)).count()
    };
    testnet.until("the agent has noted its start", TIME_MAX, || (starts() > 0).then_some(()));

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
    assert_eq!(starts(), 1, "{}", tail(&agent_log));

    // The lease goes on: another job runs in it, and then it is settled, once, for the time by the ledger's clock.
    home.run(&["job", "run", &lease, "--run", "true"]).succeeded();
    testnet.until("the next job succeeds", TIME_MAX, || {
        let jobs: Vec<JobInfo> = home.ask(&["job", "list", &lease]);
        jobs.iter().any(|job| job.row.state == JobState::Succeeded).then_some(())
    });
    let settled = settle(testnet, &home, &lease);
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

/// When somebody dies in the life of a lease.
enum Moment {
    /// Before the request is placed.
    Before,
    /// As soon as the award stands on the ledger.
    Awarded,
    /// As soon as the agent's log says this of the lease.
    Said(&'static str),
}

/// Whoever dies when, each lease is begun once, its job runs once and succeeds, and it is settled once.
pub fn killed_at_each_step(testnet: &Testnet) {
    let home = testnet.home();
    for (what, victim, moment) in [
        ("the agent, before there is a lease", "bsc", Moment::Before),
        ("the requester's node, at the award", "EE", Moment::Awarded),
        ("the agent, once the job has ended", "bsc", Moment::Said("the job has ended")),
        ("the agent, once the job is reported", "bsc", Moment::Said("the job is reported")),
    ] {
        println!("{what}");
        let kill = || signal(&testnet.process(victim), Signal::KILL);
        if matches!(moment, Moment::Before) {
            kill();
        }
        let words = [
            "bid",
            "--class",
            "h100-64",
            "--quantity",
            "4",
            "--duration",
            "2m",
            "--limit",
            "2.40",
            "--within",
            "1m",
        ];
        let job = ["--run", "sh", "--arg", "-c", "--arg", "echo ran; echo x > out", "--output", "out"];
        let placed: Value = home.ask(&[&words[..], &["--grant", "innovation-1"], &job].concat());
        let request = placed["request"].as_str().unwrap().to_owned();
        let lease = testnet.until("the award", TIME_MAX, || {
            let shown: Value = home.ask(&["request", "show", &request]);
            shown["lease"].as_str().map(str::to_owned)
        });
        if let Moment::Said(line) = moment {
            testnet.until(line, TIME_MAX, || {
                let log = std::fs::read_to_string(testnet.layout.log("bsc")).unwrap();
                log.lines().any(|one| one.contains(line) && one.contains(&lease)).then_some(())
            });
        }
        if !matches!(moment, Moment::Before) {
            kill();
        }
        testnet.restart(victim);
        testnet.until("the job succeeds", TIME_MAX, || {
            let jobs: Vec<JobInfo> = home.ask(&["job", "list", &lease]);
            assert!(jobs.iter().all(|job| job.row.state != JobState::Failed), "{what}: {jobs:?}");
            jobs.iter().any(|job| job.row.state == JobState::Succeeded).then_some(())
        });
        let log: Value = home.ask(&["lease", "logs", &lease]);
        assert_eq!(log["log"], "ran\n", "{what}");
        settle(testnet, &home, &lease);
        let count = |kind: &str| {
            let words = ["--json", "chain", "events", "--lease", &lease, "--last", "100000", "--kind", kind];
            home.run(&words).succeeded().stdout.lines().count()
        };
        let counts = (count("lease_started"), count("job_ended"), count("lease_settled"));
        assert_eq!(counts, (1, 1, 1), "{what}");
        let starts = std::fs::read_to_string(testnet.layout.log("bsc")).unwrap();
        let starts = starts.lines().filter(|line| line.contains("the job starts") && line.contains(&lease));
        assert_eq!(starts.count(), 1, "{what}");
    }
}

/// Ends a lease and follows it to its settlement.
fn settle(testnet: &Testnet, home: &Home, lease: &str) -> LeaseInfo {
    let show = || -> LeaseInfo {
        let shown: Value = home.ask(&["lease", "show", lease]);
        serde_json::from_value(shown["lease"].clone()).unwrap()
    };
    home.run(&["lease", "end", lease]).succeeded();
    testnet.until("the final usage", TIME_MAX, || show().row.reported_final.then_some(()));
    // What was used for less than a second is settled without anybody's word.
    if show().row.reported > 0 {
        home.run(&["lease", "countersign", lease, "--policy", "always"]).succeeded();
    }
    testnet.until("the settlement", TIME_MAX, || {
        Some(show()).filter(|lease| lease.row.state == LeaseState::Settled)
    })
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
