//! The lists are up to the code, and what catches nothing is said to catch nothing.

use hansa_tests_reliability::planted::{self, Fault, Garden};
use hansa_tests_reliability::{figure, publish, top};
use std::collections::BTreeSet;
use std::fs;

#[test]
fn every_planted_fault_has_its_place_in_the_code_and_a_test_that_is_there() {
    let faults = planted::list(&top()).unwrap();
    assert!(faults.len() >= 20, "only {} faults are listed", faults.len());
    let names: BTreeSet<&str> = faults.iter().map(|fault| fault.name.as_str()).collect();
    assert_eq!(names.len(), faults.len(), "two faults have one name");
    for fault in &faults {
        let text = fs::read_to_string(top().join(&fault.file)).unwrap();
        let broken = planted::planted(fault, &text).unwrap_or_else(|error| panic!("{error}"));
        assert_ne!(broken, text, "{} changes nothing", fault.name);
        assert!(!fault.caught_by.is_empty() && fault.check.starts_with("-p hansa-"), "{}", fault.name);
    }
}

#[test]
fn every_claim_has_a_row_on_the_page_and_commands_that_are_those_of_this_repository() {
    let figures = figure::list(&top()).unwrap();
    let page = fs::read_to_string(top().join(publish::PAGE)).unwrap();
    for figure in &figures {
        assert!(page.contains(&figure.claim), "run `publish`: the page lacks {}", figure.name);
        for command in [&figure.short, &figure.long] {
            assert!(command.split_whitespace().any(|word| word == "cargo"), "{}: {command}", figure.name);
        }
    }
}

/// A crate of one function and its test, under git, as the runner wants it.
fn small_crate(place: &std::path::Path) {
    let write = |name: &str, text: &str| {
        let path = place.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[package]\nname = \"hansa-sums\"\nedition = \"2024\"\n\n[workspace]\n");
    write(
        "src/lib.rs",
        "//! Sums.\n\n/// The sum.\npub fn sum(one: u64, two: u64) -> u64 {\n    one + two\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn two_and_two_are_four() {\n        assert_eq!(super::sum(2, 2), 4);\n    }\n}\n",
    );
    let git = std::process::Command::new("git").arg("init").arg("-q").arg(place).status().unwrap();
    assert!(git.success());
}

#[test]
fn a_fault_counts_as_caught_only_by_the_test_that_is_named_for_it() {
    let (source, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    small_crate(source.path());
    let mut garden = Garden::new(source.path(), place.path()).unwrap();
    let fault = |plant: &str, check: &str, caught_by: &str| Fault {
        name: "sum".into(),
        says: "sums are wrong".into(),
        file: "src/lib.rs".into(),
        find: "one + two".into(),
        plant: plant.into(),
        check: check.into(),
        caught_by: caught_by.into(),
    };
    let mut check = |plant: &str, checked: &str, caught_by: &str, caught: bool, obstacle: &str| {
        let verdict = garden.try_out(&fault(plant, checked, caught_by)).unwrap();
        assert_eq!(verdict.caught, caught, "{plant}: {verdict:?}");
        assert!(verdict.obstacle.unwrap_or_default().contains(obstacle), "{plant}");
    };
    check("one + two + 1", "--lib", "two_and_two_are_four", true, "");
    check("one * two", "--lib", "two_and_two_are_four", false, "");
    check("one + two + 1", "--lib", "another_test", false, "");
    check("one + true", "--lib", "two_and_two_are_four", false, "does not compile");
    check("one + two + 1", "--lib nothing_of_that_name", "two_and_two_are_four", false, "runs nothing");
}
