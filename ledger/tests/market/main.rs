//! The proof of the market: its properties over generated books, and a plain model of it that must agree.
//!
//! Each property runs over random books with every rule live and over small books that are enumerated. `HANSA_CASES=10000`
//! runs that many random books for each property and all of the small ones instead of the quick set; `HANSA_SEED=7` takes
//! other random books than the usual ones. A book that fails is shrunk and shown line by line, with what came of it.

mod generate;
mod harness;
mod model;
mod model_tests;
mod outcome;
mod properties;
mod quiet;
mod reasons;
mod small;
mod walk;
