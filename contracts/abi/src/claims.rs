//! Who may have a lease: what a contract is told of the requester, and what it answers.

use borsh::{BorshDeserialize, BorshSerialize};

/// What is attested of a requester. Few distinct values on purpose: the answer for one requester holds for all of whom
/// the same is attested, and a contract cannot tell two of them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Claims {
    /// Member that is home to the requester, as its two-letter ISO code.
    pub home: [u8; 2],
    /// Kind of organisation, by its number on the ledger.
    pub class: u8,
    /// Member whose grant pays, if one does.
    pub sponsor: Option<[u8; 2]>,
    /// What that grant is for, by its number on the ledger.
    pub purpose: Option<u8>,
}

/// Whether a requester may have a lease. The order is wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Admission {
    /// It may.
    Yes,
    /// It may not, for this reason of the contract's own.
    No(u32),
}
