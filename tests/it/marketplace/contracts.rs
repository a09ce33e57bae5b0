//! A contract on its way through a federation: uploaded, approved, used, claimed by, settled with, run again, stopped.

use super::{MARKET_TIME_MAX, Market};
use crate::testnet::{below, name, text};
use hansa_ledger::action::StartLease;
use hansa_ledger::id::{CodeHash, LeaseId, RequestId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::LeaseState;
use hansa_node_api::market::RequestInfo;
use serde_json::Value;

/// A class that nobody else offers.
const CLASS: &str = "forge-8";

/// The two members whose votes decide; one of them is home to who uploads.
const MEMBERS: [&str; 2] = ["EE", "DE"];

/// Uploaded by an organisation, approved by two members, offered under an alias, and stopped and resumed.
pub fn brought_used_and_replayed(market: &Market) {
    let home = &market.home;
    market.treasury("EE", &["credit", "deposit", "newco", "50", "--reference", "bank-contract"]).succeeded();
    let phrase = home.write("phrase", "correct horse battery staple\n");
    let roles = ["org", "key", "set", "builder", "--roles", "contract,offer,operate"];
    home.run(&["key", "new", "builder", "--unencrypted"]).succeeded();
    home.run(&[&["--passphrase-file", text(&phrase), "--key", "main"], &roles[..]].concat()).succeeded();
    let hash = uploaded(market);
    approved(market, &hash);

    let place = ["forge", "--provider", "newco", "--class", CLASS, "--accelerators", "8"];
    for (member, verb) in [("EE", "accredit"), ("DE", "confirm")] {
        let key = market.office(member, "registrar");
        home.run(&[&["--key", &key, "site", verb], &place[..]].concat()).succeeded();
    }
    let post = ["--class", CLASS, "--ask", "1.00 EUR/h", "--quantity", "8", "--until", "in 1h"];
    let post = [&["--json", "--key", "builder", "offer", "post", "--site", "forge"], &post[..]].concat();
    let offer: Value = home.run(&[&post[..], &["--contract", "metered-new"]].concat()).read();
    let lease = used(market);
    let settled = market.testnet.wait(market.testnet.client("EE").settlement(&lease)).unwrap().row;
    assert_eq!((settled.contract.to_string(), settled.interims), (hash.clone(), 1));
    replayed(market, lease);

    let offer = offer["offer"].as_str().unwrap();
    home.run(&["--key", "builder", "offer", "withdraw", offer]).succeeded();
    for (verb, more, state) in [
        ("quarantine", &["--reason", "a trial of the brake"][..], "quarantined"),
        ("resume", &[][..], "active"),
    ] {
        for member in MEMBERS {
            let words =
                ["--json", "--key", &market.office(member, "governance"), "contract", verb, "metered-new"];
            home.run(&[&words[..], more].concat()).succeeded();
        }
        let shown: Value = home.ask(&["contract", "show", &hash]);
        assert_eq!(shown["state"], state, "{shown}");
        if state == "quarantined" {
            assert_eq!(shown["reason"], "a trial of the brake");
            home.run(&[&post[..], &["--contract", &hash]].concat())
                .refused(Rejection::ContractInactive.code());
        }
    }
    home.run(&["--key", "builder", "contract", "deprecate", &hash]).succeeded();
    let shown: Value = home.ask(&["contract", "show", &hash]);
    assert_eq!(shown["state"], "deprecated", "{shown}");
}

/// A module that differs from a built-in one by its version.
fn uploaded(market: &Market) -> String {
    let home = &market.home;
    let listed: Vec<Value> = home.ask(&["contract", "list"]);
    let spot = listed.iter().find(|one| one["name"] == "spot").unwrap_or_else(|| panic!("{listed:?}"));
    let spot: CodeHash = spot["hash"].as_str().unwrap().parse().unwrap();
    let mut code = market.testnet.wait(market.testnet.client("EE").contract(&spot)).unwrap().code.unwrap();
    let find = |code: &[u8], word: &[u8]| code.windows(word.len()).position(|part| part == word).unwrap();
    let meta = find(&code, b"sdk.meta");
    let version = meta + find(&code[meta..], b"0.1.0");
    code[version + 4] = b'9';
    let file = home.write("metered.wasm", &code);
    let upload = |key: &str| {
        home.run(&["--json", "--key", key, "contract", "upload", text(&file), "--name", "metered"])
    };
    upload("daily").refused(Rejection::RoleMissing.code());
    let before = market.account().cash;
    let uploaded: Value = upload("builder").read();
    let deposit = before.0 - market.account().cash.0;
    assert_eq!(deposit, code.len() as u64 * market.testnet.genesis().params.contract_deposit_byte);
    upload("builder").refused(Rejection::ContractExists.code());
    let broken = home.write("broken.wasm", &code[..100]);
    home.run(&["--key", "builder", "contract", "upload", text(&broken), "--name", "broken"])
        .failed(1, &["is no contract that may run", "hansa contract check"]);
    uploaded["contract"].as_str().unwrap().to_owned()
}

/// Active after its timelock, and an alias points to it after another.
fn approved(market: &Market, hash: &str) {
    let home = &market.home;
    let vote = |member: &str, words: &[&str]| {
        let key = market.office(member, "governance");
        home.run(&[&["--json", "--key", &key, "contract"], words].concat())
    };
    for member in MEMBERS {
        vote(member, &["approve", &hash[..12]]).succeeded();
    }
    let until = |what: &str, field: &str, value: Value| {
        market.testnet.until(what, MARKET_TIME_MAX, || {
            let shown: Value = home.ask(&["contract", "show", "metered"]);
            (shown[field] == value).then_some(shown)
        })
    };
    vote("DE", &["alias", "metered-new", "spotless"]).failed(1, &["there is no contract `spotless`"]);
    let active = until("the contract is active", "state", "active".into());
    assert_eq!(active["approvals"], serde_json::json!(["DE", "EE"]), "{active}");
    vote("DE", &["approve", hash]).refused(Rejection::ContractStateWrong.code());
    for member in MEMBERS {
        vote(member, &["alias", "metered-new", hash]).succeeded();
    }
    until("the alias points to it", "aliases", serde_json::json!(["metered-new"]));
}

/// Used by somebody of another member, claimed once while it runs, and settled.
fn used(market: &Market) -> LeaseId {
    let (home, testnet) = (&market.home, &market.testnet);
    let user = testnet.layout.user_key(&name("sme-fr"));
    let ask = |words: &[&str]| -> Value { home.ask(&[&["--key", text(&user)], words].concat()) };
    let bid = ["bid", "--class", CLASS, "--quantity", "2", "--duration", "15s", "--cash"];
    let placed = ask(&[&bid[..], &["--limit", "1.20 EUR/h", "--within", "1m"]].concat());
    let request: RequestId = placed["request"].as_str().unwrap().parse().unwrap();
    let lease = testnet.until("the award", MARKET_TIME_MAX, || {
        let shown: RequestInfo =
            serde_json::from_value(ask(&["request", "show", &request.to_string()])).unwrap();
        shown.row.lease
    });
    let provider = testnet.account_of(below(&home.home, "keys/builder.key").as_ref(), "EE");
    testnet.until("the lease has begun", MARKET_TIME_MAX, || {
        testnet.wait(provider.send(vec![StartLease { lease }.into()])).ok()
    });
    let id = lease.to_string();
    testnet.until("a payment may be claimed", MARKET_TIME_MAX, || {
        let claim = home.run(&["--json", "--key", "builder", "lease", "claim", &id]);
        match claim.code {
            0 => Some(()),
            _ => {
                claim.refused(Rejection::InterimTooSoon.code());
                None
            }
        }
    });
    home.run(&["--key", "builder", "lease", "end", &id, "--usage", "4"]).succeeded();
    ask(&["lease", "countersign", &id, "--policy", "always"]);
    market.until_lease("it is settled", lease, |lease| lease.row.state == LeaseState::Settled);
    let shown = ask(&["lease", "show", &id]);
    assert_eq!(shown["interims"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["dispute"], Value::Null);
    home.run(&["--json", "--key", text(&user), "lease", "claim", &id])
        .refused(Rejection::LeaseUnknown.code());
    lease
}

/// Run again from what the node tells, and from a file; a file that was changed does not hold.
fn replayed(market: &Market, lease: LeaseId) {
    let home = &market.home;
    let id = lease.to_string();
    let online: Value = home.ask(&["--key", "builder", "contract", "replay", &id]);
    assert_eq!(online["agrees"], true, "{online}");
    let findings = online["findings"].as_array().unwrap();
    for (check, times) in [("code", 1), ("outcome", 2), ("split", 2), ("payments", 2), ("money", 1)] {
        let found = findings.iter().filter(|one| one["check"] == check && one["agrees"] == true).count();
        assert_eq!(found, times, "{check}: {online}");
    }
    let file = below(&home.work, "settled.json");
    home.run(&["--key", "builder", "contract", "export", &id, &file]).succeeded();
    let offline: Value = home.ask(&["contract", "replay", &file]);
    assert_eq!(offline["agrees"], true, "{offline}");
    let mut bundle: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let fuel = bundle["settlements"][1]["fuel"].as_u64().unwrap();
    bundle["settlements"][1]["fuel"] = Value::from(fuel + 1);
    let changed = home.write("changed.json", bundle.to_string());
    home.run(&["contract", "replay", text(&changed)]).failed(1, &["as it was recorded: fuel"]);
    let stranger = market.testnet.layout.user_key(&name("startup-ee"));
    let refused = home.run(&["--json", "--key", text(&stranger), "contract", "replay", &id]);
    assert_eq!(refused.code, 1, "settlements are told to the parties and to members: {refused}");
}
