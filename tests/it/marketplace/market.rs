//! The market from outside: classes, books, prices, what batches decided, and following them.

use super::{CLASS, MARKET_TIME_MAX, Market};
use crate::hansa::Home;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::LeaseState;
use hansa_node_api::book::{FiguresInfo, MarketBook, MarketPrice};
use hansa_node_api::lease::ExtensionInfo;
use hansa_node_api::market::ClassInfo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;

/// A bid that cash pays, so that the lease may be extended.
const CASH_BID: [&str; 9] =
    ["--cash", "--quantity", "4", "--duration", "40s", "--limit", "2.40", "--within", "1m"];

/// A command that goes on until it is dropped.
struct Going(Child);

impl Drop for Going {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is followed from now on, a line of JSON each time.
fn watch(home: &Home, words: &[&str]) -> (Going, Receiver<String>) {
    let mut watching = home.command(&[&["--json", "market"], words, &["--watch"]].concat());
    let mut going = Going(watching.stdout(Stdio::piped()).spawn().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    let stdout = BufReader::new(going.0.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
    (going, lines)
}

fn heard<T: DeserializeOwned>(lines: &Receiver<String>) -> T {
    serde_json::from_str(&lines.recv_timeout(MARKET_TIME_MAX).expect("it is told")).unwrap()
}

/// Classes, a book as its own and as a stranger sees it, and each batch as it is decided.
pub fn looked_at_and_followed(market: &Market) {
    let home = &market.home;
    let classes: Vec<ClassInfo> = home.ask(&["market"]);
    assert_eq!(classes.len(), 2, "{classes:?}");
    let before: Vec<FiguresInfo> = home.ask(&["market", "history", CLASS]);
    let last = before.last().map_or(0, |last| last.epoch);
    assert!(last > 0, "batches have run by now");
    let (going, lines) = watch(home, &["history", CLASS, "--last", "1"]);
    let (booking, books) = watch(home, &["book", CLASS]);
    let (pricing, prices) = watch(home, &["price", CLASS]);
    let next = || -> FiguresInfo { heard(&lines) };
    assert_eq!(Some(&next()), before.last(), "first what was");
    let (book, price): (MarketBook, MarketPrice) = (heard(&books), heard(&prices));
    assert_eq!((book.epoch, price.class.as_str()), (last, CLASS), "as it is now");

    // One that nobody can serve stays in the book, where it is one's own to see and nobody else's.
    let request = market.bid(&["--quantity", "4", "--duration", "1m", "--limit", "0.01", "--within", "1h"]);
    let told = next();
    assert_eq!((told.epoch, told.row.trades), (last + 1, 0), "then each batch as it is decided: {told:?}");
    assert!(told.row.open >= 1 && !told.row.unmatched.is_empty(), "{told:?}");
    let seen = std::iter::repeat_with(|| heard::<MarketBook>(&books)).find(|book| book.epoch > last);
    assert_eq!(seen.unwrap().orders.iter().map(|one| one.id).collect::<Vec<_>>(), [request]);
    assert_eq!(heard::<MarketPrice>(&prices).class.as_str(), CLASS, "with the same batch");
    drop((going, booking, pricing));
    let book: MarketBook = home.ask(&["market", "book", CLASS]);
    assert_eq!(book.orders.iter().map(|one| one.id).collect::<Vec<_>>(), [request]);
    assert!(book.epoch >= told.epoch && !book.offers.is_empty() && book.requests_open >= 1, "{book:?}");
    let nobody = Home::new(&market.testnet.layout.folder().join("passer-by"));
    let stranger: MarketBook =
        nobody.run(&["--json", "--node", &market.testnet.api("FR"), "market", "book", CLASS]).read();
    assert_eq!((stranger.orders, stranger.wanted), (vec![], vec![]), "one order is nobody else's to see");
    let price: MarketPrice = home.ask(&["market", "price", CLASS]);
    assert_eq!((price.class.as_str(), price.market.len()), (CLASS, 3));
    let text = home.run(&["request", "why", &request.to_string()]).succeeded().stdout;
    for said in ["limit-below-price 5", "would help  a limit of"] {
        assert!(text.contains(said), "{said:?} is not in: {text}");
    }
    home.run(&["request", "cancel", &request.to_string()]).succeeded();
    for (words, column) in [
        (&["market"][..], "CLASS"),
        (&["market", "price", CLASS], "STARTS"),
        (&["market", "book", CLASS], "ASK"),
    ] {
        let text = home.run(words).succeeded().stdout;
        assert!(text.contains(column), "{words:?}: {text}");
    }
    home.run(&["--json", "market", "book", "abacus"]).refused(1_001);
}

/// Shown, refused over what was said, and done at what was shown.
pub fn a_lease_is_extended(market: &Market) {
    let home = &market.home;
    let placed: Value = home.ask(&[&["bid", "--class", CLASS], &CASH_BID[..]].concat());
    let lease = market.awarded(serde_json::from_value(placed["request"].clone()).unwrap());
    let before = market.until_lease("it is active", lease, |lease| lease.row.state == LeaseState::Active);
    let id = lease.to_string();
    let extend = ["lease", "extend", &id, "--for", "20s"];
    let shown: ExtensionInfo = home.ask(&[&extend[..], &["--dry-run"]].concat());
    assert_eq!(market.show(lease).row, before.row, "a dry run signs nothing");
    assert_eq!((shown.slots, shown.price), (20, before.row.agreement.price));
    home.run(&[&["--json"], &extend[..], &["--max-price", "0.01"]].concat())
        .refused(Rejection::ExtensionPriceOver.code());
    home.run(&extend).succeeded();
    let after = market.show(lease).row;
    assert_eq!((after.agreement.end, after.locked), (shown.end, shown.locked));
    assert_eq!(after.agreement.end, before.row.agreement.end.plus(20_000));
    home.run(&["lease", "end", &id]).succeeded();
    market.until_lease("it is settled", lease, |lease| lease.row.state == LeaseState::Settled);
}
