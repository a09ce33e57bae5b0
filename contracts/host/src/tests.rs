//! What the host must hold against code that means harm, and what it must give to code that does not.

mod attacks;
mod calls;
mod golden;
mod modules;

use borsh::BorshSerialize;
use hansa_contracts_abi::testing::{Numbers, ordinary_facts as facts};
use hansa_contracts_abi::{Facts, ModuleMeta, ModuleRefusal, ModuleRule, Outcome, Runtime, Split};

use crate::{Host, strip};

/// A contract in text form: what stands before the functions, and the body of `v1_settle`.
fn contract(parts: &str, settle: &str) -> Vec<u8> {
    module(&format!(
        r#"{parts} (memory (export "memory") 1 1) {IO_AND_QUOTE}
           (func (export "v1_settle") (param i32) (result i64) {settle})"#
    ))
}

/// The two exports that the attacks leave alone.
const IO_AND_QUOTE: &str = r#"(global (export "IO") i32 (i32.const 1024))
    (func (export "v1_quote") (param i32) (result i64) (i64.const 0))"#;

/// A module in text form, without the names in it, and saying what it is.
fn module(fields: &str) -> Vec<u8> {
    with_section(&plain(fields), "sdk.meta", &bytes_of(&meta()))
}

/// A module in text form, without the names in it.
fn plain(fields: &str) -> Vec<u8> {
    strip(&wat::parse_str(format!("(module {fields})")).unwrap()).unwrap()
}

fn meta() -> ModuleMeta {
    ModuleMeta { name: "test".into(), version: "1.0.0".into(), abi: 1, tariff: "Pay nobody.".into() }
}

/// The module with a custom section at its end.
fn with_section(code: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::try_from(name.len()).unwrap()];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    let mut code = code.to_vec();
    code.push(0);
    // The length in five bytes of LEB128, needed or not: that is allowed.
    let length = u32::try_from(body.len()).unwrap();
    code.extend((0..5).map(|place| (length >> (7 * place)) as u8 & 0x7f | if place < 4 { 0x80 } else { 0 }));
    code.extend(body);
    code
}

fn bytes_of(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).unwrap()
}

fn load(code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
    let loaded = Host::new().load(code);
    assert_eq!(crate::validate(code).map(|_| ()), loaded.map(|_| ()), "validating and loading agree");
    loaded
}

/// The rule that the module breaks.
fn rule(code: &[u8]) -> Option<ModuleRule> {
    load(code).err().map(|refusal| refusal.named().unwrap())
}

/// Loads the code into a new host and settles with it once.
fn settle(code: &[u8], facts: &Facts) -> Outcome<Split> {
    let host = Host::new();
    let hash = host.load(code).unwrap();
    host.settle(&hash, &[], facts)
}
