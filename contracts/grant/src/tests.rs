//! One test per row of the edge cases that the template promises. Whole lives of leases are tried in `contracts/trials`.

use alloc::vec;

use hansa_contracts_abi::testing::facts as plain_facts;
use hansa_contracts_abi::{CheckedSplit, Evidence, Money, Trigger, Window, check_split};

use super::*;

/// Estonia's researchers and start-ups pay a fifth until second 1,800; beyond the grant nothing is paid.
fn params() -> Params {
    Params {
        co_payment_bps: 2_000,
        expiry: 1_800,
        beyond: Beyond::Nothing,
        members: vec![*b"EE"],
        classes: vec![0, 3],
        purposes: vec![2],
    }
}

/// 4 units for 1,000 seconds at 10 each; the sponsor pays four fifths, and 3,000 units are left.
fn facts(trigger: Trigger, used: u128) -> Facts {
    let mut facts = plain_facts();
    facts.terms.parties.push(Role::Sponsor);
    facts.terms.sponsor_bps = 8_000;
    facts.escrow.locked = 40_000;
    facts.usage.cumulative = used;
    (facts.ctx.trigger, facts.ctx.quota_left) = (trigger, Some(3_000));
    facts
}

fn settle(params: &Params, facts: &Facts, paid: &[(Party, Money)]) -> (Split, CheckedSplit) {
    let split = Grant::settle(params, facts).unwrap();
    let quote = Grant::quote(params, &facts.terms).unwrap();
    let checked = check_split(&split, facts, paid, quote.lock).unwrap();
    (split, checked)
}

/// What is paid in all, and what is taken from the allowance.
fn outcome(params: &Params, facts: &Facts) -> (Money, u128) {
    let (split, _) = settle(params, facts, &[]);
    (split.pay.iter().map(|(_, amount)| *amount).sum(), split.consume)
}

fn beyond(units: u128) -> Note {
    Note { code: NOTE_BEYOND_GRANT, bytes: units.to_le_bytes().to_vec() }
}

#[test]
fn the_co_payment_is_guarded_at_the_quote() {
    let quote = |change: fn(&mut Params, &mut Terms)| {
        let (mut params, mut terms) = (params(), facts(Trigger::Final, 0).terms);
        change(&mut params, &mut terms);
        Grant::quote(&params, &terms)
    };
    assert_eq!(quote(|_, _| {}), Ok(Quote { lock: 40_000, stake: 0 }));
    assert_eq!(quote(|_, terms| terms.sponsor_bps = 8_001), Err(Code::BAD_TERMS));
    assert!(quote(|_, terms| terms.sponsor_bps = 0).is_ok());
    assert!(quote(|params, terms| (params.co_payment_bps, terms.sponsor_bps) = (0, 10_000)).is_ok());
    assert_eq!(quote(|params, _| params.co_payment_bps = 10_001), Err(Code::BAD_PARAMS));
    let nobody = |_: &mut Params, terms: &mut Terms| terms.parties.truncate(3);
    assert_eq!(quote(nobody), Err(Code::BAD_TERMS), "somebody has to be the sponsor");
    assert_eq!(quote(|params, _| params.expiry = 1_000), Err(Code::OUT_OF_WINDOW));
    assert!(quote(|params, _| params.expiry = 1_001).is_ok());
    assert_eq!(quote(|_, terms| (terms.units, terms.end) = (u64::MAX, u64::MAX)), Err(Code::OVERFLOW));
}

