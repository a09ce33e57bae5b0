//! Divide what the provider earned among those who paid for the machine.
//!
//! What is due is due as under `spot`: usage times price with one floor, less the federation's fee. The net goes through
//! a waterfall, each step a function of the cumulative net alone, so that nothing has to be remembered between two
//! settlements and nobody's part ever falls:
//!
//! 1. operating cost: to the provider, as a part of each micro-euro of net;
//! 2. public return: everything to the public side until its return is reached;
//! 3. private return: everything to the private side until its return is reached;
//! 4. pro rata: the rest between the two sides by the sums of their shares;
//! 5. state-aid cap: a hard stop for the private side, whatever step it is on; what it may not take, the public side gets.
//!
//! Each side is then divided by the shares of its holders. Largest remainders are given out at the close only: while
//! the total grows a share by largest remainder may fall, and what is paid cannot be asked back. Until then each holder
//! receives its floor, and the few micro-euro in between stay locked.
//!
//! What earlier leases returned stands in the parameters: an offer is renewed with higher figures as returns come in.
//! Leases that run side by side under the same offer each count from there.
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
use hansa_contracts_abi::limits::{BPS_MAX, NAMED_PARTIES_MAX};
use hansa_contracts_abi::{
    ABI_VERSION, Bps, Code, Contract, Counted, Facts, Meta, Money, Note, Party, Quote, Role, Split, Terms,
    export, math,
};

/// Note on any settlement: more is owed than is locked. Its bytes are the uncovered micro-euro (`u128`, little
/// endian); nobody owes them.
pub const NOTE_UNCOVERED: u16 = 2;
/// Note on any settlement: the state-aid cap stopped the private side. Its bytes are the micro-euro that went to the
/// public side instead (`u128`, little endian).
pub const NOTE_AID_CAP: u16 = 5;

/// Whose money a holder invested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Side {
    /// Taxpayers'.
    Public,
    /// Investors'.
    Private,
}

/// Somebody with a share in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Holder {
    /// The provider, or a party that the offer names.
    pub party: Party,
    /// Whose money it invested.
    pub side: Side,
    /// Its share; all together are 10,000. Zero is allowed: such a holder receives nothing.
    pub share_bps: Bps,
}

/// A return that comes before the division by shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Return {
    /// All that the side is to receive this way, over all leases, in micro-euro; zero for no such claim.
    pub until: Money,
    /// What earlier leases paid to the side in all, in micro-euro.
    pub returned_before: Money,
}

/// Figures of the tariff.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Params {
    /// Cost of operation in micro-euro, for as many units as the price is for ([`hansa_contracts_abi::Price::den`]). If
    /// it is above what is left of the price after the fee, the provider receives all of that.
    pub operating_cost: Money,
    /// By rising party.
    pub holders: Vec<Holder>,
    /// The public side's return.
    pub public: Return,
    /// The private side's return, after the public one.
    pub private: Return,
    /// Most that the private side may receive over all leases, if state aid limits it.
    pub aid_cap: Option<Money>,
}

/// The contract.
#[derive(Clone, Copy, Debug)]
pub struct Coinvest;

export!(Coinvest);

impl Contract for Coinvest {
    type Params = Params;

    const META: Meta = Meta {
        name: "coinvest",
        version: env!("CARGO_PKG_VERSION"),
        abi: ABI_VERSION,
        tariff: include_str!("../tariff.md"),
    };

    fn quote(params: &Params, terms: &Terms) -> Result<Quote, Code> {
        params.check(terms)?;
        Counted::check(terms)?;
        let lock = math::lock(terms.capacity_total(), terms.price)?;
        // The division of the largest net there can be is tried here, so that it cannot overflow after signing.
        params.waterfall(lock, terms)?;
        Ok(Quote { lock, stake: 0 })
    }

    fn settle(params: &Params, facts: &Facts) -> Result<Split, Code> {
        params.check(&facts.terms)?;
        let fee_bps = facts.terms.fee_bps;
        let owed = Counted::of(facts)?.due(facts.terms.price)?;
        let covered = owed.min(facts.escrow.locked);
        let net = covered.checked_sub(math::fee(covered, fee_bps)?).ok_or(Code::OVERFLOW)?;
        let flow = params.waterfall(net, &facts.terms)?;
        let mut amounts = params.divide(&flow, &facts.terms, facts.ctx.trigger.closes())?;
        let net =
            amounts.iter().try_fold(0u128, |sum, amount| sum.checked_add(*amount)).ok_or(Code::OVERFLOW)?;
        let total = math::gross(net, fee_bps, covered)?;
        if total < facts.escrow.paid {
            return Err(Code::CONTRADICTION);
        }
        *amount_of(&mut amounts, Party::OPERATOR)? = total.checked_sub(net).ok_or(Code::OVERFLOW)?;
        let pay = (0..).map(Party).zip(amounts).filter(|(_, amount)| *amount > 0).collect();
        let uncovered = owed.checked_sub(covered).ok_or(Code::OVERFLOW)?;
        let notes = [(NOTE_UNCOVERED, uncovered), (NOTE_AID_CAP, flow.stopped)]
            .into_iter()
            .filter(|(_, amount)| *amount > 0)
            .map(|(code, amount)| Note { code, bytes: amount.to_le_bytes().to_vec() })
            .collect();
        Ok(Split { pay, slash: 0, consume: 0, notes, state: vec![] })
    }
}

