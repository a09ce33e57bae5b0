//! Where inputs come from: seeds that are made, golden bytes, and what long runs have found.

use crate::Target;
use std::path::{Path, PathBuf};

/// The folder of the corpus: one folder for each target, one file for each input.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs that are kept for a target, by the names of their files.
///
/// # Panics
/// If the corpus cannot be read.
#[must_use]
pub fn kept(target: &Target) -> Vec<Vec<u8>> {
    let folder = folder().join(target.name);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// All inputs that a run begins with: the seeds, then what is kept.
#[must_use]
pub fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)();
    inputs.extend(kept(target));
    inputs
}

/// The golden bytes whose names begin so, by their names.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn golden(prefix: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let named = paths.iter().filter(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        path.extension().is_some_and(|extension| extension == "hex") && name.starts_with(prefix)
    });
    let all: Vec<Vec<u8>> =
        named.map(|path| hex::decode(std::fs::read_to_string(path).unwrap().trim_end()).unwrap()).collect();
    assert!(!all.is_empty(), "there are golden bytes of {prefix}");
    all
}

/// Makes an input smaller for as long as `fails` says that it still shows the fault.
#[must_use]
pub fn minimise(input: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut part = best.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < best.len() {
            let end = (at + part).min(best.len());
            let shorter = [&best[..at], &best[end..]].concat();
            if fails(&shorter) {
                best = shorter;
            } else {
                at = end;
            }
        }
        part /= 2;
    }
    best
}
