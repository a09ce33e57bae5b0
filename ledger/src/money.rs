//! Money of account: integer micro-euro, checked arithmetic only.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Micro-euro in one euro.
pub const UEUR_PER_EUR: u64 = 1_000_000;

/// Prices are multiples of this many uEUR: a tenth of a cent.
pub const PRICE_TICK_UEUR: u64 = 1_000;

/// An amount in uEUR (10^-6 EUR). In JSON and for people a decimal number of euro: `"3.50"`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Money(pub u64);

/// A price in uEUR per accelerator-hour. In JSON and for people a decimal number of euro: `"3.50"`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Price(pub u64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it is over what fits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when it would be below zero.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The amount as the contracts' wide integer.
    #[must_use]
    pub fn wide(self) -> u128 {
        u128::from(self.0)
    }
}

impl TryFrom<u128> for Money {
    type Error = std::num::TryFromIntError;

    fn try_from(wide: u128) -> Result<Self, Self::Error> {
        u64::try_from(wide).map(Self)
    }
}

impl Price {
    /// What `accelerator_seconds` may cost at most: rounded up, so that an escrow is never short. `None` when over `u64`.
    #[must_use]
    pub fn charge(self, accelerator_seconds: u64) -> Option<Money> {
        let product = u128::from(self.0).checked_mul(u128::from(accelerator_seconds))?;
        Money::try_from(product.div_ceil(3_600)).ok()
    }

    /// Whether the price is a positive multiple of the tick or zero.
    #[must_use]
    pub fn is_on_tick(self) -> bool {
        self.0.is_multiple_of(PRICE_TICK_UEUR)
    }
}

/// Writes uEUR as euro with at least two decimals and no needless zeros after them.
fn write_euro(formatter: &mut fmt::Formatter<'_>, ueur: u64) -> fmt::Result {
    let euro = ueur.checked_div(UEUR_PER_EUR).unwrap_or(0);
    let fraction = format!("{:06}", ueur.checked_rem(UEUR_PER_EUR).unwrap_or(0));
    let shown = fraction.trim_end_matches('0');
    write!(formatter, "{euro}.{shown:0<2}")
}

/// Reads euro with up to six decimals.
fn parse_euro(text: &str) -> Result<u64, String> {
    let refuse = || format!("`{text}` is no amount; write euro with up to six decimals, such as 3.50");
    let (euro, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if euro.is_empty() || !digits(euro) || !digits(fraction) || fraction.len() > 6 {
        return Err(refuse());
    }
    let euro: u64 = euro.parse().map_err(|_| refuse())?;
    let fraction: u64 = format!("{fraction:0<6}").parse().map_err(|_| refuse())?;
    euro.checked_mul(UEUR_PER_EUR).and_then(|ueur| ueur.checked_add(fraction)).ok_or_else(refuse)
}

macro_rules! euro_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_euro(formatter, self.0)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                parse_euro(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

euro_text!(Money, Price);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn euro_text_round_trips_and_refuses_what_is_no_amount() {
        for (ueur, text) in [
            (0, "0.00"),
            (3_500_000, "3.50"),
            (1, "0.000001"),
            (1_234_567, "1.234567"),
            (u64::MAX, "18446744073709.551615"),
        ] {
            assert_eq!(Money(ueur).to_string(), text);
            assert_eq!(text.parse(), Ok(Money(ueur)));
        }
        for text in ["", ".", ".5", "1.0000001", "-1", "1e3", "18446744073709.551616", "1,5"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_charge_is_rounded_up_and_refuses_overflow() {
        assert_eq!(Price(2_500_000).charge(3_600), Some(Money(2_500_000)));
        assert_eq!(Price(1).charge(1), Some(Money(1)));
        assert_eq!(Price(0).charge(u64::MAX), Some(Money(0)));
        assert_eq!(Price(u64::MAX).charge(u64::MAX), None);
    }
}
