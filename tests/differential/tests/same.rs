//! Contracts answer the same three ways; modules that nobody wrote answer the same in both engines.

use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_tests_differential::{Tally, template, trial};

const CASES: u64 = 300;

fn check(name: &str, tally: Tally) {
    // Else they would only agree on refusals.
    assert!(tally.settled > CASES / 2 && tally.quoted > CASES / 2, "{name}: {tally:?}");
}

#[test]
fn templates_answer_the_same_natively_interpreted_and_compiled() {
    check("spot", template::<Spot>(0, CASES));
    check("reserved", template::<Reserved>(0, CASES));
    check("grant", template::<Grant>(0, CASES));
    check("coinvest", template::<Coinvest>(0, CASES));
    check("dispute", template::<DisputedReserve>(0, CASES));
}

#[test]
fn generated_modules_answer_the_same_interpreted_and_compiled() {
    let tally = trial(0, CASES);
    assert!(tally.refused < CASES / 2, "most are of the profile: {tally:?}");
    assert!(tally.settled > CASES / 2 && tally.trapped > 0, "{tally:?}");
}
