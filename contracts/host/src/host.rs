//! The engine, its modules, and one call.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use borsh::BorshDeserialize;
use hansa_contracts_abi::limits::{IO_BYTES_MAX, OUTPUT_BYTES_MAX};
use hansa_contracts_abi::wire::{
    EXPORT_ADMIT, EXPORT_IO, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, admit_input, quote_input,
    settle_input, unpack,
};
use hansa_contracts_abi::{
    self as abi, Admission, Claims, Code, Facts, Failure, ModuleSummary, Outcome, Quote, Runtime, Split,
    Terms,
};
use wasmi::{Engine, Instance, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TrapCode, TypedFunc};

use crate::module::{ModuleRefusal, inspect};
use crate::profile::{
    FUEL_PER_CALL, FUEL_PER_CALL_MAX, FUEL_PER_IO_BYTE, FUEL_PER_PAGE, MEMORY_PAGES_MAX, PAGE_BYTES,
    TABLE_ELEMENTS_MAX, config, vm_profile,
};

/// Runs contracts. Shared between threads: calls do not touch each other, each has an instance of its own.
#[derive(Debug)]
pub struct Host {
    engine: Engine,
    modules: RwLock<BTreeMap<[u8; 32], Arc<Loaded>>>,
}

/// A module that passed, compiled.
#[derive(Debug)]
struct Loaded {
    module: Module,
    /// Address of the buffer in the memory.
    buffer: usize,
    /// Fuel for the pages that the memory may have above the first.
    memory_fuel: u64,
    has_admit: bool,
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}

impl Host {
    /// A host without modules.
    #[must_use]
    pub fn new() -> Self {
        Host { engine: Engine::new(&config()), modules: RwLock::new(BTreeMap::new()) }
    }

    /// Checks, compiles and keeps a module, and tells its code hash (BLAKE3 of the bytes). Compiling happens here and
    /// never in a call: a call that compiled would cost other fuel than the next one. Loading the same code again is
    /// no work.
    ///
    /// # Errors
    /// The [`ModuleRefusal`] that keeps the code from being a contract.
    pub fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
        let hash = *blake3::hash(code).as_bytes();
        if self.knows(&hash) {
            return Ok(hash);
        }
        let shape = inspect(code)?;
        let module = Module::new(&self.engine, code).map_err(|_| ModuleRefusal::Engine)?;
        let buffer = self.find_buffer(&module)?;
        let memory_fuel = FUEL_PER_PAGE.saturating_mul(shape.memory_pages_max.saturating_sub(1));
        let loaded = Arc::new(Loaded { module, buffer, memory_fuel, has_admit: shape.has_admit });
        self.modules.write().unwrap_or_else(PoisonError::into_inner).insert(hash, loaded);
        Ok(hash)
    }

    /// As [`Runtime::validate`].
    ///
    /// # Errors
    /// The [`ModuleRefusal`] that keeps the code from being a contract.
    pub fn validate(code: &[u8]) -> Result<ModuleSummary, ModuleRefusal> {
        let shape = inspect(code)?;
        // A host of its own: what this one holds must have no part in the answer.
        Host::new().load(code)?;
        let meta = shape.meta.ok_or(ModuleRefusal::MissingMeta)?;
        Ok(ModuleSummary {
            bytes: u32::try_from(code.len()).unwrap_or(u32::MAX),
            functions: shape.functions,
            memory_pages: u32::try_from(shape.memory_pages_max).unwrap_or(u32::MAX),
            has_admit: shape.has_admit,
            tariff_hash: *blake3::hash(meta.tariff.as_bytes()).as_bytes(),
            name: meta.name,
            version: meta.version,
        })
    }

    /// Makes one instance, to see that it can be made and what it exports.
    fn find_buffer(&self, module: &Module) -> Result<usize, ModuleRefusal> {
        let mut store = self.store();
        store.set_fuel(FUEL_PER_CALL_MAX).map_err(|_| ModuleRefusal::Engine)?;
        let instance = Instance::new(&mut store, module, &[]).map_err(|_| ModuleRefusal::Instantiation)?;
        for name in [EXPORT_QUOTE, EXPORT_SETTLE] {
            instance
                .get_typed_func::<u32, u64>(&store, name)
                .map_err(|_| ModuleRefusal::WrongExport(name))?;
        }
        let memory =
            instance.get_memory(&store, EXPORT_MEMORY).ok_or(ModuleRefusal::MissingExport(EXPORT_MEMORY))?;
        let global = instance.get_global(&store, EXPORT_IO).ok_or(ModuleRefusal::MissingExport(EXPORT_IO))?;
        let address = global.get(&store).i32().ok_or(ModuleRefusal::WrongExport(EXPORT_IO))?;
        let buffer =
            usize::try_from(address.cast_unsigned()).map_err(|_| ModuleRefusal::BufferOutOfMemory)?;
        let end = buffer.checked_add(IO_BYTES_MAX).ok_or(ModuleRefusal::BufferOutOfMemory)?;
        if end > memory.data(&store).len() {
            return Err(ModuleRefusal::BufferOutOfMemory);
        }
        Ok(buffer)
    }

    fn store(&self) -> Store<StoreLimits> {
        let limits = StoreLimitsBuilder::new()
            .instances(1)
            .memories(1)
            .memory_size(PAGE_BYTES.saturating_mul(usize::try_from(MEMORY_PAGES_MAX).unwrap_or(usize::MAX)))
            .tables(1)
            .table_elements(usize::try_from(TABLE_ELEMENTS_MAX).unwrap_or(usize::MAX))
            // A failed growth that returned to the contract could depend on the machine's memory.
            .trap_on_grow_failure(true)
            .build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        store
    }

    fn call<T: BorshDeserialize>(
        &self,
        code: &[u8; 32],
        input: Option<Vec<u8>>,
        function: &str,
    ) -> Outcome<T> {
        let loaded = self.modules.read().unwrap_or_else(PoisonError::into_inner).get(code).cloned();
        let Some(loaded) = loaded else {
            return Outcome { result: Err(Failure::Unknown), fuel: 0 };
        };
        let Some(input) = input else {
            return Outcome { result: Err(Failure::InputTooLarge), fuel: FUEL_PER_CALL };
        };
        let (result, fuel) = self.run(&loaded, &input, function);
        let result = result.and_then(|output| T::try_from_slice(&output).map_err(|_| Failure::BadOutput));
        Outcome { result, fuel }
    }

    /// One call in a fresh instance: the raw output, and all fuel it cost.
    fn run(&self, loaded: &Loaded, input: &[u8], function: &str) -> (Result<Vec<u8>, Failure>, u64) {
        let outside = FUEL_PER_CALL.saturating_add(loaded.memory_fuel).saturating_add(io_fuel(input.len()));
        let Some(budget) = FUEL_PER_CALL_MAX.checked_sub(outside) else {
            return (Err(Failure::OutOfFuel), FUEL_PER_CALL_MAX);
        };
        let mut store = self.store();
        let result = enter(&mut store, loaded, input, function, budget);
        let inside = budget.saturating_sub(store.get_fuel().unwrap_or(0));
        let returned = result.as_ref().map_or(0, Vec::len);
        let fuel = outside.saturating_add(inside).saturating_add(io_fuel(returned));
        if fuel > FUEL_PER_CALL_MAX || result == Err(Failure::OutOfFuel) {
            // How much was left when the next operator did not fit is nobody's business: it is all gone.
            return (Err(Failure::OutOfFuel), FUEL_PER_CALL_MAX);
        }
        (result, fuel)
    }
}

