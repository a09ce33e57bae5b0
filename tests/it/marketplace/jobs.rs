//! Jobs in a lease, and the blobs they need.

use super::{MARKET_TIME_MAX, Market};
use crate::testnet::below;
use hansa_ledger::id::{BlobHash, LeaseId};
use hansa_ledger::row::{JobFailure, JobState, LeaseState};
use hansa_node_api::Account;
use hansa_node_api::error::Fault;
use hansa_node_api::job::{JobFile, JobLimits, Manifest};
use hansa_node_api::lease::JobInfo;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

/// The new organisation, able to sign without the command line.
fn account(market: &Market) -> Account {
    market.testnet.account_of(below(&market.home.home, "keys/daily.key").as_ref(), "EE")
}

/// Submits a job by the hash of its manifest.
fn submit(market: &Market, lease: LeaseId, manifest: BlobHash) {
    let action = serde_json::json!({ "action": "run_job", "lease": lease, "manifest": manifest });
    let file = market.home.write("run.json", action.to_string());
    market.home.run(&["submit", crate::testnet::text(&file)]).succeeded();
}

/// Two jobs that succeed stand before and after those that crash, run over their time, or cannot be fetched. All are reported,
/// in order, and the lease stays active until its holder ends it.
pub fn several_jobs_share_a_lease(market: &Market) {
    let home = &market.home;
    let lease = market.lease(4, "3m");
    let first = market.run_shell(lease, "echo first > out", &["--output", "out"]);
    let crash = market.run_shell(lease, "echo going down >&2; exit 3", &[]);
    let endless = market.run_shell(lease, "echo waiting; sleep 60", &["--wall", "1s"]);
    let silent = market.run_shell(lease, "true", &["--output", "nothing"]);
    // A manifest that was sent, and names an input that nobody has sent; and a manifest that nobody has sent.
    let absent = JobFile { path: "data".into(), hash: BlobHash([7; 32]), size: 9, executable: false };
    let argv = vec!["cat".to_owned(), "data".to_owned()];
    let manifest = Manifest::new(argv, vec![absent], Vec::new(), JobLimits::default()).unwrap();
    let account = account(market);
    let sent = account.client.put_blob_bytes(account.chain, &account.key, manifest.encode());
    submit(market, lease, market.testnet.wait(sent).unwrap().hash);
    let without_input = market.jobs(lease).len() as u64 - 1;
    submit(market, lease, BlobHash([8; 32]));
    let last = market.run_shell(lease, "echo last > out", &["--output", "out"]);

    let jobs = market.testnet.until("every job is reported", 3 * MARKET_TIME_MAX, || {
        let jobs = market.jobs(lease);
        jobs.iter().all(|job| job.row.state != JobState::Submitted).then_some(jobs)
    });
    let end = |job: u64| {
        let job = jobs.iter().find(|one| u64::from(one.job) == job).unwrap();
        (job.row.state, job.row.exit_code, job.row.failure)
    };
    assert_eq!(jobs.len(), 7);
    assert_eq!(end(first), (JobState::Succeeded, Some(0), None));
    assert_eq!(end(crash), (JobState::Failed, Some(3), None));
    assert_eq!(end(endless), (JobState::Failed, None, Some(JobFailure::TimeExceeded)));
    assert_eq!(
        end(silent),
        (JobState::Failed, None, Some(JobFailure::OutputMissing)),
        "an output that was asked for is missing"
    );
    assert_eq!(end(without_input), (JobState::Failed, None, Some(JobFailure::InputMissing)));
    assert_eq!(end(without_input + 1), (JobState::Failed, None, Some(JobFailure::InputMissing)));
    assert_eq!(end(last), (JobState::Succeeded, Some(0), None));
    let order: Vec<_> = jobs.iter().map(|job: &JobInfo| job.row.ended_at.unwrap()).collect();
    assert!(order.is_sorted(), "jobs of a lease run one after the other: {order:?}");
    assert_eq!(market.show(lease).row.state, LeaseState::Active, "no failed job ends a lease");

    // What went wrong stands in the job's log, in the agent's words where the job has none.
    let text = lease.to_string();
    for (job, said) in [
        (crash, "going down"),
        (endless, "waiting"),
        (endless, "hansa: "),
        (silent, "nothing"),
        (without_input, "the input `data`"),
        (without_input + 1, "hansa: "),
    ] {
        let log: Value = home.ask(&["lease", "logs", &text, "--job", &job.to_string()]);
        assert!(
            log["log"].as_str().unwrap().contains(said),
            "`{said}` is not in the log of job {job}: {log}"
        );
    }
    home.run(&["lease", "fetch", &text, "--job", &last.to_string(), "--into", "last"]).succeeded();
    let fetched = std::fs::read_to_string(home.work.join(format!("last/job-{last}/out"))).unwrap();
    assert_eq!(fetched, "last\n");
    home.run(&["--json", "lease", "logs", &text, "--job", "99"]).refused(508);

    super::usage::reports_are_checked(market, lease);
    home.run(&["lease", "end", &text]).succeeded();
    home.run(&["--json", "job", "run", &text, "--run", "true"]).refused(502);
    market.until_lease("its final usage is reported", lease, |lease| lease.row.reported_final);
    let signed: Value = home.ask(&["lease", "countersign", &text]);
    assert!(signed["outcome"].as_str().unwrap().starts_with("countersigned"), "{signed}");
    let settled = market.until_lease("it is settled", lease, |lease| lease.row.state == LeaseState::Settled);
    let length = settled.row.ended_at.unwrap().0 - settled.row.started_at.unwrap().0;
    assert!(settled.row.reported <= 4 * length / 1_000, "{settled:?}");
}

