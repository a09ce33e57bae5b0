//! Whether code may become a contract: what a runtime says of a module, and each rule that a module can break.

use core::fmt;

use alloc::string::String;

use borsh::{BorshDeserialize, BorshSerialize};

/// What is known of a module that may become a contract: a function of its bytes alone.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModuleSummary {
    /// Size of the module.
    pub bytes: u32,
    /// Functions in it.
    pub functions: u32,
    /// Pages of 64 KiB that its memory may have at most. Those above one cost fuel in each call.
    pub memory_pages: u32,
    /// Whether it decides itself who may have a lease. Without this, everybody may.
    pub has_admit: bool,
    /// Name that it gives itself.
    pub name: String,
    /// Version that it gives itself.
    pub version: String,
    /// BLAKE3 hash of its plain-language tariff: the agreement that the code has to be consistent with.
    pub tariff_hash: [u8; 32],
}

/// Why code may not become a contract, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ModuleRefusal {
    /// The number of the [`ModuleRule`] that it breaks.
    pub rule: u16,
    /// The byte of the module at which it does; 0 where the rule is about the module as a whole.
    pub offset: u32,
}

impl ModuleRefusal {
    /// The refusal by this rule at this byte.
    #[must_use]
    pub fn new(rule: ModuleRule, offset: usize) -> Self {
        ModuleRefusal { rule: rule.number(), offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }

    /// The rule, or `None` if its number is from a later version of this crate.
    #[must_use]
    pub fn named(&self) -> Option<ModuleRule> {
        ModuleRule::from_number(self.rule)
    }
}

impl fmt::Display for ModuleRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.named() {
            Some(rule) => write!(
                formatter,
                "{} (rule {}, {}, at byte {})",
                rule.message(),
                self.rule,
                rule.name(),
                self.offset
            ),
            None => write!(formatter, "the module breaks rule {} at byte {}", self.rule, self.offset),
        }
    }
}

impl core::error::Error for ModuleRefusal {}

/// Defines the rules once: number, name, and what to tell the author.
macro_rules! rules {
    ($($rule:ident = $number:literal, $name:literal, $message:literal;)*) => {
        /// A rule that every module keeps. Numbers and names are for ever: new rules get new numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ModuleRule {
            $(#[doc = concat!("Refused because ", $message, ".")] $rule = $number,)*
        }

        impl ModuleRule {
            /// All rules, by rising number.
            pub const ALL: &'static [ModuleRule] = &[$(ModuleRule::$rule,)*];

            /// The rule's number.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The rule with this number.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(ModuleRule::$rule),)*
                    _ => None,
                }
            }

            /// The rule's name, as it stands in the documentation.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(ModuleRule::$rule => $name,)*
                }
            }

            /// What is wrong with a module that breaks the rule, and what its author can do.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(ModuleRule::$rule => $message,)*
                }
            }
        }
    };
}

