//! The life of a lease: proof, jobs, signals, metering, settlement.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hansa_ledger::action::{Action, EndLease, ExtendLease};
use hansa_ledger::event::Event;
use hansa_ledger::id::BlobHash;
use hansa_ledger::money::Price;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, Closing, JobFailure as Failure, JobState, LeaseState};
use hansa_ledger::tables::Accounts;
use hansa_ledger::time::TimeMs;
use hansa_node_api::job::{JobFile, JobLimits, LOG_PATH};
use hansa_node_provider::AgentError;
use hansa_node_provider::award::{DistrustReason, Trust};
use hansa_node_provider::backend::{LocalBackend, LocalConfig};
use hansa_node_provider::federation::Federation as _;
use hansa_node_provider::metering::final_usage;

use crate::bench::{Bench, INVENTORY, count, has, output};
use crate::world::{View, key};

/// One job from award to settlement: proven, fetched, run once, returned by hash, reported, metered, paid.
#[tokio::test]
async fn a_job_runs_and_is_paid() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(10, Some(bench.double("ab"))).await;
    bench.until_reported(lease, 0).await;
    let job = bench.world.job_row(&lease, 0);
    assert_eq!((job.state, job.exit_code), (JobState::Succeeded, Some(0)));
    let expected = [(LOG_PATH, "double says hello\n"), ("output", "abab")];
    assert_eq!(bench.left(lease, 0), expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    let environment = bench.runs()[0].environment.clone();
    for (name, value) in
        [("HANSA_ACCELERATORS", "0,1,2,3"), ("HANSA_JOB", "0"), ("HANSA_LEASE", &lease.to_string())]
    {
        assert!(environment.contains(&(name.to_owned(), value.to_owned())), "{name} in {environment:?}");
    }
    bench.until_state(lease, LeaseState::Settled).await;
    let row = bench.world.lease_row(&lease);
    let seconds = (row.agreement.end.0 - row.started_at.unwrap().0) / 1_000;
    assert_eq!((row.reported, row.closing), (4 * seconds, Some(Closing::Final)));
    assert!(seconds >= 9, "the lease began at once, {seconds} s before its end");
    let cash = AccountId::Cash(bench.provider);
    assert!(bench.world.with(|state| state.get::<Accounts>(&cash).unwrap().balance.0) > 0);
    for (actions, outcome) in bench.world.performed.lock().unwrap().iter() {
        let patient = matches!(outcome, Ok(()) | Err(Rejection::LeaseNotYet | Rejection::LeaseStateWrong));
        assert!(patient, "{actions:?}: {outcome:?}");
    }
    agent.stop().await;
    // Everything about the lease is closed: the next agent finds nothing to do.
    assert!(!std::fs::read_to_string(bench.folder.path().join("journal")).unwrap().is_empty());
    drop(bench.agent("").unwrap());
    assert_eq!(std::fs::read_to_string(bench.folder.path().join("journal")).unwrap(), "");
}

/// Nothing is begun or run for an award that too few members signed for; once enough do, it is.
#[tokio::test]
async fn an_award_without_proof_is_refused() {
    let bench = Bench::new();
    bench.world.signers.store(2, Ordering::SeqCst);
    let agent = bench.start(INVENTORY).await;
    let refused = bench.lease(10, Some(bench.double("ab"))).await;
    bench.until_state(refused, LeaseState::Settled).await;
    assert_eq!(bench.world.lease_row(&refused).closing, Some(Closing::NoShow));
    assert!(bench.runs().is_empty());
    bench.world.signers.store(3, Ordering::SeqCst);
    let proven = bench.lease(10, Some(bench.double("cd"))).await;
    bench.until_reported(proven, 0).await;
    assert_eq!(bench.jobs_run(), ["double 0"]);
    agent.stop().await;
}

