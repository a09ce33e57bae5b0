//! Why a request stays open: a closed list, with the numbers that explain it.

use crate::id::RequestId;
use crate::money::{Money, Price};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Why a request stays open. The codes stand on the ledger: never renumber, never reuse.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    thiserror::Error,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reason {
    /// The window lies in the past.
    #[error("the last slot it may start in has passed")]
    WindowPassed = 1,
    /// The book has no offer.
    #[error("nobody offers this class")]
    NoOfferOfClass = 2,
    /// Every offer fails a hard constraint, or those that do not ask more than the price of the batch.
    #[error("no offer at the price of the batch has the countries, certificates and tier it asks for")]
    NoOfferMeetsConstraints = 3,
    /// Only offers of its own group meet the constraints.
    #[error("only its own group offers what it asks for, and its funding excludes them")]
    SameGroup = 4,
    /// It pays too little.
    #[error("its limit does not reach the price at which it could be served")]
    LimitBelowPrice = 5,
    /// More requests or prices than a batch considers.
    #[error("the batch considers no more requests; it stays for the next one")]
    BatchFull = 6,
    /// Nothing is free in its window.
    #[error("no compatible offer has free capacity for its duration within its window")]
    NoCapacityInWindow = 7,
    /// Something is free, and less than it accepts.
    #[error(
        "some accelerators are free within its window, but fewer than it accepts, counted in whole nodes"
    )]
    PartialNotAllowed = 8,
    /// The group holds as much as one may.
    #[error("its group holds as much of the class in these slots as one group may")]
    GroupCapReached = 9,
    /// The member that pays for it may owe no more.
    #[error("the member that funds it may not owe that much more to other members")]
    NetDebitCap = 10,
    /// The contract of the offer it matched quotes more than the request has locked, or declines it.
    #[error("the contract of the offer it matched does not accept it")]
    ContractRefused = 11,
    /// It asks for the reserve only, and is not entitled to it.
    #[error("it asks for the reserve only, which is for eligible organisations that a grant pays for")]
    NotEligibleForReserve = 12,
    /// The reserve would give its group more aid than one may get.
    #[error("its group would get more aid than the ceiling allows")]
    AidCeiling = 13,
    /// The member that funds it has its share of the reserve.
    #[error("the requests its member funds hold as much of the reserve in these slots as one member's may")]
    MemberReserveCap = 14,
    /// The pools it could use have sold what they may to commercial users.
    #[error("the pools that could serve it have sold as much as they may to commercial users")]
    CommercialCeiling = 15,
    /// The offers that meet its constraints ask more than a grant may pay.
    #[error("every offer that meets its constraints asks more than a grant may pay")]
    AskOverCreditCap = 16,
    /// Another of its alternatives, or of the batch's parts, came first.
    #[error("it was served by another of its alternatives")]
    AlternativeServed = 17,
    /// Their contracts are not active.
    #[error("the contracts of the offers that meet its constraints are stopped or have ended")]
    ContractStopped = 18,
    /// Their contracts do not admit it.
    #[error("the contracts of the offers that meet its constraints do not admit who asks")]
    NotAdmitted = 19,
    /// The provider of the offer it matched has not the cash for the stake that the contract asks.
    #[error(
        "the provider of the offer it matched cannot fund the stake of its contract; others are tried next"
    )]
    StakeUnfunded = 20,
}

impl Reason {
    /// All reasons, by code: the list is closed.
    pub const ALL: [Self; 20] = [
        Self::WindowPassed,
        Self::NoOfferOfClass,
        Self::NoOfferMeetsConstraints,
        Self::SameGroup,
        Self::LimitBelowPrice,
        Self::BatchFull,
        Self::NoCapacityInWindow,
        Self::PartialNotAllowed,
        Self::GroupCapReached,
        Self::NetDebitCap,
        Self::ContractRefused,
        Self::NotEligibleForReserve,
        Self::AidCeiling,
        Self::MemberReserveCap,
        Self::CommercialCeiling,
        Self::AskOverCreditCap,
        Self::AlternativeServed,
        Self::ContractStopped,
        Self::NotAdmitted,
        Self::StakeUnfunded,
    ];

    /// The fixed code.
    #[must_use]
    pub fn code(self) -> u16 {
        u16::from(self as u8)
    }
}

/// The numbers behind a reason, as far as they bear on it.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(default)]
pub struct Detail {
    /// The price of its bucket in this batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clearing_price: Option<Price>,
    /// The lowest ask among the offers that meet its constraints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cheapest_ask: Option<Price>,
    /// The most accelerators one of these offers had free, when its turn came, for its duration within its window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_free: Option<u32>,
    /// What one group may hold of the class in one slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_cap: Option<u32>,
    /// What the member that funds it could still owe when its turn came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debit_headroom: Option<Money>,
    /// What its group may still get in aid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aid_left: Option<Money>,
    /// What one member's requests may hold of the reserve in one slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_cap: Option<u32>,
    /// The accelerator-slots that the pools may still sell to commercial users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commercial_left: Option<u64>,
    /// The highest ask that a grant may pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_ask_cap: Option<Price>,
    /// The reason that the contract of the cheapest offer gives, by its own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<u32>,
}

