//! The clearing of one class once more: slow and plain, written from the rules, looking at every slot by itself.
//!
//! It shares no code with the ledger's own clearing and knows none of its shortcuts, so that the two can be compared. All
//! it remembers of a batch is the list of trades so far; what is free, held, owed and used is counted anew each time.

use crate::fit::Source;
use hansa_ledger::id::{Hash, OrganisationId, RequestId, hash_of};
use hansa_ledger::market::{
    Book, Bucket, BucketPrice, Clearing, Lane, LaneHint, Order, Reason, Trade, Unmatched,
};
use hansa_ledger::money::Price;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// To whom, at which supply, what.
pub type Done = (Order, usize, Trade);

/// A book without doubles, and what the batch has given out of it so far.
#[derive(Clone)]
pub struct Model {
    pub book: Book,
    pub done: Vec<Done>,
}

/// The clearing of `book`. Of the reasons only those are told that stand before any price.
pub fn clear(book: &Book) -> Clearing {
    let mut model = Model::new(book);
    let mut waiting = model.considered(model.reserve_takers(), false);
    while let Some(order) = model.next_by_need(&mut waiting) {
        if let Some(at) = model.place(&order, None) {
            model.take(&order, at, None);
        }
    }
    let (market, mut prices) = (model.market_considered(), Vec::new());
    for bucket in Bucket::ALL {
        let mine: Vec<Order> = market.iter().filter(|order| model.bucket(order) == bucket).cloned().collect();
        let supplies = model.supplies(bucket);
        let Some((p0, mut placed)) = model.best_candidate(&supplies, &mine) else { continue };
        let price = model.uniform_price(&supplies, &mine, p0, &placed);
        placed.done[model.done.len()..].iter_mut().for_each(|(_, _, trade)| trade.price = price);
        prices.push(BucketPrice { bucket, price, volume: placed.volume_after(&model) });
        model = placed;
    }
    let open = model.book.orders.iter().filter(|order| !model.is_done(order));
    let reason = |order: &Order| model.compatible(order).err().unwrap_or(Reason::NoCapacityInWindow);
    let unmatched = open.map(|order| Unmatched::plain(order.request, reason(order))).collect();
    let mut trades: Vec<Trade> = model.done.into_iter().map(|(_, _, trade)| trade).collect();
    trades.sort();
    Clearing { trades, prices, unmatched }
}

pub fn area(quantity: u32, slots: u32) -> u64 {
    u64::from(quantity) * u64::from(slots)
}

impl Model {
    pub fn new(book: &Book) -> Self {
        let mut book = book.clone();
        book.orders.sort();
        book.orders.dedup_by_key(|order| order.request);
        book.supplies.sort();
        book.supplies.dedup_by_key(|supply| supply.offer);
        Self { book, done: Vec::new() }
    }

    pub fn is_done(&self, order: &Order) -> bool {
        self.done.iter().any(|(_, _, trade)| trade.request == order.request)
    }

    pub fn bucket(&self, order: &Order) -> Bucket {
        let (lead, params) = (order.start_min.0.saturating_sub(self.book.now.0), &self.book.params);
        match lead {
            _ if lead <= params.spot_slots => Bucket::Spot,
            _ if lead <= params.near_slots => Bucket::Near,
            _ => Bucket::Forward,
        }
    }

    fn tie(&self, bucket: Bucket, organisation: &OrganisationId, sequence: u64) -> Hash {
        let book = &self.book;
        hash_of("tie", &(book.params.chain, book.epoch, &book.class, bucket, organisation, sequence))
    }

    /// The use of the order's group at this moment: what the reserve gave in this batch counts.
    pub fn usage(&self, order: &Order) -> u64 {
        let Some(share) = self.book.usage.get(&order.group) else { return order.usage };
        let mine = |done: &Done| done.0.group == order.group && done.2.lane == Lane::Reserve;
        let given = self.sum(mine, |done| self.seconds(&done.0, done.2.quantity).unwrap().into());
        let seconds = u128::from(share.accelerator_seconds) + given;
        let parts = seconds * 1_000_000_000 / u128::from(self.book.capacity.max(1));
        share.other.max(u64::try_from(parts).unwrap_or(u64::MAX))
    }

