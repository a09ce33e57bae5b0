//! Code that wants more than its share: the attacks of the design, by their numbers. What the ledger has to hold against
//! them is tested there; number 11 is in `modules`, 12 and 14 in `calls`, 13 in `golden`.

use super::*;
use crate::profile::{FUEL_PER_CALL_MAX, PAGE_BYTES, config};
use hansa_contracts_abi::testing::{cases, some_facts};
use hansa_contracts_abi::{Code, Failure, Note, Party, SplitError, check_split};
use wasmi::{Engine, Instance, Module, Store};

fn check(name: &str, code: &[u8], want: Failure) {
    let outcome = settle(code, &facts());
    assert_eq!(outcome.result, Err(want), "{name}");
    let all_gone = want == Failure::OutOfFuel;
    assert_eq!(outcome.fuel == FUEL_PER_CALL_MAX, all_gone, "{name}: {} fuel", outcome.fuel);
}

#[test]
fn attack_01_loops_end_when_the_fuel_does() {
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
    // Operators that cost nothing do not make a round of a loop cost nothing.
    let free = format!("(loop {} (br 0)) unreachable", "(block) (nop) (block (nop))".repeat(500));
    check("free operators", &contract("", &free), Failure::OutOfFuel);
    let calls = contract("(func $g (local i64))", "(loop (call $g) br 0) unreachable");
    check("calls", &calls, Failure::OutOfFuel);
}

