//! The plain model against outcomes worked out by hand: what it is compared with must be right by itself.

use crate::generate::{NOW, TICK, member};
use crate::harness::told;
use crate::model;
use crate::small::{book, entitled, order, supply};
use hansa_ledger::id::{GroupId, RequestId};
use hansa_ledger::market::{
    Book, BookParams, Bucket, GroupShare, Hold, Lane, LaneHint, Order, Supply, clear,
};
use hansa_ledger::money::Price;
use hansa_ledger::row::Pool;
use hansa_ledger::time::Slot;

/// A trade, as short as it can be said: request, offer, lane, accelerators, first slot after the present one, ticks.
type Said = (u8, u8, Lane, u32, u32, u64);

use Lane::{Market, Reserve};

fn said(outcome: &hansa_ledger::market::Clearing) -> Vec<Said> {
    let trade = |trade: &hansa_ledger::market::Trade| {
        let start = trade.start.0 - NOW;
        (trade.request.0[0], trade.offer.0[0], trade.lane, trade.quantity, start, trade.price.0 / TICK)
    };
    outcome.trades.iter().map(trade).collect()
}

/// Both the model and the market give these trades, and leave the rest open.
fn check(book: &Book, expected: &[Said]) {
    for (who, outcome) in [("the model", model::clear(book)), ("the market", clear(book))] {
        assert_eq!(
            said(&outcome),
            expected,
            "{who}: {}\n{}",
            told(book, &outcome),
            crate::generate::shown(book)
        );
        assert_eq!(outcome.trades.len() + outcome.unmatched.len(), book.orders.len());
    }
}

fn with(change: impl FnOnce(&mut BookParams), mut book: Book) -> Book {
    change(&mut book.params);
    book
}

fn grant(id: u8, quantity: u32, limit: u64) -> Order {
    entitled(order(id, quantity, 1, (0, 0), limit), LaneHint::Any)
}

#[test]
fn the_price_is_the_ask_and_need_goes_first() {
    // Two want the same two accelerators; the second has used more, and its higher limit does not help it. It was not
    // placed, and would pay up to 5, which is over hi = 3: it raises the price no further than hi allows.
    let free = [(0, 2), (1, 0)];
    let orders = vec![order(1, 2, 1, (0, 0), 3), order(2, 2, 1, (0, 0), 5)];
    // At p0 = 1 the volume is 2 as it is at every candidate up to 3, with an excess of 2; at 5 only the second asks, volume
    // 2 and excess 0. So p0 = 5, the second gets it, and lo is the greatest limit below p0: 3.
    check(&book(orders, vec![supply(1, 1, &free, &[])]), &[(2, 1, Market, 2, 0, 3)]);
    // With room for both the excess is 0 from the first candidate on: the lower price.
    let orders = vec![order(1, 2, 1, (0, 0), 3), order(2, 2, 1, (0, 0), 5)];
    let wide = [(0, 4), (1, 0)];
    check(&book(orders, vec![supply(1, 1, &wide, &[])]), &[(1, 1, Market, 2, 0, 1), (2, 1, Market, 2, 0, 1)]);
}

#[test]
fn equal_limits_are_served_by_need() {
    let free = [(0, 2), (1, 0)];
    let mut orders = vec![order(1, 2, 1, (0, 0), 3), order(2, 2, 1, (0, 0), 3)];
    // The rejected limit 3 is within hi = 3: the price rises to it.
    check(&book(orders.clone(), vec![supply(1, 1, &free, &[])]), &[(1, 1, Market, 2, 0, 3)]);
    orders[0].usage = 9;
    check(&book(orders, vec![supply(1, 1, &free, &[])]), &[(2, 1, Market, 2, 0, 3)]);
}

#[test]
fn limit_first_is_a_switch_of_the_market_lane() {
    // The first by need takes two of three slots; who pays more takes the other two, if limits go first.
    let orders = vec![order(1, 1, 2, (0, 0), 3), order(2, 1, 2, (1, 1), 4), order(3, 1, 1, (2, 2), 3)];
    let by_need = book(orders, vec![supply(1, 1, &[(0, 1), (3, 0)], &[])]);
    // At 1 and 3 the volume is 3; at 4 it is 2. The rejected limit 4 is over hi = 3.
    check(&by_need, &[(1, 1, Market, 1, 0, 1), (3, 1, Market, 1, 2, 1)]);
    // At 1, 3 and 4 the volume is 2; at 4 without excess. The shut out limits set the price.
    check(&with(|params| params.limit_first = true, by_need), &[(2, 1, Market, 1, 1, 3)]);
}

