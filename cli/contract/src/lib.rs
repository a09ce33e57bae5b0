//! Write, check, try and replay contracts.
//!
//! [`ContractArguments`] are the verbs of `hansa contract` that need no node; each gives an [`Answer`]. Everything a contract is
//! told here, and every check of what it answers, is the ledger's own: [`hansa_contracts_host::Host`] runs the module,
//! [`hansa_contracts_abi::check_split`] checks the split, [`hansa_contracts_abi::fallback_split`] decides where it failed.
//!
//! [`ReplayBundle`] is the format in which a settlement travels to whoever wants to run it again.

mod arguments;
mod build;
mod bundle;
mod check;
mod create;
mod file;
mod module;
mod params;
mod replay;
mod show;
mod simulation;
mod terms;
mod texts;
mod usage;

pub use arguments::{ContractArguments, ContractVerb};
pub use bundle::{BUNDLE_FORMAT, BUNDLE_VERSION, ReplayBundle, ReplayStep};
pub use check::{CheckReport, Metered, RefusalReport};
pub use create::create;
pub use params::{read_params, typed_params};
pub use replay::{Finding, ReplayReport};
pub use simulation::{NoteReport, PaymentReport, QuoteReport, Simulation, StepReport, quote, simulate};
pub use terms::{ClaimsLine, FallbackWord, SlaLine, Start, TermsFile};
pub use texts::{Euro, Seconds, Share, Units, When};
pub use usage::{SourceWord, StepLine, TriggerWord, UsageFile, WindowLine};

use serde_json::Value;

/// What a verb gives: the same for programs and for people, and whether it ended well.
#[derive(Clone, Debug)]
pub struct Answer {
    /// For programs.
    pub value: Value,
    /// For people.
    pub text: String,
    /// Why the command fails all the same, once the answer has been given.
    pub refusal: Option<ContractError>,
}

/// Why a verb gives no answer, or which bad news its answer holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ContractError {
    /// What happened: one line, lower case, no full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl ContractError {
    /// A failure, in one line whatever a value quoted in it holds.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { message, hint: None }
    }

    /// A field of a file that is wrong.
    #[must_use]
    pub fn field(file: &str, field: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        Self::new(format!("{file}: {}: {}", field.as_ref(), problem.as_ref()))
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
