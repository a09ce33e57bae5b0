//! The clearing of one class once more: slow and plain, written from the rules, looking at every slot by itself.
//!
//! It shares no code with the ledger's own clearing and knows none of its shortcuts, so that the two can be compared. All
//! it remembers of a batch is the list of trades so far; what is free, held, owed and used is counted anew each time.

use hansa_ledger::id::{Hash, OrganisationId, RequestId, hash_of};
use hansa_ledger::market::{
    Book, Bucket, BucketPrice, Calendar, Clearing, Hold, Lane, LaneHint, Order, Reason, Supply, Trade,
    Unmatched,
};
use hansa_ledger::money::Price;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// To whom, at which supply, what: a trade, or one that is tried.
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
        model.done.extend(model.place(&order, None));
    }
    let (market, mut prices) = (model.market_considered(), Vec::new());
    for bucket in Bucket::ALL {
        let mine: Vec<Order> = market.iter().filter(|order| model.bucket(order) == bucket).cloned().collect();
        let Some((p0, mut placed, traded)) = model.best_candidate(bucket, &mine) else { continue };
        let price = model.uniform_price(bucket, &mine, p0, &placed);
        placed.done[model.done.len()..].iter_mut().for_each(|(_, _, trade)| trade.price = price);
        let volume = u64::try_from(traded).expect("calendars are small");
        prices.push(BucketPrice { bucket, price, volume });
        model = placed;
    }
    let reason = |order: &Order| model.compatible(order).err().unwrap_or(Reason::NoCapacityInWindow);
    let open = model.book.orders.iter().filter(|order| !model.is_done(order));
    let unmatched = open.map(|order| Unmatched::plain(order.request, reason(order))).collect();
    model.done.sort_by_key(|(order, ..)| order.request);
    Clearing { trades: model.done.into_iter().map(|(_, _, trade)| trade).collect(), prices, unmatched }
}