/// Whatever a node may change in a proof, the award is not believed.
#[tokio::test]
async fn proofs_are_checked_in_every_part() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(60, Some(bench.job(&["hang"]))).await;
    agent.stop().await;
    let view = View(bench.world.clone(), key("bsc"));
    let proof = view.prove_lease(&lease).await.unwrap();
    let trust = Trust::new(&bench.world.genesis);
    let now = proof.header.time;
    let check = |proof: &_, now| trust.check_award(proof, &lease, &bench.provider, now).map(|_| ());
    assert_eq!(check(&proof, now), Ok(()));
    assert_eq!(check(&proof, now.plus(60_000)), Ok(()));
    assert_eq!(check(&proof, now.plus(600_000)), Err(DistrustReason::Stale(now)));
    let mut row = proof.clone();
    *row.row.as_mut().unwrap().last_mut().unwrap() ^= 1;
    let mut header = proof.clone();
    header.header.time = TimeMs(header.header.time.0 + 1);
    let mut gone = proof.clone();
    gone.row = None;
    let other = view.prove_job(&lease, 0).await.unwrap();
    for forged in [row, header, gone, other] {
        assert!(matches!(check(&forged, now), Err(DistrustReason::Proof(_))));
    }
    let stranger = hansa_ledger::id::OrganisationId([9; 32]);
    let verdict = trust.check_award(&proof, &lease, &stranger, now);
    assert_eq!(verdict, Err(DistrustReason::OtherProvider(bench.provider)));
    let job = view.prove_job(&lease, 0).await.unwrap();
    assert_eq!(
        trust.check_job(&job, &lease, 0, now).unwrap().manifest,
        bench.world.job_row(&lease, 0).manifest
    );
    assert!(trust.check_job(&job, &lease, 1, now).is_err());
    let nothing = view.prove_job(&lease, 7).await.unwrap();
    assert_eq!(trust.check_job(&nothing, &lease, 7, now), Err(DistrustReason::Absent));
    let mut genesis = bench.world.genesis.clone();
    genesis.members[0].consensus_key = key("somebody else").public_key();
    let elsewhere = Trust::new(&genesis).check_award(&proof, &lease, &bench.provider, now);
    assert!(matches!(elsewhere, Err(DistrustReason::Proof(_))));
}

/// Jobs run one after the other in their order; one that fails in any way is reported with its reason and ends nothing else.
#[tokio::test]
async fn a_failed_job_leaves_the_lease_active() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(60, Some(bench.job(&["crash"]))).await;
    let input = |hash, size| JobFile { path: "data/input".to_owned(), hash, size, executable: false };
    let none = BlobHash([7; 32]);
    let wrong = BlobHash([8; 32]);
    bench.world.blobs.lock().unwrap().insert(wrong, b"something else".to_vec());
    let short = bench.world.put(b"short");
    let with = |file| bench.job_with(&["double"], vec![file], vec![output("output")], JobLimits::default());
    let jobs = [
        (bench.job(&["segfault"]), Some(Failure::Signalled), "died of signal 11"),
        (bench.job(&["absent"]), Some(Failure::NotStarted), "no such program"),
        (with(input(none, 1)), Some(Failure::InputMissing), "`data/input`: the node does not have this blob"),
        (with(input(wrong, 1)), Some(Failure::InputInvalid), "does not match blob"),
        (with(input(short, 6)), Some(Failure::InputInvalid), "has 5 bytes, and the manifest says 6"),
        (bench.world.put(b"no manifest"), Some(Failure::InputInvalid), "is no manifest"),
        (
            bench.job_with(&["forget"], Vec::new(), vec![output("result")], JobLimits::default()),
            Some(Failure::OutputMissing),
            "no output `result`",
        ),
        (bench.double("x"), None, "double says hello"),
    ];
    for (manifest, ..) in &jobs {
        bench.submit(lease, *manifest);
    }
    bench.until_reported(lease, 8).await;
    assert_eq!(bench.world.lease_row(&lease).state, LeaseState::Active);
    let crashed = bench.world.job_row(&lease, 0);
    assert_eq!((crashed.exit_code, crashed.failure), (Some(3), None), "its exit code says it");
    for (number, (_, failure, reason)) in (1..).zip(jobs) {
        let job = bench.world.job_row(&lease, number);
        let expected = match failure {
            None => (JobState::Succeeded, Some(0), None),
            failure => (JobState::Failed, None, failure),
        };
        assert_eq!((job.state, job.exit_code, job.failure), expected, "job {number}: {reason}");
        let log = bench.log(lease, number);
        assert!(log.contains(reason), "job {number}: {log}");
    }
    assert_eq!(bench.jobs_run(), ["crash 0", "segfault 1", "absent 2", "forget 7", "double 8"]);
    agent.stop().await;
}

