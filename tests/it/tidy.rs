//! Habits that are rules: file length, nothing unfinished, nothing of one developer's machine, version floors.

use crate::repository::{files, read, root};
use std::collections::BTreeMap;

/// The most lines of a source file that gives no reason for being longer.
const LINES_MAX: usize = 600;

/// A file that is longer says why in one of its first lines, after this mark.
const REASON: &str = "One file on purpose: ";

/// Below which version a crate is open to attack, as docs/decisions/0004 has it. A floor holds for versions from `since` on:
/// an older line may be compiled beside it where nothing calls it.
const FLOORS: [(&str, [u64; 3], [u64; 3]); 6] = [
    ("libp2p-gossipsub", [0, 0, 0], [0, 49, 4]),
    ("quinn-proto", [0, 0, 0], [0, 11, 15]),
    ("snow", [0, 0, 0], [0, 9, 5]),
    ("yamux", [0, 13, 0], [0, 13, 10]),
    ("rustls-webpki", [0, 0, 0], [0, 103, 13]),
    ("h2", [0, 0, 0], [0, 4, 16]),
];

/// Crates that must not be in the tree at all.
const BANNED: [&str; 2] = ["ed25519-consensus", "arc-malachitebft-signing-ed25519"];

fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn long_files_say_why() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .filter(|(_, text)| !text.lines().take(12).any(|line| line.contains(REASON)))
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "split them, or write `{REASON}...` at their top: {long:#?}");
}

#[test]
fn nothing_is_left_unfinished() {
    // Written in two halves, so that this file does not find itself.
    let marks = ["todo!", "unimplemented!", "#[ignore", "FIXME", "XXX", "dbg!"].map(|mark| {
        let (head, tail) = mark.split_at(1);
        format!("{head}{tail}")
    });
    let own = "tests/it/tidy.rs";
    let mut found = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| path != own) {
        for (number, line) in text.lines().enumerate() {
            found.extend(
                marks
                    .iter()
                    .filter(|mark| line.contains(*mark))
                    .map(|mark| format!("{path}:{}: {mark}", number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_text_names_one_developers_machine() {
    let own = "tests/it/tidy.rs";
    let marks = ["/home/", "/Users/", "/root/", "/work/", "/workspace/", "file:///"];
    // The mark begins a path: in `net/home/` it does not.
    let begins = |line: &str, mark: &str| {
        line.match_indices(mark).any(|(at, _)| {
            line[..at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && !"}_-.".contains(before))
        })
    };
    let mut found = Vec::new();
    for path in files().into_iter().filter(|path| path != own) {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            found.extend(
                marks
                    .iter()
                    .filter(|mark| begins(line, mark))
                    .map(|mark| format!("{path}:{}: {mark}", number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    let lock = read("Cargo.lock");
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
    let others: Vec<&str> = sources
        .filter(|source| *source != "\"registry+https://github.com/rust-lang/crates.io-index\"")
        .collect();
    assert!(others.is_empty(), "crates come from crates.io: {others:?}");
}

#[test]
fn each_page_has_one_title_in_its_first_line() {
    for path in files().into_iter().filter(|path| path.ends_with(".md")) {
        let text = read(&path);
        let mut fenced = false;
        let titles: Vec<usize> = (1..)
            .zip(text.lines())
            .filter(|(_, line)| {
                fenced ^= line.trim_start().starts_with("```");
                !fenced && line.starts_with("# ")
            })
            .map(|(number, _)| number)
            .collect();
        assert_eq!(titles, [1], "the titles of {path}, by line");
    }
}

#[test]
fn decisions_are_numbered_without_a_gap_and_listed() {
    let index = read("docs/decisions/README.md");
    let pages: Vec<String> = files()
        .into_iter()
        .filter_map(|path| path.strip_prefix("docs/decisions/").map(str::to_owned))
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    for (number, page) in (1..).zip(&pages) {
        assert!(page.starts_with(&format!("{number:04}-")), "`{page}` should have the number {number:04}");
        assert!(index.contains(&format!("({page})")), "docs/decisions/README.md does not list `{page}`");
        assert!(read(&format!("docs/decisions/{page}")).contains("\nStatus: "), "`{page}` has a status");
    }
}

/// Every version of every crate in Cargo.lock.
fn locked() -> BTreeMap<String, Vec<[u64; 3]>> {
    let mut locked: BTreeMap<String, Vec<[u64; 3]>> = BTreeMap::new();
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    for package in lock["package"].as_array().unwrap() {
        let version = package["version"].as_str().unwrap();
        let numbers = version.split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| part.parse().unwrap());
        let version = std::array::from_fn(|_| parts.next().unwrap_or(0));
        locked.entry(package["name"].as_str().unwrap().to_owned()).or_default().push(version);
    }
    locked
}

#[test]
fn no_crate_is_below_its_floor_or_banned() {
    let locked = locked();
    for (name, since, floor) in FLOORS {
        for version in locked.get(name).into_iter().flatten().filter(|version| **version >= since) {
            assert!(*version >= floor, "{name} is {version:?}, below {floor:?}");
        }
    }
    // These three are what the node cannot do without, so that a floor never holds for want of the crate.
    for name in ["libp2p-gossipsub", "snow", "yamux"] {
        assert!(locked.contains_key(name), "{name} is in Cargo.lock");
    }
    for name in BANNED {
        assert!(!locked.contains_key(name), "{name} is banned");
    }
}

#[test]
fn the_ban_list_names_what_the_test_holds() {
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let bans: Vec<&str> =
        deny["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    for ban in &bans {
        let held = match ban.split_once("@<") {
            Some((name, version)) => FLOORS.iter().any(|(held, _, floor)| {
                *held == name && floor.map(|part| part.to_string()).join(".") == version
            }),
            None => BANNED.contains(ban),
        };
        assert!(held, "deny.toml bans `{ban}`, and tests/it/tidy.rs does not hold it");
    }
    for name in BANNED {
        assert!(bans.contains(&name), "deny.toml does not ban `{name}`");
    }
}

#[test]
fn signatures_are_checked_by_one_rule_in_one_crate() {
    for (path, text) in sources() {
        if path.starts_with("ledger/signature/") || path == "tests/it/tidy.rs" {
            continue;
        }
        // Who cannot name the libraries cannot call their checks.
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let named = ["ed25519_dalek", "ed25519_zebra", "verify_strict(", "VerifyingKey", "verify_batch("];
            for name in named {
                assert!(!code.contains(name), "{path}:{}: `{name}` belongs to ledger/signature", number + 1);
            }
        }
    }
    for path in files().into_iter().filter(|path| path.ends_with("Cargo.toml") && path != "Cargo.toml") {
        if path != "ledger/signature/Cargo.toml" {
            assert!(
                !read(&path).lines().any(|line| line.starts_with("ed25519")),
                "{path} depends on a rule of its own"
            );
        }
    }
}

#[test]
fn pure_crates_switch_their_lints_on() {
    let templates = ["coinvest", "dispute", "grant", "reserved", "spot"];
    let contracts = ["abi"].into_iter().chain(templates).map(|name| format!("contracts/{name}/src/lib.rs"));
    for path in contracts.chain(["ledger/src/lib.rs".to_owned()]) {
        let text = read(&path);
        let head: String = text.lines().take(40).collect();
        for lint in ["disallowed_types", "float_arithmetic", "arithmetic_side_effects", "unwrap_used"] {
            assert!(head.contains(&format!("clippy::{lint}")), "{path} does not deny clippy::{lint}");
        }
    }
}
