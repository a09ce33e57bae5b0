//! The contract of a page's walk, stopped while a lease runs under it: what it stops, what it does not, and what resumes.

use super::{MARKET_TIME_MAX, Market};
use crate::hansa::{Home, Run};
use crate::testnet::text;
use hansa_ledger::id::{CodeHash, LeaseId, RequestId};
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, LeaseState, RequestState};
use hansa_node_api::lease::{LeaseInfo, SettlementInfo};
use hansa_node_api::market::RequestInfo;
use serde_json::{Value, json};

/// The two members whose votes decide.
const MEMBERS: [&str; 2] = ["EE", "DE"];

/// The federation's own users at the command line: the centre and the start-up of the walk.
struct Users<'a> {
    market: &'a Market,
    home: Home,
}

impl Users<'_> {
    fn run(&self, key: &str, words: &[&str]) -> Run {
        self.home.run(&[&["--json", "--key", key], words].concat())
    }

    #[track_caller]
    fn ask(&self, key: &str, words: &[&str]) -> Value {
        self.run(key, words).read()
    }

    /// Both members vote for it.
    #[track_caller]
    fn vote(&self, words: &[&str]) {
        for member in MEMBERS {
            self.run(&self.market.office(member, "governance"), &[&["contract"], words].concat()).succeeded();
        }
    }

    /// Waits until the alias points to this contract.
    #[track_caller]
    fn until_alias(&self, contract: &str) {
        self.market.testnet.until("the alias points to it", MARKET_TIME_MAX, || {
            let shown: Value = self.home.ask(&["contract", "show", contract]);
            let aliases = shown["aliases"].as_array().unwrap();
            aliases.contains(&"carbon-latest".into()).then_some(())
        });
    }

    /// In the market lane: what the reserve would take of so little costs less.
    #[track_caller]
    fn bid(&self) -> RequestId {
        let bid =
            ["bid", "--class", "forge-8", "--quantity", "8", "--duration", "2m", "--limit", "4.00 EUR/h"];
        let placed = self.ask(
            "startup-ee",
            &[&bid[..], &["--lane", "market", "--within", "5m", "--grant", "innovation-1"]].concat(),
        );
        serde_json::from_value(placed["request"].clone()).unwrap()
    }

    fn request(&self, request: RequestId) -> RequestInfo {
        serde_json::from_value(self.ask("startup-ee", &["request", "show", &request.to_string()])).unwrap()
    }

    fn show(&self, lease: LeaseId) -> LeaseInfo {
        let shown = self.ask("startup-ee", &["lease", "show", &lease.to_string()]);
        serde_json::from_value(shown["lease"].clone()).unwrap()
    }

    /// A lease that has begun, with 40 accelerator-seconds at 320 g.
    #[track_caller]
    fn used(&self, request: RequestId) -> LeaseId {
        let testnet = &self.market.testnet;
        let lease = testnet.until("the award", MARKET_TIME_MAX, || self.request(request).row.lease);
        let id = lease.to_string();
        let report = ["lease", "report", &id, "--usage", "40", "--reading", "320"];
        for (words, until) in
            [(&["lease", "start", &id][..], Rejection::LeaseNotYet), (&report, Rejection::UsageOverLease)]
        {
            testnet.until("the lease goes on", MARKET_TIME_MAX, || {
                let run = self.run("sme-fr", words);
                if run.code != 0 {
                    run.refused(until.code());
                    return None;
                }
                Some(())
            });
        }
        lease
    }

    /// Ends and countersigns it; what provider and federation got, and whether the contract failed.
    #[track_caller]
    fn settled(&self, lease: LeaseId) -> (Vec<u64>, SettlementInfo) {
        let id = lease.to_string();
        self.run("sme-fr", &["lease", "end", &id, "--usage", "40"]).succeeded();
        self.run("startup-ee", &["lease", "countersign", &id, "--policy", "always"]).succeeded();
        let shown = self.ask("startup-ee", &["lease", "show", &id]);
        let info: LeaseInfo = serde_json::from_value(shown["lease"].clone()).unwrap();
        let settlement: SettlementInfo = serde_json::from_value(shown["settlement"].clone()).unwrap();
        assert_eq!(info.row.state, LeaseState::Settled);
        let paid = [AccountId::Cash(info.row.provider), AccountId::Fees].map(|to| {
            let all = settlement.row.payments.iter().filter(|one| one.to == to);
            all.map(|one| one.amount.0).sum()
        });
        let replay = self.ask("startup-ee", &["contract", "replay", &id]);
        assert_eq!(replay["agrees"], true, "{replay}");
        (paid.to_vec(), settlement)
    }
}

