//! Short text that stands on the ledger: bounded, lower case, one spelling.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 48;

/// A name of a site, a class, a budget line or the like: 1 to 48 of `a-z 0-9 . _ -`, beginning with a letter or digit.
///
/// A copy shares the text: rows and their keys are full of names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Takes `text` as a name.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(format!("a name has 1 to {NAME_BYTES_MAX} characters, this one has {}", text.len()));
        }
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !text.bytes().next().is_some_and(allowed) {
            return Err(format!("a name begins with a-z or 0-9, and `{text}` does not"));
        }
        match text.bytes().find(|byte| !allowed(*byte) && !b"._-".contains(byte)) {
            Some(_) => Err(format!("a name is made of a-z, 0-9, `.`, `_` and `-`, and `{text}` is not")),
            None => Ok(Self(text.into())),
        }
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text)
    }
}

impl BorshSerialize for Name {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        BorshSerialize::serialize(self.as_str(), writer)
    }
}

impl BorshDeserialize for Name {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let length = u32::deserialize_reader(reader)? as usize;
        if length > NAME_BYTES_MAX {
            return Err(invalid("name too long"));
        }
        let mut bytes = vec![0u8; length];
        reader.read_exact(&mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| invalid("name is not text"))?;
        Self::new(&text).map_err(|_| invalid("name breaks its rules"))
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// The error of a decoder that met bytes which are no value.
pub(crate) fn invalid(what: &'static str) -> borsh::io::Error {
    borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, what)
}
