//! Rows of the member states' offices.

use super::Office;
use crate::action::Action;
use crate::id::{OrderId, TransactionId};
use crate::member::MemberCode;
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

/// The most keys of one office that may sign.
pub const OFFICE_KEYS_MAX: u32 = 16;

data! {
    /// How many keys an office has, and how many of them it takes to act.
    pub struct OfficeKeys {
        /// Keys it takes.
        pub threshold: u32,
        /// Keys that may sign; those taken back are not counted.
        pub keys: u32,
        /// Orders that await approval.
        pub orders: u32,
    }

    /// What one key of an office proposed and too few others have approved so far.
    pub struct OfficeOrder {
        /// The member.
        pub member: MemberCode,
        /// Its office.
        pub office: Office,
        /// What is to be done.
        pub action: Action,
        /// The transaction that placed it; ids of what the action makes derive from it and the position.
        pub transaction: TransactionId,
        /// Position of the action in that transaction.
        pub position: u32,
        /// The key that proposed it; it may take it back.
        pub proposer: PublicKey,
        /// The keys that approved it, the proposer's among them, in ascending order. A key that was taken back since does not
        /// count.
        pub approvals: Vec<PublicKey>,
        /// When it was placed.
        pub placed_at: TimeMs,
        /// When it lapses.
        pub due: TimeMs,
    }
}

impl OfficeOrder {
    /// Approvals that count: those of keys for which `may_sign` holds.
    #[must_use]
    pub fn count_approvals(&self, may_sign: impl Fn(&PublicKey) -> bool) -> u32 {
        self.approvals.iter().filter(|key| may_sign(key)).fold(0, |count, _| count.saturating_add(1))
    }

    /// The id of the order that action `position` of a transaction places.
    #[must_use]
    pub fn id(transaction: TransactionId, position: u32) -> OrderId {
        OrderId::derive(&(transaction, position))
    }
}