#[test]
fn k_moves_the_price_between_its_bounds() {
    let bounds = |k_bps| {
        with(
            |params| params.k_bps = k_bps,
            book(vec![order(1, 1, 1, (0, 0), 6)], vec![supply(1, 1, &[(0, 1), (1, 0)], &[])]),
        )
    };
    for (k_bps, price) in [(0, 1), (5_000, 3), (10_000, 6), (60_000, 6), (3_999, 2), (4_000, 3)] {
        check(&bounds(k_bps), &[(1, 1, Market, 1, 0, price)]);
    }
}

#[test]
fn the_next_ask_bounds_the_price() {
    // Offer 1 at 1 serves one; the other, limit 5, finds only offer 2 at 4, which lacks the certificate it needs.
    let needs = |id, limit| Order { certificates: 1, ..order(id, 1, 1, (0, 0), limit) };
    let first = Supply { certificates: 1, ..supply(1, 1, &[(0, 1), (1, 0)], &[]) };
    let second = supply(2, 4, &[(0, 1), (1, 0)], &[]);
    // p0: at 1 volume 1, excess 1; at 4 the same, at 5 the same; the lowest wins. hi = min(5, 4 - 1) = 3; the rejected
    // limit 5 is over hi and does not count, so lo = 1.
    check(&book(vec![needs(1, 5), needs(2, 5)], vec![first, second]), &[(1, 1, Market, 1, 0, 1)]);
}

#[test]
fn partial_quantities_are_whole_nodes_less() {
    let wants = |least| Order { quantity_min: least, ..order(1, 7, 1, (0, 0), 3) };
    let offer = |free| Supply { node_size: 2, ..supply(1, 1, &[(0, free), (1, 0)], &[]) };
    check(&book(vec![wants(1)], vec![offer(6)]), &[(1, 1, Market, 5, 0, 1)]);
    check(&book(vec![wants(4)], vec![offer(4)]), &[]);
    check(&book(vec![wants(0)], vec![offer(1)]), &[(1, 1, Market, 1, 0, 1)]);
}

#[test]
fn the_largest_quantity_goes_before_the_earliest_start() {
    let wants = Order { quantity_min: 1, ..order(1, 3, 1, (0, 2), 3) };
    let offer = supply(1, 1, &[(0, 1), (1, 2), (2, 3), (3, 0)], &[]);
    check(&book(vec![wants], vec![offer]), &[(1, 1, Market, 3, 2, 1)]);
}

#[test]
fn a_cap_counts_old_holds_slot_by_slot() {
    let mut capped = book(vec![order(1, 2, 1, (0, 2), 3)], vec![supply(1, 1, &[(0, 8), (3, 0)], &[])]);
    capped.capacity = 8;
    capped.params.cap_bps = 5_000;
    // Four may be held; three are, in the first two slots: it starts in the third.
    let hold = Hold {
        group: GroupId([1; 32]),
        start: Slot(NOW - 5),
        end: Slot(NOW + 2),
        quantity: 3,
        reserve: None,
    };
    capped.holds = vec![hold.clone()];
    check(&capped, &[(1, 1, Market, 2, 2, 1)]);
    capped.holds.push(Hold { start: Slot(NOW + 2), end: Slot(NOW + 3), ..hold });
    check(&capped, &[]);
}

#[test]
fn groups_are_told_apart_by_all_of_their_ids() {
    // Each may hold one; the ids of the second and the first differ in the last byte, and the third is the first's again.
    let mut alike = [1; 32];
    alike[31] = 2;
    let mut orders: Vec<Order> = (1..=4).map(|id| order(id, 1, 1, (0, 0), 3)).collect();
    for (order, group) in orders.iter_mut().zip([[1; 32], alike, [1; 32], alike]) {
        order.group = GroupId(group);
    }
    let mut capped = book(orders, vec![supply(1, 1, &[(0, 4), (1, 0)], &[])]);
    (capped.capacity, capped.params.cap_bps) = (4, 2_500);
    check(&capped, &[(1, 1, Market, 1, 0, 3), (2, 1, Market, 1, 0, 3)]);
}

