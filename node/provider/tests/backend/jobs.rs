//! How jobs run and end: codes, signals, time, limits, orders, logs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hansa_node_provider::backend::{
    Backend as _, BackendError, JobEnd, JobSpec, LimitKind, Limits, LocalBackend, LocalConfig, LogStream,
    Tier,
};

use crate::bench::{Bench, PROBE, config, exists, processes, tiers, until};

/// Every end a job can come to by itself or by its limits, in every tier.
#[tokio::test]
async fn ends() {
    type Change = fn(&mut Limits);
    let same: Change = |_| {};
    let cases: [(&str, &str, Change, JobEnd); 15] = [
        ("done", "exit 0", same, JobEnd::Exited(0)),
        ("code", "exit 43", same, JobEnd::Exited(43)),
        ("crash", "kill -SEGV $$", same, JobEnd::Signalled(11)),
        ("term", "kill -TERM $$", same, JobEnd::Signalled(15)),
        ("dirty", "(setsid sleep 300 &) ; exit 3", same, JobEnd::Exited(3)),
        ("slow", "sleep 300", |limits| limits.wall = Duration::from_millis(300), JobEnd::TimedOut),
        (
            "told-leaves",
            "trap 'exit 0' TERM; while :; do sleep 0.02; done",
            |limits| (limits.wall, limits.notice) = (Duration::from_secs(9), Duration::from_millis(8500)),
            JobEnd::Exited(0),
        ),
        (
            "told-dies",
            "exec sleep 300",
            |limits| (limits.wall, limits.notice) = (Duration::from_secs(9), Duration::from_millis(8700)),
            JobEnd::TimedOut,
        ),
        (
            "told-stays",
            "trap '' TERM; while :; do sleep 0.02; done",
            |limits| (limits.wall, limits.notice) = (Duration::from_millis(700), Duration::from_millis(400)),
            JobEnd::TimedOut,
        ),
        ("busy", "while :; do :; done", |limits| limits.cpu_s_max = 1, JobEnd::LimitExceeded(LimitKind::Cpu)),
        (
            "busy-many",
            "for i in 1 2 3; do (while :; do :; done) & done; wait",
            |limits| limits.cpu_s_max = 1,
            JobEnd::LimitExceeded(LimitKind::Cpu),
        ),
        (
            "big-file",
            "exec head -c 9000000 /dev/zero > big",
            |limits| limits.file_bytes_max = 1 << 20,
            JobEnd::LimitExceeded(LimitKind::File),
        ),
        (
            "many-files",
            "i=0; while :; do head -c 900000 /dev/urandom > f$i; i=$((i+1)); sleep 0.01; done",
            |limits| limits.disk_bytes_max = 40 << 20,
            JobEnd::LimitExceeded(LimitKind::Disk),
        ),
        ("memory", "exec ./probe memory", |limits| limits.memory_bytes_max = 64 << 20, JobEnd::Exited(0)),
        (
            "memory-many",
            "exec ./probe memory-shared-out",
            |limits| limits.memory_bytes_max = 100 << 20,
            JobEnd::LimitExceeded(LimitKind::Memory),
        ),
    ];
    for tier in tiers().await {
        let bench = Bench::new(tier).await;
        for (name, script, change, expected) in &cases {
            let mut spec = bench.shell(name, script);
            change(&mut spec.limits);
            let (report, log) = bench.run(&spec).await;
            assert_eq!(report.end, *expected, "{name} in {tier:?}: {report:?}\n{log}");
            assert!(
                Duration::from_millis(report.usage.wall_ms) <= spec.limits.wall + Duration::from_secs(2),
                "{name}"
            );
            if *name == "big-file" {
                assert_eq!(fs::metadata(spec.directory.join("big")).unwrap().len(), 1 << 20);
            }
            if *name == "memory" {
                assert!(log.contains("memory ended after"), "{log}");
            }
            if *name == "busy-many" {
                assert!((900..4000).contains(&report.usage.cpu_ms), "{report:?}");
            }
        }
    }
}

