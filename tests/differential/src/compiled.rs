//! The other engine: a compiler, by other people.

use crate::ended::{Bound, Ended, OPERATORS_MAX};
use hansa_contracts_abi::wire::{EXPORT_ADMIT, EXPORT_IO, EXPORT_MEMORY};
use std::sync::LazyLock;
use wasmtime::{Config, Engine, Error, Instance, Module, Store, Trap};

/// Stack of compiled code: so much that no contract which the ledger's engine lets finish needs it.
const STACK_BYTES: usize = 16 << 20;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    // The engine wants the stack of futures, of which there are none here, to be at least as large.
    config.consume_fuel(true).async_stack_size(STACK_BYTES).max_wasm_stack(STACK_BYTES);
    Engine::new(&config).expect("code can be compiled for this machine")
});

/// Runs this on a stack that has room for compiled code, which takes that of its caller, and for what calls it.
///
/// # Panics
/// If there is no memory for it.
pub fn with_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(4 * STACK_BYTES).spawn_scoped(scope, run);
        thread.expect("a thread can be started").join().expect("what it runs does not panic")
    })
}

/// A module, compiled. Each call runs in an instance of its own, as the ledger's do.
pub struct Compiled {
    module: Module,
}

impl Compiled {
    /// Compiles a module that the ledger would take.
    ///
    /// # Errors
    /// What the compiler says: then the engines disagree about what a module is.
    pub fn new(code: &[u8]) -> Result<Self, String> {
        let module = Module::new(&ENGINE, code).map_err(|error| format!("does not compile: {error:?}"))?;
        Ok(Self { module })
    }

    /// Whether the contract has a say in who may have a lease.
    #[must_use]
    pub fn has_admit(&self) -> bool {
        self.module.get_export(EXPORT_ADMIT).is_some()
    }

    /// Calls the exported `function` with this input, inside of [`with_stack`].
    ///
    /// # Errors
    /// Why it cannot be called, which it can in the ledger's engine.
    pub fn call(&self, function: &str, input: &[u8]) -> Result<Ended, String> {
        let mut store = Store::new(&ENGINE, ());
        let said = |error: Error| format!("{function}: {error:?}");
        store.set_fuel(OPERATORS_MAX).map_err(said)?;
        let instance = Instance::new(&mut store, &self.module, &[]).map_err(said)?;
        let memory = instance.get_memory(&mut store, EXPORT_MEMORY).ok_or("there is no memory")?;
        let buffer = instance.get_global(&mut store, EXPORT_IO).ok_or("there is no buffer")?;
        let buffer = buffer.get(&mut store).i32().and_then(|place| usize::try_from(place).ok());
        let buffer = buffer.ok_or("the buffer is nowhere")?;
        let entry = instance.get_typed_func::<u32, u64>(&mut store, function).map_err(said)?;
        memory.write(&mut store, buffer, input).map_err(|error| error.to_string())?;
        let length = u32::try_from(input.len()).map_err(|error| error.to_string())?;
        Ok(match entry.call(&mut store, length) {
            Ok(packed) => Ended::Returned { packed, buffer, memory: memory.data(&store).to_vec() },
            Err(error) => match error.downcast_ref::<Trap>() {
                Some(Trap::OutOfFuel) => Ended::Stopped(Bound::Fuel),
                Some(Trap::StackOverflow) => Ended::Stopped(Bound::Depth),
                _ => Ended::Trapped { memory: memory.data(&store).to_vec() },
            },
        })
    }
}
