//! What is held back of a provider's pay out of grants: the sponsor has a window in which it may object.

use crate::action::BlockInHand;
use crate::event::Event;
use crate::facts::recipient;
use crate::id::LeaseId;
use crate::member::MemberCode;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::row::{
    AccountId, Deadline, DeadlineKind, Holdback, Lease, LeaseSource, LeaseState, PartyMoney, Payment, Purse,
};
use crate::tables::{Deadlines, Leases, Requests};
use hansa_contracts_abi::Party;

/// What is held back of a payment to the provider, or to one that its offer names, out of one source: only public money is.
/// Those named share what the provider earns, so they share the risk: else a provider could have itself paid through them.
pub(crate) fn held_part(lease: &Lease, source: &LeaseSource, payment: Money) -> Money {
    match source.purse {
        Purse::Grant(_) => part(payment, lease.agreement.holdback_bps),
        Purse::Cash => Money::ZERO,
    }
}

/// A part in basis points, rounded down.
fn part(amount: Money, bps: u16) -> Money {
    let part = amount.wide().saturating_mul(u128::from(bps)).checked_div(10_000).unwrap_or(0);
    Money::try_from(part).unwrap_or(amount).min(amount)
}

/// How much of the requester's home's debit cap the money that is still held back keeps: what others at home elsewhere may
/// get.
fn exposure(lease: &Lease) -> Money {
    let abroad = |one: &&PartyMoney| {
        recipient(lease, Party(one.party)).is_some_and(|(_, home)| home != lease.requester_home)
    };
    let held = lease.sources.iter().flat_map(|source| &source.held_for).filter(abroad);
    // No more than was locked, so the sum fits.
    held.fold(Money::ZERO, |sum, one| Money(sum.0.saturating_add(one.amount.0)))
}

impl BlockInHand<'_> {
    /// After a settlement: keeps the debit cap for what is held back, and sets the end of the audit window.
    pub(crate) fn hold_back(&mut self, id: LeaseId, lease: &mut Lease) -> Result<(), Rejection> {
        let amount = lease.held();
        if amount == Money::ZERO {
            return Ok(());
        }
        self.lock_position(lease.requester_home, exposure(lease))?;
        let due = self.now.plus(lease.agreement.audit_window_ms);
        self.view.put::<Deadlines>(Deadline { due, kind: DeadlineKind::Holdback, subject: id.0 }, ());
        lease.holdback = Some(Holdback { amount, due, objected: false, released: false });
        self.emit(Event::PayHeldBack { lease: id, amount, due });
        Ok(())
    }

    /// The sponsor objects to a settlement while part of the pay is held back.
    pub(crate) fn object(&mut self, id: LeaseId, sponsor: MemberCode) -> Result<(), Rejection> {
        let mut lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        if lease.sponsor != Some(sponsor) {
            return Err(Rejection::NotSponsor);
        }
        let open = lease.state == LeaseState::Settled;
        let Some(holdback) = lease.holdback.as_mut().filter(|_| open) else {
            return Err(Rejection::NotObjectionable);
        };
        if holdback.objected || holdback.released || self.now >= holdback.due {
            return Err(Rejection::NotObjectionable);
        }
        holdback.objected = true;
        self.view.put::<Leases>(id, lease);
        self.emit(Event::LeaseObjected { lease: id, sponsor });
        Ok(())
    }

    /// At the end of the audit window: the provider gets what was held back, or, where the sponsor objected, the part that
    /// both sides signed for what stays contested; the rest returns to the grant.
    pub(crate) fn release_holdback(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let mut lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        let Some(holdback) = lease.holdback.clone().filter(|holdback| !holdback.released) else {
            return Ok(());
        };
        let request = self.view.lend::<Requests>(&lease.request).ok_or(Rejection::RequestUnknown)?;
        self.unlock_position(lease.requester_home, exposure(&lease))?;
        let provider_bps = if holdback.objected { lease.agreement.contest_provider_bps } else { 10_000 };
        let (mut payments, mut refunds) = (Vec::new(), Vec::new());
        for index in 0..lease.sources.len() {
            let number = u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?;
            let from = AccountId::Escrow(lease.request, number);
            let held = lease.sources.get_mut(index).map(|source| std::mem::take(&mut source.held_for));
            let mut paid = Money::ZERO;
            for one in held.unwrap_or_default() {
                let now = part(one.amount, provider_bps);
                let Some((to, home)) = recipient(&lease, Party(one.party)) else { continue };
                self.transfer(&from, to.clone(), home, now)?;
                paid = paid.checked_add(now).ok_or(Rejection::Overflow)?;
                if now != Money::ZERO {
                    payments.push(Payment { from: from.clone(), to, amount: now });
                }
            }
            let Some(source) = lease.sources.get_mut(index) else { continue };
            let back = source.held.checked_sub(paid).ok_or(Rejection::Overflow)?;
            source.paid = source.paid.checked_add(paid).ok_or(Rejection::Overflow)?;
            source.held = Money::ZERO;
            if back != Money::ZERO {
                let to = self.refund_part(lease.request, index, &request, back)?;
                refunds.push(Payment { from, to, amount: back });
            }
        }
        lease.holdback = Some(Holdback { released: true, ..holdback });
        self.view.put::<Leases>(id, lease);
        self.schedule_all();
        self.emit(Event::HoldbackReleased { lease: id, payments, refunds });
        Ok(())
    }
}
