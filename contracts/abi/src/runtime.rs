//! How the ledger calls a contract without knowing the engine.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::check::SplitError;
use crate::claims::{Admission, Claims};
use crate::contract::Code;
use crate::facts::Facts;
use crate::module::{ModuleRefusal, ModuleSummary};
use crate::split::{Quote, Split};
use crate::terms::Terms;

/// Why a call gave no answer. Only this enters state: what an engine says about a failure differs between versions
/// and machines. The order is wire format: new reasons go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Failure {
    /// The contract declined, and said why.
    Refused(Code),
    /// The contract did more work than one call may.
    OutOfFuel,
    /// The contract broke: an overflow, a bad access, too deep a recursion.
    Trap,
    /// The contract answered, and the answer is not one.
    BadOutput,
    /// The code lost its place among the modules that may run.
    BadModule,
    /// No code has this hash.
    Unknown,
    /// The federation stopped this code.
    Quarantined,
    /// Parameters, terms and usage together are larger than [`crate::limits::IO_BYTES_MAX`].
    InputTooLarge,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(code) => write!(formatter, "the contract refused: {code}"),
            Failure::OutOfFuel => formatter.write_str("the contract ran out of fuel"),
            Failure::Trap => formatter.write_str("the contract broke while it ran"),
            Failure::BadOutput => formatter.write_str("the contract gave an answer that breaks the rules"),
            Failure::BadModule => formatter.write_str("the contract's code may not run"),
            Failure::Unknown => formatter.write_str("no contract has this code hash"),
            Failure::Quarantined => formatter.write_str("the federation has stopped this contract"),
            Failure::InputTooLarge => formatter.write_str("the facts are too large for a contract"),
        }
    }
}

impl core::error::Error for Failure {}

impl From<SplitError> for Failure {
    fn from(_: SplitError) -> Self {
        Failure::BadOutput
    }
}

/// The answer of one call, and what it cost whether it succeeded or not.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Outcome<T> {
    /// The answer.
    pub result: Result<T, Failure>,
    /// Fuel used, charges outside of the contract included. Same on every machine.
    pub fuel: u64,
}

/// Something that runs contracts. Same code, same input: same outcome, on every machine, cold or warm.
pub trait Runtime: Send + Sync {
    /// Asks the contract with this code hash what a lease under these terms may need at most.
    fn quote(&self, code: &[u8; 32], params: &[u8], terms: &Terms) -> Outcome<Quote>;

    /// Asks the contract with this code hash who gets how much. The answer is decoded, not yet checked: that is
    /// [`crate::check_split`].
    fn settle(&self, code: &[u8; 32], params: &[u8], facts: &Facts) -> Outcome<Split>;

    /// Asks the contract with this code hash whether a requester may have a lease under these terms. A contract that has
    /// no say in that admits everybody, for no fuel.
    fn admit(&self, code: &[u8; 32], params: &[u8], terms: &Terms, claims: &Claims) -> Outcome<Admission>;

    /// Whether these bytes may become a contract, and what is in them. A function of the bytes alone: what is known of
    /// other code, or loaded, has no part in it.
    ///
    /// # Errors
    /// The [`ModuleRefusal`] with the rule that the module breaks, and where.
    fn validate(&self, code: &[u8]) -> Result<ModuleSummary, ModuleRefusal>;

    /// Checks, compiles and keeps a module, so that it can be called, and tells its code hash (BLAKE3 of the bytes). Calls
    /// never load: the first of them would cost other fuel than the next one. Loading the same code again is no work.
    ///
    /// # Errors
    /// The [`ModuleRefusal`] that [`Runtime::validate`] gives for the same bytes.
    fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal>;

    /// Most fuel that one call can use. A block that has less than this left does not start a call.
    fn fuel_per_call_max(&self) -> u64;

    /// Identifies every rule of the engine that an outcome depends on. Part of genesis: members with another profile
    /// are in another federation.
    fn vm_profile(&self) -> [u8; 32];

    /// Whether a contract with this code hash can be called.
    fn knows(&self, code: &[u8; 32]) -> bool;
}
