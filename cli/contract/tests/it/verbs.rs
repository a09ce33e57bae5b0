//! Checking, quoting and simulating the built-in contract: what comes out, and how a refusal reads.

use crate::common::{hansa, text};
use hansa_cli_contract::{Answer, ContractError};
use hansa_contracts_abi::Runtime;
use hansa_contracts_bundle::SPOT;
use hansa_contracts_host::Host;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with the files of a lease.
struct Lease {
    place: TempDir,
}

impl Lease {
    fn new(terms: &Value, usage: &Value) -> Self {
        let lease = Self { place: tempfile::tempdir().unwrap() };
        lease.put("terms.json", terms.to_string().as_bytes());
        lease.put("usage.json", usage.to_string().as_bytes());
        lease
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        text(&path).to_owned()
    }

    fn simulate(&self, module: &str, params: &str) -> Result<Answer, ContractError> {
        let [terms, usage] = ["terms.json", "usage.json"].map(|name| self.place.path().join(name));
        hansa(&["simulate", module, "--params", params, "--terms", text(&terms), "--usage", text(&usage)])
    }
}

/// The parameters of `spot` without a least fee.
const NO_MINIMUM: &str = "00000000000000000000000000000000";

fn terms() -> Value {
    json!({"accelerators": 4, "start": "2027-01-31T12:00Z", "length": "10h", "price": "3.60 EUR/h", "fee": "1.5%"})
}

/// Takes out of a report what depends on the version of the contracts.
fn without_fuel(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| !["fuel", "fuel_limit", "admit_fuel", "contract"].contains(&name.as_str()));
        for (_, inner) in object.iter_mut() {
            *inner = without_fuel(inner.take());
        }
    }
    if let Some(list) = value.as_array_mut() {
        for inner in list {
            *inner = without_fuel(inner.take());
        }
    }
    value
}

