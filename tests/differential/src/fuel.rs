//! What calls cost, against the numbers that are checked in.
//!
//! The host's own tests, which are built without optimisation, write and check the same file: a build that gives the same numbers
//! with optimisation charges what they charge.

use borsh::BorshSerialize;
use hansa_contracts_abi::testing::{Numbers, ordinary_facts, some_claims, some_facts};
use hansa_contracts_abi::{Runtime, Trigger};
use hansa_contracts_bundle::builtin;
use hansa_contracts_host::{Host, vm_profile};

/// The file of the host's tests.
const CHECKED_IN: &str = include_str!("../../../contracts/host/src/tests/golden/fuel.txt");

/// What became of the checked-in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fuel {
    /// Lines that this build gives as well: each the fuel of a call, or a hash over answers and fuel of 1,500.
    pub same: usize,
    /// Lines that it does not give, as it has them.
    pub differences: Vec<String>,
}

/// Takes the lines about the profile and the templates anew. The lines about single operators stay with the host's tests, which
/// write those modules by hand.
///
/// # Panics
/// If a template is not taken by the host.
#[must_use]
pub fn fuel() -> Fuel {
    let mut found = Fuel::default();
    found.hold(format!("vm_profile {}", blake3::Hash::from(vm_profile())));
    for (name, module) in builtin() {
        let host = Host::new();
        let code = host.load(module).expect("a built-in module is valid");
        let params = [0; 16];
        for trigger in
            [Trigger::Interim, Trigger::Final, Trigger::NoShow, Trigger::Ruling { provider_bps: 5_000 }]
        {
            let mut facts = ordinary_facts();
            facts.ctx.trigger = trigger;
            let fuel = host.settle(&code, &params, &facts).fuel;
            found.hold(format!("{name} settle {trigger:?}: {fuel} fuel"));
        }
        let fuel = Runtime::quote(&host, &code, &params, &ordinary_facts().terms).fuel;
        found.hold(format!("{name} quote: {fuel} fuel"));
        found.hold(format!("{name} 500 generated calls of each kind: {}", digest(&host, &code)));
    }
    found
}

impl Fuel {
    fn hold(&mut self, line: String) {
        if CHECKED_IN.lines().any(|checked_in| checked_in == line) {
            self.same += 1;
        } else {
            self.differences.push(line);
        }
    }
}

/// A hash over what many different calls gave and cost.
fn digest(host: &Host, code: &[u8; 32]) -> blake3::Hash {
    let mut numbers = Numbers::new(11);
    let mut hasher = blake3::Hasher::new();
    for _ in 0..500 {
        let facts = some_facts(&mut numbers);
        let claims = some_claims(&mut numbers);
        let params = bytes_of(&u128::from(numbers.figure(1_000_000)));
        hasher.update(&bytes_of(&host.settle(code, &params, &facts)));
        hasher.update(&bytes_of(&host.quote(code, &params, &facts.terms)));
        hasher.update(&bytes_of(&host.admit(code, &params, &facts.terms, &claims)));
    }
    hasher.finalize()
}

fn bytes_of(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory cannot fail")
}
