//! One batch of one class: the reserve lane, then one auction for each bucket, then an answer for every request.

use super::auction::Auction;
use super::book::{Book, Bucket, Clearing, LaneHint, Order, Trade};
use super::floor::{Bid, Floor, Source};
use super::price::Tally;
use super::priority::{Queue, Turn};
use super::reason::{Detail, Reason, Unmatched};
use super::reserve;
use super::roster::{Assessor, Compatible, Roster, Usage};
use super::shape::{Shape, Shapes};
use super::shelf::Shelf;
use crate::money::Price;
use crate::time::Slot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// See [`super::clear`].
pub(super) fn clear(book: &Book) -> Clearing {
    clear_by(book, true)
}

/// Clears the book; `may_be_plain` says whether a book without constraints may be taken for one, which is faster and lifts
/// the limits on how many requests a batch considers.
pub(super) fn clear_by(book: &Book, may_be_plain: bool) -> Clearing {
    let roster = Roster::new(book);
    let mut usage = Usage::new(book);
    let mut answers = Answers::new(roster.len());
    let Demand { market: mut turns, entitled, found, plain, plain_count } =
        demand(&roster, &usage, &mut answers);
    let mut floor = Floor::new(&roster);
    let has_reserve = !entitled.is_empty();
    reserve::allocate(&roster, &found, entitled, &mut floor, &mut usage, &mut answers);
    floor.release(&roster);
    if has_reserve {
        turns.retain(|turn| {
            let cheapest = found[turn.compatible as usize].cheapest;
            let is_open = answers.is_open(turn.order);
            if is_open && turn.limit < cheapest {
                answers.refuse_below(turn.order, cheapest);
            }
            is_open && turn.limit >= cheapest
        });
    }
    // Only who reaches an offer counts: a bid below all asks could else take the book's plainness from all others. No grant pays
    // for who is plain, so that none of them has left since they were counted.
    let is_plain = may_be_plain && !book.eligibility.bars_anything() && plain_count == turns.len();
    for turn in turns.iter_mut().filter(|_| usage.has_grown) {
        turn.usage = usage.of(roster.order(turn.order));
    }
    let mut queue = Queue::new(turns, book.params.limit_first);
    if is_plain {
        if let Some(first) = queue.get(&roster, 0) {
            let bucket = roster.bucket(roster.order(first.order));
            Auction::new(&roster, &found, bucket, queue, Some(plain)).clear(&mut floor, &mut answers);
        }
        return answers.clearing(&roster);
    }
    let considered = queue.considered(&roster, |turn| {
        let cheapest_ask = Some(found[turn.compatible as usize].cheapest);
        answers.refuse(turn.order, Reason::BatchFull, Detail { cheapest_ask, ..Detail::default() });
    });
    for bucket in Bucket::ALL {
        let of_bucket = considered.iter().filter(|turn| roster.bucket(roster.order(turn.order)) == bucket);
        let queue = Queue::in_order(of_bucket.copied().collect());
        Auction::new(&roster, &found, bucket, queue, None).clear(&mut floor, &mut answers);
    }
    answers.clearing(&roster)
}

/// What requests ask for that some offer could serve.
struct Demand {
    /// Those that the market may serve.
    market: Vec<Turn>,
    /// Those that take part in the reserve lane.
    entitled: Vec<Turn>,
    /// The offers that could serve them.
    found: Vec<Compatible>,
    /// What those ask for that are without constraints, and of one window and length.
    plain: Wanted,
    /// How many these are.
    plain_count: usize,
}

/// What the requests of an auction ask for together.
pub(super) struct Wanted {
    pub(super) at_limits: Tally,
    /// Whether some accept fewer accelerators than they ask for.
    pub(super) is_divisible: bool,
}

impl Wanted {
    pub(super) fn new(book: &Book) -> Self {
        Self { at_limits: Tally::new(book.params.tick), is_divisible: false }
    }

    pub(super) fn add(&mut self, order: &Order) {
        self.at_limits.add(order.limit, order.volume());
        self.is_divisible |= order.quantity_min.max(1) < order.quantity;
    }
}

