//! Reading files: never more than what they may hold, and JSON with the field that is wrong.

use crate::ContractError;
use serde::de::DeserializeOwned;
use std::io::Read as _;
use std::path::Path;

/// The most bytes of a file of terms, usage or parameters.
pub(crate) const JSON_BYTES_MAX: u64 = 1 << 20;

/// Reads a file of at most `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, ContractError> {
    let mut bytes = Vec::new();
    let limit = most.saturating_add(1);
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(ContractError::new(format!("cannot read `{}`: {error}", path.display()))),
        Ok(count) if count as u64 > most => {
            Err(ContractError::new(format!("`{}` is larger than {most} bytes", path.display())))
        }
        Ok(_) => Ok(bytes),
    }
}

/// Reads a value from JSON. What is wrong is told as file, field, and what serde says of it, line and column included.
pub(crate) fn from_json<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, ContractError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        // Where the text breaks off the path ends in `?`; at the top it is `.` or nothing but that.
        let path = error.path().to_string();
        let field = path.trim_end_matches('?').trim_end_matches('.');
        let field = if field.is_empty() { "the file" } else { field };
        ContractError::field(file, field, error.inner().to_string())
    })?;
    let rest = reader.end();
    rest.map_err(|error| ContractError::field(file, "the file", format!("more follows after it: {error}")))?;
    Ok(value)
}

/// How a file is called in messages: its name alone.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
