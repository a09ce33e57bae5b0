//! The page docs/write-a-contract.md is true: what it shows is put into a new contract, tested, built, checked and run.

use crate::common::{cargo, hansa, module, place, text};
use std::collections::BTreeMap;
use std::path::Path;

/// The fenced blocks of the page that are named after a file, and the shown output.
fn blocks(page: &str) -> BTreeMap<String, String> {
    let mut blocks = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let body: String =
            lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        if let Some((_, name)) = info.split_once(' ') {
            assert!(blocks.insert(name.to_owned(), body).is_none(), "`{name}` stands twice");
        }
    }
    blocks
}

/// Output with what depends on the version of the source taken out, and the spaces that align it.
fn stable(output: &str) -> Vec<String> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut out: Vec<&str> = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let next = words.get(at + 1).copied().unwrap_or_default();
            let before = at.checked_sub(1).and_then(|at| words.get(at)).copied().unwrap_or_default();
            let depends = next == "bytes," || before == "hash" || (before == "fuel" && next == "of");
            out.push(if depends { "N" } else { word });
        }
        out.join(" ")
    };
    output.trim().lines().map(line).collect()
}

#[test]
fn the_walk_of_the_page_leads_where_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/write-a-contract.md");
    let blocks = blocks(&std::fs::read_to_string(page).unwrap());
    let place = place("walk");
    hansa(&["new", "carbon-indexed", "--dir", text(&place)]).unwrap();
    let folder = place.join("carbon-indexed");
    let files = ["tariff.md", "src/lib.rs", "tests/settlement.rs", "params.json", "terms.json", "usage.json"];
    for file in files {
        let content = blocks.get(file).unwrap_or_else(|| panic!("the page shows no `{file}`"));
        std::fs::write(folder.join(file), content).unwrap();
    }
    assert_eq!(blocks.len(), files.len() + 1, "every named block of the page is used: {:?}", blocks.keys());
    let said = cargo(&folder, &["test"]);
    assert!(said.contains("6 passed") && !said.contains("warning"), "{said}");
    let module = module(&folder, "carbon-indexed");
    let [params, terms, usage] = ["params.json", "terms.json", "usage.json"].map(|file| folder.join(file));
    let check = hansa(&["check", text(&module), "--params", text(&params)]).unwrap();
    assert_eq!(check.refusal, None, "{}", check.text);
    assert_eq!(check.value["tariff"], blocks["tariff.md"]);
    let simulate = [
        "simulate",
        text(&module),
        "--params",
        text(&params),
        "--terms",
        text(&terms),
        "--usage",
        text(&usage),
    ];
    let simulated = hansa(&simulate).unwrap();
    assert_eq!(stable(&simulated.text), stable(&blocks["output"]), "{}", simulated.text);
    // What the page says of mistakes.
    let short = r#"[{"name": "limit", "u32": 400}]"#;
    std::fs::write(&params, short).unwrap();
    let refused = hansa(&simulate).unwrap_err();
    assert!(refused.message.starts_with("no lease would be made: the contract refused"), "{refused}");
}
