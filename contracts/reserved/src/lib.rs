//! Pay for capacity that was held, less the credits of its service level.
//!
//! # How the service level is judged
//!
//! The contract keeps no state: it judges the whole lease at each close, so that the number of settlements on the way
//! cannot change the result. A period is [`Params::period_windows`] windows by their index; `u32::MAX` makes the lease
//! one period. Of each period that the ledger lists, availability is `delivered / committed`, rounded down to a basis
//! point, and the credit is the largest of all steps crossed (strictly below).
//!
//! * `committed` is what the ledger says was promised: without downtime that the requester caused, without announced
//!   maintenance. If more was delivered than promised (accelerators stayed allocated through such downtime), it is paid.
//! * A listed period in which nothing was delivered is not paid at all, whatever the steps say.
//! * Units in `cumulative` that no listed window holds are paid as delivered, without credit: of windows that the ledger
//!   leaves out it does not say what was promised. A ledger that wants a window judged lists it.
//! * Two windows must not promise the same time twice: where a ruling splits one reported figure into an admitted and a
//!   contested window, their `committed` add up to what was promised for both.
//!
//! | trigger | paid | slashed |
//! |---|---|---|
//! | interim | what is delivered and not contested, less the largest credit there can be | nothing |
//! | final, expired, cancelled | as judged | credits beyond the cap |
//! | cancelled by the provider | as judged | the same, with the time left as undelivered |
//! | no-show | nothing | the stake |
//! | ruling | as judged, `provider_bps` of each contested window delivered | credits beyond the cap |
//!
//! Nothing delivered at all, where something was promised, also costs the stake, unless another than the provider
//! cancelled: who ends a lease before its first report does not earn a stake.
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
use hansa_contracts_abi::limits::{BPS_MAX, SLA_STEPS_MAX};
use hansa_contracts_abi::{
    ABI_VERSION, Bps, Code, Contract, Counted, Evidence, Facts, Meta, Money, Note, Party, Quote, SlaStep,
    Split, Terms, Trigger, contested_bps, math,
};

/// Note on any settlement: more is owed than is locked. Its bytes are the uncovered micro-euro (`u128`, little
/// endian); nobody owes them.
pub const NOTE_UNCOVERED: u16 = 2;
/// Note on a closing settlement: less is owed than all that was promised would cost. Its bytes are the difference in
/// micro-euro (`u128`, little endian).
pub const NOTE_CREDITED: u16 = 3;

/// Figures of the tariff.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Params {
    /// Steps by strictly falling availability. They hold where the terms state no service level of their own.
    pub sla: Vec<SlaStep>,
    /// Windows of one period; at least one.
    pub period_windows: u32,
    /// Most of the price that credits may take. What a step promises beyond it comes out of the stake.
    pub credit_cap_bps: Bps,
    /// Stake to hold from the provider, as a part of the lock, rounded up.
    pub stake_bps: Bps,
}

/// The contract.
#[derive(Clone, Copy, Debug)]
pub struct Reserved;

#[cfg(feature = "module")]
hansa_contracts_abi::export!(Reserved);

impl Contract for Reserved {
    type Params = Params;

    const META: Meta = Meta {
        name: "reserved",
        version: env!("CARGO_PKG_VERSION"),
        abi: ABI_VERSION,
        tariff: include_str!("../tariff.md"),
    };

    fn quote(params: &Params, terms: &Terms) -> Result<Quote, Code> {
        service_level(params, terms)?;
        Counted::check(terms)?;
        let lock = math::lock(terms.capacity_total(), terms.price)?;
        let stake = math::mul_div_ceil(lock, u128::from(params.stake_bps), u128::from(BPS_MAX))?;
        Ok(Quote { lock, stake })
    }

