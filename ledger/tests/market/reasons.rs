//! Every reason is true: recomputed slot by slot at the moment when the request had its turn.

use crate::harness::{check, ensure};
use crate::model::{Done, Model};
use crate::walk::{Turn, walk};
use hansa_ledger::market::{Book, Clearing, Lane, LaneHint, Reason, Unmatched, clear};
use hansa_ledger::money::Price;
use hansa_ledger::row::Pool;
use std::collections::BTreeMap;

/// The reasons that stand before any price, and can never be given to a request that has none of these faults.
const EARLY: [Reason; 5] = [
    Reason::WindowPassed,
    Reason::NoOfferOfClass,
    Reason::NotEligibleForReserve,
    Reason::SameGroup,
    Reason::AskOverCreditCap,
];

/// What a request that had its turn may be told, seen from there.
fn allowed(turn: &Turn<'_>) -> Vec<Reason> {
    let (model, order) = (turn.model, turn.order);
    let compatible = model.compatible(order).unwrap_or_default();
    if turn.price.is_some_and(|price| order.limit < price) {
        return vec![Reason::LimitBelowPrice];
    }
    // The candidate that was served, where the bucket traded: one whose limit is below it had no turn at all.
    if turn.tried.is_some_and(|tried| order.limit < tried) {
        return vec![Reason::LimitBelowPrice];
    }
    let price = turn.tried.or((turn.lane == Lane::Market).then_some(order.limit));
    let tries = model.tries(order, price);
    if tries.iter().any(|at| model.obstacles(at).is_empty()) {
        // A batch that does not try all prices may miss the only ones at which anything would trade.
        let missed = turn.lane == Lane::Market && turn.price.is_none();
        return if missed { vec![Reason::BatchFull] } else { vec![] };
    }
    let public = compatible.iter().any(|supply| model.book.supplies[*supply].pool == Pool::Public);
    let affordable = |supply: &usize| match turn.lane {
        Lane::Reserve => {
            model.book.supplies[*supply].pool == Pool::Public
                && model.ask(*supply).min(model.book.params.reserve_price_cap) <= order.limit
        }
        Lane::Market => price.is_some_and(|price| model.ask(*supply) <= price),
    };
    if !compatible.iter().any(affordable) {
        let dear = turn.lane == Lane::Reserve && public;
        return vec![if dear { Reason::LimitBelowPrice } else { Reason::NoOfferMeetsConstraints }];
    }
    blocked(model, &tries)
}

/// What stands in the way of all that an order tries: what breaks where the calendar has room, and else the calendar.
fn blocked(model: &Model, tries: &[Done]) -> Vec<Reason> {
    let mut broken: Vec<Reason> = tries.iter().flat_map(|tried| model.obstacles(tried)).collect();
    broken.retain(|reason| *reason != Reason::NoCapacityInWindow);
    broken.sort();
    broken.dedup();
    if !broken.is_empty() {
        return broken;
    }
    let is_free = |(_, supply, trade): &Done| {
        let reserve = trade.lane == Lane::Reserve || trade.released;
        (trade.start.0..trade.start.0 + trade.slots)
            .all(|slot| model.free(*supply, reserve, trade.released, slot) > 0)
    };
    let some = tries.iter().any(is_free);
    vec![if some { Reason::PartialNotAllowed } else { Reason::NoCapacityInWindow }]
}

