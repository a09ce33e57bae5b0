//! Public figures of a class, batch by batch.

use crate::id::GroupId;
use crate::market::{BucketPrice, Reason};
use crate::time::{Slot, TimeMs};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// What a batch of a class decided, and who holds the class after it. Public, and without anybody's name.
    pub struct Figures {
        /// When the class was cleared.
        pub cleared_at: TimeMs,
        /// Price of each bucket that cleared, with the accelerator-slots that were leased at it.
        pub prices: Vec<BucketPrice>,
        /// Accelerator-slots awarded out of the reserve, by need.
        pub reserve_volume: u64,
        /// Requests that became leases.
        pub trades: u32,
        /// Requests that did not, by reason.
        pub unmatched: Vec<ReasonCount>,
        /// Requests that wait for the class after the batch.
        pub open: u32,
        /// Accredited accelerators of the class.
        pub capacity: u32,
        /// Who holds the class after the batch.
        pub concentration: Concentration,
    }

    /// How many requests stayed open for one reason.
    pub struct ReasonCount {
        /// Why.
        pub reason: Reason,
        /// How many.
        pub requests: u32,
    }

    /// How unevenly the leased accelerators of a class are spread over beneficial-owner groups, in one slot.
    pub struct Concentration {
        /// The slot: the first that the batch could award.
        pub slot: Slot,
        /// Accelerators under lease in it, over all groups.
        pub held: u64,
        /// Groups that hold any of them.
        pub groups: u32,
        /// Herfindahl-Hirschman index: the sum of the squares of the groups' shares of what is held, in basis points;
        /// 10,000 where one group holds everything, 0 where nothing is leased.
        pub hhi_bps: u16,
        /// The three largest shares, the largest first.
        pub largest: Vec<GroupPart>,
    }

    /// A group's part of what is held.
    pub struct GroupPart {
        /// The group, by its pseudonym.
        pub group: GroupId,
        /// Its share, in basis points, rounded down.
        pub share_bps: u16,
    }
}
