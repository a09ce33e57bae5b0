//! Running settlements again, from nothing but a bundle.

use crate::module::Module;
use crate::show::columns;
use crate::texts::{euro, moment_text};
use crate::{Answer, ContractError, ReplayBundle, ReplayStep};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::{Facts, Failure, Money, Party, Runtime, Split, check_split, fallback_split};
use hansa_contracts_host::vm_profile;
use serde::Serialize;

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The settlement, counted from 1; 0 for the bundle as a whole.
    pub settlement: usize,
    /// What was compared.
    pub check: String,
    /// Whether it is the same here.
    pub agrees: bool,
    /// What is the same, or how it differs.
    pub detail: String,
}

/// What came of running a lease's settlements again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// The lease.
    pub lease: String,
    /// Whether everything is the same here, bit for bit.
    pub agrees: bool,
    /// Each thing that was compared, in order.
    pub findings: Vec<Finding>,
}

/// What a lease remembers from one settlement to the next.
#[derive(Default)]
struct Before {
    paid: Vec<(Party, Money)>,
    state: Vec<u8>,
    height: u64,
    closed: bool,
}

struct Comparison {
    settlement: usize,
    findings: Vec<Finding>,
}

impl Comparison {
    fn hold(&mut self, check: &str, agrees: bool, detail: impl Into<String>) -> bool {
        let (settlement, detail) = (self.settlement, detail.into());
        self.findings.push(Finding { settlement, check: check.to_owned(), agrees, detail });
        agrees
    }

    /// Compares what was recorded with what is here.
    fn same<T: PartialEq>(
        &mut self,
        check: &str,
        recorded: &T,
        here: &T,
        show: impl Fn(&T) -> String,
    ) -> bool {
        let agrees = recorded == here;
        let detail = match agrees {
            true => show(here),
            false => format!("recorded {}, here {}", show(recorded), show(here)),
        };
        self.hold(check, agrees, detail)
    }
}

impl ReplayBundle {
    /// Runs every settlement again and compares: code, engine, outcome, fuel, split, and that each settlement goes on where the
    /// one before ended.
    #[must_use]
    pub fn replay(&self) -> ReplayReport {
        let mut comparison = Comparison { settlement: 0, findings: Vec::new() };
        let hash = *blake3::hash(&self.code).as_bytes();
        let coded = comparison.same("code", &self.contract.0, &hash, |hash| hex::encode(hash));
        comparison.same("engine", &self.vm_profile, &vm_profile().to_vec(), |profile| {
            format!("rules {}", hex::encode(profile))
        });
        match Module::open(&self.code) {
            Ok(module) if coded => {
                comparison.hold("module", true, module.title());
                let mut before = Before::default();
                for (number, step) in (1..).zip(&self.settlements) {
                    comparison.settlement = number;
                    self.step(&module, step, &mut before, &mut comparison);
                }
            }
            Ok(_) => {}
            Err(refusal) => {
                comparison.hold("module", false, refusal.to_string());
            }
        }
        let findings = comparison.findings;
        ReplayReport {
            lease: self.lease.to_string(),
            agrees: findings.iter().all(|one| one.agrees),
            findings,
        }
    }

    fn step(&self, module: &Module, step: &ReplayStep, before: &mut Before, comparison: &mut Comparison) {
        let Some(call) = Call::read(step) else {
            comparison.hold("record", false, "the facts, the split or the failure cannot be read");
            return;
        };
        continues(&call.facts, step, before, comparison);
        self.outcome(module, &call, before, comparison);
        before.height = step.height;
        before.closed = call.facts.ctx.trigger.closes();
        // Where nothing was paid, the next settlement goes on from the one before.
        if let Some(split) = call.split {
            before.paid = split.pay;
            before.state = split.state;
        }
    }

    /// Asks the contract again, and compares what it gives with what was recorded.
    fn outcome(&self, module: &Module, call: &Call, before: &Before, comparison: &mut Comparison) {
        let facts = &call.facts;
        let given = match call.failure.filter(|failure| not_asked(*failure, call.fuel)) {
            Some(failure) => {
                comparison.hold("outcome", true, format!("the ledger did not ask the contract: {failure}"));
                Err(failure)
            }
            None => {
                let outcome = module.host.settle(&module.hash, &self.params, facts);
                let given = outcome.result.and_then(|split| {
                    check_split(&split, facts, &before.paid, facts.escrow.locked)
                        .map(|_| split)
                        .map_err(Failure::from)
                });
                comparison.same("outcome", &call.failure, &given.as_ref().err().copied(), |failure| {
                    match failure {
                        None => "the contract's own answer".to_owned(),
                        Some(failure) => format!("no answer that counts: {failure}"),
                    }
                });
                comparison.same("fuel", &call.fuel, &outcome.fuel, ToString::to_string);
                given
            }
        };
        let expected = match given {
            Ok(split) => Some(split),
            Err(_) if facts.ctx.trigger.closes() => {
                Some(fallback_split(hansa_ledger::lease::fallback(self.fallback), facts, &before.paid))
            }
            Err(_) => None,
        };
        comparison.same("split", &call.split, &expected, |split| {
            split.as_ref().map_or_else(|| "nothing is paid".to_owned(), shown)
        });
        let Some(recorded) = &call.split else { return };
        let checked = check_split(recorded, facts, &before.paid, facts.escrow.locked);
        let detail = match &checked {
            Ok(_) => format!("it keeps every rule, of {} EUR locked", euro(facts.escrow.locked)),
            Err(error) => format!("the recorded split breaks a rule: {error}"),
        };
        comparison.hold("rules", checked.is_ok(), detail);
    }
}

