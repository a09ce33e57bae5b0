//! Let a sponsor pay for those it admits, as far as its allowance goes.
//!
//! Whose purse a payment comes from is not the contract's to say: the ledger divides every payment among the sources of
//! the lease by their shares, and the terms tell the sponsors' part ([`Terms::sponsor_bps`]). The contract makes sure
//! before signing that this part leaves the co-payment to the requester, counts the units that the allowance covers, and
//! admits requesters. What stays unused returns to its sources, hence to the sponsor: also a rule of the ledger.
//!
//! *Covered* is usage within the allowance (`consumed by this lease + quota left`) and within what the leased units could
//! deliver until the grant expires: inside a window this counts by the second. The rest is paid as [`Beyond`] says. The
//! state is what this lease has consumed so far (`u128`, little endian); a lease without an allowance has none, and is
//! bounded by the expiry alone.
//!
//! | trigger | counted |
//! |---|---|
//! | interim | all but the contested usage |
//! | final, expired, cancelled (a sponsor that withdraws cancels: only the future is lost) | all |
//! | no-show | nothing |
//! | ruling | all but the contested usage, and `provider_bps` of that |
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

use borsh::{BorshDeserialize, BorshSerialize};
use hansa_contracts_abi::limits::BPS_MAX;
use hansa_contracts_abi::{
    ABI_VERSION, Admission, Bps, Claims, Code, Contract, Counted, Facts, Meta, Note, Party, Quote, Role,
    Split, Terms, export, math,
};

/// Note on any settlement: more is owed than is locked. Its bytes are the uncovered micro-euro (`u128`, little
/// endian); nobody owes them.
pub const NOTE_UNCOVERED: u16 = 2;
/// Note on any settlement: the allowance or the expiry leaves usage uncovered. Its bytes are these units, rounded up
/// (`u128`, little endian); the provider may stop then.
pub const NOTE_BEYOND_GRANT: u16 = 4;

/// The grant is for requesters of other member states.
pub const REASON_HOME: u32 = 1_000;
/// The grant is for other kinds of organisation.
pub const REASON_CLASS: u32 = 1_001;
/// The grant is for other purposes.
pub const REASON_PURPOSE: u32 = 1_002;

/// What is paid for usage that the grant does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Beyond {
    /// Nothing.
    Nothing,
    /// The co-payment's part of the price.
    CoPayment,
}

/// Figures of the tariff.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Params {
    /// Least part of every payment that the requester bears.
    pub co_payment_bps: Bps,
    /// First second that the grant does not cover any more, Unix time.
    pub expiry: u64,
    /// What is paid for usage that the grant does not cover.
    pub beyond: Beyond,
    /// Members that may be home to the requester, as ISO codes; empty for all.
    pub members: Vec<[u8; 2]>,
    /// Kinds of organisation that may have a lease, by the ledger's numbers; empty for all.
    pub classes: Vec<u8>,
    /// Purposes of the sponsor's grant, by the ledger's numbers; empty for all, and for requesters without one.
    pub purposes: Vec<u8>,
}

/// The contract.
#[derive(Clone, Copy, Debug)]
pub struct Grant;

export!(Grant);

impl Contract for Grant {
    type Params = Params;

    const META: Meta = Meta {
        name: "grant",
        version: env!("CARGO_PKG_VERSION"),
        abi: ABI_VERSION,
        tariff: include_str!("../tariff.md"),
    };

    fn quote(params: &Params, terms: &Terms) -> Result<Quote, Code> {
        check(params, terms)?;
        if terms.start >= params.expiry {
            return Err(Code::OUT_OF_WINDOW);
        }
        Counted::check(terms)?;
        Ok(Quote { lock: math::lock(terms.capacity_total(), terms.price)?, stake: 0 })
    }

