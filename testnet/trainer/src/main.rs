//! Train a small model on the data the demo ships.
//!
//! `trainer --data data.csv --weights weights.json --report report.json [--epochs N] [--seed N]`
//!
//! One fifth of the samples is held back. On the rest, five-fold cross-validation picks the strength of the penalty;
//! then one model is trained on all of it and scored on the samples held back. The same seed gives the same files.
//!
//! Exit code 0: done; 1: the arguments or the data are wrong; 2: a result could not be written.

mod data;
mod json;
mod model;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use data::Table;
use model::{Model, Scale, Schedule, Score};

const EPOCHS_DEFAULT: u32 = 3_000;
const EPOCHS_MAX: u32 = 1_000_000;
const SEED_DEFAULT: u64 = 7;
const FOLDS: usize = 5;
const PENALTIES: [f64; 6] = [0.0, 0.0003, 0.001, 0.003, 0.01, 0.03];
const RATE: f64 = 0.1;
const MOMENTUM: f64 = 0.9;

const USAGE: &str = "usage: trainer --data FILE --weights FILE --report FILE [--epochs N] [--seed N]";

#[derive(Clone, Debug, PartialEq)]
struct Arguments {
    data: PathBuf,
    weights: PathBuf,
    report: PathBuf,
    epochs: u32,
    seed: u64,
}

/// What went wrong: the reader's input, or writing the results.
#[derive(Debug, PartialEq)]
enum Failure {
    Input(String),
    Output(String),
}

/// Everything a training run yields.
#[derive(Clone, Debug, PartialEq)]
struct Training {
    scale: Scale,
    model: Model,
    penalty: f64,
    fold_accuracy: f64,
    trained: Score,
    held_out: Score,
    samples: [usize; 2],
}

