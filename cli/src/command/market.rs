//! `hansa market`: what classes of capacity cost, who asks for them, and what their batches have decided.

mod book;
mod history;
mod price;
mod simulate;
mod watch;

use crate::error::Outcome;
use crate::session::Session;
use clap::{Args, Subcommand};
use hansa_ledger::market::Bucket;
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_node_api::market::ClassInfo;
use simulate::SimulateArguments;

/// Look at the market; without a verb, list its classes.
#[derive(Debug, Args)]
pub struct MarketArguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the book of a class: what is offered at which price, what is asked for, your own orders
    Book(View),
    /// Show what a class costs: the last price of each lead time, and the reserve
    Price(View),
    /// Show what the batches of a class have decided: prices, hours by lane, concentration
    History(history::History),
    /// Clear a book from a file, as the ledger's batch would; no node is needed
    Simulate(SimulateArguments),
}

/// What is looked at.
#[derive(Debug, Args)]
struct View {
    /// Resource class, as `hansa market` names them
    class: Name,
    /// Show it again after each batch of the class
    #[arg(long, short)]
    watch: bool,
}

impl MarketArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        match self.verb {
            None => classes(session).await,
            Some(Verb::Book(view)) => book::run(session, view).await,
            Some(Verb::Price(view)) => price::run(session, view).await,
            Some(Verb::History(history)) => history.run(session).await,
            Some(Verb::Simulate(arguments)) => arguments.run(session),
        }
    }
}

async fn classes(session: &Session) -> Outcome {
    let classes = session.client()?.classes().await?;
    session.printer.data(&classes, || table(session, &classes));
    if classes.is_empty() {
        session.printer.note("nobody has accredited capacity yet");
    }
    Ok(())
}

fn table(session: &Session, classes: &[ClassInfo]) -> String {
    let rows = classes.iter().map(|one| {
        [
            one.class.to_string(),
            one.row.capacity.to_string(),
            one.row.price.map_or("not traded".to_owned(), euro),
            one.offers_open.to_string(),
            one.requests_open.to_string(),
            one.leases_live.to_string(),
            one.row.epoch.to_string(),
            one.row.batch_due.map(|due| due.to_string()).unwrap_or_default(),
        ]
    });
    let header = ["CLASS", "COUNT", "LAST PRICE", "OFFERS", "REQUESTS", "LEASES", "BATCHES", "NEXT BATCH"];
    session.printer.table(header, rows)
}

/// A price per accelerator-hour as people read it.
fn euro(price: Price) -> String {
    format!("{price} EUR/h")
}

/// Accelerator-seconds as hours with one decimal.
fn hours(seconds: u64) -> String {
    let tenths = u128::from(seconds) * 10 / 3_600;
    format!("{}.{} h", tenths / 10, tenths % 10)
}

/// A lead time as people read it.
fn bucket_text(bucket: Bucket) -> String {
    crate::units::word_text(&bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accelerator_time_is_told_in_hours() {
        for (seconds, text) in [
            (0, "0.0 h"),
            (359, "0.0 h"),
            (360, "0.1 h"),
            (5_400, "1.5 h"),
            (u64::MAX, "5124095576030431.0 h"),
        ] {
            assert_eq!(hours(seconds), text);
        }
    }
}
