//! Whether code may become a contract: our own pass over a module, before the engine sees it.

use hansa_contracts_abi::wire::{
    EXPORT_ADMIT, EXPORT_IO, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, SECTION_META,
};
use hansa_contracts_abi::{self as abi, ModuleMeta, ModuleRule};
use thiserror::Error;
use wasmparser::{
    ExternalKind, FunctionBody, GlobalType, Parser, Payload, ValType, ValidPayload, Validator, WasmFeatures,
};

use crate::profile::{
    FUNCTIONS_MAX, GLOBALS_MAX, LOCALS_PER_FUNCTION_MAX, MEMORY_PAGES_MAX, MEMORY_PAGES_START_MAX,
    MODULE_BYTES_MAX, OPERANDS_PER_FUNCTION_MAX, PARAMS_PER_FUNCTION_MAX, RESULTS_PER_FUNCTION_MAX,
    TABLE_ELEMENTS_MAX, features,
};

/// Why code may not become a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ModuleRefusal {
    /// The module is too large.
    #[error(
        "the module is larger than {MODULE_BYTES_MAX} bytes; build it with optimisation and without debug data"
    )]
    TooLarge,
    /// The bytes are no valid WASM module.
    #[error("the bytes are not a valid WASM module")]
    Malformed,
    /// The module imports something.
    #[error("the module has imports, and a contract may have none; remove what calls out of it")]
    Imports,
    /// The module runs something when it is instantiated.
    #[error("the module has a start function, and a contract may have none")]
    StartFunction,
    /// The module does not have exactly one memory.
    #[error("the module must have exactly one memory")]
    MemoryCount,
    /// The memory has no declared maximum.
    #[error("the memory has no declared maximum; link with `--max-memory` or `--no-growable-memory`")]
    MemoryUnbounded,
    /// The memory is too large.
    #[error(
        "the memory starts with more than {MEMORY_PAGES_START_MAX} pages or may grow beyond {MEMORY_PAGES_MAX}; link with \
         a small stack (`-zstack-size=16384`)"
    )]
    MemoryTooLarge,
    /// The module has more than one table.
    #[error("the module has more than one table")]
    TableCount,
    /// The table has no declared maximum.
    #[error("the table has no declared maximum")]
    TableUnbounded,
    /// The table is too large.
    #[error("the table may hold more than {TABLE_ELEMENTS_MAX} elements")]
    TableTooLarge,
    /// The module has too many functions.
    #[error("the module has more than {FUNCTIONS_MAX} functions")]
    TooManyFunctions,
    /// The module has too many globals.
    #[error("the module has more than {GLOBALS_MAX} globals")]
    TooManyGlobals,
    /// A function has too many parameters.
    #[error("a function has more than {PARAMS_PER_FUNCTION_MAX} parameters")]
    TooManyParams,
    /// A function has too many results.
    #[error("a function has more than {RESULTS_PER_FUNCTION_MAX} result")]
    TooManyResults,
    /// A function has too many locals.
    #[error("a function has more than {LOCALS_PER_FUNCTION_MAX} locals")]
    TooManyLocals,
    /// A function keeps too many values on the operand stack.
    #[error("a function keeps more than {OPERANDS_PER_FUNCTION_MAX} values on the operand stack")]
    TooManyOperands,
    /// An export is missing.
    #[error("the module does not export `{0}`")]
    MissingExport(&'static str),
    /// An export is of the wrong kind or type.
    #[error("the export `{0}` is of the wrong kind or type")]
    WrongExport(&'static str),
    /// The buffer does not lie inside the memory.
    #[error("the buffer `IO` does not lie inside the memory")]
    BufferOutOfMemory,
    /// The module uses floating-point numbers.
    #[error("the module uses floating-point numbers, and machines may disagree on those")]
    Floats,
    /// The module uses vector instructions.
    #[error("the module uses vector instructions")]
    Simd,
    /// The module uses threads or atomic instructions.
    #[error("the module uses threads or atomic instructions")]
    Threads,
    /// The module uses reference types.
    #[error("the module uses reference types; compile it with `-C target-cpu=mvp`")]
    ReferenceTypes,
    /// The module uses tail calls.
    #[error("the module uses tail calls")]
    TailCalls,
    /// A block or function has several results.
    #[error("the module uses blocks with parameters or several results")]
    MultiValue,
    /// The module computes its constants.
    #[error("the module uses extended constant expressions")]
    ExtendedConstants,
    /// The module uses another proposal that contracts may not.
    #[error("the module uses a feature of WASM that contracts may not")]
    Feature,
    /// The module passed our checks, and the engine still refused it.
    #[error("the engine refuses the module")]
    Engine,
    /// The module cannot be instantiated: data or elements do not fit.
    #[error("the module's data or elements do not fit into its memory or table")]
    Instantiation,
    /// The module does not say what it is.
    #[error("the module has no custom section `sdk.meta`")]
    MissingMeta,
    /// What the module says about itself is not readable.
    #[error("the custom section `sdk.meta` is not readable")]
    BadMeta,
}

impl From<ModuleRefusal> for abi::ModuleRefusal {
    fn from(refusal: ModuleRefusal) -> Self {
        let rule = match refusal {
            ModuleRefusal::TooLarge => ModuleRule::TooLarge,
            ModuleRefusal::Imports => ModuleRule::Imports,
            ModuleRefusal::StartFunction => ModuleRule::StartFunction,
            ModuleRefusal::Floats => ModuleRule::Floats,
            ModuleRefusal::MissingMeta => ModuleRule::MissingMeta,
            ModuleRefusal::BadMeta => ModuleRule::BadMeta,
            ModuleRefusal::Engine => ModuleRule::Engine,
            ModuleRefusal::Instantiation => ModuleRule::Instantiation,
            _ => ModuleRule::Malformed,
        };
        abi::ModuleRefusal::new(rule, 0)
    }
}

/// What the host needs to know of a module that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Pages that the memory may ever have.
    pub memory_pages_max: u64,
    pub functions: u32,
    pub has_admit: bool,
    pub meta: Option<ModuleMeta>,
}