/// Before the lease's end a job is told, and may leave by itself; at the end it is killed, and the next one never starts.
#[tokio::test]
async fn the_end_of_a_lease_ends_its_jobs() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let rude = bench.lease(8, Some(bench.job(&["hang"]))).await;
    bench.submit(rude, bench.double("late"));
    let polite = bench.lease(8, Some(bench.job(&["polite"]))).await;
    for lease in [rude, polite] {
        bench
            .until(&format!("{lease} has begun"), |world| world.lease_row(&lease).started_at.is_some())
            .await;
    }
    for lease in [rude, polite] {
        bench.until_state(lease, LeaseState::Settled).await;
        let row = bench.world.lease_row(&lease);
        assert_eq!((row.reported, row.closing), (final_usage(&row), Some(Closing::Final)));
    }
    let runs = bench.runs();
    let run = |job: &str| runs.iter().find(|run| run.job == job).unwrap();
    assert_eq!((run("hang 0").told, run("hang 0").killed), (true, true));
    assert_eq!((run("polite 0").told, run("polite 0").killed), (true, false));
    assert_eq!(runs.len(), 2, "the job that waited did not run: {runs:?}");
    let told = |run: &crate::machine::Run| {
        let accelerators = run.environment.iter().find(|(name, _)| name == "HANSA_ACCELERATORS");
        accelerators.unwrap().1.clone()
    };
    assert_ne!(told(&runs[0]), told(&runs[1]), "two leases share no accelerator");
    assert_eq!(bench.world.job_row(&polite, 0).state, JobState::Succeeded);
    for job in [0, 1] {
        assert_eq!(bench.world.job_row(&rude, job).state, JobState::Failed);
        assert_eq!(bench.world.job_row(&rude, job).failure, Some(Failure::LeaseEnded));
        assert!(bench.log(rude, job).contains("hansa: the lease has ended"), "{}", bench.log(rude, job));
    }
    agent.stop().await;
}

/// A requester that ends its lease early stops the job, and pays for the time until then.
#[tokio::test]
async fn a_requester_may_end_its_lease() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(600, Some(bench.job(&["hang"]))).await;
    bench.until("the job runs", |_| bench.runs().len() == 1).await;
    bench.world.advance(5_000);
    bench.world.act("tallinn", vec![EndLease { lease, cumulative: None }.into()]).unwrap();
    bench.until_state(lease, LeaseState::Settled).await;
    let row = bench.world.lease_row(&lease);
    let seconds = (row.ended_at.unwrap().0 - row.started_at.unwrap().0) / 1_000;
    assert!((5..60).contains(&seconds), "{seconds} s");
    assert_eq!((row.reported, row.closing), (4 * seconds, Some(Closing::Final)));
    assert!(bench.runs()[0].killed);
    assert_eq!(bench.world.job_row(&lease, 0).state, JobState::Failed);
    assert_eq!(bench.world.job_row(&lease, 0).failure, Some(Failure::LeaseEnded));
    agent.stop().await;
}

/// An agent that is stopped puts its job away; the next one reports it and ends the lease.
#[tokio::test]
async fn a_stopped_agent_leaves_nothing_unsaid() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(30, Some(bench.job(&["hang"]))).await;
    bench.until("the job runs", |_| bench.runs().len() == 1).await;
    agent.stop().await;
    assert!(bench.runs()[0].killed);
    assert!(matches!(bench.world.lease_row(&lease).state, LeaseState::Active));
    let agent = bench.start(INVENTORY).await;
    bench.until_state(lease, LeaseState::Settled).await;
    assert_eq!(bench.world.lease_row(&lease).closing, Some(Closing::Final));
    assert!(bench.log(lease, 0).contains("agent was stopped"), "{}", bench.log(lease, 0));
    assert_eq!(bench.jobs_run(), ["hang 0"]);
    agent.stop().await;
}

#[tokio::test]
async fn two_agents_cannot_share_a_folder() {
    let bench = Bench::new();
    let first = bench.agent(INVENTORY).unwrap();
    let second = bench.agent(INVENTORY).err().expect("the folder is taken");
    assert!(matches!(second, AgentError::Locked(_)), "{second}");
    drop(first);
    assert!(bench.agent(INVENTORY).is_ok());
}

/// The real backend under the agent: a program does its work, and one that overruns its wall time is killed for it.
#[tokio::test]
async fn real_programs_run_within_their_wall_time() {
    let launcher = Some(PathBuf::from(env!("CARGO_BIN_EXE_hansa-node-provider-probe")));
    let config = LocalConfig { launcher, allow_unsandboxed: true, ..LocalConfig::default() };
    let bench = Bench::with_backend(Arc::new(LocalBackend::new(config).await.unwrap()));
    let agent = bench.start(INVENTORY).await;
    let shell = |script: &str, wall_s| {
        let limits = JobLimits { wall_s, ..JobLimits::default() };
        let input = bench.world.put(b"from afar");
        let input = JobFile { path: "in/text".to_owned(), hash: input, size: 9, executable: false };
        bench.job_with(&["sh", "-c", script], vec![input], vec![output("result")], limits)
    };
    let lease = bench.lease(3_000, Some(shell("cat in/text in/text > result; echo done", 60))).await;
    bench.submit(lease, shell("echo begun; echo x > result; sleep 300", 1));
    bench.until_reported(lease, 1).await;
    assert_eq!(bench.world.job_row(&lease, 0).state, JobState::Succeeded, "{}", bench.log(lease, 0));
    let left = bench.left(lease, 0);
    assert_eq!(left[0], (LOG_PATH.to_owned(), "done\n".to_owned()));
    assert_eq!(left[1], ("result".to_owned(), "from afarfrom afar".to_owned()));
    let late = bench.world.job_row(&lease, 1);
    assert_eq!((late.state, late.exit_code), (JobState::Failed, None));
    assert_eq!(late.failure, Some(Failure::TimeExceeded));
    let log = bench.log(lease, 1);
    assert!(log.contains("begun") && log.contains("still running at the end of its time"), "{log}");
    agent.stop().await;
}

