//! The walk over the sections of a module: what is declared, within which limits, and what is exported.

use hansa_contracts_abi::limits::IO_BYTES_MAX;
use hansa_contracts_abi::wire::{
    EXPORT_ADMIT, EXPORT_IO, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, SECTION_META,
};
use hansa_contracts_abi::{ABI_VERSION, ModuleMeta, ModuleRefusal, ModuleRule, ModuleSummary};
use wasmparser::{
    CompositeInnerType, ConstExpr, CustomSectionReader, DataKind, DataSectionReader, ElementItems,
    ElementKind, ElementSectionReader, Encoding, Export, ExportSectionReader, ExternalKind, FromReader,
    FunctionBody, GlobalSectionReader, MemorySectionReader, Operator, Parser, Payload, RecGroup,
    SectionLimited, TableSectionReader, TypeSectionReader, ValType,
};

use crate::module::{Shape, malformed, refuse};
use crate::profile::{
    DATA_SEGMENTS_MAX, ELEMENT_SEGMENTS_MAX, EXPORTS_MAX, FUNCTION_BYTES_FREE, FUNCTION_BYTES_MIN,
    FUNCTIONS_MAX, GLOBALS_MAX, LOCALS_PER_FUNCTION_MAX, MEMORY_PAGES_MAX, MEMORY_PAGES_START_MAX,
    PAGE_BYTES, PARAMS_PER_FUNCTION_MAX, RESULTS_PER_FUNCTION_MAX, TABLE_ELEMENTS_MAX, TYPES_MAX,
};

/// What a walk over the sections has found so far.
#[derive(Default)]
pub(crate) struct Survey<'a> {
    /// Pages at the start and at most.
    memory: Option<(u64, u64)>,
    /// Elements at the start.
    table: Option<u64>,
    /// For each type, whether it is what an exported function has to be: from i32 to i64.
    types: Vec<bool>,
    /// For each function, its type.
    functions: Vec<u32>,
    /// For each global, its value if it is an immutable i32.
    globals: Vec<Option<u32>>,
    /// Each export, and where it stands.
    exports: Vec<(usize, Export<'a>)>,
    meta: Option<ModuleMeta>,
}

type Step = Result<(), ModuleRefusal>;

impl<'a> Survey<'a> {
    /// Walks over the sections.
    ///
    /// # Errors
    /// The first rule that one of them breaks.
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, ModuleRefusal> {
        let mut survey = Survey::default();
        for payload in Parser::new(0).parse_all(bytes) {
            survey.take(payload.map_err(malformed)?)?;
        }
        Ok(survey)
    }

    fn take(&mut self, payload: Payload<'a>) -> Step {
        match payload {
            Payload::Version { encoding: Encoding::Component, range, .. } => {
                Err(refuse(ModuleRule::OtherFeature, range.start))
            }
            Payload::TypeSection(types) => self.take_types(types),
            Payload::ImportSection(imports) if imports.count() > 0 => {
                Err(refuse(ModuleRule::Imports, imports.range().start))
            }
            Payload::FunctionSection(functions) => {
                for (_, kind) in items(functions, FUNCTIONS_MAX, ModuleRule::Functions)? {
                    self.functions.push(kind);
                }
                Ok(())
            }
            Payload::TableSection(tables) => self.take_tables(tables),
            Payload::MemorySection(memories) => self.take_memories(memories),
            Payload::GlobalSection(globals) => self.take_globals(globals),
            Payload::ExportSection(exports) => self.take_exports(exports),
            Payload::StartSection { range, .. } => Err(refuse(ModuleRule::StartFunction, range.start)),
            Payload::ElementSection(elements) => self.check_elements(elements),
            Payload::DataSection(data) => self.check_data(data),
            Payload::CodeSectionStart { count, range, size } => {
                // Each function costs the engine some book-keeping, whatever is in it.
                let short = size.checked_div(count).is_some_and(|average| average < FUNCTION_BYTES_MIN);
                if size >= FUNCTION_BYTES_FREE && short {
                    return Err(refuse(ModuleRule::FunctionBytes, range.start));
                }
                Ok(())
            }
            Payload::CodeSectionEntry(body) => check_locals(&body),
            Payload::CustomSection(section) => self.take_custom(&section),
            Payload::TagSection(tags) => Err(refuse(ModuleRule::Exceptions, tags.range().start)),
            _ => Ok(()),
        }
    }

    fn take_types(&mut self, types: TypeSectionReader<'a>) -> Step {
        for (offset, group) in items(types, TYPES_MAX, ModuleRule::Types)? {
            self.take_group(offset, group)?;
        }
        Ok(())
    }

