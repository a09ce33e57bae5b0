//! Why a request found no place: the first constraint under which nothing is left.

use super::columns::{before, bit, columns_of, words_for};
use super::fit::{Constraint, View};
use super::floor::{Bid, Source};
use super::reason::{Detail, Reason};
use super::shape::Shapes;
use crate::money::Money;

/// A calendar of one offer.
type Place = (Source, usize);

impl View<'_, '_> {
    /// What kept the bid, which found no place, from the first `reach` columns.
    ///
    /// The constraints are asked after one by one, each with those before it; the first that leaves no offer is the reason.
    pub(super) fn obstacle(&self, bid: &Bid, reach: usize, shapes: &Shapes) -> (Reason, Detail) {
        let mut detail =
            Detail { cheapest_ask: Some(self.found[bid.compatible].cheapest), ..Detail::default() };
        let Some(mut left) = self.with_capacity(bid, reach, shapes) else {
            return (Reason::NoOfferMeetsConstraints, detail);
        };
        if left.is_empty() {
            let most = self.largest_free(bid, reach, shapes);
            detail.largest_free = Some(most);
            let reason = if most > 0 { Reason::PartialNotAllowed } else { Reason::NoCapacityInWindow };
            return (reason, detail);
        }
        for constraint in Constraint::ALL {
            let before = left.clone();
            left.retain(|(source, supply)| self.fit(bid, *source, *supply, constraint).is_some());
            if !left.is_empty() && constraint != Constraint::Debit {
                continue;
            }
            match constraint {
                Constraint::Group => {
                    detail.largest_free = Some(self.largest_free(bid, reach, shapes));
                    detail.group_cap = Some(bid.cap);
                }
                Constraint::Member => detail.member_cap = self.member_cap(bid),
                Constraint::Aid => {
                    let given = self.floor.aid_given[bid.group];
                    detail.aid_left =
                        bid.order.aid_left.map(|ceiling| counted(ceiling.saturating_sub(given)));
                }
                Constraint::Commercial => {
                    let left = before.iter().filter_map(|(_, supply)| self.floor.commercial_left[*supply]);
                    detail.commercial_left = left.max();
                }
                Constraint::Debit => {
                    detail.debit_headroom = Some(counted(self.floor.debit_headroom[bid.funding]));
                }
                Constraint::Capacity => {
                    detail.largest_free = Some(self.largest_free(bid, reach, shapes));
                }
            }
            return (reason_of(constraint), detail);
        }
        (Reason::NoCapacityInWindow, detail)
    }

    /// The calendars within reach that are free for the least the bid accepts; `None` if no offer is within reach.
    fn with_capacity(&self, bid: &Bid, reach: usize, shapes: &Shapes) -> Option<Vec<Place>> {
        let mut found = Vec::new();
        let mut some = false;
        for word in 0..words_for(reach) {
            let compatible = self.columns(bid, reach, word);
            some |= compatible != 0;
            let supplies = &self.roster.rankings[bid.bucket].supplies;
            for source in sources(bid) {
                let open = compatible & shapes.open(bid.shape, source, word);
                let open = self.may_fit(bid, source, shapes, word, open);
                let places = columns_of(word, open).map(|column| supplies[column]);
                found.extend(
                    places.filter(|supply| self.is_free(bid, source, *supply)).map(|supply| (source, supply)),
                );
            }
        }
        some.then_some(found)
    }

    /// The compatible columns of one word within reach.
    fn columns(&self, bid: &Bid, reach: usize, word: usize) -> u64 {
        let compatible = self.found[bid.compatible].columns.word(word) & before(reach, word);
        if bid.is_reserve {
            compatible & self.roster.rankings[bid.bucket].public.word(word)
        } else {
            compatible
        }
    }

    /// The most that one calendar within reach has free, for the bid's duration within its window.
    fn largest_free(&self, bid: &Bid, reach: usize, shapes: &Shapes) -> u32 {
        let (slots, latest) = (bid.order.slots, bid.order.start_max);
        let mut most = 0u32;
        for word in 0..words_for(reach) {
            let compatible = self.columns(bid, reach, word);
            for source in sources(bid) {
                let shelf = self.floor.shelf(source);
                let grid = shapes.grid(bid.shape, source);
                let more = shelf.may_fit(bid.bucket, grid, most.saturating_add(1), word, compatible);
                for column in columns_of(word, more) {
                    // A calendar that never has more free need not be searched.
                    let bound = shelf.most(bid.bucket, grid, column);
                    if more & bit(column) == 0 || bound <= most {
                        continue;
                    }
                    let supply = self.roster.rankings[bid.bucket].supplies[column];
                    let calendar = shelf.calendar(supply);
                    let least = most.saturating_add(1);
                    let window = (bid.start_min, latest);
                    if !shelf.may_start(bid.bucket, supply, least, slots, window) {
                        continue;
                    }
                    if calendar.first_fit(least, slots, bid.start_min, latest).is_some() {
                        most = most.max(calendar.largest_fit(slots, bid.start_min, latest));
                    }
                }
            }
        }
        most
    }

    /// The most that one member's requests may hold of the reserve in a slot the bid could use.
    fn member_cap(&self, bid: &Bid) -> Option<u32> {
        let cap = self.floor.member_cap.as_ref()?;
        let end = bid.order.start_max.0.saturating_add(bid.order.slots);
        Some(cap.cut(bid.start_min, crate::time::Slot(end)).peak())
    }
}

fn sources(bid: &Bid) -> impl Iterator<Item = Source> {
    let main = if bid.is_reserve { Source::Reserve } else { Source::Market };
    std::iter::once(main).chain(bid.takes_released.then_some(Source::Released))
}

fn reason_of(constraint: Constraint) -> Reason {
    match constraint {
        Constraint::Capacity => Reason::NoCapacityInWindow,
        Constraint::Group => Reason::GroupCapReached,
        Constraint::Member => Reason::MemberReserveCap,
        Constraint::Aid => Reason::AidCeiling,
        Constraint::Commercial => Reason::CommercialCeiling,
        Constraint::Debit => Reason::NetDebitCap,
    }
}

fn counted(amount: u128) -> Money {
    Money::try_from(amount).unwrap_or(Money(u64::MAX))
}