/// Many leases are reported in one transaction, and never more than the ledger admits.
#[tokio::test]
async fn usage_of_many_leases_is_one_report() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(bench.lease(60, None).await);
    }
    bench
        .until("all leases have usage", |world| {
            leases.iter().all(|lease| world.lease_row(lease).reports >= 2)
        })
        .await;
    let performed = bench.world.performed.lock().unwrap().clone();
    let reports: Vec<usize> = performed
        .iter()
        .filter_map(|(actions, outcome)| match actions.as_slice() {
            [Action::ReportUsage(report)] => {
                assert_eq!(*outcome, Ok(()));
                Some(report.usages.len())
            }
            _ => None,
        })
        .collect();
    assert_eq!(reports.iter().max(), Some(&4));
    let reported = |event: &Event| matches!(event, Event::UsageReported { last: true, .. });
    assert!(!has(&bench.world, reported));
    for lease in &leases {
        bench.world.act("tallinn", vec![EndLease { lease: *lease, cumulative: None }.into()]).unwrap();
    }
    bench.until("all have a final report", |world| count(world, reported) == 4).await;
    agent.stop().await;
}

/// A job runs on when its lease is extended, also when it was told before that the end is near; it is told again then.
#[tokio::test]
async fn an_extended_lease_keeps_its_job() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(10, Some(bench.job(&["hang"]))).await;
    bench.until("the job is told", |_| bench.runs().first().is_some_and(|run| run.told)).await;
    let before = bench.world.lease_row(&lease).agreement.end;
    let extend = ExtendLease { lease, slots: 10, price_max: Price(1_800_000) };
    bench.world.act("tallinn", vec![extend.into()]).unwrap();
    let after = bench.world.lease_row(&lease).agreement.end;
    assert_eq!(after, before.plus(10_000));
    bench.until("the job may run on", |_| !bench.runs()[0].prolonged.is_empty()).await;
    assert!(!bench.runs()[0].told, "what it was told does not hold any more");
    bench.until("the old end has passed", |world| *world.clock.borrow() > before.plus(2_500)).await;
    let run = bench.runs().remove(0);
    assert!(!run.killed && !run.told);
    // Until the new end, and the second that the backend has beyond it.
    assert_eq!(run.prolonged.len(), 1);
    assert!(run.prolonged[0] > Duration::from_secs(10) && run.prolonged[0] <= Duration::from_secs(13));
    bench.until("the job is told again", |_| bench.runs()[0].told).await;
    assert!(*bench.world.clock.borrow() >= TimeMs(after.0 - 2_000));
    bench.until_state(lease, LeaseState::Settled).await;
    assert!(bench.runs()[0].killed);
    let row = bench.world.lease_row(&lease);
    assert_eq!(row.reported, 4 * ((after.0 - row.started_at.unwrap().0) / 1_000));
    agent.stop().await;
}

/// What too few members signed for does not let a job run on.
#[tokio::test]
async fn an_extension_without_proof_keeps_nothing() {
    let bench = Bench::new();
    let agent = bench.start(INVENTORY).await;
    let lease = bench.lease(10, Some(bench.job(&["hang"]))).await;
    bench.until("the job runs", |_| !bench.runs().is_empty()).await;
    bench.world.signers.store(2, Ordering::SeqCst);
    let before = bench.world.lease_row(&lease).agreement.end;
    let extend = ExtendLease { lease, slots: 10, price_max: Price(1_800_000) };
    bench.world.act("tallinn", vec![extend.into()]).unwrap();
    bench.until("the old end is near", |world| world.clock.borrow().0 > before.0 - 1_000).await;
    assert!(bench.runs()[0].prolonged.is_empty());
    bench.world.signers.store(3, Ordering::SeqCst);
    bench.until("the job may run on", |_| !bench.runs()[0].prolonged.is_empty()).await;
    agent.stop().await;
}
