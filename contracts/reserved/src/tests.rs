//! One test per row of the edge cases that the template promises. Whole lives of leases are tried in `contracts/trials`.

use hansa_contracts_abi::testing::facts as plain_facts;
use hansa_contracts_abi::{CheckedSplit, Price, Role, Window, check_split};

use super::*;

/// Below 99 %: 5 %. Below 95 %: 20 %. Below 90 %: all of it, of which credits may take 30 %; the rest is the stake's.
fn params() -> Params {
    let sla = steps(&[(9_900, 500), (9_500, 2_000), (9_000, 10_000)]);
    Params { sla, period_windows: 1, credit_cap_bps: 3_000, stake_bps: 2_500 }
}

fn steps(steps: &[(Bps, Bps)]) -> Vec<SlaStep> {
    steps
        .iter()
        .map(|(below_bps, credit_bps)| SlaStep { below_bps: *below_bps, credit_bps: *credit_bps })
        .collect()
}

/// 4 units for 1,000 seconds at 10 each, that is 4,000 units for 40,000, with a stake of 10,000; windows of 100 seconds,
/// hence of 400 units, all of them delivered.
fn facts(trigger: Trigger) -> Facts {
    let mut facts = plain_facts();
    facts.terms.slash_max = 10_000;
    facts.escrow = hansa_contracts_abi::Escrow { locked: 40_000, paid: 0, stake: 10_000 };
    facts.ctx.trigger = trigger;
    facts.usage.windows = (0..10).map(|index| window(index, 400, 400)).collect();
    facts.usage.cumulative = 4_000;
    facts
}

fn window(index: u32, delivered: u64, committed: u64) -> Window {
    Window { index, delivered, committed, up_secs: 100, source: Evidence::Both }
}

/// Replaces windows of the lease, and the sum with them.
fn with(trigger: Trigger, changed: &[Window]) -> Facts {
    let mut facts = facts(trigger);
    for window in changed {
        facts.usage.windows[window.index as usize] = *window;
    }
    facts.usage.cumulative = facts.usage.windows.iter().map(|window| u128::from(window.delivered)).sum();
    facts
}

fn settle(params: &Params, facts: &Facts) -> (Split, CheckedSplit) {
    let split = Reserved::settle(params, facts).unwrap();
    let quote = Reserved::quote(params, &facts.terms).unwrap();
    let paid = [(Party::PROVIDER, facts.escrow.paid)];
    let checked = check_split(&split, facts, &paid, quote.lock).unwrap();
    (split, checked)
}

/// What is paid in all, and slashed.
fn outcome(facts: &Facts) -> (Money, Money) {
    let (split, _) = settle(&params(), facts);
    (split.pay.iter().map(|(_, amount)| *amount).sum(), split.slash)
}

#[test]
fn quote_locks_the_capacity_and_asks_for_a_stake() {
    let terms = facts(Trigger::Final).terms;
    assert_eq!(Reserved::quote(&params(), &terms), Ok(Quote { lock: 40_000, stake: 10_000 }));
    let third = Params { stake_bps: 3_333, ..params() };
    let price = Price { num: 1, den: 7 };
    let odd = Terms { price, ..terms.clone() };
    // 4,000 / 7 rounded up, and 33.33 % of it, 190.6, rounded up.
    assert_eq!(Reserved::quote(&third, &odd), Ok(Quote { lock: 572, stake: 191 }));
    let huge = Terms { units: u64::MAX, end: u64::MAX, ..terms };
    assert_eq!(Reserved::quote(&params(), &huge), Err(Code::OVERFLOW));
}

#[test]
fn unsorted_tiers_and_senseless_figures_are_refused_at_the_quote() {
    let refusal = |change: fn(&mut Params, &mut Terms)| {
        let (mut params, mut terms) = (params(), facts(Trigger::Final).terms);
        change(&mut params, &mut terms);
        Reserved::quote(&params, &terms).unwrap_err()
    };
    assert_eq!(refusal(|params, _| params.sla.swap(0, 1)), Code::BAD_PARAMS);
    assert_eq!(refusal(|params, _| params.sla[1].below_bps = 9_900), Code::BAD_PARAMS, "the same step twice");
    assert_eq!(refusal(|params, _| params.sla[2].credit_bps = 10_001), Code::BAD_PARAMS);
    assert_eq!(
        refusal(|params, _| params.sla =
            steps(&[(9, 0), (8, 0), (7, 0), (6, 0), (5, 0), (4, 0), (3, 0), (2, 0), (1, 0)])),
        Code::BAD_PARAMS
    );
    assert_eq!(refusal(|params, _| params.period_windows = 0), Code::BAD_PARAMS);
    assert_eq!(refusal(|params, _| params.credit_cap_bps = 10_001), Code::BAD_PARAMS);
    assert_eq!(refusal(|params, _| params.stake_bps = 10_001), Code::BAD_PARAMS);
    assert_eq!(refusal(|_, terms| terms.sla = steps(&[(9_000, 0), (9_500, 0)])), Code::BAD_TERMS);
    assert_eq!(refusal(|_, terms| terms.parties[0] = Role::Named), Code::BAD_TERMS);
}

