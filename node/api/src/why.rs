//! Why a request stands where it stands: reasons from a closed list, the numbers behind them, and what would have helped.

use hansa_ledger::id::{OfferId, RequestId};
use hansa_ledger::market::{Bucket, Change, Detail, Lane, LaneHint, Reason, Unmatched};
use hansa_ledger::money::Price;
use hansa_ledger::name::Name;
use hansa_ledger::row::RequestState;
use hansa_ledger::time::{Slot, TimeMs};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Why a request stands where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestWhy {
    /// The request.
    #[schema(value_type = String)]
    pub request: RequestId,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: RequestState,
    /// The lanes it may be served by.
    #[schema(value_type = String)]
    pub lane: LaneHint,
    /// Each class it names, its own first.
    pub classes: Vec<ClassWhy>,
    /// The same as a sentence.
    pub sentence: String,
    /// When the next batch of one of its classes runs, if one is due.
    #[schema(value_type = Option<String>)]
    pub next_batch: Option<TimeMs>,
}

/// Why one class does not serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassWhy {
    /// The class.
    #[schema(value_type = String)]
    pub class: Name,
    /// The most it pays there.
    #[schema(value_type = String)]
    pub limit: Price,
    /// The delivery bucket, as the next batch would see it; none for a request that is not open.
    #[schema(value_type = Option<String>)]
    pub bucket: Option<Bucket>,
    /// Whether the reserve may serve it; none for a request that is not open.
    pub eligible: Option<bool>,
    /// Price of the class's last batch that traded.
    #[schema(value_type = Option<String>)]
    pub last_price: Option<Price>,
    /// Why the last batch of the class did not match it.
    pub last: Option<ReasonInfo>,
    /// Why the next batch would not match it, as things stand now.
    pub now: Option<ReasonInfo>,
    /// What the next batch would award, as things stand now.
    pub award: Option<ClassAward>,
    /// The nearest single changes with which the next batch would serve it, the smallest first. Each has been tried.
    pub changes: Vec<ChangeInfo>,
    /// When the next batch of the class runs, if one is due.
    #[schema(value_type = Option<String>)]
    pub next_batch: Option<TimeMs>,
}

/// What the next batch of a class would award.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassAward {
    /// The offer.
    #[schema(value_type = String)]
    pub offer: OfferId,
    /// The lane that would serve it.
    #[schema(value_type = String)]
    pub lane: Lane,
    /// Whether it would run on released reserve, from which it may be interrupted.
    pub released: bool,
    /// Accelerators.
    pub quantity: u32,
    /// First slot.
    #[schema(value_type = u32)]
    pub start_slot: Slot,
    /// Slots.
    pub slots: u32,
    /// When it would begin.
    #[schema(value_type = String)]
    pub start: TimeMs,
    /// Price per accelerator-hour.
    #[schema(value_type = String)]
    pub price: Price,
}

/// Why one class does not serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonInfo {
    /// The class.
    #[schema(value_type = String)]
    pub class: Name,
    /// The reason's fixed number: one of those of `/v1/market/reasons`.
    pub code: u16,
    /// The reason's fixed name.
    #[schema(value_type = String)]
    pub reason: Reason,
    /// What sort of thing stands in the way.
    pub kind: ReasonKind,
    /// The numbers behind it: prices in EUR per accelerator-hour, money in EUR, counts of accelerators.
    #[schema(value_type = Object)]
    pub detail: Detail,
    /// The reason as a sentence, with its numbers.
    pub sentence: String,
}

impl ReasonInfo {
    /// The reason as it is told.
    #[must_use]
    pub fn new(class: Name, unmatched: &Unmatched) -> Self {
        Self {
            class,
            code: unmatched.reason.code(),
            reason: unmatched.reason,
            kind: ReasonKind::of(unmatched.reason),
            detail: (*unmatched.detail).clone(),
            sentence: unmatched.to_string(),
        }
    }
}

