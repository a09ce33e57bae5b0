//! What the engine must not see through.
//!
//! wasmi 2.0.0 joins `i32.eqz`, or a comparison of an i32 with zero, to the `select` that it decides (`try_fuse_select`). It drops
//! the comparison, and then still asks for its result and not for what was compared: where that is a local, the `select` decides by
//! whatever the last operator left. So the engine is given each condition by way of a local, through which it does not join.

use hansa_contracts_abi::{ModuleRefusal, ModuleRule};
use wasmparser::{
    BinaryReader, CodeSectionReader, CompositeInnerType, FunctionBody, FunctionSectionReader, Operator,
    TypeSectionReader, ValType,
};

use crate::module::{malformed, refuse};
use crate::slim::number;
use crate::strip::{Section, sections};

const SECTION_TYPE: u8 = 1;
const SECTION_FUNCTION: u8 = 3;
const SECTION_CODE: u8 = 10;

const OPCODE_LOCAL_TEE: u8 = 0x22;
const TYPE_I32: u8 = 0x7f;
const TYPE_I64: u8 = 0x7e;

/// The same module, in which each `select` finds its condition in a local. A function that has a `select` has one local more, and
/// one `local.tee` more for each, which costs what it costs; every other function has the same bytes.
///
/// # Errors
/// [`ModuleRule::Malformed`] if this is no valid module of the profile.
pub fn shield(code: &[u8]) -> Result<Vec<u8>, ModuleRefusal> {
    let (header, sections) = sections(code)?;
    let mut shielded = header.to_vec();
    let mut params_by_type: Vec<usize> = Vec::new();
    let mut params: Vec<usize> = Vec::new();
    for section in sections {
        let reader = BinaryReader::new(section.body, section.start);
        match section.id {
            SECTION_TYPE => params_by_type = types(reader)?,
            SECTION_FUNCTION => {
                for kind in FunctionSectionReader::new(reader).map_err(malformed)? {
                    let kind = usize::try_from(kind.map_err(malformed)?).ok();
                    let count = kind.and_then(|kind| params_by_type.get(kind));
                    params.push(*count.ok_or(refuse(ModuleRule::Malformed, section.start))?);
                }
            }
            SECTION_CODE => {
                let written = bodies(&section, reader, &params)?;
                shielded.push(SECTION_CODE);
                number(written.len(), &mut shielded);
                shielded.extend(written);
                continue;
            }
            _ => {}
        }
        shielded.extend_from_slice(section.whole);
    }
    Ok(shielded)
}

/// How many parameters each type of function has.
fn types(reader: BinaryReader<'_>) -> Result<Vec<usize>, ModuleRefusal> {
    let mut params = Vec::new();
    for group in TypeSectionReader::new(reader).map_err(malformed)? {
        for kind in group.map_err(malformed)?.into_types() {
            params.push(match kind.composite_type.inner {
                CompositeInnerType::Func(function) => function.params().len(),
                _ => 0,
            });
        }
    }
    Ok(params)
}

/// The content of the section with the code, each function rewritten that has to be.
fn bodies(
    section: &Section<'_>,
    reader: BinaryReader<'_>,
    params: &[usize],
) -> Result<Vec<u8>, ModuleRefusal> {
    let all: Vec<FunctionBody<'_>> = CodeSectionReader::new(reader)
        .and_then(|functions| functions.into_iter().collect())
        .map_err(malformed)?;
    let mut written = Vec::new();
    number(all.len(), &mut written);
    for (function, params) in all.iter().zip(params) {
        let bytes = part(section, function.range().start, function.range().end)?;
        let rewritten = body(section, function, *params)?;
        let bytes = rewritten.as_deref().unwrap_or(bytes);
        number(bytes.len(), &mut written);
        written.extend_from_slice(bytes);
    }
    Ok(written)
}

/// The function with its conditions in a local; none if it has no condition that is not in one.
fn body(
    section: &Section<'_>,
    function: &FunctionBody<'_>,
    params: usize,
) -> Result<Option<Vec<u8>>, ModuleRefusal> {
    let mut operators = function.get_operators_reader().map_err(malformed)?;
    let mut copied = operators.original_position();
    let mut rewritten = Vec::new();
    let mut condition: Option<usize> = None;
    let mut is_local = false;
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset().map_err(malformed)?;
        if matches!(operator, Operator::Select) && !is_local {
            let local = match condition {
                Some(local) => local,
                None => *condition.insert(locals(function, params, &mut rewritten)?),
            };
            rewritten.extend_from_slice(part(section, copied, offset)?);
            rewritten.push(OPCODE_LOCAL_TEE);
            number(local, &mut rewritten);
            copied = offset;
        }
        is_local = matches!(operator, Operator::LocalGet { .. });
    }
    if condition.is_none() {
        return Ok(None);
    }
    rewritten.extend_from_slice(part(section, copied, function.range().end)?);
    Ok(Some(rewritten))
}

/// Writes the function's locals, and one i32 more, whose index it gives.
fn locals(function: &FunctionBody<'_>, params: usize, to: &mut Vec<u8>) -> Result<usize, ModuleRefusal> {
    let reader = function.get_locals_reader().map_err(malformed)?;
    let mut index = params;
    let mut groups = Vec::new();
    for group in reader {
        let (count, kind) = group.map_err(malformed)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        index = index.saturating_add(count);
        let kind = match kind {
            ValType::I32 => TYPE_I32,
            ValType::I64 => TYPE_I64,
            _ => return Err(refuse(ModuleRule::Malformed, function.range().start)),
        };
        groups.push((count, kind));
    }
    groups.push((1, TYPE_I32));
    number(groups.len(), to);
    for (count, kind) in groups {
        number(count, to);
        to.push(kind);
    }
    Ok(index)
}

/// The bytes of a section between two places in the module.
fn part<'a>(section: &Section<'a>, start: usize, end: usize) -> Result<&'a [u8], ModuleRefusal> {
    let place = |at: usize| at.saturating_sub(section.start);
    section.body.get(place(start)..place(end)).ok_or(refuse(ModuleRule::Malformed, start))
}