    fn settle(params: &Params, facts: &Facts) -> Result<Split, Code> {
        check(params, &facts.terms)?;
        let cover = Cover::of(params, facts)?;
        let owed = cover.owed(params, facts)?;
        let total = owed.min(facts.escrow.locked);
        if total < facts.escrow.paid {
            return Err(Code::CONTRADICTION);
        }
        let fee = math::fee(total, facts.terms.fee_bps)?;
        let provider = total.checked_sub(fee).ok_or(Code::OVERFLOW)?;
        let pay = [(Party::PROVIDER, provider), (Party::OPERATOR, fee)];
        let uncovered = owed.checked_sub(total).ok_or(Code::OVERFLOW)?;
        let notes = [(NOTE_UNCOVERED, uncovered), (NOTE_BEYOND_GRANT, whole_units(cover.beyond))];
        Ok(Split {
            pay: pay.into_iter().filter(|(_, amount)| *amount > 0).collect(),
            slash: 0,
            consume: cover.consume,
            notes: notes
                .into_iter()
                .filter(|(_, figure)| *figure > 0)
                .map(|(code, figure)| Note { code, bytes: figure.to_le_bytes().to_vec() })
                .collect(),
            state: cover.state,
        })
    }

    fn admit(params: &Params, _: &Terms, claims: &Claims) -> Result<Admission, Code> {
        let home = params.members.is_empty() || params.members.contains(&claims.home);
        let class = params.classes.is_empty() || params.classes.contains(&claims.class);
        let listed = |purpose| params.purposes.contains(&purpose);
        let purpose = params.purposes.is_empty() || claims.purpose.is_some_and(listed);
        Ok(match (home, class, purpose) {
            (false, ..) => Admission::No(REASON_HOME),
            (_, false, _) => Admission::No(REASON_CLASS),
            (.., false) => Admission::No(REASON_PURPOSE),
            (true, true, true) => Admission::Yes,
        })
    }
}

fn check(params: &Params, terms: &Terms) -> Result<(), Code> {
    terms.check()?;
    let sponsored_most = BPS_MAX.checked_sub(params.co_payment_bps).ok_or(Code::BAD_PARAMS)?;
    let sponsor = terms.parties.contains(&Role::Sponsor) || terms.sponsor_bps == 0;
    if sponsor && terms.sponsor_bps <= sponsored_most { Ok(()) } else { Err(Code::BAD_TERMS) }
}

/// What of the usage the grant covers, in ten-thousandths of a unit.
struct Cover {
    covered: u128,
    beyond: u128,
    /// Whole units to take from the allowance now.
    consume: u128,
    state: Vec<u8>,
}

impl Cover {
    fn of(params: &Params, facts: &Facts) -> Result<Self, Code> {
        let counted = Counted::of(facts)?.0;
        let in_time = Counted::units(facts.terms.capacity(facts.ctx.now.min(params.expiry)))?.0;
        let in_time = counted.min(in_time);
        let (covered, consume, state) = match facts.ctx.quota_left {
            None => (in_time, 0, facts.state.clone()),
            Some(left) => {
                let before = consumed(&facts.state)?;
                let allowance = before.checked_add(left).ok_or(Code::OVERFLOW)?;
                // An allowance too large for this scale is larger than any usage.
                let covered = Counted::units(allowance).map_or(in_time, |allowance| in_time.min(allowance.0));
                let now = whole_units(covered);
                let consume = now.checked_sub(before).ok_or(Code::CONTRADICTION)?;
                (covered, consume, now.to_le_bytes().to_vec())
            }
        };
        let beyond = counted.checked_sub(covered).ok_or(Code::OVERFLOW)?;
        Ok(Cover { covered, beyond, consume, state })
    }

    /// What is owed for all of it: one floor.
    fn owed(&self, params: &Params, facts: &Facts) -> Result<u128, Code> {
        let beyond_bps = match params.beyond {
            Beyond::Nothing => 0,
            Beyond::CoPayment => params.co_payment_bps,
        };
        let beyond = math::times_bps(self.beyond, beyond_bps)?;
        let units = math::times_bps(self.covered, BPS_MAX)?.checked_add(beyond).ok_or(Code::OVERFLOW)?;
        let den = math::times_bps(Counted::units(u128::from(facts.terms.price.den))?.0, BPS_MAX)?;
        math::mul_div_floor(units, facts.terms.price.num, den)
    }
}

/// What this lease has taken from the allowance so far.
fn consumed(state: &[u8]) -> Result<u128, Code> {
    match state {
        [] => Ok(0),
        _ => state.try_into().map(u128::from_le_bytes).map_err(|_| Code::BAD_INPUT),
    }
}

/// Units of which at least a part is used.
fn whole_units(ten_thousandths: u128) -> u128 {
    ten_thousandths.div_ceil(u128::from(BPS_MAX))
}
