//! The job the demo runs: a program that trains a small model, and the data it trains on.

/// The trainer, built for this machine by the build script: a program file. Run it as
/// `trainer --data F --weights F --report F [--epochs N] [--seed N]`.
pub const TRAINER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trainer-program"));

/// Its data: comma-separated, a header, 569 rows; source and licence are named in `trainer/data/README.md`.
pub const TRAINER_DATA: &[u8] = include_bytes!("../trainer/data/breast_cancer.csv");
