//! The module of a template answers what the same source answers natively.

use borsh::BorshSerialize;
use hansa_contracts_abi::testing::{Numbers, some_bytes, some_claims, some_facts};
use hansa_contracts_abi::{Evidence, Facts, Failure, Native, Reading, Runtime, Trigger, Window};
use hansa_contracts_bundle::builtin;
use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_host::Host;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_contracts_trials::{Ledger, Life, Tried, cases};

fn host_of<C: Tried>() -> (Host, [u8; 32], Native<C>) {
    let (_, module) = builtin().iter().find(|(name, _)| *name == C::NAME).unwrap();
    let host = Host::new();
    let hash = host.load(module).unwrap();
    (host, hash, Native::new(hash))
}

/// Facts as a ledger could hand out, and now and then from the far end of a type; a tariff that fits them, or does not.
fn some_case<C: Tried>(seed: u64) -> (Vec<u8>, Facts) {
    let numbers = &mut Numbers::new(seed);
    if numbers.once_in(2) {
        let life = Life::<C>::some(seed);
        let mut ledger = Ledger::new(&life.award, u128::MAX);
        life.steps.iter().for_each(|step| ledger.advance(step));
        ledger.facts.ctx.trigger = if numbers.once_in(3) { Trigger::Interim } else { life.end };
        return (borsh::to_vec(&life.params).unwrap(), ledger.facts);
    }
    let mut facts = some_facts(numbers);
    let mut params = borsh::to_vec(&C::some_params(numbers, &mut facts.terms)).unwrap();
    match numbers.below(32) {
        0 => params = some_bytes(numbers, 64),
        1 => params.truncate(numbers.below(params.len() as u64) as usize),
        2 => params.push(0),
        _ => {}
    }
    (params, facts)
}

fn check<C: Tried>()
where
    C::Params: BorshSerialize,
{
    let (host, hash, native) = host_of::<C>();
    let (mut settled, mut quoted) = (0, 0);
    for seed in 0..cases(2_000) {
        let (params, facts) = some_case::<C>(seed);
        let (wasm, ours) = (host.settle(&hash, &params, &facts), native.settle(&hash, &params, &facts));
        assert_eq!(wasm.result, ours.result, "{} {seed}: settle of {facts:?}", C::NAME);
        settled += u64::from(ours.result.is_ok());
        let (wasm, ours) =
            (host.quote(&hash, &params, &facts.terms), native.quote(&hash, &params, &facts.terms));
        assert_eq!(wasm.result, ours.result, "{} {seed}: quote of {:?}", C::NAME, facts.terms);
        quoted += u64::from(ours.result.is_ok());
        let claims = some_claims(&mut Numbers::new(seed));
        let wasm = host.admit(&hash, &params, &facts.terms, &claims);
        let ours = native.admit(&hash, &params, &facts.terms, &claims);
        assert_eq!(wasm.result, ours.result, "{} {seed}: admit of {claims:?}", C::NAME);
    }
    // Else the two would only agree on refusals.
    assert!(settled > cases(2_000) / 2 && quoted > cases(2_000) / 2, "{}: {settled}, {quoted}", C::NAME);
}

#[test]
fn modules_answer_as_their_source() {
    check::<Spot>();
    check::<Reserved>();
    check::<Grant>();
    check::<Coinvest>();
    check::<DisputedReserve>();
}

/// A lease in its everyday form with this many windows, and a reading in each.
fn with_windows(facts: &Facts, count: u32) -> Facts {
    let mut facts = facts.clone();
    let source = |index| if index % 2 == 0 { Evidence::Both } else { Evidence::ProviderOnly };
    facts.usage.windows = (0..count)
        .map(|index| Window { index, delivered: 1, committed: 1, up_secs: 1, source: source(index) })
        .collect();
    facts.usage.readings = (0..count).map(|index| Reading { index, value: index }).collect();
    facts.usage.cumulative = count.into();
    facts.ctx.trigger = Trigger::Ruling { provider_bps: 5_000 };
    facts
}

/// Where each second window is contested, which costs `reserved` most: it judges each, and `dispute` does so twice, with
/// the facts in memory twice. A ledger that lists up to 140 windows is answered by all.
#[test]
fn modules_take_as_many_windows_as_a_ledger_lists() {
    fn check<C: Tried>(most: u32) {
        let (host, hash, native) = host_of::<C>();
        let life = Life::<C>::some(1);
        let params = borsh::to_vec(&life.params).unwrap();
        let answers = |count| {
            let facts = with_windows(&life.award, count);
            let result = host.settle(&hash, &params, &facts).result;
            // The engine's bounds are not the source's.
            if !matches!(result, Err(Failure::Trap | Failure::OutOfFuel)) {
                assert_eq!(result, native.settle(&hash, &params, &facts).result, "{} {count}", C::NAME);
            }
            result.is_ok()
        };
        let held = (0..800).step_by(10).take_while(|count| answers(*count)).last().unwrap();
        assert!(held >= most, "{} takes {held} windows", C::NAME);
    }
    check::<Spot>(300);
    check::<Reserved>(200);
    check::<Grant>(300);
    check::<Coinvest>(300);
    check::<DisputedReserve>(140);
}
