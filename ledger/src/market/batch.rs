//! One batch of one class: the reserve lane, then one auction for each bucket, then an answer for every request.

use super::auction::Auction;
use super::book::{Book, Bucket, Clearing, LaneHint, Order, Trade};
use super::floor::{Bid, Floor, Source};
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
    let (mut turns, found) = turns(&roster, &usage, &mut answers);
    let mut floor = Floor::new(&roster);
    reserve::allocate(&roster, &found, &turns, &mut floor, &mut usage, &mut answers);
    floor.release(&roster);
    turns.retain(|turn| {
        let cheapest = found[turn.compatible as usize].cheapest;
        let is_open = turn.is_market && answers.is_open(turn.order);
        if is_open && turn.limit < cheapest {
            answers.refuse_below(turn.order, cheapest);
        }
        is_open && turn.limit >= cheapest
    });
    // Only who reaches an offer counts: a bid below all asks could else take the book's plainness from all others.
    let may_be_plain = may_be_plain && !book.eligibility.bars_anything();
    let is_plain = may_be_plain && is_plain_book(&turns);
    for turn in turns.iter_mut().filter(|_| usage.has_grown) {
        turn.usage = usage.of(roster.order(turn.order));
    }
    let mut queue = Queue::new(turns, book.params.limit_first);
    if is_plain {
        if let Some(first) = queue.get(&roster, 0) {
            let bucket = roster.bucket(roster.order(first.order));
            Auction::new(&roster, &found, bucket, queue, true).clear(&mut floor, &mut answers);
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
        Auction::new(&roster, &found, bucket, queue, false).clear(&mut floor, &mut answers);
    }
    answers.clearing(&roster)
}

/// The turns of all requests that some offer could serve, and the offers that could; the others are answered.
fn turns(roster: &Roster, usage: &Usage, answers: &mut Answers) -> (Vec<Turn>, Vec<Compatible>) {
    let mut assessor = Assessor::new();
    let mut windows = Windows::default();
    let mut turns = Vec::with_capacity(roster.len() as usize);
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
        turns.push(Turn {
            usage: usage.of(order),
            admitted_epoch: order.admitted_epoch,
            limit: order.limit,
            volume: u64::from(order.quantity).saturating_mul(u64::from(order.slots)),
            order: place,
            compatible,
            window: windows.place((order.start_min, order.start_max, order.slots)),
            is_entitled,
            is_market: order.lane != LaneHint::Reserve,
            is_plain: is_plain(roster, order),
            is_divisible: order.quantity_min.max(1) < order.quantity,
        });
    }
    (turns, assessor.found)
}

/// The windows and lengths that requests ask for.
#[derive(Default)]
struct Windows {
    known: BTreeMap<(Slot, Slot, u32), u32>,
    last: Option<((Slot, Slot, u32), u32)>,
}

impl Windows {
    /// The place of a window, the same for equal ones.
    fn place(&mut self, window: (Slot, Slot, u32)) -> u32 {
        if let Some((last, place)) = self.last
            && last == window
        {
            return place;
        }
        // There are at most as many windows as requests, of which the roster counts fewer than 2^32.
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let place = *self.known.entry(window).or_insert(next);
        self.last = Some((window, place));
        place
    }
}

/// Whether a request asks for no more than a window and a length: it runs anywhere, takes a single accelerator of any offer,
/// and pays with private money.
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

/// Whether all that the market is to serve is plain, and of one window and length. Such a book is faster to clear, and no limit
/// on the number of its requests applies.
fn is_plain_book(turns: &[Turn]) -> bool {
    let window = turns.first().map(|turn| turn.window);
    turns.iter().all(|turn| turn.is_plain && Some(turn.window) == window)
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
    trades: Vec<(u32, Trade)>,
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
        self.trades.push((order, trade));
    }

    fn is_open(&self, order: u32) -> bool {
        self.of_order[order as usize] == OPEN
    }

    fn clearing(mut self, roster: &Roster) -> Clearing {
        let mut unmatched = Vec::with_capacity(self.of_order.len().saturating_sub(self.trades.len()));
        for (place, kind) in (0..roster.len()).zip(&self.of_order) {
            let reason = usize::try_from(*kind).ok().and_then(|kind| self.reasons.get(kind));
            if let Some((reason, detail)) = reason {
                let request = roster.order(place).request;
                unmatched.push(Unmatched { request, reason: *reason, detail: Arc::clone(detail) });
            }
        }
        // Each request trades once, so that its place decides.
        self.trades.sort_unstable_by_key(|(place, _)| *place);
        let trades = self.trades.into_iter().map(|(_, trade)| trade).collect();
        Clearing { trades, prices: self.prices, unmatched }
    }
}
