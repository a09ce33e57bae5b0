//! Links between the nodes that are cut, one-sided or damaged. `hansa testnet chaos` does this and more, for as long as one likes.

use super::load::Load;
use crate::testnet::{Testnet, member};
use hansa_testnet::{Links, Passage, Way};
use std::time::Duration;

/// The node whose links are bad.
const CODE: &str = "DE";

/// What was decided when a link was cut may still come out within this time.
const ON_ITS_WAY: Duration = Duration::from_millis(1_500);

/// How long nothing must be decided.
const CUT: Duration = Duration::from_millis(2_500);

fn links(testnet: &Testnet) -> &Links {
    testnet.links.as_ref().unwrap()
}

fn heights(testnet: &Testnet) -> Vec<u64> {
    testnet.statuses().into_iter().map(|status| status.unwrap().height).collect()
}

/// Ends the load on good links: all that was called final is everywhere, all nodes agree, and none has fallen over.
fn well(testnet: &Testnet, load: Load<'_>) {
    links(testnet).heal();
    load.go_on(5);
    load.stop();
    for name in testnet.state().names() {
        assert!(testnet.process(&name).is_alive());
        let log = std::fs::read_to_string(testnet.layout.log(&name)).unwrap();
        assert!(!log.contains("panicked") && !log.contains("double_signing"), "{name}: {log}");
    }
}

pub fn two_and_two(testnet: &Testnet) {
    let load = Load::start(testnet);
    load.go_on(10);
    let passed = links(testnet).traffic();
    assert!(passed.connections >= 12 && passed.bytes > 0, "the nodes talk through the relays: {passed:?}");
    let groups = [["FR", "DE"], ["ES", "EE"]].map(|group| group.map(member).to_vec());
    links(testnet).part(&groups, Way { passage: Passage::Held, ..Way::default() });
    std::thread::sleep(ON_ITS_WAY);
    let before = heights(testnet);
    std::thread::sleep(CUT);
    assert_eq!(heights(testnet), before, "no half is a quorum");
    well(testnet, load);
}

pub fn one_way(testnet: &Testnet) {
    let load = Load::start_without(testnet, CODE);
    for other in ["FR", "ES", "EE"] {
        let held = Way { passage: Passage::Held, ..Way::default() };
        links(testnet).set_way(member(CODE), member(other), held);
    }
    load.go_on(10);
    well(testnet, load);
}

pub fn corrupted(testnet: &Testnet) {
    let load = Load::start_without(testnet, CODE);
    let before = links(testnet).traffic().corrupted;
    for other in ["FR", "ES", "EE"] {
        links(testnet).set(member(CODE), member(other), Way { corrupt_one_in: Some(3), ..Way::default() });
    }
    load.go_on(10);
    assert!(links(testnet).traffic().corrupted > before, "something was changed");
    well(testnet, load);
}
