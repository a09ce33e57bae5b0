//! The life of a lease after its award: how it ends, and how its money is divided.

use crate::action::{BlockInHand, FuelUse};
use crate::batch::year_of;
use crate::encoding::encode;
use crate::event::Event;
use crate::holdback::held_part;
use crate::id::LeaseId;
use crate::market::{Calendar, Lane};
use crate::member::MemberCode;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::row::{
    AccountId, Closing, ContractState, Deadline, DeadlineKind, EntitlementKey, Lease, LeaseSource,
    LeaseState, OfferState, PartyAccount, PartyMoney, Payment, Settlement, SiteKey,
};
use crate::share;
use crate::stake::stake_exposure;
use crate::tables::{Contracts, Deadlines, Entitlements, Leases, LeasesLive, Offers, Requests, Settlements};
use crate::time::Slot;
use hansa_contracts_abi::{
    CheckedSplit, Facts, Failure, Fallback, Party, Split, check_split, fallback_split,
};

pub use crate::facts::{Asked, exposure, facts, facts_for, recipient, roles, sponsor_bps, terms};

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
        let lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        self.close_lease(id, lease, closing)
    }

    /// [`Self::settle_lease`] of a lease as it is in hand, whatever its row says.
    pub(crate) fn close_lease(
        &mut self,
        id: LeaseId,
        mut lease: Lease,
        closing: Closing,
    ) -> Result<(), Rejection> {
        if lease.state == LeaseState::Settled {
            return Err(Rejection::LeaseStateWrong);
        }
        let request = self.view.lend::<Requests>(&lease.request).ok_or(Rejection::RequestUnknown)?;
        let facts = facts_for(&lease, Asked::Closing(closing), self.height, self.now);
        let paid_before = party_money(&lease.paid);
        let (split, checked, failure, fuel) = self.decide(&lease, &facts)?;
        self.unlock_exposure(&lease)?;
        let paid = self.pay(&mut lease, &checked)?;
        let mut stake = self.slash(id, &mut lease, &request, &checked)?;
        stake.extend(self.return_stake(id, &lease)?);
        let mut refunds = Vec::new();
        for index in 0..lease.sources.len() {
            let held = lease.sources.get(index).map_or(Money::ZERO, |source| source.held);
            if let Some((from, to, amount)) = self.refund(lease.request, index, &request, held)? {
                refunds.push(Payment { from, to, amount });
            }
        }
        self.hold_back(id, &mut lease)?;
        self.unpin_contract(id, &lease, failure.as_ref())?;
        self.close_dispute(id, &lease, &request)?;
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
            payments: paid.payments.clone(),
            refunds: refunds.clone(),
            paid_before,
            held: paid.held,
            accounts: accounts(&lease, facts.terms.parties.len()),
            fallback: lease.agreement.fallback,
            stake,
            interims: lease.interims,
        };
        self.view.put::<Settlements>(id, settlement);
        lease.ended_at = Some(lease.ended_at.unwrap_or(self.now));
        lease.state = LeaseState::Settled;
        lease.closing = Some(closing);
        self.view.put::<Leases>(id, lease);
        self.emit(Event::LeaseSettled { lease: id, closing, fallback, payments: paid.payments, refunds });
        Ok(())
    }

    fn decide(
        &mut self,
        lease: &Lease,
        facts: &Facts,
    ) -> Result<(Split, CheckedSplit, Option<Failure>, u64), Rejection> {
        let (answer, fuel) = self.ask(lease, facts, FuelUse::Final)?;
        let failure = match answer {
            Ok((split, checked)) => return Ok((split, checked, None, fuel)),
            Err(failure) => failure,
        };
        let paid = paid_so_far(lease);
        let split = fallback_split(fallback(lease.agreement.fallback), facts, &paid);
        let checked = check_split(&split, facts, &paid, lease.locked.wide())
            .expect("the fallback's split passes the checks since it pays only what is locked");
        Ok((split, checked, Some(failure), fuel))
    }

    /// Asks the contract of a lease, and checks what it answers; says what fuel that took. An answer that fails the checks is
    /// a failure of the contract like any other.
    ///
    /// # Errors
    /// [`Rejection::FuelExhausted`] where others in the block have used up what such a call may draw on: that is no reason to
    /// settle by the fallback.
    pub(crate) fn ask(
        &mut self,
        lease: &Lease,
        facts: &Facts,
        fuel_use: FuelUse,
    ) -> Result<(Answer, u64), Rejection> {
        let agreement = &lease.agreement;
        let contract = self.view.get::<Contracts>(&agreement.contract).ok_or(Rejection::ContractUnknown)?;
        if contract.state == ContractState::Quarantined {
            // Stopped for whatever reason: the contract is not asked, and nobody chooses who gets the money now.
            return Ok((Err(Failure::Quarantined), 0));
        }
        if !self.has_fuel(fuel_use) {
            return Err(Rejection::FuelExhausted);
        }
        let outcome = self.runtime.settle(&agreement.contract.0, &agreement.contract_params, facts);
        self.burn_fuel(fuel_use, outcome.fuel);
        let answer = outcome.result.and_then(|split| {
            let checked = check_split(&split, facts, &paid_so_far(lease), lease.locked.wide());
            checked.map(|checked| (split, checked)).map_err(Failure::from)
        });
        Ok((answer, outcome.fuel))
    }

    /// Moves what the split pays to others than the requester, each payment spread over the sources by their shares, and
    /// remembers what its contract wants to be told the next time.
    pub(crate) fn pay(&mut self, lease: &mut Lease, checked: &CheckedSplit) -> Result<Paid, Rejection> {
        let mut paid = Paid::default();
        for (party, amount) in &checked.transfers {
            let amount = Money::try_from(*amount).map_err(|_| Rejection::Overflow)?;
            if let Some((to, home)) = recipient(lease, *party) {
                self.pay_party(lease, *party, (to, home), amount, &mut paid)?;
            }
        }
        lease.paid = Vec::new();
        for (party, amount) in &checked.pay {
            lease.paid.push((party.0, Money::try_from(*amount).map_err(|_| Rejection::Overflow)?));
        }
        lease.contract_state.clone_from(&checked.state);
        Ok(paid)
    }

    fn pay_party(
        &mut self,
        lease: &mut Lease,
        party: Party,
        (to, home): (AccountId, MemberCode),
        amount: Money,
        paid: &mut Paid,
    ) -> Result<(), Rejection> {
        for (index, part) in spread(amount, &lease.sources)?.into_iter().enumerate() {
            if part == Money::ZERO {
                continue;
            }
            let number = u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?;
            let source = lease.sources.get(index).ok_or(Rejection::SourcesInvalid)?;
            let held = if party == Party::OPERATOR { Money::ZERO } else { held_part(lease, source, part) };
            let now = part.checked_sub(held).ok_or(Rejection::Overflow)?;
            if let Some(source) = lease.sources.get_mut(index) {
                source.paid = source.paid.checked_add(now).ok_or(Rejection::Overflow)?;
                source.held = source.held.checked_add(held).ok_or(Rejection::Overflow)?;
                add_money(&mut source.held_for, party, held)?;
            }
            add_money(&mut paid.held, party, held)?;
            let from = AccountId::Escrow(lease.request, number);
            self.transfer(&from, to.clone(), home, now)?;
            if now != Money::ZERO {
                paid.payments.push(Payment { from, to: to.clone(), amount: now });
            }
        }
        Ok(())
    }

    /// Holds the debit caps for what a lease can still carry to other homes: its money, and its stake.
    pub(crate) fn lock_exposure(&mut self, lease: &Lease) -> Result<(), Rejection> {
        self.lock_position(lease.requester_home, exposure(lease))?;
        self.lock_position(lease.stake_home, stake_exposure(lease))
    }

    /// Gives back what [`Self::lock_exposure`] held of the same lease as it was then.
    pub(crate) fn unlock_exposure(&mut self, lease: &Lease) -> Result<(), Rejection> {
        self.unlock_position(lease.requester_home, exposure(lease))?;
        self.unlock_position(lease.stake_home, stake_exposure(lease))
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
        self.return_commercial(&key, lease, from);
        self.return_free(&key, lease, from, end);
        self.schedule_batch(&lease.class);
    }

    /// Gives back to the pool's commercial ceiling the slots that nobody will use: those after `from`, and all of a lease that
    /// never began. What was counted in another year than the one in hand counts no more.
    fn return_commercial(&mut self, key: &EntitlementKey, lease: &Lease, from: Slot) {
        let part = self.view.get::<Entitlements>(key).cloned();
        let (Some(mut part), true) = (part, lease.commercial) else { return };
        let unused_from = if lease.started_at.is_none() { lease.start } else { from };
        let (mut since, mut unused) = (lease.start, 0u64);
        for one in lease.parts() {
            let until = Slot(since.0.saturating_add(one.slots));
            if year_of(one.awarded_at) == part.commercial_year {
                unused = unused.saturating_add(u64::from(until.0.saturating_sub(since.max(unused_from).0)));
            }
            since = until;
        }
        let back = unused.saturating_mul(u64::from(lease.quantity));
        if back > 0 {
            part.commercial_taken = part.commercial_taken.saturating_sub(back);
            self.view.put::<Entitlements>(key.clone(), part);
        }
    }

    /// Gives the slots back to the offer they came from, those that are out of order once the outage is over; not to an offer
    /// whose provider has said since then what is free.
    fn return_free(&mut self, key: &EntitlementKey, lease: &Lease, from: Slot, end: Slot) {
        let offer = self.view.get::<Offers>(&lease.offer).filter(|offer| offer.state == OfferState::Open);
        let part = self.view.get::<Entitlements>(key);
        let (Some(mut offer), Some(mut part), true) = (offer.cloned(), part.cloned(), from < end) else {
            return;
        };
        let known = part.leased().plus(&offer.market).plus(&offer.reserve);
        let known = known.plus(&part.out_market).plus(&part.out_reserve);
        let room = Calendar::constant(from, end, part.accelerators).minus(&known);
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
        self.fit_free(&mut part, &mut offer);
        self.view.put::<Entitlements>(key.clone(), part);
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

/// A contract's answer that passed the checks, or why there is none.
pub(crate) type Answer = Result<(Split, CheckedSplit), Failure>;

/// What a split moved.
#[derive(Default)]
pub(crate) struct Paid {
    /// Who was paid what.
    pub payments: Vec<Payment>,
    /// What was held back of each party's pay.
    pub held: Vec<PartyMoney>,
}

/// Spreads a payment over the sources of a lease by their shares, none above what is left of it.
fn spread(amount: Money, sources: &[LeaseSource]) -> Result<Vec<Money>, Rejection> {
    let left = |source: &LeaseSource| {
        let left = source.locked.checked_sub(source.paid).and_then(|left| left.checked_sub(source.held));
        left.ok_or(Rejection::Overflow)
    };
    if let [only] = sources {
        // Nearly every lease is paid from one purse.
        return if amount <= left(only)? { Ok(vec![amount]) } else { Err(Rejection::FundsInsufficient) };
    }
    let shares: Vec<u16> = sources.iter().map(|source| source.share_bps).collect();
    let room = sources.iter().map(left).collect::<Result<Vec<Money>, Rejection>>()?;
    share::spread(amount, &shares, &room).ok_or(Rejection::FundsInsufficient)
}

/// What each party has received of a lease so far.
pub(crate) fn paid_so_far(lease: &Lease) -> Vec<(Party, u128)> {
    lease.paid.iter().map(|(party, amount)| (Party(*party), amount.wide())).collect()
}

/// The same amounts, as a record keeps them.
pub(crate) fn party_money(paid: &[(u8, Money)]) -> Vec<PartyMoney> {
    paid.iter().map(|(party, amount)| PartyMoney { party: *party, amount: *amount }).collect()
}

/// Adds an amount to a party's, and nothing for nothing.
fn add_money(list: &mut Vec<PartyMoney>, party: Party, amount: Money) -> Result<(), Rejection> {
    if amount == Money::ZERO {
        return Ok(());
    }
    match list.iter_mut().find(|one| one.party == party.0) {
        Some(one) => one.amount = one.amount.checked_add(amount).ok_or(Rejection::Overflow)?,
        None => list.push(PartyMoney { party: party.0, amount }),
    }
    Ok(())
}

/// The account of every party that has one.
fn accounts(lease: &Lease, parties: usize) -> Vec<PartyAccount> {
    let parties = u8::try_from(parties).unwrap_or(u8::MAX);
    let account = |party| recipient(lease, Party(party)).map(|(account, _)| PartyAccount { party, account });
    (0..parties).filter_map(account).collect()
}
