//! Use the marketplace.
//!
//! One file per verb in [`command`]; [`args`] is what every verb takes, [`session`] what every verb has at hand, [`printer`]
//! the only place that writes.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
pub mod command;
pub mod config;
pub mod error;
pub mod exit;
pub mod keyfile;
pub mod keystore;
mod memory;
pub mod printer;
pub mod session;
pub mod trust;

/// Units as people type and read them.
pub use hansa_cli_units as units;

use args::Arguments;
use clap::Parser as _;
use clap::error::ErrorKind;
use error::Failure;
use exit::Exit;
use printer::Printer;
use session::Session;

/// Reads the command line, does what it says, and tells how it went.
#[must_use]
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misread(&error),
    };
    let printer = arguments.global.printer();
    match run(arguments, printer) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            printer.fail(&failure);
            failure.exit
        }
    }
}

fn run(arguments: Arguments, printer: Printer) -> error::Outcome {
    let session = Session::new(arguments.global, printer)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format!("cannot start the program's threads: {error}")))?;
    let outcome = runtime.block_on(arguments.command.run(&session));
    // What was verified counts whatever became of the rest, and a fork most of all.
    session.remember();
    outcome
}

/// Help and version are results; everything else is the user's mistake.
fn misread(error: &clap::Error) -> Exit {
    let wanted = |flag: &str| std::env::args_os().any(|argument| argument == flag);
    let printer = Printer::new(wanted("--json"), false, wanted("--no-color"));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            printer.raw(error.to_string().as_bytes());
            Exit::Done
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            printer.note(error.to_string().trim_end());
            Exit::Refused
        }
        _ => {
            let text = error.to_string();
            let text = text.trim_end().strip_prefix("error: ").unwrap_or(&text);
            let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
            let failure = Failure::refused(message.trim_end());
            let rest =
                rest.replace("\n\n", "\n").replace("For more information, try '--help'.", "see `--help`");
            printer.fail(&if rest.is_empty() { failure } else { failure.hint(rest.trim()) });
            Exit::Refused
        }
    }
}
