//! Requests: a signed demand enters the book with its money locked.

use super::admission::{admit_demand, check_demand};
use super::{Context, Perform};
use crate::event::Event;
use crate::id::{OrganisationId, RequestId};
use crate::member::MemberCode;
use crate::money::Money;
use crate::name::Name;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{
    AccountId, Deadline, DeadlineKind, Demand, Organisation, Purse, Request, RequestState, Roles, Standing,
};
use crate::share;
use crate::tables::{Classes, Deadlines, Organisations, Requests, RequestsOpen};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
        let (organisation, locked) =
            admit_demand(&context.view, context.params, context.now, id, &self.demand)?;
        context.within_key_limit(locked)?;
        let request = request_id(context.transaction, context.position);
        let admitted = Admitted { request, id, organisation, key: context.signer, locked };
        context.place_request(admitted, &self.demand)
    }
}

/// A demand that was admitted, and under which id it is placed.
pub(crate) struct Admitted {
    pub(crate) request: RequestId,
    pub(crate) id: OrganisationId,
    pub(crate) organisation: Organisation,
    pub(crate) key: PublicKey,
    pub(crate) locked: Money,
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

/// What each source of a demand pays of `locked`, and whether its purse holds that.
pub(crate) fn source_parts(demand: &Demand, locked: Money) -> Result<Vec<Money>, Rejection> {
    let shares: Vec<u16> = demand.sources.iter().map(|source| source.share_bps).collect();
    share::split(locked, &shares).ok_or(Rejection::Overflow)
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
    /// Puts an admitted demand into the book of each of its classes, and locks its money.
    pub(crate) fn place_request(&mut self, admitted: Admitted, demand: &Demand) -> Result<(), Rejection> {
        let Admitted { request, id, mut organisation, key, locked } = admitted;
        self.lock_sources(id, organisation.home, request, demand, locked)?;
        let epoch = |class: &Name| self.view.get::<Classes>(class).map_or(0, |class| class.epoch);
        let row = Request {
            organisation: id,
            group: organisation.group,
            home: organisation.home,
            key,
            demand: demand.clone(),
            state: RequestState::Open,
            placed_at: self.now,
            admitted_epochs: demand.classes().map(|(class, _)| epoch(class)).collect(),
            sequence: organisation.sequence,
            locked,
            lease: None,
            unmatched: Vec::new(),
        };
        organisation.sequence = organisation.sequence.checked_add(1).ok_or(Rejection::Overflow)?;
        organisation.requests_open = organisation.requests_open.saturating_add(1);
        self.view.put::<Organisations>(id, organisation);
        self.view.put::<Requests>(request, row);
        let due = demand.start_max.begins(self.params.slot_s);
        self.view
            .put::<Deadlines>(Deadline { due, kind: DeadlineKind::RequestExpiry, subject: request.0 }, ());
        for (class, _) in demand.classes() {
            self.view.put::<RequestsOpen>((class.clone(), request), ());
            self.schedule_batch(class);
        }
        self.emit(Event::RequestPlaced { request, organisation: id, class: demand.class.clone(), locked });
        Ok(())
    }

    fn lock_sources(
        &mut self,
        organisation: OrganisationId,
        home: MemberCode,
        request: RequestId,
        demand: &Demand,
        locked: Money,
    ) -> Result<(), Rejection> {
        for (index, (source, part)) in demand.sources.iter().zip(source_parts(demand, locked)?).enumerate() {
            let purse = source.purse.account(organisation);
            let index = u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?;
            self.transfer(&purse, AccountId::Escrow(request, index), home, part)?;
        }
        Ok(())
    }

    /// Closes an open request that was not matched, and returns its money.
    pub(crate) fn close_request(&mut self, id: RequestId, state: RequestState) -> Result<(), Rejection> {
        let row = self.view.get::<Requests>(&id).cloned().ok_or(Rejection::RequestUnknown)?;
        for index in 0..row.demand.sources.len() {
            self.refund(id, index, &row, Money::ZERO)?;
        }
        self.leave_book(id, &row);
        let refunded = row.locked;
        self.view.put::<Requests>(id, Request { state, locked: Money::ZERO, ..row });
        self.emit(Event::RequestClosed { request: id, refunded });
        Ok(())
    }

    /// Takes a request out of the book's indices.
    pub(crate) fn leave_book(&mut self, id: RequestId, row: &Request) {
        for (class, _) in row.demand.classes() {
            self.view.remove::<RequestsOpen>(&(class.clone(), id));
        }
        let due = row.demand.start_max.begins(self.params.slot_s);
        self.view.remove::<Deadlines>(&Deadline { due, kind: DeadlineKind::RequestExpiry, subject: id.0 });
        if let Some(mut organisation) = self.view.get::<Organisations>(&row.organisation).cloned() {
            organisation.requests_open = organisation.requests_open.saturating_sub(1);
            self.view.put::<Organisations>(row.organisation, organisation);
        }
    }

    /// Returns what a source's escrow still holds over `keep`: to its purse, or for a grant that has expired to its budget line.
    pub(crate) fn refund(
        &mut self,
        id: RequestId,
        index: usize,
        row: &Request,
        keep: Money,
    ) -> Result<Option<(AccountId, AccountId, Money)>, Rejection> {
        let escrow = AccountId::Escrow(id, u8::try_from(index).map_err(|_| Rejection::SourcesInvalid)?);
        let amount = self.balance(&escrow).checked_sub(keep).ok_or(Rejection::Overflow)?;
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
        let to = self.refund_account(source.purse, row);
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
        // One that waits for several classes stands in the book of each.
        let open: BTreeSet<RequestId> = self
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
