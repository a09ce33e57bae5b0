//! The engine, its modules, and one call.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use borsh::BorshDeserialize;
use hansa_contracts_abi::limits::OUTPUT_BYTES_MAX;
use hansa_contracts_abi::wire::{
    EXPORT_ADMIT, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, admit_input, quote_input, settle_input, unpack,
};
use hansa_contracts_abi::{
    Admission, Claims, Code, Facts, Failure, ModuleRefusal, ModuleRule, ModuleSummary, Outcome, Quote,
    Runtime, Split, Terms,
};
use wasmi::{Engine, Instance, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TrapCode, TypedFunc};

use crate::module::{Shape, inspect};
use crate::profile::{
    FUEL_PER_CALL, FUEL_PER_CALL_MAX, FUEL_PER_IO_BYTE, FUEL_PER_PAGE, MEMORY_PAGES_MAX, PAGE_BYTES,
    TABLE_ELEMENTS_MAX, config, vm_profile,
};
use crate::shield::shield;
use crate::slim::slim;

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

impl Loaded {
    /// Checks and compiles, and makes one instance to see that it can be made.
    fn compile(engine: &Engine, code: &[u8]) -> Result<(Self, ModuleSummary), ModuleRefusal> {
        let Shape { summary, buffer } = inspect(code)?;
        let refused = |_| ModuleRefusal::new(ModuleRule::Engine, 0);
        let module = Module::new(engine, shield(&slim(code)?)?).map_err(refused)?;
        let mut store = store(engine);
        store.set_fuel(FUEL_PER_CALL_MAX).map_err(refused)?;
        Instance::new(&mut store, &module, &[]).map_err(refused)?;
        let pages = u64::from(summary.memory_pages).saturating_sub(1);
        let memory_fuel = FUEL_PER_PAGE.saturating_mul(pages);
        Ok((Loaded { module, buffer, memory_fuel, has_admit: summary.has_admit }, summary))
    }
}

/// Whether these bytes may become a contract, and what is in them: a function of the bytes alone.
///
/// # Errors
/// The [`ModuleRefusal`] with the rule that the module breaks, and where.
pub fn validate(code: &[u8]) -> Result<ModuleSummary, ModuleRefusal> {
    // An engine of its own, which goes again with all that it compiled.
    Loaded::compile(&Engine::new(&config()), code).map(|(_, summary)| summary)
}

fn store(engine: &Engine) -> Store<StoreLimits> {
    let limits = StoreLimitsBuilder::new()
        .instances(1)
        .memories(1)
        .memory_size(PAGE_BYTES.saturating_mul(usize::try_from(MEMORY_PAGES_MAX).unwrap_or(usize::MAX)))
        .tables(1)
        .table_elements(usize::try_from(TABLE_ELEMENTS_MAX).unwrap_or(usize::MAX))
        // A failed growth that returned to the contract could depend on the machine's memory.
        .trap_on_grow_failure(true)
        .build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    store
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

    /// As [`Runtime::load`].
    ///
    /// # Errors
    /// The [`ModuleRefusal`] that [`validate`] gives for the same bytes.
    pub fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
        let hash = *blake3::hash(code).as_bytes();
        if !self.knows(&hash) {
            let (loaded, _) = Loaded::compile(&self.engine, code)?;
            self.modules.write().unwrap_or_else(PoisonError::into_inner).insert(hash, Arc::new(loaded));
        }
        Ok(hash)
    }

    fn find(&self, code: &[u8; 32]) -> Option<Arc<Loaded>> {
        self.modules.read().unwrap_or_else(PoisonError::into_inner).get(code).cloned()
    }

    fn call<T: BorshDeserialize>(
        &self,
        code: &[u8; 32],
        input: Option<Vec<u8>>,
        function: &str,
    ) -> Outcome<T> {
        let Some(loaded) = self.find(code) else {
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
        let mut store = store(&self.engine);
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
        match self.find(code) {
            Some(loaded) if !loaded.has_admit => Outcome { result: Ok(Admission::Yes), fuel: 0 },
            _ => self.call(code, admit_input(params, terms, claims), EXPORT_ADMIT),
        }
    }

    fn validate(&self, code: &[u8]) -> Result<ModuleSummary, ModuleRefusal> {
        validate(code)
    }

    fn load(&self, code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
        Host::load(self, code)
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
