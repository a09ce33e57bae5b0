//! `hansa chain verify|export|import|compact`: what a stopped node keeps.

use crate::error::{Failure, Outcome};
use crate::printer::{Progress, pairs};
use crate::session::Session;
use clap::Args;
use hansa_ledger::genesis::Genesis;
use hansa_node::NodeConfig;
use hansa_node_archive::StoreError;
use hansa_node_archive::{ArchiveError, Compaction, Report, Stage};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where the ledger of a node lies, and what it has to follow from.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The node's configuration (TOML): names its data directory and its genesis
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What was done, for programs.
#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    report: &'a Report,
    ledger: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
}

impl Place {
    fn find(&self) -> Outcome<(PathBuf, Genesis)> {
        let refused = |error: hansa_node::config::ConfigError| Failure::refused(error.to_string());
        let config = NodeConfig::load(&self.config).map_err(refused)?;
        Ok((config.data.join("ledger"), config.genesis().map_err(refused)?))
    }

    pub(super) fn verify(&self, session: &Session) -> Outcome {
        let (ledger, genesis) = self.find()?;
        let progress = session.printer.progress("opening the ledger");
        let store = hansa_node_archive::open(&ledger).map_err(failure)?;
        let report = hansa_node_archive::verify(&store, &genesis, &mut told(&progress)).map_err(failure)?;
        progress.finish();
        show(session, &report, &ledger, None, "is sound");
        Ok(())
    }

    pub(super) fn export(&self, session: &Session, file: &Path) -> Outcome {
        let (ledger, genesis) = self.find()?;
        let progress = session.printer.progress("opening the ledger");
        let store = hansa_node_archive::open(&ledger).map_err(failure)?;
        let done = hansa_node_archive::export(&store, &genesis, file, &mut told(&progress));
        let report = done.map_err(failure)?;
        progress.finish();
        show(session, &report, &ledger, Some(file), "was written");
        Ok(())
    }

    pub(super) fn import(&self, session: &Session, file: &Path) -> Outcome {
        let (ledger, genesis) = self.find()?;
        if let Some(data) = ledger.parent() {
            let failed =
                |error| Failure::failed(format!("cannot create the directory `{}`: {error}", data.display()));
            std::fs::create_dir_all(data).map_err(failed)?;
        }
        let progress = session.printer.progress("reading the file");
        let done = hansa_node_archive::import(file, &ledger, &genesis, &mut told(&progress));
        let report = done.map_err(failure)?;
        progress.finish();
        show(session, &report, &ledger, Some(file), "was read, and is sound");
        Ok(())
    }

    pub(super) fn compact(&self, session: &Session) -> Outcome {
        let (ledger, genesis) = self.find()?;
        let progress = session.printer.progress("opening the ledger");
        let done = hansa_node_archive::compact(&ledger, &genesis, &mut told(&progress));
        let done: Compaction = done.map_err(failure)?;
        progress.finish();
        session.printer.data(&done, || {
            pairs(&[
                ("ledger", ledger.display().to_string()),
                ("blocks", format!("{} to {}", done.report.height_first, done.report.height_last)),
                ("state root", done.report.state_root.clone()),
                ("bytes on disk", format!("{} before, {} now", done.bytes_before, done.bytes_after)),
            ])
        });
        Ok(())
    }
}

/// What a file or a store holds that is not sound is told as the caller's to repair; what this machine cannot do, as ours.
fn failure(error: ArchiveError) -> Failure {
    let text = error.to_string();
    match error {
        ArchiveError::File { .. } | ArchiveError::Store(StoreError::Fatal { .. } | StoreError::Io { .. }) => {
            Failure::failed(text)
        }
        ArchiveError::Store(StoreError::Locked { .. }) => {
            Failure::refused(text).hint("stop the node first; this works on a ledger that nobody writes to")
        }
        _ => Failure::refused(text),
    }
}

/// Says what goes on: all of it where a person watches, each stage once elsewhere.
fn told(progress: &Progress) -> impl FnMut(Stage, u64, Option<u64>) {
    let mut last = None;
    move |stage, done, total| {
        if last != Some(stage) && progress.is_hidden() {
            progress.done(&stage.to_string());
        }
        last = Some(stage);
        progress.now(&match total {
            Some(total) => format!("{stage}: {done} of {total}"),
            None => format!("{stage}: {done}"),
        });
    }
}

fn show(session: &Session, report: &Report, ledger: &Path, file: Option<&Path>, what: &str) {
    session.printer.data(&Done { report, ledger, file }, || {
        let mut lines = vec![("ledger", format!("{} {what}", ledger.display()))];
        if let Some(file) = file {
            lines.push(("file", file.display().to_string()));
        }
        lines.extend([
            ("blocks", format!("{} to {}", report.height_first, report.height_last)),
            ("certificates", format!("{} checked", report.blocks)),
            ("executed again", format!("{} blocks", report.blocks_executed)),
            ("transactions", report.transactions.to_string()),
            ("rows", report.rows.to_string()),
            ("evidence", format!("{} double votes", report.evidence)),
            ("state root", report.state_root.clone()),
        ]);
        pairs(&lines)
    });
}