/// One entry of the closed list of reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonRow {
    /// Its fixed number: never used for anything else.
    pub code: u16,
    /// Its fixed name.
    #[schema(value_type = String)]
    pub reason: Reason,
    /// What sort of thing stands in the way.
    pub kind: ReasonKind,
    /// What it means.
    pub sentence: String,
}

impl From<Reason> for ReasonRow {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code(), reason, kind: ReasonKind::of(reason), sentence: reason.to_string() }
    }
}

/// What sort of thing stands in a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// The lane it asks for is not for it.
    Lane,
    /// Nothing that is offered is what it asks for.
    Constraint,
    /// It pays too little, or more is asked than its money may pay.
    Price,
    /// A rule bounds what one group, member or pool may have.
    Cap,
    /// What it asks for is taken, or nobody offers it.
    Shortage,
    /// The contract of the offer declined it.
    Contract,
    /// The batch had no room for it.
    Batch,
    /// Its time is over.
    Window,
    /// It was served elsewhere.
    Alternative,
}

impl ReasonKind {
    /// The sort that a reason is of.
    #[must_use]
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::WindowPassed => Self::Window,
            Reason::NoOfferMeetsConstraints | Reason::SameGroup => Self::Constraint,
            Reason::LimitBelowPrice | Reason::AskOverCreditCap => Self::Price,
            Reason::BatchFull => Self::Batch,
            Reason::NoOfferOfClass | Reason::NoCapacityInWindow | Reason::PartialNotAllowed => Self::Shortage,
            Reason::GroupCapReached
            | Reason::NetDebitCap
            | Reason::AidCeiling
            | Reason::MemberReserveCap
            | Reason::CommercialCeiling => Self::Cap,
            Reason::ContractRefused
            | Reason::ContractStopped
            | Reason::NotAdmitted
            | Reason::StakeUnfunded => Self::Contract,
            Reason::NotEligibleForReserve => Self::Lane,
            Reason::AlternativeServed => Self::Alternative,
        }
    }
}

impl fmt::Display for ReasonKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lane => "lane",
            Self::Constraint => "constraint",
            Self::Price => "price",
            Self::Cap => "cap",
            Self::Shortage => "shortage",
            Self::Contract => "contract",
            Self::Batch => "batch",
            Self::Window => "window",
            Self::Alternative => "alternative",
        })
    }
}

/// A single change with which a batch would serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeInfo {
    /// The change.
    #[schema(value_type = Object)]
    pub change: Change,
    /// The same as a sentence.
    pub sentence: String,
}

impl ChangeInfo {
    /// The change as it is told, where a slot has `slot_s` seconds.
    #[must_use]
    pub fn new(change: Change, slot_s: u32) -> Self {
        let sentence = match &change {
            Change::StartMax(slot) => {
                format!("it would have been served had it accepted a start up to {}", slot.begins(slot_s))
            }
            Change::Slots(slots) => {
                let seconds = u64::from(*slots).saturating_mul(u64::from(slot_s));
                format!("it would have been served had it asked for {seconds} s")
            }
            other => other.to_string(),
        };
        Self { change, sentence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_kind_and_changes_are_told_in_units_of_people() {
        let kinds: std::collections::BTreeSet<ReasonKind> =
            Reason::ALL.iter().map(|reason| ReasonKind::of(*reason)).collect();
        assert_eq!(kinds.len(), 9, "{kinds:?}");
        for kind in kinds {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
        for (change, said) in [
            (Change::Limit(Price(2_500_000)), "with a limit of 2.50 EUR/h"),
            (Change::Slots(4), "had it asked for 3600 s"),
            (Change::StartMax(Slot(2_001_552)), "had it accepted a start up to 2027-01-31T12:00:00Z"),
            (Change::AnyCountry, "had it accepted any country"),
        ] {
            assert_eq!(ChangeInfo::new(change, 900).sentence, format!("it would have been served {said}"));
        }
    }
}
