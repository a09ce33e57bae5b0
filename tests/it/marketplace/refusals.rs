//! What cannot be is refused with a fixed number, and nothing is lost by it.

use super::{CLASS, GRANT, Market};
use crate::testnet::below;
use hansa_ledger::action::{Action, RedeemCash};
use hansa_ledger::id::ChainId;
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_node_api::peer::now_ms;

/// Each row changes one thing of a bid that would be taken.
pub fn bids(market: &Market) {
    let before = market.account();
    let usual = [
        ("--class", CLASS),
        ("--quantity", "4"),
        ("--duration", "10s"),
        ("--limit", "2.40"),
        ("--grant", GRANT),
        ("--within", "1m"),
    ];
    let overflow = u32::MAX.to_string();
    let rows: [(&str, &str, Rejection); 10] = [
        ("--class", "abacus", Rejection::ClassUnknown),
        ("--quantity", "0", Rejection::QuantityInvalid),
        ("--quantity", "5000", Rejection::RequestOverSite),
        ("--quantity", &overflow, Rejection::RequestOverSite),
        ("--duration", "2d", Rejection::DurationInvalid),
        ("--limit", "99999", Rejection::FundsInsufficient),
        ("--country", "EE", Rejection::RequestImpossible),
        ("--tier", "9", Rejection::RequestImpossible),
        ("--certificate", "1", Rejection::RequestImpossible),
        ("--purpose", "research", Rejection::GrantPurpose),
    ];
    for (option, value, rejection) in rows {
        let kept = usual.iter().filter(|(name, _)| *name != option);
        let mut words = vec!["--json", "bid", option, value];
        words.extend(kept.flat_map(|(name, value)| [*name, *value]));
        println!("{option} {value}");
        market.home.run(&words).refused(rejection.code());
        // The quote says the same beforehand.
        words.push("--dry-run");
        market.home.run(&words).refused(rejection.code());
    }
    let past = ["--json", "bid", "--class", CLASS, "--duration", "10s", "--limit", "2.40", "--grant", GRANT];
    let past = [&past[..], &["--start", "2026-01-01T00:00Z"]].concat();
    market.home.run(&past).refused(Rejection::WindowInvalid.code());
    let after = market.account();
    assert_eq!((&after.grants, after.cash, after.escrowed), (&before.grants, before.cash, before.escrowed));
}

/// Each row spoils one thing of a transaction that would be taken. What is refused at the door burns no nonce.
pub fn transactions(market: &Market) {
    let key = below(&market.home.home, "keys/daily.key");
    let account = market.testnet.account_of(key.as_ref(), "EE");
    let nonce = market.testnet.wait(account.client.next_nonce(&account.public_key())).unwrap();
    let actions = || vec![Action::from(RedeemCash { amount: Money(10_000) })];
    let changed = |change: &dyn Fn(&mut Transaction)| -> SignedTransaction {
        let mut transaction = account.sign(nonce, actions()).transaction;
        change(&mut transaction);
        transaction.sign(&account.key)
    };
    let mut forged = account.sign(nonce, actions());
    forged.transaction.actions = vec![RedeemCash { amount: Money(20_000) }.into()];
    let stranger = hansa_ledger_signature::SecretKey::from_bytes([3; 32]);
    let mut unknown = account.sign(0, actions()).transaction;
    unknown.signer = stranger.public_key();
    for (signed, rejection) in [
        (forged, Rejection::BadSignature),
        (changed(&|transaction| transaction.chain = ChainId([1; 32])), Rejection::WrongChain),
        (changed(&|transaction| transaction.nonce = 0), Rejection::NonceUsed),
        (changed(&|transaction| transaction.nonce += 1_000_000), Rejection::NonceGap),
        (changed(&|transaction| transaction.valid_until = TimeMs(now_ms() - 60_000)), Rejection::Expired),
        (
            changed(&|transaction| transaction.valid_until = TimeMs(now_ms() + 30 * 86_400_000)),
            Rejection::ValidUntilTooFar,
        ),
        (changed(&|transaction| transaction.actions.clear()), Rejection::TooManyActions),
        (unknown.sign(&stranger), Rejection::UnknownKey),
    ] {
        let refused = market.testnet.wait(account.client.submit(&signed));
        let refused = refused.expect_err(rejection.name());
        assert_eq!(refused.rejection(), Some(rejection), "{refused}");
    }
    let good = account.sign(nonce, actions());
    let before = market.account().cash;
    let submit = |signed: &SignedTransaction| {
        market.testnet.wait(account.client.submit_and_wait(signed, std::time::Duration::from_secs(10)))
    };
    let done = submit(&good).unwrap();
    // Sent once more it is not done once more, at any node.
    let again = submit(&good).map(|done| done.height);
    assert!(again.as_ref().is_ok_and(|height| *height == done.height) || again.is_err(), "{again:?}");
    let elsewhere = market.testnet.wait(market.testnet.client("FR").submit(&good));
    assert!(
        elsewhere.as_ref().err().and_then(hansa_node_api::ApiError::rejection).is_some(),
        "{elsewhere:?}"
    );
    market.testnet.agree(done.height);
    assert_eq!(market.account().cash.0, before.0 - 10_000);
}