/// The turns of all requests that some offer could serve, and the offers that could; the others are answered.
fn demand(roster: &Roster, usage: &Usage, answers: &mut Answers) -> Demand {
    let mut assessor = Assessor::new();
    let (mut plain, mut plain_count, mut plain_window) = (Wanted::new(roster.book), 0usize, None);
    let (mut market, mut entitled) = (Vec::with_capacity(roster.len() as usize), Vec::new());
    for place in 0..roster.len() {
        let order = roster.order(place);
        let compatible = match assessor.assess(roster, order) {
            Ok(compatible) => compatible,
            Err(why) => {
                answers.refuse(place, why.0, why.1);
                continue;
            }
        };
        let is_entitled = reserve::takes_part(order);
        let cheapest = assessor.found[compatible as usize].cheapest;
        if !is_entitled && order.limit < cheapest {
            // Without the reserve it has the market only, and reaches nothing there.
            answers.refuse_below(place, cheapest);
            continue;
        }
        let turn = Turn {
            usage: usage.of(order),
            admitted_epoch: order.admitted_epoch,
            limit: order.limit,
            order: place,
            compatible,
        };
        if is_entitled {
            entitled.push(turn);
        }
        if order.lane == LaneHint::Reserve {
            continue;
        }
        market.push(turn);
        let window = (order.start_min, order.start_max, order.slots);
        if is_plain(roster, order) && *plain_window.get_or_insert(window) == window {
            plain.add(order);
            plain_count = plain_count.saturating_add(1);
        }
    }
    Demand { market, entitled, found: assessor.found, plain, plain_count }
}

/// Whether a request asks for no more than a window and a length: it runs anywhere, takes a single accelerator of any offer,
/// and pays with private money. A book of such requests, of one window and length, is faster to clear, and no limit on the number
/// of its requests applies.
fn is_plain(roster: &Roster, order: &Order) -> bool {
    order.countries == crate::member::CountrySet::default()
        && (order.certificates, order.tier_min) == (0, 0)
        && order.quantity_min <= 1
        && (order.quantity == 1 || roster.node_max == 1)
        && !order.own_group_excluded
        && !order.interruptible
        && !order.commercial
        && order.credit.is_none()
}

/// Makes the tables of a lane's calendars for the requests of `turns`.
pub(super) fn frame(roster: &Roster, shelf: &mut Shelf, turns: &[Turn]) {
    let mut spans: BTreeMap<usize, (Slot, Slot, u32)> = BTreeMap::new();
    for turn in turns {
        let order = roster.order(turn.order);
        let start = order.start_min.max(roster.book.now);
        let end = Slot(order.start_max.0.saturating_add(order.slots));
        let span = spans.entry(roster.bucket(order) as usize).or_insert((start, end, 0));
        *span = (span.0.min(start), span.1.max(end), span.2.saturating_add(1));
    }
    for (bucket, (from, until, count)) in spans {
        // A table of many rows costs as much as many looks into the calendars: few requests do not repay that.
        shelf.frame(bucket, &roster.rankings[bucket].supplies, from, until, count);
    }
}

/// The bid of a request in a lane, whose calendars have their tables.
pub(super) fn bid_of<'book>(
    roster: &Roster<'book>,
    floor: &mut Floor<'book>,
    shapes: &mut Shapes,
    turn: &Turn,
    is_reserve: bool,
) -> Bid<'book> {
    let (order, params) = (roster.order(turn.order), &roster.book.params);
    let bucket = roster.bucket(order) as usize;
    let start_min = order.start_min.max(roster.book.now);
    let sources = if is_reserve { [Source::Reserve; 2] } else { [Source::Market, Source::Released] };
    let shape = Shape {
        compatible: turn.compatible as usize,
        start_min,
        start_max: order.start_max,
        slots: order.slots,
        quantity: if roster.node_max > 1 { order.quantity } else { 0 },
        quantity_min: order.quantity_min.max(1),
    };
    let grid = |source| floor.shelf(source).grid(bucket, order.slots, start_min, order.start_max);
    let shape = shapes.place(shape, || sources.map(grid));
    let reserve_cap = params.cap_bps.min(params.reserve_cap_bps).min(order.reserve_cap_bps);
    Bid {
        order,
        place: turn.order,
        bucket,
        compatible: turn.compatible as usize,
        shape,
        group: floor.group(&order.group),
        cap: roster.cap(if is_reserve { reserve_cap } else { params.cap_bps }),
        funding: floor.member(roster, order.funding_home),
        member: order
            .credit
            .filter(|_| is_reserve && floor.member_cap.is_some())
            .map(|credit| floor.member(roster, credit)),
        start_min,
        is_reserve,
        takes_released: !is_reserve
            && floor.released.is_some()
            && order.interruptible
            && order.slots <= params.release_lease_slots_max,
    }
}

