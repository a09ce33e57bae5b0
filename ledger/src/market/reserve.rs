//! The reserve lane: the open-access share of public offers, given by need at a capped price.

use super::batch::{Answers, bid_of, frame};
use super::book::{Lane, LaneHint, Order, Trade};
use super::columns::words_for;
use super::fit::View;
use super::floor::{Floor, accelerator_seconds, aid, reserve_price};
use super::priority::{Queue, Turn, tie};
use super::reason::{Detail, Reason};
use super::roster::{Compatible, Roster, Usage};
use super::shape::Shapes;
use crate::id::{GroupId, Hash, RequestId};
use crate::money::Price;
use std::collections::{BTreeMap, BTreeSet};

/// The need of a request: less usage, earlier admission, then the tie. Ends in an id, so the order is total.
type Need = (u64, u64, Hash, RequestId);

/// Whether a request takes part in the reserve lane.
pub(super) fn takes_part(order: &Order) -> bool {
    order.eligible && order.credit.is_some() && order.lane != LaneHint::Market
}

/// Gives the reserve to those that take part: always to the one of least need served so far, whose group's other
/// requests then move back. What stays unserved and wants nothing but the reserve is answered.
pub(super) fn allocate<'book>(
    roster: &Roster<'book>,
    found: &[Compatible],
    mut taking_part: Vec<Turn>,
    floor: &mut Floor<'book>,
    usage: &mut Usage,
    answers: &mut Answers,
) {
    // Only who reaches an offer of the reserve takes one of the places: bids of next to nothing would else keep others out.
    let mut known = BTreeMap::new();
    taking_part.retain(|turn| {
        let order = roster.order(turn.order);
        let (compatible, bucket) = (&found[turn.compatible as usize], roster.bucket(order) as usize);
        let cheapest =
            known.entry((turn.compatible, bucket)).or_insert_with(|| cheapest(roster, bucket, compatible));
        let reaches = cheapest.is_some_and(|cheapest| cheapest <= turn.limit);
        if !reaches && order.lane == LaneHint::Reserve {
            let dear = cheapest.is_some();
            let reason = if dear { Reason::LimitBelowPrice } else { Reason::NoOfferMeetsConstraints };
            let cheapest_ask = Some(compatible.cheapest);
            answers.refuse(turn.order, reason, Detail { cheapest_ask, ..Detail::default() });
        }
        reaches
    });
    if taking_part.is_empty() {
        return;
    }
    // Price plays no role in this lane, whatever the federation has voted for the market.
    let considered = Queue::new(taking_part, false).considered(roster, |turn| {
        if roster.order(turn.order).lane == LaneHint::Reserve {
            let cheapest_ask = Some(found[turn.compatible as usize].cheapest);
            answers.refuse(turn.order, Reason::BatchFull, Detail { cheapest_ask, ..Detail::default() });
        }
    });
    frame(roster, &mut floor.reserve, &considered);
    let mut shapes = Shapes::new(roster.rankings.iter().map(|one| one.supplies.len()).max().unwrap_or(0));
    let bids: Vec<_> = considered.iter().map(|turn| bid_of(roster, floor, &mut shapes, turn, true)).collect();
    let mut waiting: BTreeMap<Need, usize> = BTreeMap::new();
    let mut of_group: BTreeMap<GroupId, BTreeSet<Need>> = BTreeMap::new();
    for (place, bid) in bids.iter().enumerate() {
        let need = need(roster, usage, bid.order);
        waiting.insert(need, place);
        of_group.entry(bid.order.group).or_default().insert(need);
    }
    while let Some((first, place)) = waiting.pop_first() {
        let (bid, order) = (&bids[place], bids[place].order);
        let waiting_of_group = of_group.entry(order.group).or_default();
        waiting_of_group.remove(&first);
        let reach = reach(roster, bid.bucket, order.limit);
        let view = View { roster, found, floor };
        let Some(placement) = view.place(bid, reach, &mut shapes) else {
            if order.lane == LaneHint::Reserve {
                let (reason, detail) = obstacle(view, bid, reach, &shapes);
                answers.refuse(bid.place, reason, detail);
            }
            continue;
        };
        let aid = aid(roster, order, placement.supply, placement.quantity).unwrap_or(0);
        floor.take(roster, bid, placement, aid);
        answers.award(
            bid.place,
            Trade {
                request: order.request,
                offer: roster.supplies[placement.supply].offer,
                lane: Lane::Reserve,
                bucket: roster.bucket(order),
                released: false,
                quantity: placement.quantity,
                start: placement.start,
                slots: order.slots,
                price: reserve_price(roster, placement.supply),
                aid,
            },
        );
        let seconds = accelerator_seconds(roster, order, placement.quantity).unwrap_or(0);
        if usage.grow(&order.group, seconds) {
            // All that its group still asks for moves back at once.
            for old in std::mem::take(waiting_of_group) {
                let Some(place) = waiting.remove(&old) else { continue };
                let moved = (usage.of(bids[place].order), old.1, old.2, old.3);
                waiting.insert(moved, place);
                waiting_of_group.insert(moved);
            }
        }
    }
    floor.reserve.commit();
    floor.reserve.unframe();
}

fn need(roster: &Roster, usage: &Usage, order: &Order) -> Need {
    let tie = tie(roster.book, roster.bucket(order), &order.organisation, order.sequence);
    (usage.of(order), order.admitted_epoch, tie, order.request)
}

/// What the cheapest public offer of those that could serve a request costs in the reserve; none without one.
fn cheapest(roster: &Roster, bucket: usize, compatible: &Compatible) -> Option<Price> {
    let ranking = &roster.rankings[bucket];
    // The offers stand by their asks, so the first of them is the cheapest.
    let first = (0..words_for(ranking.supplies.len())).find_map(|word| {
        let both = compatible.columns.word(word) & ranking.public.word(word);
        (both != 0).then(|| word.saturating_mul(64).saturating_add(both.trailing_zeros() as usize))
    })?;
    ranking.supplies.get(first).map(|supply| reserve_price(roster, *supply))
}

/// How many columns cost at most `limit`: all of them where the cap does, since no price is above it.
fn reach(roster: &Roster, bucket: usize, limit: Price) -> usize {
    let ranking = &roster.rankings[bucket];
    let all = roster.book.params.reserve_price_cap <= limit;
    if all { ranking.supplies.len() } else { ranking.reach(limit) }
}

/// Why a request that asks for the reserve only found no place in it.
fn obstacle(view: View, bid: &super::floor::Bid, reach: usize, shapes: &Shapes) -> (Reason, Detail) {
    let compatible = &view.found[bid.compatible];
    let public = &view.roster.rankings[bid.bucket].public;
    let meets = |word: usize| compatible.columns.word(word) & public.word(word);
    let all = view.roster.rankings[bid.bucket].supplies.len();
    let detail = Detail { cheapest_ask: Some(compatible.cheapest), ..Detail::default() };
    if (0..words_for(all)).all(|word| meets(word) == 0) {
        return (Reason::NoOfferMeetsConstraints, detail);
    }
    if (0..words_for(reach)).all(|word| meets(word) & super::columns::before(reach, word) == 0) {
        return (Reason::LimitBelowPrice, detail);
    }
    view.obstacle(bid, reach, shapes)
}
