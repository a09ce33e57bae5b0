//! Accreditation, keys, grants, cash, positions.

use super::{GRANT, Market};
use crate::testnet::{below, member, text};
use hansa_ledger::money::Money;
use hansa_ledger::row::{OrganisationClass, Purpose, Roles};
use hansa_node_api::organisation::{MemberInfo, OrganisationInfo};
use serde_json::Value;

pub fn eur(text: &str) -> Money {
    text.parse().unwrap()
}

/// As a new user types it: a key with a passphrase, the settings, then the offices of its home member.
pub fn accredited_and_funded(market: &Market) {
    let home = &market.home;
    let phrase = home.write("phrase", "correct horse battery staple\n");
    let made: Value = home.ask(&["key", "new", "main", "--passphrase-file", text(&phrase)]);
    assert_eq!(made["protection"], "passphrase");
    for (setting, value) in [
        ("node", market.testnet.api("EE").as_str()),
        ("key", "main"),
        ("genesis", text(&market.testnet.layout.genesis())),
        ("countersign", "always"),
    ] {
        home.run(&["config", "set", setting, value]).succeeded();
    }
    let registrar = market.office("EE", "registrar");
    let accredit = |number: &str, key: &str, more: &[&str]| {
        let words = ["org", "accredit", "newco", "--register-number", number, "--class", "start-up"];
        home.run(&[&["--json", "--key", &registrar], &words[..], &["--admin-key", key], more].concat())
    };
    // Who types the passphrase once reads on without it: a pass is kept beside the keys.
    let show = ["--json", "account", "show"];
    home.run(&[&["--passphrase-file", text(&phrase)], &show[..]].concat()).refused(8);
    home.run(&show).refused(8);
    // The key's holder gives the registrar its word, which holds for this number only.
    let public = made["public_key"].as_str().unwrap();
    let prove = |whom: &str| -> String {
        let words = ["key", "prove", "main", "--for", whom, "--passphrase-file", text(&phrase)];
        home.ask::<Value>(&words)["proof"].as_str().unwrap().to_owned()
    };
    let elsewhere = prove("EE:17000002");
    accredit("17000001", public, &["--proof", &elsewhere]).refused(161);
    accredit("17000001", &"1f".repeat(32), &[]).refused(108);
    let proof = prove("EE:17000001");
    let accredited: Value = accredit("17000001", public, &["--proof", &proof]).read();
    assert_eq!(accredited["order"], Value::Null, "one key of the registrar suffices");
    // The number is taken for everybody else, and the key for every other number; with both, it is a renewal.
    home.run(&["key", "new", "other", "--unencrypted"]).succeeded();
    accredit("17000001", "other", &[]).refused(106);
    accredit("17000002", "main", &[]).refused(107);
    let renewed: Value = accredit("17000001", "main", &[]).read();
    assert_eq!(renewed["organisation"], accredited["organisation"]);

    let issue = ["credit", "issue", "newco", "250", "--reference", GRANT, "--line"];
    let issue =
        [&issue[..], &["startup-vouchers", "--purpose", "innovation", "--expires", "in 90d"]].concat();
    market.treasury("EE", &issue).succeeded();
    market.treasury("EE", &issue).refused(207);
    let deposit = ["credit", "deposit", "newco", "50", "--reference", "bank-1"];
    market.treasury("EE", &deposit).succeeded();
    market.treasury("EE", &deposit).refused(208);

    let account = market.account();
    assert_eq!(account.organisation.id.to_string(), accredited["organisation"].as_str().unwrap());
    assert_eq!(account.organisation.row.class, OrganisationClass::StartUp);
    assert_eq!((account.cash, account.escrowed), (eur("50"), Money::ZERO));
    let [grant] = account.grants.as_slice() else { panic!("{:?}", account.grants) };
    assert_eq!((grant.balance, grant.row.purpose), (eur("250"), Purpose::Innovation));
    assert_eq!(grant.row.budget_line.as_str(), "startup-vouchers");
    let listed: Vec<OrganisationInfo> =
        home.ask(&["--key", &market.office("EE", "treasury"), "org", "list", "--member", "EE"]);
    let names: Vec<&str> = listed.iter().map(|one| one.row.name.as_str()).collect();
    assert!(names.contains(&"newco") && names.contains(&"startup-ee"), "{names:?}");
    assert!(listed.iter().all(|one| one.row.home == member("EE")));
}

