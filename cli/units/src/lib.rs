//! Read and write units as people do.
//!
//! Prices, amounts, lengths of time, moments, sizes and shares, with one reading for arguments and files of every verb.

mod moment;
mod size;
#[cfg(test)]
mod tests;

use hansa_ledger::id::GrantId;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::name::Name;
use std::str::FromStr;

pub use moment::{Between, Duration, Moment, Within, length};
pub use size::{Size, bytes};

/// Gives types that people type the same reading in files: as text, through `FromStr`.
macro_rules! read_from_text {
    ($($name:ident),* $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

read_from_text!(Between, Duration, Limit, Moment, PurseName, Size, SourceShare, Within);

/// A price as people type it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Price);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        price(text).map(Self)
    }
}

impl FromStr for PurseName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        grant(text)
    }
}

impl FromStr for SourceShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        source(text)
    }
}

/// Reads one of a closed set of words, such as a class or a purpose: `start-up` and `start_up` are the same.
///
/// # Errors
/// Lists the words.
pub fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let plain = text.trim().to_ascii_lowercase().replace('-', "_");
    serde_json::from_value(serde_json::Value::String(plain))
        .map_err(|error| error.to_string().replace('_', "-"))
}

/// The word of a case, as people read it.
#[must_use]
pub fn word_text(case: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(case).ok().and_then(|value| value.as_str().map(str::to_owned));
    word.unwrap_or_default().replace('_', "-")
}

/// Reads an amount: `3.50`, `3.50 EUR`.
///
/// # Errors
/// Says how to write it.
pub fn money(text: &str) -> Result<Money, String> {
    let number = without_unit(text, &["EUR", "eur", "€"]);
    number
        .parse()
        .map_err(|_| format!("`{text}` is no amount; write it as `3.50 EUR`, with up to six decimals"))
}

/// Reads a price per accelerator-hour: `3.50`, `3.50 EUR/h`.
///
/// # Errors
/// Says how to write it, also when it is finer than a tenth of a cent.
pub fn price(text: &str) -> Result<Price, String> {
    let number = without_unit(text, &["EUR/h", "eur/h", "€/h", "EUR", "eur", "€"]);
    let price: Price = number.parse().map_err(|_| {
        format!(
            "`{text}` is no price; write it per accelerator-hour as `3.50 EUR/h`, with up to three decimals"
        )
    })?;
    match price.is_on_tick() {
        true => Ok(price),
        false => Err(format!("`{text}` is finer than a tenth of a cent; round it to three decimals")),
    }
}

/// A part of a whole in basis points: `80%`, `12.5%`.
///
/// # Errors
/// Says how to write it.
pub fn percent(text: &str) -> Result<u16, String> {
    let refuse =
        || format!("`{text}` is no part; write it as `80%`, from 0.01% to 100%, with up to two decimals");
    let number = text.trim().strip_suffix('%').ok_or_else(refuse)?.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 2 {
        return Err(refuse());
    }
    let bps: u32 = format!("{whole}{fraction:0<2}").parse().map_err(|_| refuse())?;
    match u16::try_from(bps) {
        Ok(bps) if (1..=10_000).contains(&bps) => Ok(bps),
        _ => Err(refuse()),
    }
}

/// A purse as people name it: cash, or a grant by its id or its issuer's reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurseName {
    /// The organisation's own money.
    Cash,
    /// A grant by its id.
    Grant(GrantId),
    /// A grant by the issuer's reference.
    GrantReference(Name),
}

/// A purse, and what part of the whole it pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceShare {
    /// Which.
    pub purse: PurseName,
    /// Its part in basis points.
    pub share_bps: u16,
}

/// Reads a grant: its id, or its issuer's reference.
///
/// # Errors
/// Says how to write it.
pub fn grant(text: &str) -> Result<PurseName, String> {
    if let Ok(id) = text.parse() {
        return Ok(PurseName::Grant(id));
    }
    let name = Name::new(text);
    name.map(PurseName::GrantReference).map_err(|_| {
        format!("`{text}` is no grant; give its id (64 hexadecimal characters) or its reference, as `hansa account show` lists them")
    })
}

/// Reads a source with its part: `cash=20%`, `grant:ID=80%`, `grant:REFERENCE=80%`.
///
/// # Errors
/// Says how to write it.
pub fn source(text: &str) -> Result<SourceShare, String> {
    let refuse = || format!("`{text}` is no source; write `cash=20%` or `grant:ID=80%`");
    let (purse, share) = text.split_once('=').ok_or_else(refuse)?;
    let purse = match purse.trim() {
        "cash" => PurseName::Cash,
        other => grant(other.strip_prefix("grant:").ok_or_else(refuse)?.trim())?,
    };
    Ok(SourceShare { purse, share_bps: percent(share)? })
}

/// A part in basis points as people read it.
#[must_use]
pub fn percent_text(bps: u16) -> String {
    match (bps / 100, bps % 100) {
        (whole, 0) => format!("{whole} %"),
        (whole, rest) => format!("{whole}.{} %", format!("{rest:02}").trim_end_matches('0')),
    }
}

fn without_unit<'a>(text: &'a str, units: &[&str]) -> &'a str {
    let text = text.trim();
    units.iter().find_map(|unit| text.strip_suffix(unit)).map_or(text, str::trim_end)
}