/// A request that stays open.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct Unmatched {
    /// The request.
    pub request: RequestId,
    /// Why.
    pub reason: Reason,
    /// The numbers; those to whom a batch says the same share them, since a long book has few answers.
    #[borsh(serialize_with = "shared::write", deserialize_with = "shared::read")]
    #[serde(serialize_with = "shared::serialize", deserialize_with = "shared::deserialize")]
    pub detail: Arc<Detail>,
}

/// What is shared in memory reads and writes as if each had its own.
mod shared {
    use super::{Arc, BorshDeserialize, BorshSerialize, Deserialize, Detail, Serialize};
    use serde::{Deserializer, Serializer};
    use std::io::{Read, Result, Write};

    pub(super) fn write<W: Write>(detail: &Arc<Detail>, writer: &mut W) -> Result<()> {
        BorshSerialize::serialize(detail.as_ref(), writer)
    }

    pub(super) fn read<R: Read>(reader: &mut R) -> Result<Arc<Detail>> {
        BorshDeserialize::deserialize_reader(reader).map(Arc::new)
    }

    pub(super) fn serialize<S: Serializer>(
        detail: &Arc<Detail>,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        Serialize::serialize(detail.as_ref(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Arc<Detail>, D::Error> {
        Deserialize::deserialize(deserializer).map(Arc::new)
    }
}

impl Unmatched {
    /// A reason without numbers.
    #[must_use]
    pub fn plain(request: RequestId, reason: Reason) -> Self {
        Self { request, reason, detail: Arc::default() }
    }
}

/// The reason as a sentence, with its numbers.
impl fmt::Display for Unmatched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = &self.detail;
        let numbers = [
            detail.clearing_price.map(|price| format!("the batch cleared at {price} EUR/h")),
            detail.cheapest_ask.map(|ask| format!("the cheapest compatible offer asks {ask} EUR/h")),
            detail.largest_free.map(|free| format!("at most {free} are free")),
            detail.group_cap.map(|cap| format!("one group may hold {cap}")),
            detail.debit_headroom.map(|headroom| format!("{headroom} EUR may still be owed")),
            detail.aid_left.map(|left| format!("{left} EUR of aid are left")),
            detail.member_cap.map(|cap| format!("one member's requests may hold {cap}")),
            detail
                .commercial_left
                .map(|left| format!("{left} accelerator-slots are left for commercial use")),
            detail.credit_ask_cap.map(|cap| format!("a grant pays at most {cap} EUR/h")),
            detail.admission.map(|reason| format!("the contract's own reason {reason}")),
        ];
        let numbers: Vec<String> = numbers.into_iter().flatten().collect();
        write!(formatter, "{}", self.reason)?;
        if numbers.is_empty() { Ok(()) } else { write!(formatter, " ({})", numbers.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_bytes_are_fixed() {
        let table = [
            (Reason::WindowPassed, 1, "window_passed"),
            (Reason::NoOfferOfClass, 2, "no_offer_of_class"),
            (Reason::NoOfferMeetsConstraints, 3, "no_offer_meets_constraints"),
            (Reason::SameGroup, 4, "same_group"),
            (Reason::LimitBelowPrice, 5, "limit_below_price"),
            (Reason::BatchFull, 6, "batch_full"),
            (Reason::NoCapacityInWindow, 7, "no_capacity_in_window"),
            (Reason::PartialNotAllowed, 8, "partial_not_allowed"),
            (Reason::GroupCapReached, 9, "group_cap_reached"),
            (Reason::NetDebitCap, 10, "net_debit_cap"),
            (Reason::ContractRefused, 11, "contract_refused"),
            (Reason::NotEligibleForReserve, 12, "not_eligible_for_reserve"),
            (Reason::AidCeiling, 13, "aid_ceiling"),
            (Reason::MemberReserveCap, 14, "member_reserve_cap"),
            (Reason::CommercialCeiling, 15, "commercial_ceiling"),
            (Reason::AskOverCreditCap, 16, "ask_over_credit_cap"),
            (Reason::AlternativeServed, 17, "alternative_served"),
            (Reason::ContractStopped, 18, "contract_stopped"),
            (Reason::NotAdmitted, 19, "not_admitted"),
            (Reason::StakeUnfunded, 20, "stake_unfunded"),
        ];
        assert_eq!(Reason::ALL, table.map(|(reason, ..)| reason));
        for (reason, code, name) in table {
            assert_eq!(reason.code(), code);
            assert_eq!(serde_json::to_value(reason).unwrap(), name);
            assert_eq!(u16::from(borsh::to_vec(&reason).unwrap()[0]), code);
        }
        assert!(borsh::from_slice::<Reason>(&[0]).is_err());
        assert!(borsh::from_slice::<Reason>(&[21]).is_err());
    }

    #[test]
    fn a_reason_reads_as_a_sentence_with_its_numbers() {
        let detail = Detail {
            clearing_price: Some(Price(2_000_000)),
            cheapest_ask: Some(Price(1_500_000)),
            ..Detail::default()
        };
        let detail = Arc::new(detail);
        let unmatched = Unmatched { request: RequestId([0; 32]), reason: Reason::LimitBelowPrice, detail };
        assert_eq!(
            unmatched.to_string(),
            "its limit does not reach the price at which it could be served \
             (the batch cleared at 2.00 EUR/h, the cheapest compatible offer asks 1.50 EUR/h)"
        );
    }
}
