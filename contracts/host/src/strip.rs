//! What a contract must leave behind before it is a contract.

use hansa_contracts_abi::wire::SECTION_META;
use hansa_contracts_abi::{ModuleRefusal, ModuleRule};
use wasmparser::{BinaryReader, CustomSectionReader};

use crate::module::{malformed, refuse};

/// Bytes of magic number and version that every module begins with.
const HEADER_BYTES: usize = 8;

/// The same module without its custom sections, `sdk.meta` excepted: names, debug data, what the compiler says of itself.
/// A compiler that is told to strip leaves nothing to do here.
///
/// # Errors
/// [`ModuleRule::Malformed`] if the bytes are no sequence of sections.
pub fn strip(code: &[u8]) -> Result<Vec<u8>, ModuleRefusal> {
    let (header, mut rest) =
        code.split_at_checked(HEADER_BYTES).ok_or(refuse(ModuleRule::Malformed, code.len()))?;
    let mut stripped = header.to_vec();
    while !rest.is_empty() {
        let place = code.len().saturating_sub(rest.len());
        let mut reader = BinaryReader::new(rest, place);
        let id = reader.read_u8().map_err(malformed)?;
        let size = reader.read_var_u32().map_err(malformed)?;
        let start = reader.original_position();
        let body = reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX)).map_err(malformed)?;
        let (section, after) = rest
            .split_at_checked(reader.original_position().saturating_sub(place))
            .ok_or(refuse(ModuleRule::Malformed, place))?;
        let kept = id != 0
            || CustomSectionReader::new(BinaryReader::new(body, start)).map_err(malformed)?.name()
                == SECTION_META;
        if kept {
            stripped.extend_from_slice(section);
        }
        rest = after;
    }
    Ok(stripped)
}