/// Checks a module against every limit of the profile.
///
/// # Errors
/// The first reason found: size, then structure in the order of the sections, then exports, then instructions.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Shape, ModuleRefusal> {
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(ModuleRefusal::TooLarge);
    }
    let shape = Survey::of(bytes)?.finish()?;
    match validate(bytes, features()) {
        Ok(()) => Ok(shape),
        Err(Invalid::Operands) => Err(ModuleRefusal::TooManyOperands),
        Err(Invalid::At(offset)) => Err(culprit(bytes, offset)),
    }
}

/// What a walk over the sections has found so far.
#[derive(Default)]
struct Survey<'a> {
    memories: u32,
    memory_pages_max: u64,
    tables: u32,
    functions: u32,
    globals: Vec<GlobalType>,
    exports: Vec<wasmparser::Export<'a>>,
    meta: Option<ModuleMeta>,
}

impl<'a> Survey<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, ModuleRefusal> {
        let mut survey = Survey::default();
        for payload in Parser::new(0).parse_all(bytes) {
            survey.take(payload.map_err(malformed)?)?;
        }
        Ok(survey)
    }

    fn take(&mut self, payload: Payload<'a>) -> Result<(), ModuleRefusal> {
        match payload {
            Payload::TypeSection(types) => {
                for function in types.into_iter_err_on_gc_types() {
                    let function = function.map_err(malformed)?;
                    if function.params().len() > PARAMS_PER_FUNCTION_MAX {
                        return Err(ModuleRefusal::TooManyParams);
                    }
                    if function.results().len() > RESULTS_PER_FUNCTION_MAX {
                        return Err(ModuleRefusal::TooManyResults);
                    }
                }
            }
            Payload::ImportSection(imports) if imports.count() > 0 => return Err(ModuleRefusal::Imports),
            Payload::FunctionSection(functions) => {
                self.functions = self.functions.saturating_add(functions.count());
                if self.functions > FUNCTIONS_MAX {
                    return Err(ModuleRefusal::TooManyFunctions);
                }
            }
            Payload::TableSection(tables) => self.take_tables(tables)?,
            Payload::MemorySection(memories) => self.take_memories(memories)?,
            Payload::GlobalSection(globals) => {
                if globals.count() > GLOBALS_MAX {
                    return Err(ModuleRefusal::TooManyGlobals);
                }
                for global in globals {
                    self.globals.push(global.map_err(malformed)?.ty);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    self.exports.push(export.map_err(malformed)?);
                }
            }
            Payload::CustomSection(section) if section.name() == SECTION_META => {
                self.meta = Some(ModuleMeta::decode(section.data()).ok_or(ModuleRefusal::BadMeta)?);
            }
            Payload::StartSection { .. } => return Err(ModuleRefusal::StartFunction),
            Payload::CodeSectionEntry(body) => check_locals(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn take_tables(&mut self, tables: wasmparser::TableSectionReader<'a>) -> Result<(), ModuleRefusal> {
        for table in tables {
            let table = table.map_err(malformed)?.ty;
            self.tables = self.tables.saturating_add(1);
            if self.tables > 1 {
                return Err(ModuleRefusal::TableCount);
            }
            let maximum = table.maximum.ok_or(ModuleRefusal::TableUnbounded)?;
            if maximum.max(table.initial) > TABLE_ELEMENTS_MAX {
                return Err(ModuleRefusal::TableTooLarge);
            }
        }
        Ok(())
    }

    fn take_memories(&mut self, memories: wasmparser::MemorySectionReader<'a>) -> Result<(), ModuleRefusal> {
        for memory in memories {
            let memory = memory.map_err(malformed)?;
            self.memories = self.memories.saturating_add(1);
            if self.memories > 1 {
                return Err(ModuleRefusal::MemoryCount);
            }
            if memory.initial > MEMORY_PAGES_START_MAX {
                return Err(ModuleRefusal::MemoryTooLarge);
            }
            self.memory_pages_max = memory.maximum.ok_or(ModuleRefusal::MemoryUnbounded)?;
            if self.memory_pages_max > MEMORY_PAGES_MAX {
                return Err(ModuleRefusal::MemoryTooLarge);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Shape, ModuleRefusal> {
        if self.memories != 1 {
            return Err(ModuleRefusal::MemoryCount);
        }
        self.export(EXPORT_MEMORY, ExternalKind::Memory)?;
        let buffer = self.export(EXPORT_IO, ExternalKind::Global)?;
        let global = usize::try_from(buffer).ok().and_then(|index| self.globals.get(index));
        if !global.is_some_and(|global| global.content_type == ValType::I32 && !global.mutable) {
            return Err(ModuleRefusal::WrongExport(EXPORT_IO));
        }
        self.export(EXPORT_QUOTE, ExternalKind::Func)?;
        self.export(EXPORT_SETTLE, ExternalKind::Func)?;
        let has_admit = self.exports.iter().any(|export| export.name == EXPORT_ADMIT);
        Ok(Shape {
            memory_pages_max: self.memory_pages_max,
            functions: self.functions,
            has_admit,
            meta: self.meta,
        })
    }

    fn export(&self, name: &'static str, kind: ExternalKind) -> Result<u32, ModuleRefusal> {
        let export = self.exports.iter().find(|export| export.name == name);
        let export = export.ok_or(ModuleRefusal::MissingExport(name))?;
        if export.kind == kind { Ok(export.index) } else { Err(ModuleRefusal::WrongExport(name)) }
    }
}

fn check_locals(body: &FunctionBody<'_>) -> Result<(), ModuleRefusal> {
    let mut locals = 0u64;
    for group in body.get_locals_reader().map_err(malformed)? {
        let (count, _) = group.map_err(malformed)?;
        locals = locals.saturating_add(u64::from(count));
    }
    if locals > LOCALS_PER_FUNCTION_MAX { Err(ModuleRefusal::TooManyLocals) } else { Ok(()) }
}

fn malformed(_: wasmparser::BinaryReaderError) -> ModuleRefusal {
    ModuleRefusal::Malformed
}

/// Where, or why, a module is not valid.
enum Invalid {
    At(usize),
    Operands,
}

impl From<wasmparser::BinaryReaderError> for Invalid {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
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
                return Err(Invalid::Operands);
            }
        }
        operators.ensure_end()?;
        function.finish(operators.original_position())?;
    }
    Ok(())
}

/// Finds the feature that an invalid module would need to be valid: the first that, once allowed, moves the error.
fn culprit(bytes: &[u8], offset: usize) -> ModuleRefusal {
    let suspects = [
        (WasmFeatures::FLOATS | WasmFeatures::SATURATING_FLOAT_TO_INT, ModuleRefusal::Floats),
        (WasmFeatures::REFERENCE_TYPES, ModuleRefusal::ReferenceTypes),
        (WasmFeatures::TAIL_CALL, ModuleRefusal::TailCalls),
        (WasmFeatures::MULTI_VALUE, ModuleRefusal::MultiValue),
        (WasmFeatures::EXTENDED_CONST, ModuleRefusal::ExtendedConstants),
        (WasmFeatures::THREADS, ModuleRefusal::Threads),
        (WasmFeatures::SIMD | WasmFeatures::RELAXED_SIMD, ModuleRefusal::Simd),
        (WasmFeatures::all(), ModuleRefusal::Feature),
    ];
    for (feature, refusal) in suspects {
        match validate(bytes, features() | feature) {
            Ok(()) => return refusal,
            Err(Invalid::At(other)) if other > offset => return refusal,
            Err(_) => {}
        }
    }
    // The parser is built without vector instructions and cannot read them; their prefix gives them away.
    match bytes.get(offset) {
        Some(0xfd) => ModuleRefusal::Simd,
        Some(0xfe) => ModuleRefusal::Threads,
        _ => ModuleRefusal::Malformed,
    }
}
