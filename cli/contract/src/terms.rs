//! The file of terms: what the parties of a lease would sign.

use crate::texts::{Euro, Seconds, Share, Units, When, moment};
use crate::{ContractError, file};
use hansa_contracts_abi::limits::{NAMED_PARTIES_MAX, SLA_STEPS_MAX};
use hansa_contracts_abi::{Claims, Fallback, Party, Price, Role, SlaStep, Terms, Unit};
use hansa_ledger::member::MemberCode;
use hansa_ledger::params::Params;
use hansa_ledger::row::{OrganisationClass, Purpose};
use hansa_ledger::time::TimeMs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// The rule that decides when the contract fails, as people write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FallbackWord {
    /// Nothing more is paid.
    Refund,
    /// Usage that nobody contests is paid by the terms' price. What the ledger writes into every agreement today.
    #[default]
    PayCountersigned,
}

impl From<FallbackWord> for Fallback {
    fn from(word: FallbackWord) -> Self {
        match word {
            FallbackWord::Refund => Fallback::Refund,
            FallbackWord::PayCountersigned => Fallback::PayCountersigned,
        }
    }
}

/// A moment of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start(pub u64);

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        moment(&String::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}

/// One step of a service level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaLine {
    /// Below this availability.
    pub below: Share,
    /// This part of the due goes back.
    pub credit: Share,
}

/// Who asks, as far as a contract is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimsLine {
    /// Member that is home to the requester.
    pub home: MemberCode,
    /// What kind of organisation it is.
    #[serde(deserialize_with = "word")]
    pub class: OrganisationClass,
    /// Member whose grant pays, if one does; with `purpose`.
    pub sponsor: Option<MemberCode>,
    /// What that grant is for; with `sponsor`.
    #[serde(default, deserialize_with = "some_word")]
    pub purpose: Option<Purpose>,
}

/// One of a closed set of words, `start-up` as well as `start_up`.
fn word<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    hansa_cli_units::word(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn some_word<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    word(deserializer).map(Some)
}

/// Terms as they are written: JSON, unknown fields refused by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsFile {
    /// Accelerators.
    pub accelerators: u64,
    /// First second.
    pub start: Start,
    /// How long; or `end`.
    pub length: Option<Seconds>,
    /// First moment after it; or `length`.
    pub end: Option<When>,
    /// Price of an accelerator-hour.
    pub price: hansa_cli_units::Limit,
    /// The federation's part; its usual one if it is not said.
    pub fee: Option<Share>,
    /// The sponsors' part of every payment, if somebody sponsors.
    pub sponsor: Option<Share>,
    /// Parties that the offer names beside.
    #[serde(default)]
    pub named: usize,
    /// What of the provider's stake is held; what the contract asks for, if it is not said.
    pub stake: Option<Euro>,
    /// Service level.
    #[serde(default)]
    pub sla: Vec<SlaLine>,
    /// Accelerator-seconds on the requester's allowance, if the lease draws on one.
    pub quota: Option<Units>,
    /// Locked in the escrow; what the contract asks for, if it is not said.
    pub locked: Option<Euro>,
    /// The rule when the contract fails.
    #[serde(default)]
    pub fallback: FallbackWord,
    /// Who asks; the contract is then asked whether it may.
    pub claims: Option<ClaimsLine>,
}

