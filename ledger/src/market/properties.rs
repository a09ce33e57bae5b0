//! Properties over generated books, and the batch against a plain one that counts slot by slot.

use super::priority::{supply_order, tie};
use super::tests::empty_book;
use super::*;
use crate::id::{GroupId, OfferId, OrganisationId, RequestId};
use crate::member::{CountrySet, MemberCode};
use crate::money::Price;
use crate::time::Slot;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

mod eligibility;
mod lanes;

/// The first slot of the generated books, and how many slots their calendars have.
const NOW: u32 = 1_000;
const HORIZON: u32 = 24;

const MEMBERS: [&str; 3] = ["EE", "FI", "IT"];

fn member(index: usize) -> MemberCode {
    MEMBERS[index % MEMBERS.len()].parse().unwrap()
}

fn bytes(kind: u8, number: usize) -> [u8; 32] {
    let mut bytes = [kind; 32];
    bytes[0] = number as u8;
    bytes
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    prop::collection::vec((prop_oneof![Just(0u32), 1..12u32], 1..8u32), 1..5).prop_map(|runs| {
        let mut slot = NOW;
        let mut steps = Vec::new();
        for (free, length) in runs {
            steps.push((Slot(slot), free));
            slot += length;
        }
        steps.retain(|(slot, _)| slot.0 < NOW + HORIZON);
        steps.push((Slot(slot.min(NOW + HORIZON)), 0));
        Calendar::from_steps(&steps).unwrap()
    })
}

prop_compose! {
    fn any_supply()(
        (group, country, home) in (0..5usize, 0..3usize, 0..3usize),
        (certificates, tier, node_size) in (0..4u32, 0..3u8, 1..5u32),
        ask in 5..16u64,
        calendar in any_calendar(),
    ) -> Supply {
        Supply {
            offer: OfferId([0; 32]),
            provider: OrganisationId(bytes(2, group)),
            group: GroupId(bytes(3, group)),
            sequence: 0,
            home: member(home),
            country: member(country),
            certificates,
            tier,
            node_size,
            ask: Price(ask * 1_000),
            pool: crate::row::Pool::Private,
            owner: None,
            market: calendar,
            reserve: Calendar::default(),
            commercial_left: None,
        }
    }
}

prop_compose! {
    fn any_order()(
        (group, home, countries) in (0..5usize, 0..3usize, 0..8u32),
        (certificates, tier_min) in (prop_oneof![3 => Just(0), 1 => 0..4u32], prop_oneof![3 => Just(0), 1 => 0..3u8]),
        (quantity, less) in (1..10u32, prop_oneof![Just(0), 0..9u32]),
        (slots, start, width) in (1..7u32, 0..HORIZON, 0..8u32),
        limit in 5..22u64,
        (usage, admitted_epoch) in (0..3u64, 0..2u64),
        own_group_excluded in any::<bool>(),
    ) -> Order {
        let listed = (0..3usize).filter(|bit| countries >> bit & 1 == 1).map(member);
        Order {
            request: RequestId([0; 32]),
            organisation: OrganisationId(bytes(2, group)),
            group: GroupId(bytes(3, group)),
            sequence: 0,
            countries: CountrySet::of(listed).unwrap(),
            certificates,
            tier_min,
            quantity,
            quantity_min: quantity.saturating_sub(less).max(1),
            slots,
            start_min: Slot(NOW - 2 + start),
            start_max: Slot(NOW - 2 + start + width),
            limit: Price(limit * 1_000),
            usage,
            admitted_epoch,
            funding_home: member(home),
            own_group_excluded,
            lane: LaneHint::Any,
            eligible: false,
            credit: None,
            interruptible: false,
            commercial: false,
            reserve_cap_bps: 10_000,
            aid_left: None,
        }
    }
}