#[test]
fn a_built_in_contract_passes_the_check_and_is_metered() {
    let answer = hansa(&["check", "spot", "--params", NO_MINIMUM]).unwrap();
    assert_eq!(answer.refusal, None, "{}", answer.text);
    let value = &answer.value;
    assert_eq!(value["accepted"], true);
    assert_eq!(value["name"], "spot");
    assert_eq!(value["code_hash"], blake3::hash(SPOT).to_string());
    assert_eq!(value["bytes"], SPOT.len());
    let tariff = value["tariff"].as_str().unwrap();
    assert_eq!(value["tariff_hash"], blake3::hash(tariff.as_bytes()).to_string());
    assert!(tariff.contains("You pay for what you used"), "{tariff}");
    let calls = value["calls"].as_array().unwrap();
    let names: Vec<&str> = calls.iter().map(|call| call["call"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["quote", "admit", "settle, interim", "settle, final"]);
    assert!(names[9].starts_with("settle, final, 6") && names[9].ends_with(" windows"), "{names:?}");
    let limit = value["fuel_limit"].as_u64().unwrap();
    assert!(calls.iter().all(|call| (5_000..limit).contains(&call["fuel"].as_u64().unwrap())), "{calls:#?}");
    assert_eq!(calls[3]["answer"], "pays 14.70 EUR in all");
    // A lease of many windows costs more to settle than one of three.
    assert!(calls[9]["fuel"].as_u64() > calls[3]["fuel"].as_u64());
    assert!(answer.text.contains("v1_quote, v1_settle"), "{}", answer.text);
}

#[test]
fn a_contract_without_its_parameters_is_told_to_need_them() {
    let answer = hansa(&["check", "spot"]).unwrap();
    assert_eq!(answer.refusal, None, "the module itself is sound");
    assert!(answer.text.ends_with("give the parameters it needs with `--params`"), "{}", answer.text);
}

#[test]
fn a_module_that_the_ledger_would_refuse_is_refused_by_the_same_rule_at_the_same_byte() {
    // A type, and a function that is imported.
    let imports = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x07\x01\x01e\x01f\0\0".to_vec();
    let large = [SPOT, &vec![0; 65_537 - SPOT.len()]].concat();
    let cut = SPOT[..SPOT.len() / 2].to_vec();
    let place = Lease::new(&terms(), &json!({}));
    for (module, rule) in
        [(imports, Some(6)), (large, Some(1)), (cut, None), (b"hello".to_vec(), Some(2)), (vec![], Some(2))]
    {
        let path = place.put("module.wasm", &module);
        let answer = hansa(&["check", &path]).unwrap();
        let expected = Runtime::validate(&Host::new(), &module).unwrap_err();
        assert_eq!(answer.value["accepted"], false);
        assert_eq!(answer.value["rule"], expected.rule);
        assert_eq!(answer.value["offset"], expected.offset);
        assert!(rule.is_none_or(|rule| rule == expected.rule), "{expected}");
        assert_eq!(answer.value["name"], expected.named().unwrap().name());
        let refusal = answer.refusal.expect("the program ends with code 1");
        assert_eq!(refusal.message, format!("the ledger would refuse the module: {expected}"));
        assert!(answer.text.contains(&format!("rule {}", expected.rule)), "{}", answer.text);
        // Who simulates it is told the same, and where to learn more.
        let simulated = place.simulate(&path, NO_MINIMUM).unwrap_err();
        assert_eq!(simulated.message, refusal.message);
        assert!(simulated.hint.unwrap().contains("hansa contract check"));
    }
    let none = hansa(&["check", "no-such-file.wasm"]).unwrap_err();
    assert!(none.message.starts_with("cannot read `no-such-file.wasm`"), "{none}");
    assert!(none.hint.unwrap().contains("spot"));
}

#[test]
fn a_quote_says_what_is_locked_and_what_the_capacity_is_worth() {
    let lease = Lease::new(&terms(), &json!({}));
    let path = lease.place.path().join("terms.json");
    let quote = |params: &str| hansa(&["quote", "spot", "--terms", text(&path), "--params", params]);
    let answer = quote(NO_MINIMUM).unwrap();
    assert_eq!(
        without_fuel(answer.value),
        json!({"lock": "144.00", "stake": "0.00", "worth": "144.00", "awarded": true})
    );
    // A least fee above all that the capacity is worth: no lease.
    let minimum = lease.put("params.json", br#"[{"name": "minimum_fee", "eur": "144.000001 EUR"}]"#);
    let dear = quote(&minimum).unwrap();
    assert_eq!(
        without_fuel(dear.value),
        json!({"lock": "144.000001", "stake": "0.00", "worth": "144.00", "awarded": false})
    );
    assert!(dear.text.contains("asks for more than the capacity is worth"), "{}", dear.text);
    let refused = quote("00").unwrap_err();
    let said =
        "no lease would be made: the contract refused: the parameters of the contract make no sense (code 7)";
    assert!(refused.message.starts_with(said), "{refused}");
    assert!(quote("0x0").unwrap_err().message.ends_with("is neither a file nor hexadecimal"));
}

#[test]
fn a_lease_is_carried_from_step_to_step_as_the_ledger_would() {
    let usage = json!({"steps": [
        {"at": "4h", "trigger": "interim", "windows": [
            {"index": 0, "count": 3, "delivered": "4h"}, {"index": 3, "delivered": "4h", "source": "provider"}]},
        {"at": "8h", "trigger": "interim", "windows": [{"index": 3, "delivered": "4h"}, {"index": 4, "count": 4, "delivered": 7200}]},
        {"at": "end + 30m", "trigger": "final", "used": "33h"},
    ]});
    let lease = Lease::new(&terms(), &usage);
    let answer = lease.simulate("spot", NO_MINIMUM).unwrap();
    let step =
        |at: &str, trigger: &str, windows: u32, used: u32, pay: [&str; 4], refund: &str, held: &str| {
            json!({
                "at": at, "trigger": trigger, "windows": windows, "used": used,
                "payments": [
                    {"party": 1, "role": "provider", "paid": pay[0], "now": pay[1]},
                    {"party": 2, "role": "operator", "paid": pay[2], "now": pay[3]},
                ],
                "refund": refund, "held": held, "slash": "0.00", "consume": 0, "notes": [], "state": "",
                "failure": null, "fallback": null,
            })
        };
    let expected = json!({
        "quote": {"lock": "144.00", "stake": "0.00", "worth": "144.00", "awarded": true},
        "locked": "144.00",
        "steps": [
            // Twelve hours are certain, four contested: 43.20 EUR.
            step("2027-01-31T16:00:00Z", "interim", 4, 57_600, ["42.552", "42.552", "0.648", "0.648"], "0.00", "100.80"),
            // 24 hours in all: 86.40 EUR.
            step("2027-01-31T20:00:00Z", "interim", 8, 86_400, ["85.104", "42.552", "1.296", "0.648"], "0.00", "57.60"),
            // More than the windows say, since the ledger may leave some out: 33 hours.
            step("2027-01-31T22:30:00Z", "final", 8, 118_800, ["117.018", "31.914", "1.782", "0.486"], "25.20", "0.00"),
        ],
        "closed": true,
    });
    assert_eq!(without_fuel(answer.value), expected);
    assert!(
        answer.text.contains("1. interim at 2027-01-31T16:00:00Z: 57,600 accelerator-seconds in 4 windows"),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("refund    25.20 EUR"), "{}", answer.text);
}

#[test]
fn the_fallback_that_decides_is_named_with_its_reason() {
    // What was paid before cannot have been earned if the provider never came: `spot` says so.
    let usage = json!({"steps": [
        {"at": "4h", "trigger": "interim", "windows": [{"index": 0, "delivered": "8h"}]},
        {"at": "end", "trigger": "no-show"},
    ]});
    for (word, paid) in [("refund", "28.368"), ("pay-countersigned", "28.368")] {
        let mut terms = terms();
        terms["fallback"] = word.into();
        let answer = Lease::new(&terms, &usage).simulate("spot", NO_MINIMUM).unwrap();
        let step = &answer.value["steps"][1];
        assert_eq!(step["fallback"], word);
        assert_eq!(step["failure"], "the contract refused: two of the facts exclude each other (code 8)");
        assert_eq!(step["payments"][0], json!({"party": 1, "role": "provider", "paid": paid, "now": "0.00"}));
        assert!(
            answer.text.contains(&format!("settled by the fallback `{word}`, since the contract refused")),
            "{}",
            answer.text
        );
    }
}

#[test]
fn a_lease_that_nobody_closes_is_said_to_be_open() {
    let usage = json!({"steps": [{"at": "start", "trigger": "interim"}]});
    let answer = Lease::new(&terms(), &usage).simulate("spot", NO_MINIMUM).unwrap();
    assert_eq!(answer.value["closed"], false);
    assert!(answer.text.ends_with("the lease is still open: no step closed it"), "{}", answer.text);
}

#[test]
fn notes_that_a_contract_makes_are_shown() {
    let usage =
        json!({"steps": [{"at": "9h", "trigger": "interim", "windows": [{"index": 0, "delivered": "33h"}]}]});
    let answer = Lease::new(&terms(), &usage).simulate("spot", NO_MINIMUM).unwrap();
    let notes = answer.value["steps"][0]["notes"].as_array().unwrap();
    assert_eq!(notes[0]["code"], 1, "four fifths of the lock are owed");
    assert_eq!(notes[0]["bytes"].as_str().unwrap().len(), 16);
}
