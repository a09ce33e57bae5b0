//! What the tests of the verbs share.

use clap::Parser;
use hansa_cli_contract::{Answer, ContractArguments, ContractError};

/// The verbs as a program of their own.
#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    arguments: ContractArguments,
}

/// Runs `hansa contract` with these arguments.
pub fn hansa(arguments: &[&str]) -> Result<Answer, ContractError> {
    let all = std::iter::once("contract").chain(arguments.iter().copied());
    Program::try_parse_from(all).unwrap_or_else(|error| panic!("{arguments:?}: {error}")).arguments.run()
}
