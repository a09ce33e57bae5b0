//! `hansa config`: show and change your settings.

use crate::config::{Countersign, NODE_DEFAULT};
use crate::error::Outcome;
use crate::printer::pairs;
use crate::session::Session;
use clap::{Args, Subcommand};
use serde_json::json;

/// Show and change your settings.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the settings in force
    Show,
    /// Change one setting: node, key, genesis or countersign
    Set {
        /// Which
        setting: String,
        /// To what; empty takes it away
        value: String,
    },
    /// Tell where the settings stand
    Path,
}

impl ConfigArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Show => show(session),
            Verb::Set { setting, value } => {
                let path = session.config_path();
                let mut config = session.config()?;
                config.set(&setting, &value)?;
                config.save(&path)?;
                session.printer.data(&config, String::new);
                session.printer.note(&format!("`{setting}` is set in `{}`", path.display()));
                Ok(())
            }
            Verb::Path => {
                let path = session.config_path();
                session.printer.data(&json!({ "path": path }), || path.display().to_string());
                Ok(())
            }
        }
    }
}

fn show(session: &Session) -> Outcome {
    let config = session.config()?;
    session.printer.data(&config, || {
        let or =
            |value: Option<String>, default: &str| value.unwrap_or_else(|| format!("{default} (not set)"));
        pairs(&[
            ("node", or(config.node.clone(), NODE_DEFAULT)),
            ("key", or(config.key.clone(), "the only one there is")),
            ("genesis", or(config.genesis.as_ref().map(|path| path.display().to_string()), "none")),
            ("trust", or(config.trust.clone(), "whatever the node says")),
            ("countersign", or(config.countersign.map(|one| one.to_string()), &Countersign::Ask.to_string())),
        ])
    });
    Ok(())
}