/// Where the net goes. `cost + public + private` is the net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    cost: Money,
    public: Money,
    private: Money,
    /// The part of `public` that the private side may not take.
    stopped: Money,
}

impl Params {
    fn check(&self, terms: &Terms) -> Result<(), Code> {
        terms.check()?;
        let rising = self.holders.is_sorted_by(|one, next| one.party < next.party);
        // The named parties and the provider.
        let few = self.holders.len() <= NAMED_PARTIES_MAX.saturating_add(1);
        let whole = self.weight(Side::Public).checked_add(self.weight(Side::Private));
        if !rising || !few || whole != Some(u64::from(BPS_MAX)) {
            return Err(Code::BAD_PARAMS);
        }
        for holder in &self.holders {
            match terms.parties.get(usize::from(holder.party.0)) {
                Some(Role::Provider | Role::Named) => {}
                Some(_) => return Err(Code::BAD_PARAMS),
                None => return Err(Code::UNKNOWN_PARTY),
            }
        }
        // Nobody can receive what a side without shares is to have.
        let public_is_paid = self.public.until > 0 || self.aid_cap.is_some();
        let nobody = (self.weight(Side::Public) == 0 && public_is_paid)
            || (self.weight(Side::Private) == 0 && self.private.until > 0);
        if nobody { Err(Code::BAD_PARAMS) } else { Ok(()) }
    }

    /// The shares of one side together.
    fn weight(&self, side: Side) -> u64 {
        let shares = self.holders.iter().filter(|holder| holder.side == side);
        // At most 13 figures of 16 bits.
        shares.fold(0u64, |sum, holder| sum.saturating_add(u64::from(holder.share_bps)))
    }

    fn waterfall(&self, net: Money, terms: &Terms) -> Result<Flow, Code> {
        let cost = self.cost(net, terms)?;
        let rest = net.checked_sub(cost).ok_or(Code::OVERFLOW)?;
        // A side that has received more than its return by now, pro rata, has no claim left.
        let public_return = rest.min(self.public.until.saturating_sub(self.public.returned_before));
        let rest_2 = rest.checked_sub(public_return).ok_or(Code::OVERFLOW)?;
        let private_return = rest_2.min(self.private.until.saturating_sub(self.private.returned_before));
        let rest_3 = rest_2.checked_sub(private_return).ok_or(Code::OVERFLOW)?;
        // Between two, a share by largest remainder never falls.
        let sides = math::shares(rest_3, &[self.weight(Side::Public), self.weight(Side::Private)])?;
        let pro_rata = sides.last().copied().unwrap_or(0);
        let entitled = private_return.checked_add(pro_rata).ok_or(Code::OVERFLOW)?;
        let private = match self.aid_cap {
            Some(cap) => entitled.min(cap.saturating_sub(self.private.returned_before)),
            None => entitled,
        };
        let public = rest.checked_sub(private).ok_or(Code::OVERFLOW)?;
        let stopped = entitled.checked_sub(private).ok_or(Code::OVERFLOW)?;
        Ok(Flow { cost, public, private, stopped })
    }

    /// The provider's operating cost in this net: the same part of each micro-euro, so that neither it nor the rest falls
    /// when the net grows.
    fn cost(&self, net: Money, terms: &Terms) -> Result<Money, Code> {
        let kept = BPS_MAX.checked_sub(terms.fee_bps).ok_or(Code::BAD_TERMS)?;
        let price = terms.price.num.checked_mul(u128::from(kept)).ok_or(Code::OVERFLOW)?;
        let cost = self.operating_cost.checked_mul(u128::from(BPS_MAX)).ok_or(Code::OVERFLOW)?;
        if cost >= price { Ok(net) } else { math::mul_div_floor(net, cost, price) }
    }

    /// What each party receives of the flow, by its position.
    fn divide(&self, flow: &Flow, terms: &Terms, closes: bool) -> Result<Vec<Money>, Code> {
        let mut amounts = vec![0; terms.parties.len()];
        *amount_of(&mut amounts, Party::PROVIDER)? = flow.cost;
        for (side, amount) in [(Side::Public, flow.public), (Side::Private, flow.private)] {
            if self.weight(side) == 0 {
                continue;
            }
            // A holder of the other side has no weight on this one.
            let weight = |holder: &Holder| if holder.side == side { holder.share_bps.into() } else { 0 };
            let weights: Vec<u64> = self.holders.iter().map(weight).collect();
            let parts =
                if closes { math::shares(amount, &weights)? } else { math::shares_floor(amount, &weights)? };
            for (holder, part) in self.holders.iter().zip(parts) {
                let so_far = amount_of(&mut amounts, holder.party)?;
                *so_far = so_far.checked_add(part).ok_or(Code::OVERFLOW)?;
            }
        }
        Ok(amounts)
    }
}

fn amount_of(amounts: &mut [Money], party: Party) -> Result<&mut Money, Code> {
    amounts.get_mut(usize::from(party.0)).ok_or(Code::UNKNOWN_PARTY)
}
