//! Disputes over the usage of leases.

use super::Disputant;
use crate::member::MemberCode;
use crate::money::Money;
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// What a member of a panel ruled.
    pub struct PanelVote {
        /// Which.
        pub member: MemberCode,
        /// The provider's part of what is contested, in basis points.
        pub provider_bps: u16,
    }

    /// A dispute over a lease: what of its usage nobody could agree on, and who decides it.
    pub struct Dispute {
        /// Who opened it.
        pub by: Disputant,
        /// Why, by a number that those who read it agree on; the ledger does not.
        pub reason: u16,
        /// Cumulative accelerator-seconds that are not contested.
        pub admitted: u64,
        /// Cumulative accelerator-seconds that the provider claims.
        pub reported: u64,
        /// What the opener pays if the panel finds for the other side.
        pub bond: Money,
        /// The member on whose side of the books the bond stands.
        pub bond_home: MemberCode,
        /// The members that rule: those with a vote that are home to no party and sponsor nothing.
        pub panel: Vec<MemberCode>,
        /// Who ruled what, by member.
        pub votes: Vec<PanelVote>,
        /// When it was opened.
        pub opened_at: TimeMs,
        /// When it is decided as signed if the panel has not ruled.
        pub due: TimeMs,
        /// What was decided, once it is: the provider's part in basis points.
        pub decided: Option<u16>,
        /// Whether a majority decided or one side gave in; else it was decided as signed.
        pub ruled: bool,
    }
}

/// The fewest members that can rule.
pub const PANEL_MIN: usize = 3;

impl Dispute {
    /// The value that more than half of the panel ruled.
    #[must_use]
    pub fn majority(&self) -> Option<u16> {
        self.votes.iter().map(|vote| vote.provider_bps).find(|value| {
            let same = self.votes.iter().filter(|vote| vote.provider_bps == *value).count();
            same.saturating_mul(2) > self.panel.len()
        })
    }
}
