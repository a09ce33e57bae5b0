//! One bucket of the market lane: which price moves the most, who is placed at it, and the one price that all pay.

use super::batch::{Answers, Wanted, bid_of};
use super::book::{Bucket, BucketPrice, Lane, Trade};
use super::columns::{before, words_for};
use super::fit::View;
use super::floor::{Bid, Floor, Placement, Source};
use super::price::{Bounds, Candidate, candidates, distance};
use super::priority::{Queue, Turn};
use super::reason::{Detail, Reason};
use super::roster::{Compatible, Ranking, Roster};
use super::shape::Shapes;
use crate::money::Price;
use crate::time::Slot;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// One bucket of the batch, with its requests in order of their turns.
pub(super) struct Auction<'run, 'book> {
    roster: &'run Roster<'book>,
    found: &'run [Compatible],
    bucket: Bucket,
    queue: Queue,
    /// What all ask for at each limit, in accelerator-slots; the limits rise.
    demand: Vec<(Price, u128)>,
    /// Whether some accept fewer accelerators than they ask for.
    is_divisible: bool,
    bids: Bids<'book>,
    shapes: Shapes,
    /// Whether the book is without constraints: then all turns have one shape.
    is_plain: bool,
}

/// The bids of the turns that have been reached.
#[derive(Default)]
struct Bids<'book> {
    each: Vec<Option<Bid<'book>>>,
    /// In a book without constraints all bids are like the first but for who asks: of the others the groups are kept.
    first: Option<Bid<'book>>,
    groups: Vec<u32>,
}

/// The group of a turn that has not been reached.
const UNKNOWN: u32 = u32::MAX;

/// What trying one price gave.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// What was placed, in accelerator-slots.
    volume: u128,
    /// What those who were placed had asked for, in accelerator-slots.
    served: u128,
    /// The turns that were placed, in order.
    placed: Vec<(usize, Placement)>,
    /// How many turns were gone through before nothing was left for any.
    reached: usize,
}

/// What decides between prices; the least wins. See [`Auction::rank`].
type Rank = (Reverse<u128>, u128, u64, Price);

/// Who need not ask again in a run over a book without constraints; see [`View::stuck`].
type Stuck = (Option<usize>, usize, bool);

impl<'run, 'book> Auction<'run, 'book> {
    pub(super) fn new(
        roster: &'run Roster<'book>,
        found: &'run [Compatible],
        bucket: Bucket,
        queue: Queue,
        plain: Option<Wanted>,
    ) -> Self {
        let shapes = Shapes::new(roster.rankings[bucket as usize].supplies.len());
        let is_plain = plain.is_some();
        let wanted = plain.unwrap_or_else(|| {
            let mut wanted = Wanted::new(roster.book);
            queue.turns().iter().for_each(|turn| wanted.add(roster.order(turn.order)));
            wanted
        });
        let (demand, is_divisible) = (wanted.at_limits.sums(), wanted.is_divisible);
        Self { roster, found, bucket, queue, demand, is_divisible, bids: Bids::default(), shapes, is_plain }
    }

    /// Clears the bucket.
    pub(super) fn clear(mut self, floor: &mut Floor<'book>, answers: &mut Answers) {
        if self.queue.turns().is_empty() {
            return;
        }
        if self.is_plain {
            super::batch::frame(self.roster, &mut floor.market, &self.queue.turns()[..1]);
        } else {
            super::batch::frame(self.roster, &mut floor.market, self.queue.turns());
            if let Some(released) = &mut floor.released {
                super::batch::frame(self.roster, released, self.queue.turns());
            }
        }
        match self.search(floor) {
            Some(tried) => self.settle(floor, tried, answers),
            None => self.explain(floor, answers),
        }
        floor.market.unframe();
        floor.released.iter_mut().for_each(super::shelf::Shelf::unframe);
    }

