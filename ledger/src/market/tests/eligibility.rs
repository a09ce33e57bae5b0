//! Offers whose contracts are stopped, and requests whose claims a contract refuses.

use super::text::{empty_book, hash, plain_order, plain_supply};
use super::*;
use crate::id::OfferId;
use crate::market::{Bar, Supply};

/// A cheap offer under rule 0, a dear one without a rule, and one request with claims 0.
fn book_of(bar: Option<Bar>) -> Book {
    let mut book = empty_book();
    let dear = Supply { ask: Price(1_500_000), ..plain_supply("dear") };
    book.supplies = vec![plain_supply("cheap"), dear];
    book.orders = vec![plain_order("one")];
    book.capacity = 128;
    book.eligibility.rules.insert(OfferId(hash("cheap")), 0);
    book.eligibility.claims.insert(RequestId(hash("one")), 0);
    book.eligibility.barred.extend(bar.map(|bar| ((0, 0), bar)));
    book
}

fn served_by(book: &Book, request: &str) -> Option<OfferId> {
    let clearing = clear(book);
    clearing.trades.iter().find(|trade| trade.request.0 == hash(request)).map(|trade| trade.offer)
}

fn unmatched(book: &Book) -> (Reason, Detail) {
    let unmatched = clear(book).unmatched.remove(0);
    (unmatched.reason, (*unmatched.detail).clone())
}

#[test]
fn who_is_refused_takes_the_next_offer_or_is_told() {
    assert_eq!(served_by(&book_of(None), "one"), Some(OfferId(hash("cheap"))));
    let mut refused = book_of(Some(Bar::Refused(Some(1_001))));
    assert_eq!(served_by(&refused, "one"), Some(OfferId(hash("dear"))));
    refused.supplies.pop();
    let detail = Detail { admission: Some(1_001), ..Detail::default() };
    assert_eq!(unmatched(&refused), (Reason::NotAdmitted, detail));
    let mut failed = book_of(Some(Bar::Refused(None)));
    failed.supplies.pop();
    assert_eq!(unmatched(&failed), (Reason::NotAdmitted, Detail::default()));
    let mut unasked = book_of(Some(Bar::Unasked));
    unasked.supplies.pop();
    assert_eq!(unmatched(&unasked), (Reason::BatchFull, Detail::default()));
}

#[test]
fn requests_that_are_alike_but_for_their_claims_are_told_apart() {
    let mut book = book_of(Some(Bar::Refused(None)));
    book.supplies.pop();
    // Both would be plain, which a book without bars clears by a shorter way.
    for order in &mut book.orders {
        (order.quantity, order.quantity_min) = (1, 1);
    }
    let mut other = Order { request: RequestId(hash("two")), ..book.orders[0].clone() };
    other.sequence = 2;
    book.orders.push(other);
    book.eligibility.claims.insert(RequestId(hash("two")), 1);
    assert_eq!(served_by(&book, "one"), None);
    assert_eq!(served_by(&book, "two"), Some(OfferId(hash("cheap"))));
}

#[test]
fn what_is_stopped_is_told_of_where_it_would_have_done() {
    let mut book = book_of(None);
    book.eligibility.stopped = std::mem::take(&mut book.supplies);
    assert_eq!(unmatched(&book).0, Reason::ContractStopped);
    book.orders[0].tier_min = 9;
    assert_eq!(unmatched(&book).0, Reason::NoOfferMeetsConstraints);
    book.eligibility.stopped.clear();
    assert_eq!(unmatched(&book).0, Reason::NoOfferOfClass);
}
