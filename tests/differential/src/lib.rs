//! Run contracts natively, in the ledger's engine and in another one, and compare.
//!
//! The ledger's engine is an interpreter, the other one a compiler by other people: what both answer, and the source natively, is
//! what the contract says. Outputs are compared; fuel is the interpreter's own.

mod engine;
mod generated;

pub use engine::Compiled;
pub use generated::{some_module, trial};

use borsh::BorshSerialize;
use hansa_contracts_abi::testing::{Numbers, some_claims};
use hansa_contracts_abi::{Native, Runtime};
use hansa_contracts_bundle::builtin;
use hansa_contracts_host::Host;
use hansa_contracts_trials::{Tried, some_case};

/// What became of the cases of one template or of generated modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases.
    pub cases: u64,
    /// Settlements that were answered.
    pub settled: u64,
    /// Quotes that were answered.
    pub quoted: u64,
    /// Requesters that were admitted.
    pub admitted: u64,
    /// Settlements that ended at a bound of the interpreter: fuel, or the depth of calls.
    pub bounded: u64,
    /// Settlements that trapped in both engines.
    pub trapped: u64,
    /// Modules that validation refused.
    pub refused: u64,
}

/// Holds `cases` cases of a template, from `seed` on, to the same answers three ways: settlement, quote and admission.
///
/// # Panics
/// Where two of them differ, with the seed.
#[must_use]
pub fn template<C: Tried>(seed: u64, cases: u64) -> Tally
where
    C::Params: BorshSerialize,
{
    let (_, module) = builtin().iter().find(|(name, _)| *name == C::NAME).expect("each template is built in");
    let host = Host::new();
    let code = host.load(module).expect("a built-in module is valid");
    let (native, compiled) = (Native::<C>::new(code), Compiled::new(module));
    let mut tally = Tally { cases, ..Tally::default() };
    for seed in seed..seed.saturating_add(cases) {
        let (params, facts) = some_case::<C>(seed);
        let settled = host.settle(&code, &params, &facts).result;
        let what = || format!("{} {seed}: {facts:?}", C::NAME);
        assert_eq!(settled, native.settle(&code, &params, &facts).result, "settle natively, {}", what());
        assert_eq!(settled, compiled.settle(&params, &facts), "settle compiled, {}", what());
        let quoted = host.quote(&code, &params, &facts.terms).result;
        assert_eq!(quoted, native.quote(&code, &params, &facts.terms).result, "quote natively, {}", what());
        assert_eq!(quoted, compiled.quote(&params, &facts.terms), "quote compiled, {}", what());
        let claims = some_claims(&mut Numbers::new(seed));
        let admitted = host.admit(&code, &params, &facts.terms, &claims).result;
        let ours = native.admit(&code, &params, &facts.terms, &claims).result;
        assert_eq!(admitted, ours, "admit natively, {}", what());
        if compiled.has_admit() {
            assert_eq!(admitted, compiled.admit(&params, &facts.terms, &claims), "admit compiled, {}", what());
        }
        tally.settled += u64::from(settled.is_ok());
        tally.quoted += u64::from(quoted.is_ok());
        tally.admitted += u64::from(admitted == Ok(hansa_contracts_abi::Admission::Yes));
    }
    tally
}
