//! What contracts say of who may have a lease holds whatever the book.

use super::*;
use crate::market::{Bar, Eligibility};

fn any_bar() -> impl Strategy<Value = Bar> {
    prop_oneof![prop::option::of(1_000..1_003u32).prop_map(Bar::Refused), Just(Bar::Unasked),]
}

prop_compose! {
    fn any_eligibility()(
        rules in prop::collection::vec(prop::option::of(0..3u32), 6),
        claims in prop::collection::vec(0..3u32, 14),
        barred in prop::collection::btree_map((0..3u32, 0..3u32), any_bar(), 0..7),
    ) -> Eligibility {
        let rules = rules.into_iter().enumerate();
        let rules = rules.filter_map(|(number, rule)| Some((OfferId(bytes(1, number)), rule?)));
        let claims = claims.into_iter().enumerate();
        Eligibility {
            stopped: Vec::new(),
            rules: rules.collect(),
            claims: claims.map(|(number, claims)| (RequestId(bytes(4, number)), claims)).collect(),
            barred,
        }
    }
}

proptest! {
    #[test]
    fn nobody_is_matched_with_whose_contract_does_not_admit_it(book in any_book(), eligibility in any_eligibility()) {
        let open = clear(&book);
        let book = Book { eligibility: eligibility.clone(), ..book };
        let bar = |order: &Order, supply: &Supply| {
            let claims = eligibility.claims.get(&order.request)?;
            eligibility.barred.get(&(*claims, *eligibility.rules.get(&supply.offer)?))
        };
        let clearing = clear(&book);
        let order = |id: RequestId| book.orders.iter().find(|order| order.request == id).unwrap();
        for trade in &clearing.trades {
            let supply = book.supplies.iter().find(|supply| supply.offer == trade.offer).unwrap();
            prop_assert_eq!(bar(order(trade.request), supply), None);
        }
        for unmatched in clearing.unmatched.iter().filter(|one| one.reason == Reason::NotAdmitted) {
            let order = order(unmatched.request);
            let mut fit = book.supplies.iter().filter(|supply| compatible(supply, order)).peekable();
            prop_assert!(fit.peek().is_some() && fit.all(|supply| bar(order, supply).is_some()));
        }
        if book.orders.iter().all(|order| book.supplies.iter().all(|supply| bar(order, supply).is_none())) {
            prop_assert_eq!(clearing.trades.len() + clearing.unmatched.len(), open.trades.len() + open.unmatched.len());
        }
    }
}
