//! `hansa market price`: what a class costs.

use super::watch::{Batches, turn};
use super::{View, bucket_text, euro, hours};
use crate::error::Outcome;
use crate::printer::pairs;
use crate::session::Session;
use crate::units::length;
use hansa_node_api::book::MarketPrice;

pub(super) async fn run(session: &Session, view: View) -> Outcome {
    // Prices are everybody's to see, so nobody has to unlock a key for them.
    let client = session.client()?;
    let mut batches = match view.watch {
        true => Some(Batches::follow(&client, &view.class).await?),
        false => None,
    };
    loop {
        let price = client.market_price(&view.class).await?;
        session.printer.data(&price, || text(session, &price));
        let Some(batches) = &mut batches else { return Ok(()) };
        batches.next(session).await?;
        turn(session);
    }
}

fn text(session: &Session, price: &MarketPrice) -> String {
    let next = price.next_batch.map_or_else(
        || format!("none is due; they run every {} when something changes", length(price.batch_ms)),
        |due| due.to_string(),
    );
    let reserve = &price.reserve;
    let cheapest =
        reserve.price.map_or("nothing is free".to_owned(), |price| format!("from {}", euro(price)));
    let head = pairs(&[
        ("class", price.class.to_string()),
        ("batches", price.epoch.to_string()),
        ("next batch", next),
        ("last price", price.last_price.map(euro).unwrap_or_default()),
        ("reserve", format!("{cheapest}, never over {}; {} free now", euro(reserve.price_max), reserve.free)),
    ]);
    let rows = price.market.iter().map(|one| {
        [
            bucket_text(one.bucket),
            one.within_s.map_or("later".to_owned(), |seconds| format!("within {}", length(seconds * 1_000))),
            one.price.map_or("not traded".to_owned(), euro),
            one.price.map(|_| hours(one.seconds)).unwrap_or_default(),
            one.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
            one.cleared_at.map(|at| at.to_string()).unwrap_or_default(),
        ]
    });
    let table = session.printer.table(["MARKET", "STARTS", "PRICE", "TRADED", "BATCH", "AT"], rows);
    format!("{head}\n\n{table}")
}
