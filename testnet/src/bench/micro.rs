//! `bench micro`: the parts that a block's time is made of, each by itself, in this process and on one thread.

mod contract;
mod execute;
mod market;
mod root;
mod store;

use super::calibration::Calibration;
use super::field::Ground;
use super::report::Report;
use crate::error::TestnetError;
use std::path::Path;
use std::time::Instant;

/// Rounds that count, after one that warms up.
const ROUNDS: usize = 9;

/// What a part is and how to measure it.
type Part = (&'static str, fn(&mut Report, &Path) -> Result<(), TestnetError>);

const PARTS: [Part; 5] = [
    ("executing blocks", execute::measure),
    ("state roots", root::measure),
    ("contracts", contract::measure),
    ("batches", market::measure),
    ("the store", store::measure),
];

pub(super) async fn run(ground: &Ground) -> Result<Report, TestnetError> {
    let mut report = Report::new("micro");
    let before = Calibration::take().await?;
    for (what, measure) in PARTS {
        ground.progress.now(format!("measuring {what}"));
        let folder = ground.folder();
        let measured = tokio::task::spawn_blocking(move || {
            let outcome = measure(&mut report, &folder);
            // Only the store makes the folder.
            let _ = std::fs::remove_dir_all(&folder);
            outcome.map(|()| report)
        });
        report = measured
            .await
            .map_err(|error| TestnetError::Broken(format!("measuring {what} stopped: {error}")))??;
    }
    let after = Calibration::take().await?;
    report.figure("calibration: one signature of a batch", "us", &[before.verify_us, after.verify_us]);
    report.figure("calibration: two threads against one", "x", &[before.speed_up, after.speed_up]);
    if let Some(doubt) = Calibration::doubt(&before, &after) {
        report.note(format!("these figures are invalid: {doubt}"));
    }
    Ok(report)
}

/// Microseconds of each round, divided by how many things one round does. `prepare` is not timed.
fn rounds<T, R>(each: usize, mut prepare: impl FnMut() -> T, mut work: impl FnMut(T) -> R) -> Vec<f64> {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..=ROUNDS {
        let input = prepare();
        let began = Instant::now();
        let result = std::hint::black_box(work(input));
        let elapsed = began.elapsed();
        drop(result);
        if round > 0 {
            times.push(elapsed.as_secs_f64() * 1_000_000.0 / each as f64);
        }
    }
    times
}

/// Why a part cannot be measured.
fn broken(error: impl std::fmt::Display) -> TestnetError {
    TestnetError::Broken(error.to_string())
}