    fn take_group(&mut self, offset: usize, group: RecGroup) -> Step {
        let explicit = group.is_explicit_rec_group();
        for kind in group.into_types() {
            let function = match kind.composite_type.inner {
                CompositeInnerType::Func(function) if kind.is_final && !explicit => function,
                _ => return Err(refuse(ModuleRule::GarbageCollection, offset)),
            };
            if kind.composite_type.shared {
                return Err(refuse(ModuleRule::Threads, offset));
            }
            if function.params().len() > PARAMS_PER_FUNCTION_MAX {
                return Err(refuse(ModuleRule::Params, offset));
            }
            if function.results().len() > RESULTS_PER_FUNCTION_MAX {
                return Err(refuse(ModuleRule::Results, offset));
            }
            self.types.push(function.params() == [ValType::I32] && function.results() == [ValType::I64]);
        }
        Ok(())
    }

    fn take_tables(&mut self, tables: TableSectionReader<'a>) -> Step {
        for (offset, table) in items(tables, 1, ModuleRule::TableCount)? {
            let table = table.ty;
            if table.table64 {
                return Err(refuse(ModuleRule::Memory64, offset));
            }
            let maximum = table.maximum.ok_or(refuse(ModuleRule::TableUnbounded, offset))?;
            if maximum.max(table.initial) > TABLE_ELEMENTS_MAX {
                return Err(refuse(ModuleRule::TableMaximum, offset));
            }
            self.table = Some(table.initial);
        }
        Ok(())
    }

    fn take_memories(&mut self, memories: MemorySectionReader<'a>) -> Step {
        for (offset, memory) in items(memories, 1, ModuleRule::MemoryCount)? {
            if memory.memory64 {
                return Err(refuse(ModuleRule::Memory64, offset));
            }
            if memory.shared {
                return Err(refuse(ModuleRule::Threads, offset));
            }
            if memory.page_size_log2.is_some() {
                return Err(refuse(ModuleRule::PageSize, offset));
            }
            if memory.initial > MEMORY_PAGES_START_MAX {
                return Err(refuse(ModuleRule::MemoryStart, offset));
            }
            let maximum = memory.maximum.ok_or(refuse(ModuleRule::MemoryUnbounded, offset))?;
            if maximum > MEMORY_PAGES_MAX {
                return Err(refuse(ModuleRule::MemoryMaximum, offset));
            }
            self.memory = Some((memory.initial, maximum));
        }
        Ok(())
    }

    fn take_globals(&mut self, globals: GlobalSectionReader<'a>) -> Step {
        for (_, global) in items(globals, GLOBALS_MAX, ModuleRule::Globals)? {
            let constant = global.ty.content_type == ValType::I32 && !global.ty.mutable;
            self.globals.push(if constant { constant_of(&global.init_expr) } else { None });
        }
        Ok(())
    }

    fn take_exports(&mut self, exports: ExportSectionReader<'a>) -> Step {
        for (offset, export) in items(exports, EXPORTS_MAX, ModuleRule::Exports)? {
            if other_version(export.name) {
                return Err(refuse(ModuleRule::OtherVersion, offset));
            }
            self.exports.push((offset, export));
        }
        Ok(())
    }

    /// Segments that the module has at its start must fit, or no instance could ever be made.
    fn check_elements(&self, elements: ElementSectionReader<'a>) -> Step {
        for (offset, element) in items(elements, ELEMENT_SEGMENTS_MAX, ModuleRule::ElementSegments)? {
            let count = match &element.items {
                ElementItems::Functions(functions) => functions.count(),
                ElementItems::Expressions(_, expressions) => expressions.count(),
            };
            if let ElementKind::Active { offset_expr, .. } = &element.kind
                && let Some(start) = constant_of(offset_expr)
                && u64::from(start).saturating_add(u64::from(count)) > self.table.unwrap_or(0)
            {
                return Err(refuse(ModuleRule::Instantiation, offset));
            }
        }
        Ok(())
    }

    fn check_data(&self, segments: DataSectionReader<'a>) -> Step {
        for (offset, data) in items(segments, DATA_SEGMENTS_MAX, ModuleRule::DataSegments)? {
            if let DataKind::Active { offset_expr, .. } = &data.kind
                && let Some(start) = constant_of(offset_expr)
                && end(start, data.data.len()) > self.memory_bytes()
            {
                return Err(refuse(ModuleRule::Instantiation, offset));
            }
        }
        Ok(())
    }

    fn take_custom(&mut self, section: &CustomSectionReader<'a>) -> Step {
        let offset = section.range().start;
        if section.name() != SECTION_META {
            return Err(refuse(ModuleRule::CustomSection, offset));
        }
        let meta = ModuleMeta::decode(section.data()).filter(|_| self.meta.is_none());
        let meta = meta.ok_or(refuse(ModuleRule::BadMeta, section.data_offset()))?;
        if meta.abi != ABI_VERSION {
            return Err(refuse(ModuleRule::MetaVersion, section.data_offset()));
        }
        self.meta = Some(meta);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let pages = self.memory.map_or(0, |(start, _)| start);
        usize::try_from(pages).unwrap_or(0).saturating_mul(PAGE_BYTES)
    }