fn enter(
    store: &mut Store<StoreLimits>,
    loaded: &Loaded,
    input: &[u8],
    function: &str,
    budget: u64,
) -> Result<Vec<u8>, Failure> {
    store.set_fuel(budget).map_err(|_| Failure::BadModule)?;
    let instance = Instance::new(&mut *store, &loaded.module, &[])
        .map_err(|error| failure(&error, Failure::BadModule))?;
    let memory = instance.get_memory(&*store, EXPORT_MEMORY).ok_or(Failure::BadModule)?;
    let entry: TypedFunc<u32, u64> =
        instance.get_typed_func(&*store, function).map_err(|_| Failure::BadModule)?;
    let length = u32::try_from(input.len()).map_err(|_| Failure::InputTooLarge)?;
    memory.write(&mut *store, loaded.buffer, input).map_err(|_| Failure::BadModule)?;
    let packed = entry.call(&mut *store, length).map_err(|error| failure(&error, Failure::Trap))?;
    answer(store, memory, loaded.buffer, packed)
}

fn answer(
    store: &Store<StoreLimits>,
    memory: Memory,
    buffer: usize,
    packed: u64,
) -> Result<Vec<u8>, Failure> {
    let (status, length) = unpack(packed);
    if status != 0 {
        return Err(Failure::Refused(Code(status)));
    }
    let length = usize::try_from(length).map_err(|_| Failure::BadOutput)?;
    if length > OUTPUT_BYTES_MAX {
        return Err(Failure::BadOutput);
    }
    let mut output = vec![0; length];
    memory.read(store, buffer, &mut output).map_err(|_| Failure::BadOutput)?;
    Ok(output)
}

/// Only whether fuel ran out is told apart. What else the engine says is its own, and must not enter state.
fn failure(error: &wasmi::Error, otherwise: Failure) -> Failure {
    match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => Failure::OutOfFuel,
        _ => otherwise,
    }
}

fn io_fuel(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(FUEL_PER_IO_BYTE)
}

impl Runtime for Host {
    fn quote(&self, code: &[u8; 32], params: &[u8], terms: &Terms) -> Outcome<Quote> {
        self.call(code, quote_input(params, terms), EXPORT_QUOTE)
    }

    fn settle(&self, code: &[u8; 32], params: &[u8], facts: &Facts) -> Outcome<Split> {
        self.call(code, settle_input(params, facts), EXPORT_SETTLE)
    }

    fn admit(&self, code: &[u8; 32], params: &[u8], terms: &Terms, claims: &Claims) -> Outcome<Admission> {
        let loaded = self.modules.read().unwrap_or_else(PoisonError::into_inner).get(code).cloned();
        match loaded {
            Some(loaded) if !loaded.has_admit => Outcome { result: Ok(Admission::Yes), fuel: 0 },
            _ => self.call(code, admit_input(params, terms, claims), EXPORT_ADMIT),
        }
    }

    fn validate(&self, code: &[u8]) -> Result<ModuleSummary, abi::ModuleRefusal> {
        Host::validate(code).map_err(abi::ModuleRefusal::from)
    }

    fn load(&self, code: &[u8]) -> Result<[u8; 32], abi::ModuleRefusal> {
        self.load(code).map_err(abi::ModuleRefusal::from)
    }

    fn fuel_per_call_max(&self) -> u64 {
        FUEL_PER_CALL_MAX
    }

    fn vm_profile(&self) -> [u8; 32] {
        vm_profile()
    }

    fn knows(&self, code: &[u8; 32]) -> bool {
        self.modules.read().unwrap_or_else(PoisonError::into_inner).contains_key(code)
    }
}
