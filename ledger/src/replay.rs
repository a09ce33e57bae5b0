//! Running settlements again, from what the ledger keeps of them: the same code and facts give the same split, for the same
//! fuel, and the payments follow from it.

use crate::row::data;
use crate::row::{AccountId, Interim, PartyMoney, Payment, Settlement};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::{
    CheckedSplit, Facts, Failure, ModuleRefusal, Party, Runtime, Split, Trigger, check_split, fallback_split,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

data! {
    /// Everything that was paid for one lease, with what it takes to run it again: what a bundle for an audit holds beside the
    /// contract's code.
    pub struct Record {
        /// The settlement that closed the lease.
        pub settlement: Settlement,
        /// The settlements before it, those that failed included, in their order.
        pub interims: Vec<Interim>,
    }
}

/// Why a record cannot be run again at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Other code.
    #[error("the code has another hash than the lease names")]
    Code,
    /// Code that may not run.
    #[error("the code may not run: {0}")]
    Refused(ModuleRefusal),
    /// The record holds fewer or more interim settlements than there were.
    #[error("the record holds {found} interim settlements, and there were {expected}")]
    Interims {
        /// How many there were.
        expected: u32,
        /// How many it holds.
        found: usize,
    },
    /// Bytes that are none of what they should be.
    #[error("the {what} of call {call} cannot be read")]
    Unreadable {
        /// Which part.
        what: &'static str,
        /// Of which call, from 0.
        call: usize,
    },
}

/// What running one call again has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedCall {
    /// Height of the block that called.
    pub height: u64,
    /// Why.
    pub trigger: Trigger,
    /// Why the contract gave nothing that could be paid, as recorded.
    pub failure: Option<Failure>,
    /// The fuel it took here; none where the federation had stopped the contract, so that it was not called.
    pub fuel: Option<u64>,
    /// Whether that is what was recorded.
    pub is_fuel_equal: bool,
    /// Whether it gave what was recorded: the same split, or the same failure and the split of the signed rule for it.
    pub is_output_equal: bool,
    /// Whether the payments follow from the split, party by party, and what was slashed with them.
    pub is_paid_so: bool,
    /// Whether its facts go on from the call before: what was paid, what was left of the stake, the contract's state.
    pub is_linked: bool,
}

impl ReplayedCall {
    /// Whether everything is as recorded.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.is_fuel_equal && self.is_output_equal && self.is_paid_so && self.is_linked
    }
}

/// What running a record again has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    /// Each call, the closing one last.
    pub calls: Vec<ReplayedCall>,
    /// Whether all payments, what is held back and what was returned are together what was locked.
    pub is_balanced: bool,
}

impl ReplayReport {
    /// Whether everything is as recorded.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.is_balanced && self.calls.iter().all(ReplayedCall::holds)
    }
}

/// One call of a record.
struct Call<'r> {
    facts: Facts,
    split: Option<Split>,
    failure: Option<Failure>,
    fuel: u64,
    height: u64,
    paid_before: Vec<(Party, u128)>,
    payments: &'r [Payment],
    held: &'r [PartyMoney],
    stake: &'r [Payment],
}

/// Runs every call of a record again with `code`, and compares.
///
/// # Errors
/// Why the record cannot be run again; what it shows when it can is in the report.
pub fn replay(record: &Record, code: &[u8], runtime: &dyn Runtime) -> Result<ReplayReport, ReplayError> {
    let settlement = &record.settlement;
    if *blake3::hash(code).as_bytes() != settlement.contract.0 {
        return Err(ReplayError::Code);
    }
    if usize::try_from(settlement.interims) != Ok(record.interims.len()) {
        let (expected, found) = (settlement.interims, record.interims.len());
        return Err(ReplayError::Interims { expected, found });
    }
    runtime.load(code).map_err(ReplayError::Refused)?;
    let calls = calls(record)?;
    let mut replayed = Vec::new();
    let mut before: Option<(&Call<'_>, Option<CheckedSplit>)> = None;
    for call in &calls {
        let (shown, checked) = run(settlement, call, runtime, before.as_ref());
        replayed.push(shown);
        // A call that failed changed nothing: the next goes on from the one before it.
        let went_on = checked.is_some() || before.is_none();
        if went_on {
            before = Some((call, checked));
        }
    }
    let spent = calls.iter().flat_map(|call| {
        let held = call.held.iter().map(|one| one.amount.wide());
        call.payments.iter().map(|payment| payment.amount.wide()).chain(held)
    });
    let back = settlement.refunds.iter().map(|payment| payment.amount.wide());
    let all = spent.chain(back).fold(0u128, u128::saturating_add);
    // A lease that was extended has more locked in its later calls: the last one counts.
    let rises = calls.is_sorted_by_key(|call| call.facts.escrow.locked);
    let is_balanced = rises && calls.last().is_some_and(|call| call.facts.escrow.locked == all);
    Ok(ReplayReport { calls: replayed, is_balanced })
}

/// The calls of a record, the closing one last.
fn calls(record: &Record) -> Result<Vec<Call<'_>>, ReplayError> {
    let mut calls = Vec::new();
    for (at, interim) in record.interims.iter().enumerate() {
        calls.push(Call {
            facts: read(&interim.facts, "facts", at)?,
            split: interim.split.as_deref().map(|bytes| read(bytes, "split", at)).transpose()?,
            failure: interim.failure.as_deref().map(|bytes| read(bytes, "failure", at)).transpose()?,
            fuel: interim.fuel,
            height: interim.height,
            paid_before: wide(&interim.paid_before),
            payments: &interim.payments,
            held: &interim.held,
            stake: &interim.stake,
        });
    }
    let (last, at) = (&record.settlement, record.interims.len());
    calls.push(Call {
        facts: read(&last.facts, "facts", at)?,
        split: Some(read(&last.split, "split", at)?),
        failure: last.failure.as_deref().map(|bytes| read(bytes, "failure", at)).transpose()?,
        fuel: last.fuel,
        height: last.height,
        paid_before: wide(&last.paid_before),
        payments: &last.payments,
        held: &last.held,
        stake: &last.stake,
    });
    Ok(calls)
}

