//! Transactions that wait though proposers have seen them.

use crate::member::MemberCode;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// A transaction that proposers have seen waiting and not included.
    pub struct Waiting {
        /// Who listed it, by code.
        pub listed_by: Vec<MemberCode>,
        /// The last height whose proposer listed it.
        pub listed_last: u64,
        /// The height at which more had listed it than can be at fault together.
        pub since: Option<u64>,
    }
}
