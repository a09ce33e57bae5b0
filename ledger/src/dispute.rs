//! Disputes: who cannot agree on the usage of a lease asks members that have no part in it.
//!
//! The opener posts a bond. The panel is every member with a vote that is home to no party of the lease and sponsors nothing
//! of it, as of the opening. More than half of the panel with exactly the same value decide; a panel of fewer than three, one
//! that does not agree, and one that is silent leave it at what both sides signed, when the time is up. Below one half of what
//! is contested the finding is for who pays, above for the provider; exactly one half is for neither. The opener's bond goes to
//! the other side where the finding is for that, and returns otherwise.

use crate::action::BlockInHand;
use crate::event::Event;
use crate::facts::Asked;
use crate::id::LeaseId;
use crate::member::MemberCode;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::row::{
    AccountId, Closing, Deadline, DeadlineKind, Disputant, Dispute, Lease, LeaseState, PANEL_MIN, PanelVote,
    Payment, Request,
};
use crate::tables::{Deadlines, Disputes, Leases, Members};
use crate::time::TimeMs;

/// One half, in basis points.
const HALF_BPS: u16 = 5_000;

/// How much of the bond can go to another home.
fn bond_exposure(lease: &Lease, dispute: &Dispute) -> Money {
    if lease.requester_home == lease.stake_home { Money::ZERO } else { dispute.bond }
}