rules! {
    // The module as a whole.
    TooLarge = 1, "module-size", "the module has more than 65,536 bytes; build it with optimisation and strip it";
    Malformed = 2, "malformed", "the bytes are not a valid WASM module";
    Engine = 3, "engine", "the engine does not take the module";
    Instantiation = 4, "segments", "data or elements do not fit into the memory or table they start with";
    CustomSection = 5, "custom-section",
        "the module has a custom section other than `sdk.meta`; strip it (`strip = \"symbols\"`)";
    Imports = 6, "imports", "the module imports something, and a contract may call nothing; remove what calls out of it";
    StartFunction = 7, "start-function", "the module has a start function, and a contract runs only when it is asked";

    // Its memory and tables.
    MemoryCount = 20, "memory-count", "the module must have exactly one memory";
    MemoryUnbounded = 21, "memory-unbounded", "the memory has no declared maximum; link with `--no-growable-memory`";
    MemoryStart = 22, "memory-start",
        "the memory starts with more than 2 pages; link with a small stack (`-zstack-size=8192`)";
    MemoryMaximum = 23, "memory-maximum", "the memory may grow beyond 16 pages; link with `--no-growable-memory`";
    TableCount = 24, "table-count", "the module has more than one table";
    TableUnbounded = 25, "table-unbounded", "the table has no declared maximum";
    TableMaximum = 26, "table-maximum", "the table may hold more than 256 elements";

    // Counts.
    Functions = 40, "functions", "the module has more than 512 functions";
    FunctionBytes = 41, "function-bytes",
        "the module has so many functions for its size that each has less than 40 bytes on average";
    Params = 42, "params", "a function or block takes more than 16 parameters";
    Results = 43, "results", "a function or block gives more than one result";
    Locals = 44, "locals", "a function declares more than 100 locals";
    Operands = 45, "operands", "a function keeps more than 512 values on the operand stack";
    Globals = 46, "globals", "the module has more than 64 globals";
    Types = 47, "types", "the module has more than 256 function types";
    Exports = 48, "exports", "the module has more than 32 exports";
    DataSegments = 49, "data-segments", "the module has more than 64 data segments";
    ElementSegments = 50, "element-segments", "the module has more than 16 element segments";

    // Exports.
    MissingMemory = 60, "missing-memory", "the module does not export its memory as `memory`";
    WrongMemory = 61, "wrong-memory", "the export `memory` is not a memory";
    MissingBuffer = 62, "missing-buffer", "the module does not export the address of its buffer as `IO`";
    WrongBuffer = 63, "wrong-buffer", "the export `IO` is not an immutable global of type i32";
    BufferOutside = 64, "buffer-outside", "the buffer `IO` of 16,384 bytes does not lie inside the memory";
    MissingQuote = 65, "missing-quote", "the module does not export `v1_quote`";
    WrongQuote = 66, "wrong-quote", "the export `v1_quote` is not a function from i32 to i64";
    MissingSettle = 67, "missing-settle", "the module does not export `v1_settle`";
    WrongSettle = 68, "wrong-settle", "the export `v1_settle` is not a function from i32 to i64";
    WrongAdmit = 69, "wrong-admit", "the export `v1_admit` is not a function from i32 to i64";
    OtherVersion = 70, "other-version", "the module exports functions of another ABI version; a module has exactly one";

    // What the module says about itself.
    MissingMeta = 80, "missing-meta",
        "the module has no custom section `sdk.meta` with its name, version and tariff; `export!` writes it";
    BadMeta = 81, "bad-meta", "the custom section `sdk.meta` is not what `export!` writes, or stands there twice";
    MetaVersion = 82, "meta-version", "the custom section `sdk.meta` names another ABI version than 1";

    // Features of WASM that are switched off.
    Floats = 100, "floats", "the module uses floating-point numbers, and machines may disagree on those";
    Simd = 101, "simd", "the module uses vector instructions";
    RelaxedSimd = 102, "relaxed-simd", "the module uses relaxed vector instructions, and machines may disagree on those";
    Threads = 103, "threads", "the module uses threads or atomic instructions";
    ReferenceTypes = 104, "reference-types", "the module uses reference types; compile it with `-C target-cpu=mvp`";
    TailCalls = 105, "tail-calls", "the module uses tail calls";
    MultiValue = 106, "multi-value", "the module uses blocks with parameters or several results";
    ExtendedConstants = 107, "extended-constants", "the module computes its constants";
    WideArithmetic = 108, "wide-arithmetic", "the module uses wide arithmetic";
    Memory64 = 109, "memory64", "the module uses a memory or table with 64-bit addresses";
    PageSize = 110, "page-size", "the module uses a memory with pages of another size";
    Exceptions = 111, "exceptions", "the module uses exceptions";
    GarbageCollection = 112, "garbage-collection", "the module uses garbage-collected or typed references";
    OtherFeature = 113, "other-feature", "the module uses a feature of WASM that contracts may not";
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use std::collections::BTreeSet;
    use std::string::ToString;

    #[test]
    fn rules_have_one_number_and_one_name_each() {
        let numbers: Vec<u16> = ModuleRule::ALL.iter().map(|rule| rule.number()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        let names: BTreeSet<&str> = ModuleRule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), numbers.len());
        for rule in ModuleRule::ALL {
            assert_eq!(ModuleRule::from_number(rule.number()), Some(*rule));
            assert!(rule.name().bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric()));
            assert!(!rule.message().ends_with('.'), "{}", rule.message());
        }
        assert_eq!(ModuleRule::from_number(0), None);
    }

    #[test]
    fn a_refusal_names_rule_and_place() {
        let refusal = ModuleRefusal::new(ModuleRule::StartFunction, 0x2a);
        assert_eq!(borsh::to_vec(&refusal).unwrap(), [7, 0, 42, 0, 0, 0]);
        assert_eq!(
            refusal.to_string(),
            "the module has a start function, and a contract runs only when it is asked (rule 7, start-function, at byte 42)"
        );
        let later = ModuleRefusal { rule: 9_999, offset: 1 };
        assert_eq!(
            (later.named(), later.to_string().as_str()),
            (None, "the module breaks rule 9999 at byte 1")
        );
    }
}
