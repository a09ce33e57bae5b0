//! Simulate a federation: the real nodes on a simulated network and disks, all from one seed.

use clap::Parser;
use hansa_tests_sim::checks::Counts;
use hansa_tests_sim::run::{Options, run};
use std::process::ExitCode;
use std::time::Instant;

/// Runs simulated federations, each from one seed.
#[derive(Parser)]
struct Arguments {
    /// The only seed to run.
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many members the federations have (4 to 7); drawn from the seed if not given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(4..=7))]
    members: Option<u64>,
    /// Prints one JSON object for each seed.
    #[arg(long)]
    json: bool,
    /// Prints everything that happens.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let members = arguments.members.map(|members| members as usize);
    let options = Options { members, told: arguments.trace };
    let (from, count) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let started = Instant::now();
    let (mut failed, mut total) = (0, Counts::default());
    for seed in from..from.saturating_add(count) {
        let verdict = run(seed, options);
        total.add(&verdict.counts);
        if arguments.json {
            println!("{}", serde_json::to_string(&verdict).unwrap_or_default());
        } else if count == 1 {
            println!("{verdict:#?}");
        }
        if let Some(failure) = verdict.failure {
            failed += 1;
            eprintln!("seed {seed} failed: {failure}\n  see it again: cargo sim {seed} --trace");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "figure: {count} seeds from {from}, {failed} failed, {:.1} seeds per second; {total}",
        count as f64 / seconds.max(0.001)
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
