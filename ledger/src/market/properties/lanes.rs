//! Properties of books with both lanes: what the reserve, the ceilings and the released slots promise.

use super::*;
use crate::row::Pool;

prop_compose! {
    fn any_two_lane_book()(
        mut book in any_book(),
        pools in prop::collection::vec((any::<bool>(), prop::option::of(0..3usize), 1_000..9_000u16, prop::option::of(0..60u64)), 6),
        orders in prop::collection::vec((0..3u8, any::<bool>(), prop::option::of(0..3usize), any::<bool>(), any::<bool>(), prop::option::of(0..40_000u128)), 14),
        holds in prop::collection::vec(prop::option::of(0..3usize), 4),
        usage in prop::collection::vec(prop::option::of((0..200_000u64, 0..9u64)), 5),
        (reserve_cap, member_cap) in (prop_oneof![Just(10_000u16), 500..6_000u16], prop_oneof![Just(10_000u16), 500..9_000u16]),
        (price_cap, credit_cap) in (1..16u64, prop::option::of(5..16u64)),
        (release_slots, release_lease_slots_max) in (prop_oneof![Just(0u32), 1..20u32], 0..7u32),
    ) -> Book {
        for (supply, (is_public, owner, bps, commercial_left)) in book.supplies.iter_mut().zip(pools) {
            if is_public {
                supply.pool = Pool::Public;
                supply.reserve = supply.market.reserved(bps, supply.node_size);
                supply.market = supply.market.minus(&supply.reserve);
                (supply.owner, supply.commercial_left) = (owner.map(member), commercial_left);
            }
        }
        for (order, (lane, eligible, credit, interruptible, commercial, aid_left)) in book.orders.iter_mut().zip(orders) {
            order.lane = [LaneHint::Any, LaneHint::Reserve, LaneHint::Market][usize::from(lane)];
            (order.eligible, order.credit) = (eligible, credit.map(member));
            (order.interruptible, order.commercial, order.aid_left) = (interruptible, commercial, aid_left);
        }
        for (hold, reserve) in book.holds.iter_mut().zip(holds) {
            hold.reserve = reserve.map(member);
        }
        for (group, share) in usage.into_iter().enumerate() {
            if let Some((accelerator_seconds, other)) = share {
                book.usage.insert(GroupId(bytes(3, group)), GroupShare { accelerator_seconds, other });
            }
        }
        let params = &mut book.params;
        (params.reserve_cap_bps, params.reserve_member_cap_bps) = (reserve_cap, member_cap);
        params.reserve_price_cap = Price(price_cap * 1_000);
        params.credit_ask_cap = credit_cap.map(|cap| Price(cap * 1_000));
        (params.release_slots, params.release_lease_slots_max) = (release_slots, release_lease_slots_max);
        book
    }
}

fn of<'book>(book: &'book Book, trade: &Trade) -> (&'book Order, &'book Supply) {
    let order = book.orders.iter().find(|order| order.request == trade.request).unwrap();
    (order, book.supplies.iter().find(|supply| supply.offer == trade.offer).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// P8 and the ceilings: no calendar, cap or ceiling is exceeded, and each trade says truly what it is.
    #[test]
    fn both_lanes_keep_their_promises(book in any_two_lane_book()) {
        let clearing = clear(&book);
        prop_assert_eq!(clearing.trades.len() + clearing.unmatched.len(), book.orders.len());
        let mut free: BTreeMap<OfferId, (Calendar, Calendar)> =
            book.supplies.iter().map(|one| (one.offer, (one.market.clone(), one.reserve.clone()))).collect();
        let (mut aid, mut commercial) = (BTreeMap::<GroupId, u128>::new(), BTreeMap::<OfferId, u64>::new());
        let mut debit: BTreeMap<MemberCode, u128> = BTreeMap::new();
        for trade in &clearing.trades {
            let (order, supply) = of(&book, trade);
            let is_reserve = trade.lane == Lane::Reserve;
            let (market, reserve) = free.get_mut(&trade.offer).unwrap();
            let calendar = if is_reserve || trade.released { reserve } else { market };
            prop_assert!(calendar.take(trade.start, trade.slots, trade.quantity).is_ok(), "nothing is sold twice");
            prop_assert!(compatible(supply, order) && trade.price <= order.limit);
            prop_assert!(order.credit.is_none() || book.params.credit_ask_cap.is_none_or(|cap| supply.ask <= cap));
            let seconds = u64::from(trade.quantity) * u64::from(trade.slots) * 900;
            if supply.home != order.funding_home {
                // The price of the reserve is known beforehand.
                let most = if is_reserve { trade.price } else { order.limit };
                *debit.entry(order.funding_home).or_default() += most.charge(seconds).unwrap().wide();
            }
            if order.commercial {
                *commercial.entry(trade.offer).or_default() += u64::from(trade.quantity * trade.slots);
            }
            if is_reserve {
                prop_assert!(order.eligible && order.credit.is_some() && order.lane != LaneHint::Market);
                prop_assert_eq!((supply.pool, trade.price), (Pool::Public, supply.ask.min(book.params.reserve_price_cap)));
                let benchmark = book.reference.unwrap_or(supply.ask);
                let more = benchmark.charge(seconds).unwrap().0.saturating_sub(trade.price.charge(seconds).unwrap().0);
                prop_assert_eq!(trade.aid, more);
                *aid.entry(order.group).or_default() += u128::from(trade.aid);
                prop_assert!(order.aid_left.is_none_or(|left| u128::from(trade.aid) <= left));
            } else {
                prop_assert!(order.lane != LaneHint::Reserve && trade.aid == 0 && supply.ask <= trade.price);
            }
            if trade.released {
                prop_assert!(order.interruptible && trade.slots <= book.params.release_lease_slots_max);
                prop_assert!(trade.start.0 + trade.slots <= NOW + book.params.release_slots);
            }
        }
        for supply in &book.supplies {
            let sold = commercial.get(&supply.offer).copied().unwrap_or(0);
            prop_assert!(supply.commercial_left.is_none_or(|left| sold <= left));
        }
        for (member, owed) in debit {
            prop_assert!(owed <= book.debit_headroom[&member]);
        }
    }

    /// P17: in the reserve only use and age count. Twice the limit changes nothing there.
    #[test]
    fn money_does_not_move_the_reserve(book in any_two_lane_book()) {
        // Neither may the limit decide what is in reach, nor what a member may owe.
        let mut book = book;
        book.debit_headroom.values_mut().for_each(|most| *most = u128::MAX);
        book.orders.iter_mut().for_each(|order| order.limit = order.limit.max(book.params.reserve_price_cap));
        let reserve = |book: &Book| -> Vec<Trade> {
            clear(book).trades.into_iter().filter(|trade| trade.lane == Lane::Reserve).collect()
        };
        let mut rich = book.clone();
        rich.orders.iter_mut().step_by(2).for_each(|order| order.limit = Price(order.limit.0 * 2));
        prop_assert_eq!(reserve(&rich), reserve(&book));
    }

    /// P2: the order of the book's lists cannot matter, in either lane.
    #[test]
    fn lists_may_come_in_any_order(book in any_two_lane_book()) {
        let mut reversed = book.clone();
        reversed.orders.reverse();
        reversed.supplies.reverse();
        reversed.holds.reverse();
        prop_assert_eq!(clear(&reversed), clear(&book));
    }
}
