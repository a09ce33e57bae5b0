//! Let a ruling divide what is contested, and nothing else.
//!
//! [`Dispute`] wraps any contract. Everything but a ruling passes through. At a ruling the wrapped contract is asked
//! twice: with the contested usage left out, and with all of it counted. Up to the lower answer nothing is contested:
//! it is due whatever the ruling. Only the difference is divided, by `provider_bps`. So a contract need not know what a
//! ruling is, and a ruling cannot reach what both sides agree on. Who bears the cost of the dispute is the ledger's rule.
//!
//! The module of this crate is [`DisputedReserve`], the wrapper around `reserved`, because there it makes a difference:
//! `reserved` alone takes the ruling's part of the *usage* as delivered and judges the service level with it, so that a
//! ruling may push availability over a step and cost more than its part. `spot`, `grant` and `coinvest` pay for usage
//! in proportion, and rule themselves to the same result, but for one micro-euro of rounding.
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

use alloc::vec::Vec;
use core::marker::PhantomData;

use hansa_contracts_abi::limits::{BPS_MAX, SPLIT_NOTES_MAX};
use hansa_contracts_abi::{
    ABI_VERSION, Admission, Bps, Claims, Code, Contract, Evidence, Facts, Meta, Money, Note, Party, Quote,
    Split, Terms, Trigger, export, math,
};
use hansa_contracts_reserved::Reserved;

/// Note on a ruling. Its bytes are what is contested in micro-euro, fee included (`u128`, little endian), and the
/// provider's part of it in basis points (`u16`, little endian).
pub const NOTE_RULED: u16 = 6;

/// Any contract, with rulings on money in place of its own.
#[derive(Clone, Copy, Debug)]
pub struct Dispute<C>(PhantomData<fn() -> C>);

/// `reserved`, with rulings on money: the module of this crate.
#[derive(Clone, Copy, Debug)]
pub struct DisputedReserve;

export!(DisputedReserve);

impl Contract for DisputedReserve {
    type Params = <Reserved as Contract>::Params;

    const META: Meta = Meta {
        name: "dispute",
        version: env!("CARGO_PKG_VERSION"),
        abi: ABI_VERSION,
        tariff: include_str!("../tariff.md"),
    };

    fn quote(params: &Self::Params, terms: &Terms) -> Result<Quote, Code> {
        Dispute::<Reserved>::quote(params, terms)
    }

    fn settle(params: &Self::Params, facts: &Facts) -> Result<Split, Code> {
        Dispute::<Reserved>::settle(params, facts)
    }
}

impl<C: Contract> Contract for Dispute<C> {
    type Params = C::Params;

    /// That of the wrapped contract: a module that wraps one states its own, since its tariff is another.
    const META: Meta = C::META;

    fn quote(params: &C::Params, terms: &Terms) -> Result<Quote, Code> {
        let quote = C::quote(params, terms)?;
        // A ruling works in basis points of money; what could overflow then is refused before signing.
        let largest = quote.lock.max(quote.stake);
        largest.checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
        Ok(quote)
    }

    fn settle(params: &C::Params, facts: &Facts) -> Result<Split, Code> {
        match facts.ctx.trigger {
            Trigger::Ruling { provider_bps } => rule::<C>(params, facts, provider_bps),
            _ => C::settle(params, facts),
        }
    }

    fn admit(params: &C::Params, terms: &Terms, claims: &Claims) -> Result<Admission, Code> {
        C::admit(params, terms, claims)
    }
}

fn rule<C: Contract>(params: &C::Params, facts: &Facts, bps: Bps) -> Result<Split, Code> {
    if bps > BPS_MAX {
        return Err(Code::BAD_INPUT);
    }
    let none = C::settle(params, &decided(facts, false)?)?;
    let all = C::settle(params, &decided(facts, true)?)?;
    let terms = &facts.terms;
    let mut pay = Vec::new();
    for (party, _) in (0..).map(Party).zip(&terms.parties) {
        let ruled = math::ruled(amount(&none, party), amount(&all, party), bps)?;
        // The place of the fee, which is not known yet.
        pay.push((party, if party == Party::OPERATOR { 0 } else { ruled }));
    }
    let (least, most) = (terms.earned(&none.pay)?, terms.earned(&all.pay)?);
    let total = math::ruled(least, most, bps)?;
    let fee = math::fee(total, terms.fee_bps)?;
    let floors = terms.earned(&pay)?;
    let (rest, fee) = match total.checked_sub(fee).and_then(|net| net.checked_sub(floors)) {
        // Each part is rounded down; the provider takes the rest.
        Some(rest) => (rest, fee),
        // The fee was rounded up by more than the parts were rounded down: the total that leaves these parts.
        None => {
            let total = math::gross(floors, terms.fee_bps, least.max(most))?;
            (0, total.checked_sub(floors).ok_or(Code::OVERFLOW)?)
        }
    };
    for (party, amount) in &mut pay {
        let more = match *party {
            Party::PROVIDER => rest,
            Party::OPERATOR => fee,
            _ => 0,
        };
        *amount = amount.checked_add(more).ok_or(Code::OVERFLOW)?;
    }
    pay.retain(|(_, amount)| *amount > 0);
    let mut notes = all.notes;
    notes.truncate(SPLIT_NOTES_MAX.saturating_sub(1));
    let detail = least.abs_diff(most).to_le_bytes().into_iter().chain(bps.to_le_bytes()).collect();
    notes.push(Note { code: NOTE_RULED, bytes: detail });
    Ok(Split {
        pay,
        slash: math::ruled(none.slash, all.slash, bps)?,
        consume: math::ruled(none.consume, all.consume, bps)?,
        notes,
        // A ruling closes the lease: nobody will read it.
        state: all.state,
    })
}

/// The same lease as if the contested usage had been delivered, or not been. What was promised stays.
fn decided(facts: &Facts, delivered: bool) -> Result<Facts, Code> {
    let contested = facts.usage.contested()?;
    let mut facts = facts.clone();
    facts.ctx.trigger = Trigger::Final;
    for window in facts.usage.windows.iter_mut().filter(|window| window.source == Evidence::ProviderOnly) {
        window.source = Evidence::Both;
        if !delivered {
            window.delivered = 0;
        }
    }
    if !delivered {
        facts.usage.cumulative = facts.usage.cumulative.checked_sub(contested).ok_or(Code::CONTRADICTION)?;
    }
    Ok(facts)
}

fn amount(split: &Split, party: Party) -> Money {
    split.pay.iter().find(|(other, _)| *other == party).map_or(0, |(_, amount)| *amount)
}
