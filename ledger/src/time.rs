//! Time as the ledger knows it: the block's, in milliseconds, and slots.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A moment: milliseconds since 1970-01-01 UTC. In JSON and for people RFC 3339.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct TimeMs(pub u64);

/// A slot of the calendar: `slot_s` seconds, counted from 1970-01-01 UTC.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct Slot(pub u32);

impl TimeMs {
    /// The last moment that has an RFC 3339 form: 9999-12-30T22:00:00Z.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// This moment and `milliseconds` more; the end of time when that is over it.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds).min(Self::MAX.0))
    }

    /// Whole seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0.checked_div(1_000).unwrap_or(0)
    }

    /// The slot this moment lies in.
    #[must_use]
    pub fn slot(self, slot_s: u32) -> Slot {
        let slot = self.seconds().checked_div(u64::from(slot_s)).unwrap_or(0);
        Slot(u32::try_from(slot).unwrap_or(u32::MAX))
    }
}

impl Slot {
    /// The moment the slot begins.
    #[must_use]
    pub fn begins(self, slot_s: u32) -> TimeMs {
        let seconds = u64::from(self.0).saturating_mul(u64::from(slot_s));
        TimeMs(seconds.saturating_mul(1_000).min(TimeMs::MAX.0))
    }

    /// `slots` later, or `None` past the last slot.
    #[must_use]
    pub fn checked_add(self, slots: u32) -> Option<Self> {
        self.0.checked_add(slots).map(Self)
    }
}

impl fmt::Display for TimeMs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match moment {
            Some(moment) => write!(formatter, "{moment}"),
            None => write!(formatter, "{} ms", self.0),
        }
    }
}

impl FromStr for TimeMs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no time; write RFC 3339, such as 2027-01-31T12:00:00Z");
        // What no calendar holds may still stand in a transaction that was refused for it, and is read as it is written.
        if let Some(far) = text.strip_suffix(" ms").and_then(|number| number.parse().ok().map(Self))
            && far.to_string() == text
        {
            return Ok(far);
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
        u64::try_from(moment.as_millisecond()).map(Self).map_err(|_| refuse())
    }
}

impl Serialize for TimeMs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeMs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
