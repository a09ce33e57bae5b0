//! Requests: a signed demand enters the book with its money locked.

use super::context::accredited;
use super::{Context, Perform};
use crate::event::Event;
use crate::id::{OrganisationId, RequestId};
use crate::money::Money;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{
    AccountId, Deadline, DeadlineKind, Demand, Organisation, Purse, Request, RequestState, Roles, Standing,
};
use crate::share;
use crate::state::View;
use crate::tables::{Classes, Deadlines, Grants, Organisations, Requests, RequestsOpen, Sites};
use crate::time::TimeMs;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Places a request. Signed by a key with the bid role.
    pub struct PlaceRequest {
        /// What is asked.
        pub demand: Demand,
    }

    /// Takes an open request back; its money returns at once.
    pub struct CancelRequest {
        /// Which.
        pub request: RequestId,
    }
}

/// The id of the request that action `position` of a transaction places.
#[must_use]
pub fn request_id(transaction: crate::id::TransactionId, position: u32) -> RequestId {
    RequestId::derive(&(transaction, position))
}

impl Perform for PlaceRequest {
    fn check(&self, params: &Params) -> Result<(), Rejection> {
        check_demand(&self.demand, params)
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (id, _) = context.organisation(Roles::BID)?;
        let demand = &self.demand;
        let (mut organisation, locked) =
            admit_demand(&context.view, context.params, context.now, id, demand)?;
        context.within_key_limit(locked)?;
        let request = request_id(context.transaction, context.position);
        lock_sources(context, id, request, demand, locked)?;
        let epoch = context.view.get::<Classes>(&demand.class).map_or(0, |class| class.epoch);
        let row = Request {
            organisation: id,
            group: organisation.group,
            home: organisation.home,
            key: context.signer,
            demand: demand.clone(),
            state: RequestState::Open,
            placed_at: context.now,
            admitted_epoch: epoch,
            sequence: organisation.sequence,
            locked,
            lease: None,
            unmatched: None,
        };
        organisation.sequence = organisation.sequence.checked_add(1).ok_or(Rejection::Overflow)?;
        organisation.requests_open = organisation.requests_open.saturating_add(1);
        context.view.put::<Organisations>(id, organisation);
        context.view.put::<Requests>(request, row);
        context.view.put::<RequestsOpen>((demand.class.clone(), request), ());
        let due = demand.start_max.begins(context.params.slot_s);
        context
            .view
            .put::<Deadlines>(Deadline { due, kind: DeadlineKind::RequestExpiry, subject: request.0 }, ());
        context.schedule_batch(&demand.class);
        context.emit(Event::RequestPlaced { request, organisation: id, class: demand.class.clone(), locked });
        Ok(())
    }
}

impl Perform for CancelRequest {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let (id, _) = context.organisation_any_standing(Roles::BID)?;
        match context.view.get::<Requests>(&self.request) {
            Some(row) if row.organisation == id && row.state == RequestState::Open => {}
            _ => return Err(Rejection::RequestUnknown),
        }
        context.close_request(self.request, RequestState::Cancelled)
    }
}

/// Refuses a demand that no state could accept.
fn check_demand(demand: &Demand, params: &Params) -> Result<(), Rejection> {
    if demand.quantity == 0 || demand.quantity_min == 0 || demand.quantity_min > demand.quantity {
        return Err(Rejection::QuantityInvalid);
    }
    if demand.slots == 0 || demand.slots > params.lease_slots_max {
        return Err(Rejection::DurationInvalid);
    }
    if demand.start_max < demand.start_min {
        return Err(Rejection::WindowInvalid);
    }
    if !demand.limit.is_on_tick() {
        return Err(Rejection::PriceInvalid);
    }
    let sources = &demand.sources;
    let distinct: std::collections::BTreeSet<_> = sources.iter().map(|source| source.purse).collect();
    let whole: u32 = sources.iter().map(|source| u32::from(source.share_bps)).sum();
    let counted = !sources.is_empty() && sources.len() <= params.request_sources_max as usize;
    if !counted
        || distinct.len() != sources.len()
        || whole != 10_000
        || sources.iter().any(|s| s.share_bps == 0)
    {
        return Err(Rejection::SourcesInvalid);
    }
    Ok(())
}

/// Checks a demand against the state, and says who asks and how much it locks: the limit price for the whole length. A dry run
/// asks the same.
///
/// # Errors
/// Why a request for it would be refused.
pub fn admit_demand(
    view: &View<'_>,
    params: &Params,
    now: TimeMs,
    id: OrganisationId,
    demand: &Demand,
) -> Result<(Organisation, Money), Rejection> {
    check_demand(demand, params)?;
    let organisation = accredited(view, now, &id)?;
    let slot = now.slot(params.slot_s);
    let horizon = slot.checked_add(params.horizon_slots).ok_or(Rejection::Overflow)?;
    if demand.start_max <= slot || demand.start_max > horizon {
        return Err(Rejection::WindowInvalid);
    }
    if view.get::<Classes>(&demand.class).is_none() {
        return Err(Rejection::ClassUnknown);
    }
    let possible = view.range::<Sites>(..).any(|(key, site)| {
        key.class == demand.class
            && demand.countries.admits(site.country)
            && site.certificates & demand.certificates == demand.certificates
            && site.tier >= demand.tier_min
            && site.accelerators >= demand.quantity_min
    });
    if !possible {
        return Err(Rejection::RequestImpossible);
    }
    for source in &demand.sources {
        if let Purse::Grant(grant_id) = source.purse {
            let grant = view.get::<Grants>(&grant_id).filter(|grant| grant.holder == id);
            let grant = grant.ok_or(Rejection::GrantUnknown)?;
            if grant.closed || grant.expires <= now {
                return Err(Rejection::GrantExpired);
            }
            if grant.purpose != demand.purpose {
                return Err(Rejection::GrantPurpose);
            }
        }
    }
    let seconds = u64::from(demand.slots)
        .checked_mul(u64::from(params.slot_s))
        .and_then(|seconds| seconds.checked_mul(u64::from(demand.quantity)))
        .ok_or(Rejection::Overflow)?;
    let locked = demand.limit.charge(seconds).ok_or(Rejection::Overflow)?;
    if organisation.requests_open >= params.organisation_requests_max {
        return Err(Rejection::TooManyRequests);
    }
    Ok((organisation, locked))
}

