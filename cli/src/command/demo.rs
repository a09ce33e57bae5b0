//! `hansa demo`: a federation on this machine settles one real job, end to end, and proves it.

use crate::error::Outcome;
use crate::session::Session;
use clap::Args;
use hansa_testnet::DemoOptions;
use std::path::PathBuf;

/// A federation on this machine settles one real job, end to end, and proves it.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Where it lives; a folder among the temporary files if not said
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave the folder when all is well
    #[arg(long)]
    keep: bool,
    /// Run jobs even where this machine offers no sandbox
    #[arg(long)]
    allow_unsandboxed: bool,
}

impl DemoArguments {
    pub(super) async fn run(self, session: &Session) -> Outcome {
        let options = DemoOptions {
            folder: self.dir,
            keep: self.keep,
            json: session.printer.is_json(),
            quiet: session.printer.is_quiet(),
            allow_unsandboxed: self.allow_unsandboxed,
            executable: None,
        };
        Ok(hansa_testnet::demo(&options, &mut std::io::stdout()).await?)
    }
}
