//! The verbs of `hansa contract` that need no node.

use crate::terms::TermsFile;
use crate::usage::UsageFile;
use crate::{Answer, ContractError, ReplayBundle, build, check, create, file, module, params, simulation};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Write, check, try and replay contracts.
#[derive(Debug, Args)]
pub struct ContractArguments {
    #[command(subcommand)]
    verb: ContractVerb,
}

/// What to do: one of the verbs that need no node.
#[derive(Debug, Subcommand)]
pub enum ContractVerb {
    /// Write a new contract: a crate that builds, tests and passes the check
    New(New),
    /// Build a contract's module, with no path of this machine in it
    Build(Build),
    /// Whether the ledger would take a module, and what it costs to ask it
    Check(Check),
    /// What a contract asks for, under terms from a file
    Quote(Quote),
    /// Carry a lease through a contract, as the ledger would
    Simulate(Simulate),
    /// Parameters in hexadecimal, as an offer takes them, from a file of typed values
    Params(Params),
    /// Run a lease's settlements again, bit for bit, from an exported bundle or as a node tells them
    Replay(Replay),
}

#[derive(Debug, Args)]
pub struct New {
    /// Its name, such as `carbon-indexed`
    name: String,
    /// Folder that it is written below
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Checkout of the source of hansa; the one this program was built from if not said
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Build {
    /// Folder of the contract
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Folder for what is compiled; the contract's own `target` if not said
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// A module, and what it is asked with.
#[derive(Debug, Args)]
pub struct Check {
    /// The module, or the name of a built-in contract
    module: PathBuf,
    #[command(flatten)]
    params: ParamsArgument,
}

#[derive(Debug, Args)]
struct ParamsArgument {
    /// Parameters: a file of typed values that ends in `.json`, a file of bytes, or hexadecimal; no bytes if not said
    #[arg(long, value_name = "FILE|HEX")]
    params: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "docs/contracts.md describes every field of the files.")]
pub struct Quote {
    /// The module, or the name of a built-in contract
    module: PathBuf,
    #[command(flatten)]
    params: ParamsArgument,
    /// What the parties would sign, as JSON
    #[arg(long, value_name = "FILE")]
    terms: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "docs/contracts.md describes every field of the files.")]
pub struct Simulate {
    #[command(flatten)]
    quote: Quote,
    /// What happens in the lease, step by step, as JSON
    #[arg(long, value_name = "FILE")]
    usage: PathBuf,
}

#[derive(Debug, Args)]
pub struct Params {
    /// The file of typed values
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// The bundle; what is no file is a lease: its id or the beginning of it
    bundle: PathBuf,
}

/// The most bytes of a bundle: the largest module and a thousand of the largest settlements in hexadecimal.
const BUNDLE_BYTES_MAX: u64 = 64 << 20;

impl ContractArguments {
    /// Does it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn run(self) -> Result<Answer, ContractError> {
        self.verb.run()
    }
}

impl ContractVerb {
    /// Does it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn run(self) -> Result<Answer, ContractError> {
        match self {
            Self::New(new) => new.run(),
            Self::Build(verb) => build::run(&verb.folder, verb.target_dir.as_deref()),
            Self::Check(verb) => check::run(&verb.module, &verb.params.read()?),
            Self::Quote(quote) => quote.run(),
            Self::Simulate(simulate) => simulate.run(),
            Self::Params(params) => {
                let bytes = file::read(&params.file, file::JSON_BYTES_MAX)?;
                let params = hex::encode(params::typed_params(&file::name(&params.file), &bytes)?);
                Ok(Answer { value: serde_json::json!({ "params": params }), text: params, refusal: None })
            }
            Self::Replay(replay) => {
                let bytes = file::read(&replay.bundle, BUNDLE_BYTES_MAX)?;
                Ok(ReplayBundle::parse(&file::name(&replay.bundle), &bytes)?.replay().answer())
            }
        }
    }
}

impl ContractVerb {
    /// The lease whose settlements a node has to be asked for: what is to be replayed is no file here.
    #[must_use]
    pub fn lease_to_replay(&self) -> Option<&str> {
        match self {
            Self::Replay(replay) if !replay.bundle.exists() => replay.bundle.to_str(),
            _ => None,
        }
    }
}

impl ParamsArgument {
    fn read(&self) -> Result<Vec<u8>, ContractError> {
        params::read_params(self.params.as_deref())
    }
}

impl New {
    fn run(&self) -> Result<Answer, ContractError> {
        let folder = create::create(&self.name, &self.dir, self.sdk.as_deref())?;
        let text = format!(
            "wrote {}\n\n  cd {}\n  cargo test\n  hansa contract build\n  hansa contract check \
             target/wasm32-unknown-unknown/release/{}.wasm --params params.json",
            folder.display(),
            self.dir.join(&self.name).display(),
            self.name.replace('-', "_"),
        );
        Ok(Answer {
            value: serde_json::json!({ "contract": self.name, "folder": folder }),
            text,
            refusal: None,
        })
    }
}

fn read_terms(path: &Path) -> Result<TermsFile, ContractError> {
    TermsFile::parse(&file::name(path), &file::read(path, file::JSON_BYTES_MAX)?)
}

impl Quote {
    fn run(&self) -> Result<Answer, ContractError> {
        let module = module::open(&self.module)?;
        let (report, _, _) = simulation::ask(&module, &self.params.read()?, &read_terms(&self.terms)?)?;
        Ok(report.answer(&module.title()))
    }
}

impl Simulate {
    fn run(&self) -> Result<Answer, ContractError> {
        let module = module::open(&self.quote.module)?;
        let params = self.quote.params.read()?;
        let terms = read_terms(&self.quote.terms)?;
        let usage = file::read(&self.usage, file::JSON_BYTES_MAX)?;
        let usage = UsageFile::parse(&file::name(&self.usage), &usage, &terms)?;
        Ok(simulation::carry(&module, &params, &terms, &usage)?.answer())
    }
}
