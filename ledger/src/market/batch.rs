//! One batch of one class: who takes part, and which price moves the most.

use super::book::{Book, Bucket, BucketPrice, Clearing, Lane, Order, Supply, Trade};
use super::place::{Bid, Floor, Outcome};
use super::price::{Bounds, candidates, distance};
use super::priority::{order_rank, supply_order};
use super::reason::{Detail, Reason, Unmatched};
use crate::id::{GroupId, OfferId, RequestId};
use crate::money::Price;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// See [`super::clear`].
pub(super) fn clear(book: &Book) -> Clearing {
    let (orders, supplies) = (each_once(&book.orders, request_of), each_once(&book.supplies, offer_of));
    let mut clearing = Clearing::default();
    let bids = admit(book, &orders, &supplies, &mut clearing.unmatched);
    let mut floor = Floor::new(book, &supplies, &bids);
    for bucket in Bucket::ALL {
        let of_bucket = |bid: &&Bid| Bucket::of(bid.order.start_min, book.now, &book.params) == bucket;
        let bids = bids.iter().filter(of_bucket).cloned().collect();
        Batch { book, supplies: &supplies, bucket, bids }.clear(&mut floor, &mut clearing);
    }
    clearing.trades.sort_unstable();
    clearing.unmatched.sort_unstable();
    clearing
}

/// The values in order of their ids, each id once, so that the order of the book's lists cannot matter.
fn each_once<Value: Clone + Ord, Id: Ord>(values: &[Value], id: fn(&Value) -> Id) -> Vec<Value> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.sort_by_key(id);
    sorted.dedup_by_key(|value| id(value));
    sorted
}

fn request_of(order: &Order) -> RequestId {
    order.request
}

fn offer_of(supply: &Supply) -> OfferId {
    supply.offer
}

/// The requests that take part, in order of their turns; the others go to `unmatched` and have no effect on anything.
fn admit<'book>(
    book: &Book,
    orders: &'book [Order],
    supplies: &[Supply],
    unmatched: &mut Vec<Unmatched>,
) -> Vec<Bid<'book>> {
    let places = Bucket::ALL.map(|bucket| (bucket, supply_order(book, bucket, supplies)));
    let mut refuse = |order: &Order, reason, detail| {
        unmatched.push(Unmatched { request: order.request, reason, detail });
    };
    let mut eligible = Vec::with_capacity(orders.len());
    for order in orders {
        let bucket = Bucket::of(order.start_min, book.now, &book.params);
        let places = places.iter().find(|(of, _)| *of == bucket).map_or(&[][..], |(_, places)| places);
        match assess(book, bucket, order, supplies, places) {
            Ok(bid) => eligible.push(bid),
            Err((reason, detail)) => refuse(order, reason, detail),
        }
    }
    eligible.sort_by_key(|bid| bid.rank);
    let mut of_group: BTreeMap<GroupId, u32> = BTreeMap::new();
    let mut considered = 0u32;
    eligible.retain(|bid| {
        let count = of_group.entry(bid.order.group).or_default();
        if *count >= book.params.orders_per_group_max || considered >= book.params.orders_max {
            let detail = Detail { cheapest_ask: Some(bid.cheapest_ask), ..Detail::default() };
            refuse(bid.order, Reason::BatchFull, detail);
            return false;
        }
        *count = count.saturating_add(1);
        considered = considered.saturating_add(1);
        true
    });
    eligible
}

/// Whether a request can take part: its window is open, an offer meets its constraints and asks no more than its limit.
fn assess<'book>(
    book: &Book,
    bucket: Bucket,
    order: &'book Order,
    supplies: &[Supply],
    places: &[usize],
) -> Result<Bid<'book>, (Reason, Detail)> {
    let start_min = order.start_min.max(book.now);
    if start_min > order.start_max {
        return Err((Reason::WindowPassed, Detail::default()));
    }
    if supplies.is_empty() {
        return Err((Reason::NoOfferOfClass, Detail::default()));
    }
    let is_sound = order.quantity > 0 && order.slots > 0 && order.quantity_min <= order.quantity;
    let compatible = |place: &&usize| is_sound && supplies.get(**place).is_some_and(|one| meets(one, order));
    let mut compatible: Vec<usize> = places.iter().filter(compatible).copied().collect();
    if compatible.is_empty() {
        return Err((Reason::NoOfferMeetsConstraints, Detail::default()));
    }
    if order.own_group_excluded {
        compatible.retain(|place| supplies.get(*place).is_some_and(|one| one.group != order.group));
    }
    let cheapest = compatible.first().and_then(|place| supplies.get(*place)).map(|supply| supply.ask);
    match cheapest {
        None => Err((Reason::SameGroup, Detail::default())),
        Some(ask) if order.limit < ask => {
            Err((Reason::LimitBelowPrice, Detail { cheapest_ask: Some(ask), ..Detail::default() }))
        }
        Some(cheapest_ask) => Ok(Bid {
            order,
            rank: order_rank(book, bucket, order),
            start_min,
            cheapest_ask,
            compatible,
            feasible: Vec::new(),
        }),
    }
}

/// The hard constraints: country, certificates, tier.
fn meets(supply: &Supply, order: &Order) -> bool {
    supply.tier >= order.tier_min
        && order.certificates & !supply.certificates == 0
        && order.countries.admits(supply.country)
}

