//! Pay for what was used, up to what was locked.
//!
//! `due = floor(min(usage, units * elapsed) * price)`, capped by the lock; the operator receives the floored fee of
//! it and the provider the rest. Which usage counts depends on why the contract is asked:
//!
//! | trigger | usage | minimum fee |
//! |---|---|---|
//! | interim | all but the contested part: a ruling may take that away, and what is paid cannot be asked back | no |
//! | final, expired | all: by then it was countersigned, or nobody contested it in time | yes |
//! | cancelled | all | unless the provider cancelled |
//! | no-show | none: the requester gets everything back | no |
//! | ruling | all but the contested part, and `provider_bps` of the contested part | yes |
//!
//! The contested part is the usage of windows that only the provider stands behind. A window that only the requester
//! stands behind is an admission and counts. Usage beyond what the leased units could deliver counts nowhere.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![deny(
    clippy::disallowed_types,
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::arithmetic_side_effects))]

extern crate alloc;

#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::limits::BPS_MAX;
use hansa_contracts_abi::{
    ABI_VERSION, Bps, Code, Contract, Facts, Meta, Money, Note, Party, Quote, Split, Terms, Trigger, export,
    math,
};

/// Note on an interim settlement: four fifths of the lock are owed by now. Its bytes are the Unix second (`u64`,
/// little endian) at which the lock is used up if all units stay in use; the provider may stop then.
pub const NOTE_RUNWAY: u16 = 1;
/// Note on any settlement: more is owed than is locked. Its bytes are the uncovered micro-euro (`u128`, little
/// endian); nobody owes them.
pub const NOTE_UNCOVERED: u16 = 2;

/// Part of the lock from which [`NOTE_RUNWAY`] is given.
const RUNWAY_BPS: Bps = 8_000;

/// Figures of the tariff.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Params {
    /// Least that is due when the lease closes, used or not, in micro-euro; zero for none. Fee included.
    pub minimum_fee: Money,
}

/// The contract.
#[derive(Clone, Copy, Debug)]
pub struct Spot;

export!(Spot);

impl Contract for Spot {
    type Params = Params;

    const META: Meta = Meta {
        name: "spot",
        version: env!("CARGO_PKG_VERSION"),
        abi: ABI_VERSION,
        tariff: include_str!("../tariff.md"),
    };

    fn quote(params: &Params, terms: &Terms) -> Result<Quote, Code> {
        terms.check()?;
        let capacity = terms.capacity_total();
        // A ruling works in basis points of usage; terms for which that could overflow are refused before signing.
        capacity.checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
        let lock = math::lock(capacity, terms.price)?.max(params.minimum_fee);
        Ok(Quote { lock, stake: 0 })
    }

    fn settle(params: &Params, facts: &Facts) -> Result<Split, Code> {
        facts.terms.check()?;
        let owed = used(facts)?.max(minimum(params, facts));
        let total = owed.min(facts.escrow.locked);
        if total < facts.escrow.paid {
            return Err(Code::CONTRADICTION);
        }
        let fee = math::fee(total, facts.terms.fee_bps)?;
        let provider = total.checked_sub(fee).ok_or(Code::OVERFLOW)?;
        let mut pay = Vec::with_capacity(2);
        for (party, amount) in [(Party::PROVIDER, provider), (Party::OPERATOR, fee)] {
            if amount > 0 {
                pay.push((party, amount));
            }
        }
        Ok(Split { pay, slash: 0, consume: 0, notes: notes(facts, owed, total)?, state: Vec::new() })
    }
}

/// What the usage is worth by now, before any cap by the lock: one floor on cumulative usage.
fn used(facts: &Facts) -> Result<Money, Code> {
    let capacity = facts.terms.capacity(facts.ctx.now);
    let claimed = facts.usage.cumulative.min(capacity);
    let contested = facts.usage.contested()?;
    let certain = facts.usage.cumulative.checked_sub(contested).ok_or(Code::CONTRADICTION)?.min(capacity);
    match facts.ctx.trigger {
        Trigger::NoShow => Ok(0),
        Trigger::Interim => math::due(certain, facts.terms.price),
        Trigger::Final | Trigger::Expired => math::due(claimed, facts.terms.price),
        Trigger::Cancelled { by } if usize::from(by.0) >= facts.terms.parties.len() => {
            Err(Code::UNKNOWN_PARTY)
        }
        Trigger::Cancelled { .. } => math::due(claimed, facts.terms.price),
        Trigger::Ruling { provider_bps } if provider_bps > BPS_MAX => Err(Code::BAD_INPUT),
        Trigger::Ruling { provider_bps } => {
            let contested = claimed.checked_sub(certain).ok_or(Code::OVERFLOW)?;
            let whole = certain.checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
            let part = contested.checked_mul(u128::from(provider_bps)).ok_or(Code::OVERFLOW)?;
            let counted = whole.checked_add(part).ok_or(Code::OVERFLOW)?;
            let den =
                u128::from(facts.terms.price.den).checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
            math::mul_div_floor(counted, facts.terms.price.num, den)
        }
    }
}

/// What is due at least. A provider that never came or walked away has not earned it, and before the lease closes
/// nothing is due for not using it.
fn minimum(params: &Params, facts: &Facts) -> Money {
    match facts.ctx.trigger {
        Trigger::Interim | Trigger::NoShow | Trigger::Cancelled { by: Party::PROVIDER } => 0,
        Trigger::Final | Trigger::Expired | Trigger::Cancelled { .. } | Trigger::Ruling { .. } => {
            params.minimum_fee
        }
    }
}

fn notes(facts: &Facts, owed: Money, total: Money) -> Result<Vec<Note>, Code> {
    let locked = facts.escrow.locked;
    let mut runway = None;
    if facts.ctx.trigger == Trigger::Interim && locked > 0 {
        let threshold = math::mul_div_ceil(locked, u128::from(RUNWAY_BPS), u128::from(BPS_MAX))?;
        if total >= threshold {
            let bytes = depletion(facts, total).to_le_bytes().to_vec();
            runway = Some(Note { code: NOTE_RUNWAY, bytes });
        }
    }
    let left = owed.checked_sub(total).ok_or(Code::OVERFLOW)?;
    let uncovered = (left > 0).then(|| Note { code: NOTE_UNCOVERED, bytes: left.to_le_bytes().to_vec() });
    // Lists of known length, since one that grows brings the code that makes more room for it.
    Ok(match (runway, uncovered) {
        (None, None) => Vec::new(),
        (Some(note), None) | (None, Some(note)) => vec![note],
        (Some(runway), Some(uncovered)) => vec![runway, uncovered],
    })
}

/// The second at which the lock is used up at full use; the end of time if it never is.
fn depletion(facts: &Facts, total: Money) -> u64 {
    let left = facts.escrow.locked.saturating_sub(total);
    let price = facts.terms.price;
    u128::from(facts.terms.units)
        .checked_mul(price.num)
        .and_then(|rate| math::mul_div_floor(left, u128::from(price.den), rate).ok())
        .and_then(|seconds| u64::try_from(seconds).ok())
        .and_then(|seconds| facts.ctx.now.checked_add(seconds))
        .unwrap_or(u64::MAX)
}
