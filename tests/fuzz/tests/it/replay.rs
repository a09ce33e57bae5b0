//! Every target over its seeds, the corpus, and as many mutations as CI has time for. `HANSA_CASES` says how many times as many.

use hansa_tests_fuzz::corpus::{folder, inputs};
use hansa_tests_fuzz::{Mutator, TARGETS, Verdict};
use std::collections::BTreeSet;

fn times() -> u64 {
    std::env::var("HANSA_CASES").map_or(1, |text| text.parse().expect("HANSA_CASES is a number"))
}

#[test]
fn targets_keep_their_promises() {
    for target in TARGETS {
        let pool = inputs(target);
        let accepted = pool.iter().filter(|bytes| (target.run)(bytes) == Verdict::Accepted).count();
        assert!(accepted > 0, "{}: no seed is accepted", target.name);
        assert_eq!((target.run)(&[]), Verdict::Refused, "{}: nothing at all is accepted", target.name);
        let mut mutator = Mutator::new(1);
        let mut refused = 0u64;
        for _ in 0..target.quick * times() {
            let bytes = mutator.next(&pool, target.bytes_max);
            refused += u64::from((target.run)(&bytes) == Verdict::Refused);
        }
        assert!(refused > 0, "{}: whatever comes is accepted", target.name);
    }
}

#[test]
fn the_corpus_is_small_and_all_of_it_is_used() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "names of targets are unique");
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(names.contains(name), "there is no target `{name}`");
        for file in std::fs::read_dir(&path).unwrap() {
            bytes += file.unwrap().metadata().unwrap().len();
        }
    }
    assert!(bytes <= 1 << 20, "the corpus has {bytes} bytes");
}
