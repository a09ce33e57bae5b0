//! Who comes first: need before money, and an order among equals that nobody can choose.

use super::book::{Book, Bucket, Order, Supply};
use crate::id::{Hash, OrganisationId, RequestId, hash_of};
use crate::money::Price;
use std::cmp::Reverse;

/// The place of a request in its turn: less usage, earlier admission, then the tie. Ends in an id, so the order is total.
pub(super) type OrderRank = (Reverse<Price>, u64, u64, Hash, RequestId);

/// The rank of `order`; the lowest is first. Its limit counts only where the federation has voted so.
pub(super) fn order_rank(book: &Book, bucket: Bucket, order: &Order) -> OrderRank {
    let limit = if book.params.limit_first { order.limit } else { Price(0) };
    let tie = tie(book, bucket, &order.organisation, order.sequence);
    (Reverse(limit), order.usage, order.admitted_epoch, tie, order.request)
}

/// The places of `supplies` in the order a bucket tries them: cheapest first, at most as many as a batch considers.
pub(super) fn supply_order(book: &Book, bucket: Bucket, supplies: &[Supply]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..supplies.len()).collect();
    places.sort_by_cached_key(|place| {
        supplies
            .get(*place)
            .map(|supply| (supply.ask, tie(book, bucket, &supply.provider, supply.sequence), supply.offer))
    });
    places.truncate(usize::try_from(book.params.supplies_max).unwrap_or(usize::MAX));
    places
}

/// The order among equals: it changes with every batch, and nothing in it is chosen by a proposer or a member.
fn tie(book: &Book, bucket: Bucket, organisation: &OrganisationId, sequence: u64) -> Hash {
    hash_of("tie", &(book.params.chain, book.epoch, &book.class, bucket, organisation, sequence))
}
