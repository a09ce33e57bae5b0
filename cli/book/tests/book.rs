//! Book files: what is refused and in which words, and what comes out.

use hansa_cli_book::BookFile;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The book of the design page.
fn example() -> Value {
    json!({
        "params": {"tick": 1000, "k_bps": 0, "price_candidates": 64, "cap_bps": 2500, "reserve_price_cap": 1000000,
                   "slot_s": 900, "spot_slots": 96, "near_slots": 672, "chain_id": "hansa-test"},
        "epoch": 7, "now_slot": 1000,
        "offers": [{"id": "o1", "provider": "cineca", "seq": 1, "country": "IT", "class": "a100-64", "certs": ["iso27001"],
                    "tier": 2, "node_size": 4, "ask": 1200000, "pool": "public", "reserve_bps": 2000,
                    "calendar": [[1000, 64], [1200, 32], [1400, 0]]}],
        "requests": [{"id": "r1", "org": "tallinn-speech", "group": "tallinn-speech", "seq": 1, "class": "a100-64",
                      "countries": ["IT", "FI"], "certs": [], "min_tier": 0, "qty": 8, "min_qty": 8, "dur_slots": 4,
                      "start_lo": 1001, "start_hi": 1010, "limit": 2000000, "lane": "any", "eligible": true,
                      "funding": "credit:EE", "usage": 0, "admitted_epoch": 6}],
        "holds": [{"group": "big-gmbh", "class": "a100-64", "start": 1000, "end": 1100, "qty": 16}]
    })
}

/// The example with the value at a JSON pointer replaced, or with a member added.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut book = example();
    for (pointer, value) in changes {
        match book.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => {
                let (parent, member) = pointer.rsplit_once('/').unwrap();
                let parent = book.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                parent.insert(member.to_owned(), value.clone());
            }
        }
    }
    book
}

fn simulate(book: &Value) -> Value {
    let file = BookFile::parse(book.to_string().as_bytes()).unwrap();
    serde_json::to_value(file.simulate()).unwrap()
}

#[test]
fn the_example_of_the_page_is_served_by_the_reserve() {
    let expect = json!({
        "trades": [{"request": "r1", "offer": "o1", "lane": "reserve", "bucket": "spot", "qty": 8, "start": 1001, "price": 1000000}],
        "prices": [],
        "unmatched": []
    });
    assert_eq!(simulate(&example()), expect);
}

#[test]
fn private_money_meets_the_market() {
    let expect = json!({
        "trades": [{"request": "r1", "offer": "o1", "lane": "market", "bucket": "spot", "qty": 8, "start": 1001, "price": 1200000}],
        "prices": [{"class": "a100-64", "bucket": "spot", "price": 1200000, "volume": 32}],
        "unmatched": []
    });
    assert_eq!(simulate(&with(&[("/requests/0/funding", json!("private"))])), expect);
}

