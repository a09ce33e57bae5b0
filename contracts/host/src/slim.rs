//! What the engine is given of a module that passed.

use hansa_contracts_abi::ModuleRefusal;
use hansa_contracts_abi::wire::{EXPORT_ADMIT, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE};
use wasmparser::{BinaryReader, Export, ExportSectionReader, ExternalKind};

use crate::module::malformed;
use crate::strip::sections;

/// Number of the section with the exports.
const SECTION_EXPORT: u8 = 7;
/// Number of the sections that only people read.
const SECTION_CUSTOM: u8 = 0;

/// The same module with nothing in it that no call asks for: no custom section, and of the exports only those that the host
/// looks up. Every instance has a table of its exports by name, which is made anew at each call; a linker adds two or three that
/// nobody wants. Functions, memory and data are the same bytes, hence outcome and fuel are the same.
///
/// # Errors
/// [`hansa_contracts_abi::ModuleRule::Malformed`] if the bytes are no sequence of sections, which a module that passed is.
pub(crate) fn slim(code: &[u8]) -> Result<Vec<u8>, ModuleRefusal> {
    let (header, sections) = sections(code)?;
    let mut slim = header.to_vec();
    for section in sections {
        match section.id {
            SECTION_CUSTOM => {}
            SECTION_EXPORT => exports(section.body, section.start, &mut slim)?,
            _ => slim.extend_from_slice(section.whole),
        }
    }
    Ok(slim)
}

/// Writes the section of exports with those that are called, or read and written.
fn exports(body: &[u8], start: usize, slim: &mut Vec<u8>) -> Result<(), ModuleRefusal> {
    let section = ExportSectionReader::new(BinaryReader::new(body, start)).map_err(malformed)?;
    let all: Vec<Export<'_>> = section.into_iter().collect::<Result<_, _>>().map_err(malformed)?;
    let wanted = [EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, EXPORT_ADMIT];
    let kept: Vec<&Export<'_>> = all.iter().filter(|export| wanted.contains(&export.name)).collect();
    let mut written = Vec::new();
    number(kept.len(), &mut written);
    for export in kept {
        number(export.name.len(), &mut written);
        written.extend_from_slice(export.name.as_bytes());
        written.push(match export.kind {
            ExternalKind::Func => 0,
            ExternalKind::Table => 1,
            ExternalKind::Memory => 2,
            ExternalKind::Global => 3,
            ExternalKind::Tag => 4,
        });
        number(usize::try_from(export.index).unwrap_or(usize::MAX), &mut written);
    }
    slim.push(SECTION_EXPORT);
    number(written.len(), slim);
    slim.extend(written);
    Ok(())
}

/// Writes a number as WASM does: seven bits in a byte, the lowest first.
pub(crate) fn number(mut value: usize, to: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            to.push(low & 0x7f);
            return;
        }
        to.push(low | 0x80);
    }
}
