//! `hansa market book`: what is offered and asked for in a class.

use super::watch::{Batches, turn};
use super::{View, euro};
use crate::command::request;
use crate::error::Outcome;
use crate::printer::pairs;
use crate::session::{Session, short};
use hansa_node_api::book::{DemandBand, MarketBook};

pub(super) async fn run(session: &Session, view: View) -> Outcome {
    let client = session.reader().await?;
    let mut batches = match view.watch {
        true => Some(Batches::follow(&client, &view.class).await?),
        false => None,
    };
    loop {
        let book = client.market_book(&view.class).await?;
        session.printer.data(&book, || text(session, &book));
        let Some(batches) = &mut batches else { return Ok(()) };
        batches.next(session).await?;
        turn(session);
    }
}

fn text(session: &Session, book: &MarketBook) -> String {
    let printer = session.printer;
    let mut parts = vec![pairs(&[
        ("class", book.class.to_string()),
        ("accelerators", book.capacity.to_string()),
        ("batches", book.epoch.to_string()),
        ("next batch", book.next_batch.map_or("none is due".to_owned(), |due| due.to_string())),
        ("last price", book.last_price.map(euro).unwrap_or_default()),
        ("requests", demand_text(book)),
    ])];
    if !book.asks.is_empty() {
        let rows = book.asks.iter().map(|level| {
            [euro(level.ask), level.offers.to_string(), level.free.to_string(), level.reserve.to_string()]
        });
        parts.push(printer.table(["ASK", "OFFERS", "FREE", "RESERVE"], rows));
    }
    if !book.wanted.is_empty() {
        let rows = book
            .wanted
            .iter()
            .map(|band| [band_text(band), band.requests.to_string(), band.accelerators.to_string()]);
        parts.push(printer.table(["LIMITS", "REQUESTS", "ACCELERATORS"], rows));
    }
    if !book.offers.is_empty() {
        let rows = book.offers.iter().map(|offer| {
            [
                short(&offer.offer),
                offer.site.to_string(),
                offer.country.to_string(),
                offer.tier.to_string(),
                offer.node_size.to_string(),
                euro(offer.ask),
                offer.free.to_string(),
                offer.reserve.to_string(),
            ]
        });
        parts.push(
            printer.table(["OFFER", "SITE", "COUNTRY", "TIER", "NODE", "ASK", "FREE", "RESERVE"], rows),
        );
    }
    if !book.orders.is_empty() {
        parts.push(request::table(session, &book.orders));
    }
    if book.more {
        parts
            .push("the book is longer than what is shown; see `hansa request list --class CLASS`".to_owned());
    }
    parts.join("\n\n")
}

/// How many wait, and what of them is told.
fn demand_text(book: &MarketBook) -> String {
    match (book.requests_open, book.wanted.is_empty()) {
        (0, _) => "none".to_owned(),
        (open, true) => format!("{open} open; limits are told of three groups or more together"),
        (open, false) => format!("{open} open; limits as the last batch left them"),
    }
}

fn band_text(band: &DemandBand) -> String {
    match band.below {
        None if band.from.0 == 0 => "any".to_owned(),
        None => format!("{} or more", euro(band.from)),
        Some(below) => format!("{} to below {}", band.from, euro(below)),
    }
}