#[test]
fn capacity_is_paid_whether_used_or_not_and_worth_its_price_once() {
    let (split, checked) = settle(&params(), &facts(Trigger::Final));
    assert_eq!(split.pay, [(Party::PROVIDER, 39_400), (Party::OPERATOR, 600)]);
    assert_eq!((split.slash, split.consume, split.notes, split.state), (0, 0, vec![], vec![]));
    assert_eq!((checked.refund, checked.held), (0, 0));
    // A requester that reports and countersigns nothing changes nothing: what is not contested counts.
    let mut vanished = facts(Trigger::Expired);
    vanished.usage.windows.iter_mut().for_each(|window| window.source = Evidence::ProviderOnly);
    assert_eq!(outcome(&vanished), (40_000, 0));
}

#[test]
fn the_worst_step_that_is_strictly_crossed_gives_the_credit() {
    // One window of 400 units for 4,000: what is paid for it, and slashed.
    let table = [
        (400, 4_000, 0),
        (396, 4_000, 0),     // 99 %, on the threshold
        (395, 3_800, 0),     // 98.75 %
        (380, 3_800, 0),     // 95 %, on the threshold
        (379, 3_200, 0),     // 94.75 %
        (360, 3_200, 0),     // 90 %, on the threshold
        (359, 2_800, 2_800), // 89.75 %: all was promised back, 30 % of it here and 70 % from the stake
        (1, 2_800, 2_800),
        (0, 0, 2_800), // Nothing is never paid.
    ];
    for (delivered, pay, slash) in table {
        let facts = with(Trigger::Final, &[window(3, delivered, 400)]);
        assert_eq!(outcome(&facts), (36_000 + pay, slash), "{delivered} of 400");
        let credited =
            (pay < 4_000).then(|| Note { code: NOTE_CREDITED, bytes: (4_000 - pay).to_le_bytes().to_vec() });
        assert_eq!(settle(&params(), &facts).0.notes, Vec::from_iter(credited), "{delivered} of 400");
    }
    // Overlapping steps: the larger credit, though it is not the lowest step.
    let overlapping = Params { sla: steps(&[(9_900, 2_000), (9_500, 100)]), ..params() };
    let (split, _) = settle(&overlapping, &with(Trigger::Final, &[window(0, 300, 400)]));
    assert_eq!(split.pay[0].1 + split.pay[1].1, 36_000 + 3_200);
    // The terms' service level goes before that of the parameters.
    let mut facts = with(Trigger::Final, &[window(0, 300, 400)]);
    facts.terms.sla = steps(&[(9_000, 1_000)]);
    assert_eq!(outcome(&facts), (36_000 + 3_600, 0));
}

#[test]
fn a_period_is_as_many_windows_as_agreed() {
    // 399 and 393 of 400 are 99 % of a period of two, and 98.25 % of the second window.
    let facts = with(Trigger::Final, &[window(0, 399, 400), window(1, 393, 400)]);
    let paid = |period_windows| {
        let (split, _) = settle(&Params { period_windows, ..params() }, &facts);
        split.pay.iter().map(|(_, amount)| *amount).sum::<Money>()
    };
    assert_eq!([paid(1), paid(2), paid(u32::MAX)], [40_000 - 200, 40_000, 40_000]);
    // Windows 1 and 2 are in different periods of two, and in the same period of three.
    let facts = with(Trigger::Final, &[window(1, 300, 400), window(2, 400, 400)]);
    let paid = |period_windows| settle(&Params { period_windows, ..params() }, &facts).0.slash;
    assert_eq!([paid(2), paid(3)], [5_600, 0], "700 of 800 are below 90 %, 1,100 of 1,200 are not");
}

