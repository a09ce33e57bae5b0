//! The page docs/contracts.md says what the code says: rules, codes, limits, and tests that exist.

use hansa_contracts_abi::limits::{
    IO_BYTES_MAX, NAME_BYTES_MAX, NOTE_BYTES_MAX, OUTPUT_BYTES_MAX, SPLIT_NOTES_MAX, SPLIT_PAYS_MAX,
    STATE_BYTES_MAX, TARIFF_BYTES_MAX,
};
use hansa_contracts_abi::{Code, ModuleRule};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/contracts.md")).unwrap()
}

/// The rows of the table below a heading of this many cells, the first of which is a number.
fn rows(page: &str, cells: usize) -> Vec<Vec<String>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows =
        rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect::<Vec<_>>());
    rows.filter(|row| row.len() == cells && row[0].parse::<u32>().is_ok()).collect()
}

#[test]
fn the_page_lists_every_rule_and_every_shared_code() {
    let rules: Vec<Vec<String>> = ModuleRule::ALL
        .iter()
        // A backtick at the end of a message belongs to it; the page's cells are read without theirs.
        .map(|rule| {
            vec![
                rule.number().to_string(),
                rule.name().to_owned(),
                rule.message().trim_matches('`').to_owned(),
            ]
        })
        .collect();
    assert_eq!(rows(&page(), 3), rules);
    let codes: Vec<Vec<String>> = (0..1_000)
        .filter_map(|code| Some(vec![code.to_string(), Code(code).meaning()?.to_owned()]))
        .collect();
    let listed = rows(&page(), 2);
    assert!(codes.len() > 10 && codes.iter().all(|code| listed.contains(code)), "{codes:?}");
}

#[test]
fn the_page_has_the_limits_of_the_interface() {
    let page = page();
    let thousands = |number: usize| match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    };
    for (row, numbers) in [
        ("input, output", vec![IO_BYTES_MAX, OUTPUT_BYTES_MAX]),
        (
            "payments, notes, bytes in a note, state",
            vec![SPLIT_PAYS_MAX, SPLIT_NOTES_MAX, NOTE_BYTES_MAX, STATE_BYTES_MAX],
        ),
        ("name and version, tariff", vec![NAME_BYTES_MAX, TARIFF_BYTES_MAX]),
    ] {
        let line = page.lines().find(|line| line.starts_with(&format!("| {row} |"))).unwrap();
        let value = line.rsplit(" | ").next().unwrap();
        assert!(numbers.iter().all(|number| value.contains(&thousands(*number))), "{line}: {numbers:?}");
    }
    let fuel = hansa_contracts_host::FUEL_PER_CALL_MAX as usize;
    assert_eq!(fuel, 2_000_000);
    assert!(page.contains("| fuel of a call | 2,000,000 |"));
}

/// Every test that the page names as a proof is one.
#[test]
fn the_tests_that_the_page_names_exist() {
    let page = page();
    let (_, article) = page.split_once("## Data Act").unwrap();
    let named = article
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() > 1 || word.starts_with("rule_"));
    let mut sources = String::new();
    for folder in [
        "contracts/abi/src",
        "contracts/host/src",
        "ledger/tests",
        "cli/contract/tests",
        "node/src/http/tests",
        "tests/it",
    ] {
        collect(&root().join(folder), &mut sources);
    }
    let named: Vec<&str> = named.collect();
    assert!(named.len() > 15, "{named:?}");
    for test in named {
        assert!(
            sources.contains(&format!("fn {test}(")),
            "docs/contracts.md names `{test}`, which is no test"
        );
    }
}

fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
