//! `hansa bench`: what this machine and this program do together.

use crate::error::{Failure, Outcome};
use crate::session::Session;
use clap::{Args, Subcommand};
use hansa_testnet::bench::{Bench, BenchOptions, LoadOptions, OverloadOptions};
use std::path::PathBuf;

/// Measure this program on this machine.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Members of the federation
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 4)]
    members: usize,
    /// Folder for the federations, on the disk to measure; the one for temporary files if not said
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Pre-signed transfers final per second, on all nodes
    Load(Load),
    /// Many times the load that can be made final: refusals, memory, and how soon all is as before
    Overload {
        /// How many times what can be made final is offered
        #[arg(long, default_value_t = 10)]
        times: u32,
        /// For how many seconds
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// How many blocks nodes keep, and how often they write a snapshot; 0: they keep all
        #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
        history_blocks: u64,
    },
    /// A transfer sent to final on all nodes, idle before
    Latency {
        /// Transfers measured
        #[arg(long, default_value_t = 200)]
        count: usize,
    },
    /// A request sent to its lease awarded
    Award {
        /// Requests measured
        #[arg(long, default_value_t = 50)]
        count: usize,
    },
    /// Processes started to first final block
    Start {
        /// Starts measured
        #[arg(long, default_value_t = 10)]
        count: usize,
    },
    /// Processor time and memory of idle nodes
    Idle {
        /// How long they are watched
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Nodes killed under load and started again
    Recover {
        /// Kills
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
    /// Nodes whose folders are gone, rebuilt from the others by a snapshot
    Rebuild {
        /// Rows of the ledger
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Nodes rebuilt, one after the other
        #[arg(long, default_value_t = 3)]
        count: usize,
    },
    /// How long no block is made when a node is killed under load
    Gap {
        /// Kills
        #[arg(long, default_value_t = 50)]
        count: usize,
    },
    /// A node that was away for many blocks catches up under load, and is killed and started again
    Behind {
        /// Blocks it is away for
        #[arg(long, default_value_t = 10_000)]
        blocks: u64,
    },
    /// A node killed with many blocks on its disk and started again, until it votes
    Restart {
        /// Blocks
        #[arg(long, default_value_t = 100_000)]
        blocks: u64,
        /// Kills
        #[arg(long, default_value_t = 5)]
        count: usize,
    },
    /// The demo, over and over
    Demo {
        /// Runs
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
    /// Parts of the program by themselves
    Micro,
}

#[derive(Debug, Args)]
struct Load {
    /// Transfers in a run
    #[arg(long, default_value_t = LoadOptions::default().transactions)]
    transactions: usize,
    /// Keys that sign them
    #[arg(long, default_value_t = LoadOptions::default().signers)]
    signers: usize,
    /// Organisations that pay each other
    #[arg(long, default_value_t = LoadOptions::default().organisations)]
    organisations: usize,
    /// Transfers in a bundle
    #[arg(long, default_value_t = LoadOptions::default().bundle)]
    bundle: usize,
    /// The most transfers sent and not final at one time
    #[arg(long, default_value_t = LoadOptions::default().under_way)]
    under_way: usize,
    /// Send no more after this many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Runs, each in a federation of its own
    #[arg(long, default_value_t = LoadOptions::default().runs)]
    runs: usize,
}

impl BenchArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let bench = match self.verb {
            Verb::Load(load) => Bench::Load(LoadOptions {
                transactions: load.transactions,
                signers: load.signers,
                organisations: load.organisations,
                bundle: load.bundle,
                under_way: load.under_way,
                seconds: load.seconds,
                runs: load.runs,
            }),
            Verb::Overload { times, seconds, history_blocks } => {
                Bench::Overload(OverloadOptions { times, seconds, history_blocks })
            }
            Verb::Latency { count } => Bench::Latency { count },
            Verb::Award { count } => Bench::Award { count },
            Verb::Start { count } => Bench::Start { count },
            Verb::Idle { seconds } => Bench::Idle { seconds },
            Verb::Recover { count } => Bench::Recover { count },
            Verb::Rebuild { rows, count } => Bench::Rebuild { rows, count },
            Verb::Gap { count } => Bench::Gap { count },
            Verb::Behind { blocks } => Bench::Behind { blocks },
            Verb::Restart { blocks, count } => Bench::Restart { blocks, count },
            Verb::Demo { count } => Bench::Demo { count },
            Verb::Micro => Bench::Micro,
        };
        let options = BenchOptions {
            bench,
            members: self.members,
            folder: self.dir,
            json: session.printer.is_json(),
            quiet: session.printer.is_quiet(),
            executable: None,
        };
        hansa_testnet::bench::run(&options, &mut std::io::stdout()).await.map_err(Failure::from)
    }
}
