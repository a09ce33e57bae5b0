//! The workspace is as its documents say: who uses whom, and what each crate is for.

use crate::repository::{read, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// A crate of the workspace.
struct Member {
    /// Its folder, below the top.
    folder: String,
    description: String,
    /// The file that says what it is.
    source: String,
    /// The folders of the crates it uses, those for its tests left out.
    uses: BTreeSet<String>,
}

/// Every crate of the workspace, as cargo sees it.
fn members() -> Vec<Member> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let folder = |path: &str| {
        let path = Path::new(path);
        let path = if path.ends_with("Cargo.toml") { path.parent().unwrap() } else { path };
        path.strip_prefix(root()).ok().map(|path| path.display().to_string())
    };
    let member = |package: &Value| {
        let manifest = package["manifest_path"].as_str().unwrap();
        let used = package["dependencies"].as_array().unwrap().iter();
        let used = used.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
        let targets = package["targets"].as_array().unwrap();
        let source = |name: &str| {
            let mut sources = targets.iter().map(|target| target["src_path"].as_str().unwrap());
            sources.find(|source| source.ends_with(name)).map(str::to_owned)
        };
        Member {
            folder: folder(manifest).unwrap(),
            description: package["description"].as_str().unwrap_or_default().to_owned(),
            source: source("/lib.rs").or_else(|| source("/main.rs")).unwrap(),
            uses: used.filter_map(|dependency| folder(dependency["path"].as_str()?)).collect(),
        }
    };
    packages.iter().map(member).collect()
}

/// The arrows of the paragraph "Arrows:" in ARCHITECTURE.md, each from a user to what it uses.
fn documented(folders: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let text = read("ARCHITECTURE.md");
    let (_, rest) = text.split_once("Arrows: ").expect("ARCHITECTURE.md has a paragraph of arrows");
    let paragraph = rest.split("\n\n").next().unwrap_or(rest);
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for chain in paragraph.split('`').skip(1).step_by(2).filter(|chain| chain.contains("->")) {
        let chain = chain.split_whitespace().collect::<Vec<_>>().join(" ");
        let chain = chain.replace("everything a user can start", "{node, node/provider, testnet}");
        let tokens = chain.replace("->", "|>|").replace("<-", "|<|");
        let tokens: Vec<&str> = tokens.split('|').map(str::trim).collect();
        for arrow in tokens.windows(3).step_by(2) {
            let (from, to) = if arrow[1] == ">" { (arrow[0], arrow[2]) } else { (arrow[2], arrow[0]) };
            for from in group(from, folders) {
                let to = group(to, folders).into_iter().filter(|to| *to != from);
                arrows.entry(from.clone()).or_default().extend(to);
            }
        }
    }
    arrows
}

/// `a`, `{a, b}`, or `contracts/*`: the contracts themselves, which are those that are named nowhere else.
fn group(text: &str, folders: &BTreeSet<String>) -> Vec<String> {
    let names = text.trim_start_matches('{').trim_end_matches('}').split(',').map(str::trim);
    let each = names.flat_map(|name| match name.strip_suffix("/*") {
        None => vec![name.to_owned()],
        Some(parent) => {
            let apart = ["abi", "bundle"].map(|name| format!("{parent}/{name}"));
            let below = folders.iter().filter(|folder| folder.starts_with(&format!("{parent}/")));
            below.filter(|folder| !apart.contains(folder)).cloned().collect()
        }
    });
    each.collect()
}

/// Whether a folder is one of the crates of tests, which may use everything and which nothing else uses.
fn is_tests(folder: &str) -> bool {
    folder == "tests" || folder.starts_with("tests/")
}

/// Everything that can be reached along arrows.
fn reach<'a>(arrows: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str, seen: &mut BTreeSet<&'a str>) {
    for to in arrows.get(from).into_iter().flatten() {
        if seen.insert(to) {
            reach(arrows, to, seen);
        }
    }
}

