//! What a call gives, costs, and leaves behind.

use super::*;
use crate::profile::FUEL_PER_CALL;
use hansa_contracts_abi::testing::{assert_same, cases, some_facts};
use hansa_contracts_abi::{Admission, Claims, Code, Failure, Party, Window};
use hansa_contracts_bundle::SPOT;
use hansa_contracts_spot::{Params, Spot};
use std::sync::Arc;

/// A contract that answers with these bytes, whatever it is asked.
fn answering(output: &[u8], packed: u64) -> Vec<u8> {
    let text: String = output.iter().map(|byte| format!("\\{byte:02x}")).collect();
    module(&format!(
        r#"(memory (export "memory") 1 1) {IO_AND_QUOTE} (data (i32.const 30000) "{text}")
           (func (export "v1_settle") (param i32) (result i64)
             (memory.copy (i32.const 1024) (i32.const 30000) (i32.const {})) (i64.const {}))"#,
        output.len(),
        packed.cast_signed()
    ))
}

fn empty_split() -> Split {
    Split { pay: vec![(Party(1), 5)], slash: 0, consume: 0, notes: vec![], state: vec![] }
}

#[test]
fn only_a_whole_canonical_answer_is_an_answer() {
    let good = bytes_of(&empty_split());
    let length = good.len() as u64;
    assert_eq!(settle(&answering(&good, length), &facts()).result, Ok(empty_split()));
    let mut trailing = good.clone();
    trailing.push(0);
    let mut endless = good.clone();
    endless[..4].copy_from_slice(&[0xff; 4]);
    let bad = [
        ("trailing byte", trailing.clone(), length + 1),
        ("cut short", good.clone(), length - 1),
        ("empty", vec![], 0),
        ("list of four thousand million", endless, length),
        ("too long", trailing, 4_097),
        ("longer than the memory", good.clone(), 0xffff_ffff),
    ];
    for (name, output, packed) in bad {
        assert_eq!(settle(&answering(&output, packed), &facts()).result, Err(Failure::BadOutput), "{name}");
    }
    let refused = settle(&answering(&good, 1_234 << 32 | length), &facts());
    assert_eq!(refused.result, Err(Failure::Refused(Code(1_234))));
    let broken = settle(&contract("", "unreachable"), &facts());
    assert_eq!(broken.result, Err(Failure::Trap));
    assert!(refused.fuel > FUEL_PER_CALL && broken.fuel > FUEL_PER_CALL, "failed calls pay too");
}

#[test]
fn code_and_input_are_bounded() {
    let host = Host::new();
    let hash = host.load(SPOT).unwrap();
    let params = bytes_of(&Params::default());
    assert_eq!(host.settle(&[7; 32], &params, &facts()), Outcome { result: Err(Failure::Unknown), fuel: 0 });
    let outcome = host.settle(&hash, &vec![0; 16 * 1024], &facts());
    assert_eq!(outcome, Outcome { result: Err(Failure::InputTooLarge), fuel: FUEL_PER_CALL });
    assert_eq!(host.settle(&hash, &[1, 2, 3], &facts()).result, Err(Failure::Refused(Code::BAD_PARAMS)));
    let mut newer = facts();
    newer.abi = 2;
    assert_eq!(host.settle(&hash, &params, &newer).result, Err(Failure::Refused(Code::UNSUPPORTED)));
}

#[test]
fn the_largest_input_fits_into_the_memory_of_a_contract() {
    let host = Host::new();
    let hash = host.load(SPOT).unwrap();
    let params = bytes_of(&Params::default());
    let mut facts = facts();
    let window = facts.usage.windows[0];
    facts.usage.windows = (0..700).map(|index| Window { index, ..window }).collect();
    facts.usage.cumulative = 700 * 7_200;
    while host.settle(&hash, &params, &facts).result == Err(Failure::InputTooLarge) {
        facts.usage.windows.pop();
    }
    assert!(facts.usage.windows.len() > 600, "{} windows", facts.usage.windows.len());
    let outcome = host.settle(&hash, &params, &facts);
    assert!(outcome.result.is_ok(), "{outcome:?}");
}

#[test]
fn attack_12_fuel_is_the_same_cold_warm_and_elsewhere() {
    let params = bytes_of(&Params { minimum_fee: 1_000 });
    let host = Arc::new(Host::new());
    let hash = host.load(SPOT).unwrap();
    let cold = host.settle(&hash, &params, &facts());
    assert!(cold.result.is_ok(), "{cold:?}");
    for _ in 0..3 {
        assert_eq!(host.settle(&hash, &params, &facts()), cold);
    }
    // Another engine that has loaded and run something else before, on another thread, beside the first.
    let there = std::thread::spawn(move || {
        let host = Host::new();
        let other = host.load(&contract("", "(loop br 0) unreachable")).unwrap();
        assert_eq!(host.settle(&other, &[], &facts()).result, Err(Failure::OutOfFuel));
        let hash = host.load(SPOT).unwrap();
        host.settle(&hash, &bytes_of(&Params { minimum_fee: 1_000 }), &facts())
    });
    let shared = host.clone();
    let beside = std::thread::spawn(move || shared.settle(&hash, &params, &facts()));
    assert_eq!(there.join().unwrap(), cold);
    assert_eq!(beside.join().unwrap(), cold);
}

