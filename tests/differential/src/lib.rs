//! Run contracts natively, in the ledger's engine and in another one, and compare.
//!
//! The ledger's engine (wasmi, in `contracts/host`) is an interpreter. The other one (wasmtime) is a compiler by other people,
//! with another parser, validator and memory. What both say, and for a template its source as well, is what the contract says:
//! a fault of one engine cannot be what the federation agreed on without anybody noticing.
//!
//! ```text
//! cd tests/differential
//! cargo run --release -- --cases 100000 --modules 20000     # --seed N for other ones
//! cargo test --release                                       # the same, a few of each
//! ```
//!
//! This is a workspace of its own, with its own lock file: the second engine takes minutes to compile, and nobody who builds hansa
//! needs it.
//!
//! | what | held to |
//! |---|---|
//! | every template, on generated facts and parameters, whole and broken ([`template`]) | settlement, quote and admission are the same natively, in the host and compiled; nothing is excused |
//! | generated modules (wasm-smith) of the profile that validation allows ([`modules`]) | what the host loads the other engine compiles; both end each call alike, and leave the same memory to the last byte; a call that is made again gives the same, fuel included |
//! | the fuel that is checked in ([`fuel`]) | this build, with optimisation, charges what the host's tests, without, have written down |
//!
//! **What is excused, and counted.** The host ends a call after two million of fuel, and 128 calls deep; the other engine knows
//! neither bound. So each module also runs in the ledger's engine without these bounds ([`Unbound`]): what it says there has to be
//! what the compiler's code says. A host that ran out of fuel is excused only if the call ran operators for that much, a host that
//! trapped only if the same engine, with the host's depth and nothing else of the host, says that the depth was the reason. Calls
//! that do not end in eight million operators are without an end; a call that only one of the two engines stopped is undecided.
//!
//! The program says what it counted on lines that begin with `figure:`, tells each difference with its seed, and ends with 1 if
//! there is any.

mod compiled;
mod ended;
mod fuel;
mod generated;
mod modules;
mod templates;
mod unbound;

pub use compiled::{Compiled, with_stack};
pub use ended::{Bound, Ended};
pub use fuel::{Fuel, fuel};
pub use generated::some_module;
pub use modules::{Modules, modules};
pub use templates::{Template, template};
pub use unbound::{Run, Unbound};
