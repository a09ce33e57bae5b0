//! Figures: what each batch decided, kept for the public, and how concentrated a class is after it.

use crate::action::BlockInHand;
use crate::id::GroupId;
use crate::market::{Bucket, BucketPrice, Hold, Lane, Reason, Trade};
use crate::name::Name;
use crate::row::{Concentration, Figures, GroupPart, ReasonCount};
use crate::tables::{Classes, FiguresTable};
use crate::time::Slot;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Largest shares that are told.
const LARGEST: usize = 3;

/// Basis points of a whole.
const WHOLE_BPS: u128 = 10_000;

/// Old rows that one batch removes at most: more than it adds, so that a lowered bound is reached soon, and few enough that
/// no block has much to do at once.
const REMOVED_MAX: usize = 64;

/// What a batch decided, in the course of being carried out.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    volumes: BTreeMap<Bucket, u64>,
    reserve_volume: u64,
    trades: u32,
    unmatched: BTreeMap<Reason, u32>,
}

impl Tally {
    /// A trade became a lease.
    pub(crate) fn awarded(&mut self, trade: &Trade) {
        let volume = u64::from(trade.quantity).saturating_mul(u64::from(trade.slots));
        let sum = match trade.lane {
            Lane::Reserve => &mut self.reserve_volume,
            Lane::Market => self.volumes.entry(trade.bucket).or_default(),
        };
        *sum = sum.saturating_add(volume);
        self.trades = self.trades.saturating_add(1);
    }

    /// What became leases of the market in a bucket, in accelerator-slots.
    pub(crate) fn volume(&self, bucket: Bucket) -> u64 {
        self.volumes.get(&bucket).copied().unwrap_or(0)
    }

    /// Requests that became leases, and those that did not by reason.
    #[must_use]
    pub fn count(&self) -> (u32, Vec<(Reason, u32)>) {
        (self.trades, self.unmatched.iter().map(|(reason, count)| (*reason, *count)).collect())
    }

    /// A request stayed open.
    pub(crate) fn unmatched(&mut self, reason: Reason) {
        let count = self.unmatched.entry(reason).or_default();
        *count = count.saturating_add(1);
    }
}

/// How concentrated `slot` is, from what groups hold.
#[must_use]
pub fn concentration(holds: impl IntoIterator<Item = Hold>, slot: Slot) -> Concentration {
    let mut of_group: BTreeMap<GroupId, u64> = BTreeMap::new();
    for hold in holds.into_iter().filter(|hold| hold.quantity > 0 && hold.start <= slot && slot < hold.end) {
        let held = of_group.entry(hold.group).or_default();
        *held = held.saturating_add(u64::from(hold.quantity));
    }
    let held = of_group.values().fold(0u64, |sum, held| sum.saturating_add(*held));
    let share = |part: u128, whole: u128| {
        let bps = part.saturating_mul(WHOLE_BPS).checked_div(whole).unwrap_or(0);
        u16::try_from(bps.min(WHOLE_BPS)).unwrap_or(0)
    };
    // Accelerators of one class in one slot: their squares times 10,000 stay far below 2^128.
    let square = |held: u64| u128::from(held).saturating_mul(u128::from(held));
    let squares = of_group.values().fold(0u128, |sum, held| sum.saturating_add(square(*held)));
    let mut largest: Vec<(GroupId, u64)> = of_group.iter().map(|(group, held)| (*group, *held)).collect();
    largest.sort_by_key(|(group, held)| (Reverse(*held), *group));
    let part = |(group, own): (GroupId, u64)| GroupPart {
        group,
        share_bps: share(u128::from(own), u128::from(held)),
    };
    Concentration {
        slot,
        held,
        groups: u32::try_from(of_group.len()).unwrap_or(u32::MAX),
        hhi_bps: share(squares, square(held)),
        largest: largest.into_iter().take(LARGEST).map(part).collect(),
    }
}