#[test]
fn crates_use_each_other_along_the_documented_arrows() {
    let members = members();
    let folders: BTreeSet<String> = members.iter().map(|member| member.folder.clone()).collect();
    let arrows = documented(&folders);
    assert!(arrows.len() > 6, "the paragraph of arrows is read: {arrows:?}");
    for (from, to) in &arrows {
        let member = members.iter().find(|member| member.folder == *from);
        let member = member.unwrap_or_else(|| panic!("ARCHITECTURE.md names `{from}`, which is no crate"));
        for to in to {
            assert!(
                member.uses.contains(to),
                "ARCHITECTURE.md says that `{from}` uses `{to}`, and its Cargo.toml does not"
            );
        }
    }
    for member in members.iter().filter(|member| !is_tests(&member.folder)) {
        let mut allowed = BTreeSet::new();
        reach(&arrows, &member.folder, &mut allowed);
        for used in &member.uses {
            assert!(!is_tests(used), "`{}` depends on the tests", member.folder);
            assert!(
                allowed.contains(used.as_str()),
                "`{}` uses `{used}`; no arrow of ARCHITECTURE.md leads there",
                member.folder
            );
        }
        assert!(
            !allowed.contains(member.folder.as_str()),
            "the arrows run in a circle at `{}`",
            member.folder
        );
    }
}

#[test]
fn each_crate_says_in_one_line_what_it_is_for_and_always_the_same() {
    for member in members() {
        let (folder, purpose) = (&member.folder, &member.description);
        assert!(
            purpose.ends_with('.') && purpose.len() < 100,
            "{folder}: `{purpose}` is no one-line purpose"
        );
        let source = std::fs::read_to_string(&member.source).unwrap();
        let first = source.lines().next().unwrap_or_default();
        assert_eq!(first, format!("//! {purpose}"), "the first line of {}", member.source);
    }
}

#[test]
fn the_readme_lists_each_crate_with_its_purpose() {
    let readme = read("README.md");
    let rows: Vec<String> =
        readme.lines().filter(|line| line.starts_with('|')).map(|line| line.replace('`', "")).collect();
    for member in members() {
        let (folder, purpose) = (&member.folder, &member.description);
        let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let row = rows.iter().map(|row| cells(row)).find(|cells| cells.get(1) == Some(folder));
        let row = row.unwrap_or_else(|| panic!("the README has no table row for the crate `{folder}`"));
        assert_eq!(row.get(2), Some(purpose), "the purpose of `{folder}` in the README");
    }
}

#[test]
fn engines_are_named_in_one_place_each() {
    for (engine, home) in [("sled", "ledger/store"), ("wasmi", "contracts/host"), ("malachitebft", "node")] {
        let users: BTreeSet<String> = crate::repository::files()
            .into_iter()
            .filter(|path| path.ends_with("Cargo.toml") && path != "Cargo.toml")
            .filter(|path| !also_names(engine, path))
            .filter(|path| {
                read(path)
                    .lines()
                    .any(|line| line.trim_start_matches("arc-").trim_start().starts_with(engine))
            })
            .collect();
        assert_eq!(users, BTreeSet::from([format!("{home}/Cargo.toml")]), "who depends on {engine}");
        let inside = if engine == "malachitebft" { "node/src/consensus" } else { home };
        let strays: Vec<String> = crate::repository::files()
            .into_iter()
            .filter(|path| path.ends_with(".rs") && !path.starts_with(inside) && !also_names(engine, path))
            .filter(|path| {
                let text = read(path);
                let named = [format!("{engine}::"), format!("use {engine}"), format!("{engine}_")];
                text.lines()
                    .map(|line| line.split("//").next().unwrap_or_default())
                    .any(|line| named.iter().any(|named| starts_word(line, named)))
            })
            .collect();
        assert!(strays.is_empty(), "{engine} is named outside {inside}: {strays:?}");
    }
}

/// The simulator drives the consensus core itself; the comparison with another engine runs this one without the ledger's limits, to
/// tell a limit from a difference.
fn also_names(engine: &str, path: &str) -> bool {
    match engine {
        "malachitebft" => path.starts_with("tests/sim/"),
        "wasmi" => path.starts_with("tests/differential/"),
        _ => false,
    }
}

/// Whether `text` holds `word`, and not as the end of a longer one.
fn starts_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        // What stands in quotes is text about the engine.
        before.is_none_or(|before| !before.is_alphanumeric() && !"_\"`".contains(before))
    })
}
