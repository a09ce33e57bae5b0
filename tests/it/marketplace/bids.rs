//! Capacity, quotes, bids, and why a bid waits.

use super::money::eur;
use super::{CLASS, GRANT, MARKET_TIME_MAX, Market};
use hansa_ledger::id::LeaseId;
use hansa_ledger::market::Reason;
use hansa_ledger::money::Money;
use hansa_ledger::row::{AccountId, Closing, LeaseState, RequestState};
use hansa_ledger::time::TimeMs;
use hansa_node_api::lease::{LeaseInfo, SettlementInfo};
use hansa_node_api::market::{CapacityInfo, QuoteAnswer, RequestInfo};
use hansa_node_api::peer::now_ms;
use hansa_node_api::why::RequestWhy;
use serde_json::Value;

pub fn capacity_is_listed(market: &Market) {
    let all: Vec<CapacityInfo> = market.home.ask(&["capacity", "list"]);
    let shown: Vec<(&str, &str)> = all.iter().map(|one| (one.class.as_str(), one.country.as_str())).collect();
    assert_eq!(shown, [("gh200-96", "DE"), (CLASS, "ES")]);
    for one in &all {
        assert_eq!(one.free_now, one.accelerators, "nothing is leased yet: {one:?}");
        assert!(one.offer.is_some() && one.ask.is_some(), "{one:?}");
    }
    // Adverts are gossiped: what the agent in Spain says reaches the node in Estonia.
    market.testnet.until("an advert of each agent", MARKET_TIME_MAX, || {
        let all: Vec<CapacityInfo> = market.home.ask(&["capacity", "list"]);
        let said =
            all.iter().all(|one| one.advert.as_ref().is_some_and(|advert| advert.total == one.accelerators));
        said.then_some(())
    });
    let spain: Vec<CapacityInfo> = market.home.ask(&["capacity", "list", "--country", "ES"]);
    assert_eq!(spain.len(), 1);
    let none: Vec<CapacityInfo> = market.home.ask(&["capacity", "list", "--class", "abacus"]);
    assert_eq!(none.len(), 0);
    assert!(market.home.run(&["capacity", "list"]).succeeded().stdout.starts_with("CLASS"));
}

/// What the node says would become of a bid is what becomes of it; given up before it began, it costs nothing.
pub fn a_dry_run_tells_the_award(market: &Market) {
    let start = TimeMs((now_ms() / 1_000 + 25) * 1_000);
    let words =
        ["--quantity", "16", "--duration", "30s", "--limit", "2.40 EUR/h", "--country", "ES", "--start"];
    let moment = start.to_string();
    let words = [&words[..], &[&moment]].concat();
    let before = market.account();
    let bid = [&["bid", "--class", CLASS, "--grant", GRANT], &words[..], &["--dry-run"]].concat();
    let quote: QuoteAnswer = market.home.ask(&bid);
    assert_eq!(market.account().grants, before.grants, "a dry run binds nobody");
    let expected = quote.award.unwrap_or_else(|| panic!("{:?} {}", quote.unmatched, quote.sentence));

    let request = market.bid(&words);
    let locked = market.account();
    assert_eq!(
        Some(before.grants[0].balance.0 - locked.grants[0].balance.0),
        quote.locked.map(|money| money.0)
    );
    let lease = market.awarded(request);
    let shown: LeaseInfo = market.show(lease);
    let agreed = &shown.row.agreement;
    assert_eq!((&shown.row.site, shown.row.quantity), (&expected.site, expected.quantity));
    assert_eq!((agreed.price, agreed.start, agreed.end), (expected.price, expected.start, expected.end));
    assert_eq!((agreed.start, shown.row.locked), (start, expected.cost_max));

    market.home.run(&["lease", "cancel", &lease.to_string()]).succeeded();
    let settled = market.until_lease("it is settled", lease, |lease| lease.row.state == LeaseState::Settled);
    assert_eq!(settled.row.closing, Some(Closing::CancelledByRequester));
    let money: SettlementInfo = market.testnet.wait(market.testnet.client("EE").settlement(&lease)).unwrap();
    assert_eq!(sum(&money, true) + sum(&money, false), shown.row.locked.0);
    market.home.run(&["--json", "lease", "cancel", &lease.to_string()]).refused(502);
}

/// Everything that was paid, or that went back.
fn sum(settlement: &SettlementInfo, paid: bool) -> u64 {
    let row = &settlement.row;
    let payments = if paid { &row.payments } else { &row.refunds };
    payments.iter().map(|payment| payment.amount.0).sum()
}

