//! Usage that two sides cannot agree on: a panel of the members that have no part in it, and what happens where it is silent.

use super::{MARKET_TIME_MAX, Market};
use crate::testnet::{name, text};
use hansa_ledger::id::{LeaseId, RequestId};
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, Closing, LeaseState, Payment};
use hansa_node_api::error::Fault;
use hansa_node_api::lease::{DisputeInfo, LeaseInfo, SettlementInfo};
use hansa_node_api::market::RequestInfo;
use hansa_node_api::organisation::OrganisationDetail;
use serde_json::Value;

/// A class that nobody else offers.
const CLASS: &str = "court-8";

/// What the provider reports, and what the requester admits of it, in accelerator-seconds.
const REPORTED: u64 = 16;
const ADMITTED: u64 = 6;

/// Price of an accelerator-second: 3.60 EUR an hour.
const PRICE: u64 = 1_000;

/// Both sides are of Estonia, so the other three members may rule.
const PANEL: [&str; 3] = ["DE", "ES", "FR"];

/// One side of the lease, at the command line.
struct Side<'a> {
    market: &'a Market,
    key: String,
}

impl Side<'_> {
    fn run(&self, words: &[&str]) -> crate::hansa::Run {
        self.market.home.run(&[&["--json", "--key", &self.key], words].concat())
    }

    #[track_caller]
    fn ask(&self, words: &[&str]) -> Value {
        self.run(words).read()
    }

    fn cash(&self) -> Money {
        let shown = self.ask(&["account", "show"]);
        serde_json::from_value::<OrganisationDetail>(shown["organisation"].clone()).unwrap().cash
    }
}

/// A panel rules on one dispute against who opened it, and is silent on the next.
pub fn ruled_or_decided_as_signed(market: &Market) {
    let home = &market.home;
    market
        .treasury("EE", &["credit", "deposit", "startup-ee", "50", "--reference", "bank-court"])
        .succeeded();
    home.run(&["key", "new", "bailiff", "--unencrypted"]).succeeded();
    let phrase = home.write("phrase", "correct horse battery staple\n");
    let roles = ["org", "key", "set", "bailiff", "--roles", "offer,operate"];
    home.run(&[&["--passphrase-file", text(&phrase), "--key", "main"], &roles[..]].concat()).succeeded();
    let place = ["court", "--provider", "newco", "--class", CLASS, "--accelerators", "16"];
    for (member, verb) in [("EE", "accredit"), ("DE", "confirm")] {
        let key = market.office(member, "registrar");
        home.run(&[&["--key", &key, "site", verb], &place[..]].concat()).succeeded();
    }
    let provider = Side { market, key: "bailiff".to_owned() };
    let key = market.testnet.layout.user_key(&name("startup-ee"));
    let requester = Side { market, key: text(&key).to_owned() };
    let post = ["offer", "post", "--site", "court", "--class", CLASS, "--ask", "3.60 EUR/h"];
    let offer = provider.ask(&[&post[..], &["--quantity", "16", "--until", "in 1h"]].concat());

    the_panel_finds_for_the_provider(&provider, &requester);
    a_silent_panel_leaves_it_as_signed(&provider, &requester);
    provider.run(&["offer", "withdraw", offer["offer"].as_str().unwrap()]).succeeded();
}

