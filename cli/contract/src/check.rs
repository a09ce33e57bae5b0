//! Whether the ledger would take a module, and what it costs to ask it.

use crate::module::{Module, read_code};
use crate::show::{columns, fuel, grouped};
use crate::texts::euro;
use crate::{Answer, ContractError};
use hansa_contracts_abi::limits::IO_BYTES_MAX;
use hansa_contracts_abi::testing::ordinary_facts;
use hansa_contracts_abi::wire::settle_input;
use hansa_contracts_abi::{
    Admission, Claims, Evidence, Facts, Failure, ModuleRefusal, Outcome, Party, Quote, Runtime, Split,
    Trigger, Window, check_split,
};
use hansa_ledger::params::Params;
use hansa_ledger::row::{OrganisationClass, Purpose};
use serde::Serialize;
use std::path::Path;

/// A module that the ledger would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Always true: tells this from a [`RefusalReport`].
    pub accepted: bool,
    /// Name that it gives itself.
    pub name: String,
    /// Version that it gives itself.
    pub version: String,
    /// ABI it is written for.
    pub abi: u16,
    /// BLAKE3 of its bytes: its name on the ledger.
    pub code_hash: String,
    /// Size.
    pub bytes: u32,
    /// Functions.
    pub functions: u32,
    /// What is held for its bytes until it is archived, in euro, by the parameters that federations begin with.
    pub deposit: String,
    /// Pages of memory. Those above one cost fuel in every call.
    pub memory_pages: u32,
    /// Functions that the ledger calls.
    pub exports: Vec<&'static str>,
    /// The tariff in plain language.
    pub tariff: String,
    /// BLAKE3 of the tariff.
    pub tariff_hash: String,
    /// Most fuel of one call.
    pub fuel_limit: u64,
    /// Calls on the standard facts.
    pub calls: Vec<Metered>,
}

/// A call on the standard facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metered {
    /// Which.
    pub call: String,
    /// Fuel used.
    pub fuel: u64,
    /// The answer in a line.
    pub answer: String,
    /// Whether the contract broke, or gave an answer that the ledger would not pay. A refusal with a code is neither.
    pub failed: bool,
}

/// A module that the ledger would refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusalReport {
    /// Always false: tells this from a [`CheckReport`].
    pub accepted: bool,
    /// Number of the rule.
    pub rule: u16,
    /// Name of the rule.
    pub name: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// Byte of the module at which it is; 0 for the module as a whole.
    pub offset: u32,
}

impl From<ModuleRefusal> for RefusalReport {
    fn from(refusal: ModuleRefusal) -> Self {
        let rule = refusal.named();
        Self {
            accepted: false,
            rule: refusal.rule,
            name: rule.map_or_else(|| "unknown".to_owned(), |rule| rule.name().to_owned()),
            message: rule.map_or_else(|| refusal.to_string(), |rule| rule.message().to_owned()),
            offset: refusal.offset,
        }
    }
}

/// `hansa contract check`.
pub(crate) fn run(path: &Path, params: &[u8]) -> Result<Answer, ContractError> {
    match Module::open(&read_code(path)?) {
        Ok(module) => Ok(report(&module, params).answer()),
        Err(refusal) => {
            let report = RefusalReport::from(refusal);
            let text = columns(
                0,
                &[
                    ["refused".to_owned(), format!("rule {}, {}", report.rule, report.name)],
                    ["at byte".to_owned(), format!("{} (0x{:x})", grouped(report.offset), report.offset)],
                    ["because".to_owned(), report.message.clone()],
                ],
            );
            let refusal = ContractError::new(format!("the ledger would refuse the module: {refusal}"))
                .hint("docs/contracts.md explains every rule by its number");
            Ok(Answer { value: serde_json::json!(report), text, refusal: Some(refusal) })
        }
    }
}

fn report(module: &Module, params: &[u8]) -> CheckReport {
    CheckReport {
        accepted: true,
        name: module.meta.name.clone(),
        version: module.meta.version.clone(),
        abi: module.meta.abi,
        code_hash: hex::encode(module.hash),
        bytes: module.summary.bytes,
        functions: module.summary.functions,
        deposit: euro(u128::from(module.summary.bytes) * u128::from(Params::default().contract_deposit_byte)),
        memory_pages: module.summary.memory_pages,
        exports: module.exports(),
        tariff: module.meta.tariff.clone(),
        tariff_hash: hex::encode(module.summary.tariff_hash),
        fuel_limit: module.host.fuel_per_call_max(),
        calls: meter(module, params),
    }
}

/// Who asks in the standard facts.
const CLAIMS: Claims = Claims {
    home: *b"EE",
    class: OrganisationClass::StartUp as u8,
    sponsor: Some(*b"EE"),
    purpose: Some(Purpose::Innovation as u8),
};

