//! Whatever the order of events: what is paid, what is taken back, and what remains.

use hansa_contracts_abi::testing::Numbers;
use hansa_contracts_abi::{Code, Contract, Counted, Failure, Fallback, Money, Party, Trigger};
use hansa_contracts_coinvest::{Coinvest, Side};
use hansa_contracts_dispute::{Dispute, DisputedReserve};
use hansa_contracts_grant::Grant;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_contracts_trials::{Ledger, Life, Tried, cases};

const QUICK: u64 = 2_000;

/// Lives one life twice: with settlements on the way and without, and compares how they end. In the first, the ledger lists
/// now all windows and now fewer, as long as the lease goes on.
fn settle_often_and_once<C: Tried>(seed: u64) {
    let life = Life::<C>::some(seed);
    let quote = C::quote(&life.params, &life.award.terms).unwrap();
    let mut often = Ledger::new(&life.award, quote.lock);
    let mut once = often.clone();
    for step in &life.steps {
        often.advance(step);
        once.advance(step);
        if step.settles {
            often.facts.ctx.trigger = Trigger::Interim;
            let facts = if step.unlisted % 2 == 0 { often.facts.clone() } else { often.with_fewer_windows() };
            let checked = often.settle::<C>(&life.params, &facts);
            let checked = checked.unwrap_or_else(|reason| panic!("{} {seed}: {reason} {facts:?}", C::NAME));
            assert_eq!(checked.slash, 0, "{} {seed}: slashed while the lease goes on", C::NAME);
        }
    }
    let mut last = Vec::new();
    for ledger in [&mut often, &mut once] {
        ledger.facts.ctx.trigger = life.end;
        let facts = ledger.facts.clone();
        let checked = ledger.settle::<C>(&life.params, &facts);
        let checked = checked.unwrap_or_else(|reason| panic!("{} {seed}: {reason} {facts:?}", C::NAME));
        last.push((checked.pay, checked.refund, checked.slash, checked.notes, ledger.consumed));
    }
    assert_eq!(last[0], last[1], "{} {seed}: settling often and settling once differ", C::NAME);
    let total: Money = often.paid.iter().map(|(_, amount)| *amount).sum();
    assert_eq!(total + often.refunded, life.award.escrow.locked, "{} {seed}", C::NAME);
    if life.end == Trigger::NoShow {
        assert_eq!(total, 0, "{} {seed}: paid for not coming", C::NAME);
    }
}

#[test]
fn settling_often_is_settling_once() {
    fn check<C: Tried>() {
        (0..cases(QUICK)).for_each(settle_often_and_once::<C>);
    }
    check::<Spot>();
    check::<Reserved>();
    check::<Grant>();
    check::<Coinvest>();
    check::<DisputedReserve>();
    check::<Dispute<Spot>>();
    check::<Dispute<Grant>>();
    check::<Dispute<Coinvest>>();
}

#[test]
fn no_figures_make_a_settlement_exceed_its_quote() {
    fn check<C: Tried>() {
        let mut answered = 0;
        for seed in 0..cases(QUICK) {
            let numbers = &mut Numbers::new(seed);
            let Life { params, mut award, .. } = Life::<C>::some(seed);
            let quote = C::quote(&params, &award.terms).unwrap();
            award.usage = hansa_contracts_abi::testing::some_usage(numbers);
            award.ctx.trigger = hansa_contracts_abi::testing::some_trigger(numbers);
            award.ctx.now = award.ctx.now.saturating_add(numbers.figure(100_000));
            award.escrow.locked = u128::MAX;
            let Ok(split) = C::settle(&params, &award) else { continue };
            answered += 1;
            let total: Money = split.pay.iter().map(|(_, amount)| *amount).sum();
            assert!(total <= quote.lock, "{} {seed}: {total} of {}", C::NAME, quote.lock);
            assert!(split.slash <= award.terms.slash_max, "{} {seed}: {}", C::NAME, split.slash);
        }
        assert!(answered > cases(QUICK) / 3, "{}: only {answered} answers", C::NAME);
    }
    check::<Spot>();
    check::<Reserved>();
    check::<Grant>();
    check::<Coinvest>();
    check::<DisputedReserve>();
}

#[test]
fn rulings_lie_between_nothing_and_all_and_rise() {
    fn check<C: Tried>() {
        for seed in 0..cases(QUICK) {
            let life = Life::<C>::some(seed);
            let quote = C::quote(&life.params, &life.award.terms).unwrap();
            let mut ledger = Ledger::new(&life.award, quote.lock);
            life.steps.iter().for_each(|step| ledger.advance(step));
            let by = |trigger| {
                let mut ledger = ledger.clone();
                ledger.facts.ctx.trigger = trigger;
                let facts = ledger.facts.clone();
                ledger.settle::<C>(&life.params, &facts).unwrap();
                (ledger.facts.escrow.paid, ledger.slashed)
            };
            let numbers = &mut Numbers::new(seed);
            let mut rulings = [0, numbers.bps(), numbers.bps(), 10_000];
            rulings.sort_unstable();
            let ruled = rulings.map(|provider_bps| by(Trigger::Ruling { provider_bps }));
            assert!(ruled.is_sorted_by_key(|(paid, _)| *paid), "{} {seed}: {rulings:?} {ruled:?}", C::NAME);
            let falls = ruled.iter().rev().is_sorted_by_key(|(_, slashed)| *slashed);
            assert!(falls, "{} {seed}: {rulings:?} {ruled:?}", C::NAME);
            assert_eq!(ruled[3], by(Trigger::Final), "{} {seed}: everything is everything", C::NAME);
            assert!(by(Trigger::Interim).0 <= ruled[0].0, "{} {seed}: {ruled:?}", C::NAME);
        }
    }
    check::<Spot>();
    check::<Reserved>();
    check::<Grant>();
    check::<Coinvest>();
    check::<DisputedReserve>();
    check::<Dispute<Spot>>();
    check::<Dispute<Grant>>();
    check::<Dispute<Coinvest>>();
}

