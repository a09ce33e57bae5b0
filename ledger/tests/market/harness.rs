//! Runs a property over many books.

use crate::generate::{self, Case, shown};
use crate::small;
use hansa_ledger::market::{Book, Clearing, clear};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

/// How many random books a property sees without being asked for more.
const QUICK: u32 = 250;

/// What a property says of a book: nothing, or what is wrong.
pub type Verdict = Result<(), String>;

/// A number of the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, not a number")))
}

/// How many random books each property is to see.
pub fn cases() -> u32 {
    setting("HANSA_CASES").map_or(QUICK, |cases| u32::try_from(cases).expect("HANSA_CASES fits 32 bits"))
}

/// Whether more than the quick set is wanted.
pub fn is_long() -> bool {
    cases() > QUICK
}

/// The seed of the random books.
pub fn seed() -> u64 {
    setting("HANSA_SEED").unwrap_or(1)
}

/// Checks `property` of random books and of small ones.
pub fn check(property: impl Fn(&Book) -> Verdict) {
    let told = |book: &Book| property(book).map_err(|wrong| format!("{wrong}\n{}", outcome_of(book)));
    for book in small::every(if is_long() { 101 } else { 5_003 }) {
        if let Err(wrong) = told(&book) {
            panic!("{wrong}\nin the book\n{}", shown(&book));
        }
    }
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        rng_seed: RngSeed::Fixed(seed()),
        ..Config::default()
    };
    let tested = TestRunner::new(config)
        .run(&generate::cases(), |Case(book)| told(&book).map_err(TestCaseError::fail));
    match tested {
        Ok(()) => {}
        Err(TestError::Fail(wrong, case)) => panic!("{wrong}\nin the book{case:?}"),
        Err(TestError::Abort(why)) => panic!("no books: {why}"),
    }
}

/// What the market makes of a book, as text.
fn outcome_of(book: &Book) -> String {
    let outcome = std::panic::catch_unwind(|| clear(book));
    outcome.map_or_else(|_| "the clearing panics".to_owned(), |outcome| told(book, &outcome))
}

/// An outcome as text.
pub fn told(book: &Book, outcome: &Clearing) -> String {
    let mut lines = vec!["outcome:".to_owned()];
    for trade in &outcome.trades {
        let released = if trade.released { ", released" } else { "" };
        lines.push(format!(
            "  r{} at s{}: {} accelerators from {} for {} slots at {} ({:?}, {:?}{released}), aid {}",
            trade.request.0[0],
            trade.offer.0[0],
            trade.quantity,
            i64::from(trade.start.0) - i64::from(book.now.0),
            trade.slots,
            trade.price.0,
            trade.lane,
            trade.bucket,
            trade.aid
        ));
    }
    lines.extend(
        outcome.prices.iter().map(|one| format!("  {:?}: {} for {}", one.bucket, one.price.0, one.volume)),
    );
    let open = outcome.unmatched.iter();
    lines.extend(open.map(|one| format!("  r{} open: {:?} {:?}", one.request.0[0], one.reason, one.detail)));
    lines.join("\n")
}

/// `Ok` if `fine`, else what is wrong.
pub fn ensure(fine: bool, wrong: impl FnOnce() -> String) -> Verdict {
    if fine { Ok(()) } else { Err(wrong()) }
}
