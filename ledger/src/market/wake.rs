//! When a book in which nothing trades could trade again without any change: only when more of the reserve is released.
//!
//! Time alone takes away what is free and moves requests from one bucket to the next. Neither lets anybody trade: in a batch
//! where nothing trades each request was tried at its own limit with nothing placed before it, so none fits anywhere that it
//! would pay for, and with less free none will. Release is the one thing that gives more as time passes.

use super::book::{Book, LaneHint, Order};
use crate::row::Pool;
use crate::time::Slot;

/// The first slot at which reserve that is not released yet could serve a waiting request; `None` if time alone never
/// releases any that could.
#[must_use]
pub fn next_release(book: &Book) -> Option<Slot> {
    let params = &book.params;
    if params.release_slots == 0 {
        return None;
    }
    let released = book.now.0.saturating_add(params.release_slots);
    // Where the last reserve ends: nothing beyond is ever released.
    let public = book.supplies.iter().filter(|supply| supply.pool == Pool::Public);
    let end = public.filter_map(|supply| supply.reserve.points().last()).map(|(slot, _)| slot.0).max()?;
    let takes = |order: &&Order| {
        order.interruptible
            && order.lane != LaneHint::Reserve
            && order.slots <= params.release_lease_slots_max
    };
    let orders = book.orders.iter().filter(takes);
    orders.filter_map(|order| first_end(order, released, end)).min().map(|end| {
        // A lease may end with the last slot that is released.
        Slot(end.saturating_sub(params.release_slots))
    })
}

/// The earliest end of the order's lease that is not released yet, up to the last that there is.
fn first_end(order: &Order, released: u32, end: u32) -> Option<u32> {
    let earliest = order.start_min.0.checked_add(order.slots)?.max(released.checked_add(1)?);
    let latest = order.start_max.0.checked_add(order.slots)?.min(end);
    (earliest <= latest).then_some(earliest)
}
