//! What the host must hold against code that means harm, and what it must give to code that does not.

mod attacks;
mod calls;
mod modules;

use hansa_contracts_abi::{
    ABI_VERSION, Ctx, Escrow, Evidence, Facts, Outcome, Price, Role, Runtime, Split, Terms, Trigger, Unit,
    Usage, Window,
};

use crate::{Host, ModuleRefusal};

/// A contract in text form: what stands before the functions, and the body of `v1_settle`.
fn contract(parts: &str, settle: &str) -> Vec<u8> {
    module(&format!(
        r#"{parts} (memory (export "memory") 1 1) {IO_AND_QUOTE}
           (func (export "v1_settle") (param i32) (result i64) {settle})"#
    ))
}

/// The two exports that the attacks leave alone.
const IO_AND_QUOTE: &str = r#"(global (export "IO") i32 (i32.const 1024))
    (func (export "v1_quote") (param i32) (result i64) (i64.const 0))"#;

fn module(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields})")).unwrap()
}

fn load(code: &[u8]) -> Result<[u8; 32], ModuleRefusal> {
    Host::new().load(code)
}

/// Loads the code into a new host and settles with it once.
fn settle(code: &[u8], facts: &Facts) -> Outcome<Split> {
    let host = Host::new();
    let hash = host.load(code).unwrap();
    host.settle(&hash, &[], facts)
}

/// An ordinary lease: 8 accelerators for a day at 2.45 EUR an hour, three windows used.
fn facts() -> Facts {
    let window = |index, source| Window { index, delivered: 7_200, committed: 7_200, up_secs: 900, source };
    Facts {
        abi: ABI_VERSION,
        terms: Terms {
            parties: vec![Role::Requester, Role::Provider, Role::Operator],
            unit: Unit::AcceleratorSecond,
            units: 8,
            start: 1_700_000_000,
            end: 1_700_086_400,
            price: Price { num: 2_450_000, den: 3_600 },
            fee_bps: 150,
            sponsor_bps: 0,
            slash_max: 0,
            sla: vec![],
        },
        usage: Usage {
            windows: vec![
                window(0, Evidence::Both),
                window(1, Evidence::ProviderOnly),
                window(2, Evidence::Both),
            ],
            cumulative: 21_600,
        },
        escrow: Escrow { locked: 470_400_000, paid: 0, stake: 0 },
        ctx: Ctx { height: 10, now: 1_700_050_000, trigger: Trigger::Final, quota_left: None },
        state: vec![],
    }
}

/// Small numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
