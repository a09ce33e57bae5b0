//! The built-in contracts, as WASM bytes.
//!
//! The build script compiles each template into the same bytes on every machine with the pinned toolchain, so that
//! members agree on the code hashes without exchanging files. `modules.toml` holds the hashes that were agreed on.

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// All built-in contracts by name, in the order of their names.
#[must_use]
pub fn builtin() -> &'static [(&'static str, &'static [u8])] {
    BUILTIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::{env, fs};

    #[test]
    fn modules_are_wasm_without_traces_of_this_machine() {
        let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("/contracts/bundle");
        for (name, module) in builtin() {
            assert!(module.starts_with(b"\0asm\x01\0\0\0"), "{name} is a module");
            assert!(module.len() <= 64 * 1024, "{name} has {} bytes", module.len());
            let holds = |text: &str| module.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds(root) && !holds(".cargo/registry") && !holds(".rustup"), "{name} holds a path");
        }
        assert!(builtin().is_sorted_by(|a, b| a.0 < b.0));
    }

    /// The modules that were just built are those that were agreed on. `UPDATE_GOLDEN=1` writes the file anew: another hash
    /// is another contract, for every lease to come.
    #[test]
    fn modules_have_the_hashes_that_are_checked_in() {
        let mut built =
            String::from("# The built-in contracts: what `contracts/bundle` builds, on every machine.\n");
        for (name, module) in builtin() {
            let (bytes, hash) = (module.len(), blake3::hash(module));
            write!(built, "\n[{name}]\nbytes = {bytes}\nhash = \"{hash}\"\n").unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/modules.toml");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(path, &built).unwrap();
        }
        assert_eq!(
            built,
            fs::read_to_string(path).unwrap(),
            "the build gives other modules than were agreed on"
        );
    }
}
