//! Offices that act by several keys, as those who hold the keys type it.

use super::Market;
use super::money::eur;
use hansa_ledger::rejection::Rejection;
use hansa_node_api::Fault;
use hansa_node_api::office::{OfficeInfo, OrderInfo};
use serde_json::Value;

/// One key of the treasury proposes, another approves; what is refused stays an order; governance adds and removes keys.
pub fn several_keys(market: &Market) {
    let home = &market.home;
    let [first, second, third, governance] =
        ["treasury", "treasury-2", "treasury-3", "governance"].map(|key| market.office("EE", key));
    let act = |key: &str, words: &[&str]| home.run(&[&["--json", "--key", key], words].concat());
    let listing = ["--key", &governance, "office", "orders", "--member", "EE", "--office", "treasury"];
    let orders = || -> Vec<OrderInfo> { home.ask(&listing) };
    // Those that an earlier feature left refused.
    for order in orders() {
        act(&first, &["office", "cancel", &order.id.to_string()]).succeeded();
    }
    assert_eq!(orders(), []);

    let cash = market.account().cash;
    let told =
        home.run(&["--key", &third, "credit", "deposit", "newco", "1", "--reference", "bank-7"]).succeeded();
    assert!(told.stdout.contains("awaits 1 more approval of the treasury of EE"), "{told}");
    assert!(told.stdout.contains("attested 1.00 EUR for"), "{told}");
    let [order] = orders().try_into().unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!((order.counted, order.threshold), (1, 2));
    let id = order.id.to_string();
    let short = &id[..12];
    assert_eq!(market.account().cash, cash, "nothing has moved");
    act(&third, &["office", "approve", short]).refused(Rejection::OrderApproved.code());
    act(&governance, &["office", "approve", short]).refused(Rejection::OrderUnknown.code());
    act(&second, &["office", "approve", &"0".repeat(64)]).refused(Rejection::OrderUnknown.code());
    act(&first, &["office", "cancel", short]).refused(Rejection::NotProposer.code());
    home.run(&["--json", "office", "orders"]).refused(1030);
    let listed = home.run(&["--key", &governance, "office", "orders"]).succeeded();
    assert!(
        listed.stdout.contains("attest deposit bank-7 of 1.00 EUR for") && listed.stdout.contains("1 of 2"),
        "{listed}"
    );
    let approved: Value = act(&second, &["office", "approve", short]).read();
    assert_eq!((&approved["executed"], &approved["missing"]), (&Value::from(true), &Value::from(0)));
    assert_eq!(market.account().cash.0, cash.0 + eur("1").0);
    assert_eq!(orders(), []);

    // The grant's id is known before it is issued.
    let issue = ["credit", "issue", "newco", "3", "--reference", "later", "--line", "few", "--purpose"];
    let issued: Value = act(&first, &[&issue[..], &["innovation", "--expires", "in 1h"]].concat()).read();
    let order = issued["order"]["id"].as_str().unwrap();
    assert!(act(&first, &["office", "cancel", order]).succeeded().stdout.contains(order));
    act(&second, &["office", "approve", order]).refused(Rejection::OrderUnknown.code());
    assert_eq!(issued["grant"].as_str().unwrap().len(), 64);

    manage_keys(market, &governance, &first);
}

/// Adds a key with its holder's proof, lets the treasury act by one, and puts everything back.
fn manage_keys(market: &Market, governance: &str, first: &str) {
    let home = &market.home;
    let act = |key: &str, words: &[&str]| home.run(&[&["--json", "--key", key], words].concat());
    let made: Value = home.ask(&["key", "new", "treasurer", "--unencrypted"]);
    let key = made["public_key"].as_str().unwrap();
    let wrong: Value = home.ask(&["key", "prove", "treasurer", "--office", "FR:treasury"]);
    let set = ["office", "key", "set", "treasury", key];
    act(governance, &[&set[..], &["--proof", wrong["proof"].as_str().unwrap()]].concat())
        .refused(Rejection::PossessionInvalid.code());
    act(first, &set).refused(Rejection::NotGovernance.code());
    // The key is one of this user's, so the proof is made on the way.
    act(governance, &set).succeeded();
    act(governance, &["office", "threshold", "treasury", "5"]).refused(Rejection::ThresholdInvalid.code());
    act(governance, &["office", "threshold", "treasury", "1"]).succeeded();
    let deposit = ["credit", "deposit", "newco", "1", "--reference", "bank-8"];
    let done: Value = act("treasurer", &deposit).read();
    assert_eq!(done["order"], Value::Null, "{done}");
    act(governance, &["office", "threshold", "treasury", "2"]).succeeded();
    act(governance, &["office", "key", "remove", "treasury", key]).succeeded();
    // Its pass does not even read any more.
    act("treasurer", &deposit).refused(Fault::PassKeyRevoked.code());
    let offices: Vec<OfficeInfo> = home.ask(&["office", "show", "EE"]);
    let treasury = &offices[1];
    assert_eq!((treasury.threshold, treasury.keys, treasury.key_list.len()), (2, 3, 4));
    let shown = home.run(&["office", "show", "EE"]).succeeded();
    assert!(shown.stdout.contains("2 of 3 keys") && shown.stdout.contains("removed"), "{shown}");
    // The account is as the next features expect it.
    home.run(&["--passphrase-file", &crate::testnet::below(&home.work, "phrase"), "credit", "redeem", "2"])
        .succeeded();
}
