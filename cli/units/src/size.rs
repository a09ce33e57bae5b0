//! Sizes in bytes.

use std::str::FromStr;

/// A size in bytes: `4GiB`, `512 MiB`, `10MB`, `123`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// Longer endings first, for `B` ends them all.
const UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("`{text}` is no size; write it as `4GiB`, `512MiB`, `10MB` or a number of bytes");
        let plain = text.trim();
        let (unit, factor) = UNITS.iter().find(|(unit, _)| plain.ends_with(unit)).ok_or_else(refuse)?;
        let number = plain.strip_suffix(unit).ok_or_else(refuse)?.trim_end();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse());
        }
        let number: u64 = number.parse().map_err(|_| refuse())?;
        match number.checked_mul(*factor) {
            Some(0) => Err(format!("`{text}` is no bytes at all; give a size above zero")),
            Some(bytes) => Ok(Self(bytes)),
            None => Err(refuse()),
        }
    }
}

/// A size as people read it, in the largest binary unit that leaves at least one, rounded down to a tenth.
#[must_use]
pub fn bytes(size: u64) -> String {
    let unit = UNITS[..4].iter().rev().find(|(_, factor)| size >= *factor);
    match unit {
        None => format!("{size} B"),
        Some((unit, factor)) => {
            let tenths = u128::from(size) * 10 / u128::from(*factor);
            match (tenths / 10, tenths % 10) {
                (whole, 0) => format!("{whole} {unit}"),
                (whole, tenth) => format!("{whole}.{tenth} {unit}"),
            }
        }
    }
}
