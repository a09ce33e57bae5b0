//! Settlements of a lease that goes on: what is certain is paid, and nothing that is paid can be asked back.

use crate::action::{BlockInHand, FuelUse};
use crate::encoding::encode;
use crate::event::Event;
use crate::facts::{Asked, facts_for};
use crate::id::LeaseId;
use crate::lease::{Paid, party_money};
use crate::rejection::Rejection;
use crate::row::{Interim, Lease, LeaseState};
use crate::tables::{Interims, Leases, Requests};
use crate::time::TimeMs;

impl BlockInHand<'_> {
    /// The provider claims what is countersigned of a lease that runs.
    pub(crate) fn claim_payment(&mut self, id: LeaseId, mut lease: Lease) -> Result<(), Rejection> {
        if lease.state != LeaseState::Active {
            return Err(Rejection::LeaseStateWrong);
        }
        if lease.agreement.interim_interval_ms == 0 {
            return Err(Rejection::InterimNotAllowed);
        }
        if lease.interims >= self.params.lease_interims_max {
            return Err(Rejection::TooManyInterims);
        }
        let last = lease.claimed_at.or(lease.started_at).unwrap_or(TimeMs(0));
        if self.now < last.plus(lease.agreement.interim_interval_ms) {
            return Err(Rejection::InterimTooSoon);
        }
        lease.claimed_at = Some(self.now);
        self.settle_interim(id, lease, Asked::Claim)
    }

    /// Pays what the contract says is certain by now, and puts it on record. A contract that fails pays nothing, and the lease
    /// goes on: the fallback is for its end.
    pub(crate) fn settle_interim(
        &mut self,
        id: LeaseId,
        mut lease: Lease,
        asked: Asked,
    ) -> Result<(), Rejection> {
        let request = self.view.lend::<Requests>(&lease.request).ok_or(Rejection::RequestUnknown)?;
        let facts = facts_for(&lease, asked, self.height, self.now);
        let paid_before = party_money(&lease.paid);
        let (answer, fuel) = self.ask(&lease, &facts, FuelUse::Other)?;
        let (mut split, mut failure, mut stake, mut paid) = (None, None, Vec::new(), Paid::default());
        match answer {
            Ok((answered, checked)) => {
                self.unlock_exposure(&lease)?;
                paid = self.pay(&mut lease, &checked)?;
                stake = self.slash(id, &mut lease, &request, &checked)?;
                self.lock_exposure(&lease)?;
                let certain = facts.usage.windows.first().map_or(0, |window| window.delivered);
                lease.usage_paid = lease.usage_paid.max(certain);
                split = Some(encode(&answered));
            }
            Err(error) => failure = Some(encode(&error)),
        }
        let number = lease.interims;
        lease.interims = number.checked_add(1).ok_or(Rejection::Overflow)?;
        let (payments, failed) = (paid.payments, failure.is_some());
        let row = Interim {
            facts: encode(&facts),
            split,
            fuel,
            failure,
            height: self.height,
            paid_before,
            payments: payments.clone(),
            held: paid.held,
            stake,
        };
        self.view.put::<Interims>((id, number), row);
        self.view.put::<Leases>(id, lease);
        self.schedule_all();
        self.emit(Event::LeasePaid { lease: id, number, failed, payments });
        Ok(())
    }
}