/// A lease with a final report that nobody has agreed to.
fn reported(provider: &Side<'_>, requester: &Side<'_>) -> LeaseId {
    let testnet = &provider.market.testnet;
    let bid =
        ["bid", "--class", CLASS, "--quantity", "4", "--duration", "1m", "--cash", "--limit", "4.00 EUR/h"];
    let placed = requester.ask(&[&bid[..], &["--within", "1m"]].concat());
    let request: RequestId = serde_json::from_value(placed["request"].clone()).unwrap();
    let lease = testnet.until("the award", MARKET_TIME_MAX, || {
        let shown = requester.ask(&["request", "show", &request.to_string()]);
        serde_json::from_value::<RequestInfo>(shown).unwrap().row.lease
    });
    let id = lease.to_string();
    let retry = |what: &str, words: &[&str], until: Rejection| {
        testnet.until(what, MARKET_TIME_MAX, || {
            let run = provider.run(words);
            if run.code != 0 {
                run.refused(until.code());
                return None;
            }
            Some(())
        });
    };
    retry("the lease begins", &["lease", "start", &id], Rejection::LeaseNotYet);
    // Before the final report there is nothing to dispute.
    requester.run(&["lease", "dispute", &id, "--usage", "1"]).refused(Rejection::NotDisputable.code());
    let usage = REPORTED.to_string();
    retry("as much is delivered", &["lease", "report", &id, "--usage", &usage], Rejection::UsageOverLease);
    provider.run(&["lease", "end", &id, "--usage", &usage]).succeeded();
    lease
}

fn show(side: &Side<'_>, lease: LeaseId) -> (LeaseInfo, DisputeInfo) {
    let shown = side.ask(&["lease", "show", &lease.to_string()]);
    let part = |name: &str| shown[name].clone();
    (serde_json::from_value(part("lease")).unwrap(), serde_json::from_value(part("dispute")).unwrap())
}

fn rule(market: &Market, member: &str, lease: &str, part: &str) -> crate::hansa::Run {
    let key = market.office(member, "registrar");
    market.home.run(&["--json", "--key", &key, "lease", "rule", lease, "--provider-part", part])
}

/// What the lease paid by now, by whom it is paid to: provider and federation.
fn paid(payments: &[Payment], provider: &LeaseInfo) -> [u64; 2] {
    [AccountId::Cash(provider.row.provider), AccountId::Fees]
        .map(|to| payments.iter().filter(|one| one.to == to).map(|one| one.amount.0).sum())
}

fn split(seconds: u64) -> [u64; 2] {
    let due = seconds * PRICE;
    [due - due / 100, due / 100]
}

fn the_panel_finds_for_the_provider(provider: &Side<'_>, requester: &Side<'_>) {
    let market = provider.market;
    let before = [provider.cash(), requester.cash()];
    let lease = reported(provider, requester);
    let id = lease.to_string();
    let dispute = |side: &Side<'_>, usage: u64| {
        side.run(&["lease", "dispute", &id, "--usage", &usage.to_string(), "--reason", "3"])
    };
    // As much as was reported is no dispute, and nobody contests the provider's word but those who pay.
    for (side, usage) in [(requester, REPORTED), (requester, u64::MAX), (provider, REPORTED)] {
        dispute(side, usage).refused(Rejection::NotDisputable.code());
    }
    let stranger = text(&market.testnet.layout.user_key(&name("sme-fr"))).to_owned();
    dispute(&Side { market, key: stranger }, ADMITTED).refused(Rejection::LeaseUnknown.code());
    rule(market, "FR", &id, "100%").refused(Rejection::DisputeUnknown.code());
    let opened: Value = dispute(requester, ADMITTED).read();
    assert_eq!(opened["usage"], ADMITTED);
    dispute(requester, ADMITTED).refused(Rejection::DisputeOpen.code());

    // What nobody contests is paid at once, and the bond is taken: a tenth of what is contested, but no less than the least.
    let (_, open) = show(requester, lease);
    let panel: Vec<&str> = open.row.panel.iter().map(|code| code.as_str()).collect();
    assert_eq!((panel.as_slice(), open.row.bond, open.row.reason), (&PANEL[..], Money(1_000), 3));
    assert_eq!((open.row.admitted, open.row.reported, open.row.decided), (ADMITTED, REPORTED, None));
    assert_eq!(provider.cash().0, before[0].0 + split(ADMITTED)[0]);
    let told = market.home.run(&["--key", &requester.key, "lease", "show", &id]).succeeded();
    for part in ["by the requester", "6 to 16 accelerator-seconds", "0.001 EUR", "DE ES FR have until"] {
        assert!(told.stdout.contains(part), "no `{part}`: {told}");
    }

    // Only the panel rules, within bounds, and one of three is no majority.
    rule(market, "EE", &id, "100%").refused(Rejection::NotPanel.code());
    requester.run(&["lease", "rule", &id, "--provider-part", "0%"]).refused(Rejection::NotPanel.code());
    rule(market, "FR", &id, "101%").failed(1, &["--provider-part"]);
    rule(market, "FR", &id, "100%").succeeded();
    rule(market, "FR", &id, "100%").refused(Rejection::RulingGiven.code());
    let first: Value = rule(market, "DE", &id, "50%").read();
    assert_eq!(first["decided"], Value::Null, "{first}");
    let last: Value = rule(market, "ES", &id, "100%").read();
    assert_eq!(last["decided"], 10_000, "{last}");
    rule(market, "DE", &id, "100%").refused(Rejection::DisputeUnknown.code());

    // All of it is paid, and the bond of who was wrong is the provider's.
    let (info, decided) = show(provider, lease);
    assert_eq!((info.row.state, info.row.closing), (LeaseState::Settled, Some(Closing::Ruling)));
    assert_eq!((decided.row.decided, decided.row.ruled, decided.row.votes.len()), (Some(10_000), true, 3));
    let after = [provider.cash(), requester.cash()];
    assert_eq!(after[0].0 - before[0].0, split(REPORTED)[0] + 1_000);
    assert_eq!(before[1].0 - after[1].0, REPORTED * PRICE + 1_000);
    let told = market.home.run(&["--key", &provider.key, "lease", "show", &id]).succeeded();
    for part in ["settled (ruling)", "DE 50 %, ES 100 %, FR 100 %", "100 % to the provider", "INTERIM"] {
        assert!(told.stdout.contains(part), "no `{part}`: {told}");
    }
    let again = provider.ask(&["contract", "replay", &id]);
    assert_eq!(again["agrees"], true, "{again}");
}

