//! Contracts: uploading, approving, ending, renewing, stopping and resuming them, and the names that point to them.

use super::{Context, Perform};
use crate::id::CodeHash;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::{AccountId, Contract, ContractVoteKind, Deployer, Office, Principal, Roles, data};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The largest module, in bytes. A transaction has room for one, unless the members voted for smaller transactions.
pub use hansa_contracts_abi::limits::MODULE_BYTES_MAX;

/// The longest reason for a quarantine, in bytes.
pub const REASON_BYTES_MAX: usize = 200;

data! {
    /// Brings the code of a contract onto the ledger, against a deposit for its bytes. Signed by a key of an organisation with
    /// the contract role, or by a member's treasury. Code that is on the ledger already is refused, whoever brought it: it can be
    /// approved and used all the same.
    pub struct UploadContract {
        /// What it is called; for people, and no alias.
        pub name: Name,
        /// The module.
        #[serde(with = "crate::bytes")]
        pub code: Vec<u8>,
        /// The budget line that pays the deposit, where a treasury uploads.
        #[serde(default)]
        pub budget_line: Option<Name>,
    }

    /// Approves a contract that was uploaded. Signed by a member's governance office; one member, one approval.
    pub struct ApproveContract {
        /// Which.
        pub code: CodeHash,
    }

    /// Ends a contract: one that is not active yet is withdrawn, an active one can be named by no new offer or lease. Done at
    /// once for who deployed it; a vote where a member's governance office signs.
    pub struct DeprecateContract {
        /// Which.
        pub code: CodeHash,
    }

    /// Lets new leases use an active contract for as long again. Signed by who deployed it, or by a member's governance office.
    pub struct RenewContract {
        /// Which.
        pub code: CodeHash,
    }

    /// Votes to stop a contract. Signed by a member's governance office.
    pub struct QuarantineContract {
        /// Which.
        pub code: CodeHash,
        /// Why, for all to read; the reason of the vote that decides is kept.
        pub reason: String,
    }

    /// Votes to let a contract that was stopped run again. Signed by a member's governance office.
    pub struct ResumeContract {
        /// Which.
        pub code: CodeHash,
    }

    /// Votes for where an alias is to point. Signed by a member's governance office.
    pub struct SetAlias {
        /// The alias.
        pub name: Name,
        /// The contract; an active one.
        pub code: CodeHash,
    }
}

impl Context<'_, '_> {
    /// Who uploads, and what pays the deposit.
    fn deployer(&self, budget_line: Option<&Name>) -> Result<Deployer, Rejection> {
        let key = self.signer;
        match (self.any_office(), budget_line) {
            (Ok(_), line) => {
                let home = self.office(Office::Treasury, Rejection::NotTreasury)?;
                let line = line.cloned().ok_or(Rejection::DepositSourceInvalid)?;
                let principal = Principal::Office(home, Office::Treasury);
                Ok(Deployer { principal, key, home, purse: AccountId::Line(home, line) })
            }
            (Err(_), line) => {
                let (id, organisation) = self.organisation(Roles::CONTRACT)?;
                if line.is_some() {
                    return Err(Rejection::DepositSourceInvalid);
                }
                let (principal, home) = (Principal::Organisation(id), organisation.home);
                Ok(Deployer { principal, key, home, purse: AccountId::Cash(id) })
            }
        }
    }

    /// Whether who deployed the contract signs. One that lost its accreditation may still end what it brought.
    fn deployer_signs(&self, row: &Contract) -> Result<bool, Rejection> {
        match row.deployer.as_ref().map(|deployer| deployer.principal) {
            Some(Principal::Organisation(own)) => {
                let signer = self.organisation_any_standing(Roles(0)).ok().filter(|(id, _)| *id == own);
                if signer.is_some() {
                    self.organisation_any_standing(Roles::CONTRACT)?;
                }
                Ok(signer.is_some())
            }
            Some(Principal::Office(member, office)) if self.any_office() == Ok((member, office)) => {
                self.office(office, Rejection::NotDeployer).map(|_| true)
            }
            _ => Ok(false),
        }
    }
}

impl Perform for UploadContract {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        if (1..=MODULE_BYTES_MAX).contains(&self.code.len()) {
            Ok(())
        } else {
            Err(Rejection::ModuleSizeInvalid)
        }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let deployer = context.deployer(self.budget_line.as_ref())?;
        let purse = deployer.purse.clone();
        let before = context.balance(&purse);
        context.upload_contract(&self.name, &self.code, deployer)?;
        let deposit = before.checked_sub(context.balance(&purse)).ok_or(Rejection::Overflow)?;
        context.within_key_limit(deposit)
    }
}

impl Perform for ApproveContract {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = context.office(Office::Governance, Rejection::NotGovernance)?;
        context.approve_contract(self.code, member)
    }
}

impl Perform for DeprecateContract {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let row = context.contract(&self.code)?;
        if context.deployer_signs(&row)? {
            return context.end_contract(self.code, row);
        }
        let member = context.office(Office::Governance, Rejection::NotDeployer)?;
        context.vote_on_contract(self.code, member, ContractVoteKind::Deprecate, None)
    }
}

impl Perform for RenewContract {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let row = context.contract(&self.code)?;
        if !context.deployer_signs(&row)? {
            context.office(Office::Governance, Rejection::NotDeployer)?;
        }
        context.renew_contract(self.code, row)
    }
}

impl Perform for QuarantineContract {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        let plain = !self.reason.trim().is_empty() && !self.reason.chars().any(char::is_control);
        if plain && self.reason.len() <= REASON_BYTES_MAX { Ok(()) } else { Err(Rejection::ReasonInvalid) }
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = context.office(Office::Governance, Rejection::NotGovernance)?;
        let reason = Some(self.reason.clone());
        context.vote_on_contract(self.code, member, ContractVoteKind::Quarantine, reason)
    }
}

impl Perform for ResumeContract {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = context.office(Office::Governance, Rejection::NotGovernance)?;
        context.vote_on_contract(self.code, member, ContractVoteKind::Resume, None)
    }
}

impl Perform for SetAlias {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let member = context.office(Office::Governance, Rejection::NotGovernance)?;
        context.vote_on_alias(&self.name, self.code, member)
    }
}
