//! A lease from its quote to its last settlement, as the ledger would carry it.

use crate::module::Module;
use crate::show::{columns, fuel, grouped};
use crate::terms::{FallbackWord, TermsFile, party_name};
use crate::texts::{euro, moment_text};
use crate::usage::{Step, TriggerWord, UsageFile};
use crate::{Answer, ContractError};
use hansa_contracts_abi::{
    ABI_VERSION, Admission, CheckedSplit, Claims, Ctx, Escrow, Facts, Failure, Fallback, Money, Party, Quote,
    Runtime, Terms, Usage, check_split, fallback_split, math,
};
use serde::Serialize;

/// What a contract asks for before a lease is made. Money in euro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuoteReport {
    /// Locked from the requester.
    pub lock: String,
    /// Held from the provider.
    pub stake: String,
    /// Fuel used.
    pub fuel: u64,
    /// Most fuel of one call.
    pub fuel_limit: u64,
    /// Fuel that it took to admit the requester, where the terms say who asks.
    pub admit_fuel: Option<u64>,
    /// What the capacity is worth at the price. A contract that asks for more gets no lease.
    pub worth: String,
    /// Whether the ledger would award a lease for this lock.
    pub awarded: bool,
}

/// A payment to a party. Money in euro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentReport {
    /// Position of the party.
    pub party: u8,
    /// What it is.
    pub role: String,
    /// Paid since the start.
    pub paid: String,
    /// Paid now.
    pub now: String,
}

/// What a contract put on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoteReport {
    /// Its meaning, defined by the contract.
    pub code: u16,
    /// Detail, in hexadecimal.
    pub bytes: String,
}

/// One settlement. Money in euro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// When.
    pub at: String,
    /// Why.
    pub trigger: TriggerWord,
    /// Windows that the contract was told of.
    pub windows: usize,
    /// Accelerator-seconds delivered since the start.
    pub used: u128,
    /// Who gets how much.
    pub payments: Vec<PaymentReport>,
    /// Back to the requester now.
    pub refund: String,
    /// Still locked.
    pub held: String,
    /// Taken from the stake, for the requester.
    pub slash: String,
    /// Taken from the allowance.
    pub consume: u128,
    /// On record.
    pub notes: Vec<NoteReport>,
    /// What the contract is told the next time, in hexadecimal.
    pub state: String,
    /// Fuel used.
    pub fuel: u64,
    /// Why the contract's answer does not count, if it does not.
    pub failure: Option<String>,
    /// The fallback that decided, if it did.
    pub fallback: Option<FallbackWord>,
}

/// A lease from its quote to its last step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// Name, version, size and hash of the contract.
    pub contract: String,
    /// What it asked for.
    pub quote: QuoteReport,
    /// What was locked.
    pub locked: String,
    /// What happened.
    pub steps: Vec<StepReport>,
    /// Whether the last step closed the lease.
    pub closed: bool,
}

/// Asks a module for its quote. The terms that come back are those the lease would have: with the stake held.
///
/// # Errors
/// When the ledger would refuse the module, or the contract refuses the terms.
pub fn quote(code: &[u8], params: &[u8], terms: &TermsFile) -> Result<QuoteReport, ContractError> {
    let module = Module::open(code).map_err(|refusal| ContractError::new(refusal.to_string()))?;
    ask(&module, params, terms).map(|(report, _, _)| report)
}

/// Runs a lease through a module.
///
/// # Errors
/// When the ledger would refuse the module, the contract refuses the terms, or the usage makes no sense for them.
pub fn simulate(
    code: &[u8],
    params: &[u8],
    terms: &TermsFile,
    usage: &UsageFile,
) -> Result<Simulation, ContractError> {
    let module = Module::open(code).map_err(|refusal| ContractError::new(refusal.to_string()))?;
    carry(&module, params, terms, usage)
}

pub(crate) fn ask(
    module: &Module,
    params: &[u8],
    file: &TermsFile,
) -> Result<(QuoteReport, Quote, Terms), ContractError> {
    let given = file.stake.map_or(0, |stake| stake.0);
    let terms = file.terms(given);
    let outcome = module.host.quote(&module.hash, params, &terms);
    let quote = outcome.result.map_err(|failure| refused(&failure, outcome.fuel))?;
    let admit_fuel = file.claims().map(|claims| admit(module, params, &terms, &claims)).transpose()?;
    // The award takes what the contract asks for out of the provider's cash, and that is what the lease's terms say then.
    let terms = if file.stake.is_none() { file.terms(quote.stake) } else { terms };
    let worth = math::lock(terms.capacity_total(), terms.price).unwrap_or(Money::MAX);
    let report = QuoteReport {
        lock: euro(quote.lock),
        stake: euro(quote.stake),
        fuel: outcome.fuel,
        fuel_limit: module.host.fuel_per_call_max(),
        admit_fuel,
        worth: euro(worth),
        awarded: quote.lock <= worth && u64::try_from(quote.lock).is_ok(),
    };
    Ok((report, quote, terms))
}

