//! What happens by itself when its time has come. No action is needed for it, and none can hasten or stop it.

use crate::action::{BlockInHand, FuelUse};
use crate::batch::class_subject;
use crate::event::Event;
use crate::id::{
    ChainId, CodeHash, GrantId, LeaseId, OrderId, OrganisationId, OutageId, ProposalId, RequestId,
};
use crate::money::Money;
use crate::name::Name;
use crate::rejection::Rejection;
use crate::row::{AccountId, Closing, Deadline, DeadlineKind, Grant, LeaseState, RequestState, Standing};
use crate::state::State;
use crate::tables::{Classes, Deadlines, Grants, Leases, Organisations, Requests};
use crate::time::TimeMs;

/// When the next deadline is due.
#[must_use]
pub fn next_deadline(state: &State) -> Option<TimeMs> {
    state.rows::<Deadlines>().next().map(|(deadline, ())| deadline.due)
}

impl BlockInHand<'_> {
    /// Runs what is due, in order of (due, kind, subject), up to the block's limit; batches come last, in the order of their
    /// classes' names, so that of a request for several classes the first award wins.
    pub(crate) fn run_deadlines(&mut self, chain: ChainId) {
        let mut due: Vec<Deadline> = self
            .view
            .range::<Deadlines>(..)
            .map(|(deadline, ())| deadline.clone())
            .take_while(|deadline| deadline.due <= self.now)
            // These came first in the block; one that is still here waits for the next.
            .filter(|deadline| deadline.kind != DeadlineKind::ProposalActivation)
            .take(self.params.block_deadlines_max as usize)
            .collect();
        due.sort_by_cached_key(|deadline| match deadline.kind {
            DeadlineKind::Batch => Some(self.class_of(&deadline.subject)),
            _ => None,
        });
        for deadline in &due {
            // Contracts of one block share its fuel; what they leave undone the next block does.
            if !self.has_fuel(FuelUse::Final) {
                break;
            }
            if deadline.kind == DeadlineKind::Batch && !self.has_fuel(FuelUse::Other) {
                continue;
            }
            let mark = self.view.mark();
            self.view.remove::<Deadlines>(deadline);
            let events = self.events.len();
            let Err(rejection) = self.meet(chain, deadline) else { continue };
            // It leaves no trace, and is tried again: no money may stay locked since something else was full.
            self.view.roll_back(mark);
            self.events.truncate(events);
            if rejection != Rejection::FuelExhausted {
                self.view.remove::<Deadlines>(deadline);
                let later = Deadline { due: self.now.plus(self.params.heartbeat_ms), ..deadline.clone() };
                self.view.put::<Deadlines>(later, ());
            }
        }
    }

    fn meet(&mut self, chain: ChainId, deadline: &Deadline) -> Result<(), Rejection> {
        let subject = deadline.subject;
        match deadline.kind {
            DeadlineKind::LeaseChallenge => self.close_challenge(LeaseId(subject)),
            DeadlineKind::LeaseReport => self.expire_report(LeaseId(subject)),
            DeadlineKind::LeaseEnd => self.end_due_lease(LeaseId(subject)),
            DeadlineKind::LeaseStart => self.settle_lease(LeaseId(subject), Closing::NoShow),
            DeadlineKind::RequestExpiry => self.expire_request(RequestId(subject)),
            DeadlineKind::GrantExpiry => self.close_grant(GrantId(subject)),
            DeadlineKind::OrganisationExpiry => self.expire_organisation(OrganisationId(subject)),
            DeadlineKind::OutageEnd => self.end_outage(OutageId(subject)),
            DeadlineKind::ProposalLapse => self.lapse_proposal(ProposalId(subject)),
            DeadlineKind::ProposalActivation => Ok(()),
            DeadlineKind::Batch => {
                if let Some(class) = self.class_of(&subject) {
                    self.run_batch(chain, &class);
                }
                Ok(())
            }
            DeadlineKind::Dispute => self.close_silent_dispute(LeaseId(subject)),
            DeadlineKind::Holdback => self.release_holdback(LeaseId(subject)),
            DeadlineKind::OrderLapse => self.lapse_order(OrderId(subject)),
            DeadlineKind::Contract => self.advance_contract(CodeHash(subject)),
            DeadlineKind::ContractAlias => self.advance_alias(&subject),
        }
    }

    /// The panel of a dispute has not ruled in time: what is contested is divided as both sides signed.
    fn close_silent_dispute(&mut self, id: LeaseId) -> Result<(), Rejection> {
        match self.dispute_due(&id) {
            Some(_) => self.settle_lease(id, Closing::Ruling),
            None => Ok(()),
        }
    }

    fn close_challenge(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let lease = self.view.get::<Leases>(&id).ok_or(Rejection::LeaseUnknown)?;
        if lease.state == LeaseState::Settled {
            return Ok(());
        }
        let closing = match lease.admitted() {
            Some(_) => Closing::Ruling,
            None if lease.report_expired => Closing::Expired,
            None => Closing::Final,
        };
        self.settle_lease(id, closing)
    }

    /// A provider that gave no final report in time is held to its last one, which the requester may contest like any other.
    fn expire_report(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let mut lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        lease.reported_final = true;
        lease.report_expired = true;
        let cumulative = lease.reported;
        self.view.put::<Leases>(id, lease);
        self.emit(Event::UsageReported { lease: id, cumulative, last: true });
        self.await_challenge(id)
    }

    fn end_due_lease(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let lease = self.view.get::<Leases>(&id).ok_or(Rejection::LeaseUnknown)?;
        if lease.state == LeaseState::Active { self.end_lease(id) } else { Ok(()) }
    }

    fn expire_request(&mut self, id: RequestId) -> Result<(), Rejection> {
        let request = self.view.get::<Requests>(&id).ok_or(Rejection::RequestUnknown)?;
        if request.state == RequestState::Open {
            self.close_request(id, RequestState::Expired)
        } else {
            Ok(())
        }
    }

    fn close_grant(&mut self, id: GrantId) -> Result<(), Rejection> {
        let grant = self.view.get::<Grants>(&id).cloned().ok_or(Rejection::GrantUnknown)?;
        let account = AccountId::Grant(id);
        let returned = self.balance(&account);
        let line = AccountId::Line(grant.issuer, grant.budget_line.clone());
        if returned != Money::ZERO {
            self.transfer(&account, line, grant.issuer, returned)?;
        }
        self.view.put::<Grants>(id, Grant { closed: true, ..grant });
        self.emit(Event::GrantClosed { grant: id, returned });
        Ok(())
    }

    fn expire_organisation(&mut self, id: OrganisationId) -> Result<(), Rejection> {
        let row = self.view.get::<Organisations>(&id).ok_or(Rejection::OrganisationUnknown)?;
        if row.standing == Standing::Accredited && row.accredited_until <= self.now {
            self.close_organisation(id, Standing::Expired)?;
        }
        Ok(())
    }

    fn class_of(&self, subject: &[u8; 32]) -> Option<Name> {
        self.view
            .range::<Classes>(..)
            .map(|(class, _)| class)
            .find(|class| class_subject(class) == *subject)
            .cloned()
    }
}