/// What a job writes is read at the requester's home node while it runs: by both sides of the lease, and by nobody else.
pub fn a_log_is_followed(market: &Market) {
    let home = &market.home;
    let lease = market.lease(4, "3m");
    let text = lease.to_string();
    let job =
        market.run_shell(lease, "echo begun; until [ -e go ]; do sleep 0.1; done; printf 'the end'", &[]);
    let number = job.to_string();
    let mut command = home.command(&["lease", "logs", &text, "--job", &number, "--follow"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(following.stdout.take().unwrap());
    let mut line = String::new();
    shown.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    let row = |jobs: Vec<JobInfo>| jobs.into_iter().find(|one| u64::from(one.job) == job).unwrap().row;
    assert_eq!(row(market.jobs(lease)).state, JobState::Submitted, "the job runs");
    let so_far: Value = home.ask(&["lease", "logs", &text, "--job", &number]);
    assert_eq!(so_far["log"], "begun\n");
    // Whoever is no side of the lease is refused, and other members' nodes do not have it.
    let theirs = below(&market.testnet.layout.home(), "keys/sme-fr.key");
    let words = ["lease", "logs", &text, "--job", &number];
    home.run(&[&["--json", "--key", &theirs], &words[..]].concat()).refused(Fault::ReadForbidden.code());
    let elsewhere = market.testnet.api("FR");
    home.run(&[&["--json", "--node", &elsewhere], &words[..]].concat()).refused(Fault::LogElsewhere.code());

    let folder = market.testnet.layout.folder();
    let work = below(folder, &format!("providers/bsc/data/leases/{text}/{number}/work/go"));
    std::fs::write(work, "").unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), following.wait().unwrap().success()), ("the end", true));
    market.testnet.until("the job is reported", MARKET_TIME_MAX, || {
        (row(market.jobs(lease)).state != JobState::Submitted).then_some(())
    });
    let whole: Value = home.ask(&["lease", "logs", &text, "--job", &number]);
    assert_eq!(whole["log"], "begun\nthe end");
    let followed = home.run(&["--json", "lease", "logs", &text, "--job", &number, "--follow"]).succeeded();
    let lines: Vec<Value> = followed.lines().iter().map(|line| line["line"].clone()).collect();
    assert_eq!(lines, ["begun", "the end"], "the same of a job that has ended");
    home.run(&["lease", "end", &text]).succeeded();
}

/// A hash on the ledger opens nothing: a blob is had by its owner and the provider of a lease that names it.
pub fn blobs_are_kept_from_strangers(market: &Market) {
    let account = account(market);
    let secret = b"what we trained on".to_vec();
    let sent = account.client.put_blob_bytes(account.chain, &account.key, secret.clone());
    let hash = market.testnet.wait(sent).unwrap().hash;
    let get = |from: &Account| {
        market.testnet.wait(account.client.get_blob_bytes(from.chain, &from.key, hash, 1_024))
    };
    assert_eq!(get(&account).unwrap(), secret);
    let stranger = market.testnet.account("sme-fr");
    assert_eq!(get(&stranger).unwrap_err().fault(), Some(Fault::BlobForbidden));
    // Nor does the provider get what no lease with it names.
    let folder = market.testnet.layout.folder();
    let provider = market.testnet.account_of(below(folder, "providers/bsc/provider.key").as_ref(), "EE");
    assert_eq!(get(&provider).unwrap_err().fault(), Some(Fault::BlobForbidden));
    let key = hansa_ledger_signature::SecretKey::from_bytes([9; 32]);
    let nobody = Account::new(key, account.chain, account.client.clone());
    assert_eq!(get(&nobody).unwrap_err().fault(), Some(Fault::KeyRefused));
    let sent = nobody.client.put_blob_bytes(nobody.chain, &nobody.key, secret);
    assert_eq!(market.testnet.wait(sent).unwrap_err().fault(), Some(Fault::KeyRefused));

    // The same from the command line: somebody else's log.
    let leases: Vec<Value> = market.home.ask(&["lease", "list"]);
    let lease = leases.iter().find(|one| one["jobs"].as_u64() > Some(0)).unwrap()["id"].as_str().unwrap();
    let theirs = below(&market.testnet.layout.home(), "keys/sme-fr.key");
    for words in [["lease", "logs", lease], ["lease", "fetch", lease]] {
        market
            .home
            .run(&[&["--json", "--key", &theirs], &words[..]].concat())
            .refused(Fault::ReadForbidden.code());
    }
}
