//! Orders of offices that act by several keys: one proposes, others approve, the last approval does it.

use super::{Action, Context, Perform};
use crate::event::Event;
use crate::id::OrderId;
use crate::params::Params;
use crate::rejection::Rejection;
use crate::row::data;
use crate::row::{Deadline, DeadlineKind, OfficeKeys, OfficeOrder};
use crate::tables::{Deadlines, Keys, OfficeOrders, Offices};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

data! {
    /// Approves an order. Signed by another key of the same office. With enough approvals the order is done in this very
    /// transaction, by the rules and the state of now.
    pub struct ApproveOrder {
        /// Which.
        pub order: OrderId,
    }

    /// Takes an order back. Signed by the key that proposed it.
    pub struct CancelOrder {
        /// Which.
        pub order: OrderId,
    }
}

impl Context<'_, '_> {
    /// Does an action, or places it as an order where its office takes more than this one key.
    ///
    /// # Errors
    /// Why it is refused; the caller rolls back.
    pub(crate) fn perform(&mut self, action: &Action) -> Result<(), Rejection> {
        let (mark, events) = (self.view.mark(), self.events.len());
        match action.apply(self) {
            Err(Rejection::OrderNeeded) => {
                self.view.roll_back(mark);
                self.events.truncate(events);
                self.place_order(action)
            }
            done => done,
        }
    }

    fn place_order(&mut self, action: &Action) -> Result<(), Rejection> {
        let (member, office) = self.any_office()?;
        let row = self.view.get::<Offices>(&(member, office)).cloned().ok_or(Rejection::OfficeKeyUnknown)?;
        if row.orders >= self.params.office_orders_max {
            return Err(Rejection::TooManyOrders);
        }
        let id = OfficeOrder::id(self.transaction, self.position);
        let due = self.now.plus(self.params.office_order_ms);
        let order = OfficeOrder {
            member,
            office,
            action: action.clone(),
            transaction: self.transaction,
            position: self.position,
            proposer: self.signer,
            approvals: vec![self.signer],
            placed_at: self.now,
            due,
        };
        let orders = row.orders.saturating_add(1);
        self.view.put::<Offices>((member, office), OfficeKeys { orders, ..row });
        self.view.put::<OfficeOrders>(id, order);
        self.view.put::<Deadlines>(lapse(id, due), ());
        self.emit(Event::OrderPlaced { order: id, member, office, due });
        Ok(())
    }

    /// The open order of this id, if the signing key is of the office it belongs to.
    fn own_order(&self, id: OrderId) -> Result<OfficeOrder, Rejection> {
        let office = self.any_office()?;
        let order = self.view.get::<OfficeOrders>(&id).ok_or(Rejection::OrderUnknown)?;
        // Its deadline may still wait behind others that are due.
        if (order.member, order.office) != office || order.due <= self.now {
            return Err(Rejection::OrderUnknown);
        }
        Ok(order.clone())
    }
}

fn lapse(id: OrderId, due: crate::time::TimeMs) -> Deadline {
    Deadline { due, kind: DeadlineKind::OrderLapse, subject: id.0 }
}

impl super::BlockInHand<'_> {
    pub(crate) fn close_order(&mut self, id: OrderId, order: &OfficeOrder) {
        let office = (order.member, order.office);
        if let Some(row) = self.view.get::<Offices>(&office).cloned() {
            let orders = row.orders.saturating_sub(1);
            self.view.put::<Offices>(office, OfficeKeys { orders, ..row });
        }
        self.view.remove::<OfficeOrders>(&id);
        self.view.remove::<Deadlines>(&lapse(id, order.due));
    }

    /// Closes an order that was not approved in time.
    pub(crate) fn lapse_order(&mut self, id: OrderId) -> Result<(), Rejection> {
        let order = self.view.get::<OfficeOrders>(&id).cloned().ok_or(Rejection::OrderUnknown)?;
        self.close_order(id, &order);
        self.emit(Event::OrderLapsed { order: id });
        Ok(())
    }
}

impl Perform for ApproveOrder {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let mut order = context.own_order(self.order)?;
        let (member, office, key) = (order.member, order.office, context.signer);
        let threshold = context.view.get::<Offices>(&(member, office)).map_or(u32::MAX, |row| row.threshold);
        let again = order.approvals.binary_search(&key).map_err(|place| order.approvals.insert(place, key));
        let view = &context.view;
        let approvals = order.count_approvals(|key| view.get::<Keys>(key).is_some_and(|row| !row.revoked));
        if approvals < threshold {
            if again.is_ok() {
                return Err(Rejection::OrderApproved);
            }
            context.view.put::<OfficeOrders>(self.order, order);
            context.emit(Event::OrderApproved { order: self.order, key, approvals, threshold });
            return Ok(());
        }
        context.close_order(self.order, &order);
        context.emit(Event::OrderExecuted { order: self.order, member, office, key });
        let OfficeOrder { action, transaction, position, .. } = order;
        // The parameters may have changed since it was signed.
        action.check(context.params)?;
        let mut execution =
            Context { block: context.block, signer: key, transaction, position, approved: true };
        action.apply(&mut execution)
    }
}

impl Perform for CancelOrder {
    fn check(&self, _: &Params) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &mut Context<'_, '_>) -> Result<(), Rejection> {
        let order = context.own_order(self.order)?;
        if order.proposer != context.signer {
            return Err(Rejection::NotProposer);
        }
        context.close_order(self.order, &order);
        context.emit(Event::OrderCancelled { order: self.order });
        Ok(())
    }
}