fn read<T: BorshDeserialize>(bytes: &[u8], what: &'static str, call: usize) -> Result<T, ReplayError> {
    borsh::from_slice(bytes).map_err(|_| ReplayError::Unreadable { what, call })
}

fn wide(paid: &[PartyMoney]) -> Vec<(Party, u128)> {
    paid.iter().map(|one| (Party(one.party), one.amount.wide())).collect()
}

/// Runs one call again. Also gives what its recorded split moves, where it moved anything.
fn run(
    settlement: &Settlement,
    call: &Call<'_>,
    runtime: &dyn Runtime,
    before: Option<&(&Call<'_>, Option<CheckedSplit>)>,
) -> (ReplayedCall, Option<CheckedSplit>) {
    let (facts, paid) = (&call.facts, &call.paid_before);
    let check = |split: &Split| check_split(split, facts, paid, facts.escrow.locked);
    // What the federation has stopped is not called.
    let skipped = call.failure == Some(Failure::Quarantined) && call.fuel == 0;
    let (given, fuel) = match skipped {
        true => (Err(Failure::Quarantined), None),
        false => {
            let outcome = runtime.settle(&settlement.contract.0, &settlement.contract_params, facts);
            let given = outcome.result.and_then(|split| match check(&split) {
                Ok(_) => Ok(split),
                Err(error) => Err(Failure::from(error)),
            });
            (given, Some(outcome.fuel))
        }
    };
    let same_failure = given.as_ref().err() == call.failure.as_ref();
    let expected = match given {
        Ok(split) => Some(split),
        Err(_) if facts.ctx.trigger.closes() => {
            Some(fallback_split(crate::lease::fallback(settlement.fallback), facts, paid))
        }
        Err(_) => None,
    };
    let checked = call.split.as_ref().and_then(|split| check(split).ok());
    let shown = ReplayedCall {
        height: call.height,
        trigger: facts.ctx.trigger,
        failure: call.failure,
        fuel,
        is_fuel_equal: fuel.unwrap_or(0) == call.fuel,
        is_output_equal: same_failure && expected == call.split,
        is_paid_so: is_paid_so(settlement, call, checked.as_ref()),
        is_linked: is_linked(call, before),
    };
    (shown, checked)
}

/// Whether the payments of a call are those of its split.
fn is_paid_so(settlement: &Settlement, call: &Call<'_>, checked: Option<&CheckedSplit>) -> bool {
    let Some(checked) = checked else {
        return call.payments.is_empty() && call.held.is_empty() && call.stake.is_empty();
    };
    let account =
        |party: u8| settlement.accounts.iter().find(|one| one.party == party).map(|one| one.account.clone());
    let mut due: BTreeMap<AccountId, u128> = BTreeMap::new();
    for (party, amount) in &checked.transfers {
        // Who has no account leaves its part in the escrow.
        if let Some(account) = account(party.0) {
            add(&mut due, account, *amount);
        }
    }
    let mut found: BTreeMap<AccountId, u128> = BTreeMap::new();
    for payment in call.payments {
        add(&mut found, payment.to.clone(), payment.amount.wide());
    }
    for one in call.held {
        match account(one.party) {
            Some(account) => add(&mut found, account, one.amount.wide()),
            None => return false,
        }
    }
    let stake = call.stake.iter().fold(0u128, |sum, one| sum.saturating_add(one.amount.wide()));
    // What a closing call does not slash goes back.
    let moved = if call.facts.ctx.trigger.closes() { call.facts.escrow.stake } else { checked.slash };
    due == found && stake == moved
}

fn add(sums: &mut BTreeMap<AccountId, u128>, account: AccountId, amount: u128) {
    let sum = sums.entry(account).or_default();
    *sum = sum.saturating_add(amount);
}

/// Whether the facts of a call go on from the last one that paid.
fn is_linked(call: &Call<'_>, before: Option<&(&Call<'_>, Option<CheckedSplit>)>) -> bool {
    let facts = &call.facts;
    let sum = call.paid_before.iter().fold(0u128, |sum, (_, amount)| sum.saturating_add(*amount));
    let same_sum = sum == facts.escrow.paid;
    let first = call.paid_before.is_empty() && facts.state.is_empty();
    let linked = match before {
        None => first && facts.escrow.stake == facts.terms.slash_max,
        Some((_, None)) => first,
        Some((last, Some(checked))) => {
            // An extension may have added to the stake since.
            let left = last.facts.escrow.stake.saturating_sub(checked.slash);
            let added = facts.terms.slash_max.saturating_sub(last.facts.terms.slash_max);
            call.paid_before == checked.pay
                && facts.state == checked.state
                && facts.escrow.stake == left.saturating_add(added)
        }
    };
    same_sum && linked && call.height >= before.map_or(0, |(last, _)| last.height)
}