    fn settle(params: &Params, facts: &Facts) -> Result<Split, Code> {
        let level = service_level(params, &facts.terms)?;
        let owed = match facts.ctx.trigger {
            Trigger::Interim => level.certain(facts)?,
            _ => level.judge(facts)?,
        };
        let total = owed.pay.min(facts.escrow.locked);
        if total < facts.escrow.paid {
            return Err(Code::CONTRADICTION);
        }
        let fee = math::fee(total, facts.terms.fee_bps)?;
        let provider = total.checked_sub(fee).ok_or(Code::OVERFLOW)?;
        let pay = [(Party::PROVIDER, provider), (Party::OPERATOR, fee)];
        let note = |code, amount: Money| Note { code, bytes: amount.to_le_bytes().to_vec() };
        let uncovered = owed.pay.checked_sub(total).ok_or(Code::OVERFLOW)?;
        let notes = [note(NOTE_UNCOVERED, uncovered), note(NOTE_CREDITED, owed.credited)];
        let stated = [uncovered > 0, owed.credited > 0];
        Ok(Split {
            pay: pay.into_iter().filter(|(_, amount)| *amount > 0).collect(),
            slash: owed.slash.min(facts.escrow.stake).min(facts.terms.slash_max),
            consume: 0,
            notes: notes
                .into_iter()
                .zip(stated)
                .filter(|(_, stated)| *stated)
                .map(|(note, _)| note)
                .collect(),
            state: vec![],
        })
    }
}

/// What the facts come to, before any cap by lock, stake and terms.
struct Owed {
    pay: Money,
    slash: Money,
    credited: Money,
}

/// The service level that holds, in order.
struct Level<'a> {
    steps: &'a [SlaStep],
    period_windows: u32,
    cap_bps: Bps,
}

/// What was reported of a period, in units.
#[derive(Clone, Copy, Default)]
struct Period {
    number: u32,
    certain: u128,
    contested: u128,
    committed: u128,
}

/// Sums over all periods, in units times 10,000 times 10,000 where nothing else is said.
#[derive(Default)]
struct Sums {
    /// Delivered and promised in periods where nothing is missing and nothing contested, in units.
    kept: u128,
    /// What would be paid for all others had nothing been missing, in units times 10,000.
    whole: u128,
    /// What of it is not paid.
    credited: u128,
    /// Credit beyond the cap.
    beyond: u128,
    /// Whether anything was delivered, and whether anything was promised.
    delivered: bool,
    promised: bool,
}

/// The steps of the terms where the ledger states any, else those of the parameters.
fn service_level<'a>(params: &'a Params, terms: &'a Terms) -> Result<Level<'a>, Code> {
    terms.check()?;
    if !math::tiers_in_order(&terms.sla) {
        return Err(Code::BAD_TERMS);
    }
    let sound = math::tiers_in_order(&params.sla) && params.sla.len() <= SLA_STEPS_MAX;
    let figures =
        params.period_windows > 0 && params.credit_cap_bps <= BPS_MAX && params.stake_bps <= BPS_MAX;
    if !sound || !figures {
        return Err(Code::BAD_PARAMS);
    }
    let steps = if terms.sla.is_empty() { &params.sla } else { &terms.sla };
    Ok(Level { steps, period_windows: params.period_windows, cap_bps: params.credit_cap_bps })
}

