//! The module of a template answers what the same source answers natively.

use borsh::BorshSerialize;
use hansa_contracts_abi::testing::{Numbers, some_claims};
use hansa_contracts_abi::{Code, Evidence, Facts, Failure, Native, Reading, Runtime, Trigger, Window};
use hansa_contracts_bundle::builtin;
use hansa_contracts_coinvest::Coinvest;
use hansa_contracts_dispute::DisputedReserve;
use hansa_contracts_grant::Grant;
use hansa_contracts_host::Host;
use hansa_contracts_reserved::Reserved;
use hansa_contracts_spot::Spot;
use hansa_contracts_trials::{Life, Tried, cases, some_case};

fn host_of<C: Tried>() -> (Host, [u8; 32], Native<C>) {
    let (_, module) = builtin().iter().find(|(name, _)| *name == C::NAME).unwrap();
    let host = Host::new();
    let hash = host.load(module).unwrap();
    (host, hash, Native::new(hash))
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

/// Four bytes that claim a list of four thousand million, wherever in the parameters: a module has no room for what is only
/// claimed, and refuses as its source does, whatever it is asked.
#[test]
fn modules_refuse_parameters_that_claim_more_than_they_hold() {
    fn check<C: Tried>() -> usize
    where
        C::Params: BorshSerialize,
    {
        let (host, hash, native) = host_of::<C>();
        let mut refused = 0;
        for seed in 0..8 {
            let life = Life::<C>::some(seed);
            let (params, facts) = (borsh::to_vec(&life.params).unwrap(), life.award);
            let claims = some_claims(&mut Numbers::new(seed));
            for place in 0..params.len().saturating_sub(3) {
                let mut params = params.clone();
                params[place..place + 4].copy_from_slice(&[0xff; 4]);
                let quote = host.quote(&hash, &params, &facts.terms).result;
                assert_eq!(quote, native.quote(&hash, &params, &facts.terms).result, "{} {place}", C::NAME);
                let split = host.settle(&hash, &params, &facts).result;
                assert_eq!(split, native.settle(&hash, &params, &facts).result, "{} {place}", C::NAME);
                let admitted = host.admit(&hash, &params, &facts.terms, &claims).result;
                let want = native.admit(&hash, &params, &facts.terms, &claims).result;
                assert_eq!(admitted, want, "{} {place}", C::NAME);
                refused += usize::from(quote == Err(Failure::Refused(Code::BAD_PARAMS)));
            }
        }
        refused
    }
    check::<Spot>();
    check::<Reserved>();
    check::<Coinvest>();
    check::<DisputedReserve>();
    // Only this one has lists of bytes: two in each.
    assert!(check::<Grant>() >= 16);
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