/// A shell script is the job, and a file its input. The command follows it to the end and brings its output back.
pub fn a_bid_is_followed(market: &Market) {
    let home = &market.home;
    home.write(
        "count.sh",
        "#!/bin/sh\nprintf '\\033[2Jcounting\\n'\nsleep 2\nwc -l < \"$1\" > lines.txt\nsort \"$1\" > sorted.txt\n",
    );
    home.write("words.txt", "pear\napple\nfig\n");
    let before = market.account();
    let words = [
        "bid",
        "--class",
        CLASS,
        "--grant",
        GRANT,
        "--quantity",
        "8",
        "--duration",
        "40s",
        "--limit",
        "2.40",
    ];
    let job = ["--run", "count.sh", "--arg", "in/words.txt", "--input", "words.txt:in/words.txt"];
    let outputs =
        ["--output", "lines.txt:1KiB", "--output", "sorted.txt", "--wait", "--into", "back", "--json"];
    let run = home.run(&[&words[..], &job[..], &outputs[..]].concat()).succeeded();
    // What the job writes is shown by the way, and nothing in it reaches the terminal as it is.
    assert_eq!(run.stderr.matches("log        \\e[2Jcounting\n").count(), 1, "{run}");
    let lines = run.lines();
    let stages: Vec<&str> = lines.iter().map(|line| line["stage"].as_str().unwrap()).collect();
    assert_eq!(
        stages,
        ["placed", "awarded", "started", "job", "fetched", "ended", "usage", "settled"],
        "{run}"
    );
    assert_eq!(lines[3]["job"]["exit_code"], 0, "{run}");
    assert_eq!(lines[6]["outcome"], "countersigned", "{run}");
    assert_eq!(lines[7]["closing"], "final", "{run}");
    let lease: LeaseId = serde_json::from_value(lines[7]["lease"].clone()).unwrap();
    let read = |path: &str| std::fs::read_to_string(home.work.join(path)).unwrap();
    assert_eq!(
        (read("back/job-0/lines.txt").trim(), read("back/job-0/sorted.txt").as_str()),
        ("3", "apple\nfig\npear\n")
    );

    // The lease was ended when its job had: only what was used is paid, and the grant has the rest.
    let shown: Value = home.ask(&["lease", "show", &lease.to_string()]);
    let info: LeaseInfo = serde_json::from_value(shown["lease"].clone()).unwrap();
    let settlement: SettlementInfo = serde_json::from_value(shown["settlement"].clone()).unwrap();
    assert_eq!((info.row.state, info.row.countersigned), (LeaseState::Settled, info.row.reported));
    assert!((8..8 * 40).contains(&info.row.reported), "{} accelerator-seconds", info.row.reported);
    let due = info.row.agreement.price.0 * info.row.reported / 3_600;
    let paid = sum(&settlement, true);
    assert!(paid.abs_diff(due) <= 1, "{paid} uEUR were paid, and {due} are due");
    assert!(settlement.row.payments.iter().any(|one| one.to == AccountId::Cash(info.row.provider)));
    assert!(settlement.row.payments.iter().any(|one| one.to == AccountId::Fees));
    let after = market.account();
    assert_eq!(before.grants[0].balance.0 - after.grants[0].balance.0, paid);
    assert_eq!(after.cash, before.cash, "a grant paid for all of it");

    let lease = lease.to_string();
    let log: Value = home.ask(&["lease", "logs", &lease]);
    assert_eq!(log["log"], "\x1b[2Jcounting\n");
    let piped = home.run(&["lease", "logs", &lease[..12], "--job", "0"]).succeeded();
    assert_eq!(piped.stdout, "\x1b[2Jcounting\n", "a pipe gets the bytes as they are");
    let fetched: Value = home.ask(&["lease", "fetch", &lease, "--into", "again"]);
    assert_eq!(read("again/job-0/sorted.txt"), "apple\nfig\npear\n");
    let sorted =
        fetched[0]["files"].as_array().unwrap().iter().find(|file| file["path"] == "sorted.txt").unwrap();
    assert_eq!(sorted["bytes"], 15, "{fetched}");
    let listed: Vec<LeaseInfo> = home.ask(&["lease", "list", "--state", "settled"]);
    assert!(listed.iter().any(|one| one.id == info.id));

    // Any node can be asked, for none has to be trusted.
    for code in ["FR", "EE"] {
        let verified: Value = home.ask(&["--node", &market.testnet.api(code), "lease", "verify", &lease]);
        assert_eq!(verified["verified"], true);
        let checks: Vec<&str> =
            verified["checks"].as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect();
        for check in ["signatures", "state proof", "facts", "moment", "contract", "settlement", "money"] {
            assert!(checks.contains(&check), "`{check}` is not among {checks:?}");
        }
    }
    // Another federation's genesis gives other members, whose signatures are not there.
    let mut other = market.testnet.genesis().clone();
    other.name = crate::testnet::name("elsewhere");
    home.write("other.toml", toml::to_string(&other).unwrap());
    home.run(&["lease", "verify", &lease, "--genesis", "other.toml"]).failed(1, &["another federation"]);
}

pub fn a_request_says_why(market: &Market) {
    let home = &market.home;
    let before = market.account();
    let request = market.bid(&["--quantity", "4", "--duration", "1m", "--limit", "0.01", "--within", "1h"]);
    let text = request.to_string();
    let why = market.testnet.until("a batch that leaves it", MARKET_TIME_MAX, || {
        let why: RequestWhy = home.ask(&["request", "why", &text]);
        why.classes[0].last.is_some().then_some(why)
    });
    assert_eq!(why.state, RequestState::Open);
    assert_eq!(why.classes[0].last.as_ref().unwrap().reason, Reason::LimitBelowPrice, "{why:?}");
    assert!(why.sentence.contains("asks 1.60 EUR/h"), "the sentence has the numbers: {}", why.sentence);
    let open: Vec<RequestInfo> = home.ask(&["request", "list", "--state", "open"]);
    assert_eq!(open.iter().map(|one| one.id).collect::<Vec<_>>(), [request]);
    let held = market.account();
    assert!(held.escrowed > Money::ZERO);
    assert_eq!(held.grants[0].balance.0 + held.escrowed.0, before.grants[0].balance.0);
    home.run(&["request", "cancel", &text]).succeeded();
    let after = market.account();
    assert_eq!((after.escrowed, &after.grants), (Money::ZERO, &before.grants), "its money returned at once");
    home.run(&["--json", "request", "cancel", &text]).refused(400);
    let cancelled: RequestInfo = home.ask(&["request", "show", &text]);
    assert_eq!(cancelled.row.state, RequestState::Cancelled);
    assert!(after.grants[0].balance > eur("0"));
}
