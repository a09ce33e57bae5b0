//! The studies of the market, from the command line.

use clap::{Args, Parser, Subcommand};
use hansa_tests_market::collude::{rings, split};
use hansa_tests_market::growth::{self, SIZES};
use hansa_tests_market::instance::Size;
use hansa_tests_market::measure::figures;
use hansa_tests_market::misreport::{self, large_cases};
use hansa_tests_market::quarter::{Scenario, World, run};
use hansa_tests_market::report::{self, Run};
use hansa_tests_market::{publish, publish::PAGE};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure the market: what the ledger's own clearing does with synthetic demand
#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    study: Study,
}

#[derive(Subcommand)]
enum Study {
    /// Run a quarter of a synthetic federation, with and without a reserve
    Quarter(Quarter),
    /// Measure what a buyer gains by another limit than its value
    Misreport(Misreport),
    /// Measure what splitting an organisation and agreeing between ten gains
    Collude(Collude),
    /// Measure how the time of a batch grows with resting orders
    Growth(Growth),
    /// Run everything but `growth`, and write tables and charts into docs
    Publish {
        /// Everything random follows from it
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[derive(Args)]
struct Quarter {
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The reserve of the first run, in basis points; the others have none
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    reserve_bps: u16,
    /// How many days
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Slots of 900 s between two batches
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=96))]
    batch_slots: u32,
    /// How many organisations
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    organisations: u32,
    /// What is asked for in each resource class, as a multiple of its capacity; 0.01 to 10
    #[arg(long, default_value_t = 1.6, value_parser = load)]
    load: f64,
    /// How many prices a batch tries
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    price_candidates: u16,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Misreport {
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Small instances; three large ones go with twenty
    #[arg(long, default_value_t = 800)]
    cases: u32,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Collude {
    /// The first of ten seeds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Large instances in which ten agree
    #[arg(long, default_value_t = 120)]
    cases: u32,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Growth {
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each size
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// For how many slots each accelerator is free; an order takes 4, and must start within 4
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(4..=17_280))]
    calendar_slots: u32,
    /// Write table and chart into docs
    #[arg(long)]
    publish: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match study(Command::parse().study) {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn study(study: Study) -> Result<String, String> {
    match study {
        Study::Quarter(options) => {
            let runs = quarters(&options)?;
            if options.json {
                return json(&runs);
            }
            Ok([report::quarter(&runs), report::markets(&runs), report::reasons(&runs)].join("\n"))
        }
        Study::Misreport(Misreport { seed, cases, json: as_json }) => {
            let (small, large) = misreports(seed, cases)?;
            if as_json { json(&(small, large)) } else { Ok(report::misreport(&small, &large)) }
        }
        Study::Collude(Collude { seed, cases, json: as_json }) => {
            let found = (splits(seed)?, rings(seed, cases)?);
            if as_json { json(&found) } else { Ok(report::collude(&found.0, &found.1)) }
        }
        Study::Growth(options) => grow(&options),
        Study::Publish { seed } => publish_all(seed),
    }
}

/// The quarter with the reserve, without it, and without it where the highest limit goes first.
fn quarters(options: &Quarter) -> Result<Vec<Run>, String> {
    let with = format!("reserve {} %", f64::from(options.reserve_bps) / 100.0);
    let kinds = [
        (with, options.reserve_bps, false),
        ("no reserve".to_owned(), 0, false),
        ("no reserve, highest limit first".to_owned(), 0, true),
    ];
    let each = kinds.into_iter().map(|(name, reserve_bps, limit_first)| {
        let world = World::new(Scenario {
            seed: options.seed,
            days: options.days,
            batch_slots: options.batch_slots,
            organisations: options.organisations,
            load: options.load,
            reserve_bps,
            limit_first,
            price_candidates: options.price_candidates,
            class: None,
        })?;
        Ok((name, figures(&world, &run(&world)?)))
    });
    each.collect()
}

fn misreports(seed: u64, cases: u32) -> Result<(Vec<misreport::Row>, Vec<misreport::Row>), String> {
    let small = misreport::measure(seed, Size::Small, cases)?;
    Ok((small, misreport::measure(seed, Size::Large, large_cases(cases))?))
}

fn splits(seed: u64) -> Result<Vec<hansa_tests_market::collude::Split>, String> {
    split(seed..seed.saturating_add(10), 300, 30)
}

fn grow(options: &Growth) -> Result<String, String> {
    let points: Result<Vec<_>, String> = SIZES
        .iter()
        .map(|orders| growth::measure(options.seed, *orders, options.calendar_slots, options.runs))
        .collect();
    let points = points?;
    let table = report::growth(&points);
    if options.publish {
        let chart = publish::growth_chart(&points)?;
        publish::write(&top(), &[("growth", table.clone())], &[("growth", chart)])?;
    }
    if options.json { json(&points) } else { Ok(table) }
}

fn publish_all(seed: u64) -> Result<String, String> {
    let options = Quarter {
        seed,
        reserve_bps: 2_000,
        days: 90,
        batch_slots: 4,
        organisations: 2_000,
        load: 1.6,
        price_candidates: 64,
        json: false,
    };
    let runs = quarters(&options)?;
    let (small, large) = misreports(seed, 800)?;
    let parts = [
        ("quarter", report::quarter(&runs)),
        ("markets", report::markets(&runs)),
        ("reasons", report::reasons(&runs)),
        ("misreport", report::misreport(&small, &large)),
        ("collude", report::collude(&splits(seed)?, &rings(seed, 120)?)),
    ];
    publish::write(&top(), &parts, &publish::quarter_charts(&runs)?)?;
    Ok(format!("{PAGE} and its charts are written"))
}

/// The top folder of the sources this was built from.
fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn load(text: &str) -> Result<f64, String> {
    let load: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.01..=10.0).contains(&load) { Ok(load) } else { Err("a load is 0.01 to 10".to_owned()) }
}

fn json(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|error| error.to_string())
}
