//! Byte strings as hexadecimal in JSON.

use serde::{Deserialize, Deserializer, Serializer};

/// Writes bytes as hexadecimal.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

/// Reads bytes from hexadecimal.
///
/// # Errors
/// When the text is not hexadecimal.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    hex::decode(<String as Deserialize>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// The same for bytes that may be missing.
pub mod option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes bytes as hexadecimal, or nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(hex::encode).serialize(serializer)
    }

    /// Reads bytes from hexadecimal, or nothing.
    ///
    /// # Errors
    /// When the text is not hexadecimal.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        <Option<String> as Deserialize>::deserialize(deserializer)?
            .map(|text| hex::decode(text).map_err(serde::de::Error::custom))
            .transpose()
    }
}
