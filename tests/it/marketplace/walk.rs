//! The page docs/write-a-contract.md, typed as it stands: from an empty folder to a settlement that anybody can run again.

use super::{MARKET_TIME_MAX, Market};
use crate::hansa::{Home, Run};
use crate::testnet::text;
use std::collections::BTreeMap;
use std::path::Path;

/// The page.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/write-a-contract.md");

/// A checkout of the source, as its author has one.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What is built, from one run to the next.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/walk");

/// Words of the shortest id that is shown.
const ID_CHARACTERS_MIN: usize = 10;

/// A command that the page shows, and what it says.
struct Step {
    command: String,
    output: Vec<String>,
}

/// The files of the page by name, and what it types into a console.
fn read(page: &str) -> (BTreeMap<String, String>, Vec<Step>) {
    let (mut files, mut steps) = (BTreeMap::new(), Vec::<Step>::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```").filter(|info| !info.is_empty()) else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
        if let Some((_, name)) = info.split_once(' ') {
            files.insert(name.to_owned(), body.join("\n") + "\n");
        } else if info == "console" {
            for line in body {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => {
                        steps.push(Step { command: command.to_owned(), output: Vec::new() })
                    }
                    // A command goes on after a backslash.
                    (None, Some(step)) if step.output.is_empty() && step.command.ends_with('\\') => {
                        step.command.pop();
                        step.command.push_str(line.trim_start());
                    }
                    (None, Some(step)) => step.output.push(line.to_owned()),
                    (None, None) => panic!("output without a command: {line}"),
                }
            }
        }
    }
    (files, steps)
}

/// The words of a command as a shell takes them.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in command.trim().chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_id(word: &str) -> bool {
    word.len() >= ID_CHARACTERS_MIN
        && word.chars().all(|letter| letter.is_ascii_hexdigit())
        && !word.contains(['A', 'F'])
}

fn bare(word: &str) -> &str {
    word.trim_matches(|letter: char| ",:;()`".contains(letter))
}

/// What differs from one federation to the next: ids, moments, and figures of code and of blocks.
fn stable(line: &str) -> Vec<String> {
    let figures = ["bytes", "deposit", "fuel", "block"].iter().any(|word| line.contains(word));
    let word = |word: &str| {
        let bare = bare(word);
        let number = bare.chars().any(|letter| letter.is_ascii_digit())
            && bare.chars().all(|letter| letter.is_ascii_digit() || ".,".contains(letter));
        match () {
            () if is_id(bare) => "ID".to_owned(),
            () if bare.starts_with("20") && bare.ends_with('Z') => "TIME".to_owned(),
            () if number && figures => "N".to_owned(),
            () => word.to_owned(),
        }
    };
    line.split_whitespace().map(word).collect()
}

/// A newcomer at a console, whose ids are others than the page's.
struct Newcomer<'a> {
    home: Home,
    market: &'a Market,
    ids: Vec<(String, String)>,
}

impl Newcomer<'_> {
    /// The page's word, with this federation's ids and folder in it.
    fn mine(&self, word: &str) -> String {
        let known = self.ids.iter().find(|(page, _)| is_id(word) && page.starts_with(word));
        match known {
            Some((_, own)) => own[..word.len().min(own.len())].to_owned(),
            None => word.replace("$NET", text(self.market.testnet.layout.folder())),
        }
    }

    /// Types a command until it says what the page says: what has to be waited for is refused, or shown otherwise, until then.
    fn follow(&mut self, step: &Step) {
        let words: Vec<String> = words(&step.command).iter().map(|word| self.mine(word)).collect();
        let (program, words) = words.split_first().unwrap();
        assert_eq!(program, "hansa", "{}", step.command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let expected: Vec<Vec<String>> = step.output.iter().map(|line| stable(line)).collect();
        let said = |run: &Run| -> Vec<Vec<String>> { run.stdout.trim_end().lines().map(stable).collect() };
        let looks = words.iter().any(|word| ["show", "list"].contains(word));
        let testnet = &self.market.testnet;
        let run = testnet.until(&format!("`{}`", step.command), MARKET_TIME_MAX, || {
            let run = self.typed(&words);
            let same = run.code == 0 && said(&run) == expected;
            assert!(same || looks || run.code != 0, "the page says {expected:#?}: {run}");
            same.then_some(run)
        });
        for (page, own) in step.output.iter().zip(run.stdout.lines()) {
            for (page, own) in page.split_whitespace().zip(own.split_whitespace()) {
                if is_id(bare(page)) && !self.ids.iter().any(|(known, _)| known == bare(page)) {
                    self.ids.push((bare(page).to_owned(), bare(own).to_owned()));
                }
            }
        }
        // The longest first: the beginning of an id stands for it.
        self.ids.sort_by_key(|(page, _)| std::cmp::Reverse(page.len()));
    }

    /// Runs the program where a compiler is found, too.
    fn typed(&self, words: &[&str]) -> Run {
        let mut command = self.home.command(words);
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let kept =
                ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_", "RUSTUP_HOME"];
            if name == "HOME" || kept.iter().any(|start| name.starts_with(start)) {
                command.env(name, value);
            }
        }
        command.env("CARGO_TARGET_DIR", TARGET).env("CARGO_INCREMENTAL", "0");
        crate::hansa::run(command)
    }
}

/// Every file and every command of the page, in a running federation.
pub fn a_newcomer_brings_a_contract(market: &Market) {
    let (files, steps) = read(&std::fs::read_to_string(PAGE).unwrap());
    let home = Home { work: market.testnet.layout.folder().join("walk"), ..market.testnet.home() };
    std::fs::create_dir_all(&home.work).unwrap();
    home.run(&["contract", "new", "carbon-indexed", "--sdk", CHECKOUT]).succeeded();
    let work = home.work.join("carbon-indexed");
    for (name, content) in files.iter().filter(|(name, _)| *name != "output") {
        std::fs::write(work.join(name), content).unwrap();
    }
    let mut newcomer = Newcomer { home: Home { work, ..home }, market, ids: Vec::new() };
    newcomer.typed(&["contract", "build"]).succeeded();
    let module = Path::new("wasm32-unknown-unknown/release/carbon_indexed.wasm");
    let target = newcomer.home.work.join("target").join(module);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::copy(Path::new(TARGET).join(module), target).unwrap();
    assert!(steps.len() > 15, "the page shows {} commands", steps.len());
    for step in &steps {
        newcomer.follow(step);
    }
    // 0.92 of the price for 40 accelerator-seconds and 0.69 for 80, at 1,000 uEUR each, as the tariff of the page says.
    let shown = newcomer
        .ids
        .iter()
        .find(|(page, _)| steps.iter().any(|step| step.command.contains(&format!("replay {page}"))));
    let (_, lease) = shown.expect("the page runs the settlement of its lease again");
    let settlement: serde_json::Value = newcomer.home.ask(&["lease", "show", lease]);
    let paid = |index: usize| settlement["settlement"]["payments"][index]["amount"].clone();
    assert_eq!([paid(0), paid(1)], ["0.09108", "0.00092"], "{settlement}");
}
