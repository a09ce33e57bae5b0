//! What the ledger knows when it asks a contract.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::contract::Code;
use crate::terms::{Bps, Money, Party, Terms};

/// Who stands behind the figures of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Reported by the provider and countersigned by the requester.
    Both,
    /// Reported by the provider alone.
    ProviderOnly,
    /// Admitted by the requester alone.
    RequesterOnly,
}

/// Usage of one metering window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Window {
    /// Position of the window in the lease. Positions, not clocks, so that nobody's clock matters.
    pub index: u32,
    /// Units delivered (accelerator-seconds).
    pub delivered: u64,
    /// Units promised (accelerator-seconds).
    pub committed: u64,
    /// Seconds in which the capacity was up.
    pub up_secs: u32,
    /// Who stands behind these figures.
    pub source: Evidence,
}

/// A figure that the provider signed for a window beside its usage, such as the grams of CO2 that a kilowatt-hour caused. What
/// it measures, and in which unit, is the tariff's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Reading {
    /// The window.
    pub index: u32,
    /// The figure.
    pub value: u32,
}

/// Usage of the lease since its start, normalised by the ledger: ordered, unique, inside the lease.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Usage {
    /// Windows, by rising index. The ledger may leave out windows that are countersigned or undisputed; it never
    /// leaves out one that only the provider stands behind.
    pub windows: Vec<Window>,
    /// What the provider signed beside it, by rising index; windows without a figure are left out.
    pub readings: Vec<Reading>,
    /// Units delivered since the start of the lease, of all evidence, listed above or not.
    pub cumulative: u128,
}

impl Usage {
    /// The figure that the provider signed for a window; none where it signed none.
    #[must_use]
    pub fn reading(&self, index: u32) -> Option<u32> {
        let at = self.readings.binary_search_by_key(&index, |reading| reading.index).ok()?;
        self.readings.get(at).map(|reading| reading.value)
    }

    /// Units that only the provider stands behind.
    ///
    /// # Errors
    /// [`Code::CONTRADICTION`] if these are more than the cumulative usage.
    pub fn contested(&self) -> Result<u128, Code> {
        // Fewer than 2^64 windows of less than 2^64 each: their sum has a place in 128 bits.
        let contested = self
            .windows
            .iter()
            .filter(|window| window.source == Evidence::ProviderOnly)
            .fold(0u128, |sum, window| sum.wrapping_add(u128::from(window.delivered)));
        if contested > self.cumulative { Err(Code::CONTRADICTION) } else { Ok(contested) }
    }
}

/// The money of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Escrow {
    /// Locked for this lease since its start, including what was paid out of it since.
    pub locked: Money,
    /// Paid out of it so far, to all parties together.
    pub paid: Money,
    /// The provider's stake that may still be slashed.
    pub stake: Money,
}

/// Why the contract is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Trigger {
    /// The lease goes on; pay what is certain by now.
    Interim,
    /// The lease has ended and its usage is countersigned or was not challenged in time.
    Final,
    /// The lease has ended and the time to report has passed in silence.
    Expired,
    /// A party ended the lease early.
    Cancelled {
        /// Who did.
        by: Party,
    },
    /// The provider never delivered.
    NoShow,
    /// The dispute over the contested part of the usage was decided.
    Ruling {
        /// The provider's part of the contested usage.
        provider_bps: Bps,
    },
}

impl Trigger {
    /// Whether the lease is closed by this call: what is not paid then goes back to the requester.
    #[must_use]
    pub fn closes(self) -> bool {
        !matches!(self, Trigger::Interim)
    }
}

/// The circumstances of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ctx {
    /// Height of the block that asks.
    pub height: u64,
    /// Time of that block, Unix seconds.
    pub now: u64,
    /// Why the contract is asked.
    pub trigger: Trigger,
    /// Units left on the requester's allowance, if the lease draws on one.
    pub quota_left: Option<u128>,
}

/// Everything a contract may know.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Facts {
    /// [`crate::ABI_VERSION`] of the ledger.
    pub abi: u16,
    /// What was signed.
    pub terms: Terms,
    /// What was delivered.
    pub usage: Usage,
    /// What is at stake.
    pub escrow: Escrow,
    /// Why, when.
    pub ctx: Ctx,
    /// What this contract returned as state for this lease the last time; empty the first time.
    pub state: Vec<u8>,
}