#[test]
fn what_is_not_in_the_denominator_is_not_penalised() {
    // Half of the window was maintenance: what is left was delivered.
    assert_eq!(outcome(&with(Trigger::Final, &[window(2, 200, 200)])), (38_000, 0));
    // All of it was: nothing is owed and nothing is missing.
    assert_eq!(outcome(&with(Trigger::Final, &[window(2, 0, 0)])), (36_000, 0));
    // The requester broke it, and the accelerators stayed allocated: held is held.
    assert_eq!(outcome(&with(Trigger::Final, &[window(2, 400, 0)])), (40_000, 0));
    assert_eq!(outcome(&with(Trigger::Final, &[window(2, 400, 100)])), (40_000, 0));
    // Nothing was promised in the whole lease, and nothing delivered: no penalty for anybody.
    let all: Vec<Window> = (0..10).map(|index| window(index, 0, 0)).collect();
    assert_eq!(outcome(&with(Trigger::Final, &all)), (0, 0));
}

#[test]
fn a_provider_that_vanished_returns_everything_and_its_stake() {
    let none: Vec<Window> = (0..10).map(|index| window(index, 0, 400)).collect();
    for (trigger, slash) in [
        (Trigger::Final, 10_000),
        (Trigger::Expired, 10_000),
        (Trigger::NoShow, 10_000),
        (Trigger::Ruling { provider_bps: 10_000 }, 10_000),
        (Trigger::Cancelled { by: Party::PROVIDER }, 10_000),
        // Beyond the cap only; here that is more than the stake as well.
        (Trigger::Cancelled { by: Party::REQUESTER }, 10_000),
    ] {
        assert_eq!(outcome(&with(trigger, &none)), (0, slash), "{trigger:?}");
    }
    // The stake is lost though no step goes beyond the cap, unless another than the provider ended the lease.
    let mild = Params { sla: steps(&[(9_900, 500)]), ..params() };
    let slashed = |trigger| settle(&mild, &with(trigger, &none)).0.slash;
    assert_eq!(slashed(Trigger::Final), 10_000);
    assert_eq!(slashed(Trigger::Cancelled { by: Party::PROVIDER }), 10_000);
    assert_eq!(slashed(Trigger::Cancelled { by: Party::REQUESTER }), 0);
    // Whoever ends the lease after a second gets a second's worth, not the stake.
    let mut early = with(Trigger::Cancelled { by: Party::REQUESTER }, &[]);
    (early.usage.windows, early.usage.cumulative) = (vec![window(0, 0, 4)], 0);
    assert_eq!(outcome(&early), (0, 28));
    // The stake and the terms both bound what is slashed.
    let mut poor = with(Trigger::Final, &none);
    poor.escrow.stake = 7;
    assert_eq!(outcome(&poor).1, 7);
    (poor.escrow.stake, poor.terms.slash_max) = (10_000, 9);
    assert_eq!(outcome(&poor).1, 9);
    // One unit in the whole lease is not nothing: all its windows but one are empty, and one is far below its step.
    let mut facts = with(Trigger::Final, &none);
    facts.usage.windows[4].delivered = 1;
    facts.usage.cumulative = 1;
    facts.escrow.stake = 1_000_000;
    facts.terms.slash_max = 1_000_000;
    assert_eq!(outcome(&facts), (2_800, 28_000));
}

#[test]
fn a_provider_that_walks_away_owes_the_time_that_was_left() {
    let mut facts = facts(Trigger::Cancelled { by: Party::PROVIDER });
    facts.usage.windows.truncate(9);
    (facts.usage.cumulative, facts.ctx.now) = (3_600, 1_900);
    // 100 seconds of four units were left: 70 % of 4,000 is beyond the cap.
    assert_eq!(outcome(&facts), (36_000, 2_800));
    facts.ctx.trigger = Trigger::Cancelled { by: Party::REQUESTER };
    assert_eq!(outcome(&facts), (36_000, 0));
    facts.ctx.trigger = Trigger::Cancelled { by: Party(9) };
    assert_eq!(Reserved::settle(&params(), &facts), Err(Code::UNKNOWN_PARTY));
}

