//! The files of terms, usage and parameters: every field is bounded, and named where it is refused.

use crate::common::hansa;
use hansa_cli_contract::{TermsFile, UsageFile, read_params, typed_params};
use hansa_contracts_abi::{Bps, Evidence, Money, Role};
use serde_json::{Value, json};

fn terms() -> Value {
    json!({"accelerators": 4, "start": "2027-01-31T12:00Z", "length": "10h", "price": "3.60 EUR/h"})
}

fn usage() -> Value {
    json!({"steps": [
        {"at": "1h", "trigger": "interim", "windows": [{"index": 0, "delivered": 3600}]},
        {"at": "end", "trigger": "final"},
    ]})
}

/// The value with some places replaced; one that ends in `/` and a name is added, and null takes it away.
fn with(mut value: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, change) in changes {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = value.pointer_mut(parent).unwrap();
        match (parent, member.parse::<usize>()) {
            (Value::Array(list), Ok(index)) => list[index] = change.clone(),
            (Value::Object(object), _) if change.is_null() => drop(object.remove(member)),
            (Value::Object(object), _) => drop(object.insert(member.to_owned(), change.clone())),
            (other, _) => panic!("{pointer} in {other}"),
        }
    }
    value
}

#[test]
fn terms_are_read_in_human_units() {
    let full = with(
        terms(),
        &[
            ("/fee", json!("0%")),
            ("/sponsor", json!("80%")),
            ("/named", json!(2)),
            ("/stake", json!("12 EUR")),
            ("/sla", json!([{"below": "99.5%", "credit": "10%"}])),
        ],
    );
    let terms = TermsFile::parse("terms.json", full.to_string().as_bytes()).unwrap().terms(12_000_000);
    assert_eq!(terms.parties[3..], [Role::Sponsor, Role::Named, Role::Named]);
    assert_eq!((terms.start, terms.end), (1_801_396_800, 1_801_396_800 + 36_000));
    assert_eq!((terms.price.num, terms.price.den), (3_600_000, 3_600));
    assert_eq!((terms.fee_bps, terms.sponsor_bps, terms.slash_max), (0, 8_000, 12_000_000));
    assert_eq!((terms.sla[0].below_bps, terms.sla[0].credit_bps), (9_950, 1_000));
    // The fee that nobody says is the one that federations begin with.
    let plain = TermsFile::parse("t", self::terms().to_string().as_bytes()).unwrap().terms(0);
    assert_eq!(plain.fee_bps, hansa_ledger::params::Params::default().fee_bps);
    let until = with(self::terms(), &[("/length", Value::Null), ("/end", json!("2027-02-01"))]);
    assert_eq!(TermsFile::parse("t", until.to_string().as_bytes()).unwrap().terms(0).end, 1_801_440_000);
}

#[test]
fn terms_that_make_no_sense_are_refused_by_field() {
    let table: &[(&str, Value, &str)] = &[
        ("/accelerators", json!(0), "accelerators: is 0, and must be from 1 to 4294967295"),
        ("/accelerators", json!(4_294_967_296u64), "accelerators: is 4294967296"),
        ("/accelerators", json!(-1), "accelerators: invalid value"),
        ("/accelerators", Value::Null, "the file: missing field `accelerators`"),
        ("/start", json!("soon"), "start: `soon` is no moment"),
        ("/start", json!("in 2h"), "start: `in 2h` depends on when it is read"),
        ("/length", json!("-2h"), "length: `-2h` is no length of time"),
        ("/length", json!("500ms"), "length: `500ms` is no whole number of seconds"),
        ("/length", json!(0), "end: is not after `start`"),
        ("/length", json!(300_000_000_000u64), "length: ends after the last moment"),
        ("/length", Value::Null, "length: is missing; say `length`, or `end`"),
        ("/end", json!("2027-02-01"), "end: stands beside `length`"),
        ("/price", json!("3.5 USD"), "price: `3.5 USD` is no price"),
        ("/price", json!("3.0001 EUR/h"), "price: `3.0001 EUR/h` is finer than a tenth of a cent"),
        ("/price", json!(3), "price: invalid type: integer `3`"),
        ("/fee", json!("100.01%"), "fee: `100.01%` is no part; write it as `80%`, from 0% to 100%"),
        ("/sponsor", json!("80"), "sponsor: `80` is no part"),
        ("/named", json!(13), "named: is 13, and may be at most 12"),
        ("/stake", json!("1e3"), "stake: `1e3` is no amount"),
        ("/locked", json!("-1 EUR"), "locked: `-1 EUR` is no amount"),
        ("/sla", json!([{"below": "99%"}]), "sla[0]: missing field `credit`"),
        (
            "/sla",
            json!(vec![json!({"below": "99%", "credit": "1%"}); 9]),
            "sla: has 9 steps, and may have at most 8",
        ),
        ("/quota", json!("many"), "quota: `many` is no length of time"),
        (
            "/fallback",
            json!("keep"),
            "fallback: unknown variant `keep`, expected `refund` or `pay-countersigned`",
        ),
        ("/prize", json!(1), "prize: unknown field `prize`"),
    ];
    for (pointer, value, said) in table {
        let file = with(terms(), &[(pointer, value.clone())]).to_string();
        let refused = TermsFile::parse("terms.json", file.as_bytes()).unwrap_err();
        assert!(refused.message.starts_with(&format!("terms.json: {said}")), "{pointer} {value}: {refused}");
        assert!(!refused.message.ends_with('.'), "{refused}");
    }
    // What serde finds has its line and column.
    let torn = TermsFile::parse("terms.json", b"{\n  \"accelerators\": \"four\"}").unwrap_err();
    assert!(
        torn.message.contains("accelerators: ") && torn.message.ends_with("at line 2 column 24"),
        "{torn}"
    );
    let more = format!("{} {{}}", terms());
    let more = TermsFile::parse("terms.json", more.as_bytes()).unwrap_err();
    assert!(more.message.contains("more follows after it"), "{more}");
}

