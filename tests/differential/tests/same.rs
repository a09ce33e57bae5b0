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

/// A difference would be seen: another operator in one of the engines is another end.
#[test]
fn another_operator_is_another_end() {
    let input = settle_input(&[], &facts()).unwrap();
    let seen = with_stack(|| (0..CASES).map(|seed| seen_in(seed, &input)).sum::<usize>());
    assert!(seen > 20, "{seen}");
}

/// In how many places of a module an `i32.add` is told from an `i32.sub`, wherever that is still a module.
fn seen_in(seed: u64, input: &[u8]) -> usize {
    let Some(code) = some_module(seed).filter(|code| Host::new().load(code).is_ok()) else { return 0 };
    let ended = Unbound::new(&code).unwrap().call(EXPORT_SETTLE, input).unwrap().ended;
    let told = |place: usize| {
        let mut other = code.clone();
        other[place] = 0x6b;
        let compiled = Compiled::new(&other).ok()?;
        compiled.call(EXPORT_SETTLE, input).ok().filter(|end| *end != ended)
    };
    (0..code.len()).filter(|place| code[*place] == 0x6a && told(*place).is_some()).count()
}

#[test]
fn calls_cost_what_is_checked_in() {
    let found = fuel();
    assert_eq!(found.differences, Vec::<String>::new());
    assert_eq!(found.same, 31);
}
