//! Leases, jobs, settlements and contracts.

use hansa_ledger::id::{CodeHash, LeaseId};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use hansa_ledger::row::{Job, Lease, Settlement};
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
    /// Size of its code, in bytes.
    pub bytes: u64,
    /// Its code in hexadecimal, if asked for.
    #[serde(with = "hansa_ledger::bytes::option", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub code: Option<Vec<u8>>,
}