/// A settlement as it was recorded, read.
struct Call {
    facts: Facts,
    split: Option<Split>,
    failure: Option<Failure>,
    fuel: u64,
}

impl Call {
    fn read(step: &ReplayStep) -> Option<Self> {
        let split = match &step.split {
            None => None,
            Some(bytes) => Some(decode::<Split>(bytes)?),
        };
        let failure = match &step.failure {
            None => None,
            Some(bytes) => Some(decode::<Failure>(bytes)?),
        };
        Some(Self { facts: decode(&step.facts)?, split, failure, fuel: step.fuel })
    }
}

/// Whether a settlement goes on where the one before ended.
fn continues(facts: &Facts, step: &ReplayStep, before: &Before, comparison: &mut Comparison) {
    let at = format!("block {} at {}", step.height, moment_text(facts.ctx.now));
    let moment = facts.ctx.height == step.height && step.height >= before.height && !before.closed;
    let told = facts.ctx.height;
    let detail = match moment {
        true => format!("{} in {at}", trigger(facts)),
        false if before.closed => format!("{at}, and the lease was closed before"),
        false => format!("{at}, and the contract was told height {told} after height {}", before.height),
    };
    comparison.hold("moment", moment, detail);
    let paid = before.paid.iter().fold(0u128, |sum, (_, amount)| sum.saturating_add(*amount));
    comparison.same("paid before", &facts.escrow.paid, &paid, |amount| format!("{} EUR", euro(*amount)));
    comparison.same("state", &facts.state, &before.state, |state| format!("{} bytes", state.len()));
}

fn trigger(facts: &Facts) -> String {
    let text = format!("{:?}", facts.ctx.trigger).to_lowercase();
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// Whether a failure is the ledger's own decision, before any call: then there is nothing to ask again.
fn not_asked(failure: Failure, fuel: u64) -> bool {
    fuel == 0
        && matches!(
            failure,
            Failure::Quarantined | Failure::Unknown | Failure::BadModule | Failure::OutOfFuel
        )
}

fn shown(split: &Split) -> String {
    let pay: Vec<String> =
        split.pay.iter().map(|(party, amount)| format!("party {} {} EUR", party.0, euro(*amount))).collect();
    let pay = if pay.is_empty() { "nobody".to_owned() } else { pay.join(", ") };
    format!("{pay}, hash {}", short(split))
}

/// The first bytes of a value's hash: enough to see that two differ where their figures do not.
fn short(value: &impl BorshSerialize) -> String {
    let bytes = borsh::to_vec(value).expect("encoding into memory cannot fail");
    hex::encode(blake3::hash(&bytes).as_bytes().get(..8).unwrap_or_default())
}

/// A value, if these are its bytes and no others.
fn decode<T: BorshDeserialize + BorshSerialize>(bytes: &[u8]) -> Option<T> {
    let value = T::try_from_slice(bytes).ok()?;
    (borsh::to_vec(&value).ok()? == bytes).then_some(value)
}

impl ReplayReport {
    /// The report for programs and for people, and the refusal where something differs.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let row = |finding: &Finding| {
            let place = match finding.settlement {
                0 => "bundle".to_owned(),
                number => number.to_string(),
            };
            let verdict = if finding.agrees { "agrees" } else { "DIFFERS" };
            [place, finding.check.clone(), verdict.to_owned(), finding.detail.clone()]
        };
        let rows: Vec<[String; 4]> = self.findings.iter().map(row).collect();
        let differing: Vec<&str> =
            self.findings.iter().filter(|one| !one.agrees).map(|one| one.check.as_str()).collect();
        let refusal = (!self.agrees).then(|| {
            ContractError::new(format!(
                "the lease does not settle here as it was recorded: {}",
                differing.join(", ")
            ))
            .hint("compare the bundle with another member's; if they are equal, tell your governance office")
        });
        let text = format!("lease {}\n{}", self.lease, columns(0, &rows));
        Answer { value: serde_json::json!(self), text, refusal }
    }
}