prop_compose! {
    fn any_book()(
        supplies in prop::collection::vec(any_supply(), 0..6),
        orders in prop::collection::vec(any_order(), 0..14),
        holds in prop::collection::vec((0..5usize, 0..HORIZON, 0..9u32, 0..9u32), 0..4),
        debits in prop::collection::vec(prop_oneof![Just(u128::MAX), 0..600_000u128], 3),
        (k_bps, cap_bps, epoch) in (prop_oneof![Just(0u16), 0..=10_000u16], prop_oneof![Just(10_000u16), 500..6_000u16], 0..9u64),
        reference in prop::option::of(5..22u64),
        (limit_first, per_group, price_candidates) in (any::<bool>(), 1..6u32, prop_oneof![Just(64u16), 1..5u16]),
    ) -> Book {
        let mut book = empty_book();
        book.params.k_bps = k_bps;
        book.params.cap_bps = cap_bps;
        book.params.limit_first = limit_first;
        book.params.orders_per_group_max = per_group;
        book.params.price_candidates = price_candidates;
        (book.params.spot_slots, book.params.near_slots) = (6, 14);
        book.epoch = epoch;
        book.reference = reference.map(|price| Price(price * 1_000));
        book.supplies = supplies;
        for (number, supply) in book.supplies.iter_mut().enumerate() {
            (supply.offer, supply.sequence) = (OfferId(bytes(1, number)), number as u64);
        }
        book.orders = orders;
        for (number, order) in book.orders.iter_mut().enumerate() {
            (order.request, order.sequence) = (RequestId(bytes(4, number)), number as u64);
        }
        book.holds = holds
            .into_iter()
            .map(|(group, start, length, quantity)| Hold {
                group: GroupId(bytes(3, group)),
                start: Slot(NOW + start),
                end: Slot(NOW + start + length),
                quantity,
                reserve: None,
            })
            .collect();
        book.capacity = book.supplies.iter().map(|supply| u64::from(supply.market.peak())).sum();
        book.debit_headroom = debits.into_iter().enumerate().map(|(at, most)| (member(at), most)).collect();
        book
    }
}

/// What is used up, counted slot by slot: the measure the batch is held against.
#[derive(Clone)]
struct Ground<'book> {
    book: &'book Book,
    free: BTreeMap<(OfferId, u32), u32>,
    held: BTreeMap<(GroupId, u32), u64>,
    debit: BTreeMap<MemberCode, u128>,
    cap: u64,
}

impl<'book> Ground<'book> {
    fn new(book: &'book Book) -> Self {
        let slots = || 0..NOW + 2 * HORIZON;
        let mut free = BTreeMap::new();
        for supply in &book.supplies {
            free.extend(slots().map(|slot| ((supply.offer, slot), supply.market.free_at(Slot(slot)))));
        }
        let mut held = BTreeMap::new();
        for hold in &book.holds {
            for slot in hold.start.0..hold.end.0 {
                *held.entry((hold.group, slot)).or_default() += u64::from(hold.quantity);
            }
        }
        let capacity = book.capacity;
        let node = book.supplies.iter().map(|supply| u64::from(supply.node_size)).max().unwrap_or(0);
        let cap = node.max(capacity * u64::from(book.params.cap_bps) / 10_000);
        Self { book, free, held, debit: book.debit_headroom.clone(), cap }
    }

    fn charge(&self, order: &Order, supply: &Supply, quantity: u32) -> u128 {
        let seconds = u128::from(quantity) * u128::from(order.slots) * u128::from(self.book.params.slot_s);
        let charge = (u128::from(order.limit.0) * seconds).div_ceil(3_600);
        if supply.home == order.funding_home { 0 } else { charge }
    }

    fn fits(&self, order: &Order, supply: &Supply, quantity: u32, start: u32) -> bool {
        let charge = self.charge(order, supply, quantity);
        (start..start + order.slots).all(|slot| {
            let held = self.held.get(&(order.group, slot)).copied().unwrap_or(0);
            self.free.get(&(supply.offer, slot)).copied().unwrap_or(0) >= quantity
                && held + u64::from(quantity) <= self.cap
        }) && (charge == 0 || self.debit[&order.funding_home] >= charge)
    }

