//! A new contract: a crate of its own that builds, tests and passes the check.

use crate::ContractError;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files of the crate: where they go, and what is in them before names are filled in.
const FILES: [(&str, &str); 12] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("../template/cargo-config.toml")),
    (".gitignore", include_str!("../template/gitignore")),
    ("README.md", include_str!("../template/README.md")),
    // The compiler of the workspace itself: the same one makes the same bytes.
    ("rust-toolchain.toml", include_str!("../../../rust-toolchain.toml")),
    ("rustfmt.toml", include_str!("../../../rustfmt.toml")),
    ("src/lib.rs", include_str!("../template/lib.rs")),
    ("tests/settlement.rs", include_str!("../template/settlement.rs")),
    ("tariff.md", include_str!("../template/tariff.txt")),
    ("params.json", include_str!("../template/params.json")),
    ("terms.json", include_str!("../template/terms.json")),
    ("usage.json", include_str!("../template/usage.json")),
];

/// Longest name of a contract.
const NAME_CHARACTERS_MAX: usize = 48;

/// Names that a crate cannot have beside what it uses, or that the language keeps.
const NAMES_TAKEN: [&str; 12] = [
    "alloc",
    "borsh",
    "core",
    "std",
    "test",
    "self",
    "super",
    "crate",
    "hansa-contracts-abi",
    "proc-macro",
    "build",
    "deps",
];

/// Writes a new contract into the folder `name` below `parent`, and gives the folder. `sdk` is a checkout of the source, or the
/// folder `contracts/abi` in one; without it, the checkout this program was built from is used while it exists.
///
/// # Errors
/// When the name cannot be one, the folder exists, there is no checkout, or a file cannot be written.
pub fn create(name: &str, parent: &Path, sdk: Option<&Path>) -> Result<PathBuf, ContractError> {
    check_name(name)?;
    let abi = find_abi(sdk)?;
    let folder = parent.join(name);
    if folder.exists() {
        return Err(ContractError::new(format!("`{}` exists already", folder.display()))
            .hint("give another name, or another folder with `--dir`"));
    }
    let cannot = |path: &Path, error: &std::io::Error| {
        ContractError::new(format!("cannot write `{}`: {error}", path.display()))
    };
    fs::create_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
    let folder = folder.canonicalize().map_err(|error| cannot(&folder, &error))?;
    for (file, template) in FILES {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| cannot(parent, &error))?;
        }
        fs::write(&path, fill(template, name, &from(&folder, &abi)))
            .map_err(|error| cannot(&path, &error))?;
    }
    // The dependencies in the versions that the federation's own contracts are built with; cargo drops what is not used.
    if let Some(lock) = root(&abi).map(|root| root.join("Cargo.lock")).filter(|lock| lock.is_file()) {
        let to = folder.join("Cargo.lock");
        fs::copy(lock, &to).map_err(|error| cannot(&to, &error))?;
    }
    Ok(folder)
}

fn check_name(name: &str) -> Result<(), ContractError> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let dashes = !name.ends_with('-') && !name.contains("--");
    if !letters || !begins || !dashes || name.len() > NAME_CHARACTERS_MAX {
        return Err(ContractError::new(format!("`{name}` is no name of a contract")).hint(format!(
            "use lower-case letters, digits and single dashes, a letter first, at most {NAME_CHARACTERS_MAX} characters, such as \
             `carbon-indexed`"
        )));
    }
    match NAMES_TAKEN.contains(&name) {
        true => Err(ContractError::new(format!("`{name}` is the name of something that the contract uses"))
            .hint("give it another name")),
        false => Ok(()),
    }
}

/// The folder of the crate that contracts are written against.
fn find_abi(sdk: Option<&Path>) -> Result<PathBuf, ContractError> {
    let given = sdk.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), Path::to_path_buf);
    let places = [given.join("contracts/abi"), given.clone()];
    let is_abi = |place: &&PathBuf| {
        fs::read_to_string(place.join("Cargo.toml")).is_ok_and(|manifest| {
            manifest.lines().any(|line| line.trim() == "name = \"hansa-contracts-abi\"")
        })
    };
    let found = places.iter().find(is_abi).and_then(|place| place.canonicalize().ok());
    found.ok_or_else(|| match sdk {
        Some(path) => ContractError::new(format!("`{}` is no checkout of the source of hansa", path.display()))
            .hint("give the folder of a checkout, in which `contracts/abi` lies"),
        None => ContractError::new("the source that this program was built from is not on this machine")
            .hint("check out the source of the version that your federation runs, and give its folder with `--sdk`"),
    })
}

/// The checkout that holds the crate.
fn root(abi: &Path) -> Option<&Path> {
    abi.ancestors().nth(2)
}

/// How the crate in `folder` names the one in `abi`: relative inside of one checkout, which may then be moved as a whole.
fn from(folder: &Path, abi: &Path) -> String {
    let absolute = abi.display().to_string();
    let Some(root) = root(abi) else { return absolute };
    let (Ok(inside), Ok(rest)) = (folder.strip_prefix(root), abi.strip_prefix(root)) else { return absolute };
    let up = inside.components().filter(|part| matches!(part, Component::Normal(_))).map(|_| "..");
    let path: PathBuf = up.map(PathBuf::from).chain([rest.to_path_buf()]).collect();
    path.display().to_string()
}

fn fill(template: &str, name: &str, sdk: &str) -> String {
    let type_name: String = name.split('-').map(capital).collect();
    // TOML reads backslashes and quotes in a path as something else.
    let sdk = sdk.replace('\\', "\\\\").replace('"', "\\\"");
    template
        .replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{Type}}", &type_name)
        .replace("{{sdk}}", &sdk)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
