//! Whether code may become a contract: our own pass over the instructions, after the walk over the sections.

use hansa_contracts_abi::limits::MODULE_BYTES_MAX;
use hansa_contracts_abi::{ModuleRefusal, ModuleRule, ModuleSummary};
use wasmparser::{BinaryReader, BinaryReaderError, Parser, ValidPayload, Validator, WasmFeatures};

use crate::profile::{OPERANDS_PER_FUNCTION_MAX, features};
use crate::survey::Survey;

/// What the host needs to know of a module that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What everybody may know.
    pub summary: ModuleSummary,
    /// Address of the buffer in the memory.
    pub buffer: usize,
}

/// Checks a module against every rule of the profile but the engine's own.
///
/// # Errors
/// The first reason found: size, then structure in the order of the sections, then exports and description, then
/// instructions.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Shape, ModuleRefusal> {
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(refuse(ModuleRule::TooLarge, MODULE_BYTES_MAX));
    }
    let shape = Survey::of(bytes)?.finish(bytes.len())?;
    match validate(bytes, features()) {
        Ok(()) => Ok(shape),
        Err(Invalid::Operands(offset)) => Err(refuse(ModuleRule::Operands, offset)),
        Err(Invalid::At(offset)) => Err(refuse(culprit(bytes, offset), offset)),
    }
}

/// The refusal by this rule at this byte.
pub(crate) fn refuse(rule: ModuleRule, offset: usize) -> ModuleRefusal {
    ModuleRefusal::new(rule, offset)
}

/// The refusal of bytes that the parser could not read.
pub(crate) fn malformed(error: BinaryReaderError) -> ModuleRefusal {
    refuse(ModuleRule::Malformed, error.offset())
}

/// Where, or why, a module is not valid.
enum Invalid {
    At(usize),
    Operands(usize),
}

impl From<BinaryReaderError> for Invalid {
    fn from(error: BinaryReaderError) -> Self {
        Invalid::At(error.offset())
    }
}

fn validate(bytes: &[u8], features: WasmFeatures) -> Result<(), Invalid> {
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    // Some encodings belong to a feature: without this, the parser would read what the engine then refuses.
    parser.set_features(features);
    for payload in parser.parse_all(bytes) {
        let ValidPayload::Func(function, body) = validator.payload(&payload?)? else {
            continue;
        };
        let mut function = function.into_validator(Default::default());
        let mut reader = body.get_binary_reader();
        function.read_locals(&mut reader)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            function.op(offset, &operator)?;
            if function.operand_stack_height() > OPERANDS_PER_FUNCTION_MAX {
                return Err(Invalid::Operands(offset));
            }
        }
        operators.ensure_end()?;
        function.finish(operators.original_position())?;
    }
    Ok(())
}

/// Features that are off, each with the rule that names it. The first that moves the error is the culprit, so that what
/// another one builds upon comes first.
const SUSPECTS: [(WasmFeatures, ModuleRule); 12] = [
    (WasmFeatures::FLOATS.union(WasmFeatures::SATURATING_FLOAT_TO_INT), ModuleRule::Floats),
    (WasmFeatures::REFERENCE_TYPES, ModuleRule::ReferenceTypes),
    (WasmFeatures::TAIL_CALL, ModuleRule::TailCalls),
    (WasmFeatures::MULTI_VALUE, ModuleRule::MultiValue),
    (WasmFeatures::EXTENDED_CONST, ModuleRule::ExtendedConstants),
    (WasmFeatures::THREADS, ModuleRule::Threads),
    (WasmFeatures::SIMD, ModuleRule::Simd),
    (WasmFeatures::WIDE_ARITHMETIC, ModuleRule::WideArithmetic),
    (WasmFeatures::MEMORY64, ModuleRule::Memory64),
    (WasmFeatures::CUSTOM_PAGE_SIZES, ModuleRule::PageSize),
    (WasmFeatures::EXCEPTIONS.union(WasmFeatures::LEGACY_EXCEPTIONS), ModuleRule::Exceptions),
    (
        WasmFeatures::REFERENCE_TYPES.union(WasmFeatures::FUNCTION_REFERENCES).union(WasmFeatures::GC),
        ModuleRule::GarbageCollection,
    ),
];

/// Finds the feature that an invalid module would need to be valid: the first that, once allowed, moves the error.
fn culprit(bytes: &[u8], offset: usize) -> ModuleRule {
    let helps = |feature| match validate(bytes, features() | feature) {
        Ok(()) => true,
        Err(Invalid::At(other) | Invalid::Operands(other)) => other > offset,
    };
    // What all features together do not help is plainly wrong, and not worth a dozen more passes.
    if !helps(WasmFeatures::all()) {
        return unreadable(bytes, offset);
    }
    let guilty = SUSPECTS.iter().find(|(feature, _)| helps(*feature));
    guilty.map_or(ModuleRule::OtherFeature, |(_, rule)| *rule)
}

/// The parser is built without vector instructions and cannot read them; their prefix gives them away, and the number
/// behind it those that machines may disagree on.
fn unreadable(bytes: &[u8], offset: usize) -> ModuleRule {
    let Some((prefix, rest)) = bytes.get(offset..).and_then(<[u8]>::split_first) else {
        return ModuleRule::Malformed;
    };
    match prefix {
        0xfd => match BinaryReader::new(rest, 0).read_var_u32() {
            Ok(0x100..) => ModuleRule::RelaxedSimd,
            _ => ModuleRule::Simd,
        },
        0xfe => ModuleRule::Threads,
        _ => ModuleRule::Malformed,
    }
}
