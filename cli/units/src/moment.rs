//! Lengths of time and moments.

use hansa_ledger::time::TimeMs;
use std::str::FromStr;

/// A length of time in milliseconds: `2h`, `90m`, `1h30m`, `30s`, `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub u64);

/// A time from now on: `24h`, `within 24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within(pub Duration);

/// A moment: `now`, `in 2h`, `2027-01-31T12:00Z`, `at 2027-01-31T12:00:00+01:00`, `2027-01-31` (midnight UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Some time from now.
    In(Duration),
    /// A moment of the calendar.
    At(TimeMs),
}

/// Two moments: `2027-01-31T12:00Z..2027-02-01T12:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between(pub Moment, pub Moment);

/// The longest length of time anybody may type: a thousand years of 365 days.
const LENGTH_MS_MAX: u64 = 1_000 * 365 * 86_400_000;

/// Units from long to short, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no length of time; write it as `2h`, `90m`, `1h30m` or `30s`");
        let mut rest = text.trim();
        let mut sum = 0u64;
        let mut finest = u64::MAX;
        if rest.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
            let number: u64 = number.parse().map_err(|_| refuse())?;
            // `30m2h` is more likely a slip than a wish.
            if *milliseconds >= finest {
                return Err(refuse());
            }
            finest = *milliseconds;
            sum = number
                .checked_mul(*milliseconds)
                .and_then(|part| sum.checked_add(part))
                .ok_or_else(refuse)?;
            rest = tail.trim_start();
        }
        match sum {
            0 => Err(format!("`{text}` is no time at all; give at least one second")),
            sum if sum > LENGTH_MS_MAX => Err(format!("`{text}` is longer than a thousand years")),
            sum => Ok(Self(sum)),
        }
    }
}

impl Duration {
    /// Slots of `slot_s` seconds that hold it: rounded up, for a lease is never shorter than asked.
    #[must_use]
    pub fn slots(self, slot_s: u32) -> u64 {
        self.0.div_ceil(u64::from(slot_s).max(1).saturating_mul(1_000))
    }
}

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.trim();
        plain.strip_prefix("within ").unwrap_or(plain).parse().map(Self)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "`{text}` is no moment; write `now`, `in 2h`, or a time with its zone such as `2027-01-31T12:00Z`"
            )
        };
        let plain = text.trim();
        if plain == "now" {
            return Ok(Self::In(Duration(0)));
        }
        if let Some(length) = plain.strip_prefix("in ") {
            return length.parse().map(Self::In);
        }
        let plain = plain.strip_prefix("at ").unwrap_or(plain).trim_start();
        let day = plain.len() == 10 && plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let full = if day { format!("{plain}T00:00Z") } else { plain.to_owned() };
        let moment: jiff::Timestamp = full.parse().map_err(|_| refuse())?;
        let moment = u64::try_from(moment.as_millisecond()).map(TimeMs).map_err(|_| refuse())?;
        if moment > TimeMs::MAX { Err(refuse()) } else { Ok(Self::At(moment)) }
    }
}

impl Moment {
    /// The moment itself, if it is now `now`.
    #[must_use]
    pub fn from(self, now: TimeMs) -> TimeMs {
        match self {
            Self::In(length) => now.plus(length.0),
            Self::At(moment) => moment,
        }
    }
}

impl FromStr for Between {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").ok_or_else(|| {
            format!("`{text}` is no window; write two moments such as `2027-01-31T12:00Z..2027-02-01T12:00Z`")
        })?;
        Ok(Self(from.parse()?, to.parse()?))
    }
}

/// A length of time as people read it: the two longest units that are not zero.
#[must_use]
pub fn length(milliseconds: u64) -> String {
    let mut rest = milliseconds;
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        let count = rest / size;
        rest %= size;
        // Below a second everything is shown in milliseconds, above it nothing.
        if count > 0 && (unit != "ms" || parts.is_empty()) {
            parts.push(format!("{count}{unit}"));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}
