//! Ways out of the sandbox in one table, each tried for real in every tier. Those that any process could do without a
//! sandbox are also tried without one, where they must succeed. `HANSA_CASES=100` tries all of them so many times.

mod outside;
mod table;

use std::fmt::Write as _;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use futures::FutureExt as _;
use hansa_node_provider::backend::{JobEnd, JobSpec, Tier, collect_outputs};

use crate::bench::{Bench, output, tiers};
use outside::Outside;
use table::{Alone, Comes, Probe, Run, probes};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reliability-sandbox.md");
const BEGIN: &str = "<!-- probes: begin -->\n";
const END: &str = "<!-- probes: end -->";

/// A descriptor the agent forgot to mark: every process it starts inherits it.
fn forgotten_descriptor(path: &str) -> fs::File {
    let file = fs::File::open(path).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    file
}

fn job(bench: &Bench, outside: &Outside, probe: &Probe) -> JobSpec {
    let argument;
    let argv = match probe.run {
        Run::Program(program, on) => {
            argument = on(outside);
            vec!["./probe", program, &argument]
        }
        Run::Script(script) => vec!["sh", "-c", script],
    };
    let mut spec = bench.spec(probe.name, &argv);
    for name in ["input", "probe-mode"] {
        fs::write(spec.directory.join(name), "as given").unwrap();
    }
    (probe.limits)(&mut spec.limits);
    if let Comes::Output(path, _) = probe.comes {
        spec.outputs = vec![output(path, 1000)];
    }
    spec
}

/// Run one probe and look at what came of it, inside and outside.
async fn attempt(bench: &Bench, outside: &Outside, probe: &Probe, tier: Tier) {
    let name = probe.name;
    let mut spec = job(bench, outside, probe);
    let outputs = std::mem::take(&mut spec.outputs);
    let (report, log) = bench.run(&spec).await;
    spec.outputs = outputs;
    if tier == Tier::None {
        assert_eq!(report.end, JobEnd::Exited(1), "{name} should get out without a sandbox: {log}");
    } else {
        let told = format!("{name} in {tier:?}: {report:?}\n{log}");
        match probe.comes {
            Comes::Refused(words) => {
                assert_eq!(report.end, JobEnd::Exited(0), "{told}");
                assert!(log.contains(": held: ") && log.contains(words), "{told}");
            }
            Comes::Ended(limit) => assert_eq!(report.end, JobEnd::LimitExceeded(limit), "{told}"),
            Comes::EndedAs(ends) => assert!(ends.contains(&report.end), "{told}"),
            Comes::Contained => assert_eq!(report.end, JobEnd::Exited(0), "{told}"),
            Comes::Output(_, words) => {
                assert_eq!(report.end, JobEnd::Exited(0), "{told}");
                let refusal = collect_outputs(&spec).expect_err(&told).to_string();
                assert!(refusal.contains(words), "{told}{refusal}");
            }
        }
        outside.untouched(name, &spec, &report, &log);
    }
    fs::remove_dir_all(&spec.directory).unwrap();
}

#[tokio::test]
async fn no_probe_gets_out() {
    let probes = probes();
    let cases = std::env::var("HANSA_CASES").map_or(1, |text| text.parse().expect("HANSA_CASES is a number"));
    let runs = tiers().await;
    let (mut attempts, mut escapes) = (0, Vec::new());
    for tier in &runs {
        let bench = Bench::new(*tier).await;
        let outside = Outside::new(&bench).await;
        let _forgotten = forgotten_descriptor(&outside.secret);
        for _ in 0..cases {
            for probe in &probes {
                // All are tried, so that one run tells everything a weaker sandbox lets through.
                let tried = AssertUnwindSafe(attempt(&bench, &outside, probe, *tier)).catch_unwind().await;
                if tried.is_err() {
                    escapes.push(format!("{} in tier {}", probe.name, tier.number()));
                    let _ = fs::remove_dir_all(bench.path(probe.name));
                }
                attempts += 1;
            }
        }
    }
    assert!(escapes.is_empty(), "{} escapes: {}", escapes.len(), escapes.join(", "));
    // Without a sandbox some of the others would reach this test itself: `ptrace` stops it for good.
    let bench = Bench::new(Tier::None).await;
    let outside = Outside::new(&bench).await;
    for probe in probes.iter().filter(|probe| probe.alone == Alone::GetsOut) {
        attempt(&bench, &outside, probe, Tier::None).await;
    }
    let tiers: Vec<String> = runs.iter().map(|tier| tier.number().to_string()).collect();
    println!(
        "figure: {} probes in tier {}, {attempts} attempts, 0 escapes",
        probes.len(),
        tiers.join(" and ")
    );
}

/// The page names every probe as the table does. `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_page_lists_every_probe() {
    let probes = probes();
    assert!(probes.len() >= 40, "{}", probes.len());
    let mut table = String::from("\n| probe | tries to | what must come of it |\n|---|---|---|\n");
    for (index, probe) in probes.iter().enumerate() {
        assert!(
            probes[..index].iter().all(|other| other.name != probe.name),
            "two are called {}",
            probe.name
        );
        writeln!(table, "| `{}` | {} | {} |", probe.name, probe.tries, comes(probe.comes)).unwrap();
    }
    table.push('\n');
    let page = fs::read_to_string(Path::new(PAGE)).unwrap();
    let (head, rest) = page.split_once(BEGIN).expect("the page has the mark of the table's begin");
    let (found, tail) = rest.split_once(END).expect("the page has the mark of the table's end");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(
        found, table,
        "docs/reliability-sandbox.md differs from the probes: UPDATE_GOLDEN=1 writes it"
    );
}

fn comes(comes: Comes) -> String {
    match comes {
        Comes::Refused("") => "refused".to_owned(),
        Comes::Refused(words) => format!("refused: \"{words}\""),
        Comes::Ended(limit) => format!("the job is ended: over its limit of {limit:?}"),
        Comes::EndedAs(ends) => {
            format!(
                "the job ends: {}",
                ends.iter().map(|end| format!("{end:?}")).collect::<Vec<_>>().join(" or ")
            )
        }
        Comes::Contained => "it may; nothing is left or seen outside".to_owned(),
        Comes::Output(_, words) => format!("the output is refused: \"{words}\""),
    }
}
