//! What the parties of a lease signed.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::contract::Code;
use crate::limits::{BPS_MAX, NAMED_PARTIES_MAX, SLA_STEPS_MAX};

/// Money of account in micro-euro. State holds `u64`; products and this ABI hold `u128`.
pub type Money = u128;

/// Basis points, 0 to 10,000.
pub type Bps = u16;

/// A party of the agreement, as its position in [`Terms::parties`]. A contract never sees an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Party(pub u8);

impl Party {
    /// Who asked for the capacity, and gets back what is not paid out.
    pub const REQUESTER: Party = Party(0);
    /// Who offered the capacity.
    pub const PROVIDER: Party = Party(1);
    /// The fee account of the federation.
    pub const OPERATOR: Party = Party(2);
}

/// What a party is in the agreement. The first three positions are fixed, see [`Terms::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Role {
    /// Asked for the capacity.
    Requester,
    /// Offered the capacity.
    Provider,
    /// Receives the fee for the federation.
    Operator,
    /// Pays in place of the requester. At most one, always the fourth party.
    Sponsor,
    /// Named by the offer for a share of its own.
    Named,
}

/// What is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Unit {
    /// One accelerator, allocated for one second.
    AcceleratorSecond,
}

/// Micro-euro per `den` units of usage: an exact fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Price {
    /// Micro-euro.
    pub num: Money,
    /// Units (accelerator-seconds) that `num` buys; above zero. A price per accelerator-hour has 3,600 here.
    pub den: u64,
}

/// One step of a service level: below this availability, this credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SlaStep {
    /// The step is crossed when availability is strictly below this.
    pub below_bps: Bps,
    /// Part of the due amount that goes back to the requester.
    pub credit_bps: Bps,
}

/// The terms of a lease, fixed when it is awarded.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Terms {
    /// Requester, provider, operator, then the sponsor if there is one, then whom the offer names.
    pub parties: Vec<Role>,
    /// What is metered.
    pub unit: Unit,
    /// Units leased side by side (accelerators).
    pub units: u64,
    /// First second of the lease, Unix time.
    pub start: u64,
    /// First second after the lease, Unix time.
    pub end: u64,
    /// Price of usage.
    pub price: Price,
    /// The federation's part of everything paid to provider, operator and named parties together. It is a term, so that
    /// the ledger can hold every template to it.
    pub fee_bps: Bps,
    /// Part of every payment that comes out of the sponsors' purses; 0 when nobody sponsors.
    pub sponsor_bps: Bps,
    /// Most that may be taken from the provider's stake: what of it is held for this lease.
    pub slash_max: Money,
    /// Service level, by falling `below_bps`; empty if none was promised.
    pub sla: Vec<SlaStep>,
}

impl Terms {
    /// Refuses terms that no template could settle.
    ///
    /// # Errors
    /// [`Code::BAD_TERMS`] if the first three parties are not requester, provider and operator, if the fourth is
    /// neither sponsor nor named or a later one is not named, if there are too many named parties or service-level
    /// steps, if the lease ends before it starts, if the price has no denominator, or if a figure in basis points is
    /// above 10,000.
    #[inline]
    pub fn check(&self) -> Result<(), Code> {
        let [Role::Requester, Role::Provider, Role::Operator, named @ ..] = self.parties.as_slice() else {
            return Err(Code::BAD_TERMS);
        };
        let named = named.strip_prefix(&[Role::Sponsor]).unwrap_or(named);
        let others = named.len() <= NAMED_PARTIES_MAX && named.iter().all(|role| *role == Role::Named);
        let sla = self.sla.iter().all(|step| step.below_bps <= BPS_MAX && step.credit_bps <= BPS_MAX);
        let counts = self.sla.len() <= SLA_STEPS_MAX;
        let bps = self.fee_bps <= BPS_MAX && self.sponsor_bps <= BPS_MAX;
        let figures = self.start <= self.end && self.price.den > 0 && bps;
        if others && sla && counts && figures { Ok(()) } else { Err(Code::BAD_TERMS) }
    }

    /// Units that the lease could have delivered from its start until `now` (Unix seconds), never past its end. The
    /// product of two `u64` always fits.
    #[must_use]
    pub fn capacity(&self, now: u64) -> u128 {
        let seconds = now.min(self.end).saturating_sub(self.start);
        match (u32::try_from(self.units), u32::try_from(seconds)) {
            // One multiplication, where a product of 128 bits costs a guest a call.
            (Ok(units), Ok(seconds)) => u128::from(u64::from(units).wrapping_mul(u64::from(seconds))),
            _ => u128::from(self.units).saturating_mul(u128::from(seconds)),
        }
    }

    /// Units that the lease can deliver over its whole length.
    #[must_use]
    pub fn capacity_total(&self) -> u128 {
        self.capacity(self.end)
    }

    /// What provider, operator and named parties receive together of these payments: the base of the fee. What returns to
    /// those whose money it is, requester and sponsor, is nobody's income.
    ///
    /// # Errors
    /// [`Code::OVERFLOW`] if the sum does not fit.
    pub fn earned(&self, pay: &[(Party, Money)]) -> Result<Money, Code> {
        pay.iter()
            .filter(|(party, _)| {
                let role = self.parties.get(usize::from(party.0));
                !matches!(role, Some(Role::Requester | Role::Sponsor))
            })
            .try_fold(0u128, |sum, (_, amount)| sum.checked_add(*amount))
            .ok_or(Code::OVERFLOW)
    }
}