/// The administrator's key stays in the drawer: a second one with a limit does the daily work.
pub fn keys_have_roles_and_limits(market: &Market) {
    let home = &market.home;
    let phrase = below(&home.work, "phrase");
    let with_phrase = |words: &[&str]| home.run(&[&["--json", "--passphrase-file", &phrase], words].concat());
    home.run(&["key", "new", "daily", "--unencrypted"]).succeeded();
    with_phrase(&["org", "key", "set", "daily", "--roles", "bid"]).succeeded();
    let sme = market.testnet.user("sme-fr").organisation.to_string();
    let transfer = |amount: &str| home.run(&["--json", "--key", "daily", "credit", "transfer", &sme, amount]);
    transfer("1").refused(100);
    with_phrase(&["org", "key", "set", "daily", "--roles", "bid,treasury,admin", "--limit", "40"])
        .succeeded();
    transfer("40.01").refused(113);
    with_phrase(&["org", "key", "set", "daily", "--roles", "bid,treasury,admin"]).succeeded();
    home.run(&["config", "set", "key", "daily"]).succeeded();
    let wrong = home.write("wrong", "incorrect\n");
    let refused = home.run(&["--key", "main", "--passphrase-file", text(&wrong), "credit", "redeem", "1"]);
    refused.failed(1, &["the passphrase is wrong", "hint: "]);
    let account = market.account();
    let roles: Vec<Roles> = account.key_list.iter().map(|key| key.row.roles).collect();
    assert!(roles.contains(&Roles::ALL) && roles.contains(&Roles(1 | 8 | 16)), "{roles:?}");
    assert_eq!(account.cash, eur("50"), "what was refused has moved nothing");
}

/// Money that moves between organisations of two members moves the members' positions.
pub fn transferred_and_redeemed(market: &Market) {
    let home = &market.home;
    let before = positions(market);
    let sme = market.testnet.user("sme-fr").organisation.to_string();
    home.run(&["credit", "transfer", &sme, "12.50"]).succeeded();
    home.run(&["credit", "redeem", "7.25"]).succeeded();
    assert_eq!(market.account().cash, eur("30.25"));
    let received: Value = home.ask(&["--key", &market.office("DE", "treasury"), "account", "show", "sme-fr"]);
    assert_eq!(received["organisation"]["cash"], "20012.50");
    let after = positions(market);
    let moved = |code: &str| {
        let of = |all: &[(String, i128)]| all.iter().find(|(one, _)| one == code).unwrap().1;
        of(&after) - of(&before)
    };
    let amount = i128::from(eur("12.50").0);
    assert_eq!((moved("EE"), moved("FR"), moved("DE")), (-amount, amount, 0));
    home.run(&["--json", "credit", "transfer", &sme, "31"]).refused(201);
    home.run(&["--json", "credit", "transfer", "newco", "1"]).refused(211);
    home.run(&["--json", "credit", "redeem", "0"]).refused(200);
    assert_eq!(positions(market), after);
}

fn positions(market: &Market) -> Vec<(String, i128)> {
    let status: Value = market.home.ask(&["chain", "status"]);
    let members: Vec<MemberInfo> = serde_json::from_value(status["members"].clone()).unwrap();
    members.into_iter().map(|one| (one.code.to_string(), one.row.position)).collect()
}

/// After everything else: the books balance for every member, and every node has them.
pub fn conserved(market: &Market) {
    market.testnet.agree(1);
    let status: Value = market.home.ask(&["chain", "status"]);
    let members: Vec<MemberInfo> = serde_json::from_value(status["members"].clone()).unwrap();
    assert_eq!(members.len(), 5, "four members and the joint undertaking");
    assert_eq!(members.iter().map(|one| one.row.position).sum::<i128>(), 0);
    let spain = members.iter().find(|one| one.code == member("ES")).unwrap();
    assert!(spain.row.position > 0, "its provider was paid from abroad: {spain:?}");
    let account = market.account();
    assert_eq!(account.escrowed, Money::ZERO, "nothing stays locked once everything is settled: {account:?}");
    assert_eq!(account.organisation.row.requests_open, 0);
    assert!(market.testnet.statuses().into_iter().all(|status| status.unwrap().ready));
}