impl BlockInHand<'_> {
    /// Opens a dispute, pays what nobody contests, and says what bond it took.
    pub(crate) fn open_dispute(
        &mut self,
        id: LeaseId,
        mut lease: Lease,
        by: Disputant,
        usage: u64,
        reason: u16,
    ) -> Result<Money, Rejection> {
        if self.view.get::<Disputes>(&id).is_some() {
            return Err(Rejection::DisputeOpen);
        }
        let open = lease.state == LeaseState::Ended && lease.reported_final;
        let challenge = lease.challenge_due.filter(|due| open && self.now < *due);
        let challenge = challenge.ok_or(Rejection::NotDisputable)?;
        take_side(&mut lease, by, usage)?;
        let reported = lease.reported;
        let admitted = lease.admitted().unwrap_or(reported).max(lease.usage_paid);
        let contested = reported.checked_sub(admitted).filter(|contested| *contested > 0);
        let contested = contested.ok_or(Rejection::NotDisputable)?;
        let panel = self.panel(&lease);
        let due = match panel.len() {
            // Nobody can rule, so nobody is waited for.
            0..PANEL_MIN => challenge,
            _ => self.now.plus(lease.agreement.dispute_window_ms),
        };
        let bond = bond(&lease, contested).ok_or(Rejection::Overflow)?;
        let bond_home = match by {
            Disputant::Requester | Disputant::Sponsor => lease.requester_home,
            Disputant::Provider => lease.stake_home,
        };
        let (votes, opened_at) = (Vec::new(), self.now);
        let (decided, ruled) = (None, false);
        #[rustfmt::skip]
        let dispute = Dispute {
            by, reason, admitted, reported, bond, bond_home, panel, votes, opened_at, due, decided, ruled,
        };
        self.post_bond(id, &lease, &dispute)?;
        let waiting = Deadline { due: challenge, kind: DeadlineKind::LeaseChallenge, subject: id.0 };
        self.view.remove::<Deadlines>(&waiting);
        self.view.put::<Deadlines>(Deadline { due, kind: DeadlineKind::Dispute, subject: id.0 }, ());
        self.view.put::<Disputes>(id, dispute.clone());
        let panel = dispute.panel;
        self.emit(Event::DisputeOpened { lease: id, by, admitted, reported, reason, bond, panel, due });
        self.settle_interim(id, lease, Asked::Dispute)?;
        Ok(bond)
    }

    /// The members that may rule: those with a vote that have no part in the lease.
    fn panel(&self, lease: &Lease) -> Vec<MemberCode> {
        let named = lease.agreement.parties.iter().map(|party| party.home);
        let parties: Vec<MemberCode> = [lease.requester_home, lease.provider_home, lease.stake_home]
            .into_iter()
            .chain(lease.sponsor)
            .chain(named)
            .collect();
        let votes = self.view.range::<Members>(..).filter(|(_, row)| row.consensus_key.is_some());
        votes.map(|(code, _)| *code).filter(|code| !parties.contains(code)).collect()
    }

    /// Takes the bond: out of an organisation's cash, or, of a member that stands for its own money anyway, issued against its
    /// limit.
    fn post_bond(&mut self, id: LeaseId, lease: &Lease, dispute: &Dispute) -> Result<(), Rejection> {
        let (account, home) = (AccountId::Bond(id), dispute.bond_home);
        match self.bond_purse(lease, dispute) {
            Some(cash) => self.transfer(&cash, account, home, dispute.bond)?,
            None => self.issue(account, home, dispute.bond)?,
        }
        self.lock_position(home, bond_exposure(lease, dispute))
    }

    /// The account that the bond came out of; none for a sponsor's.
    fn bond_purse(&self, lease: &Lease, dispute: &Dispute) -> Option<AccountId> {
        match dispute.by {
            Disputant::Requester => Some(AccountId::Cash(lease.requester)),
            Disputant::Provider => Some(AccountId::Cash(lease.provider)),
            Disputant::Sponsor => None,
        }
    }

    /// A member of the panel rules; its majority settles the lease.
    pub(crate) fn rule_dispute(
        &mut self,
        id: LeaseId,
        member: MemberCode,
        provider_bps: u16,
    ) -> Result<(), Rejection> {
        let dispute = self.view.get::<Disputes>(&id).filter(|dispute| dispute.decided.is_none());
        let mut dispute = dispute.cloned().ok_or(Rejection::DisputeUnknown)?;
        if !dispute.panel.contains(&member) {
            return Err(Rejection::NotPanel);
        }
        let vote = PanelVote { member, provider_bps };
        match dispute.votes.binary_search_by_key(&member, |vote| vote.member) {
            Ok(at) if dispute.votes.get(at) == Some(&vote) => return Err(Rejection::RulingGiven),
            Ok(at) => dispute.votes.splice(at..=at, [vote]).for_each(drop),
            Err(at) => dispute.votes.insert(at, vote),
        }
        let decided = dispute.majority().filter(|_| dispute.panel.len() >= PANEL_MIN);
        self.view.put::<Disputes>(id, dispute);
        self.emit(Event::DisputeVoted { lease: id, member, provider_bps });
        match decided {
            Some(provider_bps) => self.settle_ruled(id, provider_bps),
            None => Ok(()),
        }
    }

    /// Settles a disputed lease by a ruling, or by one side's giving in.
    pub(crate) fn settle_ruled(&mut self, id: LeaseId, provider_bps: u16) -> Result<(), Rejection> {
        let mut lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        lease.ruling = Some(provider_bps);
        self.view.put::<Leases>(id, lease);
        self.settle_lease(id, Closing::Ruling)
    }

    /// When the open dispute over a lease is decided as signed.
    pub(crate) fn dispute_due(&self, id: &LeaseId) -> Option<TimeMs> {
        self.view.get::<Disputes>(id).filter(|row| row.decided.is_none()).map(|row| row.due)
    }

    /// With the settlement of a disputed lease: the bond goes where the finding sends it.
    pub(crate) fn close_dispute(
        &mut self,
        id: LeaseId,
        lease: &Lease,
        request: &Request,
    ) -> Result<(), Rejection> {
        let dispute = self.view.get::<Disputes>(&id).filter(|dispute| dispute.decided.is_none());
        let Some(mut dispute) = dispute.cloned() else { return Ok(()) };
        self.unlock_position(dispute.bond_home, bond_exposure(lease, &dispute))?;
        let provider_bps = lease.ruling.unwrap_or(lease.agreement.contest_provider_bps);
        let lost = lease.ruling.is_some_and(|provider_bps| match dispute.by {
            Disputant::Requester | Disputant::Sponsor => provider_bps > HALF_BPS,
            Disputant::Provider => provider_bps < HALF_BPS,
        });
        let (from, amount) = (AccountId::Bond(id), dispute.bond);
        let bond = match (lost, dispute.by) {
            _ if amount == Money::ZERO => Vec::new(),
            (true, Disputant::Provider) => self.pay_purses(&from, request, amount)?,
            (true, _) => self.pay_bond(from, AccountId::Cash(lease.provider), lease.stake_home, amount)?,
            (false, _) => match self.bond_purse(lease, &dispute) {
                Some(to) => self.pay_bond(from, to, dispute.bond_home, amount)?,
                None => {
                    self.redeem(&from, amount)?;
                    Vec::new()
                }
            },
        };
        let deadline = Deadline { due: dispute.due, kind: DeadlineKind::Dispute, subject: id.0 };
        self.view.remove::<Deadlines>(&deadline);
        dispute.decided = Some(provider_bps);
        dispute.ruled = lease.ruling.is_some();
        let ruled = dispute.ruled;
        self.view.put::<Disputes>(id, dispute);
        self.emit(Event::DisputeDecided { lease: id, provider_bps, ruled, bond });
        Ok(())
    }

    fn pay_bond(
        &mut self,
        from: AccountId,
        to: AccountId,
        home: MemberCode,
        amount: Money,
    ) -> Result<Vec<Payment>, Rejection> {
        self.transfer(&from, to.clone(), home, amount)?;
        Ok(vec![Payment { from, to, amount }])
    }
}

/// Notes what the opener of a dispute stands by.
fn take_side(lease: &mut Lease, by: Disputant, usage: u64) -> Result<(), Rejection> {
    let fits = match by {
        // What was countersigned cannot be taken back by who countersigned it.
        Disputant::Requester => (lease.countersigned..lease.reported).contains(&usage),
        Disputant::Sponsor => usage < lease.reported,
        Disputant::Provider => {
            let admitted = lease.admitted().ok_or(Rejection::NotDisputable)?;
            admitted < usage && usage <= lease.reported
        }
    };
    if !fits {
        return Err(Rejection::NotDisputable);
    }
    match by {
        Disputant::Requester => lease.contested = Some(usage),
        Disputant::Sponsor => lease.sponsor_admits = Some(usage),
        Disputant::Provider => lease.reported = usage,
    }
    Ok(())
}

/// The bond of a dispute over so many accelerator-seconds. `None` on overflow.
fn bond(lease: &Lease, contested: u64) -> Option<Money> {
    let worth = lease.agreement.price.charge(contested)?.min(lease.locked);
    let part = worth.wide().checked_mul(u128::from(lease.agreement.dispute_bond_bps))?.div_ceil(10_000);
    Some(Money::try_from(part).ok()?.max(lease.agreement.dispute_bond_min))
}
