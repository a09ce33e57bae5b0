//! Reporting use, countersigning it, contesting it.

use super::lease::{contesting, provided, requested};
use super::{Context, Perform};
use crate::event::Event;
use crate::id::LeaseId;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Closing, Deadline, DeadlineKind, Lease, LeaseState};
use crate::tables::{Deadlines, Leases};
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Usage of one lease.
    pub struct LeaseUsage {
        /// Which.
        pub lease: LeaseId,
        /// Cumulative accelerator-seconds since the provider began it.
        pub cumulative: u64,
    }

    /// Reports use of many leases under one signature. Signed by a provider key with the operate role.
    pub struct ReportUsage {
        /// Each lease once.
        pub usages: Vec<LeaseUsage>,
    }

    /// Agrees to reported use of many leases under one signature. Signed by a requester key with the bid role.
    pub struct CountersignUsage {
        /// Each lease once.
        pub usages: Vec<LeaseUsage>,
    }

    /// Contests the final report of a lease, and says what is admitted. Signed by a requester key with the bid role, or, where
    /// a grant pays, by the treasury of the member that issued it; the least that either admits counts. It is the first word
    /// and costs nothing: what stays contested is divided as signed, unless either side takes it to a panel
    /// ([`super::OpenDispute`]).
    pub struct ContestUsage {
        /// Which.
        pub lease: LeaseId,
        /// Cumulative accelerator-seconds that are admitted; below what was reported.
        pub admitted: u64,
    }
}

/// The most leases in one report: a transaction has bounds of its own, this one bounds the work of one action.
const USAGES_MAX: usize = 1_024;

fn check_list(usages: &[LeaseUsage]) -> Result<(), Rejection> {
    if usages.is_empty() || usages.len() > USAGES_MAX {
        return Err(Rejection::ListInvalid);
    }
    if usages.is_sorted_by(|one, next| one.lease < next.lease) {
        return Ok(());
    }
    let distinct: std::collections::BTreeSet<_> = usages.iter().map(|usage| usage.lease).collect();
    if distinct.len() == usages.len() { Ok(()) } else { Err(Rejection::ListInvalid) }
}

impl Perform for ReportUsage {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        check_list(&self.usages)
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        for usage in &self.usages {
            let lease = provided(context, &usage.lease)?;
            if lease.state != LeaseState::Active {
                return Err(Rejection::LeaseStateWrong);
            }
            context.report_usage(usage.lease, lease, usage.cumulative, false)?;
        }
        Ok(())
    }
}

impl Perform for CountersignUsage {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        check_list(&self.usages)
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        for usage in &self.usages {
            let mut lease = requested(context, &usage.lease)?;
            if !matches!(lease.state, LeaseState::Active | LeaseState::Ended) {
                return Err(Rejection::LeaseStateWrong);
            }
            if usage.cumulative > lease.reported {
                return Err(Rejection::UsageUnreported);
            }
            if usage.cumulative < lease.countersigned {
                return Err(Rejection::UsageBackwards);
            }
            lease.countersigned = usage.cumulative;
            // What is countersigned is admitted, also where less was admitted before.
            lease.contested = lease.contested.map(|admitted| admitted.max(usage.cumulative));
            let complete = lease.reported_final && lease.countersigned == lease.reported;
            if complete {
                lease.contested = None;
            }
            let sponsor_contests = lease.sponsor_admits.is_some();
            let disputed = context.dispute_due(&usage.lease).is_some();
            context.emit(Event::UsageCountersigned { lease: usage.lease, cumulative: usage.cumulative });
            // What the sponsor contests, the requester cannot settle.
            if complete && !sponsor_contests && !disputed {
                context.close_lease(usage.lease, lease, Closing::Final)?;
                continue;
            }
            context.view.put::<Leases>(usage.lease, lease);
            if complete && !sponsor_contests {
                context.settle_ruled(usage.lease, 10_000)?;
            }
        }
        Ok(())
    }
}

