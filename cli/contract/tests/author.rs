//! The way of an author, as it is documented: a new crate, its tests, its module, the check, a simulation.

mod common;

use common::hansa;
use hansa_cli_contract::create;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs cargo on a crate as its author would, without the network, and with nothing of the cargo that runs this test.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
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
    // One folder for all tests and runs: what the crates use is compiled once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    let output = command
        .env("CARGO_TARGET_DIR", target)
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

/// Builds the module of a crate.
fn module(folder: &Path, name: &str) -> PathBuf {
    cargo(folder, &["build", "--release", "--target", "wasm32-unknown-unknown"]);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    target.join("wasm32-unknown-unknown/release").join(format!("{}.wasm", name.replace('-', "_")))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_new_contract_builds_passes_its_tests_and_the_check_and_settles() {
    let place = tempfile::tempdir().unwrap();
    let answer = hansa(&["new", "first-try", "--dir", text(place.path())]).unwrap();
    let folder = place.path().join("first-try");
    assert!(answer.text.contains("cargo test"), "{}", answer.text);
    let said = cargo(&folder, &["test"]);
    assert!(said.contains("4 passed"), "{said}");
    let module = module(&folder, "first-try");
    let params = folder.join("params.json");
    let check = hansa(&["check", text(&module), "--params", text(&params)]).unwrap();
    assert_eq!(check.refusal, None, "{}", check.text);
    assert_eq!(check.value["name"], "first-try");
    assert_eq!(check.value["memory_pages"], 1);
    assert_eq!(check.value["tariff"], fs::read_to_string(folder.join("tariff.md")).unwrap());
    let calls = check.value["calls"].as_array().unwrap();
    assert!(calls.len() == 9 && calls.iter().all(|call| call["failed"] == false), "{calls:#?}");
    println!("{}", check.text);
    let [terms, usage] = ["terms.json", "usage.json"].map(|file| folder.join(file));
    let arguments = [
        "simulate",
        text(&module),
        "--params",
        text(&params),
        "--terms",
        text(&terms),
        "--usage",
        text(&usage),
    ];
    let simulated = hansa(&arguments).unwrap();
    println!("{}", simulated.text);
    let steps = simulated.value["steps"].as_array().unwrap();
    // 80 accelerator-hours are certain by noon; at the end 144, of which 100 at the full price and 44 at four fifths.
    assert_eq!(steps[0]["payments"][0]["paid"], "198.00");
    assert_eq!(steps[1]["payments"][0]["paid"], "334.62");
    assert_eq!(steps[1]["payments"][1]["paid"], "3.38");
    assert_eq!(simulated.value["quote"]["lock"], "434.00");
    assert_eq!(steps[1]["refund"], "96.00");
}

#[test]
fn a_name_that_cannot_be_one_and_a_folder_that_exists_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let name = |name: &str| create(name, place.path(), None).unwrap_err().message;
    for wrong in ["", "Carbon", "1st", "a b", "a_b", "-a", "a-", "a--b", "../a", "käse", &"a".repeat(49)] {
        assert_eq!(name(wrong), format!("`{wrong}` is no name of a contract"));
    }
    assert!(name("borsh").contains("something that the contract uses"));
    fs::create_dir(place.path().join("there")).unwrap();
    assert!(name("there").ends_with("exists already"));
    let nowhere = create("sound", place.path(), Some(place.path())).unwrap_err();
    assert!(nowhere.message.ends_with("is no checkout of the source of hansa"), "{nowhere}");
    assert!(!place.path().join("sound").exists(), "a refusal leaves nothing behind");
}

#[test]
fn a_contract_inside_of_the_checkout_names_it_relatively() {
    // A checkout of which only the part is there that is looked at.
    let checkout = tempfile::tempdir().unwrap();
    let abi = checkout.path().join("contracts/abi");
    fs::create_dir_all(&abi).unwrap();
    fs::write(abi.join("Cargo.toml"), "[package]\nname = \"hansa-contracts-abi\"\n").unwrap();
    for sdk in [checkout.path(), abi.as_path()] {
        let name = if sdk == abi { "second" } else { "first" };
        let folder = create(name, &checkout.path().join("contracts"), Some(sdk)).unwrap();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("{ path = \"../../contracts/abi\" }"), "{manifest}");
        assert!(!manifest.contains("{{"), "{manifest}");
    }
}