    fn ranking(&self) -> &'run Ranking {
        &self.roster.rankings[self.bucket as usize]
    }

    /// The bid of a turn, which is made when the turn is reached.
    fn bid(&mut self, floor: &mut Floor<'book>, place: usize, turn: &Turn) -> Bid<'book> {
        if self.is_plain {
            return self.plain_bid(floor, place, turn);
        }
        if let Some(Some(bid)) = self.bids.each.get(place) {
            return bid.clone();
        }
        if self.bids.each.len() <= place {
            self.bids.each.resize(place.saturating_add(1), None);
        }
        let bid = bid_of(self.roster, floor, &mut self.shapes, turn, false);
        self.bids.each[place] = Some(bid.clone());
        bid
    }

    /// The bid of a turn of a book without constraints.
    fn plain_bid(&mut self, floor: &mut Floor<'book>, place: usize, turn: &Turn) -> Bid<'book> {
        let Some(first) = &self.bids.first else {
            let first = bid_of(self.roster, floor, &mut self.shapes, turn, false);
            self.shapes.is_shared |= self.queue.turns().len() > 1;
            self.bids.first = Some(first.clone());
            return first;
        };
        let order = self.roster.order(turn.order);
        if self.bids.groups.len() <= place {
            self.bids.groups.resize(place.saturating_add(1), UNKNOWN);
        }
        let known = &mut self.bids.groups[place];
        if *known == UNKNOWN {
            *known = u32::try_from(floor.group(&order.group)).unwrap_or(UNKNOWN);
        }
        let (group, funding) = (*known as usize, floor.member(self.roster, order.funding_home));
        Bid { order, place: turn.order, group, funding, ..first.clone() }
    }

    /// The price to place at: most volume, then least unserved demand, then nearest to the reference, then lowest.
    /// `None` if nothing can be placed at any price that is tried.
    fn search(&mut self, floor: &mut Floor<'book>) -> Option<Price> {
        let mut best: Option<Rank> = None;
        for (rank_max, candidate) in self.candidates(floor) {
            // What cannot be better than the best cannot win, and what follows can still less.
            if best.is_some_and(|best| rank_max >= best) {
                break;
            }
            let outcome = self.run(floor, candidate.price, |_, _, _, _| {});
            floor.undo();
            let rank = self.rank(candidate, outcome.volume, outcome.served);
            if outcome.volume > 0 && best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
        best.map(|(.., price)| price)
    }

    /// How good a price is at which so much is placed, for requests that asked for so much: the least is the best.
    fn rank(&self, candidate: Candidate, volume: u128, served: u128) -> Rank {
        let excess = candidate.demand.saturating_sub(served);
        let away = distance(candidate.price, self.roster.book.reference);
        (Reverse(volume), excess, away, candidate.price)
    }

    /// The prices to try, each with the best rank that it could have: the most promising first. The order cannot change which
    /// one wins, for it wins by its rank.
    fn candidates(&self, floor: &Floor) -> Vec<(Rank, Candidate)> {
        let ranking = self.ranking();
        let places = || ranking.supplies.iter().copied();
        let supply = ranking.asks.iter().copied().zip(places().map(|place| floor.area(place))).collect();
        let params = &self.roster.book.params;
        let found = candidates(&self.demand, supply, self.roster.book.reference, params.price_candidates);
        // Only what is free while some request could run can be placed.
        let (from, until) = self.span();
        let mut sum = 0u128;
        let within: Vec<u128> = std::iter::once(0)
            .chain(places().map(|place| {
                sum = sum.saturating_add(floor.area_within(place, from, until));
                sum
            }))
            .collect();
        // Who gets a part counts as served wholly; where nobody does, no more is served than placed.
        let rank_max = |candidate: Candidate| {
            let volume = within[ranking.reach(candidate.price)].min(candidate.demand);
            self.rank(candidate, volume, if self.is_divisible { candidate.demand } else { volume })
        };
        let mut bounded: Vec<(Rank, Candidate)> =
            found.into_iter().map(|candidate| (rank_max(candidate), candidate)).collect();
        bounded.sort_unstable_by_key(|(rank_max, _)| *rank_max);
        bounded
    }

    /// The time in which the bucket's requests could run.
    fn span(&self) -> (Slot, Slot) {
        let turns = self.queue.turns();
        let turns = if self.is_plain { &turns[..turns.len().min(1)] } else { turns };
        let orders = turns.iter().map(|turn| self.roster.order(turn.order));
        orders.fold((Slot(u32::MAX), Slot(0)), |(from, until), order| {
            let start = order.start_min.max(self.roster.book.now);
            (from.min(start), until.max(Slot(order.start_max.0.saturating_add(order.slots))))
        })
    }

    /// Places the bids whose limit reaches `price`, in their order, at offers that ask no more than it. `turned_away` sees
    /// each that finds no place, as things stand at its turn.
    fn run(
        &mut self,
        floor: &mut Floor<'book>,
        price: Price,
        mut turned_away: impl FnMut(usize, &Bid<'book>, View, &Shapes),
    ) -> Outcome {
        let reach = self.ranking().reach(price);
        let mut outcome = Outcome::default();
        let mut stuck: BTreeSet<Stuck> = BTreeSet::new();
        self.shapes.restart();
        while let Some(turn) = self.queue.get(self.roster, outcome.reached) {
            let place = outcome.reached;
            outcome.reached = place.saturating_add(1);
            if turn.limit < price {
                continue;
            }
            let bid = self.bid(floor, place, &turn);
            let view = View { roster: self.roster, found: self.found, floor };
            let is_stuck = !stuck.is_empty() && stuck.contains(&view.stuck(&bid));
            let placement = if is_stuck { None } else { view.place(&bid, reach, &mut self.shapes) };
            if let Some(placement) = placement {
                let slots = u128::from(bid.order.slots);
                outcome.volume =
                    outcome.volume.saturating_add(slots.saturating_mul(u128::from(placement.quantity)));
                outcome.served = outcome.served.saturating_add(u128::from(bid.order.volume()));
                outcome.placed.push((place, placement));
                floor.take(self.roster, &bid, placement, 0);
                continue;
            }
            if self.is_plain && self.is_exhausted(&bid, reach) {
                // Nothing is left for any later turn either, and it will be told the same.
                outcome.reached = place;
                break;
            }
            turned_away(place, &bid, view, &self.shapes);
            if self.is_plain && view.may_get_stuck(&bid) {
                stuck.insert(view.stuck(&bid));
            }
        }
        outcome
    }

    /// Whether no offer within reach has anything left for requests of that shape.
    fn is_exhausted(&self, bid: &Bid, reach: usize) -> bool {
        let compatible = &self.found[bid.compatible].columns;
        (0..words_for(reach)).all(|word| {
            let open = self.shapes.open(bid.shape, Source::Market, word);
            compatible.word(word) & before(reach, word) & open == 0
        })
    }

    /// Places at the price that was found, for good, and settles the one price of the bucket.
    fn settle(mut self, floor: &mut Floor<'book>, tried: Price, answers: &mut Answers) {
        let reach = self.ranking().reach(tried);
        let mut obstacles = Vec::new();
        let outcome = self.run(floor, tried, |place, bid, view, shapes| {
            obstacles.push((place, view.obstacle(bid, reach, shapes)));
        });
        let after_last = self.queue.get(self.roster, outcome.reached).map(|turn| {
            // Its limit reaches the price, since it was asked and found nothing left.
            let bid = self.bid(floor, outcome.reached, &turn);
            View { roster: self.roster, found: self.found, floor }.obstacle(&bid, reach, &self.shapes)
        });
        floor.commit();
        let price = self.bounds(tried, &outcome).price(&self.roster.book.params);
        self.award(&outcome, price, answers);
        let mut placed = outcome.placed.iter().map(|(place, _)| *place).peekable();
        let mut obstacles = obstacles.into_iter().peekable();
        let with_price =
            |(reason, detail): (Reason, Detail)| (reason, Detail { clearing_price: Some(price), ..detail });
        let after_last = after_last.map(with_price).map(|(reason, detail)| answers.kind(reason, detail));
        let mut below: Vec<Option<u32>> = vec![None; self.found.len()];
        for (place, turn) in self.queue.turns().iter().enumerate() {
            if placed.next_if_eq(&place).is_some() {
                continue;
            }
            let pays = turn.limit >= price;
            let obstacle = obstacles.next_if(|(at, _)| *at == place).filter(|_| pays);
            if let Some((reason, detail)) = obstacle.map(|(_, obstacle)| with_price(obstacle)) {
                answers.refuse(turn.order, reason, detail);
                continue;
            }
            // Who would pay the price and not the one that was tried was never asked: it did not meet what the last one met.
            let was_asked = pays && turn.limit >= tried;
            if let Some(kind) = after_last.filter(|_| was_asked && place >= outcome.reached) {
                answers.refuse_as(turn.order, kind);
                continue;
            }
            let kind = *below[turn.compatible as usize].get_or_insert_with(|| {
                let cheapest_ask = Some(self.found[turn.compatible as usize].cheapest);
                let detail = Detail { cheapest_ask, clearing_price: Some(price), ..Detail::default() };
                answers.kind(Reason::LimitBelowPrice, detail)
            });
            answers.refuse_as(turn.order, kind);
        }
        let volume = u64::try_from(outcome.volume).unwrap_or(u64::MAX);
        answers.prices.push(BucketPrice { bucket: self.bucket, price, volume });
    }

    fn award(&self, outcome: &Outcome, price: Price, answers: &mut Answers) {
        for (place, placement) in &outcome.placed {
            let turn = self.queue.turns()[*place];
            let order = self.roster.order(turn.order);
            answers.award(
                turn.order,
                Trade {
                    request: order.request,
                    offer: self.roster.supplies[placement.supply].offer,
                    lane: Lane::Market,
                    bucket: self.bucket,
                    released: placement.source == Source::Released,
                    quantity: placement.quantity,
                    start: placement.start,
                    slots: order.slots,
                    price,
                    aid: 0,
                },
            );
        }
    }

    fn bounds(&self, tried: Price, outcome: &Outcome) -> Bounds {
        let (ranking, turns) = (self.ranking(), self.queue.turns());
        let matched = || outcome.placed.iter();
        let asks = matched().map(|(_, placement)| self.roster.supplies[placement.supply].ask);
        let mut bounds = Bounds {
            matched_limit_min: matched().map(|(place, _)| turns[*place].limit).min(),
            matched_ask_max: asks.max(),
            ask_above_min: ranking.asks.get(ranking.reach(tried)).copied(),
            ..Bounds::default()
        };
        let high = bounds.high(&self.roster.book.params);
        // Nobody below the price that was tried was placed; of the others those count at whose limit more is asked for than
        // was served.
        let (below, reached) = self.demand.split_at(self.demand.partition_point(|(limit, _)| *limit < tried));
        let mut served = Wanted::new(self.roster.book);
        matched().for_each(|(place, _)| served.add(self.roster.order(turns[*place].order)));
        let mut served = served.at_limits.sums().into_iter().peekable();
        let open = reached.iter().filter(|(limit, asked)| {
            let served = served.next_if(|(at, _)| at == limit).map_or(0, |(_, volume)| volume);
            *limit <= high && served < *asked
        });
        bounds.limit_below_max = below.last().map(|(limit, _)| *limit);
        bounds.rejected_max = open.map(|(limit, _)| *limit).max();
        bounds
    }

    /// Answers all when nothing trades: each met its own limit only. One that would have fitted was not reached by the
    /// prices that were tried.
    fn explain(mut self, floor: &mut Floor<'book>, answers: &mut Answers) {
        self.shapes.restart();
        let mut known: BTreeMap<(Stuck, usize), u32> = BTreeMap::new();
        for place in 0..self.queue.turns().len() {
            let Some(turn) = self.queue.get(self.roster, place) else { break };
            let reach = self.ranking().reach(turn.limit);
            let bid = self.bid(floor, place, &turn);
            let view = View { roster: self.roster, found: self.found, floor };
            let key = (view.stuck(&bid), reach);
            if let Some(kind) = known.get(&key).filter(|_| self.is_plain) {
                answers.refuse_as(turn.order, *kind);
                continue;
            }
            let (reason, detail) = match view.place(&bid, reach, &mut self.shapes) {
                Some(_) => (Reason::BatchFull, Detail::default()),
                None => view.obstacle(&bid, reach, &self.shapes),
            };
            let kind = answers.kind(reason, detail);
            answers.refuse_as(turn.order, kind);
            known.insert(key, kind);
        }
    }
}
