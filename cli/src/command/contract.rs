//! `hansa contract`: writing, checking, trying and replaying contracts, without a node.

use crate::error::{Failure, Outcome};
use crate::session::Session;
use clap::Args;
use hansa_cli_contract::ContractError;

/// Write, check, try and replay contracts.
#[derive(Debug, Args)]
#[group(skip)]
pub struct ContractArguments {
    #[command(flatten)]
    verb: hansa_cli_contract::ContractArguments,
}

impl ContractArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let answer = self.verb.run()?;
        session.printer.data(&answer.value, || answer.text);
        answer.refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
    }
}

/// What is wrong is the user's module or file: the same command fails again.
impl From<ContractError> for Failure {
    fn from(error: ContractError) -> Self {
        let failure = Failure::refused(error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