#[test]
fn usage_that_makes_no_sense_is_refused_by_field() {
    let terms = TermsFile::parse("terms.json", terms().to_string().as_bytes()).unwrap();
    let window = |change: &[(&str, Value)]| json!([with(json!({"index": 0, "delivered": 3600}), change)]);
    let table: Vec<(&str, Value, &str)> = vec![
        ("/steps", json!([]), "steps: has 0 entries, and must have from 1 to 1000"),
        ("/steps", json!(vec![json!({"at": "1h", "trigger": "interim"}); 1_001]), "steps: has 1001 entries"),
        ("/steps/0/at", json!("later"), "steps[0].at: `later` is no moment of a lease"),
        ("/steps/0/at", json!("end + "), "steps[0].at: `` is no length of time"),
        ("/steps/0/at", json!("end + 1h"), "steps[1].at: is before the step before, 2027-01-31T23:00:00Z"),
        ("/steps/0/trigger", json!("finally"), "steps[0].trigger: unknown variant `finally`"),
        ("/steps/0/trigger", json!("expired"), "steps[1]: comes after the lease was closed"),
        ("/steps/1/trigger", json!("ruling"), "steps[1].ruling: is missing; say the provider's part"),
        ("/steps/1/ruling", json!("50%"), "steps[1].ruling: belongs to the trigger `ruling` alone"),
        ("/steps/1/ruling", json!("101%"), "steps[1].ruling: `101%` is no part"),
        ("/steps/0/used", json!(3_599), "steps[0].used: is 3599, and the windows alone have 3600"),
        ("/steps/0/used", json!(9_999), "steps[1].used: is 3600, and was 9999 in the step before"),
        ("/steps/1/windows", window(&[("/delivered", json!(1))]), "steps[1].used: is 1, and was 3600"),
        (
            "/steps/0/windows",
            window(&[("/count", json!(0))]),
            "steps[0].windows[0].count: is 0, and must be from 1 to 10000",
        ),
        ("/steps/0/windows", window(&[("/count", json!(10_001))]), "steps[0].windows[0].count: is 10001"),
        (
            "/steps/0/windows",
            window(&[("/index", json!(u32::MAX)), ("/count", json!(2))]),
            "steps[0].windows[0].index: is 4294967295",
        ),
        (
            "/steps/0/windows",
            window(&[("/delivered", json!("8 h x"))]),
            "steps[0].windows[0].delivered: `8 h x` is no length",
        ),
        (
            "/steps/0/windows",
            window(&[("/delivered", json!(1.5))]),
            "steps[0].windows[0].delivered: invalid type: floating point `1.5`, expected accelerator-seconds",
        ),
        (
            "/steps/0/windows",
            window(&[("/up", json!(4_294_967_296u64))]),
            "steps[0].windows[0].up: is 4294967296 seconds",
        ),
        (
            "/steps/0/windows",
            window(&[("/source", json!("nobody"))]),
            "steps[0].windows[0].source: unknown variant `nobody`",
        ),
        (
            "/steps/0/windows",
            window(&[("/grams", json!(5))]),
            "steps[0].windows[0].grams: unknown field `grams`",
        ),
    ];
    for (pointer, value, said) in table {
        let file = with(usage(), &[(pointer, value.clone())]).to_string();
        let refused = UsageFile::parse("usage.json", file.as_bytes(), &terms).unwrap_err();
        assert!(refused.message.starts_with(&format!("usage.json: {said}")), "{pointer} {value}: {refused}");
    }
    UsageFile::parse("usage.json", usage().to_string().as_bytes(), &terms).unwrap();
}

