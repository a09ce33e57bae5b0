//! Every rule of the engine that an outcome depends on. A change here is a change of consensus: it gives the
//! federation another profile hash, and members with different hashes are in different federations.

use borsh::BorshSerialize;
use hansa_contracts_abi::limits::MODULE_BYTES_MAX;
use wasmi::{CompilationMode, Config, CustomFuelCosts, EnforcedLimits, OperatorCost};
use wasmparser::WasmFeatures;

/// Most fuel of one call, charges outside of the contract included.
pub const FUEL_PER_CALL_MAX: u64 = 2_000_000;
/// Fuel for making the instance that a call runs in.
pub(crate) const FUEL_PER_CALL: u64 = 5_000;
/// Fuel for each byte that crosses the border, either way.
pub(crate) const FUEL_PER_IO_BYTE: u64 = 1;
/// Fuel for each page of declared memory above the first, so that growing is paid for before it happens.
pub(crate) const FUEL_PER_PAGE: u64 = 10_000;

pub(crate) const FUNCTIONS_MAX: u32 = 512;
/// Frames are zeroed at each call, and the price of a call is flat.
pub(crate) const LOCALS_PER_FUNCTION_MAX: u64 = 100;
pub(crate) const PARAMS_PER_FUNCTION_MAX: usize = 16;
pub(crate) const RESULTS_PER_FUNCTION_MAX: usize = 1;
/// Bounds a frame together with the locals, so that recursion meets [`RECURSION_DEPTH_MAX`], a number that any engine
/// can count, before it meets the end of the value stack, whose layout is this engine's own.
pub(crate) const OPERANDS_PER_FUNCTION_MAX: u32 = 512;
pub(crate) const GLOBALS_MAX: u32 = 64;
pub(crate) const TYPES_MAX: u32 = 256;
pub(crate) const EXPORTS_MAX: u32 = 32;
pub(crate) const DATA_SEGMENTS_MAX: u32 = 64;
pub(crate) const ELEMENT_SEGMENTS_MAX: u32 = 16;
/// Bytes of code from which functions must have so many bytes on average: the engine's own rule, met before the engine
/// is, so that its refusal has a name.
pub(crate) const FUNCTION_BYTES_FREE: u32 = 1_000;
pub(crate) const FUNCTION_BYTES_MIN: u32 = 40;
pub(crate) const TABLE_ELEMENTS_MAX: u64 = 256;
pub(crate) const MEMORY_PAGES_START_MAX: u64 = 2;
pub(crate) const MEMORY_PAGES_MAX: u64 = 16;
pub(crate) const PAGE_BYTES: usize = 64 * 1024;
pub(crate) const RECURSION_DEPTH_MAX: usize = 128;

const VALUE_STACK_START_BYTES: usize = 16 * 1024;
const VALUE_STACK_BYTES_MAX: usize = 1024 * 1024;
/// Stacks kept for reuse. Does not change an outcome, only how fast it is there.
const VALUE_STACKS_CACHED: usize = 4;

/// The versions that the manifests pin exactly: another one may price or refuse otherwise. And what stands between a module and
/// the engine (`shield.rs`).
const ENGINE: &str = "wasmi 2.0.0, wasmparser 0.228.0, conditions of select in a local";

/// What is turned on beyond the first version of WASM. Everything else is off, and named in [`config`].
pub(crate) fn features() -> WasmFeatures {
    // `GC_TYPES` only lets the parser keep function types in the form it needs; no instruction comes with it.
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::GC_TYPES
}

/// Prices per operator: one unit of fuel is at most one nanosecond on the reference core for the worst pattern, not
/// for the average one. `examples/calibrate.rs` measures; what is not named costs one, and block structure nothing.
fn operator_cost() -> OperatorCost {
    OperatorCost {
        // Jumps cost what an interpreter needs to find its next instruction.
        loop_: 3,
        if_: 5,
        br: 3,
        br_if: 4,
        br_table: 10,
        // Frames are made and zeroed.
        call: 40,
        call_indirect: 60,
        // Memory, and what is kept beside it.
        i32_load: 3,
        i64_load: 3,
        i32_load8_s: 3,
        i32_load8_u: 3,
        i32_load16_s: 3,
        i32_load16_u: 3,
        i64_load8_s: 3,
        i64_load8_u: 3,
        i64_load16_s: 3,
        i64_load16_u: 3,
        i64_load32_s: 3,
        i64_load32_u: 3,
        i32_store: 3,
        i64_store: 3,
        i32_store8: 3,
        i32_store16: 3,
        i64_store8: 3,
        i64_store16: 3,
        i64_store32: 3,
        global_get: 2,
        global_set: 2,
        local_tee: 2,
        memory_size: 3,
        memory_grow: 200,
        // What has a length costs this and, on top, by the byte.
        memory_copy: 40,
        memory_fill: 40,
        memory_init: 40,
        table_copy: 40,
        table_init: 40,
        data_drop: 10,
        elem_drop: 10,
        // Slower than other arithmetic, or not joined with a neighbour by the translator.
        i32_clz: 3,
        i32_ctz: 3,
        i32_popcnt: 3,
        i64_clz: 3,
        i64_ctz: 3,
        i64_popcnt: 3,
        i32_mul: 2,
        i64_mul: 2,
        i32_div_s: 3,
        i32_div_u: 3,
        i32_rem_s: 3,
        i32_rem_u: 3,
        i64_div_s: 3,
        i64_div_u: 3,
        i64_rem_s: 3,
        i64_rem_u: 3,
        ..OperatorCost::default()
    }
}