fn main() -> ExitCode {
    let result = arguments(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    let (message, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Input(message)) => (message, 1),
        Err(Failure::Output(message)) => (message, 2),
    };
    eprintln!("error: {message}");
    ExitCode::from(code)
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, Failure> {
    let (mut data, mut weights, mut report) = (None, None, None);
    let (mut epochs, mut seed) = (EPOCHS_DEFAULT, SEED_DEFAULT);
    while let Some(name) = given.next() {
        let Some(value) = given.next() else {
            return Err(Failure::Input(format!("`{name}` is unknown or lacks its value\n\n{USAGE}")));
        };
        match name.as_str() {
            "--data" => data = Some(PathBuf::from(value)),
            "--weights" => weights = Some(PathBuf::from(value)),
            "--report" => report = Some(PathBuf::from(value)),
            "--epochs" => {
                epochs = value.parse().ok().filter(|epochs| (1..=EPOCHS_MAX).contains(epochs)).ok_or_else(
                    || {
                        Failure::Input(format!(
                            "`--epochs {value}`: a whole number from 1 to {EPOCHS_MAX} is needed"
                        ))
                    },
                )?;
            }
            "--seed" => {
                seed = value
                    .parse()
                    .map_err(|_| Failure::Input(format!("`--seed {value}`: a whole number is needed")))?;
            }
            _ => return Err(Failure::Input(format!("`{name}` is not known\n\n{USAGE}"))),
        }
    }
    match (data, weights, report) {
        (Some(data), Some(weights), Some(report)) => Ok(Arguments { data, weights, report, epochs, seed }),
        _ => Err(Failure::Input(format!("`--data`, `--weights` and `--report` are all needed\n\n{USAGE}"))),
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shown = arguments.data.display();
    let text = std::fs::read_to_string(&arguments.data)
        .map_err(|error| Failure::Input(format!("cannot read `{shown}`: {error}")))?;
    let table = data::parse(&text).map_err(|error| Failure::Input(format!("`{shown}`, {error}")))?;
    say(&format!(
        "read {} samples with {} features; label `{}`",
        table.rows.len(),
        table.features.len(),
        table.label
    ));
    let training = train(&table, arguments.epochs, arguments.seed, say);
    if !training.held_out.loss.is_finite() || !training.trained.loss.is_finite() {
        return Err(Failure::Input(format!(
            "training on `{shown}` diverged; fewer or less correlated features would help"
        )));
    }
    let written = [
        (&arguments.weights, json::weights(&table, &training)),
        (&arguments.report, json::report(&table, &training, arguments.epochs, arguments.seed)),
    ];
    for (path, text) in written {
        std::fs::write(path, text)
            .map_err(|error| Failure::Output(format!("cannot write `{}`: {error}", path.display())))?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// A line of the log, at once: whoever follows a job wants to see it move. A reader that went away is no reason to stop.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Hold some samples back, choose the penalty by cross-validation on the rest, train, and score both.
fn train(table: &Table, epochs: u32, seed: u64, mut log: impl FnMut(&str)) -> Training {
    let mut parts = data::split(&table.labels, FOLDS, seed);
    let held_out = parts.pop().unwrap_or_default();
    let kept: Vec<usize> = parts.into_iter().flatten().collect();
    let (kept_rows, kept_labels) = select(table, &kept);
    let (held_rows, held_labels) = select(table, &held_out);
    log(&format!("holding back {} samples; {FOLDS}-fold cross-validation on {}", held_out.len(), kept.len()));

    let kept_table = Table { rows: kept_rows, labels: kept_labels, ..table.clone() };
    let (penalty, fold_accuracy) = cross_validate(&kept_table, epochs, seed, &mut log);
    let scale = Scale::of(&kept_table.rows);
    let rows = scale.apply(&kept_table.rows);
    let schedule = Schedule { epochs, rate: RATE, momentum: MOMENTUM, penalty };
    let model = Model::train(&rows, &kept_table.labels, schedule, |epoch, model| {
        if epoch == 1 || epoch == epochs || epoch % (epochs / 10).max(1) == 0 {
            let score = model.score(&rows, &kept_table.labels);
            log(&format!("epoch {epoch:>5}  loss {:.5}  accuracy {:.4}", score.loss, score.accuracy));
        }
    });
    let training = Training {
        trained: model.score(&rows, &kept_table.labels),
        held_out: model.score(&scale.apply(&held_rows), &held_labels),
        samples: [kept.len(), held_out.len()],
        scale,
        model,
        penalty,
        fold_accuracy,
    };
    log(&format!(
        "held back: loss {:.5}  accuracy {:.4}",
        training.held_out.loss, training.held_out.accuracy
    ));
    training
}

/// The penalty with the lowest mean loss over the folds, and its mean accuracy.
fn cross_validate(table: &Table, epochs: u32, seed: u64, log: &mut impl FnMut(&str)) -> (f64, f64) {
    let folds = data::split(&table.labels, FOLDS, seed.wrapping_add(1));
    let mut best = (PENALTIES[0], 0.0, f64::INFINITY);
    for penalty in PENALTIES {
        let (mut loss, mut accuracy) = (0.0, 0.0);
        for test in 0..FOLDS {
            let others: Vec<usize> =
                (0..FOLDS).filter(|fold| *fold != test).flat_map(|fold| folds[fold].clone()).collect();
            let (rows, labels) = select(table, &others);
            let (test_rows, test_labels) = select(table, &folds[test]);
            let scale = Scale::of(&rows);
            let schedule = Schedule { epochs, rate: RATE, momentum: MOMENTUM, penalty };
            let model = Model::train(&scale.apply(&rows), &labels, schedule, |_, _| {});
            let score = model.score(&scale.apply(&test_rows), &test_labels);
            loss += score.loss / FOLDS as f64;
            accuracy += score.accuracy / FOLDS as f64;
        }
        log(&format!("penalty {penalty:<6}  loss {loss:.5}  accuracy {accuracy:.4}"));
        if loss < best.2 {
            best = (penalty, accuracy, loss);
        }
    }
    (best.0, best.1)
}

fn select(table: &Table, indices: &[usize]) -> (Vec<Vec<f64>>, Vec<f64>) {
    indices.iter().map(|index| (table.rows[*index].clone(), table.labels[*index])).unzip()
}

#[cfg(test)]
mod tests;
