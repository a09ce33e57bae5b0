//! The target that `HANSA_TARGET` names, under coverage.
#![no_main]

use hansa_tests_fuzz::{TARGETS, Target, Verdict};
use libfuzzer_sys::{Corpus, fuzz_target};
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("HANSA_TARGET").expect("HANSA_TARGET names a target");
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target `{name}`"))
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    match (TARGET.run)(bytes) {
        Verdict::Accepted | Verdict::Refused => Corpus::Keep,
    }
});
