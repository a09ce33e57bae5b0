//! Nodes that must not, or cannot, start: each says what is wrong and what to do, and ends with the right code.

use crate::hansa::{Home, Run};
use crate::testnet::{Testnet, below, text};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The member whose node is made to fail.
pub const CODE: &str = "ES";

/// Writes a variant of the node's configuration beside it, with each text replaced that must be there.
pub fn variant(testnet: &Testnet, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let config = testnet.layout.folder().join(CODE).join("node.toml");
    let mut content = std::fs::read_to_string(&config).unwrap();
    for (from, to) in changes {
        assert!(content.contains(from), "`{from}` is not in {content}");
        content = content.replacen(from, to, 1);
    }
    let path = config.with_file_name(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Runs a node that is not expected to last.
fn run(home: &Home, config: &Path) -> Run {
    home.run(&["node", "run", "--config", text(config)])
}

/// The parts of the node's configuration that name its ports.
fn port(testnet: &Testnet, code: &str) -> String {
    testnet.api(code).rsplit(':').next().unwrap().to_owned()
}

pub fn one_data_directory_has_one_process(testnet: &Testnet) {
    let home = testnet.home();
    let own = port(testnet, CODE);
    // Free ports, so that nothing but the folder is in the way.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let second = variant(testnet, "second.toml", &[(&format!(":{own}\""), &format!(":{free}\""))]);
    let before = testnet.process(CODE);
    run(&home, &second).failed(1, &["another process uses the data directory", "directory of its own"]);
    assert!(before.is_alive(), "the first one goes on");
    testnet.agree(1);
    // The same holds for an agent.
    let folder = testnet.layout.folder().join("providers/bsc");
    let words = ["provider", "run", "--config", &below(&folder, "agent.toml")];
    let again = home.run(&[&words[..], &["--key", &below(&folder, "provider.key")]].concat());
    again.failed(1, &["another", "data"]);
}

pub fn a_node_says_why(testnet: &Testnet) {
    let home = testnet.home();
    let folder = testnet.layout.folder().join(CODE);
    testnet.kill(CODE);
    let own = port(testnet, CODE);

    let taken = port(testnet, "FR");
    let clash = variant(testnet, "clash.toml", &[(&format!(":{own}\""), &format!(":{taken}\""))]);
    run(&home, &clash).failed(1, &["cannot listen", &taken, "another process may use the port"]);

    let unknown = variant(testnet, "unknown.toml", &[("history_blocks", "history_bloks")]);
    let line =
        1 + std::fs::read_to_string(&unknown).unwrap().lines().position(|one| one.contains("bloks")).unwrap();
    run(&home, &unknown).failed(1, &["unknown.toml", &format!("line {line}, column 1"), "history_bloks"]);
    let torn = variant(testnet, "torn.toml", &[("member = \"ES\"", "member = \"ES")]);
    run(&home, &torn).failed(1, &["torn.toml", "line 1, column "]);
    run(&home, &folder.join("nothing.toml")).failed(1, &["cannot read", "nothing.toml"]);

    // Another federation: its genesis has another id, so the stored ledger is not its.
    let mut genesis = testnet.genesis().clone();
    genesis.name = crate::testnet::name("elsewhere");
    std::fs::write(folder.join("other.toml"), toml::to_string(&genesis).unwrap()).unwrap();
    let other = variant(testnet, "foreign.toml", &[("../genesis.toml", "other.toml")]);
    run(&home, &other).failed(1, &["the data directory holds the ledger of federation"]);

    // Keys: open to others, of somebody else, or locked.
    let key = folder.join("consensus.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let usual = folder.join("node.toml");
    run(&home, &usual).failed(1, &["consensus.key` is open to other users (mode 644)", "chmod 600"]);
    mode(0o600);
    let swapped =
        variant(testnet, "swapped.toml", &[("consensus = \"consensus.key\"", "consensus = \"network.key\"")]);
    run(&home, &swapped).failed(1, &["key"]);
    let (right, wrong) = (home.write("right", "correct horse\n"), home.write("wrong", "battery staple\n"));
    home.run(&["key", "new", "locked", "--passphrase-file", text(&right)]).succeeded();
    let locked = below(&home.home, "keys/locked.key");
    let locked = format!("consensus = \"{locked}\"\npassphrase_file = \"{}\"", text(&wrong));
    let locked = variant(testnet, "locked.toml", &[("consensus = \"consensus.key\"", &locked)]);
    run(&home, &locked).failed(1, &["the passphrase is wrong"]);

    // None of this has harmed it.
    testnet.restart(CODE);
    testnet.agree(1);
}

/// What is left of a ledger after a bad day is not voted with: the node halts with a code of its own and names the verb that sets the
/// ledger aside. Then it is fetched anew from the others, and the member's memory of what it signed stays.
pub fn a_damaged_ledger_is_refused(testnet: &Testnet) {
    let home = testnet.home();
    let folder = testnet.layout.folder().join(CODE);
    let (height, _) = testnet.agree(1);
    testnet.kill(CODE);
    let config = folder.join("node.toml");
    let data = folder.join("data");
    let whole = folder.join("data-whole");
    copy(&data, &whole);
    let databases: [(&str, &dyn Fn(&Path)); 4] = [
        ("the database is gone", &|ledger| std::fs::remove_dir_all(ledger.join("sled")).unwrap()),
        ("the whole ledger is gone", &|ledger| std::fs::remove_dir_all(ledger).unwrap()),
        ("the witness is gone", &|ledger| {
            let witness = ledger.join("witness");
            if witness.is_dir() {
                std::fs::remove_dir_all(witness).unwrap();
            } else {
                std::fs::remove_file(witness).unwrap();
            }
        }),
        ("the database is overwritten", &|ledger| {
            let file = ledger.join("sled/db");
            let length = file.metadata().unwrap().len();
            std::fs::write(&file, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
        }),
    ];
    for (what, damage) in databases {
        damage(&data.join("ledger"));
        let halted = run(&home, &config);
        assert_eq!(halted.code, 3, "{what}: {halted}");
        assert!(halted.stderr.contains("hansa node rebuild"), "{what}: {halted}");
        println!("{what}: {}", halted.stderr.lines().last().unwrap_or_default());
        std::fs::remove_dir_all(&data).unwrap();
        copy(&whole, &data);
    }
    // As it was, it starts.
    testnet.restart(CODE);
    testnet.agree(height);
    let rebuild = |more: &[&str]| {
        let words = [&["--json", "node", "rebuild", "--config", text(&config)], more].concat();
        home.run(&words)
    };
    rebuild(&[]).failed(1, &["in use"]);
    testnet.kill(CODE);
    let signed = |name: &str| std::fs::read(data.join(name)).unwrap();
    let (last_signed, log) = (signed("last-signed"), signed("consensus.wal"));
    std::fs::remove_dir_all(data.join("ledger/sled")).unwrap();
    assert_eq!(run(&home, &config).code, 3);
    let rebuilt: serde_json::Value = serde_json::from_str(&rebuild(&[]).succeeded().stdout).unwrap();
    assert!(rebuilt["vote_from"].as_u64().unwrap() >= height, "{rebuilt}");
    assert_eq!(rebuilt["set_aside"].as_array().unwrap().len(), 2, "{rebuilt}");
    assert!(data.join("ledger.damaged-1/witness").exists(), "nothing is deleted");
    assert_eq!(signed("consensus.wal.damaged-1"), log);
    assert_ne!(signed("last-signed"), last_signed, "kept, with the floor beside it");
    testnet.restart(CODE);
    testnet.agree(height);
    without_any_memory(testnet, &rebuild);
}

/// With its record of what was signed lost as well, the member gets a floor that the other files name, and nothing is taken for a new
/// node as long as one of them is there.
fn without_any_memory(testnet: &Testnet, rebuild: &dyn Fn(&[&str]) -> Run) {
    let folder = testnet.layout.folder().join(CODE);
    let data = folder.join("data");
    let (height, _) = testnet.agree(1);
    testnet.kill(CODE);
    std::fs::remove_file(data.join("last-signed")).unwrap();
    std::fs::remove_file(data.join("consensus.wal")).unwrap();
    let rebuilt: serde_json::Value = serde_json::from_str(&rebuild(&[]).succeeded().stdout).unwrap();
    assert!(rebuilt["vote_from"].as_u64().unwrap() >= height + 2, "{rebuilt}");
    testnet.restart(CODE);
    testnet.agree(height);
    testnet.kill(CODE);
    // Where only the engine's log is in doubt the ledger stays.
    rebuild(&["--keep-ledger"]).succeeded();
    assert!(data.join("ledger/witness").exists());
    testnet.restart(CODE);
    testnet.agree(height);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}
