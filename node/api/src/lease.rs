//! Leases, jobs, settlements and contracts.

use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::row::{
    ContractMoment, ContractState, ContractSummary, Dispute, Interim, Job, Lease, Principal, Settlement,
};
use hansa_ledger::time::TimeMs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LeaseId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Lease,
}

/// A job of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobInfo {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// Its number in the lease, counted from 0.
    pub job: u32,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Job,
}

/// How a lease was settled, complete enough to run the contract again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettlementInfo {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Settlement,
}

/// A settlement of a lease that went on, or the attempt at one, complete enough to run the contract again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterimInfo {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// Its number in the lease, counted from 0.
    pub number: u32,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Interim,
}

/// A dispute over the usage of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DisputeInfo {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Dispute,
}

/// What extending a lease would give and take now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExtensionInfo {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// By how many slots.
    pub slots: u32,
    /// Its end then.
    #[schema(value_type = String)]
    pub end: TimeMs,
    /// The price per accelerator-hour: the lease's own.
    #[schema(value_type = String)]
    pub price: Price,
    /// What would be locked for the whole lease.
    #[schema(value_type = String)]
    pub locked: Money,
    /// What of that would be locked on top.
    #[schema(value_type = String)]
    pub added: Money,
}

/// A contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractInfo {
    /// The hash of its code.
    #[schema(value_type = String)]
    pub hash: CodeHash,
    /// What it is called.
    #[schema(value_type = String)]
    pub name: Name,
    /// Aliases that point to it.
    #[schema(value_type = Vec<String>)]
    pub aliases: Vec<Name>,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: ContractState,
    /// Where it returns to, while it is quarantined.
    #[schema(value_type = Option<String>)]
    pub quarantined_from: Option<ContractState>,
    /// Why it is quarantined.
    pub reason: Option<String>,
    /// Who uploaded it; none where it stood in the genesis.
    #[schema(value_type = Option<Object>)]
    pub deployer: Option<Principal>,
    /// What is in it; none before the first block.
    #[schema(value_type = Option<Object>)]
    pub summary: Option<ContractSummary>,
    /// When it was uploaded.
    #[schema(value_type = String)]
    pub uploaded_at: TimeMs,
    /// Until when it may be approved.
    #[schema(value_type = String)]
    pub approve_until: TimeMs,
    /// Members that have approved it.
    #[schema(value_type = Vec<String>)]
    pub approvals: Vec<MemberCode>,
    /// From when on it may be used, once enough have approved.
    #[schema(value_type = Option<String>)]
    pub active_from: Option<TimeMs>,
    /// Until when new leases may use it.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<TimeMs>,
    /// What is held for its bytes.
    #[schema(value_type = String)]
    pub deposit: Money,
    /// Leases that are not settled and name it.
    pub leases: u64,
    /// Open offers that name it.
    pub offers: u64,
    /// Leases that it, or the signed fallback in its place, has settled.
    pub settlements: u64,
    /// Settlements at which it failed.
    pub failures: u64,
    /// Where it stood, and since when.
    #[schema(value_type = Vec<Object>)]
    pub history: Vec<ContractMoment>,
    /// Size of its code, in bytes; 0 when it is archived and has settled nothing.
    pub bytes: u64,
    /// Its code in hexadecimal, if asked for.
    #[serde(with = "hansa_ledger::bytes::option", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub code: Option<Vec<u8>>,
}