    pub fn rank(&self, order: &Order, limit_first: bool) -> (Reverse<Price>, u64, u64, Hash, RequestId) {
        let limit = Reverse(if limit_first { order.limit } else { Price(0) });
        let tie = self.tie(self.bucket(order), &order.organisation, order.sequence);
        (limit, self.usage(order), order.admitted_epoch, tie, order.request)
    }

    /// The supplies that a bucket considers, the cheapest first.
    pub fn supplies(&self, bucket: Bucket) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.book.supplies.len()).collect();
        places.sort_by_cached_key(|place| {
            let supply = &self.book.supplies[*place];
            (supply.ask, self.tie(bucket, &supply.provider, supply.sequence), supply.offer)
        });
        places.truncate(self.book.params.supplies_max as usize);
        places
    }

    pub fn ask(&self, supply: usize) -> Price {
        self.book.supplies[supply].ask
    }

    pub fn reserve_takers(&self) -> Vec<Order> {
        let entitled =
            |order: &&Order| order.eligible && order.credit.is_some() && order.lane != LaneHint::Market;
        self.book
            .orders
            .iter()
            .filter(entitled)
            .filter(|order| self.compatible(order).is_ok())
            .cloned()
            .collect()
    }

    /// Who the market lane could serve, once the reserve lane is through: all whose limit reaches an offer.
    fn market_takers(&self) -> Vec<Order> {
        let open = |order: &&Order| order.lane != LaneHint::Reserve && !self.is_done(order);
        let reached = |order: &&Order| {
            self.compatible(order).is_ok_and(|all| all.iter().any(|at| self.ask(*at) <= order.limit))
        };
        self.book.orders.iter().filter(open).filter(reached).cloned().collect()
    }

    /// Whether the market lane is without constraints: one window and length, single accelerators of any offer, private money.
    /// How many requests a batch considers does not bound such a book.
    pub fn is_unconstrained(&self) -> bool {
        let orders = self.market_takers();
        let window = |order: &Order| (order.start_min, order.start_max, order.slots);
        let nodes = self.book.supplies.iter().any(|supply| supply.node_size > 1);
        let plain = |order: &Order| {
            let anywhere =
                (order.certificates, order.tier_min) == (0, 0) && order.countries.countries().count() == 0;
            let single = order.quantity_min <= 1 && (order.quantity == 1 || !nodes);
            let private = !order.own_group_excluded
                && !order.interruptible
                && !order.commercial
                && order.credit.is_none();
            anywhere && single && private && window(order) == window(&orders[0])
        };
        !orders.is_empty() && orders.iter().all(plain)
    }

    /// What the market lane considers, by rank.
    pub fn market_considered(&self) -> Vec<Order> {
        let mut reached = self.market_takers();
        if self.is_unconstrained() {
            reached.sort_by_cached_key(|order| self.rank(order, self.book.params.limit_first));
            return reached;
        }
        self.considered(reached, self.book.params.limit_first)
    }

    /// The first of `orders` by rank: so many of each group, and of those so many in all.
    pub fn considered(&self, mut orders: Vec<Order>, limit_first: bool) -> Vec<Order> {
        orders.sort_by_cached_key(|order| self.rank(order, limit_first));
        let mut of_group = BTreeMap::new();
        orders.retain(|order| {
            let count: &mut u32 = of_group.entry(order.group).or_default();
            *count += 1;
            *count <= self.book.params.orders_per_group_max
        });
        orders.truncate(self.book.params.orders_max as usize);
        orders
    }

    /// Takes out of `waiting` who has the least usage at this moment.
    pub fn next_by_need(&self, waiting: &mut Vec<Order>) -> Option<Order> {
        let first = (0..waiting.len()).min_by_key(|at| self.rank(&waiting[*at], false))?;
        Some(waiting.remove(first))
    }

    /// Places `orders`, which stand by rank, at one price, as far as it is within their limits.
    fn greedy(&self, orders: &[Order], price: Price) -> Self {
        let mut model = self.clone();
        for order in orders.iter().filter(|order| order.limit >= price) {
            if let Some(at) = model.place(order, Some(price)) {
                model.take(order, at, Some(price));
            }
        }
        model
    }

    /// What could trade at `price` at most, were there no constraints.
    fn upper_bound(&self, supplies: &[usize], orders: &[Order], price: Price) -> u128 {
        let end = |supply: usize, source| {
            let offered = &self.book.supplies[supply];
            let calendar = if source == Source::Market { &offered.market } else { &offered.reserve };
            calendar.points().last().map_or(0, |point| point.0.0)
        };
        let wanted = orders.iter().filter(|order| order.limit >= price);
        let wanted: u128 = wanted.map(|order| u128::from(area(order.quantity, order.slots))).sum();
        let sources = [Source::Market, Source::Released];
        let offered = supplies.iter().filter(|supply| self.ask(**supply) <= price);
        let offered = offered.flat_map(|supply| sources.map(|source| (*supply, source)));
        let free = |(supply, source)| -> u128 {
            (self.book.now.0..end(supply, source)).map(|slot| self.free(supply, source, slot)).sum()
        };
        wanted.min(offered.map(free).sum())
    }

    /// The candidate at which most trades, and what is done then; none where nothing does.
    pub fn best_candidate(&self, supplies: &[usize], orders: &[Order]) -> Option<(Price, Self)> {
        let off = |price: Price| self.book.reference.map_or(0, |reference| reference.0.abs_diff(price.0));
        let limits = orders.iter().map(|order| order.limit);
        let prices: BTreeSet<Price> = limits.chain(supplies.iter().map(|supply| self.ask(*supply))).collect();
        let mut prices: Vec<Price> = prices.into_iter().collect();
        prices.sort_by_cached_key(|price| {
            (Reverse(self.upper_bound(supplies, orders, *price)), off(*price), *price)
        });
        prices.truncate(self.book.params.price_candidates.into());
        let tried = prices.into_iter().map(|price| (price, self.greedy(orders, price)));
        let key = |(price, model): &(Price, Self)| {
            let excess = orders.iter().filter(|order| order.limit >= *price && !model.is_done(order));
            let excess: u128 = excess.map(|order| u128::from(area(order.quantity, order.slots))).sum();
            (Reverse(model.volume_after(self)), excess, off(*price), *price)
        };
        tried.filter(|(_, model)| model.volume_after(self) > 0).min_by_key(key)
    }

    /// What is done here and was not in `before`, in accelerator-slots.
    fn volume_after(&self, before: &Self) -> u64 {
        self.done[before.done.len()..].iter().map(|(_, _, trade)| area(trade.quantity, trade.slots)).sum()
    }

    /// The price of all, between what the placed accept and what the others would.
    fn uniform_price(&self, supplies: &[usize], orders: &[Order], p0: Price, placed: &Self) -> Price {
        let tick = self.book.params.tick.max(1);
        let is_placed = |order: &&Order| placed.is_done(order);
        let least_limit =
            orders.iter().filter(is_placed).map(|order| order.limit.0).min().expect("something is placed");
        let next_ask = supplies.iter().map(|supply| self.ask(*supply)).filter(|ask| *ask > p0).min();
        let hi = next_ask.map_or(least_limit, |ask| least_limit.min(ask.0.saturating_sub(tick)));
        let asks = placed.done[self.done.len()..].iter().map(|(_, supply, _)| self.ask(*supply).0);
        let rejected =
            orders.iter().filter(|order| order.limit >= p0 && !is_placed(order) && order.limit.0 <= hi);
        let shut_out = orders.iter().filter(|order| order.limit < p0);
        let lo = asks
            .chain(rejected.chain(shut_out).map(|order| order.limit.0))
            .max()
            .expect("something is placed");
        let between =
            u128::from(hi.saturating_sub(lo)) * u128::from(self.book.params.k_bps.min(10_000)) / 10_000;
        let price = lo + u64::try_from(between).expect("a part of a price is one");
        Price(lo.max(price / tick * tick))
    }
}
