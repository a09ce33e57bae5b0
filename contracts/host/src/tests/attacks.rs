//! Code that wants more than its share.

use super::*;
use crate::profile::{FUEL_PER_CALL_MAX, PAGE_BYTES, config};
use hansa_contracts_abi::{Code, Failure};
use wasmi::{Engine, Instance, Module, Store};

fn check(name: &str, code: &[u8], want: Failure) {
    let outcome = settle(code, &facts());
    assert_eq!(outcome.result, Err(want), "{name}");
    let all_gone = want == Failure::OutOfFuel;
    assert_eq!(outcome.fuel == FUEL_PER_CALL_MAX, all_gone, "{name}: {} fuel", outcome.fuel);
}

#[test]
fn loops_end_when_the_fuel_does() {
    for body in [
        "(loop br 0) unreachable",
        "(loop nop (block) (block nop) br 0) unreachable",
        "(loop (block (br_table 0 0 0 (i32.const 1))) br 0) unreachable",
        "(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) br 0) unreachable",
        "(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 0)) br 0) unreachable",
        "(loop (memory.copy (i32.const 0) (i32.const 1) (i32.const 65535)) br 0) unreachable",
        "(loop (drop (memory.grow (i32.const 0))) br 0) unreachable",
    ] {
        check(body, &contract("", body), Failure::OutOfFuel);
    }
    let calls = contract("(func $g (local i64))", "(loop (call $g) br 0) unreachable");
    check("calls", &calls, Failure::OutOfFuel);
}

#[test]
fn bulk_operations_are_paid_by_the_byte() {
    let fuel = |bytes: usize, operation: &str| {
        let body =
            format!("({operation} (i32.const 0) (i32.const 0) (i32.const {bytes})) (i64.const 4294967296)");
        settle(&contract("", &body), &facts()).fuel
    };
    for operation in ["memory.fill", "memory.copy"] {
        assert_eq!(fuel(PAGE_BYTES, operation) - fuel(0, operation), PAGE_BYTES as u64 / 16, "{operation}");
    }
}

#[test]
fn memory_is_paid_for_and_cannot_pass_its_maximum() {
    // Refuses with 1,001 plus what the last growth returned: the pages before it, or -1 if there was none.
    let growing = |maximum: u32, by: &str| {
        module(&format!(
            r#"(memory (export "memory") 1 {maximum}) {IO_AND_QUOTE}
               (func (export "v1_settle") (param i32) (result i64) {by} (local.set 0)
                 (i64.shl (i64.add (i64.extend_i32_s (local.get 0)) (i64.const 1001)) (i64.const 32)))"#
        ))
    };
    let refused = |code| Err(Failure::Refused(Code(code)));
    let fits = settle(&growing(16, "(memory.grow (i32.const 15))"), &facts());
    assert_eq!(fits.result, refused(1_002));
    let over = settle(&growing(16, "(memory.grow (i32.const 16))"), &facts());
    assert_eq!(over.result, refused(1_000));
    let after = "(drop (memory.grow (i32.const 15))) (memory.grow (i32.const 1))";
    assert_eq!(settle(&growing(16, after), &facts()).result, refused(1_000));
    let none = settle(&growing(1, "(memory.grow (i32.const 16))"), &facts());
    assert_eq!(none.result, refused(1_000));
    assert_eq!(over.fuel - none.fuel, 15 * 10_000, "each page that may come is paid for, come or not");
    let endless = "(loop (drop (memory.grow (i32.const 1))) br 0) (i32.const 0)";
    check("growing for ever", &growing(16, endless), Failure::OutOfFuel);
    check("reading past the end", &contract("", "(i64.load (i32.const 65529))"), Failure::Trap);
}

