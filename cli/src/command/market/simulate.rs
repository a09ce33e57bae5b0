//! Clearing a book from a file: the ledger's own batch, without a node.

use crate::error::{Failure, Outcome};
use crate::session::Session;
use clap::Args;
use hansa_cli_book::{BookFile, Simulation};
use hansa_ledger::market::{Bucket, Lane};
use hansa_ledger::money::Price;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Clear a book from a file.
#[derive(Debug, Args)]
#[command(
    after_help = "The file is JSON: parameters, offers, requests and what groups hold already. Money is in uEUR \
                        per accelerator-hour, time in slots. docs/market.md describes every field."
)]
pub struct SimulateArguments {
    /// The book, or `-` for standard input
    file: PathBuf,
}

/// The most bytes of a book: two million requests take less.
const FILE_BYTES_MAX: u64 = 2 << 30;

impl SimulateArguments {
    pub(super) fn run(self, session: &Session) -> Outcome {
        let bytes = read(&self.file)?;
        let book = BookFile::parse(&bytes).map_err(|error| Failure::refused(error.to_string()))?;
        drop(bytes);
        let simulation = book.simulate();
        session.printer.data(&simulation, || tell(session, &simulation));
        Ok(())
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX.saturating_add(1);
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(most).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    match read {
        Err(error) => Err(Failure::refused(format!("cannot read `{}`: {error}", path.display()))),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Err(Failure::refused(format!(
            "`{}` is larger than the {FILE_BYTES_MAX} bytes of a book",
            path.display()
        ))),
        Ok(_) => Ok(bytes),
    }
}

/// The outcome as tables: what was awarded, at which prices, and what stays open.
fn tell(session: &Session, simulation: &Simulation) -> String {
    let bucket = |bucket: Bucket| format!("{bucket:?}").to_lowercase();
    let euro = |ueur: u64| format!("{} EUR/h", Price(ueur));
    let trades = simulation.trades.iter().map(|trade| {
        [
            trade.request.clone(),
            trade.offer.clone(),
            match trade.lane {
                Lane::Reserve => "reserve".to_owned(),
                Lane::Market => "market".to_owned(),
            },
            bucket(trade.bucket),
            trade.qty.to_string(),
            trade.start.to_string(),
            euro(trade.price),
        ]
    });
    let prices = simulation.prices.iter().map(|price| {
        [price.class.clone(), bucket(price.bucket), euro(price.price), price.volume.to_string()]
    });
    let unmatched = simulation.unmatched.iter().map(|one| [one.request.clone(), one.reason.to_string()]);
    let tables = [
        (
            simulation.trades.is_empty(),
            session.printer.table(["REQUEST", "OFFER", "LANE", "BUCKET", "COUNT", "START", "PRICE"], trades),
        ),
        (
            simulation.prices.is_empty(),
            session.printer.table(["CLASS", "BUCKET", "PRICE", "ACCELERATOR-SLOTS"], prices),
        ),
        (simulation.unmatched.is_empty(), session.printer.table(["UNMATCHED", "WHY"], unmatched)),
    ];
    let shown: Vec<String> = tables.into_iter().filter(|(empty, _)| !empty).map(|(_, table)| table).collect();
    if shown.is_empty() { "the book has no requests".to_owned() } else { shown.join("\n\n") }
}
