//! The market: what a batch does with the open requests and the free capacity of one class.
//!
//! [`clear`] is a function of a [`Book`]: it gives the reserve to those who have had least, then finds for each delivery
//! bucket the one price that moves the most, and says of every request that stays open why it does. The ledger, a quote and
//! a simulation all run the same code.

pub mod advice;
mod auction;
mod batch;
pub mod book;
pub mod calendar;
mod columns;
mod eligibility;
mod fit;
mod floor;
mod obstacle;
mod price;
mod priority;
pub mod reason;
mod reserve;
mod roster;
mod shape;
mod shelf;
mod wake;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use advice::{Change, nearest_changes};
pub use book::{
    Book, BookParams, Bucket, BucketPrice, Clearing, GroupShare, Hold, Lane, LaneHint, Order, Quote, Supply,
    Trade,
};
pub use calendar::{Calendar, CalendarError};
pub use eligibility::{Bar, Eligibility};
pub use reason::{Detail, Reason, Unmatched};
pub use wake::next_release;

use crate::id::RequestId;

/// Clears the book: the reserve lane, then the market lane for the buckets spot, near and forward in that order.
///
/// Equal books give equal outcomes, whatever the order of their lists. An id that stands twice counts once.
#[must_use]
pub fn clear(book: &Book) -> Clearing {
    batch::clear(book)
}

/// What the batch would do with one request of the book; `None` if the book does not hold it.
#[must_use]
pub fn quote(book: &Book, request: &RequestId) -> Option<Quote> {
    let clearing = clear(book);
    let trade = clearing.trades.into_iter().find(|trade| trade.request == *request).map(Quote::Award);
    let unmatched = clearing.unmatched.into_iter().find(|unmatched| unmatched.request == *request);
    trade.or(unmatched.map(Quote::Unmatched))
}
