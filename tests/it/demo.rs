//! The two commands of the README: the demo, and a testnet that is kept.

use crate::hansa::{Home, Run};
use crate::testnet::{open_to_others, text, turn};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A folder for a testnet, in which nothing is left running.
struct Ground {
    folder: tempfile::TempDir,
    home: Home,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hansa-it-").tempdir().unwrap();
        // Jobs may run under another account, which must be able to reach their folder.
        open_to_others(folder.path());
        let home = Home::new(&folder.path().join("user"));
        Self { folder, home }
    }

    fn net(&self) -> PathBuf {
        self.folder.path().join("net")
    }

    fn verb(&self, words: &[&str]) -> Run {
        self.home.run(&[&["testnet", "--json", "--quiet", "--dir", text(&self.net())], words].concat())
    }

    fn ask(&self, words: &[&str]) -> Value {
        self.verb(words).read()
    }

    /// Runs a command as the testnet's first user.
    fn as_user(&self, words: &[&str]) -> Run {
        let home = Home { home: self.net().join("home"), work: self.home.work.clone() };
        home.run(words)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for pid in processes(self.folder.path()) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

/// The processes whose command names this folder.
fn processes(folder: &Path) -> Vec<i32> {
    let folder = text(folder);
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains(folder).then_some(pid)
    });
    all.collect()
}

#[test]
fn the_demo_settles_one_real_job_and_leaves_nothing_running() {
    let _turn = turn();
    let ground = Ground::new();
    let run = ground.home.run(&["--json", "demo", "--dir", text(&ground.net())]).succeeded();
    let stages = run.lines();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["genesis", "grant", "bid", "run", "settle", "verify"]);
    for (number, stage) in (1..).zip(&stages) {
        assert_eq!(stage["number"], number, "{stage}");
        assert!(stage["ms"].is_u64(), "{stage}");
    }
    let [_, grant, _, work, settle, verify] = stages.as_slice() else { panic!("{run}") };
    assert_eq!((&grant["member"], &grant["cash"]), (&Value::from("EE"), &Value::from("0.00")));
    let keys = (&grant["treasury_threshold"], &grant["treasury_keys"]);
    assert_eq!(keys, (&Value::from(2), &Value::from(3)), "by two of three keys");
    assert_ne!(work["country"], "EE", "the job runs abroad");
    assert!(work["log_lines"].as_u64().unwrap() > 0, "the log was read while it came: {work}");
    assert!(work["accuracy"].as_f64().unwrap() > 0.9, "a model was trained: {work}");
    let sum: f64 = settle["positions"].as_array().unwrap().iter().map(position).sum();
    assert!(sum.abs() < 1e-9, "{settle}");
    assert_eq!((&verify["nodes"], &verify["output_hash_right"]), (&Value::from(4), &Value::from(true)));
    assert!(verify["settlement_signatures"].as_u64().unwrap() >= 3, "{verify}");
    assert_eq!(verify["processes_killed"], Value::Array(Vec::new()), "every process ended when it was asked");
    assert_eq!(processes(&ground.net()), [0; 0]);
    assert!(run.stderr.contains("stage 4 of 6"), "progress is visible all along: {run}");
    // Where a testnet is, no demo is made.
    let again = ground.home.run(&["demo", "--dir", text(&ground.net())]);
    again.failed(1, &["holds a testnet already"]);
}

#[test]
fn a_testnet_has_as_many_members_as_asked_for() {
    let _turn = turn();
    let ground = Ground::new();
    let up = ground.ask(&["up", "--detach", "--members", "7", "--providers", "1"]);
    assert_eq!(up["members"].as_array().unwrap().len(), 7, "{up}");
    let status = ground.ask(&["status"]);
    let members = status["members"].as_array().unwrap();
    let codes: std::collections::BTreeSet<_> =
        members.iter().map(|member| member["member"].as_str()).collect();
    assert_eq!(codes.len(), 7, "{status}");
    assert!(members.iter().all(|member| member["status"]["ready"] == true), "{status}");
    assert_eq!(ground.ask(&["down"])["stopped"].as_array().unwrap().len(), 8);
    assert_eq!(processes(&ground.net()), [0; 0]);
}

