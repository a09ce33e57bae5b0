//! Builds the trainer for the machine the testnet will run on, so that the demo has a real program to send as a job.
//!
//! It is linked statically where the target allows: a provider's sandbox then needs nothing but the program itself.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "hansa-testnet-trainer";

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let target = std::env::var("TARGET")?;
    let trainer = here.join("trainer");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=trainer/Cargo.toml");
    println!("cargo::rerun-if-changed=trainer/src");
    println!("cargo::rerun-if-changed=trainer/data");

    let flags = if target.contains("linux") { "-Ctarget-feature=+crt-static" } else { "" };
    let built = match build(&trainer, &out, &target, flags) {
        Ok(program) => program,
        // Some systems ship no static C library. A dynamic program does the same work wherever its libraries are.
        Err(error) if !flags.is_empty() => {
            println!(
                "cargo::warning=the trainer is linked dynamically, because linking it statically failed: {error}"
            );
            build(&trainer, &out, &target, "")?
        }
        Err(error) => return Err(error),
    };
    std::fs::copy(&built, out.join("trainer-program"))
        .map_err(|error| format!("cannot copy `{}`: {error}", built.display()))?;
    Ok(())
}

/// Run cargo for the trainer alone and return the path of the program.
fn build(trainer: &Path, out: &Path, target: &str, flags: &str) -> Result<PathBuf, Box<dyn Error>> {
    // A target folder of its own: the outer cargo holds the lock on the usual one while this script runs.
    let folder = out.join("trainer-target");
    let mut command = Command::new(std::env::var("CARGO")?);
    command
        .args(["build", "--release", "--locked", "--quiet", "--package", PACKAGE, "--bin", PACKAGE])
        .args(["--target", target])
        .arg("--manifest-path")
        .arg(trainer.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder);
    // What the outer build was given (clippy as the compiler, coverage flags, profiles) is not meant for this program.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_BUILD_")
            || text.starts_with("CARGO_TARGET_")
        {
            command.env_remove(&name);
        }
    }
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_TARGET_DIR", "CLIPPY_ARGS"] {
        command.env_remove(name);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags);
    let output = command.output().map_err(|error| format!("cannot run cargo for the trainer: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo could not build the trainer: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(folder.join(target).join("release").join(PACKAGE))
}
