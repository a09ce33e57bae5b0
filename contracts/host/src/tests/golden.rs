//! What a call costs, and what it depends on, in numbers that are checked in: the same in debug and release builds, in
//! the first call and in a later one. `UPDATE_GOLDEN=1` writes them anew; look at the difference.

use super::*;
use crate::profile::vm_profile;
use hansa_contracts_abi::testing::{some_claims, some_facts};
use hansa_contracts_abi::{Failure, Trigger};
use std::fmt::Write as _;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/golden/fuel.txt");

#[test]
fn fuel_and_profile_are_what_members_agreed_on() {
    let profile = blake3::Hash::from(vm_profile());
    // Another profile is another federation: every running one would have to agree to it.
    let mut found = format!("vm_profile {profile}\n");
    for (name, code) in hansa_contracts_bundle::builtin() {
        let host = Host::new();
        let hash = host.load(code).unwrap();
        // All templates accept parameters of zeros, or refuse them for a price.
        let params = [0; 16];
        for trigger in
            [Trigger::Interim, Trigger::Final, Trigger::NoShow, Trigger::Ruling { provider_bps: 5_000 }]
        {
            let mut facts = facts();
            facts.ctx.trigger = trigger;
            let outcome = host.settle(&hash, &params, &facts);
            writeln!(found, "{name} settle {trigger:?}: {} fuel", outcome.fuel).unwrap();
        }
        writeln!(found, "{name} quote: {} fuel", host.quote(&hash, &params, &facts().terms).fuel).unwrap();
        writeln!(found, "{name} 500 generated calls of each kind: {}", digest(&host, &hash)).unwrap();
    }
    for (name, code) in programs() {
        let outcome = settle(&code, &facts());
        writeln!(found, "{name}: {} fuel, {}", outcome.fuel, outcome.result.unwrap_err()).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(PATH).unwrap());
}

/// A hash over what many different calls gave and cost.
fn digest(host: &Host, hash: &[u8; 32]) -> blake3::Hash {
    let mut numbers = Numbers::new(11);
    let mut hasher = blake3::Hasher::new();
    for _ in 0..500 {
        let facts = some_facts(&mut numbers);
        let claims = some_claims(&mut numbers);
        let params = bytes_of(&u128::from(numbers.figure(1_000_000)));
        hasher.update(&bytes_of(&host.settle(hash, &params, &facts)));
        hasher.update(&bytes_of(&host.quote(hash, &params, &facts.terms)));
        hasher.update(&bytes_of(&host.admit(hash, &params, &facts.terms, &claims)));
    }
    hasher.finalize()
}

/// Programs that meet each price once, and end in a trap.
fn programs() -> Vec<(&'static str, Vec<u8>)> {
    let wide = format!("(func $f (local {}))", "i64 ".repeat(100));
    vec![
        ("nothing", contract("", "unreachable")),
        (
            "a loop of 1,000",
            contract(
                "",
                "(local i32) (loop (local.set 1 (i32.add (local.get 1) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 1) (i32.const 1000)))) unreachable",
            ),
        ),
        ("a call", contract("(func $f)", "(call $f) unreachable")),
        ("a call of 100 locals", contract(&wide, "(call $f) unreachable")),
        (
            "a fill of a page",
            contract("", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) unreachable"),
        ),
        (
            "a copy of a page",
            contract("", "(memory.copy (i32.const 0) (i32.const 0) (i32.const 65536)) unreachable"),
        ),
        ("a recursion that never ends", contract("(func $f (call $f))", "(call $f) unreachable")),
        ("a division by zero", contract("", "(i64.div_u (i64.const 1) (i64.const 0))")),
        ("a read outside of the memory", contract("", "(i64.load (i32.const -1))")),
        ("a loop that never ends", contract("", "(loop (br 0)) unreachable")),
    ]
}

/// Which way a contract broke, or where, is nobody's business but its author's: only that it did, and what it cost.
#[test]
fn attack_13_an_outcome_holds_no_text_and_knows_no_machine() {
    let traps: Vec<Vec<u8>> = programs().into_iter().map(|(_, code)| code).collect();
    let outcomes = |traps: &[Vec<u8>]| -> Vec<Vec<u8>> {
        traps.iter().map(|code| bytes_of(&settle(code, &facts()))).collect()
    };
    let here = outcomes(&traps);
    for outcome in &here {
        // A tag for the failure, one for which, and the fuel.
        assert_eq!(outcome.len(), 10);
        assert!([bytes_of(&Failure::Trap), bytes_of(&Failure::OutOfFuel)].contains(&outcome[1..2].to_vec()));
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let traps = traps.clone();
            std::thread::spawn(move || outcomes(&traps))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), here);
    }
}