/// No process of a job outlives it, wherever it went and however the job ends.
#[tokio::test]
async fn the_whole_tree_dies() {
    // Daemons of three kinds: another session, a double fork, ignoring every signal that can be ignored.
    let script = |mark: &str| {
        format!(
            "setsid sleep {mark} & (setsid sh -c 'sleep {mark} & sleep {mark}' &) ; \
             (trap '' TERM HUP INT; sh -c 'trap \"\" TERM; while :; do sleep {mark}; done' &) ; touch ready; "
        )
    };
    for tier in tiers().await {
        let bench = Bench::new(tier).await;
        for (index, how) in ["exits", "killed", "dropped", "timed out"].into_iter().enumerate() {
            let mark = format!("{}.{}{index}", 300 + u32::from(tier.number()), std::process::id());
            let last = if how == "exits" { "sleep 0.2; exit 7" } else { "sleep 300" };
            let mut spec = bench.shell(how, &(script(&mark) + last));
            if how == "timed out" {
                spec.limits.wall = Duration::from_millis(600);
            }
            let ready = spec.directory.join("ready");
            let job = bench.start(&spec).await;
            until("the daemons' start", || exists(&ready) && processes(&format!("sleep {mark}")).len() >= 4)
                .await;
            let expected = match how {
                "exits" => JobEnd::Exited(7),
                "timed out" => JobEnd::TimedOut,
                _ => JobEnd::Killed,
            };
            if how == "dropped" {
                // What a dying agent leaves behind: a closed socket.
                drop(job);
                until("the end of an abandoned job", || processes(&mark).is_empty()).await;
                continue;
            }
            if how == "killed" {
                job.kill_tree().await;
            }
            let report = job.wait().await.unwrap();
            assert_eq!((report.end, report.survivors), (expected, 0), "{how} in {tier:?}");
            // At once, not soon: that is what `wait` promises.
            assert_eq!(processes(&mark), Vec::<String>::new(), "{how} in {tier:?}");
        }
    }
}

/// A job that multiplies is held to its number and is gone with the job.
#[tokio::test]
async fn fork_bombs_are_bounded() {
    for tier in tiers().await {
        let bench = Bench::new(tier).await;
        let mut count = bench.shell("count", "i=0; while sleep 300 & do i=$((i+1)); echo $i; done");
        count.limits.processes_max = 12;
        let (_, log) = bench.run(&count).await;
        let most = log.lines().filter_map(|line| line.parse::<u64>().ok()).max().unwrap();
        assert!((6..=12).contains(&most), "{most} children in {tier:?}\n{log}");

        let mark = format!("bomb{}{}", std::process::id(), tier.number());
        let mut bomb =
            bench.shell("bomb", &format!(": {mark}; f() {{ f | f & }}; f; while :; do f; sleep 0.05; done"));
        bomb.limits.processes_max = 24;
        bomb.limits.wall = Duration::from_millis(1500);
        let (report, _) = bench.run(&bomb).await;
        assert!(report.usage.processes_peak <= 25, "{report:?}");
        assert_eq!(processes(&mark), Vec::<String>::new());
    }
}

/// Before its end a job is told; it can finish what it does, and is killed if it does not.
#[tokio::test]
async fn orders_reach_every_process() {
    for tier in tiers().await {
        let bench = Bench::new(tier).await;
        // The inner shell is in another session: a signal to the group alone would not reach it.
        let inner = "trap \"echo saved > saved; exit 0\" TERM; echo > ready; while :; do sleep 0.02; done";
        let script = format!("trap : TERM; setsid sh -c '{inner}'; echo outer goes on; sleep 300");
        let spec = bench.shell("told", &script);
        let job = bench.start(&spec).await;
        let mut lines = job.log_lines().unwrap();
        assert!(job.log_lines().is_none(), "there is one listener");
        until("the inner shell", || exists(&spec.directory.join("ready"))).await;
        job.signal_before_end().await;
        until("the saved state", || exists(&spec.directory.join("saved"))).await;
        // The shell may first remark that a `sleep` of its own was told as well.
        while lines.recv().await.unwrap().text != "outer goes on" {}
        job.kill_tree().await;
        assert_eq!(job.wait().await.unwrap().end, JobEnd::Killed);
        assert_eq!(job.wait().await.unwrap().end, JobEnd::Killed, "may be asked again");
        job.signal_before_end().await;
        job.kill_tree().await;
        while lines.recv().await.is_some() {}
    }
}

