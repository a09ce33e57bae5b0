//! `hansa provider run`: turn leases into work on this machine.

use crate::error::{Failure, Outcome};
use crate::session::Session;
use clap::{Args, Subcommand};
use hansa_node_provider::{AgentError, Config};
use std::path::PathBuf;

/// Turn leases into work on this machine.
#[derive(Debug, Args)]
pub struct ProviderArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the agent until it is told to stop; `--key` names the provider's key
    Run {
        /// Its configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

impl ProviderArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let Verb::Run { config } = self.verb;
        let config = Config::load(&config)?;
        let stored = session.chosen_key()?;
        let key = stored.unlock(|| session.passphrase(&stored.name))?;
        super::node::start_log();
        let stop = super::node::stop_signal()?;
        Ok(hansa_node_provider::run(config, key, stop).await?)
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let text = error.to_string();
        let (message, hint) = match text.split_once("\n\nhint: ") {
            Some((message, hint)) => (message, Some(hint.to_owned())),
            None => (text.trim_end(), None),
        };
        let failure = match error {
            AgentError::Node { error } => return error.into(),
            AgentError::File { .. }
            | AgentError::Config { .. }
            | AgentError::Locked(_)
            | AgentError::OtherFederation { .. } => Self::refused(message),
            _ => Self::failed(message),
        };
        Self { hint, ..failure }
    }
}