/// What is no transaction at all is refused before anything of it is believed.
pub fn bytes(market: &Market) {
    let key = below(&market.home.home, "keys/daily.key");
    let account = market.testnet.account_of(key.as_ref(), "EE");
    let nonce = market.testnet.wait(account.client.next_nonce(&account.public_key())).unwrap();
    let good = account.sign(nonce, vec![RedeemCash { amount: Money(10_000) }.into()]).encode();
    let post = |path: &str, body: &[u8]| post(&market.testnet.api("EE"), path, body);
    let longer = [&good[..], &[0]].concat();
    let mut tagged = good.clone();
    tagged[0] ^= 0x80;
    for (what, body) in [
        ("nothing", &[][..]),
        ("a byte too many", &longer),
        ("a byte too few", &good[..good.len() - 1]),
        ("another first byte", &tagged),
        ("noise", &[0x5a; 400]),
    ] {
        let (status, code) = post("/v1/transactions", body);
        assert!(status == 400 || status == 422, "{what}: {status}");
        assert!(code == u64::from(Rejection::Malformed.code()) || code == 4 || code == 5, "{what}: {code}");
    }
    let (status, _) = post("/v1/transactions", &vec![0; 2 << 20]);
    assert_eq!(status, 413, "two megabytes");
    let (status, code) = post("/v1/nothing", &good);
    assert_eq!((status, code), (404, 1002));
    // After all of this the good one is taken, with the nonce that none of them has burnt.
    let (status, _) = post("/v1/transactions", &good);
    assert!((200..300).contains(&status), "{status}");
}

/// Posts bytes as any program can, and gives status and number of the answer.
fn post(api: &str, path: &str, body: &[u8]) -> (u16, u64) {
    use std::io::{Read as _, Write as _};
    let host = api.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/octet-stream\r\n");
    write!(stream, "{head}content-length: {}\r\nconnection: close\r\n\r\n", body.len()).unwrap();
    // A node that has seen enough may stop reading.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let json = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    (status, json["error"]["code"].as_u64().unwrap_or_default())
}