pub fn while_its_leases_run(market: &Market) {
    let users = Users { market, home: market.testnet.home() };
    let shown: Value = users.home.ask(&["contract", "show", "carbon-indexed"]);
    let hash: CodeHash = serde_json::from_value(shown["hash"].clone()).unwrap();
    let first = users.used(users.bid());

    // An alias that points elsewhere changes no lease.
    for contract in ["carbon-indexed", "spot"] {
        users.vote(&["alias", "carbon-latest", contract]);
        users.until_alias(contract);
    }
    assert_eq!(users.show(first).row.agreement.contract, hash);
    users
        .run(&market.office("DE", "governance"), &["contract", "alias", "carbon-latest", "spot"])
        .refused(Rejection::AliasCurrent.code());

    // Stopped: no new lease, and a request for one waits; who asks for nothing sensible is told so.
    users
        .run(
            &market.office("DE", "governance"),
            &["contract", "quarantine", "carbon-indexed", "--reason", ""],
        )
        .refused(Rejection::ReasonInvalid.code());
    users
        .run("sme-fr", &["contract", "quarantine", "carbon-indexed", "--reason", "mine"])
        .refused(Rejection::NotGovernance.code());
    users.vote(&["quarantine", "carbon-indexed", "--reason", "rounds against the requester"]);
    let told = users.home.run(&["contract", "show", "carbon-indexed"]).succeeded();
    for part in ["quarantined (active)", "rounds against the requester"] {
        assert!(told.stdout.contains(part), "no `{part}`: {told}");
    }
    let waiting = users.bid();
    let why: Value = market.testnet.until("a batch that leaves it", MARKET_TIME_MAX, || {
        let why = users.ask("startup-ee", &["request", "why", &waiting.to_string()]);
        (!why["classes"][0]["last"].is_null()).then_some(why)
    });
    assert_eq!(users.request(waiting).row.state, RequestState::Open, "{why}");

    // The lease that runs is settled by what both sides signed: 40 accelerator-seconds at the full price.
    let (paid, settlement) = users.settled(first);
    assert_eq!(paid, [39_600, 400]);
    assert!(settlement.row.failure.is_some() && settlement.row.fuel == 0, "{settlement:?}");

    // Resumed by as many, it serves the request that waited, and settles by its own rule: 92 % of the price.
    users.run(&market.office("EE", "governance"), &["contract", "resume", "carbon-indexed"]).succeeded();
    let shown: Value = users.home.ask(&["contract", "show", "carbon-indexed"]);
    assert_eq!(shown["state"], "quarantined", "one vote resumes nothing: {shown}");
    users.run(&market.office("DE", "governance"), &["contract", "resume", "carbon-indexed"]).succeeded();
    let second = users.used(waiting);
    let (paid, settlement) = users.settled(second);
    assert_eq!((paid, settlement.row.failure), (vec![36_432, 368], None));
    refused_where_it_breaks_a_rule(&users, &hash);
}

/// A module that no ledger takes: the same rule and byte from the check, from the upload, and from a node that is sent it anyway.
fn refused_where_it_breaks_a_rule(users: &Users<'_>, hash: &CodeHash) {
    let market = users.market;
    let code = market.testnet.wait(market.testnet.client("FR").contract(hash)).unwrap().code.unwrap();
    let file = market.home.write("halved.wasm", &code[..code.len() / 2]);
    let check = users.home.run(&["--json", "contract", "check", text(&file)]);
    let refusal: Value = serde_json::from_str(&check.stdout).unwrap();
    let [rule, offset] = ["rule", "offset"].map(|field| refusal[field].as_u64().unwrap());
    assert_eq!((check.code, rule), (1, 2), "{check}");
    let place = format!("(rule 2, malformed, at byte {offset})");
    users.home.run(&["contract", "check", text(&file)]).failed(1, &["malformed", &offset.to_string()]);
    let upload = ["contract", "upload", text(&file), "--name", "halved"];
    users
        .home
        .run(&[&["--key", "sme-fr"], &upload[..]].concat())
        .failed(1, &[&place, "hansa contract check"]);

    let action =
        json!({ "action": "upload_contract", "name": "halved", "code": hex(&code[..code.len() / 2]) });
    let action = market.home.write("upload.json", action.to_string());
    let cash = || users.ask("sme-fr", &["account", "show"])["organisation"]["cash"].clone();
    let before = cash();
    let sent: Value = users.ask("sme-fr", &["submit", text(&action)]);
    let event = &sent["events"][0];
    assert_eq!(event["event"], "contract_refused", "{sent}");
    assert_eq!([event["rule"].as_u64(), event["offset"].as_u64()], [Some(rule), Some(offset)], "{sent}");
    let told: Value = users.home.ask(&["chain", "tx", sent["transaction"].as_str().unwrap()]);
    assert!(told.to_string().contains(&format!("\"offset\":{offset}")), "{told}");
    assert_eq!(cash(), before, "nothing is kept, and no deposit");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
