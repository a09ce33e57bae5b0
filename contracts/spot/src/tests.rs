//! One test per row of the edge cases that the template promises, and the properties that hold for all.

use hansa_contracts_abi::{
    CheckedSplit, Ctx, Escrow, Evidence, Price, Role, SplitError, Unit, Usage, Window, check_split,
};
use proptest::prelude::*;

use super::*;

const START: u64 = 1_700_000_000;
const HOUR: u64 = 3_600;

/// Two accelerators for ten hours at 3.60 EUR an hour: 1,000 micro-euro per accelerator-second, 72 EUR in all.
fn facts(trigger: Trigger, hours: u64, used: u128) -> Facts {
    Facts {
        abi: ABI_VERSION,
        terms: Terms {
            parties: vec![Role::Requester, Role::Provider, Role::Operator],
            unit: Unit::AcceleratorSecond,
            units: 2,
            start: START,
            end: START + 10 * HOUR,
            price: Price { num: 3_600_000, den: HOUR },
            fee_bps: 150,
            sponsor_bps: 0,
            slash_max: 0,
            sla: vec![],
        },
        usage: Usage { windows: vec![], readings: vec![], cumulative: used },
        escrow: Escrow { locked: 72_000_000, paid: 0, stake: 0 },
        ctx: Ctx { height: 1, now: START + hours * HOUR, trigger, quota_left: None },
        state: vec![],
    }
}

fn window(index: u32, delivered: u64, source: Evidence) -> Window {
    Window { index, delivered, committed: 7_200, up_secs: 3_600, source }
}

fn settle(facts: &Facts) -> Split {
    Spot::settle(&Params::default(), facts).unwrap()
}

/// What provider and operator receive together, checked as the ledger does.
fn total(params: &Params, facts: &Facts) -> Money {
    let split = Spot::settle(params, facts).unwrap();
    let quote = Spot::quote(params, &facts.terms).unwrap();
    check_split(&split, facts, &[], quote.lock).unwrap();
    split.pay.iter().map(|(_, amount)| *amount).sum()
}

fn paid(facts: &Facts) -> Money {
    total(&Params::default(), facts)
}

#[test]
fn quote_locks_the_whole_lease_rounded_up() {
    let mut terms = facts(Trigger::Final, 0, 0).terms;
    assert_eq!(Spot::quote(&Params::default(), &terms), Ok(Quote { lock: 72_000_000, stake: 0 }));
    terms.price = Price { num: 10, den: 7 };
    assert_eq!(Spot::quote(&Params::default(), &terms).unwrap().lock, 102_858);
    let dear = Params { minimum_fee: 200_000 };
    assert_eq!(Spot::quote(&dear, &terms).unwrap().lock, 200_000);
    terms.fee_bps = 10_001;
    assert_eq!(Spot::quote(&Params::default(), &terms), Err(Code::BAD_TERMS));
    let mut terms = facts(Trigger::Final, 0, 0).terms;
    (terms.units, terms.end) = (u64::MAX, u64::MAX);
    assert_eq!(Spot::quote(&Params::default(), &terms), Err(Code::OVERFLOW));
    let mut terms = facts(Trigger::Final, 0, 0).terms;
    terms.price.num = u128::MAX;
    assert_eq!(Spot::quote(&Params::default(), &terms), Err(Code::OVERFLOW));
}

#[test]
fn usage_is_paid_and_the_fee_is_floored_out_of_it() {
    let split = settle(&facts(Trigger::Final, 11, 36_001));
    // 36.001 EUR, of which 1.5 % are 540,015.
    assert_eq!(split.pay, [(Party::PROVIDER, 35_460_985), (Party::OPERATOR, 540_015)]);
    assert_eq!((split.slash, split.consume, split.notes, split.state), (0, 0, vec![], vec![]));
    assert_eq!(settle(&facts(Trigger::Expired, 11, 36_001)).pay, split.pay);
}

#[test]
fn zero_usage_is_a_full_refund_unless_a_minimum_was_signed() {
    let params = Params { minimum_fee: 500_000 };
    for (trigger, want) in [
        (Trigger::Interim, 0),
        (Trigger::NoShow, 0),
        (Trigger::Final, 500_000),
        (Trigger::Expired, 500_000),
        (Trigger::Ruling { provider_bps: 0 }, 500_000),
        (Trigger::Cancelled { by: Party::REQUESTER }, 500_000),
        (Trigger::Cancelled { by: Party::OPERATOR }, 500_000),
        (Trigger::Cancelled { by: Party::PROVIDER }, 0),
    ] {
        let facts = facts(trigger, 10, 0);
        assert_eq!(paid(&facts), 0, "{trigger:?} without a minimum");
        assert_eq!(settle(&facts).pay, [], "{trigger:?} without a minimum");
        assert_eq!(total(&params, &facts), want, "{trigger:?} with a minimum");
    }
    // The minimum is not on top: usage beyond it is all that is due.
    assert_eq!(total(&params, &facts(Trigger::Final, 10, 7_200)), 7_200_000);
}

