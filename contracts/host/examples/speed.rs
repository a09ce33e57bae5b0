//! How long a call of a built-in contract takes: a fresh instance, fuel on, one thread, its own CPU time.

use std::hint::black_box;

use hansa_contracts_abi::Runtime;
use hansa_contracts_abi::testing::ordinary_facts;
use hansa_contracts_host::Host;

#[path = "support/clock.rs"]
mod clock;

fn main() {
    let host = Host::new();
    let facts = ordinary_facts();
    for (name, code) in hansa_contracts_bundle::builtin() {
        let hash = host.load(code).expect("a built-in contract loads");
        let params = [0; 16];
        let outcome = host.settle(&hash, &params, &facts);
        println!("{name}: {} bytes, settle {} fuel, {:?}", code.len(), outcome.fuel, outcome.result.is_ok());
        let time = clock::median(15, 5_000, || {
            black_box(host.settle(&hash, &params, black_box(&facts)));
        });
        println!("{name}: settle {:.3} us, {:.0} calls/s", time / 1_000.0, 1e9 / time);
        let time = clock::median(15, 5_000, || {
            black_box(host.quote(&hash, &params, black_box(&facts.terms)));
        });
        println!(
            "{name}: quote {:.3} us, {} fuel",
            time / 1_000.0,
            host.quote(&hash, &params, &facts.terms).fuel
        );
        let time = clock::median(9, 50, || {
            black_box(hansa_contracts_host::validate(black_box(code)).is_ok());
        });
        println!("{name}: load {:.3} ms, {:.1} ns per byte", time / 1e6, time / code.len() as f64);
    }
}