#[test]
fn the_reserve_serves_need_at_its_price() {
    let offer = supply(1, 3, &[(0, 1), (1, 0)], &[(0, 2), (1, 0)]);
    // The price of the reserve is 1; the first two by need get it, the third goes to the market, which asks 3.
    let orders = vec![grant(1, 1, 4), grant(2, 1, 1), grant(3, 1, 4), grant(4, 1, 4)];
    let sold = [(1, 1, Reserve, 1, 0, 1), (2, 1, Reserve, 1, 0, 1), (3, 1, Market, 1, 0, 4)];
    check(&book(orders, vec![offer.clone()]), &sold);
    // Of a private offer there is none, and who asks for less than it costs gets none.
    check(
        &book(
            vec![grant(1, 1, 4)],
            vec![Supply { pool: Pool::Private, market: supply(1, 1, &[], &[]).market, ..offer.clone() }],
        ),
        &[],
    );
    let dear =
        with(|params| params.reserve_price_cap = Price(2 * TICK), book(vec![grant(1, 1, 1)], vec![offer]));
    check(&dear, &[]);
}

#[test]
fn an_award_of_the_reserve_moves_its_group_back() {
    let mut orders = vec![grant(1, 1, 4), grant(2, 1, 4), grant(3, 1, 4)];
    (orders[1].group, orders[2].group) = (GroupId([1; 32]), GroupId([3; 32]));
    let mut shared = book(orders, vec![supply(1, 3, &[], &[(0, 2), (1, 0)])]);
    shared.capacity = 10;
    // Group 1 begins with less than group 3, and with more after its first accelerator-hour: 3,600 s.
    for (group, accelerator_seconds) in [(1u8, 100), (3u8, 3_000)] {
        shared.usage.insert(GroupId([group; 32]), GroupShare { accelerator_seconds, other: 0 });
    }
    check(&shared, &[(1, 1, Reserve, 1, 0, 1), (3, 1, Reserve, 1, 0, 1)]);
    // Were it to stay ahead, its second request would come first.
    shared.usage.insert(GroupId([3; 32]), GroupShare { accelerator_seconds: 3_701, other: 0 });
    check(&shared, &[(1, 1, Reserve, 1, 0, 1), (2, 1, Reserve, 1, 0, 1)]);
}

#[test]
fn one_member_takes_its_share_of_the_reserve() {
    let mut orders = vec![grant(1, 2, 4), grant(2, 2, 4), grant(3, 2, 4)];
    (orders[2].funding_home, orders[2].credit) = (member(1), Some(member(1)));
    let mut shared = book(orders, vec![supply(1, 9, &[], &[(0, 6), (1, 0)])]);
    shared.params.reserve_member_cap_bps = 5_000;
    shared.debit_headroom.insert(member(1), u128::MAX);
    check(&shared, &[(1, 1, Reserve, 2, 0, 1), (3, 1, Reserve, 2, 0, 1)]);
    // Two more that it held before make the reserve eight and its share four, of which it has two.
    let group = GroupId([9; 32]);
    shared.holds =
        vec![Hold { group, start: Slot(NOW), end: Slot(NOW + 1), quantity: 2, reserve: Some(member(0)) }];
    check(&shared, &[(1, 1, Reserve, 2, 0, 1), (3, 1, Reserve, 2, 0, 1)]);
    shared.holds[0].reserve = Some(member(1));
    check(&shared, &[(1, 1, Reserve, 2, 0, 1), (2, 1, Reserve, 2, 0, 1), (3, 1, Reserve, 2, 0, 1)]);
    shared.holds[0].reserve = None;
    check(&shared, &[(1, 1, Reserve, 2, 0, 1), (3, 1, Reserve, 2, 0, 1)]);
}

