//! A centre that offers by hand, without an agent.

use super::{MARKET_TIME_MAX, Market};
use crate::testnet::text;
use hansa_node_api::market::QuoteAnswer;
use serde_json::Value;

/// A class that nobody else offers.
const CLASS: &str = "annex-8";

/// Accredited by its home, confirmed by another member, posted, bid for from a file, made cheaper, and withdrawn.
pub fn posted_amended_and_withdrawn(market: &Market) {
    let home = &market.home;
    let phrase = home.write("phrase", "correct horse battery staple\n");
    let place = ["annex", "--provider", "newco", "--class", CLASS, "--accelerators", "8"];
    let act = |key: &str, words: &[&str]| {
        home.run(&[&["--json", "--passphrase-file", text(&phrase), "--key", key], words].concat())
    };
    let offers = || -> Vec<Value> {
        let all: Vec<Value> = act("main", &["offer", "list"]).read();
        all.into_iter().filter(|offer| offer["class"] == CLASS).collect()
    };
    let post =
        ["offer", "post", "--site", "annex", "--class", CLASS, "--ask", "1.00 EUR/h", "--quantity", "8"];
    let post = [&post[..], &["--until", "in 1h"]].concat();
    act(&market.office("EE", "registrar"), &[&["site", "accredit"], &place[..]].concat()).succeeded();
    act(&market.office("DE", "registrar"), &[&["site", "confirm"], &place[..]].concat()).succeeded();
    act("main", &post).succeeded();
    let [offer] = &offers()[..] else { panic!("{:?}", offers()) };
    assert_eq!((&offer["ask"], &offer["site"]), (&Value::from("1.00"), &Value::from("annex")));
    let id = offer["id"].as_str().unwrap().to_owned();

    // A bid in a file is the bid with its words on the command line; what stands there counts more.
    let file = home.write(
        "bid.toml",
        format!("class = \"{CLASS}\"\nquantity = 2\nduration = \"10s\"\nlimit = \"1.20 EUR/h\"\ncash = true\nlane = \"market\"\nwithin = \"1m\"\n"),
    );
    let quote = |more: &[&str]| -> QuoteAnswer {
        // What cannot be is quoted too, and ends with another exit code.
        let run = home.run(&[&["--json", "bid", "--file", text(&file), "--dry-run"], more].concat());
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
    };
    let ask = |price: &str| {
        market.testnet.until("the offer's price is the one of the next batch", MARKET_TIME_MAX, || {
            let award = quote(&[]).award;
            let found = award.as_ref().map(|award| award.price.to_string());
            (found.as_deref() == Some(price)).then_some(award)
        })
    };
    ask("1.00");
    assert!(quote(&["--limit", "0.50 EUR/h"]).award.is_none(), "below the ask");

    act("main", &["offer", "amend", &id, "--ask", "0.90 EUR/h"]).succeeded();
    ask("0.90");
    act("main", &["offer", "withdraw", &id]).succeeded();
    assert!(quote(&[]).award.is_none(), "nobody offers it any more");
    act("main", &["offer", "amend", &id, "--ask", "1.00 EUR/h"])
        .refused(hansa_ledger::rejection::Rejection::OfferUnknown.code());
}
