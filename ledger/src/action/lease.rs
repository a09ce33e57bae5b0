//! Beginning, ending and cancelling a lease.

use super::{Context, Perform};
use crate::event::Event;
use crate::id::{LeaseId, OrganisationId};
use crate::member::MemberCode;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Closing, Deadline, DeadlineKind, Lease, LeaseState, Office, Roles};
use crate::tables::{Deadlines, Leases};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// The provider begins a lease: its capacity stands ready from now. Signed by a key with the operate role.
    pub struct StartLease {
        /// Which.
        pub lease: LeaseId,
    }

    /// Ends a lease. The provider gives the final cumulative usage with it; the requester gives none and awaits the
    /// provider's report. After the lease's own end the provider reports its final usage with this action too.
    pub struct EndLease {
        /// Which.
        pub lease: LeaseId,
        /// Final cumulative accelerator-seconds; from the provider only.
        #[serde(default)]
        pub cumulative: Option<u64>,
    }

    /// Gives a lease up before it has begun, as requester, or at any time, as provider. Settled at once.
    pub struct CancelLease {
        /// Which.
        pub lease: LeaseId,
    }
}

/// Which side of a lease an organisation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Requester,
    Provider,
}

/// The lease, if the signing organisation is on one of its sides with the role for it.
pub(super) fn sided(
    context: &Context<'_, '_>,
    id: &LeaseId,
) -> Result<(Side, OrganisationId, Lease), Rejection> {
    let lease = context.view.get::<Leases>(id).cloned().ok_or(Rejection::LeaseUnknown)?;
    let as_requester = context.organisation_id(Roles::BID);
    let as_provider = context.organisation_id(Roles::OPERATE);
    match (as_provider, as_requester) {
        (Ok(organisation), _) if organisation == lease.provider => Ok((Side::Provider, organisation, lease)),
        (_, Ok(organisation)) if organisation == lease.requester => {
            Ok((Side::Requester, organisation, lease))
        }
        (Err(error), Err(_)) => Err(error),
        _ => Err(Rejection::LeaseUnknown),
    }
}

/// The lease, if the signing organisation provides it.
pub(super) fn provided(context: &Context<'_, '_>, id: &LeaseId) -> Result<Lease, Rejection> {
    let organisation = context.organisation_id(Roles::OPERATE)?;
    let lease = context.view.get::<Leases>(id).filter(|lease| lease.provider == organisation);
    lease.cloned().ok_or(Rejection::LeaseUnknown)
}

/// The lease, if the signing organisation requested it.
pub(super) fn requested(context: &Context<'_, '_>, id: &LeaseId) -> Result<Lease, Rejection> {
    let organisation = context.organisation_id(Roles::BID)?;
    let lease = context.view.get::<Leases>(id).filter(|lease| lease.requester == organisation);
    lease.cloned().ok_or(Rejection::LeaseUnknown)
}

/// The lease, if the signing organisation requested it, or the signing treasury is its sponsor's: then which member that is.
pub(super) fn contesting(
    context: &Context<'_, '_>,
    id: &LeaseId,
) -> Result<(Option<MemberCode>, Lease), Rejection> {
    let Ok(sponsor) = context.office(Office::Treasury, Rejection::NotSponsor) else {
        return requested(context, id).map(|lease| (None, lease));
    };
    let lease = context.view.get::<Leases>(id).cloned().ok_or(Rejection::LeaseUnknown)?;
    if lease.sponsor == Some(sponsor) { Ok((Some(sponsor), lease)) } else { Err(Rejection::NotSponsor) }
}

impl Perform for StartLease {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let mut lease = provided(context, &self.lease)?;
        if lease.state != LeaseState::Awarded {
            return Err(Rejection::LeaseStateWrong);
        }
        if context.now < lease.agreement.start {
            return Err(Rejection::LeaseNotYet);
        }
        let agreement = &lease.agreement;
        let start =
            Deadline { due: agreement.start_deadline, kind: DeadlineKind::LeaseStart, subject: self.lease.0 };
        let end = Deadline { due: agreement.end, kind: DeadlineKind::LeaseEnd, subject: self.lease.0 };
        context.view.remove::<Deadlines>(&start);
        context.view.put::<Deadlines>(end, ());
        lease.state = LeaseState::Active;
        lease.started_at = Some(context.now);
        let provider = lease.provider;
        context.view.put::<Leases>(self.lease, lease);
        context.emit(Event::LeaseStarted { lease: self.lease, provider });
        Ok(())
    }
}

impl Perform for EndLease {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (side, _, lease) = sided(context, &self.lease)?;
        match (side, self.cumulative) {
            (Side::Provider, Some(cumulative)) => self.report_final(context, lease, cumulative),
            (Side::Requester, None) if lease.state == LeaseState::Active => {
                context.view.put::<Leases>(self.lease, Lease { ended_by_requester: true, ..lease });
                context.end_lease(self.lease)
            }
            (Side::Requester, None) => Err(Rejection::LeaseStateWrong),
            (Side::Provider, None) => Err(Rejection::UsageUnreported),
            (Side::Requester, Some(_)) => Err(Rejection::RoleMissing),
        }
    }
}

impl EndLease {
    fn report_final(
        &self,
        context: &mut Context<'_, '_>,
        lease: Lease,
        cumulative: u64,
    ) -> Result<(), Rejection> {
        if lease.reported_final {
            return Err(Rejection::UsageFinal);
        }
        if !matches!(lease.state, LeaseState::Active | LeaseState::Ended) {
            return Err(Rejection::LeaseStateWrong);
        }
        context.report_usage(self.lease, lease, cumulative, true)?;
        let lease = context.view.get::<Leases>(&self.lease).cloned().ok_or(Rejection::LeaseUnknown)?;
        if lease.state == LeaseState::Active {
            context.end_lease(self.lease)?;
        }
        context.await_challenge(self.lease)
    }
}

impl Perform for CancelLease {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (side, _, lease) = sided(context, &self.lease)?;
        let closing = match (side, lease.state) {
            (Side::Requester, LeaseState::Awarded) => Closing::CancelledByRequester,
            (Side::Provider, LeaseState::Awarded | LeaseState::Active) => Closing::CancelledByProvider,
            _ => return Err(Rejection::LeaseStateWrong),
        };
        context.settle_lease(self.lease, closing)
    }
}