    fn take(&mut self, order: &Order, supply: &Supply, quantity: u32, start: u32) {
        for slot in start..start + order.slots {
            *self.free.get_mut(&(supply.offer, slot)).unwrap() -= quantity;
            *self.held.entry((order.group, slot)).or_default() += u64::from(quantity);
        }
        *self.debit.get_mut(&order.funding_home).unwrap() -= self.charge(order, supply, quantity);
    }

    /// Where the request would go among `supplies`, tried one by one as the rule is written.
    fn place(
        &self,
        order: &Order,
        supplies: &[&'book Supply],
        price: Price,
    ) -> Option<(&'book Supply, u32, u32)> {
        for supply in supplies.iter().filter(|supply| supply.ask <= price && compatible(supply, order)) {
            let mut quantity = order.quantity;
            while quantity >= order.quantity_min && quantity > 0 {
                let mut starts = order.start_min.max(self.book.now).0..=order.start_max.0;
                if let Some(start) = starts.find(|start| self.fits(order, supply, quantity, *start)) {
                    return Some((supply, quantity, start));
                }
                quantity = quantity.saturating_sub(supply.node_size);
            }
        }
        None
    }
}

fn compatible(supply: &Supply, order: &Order) -> bool {
    supply.tier >= order.tier_min
        && supply.certificates & order.certificates == order.certificates
        && order.countries.admits(supply.country)
        && !(order.own_group_excluded && supply.group == order.group)
}

fn bucket(book: &Book, order: &Order) -> Bucket {
    Bucket::of(order.start_min, book.now, &book.params)
}

fn supplies_in_order(book: &Book, bucket: Bucket) -> Vec<&Supply> {
    let supplies: Vec<&Supply> = book.supplies.iter().collect();
    supply_order(book, bucket, &supplies).into_iter().map(|place| supplies[place]).collect()
}

/// The requests of a bucket that take part, in order of their turns.
fn taking_part(book: &Book, bucket_asked: Bucket) -> Vec<&Order> {
    let mut orders: Vec<&Order> = book
        .orders
        .iter()
        .filter(|order| order.start_min.max(book.now) <= order.start_max)
        .filter(|order| book.supplies.iter().any(|one| compatible(one, order) && one.ask <= order.limit))
        .collect();
    orders.sort_by_key(|order| {
        let limit = if book.params.limit_first { order.limit } else { Price(0) };
        let tie = tie(book, bucket(book, order), &order.organisation, order.sequence);
        (Reverse(limit), order.usage, order.admitted_epoch, tie, order.request)
    });
    let mut of_group: BTreeMap<GroupId, u32> = BTreeMap::new();
    orders.retain(|order| {
        let count = of_group.entry(order.group).or_default();
        *count += 1;
        *count <= book.params.orders_per_group_max
    });
    orders.retain(|order| bucket(book, order) == bucket_asked);
    orders
}

type Turn<'book> = (&'book Order, Option<(&'book Supply, u32, u32)>);

fn greedy<'book>(
    ground: &mut Ground<'book>,
    orders: &[&'book Order],
    supplies: &[&'book Supply],
    price: Price,
) -> Vec<Turn<'book>> {
    let mut turns = Vec::new();
    for order in orders.iter().filter(|order| order.limit >= price) {
        let placed = ground.place(order, supplies, price);
        if let Some((supply, quantity, start)) = placed {
            ground.take(order, supply, quantity, start);
        }
        turns.push((*order, placed));
    }
    turns
}

fn size(order: &Order) -> u128 {
    u128::from(order.quantity) * u128::from(order.slots)
}

/// The clearing as the mechanism is written, without a thought of speed.
fn plain_clear(book: &Book) -> (BTreeMap<RequestId, Trade>, Vec<BucketPrice>) {
    let (mut trades, mut prices) = (BTreeMap::new(), Vec::new());
    let mut ground = Ground::new(book);
    for bucket in Bucket::ALL {
        let (orders, supplies) = (taking_part(book, bucket), supplies_in_order(book, bucket));
        let distance = |price: Price| book.reference.map_or(0, |reference| reference.0.abs_diff(price.0));
        let candidates: BTreeSet<Price> =
            orders.iter().map(|order| order.limit).chain(supplies.iter().map(|supply| supply.ask)).collect();
        let bound = |price: Price| {
            let demand: u128 =
                orders.iter().filter(|order| order.limit >= price).map(|order| size(order)).sum();
            let asked = supplies.iter().filter(|supply| supply.ask <= price);
            let free = |supply: &&Supply| {
                let slots = NOW..NOW + HORIZON;
                slots.map(|slot| u128::from(ground.free[&(supply.offer, slot)])).sum::<u128>()
            };
            demand.min(asked.map(free).sum())
        };
        let mut candidates: Vec<Price> = candidates.into_iter().collect();
        candidates.sort_by_key(|price| (Reverse(bound(*price)), distance(*price), *price));
        candidates.truncate(usize::from(book.params.price_candidates));
        let tried = candidates.into_iter().map(|price| {
            let mut trial = ground.clone();
            let turns = greedy(&mut trial, &orders, &supplies, price);
            let volume: u128 = turns
                .iter()
                .filter_map(|(order, placed)| {
                    placed.map(|(_, quantity, _)| u128::from(quantity) * u128::from(order.slots))
                })
                .sum();
            let excess: u128 =
                turns.iter().filter(|(_, placed)| placed.is_none()).map(|(order, _)| size(order)).sum();
            ((Reverse(volume), excess, distance(price), price), trial, turns)
        });
        let Some(((volume, .., tried), after, turns)) = tried.min_by_key(|(key, ..)| *key) else { continue };
        if volume.0 == 0 {
            continue;
        }
        ground = after;
        let matched = || turns.iter().filter_map(|(order, placed)| placed.map(|placed| (*order, placed)));
        let next_ask = supplies.iter().map(|supply| supply.ask).filter(|ask| *ask > tried).min();
        let lowest_limit = matched().map(|(order, _)| order.limit).min();
        let high = lowest_limit
            .into_iter()
            .chain(next_ask.map(|ask| Price(ask.0 - book.params.tick)))
            .min()
            .unwrap();
        let used = matched().map(|(_, (supply, ..))| supply.ask);
        let rejected = turns.iter().filter(|(_, placed)| placed.is_none()).map(|(order, _)| order.limit);
        let shut_out = orders.iter().map(|order| order.limit).filter(|limit| *limit < tried);
        let low = used.chain(rejected.filter(|limit| *limit <= high)).chain(shut_out).max().unwrap();
        let share = (high.0 - low.0) * u64::from(book.params.k_bps) / 10_000;
        let price = low.max(Price((low.0 + share) / book.params.tick * book.params.tick));
        for (order, (supply, quantity, start)) in matched() {
            let (request, offer, slots) = (order.request, supply.offer, order.slots);
            let trade = Trade {
                request,
                offer,
                lane: Lane::Market,
                bucket,
                released: false,
                quantity,
                start: Slot(start),
                slots,
                price,
                aid: 0,
            };
            trades.insert(request, trade);
        }
        prices.push(BucketPrice { bucket, price, volume: u64::try_from(volume.0).unwrap() });
    }
    (trades, prices)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// P1, P2, P13: the same book gives the same bytes in whatever order; each request gets exactly one answer.
    #[test]
    fn the_outcome_does_not_depend_on_the_order_of_the_book(book in any_book(), seed in any::<u64>()) {
        let bytes = borsh::to_vec(&clear(&book)).unwrap();
        prop_assert_eq!(&borsh::to_vec(&clear(&book)).unwrap(), &bytes);
        let mut shuffled = book.clone();
        let key = |number: usize| crate::id::hash_of("shuffle", &(seed, number as u64));
        let orders: BTreeMap<_, _> = book.orders.iter().cloned().enumerate().map(|(at, one)| (key(at), one)).collect();
        let supplies: BTreeMap<_, _> = book.supplies.iter().cloned().enumerate().map(|(at, one)| (key(at), one)).collect();
        shuffled.orders = orders.into_values().collect();
        shuffled.supplies = supplies.into_values().collect();
        shuffled.holds.reverse();
        prop_assert_eq!(&borsh::to_vec(&clear(&shuffled)).unwrap(), &bytes);
        let clearing = clear(&book);
        let answered = clearing.trades.iter().map(|one| one.request).chain(clearing.unmatched.iter().map(|one| one.request));
        let mut answered: Vec<RequestId> = answered.collect();
        answered.sort_unstable();
        prop_assert_eq!(answered, book.orders.iter().map(|order| order.request).collect::<Vec<_>>());
        prop_assert!(clearing.trades.is_sorted() && clearing.unmatched.is_sorted() && clearing.prices.is_sorted());
    }

    /// P3, P5, P6, P9, P10, P11, and the debit cap: every trade is one that everybody agreed to.
    #[test]
    fn every_trade_keeps_every_promise(book in any_book()) {
        let clearing = clear(&book);
        let mut ground = Ground::new(&book);
        for trade in &clearing.trades {
            let order = book.orders.iter().find(|order| order.request == trade.request).unwrap();
            let supply = book.supplies.iter().find(|supply| supply.offer == trade.offer).unwrap();
            prop_assert!(supply.ask <= trade.price && trade.price <= order.limit);
            prop_assert!(trade.price.is_on_tick());
            let price = clearing.prices.iter().find(|price| price.bucket == trade.bucket).unwrap().price;
            prop_assert_eq!(trade.price, price);
            prop_assert_eq!(trade.bucket, bucket(&book, order));
            prop_assert!(compatible(supply, order));
            prop_assert!(order.start_min.max(book.now) <= trade.start && trade.start <= order.start_max);
            prop_assert_eq!(trade.slots, order.slots);
            prop_assert!(order.quantity_min <= trade.quantity && trade.quantity <= order.quantity);
            prop_assert_eq!((order.quantity - trade.quantity) % supply.node_size, 0);
            prop_assert!(ground.fits(order, supply, trade.quantity, trade.start.0));
            ground.take(order, supply, trade.quantity, trade.start.0);
        }
        for price in &clearing.prices {
            let of_bucket = clearing.trades.iter().filter(|trade| trade.bucket == price.bucket);
            let volume: u64 = of_bucket.map(|trade| u64::from(trade.quantity) * u64::from(trade.slots)).sum();
            prop_assert!(volume > 0);
            prop_assert_eq!(volume, price.volume);
        }
    }

    /// P7: who takes part and would pay more than the price does not fit even when only those before it are placed.
    #[test]
    fn nobody_envies_without_cause(book in any_book()) {
        let clearing = clear(&book);
        let mut ground = Ground::new(&book);
        for bucket in Bucket::ALL {
            let Some(price) = clearing.prices.iter().find(|price| price.bucket == bucket) else { continue };
            for order in taking_part(&book, bucket) {
                match clearing.trades.iter().find(|trade| trade.request == order.request) {
                    Some(trade) => {
                        let supply = book.supplies.iter().find(|supply| supply.offer == trade.offer).unwrap();
                        ground.take(order, supply, trade.quantity, trade.start.0);
                    }
                    None if order.limit > price.price => {
                        let supplies = supplies_in_order(&book, bucket);
                        prop_assert!(ground.place(order, &supplies, price.price).is_none(), "{:?}", order);
                    }
                    None => {}
                }
            }
        }
    }

    /// P14: a request that cannot take part changes nothing for the others.
    #[test]
    fn a_request_that_cannot_take_part_changes_nothing(book in any_book(), mut stranger in any_order(), flaw in 0..4u8) {
        let before = clear(&book);
        stranger.request = RequestId(bytes(4, 200));
        stranger.sequence = 200;
        match flaw {
            0 => stranger.start_max = Slot(NOW - 1),
            1 => stranger.tier_min = u8::MAX,
            2 => stranger.limit = Price(4_000),
            _ => stranger.quantity_min = stranger.quantity + 1,
        }
        let mut with = book;
        with.orders.push(stranger.clone());
        let mut after = clear(&with);
        after.unmatched.retain(|unmatched| unmatched.request != stranger.request);
        prop_assert_eq!(after, before);
    }

    /// The search with its short cuts finds what the mechanism, as it is written, finds.
    #[test]
    fn the_batch_is_the_mechanism_as_written(book in any_book()) {
        let clearing = clear(&book);
        let (trades, prices) = plain_clear(&book);
        prop_assert_eq!(clearing.trades, trades.into_values().collect::<Vec<_>>());
        prop_assert_eq!(clearing.prices, prices);
    }

    /// The reasons: each says something that is true of its request.
    #[test]
    fn reasons_are_true(book in any_book()) {
        let clearing = clear(&book);
        for unmatched in &clearing.unmatched {
            let order = book.orders.iter().find(|order| order.request == unmatched.request).unwrap();
            let meets = |supply: &&Supply| compatible(supply, &Order { own_group_excluded: false, ..order.clone() });
            let cheapest = book.supplies.iter().filter(|one| compatible(one, order)).map(|one| one.ask).min();
            let detail = &unmatched.detail;
            let of_bucket = clearing.prices.iter().find(|price| price.bucket == bucket(&book, order));
            prop_assert!(detail.cheapest_ask.is_none() || detail.cheapest_ask == cheapest);
            if let Some(price) = detail.clearing_price {
                prop_assert_eq!(Some(price), of_bucket.map(|one| one.price));
            }
            let holds = match unmatched.reason {
                // The ledger says so after the batch, never the batch.
                Reason::ContractRefused | Reason::StakeUnfunded => false,
                Reason::WindowPassed => order.start_max < order.start_min.max(book.now),
                Reason::NoOfferOfClass => book.supplies.is_empty(),
                Reason::SameGroup => cheapest.is_none() && book.supplies.iter().any(|one| meets(&one)),
                Reason::NoOfferMeetsConstraints => cheapest.is_none() || cheapest > detail.clearing_price,
                Reason::LimitBelowPrice => match detail.clearing_price {
                    Some(price) => order.limit <= price,
                    None => cheapest.is_some_and(|ask| order.limit < ask),
                },
                Reason::BatchFull => {
                    let taking_part = taking_part(&book, bucket(&book, order));
                    book.params.price_candidates < 64 || !taking_part.contains(&order)
                }
                Reason::NoCapacityInWindow => detail.largest_free == Some(0),
                Reason::PartialNotAllowed => {
                    detail.largest_free.is_some_and(|free| 0 < free && free < order.quantity)
                }
                Reason::GroupCapReached => detail.group_cap.map(u64::from) == Some(Ground::new(&book).cap),
                Reason::NetDebitCap => {
                    let most = book.debit_headroom[&order.funding_home];
                    detail.debit_headroom.is_some_and(|left| left.wide() <= most)
                }
                // These books have no reserve, no alternatives, no ceilings and no contracts.
                Reason::NotEligibleForReserve
                | Reason::AidCeiling
                | Reason::MemberReserveCap
                | Reason::CommercialCeiling
                | Reason::AskOverCreditCap
                | Reason::AlternativeServed
                | Reason::ContractStopped
                | Reason::NotAdmitted => false,
            };
            prop_assert!(holds, "{:?} of {:?}", unmatched, order);
        }
    }
}
