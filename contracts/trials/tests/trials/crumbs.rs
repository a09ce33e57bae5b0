//! Attack 29: whoever settles a million times for a third of a micro-euro gains nothing and loses nothing.

use hansa_contracts_abi::Trigger;
use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_contracts_trials::{Ledger, Life, Tried, cases};

/// One tariff with as many settlements as there is time for, a million with `HANSA_CASES=100000`; and many with few, since
/// some shares fall by one on the way only between certain holders.
fn check<C: Tried>() {
    for seed in 0..100 {
        let count = if seed == 0 { cases(300) * 10 } else { 300 };
        let life = Life::<C>::of_crumbs(seed, count);
        let quote = C::quote(&life.params, &life.award.terms).unwrap();
        let mut often = Ledger::new(&life.award, quote.lock);
        let mut once = often.clone();
        let mut empty = 0;
        for step in &life.steps {
            often.advance(step);
            once.advance(step);
            often.facts.ctx.trigger = Trigger::Interim;
            let facts = often.facts.clone();
            let checked = often.settle::<C>(&life.params, &facts).unwrap();
            empty += u64::from(checked.transfers.is_empty());
        }
        assert!(empty >= count / 2, "{}: most settlements are worth nothing", C::NAME);
        let mut last = Vec::new();
        for ledger in [&mut often, &mut once] {
            ledger.facts.ctx.trigger = Trigger::Final;
            let facts = ledger.facts.clone();
            let checked = ledger.settle::<C>(&life.params, &facts).unwrap();
            last.push((checked.pay, checked.refund, ledger.consumed));
        }
        assert_eq!(last[0], last[1], "{} {seed}: {count} settlements are not one", C::NAME);
    }
}

#[test]
fn a_million_crumbs_are_one_loaf() {
    check::<Spot>();
    check::<Reserved>();
    check::<Grant>();
    check::<Coinvest>();
    check::<DisputedReserve>();
}
