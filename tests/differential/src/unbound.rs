//! The ledger's engine without the ledger's limits: what a contract would have said, had the host let it finish. It is given the
//! module as the host gives it.

use crate::ended::{Bound, Ended, OPERATORS_MAX};
use hansa_contracts_abi::wire::{EXPORT_IO, EXPORT_MEMORY};
use hansa_contracts_host::shield;
use std::sync::LazyLock;
use wasmi::{CompilationMode, Config, Engine, Error, Instance, Module, Store, TrapCode};

/// Calls inside of each other that the host allows (`contracts/host/src/profile.rs`).
const HOST_DEPTH: usize = 128;
/// Room for their values, there.
const HOST_STACK_BYTES: usize = 1 << 20;

/// Each operator costs one here, whatever the ledger asks for it.
fn engine(depth: usize, stack_bytes: usize) -> Engine {
    let mut config = Config::default();
    config.compilation_mode(CompilationMode::Eager).consume_fuel(true);
    config.set_max_recursion_depth(depth).set_max_stack_height(stack_bytes);
    Engine::new(&config)
}

static UNBOUND: LazyLock<Engine> = LazyLock::new(|| engine(100_000, 256 << 20));
static AS_DEEP_AS_THE_HOST: LazyLock<Engine> = LazyLock::new(|| engine(HOST_DEPTH, HOST_STACK_BYTES));

/// How a call ended, and the operators that it ran, at least.
pub struct Run {
    /// How it ended.
    pub ended: Ended,
    /// Operators that were paid for.
    pub operators: u64,
}

/// A module in the ledger's engine, without the host's limits.
pub struct Unbound {
    module: Module,
}

impl Unbound {
    /// Compiles a module that the ledger would take.
    ///
    /// # Errors
    /// What the engine says.
    pub fn new(code: &[u8]) -> Result<Self, String> {
        Self::within(&UNBOUND, code)
    }

    /// The same, but it goes as deep as in the host, and no deeper.
    ///
    /// # Errors
    /// What the engine says.
    pub fn as_deep_as_the_host(code: &[u8]) -> Result<Self, String> {
        Self::within(&AS_DEEP_AS_THE_HOST, code)
    }

    fn within(engine: &Engine, code: &[u8]) -> Result<Self, String> {
        let code = shield(code).map_err(|refusal| format!("does not load: {refusal}"))?;
        let module = Module::new(engine, code).map_err(|error| format!("does not load: {error}"))?;
        Ok(Self { module })
    }

    /// Calls the exported `function` with this input, in an instance of its own.
    ///
    /// # Errors
    /// Why it cannot be called, which it can in the host.
    pub fn call(&self, function: &str, input: &[u8]) -> Result<Run, String> {
        run(&self.module, function, input)
    }
}

fn run(module: &Module, function: &str, input: &[u8]) -> Result<Run, String> {
    let said = |error: Error| format!("{function}, without limits: {error}");
    let mut store = Store::new(module.engine(), ());
    store.set_fuel(OPERATORS_MAX).map_err(said)?;
    let instance = Instance::new(&mut store, module, &[]).map_err(said)?;
    let memory = instance.get_memory(&store, EXPORT_MEMORY).ok_or("there is no memory")?;
    let buffer = instance.get_global(&store, EXPORT_IO).ok_or("there is no buffer")?;
    let buffer = buffer.get(&store).i32().and_then(|place| usize::try_from(place).ok());
    let buffer = buffer.ok_or("the buffer is nowhere")?;
    let entry = instance.get_typed_func::<u32, u64>(&store, function).map_err(said)?;
    memory.write(&mut store, buffer, input).map_err(|error| error.to_string())?;
    let length = u32::try_from(input.len()).map_err(|error| error.to_string())?;
    let ended = match entry.call(&mut store, length) {
        Ok(packed) => Ended::Returned { packed, buffer, memory: memory.data(&store).to_vec() },
        Err(error) => match error.as_trap_code() {
            Some(TrapCode::OutOfFuel) => Ended::Stopped(Bound::Fuel),
            Some(TrapCode::StackOverflow) => Ended::Stopped(Bound::Depth),
            _ => Ended::Trapped { memory: memory.data(&store).to_vec() },
        },
    };
    let operators = OPERATORS_MAX.saturating_sub(store.get_fuel().map_err(said)?);
    Ok(Run { ended, operators })
}