/// The parameters that the typed values below stand for.
#[derive(borsh::BorshSerialize)]
struct Params {
    small: u8,
    bps: Bps,
    count: u32,
    seconds: u64,
    money: Money,
    large: u128,
    flag: bool,
    name: String,
    bytes: Vec<u8>,
    hash: [u8; 2],
    list: Vec<(u32, Bps)>,
    some: Option<u16>,
    none: Option<u16>,
    source: Evidence,
}

#[test]
fn typed_values_are_the_borsh_of_the_struct() {
    let params = Params {
        small: 1,
        bps: 1_250,
        count: 3,
        seconds: 5_400,
        money: 3_500_000,
        large: u128::MAX,
        flag: true,
        name: "ää".into(),
        bytes: vec![1, 2],
        hash: [0xab, 0xcd],
        list: vec![(7, 10_000), (8, 0)],
        some: Some(5),
        none: None,
        source: Evidence::RequesterOnly,
    };
    let file = json!([
        {"name": "small", "u8": 1}, {"percent": "12.5%"}, {"u32": 3}, {"seconds": "1h30m"}, {"eur": "3.50 EUR"},
        {"u128": u128::MAX.to_string()}, {"bool": true}, {"text": "ää"}, {"bytes": "0102"}, {"array": "abcd"},
        {"list": [{"fields": [{"u32": 7}, {"percent": "100%"}]}, {"fields": [{"u32": 8}, {"percent": "0%"}]}]},
        {"some": {"u16": 5}}, {"none": true}, {"case": {"index": 2}},
    ]);
    let bytes = typed_params("params.json", file.to_string().as_bytes()).unwrap();
    assert_eq!(bytes, borsh::to_vec(&params).unwrap());
    // As an argument: a file of values, a file of bytes, hexadecimal; and what an offer takes.
    let place = tempfile::tempdir().unwrap();
    let [typed, raw] =
        ["params.json", "params.bin"].map(|name| place.path().join(name).display().to_string());
    std::fs::write(&typed, file.to_string()).unwrap();
    std::fs::write(&raw, &bytes).unwrap();
    let hexadecimal = hansa(&["params", &typed]).unwrap().text;
    for argument in [typed.as_str(), &raw, &hexadecimal, &format!("0x{hexadecimal}")] {
        assert_eq!(read_params(Some(argument)).unwrap(), bytes);
    }
    assert_eq!(read_params(None).unwrap(), Vec::<u8>::new());
}

#[test]
fn typed_values_that_are_wrong_are_refused_by_place() {
    let nested = (0..10).fold(json!({"u8": 1}), |inner, _| json!({"list": [inner]}));
    let table = [
        (json!([{"name": "fee", "u8": 256}]), "[0] (fee): 256 does not fit into 8 bits"),
        (json!([{"u8": 1}, {"u16": 1, "u32": 2}]), "[1]: must have exactly one type"),
        (json!([{"name": "nothing"}]), "[0] (nothing): must have exactly one type"),
        (json!([{"u64": -1}]), "[0].u64: "),
        (json!([{"u64": 1.5}]), "[0].u64: "),
        (json!([{"u128": "0x10"}]), "[0].u128: `0x10` is no number"),
        (json!([{"eur": "3,50"}]), "[0].eur: `3,50` is no amount"),
        (json!([{"bytes": "abc"}]), "[0]: `abc` is not hexadecimal"),
        (json!([{"list": [{"u8": 1}, {"u8": 300}]}]), "[0].list[1]: 300 does not fit into 8 bits"),
        (json!([{"none": false}]), "[0]: is `none: false`"),
        (json!([{"case": {"index": 256}}]), "[0].case.index: "),
        (json!([{"i64": 1}]), "[0].i64: unknown field `i64`"),
        (json!({"u8": 1}), "the file: invalid type: map"),
        (json!([nested]), "lies deeper than 8 lists"),
        (
            json!([{"text": "x".repeat(16_385)}]),
            "the file: makes 16389 bytes, and a contract can be told 16384",
        ),
    ];
    for (file, said) in table {
        let refused = typed_params("p.json", file.to_string().as_bytes()).unwrap_err().message;
        let sound = refused.starts_with(&format!("p.json: {said}"))
            || refused.contains(": lies deeper") && said.starts_with("lies");
        assert!(sound, "{file}: {refused}");
    }
}