/// What each source of a demand pays of `locked`, and whether its purse holds that.
pub(crate) fn source_parts(demand: &Demand, locked: Money) -> Result<Vec<Money>, Rejection> {
    let shares: Vec<u16> = demand.sources.iter().map(|source| source.share_bps).collect();
    share::split(locked, &shares).ok_or(Rejection::Overflow)
}

fn lock_sources(
    context: &mut Context<'_, '_>,
    organisation: OrganisationId,
    request: RequestId,
    demand: &Demand,
    locked: Money,
) -> Result<(), Rejection> {
    let home = context.view.get::<Organisations>(&organisation).ok_or(Rejection::OrganisationUnknown)?.home;
    for (index, (source, part)) in demand.sources.iter().zip(source_parts(demand, locked)?).enumerate() {
        let purse = source.purse.account(organisation);
        let index = u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?;
        context.transfer(&purse, AccountId::Escrow(request, index), home, part)?;
    }
    Ok(())
}

impl Purse {
    /// The account of this purse of `organisation`.
    #[must_use]
    pub fn account(self, organisation: OrganisationId) -> AccountId {
        match self {
            Self::Cash => AccountId::Cash(organisation),
            Self::Grant(grant) => AccountId::Grant(grant),
        }
    }
}

impl super::BlockInHand<'_> {
    /// Closes an open request that was not matched, and returns its money.
    pub(crate) fn close_request(&mut self, id: RequestId, state: RequestState) -> Result<(), Rejection> {
        let row = self.view.get::<Requests>(&id).cloned().ok_or(Rejection::RequestUnknown)?;
        for index in 0..row.demand.sources.len() {
            self.refund(id, index, &row)?;
        }
        self.leave_book(id, &row);
        let refunded = row.locked;
        self.view.put::<Requests>(id, Request { state, locked: Money::ZERO, ..row });
        self.emit(Event::RequestClosed { request: id, refunded });
        Ok(())
    }

    /// Takes a request out of the book's indices.
    pub(crate) fn leave_book(&mut self, id: RequestId, row: &Request) {
        self.view.remove::<RequestsOpen>(&(row.demand.class.clone(), id));
        let due = row.demand.start_max.begins(self.params.slot_s);
        self.view.remove::<Deadlines>(&Deadline { due, kind: DeadlineKind::RequestExpiry, subject: id.0 });
        if let Some(mut organisation) = self.view.get::<Organisations>(&row.organisation).cloned() {
            organisation.requests_open = organisation.requests_open.saturating_sub(1);
            self.view.put::<Organisations>(row.organisation, organisation);
        }
    }

    /// Returns what a source's escrow still holds: to its purse, or for a grant that has expired to its budget line.
    pub(crate) fn refund(
        &mut self,
        id: RequestId,
        index: usize,
        row: &Request,
    ) -> Result<Option<(AccountId, AccountId, Money)>, Rejection> {
        let escrow = AccountId::Escrow(id, u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?);
        let amount = self.balance(&escrow);
        let to = self.refund_part(id, index, row, amount)?;
        Ok((amount != Money::ZERO).then_some((escrow, to, amount)))
    }

    /// Returns `amount` of a source's escrow, and says where to.
    pub(crate) fn refund_part(
        &mut self,
        id: RequestId,
        index: usize,
        row: &Request,
        amount: Money,
    ) -> Result<AccountId, Rejection> {
        let source = row.demand.sources.get(index).ok_or(Rejection::SourcesInvalid)?;
        let escrow = AccountId::Escrow(id, u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?);
        let to = match source.purse {
            Purse::Cash => AccountId::Cash(row.organisation),
            Purse::Grant(grant_id) => match self.view.get::<Grants>(&grant_id) {
                Some(grant) if grant.closed => AccountId::Line(grant.issuer, grant.budget_line.clone()),
                _ => AccountId::Grant(grant_id),
            },
        };
        self.transfer(&escrow, to.clone(), row.home, amount)?;
        Ok(to)
    }

    /// Ends an organisation's accreditation: open requests are refunded, open offers withdrawn, leases run to their end.
    pub(crate) fn close_organisation(
        &mut self,
        id: OrganisationId,
        standing: Standing,
    ) -> Result<(), Rejection> {
        let mut row = self.view.get::<Organisations>(&id).cloned().ok_or(Rejection::OrganisationUnknown)?;
        row.standing = standing;
        let due = super::organisation::expiry(id, row.accredited_until);
        if self.view.get::<Deadlines>(&due).is_some() {
            self.view.remove::<Deadlines>(&due);
        }
        self.view.put::<Organisations>(id, row);
        let open: Vec<RequestId> = self
            .view
            .range::<RequestsOpen>(..)
            .filter(|((_, request), ())| {
                self.view.get::<Requests>(request).is_some_and(|row| row.organisation == id)
            })
            .map(|((_, request), ())| *request)
            .collect();
        for request in open {
            self.close_request(request, RequestState::Revoked)?;
        }
        self.withdraw_offers_of(id);
        self.emit(Event::OrganisationClosed { organisation: id, standing });
        Ok(())
    }
}
