//! Compiles the built-in contracts to WASM, each into the same bytes wherever and however the workspace is built.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const TARGET: &str = "wasm32-unknown-unknown";

/// The built-in contracts, by name: each is the package `hansa-contracts-NAME` in the folder `contracts/NAME`. A new template
/// is one more line here, and one in `modules.toml`.
const TEMPLATES: &[&str] = &["coinvest", "dispute", "grant", "reserved", "spot"];

/// Variables of the outer cargo that the inner one may see. All others change what is compiled: flags and wrappers
/// (clippy's among them), profiles, and the outer package's own data.
const CARGO_VARIABLES_KEPT: [&str; 5] =
    ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];

fn main() {
    if let Err(reason) = build() {
        eprintln!("error: {reason}");
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = here
        .ancestors()
        .nth(2)
        .ok_or_else(|| "the bundle is not two folders below the workspace".to_owned())?;
    for watched in ["build.rs", "../abi/src", "../abi/Cargo.toml", "../../Cargo.toml", "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    require_target()?;
    let mut source = String::new();
    let mut list = String::new();
    for name in TEMPLATES {
        for watched in ["src", "Cargo.toml", "tariff.md"] {
            println!("cargo::rerun-if-changed=../{name}/{watched}");
        }
        // A folder of its own: the outer cargo holds the lock of its folder while this runs.
        let target = out.join("target");
        compile(root, &format!("hansa-contracts-{name}"), &target)?;
        let from = target.join(TARGET).join("release").join(format!("hansa_contracts_{name}.wasm"));
        let to = out.join(format!("{name}.wasm"));
        fs::copy(&from, &to).map_err(|error| format!("cannot copy `{}`: {error}", from.display()))?;
        let constant = name.to_uppercase();
        source.push_str(&format!(
            "/// The module of `contracts/{name}`.\n\
             pub const {constant}: &[u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\"));\n"
        ));
        list.push_str(&format!("(\"{name}\", {constant}),"));
    }
    source.push_str(&format!(
        "/// All built-in contracts with their modules, by name.\n\
         const BUILTIN: &[(&str, &[u8])] = &[{list}];\n"
    ));
    let to = out.join("modules.rs");
    fs::write(&to, source).map_err(|error| format!("cannot write `{}`: {error}", to.display()))
}

/// Without the target, cargo's own message is about a missing crate `core`; say what to do instead.
fn require_target() -> Result<(), String> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run the compiler: {error}"))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.is_dir() {
        return Ok(());
    }
    Err(format!(
        "the contracts are compiled to WASM, and the compiler lacks the target for it; install it with \
         `rustup target add {TARGET}`"
    ))
}

fn compile(root: &Path, package: &str, target: &Path) -> Result<(), String> {
    let mut command = Command::new(variable("CARGO")?);
    for (name, _) in env::vars_os() {
        if leaks(&name) {
            command.env_remove(name);
        }
    }
    // Set rather than removed, so that the user's cargo configuration cannot put a wrapper or a profile in either.
    command
        .env("RUSTC", variable("RUSTC")?)
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root)?)
        // 3 unrolls and copies what an interpreter then has to run: a call takes a quarter longer.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "false")
        .current_dir(root)
        .args(["rustc", "--lib", "--release", "--locked", "--crate-type", "cdylib"])
        .args(["--package", package, "--target", TARGET])
        .arg("--target-dir")
        .arg(target);
    let output = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{package}` does not compile to WASM:\n{said}"))
}

/// Flags of the contracts' compiler: no instruction beyond the first WASM, stack, buffer and the largest decoded input in one
/// page (a second page costs fuel in every call), and no path of this machine in the result.
fn flags(root: &Path) -> Result<OsString, String> {
    let mut flags: Vec<OsString> = [
        "-Ctarget-cpu=mvp",
        "-Clink-arg=-zstack-size=8192",
        "-Clink-arg=--initial-memory=65536",
        "-Clink-arg=--no-growable-memory",
        // The precompiled `core` pads the table index of indirect calls, which only reference types allow.
        "-Clink-arg=--compress-relocations",
    ]
    .map(OsString::from)
    .to_vec();
    let cargo_home = match env::var_os("CARGO_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir().unwrap_or_default().join(".cargo"),
    };
    let sysroot = Command::new(variable("RUSTC")?)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|error| format!("cannot run the compiler: {error}"))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    for (folder, name) in [(root, "/hansa"), (cargo_home.as_path(), "/cargo"), (sysroot.as_path(), "/rust")] {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push("=");
        flag.push(name);
        flags.push(flag);
    }
    Ok(flags.join(OsStr::new("\u{1f}")))
}

fn leaks(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    if CARGO_VARIABLES_KEPT.iter().any(|kept| name.starts_with(kept)) {
        return false;
    }
    let ours = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "CLIPPY", "DEP_"];
    let outer = ["TARGET", "HOST", "OUT_DIR", "PROFILE", "OPT_LEVEL", "DEBUG", "NUM_JOBS", "MAKEFLAGS"];
    ours.iter().any(|start| name.starts_with(start)) || outer.contains(&name.as_ref())
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set `{name}`"))
}
