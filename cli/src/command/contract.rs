//! `hansa contract`: writing, checking, trying and replaying contracts, and their life on the ledger.

mod life;
mod replay;

use crate::error::{Failure, Outcome};
use crate::session::Session;
use clap::{Args, Subcommand};
use hansa_cli_contract::{Answer, ContractError, ContractVerb};
use hansa_ledger::name::Name;
use std::path::PathBuf;

/// Write, check, try and replay contracts, and bring them onto the ledger.
#[derive(Debug, Args)]
#[group(skip)]
pub struct ContractArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Desk(ContractVerb),
    /// Bring a module onto the ledger, against a deposit for its bytes; signed by a key with the contract role, or by a treasury
    Upload {
        /// The module
        file: PathBuf,
        /// What it is called; for people, and no alias
        #[arg(long)]
        name: Name,
        /// The budget line that pays the deposit, where a treasury uploads
        #[arg(long, value_name = "LINE")]
        budget_line: Option<Name>,
    },
    /// Approve a contract that was uploaded; signed by a member's governance office
    Approve {
        /// Contract: hash of its code or beginning of it, alias or name
        contract: String,
    },
    /// End a contract: at once as who uploaded it, else a vote of a member's governance office
    Deprecate {
        /// Contract: hash of its code or beginning of it, alias or name
        contract: String,
    },
    /// Let new leases use a contract for as long again
    Renew {
        /// Contract: hash of its code or beginning of it, alias or name
        contract: String,
    },
    /// Vote to stop a contract; its leases are settled by the rule both parties signed
    Quarantine {
        /// Contract: hash of its code or beginning of it, alias or name
        contract: String,
        /// Why, for all to read
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Vote to let a contract that was stopped run again
    Resume {
        /// Contract: hash of its code or beginning of it, alias or name
        contract: String,
    },
    /// Vote for where an alias is to point; nothing that is signed changes with it
    Alias {
        /// The alias
        name: Name,
        /// Contract: hash of its code or beginning of it, alias or name
        contract: String,
    },
    /// List the contracts on the ledger
    List,
    /// Show a contract: what is in it, who approved it, what rests on it
    Show {
        /// Contract: hash of its code or beginning of it, alias or name
        contract: String,
    },
    /// Write the settlements of a lease into a file from which anybody can run them again
    Export {
        /// Lease: id or beginning of it
        lease: String,
        /// The file
        file: PathBuf,
    },
}

impl ContractArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            Verb::Desk(verb) => match verb.lease_to_replay() {
                Some(lease) => replay::run(session, lease).await,
                None => tell(session, verb.run()?),
            },
            Verb::Upload { file, name, budget_line } => life::upload(session, &file, name, budget_line).await,
            Verb::Approve { contract } => life::Step::Approve.take(session, &contract).await,
            Verb::Deprecate { contract } => life::Step::Deprecate.take(session, &contract).await,
            Verb::Renew { contract } => life::Step::Renew.take(session, &contract).await,
            Verb::Quarantine { contract, reason } => {
                life::Step::Quarantine(reason).take(session, &contract).await
            }
            Verb::Resume { contract } => life::Step::Resume.take(session, &contract).await,
            Verb::Alias { name, contract } => life::Step::Alias(name).take(session, &contract).await,
            Verb::List => life::list(session).await,
            Verb::Show { contract } => life::show(session, &contract).await,
            Verb::Export { lease, file } => replay::export(session, &lease, &file).await,
        }
    }
}

/// Gives an answer, and fails where it holds bad news.
fn tell(session: &Session, answer: Answer) -> Outcome {
    session.printer.data(&answer.value, || answer.text);
    answer.refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
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
