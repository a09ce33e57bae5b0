//! What the tariff promises, as tests. They call the contract directly: no chain, no module, no node.

use hansa_contracts_abi::testing::{Numbers, facts, some_trigger, some_usage};
use hansa_contracts_abi::{
    CheckedSplit, Code, Contract, Evidence, Facts, Money, Party, Quote, Trigger, Window, check_split,
};
use {{crate}}::{Params, {{Type}}};

/// Half price from the thousandth accelerator-second on.
const PARAMS: Params = Params { discount_from: 1_000, discount_bps: 5_000 };

/// What the ledger would pay, after all its checks.
fn settle(params: &Params, facts: &Facts, paid: &[(Party, Money)]) -> CheckedSplit {
    let quote = {{Type}}::quote(params, &facts.terms).unwrap();
    let split = {{Type}}::settle(params, facts).unwrap();
    check_split(&split, facts, paid, quote.lock).unwrap()
}

fn total(split: &CheckedSplit) -> Money {
    split.pay.iter().map(|(_, amount)| *amount).sum()
}

/// Four accelerators for 1,000 seconds at 10 micro-euro a second, with so much used.
fn used(cumulative: u128, trigger: Trigger) -> Facts {
    let mut facts = facts();
    facts.usage.cumulative = cumulative;
    facts.ctx.trigger = trigger;
    facts
}

#[test]
fn the_quote_is_all_of_the_capacity_with_its_discount() {
    let terms = facts().terms;
    assert_eq!({{Type}}::quote(&PARAMS, &terms), Ok(Quote { lock: 1_000 * 10 + 3_000 * 5, stake: 0 }));
    let absurd = Params { discount_bps: 10_001, ..PARAMS };
    assert_eq!({{Type}}::quote(&absurd, &terms), Err(Code::BAD_PARAMS));
}

#[test]
fn the_discount_begins_where_the_tariff_says() {
    for (usage, due) in
        [(0, 0), (999, 9_990), (1_000, 10_000), (1_001, 10_005), (3_000, 20_000), (9_999, 25_000)]
    {
        assert_eq!(
            total(&settle(&PARAMS, &used(usage, Trigger::Final), &[])),
            due,
            "{usage} accelerator-seconds"
        );
    }
    // Of 20,000 the fee is 1.5 %; what is not paid of the million goes back.
    let split = settle(&PARAMS, &used(3_000, Trigger::Final), &[]);
    assert_eq!(split.pay, [(Party::PROVIDER, 19_700), (Party::OPERATOR, 300)]);
    assert_eq!(split.refund, 980_000);
}

#[test]
fn contested_usage_waits_for_its_ruling() {
    let due = |trigger| {
        let mut facts = used(1_000, trigger);
        let window =
            Window { index: 0, delivered: 400, committed: 400, up_secs: 100, source: Evidence::ProviderOnly };
        facts.usage.windows.push(window);
        total(&settle(&PARAMS, &facts, &[]))
    };
    assert_eq!(due(Trigger::Interim), 6_000);
    assert_eq!(due(Trigger::Final), 10_000);
    assert_eq!(due(Trigger::Ruling { provider_bps: 2_500 }), 7_000);
    assert_eq!(due(Trigger::NoShow), 0);
}

/// Whatever a ledger may tell it, the contract gives an answer that the ledger pays, or refuses with a reason. And however
/// often one settles on the way, the sum is the same.
#[test]
fn every_answer_passes_the_checks_and_many_settlements_are_one() {
    let mut settled = 0;
    for seed in 0..5_000 {
        let numbers = &mut Numbers::new(seed);
        let params = Params { discount_from: numbers.figure(10_000), discount_bps: numbers.bps() };
        let mut lease = facts();
        lease.escrow.locked = {{Type}}::quote(&params, &lease.terms).unwrap().lock;
        let mut paid: Vec<(Party, Money)> = Vec::new();
        for _ in 0..numbers.below(4) {
            lease.usage.cumulative += u128::from(numbers.below(1_500));
            lease.ctx.now = 1_000 + numbers.below(2_000);
            lease.ctx.trigger = Trigger::Interim;
            let checked = settle(&params, &lease, &paid);
            lease.escrow.paid = total(&checked);
            paid = checked.pay;
        }
        (lease.ctx.now, lease.ctx.trigger) = (3_000, Trigger::Final);
        let last = settle(&params, &lease, &paid);
        lease.escrow.paid = 0;
        assert_eq!(last.pay, settle(&params, &lease, &[]).pay, "seed {seed}");
        // Facts from the far ends of their types.
        (lease.usage, lease.ctx.trigger) = (some_usage(numbers), some_trigger(numbers));
        if let Ok(split) = {{Type}}::settle(&params, &lease) {
            check_split(&split, &lease, &[], lease.escrow.locked).unwrap();
            settled += 1;
        }
    }
    assert!(settled > 4_000, "only {settled} of 5,000 could be settled");
}