impl TermsFile {
    /// Reads terms and holds every field to its bounds. `file` is the name by which a refusal calls it.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, ContractError> {
        let terms: Self = file::from_json(file, bytes)?;
        terms.check().map_err(|(field, problem)| ContractError::field(file, field, problem))?;
        Ok(terms)
    }

    fn check(&self) -> Result<(), (String, String)> {
        let refuse = |field: &str, problem: String| Err((field.to_owned(), problem));
        if self.accelerators == 0 || self.accelerators > u64::from(u32::MAX) {
            let problem = format!("is {}, and must be from 1 to {}", self.accelerators, u32::MAX);
            return refuse("accelerators", problem);
        }
        match (self.length, self.end) {
            (Some(_), Some(_)) => {
                return refuse("end", "stands beside `length`; say one of the two".to_owned());
            }
            (None, None) => return refuse("length", "is missing; say `length`, or `end`".to_owned()),
            (None, Some(When::AfterEnd(_))) => return refuse("end", "cannot be told by itself".to_owned()),
            _ => {}
        }
        if self.finish() <= self.start.0 {
            return refuse("end", "is not after `start`".to_owned());
        }
        if self.finish() > TimeMs::MAX.seconds() {
            return refuse("length", "ends after the last moment that has a date".to_owned());
        }
        if self.named > NAMED_PARTIES_MAX {
            return refuse("named", format!("is {}, and may be at most {NAMED_PARTIES_MAX}", self.named));
        }
        if self.sla.len() > SLA_STEPS_MAX {
            return refuse(
                "sla",
                format!("has {} steps, and may have at most {SLA_STEPS_MAX}", self.sla.len()),
            );
        }
        if self.claims.is_some_and(|claims| claims.sponsor.is_some() != claims.purpose.is_some()) {
            return refuse("claims", "names `sponsor` or `purpose` without the other".to_owned());
        }
        let money = [("stake", self.stake), ("locked", self.locked)];
        for (field, amount) in money.into_iter().filter_map(|(field, amount)| Some((field, amount?.0))) {
            if u64::try_from(amount).is_err() {
                return refuse(field, "is more than the ledger can count".to_owned());
            }
        }
        Ok(())
    }

    fn finish(&self) -> u64 {
        match (self.length, self.end) {
            (Some(length), _) => self.start.0.saturating_add(length.0),
            (None, end) => end.map_or(self.start.0, |end| end.of(self.start.0, self.start.0)),
        }
    }

    /// What the contract is told of who asks.
    #[must_use]
    pub fn claims(&self) -> Option<Claims> {
        self.claims.map(|line| Claims {
            home: letters(line.home),
            class: line.class as u8,
            sponsor: line.sponsor.map(letters),
            purpose: line.purpose.map(|purpose| purpose as u8),
        })
    }

    /// The terms as a contract sees them, with so much of the provider's stake held.
    #[must_use]
    pub fn terms(&self, stake: u128) -> Terms {
        let mut parties = vec![Role::Requester, Role::Provider, Role::Operator];
        if self.sponsor.is_some() {
            parties.push(Role::Sponsor);
        }
        parties.extend(std::iter::repeat_n(Role::Named, self.named));
        let step = |line: &SlaLine| SlaStep { below_bps: line.below.0, credit_bps: line.credit.0 };
        Terms {
            parties,
            unit: Unit::AcceleratorSecond,
            units: self.accelerators,
            start: self.start.0,
            end: self.finish(),
            price: Price { num: u128::from(self.price.0.0), den: 3_600 },
            fee_bps: self.fee.map_or(Params::default().fee_bps, |fee| fee.0),
            sponsor_bps: self.sponsor.map_or(0, |part| part.0),
            slash_max: stake,
            sla: self.sla.iter().map(step).collect(),
        }
    }
}

/// The two letters of a member's code.
fn letters(member: MemberCode) -> [u8; 2] {
    member.as_str().as_bytes().try_into().unwrap_or(*b"??")
}

/// What a party is called: its role, and its number among those with the same.
pub(crate) fn party_name(terms: &Terms, party: Party) -> String {
    let before = terms.parties.iter().take(usize::from(party.0)).filter(|role| **role == Role::Named).count();
    match terms.parties.get(usize::from(party.0)) {
        Some(Role::Requester) => "requester".to_owned(),
        Some(Role::Provider) => "provider".to_owned(),
        Some(Role::Operator) => "operator".to_owned(),
        Some(Role::Sponsor) => "sponsor".to_owned(),
        Some(Role::Named) => format!("named {}", before.saturating_add(1)),
        None => format!("party {}", party.0),
    }
}