impl Perform for ContestUsage {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (sponsor, mut lease) = contesting(context, &self.lease)?;
        if context.dispute_due(&self.lease).is_some() {
            return Err(Rejection::DisputeOpen);
        }
        let open = lease.state == LeaseState::Ended && lease.reported_final;
        // What was countersigned before cannot be taken back by who countersigned it; the sponsor did not.
        let backwards = sponsor.is_none() && self.admitted < lease.countersigned;
        if !open || self.admitted >= lease.reported || backwards {
            return Err(Rejection::NotContestable);
        }
        let (admitted, reported) = (self.admitted, lease.reported);
        let is_first = match sponsor {
            Some(_) => lease.sponsor_admits.is_none(),
            None => lease.contested.is_none(),
        };
        if is_first {
            context.prolong_challenge(self.lease, &mut lease);
        }
        let event = match sponsor {
            Some(sponsor) => {
                lease.sponsor_admits = Some(admitted);
                Event::SponsorContested { lease: self.lease, sponsor, admitted, reported }
            }
            None => {
                lease.contested = Some(admitted);
                Event::UsageContested { lease: self.lease, admitted, reported }
            }
        };
        context.view.put::<Leases>(self.lease, lease);
        context.emit(event);
        Ok(())
    }
}

impl super::BlockInHand<'_> {
    /// Takes a cumulative report: never below the last, never more than the lease can have delivered by now.
    pub(super) fn report_usage(
        &mut self,
        id: LeaseId,
        mut lease: Lease,
        cumulative: u64,
        last: bool,
    ) -> Result<(), Rejection> {
        if cumulative < lease.reported {
            return Err(Rejection::UsageBackwards);
        }
        if cumulative > delivered_max(&lease, self.now).ok_or(Rejection::Overflow)? {
            return Err(Rejection::UsageOverLease);
        }
        lease.reported = cumulative;
        lease.reports = lease.reports.checked_add(1).ok_or(Rejection::Overflow)?;
        lease.reported_final = last;
        self.view.put::<Leases>(id, lease);
        self.emit(Event::UsageReported { lease: id, cumulative, last });
        Ok(())
    }

    /// Whoever contests for the first time leaves the other side a whole window to answer, so that nobody is contested in
    /// the last moment. At most two do, so the lease ends all the same.
    fn prolong_challenge(&mut self, id: LeaseId, lease: &mut Lease) {
        let Some(due) = lease.challenge_due else { return };
        let later = self.now.plus(lease.agreement.challenge_window_ms).max(due);
        let deadline = Deadline { due, kind: DeadlineKind::LeaseChallenge, subject: id.0 };
        self.view.remove::<Deadlines>(&deadline);
        self.view.put::<Deadlines>(Deadline { due: later, ..deadline }, ());
        lease.challenge_due = Some(later);
    }

    /// After the final report: settle at once where it is countersigned, else wait for the requester.
    pub(crate) fn await_challenge(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let mut lease = self.view.get::<Leases>(&id).cloned().ok_or(Rejection::LeaseUnknown)?;
        let report = Deadline { due: report_due(&lease), kind: DeadlineKind::LeaseReport, subject: id.0 };
        self.view.remove::<Deadlines>(&report);
        if lease.countersigned == lease.reported {
            let closing = if lease.report_expired { Closing::Expired } else { Closing::Final };
            return self.settle_lease(id, closing);
        }
        let due = self.now.plus(lease.agreement.challenge_window_ms);
        self.view.put::<Deadlines>(Deadline { due, kind: DeadlineKind::LeaseChallenge, subject: id.0 }, ());
        lease.challenge_due = Some(due);
        self.view.put::<Leases>(id, lease);
        Ok(())
    }
}

/// The most accelerator-seconds a lease can have delivered by `now`. `None` on overflow.
#[must_use]
pub fn delivered_max(lease: &Lease, now: TimeMs) -> Option<u64> {
    let Some(started) = lease.started_at else { return Some(0) };
    let until = lease.ended_at.unwrap_or(now).min(lease.agreement.end).min(now);
    let seconds = until.0.saturating_sub(started.0).checked_div(1_000)?;
    seconds.checked_mul(u64::from(lease.quantity))
}

/// When the provider has to have reported the final usage.
pub(crate) fn report_due(lease: &Lease) -> TimeMs {
    lease.ended_at.unwrap_or(lease.agreement.end).plus(lease.agreement.report_window_ms)
}