    /// What the walk found, if everything that a contract needs was there.
    ///
    /// # Errors
    /// The first rule about memory, exports or description that the module breaks.
    pub(crate) fn finish(self, bytes: usize) -> Result<Shape, ModuleRefusal> {
        let (_, memory_pages) = self.memory.ok_or(refuse(ModuleRule::MemoryCount, 0))?;
        let memory = self.export(EXPORT_MEMORY).ok_or(refuse(ModuleRule::MissingMemory, 0))?;
        if memory.1.kind != ExternalKind::Memory {
            return Err(refuse(ModuleRule::WrongMemory, memory.0));
        }
        let buffer = self.buffer()?;
        let quote = self.function(EXPORT_QUOTE, ModuleRule::WrongQuote)?;
        quote.ok_or(refuse(ModuleRule::MissingQuote, 0))?;
        let settle = self.function(EXPORT_SETTLE, ModuleRule::WrongSettle)?;
        settle.ok_or(refuse(ModuleRule::MissingSettle, 0))?;
        let admit = self.function(EXPORT_ADMIT, ModuleRule::WrongAdmit)?;
        let meta = self.meta.ok_or(refuse(ModuleRule::MissingMeta, 0))?;
        let summary = ModuleSummary {
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            functions: u32::try_from(self.functions.len()).unwrap_or(u32::MAX),
            memory_pages: u32::try_from(memory_pages).unwrap_or(u32::MAX),
            has_admit: admit.is_some(),
            tariff_hash: *blake3::hash(meta.tariff.as_bytes()).as_bytes(),
            name: meta.name,
            version: meta.version,
        };
        Ok(Shape { summary, buffer })
    }

    fn export(&self, name: &str) -> Option<&(usize, Export<'a>)> {
        self.exports.iter().find(|(_, export)| export.name == name)
    }

    /// The address of the buffer, inside the memory that an instance starts with.
    fn buffer(&self) -> Result<usize, ModuleRefusal> {
        let (offset, export) = self.export(EXPORT_IO).ok_or(refuse(ModuleRule::MissingBuffer, 0))?;
        let index = usize::try_from(export.index).unwrap_or(usize::MAX);
        let address = self.globals.get(index).copied().flatten();
        let address = address.filter(|_| export.kind == ExternalKind::Global);
        let address = address.ok_or(refuse(ModuleRule::WrongBuffer, *offset))?;
        if end(address, IO_BYTES_MAX) > self.memory_bytes() {
            return Err(refuse(ModuleRule::BufferOutside, *offset));
        }
        usize::try_from(address).map_err(|_| refuse(ModuleRule::BufferOutside, *offset))
    }

    /// Whether there is an export of this name; if so, it has to be a function from i32 to i64.
    fn function(&self, name: &str, wrong: ModuleRule) -> Result<Option<()>, ModuleRefusal> {
        let Some((offset, export)) = self.export(name) else {
            return Ok(None);
        };
        let function = usize::try_from(export.index).ok().and_then(|index| self.functions.get(index));
        let kind =
            function.and_then(|kind| usize::try_from(*kind).ok()).and_then(|kind| self.types.get(kind));
        match kind {
            Some(true) if export.kind == ExternalKind::Func => Ok(Some(())),
            _ => Err(refuse(wrong, *offset)),
        }
    }
}

/// All items of a section with their places, if they are not too many and can be read.
fn items<'a, T: FromReader<'a>>(
    section: SectionLimited<'a, T>,
    most: u32,
    rule: ModuleRule,
) -> Result<Vec<(usize, T)>, ModuleRefusal> {
    if section.count() > most {
        return Err(refuse(rule, section.range().start));
    }
    section.into_iter_with_offsets().collect::<Result<_, _>>().map_err(malformed)
}

/// The value of a constant expression that is one constant of type i32. What else it may be is for the validator.
fn constant_of(expression: &ConstExpr<'_>) -> Option<u32> {
    let mut operators = expression.get_operators_reader();
    match (operators.read(), operators.read()) {
        (Ok(Operator::I32Const { value }), Ok(Operator::End)) => Some(value.cast_unsigned()),
        _ => None,
    }
}

fn end(start: u32, length: usize) -> usize {
    usize::try_from(start).unwrap_or(usize::MAX).saturating_add(length)
}

/// Whether an export belongs to another version of the ABI: `v`, digits other than ours, `_`.
fn other_version(name: &str) -> bool {
    let version = name.strip_prefix('v').and_then(|rest| rest.split_once('_')).map(|(version, _)| version);
    version.is_some_and(|version| {
        !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_digit())
            && version != ABI_VERSION.to_string()
    })
}

fn check_locals(body: &FunctionBody<'_>) -> Step {
    let mut locals = 0u64;
    for group in body.get_locals_reader().map_err(malformed)? {
        let (count, _) = group.map_err(malformed)?;
        locals = locals.saturating_add(u64::from(count));
    }
    if locals > LOCALS_PER_FUNCTION_MAX {
        return Err(refuse(ModuleRule::Locals, body.range().start));
    }
    Ok(())
}
