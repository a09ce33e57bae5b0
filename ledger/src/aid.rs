//! Aid: what awards out of the reserve pay less than the market price, summed per beneficial-owner group over three years.

use crate::action::BlockInHand;
use crate::event::Event;
use crate::id::{GroupId, LeaseId};
use crate::money::{Money, Price};
use crate::params::Params;
use crate::row::{Aid, AidEntry, AidPart};
use crate::state::View;
use crate::tables::Aids;
use crate::time::TimeMs;

/// Milliseconds in a quarter of a mean year.
const QUARTER_MS: u64 = 7_889_400_000;

/// Quarters that count: the one in hand and twelve before it, so that no day of three years is left out.
const QUARTERS: u32 = 13;

fn quarter_of(now: TimeMs) -> u32 {
    u32::try_from(now.0.checked_div(QUARTER_MS).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// When the next quarter begins, and the oldest that counted counts no more.
pub(crate) fn next_quarter(now: TimeMs) -> TimeMs {
    TimeMs(u64::from(quarter_of(now)).saturating_add(1).saturating_mul(QUARTER_MS))
}

/// The aid a group has had in three years, exact to the quarter.
#[must_use]
pub fn aid_sum(view: &View<'_>, group: GroupId, now: TimeMs) -> Money {
    let last = quarter_of(now);
    let first = last.saturating_sub(QUARTERS.saturating_sub(1));
    let range = (group, AidPart::Quarter(first))..=(group, AidPart::Quarter(last));
    view.range::<Aids>(range).fold(Money::ZERO, |sum, (_, entry)| match entry {
        AidEntry::Sum(amount) => Money(sum.0.saturating_add(amount.0)),
        AidEntry::Award(_) => sum,
    })
}

/// How much more aid a group may get, in uEUR; none for no ceiling.
#[must_use]
pub fn aid_left(view: &View<'_>, params: &Params, group: GroupId, now: TimeMs) -> Option<u128> {
    let left = params.aid_ceiling.saturating_sub(aid_sum(view, group, now).0);
    (params.aid_ceiling > 0).then_some(u128::from(left))
}

/// The aid in `seconds` accelerator-seconds at `price` against `basis`.
fn aid_of(basis: Price, price: Price, seconds: u64) -> Money {
    let worth = basis.charge(seconds).unwrap_or(Money(u64::MAX));
    let paid = price.charge(seconds).unwrap_or(Money(u64::MAX));
    worth.checked_sub(paid).unwrap_or(Money::ZERO)
}

impl BlockInHand<'_> {
    /// Enters the aid of an award into the group's account.
    pub(crate) fn grant_aid(&mut self, id: LeaseId, group: GroupId, aid: Aid) {
        if aid.amount == Money::ZERO {
            return;
        }
        let Aid { amount, basis, price, member, .. } = aid;
        let quarter = quarter_of(aid.awarded_at);
        self.view.put::<Aids>((group, AidPart::Lease(id)), AidEntry::Award(aid));
        self.move_sum(group, quarter, |sum| sum.saturating_add(amount.0));
        self.forget_quarters(group, quarter);
        self.emit(Event::AidGranted { lease: id, group, member, amount, basis, price });
    }

    /// Takes back the aid for what a lease did not use: what stays is the aid in `used` accelerator-seconds.
    pub(crate) fn return_aid(&mut self, id: LeaseId, group: GroupId, used: u64) {
        let key = (group, AidPart::Lease(id));
        let Some(AidEntry::Award(aid)) = self.view.get::<Aids>(&key).cloned() else { return };
        let kept = aid_of(aid.basis, aid.price, used).min(aid.amount);
        let amount = aid.amount.checked_sub(kept).unwrap_or(Money::ZERO);
        if amount == Money::ZERO {
            return;
        }
        // A quarter that no longer counts may have been forgotten, and then there is nothing to correct.
        self.move_sum(group, quarter_of(aid.awarded_at), |sum| sum.saturating_sub(amount.0));
        self.view.put::<Aids>(key, AidEntry::Award(Aid { returned: amount, ..aid }));
        self.emit(Event::AidReturned { lease: id, group, amount });
    }

    pub(crate) fn move_sum(&mut self, group: GroupId, quarter: u32, change: impl Fn(u64) -> u64) {
        let key = (group, AidPart::Quarter(quarter));
        let before = match self.view.get::<Aids>(&key) {
            Some(AidEntry::Sum(sum)) => sum.0,
            _ => 0,
        };
        match change(before) {
            0 if before == 0 => {}
            0 => self.view.remove::<Aids>(&key),
            after => self.view.put::<Aids>(key, AidEntry::Sum(Money(after))),
        }
    }

    /// Removes the sums that no longer count, so that a group's account does not grow with its years.
    fn forget_quarters(&mut self, group: GroupId, quarter: u32) {
        let first = quarter.saturating_sub(QUARTERS.saturating_sub(1));
        let old = (group, AidPart::Quarter(0))..(group, AidPart::Quarter(first));
        let old: Vec<_> = self.view.range::<Aids>(old).map(|(key, _)| *key).collect();
        for key in old {
            self.view.remove::<Aids>(&key);
        }
    }
}
