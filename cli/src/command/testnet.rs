//! `hansa testnet`: a federation on this machine.

use crate::error::{Failure, Outcome};
use crate::exit::Exit;
use crate::session::Session;
use crate::units::Duration;
use clap::{Args, Subcommand};
use hansa_testnet::chaos::{ChaosOptions, Kind};
use hansa_testnet::{FOLDER_DEFAULT, PROVIDERS_DEFAULT, TestnetError, UpOptions, VerbOptions};
use std::path::PathBuf;

/// A federation on this machine.
#[derive(Debug, Args)]
pub struct TestnetArguments {
    /// Where it lives
    #[arg(long, global = true, value_name = "DIR", default_value = FOLDER_DEFAULT)]
    dir: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start it; a folder that holds one is resumed
    Up(Up),
    /// Show its members, agents and heights
    Status,
    /// Stop everything
    Down,
    /// Kill one process, as a power cut would
    Kill {
        /// A member's code, or the name of a provider
        name: String,
    },
    /// Stop one process if it runs, and start it again
    Restart {
        /// A member's code, or the name of a provider
        name: String,
    },
    /// Show the log of one process
    Logs {
        /// A member's code, or the name of a provider
        name: String,
        /// Go on with what comes
        #[arg(long, short)]
        follow: bool,
    },
    /// Break a new one in every way, again and again, and see that nothing is lost
    Chaos(Chaos),
}

#[derive(Debug, Args)]
struct Chaos {
    /// For how long faults are begun
    #[arg(long = "for", value_name = "TIME", default_value = "10m")]
    lasts: Duration,
    /// What the faults follow from: the same seed breaks the same things in the same order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Members with a vote
    #[arg(long, default_value_t = 4)]
    members: usize,
    /// The most faults
    #[arg(long)]
    count: Option<usize>,
    /// Only faults of this kind; may be given several times
    #[arg(long = "fault", value_name = "KIND")]
    faults: Vec<Kind>,
    /// Leave the folder when all is well
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Up {
    /// Members with a vote: codes such as `FR,DE,ES,EE`, or how many
    #[arg(long, value_name = "CODES|COUNT")]
    members: Option<String>,
    /// The most provider agents
    #[arg(long, value_name = "COUNT", default_value_t = PROVIDERS_DEFAULT)]
    providers: usize,
    /// Come back at once and leave it running
    #[arg(long)]
    detach: bool,
    /// Run jobs even where this machine offers no sandbox
    #[arg(long)]
    allow_unsandboxed: bool,
}

impl TestnetArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let options = VerbOptions { folder: self.dir.clone(), json: session.printer.is_json() };
        let mut out = std::io::stdout();
        match self.verb {
            Verb::Up(up) => {
                let options = UpOptions {
                    folder: self.dir,
                    members: up.members,
                    providers: up.providers,
                    detach: up.detach,
                    json: options.json,
                    quiet: session.printer.is_quiet(),
                    allow_unsandboxed: up.allow_unsandboxed,
                    executable: None,
                };
                hansa_testnet::up(&options, &mut out).await
            }
            Verb::Chaos(chaos) => {
                let options = ChaosOptions {
                    folder: self.dir,
                    members: chaos.members,
                    lasts: std::time::Duration::from_millis(chaos.lasts.0),
                    faults_max: chaos.count,
                    seed: chaos.seed,
                    kinds: chaos.faults,
                    keep: chaos.keep,
                    json: options.json,
                    quiet: session.printer.is_quiet(),
                    executable: None,
                };
                hansa_testnet::chaos::chaos(&options, &mut out).await
            }
            Verb::Status => hansa_testnet::status(&options, &mut out).await,
            Verb::Down => hansa_testnet::down(&options, &mut out).await,
            Verb::Kill { name } => hansa_testnet::kill(&options, &name, &mut out).await,
            Verb::Restart { name } => hansa_testnet::restart(&options, &name, None, &mut out).await,
            Verb::Logs { name, follow } => hansa_testnet::logs(&options, &name, follow, &mut out).await,
        }
        .map_err(Failure::from)
    }
}

impl From<TestnetError> for Failure {
    fn from(error: TestnetError) -> Self {
        let exit = match &error {
            TestnetError::Interrupted => Exit::Interrupted,
            error if error.is_refusal() => Exit::Refused,
            _ => Exit::Failed,
        };
        let hint = error.hint().map(str::to_owned);
        Self { exit, hint, ..Self::failed(error.to_string()) }
    }
}
