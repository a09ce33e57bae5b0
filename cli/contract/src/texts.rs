//! Figures as people write them in files.

use hansa_cli_units::{self as units, Duration, Moment};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;

/// An amount in micro-euro, written `"3.50 EUR"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Euro(pub u128);

/// A part of a whole in basis points, written `"12.5%"`, from 0 % to 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(pub u16);

/// Seconds: a number, or a length of time such as `"15m"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seconds(pub u64);

/// Accelerator-seconds: a number, or the time of one accelerator such as `"8h"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units(pub u64);

/// A moment in the life of a lease: `"start"`, `"end"`, `"6h"` after the start, `"end + 1h"`, or a moment of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So many seconds after the start.
    AfterStart(u64),
    /// So many seconds after the end.
    AfterEnd(u64),
    /// A moment of the calendar, Unix seconds.
    At(u64),
}

impl When {
    /// The moment in Unix seconds, for a lease with this start and end.
    #[must_use]
    pub fn of(self, start: u64, end: u64) -> u64 {
        match self {
            Self::AfterStart(seconds) => start.saturating_add(seconds),
            Self::AfterEnd(seconds) => end.saturating_add(seconds),
            Self::At(moment) => moment,
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        let plain = text.trim();
        let after = |rest: &str| {
            let rest = rest.trim_start();
            match rest.strip_prefix('+') {
                None if rest.is_empty() => Some(Ok(0)),
                None => None,
                Some(length) => Some(length_of(length)),
            }
        };
        if let Some(seconds) = plain.strip_prefix("start").and_then(after) {
            return seconds.map(Self::AfterStart);
        }
        if let Some(seconds) = plain.strip_prefix("end").and_then(after) {
            return seconds.map(Self::AfterEnd);
        }
        if let Ok(seconds) = length_of(plain) {
            return Ok(Self::AfterStart(seconds));
        }
        match plain.parse() {
            Ok(Moment::At(moment)) => Ok(Self::At(moment.seconds())),
            _ => Err(format!(
                "`{text}` is no moment of a lease; write `6h` after the start, `end`, `end + 1h`, or a time with its zone such as \
                 `2027-01-31T12:00Z`"
            )),
        }
    }
}

/// Whole seconds.
fn length_of(text: &str) -> Result<u64, String> {
    let length: Duration = text.trim().parse()?;
    match length.0 % 1_000 {
        0 => Ok(length.0 / 1_000),
        _ => Err(format!("`{text}` is no whole number of seconds; contracts count in seconds")),
    }
}

fn share(text: &str) -> Result<u16, String> {
    match text.trim().strip_suffix('%').map(str::trim) {
        Some("0" | "0.0" | "0.00") => Ok(0),
        _ => units::percent(text).map_err(|error| error.replace("from 0.01%", "from 0%")),
    }
}

/// The moment in Unix seconds of a text that names one of the calendar.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    match text.parse::<Moment>()? {
        Moment::At(moment) => Ok(moment.seconds()),
        Moment::In(_) => Err(format!(
            "`{text}` depends on when it is read; give a time with its zone such as `2027-01-31T12:00Z`"
        )),
    }
}

/// A number, or a text that stands for one.
struct Figure(fn(&str) -> Result<u64, String>, &'static str);

impl Visitor<'_> for Figure {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.1)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        self.0(text).map_err(E::custom)
    }
}

macro_rules! figure {
    ($($name:ident, $expecting:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Figure(length_of, $expecting)).map(Self)
            }
        }
    )*};
}

figure! {
    Seconds, "seconds, or a length of time such as \"15m\"";
    Units, "accelerator-seconds, or the time of one accelerator such as \"8h\"";
}

/// Reads a type from text alone, by a function.
macro_rules! text {
    ($($name:ident, $read:expr;)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let read: fn(&str) -> Result<Self, String> = $read;
                read(&text).map_err(D::Error::custom)
            }
        }
    )*};
}

text! {
    Euro, |text| units::money(text).map(|money| Euro(money.wide()));
    Share, |text| share(text).map(Share);
    When, When::read;
}

/// Micro-euro as people read them. More than any purse can hold is shown as it is.
pub(crate) fn euro(amount: u128) -> String {
    match hansa_ledger::money::Money::try_from(amount) {
        Ok(money) => money.to_string(),
        Err(_) => format!("{amount} uEUR"),
    }
}

/// The moment as people read it.
pub(crate) fn moment_text(seconds: u64) -> String {
    hansa_ledger::time::TimeMs(seconds.saturating_mul(1_000)).to_string()
}
