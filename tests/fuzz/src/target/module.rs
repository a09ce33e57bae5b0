//! Modules that somebody uploads.

use super::Verdict;
use hansa_contracts_abi::testing::{Numbers, facts, some_facts};
use hansa_contracts_abi::wire::SECTION_META;
use hansa_contracts_abi::{ModuleMeta, ModuleRule, Runtime as _};
use hansa_contracts_bundle::builtin;
use hansa_contracts_host::{Host, strip, validate};

/// A module; the first byte chooses the facts it is called with.
pub fn load(bytes: &[u8]) -> Verdict {
    let Some((seed, module)) = bytes.split_first() else { return Verdict::Refused };
    let _ = strip(module);
    let host = Host::new();
    let (said, loaded) = (validate(module), host.load(module));
    match (&said, &loaded) {
        (Err(refusal), Err(again)) => {
            assert_eq!(refusal, again);
            assert!(refusal.named().is_some_and(|rule| rule != ModuleRule::Engine), "{refusal}");
            assert!(refusal.offset as usize <= module.len(), "{refusal}");
        }
        (Ok(summary), Ok(code)) => {
            assert_eq!(summary.bytes as usize, module.len());
            let facts = if *seed == 0 { facts() } else { some_facts(&mut Numbers::new(u64::from(*seed))) };
            let params = [*seed; 16];
            let settled = host.settle(code, &params, &facts);
            assert!(settled.fuel <= host.fuel_per_call_max());
            assert_eq!(host.settle(code, &params, &facts), settled, "not the same again");
            let fresh = Host::new();
            fresh.load(module).unwrap();
            assert_eq!(fresh.settle(code, &params, &facts), settled, "not the same after a restart");
            assert!(host.quote(code, &params, &facts.terms).fuel <= host.fuel_per_call_max());
        }
        _ => panic!("what is validated is loaded, and nothing else: {said:?}, {loaded:?}"),
    }
    Verdict::of(&said)
}

/// A small module, whose every byte matters, and the smallest of the built-in ones.
pub fn module_seeds() -> Vec<Vec<u8>> {
    let spot = builtin().iter().find(|(name, _)| *name == "spot").unwrap().1;
    let mut seeds: Vec<Vec<u8>> = SMALL.iter().map(|fields| [&[0], &small(fields)[..]].concat()).collect();
    seeds.push([&[0], spot].concat());
    seeds
}

/// A module in text form, without the names in it, and saying what it is.
fn small(fields: &str) -> Vec<u8> {
    let shared = r#"(memory (export "memory") 1 1) (global (export "IO") i32 (i32.const 1024))
        (func (export "v1_quote") (param i32) (result i64) (i64.const 0))"#;
    let module = strip(&wat::parse_str(format!("(module {shared} {fields})")).unwrap()).unwrap();
    let meta =
        ModuleMeta { name: "test".into(), version: "1.0.0".into(), abi: 1, tariff: "Pay nobody.".into() };
    let meta = borsh::to_vec(&meta).unwrap();
    let section = [&[SECTION_META.len() as u8][..], SECTION_META.as_bytes(), &meta].concat();
    [&module[..], &[0, section.len() as u8], &section].concat()
}

/// Modules that keep every rule: one that answers at once, one that goes through table, loop, globals and bulk memory, and one
/// that never ends.
const SMALL: [&str; 3] = [
    r#"(func (export "v1_settle") (param i32) (result i64) (i64.const 0))"#,
    r#"(table 4 4 funcref) (elem (i32.const 0) $f $g) (type $t (func (param i64) (result i64)))
       (global (mut i64) (i64.const 5))
       (func $f (type $t) (i64.add (local.get 0) (global.get 1)))
       (func $g (type $t) (loop (br_if 0 (i64.eqz (local.get 0)))) (i64.mul (local.get 0) (i64.const 3)))
       (data (i32.const 40000) "contract")
       (func (export "v1_settle") (param i32) (result i64) (local i64)
         (local.set 1 (call_indirect (type $t) (i64.load (i32.const 1024)) (i32.const 1)))
         (if (i32.wrap_i64 (local.get 1)) (then (global.set 1 (i64.const 7))) (else (nop)))
         (i64.store (i32.const 1024) (local.get 1)) (memory.copy (i32.const 0) (i32.const 1024) (i32.const 64))
         (block (br_table 0 0 (i32.and (local.get 0) (i32.const 1))))
         (i64.or (local.get 1) (i64.extend_i32_u (local.get 0))))"#,
    r#"(func (export "v1_settle") (param i32) (result i64) (loop (br 0)) (i64.const 0))"#,
];
