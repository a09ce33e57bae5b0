//! Who reads what on the command line, and the passes that reads are made by.

use super::Market;
use crate::hansa::Home;
use crate::testnet::below;
use hansa_ledger::row::LeaseState;
use hansa_node_api::filter::LeaseFilter;
use hansa_node_api::lease::LeaseInfo;
use hansa_node_api::pass::PASS_LIFE;
use hansa_node_api::view::{PublicLease, ShownLease};
use hansa_node_api::{Client, Fault, ReadPass};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A settled lease of the market's organisation.
fn settled(market: &Market) -> LeaseInfo {
    let filter = LeaseFilter { state: Some(LeaseState::Settled), ..LeaseFilter::default() };
    let leases = market.testnet.wait(market.testnet.client("FR").leases(&filter)).unwrap();
    leases.into_iter().next().expect("leases were settled before")
}

/// The lease verbs of somebody without a key, of a stranger, of both sides and of an office.
pub fn told_to_whom_it_belongs(market: &Market) {
    let forbidden = Fault::ReadForbidden.code();
    let lease = settled(market);
    let id = lease.id.to_string();
    let stranger = below(&market.testnet.layout.home(), "keys/sme-fr.key");
    let provider = below(market.testnet.layout.folder(), "providers/bsc/provider.key");
    let office = market.office("DE", "registrar");
    let genesis = below(market.testnet.layout.folder(), "genesis.toml");
    let api = market.testnet.api("EE");
    let ask = |key: &str, words: &[&str]| market.home.run(&[&["--json", "--key", key], words].concat());
    let nobody = Home::new(&market.testnet.layout.folder().join("nobody"));
    let public = |words: &[&str]| nobody.run(&[&["--json", "--node", &api], words].concat());
    for words in [
        &["lease", "show", &id][..],
        &["job", "list", &id],
        &["lease", "verify", &id, "--genesis", &genesis],
        &["request", "show", &lease.row.request.to_string()],
        &["chain", "proof", "leases", &id],
    ] {
        ask("daily", words).succeeded();
        ask(&provider, words).succeeded();
        ask(&office, words).succeeded();
        ask(&stranger, words).refused(forbidden);
        public(words).refused(forbidden);
    }
    // In lists, the same lease whole or as a pseudonym.
    let listed: Vec<ShownLease> = public(&["lease", "list", "--all"]).read();
    assert!(listed.iter().all(|one| matches!(one, ShownLease::Public(_))), "{listed:?}");
    let all: Vec<Value> = ask(&stranger, &["lease", "list", "--all"]).read();
    let one = all.into_iter().find(|one| one["id"] == id.as_str()).unwrap();
    let one: PublicLease = serde_json::from_value(one).unwrap();
    assert!(one.settlement.is_some(), "{one:?}");
    let all: Vec<ShownLease> = ask("daily", &["lease", "list", "--all"]).read();
    assert!(all.contains(&ShownLease::Whole(lease.clone())));
    public(&["account", "show"]).failed(1, &["no key", "hansa key new"]);
    public(&["request", "list", "--all"]).refused(forbidden);
    // What everybody may see needs no key.
    for words in [
        &["capacity", "list"][..],
        &["offer", "list"],
        &["site", "list"],
        &["org", "list"],
        &["chain", "status"],
    ] {
        let run = public(words).succeeded();
        for name in ["newco", "startup-ee", "sme-fr"] {
            assert!(!run.stdout.contains(name), "{words:?}: {run}");
        }
    }
    let events = |run: crate::hansa::Run| -> Vec<String> {
        run.succeeded().lines().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    let words = ["chain", "events", "--last", "100000"];
    let (told, own) = (events(public(&words)), events(ask("daily", &words)));
    assert!(
        told.contains(&"batch_cleared".to_owned()) && !told.contains(&"lease_awarded".to_owned()),
        "{told:?}"
    );
    assert!(own.contains(&"lease_awarded".to_owned()), "{own:?}");
}

fn passes(market: &Market) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(market.home.home.join("keys")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "pass")).collect()
}

pub fn passes_are_kept(market: &Market) {
    let home = &market.home;
    home.run(&["--json", "key", "forget-pass"]).succeeded();
    let own = market.organisation();
    let key: Value = home.ask(&["key", "show"]);
    let key = key["public_key"].as_str().unwrap();
    let kept = || {
        let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(key);
        passes(market).into_iter().filter(named).collect::<Vec<_>>()
    };
    let [path] = <[PathBuf; 1]>::try_from(kept()).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read_to_string(&path).unwrap();
    market.account();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before, "it is used as long as it holds");

    // One that does not hold is made anew, whatever is wrong with it.
    let pass = ReadPass::from_bearer(&before).unwrap();
    let secret = crate::testnet::secret_key(&home.home.join("keys/daily.key"));
    let stale = ReadPass::make(&secret, pass.chain, std::time::Duration::ZERO);
    // Behind chain, key and expiry stands the signature.
    let mut forged = before.clone();
    forged.replace_range(before.len() - 2.., if before.ends_with("00") { "01" } else { "00" });
    for text in ["garbage".to_owned(), String::new(), stale.to_bearer().to_string(), forged] {
        std::fs::write(&path, &text).unwrap();
        assert_eq!(market.organisation(), own, "{text}");
        assert_ne!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(market.organisation(), own);
    assert_eq!(
        path.metadata().unwrap().permissions().mode() & 0o777,
        0o600,
        "one that others may open is not used"
    );

    // Programs read by the same pass.
    let given: Value = home.ask(&["key", "pass"]);
    assert_eq!(given["header"], hansa_node_api::pass::PASS_HEADER);
    let pass = ReadPass::from_bearer(given["pass"].as_str().unwrap()).unwrap();
    let client = Client::new(&market.testnet.api("FR")).unwrap();
    let read = market.testnet.wait(client.clone().with_pass(pass).organisation(&own)).unwrap();
    assert_eq!(read.organisation.id, own);
    let refused = market.testnet.wait(client.clone().organisation(&own)).unwrap_err();
    assert_eq!(refused.fault(), Some(Fault::ReadForbidden));
    let elsewhere = ReadPass::make(&secret, hansa_ledger::id::ChainId([1; 32]), PASS_LIFE);
    let refused = market.testnet.wait(client.with_pass(elsewhere).organisation(&own)).unwrap_err();
    assert_eq!(refused.fault(), Some(Fault::PassOtherChain));

    let forgotten: Value = home.ask(&["key", "forget-pass"]);
    assert_eq!((forgotten["forgotten"].as_u64(), kept().len()), (Some(1), 0));
    assert_eq!(market.organisation(), own, "the next look makes one");
}
