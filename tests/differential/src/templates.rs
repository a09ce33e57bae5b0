//! The built-in contracts, held to the same answers natively and in both engines.

use crate::compiled::{Compiled, with_stack};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::testing::{Numbers, some_claims};
use hansa_contracts_abi::wire::{
    EXPORT_ADMIT, EXPORT_QUOTE, EXPORT_SETTLE, admit_input, quote_input, settle_input,
};
use hansa_contracts_abi::{Admission, Failure, Native, Quote, Runtime, Split};
use hansa_contracts_bundle::builtin;
use hansa_contracts_host::Host;
use hansa_contracts_trials::{Tried, some_case};
use std::fmt;

/// What became of the facts that a template was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// Facts.
    pub facts: u64,
    /// Settlements that were answered; the others were refused.
    pub settled: u64,
    /// Quotes that were answered.
    pub quoted: u64,
    /// Requesters that were admitted.
    pub admitted: u64,
    /// What differed, with the seed.
    pub differences: Vec<String>,
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {} facts, {} settled, {} quoted, {} admitted; {} differences",
            self.name,
            self.facts,
            self.settled,
            self.quoted,
            self.admitted,
            self.differences.len()
        )
    }
}

/// Tells a template `cases` facts, from `seed` on, natively and in both engines: settlement, quote and admission.
///
/// # Panics
/// If the template is not built in, or not taken by an engine.
#[must_use]
pub fn template<C: Tried>(seed: u64, cases: u64) -> Template
where
    C::Params: BorshSerialize,
{
    with_stack(|| run::<C>(seed, cases))
}

fn run<C: Tried>(seed: u64, cases: u64) -> Template
where
    C::Params: BorshSerialize,
{
    let (_, module) = builtin().iter().find(|(name, _)| *name == C::NAME).expect("each template is built in");
    let host = Host::new();
    let code = host.load(module).expect("a built-in module is valid");
    let native = Native::<C>::new(code);
    let compiled = Compiled::new(module).expect("a built-in module is valid everywhere");
    let mut found = Template { name: C::NAME, ..Template::default() };
    for seed in seed..seed.saturating_add(cases) {
        let (params, facts) = some_case::<C>(seed);
        let claims = some_claims(&mut Numbers::new(seed));
        let settled = [
            host.settle(&code, &params, &facts).result,
            native.settle(&code, &params, &facts).result,
            answer::<Split>(&compiled, EXPORT_SETTLE, settle_input(&params, &facts)),
        ];
        let quoted = [
            host.quote(&code, &params, &facts.terms).result,
            native.quote(&code, &params, &facts.terms).result,
            answer::<Quote>(&compiled, EXPORT_QUOTE, quote_input(&params, &facts.terms)),
        ];
        let admitted = [
            host.admit(&code, &params, &facts.terms, &claims).result,
            native.admit(&code, &params, &facts.terms, &claims).result,
            match compiled.has_admit() {
                true => answer(&compiled, EXPORT_ADMIT, admit_input(&params, &facts.terms, &claims)),
                false => Ok(Admission::Yes),
            },
        ];
        found.facts += 1;
        found.settled += u64::from(settled[0].is_ok());
        found.quoted += u64::from(quoted[0].is_ok());
        found.admitted += u64::from(admitted[0] == Ok(Admission::Yes));
        found.hold(seed, "settle", &settled);
        found.hold(seed, "quote", &quoted);
        found.hold(seed, "admit", &admitted);
    }
    found
}

impl Template {
    fn hold<T: PartialEq + fmt::Debug>(&mut self, seed: u64, what: &str, answers: &[Result<T, Failure>; 3]) {
        let [host, native, compiled] = answers;
        if host != native || host != compiled {
            self.differences.push(format!(
                "{} {seed}: {what}: the host {host:?}, natively {native:?}, compiled {compiled:?}",
                self.name
            ));
        }
    }
}

fn answer<T: BorshDeserialize>(
    compiled: &Compiled,
    function: &str,
    input: Option<Vec<u8>>,
) -> Result<T, Failure> {
    let input = input.ok_or(Failure::InputTooLarge)?;
    compiled.call(function, &input).map_err(|_| Failure::BadModule)?.answer()
}
