//! Blocks and transactions.

use hansa_ledger::block::{Header, Receipt, Receipts};
use hansa_ledger::id::{BlockId, TransactionId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::SignedTransaction;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A final block, and what proves that it is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockInfo {
    /// The hash of its header.
    #[schema(value_type = String)]
    pub id: BlockId,
    /// Its header.
    #[schema(value_type = Object)]
    pub header: Header,
    /// The ids of its transactions, in order.
    #[schema(value_type = Vec<String>)]
    pub transactions: Vec<TransactionId>,
    /// The ids of transactions that its proposer had seen waiting and did not include, rising.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub waiting: Vec<TransactionId>,
    /// What stands in it, for members; everybody else asks for transactions of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<BlockContent>,
    /// The certificate: borsh, in hexadecimal. See [`crate::certificate`].
    #[serde(with = "hansa_ledger::bytes")]
    #[schema(value_type = String)]
    pub certificate: Vec<u8>,
}

/// What stands in a block, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockContent {
    /// Its transactions, in order.
    #[schema(value_type = Vec<Object>)]
    pub transactions: Vec<SignedTransaction>,
    /// What became of it.
    #[schema(value_type = Object)]
    pub receipts: Receipts,
}

/// What has become of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TransactionStatus {
    /// The node has not heard of it, or has dropped it.
    Unknown,
    /// It waits for a block.
    Waiting,
    /// It stands in a block for good.
    Final(FinalTransaction),
}

/// A transaction that stands in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FinalTransaction {
    /// The block's height.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
    /// The block's time.
    #[schema(value_type = String)]
    pub time: TimeMs,
    /// What it did, or why it was refused. Its events are those that the reader may see.
    #[schema(value_type = Object)]
    pub receipt: Receipt,
}

impl FinalTransaction {
    /// Why the ledger refused it, if it did. A number this program does not know counts as [`Rejection::Malformed`].
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        match self.receipt.code {
            0 => None,
            code => Some(Rejection::from_code(code).unwrap_or(Rejection::Malformed)),
        }
    }
}

/// A transaction, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionInfo {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TransactionId,
    /// What has become of it.
    #[serde(flatten)]
    pub status: TransactionStatus,
}
