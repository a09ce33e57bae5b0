//! Member states, their codes, and sets of countries.

use crate::name::invalid;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The codes of the 27 member states (ISO 3166-1 alpha-2), in the order of their bits in a [`CountrySet`].
pub const COUNTRIES: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT",
    "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// A member state, or `EU` for the joint undertaking, which holds pools and a position but no vote.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct MemberCode([u8; 2]);

impl MemberCode {
    /// The joint undertaking.
    pub const EU: Self = Self(*b"EU");

    /// The two letters as bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 2] {
        self.0
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }

    /// The bit of this country in a [`CountrySet`]; `None` for `EU`.
    #[must_use]
    pub fn country_bit(&self) -> Option<u32> {
        let index = COUNTRIES.iter().position(|code| code.as_bytes() == self.0)?;
        u32::try_from(index).ok()
    }
}

impl FromStr for MemberCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        // The Commission writes EL for Greece; the ledger writes GR, so that one country has one code.
        let code = if upper == "EL" { "GR" } else { upper.as_str() };
        if code != "EU" && !COUNTRIES.contains(&code) {
            return Err(format!("`{text}` is no member state; expected one of {}", COUNTRIES.join(" ")));
        }
        let bytes = code.as_bytes();
        Ok(Self([bytes[0], bytes[1]]))
    }
}

impl fmt::Display for MemberCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for MemberCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl BorshDeserialize for MemberCode {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let bytes = <[u8; 2]>::deserialize_reader(reader)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| invalid("no member code"))?;
        if text != "EU" && !COUNTRIES.contains(&text) {
            return Err(invalid("no member code"));
        }
        Ok(Self(bytes))
    }
}

impl Serialize for MemberCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MemberCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A set of countries as 27 bits; the empty set means anywhere. In JSON a list of codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize)]
pub struct CountrySet(u32);

impl CountrySet {
    /// The set of `members`; `EU` is no country and is refused.
    ///
    /// # Errors
    /// Names the member that is no country.
    pub fn of(members: impl IntoIterator<Item = MemberCode>) -> Result<Self, String> {
        let mut bits = 0u32;
        for member in members {
            let bit = member.country_bit().ok_or_else(|| format!("`{member}` is no country"))?;
            bits |= 1u32 << bit;
        }
        Ok(Self(bits))
    }

    /// Whether `country` satisfies the set: it is in it, or the set is empty.
    #[must_use]
    pub fn admits(&self, country: MemberCode) -> bool {
        self.0 == 0 || country.country_bit().is_some_and(|bit| self.0 & (1u32 << bit) != 0)
    }

    /// The set with `country` in it as well; none for what is no country. Nothing is added to the set that means anywhere.
    #[must_use]
    pub fn with(&self, country: MemberCode) -> Option<Self> {
        let bit = country.country_bit()?;
        Some(if self.0 == 0 { *self } else { Self(self.0 | 1u32 << bit) })
    }

    /// The countries of the set, in the order of their codes.
    pub fn countries(&self) -> impl Iterator<Item = &'static str> + '_ {
        COUNTRIES.iter().enumerate().filter(|(bit, _)| self.0 & (1u32 << bit) != 0).map(|(_, code)| *code)
    }
}

impl BorshDeserialize for CountrySet {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let bits = u32::deserialize_reader(reader)?;
        if bits >> COUNTRIES.len() != 0 {
            return Err(invalid("no set of countries"));
        }
        Ok(Self(bits))
    }
}

impl Serialize for CountrySet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.countries())
    }
}

impl<'de> Deserialize<'de> for CountrySet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = <Vec<MemberCode> as Deserialize>::deserialize(deserializer)?;
        Self::of(members).map_err(serde::de::Error::custom)
    }
}
