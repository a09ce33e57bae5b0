//! The contracts of these tests, run natively: `spot`, and one whose parameters say what it answers.

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::math;
use hansa_contracts_abi::{
    ABI_VERSION, Admission, Claims, Code, Contract, Facts, Failure, Meta, ModuleRefusal, ModuleSummary,
    Money, Native, Outcome, Party, Quote, Role, Runtime, Split, Terms, Trigger,
};
use hansa_contracts_spot::Spot;

/// The code that stands for the scripted contract.
pub const SCRIPT: &[u8] = b"whatever its parameters say";

/// What the scripted contract answers to one kind of trigger.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// What is due at the price, of that this part, and so much of the stake.
    Due { bps: u16, slash: u64 },
    /// This, whatever is due.
    Exactly(Split),
    /// A refusal.
    Refuse(u32),
    /// Another failure.
    Fail(Failure),
}

/// What the scripted contract does: the parameters of its leases.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Script {
    /// What the provider stakes, in uEUR.
    pub stake: u64,
    /// And beside it, in basis points of what is locked.
    pub stake_bps: u16,
    /// What a call takes of fuel.
    pub fuel: u64,
    /// The part of each named party of what is due, in basis points, before the fee.
    pub named: Vec<u16>,
    /// While the lease goes on.
    pub interim: Answer,
    /// When it closes.
    pub closing: Answer,
}

impl Default for Script {
    fn default() -> Self {
        let due = Answer::Due { bps: 10_000, slash: 0 };
        Self { stake: 0, stake_bps: 0, fuel: 0, named: Vec::new(), interim: due.clone(), closing: due }
    }
}

impl Script {
    /// The parameters of an offer.
    pub fn params(&self) -> Vec<u8> {
        borsh::to_vec(self).unwrap()
    }
}

struct Scripted;

impl Contract for Scripted {
    type Params = Script;
    const META: Meta = Meta { name: "script", version: "1.0.0", abi: ABI_VERSION, tariff: "As it says." };

    fn quote(script: &Script, terms: &Terms) -> Result<Quote, Code> {
        terms.check()?;
        let lock = math::lock(terms.capacity_total(), terms.price)?;
        let stake = Money::from(script.stake) + lock * Money::from(script.stake_bps) / 10_000;
        Ok(Quote { lock, stake })
    }

    fn settle(script: &Script, facts: &Facts) -> Result<Split, Code> {
        let answer = if facts.ctx.trigger.closes() { &script.closing } else { &script.interim };
        match answer {
            Answer::Due { bps, slash } => due(script, facts, *bps, *slash),
            Answer::Exactly(split) => Ok(split.clone()),
            Answer::Refuse(code) => Err(Code(*code)),
            Answer::Fail(_) => Err(Code::UNSUPPORTED),
        }
    }
}

fn due(script: &Script, facts: &Facts, bps: u16, slash: u64) -> Result<Split, Code> {
    let contested = facts.usage.contested()?;
    let certain = facts.usage.cumulative - contested;
    let used = match facts.ctx.trigger {
        Trigger::NoShow => 0,
        Trigger::Ruling { provider_bps } => certain + contested * u128::from(provider_bps) / 10_000,
        _ => certain,
    };
    let whole = math::due(used.min(facts.terms.capacity(facts.ctx.now)), facts.terms.price)?;
    let total = (whole * u128::from(bps) / 10_000).min(facts.escrow.locked).max(facts.escrow.paid);
    let roles = facts.terms.parties.iter().enumerate();
    let named = roles.filter(|(_, role)| **role == Role::Named).map(|(index, _)| Party(index as u8));
    let shares: Vec<(Party, Money)> =
        named.zip(&script.named).map(|(party, bps)| (party, total * u128::from(*bps) / 10_000)).collect();
    // The fee is on all that is earned, by named parties too.
    let fee = math::fee(total, facts.terms.fee_bps)?;
    let rest = total - fee - shares.iter().map(|(_, amount)| amount).sum::<Money>();
    let both = [(Party::PROVIDER, rest), (Party::OPERATOR, fee)];
    // A byte for each call that paid: a contract that folds something over its calls.
    let state = [&facts.state[..], &[u8::from(facts.ctx.trigger.closes())]].concat();
    let pay = both.into_iter().chain(shares).filter(|(_, amount)| *amount > 0).collect();
    Ok(Split { pay, slash: slash.into(), consume: 0, notes: Vec::new(), state })
}

/// Runs both contracts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contracts {
    /// The most fuel that a call may take.
    pub fuel_per_call_max: u64,
}

fn hash(code: &[u8]) -> [u8; 32] {
    *blake3::hash(code).as_bytes()
}

fn spot() -> Native<Spot> {
    Native::new(hash(crate::world::CODE))
}

fn scripted() -> Native<Scripted> {
    Native::new(hash(SCRIPT))
}

fn script(code: &[u8; 32], params: &[u8]) -> Option<Script> {
    (*code == hash(SCRIPT)).then(|| borsh::from_slice(params).ok()).flatten()
}

impl Runtime for Contracts {
    fn quote(&self, code: &[u8; 32], params: &[u8], terms: &Terms) -> Outcome<Quote> {
        match script(code, params) {
            Some(script) => Outcome { fuel: script.fuel, ..scripted().quote(code, params, terms) },
            None => spot().quote(code, params, terms),
        }
    }

    fn settle(&self, code: &[u8; 32], params: &[u8], facts: &Facts) -> Outcome<Split> {
        let Some(script) = script(code, params) else { return spot().settle(code, params, facts) };
        let answer = if facts.ctx.trigger.closes() { script.closing } else { script.interim };
        match answer {
            Answer::Fail(failure) => Outcome { result: Err(failure), fuel: script.fuel },
            _ => Outcome { fuel: script.fuel, ..scripted().settle(code, params, facts) },
        }
    }

    fn admit(&self, _: &[u8; 32], _: &[u8], _: &Terms, _: &Claims) -> Outcome<Admission> {
        Outcome { result: Ok(Admission::Yes), fuel: 0 }
    }

    fn validate(&self, code: &[u8]) -> Result<ModuleSummary, ModuleRefusal> {
        scripted().validate(code).or_else(|_| spot().validate(code))
    }

    fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
        scripted().load(code).or_else(|_| spot().load(code))
    }

    fn fuel_per_call_max(&self) -> u64 {
        self.fuel_per_call_max
    }

    fn vm_profile(&self) -> [u8; 32] {
        [0; 32]
    }

    fn knows(&self, code: &[u8; 32]) -> bool {
        scripted().knows(code) || spot().knows(code)
    }
}
