//! `hansa bench`: what this machine and this program do together, measured and compared with what was promised.
//!
//! Each benchmark brings up a federation of its own in real processes, does one thing to it, and tells median, least and
//! greatest of what it saw. How to read the figures stands in `docs/benchmarks.md`.

pub(crate) mod award;
mod behind;
mod calibration;
mod demo;
pub(crate) mod field;
mod gap;
mod idle;
mod latency;
mod load;
pub(crate) mod machine;
mod maker;
mod micro;
mod overload;
mod payers;
mod rebuild;
mod recover;
mod report;
mod restart;
mod start;
pub(crate) mod statistics;

pub use load::LoadOptions;
pub use overload::OverloadOptions;

use crate::error::TestnetError;
use crate::progress::Progress;
use field::Ground;
use std::io::Write;
use std::path::PathBuf;

/// Which benchmark, and how much of it.
#[derive(Clone, Debug)]
pub enum Bench {
    /// Transactions final per second.
    Load(LoadOptions),
    /// Many times the load that can be made final.
    Overload(OverloadOptions),
    /// From submission to final on all nodes, idle before.
    Latency {
        /// Transactions measured.
        count: usize,
    },
    /// From a request to its lease.
    Award {
        /// Requests measured.
        count: usize,
    },
    /// From the start of the processes to the first final block.
    Start {
        /// Starts measured.
        count: usize,
    },
    /// What an idle node costs.
    Idle {
        /// How long it is watched, in seconds.
        seconds: u64,
    },
    /// Nodes killed under load and started again.
    Recover {
        /// Kills.
        count: usize,
    },
    /// Nodes whose folders are gone, rebuilt from the others.
    Rebuild {
        /// Rows of the ledger.
        rows: u64,
        /// Nodes rebuilt, one after the other.
        count: usize,
    },
    /// Nodes killed under load, and how long no block is made.
    Gap {
        /// Kills.
        count: usize,
    },
    /// A node that was away for many blocks.
    Behind {
        /// Blocks.
        blocks: u64,
    },
    /// A node killed with many blocks on its disk, and started again until it votes.
    Restart {
        /// Blocks.
        blocks: u64,
        /// Kills.
        count: usize,
    },
    /// The demo, over and over.
    Demo {
        /// Runs.
        count: usize,
    },
    /// Parts of the program by themselves, in this process.
    Micro,
}

/// How to run a benchmark.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Which.
    pub bench: Bench,
    /// Members of the federation.
    pub members: usize,
    /// The folder below which federations are made; the system's folder for temporary files if `None`. It decides which disk
    /// is measured.
    pub folder: Option<PathBuf>,
    /// Whether programs read: one object instead of text.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// The program that runs nodes and agents; this one if `None`.
    pub executable: Option<PathBuf>,
}

/// Runs a benchmark and writes its report to `out`. A figure that misses its target is told, and no error.
///
/// # Errors
/// When the federation did not do what it must: a process ended, something was lost, roots differ.
pub async fn run(options: &BenchOptions, out: &mut dyn Write) -> Result<(), TestnetError> {
    let progress = Progress::new(options.quiet);
    let ground = Ground {
        base: options.folder.clone().unwrap_or_else(std::env::temp_dir),
        members: options.members,
        executable: crate::verbs::executable(options.executable.as_deref())?,
        progress: progress.clone(),
    };
    let measured = match &options.bench {
        Bench::Load(load) => load::run(&ground, load).await,
        Bench::Overload(overload) => overload::run(&ground, overload).await,
        Bench::Latency { count } => latency::run(&ground, *count).await,
        Bench::Award { count } => award::run(&ground, *count).await,
        Bench::Start { count } => start::run(&ground, *count).await,
        Bench::Idle { seconds } => idle::run(&ground, *seconds).await,
        Bench::Recover { count } => recover::run(&ground, *count).await,
        Bench::Rebuild { rows, count } => rebuild::run(&ground, *rows, *count).await,
        Bench::Gap { count } => gap::run(&ground, *count).await,
        Bench::Behind { blocks } => behind::run(&ground, *blocks).await,
        Bench::Restart { blocks, count } => restart::run(&ground, *blocks, *count).await,
        Bench::Demo { count } => demo::run(&ground, *count).await,
        Bench::Micro => micro::run(&ground).await,
    };
    progress.finish();
    let report = measured?;
    crate::verbs::print(out, &if options.json { report.json().to_string() } else { report.text() });
    match report.failure() {
        Some(failure) => Err(TestnetError::Broken(failure.to_owned())),
        None => Ok(()),
    }
}
