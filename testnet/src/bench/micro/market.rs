//! One batch of one class: with every constraint at work, and without any.

mod books;

use super::rounds;
use crate::bench::report::Report;
use crate::error::TestnetError;
use hansa_ledger::market::{Book, Order, clear};
use std::path::Path;

/// Requests and offers of the books with constraints; the calendars of the last have some 500 breakpoints.
const CONSTRAINED: [(u32, u32, u32); 2] = [(200, 20, 50), (2_048, 256, 500)];

/// Requests of the books without constraints.
const UNCONSTRAINED: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

pub(super) fn measure(report: &mut Report, _: &Path) -> Result<(), TestnetError> {
    for (requests, offers, points) in CONSTRAINED {
        let book = books::constrained(requests, offers, points).map_err(super::broken)?;
        let of = format!("{requests} requests and {offers} offers");
        report.figure(format!("batch of {of}"), "ms", &times(&book));
        report.figure(format!("leases from {of}"), "", &[clear(&book).trades.len() as f64]);
    }
    report.figure("memory of a resting request", "bytes", &[size_of::<Order>() as f64]);
    for requests in UNCONSTRAINED {
        let book = books::unconstrained(requests, requests.min(2_000)).map_err(super::broken)?;
        let times = times(&book);
        let each: Vec<f64> = times.iter().map(|time| time * 1_000_000.0 / f64::from(requests)).collect();
        report.figure(format!("batch of {requests} requests without constraints"), "ms", &times);
        report.figure(format!("the same for each of {requests} requests"), "ns", &each);
    }
    Ok(())
}

fn times(book: &Book) -> Vec<f64> {
    rounds(1, || (), |()| clear(book)).iter().map(|time| time / 1_000.0).collect()
}