#[test]
fn overrun_is_capped_by_time_and_by_the_lock() {
    assert_eq!(paid(&facts(Trigger::Final, 10, 72_001)), 72_000_000);
    assert_eq!(paid(&facts(Trigger::Interim, 1, 10_000)), 7_200_000, "one hour of two units is 7,200 units");
    assert_eq!(paid(&facts(Trigger::Final, 100, u128::MAX)), 72_000_000);
    let mut short = facts(Trigger::Final, 10, 72_000);
    short.escrow.locked = 70_000_000;
    assert_eq!(paid(&short), 70_000_000);
    let uncovered = Note { code: NOTE_UNCOVERED, bytes: 2_000_000u128.to_le_bytes().to_vec() };
    assert_eq!(settle(&short).notes, [uncovered]);
}

#[test]
fn the_runway_is_announced_at_four_fifths() {
    assert_eq!(settle(&facts(Trigger::Interim, 9, 57_599)).notes, []);
    // 14.4 EUR are left, which two units use up in two hours.
    let depletion = (START + 9 * HOUR + 2 * HOUR).to_le_bytes().to_vec();
    let note = Note { code: NOTE_RUNWAY, bytes: depletion };
    assert_eq!(settle(&facts(Trigger::Interim, 9, 57_600)).notes, [note]);
    assert_eq!(settle(&facts(Trigger::Final, 9, 57_600)).notes, [], "a closed lease has no runway");
    let mut free = facts(Trigger::Interim, 9, 57_600);
    (free.terms.price.num, free.escrow.locked) = (0, 0);
    assert_eq!(settle(&free).notes, []);
}

#[test]
fn a_partial_window_counts_by_the_second() {
    assert_eq!(paid(&facts(Trigger::Final, 10, 1)), 1_000);
    let mut odd = facts(Trigger::Final, 10, 5);
    odd.terms.price = Price { num: 10, den: 7 };
    assert_eq!(paid(&odd), 7);
    odd.ctx.now = START + 1;
    assert_eq!(paid(&odd), 2, "two units for one second at 10/7");
}

#[test]
fn price_zero_and_a_clock_before_the_start_owe_nothing() {
    let mut free = facts(Trigger::Final, 10, 36_000);
    free.terms.price.num = 0;
    assert_eq!(paid(&free), 0);
    let mut early = facts(Trigger::Interim, 0, 36_000);
    early.ctx.now = START - 1;
    assert_eq!(paid(&early), 0);
    early.ctx.now = u64::MAX;
    assert_eq!(paid(&early), 36_000_000);
}

#[test]
fn contested_usage_waits_for_its_ruling() {
    let with = |trigger| {
        let mut facts = facts(trigger, 10, 30_000);
        facts.usage.windows = vec![
            window(0, 7_200, Evidence::Both),
            window(1, 7_001, Evidence::ProviderOnly),
            window(2, 5, Evidence::RequesterOnly),
        ];
        paid(&facts)
    };
    assert_eq!(with(Trigger::Interim), 22_999_000);
    assert_eq!(with(Trigger::Final), 30_000_000);
    assert_eq!(with(Trigger::Ruling { provider_bps: 0 }), 22_999_000);
    assert_eq!(with(Trigger::Ruling { provider_bps: 10_000 }), 30_000_000);
    // Half of 7,001 units at 1,000 each: one floor on the money, not one on the units before it.
    assert_eq!(with(Trigger::Ruling { provider_bps: 5_000 }), 22_999_000 + 3_500_500);
    assert_eq!(with(Trigger::Cancelled { by: Party::PROVIDER }), 30_000_000);
}

#[test]
fn facts_that_exclude_each_other_are_refused() {
    let refusal = |change: fn(&mut Facts)| {
        let mut facts = facts(Trigger::Final, 10, 7_200);
        change(&mut facts);
        Spot::settle(&Params::default(), &facts).unwrap_err()
    };
    let contested = |facts: &mut Facts| facts.usage.windows = vec![window(0, 7_201, Evidence::ProviderOnly)];
    assert_eq!(refusal(contested), Code::CONTRADICTION);
    assert_eq!(refusal(|facts| facts.escrow.paid = 7_200_001), Code::CONTRADICTION);
    let came = |facts: &mut Facts| {
        facts.ctx.trigger = Trigger::NoShow;
        facts.escrow.paid = 1;
    };
    assert_eq!(refusal(came), Code::CONTRADICTION);
    assert_eq!(refusal(|facts| facts.ctx.trigger = Trigger::Cancelled { by: Party(3) }), Code::UNKNOWN_PARTY);
    assert_eq!(
        refusal(|facts| facts.ctx.trigger = Trigger::Ruling { provider_bps: 10_001 }),
        Code::BAD_INPUT
    );
    assert_eq!(refusal(|facts| facts.terms.price.den = 0), Code::BAD_TERMS);
    assert_eq!(refusal(|facts| facts.terms.price.num = u128::MAX), Code::OVERFLOW);
}