/// Asks for a quote and whether a requester may have a lease, then settles the ordinary lease by every trigger, and the longest one that a contract can be told of.
fn meter(module: &Module, params: &[u8]) -> Vec<Metered> {
    let mut facts = ordinary_facts();
    let quote = module.host.quote(&module.hash, params, &facts.terms);
    let mut calls = vec![metered("quote", &quote, |quote| {
        format!("lock {} EUR, stake {} EUR", euro(quote.lock), euro(quote.stake))
    })];
    let Ok(Quote { lock, stake }) = quote.result else { return calls };
    if module.summary.has_admit {
        let admission = module.host.admit(&module.hash, params, &facts.terms, &CLAIMS);
        calls.push(metered("admit", &admission, |admission| match admission {
            Admission::Yes => "admits a start-up of EE, paid by a grant of EE for innovation".to_owned(),
            Admission::No(reason) => {
                format!("does not admit a start-up of EE with a grant, for its reason {reason}")
            }
        }));
    }
    facts.escrow.locked = lock;
    (facts.escrow.stake, facts.terms.slash_max) = (stake, stake);
    let triggers = [
        ("interim", Trigger::Interim),
        ("final", Trigger::Final),
        ("expired", Trigger::Expired),
        ("cancelled by the requester", Trigger::Cancelled { by: Party::REQUESTER }),
        ("cancelled by the provider", Trigger::Cancelled { by: Party::PROVIDER }),
        ("no-show", Trigger::NoShow),
        ("ruling of 50%", Trigger::Ruling { provider_bps: 5_000 }),
    ];
    for (name, trigger) in triggers {
        facts.ctx.trigger = trigger;
        calls.push(settled(module, params, &facts, name));
    }
    facts.ctx.trigger = Trigger::Final;
    lengthen(&mut facts, params);
    let name = format!("final, {} windows", facts.usage.windows.len());
    calls.push(settled(module, params, &facts, &name));
    calls
}

/// Gives a lease as many windows as fit beside the parameters into what a contract can be told.
fn lengthen(facts: &mut Facts, params: &[u8]) {
    let window =
        |index| Window { index, delivered: 7_200, committed: 7_200, up_secs: 900, source: Evidence::Both };
    facts.usage.windows.clear();
    let room = |facts: &Facts| {
        settle_input(params, facts).map_or(0, |input| IO_BYTES_MAX.saturating_sub(input.len()))
    };
    let empty = room(facts);
    facts.usage.windows.push(window(0));
    let each = empty.saturating_sub(room(facts)).max(1);
    let count = u32::try_from(empty / each).unwrap_or(u32::MAX).max(1);
    facts.usage.windows = (0..count).map(window).collect();
    facts.usage.cumulative = u128::from(count).saturating_mul(7_200);
    facts.ctx.now = facts.terms.end;
}

fn settled(module: &Module, params: &[u8], facts: &Facts, name: &str) -> Metered {
    let outcome = module.host.settle(&module.hash, params, facts);
    let call = format!("settle, {name}");
    let broken = outcome
        .result
        .as_ref()
        .ok()
        .and_then(|split| check_split(split, facts, &[], facts.escrow.locked).err());
    if let Some(error) = broken {
        let answer = format!("the ledger would not pay this: {error}");
        return Metered { call, fuel: outcome.fuel, answer, failed: true };
    }
    metered(&call, &outcome, |split: &Split| {
        let paid = split.pay.iter().fold(0u128, |sum, (_, amount)| sum.saturating_add(*amount));
        format!("pays {} EUR in all", euro(paid))
    })
}

fn metered<T>(call: &str, outcome: &Outcome<T>, say: impl Fn(&T) -> String) -> Metered {
    Metered {
        call: call.to_owned(),
        fuel: outcome.fuel,
        answer: match &outcome.result {
            Ok(answer) => say(answer),
            Err(failure) => failure.to_string(),
        },
        failed: matches!(outcome.result, Err(failure) if !matches!(failure, Failure::Refused(_))),
    }
}

impl CheckReport {
    fn answer(&self) -> Answer {
        let head = [
            ["contract".to_owned(), format!("{} {}, ABI {}", self.name, self.version, self.abi)],
            ["code hash".to_owned(), self.code_hash.clone()],
            ["size".to_owned(), format!("{} bytes, {} functions", grouped(self.bytes), self.functions)],
            [
                "memory".to_owned(),
                format!("{} page{}", self.memory_pages, if self.memory_pages == 1 { "" } else { "s" }),
            ],
            ["deposit".to_owned(), format!("{} EUR, which return when it is archived", self.deposit)],
            ["exports".to_owned(), self.exports.join(", ")],
            [
                "tariff".to_owned(),
                format!("{} characters, hash {}", self.tariff.chars().count(), self.tariff_hash),
            ],
        ];
        let calls: Vec<[String; 3]> = self
            .calls
            .iter()
            .map(|call| [call.call.clone(), fuel(call.fuel, self.fuel_limit), call.answer.clone()])
            .collect();
        let text = format!("{}\n\nfuel on the standard facts\n{}", columns(0, &head), columns(2, &calls));
        let failed = self.calls.iter().find(|call| call.failed);
        let refusal = failed.map(|call| {
            ContractError::new(format!(
                "the ledger would take the module, and it fails: {}: {}",
                call.call, call.answer
            ))
            .hint("a lease with it would be settled by its fallback; test the contract on these facts")
        });
        let refused = self.calls.first().filter(|call| self.calls.len() == 1 && !call.failed);
        let text = match refused {
            Some(_) => format!(
                "{text}\n\nthe contract refuses the standard terms; give the parameters it needs with `--params`"
            ),
            None => text,
        };
        Answer { value: serde_json::json!(self), text, refusal }
    }
}