/// In accelerator-slots.
fn volume(trade: &Trade) -> u128 {
    u128::from(trade.quantity) * u128::from(trade.slots)
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
        let lead = order.start_min.0.saturating_sub(self.book.now.0);
        let longest = [self.book.params.spot_slots, self.book.params.near_slots];
        Bucket::ALL[longest.iter().position(|longest| lead <= *longest).unwrap_or(2)]
    }

    fn tie(&self, bucket: Bucket, who: &OrganisationId, sequence: u64) -> Hash {
        hash_of("tie", &(self.book.params.chain, self.book.epoch, &self.book.class, bucket, who, sequence))
    }

    /// The use of the order's group at this moment: what the reserve gave in this batch counts.
    fn usage(&self, order: &Order) -> u64 {
        let Some(share) = self.book.usage.get(&order.group) else { return order.usage };
        let mine = |done: &Done| done.0.group == order.group && done.2.lane == Lane::Reserve;
        let given = self.sum(mine, |done| volume(&done.2)) * u128::from(self.book.params.slot_s);
        let parts = (u128::from(share.accelerator_seconds) + given) * 1_000_000_000;
        share.other.max((parts / u128::from(self.book.capacity.max(1))).try_into().unwrap_or(u64::MAX))
    }

    fn rank(&self, order: &Order, limit_first: bool) -> (Reverse<Price>, u64, u64, Hash, RequestId) {
        let limit = Reverse(if limit_first { order.limit } else { Price(0) });
        let tie = self.tie(self.bucket(order), &order.organisation, order.sequence);
        (limit, self.usage(order), order.admitted_epoch, tie, order.request)
    }

    /// The supplies that a bucket considers, the cheapest first; which they are is said by what is free, and then by the price.
    pub fn supplies(&self, bucket: Bucket) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.book.supplies.len()).collect();
        let rank = |one: &Supply| (one.ask, self.tie(bucket, &one.provider, one.sequence), one.offer);
        let free = |calendar: &Calendar| {
            let end = calendar.points().last().map_or(0, |(slot, _)| slot.0);
            (self.book.now.0..end).any(|slot| calendar.free_at(Slot(slot)) > 0)
        };
        let sold_out = |one: &Supply| !free(&one.market) && !free(&one.reserve);
        let supply = |place: &usize| &self.book.supplies[*place];
        places.sort_by_cached_key(|place| (sold_out(supply(place)), rank(supply(place))));
        places.truncate(self.book.params.supplies_max as usize);
        places.sort_by_cached_key(|place| rank(supply(place)));
        places
    }

    pub fn ask(&self, supply: usize) -> Price {
        self.book.supplies[supply].ask
    }

    pub fn reserve_takers(&self) -> Vec<Order> {
        let entitled = |one: &&Order| one.eligible && one.credit.is_some() && one.lane != LaneHint::Market;
        let some = self.book.orders.iter().filter(entitled);
        let cap = self.book.params.reserve_price_cap;
        let public = |at: &usize| self.book.supplies[*at].pool == Pool::Public;
        let pays = |one: &Order, all: Vec<usize>| {
            all.iter().filter(|at| public(at)).any(|at| self.ask(*at).min(cap) <= one.limit)
        };
        some.filter(|one| self.compatible(one).is_ok_and(|all| pays(one, all))).cloned().collect()
    }

    /// Who the market lane could serve, once the reserve lane is through: all whose limit reaches an offer.
    fn market_takers(&self) -> Vec<Order> {
        let open = |order: &&Order| order.lane != LaneHint::Reserve && !self.is_done(order);
        let pays = |one: &Order, all: Vec<usize>| all.into_iter().any(|supply| self.ask(supply) <= one.limit);
        let reaches = |order: &&Order| self.compatible(order).is_ok_and(|all| pays(order, all));
        self.book.orders.iter().filter(open).filter(reaches).cloned().collect()
    }

    /// Whether the market lane is without constraints: one window and length, single accelerators of any offer, private money.
    /// How many requests a batch considers does not bound such a book.
    pub fn is_unconstrained(&self) -> bool {
        let (orders, nodes) = (self.market_takers(), self.book.supplies.iter().any(|one| one.node_size > 1));
        orders.iter().all(|one| {
            let anywhere = (one.certificates, one.tier_min, one.countries) == Default::default();
            let single = one.quantity_min <= 1 && (one.quantity == 1 || !nodes);
            let private = !one.own_group_excluded && !one.commercial && one.credit.is_none();
            let window = |order: &Order| (order.start_min, order.start_max, order.slots);
            anywhere && single && private && !one.interruptible && window(one) == window(&orders[0])
        })
    }

    /// What the market lane considers, by rank.
    pub fn market_considered(&self) -> Vec<Order> {
        let (mut takers, limit_first) = (self.market_takers(), self.book.params.limit_first);
        takers.sort_by_cached_key(|order| self.rank(order, limit_first));
        if self.is_unconstrained() { takers } else { self.considered(takers, limit_first) }
    }

    /// The first of `orders` by rank: so many of each group, and of those so many in all.
    pub fn considered(&self, mut orders: Vec<Order>, limit_first: bool) -> Vec<Order> {
        orders.sort_by_cached_key(|order| self.rank(order, limit_first));
        let mut of_group = BTreeMap::new();
        orders.retain(|order| {
            let count = of_group.entry(order.group).and_modify(|count| *count += 1).or_insert(1);
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

    /// What those who would pay `price` and are not served ask for.
    fn wanted(&self, orders: &[Order], price: Price) -> u128 {
        let open = orders.iter().filter(|order| order.limit >= price && !self.is_done(order));
        open.map(|order| u128::from(order.quantity) * u128::from(order.slots)).sum()
    }

    /// What offers have free for the market that ask no more than `price`.
    fn offered(&self, bucket: Bucket, price: Price) -> u128 {
        let supplies = self.supplies(bucket).into_iter().filter(|supply| self.ask(*supply) <= price);
        let points = |one: &Supply| [one.market.points(), one.reserve.points()].concat();
        let end = self.book.supplies.iter().flat_map(points).map(|point| point.0.0).max().unwrap_or(0);
        let each = supplies.flat_map(|supply| (self.book.now.0..end).map(move |slot| (supply, slot)));
        each.map(|(at, slot)| self.free(at, false, false, slot) + self.free(at, true, true, slot)).sum()
    }

    /// The candidate at which most trades, what is done then, and how much that is; none where nothing does.
    pub fn best_candidate(&self, bucket: Bucket, orders: &[Order]) -> Option<(Price, Self, u128)> {
        let off = |price: Price| self.book.reference.map_or(0, |reference| reference.0.abs_diff(price.0));
        let asks = self.supplies(bucket).into_iter().map(|supply| self.ask(supply));
        let mut prices: Vec<Price> = orders.iter().map(|order| order.limit).chain(asks).collect();
        let most = |price| self.wanted(orders, price).min(self.offered(bucket, price));
        prices.sort_by_cached_key(|price| (Reverse(most(*price)), off(*price), *price));
        prices.dedup();
        prices.truncate(self.book.params.price_candidates.into());
        let tried = prices.into_iter().map(|price| {
            let mut model = self.clone();
            for order in orders.iter().filter(|order| order.limit >= price) {
                model.done.extend(model.place(order, Some(price)));
            }
            let traded = model.done[self.done.len()..].iter().map(|done| volume(&done.2)).sum();
            (price, model, traded)
        });
        tried.filter(|(_, _, traded)| *traded > 0).min_by_key(|(price, model, traded)| {
            (Reverse(*traded), model.wanted(orders, *price), off(*price), *price)
        })
    }

    /// The price of all, between what the placed accept and what the others would.
    fn uniform_price(&self, bucket: Bucket, orders: &[Order], p0: Price, placed: &Self) -> Price {
        let (tick, k_bps) = (self.book.params.tick.max(1), self.book.params.k_bps.min(10_000));
        let (served, open): (Vec<&Order>, Vec<&Order>) = orders.iter().partition(|one| placed.is_done(one));
        let asks = self.supplies(bucket).into_iter().map(|supply| self.ask(supply).0);
        let below = asks.filter(|ask| *ask > p0.0).map(|ask| ask.saturating_sub(tick));
        let hi = below.chain(served.iter().map(|order| order.limit.0)).min().expect("something is placed");
        let asks = placed.done[self.done.len()..].iter().map(|(_, supply, _)| self.ask(*supply).0);
        let bounding = open.iter().map(|order| order.limit.0).filter(|limit| *limit < p0.0 || *limit <= hi);
        let lo = asks.chain(bounding).max().expect("something is placed");
        let price = lo + hi.saturating_sub(lo) * u64::from(k_bps) / 10_000;
        Price(lo.max(price / tick * tick))
    }

    /// What could serve the order at any price, in the order it tries them: the pools of who pays first.
    pub fn compatible(&self, order: &Order) -> Result<Vec<usize>, Reason> {
        let supplies = &self.book.supplies;
        (order.start_min.max(self.book.now) <= order.start_max).then_some(()).ok_or(Reason::WindowPassed)?;
        supplies.first().ok_or(Reason::NoOfferOfClass)?;
        let possible = order.quantity > 0 && order.slots > 0 && order.quantity_min <= order.quantity;
        let entitled = order.lane != LaneHint::Reserve || (order.eligible && order.credit.is_some());
        let cap = self.book.params.credit_ask_cap.filter(|_| order.credit.is_some());
        let rules: [(Reason, &dyn Fn(&Supply) -> bool); 6] = [
            (Reason::NoOfferMeetsConstraints, &|one| possible && order.countries.admits(one.country)),
            (Reason::NoOfferMeetsConstraints, &|one| order.certificates & !one.certificates == 0),
            (Reason::NoOfferMeetsConstraints, &|one| one.tier >= order.tier_min),
            (Reason::NotEligibleForReserve, &|_| entitled),
            (Reason::SameGroup, &|one| !order.own_group_excluded || one.group != order.group),
            (Reason::AskOverCreditCap, &|one| cap.is_none_or(|cap| one.ask <= cap)),
        ];
        let mut left = self.supplies(self.bucket(order));
        for (reason, fine) in rules {
            left.retain(|supply| fine(&supplies[*supply]));
            (!left.is_empty()).then_some(()).ok_or(reason)?;
        }
        left.sort_by_key(|supply| order.credit.is_none() || supplies[*supply].owner != order.credit);
        Ok(left)
    }

    /// A share of what there is in a slot, and never less than a node.
    fn cap(&self, whole: u128, bps: u16) -> u128 {
        let nodes = self.book.supplies.iter().map(|supply| u128::from(supply.node_size.max(1)));
        nodes.max().unwrap_or(1).max(whole * u128::from(bps) / 10_000)
    }

    /// What the order's group may hold in a slot for the lane to give it more.
    pub fn group_cap(&self, order: &Order, lane: Lane) -> u128 {
        let reserve = self.book.params.reserve_cap_bps.min(order.reserve_cap_bps);
        let bps = self.book.params.cap_bps.min(if lane == Lane::Reserve { reserve } else { u16::MAX });
        self.cap(self.book.capacity.into(), bps)
    }

    /// What a trade costs at some price, in uEUR: rounded up.
    fn charge(&self, price: Price, trade: &Trade) -> u128 {
        (u128::from(price.0) * volume(trade) * u128::from(self.book.params.slot_s)).div_ceil(3_600)
    }

    /// The sum over the trades so far that `of` names.
    fn sum(&self, of: impl Fn(&Done) -> bool, amount: impl Fn(&Done) -> u128) -> u128 {
        self.done.iter().filter(|done| of(done)).map(amount).sum()
    }

    /// What stands in `slot`, of the old holds and of the trades so far.
    fn held(&self, slot: u32, old: impl Fn(&Hold) -> bool, of: impl Fn(&Done) -> bool) -> u128 {
        let there = |hold: &&Hold| hold.start.0 <= slot && slot < hold.end.0 && old(hold);
        let before: u128 = self.book.holds.iter().filter(there).map(|hold| u128::from(hold.quantity)).sum();
        let covers = |one: &Trade| one.start.0 <= slot && slot < one.start.0 + one.slots;
        before + self.sum(|done| covers(&done.2) && of(done), |done| done.2.quantity.into())
    }

    /// What is free in `slot`, in the market's calendar or the reserve's; of what is released, where that is asked for.
    pub fn free(&self, supply: usize, reserve: bool, released: bool, slot: u32) -> u128 {
        let (offered, now) = (&self.book.supplies[supply], self.book.now.0);
        let lapses = released && slot >= now + self.book.params.release_slots;
        let none = slot < now || lapses || (reserve && offered.pool == Pool::Private);
        let calendar = if reserve { &offered.reserve } else { &offered.market };
        let same = |trade: &Trade| (trade.lane == Lane::Reserve || trade.released) == reserve;
        let taken = self.held(slot, |_| false, |done| done.1 == supply && same(&done.2));
        if none { 0 } else { u128::from(calendar.free_at(Slot(slot))).saturating_sub(taken) }
    }

    /// Everything that speaks against what is tried; it fits where nothing does.
    pub fn obstacles(&self, tried: &Done) -> Vec<Reason> {
        let ((order, supply, trade), book) = (tried, &self.book);
        let (more, reserve) = (u128::from(trade.quantity), trade.lane == Lane::Reserve);
        let any = |broken: &dyn Fn(u32) -> bool| (trade.start.0..trade.start.0 + trade.slots).any(broken);
        if any(&|slot| self.free(*supply, reserve || trade.released, trade.released, slot) < more) {
            return vec![Reason::NoCapacityInWindow];
        }
        let abroad = |done: &Done| done.0.funding_home != book.supplies[done.1].home;
        let at = |done: &Done| if done.2.lane == Lane::Reserve { done.2.price } else { done.0.limit };
        let owes = |done: &Done| if abroad(done) { self.charge(at(done), &done.2) } else { 0 };
        let owed = self.sum(|done| done.0.funding_home == order.funding_home, owes);
        let headroom = book.debit_headroom.get(&order.funding_home).copied().unwrap_or(0);
        let sold = self.sum(|one| one.1 == *supply && one.0.commercial, |one| volume(&one.2)) + volume(trade);
        let left = book.supplies[*supply].commercial_left.filter(|_| order.commercial);
        let (cap, same) = (self.group_cap(order, trade.lane), |done: &Done| done.0.group == order.group);
        let group = |slot| self.held(slot, |hold| hold.group == order.group, same);
        let public = book.supplies.iter().filter(|one| one.pool == Pool::Public).map(|one| &one.reserve);
        let granted = |slot| public.clone().map(|one| u128::from(one.free_at(Slot(slot)))).sum::<u128>();
        let whole = |slot| granted(slot) + self.held(slot, |one| one.reserve.is_some(), |_| false);
        let bps = book.params.reserve_member_cap_bps;
        let award = |done: &Done| done.0.credit == order.credit && done.2.lane == Lane::Reserve;
        let old = |hold: &Hold| hold.reserve.is_some() && hold.reserve == order.credit;
        let member = |slot| self.held(slot, old, award);
        let aid = u128::from(trade.aid) + self.sum(same, |done| done.2.aid.into());
        let over_cap = any(&|slot| member(slot) + more > self.cap(whole(slot), bps));
        let rules = [
            (Reason::NetDebitCap, abroad(tried) && owed + owes(tried) > headroom),
            (Reason::CommercialCeiling, left.is_some_and(|left| sold > left.into())),
            (Reason::GroupCapReached, any(&|slot| group(slot) + more > cap)),
            (Reason::MemberReserveCap, reserve && bps < 10_000 && over_cap),
            (Reason::AidCeiling, reserve && order.aid_left.is_some_and(|left| aid > left)),
        ];
        rules.into_iter().filter(|(_, broken)| *broken).map(|(reason, _)| reason).collect()
    }

    /// What a trade pays less than the market, in uEUR: something in the reserve only.
    fn aid(&self, supply: usize, trade: &Trade) -> u64 {
        let benchmark = self.book.reference.unwrap_or(self.ask(supply)).max(trade.price);
        let aid = self.charge(benchmark, trade) - self.charge(trade.price, trade);
        if trade.lane == Lane::Reserve { u64::try_from(aid).expect("generated prices are small") } else { 0 }
    }

    /// All that an order tries at `price`, or in the reserve lane without one: supplies in turn, of each first the market's
    /// calendar, the largest quantity first, the earliest start first.
    pub fn tries(&self, order: &Order, price: Option<Price>) -> Vec<Done> {
        let (params, bucket, mut tries) = (&self.book.params, self.bucket(order), Vec::new());
        let lane = if price.is_some() { Lane::Market } else { Lane::Reserve };
        let release = price.is_some() && order.interruptible && order.slots <= params.release_lease_slots_max;
        let (request, slots, least) = (order.request, order.slots, order.quantity_min.max(1));
        let trade = |offer, price, (released, quantity, start)| {
            let aid = 0;
            Trade { request, offer, lane, bucket, released, quantity, start, slots, price, aid }
        };
        for supply in self.compatible(order).unwrap_or_default() {
            let Supply { offer, node_size, .. } = self.book.supplies[supply];
            let most = if price.is_some() { Price(u64::MAX) } else { params.reserve_price_cap };
            let asked = self.ask(supply).min(most);
            let pays = asked <= price.unwrap_or(order.limit);
            for released in [false, true].into_iter().filter(|released| pays && (release || !released)) {
                for quantity in (least..=order.quantity).rev().step_by(node_size.max(1) as usize) {
                    for start in order.start_min.max(self.book.now).0..=order.start_max.0 {
                        let tried = trade(offer, price.unwrap_or(asked), (released, quantity, Slot(start)));
                        tries.push((order.clone(), supply, Trade { aid: self.aid(supply, &tried), ..tried }));
                    }
                }
            }
        }
        tries
    }

    /// The first thing that fits.
    pub fn place(&self, order: &Order, price: Option<Price>) -> Option<Done> {
        self.tries(order, price).into_iter().find(|tried| self.obstacles(tried).is_empty())
    }
}
