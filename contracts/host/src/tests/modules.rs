//! Which code may become a contract.

use super::*;
use ModuleRule as R;

const OK: &str = "(i64.const 0)";

#[test]
fn an_ordinary_contract_is_accepted_described_and_named_by_its_bytes() {
    let code = contract("", OK);
    let host = Host::new();
    let hash = host.load(&code).unwrap();
    assert_eq!(hash, *blake3::hash(&code).as_bytes());
    assert_eq!(host.load(&code), Ok(hash));
    assert!(host.knows(&hash) && !host.knows(&[0; 32]));
    let summary = host.validate(&code).unwrap();
    assert_eq!((summary.bytes as usize, summary.functions, summary.memory_pages), (code.len(), 2, 1));
    assert_eq!(
        (summary.name.as_str(), summary.version.as_str(), summary.has_admit),
        ("test", "1.0.0", false)
    );
    assert_eq!(summary.tariff_hash, *blake3::hash(b"Pay nobody.").as_bytes());
    let admitting = contract(r#"(func (export "v1_admit") (param i32) (result i64) (i64.const 0))"#, OK);
    assert!(host.validate(&admitting).unwrap().has_admit);
    assert!(!host.knows(blake3::hash(&admitting).as_bytes()), "validating is not loading");
}

/// Where a refusal points to.
enum At {
    /// To the module as a whole.
    Whole,
    /// Into the section with this id, or at its end.
    Section(u8),
    /// To this byte, in the code.
    Code(u8),
}
use At::{Code, Section, Whole};

const TYPE: At = Section(1);
const IMPORT: At = Section(2);
const FUNCTION: At = Section(3);
const TABLE: At = Section(4);
const MEMORY: At = Section(5);
const GLOBAL: At = Section(6);
const EXPORT: At = Section(7);
const ELEMENT: At = Section(9);
const BODY: At = Section(10);
const DATA: At = Section(11);

/// The id of the section that this byte is in.
fn section_at(code: &[u8], offset: usize) -> Option<u8> {
    let mut place = 8;
    while place < code.len() {
        let id = code[place];
        let mut size = 0;
        for shift in 0..5 {
            place += 1;
            size |= usize::from(code[place] & 0x7f) << (7 * shift);
            if code[place] < 0x80 {
                break;
            }
        }
        place += 1;
        if offset >= place && offset <= place + size {
            return Some(id);
        }
        place += size;
    }
    None
}

fn check(what: &str, code: &[u8], want: R, at: At) {
    let refusal = load(code).unwrap_err();
    assert_eq!(refusal.named(), Some(want), "{what}: {refusal}");
    let offset = refusal.offset as usize;
    match at {
        Whole => assert_eq!(offset, 0, "{what}: {refusal}"),
        Section(id) => assert_eq!(section_at(code, offset), Some(id), "{what}: {refusal}"),
        Code(byte) => {
            assert_eq!(section_at(code, offset), Some(10), "{what}: {refusal}");
            assert_eq!(code[offset], byte, "{what}: {refusal}");
        }
    }
}

#[test]
fn attack_11_every_forbidden_feature_is_refused_by_its_name_and_place() {
    let tag = "(tag $e)";
    let v128 = "(drop (v128.const i32x4 0 0 0 0)) (i64.const 0)";
    let relaxed = "(local v128) (drop (i8x16.relaxed_swizzle (local.get 1) (local.get 1))) (i64.const 0)";
    let table = "(table 1 10 funcref)";
    let grow = "(drop (table.grow (ref.null func) (i32.const 1))) (i64.const 0)";
    let fill = "(table.fill (i32.const 0) (ref.null func) (i32.const 1)) (i64.const 0)";
    let wide =
        "(i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.add128) (drop) (return) (unreachable)";
    let rows = [
        (r#"(import "env" "log" (func (param i32)))"#, OK, R::Imports, IMPORT),
        (r#"(import "env" "memory" (memory 1))"#, OK, R::Imports, IMPORT),
        (r#"(import "env" "g" (global i32))"#, OK, R::Imports, IMPORT),
        ("(func $s) (start $s)", OK, R::StartFunction, Section(8)),
        ("(memory 1 1)", OK, R::MemoryCount, MEMORY),
        ("", "(drop (f64.add (f64.const 1) (f64.const 2))) (i64.const 0)", R::Floats, Code(0x44)),
        ("", "(drop (i32.reinterpret_f32 (f32.load (i32.const 0)))) (i64.const 0)", R::Floats, Code(0x2a)),
        ("", "(local f32) (i64.const 0)", R::Floats, BODY),
        ("(func $f (param f64))", OK, R::Floats, TYPE),
        ("(global f32 (f32.const 0))", OK, R::Floats, GLOBAL),
        ("", "(i64.trunc_sat_f32_s (f32.const 1))", R::Floats, Code(0x43)),
        ("", v128, R::Simd, Code(0xfd)),
        ("", "(local v128) (i64.const 0)", R::Simd, BODY),
        ("", "(drop (i32x4.splat (i32.const 0))) (i64.const 0)", R::Simd, Code(0xfd)),
        ("", "(i64.atomic.load (i32.const 0))", R::Threads, Code(0xfe)),
        ("", "(atomic.fence) (i64.const 0)", R::Threads, Code(0xfe)),
        ("", "(drop (ref.null func)) (i64.const 0)", R::ReferenceTypes, Code(0xd0)),
        // With its type written out: the host would not see it (`shield.rs`).
        (
            "",
            "(select (result i64) (i64.const 1) (i64.const 2) (local.get 0))",
            R::ReferenceTypes,
            Code(0x1c),
        ),
        (table, grow, R::ReferenceTypes, Code(0xd0)),
        (table, fill, R::ReferenceTypes, Code(0xd0)),
        ("(table 1 10 externref)", OK, R::ReferenceTypes, TABLE),
        ("(func $f (param externref))", OK, R::ReferenceTypes, TYPE),
        ("(func $f (result i64) i64.const 0)", "(return_call $f)", R::TailCalls, Code(0x12)),
        ("", "(i64.const 1) (block (param i64) drop) (i64.const 0)", R::MultiValue, Code(0x02)),
        ("(func $f (result i32 i32) (i32.const 0) (i32.const 0))", OK, R::Results, TYPE),
        ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", OK, R::ExtendedConstants, GLOBAL),
        (tag, OK, R::Exceptions, Section(13)),
        ("", "(throw_ref (unreachable)) (i64.const 0)", R::Exceptions, Code(0x0a)),
        ("", wide, R::WideArithmetic, Code(0xfc)),
        ("(type (struct))", OK, R::GarbageCollection, TYPE),
        ("(rec (type (func)) (type (func)))", OK, R::GarbageCollection, TYPE),
        ("(type $t (func)) (func (param (ref null $t)))", OK, R::GarbageCollection, TYPE),
        ("(table i64 1 10 funcref)", OK, R::Memory64, TABLE),
        ("", "(i32.const 0)", R::Malformed, BODY),
        ("", "(i64.add (i64.const 1) (i32.const 2))", R::Malformed, Code(0x7c)),
        ("", "(local.get 9)", R::Malformed, Code(0x20)),
    ];
    for (parts, body, want, at) in rows {
        check(&format!("{parts} {body}"), &contract(parts, body), want, at);
    }
    // The text form of relaxed instructions needs a vector local, which is named first: build the instruction alone.
    check("a vector local", &contract("", relaxed), R::Simd, BODY);
    let nops = "nop ".repeat(12);
    let mut patched = contract("", &format!("{nops} (i64.const 0)"));
    let place = patched.windows(12).position(|window| window == [1; 12]).unwrap();
    patched[place..place + 3].copy_from_slice(&[0xfd, 0x80, 0x02]);
    check("a relaxed instruction", &patched, R::RelaxedSimd, Code(0xfd));
}

/// A module with this memory, and nothing else out of the ordinary.
fn memory(memory: &str) -> Vec<u8> {
    module(&format!(
        r#"{memory} {IO_AND_QUOTE} (func (export "v1_settle") (param i32) (result i64) (i64.const 0))"#
    ))
}

#[test]
fn memory_and_tables_are_bounded_and_say_so() {
    let exported = |limits: &str| memory(&format!(r#"(memory (export "memory") {limits})"#));
    assert_eq!(rule(&exported("2 16")), None);
    for (limits, want, at) in [
        ("3 16", R::MemoryStart, MEMORY),
        ("65536 65536", R::MemoryStart, MEMORY),
        ("1 17", R::MemoryMaximum, MEMORY),
        ("1", R::MemoryUnbounded, MEMORY),
        ("0 1", R::BufferOutside, EXPORT),
        ("i64 1 1", R::Memory64, MEMORY),
        ("1 1 shared", R::Threads, MEMORY),
        ("1 1 (pagesize 1)", R::PageSize, MEMORY),
    ] {
        check(limits, &exported(limits), want, at);
    }
    assert_eq!(rule(&contract("(table 256 256 funcref)", OK)), None);
    for (tables, want) in [
        ("(table 1 257 funcref)", R::TableMaximum),
        ("(table 10000000 10000000 funcref)", R::TableMaximum),
        ("(table 1 funcref)", R::TableUnbounded),
        ("(table 1 1 funcref) (table 1 1 funcref)", R::TableCount),
    ] {
        check(tables, &contract(tables, OK), want, TABLE);
    }
    let data = |place| format!(r#"(data (i32.const {place}) "0123456789")"#);
    assert_eq!(rule(&contract(&data(65_526), OK)), None);
    check("data past the end", &contract(&data(65_527), OK), R::Instantiation, DATA);
    check("data far away", &contract(&data(-1), OK), R::Instantiation, DATA);
    let element = |place| format!("(table 2 2 funcref) (elem (i32.const {place}) $f $f) (func $f)");
    assert_eq!(rule(&contract(&element(0), OK)), None);
    check("elements past the end", &contract(&element(1), OK), R::Instantiation, ELEMENT);
}

#[test]
fn every_count_is_met_and_guarded() {
    // Two functions are exported already. Bodies long enough for the rule on average size.
    let filler = format!("(func {})", "nop ".repeat(40));
    let fillers = |count| contract(&filler.repeat(count), OK);
    let globals = |count| contract(&"(global i32 (i32.const 0))".repeat(count), OK);
    // The two functions are of one type.
    let types = |count| contract(&"(type (func))".repeat(count), OK);
    let params = |count| contract(&format!("(func (param {}))", "i64 ".repeat(count)), OK);
    let locals = |count| contract(&format!("(func (local {}))", "i64 ".repeat(count)), OK);
    let operands =
        |count| contract(&format!("(func {} {})", "i64.const 1 ".repeat(count), "drop ".repeat(count)), OK);
    // Four exports are there already.
    let exports = |count: usize| {
        let extra: String = (0..count).map(|index| format!(r#"(export "e{index}" (func $f))"#)).collect();
        contract(&format!("(func $f) {extra}"), OK)
    };
    let data = |count| contract(&r#"(data (i32.const 0) "1")"#.repeat(count), OK);
    let elements =
        |count| contract(&format!("(table 1 1 funcref) {}", "(elem (i32.const 0))".repeat(count)), OK);
    let counts: [(&str, &dyn Fn(usize) -> Vec<u8>, usize, R, At); 9] = [
        ("functions", &fillers, 510, R::Functions, FUNCTION),
        ("globals", &globals, 63, R::Globals, GLOBAL),
        ("types", &types, 255, R::Types, TYPE),
        ("params", &params, 16, R::Params, TYPE),
        ("locals", &locals, 100, R::Locals, BODY),
        ("operands", &operands, 512, R::Operands, Code(0x42)),
        ("exports", &exports, 28, R::Exports, EXPORT),
        ("data", &data, 64, R::DataSegments, DATA),
        ("elements", &elements, 16, R::ElementSegments, ELEMENT),
    ];
    for (what, code, most, want, at) in counts {
        assert_eq!(rule(&code(most)), None, "{most} {what}");
        check(what, &code(most + 1), want, at);
    }
    assert_eq!(rule(&locals(20_000)), Some(R::Locals));
    // Few enough functions, but next to nothing in them: the engine would refuse what only costs it book-keeping.
    let empty = format!("{} (func {})", "(func)".repeat(500), "nop ".repeat(1_000));
    check("empty functions", &contract(&empty, OK), R::FunctionBytes, BODY);
    // 70 KB of a description are as much to load as 70 KB of code.
    let large = with_section(&contract("", OK), "sdk.meta", &vec![0; 70_000]);
    let refusal = load(&large).unwrap_err();
    assert_eq!((refusal.named(), refusal.offset), (Some(R::TooLarge), 65_536));
}

#[test]
fn exports_are_required_by_name_kind_and_type() {
    let all = [
        r#"(memory (export "memory") 1 1)"#,
        r#"(global (export "IO") i32 (i32.const 1024))"#,
        r#"(func (export "v1_quote") (param i32) (result i64) (i64.const 0))"#,
        r#"(func (export "v1_settle") (param i32) (result i64) (i64.const 0))"#,
        "",
    ];
    let with = |place: usize, text: &str| {
        let mut fields = all;
        fields[place] = text;
        module(&fields.join(" "))
    };
    let global = |kind: &str, value: &str| format!(r#"(global (export "IO") {kind} ({value}))"#);
    let function = |name: &str, kind: &str| format!(r#"(func (export "{name}") {kind} (unreachable))"#);
    let admit = r#"(func (export "v1_admit") (param i32) (result i64) (i64.const 0))"#;
    for (place, accepted) in [
        (0, all[0].to_owned()),
        (1, global("i32", "i32.const 49152")),
        (4, admit.to_owned()),
        (4, function("very_own", "")),
    ] {
        assert_eq!(rule(&with(place, &accepted)), None, "{accepted}");
    }
    for (place, text, want, at) in [
        (0, "(memory 1 1)".to_owned(), R::MissingMemory, Whole),
        (0, String::new(), R::MemoryCount, Whole),
        (0, r#"(memory 1 1) (func (export "memory"))"#.to_owned(), R::WrongMemory, EXPORT),
        (1, String::new(), R::MissingBuffer, Whole),
        (1, r#"(func (export "IO"))"#.to_owned(), R::WrongBuffer, EXPORT),
        (1, global("(mut i32)", "i32.const 1024"), R::WrongBuffer, EXPORT),
        (1, global("i64", "i64.const 1024"), R::WrongBuffer, EXPORT),
        (1, global("i32", "i32.const -1"), R::BufferOutside, EXPORT),
        (1, global("i32", "i32.const 49153"), R::BufferOutside, EXPORT),
        (2, String::new(), R::MissingQuote, Whole),
        (2, function("v1_quote", "(param i32)"), R::WrongQuote, EXPORT),
        (3, String::new(), R::MissingSettle, Whole),
        (3, function("v1_settle", "(param i64) (result i64)"), R::WrongSettle, EXPORT),
        (3, function("v1_settle", "(param i32 i32) (result i64)"), R::WrongSettle, EXPORT),
        (3, r#"(global (export "v1_settle") i32 (i32.const 0))"#.to_owned(), R::WrongSettle, EXPORT),
        (4, function("v1_admit", "(result i64)"), R::WrongAdmit, EXPORT),
        (4, function("v2_settle", "(param i32) (result i64)"), R::OtherVersion, EXPORT),
    ] {
        check(&text, &with(place, &text), want, at);
    }
}

#[test]
fn a_module_says_what_it_is_and_nothing_else() {
    let nameless = plain(&format!(
        r#"(memory (export "memory") 1 1) {IO_AND_QUOTE}
           (func $named (export "v1_settle") (param i32) (result i64) (i64.const 0))"#
    ));
    let described = |meta: &ModuleMeta| with_section(&nameless, "sdk.meta", &bytes_of(meta));
    let good = described(&meta());
    assert_eq!(rule(&good), None);
    check("no description", &nameless, R::MissingMeta, Whole);
    check("two", &with_section(&good, "sdk.meta", &bytes_of(&meta())), R::BadMeta, Section(0));
    check(
        "trailing",
        &with_section(&nameless, "sdk.meta", &[bytes_of(&meta()), vec![0]].concat()),
        R::BadMeta,
        Section(0),
    );
    check("no name", &described(&ModuleMeta { name: String::new(), ..meta() }), R::BadMeta, Section(0));
    check("of another version", &described(&ModuleMeta { abi: 2, ..meta() }), R::MetaVersion, Section(0));
    let named = with_section(&good, "name", &[0, 1, 0]);
    check("names", &named, R::CustomSection, Section(0));
    check("a compiler's mark", &with_section(&good, "producers", &[0]), R::CustomSection, Section(0));
    assert_eq!(strip(&named), Ok(good.clone()));
    assert_eq!(strip(&good), Ok(good.clone()));
    for bad in [&good[..7], &good[..good.len() - 1], &[good.as_slice(), &[1]].concat()] {
        assert_eq!(strip(bad).unwrap_err().named(), Some(R::Malformed));
    }
}

#[test]
fn what_is_no_module_is_malformed_where_it_breaks() {
    let spot = hansa_contracts_bundle::SPOT;
    for length in [0, 1, 4, 7, 9, 20, 100, 1_000, spot.len() - 1] {
        let refusal = load(&spot[..length]).unwrap_err();
        assert_eq!(refusal.named(), Some(R::Malformed), "the first {length} bytes: {refusal}");
        assert!(refusal.offset as usize <= length, "the first {length} bytes: {refusal}");
    }
    check("a header alone", &spot[..8], R::MemoryCount, Whole);
    assert_eq!(rule(b"\0asm\x0d\0\x01\0"), Some(R::OtherFeature), "a component");
    // No function, and a thousand bytes of code: the engine would divide by the number of functions.
    let mut hollow = b"\0asm\x01\0\0\0\x0a\xe9\x07\0".to_vec();
    hollow.extend([0; 1_000]);
    assert_eq!(rule(&hollow), Some(R::Malformed));
}
