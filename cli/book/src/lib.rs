//! Clear a market book from a file, as the ledger would.
//!
//! [`BookFile::parse`] reads and bounds a book, [`BookFile::simulate`] runs `hansa_ledger::market::clear` on each of its classes, and
//! [`Simulation`] is what comes out, in canonical order: equal books give equal bytes, whatever the order of their lists.

mod bounds;
mod convert;
mod file;
mod simulation;

pub use file::{BookFile, FundingText, HoldLine, LaneWord, OfferLine, ParamsTable, PoolWord, RequestLine};
pub use simulation::{PriceLine, Simulation, TradeLine, UnmatchedLine};

/// Why a book is refused: one line that names the field and says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BookError {
    /// The path of the field, such as `offers[2].calendar[0]`; `book` for the whole.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl BookError {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        // One line, whatever a value quoted in it holds.
        let one_line = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { field: one_line(field.into()), problem: one_line(problem.into()) }
    }
}