#[test]
fn attack_07_bulk_operations_are_paid_by_the_byte() {
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
fn attack_02_memory_is_paid_for_and_cannot_pass_its_maximum() {
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
fn attack_04_recursion_ends_at_a_depth_and_spares_the_host_stack() {
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
fn attack_04_depth_trips_before_the_value_stack_whatever_the_frame() {
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
fn attack_08_compile_bombs_are_refused_or_defused() {
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

#[test]
fn attack_01_fuel_runs_out_at_the_same_operator_whatever_is_left() {
    // A loop that counts its rounds in memory, and refuses with their number: one round more for each price of a round.
    let rounds = |count: u32| {
        let body = format!(
            "(local i32) (loop (local.set 1 (i32.add (local.get 1) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get 1) (i32.const {count})))) unreachable"
        );
        settle(&contract("", &body), &facts()).fuel
    };
    let price = rounds(2) - rounds(1);
    assert!(price > 0);
    for count in [3, 10, 1_000, 50_000] {
        assert_eq!(rounds(count), rounds(1) + price * u64::from(count - 1), "{count} rounds");
    }
    assert_eq!(rounds(u32::MAX), FUEL_PER_CALL_MAX);
}

#[test]
fn attack_03_tables_cannot_grow_or_be_huge() {
    let huge = contract("(table 4000000000 4000000000 funcref)", "(i64.const 0)");
    assert_eq!(rule(&huge), Some(ModuleRule::TableMaximum));
    for body in [
        "(drop (table.grow (ref.null func) (i32.const 1000000))) (i64.const 0)",
        "(table.fill (i32.const 0) (ref.null func) (i32.const 1000000)) (i64.const 0)",
        "(table.set (i32.const 0) (table.get (i32.const 1))) (i64.const 0)",
    ] {
        let code = contract("(table 2 256 funcref)", body);
        assert_eq!(rule(&code), Some(ModuleRule::ReferenceTypes), "{body}");
    }
    // What the first version of WASM can do with a table stays inside of it, and is paid for.
    let copies = "(loop (table.copy (i32.const 0) (i32.const 1) (i32.const 255)) br 0) unreachable";
    check("table.copy", &contract("(table 256 256 funcref)", copies), Failure::OutOfFuel);
    let outside = "(table.copy (i32.const 0) (i32.const 1) (i32.const 256)) (i64.const 0)";
    check("table.copy outside", &contract("(table 256 256 funcref)", outside), Failure::Trap);
}

#[test]
fn attack_05_a_leaf_with_many_locals_is_refused_and_one_with_some_is_paid_for() {
    let leaf = |locals: usize| format!("(func $leaf (local {}))", "i64 ".repeat(locals));
    let endless = "(loop (call $leaf) br 0) unreachable";
    assert_eq!(rule(&contract(&leaf(1_000), endless)), Some(ModuleRule::Locals));
    assert_eq!(rule(&contract(&leaf(101), endless)), Some(ModuleRule::Locals));
    check("100 locals", &contract(&leaf(100), endless), Failure::OutOfFuel);
    let fuel = |body: &str| settle(&contract(&leaf(100), body), &facts()).fuel;
    assert!(
        fuel("(call $leaf) unreachable") - fuel("unreachable") >= 40,
        "a frame costs what zeroing it does"
    );
}

#[test]
fn attack_06_many_parameters_in_many_functions_are_refused() {
    let functions = |params: usize, count: usize| {
        let function = format!("(func (param {}) {})", "i64 ".repeat(params), "nop ".repeat(40));
        contract(&function.repeat(count), "(i64.const 0)")
    };
    assert_eq!(rule(&functions(1_000, 500)), Some(ModuleRule::Params));
    assert_eq!(rule(&functions(17, 1)), Some(ModuleRule::Params));
    assert_eq!(rule(&functions(16, 511)), Some(ModuleRule::Functions));
    assert_eq!(rule(&functions(16, 510)), None);
}

#[test]
fn attack_09_lists_longer_than_their_bytes_are_nothing_to_allocate_for() {
    // An answer of four thousand million payments, notes, and bytes of state.
    for place in [0, 4 + 32, 8 + 32] {
        let mut answer = bytes_of(&Split { pay: vec![], slash: 0, consume: 0, notes: vec![], state: vec![] });
        answer[place..place + 4].copy_from_slice(&[0xff; 4]);
        let text: String = answer.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let parts = format!("(data (i32.const 1024) \"{text}\")");
        let body = format!("(i64.const {})", answer.len());
        // The input overwrites the buffer: put the answer back first.
        let code = contract(
            &parts.replace("1024", "30000"),
            &format!("(memory.copy (i32.const 1024) (i32.const 30000) (i32.const {})) {body}", answer.len()),
        );
        assert_eq!(settle(&code, &facts()).result, Err(Failure::BadOutput), "place {place}");
    }
    // Parameters that are such a list: the guest refuses them, and has used hardly more fuel than for none.
    let host = Host::new();
    let spot = host.load(hansa_contracts_bundle::SPOT).unwrap();
    let outcome = host.settle(&spot, &[0xff; 4], &facts());
    assert_eq!(outcome.result, Err(Failure::Refused(Code::BAD_PARAMS)));
    let none = host.settle(&spot, &[], &facts());
    assert_eq!(none.result, Err(Failure::Refused(Code::BAD_PARAMS)));
    assert!(outcome.fuel <= none.fuel + 10, "{} and {} fuel", outcome.fuel, none.fuel);
}

/// Breaks a module: bits, bytes, places that hold a length, cuts, and parts that are there twice or not at all.
fn mutate(code: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut mutant = code.to_vec();
    let place = |mutant: &[u8], numbers: &mut Numbers| numbers.below(mutant.len() as u64) as usize;
    for _ in 0..=numbers.below(3) {
        let at = place(&mutant, numbers);
        match numbers.below(8) {
            0 | 1 => mutant[at] ^= 1 << numbers.below(8),
            2 | 3 => mutant[at] = numbers.next() as u8,
            // A number that goes on for ever, or ends too early.
            4 => mutant[at] |= 0x80,
            5 => mutant[at] &= 0x7f,
            6 => {
                let end = (at + 1 + numbers.below(16) as usize).min(mutant.len());
                let part = mutant[at..end].to_vec();
                mutant.splice(at..at, part);
            }
            _ => {
                let end = (at + 1 + numbers.below(4) as usize).min(mutant.len());
                mutant.drain(at..end);
            }
        }
        if mutant.is_empty() {
            return mutant;
        }
    }
    if numbers.once_in(16) {
        mutant.truncate(place(&mutant, numbers));
    }
    mutant
}

#[test]
fn attack_10_broken_modules_are_refused_or_bounded_and_never_panic() {
    let spot = hansa_contracts_bundle::SPOT;
    let small = contract(
        "(table 4 4 funcref) (elem (i32.const 0) $f $g) (type $t (func (param i64) (result i64)))
         (global (mut i64) (i64.const 5))
         (func $f (type $t) (i64.add (local.get 0) (global.get 0)))
         (func $g (type $t) (loop (br_if 0 (i64.eqz (local.get 0)))) (i64.mul (local.get 0) (i64.const 3)))
         (data (i32.const 40000) \"contract\")",
        "(local i64) (local.set 1 (call_indirect (type $t) (i64.load (i32.const 1024)) (i32.const 1)))
         (if (i32.wrap_i64 (local.get 1)) (then (global.set 0 (i64.const 7))) (else (nop)))
         (i64.store (i32.const 1024) (local.get 1)) (memory.copy (i32.const 0) (i32.const 1024) (i32.const 64))
         (block (br_table 0 0 (i32.and (local.get 0) (i32.const 1))))
         (i64.or (local.get 1) (i64.extend_i32_u (local.get 0)))",
    );
    assert_eq!(rule(&small), None);
    let mut numbers = Numbers::new(10);
    let (mut refused, mut ran) = (0u64, 0u64);
    let cases = cases(2_000);
    for case in 0..cases {
        // Most rounds break the small module; some break the real one, which is slower to check.
        let mutant = mutate(if case % 16 == 0 { spot } else { &small }, &mut numbers);
        let host = Host::new();
        match host.load(&mutant) {
            Err(refusal) => {
                assert!(refusal.named().is_some(), "{refusal}");
                assert_ne!(
                    refusal.named(),
                    Some(ModuleRule::Engine),
                    "case {case}: a refusal without a name"
                );
                assert!(refusal.offset as usize <= mutant.len(), "case {case}: {refusal}");
                refused += 1;
            }
            Ok(hash) => {
                let facts = some_facts(&mut numbers);
                let outcome = host.settle(&hash, &[], &facts);
                assert!(outcome.fuel <= host.fuel_per_call_max());
                assert_eq!(host.settle(&hash, &[], &facts), outcome, "case {case}: not the same again");
                ran += 1;
            }
        }
    }
    assert!(refused > cases / 4 && ran > cases / 50, "{refused} refused, {ran} ran");
}

#[test]
fn attack_16_there_is_no_way_back_into_the_host() {
    for import in ["(func (param i32))", "(memory 1)", "(global i32)", "(table 1 funcref)"] {
        let code = contract(&format!(r#"(import "hansa" "settle" {import})"#), "(i64.const 0)");
        assert_eq!(rule(&code), Some(ModuleRule::Imports), "{import}");
    }
}

#[test]
fn attack_18_and_19_what_is_too_long_for_the_record_is_no_split_and_still_paid_for() {
    let note = |bytes: usize| Note { code: 1, bytes: vec![7; bytes] };
    let split = |notes: Vec<Note>, state: usize| Split {
        pay: vec![],
        slash: 0,
        consume: 0,
        notes,
        state: vec![1; state],
    };
    for (what, split, want) in [
        ("the most there may be", split(vec![note(128); 8], 256), None),
        ("9 notes", split(vec![note(0); 9], 0), Some(SplitError::TooManyNotes)),
        ("a note of 129 bytes", split(vec![note(129)], 0), Some(SplitError::NoteTooLong)),
        ("257 bytes of state", split(vec![], 257), Some(SplitError::StateTooLong)),
        (
            "17 payments",
            Split { pay: (0..17).map(|party| (Party(party), 1)).collect(), ..split(vec![], 0) },
            Some(SplitError::TooManyPays),
        ),
    ] {
        let outcome = settle(&answering(&bytes_of(&split)), &facts());
        let answered = outcome.result.unwrap();
        assert_eq!(answered, split, "{what}");
        let checked = check_split(&answered, &facts(), &[], facts().escrow.locked);
        assert_eq!(checked.err(), want, "{what}");
        assert!(outcome.fuel > 5_000 + bytes_of(&split).len() as u64, "{what}: {} fuel", outcome.fuel);
    }
    // An answer beyond 4 KiB is not even read.
    let long = split(vec![note(5_000)], 0);
    assert_eq!(settle(&answering(&bytes_of(&long)), &facts()).result, Err(Failure::BadOutput));
}

/// A contract that answers with these bytes, whatever it is asked.
fn answering(output: &[u8]) -> Vec<u8> {
    let text: String = output.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let length = output.len();
    contract(
        &format!("(data (i32.const 30000) \"{text}\")"),
        &format!(
            "(memory.copy (i32.const 1024) (i32.const 30000) (i32.const {length})) (i64.const {length})"
        ),
    )
}

/// A panic in the host is a mistake of ours: it must end the node before it can cost a member its count of fuel.
#[test]
fn attack_24_nothing_in_the_host_catches_a_panic() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() && !path.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            assert!(!source.contains("catch_unwind") && !source.contains(".unwrap()"), "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 5);
}

/// Fuel is counted in 64 bits, and no count outlives a call: many calls leave what one leaves. The engine numbers its stores in
/// 32 bits and begins anew after the last; `HANSA_CASES=5000000000` passes that place, and takes hours.
#[test]
fn attack_27_no_count_runs_over() {
    let host = Host::new();
    let endless = contract("(global $calls (mut i32) (i32.const 0))", "(loop br 0) unreachable");
    let counting = contract(
        "(global $calls (mut i32) (i32.const 0))",
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (i64.shl (i64.add (i64.extend_i32_u (global.get $calls)) (i64.const 1000)) (i64.const 32))",
    );
    let hash = host.load(&counting).unwrap();
    let first = host.settle(&hash, &[], &facts());
    assert_eq!(first.result, Err(Failure::Refused(Code(1_001))), "the first call is the contract's first");
    for _ in 0..cases(300) {
        assert_eq!(host.settle(&hash, &[], &facts()), first, "and so is every other");
    }
    // The most that a call can cost, four thousand million times over, is a number that the ledger can hold.
    let all = settle(&endless, &facts()).fuel;
    assert_eq!(all, FUEL_PER_CALL_MAX);
    assert!(all.checked_mul(1 << 32).is_some());
}
