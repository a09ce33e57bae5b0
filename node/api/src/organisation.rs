//! Members, organisations, their keys and their money.

use hansa_ledger::id::{GrantId, OrganisationId};
use hansa_ledger::journal::debit_headroom;
use hansa_ledger::member::MemberCode;
use hansa_ledger::money::Money;
use hansa_ledger::row::{Grant, Key, Member, Organisation, Quota};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A member state, or the joint undertaking, with its position and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberInfo {
    /// Its code.
    #[schema(value_type = String)]
    pub code: MemberCode,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Member,
    /// What it may still come to owe.
    #[schema(value_type = String)]
    pub debit_headroom: Money,
    /// What it may still issue.
    #[schema(value_type = String)]
    pub issue_headroom: Money,
}

impl MemberInfo {
    /// A member with what follows from its row.
    #[must_use]
    pub fn new(code: MemberCode, row: Member) -> Self {
        let headroom = debit_headroom(&row).unwrap_or(0);
        let outstanding = row.issued.0.saturating_sub(row.redeemed.0);
        Self {
            code,
            debit_headroom: Money(u64::try_from(headroom).unwrap_or(u64::MAX)),
            issue_headroom: Money(row.issue_limit.0.saturating_sub(outstanding)),
            row,
        }
    }
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: OrganisationId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Organisation,
}

/// An organisation with its keys and purses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationDetail {
    /// Who it is.
    #[serde(flatten)]
    pub organisation: OrganisationInfo,
    /// Its keys, taken back ones too.
    pub key_list: Vec<KeyInfo>,
    /// What its cash purse holds.
    #[schema(value_type = String)]
    pub cash: Money,
    /// Its grants, with what each holds.
    pub grants: Vec<GrantInfo>,
    /// What its open requests and leases hold in escrow.
    #[schema(value_type = String)]
    pub escrowed: Money,
    /// What it used of its quota, in the epoch in which it last sent something.
    #[schema(value_type = Option<Object>)]
    pub quota: Option<Quota>,
}

/// A key that may sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyInfo {
    /// The key.
    #[schema(value_type = String)]
    pub key: PublicKey,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Key,
    /// The nonce of its next transaction, those counted that wait on this node.
    pub next_nonce: u64,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: GrantId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: Grant,
    /// What it still holds; what is in escrow is not counted.
    #[schema(value_type = String)]
    pub balance: Money,
}
