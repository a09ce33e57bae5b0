//! Try every template over whole lives of leases, natively and as a module.
//!
//! Templates say in their own tests what each of them does. Here stands what all of them have in common, whatever the
//! order of events: generated tariffs ([`Tried`]), generated lives of leases ([`Life`]), and a ledger that does with a
//! contract's answers what the real one does ([`Ledger`]). `HANSA_CASES=100000` runs as many cases of each.
#![allow(clippy::arithmetic_side_effects)] // Figures of tests, bounded where they are made; overflow stops the test.

mod case;
mod ledger;
mod life;
mod tariff;

pub use case::some_case;
pub use ledger::Ledger;
pub use life::{Life, Step};
pub use tariff::Tried;

/// How many cases to run: `HANSA_CASES`, or else this many.
///
/// # Panics
/// If `HANSA_CASES` is set and no number.
#[must_use]
pub fn cases(quick: u64) -> u64 {
    std::env::var("HANSA_CASES").map_or(quick, |text| text.parse().expect("HANSA_CASES is a number"))
}