fn position(row: &Value) -> f64 {
    row["after"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_testnet_is_kept_stopped_in_parts_and_resumed() {
    let _turn = turn();
    let ground = Ground::new();
    ground.verb(&["status"]).failed(1, &["there is no testnet"]);
    ground.verb(&["up", "--detach", "--members", "3"]).failed(1, &["at least 4 members"]);
    let up = ground.ask(&["up", "--detach", "--members", "FR,DE,ES,EE", "--providers", "1"]);
    assert_eq!(up["members"].as_array().unwrap().len(), 4, "{up}");
    let status = ground.ask(&["status"]);
    let pid = |status: &Value, at: usize| status["members"][at]["pid"].as_u64();
    let pids: Vec<_> = (0..4).map(|at| pid(&status, at).unwrap()).collect();
    assert!(status["members"].as_array().unwrap().iter().all(|member| member["status"]["ready"] == true));
    assert!(status["providers"][0]["pid"].is_u64(), "{status}");
    ground.verb(&["up", "--detach"]).failed(1, &["runs already"]);

    // The banner's own advice: its users can act at once.
    // Who somebody is, only members see: others are known by their ids.
    let users = up["users"].as_array().unwrap();
    let to = users.iter().find(|user| user["name"] == "public-es").unwrap()["organisation"].as_str().unwrap();
    ground.as_user(&["--key", "sme-fr", "credit", "transfer", to, "123.45"]).succeeded();
    let cash = |name: &str| -> String {
        let shown: Value = ground.as_user(&["--json", "--key", name, "account", "show"]).read();
        shown["organisation"]["cash"].as_str().unwrap().to_owned()
    };
    assert_eq!((cash("sme-fr"), cash("public-es")), ("19876.55".into(), "10123.45".into()));

    assert_eq!(ground.ask(&["kill", "de"])["killed"], "DE");
    let status = ground.ask(&["status"]);
    assert_eq!((pid(&status, 0), pid(&status, 1)), (Some(pids[0]), None));
    ground.verb(&["kill", "DE"]).failed(1, &["does not run"]);
    ground.as_user(&["--key", "sme-fr", "credit", "transfer", to, "1"]).succeeded();
    assert_eq!(ground.ask(&["restart", "DE"])["restarted"], "DE");
    let status = ground.ask(&["status"]);
    assert!(pid(&status, 1).is_some_and(|pid| pid != pids[1]), "{status}");
    assert!(ground.verb(&["logs", "DE"]).succeeded().stdout.contains("the node runs"));
    ground.verb(&["logs", "XX"]).failed(1, &["there is no `XX`", "FR DE ES EE"]);

    assert_eq!(ground.ask(&["down"])["stopped"].as_array().unwrap().len(), 5);
    assert_eq!(processes(&ground.net()), [0; 0]);
    assert_eq!(ground.ask(&["down"])["stopped"].as_array().unwrap().len(), 0);
    ground.verb(&["up", "--detach", "--members", "7"]).failed(1, &["holds a testnet of FR,DE,ES,EE"]);
    resumed_and_watched(&ground);
    assert_eq!(processes(&ground.net()), [0; 0], "Ctrl-C stops every child");
}

/// Resumes the testnet in the foreground, finds the balances still there, lets a child die, and presses Ctrl-C.
fn resumed_and_watched(ground: &Ground) {
    let mut command = ground.home.command(&["--json", "testnet", "up", "--dir", text(&ground.net())]);
    let mut up = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let shown: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(shown["members"].as_array().unwrap().len(), 4);
    let cash: Value = ground.as_user(&["--json", "--key", "public-es", "account", "show"]).read();
    assert_eq!(cash["organisation"]["cash"], "10124.45");
    ground.verb(&["up"]).failed(1, &["another `hansa testnet up` holds"]);

    let status = ground.ask(&["status"]);
    let victim = i32::try_from(status["members"][2]["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
    let mut told = BufReader::new(up.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("the node of ES ended by itself") {
        assert!(told.read_line(&mut text).unwrap() > 0, "it ended before it told of the child: {text}");
    }
    kill_process(Pid::from_raw(up.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    told.read_to_string(&mut text).unwrap();
    assert!(text.contains("node.log"), "the child's last lines are shown: {text}");
    let until = Instant::now() + Duration::from_secs(20);
    let code = loop {
        match up.try_wait().unwrap() {
            Some(status) => break status.code(),
            None => assert!(Instant::now() < until, "it does not end: {text}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(0), "{text}");
}