/// Prices by size. The last two are never charged, since modules are compiled before they are called.
const FUEL_COSTS: CustomFuelCosts =
    CustomFuelCosts { bytes_copied_per_fuel: 16, fuel_per_bytes_translated: 7, fuel_per_bytes_validated: 2 };

/// The engine's configuration. Every switch is set, so that no default of a new version can opt us in.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config
        .compilation_mode(CompilationMode::Eager)
        .consume_fuel(true)
        .operator_cost(operator_cost())
        .fuel_cost(FUEL_COSTS)
        .enforced_limits(EnforcedLimits::strict())
        .ignore_custom_sections(true)
        .allow_start_fn(false)
        .floats(false)
        .wasm_mutable_global(true)
        .wasm_sign_extension(true)
        .wasm_bulk_memory(true)
        .wasm_saturating_float_to_int(false)
        .wasm_multi_value(false)
        .wasm_multi_memory(false)
        .wasm_reference_types(false)
        .wasm_tail_call(false)
        .wasm_extended_const(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .set_max_recursion_depth(RECURSION_DEPTH_MAX);
    // Start before end: each is checked against the other when it is set.
    config
        .set_min_stack_height(VALUE_STACK_START_BYTES.min(VALUE_STACK_BYTES_MAX))
        .set_max_stack_height(VALUE_STACK_BYTES_MAX)
        .set_max_cached_stacks(VALUE_STACKS_CACHED);
    config
}

/// What is hashed. Order is part of the hash.
#[derive(BorshSerialize)]
struct Profile {
    engine: &'static str,
    abi: u16,
    fuel: [u64; 4],
    features: u32,
    module: [u64; 16],
    stack: [u64; 2],
    bytes_copied_per_fuel: u32,
    operators: String,
}

/// The hash of the profile: engine, switches, limits, and the whole price table.
#[must_use]
pub fn vm_profile() -> [u8; 32] {
    let profile = Profile {
        engine: ENGINE,
        abi: hansa_contracts_abi::ABI_VERSION,
        fuel: [FUEL_PER_CALL_MAX, FUEL_PER_CALL, FUEL_PER_IO_BYTE, FUEL_PER_PAGE],
        features: features().bits(),
        module: [
            MODULE_BYTES_MAX as u64,
            u64::from(FUNCTIONS_MAX),
            LOCALS_PER_FUNCTION_MAX,
            PARAMS_PER_FUNCTION_MAX as u64,
            RESULTS_PER_FUNCTION_MAX as u64,
            u64::from(OPERANDS_PER_FUNCTION_MAX),
            u64::from(GLOBALS_MAX),
            TABLE_ELEMENTS_MAX,
            MEMORY_PAGES_START_MAX,
            MEMORY_PAGES_MAX,
            u64::from(TYPES_MAX),
            u64::from(EXPORTS_MAX),
            u64::from(DATA_SEGMENTS_MAX),
            u64::from(ELEMENT_SEGMENTS_MAX),
            u64::from(FUNCTION_BYTES_FREE),
            u64::from(FUNCTION_BYTES_MIN),
        ],
        stack: [RECURSION_DEPTH_MAX as u64, VALUE_STACK_BYTES_MAX as u64],
        bytes_copied_per_fuel: FUEL_COSTS.bytes_copied_per_fuel,
        // The table has a price for each operator by name; this is the one form of it that leaves none out.
        operators: format!("{:?}", operator_cost()),
    };
    let bytes = borsh::to_vec(&profile).expect("writing to memory cannot fail");
    blake3::derive_key("hansa contracts vm profile 1", &bytes)
}