#[test]
fn recursion_ends_at_a_depth_and_spares_the_host_stack() {
    let direct = contract("(func $f (call $f))", "(call $f) (i64.const 0)");
    let mutual = contract("(func $f (call $g)) (func $g (call $f))", "(call $f) (i64.const 0)");
    let indirect = contract(
        "(type $t (func)) (table 1 1 funcref) (elem (i32.const 0) $f)
         (func $f (call_indirect (type $t) (i32.const 0)))",
        "(call $f) (i64.const 0)",
    );
    let entry = contract("", "(i64.const 0) drop (call 1 (local.get 0))");
    let nested = format!("{} {} (i64.const 0)", "(block ".repeat(2_000), ")".repeat(2_000));
    let nested = contract("(func $f (call $f))", &format!("(call $f) {nested}"));
    let attacks = [
        ("direct", direct),
        ("mutual", mutual),
        ("indirect", indirect),
        ("entry", entry),
        ("nested", nested),
    ];
    let small_stack = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
        for (name, code) in &attacks {
            check(name, code, Failure::Trap);
        }
    });
    small_stack.unwrap().join().unwrap();
}

#[test]
fn depth_trips_before_the_value_stack_whatever_the_frame() {
    let depth = |locals: usize, operands: usize| {
        // Each frame keeps its operands alive across the call, so that none can share a place with the next.
        let code = module(&format!(
            r#"(global $depth (export "depth") (mut i64) (i64.const 0))
               (func $f (export "run") (param i64 i64 i64 i64 i64 i64 i64 i64) (local {})
                 (global.set $depth (i64.add (global.get $depth) (i64.const 1)))
                 {} (call $f {}) {})"#,
            "i64 ".repeat(locals),
            "(i64.add (local.get 0) (global.get $depth)) ".repeat(operands),
            "(global.get $depth) ".repeat(8),
            "(global.set $depth) ".repeat(operands),
        ));
        let engine = Engine::new(&config());
        let mut store = Store::new(&engine, ());
        store.set_fuel(FUEL_PER_CALL_MAX).unwrap();
        let module = Module::new(&engine, &code).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run =
            instance.get_typed_func::<(i64, i64, i64, i64, i64, i64, i64, i64), ()>(&store, "run").unwrap();
        let error = run.call(&mut store, (1, 2, 3, 4, 5, 6, 7, 8)).unwrap_err();
        assert_eq!(error.as_trap_code(), Some(wasmi::TrapCode::StackOverflow));
        instance.get_global(&store, "depth").unwrap().get(&store).i64().unwrap()
    };
    let thin = depth(1, 0);
    assert_eq!(thin, 128);
    assert_eq!(depth(100, 0), thin);
    assert_eq!(depth(100, 500), thin);
}

#[test]
fn compile_bombs_are_refused_or_defused() {
    let straight = |times: usize| {
        let body =
            "(local.set 1 (i64.add (i64.mul (local.get 1) (i64.const 3)) (i64.const 1)))".repeat(times);
        contract("", &format!("(local i64) {body} (i64.const 0)"))
    };
    assert_eq!(rule(&straight(20_000)), Some(ModuleRule::TooLarge));
    assert!(load(&straight(6_000)).is_ok());
    let blocks = format!("{} {} (i64.const 0)", "(block ".repeat(5_000), ")".repeat(5_000));
    assert!(load(&contract("", &blocks)).is_ok());
    let table = format!("(br_table {} (i32.const 1))", "0 ".repeat(500));
    let tables = |count: usize| contract("", &format!("(block {}) (i64.const 0)", table.repeat(count)));
    assert!(load(&tables(100)).is_ok());
    assert_eq!(rule(&tables(400)), Some(ModuleRule::TooLarge));
    let empty = contract(&"(func)".repeat(10_000), "(i64.const 0)");
    assert_eq!(rule(&empty), Some(ModuleRule::Functions));
    let branches = "(if (i32.wrap_i64 (local.get 1)) (then (local.set 2 (local.get 3))))".repeat(3_000);
    let locals =
        |count: usize| contract("", &format!("(local {}) {branches} (i64.const 0)", "i64 ".repeat(count)));
    assert_eq!(rule(&locals(1_000)), Some(ModuleRule::Locals));
    assert!(load(&locals(100)).is_ok());
}
