//! When a class is cleared: at the next batch after anything that could let a waiting request be served, and not before.
//!
//! A batch in which nothing trades would do the same a minute later, so it is not held. Whatever could make a difference
//! schedules one: actions do where they free capacity or ask for it; what bears on all classes is found here, from the rows
//! that a block has changed; and what the mere passing of time brings is found from the book of the last batch.

use crate::action::BlockInHand;
use crate::aid::next_quarter;
use crate::batch::{class_range, class_subject, is_funded, next_year};
use crate::demand::next_ramp;
use crate::id::{OrganisationId, RequestId};
use crate::journal::debit_headroom;
use crate::market::next_release;
use crate::market::{Book, LaneHint, Order, Reason};
use crate::member::MemberCode;
use crate::money::Money;
use crate::name::Name;
use crate::row::{AccountId, Class, Deadline, DeadlineKind, Entitlement, Member, Organisation};
use crate::tables::{
    Accounts, Classes, Deadlines, Entitlements, FiguresTable, Members, Offers, OffersOpen, Organisations,
    ParamsTable, RequestsOpen,
};
use crate::time::{Slot, TimeMs};
use std::collections::BTreeSet;

/// Whether a later batch could serve a request that was told this, with less capacity and at another price.
#[must_use]
pub fn may_pass(reason: Reason) -> bool {
    match reason {
        Reason::LimitBelowPrice
        | Reason::BatchFull
        | Reason::NoCapacityInWindow
        | Reason::PartialNotAllowed
        | Reason::GroupCapReached
        | Reason::NetDebitCap
        | Reason::AidCeiling
        | Reason::MemberReserveCap
        | Reason::CommercialCeiling
        | Reason::StakeUnfunded => true,
        Reason::WindowPassed
        | Reason::NoOfferOfClass
        | Reason::NoOfferMeetsConstraints
        | Reason::SameGroup
        | Reason::ContractRefused
        | Reason::NotEligibleForReserve
        | Reason::AskOverCreditCap
        | Reason::AlternativeServed
        | Reason::ContractStopped
        | Reason::NotAdmitted => false,
    }
}

