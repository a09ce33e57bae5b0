//! Generated modules, held to the same end in both engines.

use crate::compiled::{Compiled, with_stack};
use crate::ended::{Bound, Ended};
use crate::generated::some_module;
use crate::unbound::{Run, Unbound};
use borsh::BorshDeserialize;
use hansa_contracts_abi::testing::{Numbers, some_facts};
use hansa_contracts_abi::wire::{EXPORT_QUOTE, EXPORT_SETTLE, quote_input, settle_input};
use hansa_contracts_abi::{Failure, Outcome, Quote, Runtime, Split};
use hansa_contracts_host::Host;
use std::fmt;

/// The dearest operator costs 200 of fuel in the host, and a call has two million of it: what ran fewer operators, with a tenth
/// left for what is charged beside them, cannot have run out.
const OPERATORS_MIN_OUT_OF_FUEL: u64 = 9_000;

/// What became of generated modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// Seeds tried.
    pub generated: u64,
    /// Modules that validation refused, or the generator did not make.
    pub refused: u64,
    /// Modules that the ledger would take, each run in every engine.
    pub accepted: u64,
    /// Calls of them.
    pub calls: u64,
    /// Calls that returned the same and left the same memory everywhere.
    pub answered: u64,
    /// Calls that trapped everywhere, and left the same memory.
    pub trapped: u64,
    /// Calls that every engine stopped for its work or its depth: they have no end, or none for a long while.
    pub endless: u64,
    /// Calls that the host ended for their fuel, and the engines without its limits ended alike.
    pub excused_fuel: u64,
    /// Calls that the host ended for their depth, and the engines without its limits ended alike.
    pub excused_depth: u64,
    /// Calls that one of the engines without the host's limits stopped for its depth or work, and the other not.
    pub undecided: u64,
    /// What differed, with the seed.
    pub differences: Vec<String>,
}

impl fmt::Display for Modules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "modules: {} generated, {} refused, {} accepted and run in each engine; {} calls: {} answered alike, {} trapped alike, \
             {} \
             without an end; excused: {} ended by the ledger's fuel, {} by its depth, {} undecided; \
             {} differences",
            self.generated,
            self.refused,
            self.accepted,
            self.calls,
            self.answered,
            self.trapped,
            self.endless,
            self.excused_fuel,
            self.excused_depth,
            self.undecided,
            self.differences.len()
        )
    }
}

/// Runs `cases` generated modules in the host, in its engine without the host's limits, and in the other engine, from `seed` on.
#[must_use]
pub fn modules(seed: u64, cases: u64) -> Modules {
    with_stack(|| {
        let mut found = Modules::default();
        for seed in seed..seed.saturating_add(cases) {
            found.generated += 1;
            if let Err(difference) = found.take(seed) {
                found.differences.push(format!("module {seed}: {difference}"));
            }
        }
        found
    })
}

impl Modules {
    fn take(&mut self, seed: u64) -> Result<(), String> {
        let host = Host::new();
        let loaded = some_module(seed).and_then(|code| host.load(&code).ok().map(|hash| (code, hash)));
        let Some((code, hash)) = loaded else {
            self.refused += 1;
            return Ok(());
        };
        self.accepted += 1;
        let engines = Engines { compiled: Compiled::new(&code)?, unbound: Unbound::new(&code)?, code };
        for call in 0..3u8 {
            let facts = some_facts(&mut Numbers::new(seed ^ u64::from(call) << 32));
            let params = [call; 8];
            let settled = host.settle(&hash, &params, &facts);
            again("settle", &settled, &host.settle(&hash, &params, &facts))?;
            let input = settle_input(&params, &facts).ok_or("the input is too large")?;
            let end = engines.compare::<Split>(EXPORT_SETTLE, &input, &settled);
            self.count(end.map_err(|reason| format!("settle {call}: {reason}"))?);
            if call > 0 {
                continue;
            }
            let quoted = host.quote(&hash, &params, &facts.terms);
            again("quote", &quoted, &Host::quote(&host, &hash, &params, &facts.terms))?;
            let input = quote_input(&params, &facts.terms).ok_or("the input is too large")?;
            let end = engines.compare::<Quote>(EXPORT_QUOTE, &input, &quoted);
            self.count(end.map_err(|reason| format!("quote: {reason}"))?);
        }
        Ok(())
    }

    fn count(&mut self, end: End) {
        self.calls += 1;
        *match end {
            End::Answered => &mut self.answered,
            End::Trapped => &mut self.trapped,
            End::Endless => &mut self.endless,
            End::Excused(Bound::Fuel) => &mut self.excused_fuel,
            End::Excused(Bound::Depth) => &mut self.excused_depth,
            End::Undecided => &mut self.undecided,
        } += 1;
    }
}

/// Answer and fuel of a call that is made again are the same.
fn again<T: PartialEq + fmt::Debug>(
    what: &str,
    first: &Outcome<T>,
    second: &Outcome<T>,
) -> Result<(), String> {
    if first == second { Ok(()) } else { Err(format!("{what}: {first:?}, and then {second:?}")) }
}

/// How a call ended in all engines.
enum End {
    Answered,
    Trapped,
    Endless,
    Excused(Bound),
    Undecided,
}

/// One module in the engines that do not bound it as the host does.
struct Engines {
    code: Vec<u8>,
    compiled: Compiled,
    unbound: Unbound,
}

impl Engines {
    /// Holds the host's outcome, and the two engines without its limits, to the same. A host that ended a call for its fuel or depth
    /// is excused, if this is what the call would have met; the engines beside it are never excused from each other, except where
    /// one of them met its own, far wider bound.
    fn compare<T>(&self, function: &str, input: &[u8], host: &Outcome<T>) -> Result<End, String>
    where
        T: BorshDeserialize + PartialEq + fmt::Debug,
    {
        let Run { ended, operators } = self.unbound.call(function, input)?;
        let compiled = self.compiled.call(function, input)?;
        let decided = match (&ended, &compiled) {
            (one, other) if one == other => true,
            (Ended::Stopped(_), Ended::Stopped(_)) => true,
            (Ended::Stopped(_), _) | (_, Ended::Stopped(_)) => false,
            (one, other) => return Err(format!("interpreted, it {one:?}; compiled, it {other:?}")),
        };
        let excused = |bound| match ended {
            Ended::Stopped(_) => End::Endless,
            _ => End::Excused(bound),
        };
        let end = match (&host.result, ended.answer::<T>()) {
            (Err(Failure::OutOfFuel), _) if operators < OPERATORS_MIN_OUT_OF_FUEL => {
                return Err(format!("the host ran out of fuel after {operators} operators"));
            }
            (Err(Failure::OutOfFuel), _) => excused(Bound::Fuel),
            (Err(Failure::Trap), _) if !matches!(ended, Ended::Trapped { .. }) => {
                let bound = Unbound::as_deep_as_the_host(&self.code)?.call(function, input)?.ended;
                if bound != Ended::Stopped(Bound::Depth) {
                    return Err(format!("the host trapped, and not for its depth: {ended:?}, {bound:?}"));
                }
                excused(Bound::Depth)
            }
            (one, other) if *one == other => {
                if matches!(ended, Ended::Trapped { .. }) {
                    End::Trapped
                } else {
                    End::Answered
                }
            }
            (one, other) => return Err(format!("the host said {one:?}, and without limits it is {other:?}")),
        };
        Ok(if decided { end } else { End::Undecided })
    }
}
