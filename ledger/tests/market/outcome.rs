//! Properties that are seen from the outcome alone: prices, sizes, capacity, caps.

use crate::harness::{Verdict, check, ensure};
use crate::model::Model;
use hansa_ledger::market::{Book, Bucket, Calendar, Clearing, Lane, LaneHint, Order, Supply, Trade, clear};
use hansa_ledger::money::{Money, Price};
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// Looks at every trade with its order, and its supply by its place in the model's book.
fn each(
    book: &Book,
    outcome: &Clearing,
    look: impl Fn(&Model, &Order, &Supply, &Trade) -> Verdict,
) -> Verdict {
    let model = Model::new(book);
    for trade in &outcome.trades {
        let order = model.book.orders.iter().find(|order| order.request == trade.request);
        let supply = model.book.supplies.iter().find(|supply| supply.offer == trade.offer);
        let (Some(order), Some(supply)) = (order, supply) else {
            return Err(format!("of nobody: {trade:?}"));
        };
        look(&model, order, supply, trade).map_err(|wrong| format!("{wrong}: {trade:?}"))?;
    }
    Ok(())
}

/// The slots of a trade.
fn slots(trade: &Trade) -> std::ops::Range<u32> {
    trade.start.0..trade.start.0 + trade.slots
}

fn charge(price: Price, book: &Book, trade: &Trade) -> Money {
    let seconds = u64::from(trade.quantity) * u64::from(trade.slots) * u64::from(book.params.slot_s);
    price.charge(seconds).expect("generated prices are small")
}

#[test]
fn p03_nobody_trades_at_a_loss() {
    check(|book| {
        each(book, &clear(book), |_, order, supply, trade| {
            ensure(trade.price <= order.limit, || format!("over the limit {:?}", order.limit))?;
            let reserve = supply.ask.min(book.params.reserve_price_cap);
            let fine =
                if trade.lane == Lane::Market { trade.price >= supply.ask } else { trade.price == reserve };
            ensure(fine, || format!("not what the offer asks, {:?}", supply.ask))
        })
    });
}

#[test]
fn p04_what_one_pays_less_the_aid_makes_up() {
    check(|book| {
        each(book, &clear(book), |_, _, supply, trade| {
            let paid = charge(trade.price, book, trade).0 + trade.aid;
            let benchmark = book.reference.unwrap_or(supply.ask).max(trade.price);
            let due = if trade.lane == Lane::Market { trade.price } else { benchmark };
            ensure(paid == charge(due, book, trade).0, || format!("{paid} is paid or aided"))
        })
    });
}

#[test]
fn p05_one_price_for_a_bucket() {
    check(|book| {
        let outcome = clear(book);
        let mut volumes: BTreeMap<(Bucket, Price), u64> = BTreeMap::new();
        each(book, &outcome, |model, order, _, trade| {
            ensure(trade.bucket == model.bucket(order), || "another bucket".to_owned())
        })?;
        for trade in outcome.trades.iter().filter(|trade| trade.lane == Lane::Market) {
            let volume = u64::from(trade.quantity) * u64::from(trade.slots);
            *volumes.entry((trade.bucket, trade.price)).or_default() += volume;
        }
        let listed = outcome.prices.iter().map(|one| ((one.bucket, one.price), one.volume));
        ensure(volumes.iter().map(|(key, volume)| (*key, *volume)).eq(listed), || {
            format!("traded {volumes:?}")
        })?;
        let buckets: BTreeSet<Bucket> = outcome.prices.iter().map(|price| price.bucket).collect();
        ensure(buckets.len() == outcome.prices.len(), || "two prices for one bucket".to_owned())
    });
}