fn a_silent_panel_leaves_it_as_signed(provider: &Side<'_>, requester: &Side<'_>) {
    let market = provider.market;
    let before = [provider.cash(), requester.cash()];
    let lease = reported(provider, requester);
    let id = lease.to_string();
    requester.run(&["lease", "dispute", &id, "--usage", &ADMITTED.to_string()]).succeeded();
    // One voice of three does not decide.
    rule(market, "DE", &id, "0%").succeeded();
    let settled =
        market.until_lease("it is decided as signed", lease, |one| one.row.state == LeaseState::Settled);
    let bps = u64::from(settled.row.agreement.contest_provider_bps);
    let (info, decided) = show(requester, lease);
    assert_eq!((info.row.closing, info.row.ruling), (Some(Closing::Ruling), None));
    assert_eq!((decided.row.decided.map(u64::from), decided.row.ruled), (Some(bps), false));
    assert!(decided.row.due <= market.testnet.wait(market.testnet.client("EE").status()).unwrap().time);
    let due = (ADMITTED * 10_000 + (REPORTED - ADMITTED) * bps) * PRICE / 10_000;
    let settlement: SettlementInfo =
        market.testnet.wait(market.testnet.client("EE").settlement(&lease)).unwrap();
    let rest = due - ADMITTED * PRICE;
    assert_eq!(paid(&settlement.row.payments, &info), [rest - rest / 100, rest / 100]);
    // Nobody was found wrong, so the bond is back with who posted it.
    let after = [provider.cash(), requester.cash()];
    assert_eq!(after[0].0 - before[0].0, due - due / 100);
    assert_eq!(before[1].0 - after[1].0, due);
    let told = market.home.run(&["--key", &requester.key, "lease", "show", &id]).succeeded();
    assert!(told.stdout.contains("to the provider, as both signed"), "{told}");
    rule(market, "FR", &id, "0%").refused(Rejection::DisputeUnknown.code());
    // Who has no part in it reads nothing of it, nor does the public.
    let stranger = text(&market.testnet.layout.user_key(&name("sme-fr"))).to_owned();
    let read = market.home.run(&["--json", "--key", &stranger, "lease", "show", &id]);
    read.refused(Fault::ReadForbidden.code());
}
