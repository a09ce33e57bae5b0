//! Building a module so that whoever builds it gets the same bytes.
//!
//! Panics name the file they are in, hence a module holds paths: of the crate, of the packages it uses, of the compiler. Members
//! that build it to compare its hash have other folders. Cargo's configuration cannot rename them without naming them.

use crate::{Answer, ContractError};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-unknown-unknown";

/// Variables that would take the place of the contract's own flags, or put another compiler in front.
const VARIABLES: [&str; 9] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "RUSTUP_TOOLCHAIN",
];

/// What cargo says of a file that it made.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// `hansa contract build`.
pub(crate) fn run(folder: &Path, target: Option<&Path>) -> Result<Answer, ContractError> {
    let folder =
        folder.canonicalize().ok().filter(|folder| folder.join("Cargo.toml").is_file()).ok_or_else(|| {
            ContractError::new(format!("`{}` is no contract: it has no Cargo.toml", folder.display()))
                .hint("give the folder of a contract; `hansa contract new` makes one")
        })?;
    let mut cargo = command("cargo", &folder);
    cargo
        .args([
            "build",
            "--lib",
            "--release",
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .arg("--config")
        .arg(remap(&folder)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    if let Some(target) = target {
        cargo.arg("--target-dir").arg(target);
    }
    let output = cargo.output().map_err(|error| missing("cargo", &error))?;
    if !output.status.success() {
        return Err(ContractError::new("the contract does not build").hint("cargo says above why"));
    }
    let module = module(&output.stdout).ok_or_else(|| {
        ContractError::new("cargo made no module")
            .hint("the crate's `[lib]` needs `crate-type = [\"rlib\", \"cdylib\"]`")
    })?;
    let code = crate::file::read(&module, 4 << 20)?;
    let hash = blake3::hash(&code).to_string();
    let text = format!("{}\n{} bytes, code hash {hash}", module.display(), code.len());
    let value = serde_json::json!({ "module": module, "bytes": code.len(), "code_hash": hash });
    Ok(Answer { value, text, refusal: None })
}

/// A program that runs in the contract's folder, by the toolchain that the folder pins.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.current_dir(folder);
    command
}

fn missing(program: &str, error: &std::io::Error) -> ContractError {
    ContractError::new(format!("cannot run `{program}`: {error}"))
        .hint("install Rust, as https://rustup.rs says")
}

/// The configuration that gives the folders of this machine names that are the same everywhere. Lists of flags add up, so the
/// contract's own stay.
fn remap(folder: &Path) -> Result<OsString, ContractError> {
    let output = command("rustc", folder).args(["--print", "sysroot"]).output();
    let output = output.map_err(|error| missing("rustc", &error))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let cargo_home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir().unwrap_or_default().join(".cargo"),
    };
    let names = [(folder, "/contract"), (cargo_home.as_path(), "/cargo"), (sysroot.as_path(), "/rust")];
    let flags: Vec<String> = names
        .iter()
        // Debug text of a string is a TOML string: quotes and backslashes are escaped alike.
        .map(|(path, name)| format!("{:?}", format!("--remap-path-prefix={}={name}", path.display())))
        .collect();
    Ok(format!("target.{TARGET}.rustflags=[{}]", flags.join(",")).into())
}

/// The last module that cargo made: the contract's own comes after those it uses.
fn module(said: &[u8]) -> Option<PathBuf> {
    let said = String::from_utf8_lossy(said);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let mut made = messages
        .filter(|message| message.reason == "compiler-artifact")
        .flat_map(|message| message.filenames);
    made.rfind(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}