/// Lines come as they are printed, from both streams; the file is bounded and says what it lost.
#[tokio::test]
async fn logs_are_streamed_and_bounded() {
    let bench = Bench::new(Tier::Sandboxed).await;
    let script =
        "echo one; echo two >&2; printf 'three'; while [ ! -e go ]; do sleep 0.01; done; printf ' and four'";
    let spec = bench.shell("lines", script);
    let job = bench.start(&spec).await;
    let mut lines = job.log_lines().unwrap();
    let mut seen = [lines.recv().await.unwrap(), lines.recv().await.unwrap()];
    seen.sort_by_key(|line| line.stream == LogStream::Stderr);
    assert_eq!(
        (seen[0].text.as_str(), seen[1].text.as_str(), seen[1].stream),
        ("one", "two", LogStream::Stderr)
    );
    // Only now may the job go on: the lines above came while it ran.
    fs::write(spec.directory.join("go"), "").unwrap();
    let last = lines.recv().await.unwrap();
    assert_eq!((last.text.as_str(), last.number), ("three and four", 3));
    assert_eq!(lines.recv().await, None);
    assert_eq!(job.wait().await.unwrap().end, JobEnd::Exited(0));

    let mut flood = bench.shell("flood", "yes 0123456789abcdef | head -c 20000000; echo; echo last");
    flood.limits.log_bytes_max = 10_000;
    let (report, log) = bench.run(&flood).await;
    assert_eq!(report.end, JobEnd::Exited(0), "a full log does not stop a job");
    assert!(log.len() < 10_100 && log.starts_with("0123456789abcdef\n"), "{}", log.len());
    assert!(
        log.ends_with(&format!("[log full: {} more bytes were dropped]\n", 20_000_000 + 1 + 5 - 10_000)),
        "{log}"
    );
}

/// A job that cannot start is an error, in words, and leaves nothing.
#[tokio::test]
async fn bad_jobs_are_refused() {
    type Change = fn(&mut JobSpec);
    let cases: [(&str, Change, &str); 14] = [
        ("no program", |spec| spec.argv.clear(), "names no program"),
        ("zero byte", |spec| spec.argv.push("a\0b".into()), "zero byte"),
        (
            "missing program",
            |spec| spec.argv = vec!["./nothing".into()],
            "cannot run `./nothing`: No such file",
        ),
        (
            "unknown program",
            |spec| spec.argv = vec!["no-such-program".into()],
            "cannot run `no-such-program`",
        ),
        ("program outside", |spec| spec.argv = vec![PROBE.into()], "cannot run"),
        ("variable", |spec| drop(spec.environment.insert("LD_PRELOAD".into(), "x".into())), "`LD_PRELOAD`"),
        ("no folder", |spec| spec.directory = "/nowhere/at/all".into(), "not an absolute path of a folder"),
        ("relative folder", |spec| spec.directory = "tmp".into(), "not an absolute path of a folder"),
        ("input missing", |spec| spec.files.push("data.csv".into()), "`data.csv`"),
        ("input outside", |spec| spec.files.push("../secret".into()), "`../secret`"),
        ("output outside", |spec| spec.outputs.push(crate::bench::output("../x", 1)), "`../x`"),
        ("log inside", |spec| spec.log = spec.directory.join("log"), "could rewrite it"),
        ("no memory", |spec| spec.limits.memory_bytes_max = 4096, "memory_bytes_max"),
        ("no time", |spec| spec.limits.wall = Duration::ZERO, "wall time"),
    ];
    for tier in tiers().await {
        let bench = Bench::new(tier).await;
        for (index, (name, change, words)) in cases.iter().enumerate() {
            let mut spec = bench.spec(&index.to_string(), &["true"]);
            change(&mut spec);
            let error = bench.refusal(spec).await;
            assert!(matches!(error, BackendError::Spec(_) | BackendError::Start(_)), "{name}: {error:?}");
            assert!(error.to_string().contains(words), "{name} in {tier:?}: {error}");
        }
    }
}

/// Below tier 1 nothing runs unless told; the launcher must be one.
#[tokio::test]
async fn no_sandbox_no_jobs() {
    let without = LocalConfig { allow_unsandboxed: false, ..config(Tier::None) };
    let error = LocalBackend::new(without).await.unwrap_err();
    assert!(matches!(error, BackendError::NoSandbox(_)), "{error:?}");
    assert!(error.to_string().contains("hint:"));

    let foreign = LocalConfig { launcher: Some(PathBuf::from("/bin/true")), ..config(Tier::Namespaced) };
    let error = LocalBackend::new(foreign).await.unwrap_err();
    assert!(error.to_string().contains("maybe_run_launcher"), "{error}");

    let bench = Bench::new(Tier::None).await;
    assert_eq!(bench.backend.tier(), Tier::None);
    let (report, _) = bench.run(&bench.shell("plain", "exit 5")).await;
    assert_eq!(report.end, JobEnd::Exited(5));
}
