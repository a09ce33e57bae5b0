//! What every verb takes. The arguments of a verb stand in its own file.

use crate::command::Command;
use crate::printer::Printer;
use crate::units::Duration;
use clap::{Args, Parser};
use std::path::PathBuf;

/// The marketplace of computing capacity of a federation of member states.
#[derive(Debug, Parser)]
#[command(name = "hansa", version, disable_help_subcommand = false, propagate_version = true)]
pub struct Arguments {
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// What every verb takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Address of the node to ask; else $HANSA_NODE, else the setting `node`
    #[arg(long, global = true, value_name = "URL")]
    pub node: Option<String>,
    /// Key that signs: its name, or the path of its file; else the setting `key`, else the only one there is
    #[arg(long, global = true, value_name = "NAME")]
    pub key: Option<String>,
    /// Take nobody's word: verify answers against a genesis file, or a block's HEIGHT:HASH; else the setting `trust`
    #[arg(long, global = true, value_name = "GENESIS|HEIGHT:HASH")]
    pub trust: Option<String>,
    /// With a trust: how old the block may be that an answer is of; two heartbeats and a minute if not said
    #[arg(long, global = true, value_name = "LENGTH")]
    pub max_age: Option<Duration>,
    /// Folder of keys and settings; else $HANSA_HOME, else ~/.config/hansa
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// File whose first line is the key's passphrase; else $HANSA_PASSPHRASE_FILE, else it is asked for
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Answer with JSON: one value, or one per line for what goes on
    #[arg(long, global = true)]
    pub json: bool,
    /// No notes and no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// No colours; so does $NO_COLOR
    #[arg(long, global = true)]
    pub no_color: bool,
}

impl Global {
    /// The printer that these arguments ask for.
    #[must_use]
    pub fn printer(&self) -> Printer {
        Printer::new(self.json, self.quiet, self.no_color)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// An option of a verb that has the name of one that every verb takes would be read as that one.
    #[test]
    fn no_verb_takes_the_name_of_what_every_verb_takes() {
        fn walk(command: &clap::Command, everywhere: &[String], path: &str) {
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                for argument in verb.get_arguments() {
                    let id = argument.get_id().as_str();
                    assert!(
                        !everywhere.iter().any(|name| name == id),
                        "`{path}` has an argument `{id}` of its own"
                    );
                }
                walk(verb, everywhere, &path);
            }
        }
        let command = Arguments::command();
        let global = command.get_arguments().filter(|argument| argument.is_global_set());
        let everywhere: Vec<String> = global.map(|argument| argument.get_id().to_string()).collect();
        assert!(everywhere.iter().any(|name| name == "home"), "{everywhere:?}");
        command.clone().debug_assert();
        walk(&command, &everywhere, "hansa");
    }
}
