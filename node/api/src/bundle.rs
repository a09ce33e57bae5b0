//! Many transactions in one request: what is sent, and the verdict on each.

use hansa_ledger::id::TransactionId;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::transaction::SignedTransaction;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most transactions of one bundle.
pub const BUNDLE_TRANSACTIONS_MAX: usize = 4_096;

/// The most bytes of one bundle.
pub const BUNDLE_BYTES_MAX: usize = 1024 * 1024;

/// What became of one transaction of a bundle, in the place in which it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleVerdict {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TransactionId,
    /// 0 when it waits for a block now, else the fixed number of the refusal.
    pub code: u16,
}

impl BundleVerdict {
    /// Why it was refused, if it was. A number this program does not know counts as [`Rejection::Malformed`].
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        match self.code {
            0 => None,
            code => Some(Rejection::from_code(code).unwrap_or(Rejection::Malformed)),
        }
    }
}

/// The bytes of a bundle: borsh of the list of its transactions.
#[must_use]
pub fn encode(transactions: &[SignedTransaction]) -> Vec<u8> {
    borsh::to_vec(transactions).expect("encoding into memory cannot fail")
}

/// Reads a bundle: one to [`BUNDLE_TRANSACTIONS_MAX`] transactions, nothing left over. How large each may be is for the ledger's
/// parameters to say.
///
/// # Errors
/// What is wrong with the bytes, for a person.
pub fn decode(bytes: &[u8]) -> Result<Vec<SignedTransaction>, String> {
    let count = bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    // Looked at before the rest, so that a false count makes nobody reserve memory.
    match count {
        None => return Err("the body is no list of transactions: it is too short for a count".to_owned()),
        Some(0) => return Err("the bundle holds no transaction".to_owned()),
        Some(count) if count > BUNDLE_TRANSACTIONS_MAX => {
            return Err(format!(
                "the bundle holds {count} transactions, and may hold {BUNDLE_TRANSACTIONS_MAX}; send it in parts"
            ));
        }
        Some(_) => {}
    }
    borsh::from_slice(bytes).map_err(|error| format!("the body is no list of transactions: {error}"))
}
