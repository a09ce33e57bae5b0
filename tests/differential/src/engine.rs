//! The other engine: compiles, and knows nothing of fuel but as a bound of our patience.

use borsh::BorshDeserialize;
use hansa_contracts_abi::limits::OUTPUT_BYTES_MAX;
use hansa_contracts_abi::wire::{
    EXPORT_ADMIT, EXPORT_IO, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, admit_input, quote_input, settle_input,
    unpack,
};
use hansa_contracts_abi::{Admission, Claims, Code, Facts, Failure, Quote, Split, Terms};
use std::sync::LazyLock;
use wasmtime::{Config, Engine, Instance, Module, Store};

/// Operators of one call, after which it is not waited for: far more than the interpreter's fuel pays for.
const PATIENCE: u64 = 100_000_000;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.consume_fuel(true);
    Engine::new(&config).expect("this machine can compile")
});

/// A module, compiled. Each call runs in an instance of its own, as the ledger's do.
pub struct Compiled {
    module: Module,
}

impl Compiled {
    /// Compiles a module that the ledger would take.
    ///
    /// # Panics
    /// If it cannot be compiled: then the two engines disagree about what a module is.
    #[must_use]
    pub fn new(code: &[u8]) -> Self {
        Self { module: Module::new(&ENGINE, code).expect("what one engine takes the other takes") }
    }

    /// Whether the contract has a say in who may have a lease.
    #[must_use]
    pub fn has_admit(&self) -> bool {
        self.module.get_export(EXPORT_ADMIT).is_some()
    }

    /// As [`hansa_contracts_abi::Runtime::settle`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn settle(&self, params: &[u8], facts: &Facts) -> Result<Split, Failure> {
        self.call(settle_input(params, facts), EXPORT_SETTLE)
    }

    /// As [`hansa_contracts_abi::Runtime::quote`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn quote(&self, params: &[u8], terms: &Terms) -> Result<Quote, Failure> {
        self.call(quote_input(params, terms), EXPORT_QUOTE)
    }

    /// As [`hansa_contracts_abi::Runtime::admit`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn admit(&self, params: &[u8], terms: &Terms, claims: &Claims) -> Result<Admission, Failure> {
        self.call(admit_input(params, terms, claims), EXPORT_ADMIT)
    }

    fn call<T: BorshDeserialize>(&self, input: Option<Vec<u8>>, function: &str) -> Result<T, Failure> {
        let input = input.ok_or(Failure::InputTooLarge)?;
        let mut store = Store::new(&ENGINE, ());
        store.set_fuel(PATIENCE).expect("fuel is switched on");
        let instance = Instance::new(&mut store, &self.module, &[]).map_err(|_| Failure::BadModule)?;
        let memory = instance.get_memory(&mut store, EXPORT_MEMORY).ok_or(Failure::BadModule)?;
        let buffer = instance.get_global(&mut store, EXPORT_IO).ok_or(Failure::BadModule)?.get(&mut store);
        let buffer = usize::try_from(buffer.unwrap_i32()).map_err(|_| Failure::BadModule)?;
        let entry =
            instance.get_typed_func::<u32, u64>(&mut store, function).map_err(|_| Failure::BadModule)?;
        memory.write(&mut store, buffer, &input).map_err(|_| Failure::BadModule)?;
        let length = u32::try_from(input.len()).map_err(|_| Failure::InputTooLarge)?;
        let packed = entry.call(&mut store, length).map_err(|_| Failure::Trap)?;
        let (status, length) = unpack(packed);
        if status != 0 {
            return Err(Failure::Refused(Code(status)));
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= OUTPUT_BYTES_MAX);
        let mut output = vec![0; length.ok_or(Failure::BadOutput)?];
        memory.read(&store, buffer, &mut output).map_err(|_| Failure::BadOutput)?;
        T::try_from_slice(&output).map_err(|_| Failure::BadOutput)
    }
}
