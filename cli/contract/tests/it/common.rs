//! What the tests of the verbs share.

use clap::Parser;
use hansa_cli_contract::{Answer, ContractArguments, ContractError};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The verbs as a program of their own.
#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    arguments: ContractArguments,
}

/// Runs `hansa contract` with these arguments.
pub fn hansa(arguments: &[&str]) -> Result<Answer, ContractError> {
    let all = std::iter::once("contract").chain(arguments.iter().copied());
    Program::try_parse_from(all).unwrap_or_else(|error| panic!("{arguments:?}: {error}")).arguments.run()
}

/// Where the crates of the tests are compiled: one folder for all of them and for all runs, since most of what they use is the
/// same.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("author")
}

/// A folder for the crates of one test, empty and always the same, so that what is compiled takes the place of what was.
pub fn place(test: &str) -> PathBuf {
    let place = target().join("crates").join(test);
    if place.exists() {
        std::fs::remove_dir_all(&place).unwrap();
    }
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// Runs cargo on a crate as its author would, without the network, and with nothing of the cargo that runs this test.
pub fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let kept = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
        let outer = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "CLIPPY"];
        if outer.iter().any(|start| name.starts_with(start))
            && !kept.iter().any(|start| name.starts_with(start))
        {
            command.env_remove(&*name);
        }
    }
    let output = command
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_INCREMENTAL", "0")
        .current_dir(folder)
        .args(arguments)
        .arg("--offline")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "cargo {arguments:?} in {}:\n{said}", folder.display());
    said.into_owned()
}

/// Builds the module of the crate `name`.
pub fn module(folder: &Path, name: &str) -> PathBuf {
    cargo(folder, &["build", "--release", "--target", "wasm32-unknown-unknown"]);
    target().join("wasm32-unknown-unknown/release").join(format!("{}.wasm", name.replace('-', "_")))
}

/// Builds the module of a crate with `hansa contract build`. Its dependencies are there: `cargo` has compiled them.
pub fn build(folder: &Path) -> Answer {
    hansa(&["build", text(folder), "--target-dir", text(&target().join("named"))]).unwrap()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