/// One bucket of the batch, with its bids in order of their turns.
struct Batch<'book> {
    book: &'book Book,
    supplies: &'book [Supply],
    bucket: Bucket,
    bids: Vec<Bid<'book>>,
}

impl<'book> Batch<'book> {
    fn clear(mut self, floor: &mut Floor<'book>, clearing: &mut Clearing) {
        for bid in &mut self.bids {
            floor.narrow(bid);
        }
        match self.search(floor) {
            Some(tried) => self.settle(floor, tried, clearing),
            None => clearing.unmatched.extend(self.bids.iter().map(|bid| {
                // Nothing traded, so each request met its own limit only. One that would have fitted was not reached by
                // the prices that were tried.
                let full = (Reason::BatchFull, Detail::default());
                let (reason, detail) = floor.obstacle(bid, bid.order.limit).unwrap_or(full);
                Unmatched { request: bid.order.request, reason, detail }
            })),
        }
    }

    /// The price to place at: most volume, then least unserved demand, then nearest to the reference, then lowest.
    /// `None` if nothing can be placed at any price that is tried.
    fn search(&self, floor: &mut Floor<'book>) -> Option<Price> {
        let volume = |order: &Order| u128::from(order.quantity).saturating_mul(u128::from(order.slots));
        let demand = self.bids.iter().map(|bid| (bid.order.limit, volume(bid.order))).collect();
        let supply = self.asks().map(|(place, ask)| (ask, floor.area(place))).collect();
        let reference = self.book.reference;
        let mut best: Option<(Reverse<u128>, u128, u64, Price)> = None;
        for candidate in candidates(demand, supply, reference, self.book.params.price_candidates) {
            // The candidates come with falling bounds: when one cannot reach the best volume, no later one can.
            if best.is_some_and(|(volume, ..)| candidate.volume_max < volume.0) {
                break;
            }
            let Outcome { volume, excess, .. } = floor.greedy(&self.bids, candidate.price, |_, _| {});
            floor.undo();
            let key = (Reverse(volume), excess, distance(candidate.price, reference), candidate.price);
            if volume > 0 && best.is_none_or(|best| key < best) {
                best = Some(key);
            }
        }
        best.map(|(.., price)| price)
    }

    /// Places at the price that was found, for good, and settles the one price of the bucket.
    fn settle(&self, floor: &mut Floor<'book>, tried: Price, clearing: &mut Clearing) {
        let mut obstacles = BTreeMap::new();
        let outcome = floor.greedy(&self.bids, tried, |floor, turn| {
            obstacles.extend(
                self.bids.get(turn).and_then(|bid| floor.obstacle(bid, tried)).map(|found| (turn, found)),
            );
        });
        floor.commit();
        let price = self.bounds(tried, &outcome).price(&self.book.params);
        for (turn, (bid, placement)) in self.bids.iter().zip(&outcome.placements).enumerate() {
            let request = bid.order.request;
            let offer = placement.and_then(|one| self.supplies.get(one.supply)).map(|supply| supply.offer);
            if let (Some(placement), Some(offer)) = (placement, offer) {
                let (bucket, quantity, start) = (self.bucket, placement.quantity, placement.start);
                let slots = bid.order.slots;
                let (lane, released, aid) = (Lane::Market, false, 0);
                clearing.trades.push(Trade {
                    request,
                    offer,
                    lane,
                    bucket,
                    released,
                    quantity,
                    start,
                    slots,
                    price,
                    aid,
                });
                continue;
            }
            let below = Detail { cheapest_ask: Some(bid.cheapest_ask), ..Detail::default() };
            let (reason, detail) = match obstacles.remove(&turn) {
                Some(obstacle) if bid.order.limit >= price => obstacle,
                _ => (Reason::LimitBelowPrice, below),
            };
            let detail = Detail { clearing_price: Some(price), ..detail };
            clearing.unmatched.push(Unmatched { request, reason, detail });
        }
        let volume = u64::try_from(outcome.volume).unwrap_or(u64::MAX);
        clearing.prices.push(BucketPrice { bucket: self.bucket, price, volume });
    }

    fn bounds(&self, tried: Price, outcome: &Outcome) -> Bounds {
        let mut bounds = Bounds {
            ask_above_min: self.asks().map(|(_, ask)| ask).filter(|ask| *ask > tried).min(),
            ..Bounds::default()
        };
        for (bid, placement) in self.bids.iter().zip(&outcome.placements) {
            let limit = bid.order.limit;
            let ask = placement.and_then(|one| self.supplies.get(one.supply)).map(|supply| supply.ask);
            if let Some(ask) = ask {
                let lowest = bounds.matched_limit_min.map_or(limit, |lowest| lowest.min(limit));
                bounds.matched_limit_min = Some(lowest);
                bounds.matched_ask_max = bounds.matched_ask_max.max(Some(ask));
            } else if limit < tried {
                bounds.limit_below_max = bounds.limit_below_max.max(Some(limit));
            } else {
                bounds.rejected.push(limit);
            }
        }
        bounds
    }

    /// The offers the bucket considers: their places and asks.
    fn asks(&self) -> impl Iterator<Item = (usize, Price)> + '_ {
        let places = supply_order(self.book, self.bucket, self.supplies);
        places.into_iter().filter_map(|place| Some((place, self.supplies.get(place)?.ask)))
    }
}
