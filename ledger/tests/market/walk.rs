//! Goes through a batch in the order in which it served, with the plain model standing where the batch stood.

use crate::harness::{Verdict, ensure};
use crate::model::Model;
use hansa_ledger::market::{Book, Bucket, Clearing, Lane, Order, Trade};
use hansa_ledger::money::Price;

/// The moment at which an order had its turn.
pub struct Turn<'a> {
    /// What the batch had given before: to all lanes and buckets before, and to orders of better rank in this one.
    pub model: &'a Model,
    pub order: &'a Order,
    /// The lane whose turn it is.
    pub lane: Lane,
    /// What it got in this lane.
    pub trade: Option<&'a Trade>,
    /// The price of its bucket; none in the reserve lane, and where nothing traded.
    pub price: Option<Price>,
    /// The price at which the bucket was served: the best candidate, from which its price follows.
    pub tried: Option<Price>,
}

impl Turn<'_> {
    pub fn name(&self) -> String {
        format!("r{} in the {:?} lane", self.order.request.0[0], self.lane)
    }
}

/// Visits every order that a lane considered, in turn. Fails if something traded that had no turn.
pub fn walk(book: &Book, outcome: &Clearing, mut visit: impl FnMut(Turn<'_>) -> Verdict) -> Verdict {
    let mut model = Model::new(book);
    let mut waiting = model.considered(model.reserve_takers(), false);
    while let Some(order) = model.next_by_need(&mut waiting) {
        let trade = trade_of(outcome, &order, Lane::Reserve);
        visit(Turn { model: &model, order: &order, lane: Lane::Reserve, trade, price: None, tried: None })?;
        record(&mut model, &order, trade)?;
    }
    let market = model.market_considered();
    for bucket in Bucket::ALL {
        let price = outcome.prices.iter().find(|one| one.bucket == bucket).map(|one| one.price);
        let mine: Vec<Order> = market.iter().filter(|order| model.bucket(order) == bucket).cloned().collect();
        let best = price.and_then(|_| model.best_candidate(bucket, &mine));
        let tried = best.map(|(tried, ..)| tried);
        for order in &mine {
            let trade = trade_of(outcome, order, Lane::Market);
            visit(Turn { model: &model, order, lane: Lane::Market, trade, price, tried })?;
            record(&mut model, order, trade)?;
        }
    }
    let unseen = outcome.trades.iter().find(|trade| !model.done.iter().any(|(_, _, seen)| seen == *trade));
    ensure(unseen.is_none(), || format!("a trade without a turn: {unseen:?}"))
}

fn trade_of<'a>(outcome: &'a Clearing, order: &Order, lane: Lane) -> Option<&'a Trade> {
    outcome.trades.iter().find(|trade| trade.request == order.request && trade.lane == lane)
}

fn record(model: &mut Model, order: &Order, trade: Option<&Trade>) -> Verdict {
    let Some(trade) = trade else { return Ok(()) };
    let supply = model.book.supplies.iter().position(|supply| supply.offer == trade.offer);
    let supply =
        supply.ok_or_else(|| format!("a trade at an offer that the book does not have: {trade:?}"))?;
    model.done.push((order.clone(), supply, trade.clone()));
    Ok(())
}
