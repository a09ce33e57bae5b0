//! `cargo run --release -p hansa-tests-reliability -- planted|figures|publish`

use clap::{Parser, Subcommand};
use hansa_tests_reliability::figure::{self, Results};
use hansa_tests_reliability::planted::{self, Garden};
use hansa_tests_reliability::run::{run, words};
use hansa_tests_reliability::{publish, top};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plant faults and see them caught; take the figures of reliability and publish them.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Plant every deliberate fault in a copy of the source, one after the other, and say which test caught it.
    Planted {
        /// Only these.
        names: Vec<String>,
        /// Where the copy and its build folder are kept.
        #[arg(long, default_value = "target/planted")]
        place: PathBuf,
    },
    /// Run the commands behind the claims of docs/reliability.md.
    Figures {
        /// Only these.
        names: Vec<String>,
        /// The long runs, which take hours, and not the short ones, which take minutes.
        #[arg(long)]
        long: bool,
    },
    /// Write the tables of docs/reliability.md from what was found.
    Publish,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Planted { names, place } => plant(&top(), &names, &place),
        Verb::Figures { names, long } => take(&top(), &names, long),
        Verb::Publish => publish(&top()).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every fault was caught by the test that is named for it.
fn plant(top: &Path, names: &[String], place: &Path) -> Result<bool, String> {
    let faults = chosen(planted::list(top)?, names, |fault| &fault.name)?;
    let place = std::path::absolute(top.join(place)).map_err(|error| error.to_string())?;
    let mut garden = Garden::new(top, &place)?;
    let mut all = true;
    for fault in &faults {
        let verdict = garden.try_out(fault)?;
        let word = match (&verdict.obstacle, verdict.caught) {
            (Some(obstacle), _) => format!("not tried: {obstacle}"),
            (None, true) => format!("caught by {}", verdict.failed.join(", ")),
            (None, false) => format!("NOT CAUGHT by {}; failed: {:?}", fault.caught_by, verdict.failed),
        };
        println!("{}: {word}", fault.name);
        all &= verdict.caught;
        let mut results = Results::read(top)?;
        results.planted.insert(fault.name.clone(), verdict);
        results.write(top)?;
    }
    Ok(all)
}

/// Whether every claim held.
fn take(top: &Path, names: &[String], long: bool) -> Result<bool, String> {
    let figures = chosen(figure::list(top)?, names, |figure| &figure.name)?;
    let commit = run(&words("git rev-parse --short=7 HEAD"), top, &[], false)?.output.trim().to_owned();
    let mut all = true;
    for figure in &figures {
        eprintln!("{}", figure.name);
        let found = figure.take(top, long, &commit, &today())?;
        println!(
            "{}: {} {}",
            figure.name,
            if found.held { "held" } else { "DID NOT HOLD" },
            found.words.join("; ")
        );
        all &= found.held;
        let mut results = Results::read(top)?;
        results.figures.insert(figure.name.clone(), found);
        results.write(top)?;
    }
    Ok(all)
}

fn publish(top: &Path) -> Result<(), String> {
    publish::write(top, &figure::list(top)?, &planted::list(top)?, &Results::read(top)?)
}

fn chosen<T>(list: Vec<T>, names: &[String], name: impl Fn(&T) -> &String) -> Result<Vec<T>, String> {
    if let Some(unknown) = names.iter().find(|one| !list.iter().any(|entry| name(entry) == *one)) {
        let known: Vec<&str> = list.iter().map(|entry| name(entry).as_str()).collect();
        return Err(format!("there is no `{unknown}`; there are: {}", known.join(", ")));
    }
    Ok(list.into_iter().filter(|entry| names.is_empty() || names.contains(name(entry))).collect())
}

fn today() -> String {
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let day = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or(0)).unwrap_or_default();
    day.to_string().chars().take(10).collect()
}
