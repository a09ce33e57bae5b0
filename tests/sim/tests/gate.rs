//! Some seeds at every change; `HANSA_SEEDS` says how many, `cargo sim` runs as many as one likes.

use hansa_tests_sim::run::{Options, run};
use std::time::{Duration, Instant};

/// Seeds that once failed, or that show a kind of fault, each with what it is about.
const KEPT: &[(u64, &str)] = &[
    (1, "nothing fails"),
    (7, "two nodes with one key"),
    (9, "a member lies to those who catch up, and links are cut"),
    (406, "a block is locked that nobody who may propose it has in parts, and its proposer lost its log"),
    (581, "the same, and a member was cut off while it was proposed"),
    (1_495, "a transaction becomes final while the nodes are compared"),
];

#[test]
fn seeds_hold_whatever_befalls_the_federation() {
    let asked: Option<u64> = std::env::var("HANSA_SEEDS").ok().and_then(|count| count.parse().ok());
    let kept = KEPT.iter().map(|(seed, _)| *seed);
    let seeds: Vec<u64> = kept.chain(1_000..1_000 + asked.unwrap_or(24)).collect();
    let until = Instant::now() + Duration::from_secs(15);
    for (index, seed) in seeds.iter().enumerate() {
        // A machine that is busy runs fewer, unless a number was asked for. Those above are always run.
        if asked.is_none() && index >= KEPT.len() && Instant::now() > until {
            break;
        }
        let verdict = run(*seed, Options::default());
        assert_eq!(verdict.failure, None, "see it again: cargo sim {seed} --trace");
        assert!(verdict.counts.blocks > 0 || verdict.counts.halted > 0, "seed {seed} decides something");
    }
}

#[test]
fn a_seed_gives_one_history() {
    // One with faults of nodes, disks and links, and a member that signs two things.
    let [first, second] = [run(9, Options::default()), run(9, Options::default())];
    assert_eq!(first.hash, second.hash);
    assert_ne!(first.hash, run(10, Options::default()).hash);
}
