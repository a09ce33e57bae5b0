//! Contracts answer the same three ways, modules that nobody wrote end the same in both engines, and calls cost what is checked in.

use hansa_contracts_abi::testing::facts;
use hansa_contracts_abi::wire::{EXPORT_SETTLE, settle_input};
use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_host::Host;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_tests_differential::{
    Compiled, Template, Unbound, fuel, modules, some_module, template, with_stack,
};

const CASES: u64 = 300;

fn check(found: &Template) {
    assert!(found.differences.is_empty(), "{found}: {:?}", found.differences);
    // Else they would only agree on refusals.
    assert!(found.settled > CASES / 2 && found.quoted > CASES / 2 && found.admitted > 0, "{found}");
    assert!(found.settled < CASES, "some are refused: {found}");
}

#[test]
fn templates_answer_the_same_natively_interpreted_and_compiled() {
    check(&template::<Spot>(0, CASES));
    check(&template::<Reserved>(0, CASES));
    check(&template::<Grant>(0, CASES));
    check(&template::<Coinvest>(0, CASES));
    check(&template::<DisputedReserve>(0, CASES));
}

#[test]
fn generated_modules_end_the_same_interpreted_and_compiled() {
    let found = modules(0, CASES);
    assert!(found.differences.is_empty(), "{found}: {:?}", found.differences);
    assert!(found.accepted > CASES / 2, "most are of the profile: {found}");
    assert!(found.answered > found.calls / 4 && found.trapped > found.calls / 20, "{found}");
    assert!(found.undecided < found.calls / 100, "{found}");
}

/// Operators, and others that take and give values of the same types.
const OTHERS: [(u8, u8); 8] = [
    (0x45, 0x68), // i32.eqz, i32.ctz
    (0x46, 0x47), // i32.eq, i32.ne
    (0x51, 0x52), // i64.eq, i64.ne
    (0x6a, 0x6b), // i32.add, i32.sub
    (0x71, 0x72), // i32.and, i32.or
    (0x7c, 0x7d), // i64.add, i64.sub
    (0x83, 0x84), // i64.and, i64.or
    (0xa7, 0x50), // i32.wrap_i64, i64.eqz
];

/// A difference would be seen: another operator in one of the engines is another end, wherever the call comes there.
#[test]
fn another_operator_is_another_end() {
    let input = settle_input(&[], &facts()).unwrap();
    let (told, seen) = with_stack(|| {
        let found = (0..CASES / 3).map(|seed| seen_in(seed, &input));
        found.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    });
    assert!(seen > 20 && seen < told, "{seen} of {told}");
}

/// In how many places of a module one operator was put for another, wherever that is still a module, and in how many of them it
/// ended otherwise.
fn seen_in(seed: u64, input: &[u8]) -> (usize, usize) {
    let Some(code) = some_module(seed).filter(|code| Host::new().load(code).is_ok()) else { return (0, 0) };
    let ended = Unbound::new(&code).unwrap().call(EXPORT_SETTLE, input).unwrap().ended;
    let ends = (0..code.len()).filter_map(|place| {
        let (_, operator) = OTHERS.iter().find(|(operator, _)| *operator == code[place])?;
        let mut other = code.clone();
        other[place] = *operator;
        Compiled::new(&other).ok()?.call(EXPORT_SETTLE, input).ok()
    });
    ends.fold((0, 0), |(told, seen), end| (told + 1, seen + usize::from(end != ended)))
}

#[test]
fn calls_cost_what_is_checked_in() {
    let found = fuel();
    assert_eq!(found.differences, Vec::<String>::new());
    assert_eq!(found.same, 31);
}
