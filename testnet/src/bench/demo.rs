//! `bench demo`: how long `hansa demo` takes, and whether it holds each time.

use super::field::Ground;
use super::report::{Bound, Report};
use crate::error::TestnetError;
use std::process::Stdio;
use std::time::Instant;
use tokio::process::Command;

pub(super) async fn run(ground: &Ground, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("demo");
    let (mut times, mut held) = (Vec::new(), 0);
    for number in 1..=count {
        ground.progress.now(format!("demo {number} of {count}"));
        let folder = ground.folder();
        let began = Instant::now();
        let mut command = Command::new(&ground.executable);
        command.args(["demo", "--json", "--quiet", "--dir"]).arg(&folder);
        let ended = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let ended = ended.map_err(|error| TestnetError::Start { name: "the demo".to_owned(), error })?;
        times.push(began.elapsed().as_secs_f64());
        if ended.status.success() {
            held += 1;
            // What is left of it lies below the folder the user chose, or among the temporary files.
            let _ = std::fs::remove_dir_all(&folder);
        } else {
            let text = String::from_utf8_lossy(&ended.stderr);
            let last = text.trim().lines().last().unwrap_or("it said nothing").to_owned();
            report.note(format!(
                "demo {number} failed ({}): {last}; its logs are in `{}`",
                ended.status,
                folder.display()
            ));
        }
    }
    report.target("the demo, from start to end", "s", &times, Bound::AtMost, 20.0);
    report.note(format!("{held} of {count} demos held"));
    if held < count {
        report.fail(format!("only {held} of {count} demos held"));
    }
    Ok(report)
}
