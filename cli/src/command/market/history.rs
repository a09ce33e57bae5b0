//! `hansa market history`: what the batches of a class have decided.

use super::watch::{Batches, turn};
use super::{euro, hours};
use crate::error::Outcome;
use crate::session::Session;
use clap::Args;
use hansa_ledger::market::Bucket;
use hansa_ledger::name::Name;
use hansa_node_api::book::FiguresInfo;
use hansa_node_api::filter::FiguresFilter;

/// The columns of the table.
const HEADER: [&str; 12] = [
    "BATCH", "AT", "SPOT", "NEAR", "FORWARD", "MARKET", "RESERVE", "AWARDED", "OPEN", "LEASED", "HHI",
    "LARGEST",
];

/// What the batches of a class have decided.
#[derive(Debug, Args)]
pub(super) struct History {
    /// Resource class, as `hansa market` names them
    class: Name,
    /// So many batches back
    #[arg(long, default_value_t = 20, conflicts_with = "from", value_name = "BATCHES")]
    last: u64,
    /// From this batch on
    #[arg(long, value_name = "BATCH")]
    from: Option<u64>,
    /// Go on with each batch as it is decided
    #[arg(long, short)]
    watch: bool,
}

impl History {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let client = session.client()?;
        let mut batches = match self.watch {
            true => Some(Batches::follow(&client, &self.class).await?),
            false => None,
        };
        let mut next = match self.from {
            Some(from) => from,
            None => {
                let epoch = client.market_price(&self.class).await?.epoch;
                epoch.saturating_add(1).saturating_sub(self.last)
            }
        };
        let mut shown = Shown::default();
        loop {
            let filter = FiguresFilter { from: Some(next), ..FiguresFilter::default() };
            let rows = client.market_figures(&self.class, &filter).await?;
            next = rows.last().map_or(next, |last| last.epoch.saturating_add(1));
            match &mut batches {
                None => {
                    session.printer.data(&rows, || table(session, &rows));
                    return Ok(());
                }
                Some(batches) => {
                    shown.tell(session, rows);
                    batches.next(session).await?;
                }
            }
        }
    }
}

/// The batches that were told.
#[derive(Default)]
struct Shown {
    rows: Vec<FiguresInfo>,
    begun: bool,
}

/// Told batches that are kept, for the screen and for the width of columns.
const KEPT_MAX: usize = 100;

impl Shown {
    /// Tells these too: for programs one per line; for people below those before, under the names of the columns.
    fn tell(&mut self, session: &Session, rows: Vec<FiguresInfo>) {
        let printer = session.printer;
        if printer.is_json() {
            rows.iter().for_each(|row| printer.data(row, String::new));
            return;
        }
        let (begun, added) = (std::mem::replace(&mut self.begun, true), rows.len());
        self.rows.extend(rows);
        let whole = table(session, &self.rows);
        if printer.is_terminal() {
            // Wide rows are folded there, so all is drawn again.
            if begun {
                turn(session);
            }
            printer.data(&(), || whole);
        } else {
            let lines: Vec<&str> = whole.lines().collect();
            let from = if begun { lines.len().saturating_sub(added) } else { 0 };
            printer.data(&(), || lines.get(from..).unwrap_or_default().join("\n"));
        }
        self.rows.drain(..self.rows.len().saturating_sub(KEPT_MAX));
    }
}

fn table(session: &Session, rows: &[FiguresInfo]) -> String {
    session.printer.table(HEADER, rows.iter().map(columns))
}

fn columns(info: &FiguresInfo) -> [String; 12] {
    let row = &info.row;
    let price = |bucket: Bucket| {
        let found = row.prices.iter().find(|price| price.bucket == bucket);
        found.map_or("-".to_owned(), |found| euro(found.price))
    };
    let concentration = &row.concentration;
    let percent = |bps: u16| format!("{} %", bps / 100);
    let largest = concentration.largest.iter().map(|part| percent(part.share_bps));
    [
        info.epoch.to_string(),
        row.cleared_at.to_string(),
        price(Bucket::Spot),
        price(Bucket::Near),
        price(Bucket::Forward),
        hours(info.market_seconds),
        hours(info.reserve_seconds),
        row.trades.to_string(),
        row.open.to_string(),
        format!("{} of {}", concentration.held, row.capacity),
        concentration.hhi_bps.to_string(),
        largest.collect::<Vec<_>>().join(", "),
    ]
}
