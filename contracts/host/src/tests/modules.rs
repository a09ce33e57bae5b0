//! Which code may become a contract.

use super::*;
use crate::ModuleRefusal as R;

const OK: &str = "(i64.const 0)";

#[test]
fn an_ordinary_contract_is_accepted_and_named_by_its_bytes() {
    let code = contract("", OK);
    let host = Host::new();
    let hash = host.load(&code).unwrap();
    assert_eq!(hash, *blake3::hash(&code).as_bytes());
    assert_eq!(host.load(&code), Ok(hash));
    assert!(host.knows(&hash) && !host.knows(&[0; 32]));
}

#[test]
fn every_forbidden_feature_is_refused_by_its_name() {
    let table = [
        (r#"(import "env" "log" (func (param i32)))"#, OK, R::Imports),
        (r#"(import "env" "memory" (memory 1))"#, OK, R::Imports),
        ("(func $s) (start $s)", OK, R::StartFunction),
        ("(memory 1 1)", OK, R::MemoryCount),
        ("", "(drop (f64.add (f64.const 1) (f64.const 2))) (i64.const 0)", R::Floats),
        ("", "(local f32) (i64.const 0)", R::Floats),
        ("(func $f (param f64))", OK, R::Floats),
        ("(global f32 (f32.const 0))", OK, R::Floats),
        ("", "(i64.trunc_sat_f32_s (f32.const 1))", R::Floats),
        ("", "(drop (v128.const i32x4 0 0 0 0)) (i64.const 0)", R::Simd),
        ("", "(local v128) (i64.const 0)", R::Simd),
        ("", "(i64.atomic.load (i32.const 0))", R::Threads),
        ("", "(drop (ref.null func)) (i64.const 0)", R::ReferenceTypes),
        (
            "(table 1 10 funcref)",
            "(drop (table.grow (ref.null func) (i32.const 1))) (i64.const 0)",
            R::ReferenceTypes,
        ),
        (
            "(table 1 10 funcref)",
            "(table.fill (i32.const 0) (ref.null func) (i32.const 1)) (i64.const 0)",
            R::ReferenceTypes,
        ),
        ("(func $f (result i64) i64.const 0)", "(return_call $f)", R::TailCalls),
        ("", "(i64.const 1) (block (param i64) drop) (i64.const 0)", R::MultiValue),
        ("(func $f (result i32 i32) (i32.const 0) (i32.const 0))", OK, R::TooManyResults),
        ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", OK, R::ExtendedConstants),
        ("(tag $e)", OK, R::Feature),
        ("", "(i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.add128) (drop)", R::Feature),
        ("", "(i32.const 0)", R::Malformed),
    ];
    for (parts, body, want) in table {
        assert_eq!(load(&contract(parts, body)), Err(want), "{parts} {body}");
    }
}

#[test]
fn every_limit_is_met_and_guarded() {
    let memory = |limits: &str| {
        module(&format!(
            r#"(memory (export "memory") {limits}) {IO_AND_QUOTE}
               (func (export "v1_settle") (param i32) (result i64) (i64.const 0))"#
        ))
    };
    assert!(load(&memory("2 16")).is_ok());
    assert_eq!(load(&memory("3 16")), Err(R::MemoryTooLarge));
    assert_eq!(load(&memory("1 17")), Err(R::MemoryTooLarge));
    assert_eq!(load(&memory("65536 65536")), Err(R::MemoryTooLarge));
    assert_eq!(load(&memory("1")), Err(R::MemoryUnbounded));
    assert_eq!(load(&memory("0 1")), Err(R::BufferOutOfMemory));

    assert!(load(&contract("(table 256 256 funcref)", OK)).is_ok());
    assert_eq!(load(&contract("(table 1 257 funcref)", OK)), Err(R::TableTooLarge));
    assert_eq!(load(&contract("(table 10000000 10000000 funcref)", OK)), Err(R::TableTooLarge));
    assert_eq!(load(&contract("(table 1 funcref)", OK)), Err(R::TableUnbounded));
    assert_eq!(load(&contract("(table 1 1 funcref) (table 1 1 funcref)", OK)), Err(R::TableCount));

    // Two functions are exported already. Bodies long enough for the engine's own rule on average size.
    let filler = format!("(func {})", "nop ".repeat(40));
    assert!(load(&contract(&filler.repeat(510), OK)).is_ok());
    assert_eq!(load(&contract(&filler.repeat(511), OK)), Err(R::TooManyFunctions));
    assert!(load(&contract(&"(global i32 (i32.const 0))".repeat(63), OK)).is_ok());
    assert_eq!(load(&contract(&"(global i32 (i32.const 0))".repeat(64), OK)), Err(R::TooManyGlobals));

    let params = |count| format!("(func (param {}))", "i64 ".repeat(count));
    assert!(load(&contract(&params(16), OK)).is_ok());
    assert_eq!(load(&contract(&params(17), OK)), Err(R::TooManyParams));
    let locals = |count| format!("(func (local {}))", "i64 ".repeat(count));
    assert!(load(&contract(&locals(100), OK)).is_ok());
    assert_eq!(load(&contract(&locals(101), OK)), Err(R::TooManyLocals));
    assert_eq!(load(&contract(&locals(20_000), OK)), Err(R::TooManyLocals));
    let operands = |count| format!("(func {} {})", "i64.const 1 ".repeat(count), "drop ".repeat(count));
    assert!(load(&contract(&operands(512), OK)).is_ok());
    assert_eq!(load(&contract(&operands(513), OK)), Err(R::TooManyOperands));
    // 70 KB of custom section are as much a load as 70 KB of code.
    let mut large = contract("", OK);
    large.extend([0, 0xf4, 0xa2, 0x04, 1, b'x']);
    large.extend(vec![0; 70_002]);
    assert_eq!(load(&large), Err(R::TooLarge));
}

#[test]
fn exports_are_required_by_name_kind_and_type() {
    let all = [
        r#"(memory (export "memory") 1 1)"#,
        r#"(global (export "IO") i32 (i32.const 1024))"#,
        r#"(func (export "v1_quote") (param i32) (result i64) (i64.const 0))"#,
        r#"(func (export "v1_settle") (param i32) (result i64) (i64.const 0))"#,
    ];
    let with = |place: usize, text: &str| {
        let mut fields = all;
        fields[place] = text;
        load(&module(&fields.join(" ")))
    };
    assert!(with(0, all[0]).is_ok());
    assert_eq!(with(0, "(memory 1 1)"), Err(R::MissingExport("memory")));
    assert_eq!(with(0, ""), Err(R::MemoryCount));
    assert_eq!(with(1, ""), Err(R::MissingExport("IO")));
    assert_eq!(with(1, r#"(func (export "IO"))"#), Err(R::WrongExport("IO")));
    assert_eq!(with(1, r#"(global (export "IO") (mut i32) (i32.const 1024))"#), Err(R::WrongExport("IO")));
    assert_eq!(with(1, r#"(global (export "IO") i64 (i64.const 1024))"#), Err(R::WrongExport("IO")));
    assert_eq!(with(1, r#"(global (export "IO") i32 (i32.const -1))"#), Err(R::BufferOutOfMemory));
    assert!(with(1, r#"(global (export "IO") i32 (i32.const 49152))"#).is_ok());
    assert_eq!(with(1, r#"(global (export "IO") i32 (i32.const 49153))"#), Err(R::BufferOutOfMemory));
    assert_eq!(with(2, ""), Err(R::MissingExport("v1_quote")));
    assert_eq!(with(3, ""), Err(R::MissingExport("v1_settle")));
    let other = r#"(func (export "v1_settle") (param i64) (result i64) (i64.const 0))"#;
    assert_eq!(with(3, other), Err(R::WrongExport("v1_settle")));
    let other = r#"(global (export "v1_settle") i32 (i32.const 0))"#;
    assert_eq!(with(3, other), Err(R::WrongExport("v1_settle")));
    let data = format!(r#"{} (data (i32.const 65530) "0123456789")"#, all[0]);
    assert_eq!(with(0, &data), Err(R::Instantiation));
}

#[test]
fn broken_bytes_are_refused_and_never_panic() {
    let spot = hansa_contracts_bundle::SPOT;
    for length in [0, 1, 4, 7, 8, 9, 20, 100, 1_000, spot.len() - 1] {
        assert!(load(&spot[..length]).is_err(), "the first {length} bytes");
    }
    let small = contract(
        "(table 4 4 funcref) (elem (i32.const 0) $f $g) (type $t (func (param i64) (result i64)))
         (func $f (type $t) (i64.add (local.get 0) (i64.const 1)))
         (func $g (type $t) (loop (br_if 0 (i64.eqz (local.get 0)))) (i64.mul (local.get 0) (i64.const 3)))
         (data (i32.const 40000) \"contract\")",
        "(local i64) (local.set 1 (call_indirect (type $t) (i64.load (i32.const 1024)) (i32.const 1)))
         (i64.store (i32.const 1024) (local.get 1)) (memory.copy (i32.const 0) (i32.const 1024) (i32.const 64))
         (i64.or (local.get 1) (i64.extend_i32_u (local.get 0)))",
    );
    assert!(load(&small).is_ok());
    let mut numbers = Numbers(88_172_645_463_325_252);
    let (mut refused, mut ran) = (0, 0);
    for round in 0..2_000 {
        // Most rounds break the small module; some break the real one, which is slower to check.
        let mut mutant = if round % 20 == 0 { spot.to_vec() } else { small.clone() };
        for _ in 0..=numbers.below(3) {
            let place = numbers.below(mutant.len() as u64) as usize;
            mutant[place] = numbers.next() as u8;
        }
        if numbers.below(8) == 0 {
            mutant.truncate(numbers.below(mutant.len() as u64) as usize);
        }
        let host = Host::new();
        match host.load(&mutant) {
            Err(_) => refused += 1,
            Ok(hash) => {
                let outcome = host.settle(&hash, &[], &facts());
                assert!(outcome.fuel <= host.fuel_per_call_max());
                ran += 1;
            }
        }
    }
    assert!(refused > 500 && ran > 100, "{refused} refused, {ran} ran");
}
