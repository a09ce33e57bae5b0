//! What a unit of fuel and a byte of code cost on this machine, for the worst programs that are allowed.
//!
//! `cargo run --release -p hansa-contracts-host --example calibrate`. Times are CPU time of one thread, medians. The price
//! table holds where no pattern takes more than one nanosecond per unit of fuel, and no module more than five milliseconds
//! to load. On a busy machine the figures come out higher, never lower.

use std::hint::black_box;

use hansa_contracts_abi::Runtime;
use hansa_contracts_abi::testing::facts;
use hansa_contracts_host::{Host, strip, validate};

#[path = "support/bombs.rs"]
mod bombs;
#[path = "support/clock.rs"]
mod clock;

fn main() {
    let mut prices: Vec<(f64, &str)> =
        bombs::price_bombs().iter().map(|bomb| (ns_per_fuel(bomb), bomb.name)).collect();
    prices.sort_by(|one, other| other.0.total_cmp(&one.0));
    println!("ns of CPU per unit of fuel, worst first");
    for (ns, name) in &prices {
        println!("{ns:8.2}  {name}");
    }
    println!();
    println!("ms of CPU to load, and ns per byte");
    let mut loads: Vec<(f64, usize, &str)> = bombs::load_bombs()
        .iter()
        .map(|(name, code)| {
            let code = finish(code);
            if let Err(refusal) = validate(&code) {
                println!("   refused  {name}: {refusal}");
            }
            let time = clock::median(9, 3, || {
                black_box(validate(black_box(&code)).is_ok());
            });
            (time, code.len(), *name)
        })
        .collect();
    loads.sort_by(|one, other| other.0.total_cmp(&one.0));
    for (ns, bytes, name) in &loads {
        println!("{:8.2}  {:6.1}  {bytes:5} bytes  {name}", ns / 1e6, ns / *bytes as f64);
    }
}

fn finish(text: &str) -> Vec<u8> {
    strip(&wat::parse_str(text).expect("the text is a module")).expect("the module can be stripped")
}

/// Runs the module until its fuel is gone.
fn ns_per_fuel(bomb: &bombs::Bomb) -> f64 {
    let host = Host::new();
    let hash = host.load(&finish(&bomb.module())).expect("the module is allowed");
    let facts = facts();
    let fuel = host.settle(&hash, &[], &facts).fuel;
    assert_eq!(fuel, host.fuel_per_call_max(), "{} runs until its fuel is gone", bomb.name);
    let time = clock::median(9, 5, || {
        black_box(host.settle(&hash, &[], black_box(&facts)).fuel);
    });
    // The call itself is priced too, and is part of both.
    time / fuel as f64
}