impl BlockInHand<'_> {
    /// Sees to it that the class is cleared at the next multiple of the batch time; without effect when that is so already,
    /// or when nobody waits for anything.
    pub(crate) fn schedule_batch(&mut self, class: &Name) {
        self.schedule_from(class, self.now);
    }

    /// Sees to it that the class is cleared at the first multiple of the batch time after this moment that is not before
    /// `from`; without effect when it is cleared sooner already, or when nobody waits for anything.
    pub(crate) fn schedule_from(&mut self, class: &Name, from: TimeMs) {
        if self.is_wanted(class) {
            self.schedule_at(class, from);
        }
    }

    /// [`Self::schedule_from`], whether anybody waits or not.
    pub(crate) fn schedule_at(&mut self, class: &Name, from: TimeMs) {
        let Some(mut row) = self.view.get::<Classes>(class).cloned() else { return };
        let due = self.batch_from(from);
        if row.batch_due.is_some_and(|batch| batch <= due) {
            return;
        }
        let (kind, subject) = (DeadlineKind::Batch, class_subject(class));
        if let Some(later) = row.batch_due.replace(due) {
            self.view.remove::<Deadlines>(&Deadline { due: later, kind, subject });
        }
        self.view.put::<Classes>(class.clone(), row);
        self.view.put::<Deadlines>(Deadline { due, kind, subject }, ());
    }

    /// The first multiple of the batch time after this moment that is not before `from`.
    fn batch_from(&self, from: TimeMs) -> TimeMs {
        let step = self.params.batch_ms;
        let batches = |time: u64| time.checked_div(step).unwrap_or(0);
        let next = batches(self.now.0).saturating_add(1);
        TimeMs(next.max(batches(from.0.saturating_add(step.saturating_sub(1)))).saturating_mul(step))
    }

    /// Whether anybody waits for capacity of a class.
    pub(crate) fn is_wanted(&self, class: &Name) -> bool {
        class_range::<RequestsOpen, RequestId>(&self.view, class).next().is_some()
    }

    /// Sees to it that every class is cleared in which somebody waits, since something changed that bears on all.
    pub(crate) fn schedule_all(&mut self) {
        // A block that settles much asks for this as often, and nearly always finds that it is so already.
        let due = self.batch_from(self.now);
        let late = |row: &Class| row.batch_due.is_none_or(|batch| batch > due);
        let late = self.view.range::<Classes>(..).filter(|(class, row)| late(row) && self.is_wanted(class));
        let late: Vec<Name> = late.map(|(class, _)| class.clone()).collect();
        for class in &late {
            self.schedule_at(class, self.now);
        }
    }

    /// Schedules the batch of a class for the moment from which time alone could let one of its requests be served.
    pub(crate) fn schedule_wake(&mut self, class: &Name, book: &Book) {
        let times = [self.released_at(book), self.ramped_at(book), self.aided_at(book), self.year_at(book)];
        if let Some(first) = times.into_iter().flatten().min() {
            self.schedule_from(class, first);
        }
    }

    /// When more of the reserve is released that could serve somebody. A batch looks from the slot after the one in hand.
    fn released_at(&self, book: &Book) -> Option<TimeMs> {
        next_release(book).map(|slot| Slot(slot.0.saturating_sub(1)).begins(self.params.slot_s))
    }

    /// When a new group that waits for the reserve may hold more of it.
    fn ramped_at(&self, book: &Book) -> Option<TimeMs> {
        let ramps = entitled(book).filter(|order| order.reserve_cap_bps < 10_000);
        let groups: BTreeSet<_> = ramps.map(|order| order.group).collect();
        next_ramp(&self.view, self.params, self.now, book.capacity, &groups)
    }

    /// When aid of long ago counts no more against a group that waits for the reserve.
    fn aided_at(&self, book: &Book) -> Option<TimeMs> {
        let waits = entitled(book).any(|order| order.aid_left.is_some());
        waits.then(|| next_quarter(self.now))
    }

    /// When pools may sell to commercial users again.
    fn year_at(&self, book: &Book) -> Option<TimeMs> {
        let waits = book.orders.iter().any(|order| order.commercial);
        let binds = book.supplies.iter().any(|supply| supply.commercial_left.is_some());
        (waits && binds).then(|| next_year(self.now))
    }

    /// Schedules the batches that the changes of this block call for, beyond those that its actions have scheduled.
    pub(crate) fn schedule_changed(&mut self) {
        let rules =
            self.view.changed::<ParamsTable>().any(|(key, row)| row != self.view.before::<ParamsTable>(key));
        let owed = self.view.changed::<Members>();
        let owed = owed.into_iter().any(|(code, row)| self.may_owe_more(code, row));
        let organisations = self.view.changed::<Organisations>();
        let entitled = organisations
            .into_iter()
            .any(|(id, row)| row.is_some_and(|row| is_better(self.view.before::<Organisations>(id), row)));
        if rules || owed || entitled {
            // It bears on all classes.
            self.schedule_all();
            return;
        }
        for class in self.changed_classes() {
            self.schedule_batch(&class);
        }
    }

    fn may_owe_more(&self, code: &MemberCode, row: Option<&Member>) -> bool {
        let headroom = |row: Option<&Member>| row.and_then(debit_headroom).unwrap_or(0);
        headroom(row) > headroom(self.view.before::<Members>(code))
    }

    /// The classes of which some pool may sell more to commercial users, or in which a place among those that a batch
    /// considers has become free.
    fn changed_classes(&self) -> BTreeSet<Name> {
        let mut classes = BTreeSet::new();
        for (key, row) in self.view.changed::<Entitlements>() {
            let before = self.view.before::<Entitlements>(key);
            if row.is_some_and(|row| before.is_some_and(|before| may_sell_more(before, row))) {
                classes.insert(key.site.class.clone());
            }
        }
        for ((class, _), row) in self.view.changed::<OffersOpen>() {
            if row.is_none() {
                classes.insert(class.clone());
            }
        }
        classes.extend(self.staking_classes());
        let left = self.view.changed::<RequestsOpen>().filter(|(_, row)| row.is_none());
        let left: BTreeSet<&Name> = left.map(|((class, _), _)| class).collect();
        classes.extend(left.into_iter().filter(|class| self.was_full(class)).cloned());
        classes
    }

    /// The classes of offers that were kept out for want of a stake, and whose provider has the cash for it now.
    fn staking_classes(&self) -> BTreeSet<Name> {
        let richer: BTreeSet<OrganisationId> = self
            .view
            .changed::<Accounts>()
            .filter_map(|(key, row)| {
                let AccountId::Cash(organisation) = key else { return None };
                let before = self.view.before::<Accounts>(key).map_or(Money::ZERO, |row| row.balance);
                row.is_some_and(|row| row.balance > before).then_some(*organisation)
            })
            .collect();
        if richer.is_empty() {
            return BTreeSet::new();
        }
        let open = self.view.range::<OffersOpen>(..).map(|((class, id), ())| (class, id));
        open.filter(|(_, id)| {
            let offer = self.view.get::<Offers>(id);
            offer.is_some_and(|offer| {
                offer.stake_short != Money::ZERO
                    && richer.contains(&offer.provider)
                    && is_funded(&self.view, offer)
            })
        })
        .map(|(class, _)| class.clone())
        .collect()
    }

    /// Whether the last batch of a class did not consider all that waited.
    fn was_full(&self, class: &Name) -> bool {
        let epoch = self.view.get::<Classes>(class).map_or(0, |row| row.epoch);
        let figures = self.view.get::<FiguresTable>(&(class.clone(), epoch));
        figures.is_some_and(|figures| figures.unmatched.iter().any(|count| count.reason == Reason::BatchFull))
    }
}

fn entitled(book: &Book) -> impl Iterator<Item = &Order> {
    let entitled =
        |order: &&Order| order.eligible && order.credit.is_some() && order.lane != LaneHint::Market;
    book.orders.iter().filter(entitled)
}

/// Whether an organisation may now be served where it was not: its standing, class or accreditation is another, or longer.
fn is_better(before: Option<&Organisation>, row: &Organisation) -> bool {
    before.is_some_and(|before| {
        let same = (before.standing, before.class, before.group) == (row.standing, row.class, row.group);
        !same
            || row.accredited_until > before.accredited_until
            || row.accredited_since < before.accredited_since
    })
}

fn may_sell_more(before: &Entitlement, row: &Entitlement) -> bool {
    row.commercial_ceiling_bps > before.commercial_ceiling_bps
        || row.accelerators > before.accelerators
        || row.commercial_taken < before.commercial_taken
}
