//! Reading without taking the node's word: what each reading verb verifies, and what it says that it cannot.

use super::Market;
use crate::hansa::Home;
use crate::testnet::text;
use hansa_ledger::row::LeaseState;
use hansa_node_api::Distrust;
use hansa_node_api::chain::BlockInfo;
use hansa_node_api::filter::LeaseFilter;
use hansa_node_api::light::Verification;
use serde_json::Value;

/// How far an answer was proven.
fn verification(answer: &Value) -> Verification {
    serde_json::from_value(answer["verification"].clone()).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

pub fn verified_against_what_is_trusted(market: &Market) {
    let home = &market.home;
    let file = market.testnet.layout.genesis();
    let genesis = ["--trust", text(&file), "--max-age", "1h"];
    let filter = LeaseFilter { state: Some(LeaseState::Settled), ..LeaseFilter::default() };
    let leases = market.testnet.wait(market.testnet.client("FR").leases(&filter)).unwrap();
    let own = market.organisation();
    let lease = leases.into_iter().find(|lease| lease.row.requester == own);
    let lease = lease.expect("leases of it were settled before");
    let (id, request, class) =
        (lease.id.to_string(), lease.row.request.to_string(), lease.row.class.to_string());
    // Everything of these answers is proven.
    for words in [
        &["lease", "show", &id][..],
        &["job", "list", &id],
        &["request", "show", &request],
        &["lease", "verify", &id],
    ] {
        let plain: Value = home.ask(words);
        let answer: Value = home.ask(&[&genesis, words].concat());
        let told = verification(&answer);
        assert!(
            told.complete && told.rows > 0 && told.signed >= 3 && told.members == 4,
            "{words:?}: {told:?}"
        );
        let mut bare = if answer["answer"].is_null() { answer.clone() } else { answer["answer"].clone() };
        if let Value::Object(fields) = &mut bare {
            fields.remove("verification");
            if words[1] == "verify" {
                continue;
            }
        }
        assert_eq!(bare, plain, "{words:?}");
    }
    // Of these a part is, and the rest is named.
    for words in [
        &["account", "show"][..],
        &["market", "price", &class],
        &["market", "history", &class],
        &["market"],
        &["offer", "list"],
        &["lease", "list"],
        &["request", "list"],
        &["chain", "status"],
    ] {
        let told = verification(&home.ask(&[&genesis, words].concat()));
        assert!(!told.complete && !told.not_provable.is_empty(), "{words:?}: {told:?}");
        assert!(told.rows > 0 || words[0] == "offer", "{words:?}: {told:?}");
    }
    let account: Value = home.ask(&[&genesis[..], &["account", "show"]].concat());
    let plain = market.account();
    assert_eq!(account["organisation"]["cash"], serde_json::to_value(plain.cash).unwrap());
    // People are told on stderr, at which height and by how many.
    let run = home.run(&[&genesis[..], &["lease", "show", &id]].concat()).succeeded();
    assert!(run.stderr.contains("verified at height") && run.stderr.contains("of 4 members"), "{run}");
    let run = home.run(&[&genesis[..], &["capacity", "list"]].concat()).succeeded();
    assert!(run.stderr.contains("nothing of this is verified"), "{run}");
    one_block_is_enough(market, &id);
    others_are_refused(market, &id);
}

/// Trust in one block, told by its height and hash.
fn one_block_is_enough(market: &Market, lease: &str) {
    let home = &market.home;
    let block: BlockInfo = home.ask(&["chain", "block"]);
    let trust = format!("{}:{}", block.header.height, block.id);
    let words = ["--max-age", "1h", "lease", "show", lease];
    for _ in 0..2 {
        let told = verification(&home.ask(&[&["--trust", &trust][..], &words].concat()));
        assert!(told.complete && told.height >= block.header.height, "{told:?}");
    }
    // What was verified is remembered: height, hash and members.
    let file = home.home.join("trust").join(format!("{}-{}.json", block.header.height, block.id));
    let kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(kept["newest"]["validators"].as_array().unwrap().len(), 4, "{kept}");
    let other = format!("{}:{}", block.header.height, "5".repeat(64));
    let run = home.run(&[&["--json", "--trust", &other][..], &words].concat());
    run.refused(Distrust::TrustedBlock.code());
}

fn others_are_refused(market: &Market, lease: &str) {
    let mut genesis = market.testnet.genesis().clone();
    genesis.name = "another".parse().unwrap();
    let file = market.home.write("another.toml", toml::to_string(&genesis).unwrap());
    let run = market.home.run(&["--json", "--trust", text(&file), "lease", "show", lease]);
    run.refused(Distrust::OtherFederation.code());
    let nobody = Home::new(&market.testnet.layout.folder().join("careless"));
    nobody.run(&["--max-age", "1h", "chain", "status"]).failed(1, &["nothing is trusted", "--trust"]);
}