#[test]
fn aid_is_what_the_reserve_pays_less_than_the_market() {
    // Two accelerators for an hour at 1 instead of the ask of 3: 4 ticks of aid.
    let mut wants = Order { aid_left: Some(u128::from(4 * TICK)), ..grant(1, 2, 4) };
    let offer = supply(1, 3, &[], &[(0, 2), (1, 0)]);
    let fits = book(vec![wants.clone()], vec![offer.clone()]);
    check(&fits, &[(1, 1, Reserve, 2, 0, 1)]);
    assert_eq!(model::clear(&fits).trades[0].aid, 4 * TICK);
    let mut referenced = fits.clone();
    referenced.reference = Some(Price(4 * TICK));
    check(&referenced, &[]);
    wants.aid_left = Some(u128::from(4 * TICK) - 1);
    check(&book(vec![wants.clone()], vec![offer.clone()]), &[]);
    // One accelerator less needs half the aid.
    wants.quantity_min = 1;
    check(&book(vec![wants], vec![offer]), &[(1, 1, Reserve, 1, 0, 1)]);
}

#[test]
fn aid_counts_for_the_whole_group() {
    let mut orders = vec![grant(1, 1, 4), grant(2, 1, 4)];
    for order in &mut orders {
        (order.group, order.aid_left) = (GroupId([1; 32]), Some(u128::from(3 * TICK)));
    }
    // Each needs 2 ticks; together 4, of which 3 are left.
    check(&book(orders, vec![supply(1, 3, &[], &[(0, 2), (1, 0)])]), &[(1, 1, Reserve, 1, 0, 1)]);
}

#[test]
fn left_reserve_is_released_to_short_leases_that_may_be_interrupted() {
    let wants = |id, slots| Order { interruptible: true, ..order(id, 1, slots, (0, 2), 3) };
    let offer = supply(1, 1, &[], &[(0, 1), (4, 0)]);
    let released = |orders| with(|params| params.release_slots = 3, book(orders, vec![offer.clone()]));
    check(&released(vec![wants(1, 2)]), &[(1, 1, Market, 1, 0, 1)]);
    assert!(model::clear(&released(vec![wants(1, 2)])).trades[0].released);
    // Not to the end of what is released and further; nor to a long lease, nor to one that may not be interrupted.
    check(&released(vec![wants(1, 4)]), &[]);
    check(&with(|params| params.release_lease_slots_max = 1, released(vec![wants(1, 2)])), &[]);
    check(&released(vec![order(1, 1, 2, (0, 2), 3)]), &[]);
    check(&with(|params| params.release_slots = 1, released(vec![wants(1, 2)])), &[]);
    // The reserve lane comes first.
    let mut entitled = entitled(order(2, 1, 2, (0, 0), 3), LaneHint::Reserve);
    entitled.usage = 1_000;
    check(&released(vec![wants(1, 2), entitled]), &[(2, 1, Reserve, 1, 0, 1)]);
}

#[test]
fn a_member_tries_its_own_pools_first() {
    let own = Supply { owner: Some(member(0)), ..supply(2, 3, &[(0, 1), (1, 0)], &[]) };
    let offers = vec![supply(1, 1, &[(0, 1), (1, 0)], &[]), own];
    // At p0 = 3 it takes its own pool at 3; at 1 the other one, with the same volume: the lower candidate wins.
    let funded = Order { eligible: false, ..grant(1, 1, 4) };
    check(&book(vec![funded.clone()], offers.clone()), &[(1, 1, Market, 1, 0, 1)]);
    // Where two are served the price reaches its own pool, and it goes there.
    let both = vec![funded, order(2, 1, 1, (0, 0), 4)];
    check(&book(both, offers), &[(1, 2, Market, 1, 0, 3), (2, 1, Market, 1, 0, 3)]);
}

#[test]
fn a_member_owes_no_more_than_it_may() {
    let abroad = Supply { home: member(1), ..supply(1, 1, &[(0, 2), (1, 0)], &[]) };
    let mut owing = book(vec![order(1, 1, 1, (0, 0), 4), order(2, 1, 1, (0, 0), 3)], vec![abroad]);
    check(&owing, &[]);
    // The headroom counts at the limit, not at the price: 4 for the first, 3 for the second.
    owing.debit_headroom.insert(member(0), u128::from(6 * TICK));
    // At 1 and 3 the first is placed alone; at 4 it is alone, without excess. The shut out limit sets the price.
    check(&owing, &[(1, 1, Market, 1, 0, 3)]);
    owing.debit_headroom.insert(member(0), u128::from(7 * TICK));
    check(&owing, &[(1, 1, Market, 1, 0, 1), (2, 1, Market, 1, 0, 1)]);
}

