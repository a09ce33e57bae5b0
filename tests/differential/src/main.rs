//! Run contracts three ways for as many cases as one likes.

use clap::Parser;
use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_tests_differential::{Tally, template, trial};
use std::time::Instant;

/// Run contracts natively, in the ledger's engine and in another one, and compare
#[derive(Parser)]
struct Command {
    /// Cases of each template
    #[arg(long, default_value_t = 100_000)]
    cases: u64,
    /// Generated modules
    #[arg(long, default_value_t = 20_000)]
    modules: u64,
    /// The first seed; those after it follow
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn show(name: &str, run: impl FnOnce() -> Tally) {
    let clock = Instant::now();
    let tally = run();
    println!("{name:<10} {tally:?} in {:.0} s", clock.elapsed().as_secs_f64());
}

fn main() {
    let Command { cases, modules, seed } = Command::parse();
    show("spot", || template::<Spot>(seed, cases));
    show("reserved", || template::<Reserved>(seed, cases));
    show("grant", || template::<Grant>(seed, cases));
    show("coinvest", || template::<Coinvest>(seed, cases));
    show("dispute", || template::<DisputedReserve>(seed, cases));
    show("generated", || trial(seed, modules));
}