#[test]
fn p06_no_slot_is_sold_twice_and_calendars_stay_canonical() {
    check(|book| {
        let mut supplies = Model::new(book).book.supplies;
        for trade in &clear(book).trades {
            let supply =
                supplies.iter_mut().find(|supply| supply.offer == trade.offer).ok_or("no such offer")?;
            let of_market = trade.lane == Lane::Market && !trade.released;
            let calendar = if of_market { &mut supply.market } else { &mut supply.reserve };
            ensure(trade.start >= book.now, || format!("begins before the present: {trade:?}"))?;
            let taken = calendar.take(trade.start, trade.slots, trade.quantity);
            taken.map_err(|error| format!("{error}: {trade:?}"))?;
            let canonical = Calendar::new(calendar.points().to_vec());
            ensure(canonical.as_ref() == Ok(calendar), || format!("not canonical: {calendar:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn p08_the_market_leaves_the_reserve_alone_but_for_what_is_released() {
    check(|book| {
        each(book, &clear(book), |_, order, supply, trade| {
            let params = &book.params;
            if trade.lane == Lane::Reserve {
                let entitled = order.eligible && order.credit.is_some() && order.lane != LaneHint::Market;
                ensure(entitled && !trade.released, || "not entitled to the reserve".to_owned())?;
                ensure(trade.price <= params.reserve_price_cap, || "over the cap of the reserve".to_owned())?;
                ensure(trade.bucket == Bucket::of(order.start_min, book.now, params), || {
                    "bucket".to_owned()
                })?;
            } else {
                ensure(order.lane != LaneHint::Reserve, || "wants the reserve only".to_owned())?;
            }
            ensure(trade.lane == Lane::Reserve || trade.aid == 0, || "aid in the market".to_owned())?;
            let end = u64::from(trade.start.0) + u64::from(trade.slots);
            let released = order.interruptible
                && trade.slots <= params.release_lease_slots_max
                && end <= u64::from(book.now.0) + u64::from(params.release_slots);
            ensure(!trade.released || released, || "not released".to_owned())?;
            let public = trade.lane == Lane::Market && !trade.released || supply.pool == Pool::Public;
            ensure(public, || "private reserve".to_owned())
        })
    });
}

#[test]
fn p09_no_group_holds_more_than_the_cap_in_any_slot() {
    check(|book| {
        let outcome = clear(book);
        each(book, &outcome, |model, order, _, trade| {
            let group = |other: &Trade| {
                model.book.orders.iter().any(|one| one.request == other.request && one.group == order.group)
            };
            for slot in slots(trade) {
                let there = |other: &&Trade| slots(other).contains(&slot) && group(other);
                let all = outcome.trades.iter().filter(there);
                let given: u64 = all.clone().map(|other| u64::from(other.quantity)).sum();
                let reserve = all.filter(|other| other.lane == Lane::Reserve);
                let given_reserve: u64 = reserve.clone().map(|other| u64::from(other.quantity)).sum();
                let old = book.holds.iter().filter(|hold| hold.group == order.group);
                let old = old.filter(|hold| hold.start.0 <= slot && slot < hold.end.0);
                let old: u64 = old.map(|hold| u64::from(hold.quantity)).sum();
                let cap = |bps: u16| {
                    let nodes =
                        book.supplies.iter().map(|supply| u64::from(supply.node_size.max(1))).max().unwrap();
                    nodes.max(book.capacity * u64::from(bps) / 10_000)
                };
                ensure(old + given <= cap(book.params.cap_bps), || {
                    format!("{} in slot {slot}", old + given)
                })?;
                // Whoever was served last saw all the others: the widest cap of those served holds them all.
                let own = |other: &Trade| {
                    model.book.orders.iter().find(|one| one.request == other.request).unwrap()
                };
                let widest = reserve.map(|other| own(other).reserve_cap_bps).max().unwrap_or(0);
                let lane = widest.min(book.params.reserve_cap_bps).min(book.params.cap_bps);
                let fine = given_reserve == 0 || old + given_reserve <= cap(lane);
                ensure(fine, || format!("{} of the reserve in slot {slot}", old + given_reserve))?;
            }
            Ok(())
        })
    });
}

#[test]
fn p10_a_quantity_is_all_or_whole_nodes_less_within_what_is_accepted() {
    check(|book| {
        each(book, &clear(book), |_, order, supply, trade| {
            let within = (order.quantity_min.max(1)..=order.quantity).contains(&trade.quantity);
            let nodes = (order.quantity - trade.quantity.min(order.quantity)) % supply.node_size.max(1) == 0;
            ensure(within && nodes, || format!("{} of {}", trade.quantity, order.quantity))
        })
    });
}

#[test]
fn p11_hard_constraints_are_met() {
    check(|book| {
        each(book, &clear(book), |_, order, supply, trade| {
            let rules = [
                ("country", order.countries.admits(supply.country)),
                ("certificates", order.certificates & supply.certificates == order.certificates),
                ("tier", supply.tier >= order.tier_min),
                ("window", (order.start_min.max(book.now)..=order.start_max).contains(&trade.start)),
                ("duration", trade.slots == order.slots && trade.slots > 0),
                ("group", !order.own_group_excluded || supply.group != order.group),
                (
                    "ask",
                    order.credit.is_none() || book.params.credit_ask_cap.is_none_or(|cap| supply.ask <= cap),
                ),
            ];
            let broken = rules.into_iter().find(|(_, fine)| !fine);
            ensure(broken.is_none(), || format!("{broken:?}"))
        })
    });
}

#[test]
fn p12_what_is_locked_covers_what_is_due() {
    check(|book| {
        let outcome = clear(book);
        each(book, &outcome, |_, order, _, trade| {
            let (due, locked) = (charge(trade.price, book, trade), charge(order.limit, book, trade));
            ensure(locked.checked_sub(due).is_some(), || format!("{due:?} of {locked:?}"))
        })?;
        // What members may owe is counted at the limits, so that it covers whatever the price turns out to be; in the reserve the
        // price is known.
        let mut owed: BTreeMap<_, u128> = BTreeMap::new();
        for trade in &outcome.trades {
            let model = Model::new(book);
            let order = model.book.orders.iter().find(|order| order.request == trade.request).unwrap();
            let supply = model.book.supplies.iter().find(|supply| supply.offer == trade.offer).unwrap();
            if supply.home != order.funding_home {
                let price = if trade.lane == Lane::Reserve { trade.price } else { order.limit };
                *owed.entry(order.funding_home).or_default() += charge(price, book, trade).wide();
            }
        }
        let left = |home| book.debit_headroom.get(home).copied().unwrap_or(0);
        let over = owed.iter().find(|(home, owed)| **owed > left(*home));
        ensure(over.is_none(), || format!("owes too much: {over:?}"))
    });
}

#[test]
fn p18_of_each_owner_and_lane_what_is_drawn_and_free_is_what_was_granted() {
    check(|book| {
        let outcome = clear(book);
        let supplies = Model::new(book).book.supplies;
        let mut commercial: BTreeMap<_, u64> = BTreeMap::new();
        for lane in [Lane::Reserve, Lane::Market] {
            for supply in &supplies {
                let of_market = |trade: &&Trade| trade.lane == Lane::Market && !trade.released;
                let drawn = outcome.trades.iter().filter(|trade| trade.offer == supply.offer);
                let drawn: Vec<&Trade> =
                    drawn.filter(|trade| of_market(trade) == (lane == Lane::Market)).collect();
                let granted = if lane == Lane::Market { &supply.market } else { &supply.reserve };
                let last = granted.points().last().map_or(0, |(slot, _)| slot.0);
                let last = drawn.iter().map(|trade| slots(trade).end).fold(last, u32::max);
                for slot in book.now.0..last {
                    let taken = drawn.iter().filter(|trade| slots(trade).contains(&slot));
                    let taken: u64 = taken.map(|trade| u64::from(trade.quantity)).sum();
                    let whole = u64::from(granted.free_at(Slot(slot)));
                    let (offer, owner) = (supply.offer.0[0], supply.owner);
                    ensure(taken <= whole, || {
                        format!("{taken} of {whole} of s{offer} of {owner:?} in {slot}")
                    })?;
                }
            }
        }
        each(book, &outcome, |_, order, supply, trade| {
            let volume = u64::from(trade.quantity) * u64::from(trade.slots);
            let within = supply.commercial_left.is_none_or(|left| volume <= left);
            ensure(!order.commercial || within, || "over the commercial ceiling".to_owned())
        })?;
        for trade in &outcome.trades {
            let order = Model::new(book)
                .book
                .orders
                .into_iter()
                .find(|order| order.request == trade.request)
                .unwrap();
            if order.commercial {
                *commercial.entry(trade.offer).or_default() +=
                    u64::from(trade.quantity) * u64::from(trade.slots);
            }
        }
        let over = supplies.iter().find(|supply| {
            let sold = commercial.get(&supply.offer).copied().unwrap_or(0);
            supply.commercial_left.is_some_and(|left| sold > left)
        });
        ensure(over.is_none(), || format!("sold too much for commercial use: {over:?}"))
    });
}
