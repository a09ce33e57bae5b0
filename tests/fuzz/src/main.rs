//! Run fuzz targets without a special toolchain: mutations of seeds and corpus, for so many seconds or executions each.

use clap::Parser;
use hansa_tests_fuzz::corpus::{folder, inputs, minimise};
use hansa_tests_fuzz::{Mutator, TARGETS, Target, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Feed arbitrary bytes to everything that reads bytes of others
#[derive(Parser)]
struct Command {
    /// A target, `all`, or `list`
    target: String,
    /// How long each target runs
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write all inputs that a run begins with into a folder below this one, for other fuzzers
    #[arg(long)]
    seeds_into: Option<PathBuf>,
    /// Run this one input and nothing else
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = Command::parse();
    if command.target == "list" {
        TARGETS.iter().for_each(|target| println!("{:<12} {}", target.name, target.promise));
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&Target> =
        TARGETS.iter().filter(|target| command.target == "all" || command.target == target.name).collect();
    if chosen.is_empty() {
        eprintln!("there is no target `{}`; `list` names them", command.target);
        return ExitCode::FAILURE;
    }
    if let Some(into) = &command.seeds_into {
        chosen.iter().for_each(|target| write_seeds(target, into));
        return ExitCode::SUCCESS;
    }
    if let Some(input) = &command.input {
        let bytes =
            std::fs::read(input).unwrap_or_else(|error| panic!("cannot read {}: {error}", input.display()));
        println!("{:?}", (chosen[0].run)(&bytes));
        return ExitCode::SUCCESS;
    }
    println!("{:<12} {:>12} {:>10} {:>12} {:>9}", "target", "executions", "per s", "accepted", "inputs");
    let (mut total, mut broken) = (0, 0);
    for target in &chosen {
        let (executions, sound) = run(target, &command);
        total += executions;
        broken += usize::from(!sound);
    }
    println!("figure: {total} executions on {} targets, {broken} broken", chosen.len());
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write_seeds(target: &Target, into: &Path) {
    let folder = into.join(target.name);
    std::fs::create_dir_all(&folder).expect("the folder for the seeds can be made");
    for (number, bytes) in inputs(target).iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), bytes).expect("a seed can be written");
    }
}

/// Runs one target and prints its figures. How often it ran, and whether it kept its promise.
fn run(target: &Target, command: &Command) -> (u64, bool) {
    let mut pool = inputs(target);
    let begin = pool.len();
    let mut mutator = Mutator::new(command.seed);
    let (mut executions, mut accepted) = (0u64, 0u64);
    let clock = Instant::now();
    let limit = Duration::from_secs(command.seconds);
    let mut next = 0;
    while clock.elapsed() < limit {
        // The inputs themselves first, then what is made of them.
        let bytes = match pool.get(next).filter(|_| next < begin) {
            Some(bytes) => bytes.clone(),
            None => mutator.next(&pool, target.bytes_max),
        };
        next += 1;
        executions += 1;
        match catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))) {
            Ok(Verdict::Accepted) => {
                accepted += 1;
                // Without coverage the best guess of what leads further is what was accepted.
                if next > begin && pool.len() < begin + 2_000 {
                    pool.push(bytes);
                } else if next > begin && mutator.below(64) == 0 {
                    let place = begin + mutator.below(pool.len() - begin);
                    if let Some(slot) = pool.get_mut(place) {
                        *slot = bytes;
                    }
                }
            }
            Ok(Verdict::Refused) => {}
            Err(_) => {
                report(target, &bytes);
                return (executions, false);
            }
        }
    }
    let rate = executions as f64 / clock.elapsed().as_secs_f64();
    println!("{:<12} {executions:>12} {rate:>10.0} {accepted:>12} {begin:>9}", target.name);
    (executions, true)
}

/// Makes the input that broke a promise small and keeps it in the corpus, where CI will try it.
fn report(target: &Target, bytes: &[u8]) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let small = minimise(bytes, |bytes| catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err());
    std::panic::set_hook(hook);
    let folder = folder().join(target.name);
    let path = folder.join(format!("broken-{}", &hex::encode(blake3::hash(&small).as_bytes())[..12]));
    std::fs::create_dir_all(&folder).expect("the corpus can be written");
    std::fs::write(&path, &small).expect("the corpus can be written");
    eprintln!(
        "{} broke its promise (\"{}\"): {} bytes, kept as {}",
        target.name,
        target.promise,
        small.len(),
        path.display()
    );
}
