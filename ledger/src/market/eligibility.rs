//! What contracts say of who may have a lease, as a batch sees it: plain values.

use super::book::{Order, Supply};
use super::reason::Reason;
use crate::id::{OfferId, RequestId};
use std::collections::BTreeMap;

/// What keeps requests from an offer that they could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bar {
    /// Its contract refuses them, for this reason of its own; none where it failed.
    Refused(Option<u32>),
    /// It could not be asked in this batch.
    Unasked,
}

/// What contracts say of the requests and offers of a book. The empty one keeps nobody from anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Eligibility {
    /// Offers that match nothing, since their contracts are not active.
    pub stopped: Vec<Supply>,
    /// The rule each offer has; who has none admits everybody.
    pub rules: BTreeMap<OfferId, u32>,
    /// What is attested of who asks, by number: requests of one number are told apart by no rule.
    pub claims: BTreeMap<RequestId, u32>,
    /// What is kept apart: by claims and rule.
    pub barred: BTreeMap<(u32, u32), Bar>,
}

impl Eligibility {
    /// Whether it keeps any request from any offer.
    pub(super) fn bars_anything(&self) -> bool {
        !self.barred.is_empty()
    }

    /// The number of a request's claims; none where that decides nothing.
    pub(super) fn claims_of(&self, order: &Order) -> Option<u32> {
        self.claims.get(&order.request).copied().filter(|_| self.bars_anything())
    }

    /// What keeps requests with these claims from an offer.
    pub(super) fn bar(&self, claims: Option<u32>, offer: &OfferId) -> Option<Bar> {
        let rule = self.rules.get(offer)?;
        self.barred.get(&(claims?, *rule)).copied()
    }
}

impl Bar {
    /// Why a request stays open whose last offers it takes.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Refused(_) => Reason::NotAdmitted,
            Self::Unasked => Reason::BatchFull,
        }
    }
}
