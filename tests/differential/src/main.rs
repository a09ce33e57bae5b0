//! `cargo run --release -- --cases 100000 --modules 20000`

use clap::Parser;
use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_tests_differential::{fuel, modules, template};
use std::fmt::Display;
use std::process::ExitCode;

/// Differences that are told in full.
const TOLD_MAX: usize = 10;

/// Run contracts natively, in the ledger's engine and in another one, and compare.
#[derive(Parser)]
struct Arguments {
    /// Facts that each template is told
    #[arg(long, default_value_t = 100_000)]
    cases: u64,
    /// Generated modules
    #[arg(long, default_value_t = 20_000)]
    modules: u64,
    /// The first seed; those after it follow
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Tells what was found; whether nothing differed.
fn tell(found: impl Display, differences: &[String]) -> bool {
    println!("figure: {found}");
    differences.iter().take(TOLD_MAX).for_each(|difference| eprintln!("{difference}"));
    if differences.len() > TOLD_MAX {
        eprintln!("and {} more", differences.len() - TOLD_MAX);
    }
    differences.is_empty()
}

fn main() -> ExitCode {
    let Arguments { cases, modules: count, seed } = Arguments::parse();
    let charged = fuel();
    let lines =
        format!("fuel: {} checked-in lines alike, {} differences", charged.same, charged.differences.len());
    let mut alike = tell(lines, &charged.differences);
    for run in [
        template::<Spot>,
        template::<Reserved>,
        template::<Grant>,
        template::<Coinvest>,
        template::<DisputedReserve>,
    ] {
        let found = run(seed, cases);
        alike &= tell(&found, &found.differences);
    }
    let found = modules(seed, count);
    alike &= tell(&found, &found.differences);
    if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
