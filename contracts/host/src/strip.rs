//! What a contract must leave behind before it is a contract.

use hansa_contracts_abi::wire::SECTION_META;
use hansa_contracts_abi::{ModuleRefusal, ModuleRule};
use wasmparser::{BinaryReader, CustomSectionReader};

use crate::module::{malformed, refuse};

/// Bytes of magic number and version that every module begins with.
const HEADER_BYTES: usize = 8;

/// One section of a module.
pub(crate) struct Section<'a> {
    /// Its number.
    pub id: u8,
    /// Number, length and content.
    pub whole: &'a [u8],
    /// Its content alone.
    pub body: &'a [u8],
    /// Where the content begins in the module.
    pub start: usize,
}

/// The header of a module, and its sections in their order.
///
/// # Errors
/// [`ModuleRule::Malformed`] if the bytes are no sequence of sections.
pub(crate) fn sections(code: &[u8]) -> Result<(&[u8], Vec<Section<'_>>), ModuleRefusal> {
    let (header, mut rest) =
        code.split_at_checked(HEADER_BYTES).ok_or(refuse(ModuleRule::Malformed, code.len()))?;
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let place = code.len().saturating_sub(rest.len());
        let mut reader = BinaryReader::new(rest, place);
        let id = reader.read_u8().map_err(malformed)?;
        let size = reader.read_var_u32().map_err(malformed)?;
        let start = reader.original_position();
        let body = reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX)).map_err(malformed)?;
        let (whole, after) = rest
            .split_at_checked(reader.original_position().saturating_sub(place))
            .ok_or(refuse(ModuleRule::Malformed, place))?;
        sections.push(Section { id, whole, body, start });
        rest = after;
    }
    Ok((header, sections))
}

/// The same module without its custom sections, `sdk.meta` excepted: names, debug data, what the compiler says of itself.
/// A compiler that is told to strip leaves nothing to do here.
///
/// # Errors
/// [`ModuleRule::Malformed`] if the bytes are no sequence of sections.
pub fn strip(code: &[u8]) -> Result<Vec<u8>, ModuleRefusal> {
    let (header, sections) = sections(code)?;
    let mut stripped = header.to_vec();
    for section in sections {
        let kept = section.id != 0
            || CustomSectionReader::new(BinaryReader::new(section.body, section.start))
                .map_err(malformed)?
                .name()
                == SECTION_META;
        if kept {
            stripped.extend_from_slice(section.whole);
        }
    }
    Ok(stripped)
}
