//! The parameters of a contract: raw bytes, or a list of typed values.
//!
//! A module says nothing of the shape of its parameters, so that one way serves every contract, built in or not: the
//! fields in the order of the contract's `Params`, each with its type. Borsh of a struct is its fields one after the
//! other, which is what comes out.

use crate::texts::{Euro, Seconds, Share};
use crate::{ContractError, file};
use hansa_contracts_abi::limits::IO_BYTES_MAX;
use serde::{Deserialize, Deserializer};
use std::path::Path;

/// How deep lists and structs may lie in each other.
const DEPTH_MAX: usize = 8;

/// A number of up to 128 bits: JSON's own, or text where that is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number(u128);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number that is not negative, or one in quotes")]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(u128::from(number))),
            Either::Text(text) => text.parse().map(Self).map_err(|_| {
                serde::de::Error::custom(format!(
                    "`{text}` is no number that is not negative and has at most 128 bits"
                ))
            }),
        }
    }
}

/// A case of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText {
    /// Its position.
    index: u8,
    /// What it holds.
    #[serde(default)]
    fields: Vec<ValueText>,
}

/// One value: exactly one of these, and a name for whoever reads the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ValueText {
    name: Option<String>,
    u8: Option<Number>,
    u16: Option<Number>,
    u32: Option<Number>,
    u64: Option<Number>,
    u128: Option<Number>,
    bool: Option<bool>,
    /// `Money`.
    eur: Option<Euro>,
    /// `Bps`.
    percent: Option<Share>,
    /// Seconds as `u64`.
    seconds: Option<Seconds>,
    /// `String`.
    text: Option<String>,
    /// `Vec<u8>`, in hexadecimal.
    bytes: Option<String>,
    /// `[u8; N]`, in hexadecimal.
    array: Option<String>,
    /// `Vec<T>`.
    list: Option<Vec<ValueText>>,
    /// A struct or tuple.
    fields: Option<Vec<ValueText>>,
    /// `Some` of a value.
    some: Option<Box<ValueText>>,
    /// `None`.
    none: Option<bool>,
    /// A case of an enum.
    case: Option<CaseText>,
}

type Refusal = (String, String);

/// Reads a list of typed values into the bytes of a contract's parameters. `file` is the name by which a refusal calls it.
///
/// # Errors
/// Names the value that is wrong.
pub fn typed_params(file: &str, bytes: &[u8]) -> Result<Vec<u8>, ContractError> {
    let values: Vec<ValueText> = file::from_json(file, bytes)?;
    let mut out = Vec::new();
    let written = write_all("", &values, 0, &mut out);
    written.map_err(|(path, problem)| ContractError::field(file, path, problem))?;
    if out.len() > IO_BYTES_MAX {
        let problem = format!("makes {} bytes, and a contract can be told {IO_BYTES_MAX}", out.len());
        return Err(ContractError::field(file, "the file", problem));
    }
    Ok(out)
}

fn write_all(path: &str, values: &[ValueText], depth: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if depth > DEPTH_MAX {
        return Err((path.to_owned(), format!("lies deeper than {DEPTH_MAX} lists in each other")));
    }
    values.iter().enumerate().try_for_each(|(at, value)| value.write(&format!("{path}[{at}]"), depth, out))
}

fn length(path: &str, len: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let len = u32::try_from(len).map_err(|_| (path.to_owned(), "is too long".to_owned()))?;
    out.extend(len.to_le_bytes());
    Ok(())
}

fn decode(path: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    hex::decode(text).map_err(|error| (path.to_owned(), format!("`{text}` is not hexadecimal: {error}")))
}

impl ValueText {
    /// How many types it has; one is right.
    fn types(&self) -> usize {
        let numbers = [&self.u8, &self.u16, &self.u32, &self.u64, &self.u128];
        let others = [
            self.bool.is_some(),
            self.eur.is_some(),
            self.percent.is_some(),
            self.seconds.is_some(),
            self.text.is_some(),
            self.bytes.is_some(),
            self.array.is_some(),
            self.list.is_some(),
            self.fields.is_some(),
            self.some.is_some(),
            self.none.is_some(),
            self.case.is_some(),
        ];
        numbers.into_iter().flatten().count() + others.into_iter().filter(|there| *there).count()
    }