/// The answers to the requests, by their places.
pub(super) struct Answers {
    trades: Vec<Trade>,
    /// Whose they are, with their places.
    traded: Vec<(u32, u32)>,
    reasons: Vec<(Reason, Arc<Detail>)>,
    known: BTreeMap<(Reason, Arc<Detail>), u32>,
    /// The reason last given to who reaches no offer, with the ask it does not reach.
    below: Option<(Price, u32)>,
    /// For each request the place of its reason.
    of_order: Vec<u32>,
    pub(super) prices: Vec<super::book::BucketPrice>,
}

/// A request without an answer, and one that has traded.
const OPEN: u32 = u32::MAX;
const TRADED: u32 = u32::MAX - 1;

impl Answers {
    fn new(count: u32) -> Self {
        Self {
            trades: Vec::new(),
            traded: Vec::new(),
            reasons: Vec::new(),
            known: BTreeMap::new(),
            below: None,
            of_order: vec![OPEN; count as usize],
            prices: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, order: u32, reason: Reason, detail: Detail) {
        let kind = self.kind(reason, detail);
        self.refuse_as(order, kind);
    }

    /// Tells a request that its limit reaches none of the offers that could serve it.
    fn refuse_below(&mut self, order: u32, cheapest: Price) {
        let kind = match self.below {
            Some((ask, kind)) if ask == cheapest => kind,
            _ => {
                let detail = Detail { cheapest_ask: Some(cheapest), ..Detail::default() };
                self.kind(Reason::LimitBelowPrice, detail)
            }
        };
        self.below = Some((cheapest, kind));
        self.refuse_as(order, kind);
    }

    /// The place of a reason, for [`Answers::refuse_as`].
    pub(super) fn kind(&mut self, reason: Reason, detail: Detail) -> u32 {
        let key = (reason, Arc::new(detail));
        if let Some(kind) = self.known.get(&key) {
            return *kind;
        }
        // There are at most as many reasons as requests, and of those the book holds fewer than 2^32.
        let kind = u32::try_from(self.reasons.len()).unwrap_or(OPEN);
        self.reasons.push(key.clone());
        self.known.insert(key, kind);
        kind
    }

    pub(super) fn refuse_as(&mut self, order: u32, kind: u32) {
        self.of_order[order as usize] = kind;
    }

    pub(super) fn award(&mut self, order: u32, trade: Trade) {
        self.of_order[order as usize] = TRADED;
        // Each request trades once, and the book holds fewer than 2^32 of them.
        self.traded.push((order, u32::try_from(self.trades.len()).unwrap_or(u32::MAX)));
        self.trades.push(trade);
    }

    fn is_open(&self, order: u32) -> bool {
        self.of_order[order as usize] == OPEN
    }

    fn clearing(mut self, roster: &Roster) -> Clearing {
        // A trade is large: the places are sorted in its stead, and each trade is moved once.
        self.traded.sort_unstable();
        let trades = self.traded.iter().map(|(_, at)| self.trades[*at as usize].clone()).collect();
        let mut unmatched = Vec::with_capacity(self.of_order.len().saturating_sub(self.trades.len()));
        for (place, kind) in (0..roster.len()).zip(&self.of_order) {
            let reason = usize::try_from(*kind).ok().and_then(|kind| self.reasons.get(kind));
            if let Some((reason, detail)) = reason {
                let request = roster.order(place).request;
                unmatched.push(Unmatched { request, reason: *reason, detail: Arc::clone(detail) });
            }
        }
        Clearing { trades, prices: self.prices, unmatched }
    }
}
