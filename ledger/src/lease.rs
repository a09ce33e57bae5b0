//! The life of a lease after its award: how it ends, and how its money is divided.

use crate::action::BlockInHand;
use crate::event::Event;
use crate::holdback::held_part;
use crate::id::LeaseId;
use crate::market::{Calendar, Lane};
use crate::member::MemberCode;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::row::{
    AccountId, Closing, Deadline, DeadlineKind, EntitlementKey, Lease, LeaseState, OfferState, Payment,
    Purse, Settlement, SiteKey,
};
use crate::share;
use crate::tables::{Deadlines, Entitlements, Leases, LeasesLive, Offers, Requests, Settlements};
use crate::time::Slot;
use hansa_contracts_abi::{
    Bps, CheckedSplit, Ctx, Escrow, Evidence, Facts, Failure, Fallback, Party, Price, Role, Split, Terms,
    Trigger, Unit, Usage, Window, check_split, fallback_split,
};

/// The terms of a lease as its contract sees them.
#[must_use]
pub fn terms(lease: &Lease) -> Terms {
    Terms {
        parties: vec![Role::Requester, Role::Provider, Role::Operator],
        unit: Unit::AcceleratorSecond,
        units: u64::from(lease.quantity),
        start: lease.agreement.start.seconds(),
        end: lease.agreement.end.seconds(),
        price: Price { num: u128::from(lease.agreement.price.0), den: 3_600 },
        fee_bps: lease.agreement.fee_bps as Bps,
        sponsor_bps: sponsor_bps(lease.sources.iter().map(|source| (source.purse, source.share_bps))),
        slash_max: 0,
        sla: Vec::new(),
    }
}

/// The part of every payment that comes out of grants, in basis points.
#[must_use]
pub fn sponsor_bps(sources: impl Iterator<Item = (Purse, u16)>) -> Bps {
    sources
        .filter(|(purse, _)| matches!(purse, Purse::Grant(_)))
        .fold(0, |sum: Bps, (_, share)| sum.saturating_add(share))
}

/// The most of the requester's home's money that a lease can carry to other homes: all of it where the provider is at home
/// elsewhere, else the federation's fee.
#[must_use]
pub fn exposure(lease: &Lease) -> Money {
    if lease.requester_home != lease.provider_home {
        return lease.locked;
    }
    let fee = lease.locked.wide().saturating_mul(u128::from(lease.agreement.fee_bps)).div_ceil(10_000);
    Money::try_from(fee).unwrap_or(lease.locked)
}

/// What the ledger knows when it asks the contract of a lease.
#[must_use]
pub fn facts(lease: &Lease, closing: Closing, height: u64, now_s: u64) -> Facts {
    let trigger = match closing {
        Closing::Final => Trigger::Final,
        Closing::Expired => Trigger::Expired,
        Closing::CancelledByRequester => Trigger::Cancelled { by: Party::REQUESTER },
        Closing::CancelledByProvider => Trigger::Cancelled { by: Party::PROVIDER },
        Closing::NoShow => Trigger::NoShow,
        Closing::Ruling => Trigger::Ruling { provider_bps: lease.agreement.contest_provider_bps },
    };
    let terms = terms(lease);
    let until = lease.ended_at.unwrap_or(lease.agreement.end).min(lease.agreement.end).seconds();
    let elapsed = until.saturating_sub(lease.started_at.unwrap_or(lease.agreement.start).seconds());
    let window = |index: u32, delivered: u64, source: Evidence| Window {
        index,
        delivered,
        committed: elapsed.saturating_mul(u64::from(lease.quantity)),
        up_secs: u32::try_from(elapsed).unwrap_or(u32::MAX),
        source,
    };
    // Usage that nobody contested in time counts as agreed. What is contested is the part above what the requester admits.
    // A provider that walks away before the end is settled at once, so only what was countersigned counts for it.
    let (windows, cumulative) = match (closing, lease.admitted()) {
        (Closing::Ruling, Some(admitted)) => {
            let contested = lease.reported.saturating_sub(admitted);
            let windows =
                vec![window(0, admitted, Evidence::Both), window(1, contested, Evidence::ProviderOnly)];
            (windows, lease.reported)
        }
        (Closing::CancelledByProvider, _) => {
            (vec![window(0, lease.countersigned, Evidence::Both)], lease.countersigned)
        }
        _ => (vec![window(0, lease.reported, Evidence::Both)], lease.reported),
    };
    let paid = lease.paid.iter().fold(0u128, |sum, (_, amount)| sum.saturating_add(amount.wide()));
    Facts {
        abi: lease.agreement.contract_abi,
        terms,
        usage: Usage { windows, cumulative: u128::from(cumulative) },
        escrow: Escrow { locked: lease.locked.wide(), paid, stake: 0 },
        ctx: Ctx { height, now: now_s, trigger, quota_left: None },
        state: Vec::new(),
    }
}

/// The signed rule for a failed contract, by the number an agreement carries.
#[must_use]
pub fn fallback(number: u8) -> Fallback {
    if number == 0 { Fallback::Refund } else { Fallback::PayCountersigned }
}

