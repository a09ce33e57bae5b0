//! `hansa node`: run one member's node, and rebuild one that is damaged.

use crate::error::{Failure, Outcome};
use crate::exit::Exit;
use crate::keystore::{Keystore, passphrase_from};
use crate::memory::bound_memory;
use crate::session::Session;
use clap::{Args, Subcommand};
use hansa_ledger_signature::SecretKey;
use hansa_node::{End, NodeConfig, NodeKeys};
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Run a member's node.
#[derive(Debug, Args)]
pub struct NodeArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the node until it is told to stop; the log goes to standard error, by RUST_LOG
    Run {
        /// The node's configuration (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Set a damaged ledger aside, so that the node fetches it from the others at its next start; nothing is deleted
    Rebuild {
        /// The node's configuration (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Vote from this height on, where nothing on the disk says which is safe: two above any height the others have seen
        /// this member vote in
        #[arg(long, value_name = "HEIGHT")]
        vote_from: Option<u64>,
        /// Only the engine's log is damaged: the ledger stays
        #[arg(long)]
        keep_ledger: bool,
    },
}

impl NodeArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let config = match self.verb {
            Verb::Run { config } => config,
            Verb::Rebuild { config, vote_from, keep_ledger } => {
                return rebuild(session, &config, vote_from, keep_ledger);
            }
        };
        start_log();
        bound_memory();
        let config = NodeConfig::load(&config).map_err(|error| Failure::refused(error.to_string()))?;
        let keys = NodeKeys {
            consensus: unlock(session, &config.keys.consensus, config.keys.passphrase_file.as_deref())?,
            network: unlock(session, &config.keys.network, config.keys.passphrase_file.as_deref())?,
        };
        // Listened for before anything starts, so that no signal in between ends the process halfway.
        let stop = stop_signal()?;
        let member = config.member;
        let started = hansa_node::start(config, keys).await;
        let node = started.map_err(|error| ended(End::of_start(&error), error.to_string()))?;
        let api = format!("http://{}", node.api());
        session.printer.data(&json!({ "member": member, "api": api }), || {
            format!("{member} serves its interface at {api}")
        });
        tracing::info!(%member, api = %node.api(), "the node runs");
        let store = node.parts().executor.store().clone();
        let ran = node.run(stop).await;
        ran.map_err(|reason| ended(End::of_run(&reason, store.as_ref()), reason.to_string()))
    }
}

/// Sets aside what is damaged, and says what becomes of the node.
fn rebuild(session: &Session, config: &Path, vote_from: Option<u64>, keep_ledger: bool) -> Outcome {
    let config = NodeConfig::load(config).map_err(|error| Failure::refused(error.to_string()))?;
    let rebuilt = hansa_node::rebuild::rebuild(&config, vote_from, keep_ledger);
    let rebuilt = rebuilt.map_err(|error| Failure::refused(error.to_string()))?;
    let data = json!({ "set_aside": rebuilt.set_aside, "vote_from": rebuilt.vote_from });
    session.printer.data(&data, || {
        let moved: String =
            rebuilt.set_aside.iter().map(|path| format!("set aside: {}\n", path.display())).collect();
        let what = if keep_ledger { "goes on with its ledger" } else { "fetches the ledger from the others" };
        format!("{moved}started again, the node {what} and votes from height {} on", rebuilt.vote_from)
    });
    Ok(())
}

/// Logs to standard error what RUST_LOG asks for, by default warnings and what this program says of itself.
pub(super) fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,hansa=info,hansa_node=info,hansa_node_provider=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // A log that is there already, in a test of this process, stays.
    let _ = log.try_init();
}

/// Resolves when the process is asked to stop: SIGTERM, or Ctrl-C.
pub(super) fn stop_signal() -> Outcome<impl Future<Output = ()>> {
    let failed = |error| Failure::failed(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The secret key in a file; an encrypted one is opened with the passphrase file, or the terminal.
pub(super) fn unlock(session: &Session, path: &Path, passphrase_file: Option<&Path>) -> Outcome<SecretKey> {
    // A path without a folder is a name to the keystore, and key files of nodes are always paths.
    let path = if path.components().count() == 1 { Path::new("./").join(path) } else { path.to_owned() };
    let stored = Keystore::new(Path::new(".")).find(&path.display().to_string())?;
    stored.unlock(|| match passphrase_file {
        Some(file) => passphrase_from(file),
        None => session.passphrase(&path.display().to_string()),
    })
}

/// The exit code tells a service manager whether to start the node again.
fn ended(end: End, message: String) -> Failure {
    let exit = match end {
        End::Refused => Exit::Refused,
        End::Failed => Exit::Failed,
        End::Halted => Exit::Halted,
        End::Outdated => Exit::Outdated,
    };
    Failure { exit, ..Failure::failed(message) }
}
