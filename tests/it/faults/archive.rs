//! What a node keeps can be looked through, written to a file and read back while the node is stopped.

use super::start::CODE;
use crate::testnet::{Testnet, below, text};
use serde_json::Value;

pub fn verified_exported_and_read_again(testnet: &Testnet) {
    let home = testnet.home();
    let folder = testnet.layout.folder().join(CODE);
    let config = below(&folder, "node.toml");
    let archive = home.home.join("ledger.archive");
    let verb = |words: &[&str]| [&["chain"], words, &["--config", &config]].concat().join("\n");
    let run = |words: &[&str]| home.run(&verb(words).split('\n').collect::<Vec<_>>());

    run(&["verify"]).failed(1, &["another process uses the data directory", "stop the node first"]);
    let (height, _) = testnet.agree(1);
    testnet.kill(CODE);
    let words = verb(&["verify"]);
    let words: Vec<_> = words.split('\n').chain(["--json"]).collect();
    let report: Value = home.run(&words).read();
    assert!(report["height_last"].as_u64().unwrap() >= height, "{report}");
    assert_eq!(report["blocks_executed"], report["height_last"], "everything is executed again: {report}");
    assert_eq!(report["state_root"].as_str().unwrap().len(), 64);

    run(&["export", text(&archive)]).succeeded();
    run(&["export", text(&archive)]).failed(1, &["exists already"]);
    run(&["import", text(&archive)]).failed(1, &["exists already"]);
    run(&["compact"]).succeeded();
    // The ledger is gone; what was exported takes its place, and a file that was cut does not.
    let ledger = folder.join("data/ledger");
    std::fs::remove_dir_all(&ledger).unwrap();
    let whole = std::fs::read(&archive).unwrap();
    let cut = home.write("cut.archive", &whole[..whole.len() / 2]);
    run(&["import", text(&cut)]).failed(1, &["no sound archive", "ends in the middle"]);
    assert!(!ledger.exists(), "nothing is left of it");
    run(&["import", text(&archive)]).succeeded();
    testnet.restart(CODE);
    testnet.agree(height);
}