    fn write(&self, path: &str, depth: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let called = match &self.name {
            Some(name) => format!("{path} ({name})"),
            None => path.to_owned(),
        };
        let path = called.as_str();
        if self.types() != 1 {
            let problem = "must have exactly one type, such as `{\"u64\": 5}` or `{\"eur\": \"3.50\"}`";
            return Err((path.to_owned(), problem.to_owned()));
        }
        self.write_number(path, out)?;
        let deeper = depth.saturating_add(1);
        if let Some(values) = &self.list {
            length(path, values.len(), out)?;
            write_all(&format!("{path}.list"), values, deeper, out)?;
        }
        if let Some(values) = &self.fields {
            write_all(&format!("{path}.fields"), values, deeper, out)?;
        }
        if let Some(case) = &self.case {
            out.push(case.index);
            write_all(&format!("{path}.case.fields"), &case.fields, deeper, out)?;
        }
        if let Some(value) = &self.some {
            out.push(1);
            write_all(&format!("{path}.some"), std::slice::from_ref(value), deeper, out)?;
        }
        match self.none {
            Some(true) => out.push(0),
            Some(false) => return Err((path.to_owned(), "is `none: false`; say `some`".to_owned())),
            None => {}
        }
        Ok(())
    }

    /// Writes what has no values in it.
    fn write_number(&self, path: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let narrow = |number: Number, bytes: usize, out: &mut Vec<u8>| {
            let all = number.0.to_le_bytes();
            let (low, high) = all.split_at(bytes);
            if high.iter().any(|byte| *byte != 0) {
                return Err((path.to_owned(), format!("{} does not fit into {} bits", number.0, bytes * 8)));
            }
            out.extend(low);
            Ok(())
        };
        let numbers = [(self.u8, 1), (self.u16, 2), (self.u32, 4), (self.u64, 8), (self.u128, 16)];
        for (number, bytes) in numbers {
            if let Some(number) = number {
                narrow(number, bytes, out)?;
            }
        }
        if let Some(value) = self.bool {
            out.push(u8::from(value));
        }
        if let Some(Euro(amount)) = self.eur {
            out.extend(amount.to_le_bytes());
        }
        if let Some(Share(part)) = self.percent {
            out.extend(part.to_le_bytes());
        }
        if let Some(Seconds(seconds)) = self.seconds {
            out.extend(seconds.to_le_bytes());
        }
        if let Some(text) = &self.text {
            length(path, text.len(), out)?;
            out.extend(text.as_bytes());
        }
        if let Some(text) = &self.bytes {
            let bytes = decode(path, text)?;
            length(path, bytes.len(), out)?;
            out.extend(bytes);
        }
        if let Some(text) = &self.array {
            out.extend(decode(path, text)?);
        }
        Ok(())
    }
}

/// Reads parameters from the command line: a file of typed values (`.json`), a file of raw bytes, or hexadecimal. None given
/// is no bytes.
///
/// # Errors
/// When the file cannot be read or a value in it is wrong, or the text is neither a file nor hexadecimal.
pub fn read_params(argument: Option<&str>) -> Result<Vec<u8>, ContractError> {
    let Some(text) = argument else { return Ok(Vec::new()) };
    let path = Path::new(text);
    if path.is_file() {
        let bytes = file::read(path, file::JSON_BYTES_MAX)?;
        let typed = path.extension().is_some_and(|extension| extension == "json");
        return if typed { typed_params(&file::name(path), &bytes) } else { Ok(bytes) };
    }
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|_| {
        ContractError::new(format!("`{text}` is neither a file nor hexadecimal")).hint(
            "give a file of typed values that ends in `.json`, a file of bytes, or the bytes in hexadecimal",
        )
    })
}
