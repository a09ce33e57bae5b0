//! Run a command and keep what it said.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What became of a command.
#[derive(Clone, Debug)]
pub struct Ended {
    /// It ended with 0.
    pub ok: bool,
    /// Everything it wrote, to both of its outputs.
    pub output: String,
    /// How long it took, in whole seconds.
    pub seconds: u64,
}

/// Runs `words` in `directory` with the variables `environment`, echoing what it writes to stderr if `echo`.
///
/// # Errors
/// Says what cannot be started.
pub fn run(
    words: &[String],
    directory: &Path,
    environment: &[(String, String)],
    echo: bool,
) -> Result<Ended, String> {
    let (program, arguments) = words.split_first().ok_or("an empty command cannot be run")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("cannot start `{program}`: {error}"))?;
    let errors = child.stderr.take();
    let reader = std::thread::spawn(move || errors.map(|pipe| lines(pipe, echo)).unwrap_or_default());
    let mut output = child.stdout.take().map(|pipe| lines(pipe, echo)).unwrap_or_default();
    let status = child.wait().map_err(|error| format!("cannot wait for `{program}`: {error}"))?;
    output.push_str(&reader.join().unwrap_or_default());
    Ok(Ended { ok: status.success(), output, seconds: started.elapsed().as_secs() })
}

fn lines(pipe: impl Read, echo: bool) -> String {
    let mut kept = String::new();
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if echo {
            let _ = writeln!(std::io::stderr(), "    {line}");
        }
        kept.push_str(&line);
        kept.push('\n');
    }
    kept
}

/// A command line as words: parted at spaces, with no quoting.
#[must_use]
pub fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}
