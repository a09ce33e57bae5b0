//! The built-in contracts, as WASM bytes.
//!
//! The build script compiles each template into the same bytes on every machine with the pinned toolchain, so that
//! members agree on the code hashes without exchanging files.

/// Divide what the provider earned among those who paid for the machine: the module of `contracts/coinvest`.
pub const COINVEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/coinvest.wasm"));
/// Reserved capacity, with disputes decided in money: the module of `contracts/dispute`.
pub const DISPUTE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispute.wasm"));
/// Let a sponsor pay for those it admits: the module of `contracts/grant`.
pub const GRANT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/grant.wasm"));
/// Pay for capacity that was held, less the credits of its service level: the module of `contracts/reserved`.
pub const RESERVED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reserved.wasm"));
/// Pay for what was used, up to what was locked: the module of `contracts/spot`.
pub const SPOT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/spot.wasm"));

/// All built-in contracts by name, in the order of their names.
#[must_use]
pub fn builtin() -> &'static [(&'static str, &'static [u8])] {
    &[("coinvest", COINVEST), ("dispute", DISPUTE), ("grant", GRANT), ("reserved", RESERVED), ("spot", SPOT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_wasm_without_traces_of_this_machine() {
        let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("/contracts/bundle");
        for (name, module) in builtin() {
            assert!(module.starts_with(b"\0asm\x01\0\0\0"), "{name} is a module");
            assert!(module.len() <= 64 * 1024, "{name} has {} bytes", module.len());
            let holds = |text: &str| module.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds(root) && !holds(".cargo/registry") && !holds(".rustup"), "{name} holds a path");
            println!("{name} {} bytes, hash {}", module.len(), blake3::hash(module));
        }
        assert!(builtin().is_sorted_by(|a, b| a.0 < b.0));
    }
}