#[test]
fn a_pool_sells_to_commercial_users_what_it_may() {
    let wants = |id, commercial| Order { commercial, ..order(id, 1, 2, (0, 0), 4) };
    let offer = Supply { commercial_left: Some(3), ..supply(1, 1, &[(0, 3), (2, 0)], &[]) };
    // Two accelerator-slots each: the second commercial one is over the ceiling of three.
    let orders = vec![wants(1, true), wants(2, true), wants(3, false)];
    let sold = [(1, 1, Market, 1, 0, 4), (3, 1, Market, 1, 0, 4)];
    check(&book(orders, vec![offer]), &sold);
}

#[test]
fn each_bucket_has_its_price_and_all_share_the_calendar() {
    let near = order(1, 1, 1, (3, 3), 5);
    let spot = order(2, 1, 2, (2, 2), 2);
    let forward = order(3, 1, 1, (5, 5), 4);
    let offer = supply(1, 1, &[(0, 1), (6, 0)], &[]);
    // Spot is cleared first and takes slot 3, which near wants.
    let three = book(vec![near, spot, forward], vec![offer]);
    check(&three, &[(2, 1, Market, 1, 2, 1), (3, 1, Market, 1, 5, 1)]);
    let prices: Vec<Bucket> = model::clear(&three).prices.iter().map(|price| price.bucket).collect();
    assert_eq!(prices, [Bucket::Spot, Bucket::Forward]);
}

#[test]
fn a_batch_considers_so_many() {
    let wants = |id| Order { own_group_excluded: true, ..order(id, 1, 1, (0, 0), 4) };
    let orders: Vec<Order> = (1..=3).map(wants).collect();
    let offer = supply(1, 1, &[(0, 3), (1, 0)], &[]);
    let two = with(|params| params.orders_max = 2, book(orders.clone(), vec![offer.clone()]));
    check(&two, &[(1, 1, Market, 1, 0, 1), (2, 1, Market, 1, 0, 1)]);
    // That many are no bound where nothing constrains the requests but price and capacity.
    let plain = (1..=3).map(|id| order(id, 1, 1, (0, 0), 4)).collect();
    let all = with(|params| params.orders_max = 2, book(plain, vec![offer.clone()]));
    check(&all, &[(1, 1, Market, 1, 0, 1), (2, 1, Market, 1, 0, 1), (3, 1, Market, 1, 0, 1)]);
    let mut of_one = book(orders, vec![offer.clone(), supply(2, 1, &[(0, 3), (1, 0)], &[])]);
    of_one.orders[1].group = of_one.orders[0].group;
    of_one.params.orders_per_group_max = 1;
    of_one.supplies[1].ask = Price(0);
    check(&of_one, &[(1, 2, Market, 1, 0, 0), (3, 2, Market, 1, 0, 0)]);
    // The second offer is the cheapest, and empty: the one that is considered is the first.
    of_one.supplies[1] = supply(2, 0, &[], &[]);
    let first = [(1, 1, Market, 1, 0, 1), (3, 1, Market, 1, 0, 1)];
    check(&with(|params| params.supplies_max = 1, of_one.clone()), &first);
    // With something free, even where nobody asks for it, it is the one.
    of_one.supplies[1] = supply(2, 0, &[(9, 1), (10, 0)], &[]);
    check(&with(|params| params.supplies_max = 1, of_one), &[]);
}

#[test]
fn an_id_that_stands_twice_counts_once() {
    let twice = order(1, 1, 1, (0, 0), 4);
    let other = Order { request: RequestId([1; 32]), quantity: 2, quantity_min: 2, ..twice.clone() };
    let offer = supply(1, 1, &[(0, 2), (1, 0)], &[]);
    let outcome = model::clear(&book(vec![other.clone(), twice.clone()], vec![offer.clone(), offer]));
    assert_eq!(said(&outcome), [(1, 1, Market, 1, 0, 1)]);
    assert!(outcome.unmatched.is_empty());
}