#[test]
fn only_those_whom_the_sponsor_means_are_admitted() {
    let claims = Claims { home: *b"EE", class: 3, sponsor: Some(*b"EE"), purpose: Some(2) };
    let terms = facts(Trigger::Final, 0).terms;
    let (no, yes) = (|reason| Admission::No(reason), Admission::Yes);
    let table = [
        (claims, yes),
        (Claims { class: 0, ..claims }, yes),
        (Claims { home: *b"DE", ..claims }, no(REASON_HOME)),
        (Claims { home: *b"ee", ..claims }, no(REASON_HOME)),
        (Claims { class: 2, ..claims }, no(REASON_CLASS)),
        (Claims { purpose: Some(1), ..claims }, no(REASON_PURPOSE)),
        (Claims { purpose: None, ..claims }, no(REASON_PURPOSE)),
        (Claims { home: *b"DE", class: 2, purpose: None, ..claims }, no(REASON_HOME)),
    ];
    let everybody = Params { members: vec![], classes: vec![], purposes: vec![], ..params() };
    for (claims, want) in table {
        assert_eq!(Grant::admit(&params(), &terms, &claims), Ok(want), "{claims:?}");
        assert_eq!(Grant::admit(&everybody, &terms, &claims), Ok(yes), "{claims:?}");
    }
}

#[test]
fn covered_usage_is_paid_and_taken_from_the_allowance() {
    let (split, checked) = settle(&params(), &facts(Trigger::Final, 1_001), &[]);
    assert_eq!(split.pay, [(Party::PROVIDER, 9_860), (Party::OPERATOR, 150)]);
    assert_eq!((split.consume, split.slash, split.notes), (1_001, 0, vec![]));
    assert_eq!(split.state, 1_001u128.to_le_bytes());
    // What is not used is not taken, and returns to where it came from.
    assert_eq!((checked.refund, checked.consume), (29_990, 1_001));
    assert_eq!(outcome(&params(), &facts(Trigger::NoShow, 1_001)), (0, 0));
    // A lease without an allowance takes nothing from one, and keeps no state.
    let mut free = facts(Trigger::Final, 1_001);
    free.ctx.quota_left = None;
    let (split, _) = settle(&params(), &free, &[]);
    assert_eq!((split.consume, split.state, split.pay.len()), (0, vec![], 2));
}

#[test]
fn when_the_allowance_runs_out_the_rest_is_paid_as_signed() {
    let with_co_payment = Params { beyond: Beyond::CoPayment, ..params() };
    let short = |left| {
        let mut facts = facts(Trigger::Final, 1_000);
        facts.ctx.quota_left = Some(left);
        facts
    };
    // Left; then with nothing beyond, and with a fifth of the price beyond.
    for (left, nothing, co_payment) in [
        (1_000, 10_000, 10_000),
        (999, 9_990, 9_992),
        (1, 10, 2_008),
        (0, 0, 2_000),
        (u128::MAX, 10_000, 10_000),
    ] {
        let taken = left.min(1_000);
        assert_eq!(outcome(&params(), &short(left)), (nothing, taken), "{left} left");
        assert_eq!(outcome(&with_co_payment, &short(left)), (co_payment, taken), "{left} left");
        let noted = settle(&params(), &short(left), &[]).0.notes;
        assert_eq!(noted, Vec::from_iter((taken < 1_000).then(|| beyond(1_000 - taken))), "{left} left");
    }
}

#[test]
fn the_grant_expires_in_the_middle_of_a_window() {
    // Four units until second 1,800 are 3,200, if the allowance covers them.
    let mut late = facts(Trigger::Final, 3_900);
    late.ctx.quota_left = Some(10_000);
    assert_eq!(outcome(&params(), &late), (32_000, 3_200));
    assert_eq!(settle(&params(), &late, &[]).0.notes, [beyond(700)]);
    let with_co_payment = Params { beyond: Beyond::CoPayment, ..params() };
    assert_eq!(outcome(&with_co_payment, &late), (32_000 + 1_400, 3_200));
    let second_later = Params { expiry: 1_801, ..params() };
    assert_eq!(outcome(&second_later, &late), (32_040, 3_204));
    late.usage.cumulative = 3_200;
    assert_eq!(outcome(&params(), &late), (32_000, 3_200), "it can all have been before");
    late.ctx.quota_left = None;
    assert_eq!(outcome(&params(), &late), (32_000, 0), "and holds without an allowance");
}