/// A lease and its usage: terms, then what was countersigned and what only the provider says, step by step.
fn lease() -> impl Strategy<Value = (Params, Facts, Vec<(u64, u64, u64)>)> {
    let figures = (1u64..64, 1u64..5_000, 0u128..10_000_000, 1u64..10_000, 0u16..=10_000, 0u128..1_000_000);
    let steps = proptest::collection::vec((0u64..20_000, 0u64..5_000, 0u64..600), 1..12);
    (figures, steps).prop_map(|((units, seconds, num, den, fee_bps, minimum_fee), steps)| {
        let params = Params { minimum_fee };
        let mut facts = facts(Trigger::Interim, 0, 0);
        facts.terms =
            Terms { units, end: START + seconds, price: Price { num, den }, fee_bps, ..facts.terms };
        facts.escrow.locked = Spot::quote(&params, &facts.terms).unwrap().lock;
        (params, facts, steps)
    })
}

fn closing() -> impl Strategy<Value = Trigger> {
    prop_oneof![
        Just(Trigger::Final),
        Just(Trigger::Expired),
        (0u8..3).prop_map(|by| Trigger::Cancelled { by: Party(by) }),
        (0u16..=10_000).prop_map(|provider_bps| Trigger::Ruling { provider_bps }),
    ]
}

/// Adds one step of usage and lets time pass.
fn advance(facts: &mut Facts, index: usize, (sure, contested, seconds): (u64, u64, u64)) {
    facts.usage.cumulative += u128::from(sure) + u128::from(contested);
    facts.usage.windows.push(window(index as u32, contested, Evidence::ProviderOnly));
    facts.ctx.now += seconds;
}

fn carry_out(
    params: &Params,
    facts: &mut Facts,
    before: &[(Party, Money)],
) -> Result<CheckedSplit, SplitError> {
    let split = Spot::settle(params, facts).unwrap();
    let lock = Spot::quote(params, &facts.terms).unwrap().lock;
    let checked = check_split(&split, facts, before, lock)?;
    facts.escrow.paid += checked.transfers.iter().map(|(_, amount)| *amount).sum::<Money>();
    Ok(checked)
}

proptest! {
    /// Whatever the order of events, each answer passes every check of the ledger: nothing is minted, nothing is taken
    /// back, nothing stays locked; and how often one settled on the way changes nobody's sum.
    #[test]
    fn many_settlements_are_one(lease in lease(), end in closing()) {
        let (params, mut facts, steps) = lease;
        let mut once = facts.clone();
        let (mut before, mut moved, mut refund) = (vec![], 0, 0);
        for (index, step) in steps.iter().enumerate() {
            advance(&mut facts, index, *step);
            advance(&mut once, index, *step);
            let checked = carry_out(&params, &mut facts, &before).unwrap();
            moved += checked.transfers.iter().map(|(_, amount)| *amount).sum::<Money>();
            prop_assert_eq!(moved + checked.held, facts.escrow.locked);
            before = checked.pay;
        }
        (facts.ctx.trigger, once.ctx.trigger) = (end, end);
        let last = carry_out(&params, &mut facts, &before).unwrap();
        moved += last.transfers.iter().map(|(_, amount)| *amount).sum::<Money>();
        refund += last.refund;
        prop_assert_eq!(moved + refund, facts.escrow.locked);
        prop_assert_eq!(last.held, 0);
        let single = carry_out(&params, &mut once, &[]).unwrap();
        prop_assert_eq!(single.pay, last.pay);
        prop_assert_eq!(single.refund, last.refund);
    }

    /// Usage far beyond anything sensible never costs more than the quote.
    #[test]
    fn nothing_exceeds_the_quote(lease in lease(), used: u128, now: u64, end in closing()) {
        let (params, mut facts, _) = lease;
        facts.escrow.locked = u128::MAX;
        (facts.usage.cumulative, facts.ctx.now, facts.ctx.trigger) = (used, now, end);
        let lock = Spot::quote(&params, &facts.terms).unwrap().lock;
        let split = Spot::settle(&params, &facts).unwrap();
        prop_assert!(split.pay.iter().map(|(_, amount)| *amount).sum::<Money>() <= lock);
    }

    /// A ruling lies between nothing and all of the contested part, and grows with its share.
    #[test]
    fn rulings_are_monotone(lease in lease(), low in 0u16..=10_000, high in 0u16..=10_000) {
        let (params, mut facts, steps) = lease;
        for (index, step) in steps.iter().enumerate() {
            advance(&mut facts, index, *step);
        }
        let mut by = |trigger| {
            facts.ctx.trigger = trigger;
            total(&params, &facts)
        };
        let (low, high) = (low.min(high), low.max(high));
        let (low, high) = (by(Trigger::Ruling { provider_bps: low }), by(Trigger::Ruling { provider_bps: high }));
        prop_assert!(by(Trigger::Interim) <= low.max(params.minimum_fee));
        prop_assert!(low <= high);
        prop_assert!(high <= by(Trigger::Final));
    }
}
