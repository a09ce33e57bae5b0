//! A batch that is not held would have served nobody: what time alone can do to a book in which nothing trades.

use crate::harness::{check, ensure};
use crate::model::Model;
use crate::properties::next;
use hansa_ledger::id::GroupId;
use hansa_ledger::market::{Book, Calendar, LaneHint, clear, next_release};
use hansa_ledger::money::Price;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;
use std::cell::Cell;

/// How long a book is watched, in slots.
const WATCHED: u32 = 14;

/// The book after as many batches as it takes until nothing trades; without the bounds on what a batch considers, beyond
/// which those that wait for a place in it are another matter.
fn at_rest(book: &Book) -> Book {
    // An id that stands twice would be another request once the first is gone.
    let book = &Model::new(book).book;
    let mut book = if book.epoch.is_multiple_of(2) { book.clone() } else { reserved(book) };
    (book.params.orders_max, book.params.orders_per_group_max) = (2_048, 2_048);
    (book.params.supplies_max, book.params.price_candidates) = (256, u16::MAX);
    loop {
        let outcome = clear(&book);
        if outcome.trades.is_empty() {
            return book;
        }
        // The moment does not pass, so that what rests in the end rests now.
        book = Book { now: book.now, ..next(&book, &outcome) };
    }
}

/// The book with all that is free in the reserve, for which requests of the market wait until it is released.
fn reserved(book: &Book) -> Book {
    let mut book = book.clone();
    (book.params.release_slots, book.params.release_lease_slots_max) = (2 + (book.epoch % 3) as u32, 4);
    for supply in &mut book.supplies {
        (supply.market, supply.pool) = (Calendar::default(), Pool::Public);
    }
    for order in &mut book.orders {
        (order.interruptible, order.lane) = (true, LaneHint::Market);
        order.start_max = Slot(order.start_min.0 + 8);
    }
    book
}

/// The book so many slots later, when other batches have been, usage has decayed and some have gone.
fn later(book: &Book, slots: u32) -> Book {
    let mut book = book.clone();
    book.now = Slot(book.now.0 + slots);
    book.epoch += u64::from(slots) * 7;
    book.reference = book.reference.map(|price| Price(price.0 + u64::from(slots) * 1_000));
    for share in book.usage.values_mut() {
        share.accelerator_seconds /= u64::from(slots) + 1;
    }
    let gone = GroupId([(slots % 4) as u8; 32]);
    book.orders.retain(|order| order.group != gone || slots.is_multiple_of(2));
    for order in &mut book.orders {
        order.usage /= u64::from(slots) + 1;
    }
    book
}

#[test]
fn where_nothing_trades_nothing_will_until_more_of_the_reserve_is_released() {
    let (rests, wakes, trades) = (Cell::new(0u32), Cell::new(0u32), Cell::new(0u32));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    check(|book| {
        let book = at_rest(book);
        let wake = next_release(&book);
        count(&rests);
        for slots in 1..=WATCHED {
            let later = later(&book, slots);
            if wake.is_some_and(|wake| wake <= later.now) {
                count(&wakes);
                if !clear(&later).trades.is_empty() {
                    count(&trades);
                }
                return Ok(());
            }
            let traded = clear(&later).trades;
            ensure(traded.is_empty(), || format!("{slots} slots later, before {wake:?}: {traded:?}"))?;
        }
        Ok(())
    });
    println!(
        "{} books came to rest; time releases reserve in {}, and {} of these trade at once",
        rests.get(),
        wakes.get(),
        trades.get()
    );
    assert!(wakes.get() > 60 && trades.get() > 20, "books hardly ever wait for a release");
}