impl BlockInHand<'_> {
    /// Ends an active lease: its capacity is free again, and the provider's final report is awaited.
    pub(crate) fn end_lease(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let mut lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        self.release_capacity(&id, &lease);
        let end = Deadline { due: lease.agreement.end, kind: DeadlineKind::LeaseEnd, subject: id.0 };
        self.view.remove::<Deadlines>(&end);
        lease.state = LeaseState::Ended;
        lease.ended_at = Some(self.now.min(lease.agreement.end));
        let (provider, requester) = (lease.provider, lease.requester);
        if !lease.reported_final {
            let due = crate::action::report_due(&lease);
            self.view.put::<Deadlines>(Deadline { due, kind: DeadlineKind::LeaseReport, subject: id.0 }, ());
        }
        self.view.put::<Leases>(id, lease);
        self.emit(Event::LeaseEnded { lease: id, provider, requester });
        Ok(())
    }

    /// Asks the contract who gets how much, checks the answer, pays, returns the rest, and closes the lease. A contract that
    /// fails is replaced by the rule both parties signed, in the same block.
    pub(crate) fn settle_lease(&mut self, id: LeaseId, closing: Closing) -> Result<(), Rejection> {
        let mut lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        let request = self.view.get::<Requests>(&lease.request).cloned().ok_or(Rejection::RequestUnknown)?;
        let facts = facts(&lease, closing, self.height, self.now.seconds());
        let paid: Vec<(Party, u128)> =
            lease.paid.iter().map(|(party, amount)| (Party(*party), amount.wide())).collect();
        let (split, checked, failure, fuel) = self.decide(&lease, &facts, &paid)?;
        self.unlock_position(lease.requester_home, exposure(&lease))?;
        let payments = self.pay(&mut lease, &checked)?;
        let mut refunds = Vec::new();
        for index in 0..lease.sources.len() {
            let held = lease.sources.get(index).map_or(Money::ZERO, |source| source.held);
            if let Some((from, to, amount)) = self.refund(lease.request, index, &request, held)? {
                refunds.push(Payment { from, to, amount });
            }
        }
        self.hold_back(id, &mut lease)?;
        self.release_capacity(&id, &lease);
        self.clear_deadlines(&id, &lease);
        self.return_usage(&lease);
        self.return_aid(id, lease.group, lease.reported);
        // The debit cap that was held is free again, in every class.
        self.schedule_all();
        let fallback = failure.is_some();
        let settlement = Settlement {
            contract: lease.agreement.contract,
            contract_params: lease.agreement.contract_params.clone(),
            facts: encode(&facts),
            split: encode(&split),
            fuel,
            failure: failure.as_ref().map(encode),
            height: self.height,
            payments: payments.clone(),
            refunds: refunds.clone(),
        };
        self.view.put::<Settlements>(id, settlement);
        lease.ended_at = Some(lease.ended_at.unwrap_or(self.now));
        lease.state = LeaseState::Settled;
        lease.closing = Some(closing);
        self.view.put::<Leases>(id, lease);
        self.emit(Event::LeaseSettled { lease: id, closing, fallback, payments, refunds });
        Ok(())
    }

    fn decide(
        &mut self,
        lease: &Lease,
        facts: &Facts,
        paid: &[(Party, u128)],
    ) -> Result<(Split, CheckedSplit, Option<Failure>, u64), Rejection> {
        let agreement = &lease.agreement;
        let locked = lease.locked.wide();
        if self.fuel < self.runtime.fuel_per_call_max() {
            // Others in the block have used it up: that is no reason to settle by the fallback.
            return Err(Rejection::FuelExhausted);
        }
        let outcome = self.runtime.settle(&agreement.contract.0, &agreement.contract_params, facts);
        let fuel = outcome.fuel;
        self.fuel = self.fuel.saturating_sub(fuel);
        let failure = match outcome.result {
            Ok(split) => match check_split(&split, facts, paid, locked) {
                Ok(checked) => return Ok((split, checked, None, fuel)),
                Err(error) => Failure::from(error),
            },
            Err(failure) => failure,
        };
        let split = fallback_split(fallback(agreement.fallback), facts, paid);
        let checked = check_split(&split, facts, paid, locked)
            .expect("the fallback's split passes the checks since it pays only what is locked");
        Ok((split, checked, Some(failure), fuel))
    }

    /// Moves what the split pays to others than the requester, each payment spread over the sources by their shares.
    fn pay(&mut self, lease: &mut Lease, checked: &CheckedSplit) -> Result<Vec<Payment>, Rejection> {
        let mut payments = Vec::new();
        for (party, amount) in &checked.transfers {
            let amount = Money::try_from(*amount).map_err(|_| Rejection::Overflow)?;
            let (to, home) = match *party {
                Party::PROVIDER => (lease.payee.clone(), lease.provider_home),
                Party::OPERATOR => (AccountId::Fees, MemberCode::EU),
                // What a contract awards to the requester stays in the escrow and returns with the rest.
                _ => continue,
            };
            let shares: Vec<u16> = lease.sources.iter().map(|source| source.share_bps).collect();
            let mut room = Vec::new();
            for source in &lease.sources {
                let free =
                    source.locked.checked_sub(source.paid).and_then(|free| free.checked_sub(source.held));
                room.push(free.ok_or(Rejection::Overflow)?);
            }
            let parts = share::spread(amount, &shares, &room).ok_or(Rejection::FundsInsufficient)?;
            for (index, part) in parts.into_iter().enumerate() {
                if part == Money::ZERO {
                    continue;
                }
                let number = u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?;
                let source = lease.sources.get(index).cloned().ok_or(Rejection::SourcesInvalid)?;
                let held =
                    if *party == Party::PROVIDER { held_part(lease, &source, part) } else { Money::ZERO };
                let now = part.checked_sub(held).ok_or(Rejection::Overflow)?;
                if let Some(source) = lease.sources.get_mut(index) {
                    source.paid = source.paid.checked_add(now).ok_or(Rejection::Overflow)?;
                    source.held = source.held.checked_add(held).ok_or(Rejection::Overflow)?;
                }
                let from = AccountId::Escrow(lease.request, number);
                self.transfer(&from, to.clone(), home, now)?;
                if now != Money::ZERO {
                    payments.push(Payment { from, to: to.clone(), amount: now });
                }
            }
        }
        lease.paid = Vec::new();
        for (party, amount) in &checked.pay {
            lease.paid.push((party.0, Money::try_from(*amount).map_err(|_| Rejection::Overflow)?));
        }
        Ok(payments)
    }

    /// Gives the slots that a lease does not need any more back to its offer. Without effect the second time.
    fn release_capacity(&mut self, id: &LeaseId, lease: &Lease) {
        let live = (lease.class.clone(), *id);
        if self.view.get::<LeasesLive>(&live).is_none() {
            return;
        }
        self.view.remove::<LeasesLive>(&live);
        let next = Slot(self.now.slot(self.params.slot_s).0.saturating_add(1));
        let from = lease.start.max(next);
        let end = Slot(lease.start.0.saturating_add(lease.slots));
        let slots = end.0.saturating_sub(from.0);
        let from_reserve = lease.lane == Lane::Reserve || lease.released;
        let key = EntitlementKey {
            site: SiteKey { provider: lease.provider, site: lease.site.clone(), class: lease.class.clone() },
            owner: lease.pool,
        };
        if let (true, Some(mut part)) = (from < end, self.view.get::<Entitlements>(&key).cloned()) {
            let leased = if from_reserve { &mut part.leased_reserve } else { &mut part.leased_market };
            // It was given at the award for at least these slots.
            if leased.take(from, slots, lease.quantity).is_ok() {
                self.view.put::<Entitlements>(key.clone(), part);
            }
        }
        self.return_free(&key, lease, from, end);
        self.schedule_batch(&lease.class);
    }

    /// Gives the slots back to the offer they came from, as far as they are not out of order; not to an offer whose provider
    /// has said since then what is free.
    fn return_free(&mut self, key: &EntitlementKey, lease: &Lease, from: Slot, end: Slot) {
        let offer = self.view.get::<Offers>(&lease.offer).filter(|offer| offer.state == OfferState::Open);
        let part = self.view.get::<Entitlements>(key);
        let (Some(mut offer), Some(part), true) = (offer.cloned(), part.cloned(), from < end) else { return };
        let now = self.now.slot(self.params.slot_s);
        let taken = part.leased().plus(&part.outage).plus(&offer.market).plus(&offer.reserve);
        let room = Calendar::constant(from, end, part.accelerators).minus(&taken);
        // Of the parts of the lease only those that were taken out of what the provider says now.
        let mut since = lease.start;
        let mut held = Calendar::default();
        for one in lease.parts() {
            let until = Slot(since.0.saturating_add(one.slots));
            if one.offer_revision == offer.revision {
                held = held.plus(&Calendar::constant(since, until, lease.quantity));
            }
            since = until;
        }
        let back = held.cut(from, end).min_with(&room);
        let from_reserve = lease.lane == Lane::Reserve || lease.released;
        let calendar = if from_reserve { &mut offer.reserve } else { &mut offer.market };
        *calendar = calendar.plus(&back);
        calendar.prune(now);
        self.view.put::<Offers>(lease.offer, offer);
    }

    fn clear_deadlines(&mut self, id: &LeaseId, lease: &Lease) {
        let due = [
            (Some(lease.agreement.start_deadline), DeadlineKind::LeaseStart),
            (Some(lease.agreement.end), DeadlineKind::LeaseEnd),
            (Some(crate::action::report_due(lease)), DeadlineKind::LeaseReport),
            (lease.challenge_due, DeadlineKind::LeaseChallenge),
        ];
        for (due, kind) in due {
            let deadline = due.map(|due| Deadline { due, kind, subject: id.0 });
            if let Some(deadline) = deadline.filter(|deadline| self.view.get::<Deadlines>(deadline).is_some())
            {
                self.view.remove::<Deadlines>(&deadline);
            }
        }
    }
}

fn encode(value: &impl borsh::BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("encoding into memory cannot fail")
}
