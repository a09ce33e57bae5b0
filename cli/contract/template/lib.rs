//! Pay for what was used, and less from a certain use on.
//!
//! `due = floor((full + reduced * (1 - discount)) * price)`, where `full` is the usage up to [`Params::discount_from`] and
//! `reduced` the rest. `tariff.md` says the same in plain language: that text goes into the module, and its hash is what
//! the parties of a lease agree to.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::unwrap_used)]

extern crate alloc;

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::limits::BPS_MAX;
use hansa_contracts_abi::{
    ABI_VERSION, Bps, Code, Contract, Facts, Meta, Money, Party, Quote, Split, Terms, Trigger, export, math,
};

/// Figures of the tariff: fixed in the offer, and signed with every lease. `params.json` has them for trying.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Params {
    /// Accelerator-seconds at the full price.
    pub discount_from: u64,
    /// The discount on all that is used beyond them, in basis points.
    pub discount_bps: Bps,
}

/// The contract.
#[derive(Clone, Copy, Debug)]
pub struct {{Type}};

export!({{Type}});

impl Contract for {{Type}} {
    type Params = Params;

    const META: Meta = Meta {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        abi: ABI_VERSION,
        tariff: include_str!("../tariff.md"),
    };

    /// The most that `settle` may ever pay: all accelerators in use to the last second. Refuses what could not be settled,
    /// before anybody signs.
    fn quote(params: &Params, terms: &Terms) -> Result<Quote, Code> {
        check(params, terms)?;
        let (weighted, den) = weighted(params, terms, terms.capacity_total())?;
        Ok(Quote { lock: math::mul_div_ceil(weighted, terms.price.num, den)?, stake: 0 })
    }

    /// Who has earned how much by now, since the start of the lease.
    fn settle(params: &Params, facts: &Facts) -> Result<Split, Code> {
        check(params, &facts.terms)?;
        let (weighted, den) = weighted(params, &facts.terms, counted(facts)?)?;
        let due = math::mul_div_floor(weighted, facts.terms.price.num, den)?;
        // What was paid cannot be asked back, and there is no more than what is locked.
        pay(facts, due.min(facts.escrow.locked).max(facts.escrow.paid))
    }
}

fn check(params: &Params, terms: &Terms) -> Result<(), Code> {
    if params.discount_bps > BPS_MAX {
        return Err(Code::BAD_PARAMS);
    }
    terms.check()
}

/// The usage that counts by now, never more than the accelerators could deliver.
fn counted(facts: &Facts) -> Result<u128, Code> {
    let all = facts.usage.cumulative;
    // The contested part is the usage of windows that only the provider stands behind.
    let contested = facts.usage.contested()?;
    let certain = all.checked_sub(contested).ok_or(Code::CONTRADICTION)?;
    let counted = match facts.ctx.trigger {
        Trigger::NoShow => 0,
        Trigger::Interim => certain,
        Trigger::Final | Trigger::Expired | Trigger::Cancelled { .. } => all,
        Trigger::Ruling { provider_bps } if provider_bps > BPS_MAX => return Err(Code::BAD_INPUT),
        Trigger::Ruling { provider_bps } => {
            let ruled = math::mul_div_floor(contested, u128::from(provider_bps), u128::from(BPS_MAX))?;
            certain.checked_add(ruled).ok_or(Code::OVERFLOW)?
        }
    };
    Ok(counted.min(facts.terms.capacity(facts.ctx.now)))
}

/// The usage times the part of the price that is paid for it, and what to divide the product with the price by. Nothing is
/// rounded before the last step, so that the number of settlements cannot change the sum.
fn weighted(params: &Params, terms: &Terms, usage: u128) -> Result<(u128, u128), Code> {
    let full = usage.min(u128::from(params.discount_from));
    let reduced = usage.checked_sub(full).ok_or(Code::OVERFLOW)?;
    let part = BPS_MAX.checked_sub(params.discount_bps).ok_or(Code::BAD_PARAMS)?;
    let full = full.checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
    let reduced = reduced.checked_mul(u128::from(part)).ok_or(Code::OVERFLOW)?;
    let den = u128::from(terms.price.den).checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
    Ok((full.checked_add(reduced).ok_or(Code::OVERFLOW)?, den))
}

/// The split that pays this much in all: the operator its fee, the provider the rest.
fn pay(facts: &Facts, total: Money) -> Result<Split, Code> {
    let fee = math::fee(total, facts.terms.fee_bps)?;
    let provider = total.checked_sub(fee).ok_or(Code::OVERFLOW)?;
    let pay = [(Party::PROVIDER, provider), (Party::OPERATOR, fee)];
    Ok(Split {
        pay: pay.into_iter().filter(|(_, amount)| *amount > 0).collect(),
        slash: 0,
        consume: 0,
        notes: Vec::new(),
        state: Vec::new(),
    })
}