impl Level<'_> {
    /// Paid while the lease goes on. At the close each unit counted here is paid at least as much: a unit delivered
    /// loses no more than the largest credit, listed or not, however its period ends.
    fn certain(&self, facts: &Facts) -> Result<Owed, Code> {
        let due = Counted::of(facts)?.due(facts.terms.price)?;
        let largest = math::credit(self.steps, 0).min(self.cap_bps);
        Ok(Owed { pay: math::retained(due, largest)?, slash: 0, credited: 0 })
    }

    fn judge(&self, facts: &Facts) -> Result<Owed, Code> {
        let (terms, trigger) = (&facts.terms, facts.ctx.trigger);
        if trigger == Trigger::NoShow {
            return Ok(Owed { pay: 0, slash: Money::MAX, credited: 0 });
        }
        let mut sums = self.sum(facts)?;
        let left = trigger == Trigger::Cancelled { by: Party::PROVIDER };
        if left {
            let undelivered = terms.capacity_total().checked_sub(terms.capacity(facts.ctx.now));
            let period = Period { committed: undelivered.ok_or(Code::OVERFLOW)?, ..Period::default() };
            self.add(&mut sums, period, 0)?;
        }
        // Time that the parties could not have agreed on is not paid, whatever the windows say.
        let capacity = squared(Counted::units(terms.capacity(facts.ctx.now))?.0)?;
        let den = squared(Counted::units(u128::from(terms.price.den))?.0)?;
        let worth = |units: u128| math::mul_div_floor(units, terms.price.num, den);
        let whole = Counted::units(sums.kept)?.0.checked_add(sums.whole).ok_or(Code::OVERFLOW)?;
        let whole = squared(whole)?;
        let earned = whole.checked_sub(sums.credited).ok_or(Code::OVERFLOW)?;
        let (whole, pay) = (worth(whole.min(capacity))?, worth(earned.min(capacity))?);
        let ended_by_other = matches!(trigger, Trigger::Cancelled { .. }) && !left;
        let vanished = !sums.delivered && sums.promised && !ended_by_other;
        let slash = if vanished { Money::MAX } else { worth(sums.beyond)? };
        Ok(Owed { pay, slash, credited: whole.saturating_sub(pay) })
    }

    fn sum(&self, facts: &Facts) -> Result<Sums, Code> {
        let contested_bps = contested_bps(facts)?;
        let mut sums = Sums::default();
        let mut period = Period::default();
        let mut unlisted = facts.usage.cumulative;
        for window in &facts.usage.windows {
            let number = window.index.checked_div(self.period_windows).ok_or(Code::BAD_PARAMS)?;
            if number != period.number {
                self.add(&mut sums, period, contested_bps)?;
                period = Period { number, ..Period::default() };
            }
            let delivered = u128::from(window.delivered);
            unlisted = unlisted.checked_sub(delivered).ok_or(Code::CONTRADICTION)?;
            let contested = window.source == Evidence::ProviderOnly;
            let part = if contested { &mut period.contested } else { &mut period.certain };
            *part = part.checked_add(delivered).ok_or(Code::OVERFLOW)?;
            let committed = u128::from(window.committed);
            period.committed = period.committed.checked_add(committed).ok_or(Code::OVERFLOW)?;
        }
        self.add(&mut sums, period, contested_bps)?;
        // No more than the lease could deliver: a figure beyond it is cut to it later, and must not overflow before.
        let unlisted = unlisted.min(facts.terms.capacity(facts.ctx.now));
        sums.delivered |= unlisted > 0;
        sums.kept = sums.kept.checked_add(unlisted).ok_or(Code::OVERFLOW)?;
        Ok(sums)
    }

    /// Judges one period.
    fn add(&self, sums: &mut Sums, period: Period, contested_bps: Bps) -> Result<(), Code> {
        sums.promised |= period.committed > 0;
        if period.contested == 0 && period.certain >= period.committed {
            // The everyday case is the cheap one.
            sums.delivered |= period.certain > 0;
            sums.kept = sums.kept.checked_add(period.certain).ok_or(Code::OVERFLOW)?;
            return Ok(());
        }
        let promised = Counted::units(period.committed)?.0;
        let contested = math::times_bps(period.contested, contested_bps)?;
        let delivered = Counted::units(period.certain)?.0.checked_add(contested).ok_or(Code::OVERFLOW)?;
        sums.whole = sums.whole.checked_add(promised.max(delivered)).ok_or(Code::OVERFLOW)?;
        sums.delivered |= delivered > 0;
        if delivered >= promised {
            return Ok(());
        }
        let credit = math::credit(self.steps, math::availability(delivered, promised)?);
        let credited = if delivered == 0 { BPS_MAX } else { credit.min(self.cap_bps) };
        let beyond = credit.saturating_sub(self.cap_bps);
        for (sum, bps) in [(&mut sums.credited, credited), (&mut sums.beyond, beyond)] {
            *sum = sum.checked_add(math::times_bps(promised, bps)?).ok_or(Code::OVERFLOW)?;
        }
        Ok(())
    }
}

/// Ten-thousandths of ten-thousandths.
fn squared(ten_thousandths: u128) -> Result<u128, Code> {
    math::times_bps(ten_thousandths, BPS_MAX)
}
