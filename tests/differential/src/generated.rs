//! Generated modules, of the profile that validation allows.

use crate::{Compiled, Tally};
use arbitrary::Unstructured;
use hansa_contracts_abi::testing::{Numbers, some_facts};
use hansa_contracts_abi::wire::{EXPORT_IO, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, SECTION_META};
use hansa_contracts_abi::{Failure, ModuleMeta, Runtime};
use hansa_contracts_host::Host;
use wasm_smith::{Config, Module};

/// Where the buffer of a generated module lies.
const BUFFER: u32 = 1_024;

fn config() -> Config {
    Config {
        exports: Some(entries()),
        allow_floats: false,
        allow_start_export: false,
        bulk_memory_enabled: true,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        extended_const_enabled: false,
        gc_enabled: false,
        max_data_segments: 8,
        max_element_segments: 4,
        max_funcs: 12,
        max_globals: 12,
        max_imports: 0,
        max_instructions: 120,
        max_memories: 1,
        max_memory32_bytes: 2 << 16,
        max_table_elements: 64,
        max_tables: 1,
        memory_max_size_required: true,
        min_funcs: 2,
        min_memories: 1,
        multi_value_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        saturating_float_to_int_enabled: false,
        sign_extension_ops_enabled: true,
        simd_enabled: false,
        table_max_size_required: true,
        tail_call_enabled: false,
        threads_enabled: false,
        ..Config::default()
    }
}

/// A module with the two functions that a contract must export, as the generator wants them described.
fn entries() -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    let export = |name: &str, index: u8| [&[name.len() as u8], name.as_bytes(), &[0, index]].concat();
    let body = [4u8, 0, 0x42, 0, 0x0b];
    for (id, content) in [
        (1u8, vec![1, 0x60, 1, 0x7f, 1, 0x7e]),
        (3, vec![2, 0, 0]),
        (7, [vec![2], export(EXPORT_QUOTE, 0), export(EXPORT_SETTLE, 1)].concat()),
        (10, [vec![2], body.to_vec(), body.to_vec()].concat()),
    ] {
        bytes.extend([id, content.len() as u8]);
        bytes.extend(content);
    }
    bytes
}

/// A number as modules write it.
fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Reads such a number, and what follows it.
fn read_leb(bytes: &[u8]) -> (u32, &[u8]) {
    let length = 1 + bytes.iter().take_while(|byte| **byte & 0x80 != 0).count();
    let number = bytes[..length].iter().rev().fold(0u32, |sum, byte| sum << 7 | u32::from(byte & 0x7f));
    (number, &bytes[length..])
}

/// A generated module with what every contract has beside its functions: the memory under its name, the buffer's place, and what
/// it says of itself.
#[must_use]
pub fn some_module(seed: u64) -> Option<Vec<u8>> {
    let mut numbers = Numbers::new(seed);
    let bytes: Vec<u8> =
        (0..512 + numbers.below(8_192)).map(|_| numbers.next().to_le_bytes()[0]).collect();
    let module = Module::new(config(), &mut Unstructured::new(&bytes)).ok()?.to_bytes();
    let mut sections: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut rest = &module[8..];
    while let [id, tail @ ..] = rest {
        let (length, tail) = read_leb(tail);
        let (content, tail) = tail.split_at(length as usize);
        sections.push((*id, content.to_vec()));
        rest = tail;
    }
    let global = [vec![0x7f, 0, 0x41], signed_leb(BUFFER), vec![0x0b]].concat();
    let index = append(&mut sections, 6, &[global]);
    let export = |name: &str, kind: u8, index: u32| {
        [vec![name.len() as u8], name.as_bytes().to_vec(), vec![kind], leb(index)].concat()
    };
    append(&mut sections, 7, &[export(EXPORT_MEMORY, 2, 0), export(EXPORT_IO, 3, index)]);
    // Two pages, which hold the buffer whatever was generated.
    sections.iter_mut().filter(|(id, _)| *id == 5).for_each(|(_, content)| *content = vec![1, 1, 2, 2]);
    let meta = ModuleMeta { name: "any".into(), version: "1".into(), abi: 1, tariff: "Whatever.".into() };
    let meta = borsh::to_vec(&meta).expect("writing to memory cannot fail");
    sections.push((0, [vec![SECTION_META.len() as u8], SECTION_META.as_bytes().to_vec(), meta].concat()));
    let mut code = module[..8].to_vec();
    for (id, content) in sections {
        code.push(id);
        code.extend(leb(content.len() as u32));
        code.extend(content);
    }
    Some(code)
}

