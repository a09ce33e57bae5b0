//! Plant one fault at a time in a copy of the source, and see which tests catch it.
//!
//! The faults live in a list and never in the product: no feature, however set, can build a program that has one (decision 0016).

use crate::run::{Ended, run, words};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One deliberate fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its name: words joined by hyphens.
    pub name: String,
    /// What goes wrong, for a reader.
    pub says: String,
    /// The file it is planted in, below the top folder.
    pub file: String,
    /// What stands there now, exactly once.
    pub find: String,
    /// What is put in its place.
    pub plant: String,
    /// The tests that look at it, as arguments of `cargo test`.
    pub check: String,
    /// A test that must fail, or part of its name.
    pub caught_by: String,
}

/// What a plant came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the fault.
    pub name: String,
    /// What goes wrong.
    pub says: String,
    /// The tests that failed.
    pub failed: Vec<String>,
    /// The fault was caught by the test that is named for it.
    pub caught: bool,
    /// What kept it from being tried, if anything did.
    pub obstacle: Option<String>,
}

#[derive(Deserialize)]
struct List {
    fault: Vec<Fault>,
}

/// Reads the list below `top`.
///
/// # Errors
/// Says what is wrong with it.
pub fn list(top: &Path) -> Result<Vec<Fault>, String> {
    let path = top.join("tests/reliability/planted.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read planted.toml: {error}"))?;
    let list: List = toml::from_str(&text).map_err(|error| format!("planted.toml: {error}"))?;
    Ok(list.fault)
}

/// The text of a file with the fault in it.
///
/// # Errors
/// When what is to be replaced does not stand there exactly once.
pub fn planted(fault: &Fault, text: &str) -> Result<String, String> {
    match text.matches(&fault.find).count() {
        1 => Ok(text.replacen(&fault.find, &fault.plant, 1)),
        count => Err(format!(
            "{}: `{}` stands {count} times in {}, not once; bring planted.toml up to the code",
            fault.name,
            fault.find.trim(),
            fault.file
        )),
    }
}

/// A copy of the source that faults are planted in, with a build folder of its own.
pub struct Garden {
    tree: PathBuf,
    environment: Vec<(String, String)>,
    sound: BTreeMap<String, Result<(), String>>,
}

impl Garden {
    /// Brings the copy below `place` up to `top`: the files that git knows, or would add.
    ///
    /// # Errors
    /// Says what cannot be listed, read or written.
    pub fn new(top: &Path, place: &Path) -> Result<Self, String> {
        let tree = place.join("tree");
        let listed = run(&words("git ls-files --cached --others --exclude-standard"), top, &[], false)?;
        if !listed.ok {
            return Err(format!("cannot list the source: {}", listed.output.trim()));
        }
        for name in listed.output.lines().filter(|name| top.join(name).is_file()) {
            let (from, to) = (top.join(name), tree.join(name));
            let bytes = fs::read(&from).map_err(|error| format!("cannot read {name}: {error}"))?;
            // What is the same keeps its time, so that little is built again.
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            to.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| format!("{name}: {error}"))?;
            fs::write(&to, bytes).map_err(|error| format!("cannot write {name}: {error}"))?;
        }
        let target = place.join("target").display().to_string();
        let environment = [("CARGO_TARGET_DIR", target.as_str()), ("CARGO_TERM_COLOR", "never")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Ok(Self { tree, environment, sound: BTreeMap::new() })
    }

    /// Plants a fault, runs its tests, and takes it out again. The tests are run without the fault first, once each: where
    /// they fail anyway, or do not compile, nothing is caught.
    ///
    /// # Errors
    /// Says what cannot be started, read or written.
    pub fn try_out(&mut self, fault: &Fault) -> Result<Verdict, String> {
        let verdict = |failed: Vec<String>, obstacle| Verdict {
            name: fault.name.clone(),
            says: fault.says.clone(),
            caught: failed.iter().any(|name| name.contains(&fault.caught_by)),
            failed,
            obstacle,
        };
        if let Err(obstacle) = self.sound(&fault.check)? {
            return Ok(verdict(Vec::new(), Some(obstacle)));
        }
        let path = self.tree.join(&fault.file);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", fault.file))?;
        let broken = match planted(fault, &text) {
            Ok(broken) => broken,
            Err(obstacle) => return Ok(verdict(Vec::new(), Some(obstacle))),
        };
        let write = |text: &str| fs::write(&path, text).map_err(|error| format!("{}: {error}", fault.file));
        write(&broken)?;
        let tried = self.build(&fault.check).and_then(|built| match built {
            Err(obstacle) => Ok(Err(obstacle)),
            Ok(()) => self.test(&fault.check).map(Ok),
        });
        write(&text)?;
        Ok(match tried? {
            Err(obstacle) => verdict(Vec::new(), Some(obstacle)),
            Ok(ended) => verdict(failures(&ended), None),
        })
    }

    fn sound(&mut self, check: &str) -> Result<Result<(), String>, String> {
        if let Some(known) = self.sound.get(check) {
            return Ok(known.clone());
        }
        let known = match self.build(check)? {
            Err(obstacle) => Err(obstacle),
            Ok(()) => {
                let ended = self.test(check)?;
                let passed = ended.ok && ended.output.contains("... ok");
                if passed {
                    Ok(())
                } else {
                    Err(format!("`cargo test {check}` fails, or runs nothing, without it"))
                }
            }
        };
        self.sound.insert(check.to_owned(), known.clone());
        Ok(known)
    }

    fn build(&self, check: &str) -> Result<Result<(), String>, String> {
        let packages = check.split(" -- ").next().unwrap_or(check);
        let ended =
            run(&words(&format!("cargo test --no-run {packages}")), &self.tree, &self.environment, false)?;
        let words = ended.output.lines().find(|line| line.starts_with("error")).unwrap_or("no word of why");
        Ok(if ended.ok { Ok(()) } else { Err(format!("it does not compile: {words}")) })
    }

    fn test(&self, check: &str) -> Result<Ended, String> {
        run(&words(&format!("cargo test --no-fail-fast {check}")), &self.tree, &self.environment, false)
    }
}

/// The tests that failed, or what ended the program that ran them.
fn failures(ended: &Ended) -> Vec<String> {
    let name = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    let mut failed: Vec<String> = ended.output.lines().filter_map(name).collect();
    failed.sort_unstable();
    failed.dedup();
    if failed.is_empty() && !ended.ok {
        let last = ended.output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        failed.push(format!("the tests' program ended: {}", last.trim()));
    }
    failed
}