#[test]
fn interim_retains_the_largest_credit_there_can_be() {
    let mut facts = with(Trigger::Interim, &[window(1, 100, 400)]);
    facts.usage.windows[2].source = Evidence::ProviderOnly;
    // 3,700 delivered, 400 of them contested: 33,000 less 30 %.
    assert_eq!(outcome(&facts), (23_100, 0));
    let mild = Params { sla: steps(&[(9_900, 500)]), ..params() };
    assert_eq!(settle(&mild, &facts).1.held, 40_000 - 31_350);
    let (none, all) = (Params { sla: vec![], ..params() }, Params { credit_cap_bps: 10_000, ..params() });
    assert_eq!(settle(&none, &facts).1.held, 7_000);
    assert_eq!(settle(&all, &facts).1.held, 40_000);
    // Half way, only half can have been delivered.
    facts.ctx.now = 1_500;
    assert_eq!(outcome(&facts), (14_000, 0));
}

#[test]
fn a_ruling_counts_its_part_of_the_contested_usage_as_delivered() {
    let ruled = |provider_bps| {
        let mut facts = with(Trigger::Ruling { provider_bps }, &[]);
        facts.usage.windows[5].source = Evidence::ProviderOnly;
        outcome(&facts)
    };
    assert_eq!(ruled(10_000), (40_000, 0));
    assert_eq!(ruled(9_900), (40_000, 0), "99 % is on the threshold");
    assert_eq!(ruled(9_899), (39_800, 0));
    assert_eq!(ruled(0), (36_000, 2_800));
    // Of 400 contested units 100 were promised: a ruling of a half counts 200, and held is held.
    let mut more = with(Trigger::Ruling { provider_bps: 5_000 }, &[window(5, 400, 100)]);
    more.usage.windows[5].source = Evidence::ProviderOnly;
    assert_eq!(outcome(&more), (38_000, 0));
    let mut facts = facts(Trigger::Ruling { provider_bps: 10_001 });
    assert_eq!(Reserved::settle(&params(), &facts), Err(Code::BAD_INPUT));
    // One report, split by the ruling into what was admitted and what was not: together they promise the lease.
    let whole = Params { period_windows: u32::MAX, ..params() };
    facts.ctx.trigger = Trigger::Ruling { provider_bps: 5_000 };
    let contested = Window { source: Evidence::ProviderOnly, ..window(1, 400, 400) };
    facts.usage.windows = vec![window(0, 3_600, 3_600), contested];
    assert_eq!(settle(&whole, &facts).0.pay.iter().map(|(_, amount)| *amount).sum::<Money>(), 38_000, "95 %");
}

#[test]
fn windows_that_the_ledger_leaves_out_are_paid_as_delivered() {
    let mut facts = with(Trigger::Final, &[window(1, 395, 400)]);
    facts.usage.windows.retain(|window| window.index == 1);
    assert_eq!(outcome(&facts), (36_000 + 3_800, 0));
    facts.usage.windows.clear();
    assert_eq!(outcome(&facts), (39_950, 0));
    facts.usage.cumulative = u128::MAX;
    assert_eq!(outcome(&facts), (40_000, 0), "never more than the lease could deliver");
}

#[test]
fn facts_that_exclude_each_other_are_refused() {
    let refusal = |change: fn(&mut Facts)| {
        let mut facts = facts(Trigger::Final);
        change(&mut facts);
        Reserved::settle(&params(), &facts).unwrap_err()
    };
    assert_eq!(refusal(|facts| facts.usage.cumulative = 3_999), Code::CONTRADICTION);
    assert_eq!(refusal(|facts| facts.escrow.paid = 40_001), Code::CONTRADICTION);
    let came = |facts: &mut Facts| (facts.ctx.trigger, facts.escrow.paid) = (Trigger::NoShow, 1);
    assert_eq!(refusal(came), Code::CONTRADICTION);
    let many = |facts: &mut Facts| {
        facts.usage.windows = vec![window(0, u64::MAX, u64::MAX); 3];
        (facts.usage.cumulative, facts.terms.price.num) = (u128::MAX, u128::MAX);
    };
    assert_eq!(refusal(many), Code::OVERFLOW);
    // The lock falls short of what is owed: nobody owes the rest.
    let mut short = facts(Trigger::Final);
    short.escrow.locked = 30_000;
    let (split, _) = settle(&params(), &short);
    assert_eq!(split.pay, [(Party::PROVIDER, 29_550), (Party::OPERATOR, 450)]);
    assert_eq!(split.notes, [Note { code: NOTE_UNCOVERED, bytes: 10_000u128.to_le_bytes().to_vec() }]);
}