fn signed_leb(number: u32) -> Vec<u8> {
    // One more group where the sixth bit would be taken for a sign.
    let bytes = leb(number);
    match bytes.last() {
        Some(last) if last & 0x40 != 0 => {
            let (last, head) = bytes.split_last().expect("a number has a byte");
            [head, &[last | 0x80, 0]].concat()
        }
        _ => bytes,
    }
}

/// Adds entries to the section `id`, which is made in its place if there is none. Gives the index of the first.
fn append(sections: &mut Vec<(u8, Vec<u8>)>, id: u8, entries: &[Vec<u8>]) -> u32 {
    let added = entries.len() as u32;
    if let Some((_, content)) = sections.iter_mut().find(|(one, _)| *one == id) {
        let (count, old) = read_leb(content);
        let new = [leb(count + added), old.to_vec(), entries.concat()].concat();
        *content = new;
        return count;
    }
    let place = sections.iter().position(|(one, _)| *one > id).unwrap_or(sections.len());
    sections.insert(place, (id, [leb(added), entries.concat()].concat()));
    0
}

/// Runs `cases` generated modules in both engines, from `seed` on.
///
/// # Panics
/// Where they answer differently, with the seed; where the ledger's engine goes over its fuel, or answers differently the second
/// time or in a new host.
#[must_use]
pub fn trial(seed: u64, cases: u64) -> Tally {
    let mut tally = Tally { cases, ..Tally::default() };
    for seed in seed..seed.saturating_add(cases) {
        let host = Host::new();
        let loaded = some_module(seed).and_then(|code| host.load(&code).ok().map(|hash| (code, hash)));
        let Some((code, hash)) = loaded else {
            tally.refused += 1;
            continue;
        };
        let compiled = Compiled::new(&code);
        for call in 0..4 {
            let facts = some_facts(&mut Numbers::new(seed ^ call));
            let params = [call as u8; 8];
            let settled = host.settle(&hash, &params, &facts);
            assert!(settled.fuel <= host.fuel_per_call_max());
            assert_eq!(host.settle(&hash, &params, &facts), settled, "seed {seed}: not the same again");
            let other = compiled.settle(&params, &facts);
            match (&settled.result, &other) {
                (Err(Failure::OutOfFuel), _) => tally.bounded += 1,
                // The interpreter's frames are counted; the compiler's stack is deeper.
                (Err(Failure::Trap), Ok(_) | Err(Failure::Refused(_) | Failure::BadOutput)) if recurs(&code) => {
                    tally.bounded += 1;
                }
                (ours, other) => {
                    assert_eq!(ours, other, "seed {seed}, call {call}");
                    tally.trapped += u64::from(*ours == Err(Failure::Trap));
                    tally.settled += u64::from(*ours != Err(Failure::Trap));
                }
            }
        }
    }
    tally
}

/// Whether the code section holds the byte of a call: without one nothing can be deep.
fn recurs(code: &[u8]) -> bool {
    let mut rest = &code[8..];
    while let [id, tail @ ..] = rest {
        let (length, tail) = read_leb(tail);
        let (content, tail) = tail.split_at(length as usize);
        if *id == 10 {
            return content.iter().any(|byte| matches!(byte, 0x10 | 0x11));
        }
        rest = tail;
    }
    false
}
