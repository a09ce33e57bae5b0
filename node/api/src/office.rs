//! The offices of the members: their keys, and their orders that await approval.

use crate::organisation::KeyInfo;
use hansa_ledger::id::OrderId;
use hansa_ledger::member::MemberCode;
use hansa_ledger::row::{Office, OfficeOrder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An office of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfficeInfo {
    /// The member.
    #[schema(value_type = String)]
    pub member: MemberCode,
    /// Which of its offices.
    #[schema(value_type = String)]
    pub office: Office,
    /// How many of its keys it takes to act.
    pub threshold: u32,
    /// Keys that may sign.
    pub keys: u32,
    /// Orders that await approval.
    pub orders: u32,
    /// Its keys, taken back ones too.
    pub key_list: Vec<KeyInfo>,
}

/// An order of an office that awaits approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: OrderId,
    /// Its row on the ledger.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub row: OfficeOrder,
    /// Approvals that count: those of keys that were not taken back since.
    pub counted: u32,
    /// How many it takes now.
    pub threshold: u32,
}

impl OrderInfo {
    /// How many keys still have to approve it.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.threshold.saturating_sub(self.counted)
    }
}
