//! Any action from a file; blocks, transactions and proofs.

use super::Market;
use super::money::eur;
use crate::testnet::text;
use hansa_node_api::chain::{BlockInfo, TransactionInfo, TransactionStatus};
use serde_json::{Value, json};

pub fn submitted_from_a_file(market: &Market) {
    let home = &market.home;
    let before = market.account().cash;
    let submit = |value: Value| {
        let file = home.write("action.json", value.to_string());
        home.run(&["--json", "submit", text(&file)])
    };
    let redeem = |amount: &str| json!({ "action": "redeem_cash", "amount": amount });
    let done: Value = submit(redeem("0.50")).read();
    assert_eq!(done["events"][0]["event"], "cash_redeemed");
    assert_eq!(market.account().cash.0, before.0 - eur("0.50").0);
    // A list is done all or none.
    submit(json!([redeem("0.25"), redeem("1000000")])).refused(201);
    assert_eq!(market.account().cash.0, before.0 - eur("0.50").0);
    submit(json!([redeem("0.25"), redeem("0.25")])).succeeded();
    assert_eq!(market.account().cash.0, before.0 - eur("1.00").0);
    submit(json!({ "action": "mint", "amount": "1" })).failed(1, &["unknown variant", "redeem_cash"]);
}

pub fn looked_at_and_proven(market: &Market) {
    let home = &market.home;
    let file = home.write("redeem.json", r#"{"action": "redeem_cash", "amount": "0.10"}"#);
    let sent: Value = home.ask(&["submit", text(&file)]);
    let (id, height) = (sent["transaction"].as_str().unwrap(), sent["height"].as_u64().unwrap());
    let status: Value = home.ask(&["chain", "status"]);
    assert!(status["node"]["height"].as_u64().unwrap() >= height);
    assert_eq!(status["node"]["chain"], market.testnet.genesis().chain_id().to_string());
    assert_eq!(status["peers"].as_array().unwrap().len(), 3);

    let found: TransactionInfo = home.ask(&["chain", "tx", id]);
    let TransactionStatus::Final(place) = found.status else { panic!("{found:?}") };
    assert_eq!((place.height, place.rejection()), (height, None));
    let unknown: TransactionInfo = home.ask(&["chain", "tx", &"5".repeat(64)]);
    assert_eq!(unknown.status, TransactionStatus::Unknown);

    // One block, the same at every node, with the signatures of more than two thirds.
    market.testnet.agree(height);
    let block: BlockInfo = home.ask(&["chain", "block", &height.to_string()]);
    assert_eq!(block.transactions[place.index as usize].to_string(), id);
    let validators = market.testnet.federation.validators();
    hansa_node_api::certificate::verify(&block.header, &block.certificate, &validators).unwrap();
    for code in ["FR", "DE", "ES"] {
        let there: BlockInfo =
            home.ask(&["--node", &market.testnet.api(code), "chain", "block", &height.to_string()]);
        assert_eq!(there.id, block.id, "block {height} of {code}");
    }
    home.run(&["--json", "chain", "block", "999999"]).refused(1001);

    let organisation = market.organisation().to_string();
    let genesis = market.testnet.layout.genesis();
    let proven: Value =
        home.ask(&["chain", "proof", "organisations", &organisation, "--genesis", text(&genesis)]);
    assert_eq!(proven["verified"], true);
    assert!(proven["proof"]["row"].is_string(), "{proven}");
    // That something is not there is proven too.
    let registrar = market.office("FR", "registrar");
    let absent: Value = home.ask(&["--key", &registrar, "chain", "proof", "organisations", &"5".repeat(64)]);
    assert_eq!(
        (absent["verified"].as_bool(), absent["proof"]["row"].is_null()),
        (Some(true), true),
        "{absent}"
    );
    let events = home.run(&["--json", "chain", "events", "--kind", "cash_redeemed", "--last", "1000"]);
    assert!(events.lines().iter().any(|event| event["amount"] == "0.10"), "{events}");
}