#[test]
fn a_contract_without_a_say_admits_everybody_and_one_with_a_say_is_asked() {
    let claims = Claims { home: *b"DE", class: 3, sponsor: None, purpose: Some(1) };
    let host = Host::new();
    let silent = host.load(&contract("", "(i64.const 0)")).unwrap();
    let free = host.admit(&silent, &[], &facts().terms, &claims);
    assert_eq!(free, Outcome { result: Ok(Admission::Yes), fuel: 0 });
    // Answers with `No` and the class of the requester, which stands fourth from the end of the input.
    let asked = r#"(func (export "v1_admit") (param i32) (result i64)
        (i32.store8 (i32.const 1025) (i32.load8_u (i32.add (i32.const 1020) (local.get 0))))
        (i32.store8 (i32.const 1024) (i32.const 1)) (i32.store16 (i32.const 1026) (i32.const 0))
        (i32.store8 (i32.const 1028) (i32.const 0)) (i64.const 5))"#;
    let asked = host.load(&contract(asked, "(i64.const 0)")).unwrap();
    let outcome = host.admit(&asked, &[], &facts().terms, &claims);
    assert_eq!(outcome.result, Ok(Admission::No(3)));
    assert!(outcome.fuel > FUEL_PER_CALL);
    assert_eq!(host.admit(&[9; 32], &[], &facts().terms, &claims).result, Err(Failure::Unknown));
}

#[test]
fn attack_14_nothing_is_left_from_one_call_to_the_next() {
    // Refuses with 1,000 and what it finds, then leaves a mark in memory, in a global, and in a local's old place.
    let code = contract(
        "(global $g (mut i32) (i32.const 0))",
        "(local i32) (local i32)
         (local.set 1 (i32.add (i32.add (i32.load (i32.const 50000)) (i32.load (i32.const 17408)))
                               (i32.add (global.get $g) (local.get 2))))
         (i32.store (i32.const 50000) (i32.const 7)) (i32.store (i32.const 17408) (i32.const 7))
         (global.set $g (i32.const 7)) (local.set 2 (i32.const 7))
         (i64.shl (i64.extend_i32_u (i32.add (local.get 1) (i32.const 1000))) (i64.const 32))",
    );
    let host = Host::new();
    let hash = host.load(&code).unwrap();
    let mut large = facts();
    large.state = vec![0xff; 16_000];
    for facts in [&large, &facts(), &facts()] {
        assert_eq!(host.settle(&hash, &[], facts).result, Err(Failure::Refused(Code(1_000))));
    }
    // The input of the call before is not there either: 0xff would be read as a length.
    let peek =
        contract("", "(i64.shl (i64.add (i64.load32_u (i32.const 12000)) (i64.const 1000)) (i64.const 32))");
    let hash = host.load(&peek).unwrap();
    assert_ne!(host.settle(&hash, &[], &large).result, Err(Failure::Refused(Code(1_000))));
    assert_eq!(host.settle(&hash, &[], &facts()).result, Err(Failure::Refused(Code(1_000))));
}

#[test]
fn native_and_wasm_settle_alike() {
    let host = Host::new();
    let hash = host.load(SPOT).unwrap();
    let cases = cases(3_000);
    let tally = assert_same::<Spot>(&host, &hash, 1, cases, |numbers| {
        let minimum_fee = if numbers.once_in(3) { numbers.figure(10_000_000).into() } else { 0 };
        (Params { minimum_fee }, some_facts(numbers))
    });
    assert!(tally.settled > cases / 3 && tally.refused > cases / 20, "{tally:?}");
    assert_eq!(tally.admitted, cases);
}

/// Each condition of a `select` in every form in which an engine may join it to what decides it, with the last operator before it
/// having left another value behind. Each is asked with locals of 0 and of 7, and refuses with what it selected.
#[test]
fn a_select_decides_by_its_condition() {
    let get = "(local.get 1)";
    let zero = "(i32.const 0)";
    let rows: [(String, fn(u32) -> bool); 12] = [
        (format!("(i32.eqz {get})"), |x| x == 0),
        (format!("(i32.eq {get} {zero})"), |x| x == 0),
        (format!("(i32.eq {zero} {get})"), |x| x == 0),
        (format!("(i32.ne {get} {zero})"), |x| x != 0),
        (format!("(i32.ne {zero} {get})"), |x| x != 0),
        (format!("(i32.eqz (i32.eqz {get}))"), |x| x != 0),
        (format!("(i32.eqz (i32.ne {get} {zero}))"), |x| x == 0),
        (format!("(i32.eqz {get}) nop"), |x| x == 0),
        (format!("(i32.eqz {get}) (local.get 2) drop"), |x| x == 0),
        (format!("(i32.or (i32.eqz {get}) {zero})"), |x| x == 0),
        (format!("(i32.lt_u {get} (i32.const 1))"), |x| x == 0),
        (get.to_owned(), |x| x != 0),
    ];
    for (condition, decides) in rows {
        for (x, left) in [(0u32, 0u32), (0, 5), (7, 0), (7, 5)] {
            let code = contract(
                "",
                &format!(
                    "(local i32 i32) (local.set 1 (i32.const {x})) (local.set 2 (i32.add (i32.const {left}) (local.get 2)))
                     (i32.const 1001) (i32.const 1002) {condition} select
                     (i64.shl (i64.extend_i32_u) (i64.const 32))"
                ),
            );
            let want = if decides(x) { 1_001 } else { 1_002 };
            let found = settle(&code, &facts()).result;
            assert_eq!(found, Err(Failure::Refused(Code(want))), "{condition} of {x} after {left}");
        }
    }
}