/// Asks whether the requester may have a lease, and tells the fuel that this took.
fn admit(module: &Module, params: &[u8], terms: &Terms, claims: &Claims) -> Result<u64, ContractError> {
    let outcome = module.host.admit(&module.hash, params, terms, claims);
    match outcome.result {
        Ok(Admission::Yes) => Ok(outcome.fuel),
        Ok(Admission::No(reason)) => Err(ContractError::new(format!(
            "no lease would be made: the contract does not admit the requester, for its reason {reason}"
        ))
        .hint("change the claims or the parameters; what a reason means is the contract's to say")),
        Err(failure) => Err(refused(&failure, outcome.fuel)),
    }
}

fn refused(failure: &Failure, fuel: u64) -> ContractError {
    let error = ContractError::new(format!("no lease would be made: {failure} ({} fuel)", grouped(fuel)));
    match failure {
        Failure::Refused(_) => {
            error.hint("change the terms or the parameters; what a code means stands in docs/contracts.md")
        }
        _ => error.hint("a contract must give a quote for all terms that it does not refuse"),
    }
}

/// What a lease remembers from one settlement to the next.
struct Book<'a> {
    module: &'a Module,
    params: &'a [u8],
    fallback: FallbackWord,
    terms: Terms,
    locked: Money,
    stake: Money,
    quota: Option<u128>,
    paid: Vec<(Party, Money)>,
    state: Vec<u8>,
}

pub(crate) fn carry(
    module: &Module,
    params: &[u8],
    file: &TermsFile,
    usage: &UsageFile,
) -> Result<Simulation, ContractError> {
    let steps =
        usage.expand(file).map_err(|(field, problem)| ContractError::field("usage", field, problem))?;
    let (quote, asked, terms) = ask(module, params, file)?;
    let mut book = Book {
        module,
        params,
        fallback: file.fallback,
        locked: file.locked.map_or(asked.lock, |locked| locked.0),
        stake: terms.slash_max,
        quota: file.quota.map(|quota| u128::from(quota.0)),
        terms,
        paid: Vec::new(),
        state: Vec::new(),
    };
    let reports: Vec<StepReport> =
        (1..).zip(&steps).map(|(height, step)| book.settle(height, step)).collect();
    Ok(Simulation {
        contract: module.title(),
        quote,
        locked: euro(book.locked),
        steps: reports,
        closed: steps.last().is_some_and(|step| step.trigger.closes()),
    })
}

impl Book<'_> {
    fn facts(&self, height: u64, step: &Step) -> Facts {
        Facts {
            abi: ABI_VERSION,
            terms: self.terms.clone(),
            usage: Usage {
                windows: step.windows.clone(),
                readings: step.readings.clone(),
                cumulative: step.cumulative,
            },
            escrow: Escrow { locked: self.locked, paid: sum(&self.paid), stake: self.stake },
            ctx: Ctx { height, now: step.now, trigger: step.trigger, quota_left: self.quota },
            state: self.state.clone(),
        }
    }

    /// One settlement, as the ledger decides it: the contract's answer if it passes the checks, else the signed fallback.
    fn settle(&mut self, height: u64, step: &Step) -> StepReport {
        let facts = self.facts(height, step);
        let outcome = self.module.host.settle(&self.module.hash, self.params, &facts);
        let decided = match outcome.result {
            Ok(split) => check_split(&split, &facts, &self.paid, self.locked)
                .map_err(|error| format!("{}: {error}", Failure::from(error))),
            Err(failure) => Err(failure.to_string()),
        };
        let (checked, failure) = match decided {
            Ok(checked) => (checked, None),
            Err(reason) => (self.fall_back(&facts), Some(reason)),
        };
        let report = self.report(step, &checked, outcome.fuel, failure);
        self.stake = self.stake.saturating_sub(checked.slash);
        self.quota = self.quota.map(|left| left.saturating_sub(checked.consume));
        self.paid = checked.pay;
        self.state = checked.state;
        report
    }

    /// What happens where the contract fails: at the end the signed fallback decides; before it nothing more is paid, and the
    /// lease goes on.
    fn fall_back(&self, facts: &Facts) -> CheckedSplit {
        let rule = if facts.ctx.trigger.closes() { self.fallback.into() } else { Fallback::Refund };
        let split = fallback_split(rule, facts, &self.paid);
        check_split(&split, facts, &self.paid, self.locked)
            .expect("the fallback's split passes the checks since it pays only what is locked")
    }

    fn report(&self, step: &Step, checked: &CheckedSplit, fuel: u64, failure: Option<String>) -> StepReport {
        let now = |party: Party| -> Money {
            checked.transfers.iter().filter(|(to, _)| *to == party).map(|(_, amount)| *amount).sum()
        };
        let payment = |(party, amount): &(Party, Money)| PaymentReport {
            party: party.0,
            role: party_name(&self.terms, *party),
            paid: euro(*amount),
            now: euro(now(*party)),
        };
        StepReport {
            at: moment_text(step.now),
            trigger: step.word,
            windows: step.windows.len(),
            used: step.cumulative,
            payments: checked.pay.iter().map(payment).collect(),
            refund: euro(checked.refund),
            held: euro(checked.held),
            slash: euro(checked.slash),
            consume: checked.consume,
            notes: checked
                .notes
                .iter()
                .map(|note| NoteReport { code: note.code, bytes: hex::encode(&note.bytes) })
                .collect(),
            state: hex::encode(&checked.state),
            fuel,
            fallback: (failure.is_some() && step.trigger.closes()).then_some(self.fallback),
            failure,
        }
    }
}