/// What every request may be told.
fn all_allowed(book: &Book, outcome: &Clearing) -> Result<BTreeMap<[u8; 32], Vec<Reason>>, String> {
    let mut told = BTreeMap::new();
    let model = Model::new(book);
    for order in &model.book.orders {
        // Who has no turn: a fault of its own, a limit below all asks, or too many before it.
        let reasons = match model.compatible(order) {
            Err(reason) => vec![reason],
            Ok(supplies) => {
                let market = order.lane != LaneHint::Reserve;
                let cap = if market { Price(u64::MAX) } else { model.book.params.reserve_price_cap };
                let of_lane = |at: &&usize| market || model.book.supplies[**at].pool == Pool::Public;
                let asks: Vec<Price> =
                    supplies.iter().filter(of_lane).map(|at| model.ask(*at).min(cap)).collect();
                vec![match asks.iter().min() {
                    None => Reason::NoOfferMeetsConstraints,
                    Some(ask) if *ask > order.limit => Reason::LimitBelowPrice,
                    Some(_) => Reason::BatchFull,
                }]
            }
        };
        told.insert(order.request.0, reasons);
    }
    walk(book, outcome, |turn| {
        // The reserve lane has the last word only for what wants nothing else.
        let last = turn.lane == Lane::Market || turn.order.lane == LaneHint::Reserve;
        if turn.trade.is_none() && last {
            told.insert(turn.order.request.0, allowed(&turn));
        }
        Ok(())
    })?;
    Ok(told)
}

#[test]
fn every_reason_is_true() {
    check(|book| {
        let outcome = clear(book);
        let allowed = all_allowed(book, &outcome)?;
        for Unmatched { request, reason, .. } in &outcome.unmatched {
            let fine = allowed.get(&request.0).ok_or("a request of nobody")?;
            ensure(fine.contains(reason), || {
                format!("r{} is told {reason:?}, true is {fine:?}", request.0[0])
            })?;
        }
        Ok(())
    });
}

#[test]
fn an_early_reason_is_told_whatever_the_prices() {
    check(|book| {
        let outcome = clear(book);
        let model = Model::new(book);
        for order in &model.book.orders {
            let told =
                outcome.unmatched.iter().find(|one| one.request == order.request).map(|one| one.reason);
            let early = model.compatible(order).err();
            let fine = match early {
                Some(reason) => told == Some(reason),
                None => told.is_none_or(|told| !EARLY.contains(&told)),
            };
            ensure(fine, || format!("r{} is told {told:?}, true is {early:?}", order.request.0[0]))?;
        }
        Ok(())
    });
}

#[test]
fn the_numbers_of_a_reason_are_true() {
    check(|book| {
        let outcome = clear(book);
        let model = Model::new(book);
        for Unmatched { request, detail, .. } in &outcome.unmatched {
            let order =
                model.book.orders.iter().find(|order| order.request == *request).ok_or("of nobody")?;
            let bucket = model.bucket(order);
            let price = outcome.prices.iter().find(|one| one.bucket == bucket).map(|one| one.price);
            let compatible = model.compatible(order).unwrap_or_default();
            let cheapest = compatible.iter().map(|supply| model.ask(*supply)).min();
            let caps = [Lane::Reserve, Lane::Market].map(|lane| model.group_cap(order, lane));
            let who = request.0[0];
            let told =
                |name: &str, fine: bool| ensure(fine, || format!("{name} of r{who} is not true: {detail:?}"));
            told("clearing price", detail.clearing_price.is_none() || detail.clearing_price == price)?;
            told(
                "credit ask cap",
                detail.credit_ask_cap.is_none() || detail.credit_ask_cap == book.params.credit_ask_cap,
            )?;
            told("group cap", detail.group_cap.is_none_or(|cap| caps.contains(&cap.into())))?;
            // An ask over what a grant may pay is shown where that is the reason.
            let over = detail.credit_ask_cap.is_some();
            told("cheapest ask", over || detail.cheapest_ask.is_none() || detail.cheapest_ask == cheapest)?;
            let headroom = book.debit_headroom.get(&order.funding_home).copied().unwrap_or(0);
            told("debit headroom", detail.debit_headroom.is_none_or(|left| left.wide() <= headroom))?;
            let aid = order.aid_left.unwrap_or(0);
            told("aid left", detail.aid_left.is_none_or(|left| left.wide() <= aid))?;
        }
        Ok(())
    });
}