#[test]
fn every_failure_is_settled_by_the_fallback_whatever_came_before() {
    let failures = [
        Failure::Refused(Code(1_000)),
        Failure::OutOfFuel,
        Failure::Trap,
        Failure::BadOutput,
        Failure::BadModule,
        Failure::Unknown,
        Failure::Quarantined,
        Failure::InputTooLarge,
    ];
    fn check<C: Tried>(failures: &[Failure]) {
        for seed in 0..cases(QUICK) {
            let life = Life::<C>::some(seed);
            let numbers = &mut Numbers::new(seed);
            let fallback = numbers.pick(&[Fallback::Refund, Fallback::PayCountersigned]);
            let quote = C::quote(&life.params, &life.award.terms).unwrap();
            let mut ledger = Ledger::new(&life.award, quote.lock);
            for step in &life.steps {
                ledger.advance(step);
                ledger.facts.ctx.trigger = Trigger::Interim;
                let failure = numbers.once_in(3).then(|| numbers.pick(failures));
                ledger.decide::<C>(&life.params, failure, fallback);
            }
            let before = ledger.facts.escrow.paid;
            ledger.facts.ctx.trigger = life.end;
            let last = ledger.decide::<C>(&life.params, Some(numbers.pick(failures)), fallback);
            assert_eq!((last.slash, last.consume), (0, 0), "{} {seed}", C::NAME);
            assert_eq!(
                ledger.facts.escrow.paid + last.refund,
                life.award.escrow.locked,
                "{} {seed}",
                C::NAME
            );
            if fallback == Fallback::Refund {
                assert_eq!(ledger.facts.escrow.paid, before, "{} {seed}", C::NAME);
            }
        }
    }
    check::<Spot>(&failures);
    check::<Reserved>(&failures);
    check::<Grant>(&failures);
    check::<Coinvest>(&failures);
    check::<DisputedReserve>(&failures);
}

/// The facts of a whole life at its end, and its tariff.
fn end_of<C: Tried>(seed: u64) -> (C::Params, hansa_contracts_abi::Facts) {
    let life = Life::<C>::some(seed);
    let mut ledger = Ledger::new(&life.award, Money::MAX);
    life.steps.iter().for_each(|step| ledger.advance(step));
    ledger.facts.ctx.trigger = life.end;
    (life.params, ledger.facts)
}

fn total<C: Contract>(params: &C::Params, facts: &hansa_contracts_abi::Facts) -> Money {
    C::settle(params, facts).unwrap().pay.iter().map(|(_, amount)| *amount).sum()
}

#[test]
fn templates_that_pay_for_usage_agree_on_what_is_due() {
    let spot = hansa_contracts_spot::Params::default();
    for seed in 0..cases(QUICK) {
        let (params, facts) = end_of::<Coinvest>(seed);
        let due = Counted::of(&facts).unwrap().due(facts.terms.price).unwrap().min(facts.escrow.locked);
        assert_eq!(total::<Spot>(&spot, &facts), due, "spot {seed}");
        // The waterfall divides all of it, and its remainders too: nothing is left over at the close.
        assert_eq!(total::<Coinvest>(&params, &facts), due, "coinvest {seed}");
        let (mut params, mut facts) = end_of::<Grant>(seed);
        let due = total::<Spot>(&spot, &facts);
        assert!(total::<Grant>(&params, &facts) <= due, "grant {seed}");
        (params.expiry, facts.ctx.quota_left) = (u64::MAX, None);
        assert_eq!(total::<Grant>(&params, &facts), due, "grant {seed} without bounds");
    }
}

#[test]
fn reserved_keeps_its_promises_about_credits() {
    for seed in 0..cases(QUICK) {
        let (params, facts) = end_of::<Reserved>(seed);
        let whole = total::<Reserved>(&params, &facts);
        // Without a service level, only what was not delivered at all is not paid.
        let none = hansa_contracts_reserved::Params { sla: vec![], ..params.clone() };
        let mut plain = facts.clone();
        plain.terms.sla.clear();
        assert!(whole <= total::<Reserved>(&none, &plain), "{seed}: a credit raised the price");
        // Never less than the cap leaves of what is certainly delivered.
        let mut interim = facts.clone();
        interim.ctx.trigger = Trigger::Interim;
        if facts.ctx.trigger != Trigger::NoShow {
            assert!(total::<Reserved>(&params, &interim) <= whole, "{seed}: interim above the end");
        }
        // A higher cap never pays more, and slashes less.
        let higher = hansa_contracts_reserved::Params { credit_cap_bps: 10_000, ..params.clone() };
        assert!(total::<Reserved>(&higher, &facts) <= whole, "{seed}");
    }
}

#[test]
fn coinvest_never_pays_the_private_side_beyond_state_aid() {
    for seed in 0..cases(QUICK) {
        let (params, facts) = end_of::<Coinvest>(seed);
        let Some(cap) = params.aid_cap else { continue };
        let split = Coinvest::settle(&params, &facts).unwrap();
        let private: Money = params
            .holders
            .iter()
            // The provider's own share is paid together with its cost.
            .filter(|holder| holder.side == Side::Private && holder.party != Party::PROVIDER)
            .filter_map(|holder| split.pay.iter().find(|(party, _)| *party == holder.party))
            .map(|(_, amount)| *amount)
            .sum();
        assert!(private <= cap.saturating_sub(params.private.returned_before), "{seed}: {private} of {cap}");
    }
}
