//! What a contract answers.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::terms::{Money, Party};

/// The most a lease may need, asked before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Quote {
    /// Escrow to lock from the requester. No settlement may pay more.
    pub lock: Money,
    /// Stake to hold from the provider.
    pub stake: Money,
}

/// Something a contract wants on record. Nothing else can be logged.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Note {
    /// Meaning, defined by the template.
    pub code: u16,
    /// Detail, defined by the template; at most [`crate::limits::NOTE_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// Who gets how much. Amounts are cumulative since the start of the lease, so that the number of settlements cannot
/// change the sum.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Split {
    /// Cumulative payment per party, by rising party.
    pub pay: Vec<(Party, Money)>,
    /// Taken from the provider's stake. Who receives it is the ledger's rule, never the contract's choice.
    pub slash: Money,
    /// Units taken from the requester's allowance.
    pub consume: u128,
    /// What goes on record.
    pub notes: Vec<Note>,
    /// What this contract wants to be told the next time; at most [`crate::limits::STATE_BYTES_MAX`].
    pub state: Vec<u8>,
}
