//! `hansa market simulate`: what a batch would do with a book from a file.

mod simulate;

use crate::error::Outcome;
use crate::session::Session;
use clap::{Args, Subcommand};
use simulate::SimulateArguments;

/// Clear a market book of your own.
#[derive(Debug, Args)]
pub struct MarketArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Clear a book from a file, as the ledger's batch would; no node is needed
    Simulate(SimulateArguments),
}

impl MarketArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Simulate(arguments) => arguments.run(session),
        }
    }
}