#[test]
fn a_sponsor_that_withdraws_pays_what_was_used() {
    let sponsor = Trigger::Cancelled { by: Party(3) };
    let mut facts = facts(sponsor, 2_000);
    facts.ctx.now = 1_500;
    assert_eq!(outcome(&params(), &facts), (20_000, 2_000));
    facts.usage.cumulative = 2_100;
    assert_eq!(outcome(&params(), &facts), (20_000, 2_000), "nothing of the future");
    facts.ctx.trigger = Trigger::Cancelled { by: Party(4) };
    assert_eq!(Grant::settle(&params(), &facts), Err(Code::UNKNOWN_PARTY));
}

#[test]
fn two_leases_on_one_allowance_never_overdraw_it() {
    // Each takes what is left in the order of the ledger, and keeps what it has taken before.
    let mut left = 1_000u128;
    let mut leases = [facts(Trigger::Interim, 0), facts(Trigger::Interim, 0)];
    let mut paid = [vec![], vec![]];
    let mut taken = [0, 0];
    for used in [300, 450, 700, 900] {
        for (lease, facts) in leases.iter_mut().enumerate() {
            facts.usage.cumulative = used;
            facts.ctx.quota_left = Some(left);
            let (split, checked) = settle(&params(), facts, &paid[lease]);
            left -= checked.consume;
            taken[lease] += checked.consume;
            facts.state = split.state;
            facts.escrow.paid = checked.pay.iter().map(|(_, amount)| *amount).sum();
            assert_eq!(facts.escrow.paid, 10 * taken[lease]);
            paid[lease] = checked.pay;
        }
    }
    assert_eq!((left, taken), (0, [550, 450]));
}

#[test]
fn contested_usage_is_neither_paid_nor_taken_before_its_ruling() {
    let with = |trigger| {
        let mut facts = facts(trigger, 1_000);
        let source = Evidence::ProviderOnly;
        facts.usage.windows = vec![Window { index: 0, delivered: 301, committed: 400, up_secs: 1, source }];
        outcome(&params(), &facts)
    };
    assert_eq!(with(Trigger::Interim), (6_990, 699));
    assert_eq!(with(Trigger::Final), (10_000, 1_000));
    assert_eq!(with(Trigger::Ruling { provider_bps: 0 }), (6_990, 699));
    // Half of 301 is 150.5 units, and a unit that was begun is gone from the allowance.
    assert_eq!(with(Trigger::Ruling { provider_bps: 5_000 }), (8_495, 850));
    assert_eq!(with(Trigger::Ruling { provider_bps: 10_000 }), (10_000, 1_000));
}

#[test]
fn facts_that_exclude_each_other_are_refused() {
    let refusal = |change: fn(&mut Facts)| {
        let mut facts = facts(Trigger::Final, 1_000);
        change(&mut facts);
        Grant::settle(&params(), &facts).unwrap_err()
    };
    assert_eq!(refusal(|facts| facts.escrow.paid = 10_001), Code::CONTRADICTION);
    assert_eq!(refusal(|facts| facts.state = vec![0; 15]), Code::BAD_INPUT);
    assert_eq!(refusal(|facts| facts.state = 1_001u128.to_le_bytes().to_vec()), Code::CONTRADICTION);
    assert_eq!(refusal(|facts| facts.state = vec![255; 16]), Code::OVERFLOW);
    assert_eq!(refusal(|facts| facts.terms.sponsor_bps = 9_000), Code::BAD_TERMS);
    assert_eq!(refusal(|facts| facts.terms.price.num = u128::MAX), Code::OVERFLOW);
    let mut short = facts(Trigger::Final, 1_000);
    short.escrow.locked = 9_000;
    let (split, _) = settle(&params(), &short, &[]);
    assert_eq!(split.notes, [Note { code: NOTE_UNCOVERED, bytes: 1_000u128.to_le_bytes().to_vec() }]);
}