/// Money and capacity that are not there: a grant that has expired, an offer over what is accredited.
pub fn grants_and_offers(market: &Market) {
    let home = &market.home;
    let issue = ["credit", "issue", "newco", "20", "--reference", "brief", "--line", "short"];
    let issue = [&issue[..], &["--purpose", "innovation", "--expires", "in 5s"]].concat();
    market.treasury("EE", &issue).succeeded();
    let grant = |market: &Market| {
        market.account().grants.into_iter().find(|grant| grant.row.reference.as_str() == "brief").unwrap()
    };
    market.testnet.until("the grant expires", super::MARKET_TIME_MAX, || {
        let grant = grant(market);
        grant.row.closed.then(|| assert_eq!(grant.balance, Money::ZERO, "the rest is back at its line"))
    });
    let bid = ["--json", "bid", "--class", CLASS, "--duration", "10s", "--limit", "2.40", "--within", "1m"];
    home.run(&[&bid[..], &["--grant", "brief"]].concat()).refused(Rejection::GrantExpired.code());

    let provider = below(market.testnet.layout.folder(), "providers/bsc/provider.key");
    let offers: Vec<serde_json::Value> = home.ask(&["--key", &provider, "offer", "list"]);
    let own = offers.iter().find(|offer| offer["class"] == CLASS).unwrap();
    let action = |action: serde_json::Value, key: &str| {
        let file = home.write("offer.json", action.to_string());
        home.run(&["--json", "--key", key, "submit", crate::testnet::text(&file)])
    };
    let mut post = serde_json::json!({ "action": "post_offer", "contract_params": own["contract_params"] });
    for field in ["site", "class", "ask", "contract"] {
        post[field] = own[field].clone();
    }
    post["calendar"] = own["market"].clone();
    action(post.clone(), &provider).refused(Rejection::OfferExists.code());
    action(post.clone(), "daily").refused(Rejection::RoleMissing.code());
    post["site"] = "somewhere".into();
    action(post, &provider).refused(Rejection::SiteUnknown.code());
    // Who offers nothing there can neither change nor withdraw it.
    let id = own["id"].as_str().unwrap();
    let other = below(market.testnet.layout.folder(), "providers/jsc/provider.key");
    home.run(&["--json", "--key", &other, "offer", "withdraw", id]).refused(Rejection::OfferUnknown.code());
}

/// Each office does its own member's business, and an organisation nobody else's.
pub fn offices(market: &Market) {
    let home = &market.home;
    let act = |key: &str, words: &[&str]| home.run(&[&["--json", "--key", key], words].concat());
    let (fr_registrar, ee_registrar) = (market.office("FR", "registrar"), market.office("EE", "registrar"));
    let ee_treasury = market.office("EE", "treasury");
    let deposit = ["credit", "deposit", "newco", "5", "--reference", "bank-9"];
    market.treasury("FR", &deposit).refused(Rejection::NotTreasury.code());
    act(&ee_registrar, &deposit).refused(Rejection::NotTreasury.code());
    act("daily", &deposit).refused(Rejection::NotTreasury.code());
    act(&fr_registrar, &["org", "revoke", "newco"]).refused(Rejection::NotRegistrar.code());
    act(&ee_treasury, &["org", "revoke", "newco"]).refused(Rejection::NotRegistrar.code());
    let accredit =
        ["org", "accredit", "own", "--register-number", "1", "--class", "sme", "--admin-key", "main"];
    act("daily", &accredit).refused(Rejection::NotRegistrar.code());

    // Revoked, an organisation can do nothing more, and its open request is refunded.
    home.run(&["key", "new", "shell", "--unencrypted"]).succeeded();
    let words = ["org", "accredit", "shell-company", "--register-number", "666", "--class", "sme"];
    act(&ee_registrar, &[&words[..], &["--admin-key", "shell"]].concat()).succeeded();
    let opening = ["credit", "deposit", "shell-company", "10", "--reference", "bank-10"];
    market.treasury("EE", &opening).succeeded();
    let bid = ["bid", "--class", CLASS, "--duration", "10s", "--limit", "0.01", "--cash", "--within", "1h"];
    act("shell", &bid).succeeded();
    act(&ee_registrar, &["org", "revoke", "shell-company"]).succeeded();
    act("shell", &bid).refused(Rejection::OrganisationRevoked.code());
    // Neither a stranger nor the public learns any of it; the organisation itself still does, and so does every office.
    let shown: serde_json::Value =
        act(&market.office("FR", "treasury"), &["account", "show", "shell-company"]).read();
    let own: serde_json::Value = act("shell", &["account", "show"]).read();
    assert_eq!(own["organisation"]["cash"], shown["organisation"]["cash"]);
    let id = shown["organisation"]["id"].as_str().unwrap();
    act("daily", &["account", "show", id]).refused(hansa_node_api::Fault::ReadForbidden.code());
    assert_eq!(shown["organisation"]["cash"], "10.00", "{shown}");
    assert_eq!(shown["organisation"]["escrowed"], "0.00", "{shown}");
    assert_eq!(shown["organisation"]["standing"], "revoked", "{shown}");
}
