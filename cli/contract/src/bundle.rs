//! The file in which a lease's settlements travel to whoever wants to run them again.
//!
//! It holds everything that decided, and nothing that only a node could tell: code, parameters, facts, the split that was
//! paid, its fuel, and why the fallback decided where it did. Block heights and hashes lead back to the ledger.

use crate::{ContractError, file};
use hansa_ledger::id::{BlockId, ChainId, CodeHash, LeaseId};
use serde::{Deserialize, Serialize};

/// The word by which a bundle is known.
pub const BUNDLE_FORMAT: &str = "hansa-settlement";
/// The version of the format. A reader refuses others.
pub const BUNDLE_VERSION: u16 = 1;

/// All settlements of one lease. Every field comes from the ledger as it stands there: of the genesis (`vm_profile`), of the
/// lease's agreement (`contract`, `params`, `fallback`), of the contract (`code`), and of the rows of its settlements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBundle {
    /// [`BUNDLE_FORMAT`].
    pub format: String,
    /// [`BUNDLE_VERSION`].
    pub version: u16,
    /// The federation.
    pub chain: ChainId,
    /// The lease.
    pub lease: LeaseId,
    /// Every rule of the engine that an outcome depends on (the genesis names it).
    #[serde(with = "hansa_ledger::bytes")]
    pub vm_profile: Vec<u8>,
    /// The hash of the code, as the agreement names it.
    pub contract: CodeHash,
    /// The code.
    #[serde(with = "hansa_ledger::bytes")]
    pub code: Vec<u8>,
    /// The parameters, as the agreement has them.
    #[serde(with = "hansa_ledger::bytes")]
    pub params: Vec<u8>,
    /// The rule when the contract fails, by the number the agreement has.
    pub fallback: u8,
    /// The settlements, in the order of their heights.
    pub settlements: Vec<ReplayStep>,
}

/// One settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayStep {
    /// Height of the block that settled.
    pub height: u64,
    /// Hash of that block, where it is known.
    pub block: Option<BlockId>,
    /// The facts handed in (borsh).
    #[serde(with = "hansa_ledger::bytes")]
    pub facts: Vec<u8>,
    /// The split that was paid (borsh); none where the contract failed before the end of the lease: then nothing was.
    #[serde(default, with = "hansa_ledger::bytes::option")]
    pub split: Option<Vec<u8>>,
    /// Fuel used.
    pub fuel: u64,
    /// Why the contract's answer did not count, if it did not (borsh).
    #[serde(default, with = "hansa_ledger::bytes::option")]
    pub failure: Option<Vec<u8>>,
}

impl ReplayBundle {
    /// Reads a bundle. `file` is the name by which a refusal calls it.
    ///
    /// # Errors
    /// Names the field that is wrong, or says that the format or version is another.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, ContractError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u16,
        }
        // Looked at first: of another version nothing else may be as it is here.
        let head: Head = file::from_json(file, bytes)?;
        if head.format != BUNDLE_FORMAT {
            let problem = format!("is `{}`, and a bundle of settlements has `{BUNDLE_FORMAT}`", head.format);
            return Err(ContractError::field(file, "format", problem));
        }
        if head.version != BUNDLE_VERSION {
            let problem = format!("is {}, and this program reads version {BUNDLE_VERSION}", head.version);
            return Err(ContractError::field(file, "version", problem)
                .hint("use a program of the federation's version"));
        }
        let bundle: Self = file::from_json(file, bytes)?;
        if bundle.settlements.is_empty() {
            return Err(ContractError::field(file, "settlements", "is empty: there is nothing to run again"));
        }
        Ok(bundle)
    }
}