#[test]
fn every_reason_of_the_page_can_be_had() {
    let reserve_only = ("/requests/0/lane", json!("reserve"));
    let market = ("/requests/0/lane", json!("market"));
    let table = [
        (vec![("/requests/0/class", json!("h100-80"))], "no_offer_of_class"),
        (vec![("/requests/0/countries", json!(["DE"]))], "no_offer_meets_constraints"),
        (vec![("/requests/0/certs", json!(["secnumcloud"]))], "no_offer_meets_constraints"),
        (vec![("/requests/0/min_tier", json!(3))], "no_offer_meets_constraints"),
        (vec![market.clone(), ("/requests/0/limit", json!(1000000))], "limit_below_price"),
        (
            vec![market.clone(), ("/offers/0/calendar", json!([[1020, 64], [1400, 0]]))],
            "no_capacity_in_window",
        ),
        (vec![market.clone(), ("/holds/0/group", json!("tallinn-speech"))], "group_cap_reached"),
        (vec![reserve_only.clone(), ("/requests/0/eligible", json!(false))], "not_eligible_for_reserve"),
        (vec![reserve_only.clone(), ("/requests/0/funding", json!("private"))], "not_eligible_for_reserve"),
        (vec![reserve_only.clone(), ("/requests/0/limit", json!(999000))], "limit_below_price"),
        (
            vec![
                market,
                ("/offers/0/calendar", json!([[1000, 6], [1400, 0]])),
                ("/params/cap_bps", json!(10000)),
            ],
            "partial_not_allowed",
        ),
        (vec![("/requests/0/start_lo", json!(10)), ("/requests/0/start_hi", json!(999))], "window_passed"),
    ];
    for (changes, reason) in table {
        let outcome = simulate(&with(&changes));
        assert_eq!(outcome["unmatched"], json!([{"request": "r1", "reason": reason}]), "{changes:?}");
        assert_eq!(outcome["trades"], json!([]), "{changes:?}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    let huge = "x".repeat(257);
    let many: Vec<String> = (0..33).map(|number| format!("c{number}")).collect();
    let table = [
        ("/params/tick", json!(0), "params.tick"),
        ("/params/tick", json!(7), "offers[0].ask"),
        ("/params/tick", json!(1_200_000), "requests[0].limit"),
        ("/params/k_bps", json!(10_001), "params.k_bps"),
        ("/params/price_candidates", json!(0), "params.price_candidates"),
        ("/params/price_candidates", json!(1_025), "params.price_candidates"),
        ("/params/cap_bps", json!(10_001), "params.cap_bps"),
        ("/params/cap_bps", json!(70_000), "params.cap_bps"),
        ("/params/reserve_price_cap", json!(-1), "params.reserve_price_cap"),
        ("/params/slot_s", json!(0), "params.slot_s"),
        ("/params/slot_s", json!(86_401), "params.slot_s"),
        ("/params/near_slots", json!(95), "params.near_slots"),
        ("/params/chain_id", json!(""), "params.chain_id"),
        ("/params/what", json!(1), "params.what"),
        ("/epoch", json!(1.5), "epoch"),
        ("/epoch", json!(null), "epoch"),
        ("/now_slot", json!(4_294_967_296u64), "now_slot"),
        ("/more", json!(1), "more"),
        ("/offers", json!({}), "offers"),
        ("/offers/0/id", json!(""), "offers[0].id"),
        ("/offers/0/id", json!(huge), "offers[0].id"),
        ("/offers/0/provider", json!(""), "offers[0].provider"),
        ("/offers/0/seq", json!("1"), "offers[0].seq"),
        ("/offers/0/country", json!("XX"), "offers[0].country"),
        ("/offers/0/country", json!("EU"), "offers[0].country"),
        ("/offers/0/class", json!(""), "offers[0].class"),
        ("/offers/0/certs", json!([""]), "offers[0].certs[0]"),
        ("/offers/0/certs", json!(many), "book"),
        ("/offers/0/tier", json!(256), "offers[0].tier"),
        ("/offers/0/node_size", json!(0), "offers[0].node_size"),
        ("/offers/0/ask", json!(1_200_500), "offers[0].ask"),
        ("/offers/0/pool", json!("common"), "offers[0].pool"),
        ("/offers/0/reserve_bps", json!(10_001), "offers[0].reserve_bps"),
        ("/offers/0/calendar", json!([]), "offers[0].calendar"),
        ("/offers/0/calendar", json!([[1000, 64]]), "offers[0].calendar[0]"),
        ("/offers/0/calendar", json!([[1000, 64], [1000, 0]]), "offers[0].calendar[1]"),
        ("/offers/0/calendar", json!([[1000, 64, 1], [1400, 0]]), "offers[0].calendar[0]"),
        ("/offers/0/calendar", json!([[1000, 4_294_967_296u64], [1400, 0]]), "offers[0].calendar[0][1]"),
        ("/offers/0/extra", json!(1), "offers[0].extra"),
        ("/requests/0/id", json!(""), "requests[0].id"),
        ("/requests/0/org", json!(""), "requests[0].org"),
        ("/requests/0/group", json!(""), "requests[0].group"),
        ("/requests/0/class", json!(""), "requests[0].class"),
        ("/requests/0/countries", json!(["IT", "ZZ"]), "requests[0].countries[1]"),
        ("/requests/0/certs", json!([huge]), "requests[0].certs[0]"),
        ("/requests/0/min_tier", json!(-1), "requests[0].min_tier"),
        ("/requests/0/qty", json!(0), "requests[0].qty"),
        ("/requests/0/min_qty", json!(0), "requests[0].min_qty"),
        ("/requests/0/min_qty", json!(9), "requests[0].min_qty"),
        ("/requests/0/dur_slots", json!(0), "requests[0].dur_slots"),
        ("/requests/0/dur_slots", json!(4_294_967_000u32), "requests[0].dur_slots"),
        ("/requests/0/start_hi", json!(1_000), "requests[0].start_hi"),
        ("/requests/0/limit", json!(1_500), "requests[0].limit"),
        ("/requests/0/limit", json!(18_446_744_073_709_551_000u64), "requests[0].limit"),
        ("/requests/0/lane", json!("both"), "requests[0].lane"),
        ("/requests/0/eligible", json!("yes"), "requests[0].eligible"),
        ("/requests/0/funding", json!("grant"), "requests[0].funding"),
        ("/requests/0/funding", json!("credit:"), "requests[0].funding"),
        ("/requests/0/funding", json!("credit:XX"), "requests[0].funding"),
        ("/requests/0/usage", json!(-1), "requests[0].usage"),
        ("/requests/0/admitted_epoch", json!([]), "requests[0].admitted_epoch"),
        ("/requests/0/note", json!(""), "requests[0].note"),
        ("/holds/0/group", json!(""), "holds[0].group"),
        ("/holds/0/class", json!(""), "holds[0].class"),
        ("/holds/0/end", json!(999), "holds[0].end"),
        ("/holds/0/qty", json!(1e20), "holds[0].qty"),
        ("/holds/0/by", json!(""), "holds[0].by"),
    ];
    for (pointer, value, field) in table {
        let error = BookFile::parse(with(&[(pointer, value.clone())]).to_string().as_bytes()).unwrap_err();
        assert_eq!(error.field, field, "{pointer} = {value}: {error}");
        assert!(!error.to_string().contains('\n') && !error.problem.is_empty(), "{error}");
    }
}

#[test]
fn a_field_that_is_missing_is_named() {
    let paths = [
        "/params",
        "/epoch",
        "/now_slot",
        "/offers",
        "/requests",
        "/holds",
        "/params/tick",
        "/params/chain_id",
        "/offers/0/ask",
        "/offers/0/calendar",
        "/requests/0/usage",
        "/requests/0/lane",
        "/holds/0/qty",
    ];
    for path in paths {
        let mut book = example();
        let (parent, member) = path.rsplit_once('/').unwrap();
        book.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(member).unwrap();
        let error = BookFile::parse(book.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(&format!("missing field `{member}`")), "{path}: {error}");
    }
}

#[test]
fn what_is_no_book_at_all_is_refused() {
    let example = example().to_string();
    let twice = example.replacen("\"epoch\":7", "\"epoch\":7,\"epoch\":8", 1);
    assert_ne!(twice, example);
    let table = [
        ("", "book"),
        ("[]", "book"),
        ("{", "book"),
        ("nonsense", "book"),
        ("\u{7f}", "book"),
        (&example[..example.len() - 1], "book"),
        (&format!("{example} {{}}"), "book"),
        (&twice, "book"),
    ];
    for (text, field) in table {
        let error = BookFile::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.field, field, "{text:.80}: {error}");
    }
    assert!(BookFile::parse(b"\xff\xfe{}").is_err());
    let deep = "[".repeat(100_000);
    assert!(BookFile::parse(deep.as_bytes()).is_err());
    let duplicate = json!([example_request("r1"), example_request("r1")]);
    let error = BookFile::parse(with(&[("/requests", duplicate)]).to_string().as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "requests[1].id: `r1` stands twice");
}

fn example_request(id: &str) -> Value {
    let mut request = example()["requests"][0].clone();
    request["id"] = json!(id);
    request
}

fn any_request(number: usize) -> impl Strategy<Value = Value> {
    let constraints = (
        0..4usize,
        prop::sample::select(vec!["a100-64", "h100-80"]),
        prop::sample::select(vec![json!([]), json!(["IT"]), json!(["FI", "DE"])]),
        0..3u8,
    );
    let shape = (1..12u32, 0..12u32, 1..6u32, 0..700u32, 0..20u32, 4..16u64);
    let lane = (
        prop::sample::select(vec!["any", "reserve", "market"]),
        any::<bool>(),
        prop::sample::select(vec!["private", "credit:EE", "credit:IT"]),
        0..3u64,
    );
    (constraints, shape, lane).prop_map(move |(constraints, shape, lane)| {
        let (group, class, countries, tier) = constraints;
        let (quantity, less, slots, start, width, limit) = shape;
        let (lane, eligible, funding, usage) = lane;
        json!({
            "id": format!("r{number}"), "org": format!("org{group}"), "group": format!("g{group}"), "seq": number, "class": class,
            "countries": countries, "certs": [], "min_tier": tier, "qty": quantity, "min_qty": quantity.saturating_sub(less).max(1),
            "dur_slots": slots, "start_lo": 995 + start, "start_hi": 995 + start + width, "limit": limit * 100_000,
            "lane": lane, "eligible": eligible, "funding": funding, "usage": usage, "admitted_epoch": 6
        })
    })
}

fn any_offer(number: usize) -> impl Strategy<Value = Value> {
    let steps = prop::collection::vec((1..40u32, 0..24u32), 1..6);
    let place = (
        0..3u32,
        prop::sample::select(vec!["a100-64", "h100-80"]),
        prop::sample::select(vec!["IT", "FI", "DE"]),
        0..3u8,
    );
    (place, 1..5u32, 4..14u64, any::<bool>(), 0..=10_000u16, steps).prop_map(move |(place, node, ask, public, bps, steps)| {
        let (provider, class, country, tier) = place;
        let mut slot = 990;
        let mut calendar = Vec::new();
        for (length, free) in steps {
            calendar.push(json!([slot, free]));
            slot += length * 8;
        }
        calendar.push(json!([slot, 0]));
        json!({
            "id": format!("o{number}"), "provider": format!("p{provider}"), "seq": number, "country": country, "class": class,
            "certs": [], "tier": tier, "node_size": node, "ask": ask * 100_000, "pool": if public { "public" } else { "private" },
            "reserve_bps": bps, "calendar": calendar
        })
    })
}

fn any_book() -> impl Strategy<Value = Value> {
    let requests = (0..10usize).prop_flat_map(|count| (0..count).map(any_request).collect::<Vec<_>>());
    let offers = (0..5usize).prop_flat_map(|count| (0..count).map(any_offer).collect::<Vec<_>>());
    (requests, offers, 0..=10_000u16, 0..=10_000u16).prop_map(|(requests, offers, k, cap)| {
        with(&[
            ("/requests", json!(requests)),
            ("/offers", json!(offers)),
            ("/params/k_bps", json!(k)),
            ("/params/cap_bps", json!(cap)),
        ])
    })
}

proptest! {
    #[test]
    fn the_order_of_the_lists_does_not_matter(book in any_book(), turns in 1..7usize) {
        let turn = |value: &Value| {
            let mut list = value.as_array().unwrap().clone();
            list.reverse();
            let middle = turns.min(list.len());
            list.rotate_left(middle);
            json!(list)
        };
        let turned = [("/requests", turn(&book["requests"])), ("/offers", turn(&book["offers"]))];
        let mut other = book.clone();
        for (pointer, value) in turned {
            *other.pointer_mut(pointer).unwrap() = value;
        }
        prop_assert_eq!(simulate(&book).to_string(), simulate(&other).to_string());
    }

    #[test]
    fn each_request_stands_once_and_trades_keep_their_bounds(book in any_book()) {
        let outcome = simulate(&book);
        let list = |name: &str| outcome[name].as_array().unwrap().clone();
        let mut named: Vec<String> = [list("trades"), list("unmatched")]
            .concat().iter().map(|line| line["request"].as_str().unwrap().to_owned()).collect();
        named.sort();
        let mut expect: Vec<String> = book["requests"].as_array().unwrap()
            .iter().map(|request| request["id"].as_str().unwrap().to_owned()).collect();
        expect.sort();
        prop_assert_eq!(named, expect);
        for trade in list("trades") {
            let find = |name: &str, id: &Value| {
                book[name].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap().clone()
            };
            let (request, offer) = (find("requests", &trade["request"]), find("offers", &trade["offer"]));
            let price = trade["price"].as_u64().unwrap();
            let (limit, ask) = (request["limit"].as_u64().unwrap(), offer["ask"].as_u64().unwrap());
            prop_assert!(price <= limit);
            if trade["lane"] == "market" {
                prop_assert!(price >= ask);
            } else {
                prop_assert_eq!(price, ask.min(1_000_000));
                prop_assert!(request["eligible"] == true && request["funding"] != "private" && offer["pool"] == "public");
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..2_000usize, to in any::<u8>()) {
        let _ = BookFile::parse(&bytes);
        let mut mutant = example().to_string().into_bytes();
        let at = at % mutant.len();
        mutant[at] = to;
        if let Ok(file) = BookFile::parse(&mutant) {
            let outcome = file.simulate();
            prop_assert_eq!(outcome.trades.len() + outcome.unmatched.len(), file.requests.len());
        }
    }
}
