//! Modules that nobody wrote, of the profile that validation allows.

use arbitrary::Unstructured;
use hansa_contracts_abi::ModuleMeta;
use hansa_contracts_abi::testing::Numbers;
use hansa_contracts_abi::wire::{EXPORT_IO, EXPORT_MEMORY, EXPORT_QUOTE, EXPORT_SETTLE, SECTION_META};
use wasm_smith::{Config, Module};

/// Where the buffer of a generated module lies.
const BUFFER: u32 = 1_024;

/// Numbers of the sections that are added to.
const SECTION_MEMORY: u8 = 5;
const SECTION_GLOBAL: u8 = 6;
const SECTION_EXPORT: u8 = 7;

/// Loops and calls after which a careful module gives up.
const TURNS_MAX: u32 = 1_000;

/// A careful module checks its addresses and divisors itself, so that it goes on where others trap.
fn config(careful: bool) -> Config {
    Config {
        exports: Some(entries()),
        allow_floats: false,
        allow_start_export: false,
        bulk_memory_enabled: true,
        disallow_traps: careful,
        exceptions_enabled: false,
        extended_const_enabled: false,
        gc_enabled: false,
        max_data_segments: 8,
        max_element_segments: 4,
        max_funcs: 12,
        max_globals: 12,
        max_imports: 0,
        max_instructions: 150,
        max_memory32_bytes: 2 << 16,
        max_table_elements: 64,
        memory64_enabled: false,
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

/// A module with the two functions that a contract must export, from which the generator takes their names and types.
fn entries() -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    // No locals; `i64.const 0`, `end`.
    let body = [4, 0, 0x42, 0, 0x0b];
    for (id, content) in [
        (1, vec![1, 0x60, 1, 0x7f, 1, 0x7e]),
        (3, vec![2, 0, 0]),
        (SECTION_EXPORT, [vec![2], export(EXPORT_QUOTE, 0, 0), export(EXPORT_SETTLE, 0, 1)].concat()),
        (10, [&[2], body.as_slice(), body.as_slice()].concat()),
    ] {
        write_section(&mut bytes, id, &content);
    }
    bytes
}

/// A module with the two functions, as the generator makes it of the seed, and with what every contract has beside them: the
/// memory under its name, the place of the buffer, and what it says of itself. None where the generator has none for this seed.
#[must_use]
pub fn some_module(seed: u64) -> Option<Vec<u8>> {
    let mut numbers = Numbers::new(seed);
    let bytes: Vec<u8> = (0..512 + numbers.below(8_192)).map(|_| numbers.next().to_le_bytes()[0]).collect();
    // Every other one is careful.
    let careful = seed.is_multiple_of(2);
    let mut module = Module::new(config(careful), &mut Unstructured::new(&bytes)).ok()?;
    if careful {
        module.ensure_termination(TURNS_MAX).ok()?;
    }
    let module = module.to_bytes();
    let (header, mut rest) = module.split_at(8);
    let mut sections: Vec<(u8, Vec<u8>)> = Vec::new();
    while let [id, tail @ ..] = rest {
        let (length, tail) = read_number(tail);
        let (content, tail) = tail.split_at(length as usize);
        sections.push((*id, content.to_vec()));
        rest = tail;
    }
    // Two pages, which hold the buffer whatever was generated, and up to two more.
    sections.iter_mut().filter(|(id, _)| *id == SECTION_MEMORY).for_each(|(_, content)| {
        *content = vec![1, 1, 2, 4];
    });
    // An immutable i32 with a constant, in signed form: 1,024 in two bytes.
    let global = vec![0x7f, 0, 0x41, (BUFFER & 0x7f) as u8 | 0x80, (BUFFER >> 7) as u8, 0x0b];
    let index = append(&mut sections, SECTION_GLOBAL, &[global]);
    append(&mut sections, SECTION_EXPORT, &[export(EXPORT_MEMORY, 2, 0), export(EXPORT_IO, 3, index)]);
    let meta = ModuleMeta { name: "any".into(), version: "1".into(), abi: 1, tariff: "Whatever.".into() };
    let meta = borsh::to_vec(&meta).expect("writing to memory cannot fail");
    sections.push((0, [vec![SECTION_META.len() as u8], SECTION_META.as_bytes().to_vec(), meta].concat()));
    let mut code = header.to_vec();
    sections.iter().for_each(|(id, content)| write_section(&mut code, *id, content));
    Some(code)
}

/// Adds entries to the section `id`, which is made in its place if there is none. Gives the index of the first.
fn append(sections: &mut Vec<(u8, Vec<u8>)>, id: u8, entries: &[Vec<u8>]) -> u32 {
    let added = entries.len() as u32;
    if let Some((_, content)) = sections.iter_mut().find(|(one, _)| *one == id) {
        let (count, old) = read_number(content);
        *content = [number(count + added), old.to_vec(), entries.concat()].concat();
        return count;
    }
    let place = sections.iter().position(|(one, _)| *one > id).unwrap_or(sections.len());
    sections.insert(place, (id, [number(added), entries.concat()].concat()));
    0
}

/// An entry of the section of exports; functions are of kind 0, memories of kind 2, globals of kind 3.
fn export(name: &str, kind: u8, index: u32) -> Vec<u8> {
    [&[name.len() as u8], name.as_bytes(), &[kind], number(index).as_slice()].concat()
}

fn write_section(to: &mut Vec<u8>, id: u8, content: &[u8]) {
    to.push(id);
    to.extend(number(content.len() as u32));
    to.extend_from_slice(content);
}

/// A number as modules write it: seven bits in a byte, the lowest first.
fn number(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Reads such a number, and gives what follows it.
fn read_number(bytes: &[u8]) -> (u32, &[u8]) {
    let length = 1 + bytes.iter().take_while(|byte| **byte & 0x80 != 0).count();
    let (number, rest) = bytes.split_at(length);
    (number.iter().rev().fold(0, |sum, byte| sum << 7 | u32::from(byte & 0x7f)), rest)
}