fn sum(pay: &[(Party, Money)]) -> Money {
    // They passed the checks, hence add up to no more than what is locked.
    pay.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
}

impl QuoteReport {
    fn lines(&self) -> Vec<[String; 2]> {
        let mut lines = vec![
            [
                "lock".to_owned(),
                format!("{} EUR, of {} EUR that the capacity is worth", self.lock, self.worth),
            ],
            ["stake".to_owned(), format!("{} EUR", self.stake)],
            ["fuel".to_owned(), fuel(self.fuel, self.fuel_limit)],
        ];
        if let Some(admit) = self.admit_fuel {
            lines.push(["admitted".to_owned(), fuel(admit, self.fuel_limit)]);
        }
        if !self.awarded {
            let text = "the ledger awards no lease whose contract asks for more than the capacity is worth";
            lines.push(["warning".to_owned(), text.to_owned()]);
        }
        lines
    }

    pub(crate) fn answer(&self, contract: &str) -> Answer {
        let mut lines = vec![["contract".to_owned(), contract.to_owned()]];
        lines.extend(self.lines());
        Answer { value: serde_json::json!(self), text: columns(0, &lines), refusal: None }
    }
}

impl Simulation {
    pub(crate) fn answer(&self) -> Answer {
        let mut head = vec![["contract".to_owned(), self.contract.clone()]];
        head.extend(self.quote.lines());
        if self.locked != self.quote.lock {
            head.push(["locked".to_owned(), format!("{} EUR, as the terms say", self.locked)]);
        }
        let mut parts = vec![columns(0, &head)];
        parts.extend((1..).zip(&self.steps).map(|(number, step)| step.text(number, self.quote.fuel_limit)));
        if !self.closed {
            parts.push("the lease is still open: no step closed it".to_owned());
        }
        Answer { value: serde_json::json!(self), text: parts.join("\n\n"), refusal: None }
    }
}

impl StepReport {
    fn text(&self, number: usize, limit: u64) -> String {
        let trigger = hansa_cli_units::word_text(&self.trigger);
        let mut rows: Vec<[String; 3]> = self
            .payments
            .iter()
            .map(|payment| {
                [
                    payment.role.clone(),
                    format!("{} EUR", payment.paid),
                    format!("{} EUR of it now", payment.now),
                ]
            })
            .collect();
        let mut row = |name: &str, value: String| rows.push([name.to_owned(), value, String::new()]);
        let some = |amount: &str| amount != "0.00";
        if some(&self.refund) || self.held == "0.00" {
            row("refund", format!("{} EUR", self.refund));
        }
        if some(&self.held) {
            row("held", format!("{} EUR", self.held));
        }
        if some(&self.slash) {
            row("slashed", format!("{} EUR", self.slash));
        }
        if self.consume > 0 {
            row("allowance", format!("{} accelerator-seconds", grouped(self.consume)));
        }
        for note in &self.notes {
            row("note", format!("{} {}", note.code, note.bytes));
        }
        if !self.state.is_empty() {
            row("state", self.state.clone());
        }
        row("fuel", fuel(self.fuel, limit));
        let used = grouped(self.used);
        let windows = self.windows;
        let mut lines = vec![format!(
            "{number}. {trigger} at {}: {used} accelerator-seconds in {windows} windows",
            self.at
        )];
        match (&self.failure, &self.fallback) {
            (Some(failure), Some(rule)) => {
                let rule = hansa_cli_units::word_text(rule);
                lines.push(format!("   settled by the fallback `{rule}`, since {failure}"));
            }
            (Some(failure), None) => {
                lines.push(format!("   nothing is paid now, since {failure}; the lease goes on"))
            }
            (None, _) => {}
        }
        lines.push(columns(3, &rows));
        lines.join("\n")
    }
}