impl BlockInHand<'_> {
    /// Keeps the figures of batch `epoch` of a class, to which `orders` requests had come, and forgets those of long ago.
    pub(crate) fn keep_figures(
        &mut self,
        class: &Name,
        epoch: u64,
        orders: usize,
        prices: Vec<BucketPrice>,
        tally: Tally,
    ) {
        let slot = Slot(self.now.slot(self.params.slot_s).0.saturating_add(1));
        let concentration = concentration(self.holds(class), slot);
        let count = |(reason, requests)| ReasonCount { reason, requests };
        let figures = Figures {
            cleared_at: self.now,
            prices: prices
                .into_iter()
                .map(|price| BucketPrice { volume: tally.volume(price.bucket), ..price })
                .collect(),
            reserve_volume: tally.reserve_volume,
            trades: tally.trades,
            unmatched: tally.unmatched.into_iter().map(count).collect(),
            open: u32::try_from(orders).unwrap_or(u32::MAX).saturating_sub(tally.trades),
            capacity: self.view.get::<Classes>(class).map_or(0, |row| row.capacity),
            concentration,
        };
        self.view.put::<FiguresTable>((class.clone(), epoch), figures);
        let Some(last) = epoch.checked_sub(u64::from(self.params.figures_epochs_max)) else { return };
        let old = (class.clone(), 0)..=(class.clone(), last);
        let old: Vec<_> =
            self.view.range::<FiguresTable>(old).take(REMOVED_MAX).map(|(key, _)| key.clone()).collect();
        for key in old {
            self.view.remove::<FiguresTable>(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(group: u8, quantity: u32) -> Hold {
        Hold { group: GroupId([group; 32]), start: Slot(10), end: Slot(20), quantity, reserve: None }
    }

    #[test]
    fn concentration_counts_the_shares_of_groups_in_one_slot() {
        for (holds, slot, held, hhi_bps, largest) in [
            (vec![], 10, 0, 0, vec![]),
            (vec![hold(1, 7)], 10, 7, 10_000, vec![(1, 10_000)]),
            (vec![hold(1, 7)], 9, 0, 0, vec![]),
            (vec![hold(1, 7)], 20, 0, 0, vec![]),
            // Two leases of one group are one share.
            (vec![hold(1, 1), hold(2, 2), hold(1, 1)], 19, 4, 5_000, vec![(1, 5_000), (2, 5_000)]),
            (
                vec![hold(1, 1), hold(2, 1), hold(3, 1)],
                15,
                3,
                3_333,
                vec![(1, 3_333), (2, 3_333), (3, 3_333)],
            ),
            (
                vec![hold(1, 1), hold(2, 4), hold(3, 2), hold(4, 3)],
                15,
                10,
                3_000,
                vec![(2, 4_000), (4, 3_000), (3, 2_000)],
            ),
        ] {
            let found = concentration(holds, Slot(slot));
            let parts: Vec<_> = found.largest.iter().map(|part| (part.group.0[0], part.share_bps)).collect();
            assert_eq!((found.held, found.hhi_bps, parts), (held, hhi_bps, largest));
        }
    }

    proptest::proptest! {
        #[test]
        fn shares_never_sum_to_more_than_a_whole_and_bound_the_index(
            parts in proptest::collection::vec((0u8..6, 0u32..=u32::MAX), 0..40),
        ) {
            let found = concentration(parts.iter().map(|(group, quantity)| hold(*group, *quantity)), Slot(12));
            let sum: u32 = found.largest.iter().map(|part| u32::from(part.share_bps)).sum();
            assert!(sum <= 10_000);
            assert!(found.largest.len() <= 3 && found.largest.len() <= found.groups as usize);
            assert!(found.largest.is_sorted_by(|one, two| one.share_bps >= two.share_bps));
            // The index lies between that of equal shares and the largest share.
            let largest = found.largest.first().map_or(0, |part| part.share_bps);
            assert!(found.hhi_bps <= largest);
            let least = 10_000u32.checked_div(found.groups).unwrap_or(0);
            assert!(found.held == 0 || u32::from(found.hhi_bps) >= least);
        }
    }
}
