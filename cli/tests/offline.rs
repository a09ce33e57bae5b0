//! The built program, in everything that needs no node: what it prints where, and how it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A user's home of hansa that vanishes after the test.
struct Home(tempfile::TempDir);

/// What one run of the program gave.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hansa"));
        command.args(arguments).env_clear().env("HANSA_HOME", self.0.path()).env("HOME", "/nonexistent");
        // Without a session of its own the program could ask the developer for a passphrase.
        command.stdin(Stdio::null()).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.lines().count(), 1, "one value on one line: {}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Refused: nothing on stdout, `error:` in lower case without a full stop, and all of `said` on stderr.
    fn refuses(&self, said: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (1, ""), "{}", self.stderr);
        let first = self.stderr.lines().next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or_else(|| panic!("no error: {}", self.stderr));
        assert!(
            !message.ends_with('.') && !message.starts_with(|letter: char| letter.is_uppercase()),
            "{message}"
        );
        for said in said {
            assert!(self.stderr.contains(said), "{said:?} is not in: {}", self.stderr);
        }
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_made_encrypted_listed_and_never_written_over() {
    let home = Home::new();
    let phrase = home.write("phrase", "correct horse\n", 0o600);
    let phrase = phrase.to_str().unwrap();
    let made = home.run(&["key", "new", "main", "--passphrase-file", phrase]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stdout.contains("protection  passphrase"), "{}", made.stdout);
    assert!(made.stderr.contains("keep a copy"), "{}", made.stderr);
    let (folder, file) = (home.path("keys"), home.path("keys/main.key"));
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no draft is left behind");
    let before = std::fs::read_to_string(&file).unwrap();

    home.run(&["key", "new", "main", "--unencrypted"])
        .refuses(&["there is a key `main` already", "hint: choose another"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    let second = home.run(&["--json", "key", "new", "test", "--unencrypted"]);
    assert_eq!(second.json()["protection"], "none");
    assert!(second.stderr.starts_with("warning: "), "{}", second.stderr);
    let listed = home.run(&["key", "list", "--json"]).json();
    assert_eq!((listed[0]["name"].as_str(), listed[1]["name"].as_str()), (Some("main"), Some("test")));
    let shown = home.run(&["key", "show", "test", "--json"]).json();
    assert_eq!(shown["public_key"], second.json()["public_key"]);
    assert!(!home.run(&["key", "list"]).stdout.contains('\x1b'), "no colours into a pipe");

    home.run(&["key", "show"])
        .refuses(&["there are several keys, and none was chosen", "hint: give `--key NAME`"]);
    assert_eq!(home.run(&["key", "show", "--key", "test", "--json"]).json()["name"], "test");
    home.run(&["key", "show", "other"]).refuses(&["there is no key `other`", "`hansa key list`"]);
    home.run(&["key", "new", "Main"]).refuses(&["a name begins with a-z or 0-9"]);
    let none = Home::new();
    none.run(&["key", "show"]).refuses(&["there is no key to sign with", "`hansa key new NAME`"]);
    assert_eq!(none.run(&["key", "list", "--json"]).stdout, "[]\n");
}

#[test]
fn a_proof_of_possession_is_made_without_a_node_and_is_for_one_principal() {
    let home = Home::new();
    assert_eq!(home.run(&["key", "new", "main", "--unencrypted"]).code, 0);
    let chain = "c4".repeat(32);
    let prove = |whom: &[&str]| {
        let made = home.run(&[&["--json", "key", "prove", "--chain", &chain], whom].concat());
        assert_eq!(made.code, 0, "{}", made.stderr);
        made.json()["proof"].as_str().unwrap().to_owned()
    };
    let proofs = [
        prove(&["--for", "EE:17000001"]),
        prove(&["--for", "EE:17000002"]),
        prove(&["--for", "FR:17000001"]),
        prove(&["--office", "EE:treasury"]),
        prove(&["--office", "EE:registrar"]),
        prove(&["--organisation", &"07".repeat(32)]),
    ];
    let distinct: std::collections::BTreeSet<&String> = proofs.iter().collect();
    assert!(distinct.len() == proofs.len() && proofs.iter().all(|proof| proof.len() == 128), "{proofs:?}");
    assert_eq!(prove(&["--for", "EE:17000001"]), proofs[0], "the same each time");
    let plain = home.run(&["key", "prove", "--chain", &chain, "--for", "EE:17000001"]);
    assert_eq!(plain.stdout.trim_end(), proofs[0]);
    for (whom, said) in [
        (&["--for", "17000001"][..], "write it as `EE:12345678`"),
        (&["--office", "EE"], "write it as `EE:treasury`"),
        (&["--office", "EE:mayor"], "`mayor` is no office"),
        (&[], "required"),
        (&["--for", "EE:1", "--office", "EE:treasury"], "cannot be used with"),
    ] {
        let refused = home.run(&[&["key", "prove", "--chain", &chain], whom].concat());
        assert!(refused.code == 1 && refused.stderr.contains(said), "{whom:?}: {}", refused.stderr);
    }
}

#[test]
fn loose_permissions_are_refused_with_the_command_that_closes_them() {
    let home = Home::new();
    assert_eq!(home.run(&["key", "new", "a", "--unencrypted"]).code, 0);
    let (folder, file) = (home.path("keys"), home.path("keys/a.key"));
    let set =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();

    set(&file, 0o640);
    let hint = format!("hint: close it with `chmod 600 {}`", file.display());
    home.run(&["key", "show", "a"]).refuses(&["is open to other users (mode 640)", &hint]);
    set(&file, 0o600);
    set(&folder, 0o755);
    let hint = format!("hint: close it with `chmod 700 {}`", folder.display());
    home.run(&["key", "list"]).refuses(&["is open to other users (mode 755)", &hint]);
    set(&folder, 0o700);
    assert_eq!(home.run(&["key", "show", "a"]).code, 0);

    let phrase = home.write("phrase", "secret\n", 0o644);
    let refused = home.run(&["key", "new", "b", "--passphrase-file", phrase.to_str().unwrap()]);
    refused.refuses(&["is open to other users (mode 644)", "chmod 600"]);
    assert!(!home.path("keys/b.key").exists());
}

#[test]
fn a_passphrase_comes_from_a_file_and_a_wrong_one_is_refused() {
    let home = Home::new();
    let right = home.write("right", "correct horse\n", 0o600);
    let wrong = home.write("wrong", "battery staple\n", 0o600);
    let empty = home.write("empty", "\n", 0o600);
    assert_eq!(home.run(&["key", "new", "main", "--passphrase-file", right.to_str().unwrap()]).code, 0);

    let action = home.write("action.json", r#"{"action": "redeem_cash", "amount": "3.50"}"#, 0o600);
    let action = action.to_str().unwrap();
    let with = |phrase: &Path, node: &str| {
        let mut command = home.command(&["submit", action, "--node", node]);
        Run::of(command.env("HANSA_PASSPHRASE_FILE", phrase).output().unwrap())
    };
    // The node is asked before the passphrase, so that nobody types one in vain: a stand-in answers with its status only.
    let node = stand_in();
    with(&wrong, &node).refuses(&["the passphrase is wrong", "hint: try again"]);
    with(&empty, &node).refuses(&["the passphrase file", "is empty"]);
    with(&home.path("nothing"), &node).refuses(&["cannot read"]);
    // The right one opens the key, and the stand-in knows no key.
    with(&right, &node).refuses(&["UnknownKey, code 8", "hint: "]);
    let mut command = home.command(&["submit", action, "--node", &node]);
    let asked = Run::of(in_own_session(&mut command).output().unwrap());
    asked.refuses(&["there is no terminal to ask for its passphrase", "HANSA_PASSPHRASE_FILE"]);
}

#[test]
fn a_locked_key_that_nobody_unlocks_reads_what_the_public_sees() {
    let home = Home::new();
    let phrase = home.write("phrase", "correct horse\n", 0o600);
    let phrase = phrase.to_str().unwrap();
    assert_eq!(home.run(&["key", "new", "main", "--passphrase-file", phrase]).code, 0);
    let node = stand_in();
    let passes = || {
        let names = std::fs::read_dir(home.path("keys")).unwrap();
        names
            .filter(|name| name.as_ref().unwrap().path().extension().is_some_and(|end| end == "pass"))
            .count()
    };
    let mut command = home.command(&["org", "list", "--node", &node]);
    let asked = Run::of(in_own_session(&mut command).output().unwrap());
    assert!(asked.stderr.contains("this is what the public sees"), "{}", asked.stderr);
    assert_eq!(passes(), 0);
    // Unlocked once, it reads on without the passphrase.
    let list = ["org", "list", "--node", &node];
    home.run(&[&list[..], &["--passphrase-file", phrase]].concat());
    assert_eq!(passes(), 1);
    let mut command = home.command(&list);
    let asked = Run::of(in_own_session(&mut command).output().unwrap());
    assert!(!asked.stderr.contains("what the public sees"), "{}", asked.stderr);
    let given = home.run(&["key", "pass", "--json", "--node", &node]);
    let given = given.json();
    assert_eq!(given["header"], "x-hansa-read-pass");
    assert_eq!(home.run(&["key", "forget-pass", "--json"]).json()["forgotten"], 1);
    assert_eq!(passes(), 0);
}

/// Starts the command without a terminal, as a service would.
fn in_own_session(command: &mut Command) -> Command {
    let mut outer = Command::new("setsid");
    outer.arg("--wait").arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            outer.env(name, value);
        }
    }
    outer.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    outer
}

/// Something that answers like a node that has nothing: its status, and else that there is no such thing.
fn stand_in() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let zeros = "0".repeat(64);
    let status = format!(
        r#"{{"member":"EE","federation":"test","chain":"{zeros}","version":"0","protocol_version":1,"height":0,"round":0,
        "block":"{zeros}","state_root":"{zeros}","time":"2027-01-31T12:00:00Z","transactions":0,"peers_connected":0,
        "members":4,"mempool_transactions":0,"mempool_bytes":0,"syncing":false,"ready":true,"unready_reason":null,
        "peer_address":"","started":"2027-01-31T12:00:00Z","signature_checks":0,"fsyncs":0}}"#
    );
    let missing = r#"{"error":{"code":1001,"name":"NotFound","message":"there is no such thing","hint":"check the id"}}"#;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0u8; 4_096];
            let read = stream.read(&mut request).unwrap_or(0);
            let asked = String::from_utf8_lossy(&request[..read]).into_owned();
            let (line, body) = match asked.starts_with("GET /v1/status ") {
                true => ("200 OK", status.as_str()),
                false => ("404 Not Found", missing),
            };
            let head = format!("HTTP/1.1 {line}\r\ncontent-type: application/json\r\nconnection: close\r\n");
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn settings_are_set_shown_and_checked() {
    let home = Home::new();
    let file = home.path("config.toml");
    assert_eq!(home.run(&["config", "path"]).stdout, format!("{}\n", file.display()));
    assert!(home.run(&["config", "show"]).stdout.contains("http://127.0.0.1:8080 (not set)"));
    for (setting, value) in [
        ("node", "http://127.0.0.1:9000/"),
        ("key", "main"),
        ("countersign", "within = 5%"),
        ("genesis", "g.toml"),
    ] {
        assert_eq!(home.run(&["config", "set", setting, value]).code, 0, "{setting}");
    }
    let shown = home.run(&["config", "show", "--json"]).json();
    let expected = serde_json::json!({
        "node": "http://127.0.0.1:9000", "key": "main", "genesis": "g.toml", "countersign": "within 5%",
    });
    assert_eq!(shown, expected);
    assert_eq!(home.run(&["config", "set", "key", ""]).code, 0);
    assert!(home.run(&["config", "show", "--json"]).json().get("key").is_none());

    let before = std::fs::read_to_string(&file).unwrap();
    home.run(&["config", "set", "colour", "red"])
        .refuses(&["there is no setting `colour`", "node, key, genesis"]);
    home.run(&["config", "set", "node", "example.org"]).refuses(&["`example.org` is no address of a node"]);
    home.run(&["config", "set", "countersign", "maybe"]).refuses(&["`maybe` is no policy"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn a_corrupt_file_is_told_with_line_and_column() {
    let home = Home::new();
    for (text, said) in [
        ("node = \"http://a\"\nkye = \"b\"\n", "line 2, column 1: unknown field `kye`"),
        ("node = \"http://a\"\ncountersign = \"perhaps\"\n", "line 2, column 15: `perhaps` is no policy"),
        ("node = [\n", "line 1, column 9: "),
        ("key = 7\n", "line 1, column 7: invalid type"),
    ] {
        home.write("config.toml", text, 0o600);
        home.run(&["config", "show"]).refuses(&["config.toml", said]);
        assert_eq!(home.run(&["config", "path"]).code, 0, "the path can be asked for all the same");
    }
    std::fs::remove_file(home.path("config.toml")).unwrap();
    home.write("bid.toml", "class = \"h200\"\nduration = \"2 weeks\"\n", 0o600);
    home.run(&["bid", "--file", "bid.toml"])
        .refuses(&["`bid.toml` line 2, column 12: `2 weeks` is no length of time"]);
    home.write("action.json", "{\n  \"action\": redeem\n}\n", 0o600);
    home.run(&["submit", "action.json"]).refuses(&["`action.json` line 2, column 13"]);
    home.write("genesis.toml", "name = \"x\"\nmembers = 4\n", 0o600);
    home.run(&["lease", "verify", "abc", "--genesis", "genesis.toml"]).refuses(&["`genesis.toml` line "]);
    home.write("node.toml", "member = \"EE\"\nmembers = 4\n", 0o600);
    home.run(&["node", "run", "--config", "node.toml"])
        .refuses(&["node.toml", "line 2, column 1: unknown field `members`"]);
    home.write("agent.toml", "nodes = 4\n", 0o600);
    home.run(&["provider", "run", "--config", "agent.toml"]).refuses(&["agent.toml:1:9"]);
    home.run(&["testnet", "status", "--dir", "nothing"]).refuses(&["nothing"]);
    home.run(&["lease", "verify", "abc"]).refuses(&["no genesis is set", "hint: give `--genesis FILE`"]);
}

#[test]
fn bad_arguments_are_the_users_fault_and_say_how_to_write_them() {
    let home = Home::new();
    let bid = |more: &[&str]| home.run(&[&["bid", "--class", "h200"], more].concat());
    bid(&["--limit", "3,50"]).refuses(&["`3,50` is no price", "3.50 EUR/h"]);
    bid(&["--limit", "0.0001"]).refuses(&["finer than a tenth of a cent"]);
    bid(&["--duration", "2"]).refuses(&["`2` is no length of time", "`2h`"]);
    bid(&["--within", "soon"]).refuses(&["`soon` is no length of time"]);
    bid(&["--start", "tomorrow"]).refuses(&["`tomorrow` is no moment"]);
    bid(&["--between", "now"]).refuses(&["`now` is no window"]);
    bid(&["--country", "XX"]).refuses(&["`XX` is no member state"]);
    bid(&["--source", "cash=20"]).refuses(&["`20` is no part", "`80%`"]);
    bid(&["--memory", "4 G"]).refuses(&["`4 G` is no size", "`4GiB`"]);
    bid(&["--output", "../secret"]).refuses(&["is not one inside the job's folder"]);
    bid(&["--purpose", "fun"]).refuses(&["unknown variant `fun`", "public-service"]);
    bid(&["--cash", "--grant", "abc"]).refuses(&["cannot be used with"]);
    bid(&["--within", "2h", "--start", "now"]).refuses(&["cannot be used with"]);
    bid(&["--keep"]).refuses(&["--wait"]);
    bid(&["--lane", "fast"]).refuses(&["unknown variant `fast`", "reserve"]);
    bid(&["--or", "a100"]).refuses(&["`a100` names no price", "CLASS=PRICE"]);
    home.run(&["lease", "extend", "abcdef"]).refuses(&["--for"]);
    home.run(&["market", "book"]).refuses(&["CLASS"]);
    home.run(&["market", "price", "H100"]).refuses(&["`H100`"]);
    home.run(&["market", "history", "h100", "--last", "3", "--from", "2"]).refuses(&["cannot be used with"]);
    let part =
        ["site", "accredit", "a", "--provider", "b", "--class", "c", "--accelerators", "8", "--part", "FI"];
    home.run(&part).refuses(&["`FI` is no part", "OWNER=COUNT"]);
    bid(&["--run", "./nothing"]).refuses(&["there is no program `./nothing` here"]);
    bid(&["--input", "nothing.csv", "--run", "true"]).refuses(&["nothing.csv"]);
    bid(&[]).refuses(&["the bid names no duration"]);
    bid(&["--duration", "2h", "--limit", "1"]).refuses(&["the bid names no money to pay with"]);
    home.run(&["key", "list", "--colour"]).refuses(&["unexpected argument '--colour'", "hint: "]);
    home.run(&["fly"]).refuses(&["unrecognized subcommand 'fly'"]);
    home.run(&["org", "key", "set", "ab", "--roles", "king"]).refuses(&["`king` is no role"]);
    home.run(&["offer", "post", "--site", "a", "--class", "b", "--ask", "1", "--contract-params", "xyz"])
        .refuses(&["`xyz` is not hexadecimal"]);
    home.run(&["chain", "tx", "12"]).refuses(&["expected 64 hexadecimal characters"]);
    home.run(&["submit", "nothing.json"]).refuses(&["cannot read `nothing.json`"]);
}

#[test]
fn a_node_that_is_away_is_not_the_users_fault() {
    let home = Home::new();
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let node = format!("http://127.0.0.1:{port}");
    let away = home.run(&["chain", "status", "--node", &node]);
    assert_eq!((away.code, away.stdout.as_str()), (2, ""));
    assert!(
        away.stderr.contains("cannot be reached") && away.stderr.contains("\n\nhint: "),
        "{}",
        away.stderr
    );
    let mut command = home.command(&["--json", "capacity", "list"]);
    let away = Run::of(command.env("HANSA_NODE", &node).output().unwrap());
    let error: serde_json::Value = serde_json::from_str(&away.stderr).unwrap();
    assert_eq!((away.code, error["error"]["exit"].as_u64()), (2, Some(2)));
    home.run(&["chain", "status", "--node", "ftp://x"]).refuses(&["`ftp://x` is no address of a node"]);
}

#[test]
fn refusals_for_programs_are_json_and_help_is_a_result() {
    let home = Home::new();
    for arguments in
        [&["--json", "key", "show"][..], &["key", "list", "--json", "--colour"], &["--json", "fly"]]
    {
        let run = home.run(arguments);
        let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!(
            (run.code, run.stdout.as_str(), error["error"]["exit"].as_u64()),
            (1, "", Some(1)),
            "{arguments:?}"
        );
        assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let help = home.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for verb in [
        "key", "config", "account", "org", "site", "credit", "capacity", "market", "offer", "bid", "request",
        "job", "lease", "submit", "chain", "node", "provider", "testnet", "demo",
    ] {
        assert!(help.stdout.contains(&format!("\n  {verb} ")), "{verb} is not in the help: {}", help.stdout);
        assert_eq!(home.run(&[verb, "--help"]).code, 0, "{verb}");
    }
    assert!(home.run(&["--version"]).stdout.starts_with("hansa "));
    let nothing = home.run(&[]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (1, ""), "{}", nothing.stderr);
    let quiet = home.run(&["--quiet", "key", "list"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
}
