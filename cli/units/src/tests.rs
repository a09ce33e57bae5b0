use super::*;
use hansa_ledger::time::TimeMs;
use std::fmt::Debug;
use std::str::FromStr;

/// Each text with what it reads as; `None` is a refusal, which must quote the text and say how to write it.
fn check<T: Debug + PartialEq>(read: impl Fn(&str) -> Result<T, String>, table: &[(&str, Option<T>)]) {
    for (text, expected) in table {
        match (read(text), expected) {
            (Ok(value), Some(expected)) => assert_eq!(value, *expected, "{text:?}"),
            (Err(error), None) => {
                let sound = error.contains(&format!("`{text}`")) || text.contains("..");
                assert!(sound && !error.ends_with('.') && error.len() > text.len() + 10, "{text:?}: {error}");
            }
            (read, _) => panic!("{text:?} reads as {read:?}, not as {expected:?}"),
        }
    }
}

#[test]
fn prices_and_amounts() {
    check(
        price,
        &[
            ("3.50 EUR/h", Some(Price(3_500_000))),
            ("3.5", Some(Price(3_500_000))),
            ("3.50EUR/h", Some(Price(3_500_000))),
            (" 2 €/h ", Some(Price(2_000_000))),
            ("0.001", Some(Price(1_000))),
            ("0", Some(Price(0))),
            ("0.0001", None),
            ("3,50", None),
            ("-1", None),
            ("", None),
            ("EUR/h", None),
            ("3 USD/h", None),
            ("1e3", None),
            ("99999999999999999999", None),
        ],
    );
    check(
        money,
        &[
            ("120 EUR", Some(Money(120_000_000))),
            ("0.000001", Some(Money(1))),
            ("0.0000001", None),
            ("120 EUR/h", None),
            ("18446744073710", None),
            ("a", None),
        ],
    );
}

#[test]
fn lengths_of_time() {
    let length = |text: &str| text.parse::<Duration>().map(|length| length.0);
    check(
        length,
        &[
            ("2h", Some(7_200_000)),
            ("90m", Some(5_400_000)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("1d 2h", Some(93_600_000)),
            ("500ms", Some(500)),
            ("", None),
            ("2", None),
            ("h", None),
            ("2x", None),
            ("-2h", None),
            ("1.5h", None),
            ("30m2h", None),
            ("1h1h", None),
            ("0s", None),
            ("99999999999d", None),
            ("99999999999999999999s", None),
        ],
    );
    let within = |text: &str| text.parse::<Within>().map(|within| within.0.0);
    check(within, &[("within 24h", Some(86_400_000)), ("24h", Some(86_400_000)), ("soon", None)]);
    for (length, slot_s, slots) in
        [(1, 1, 1), (1_000, 1, 1), (1_001, 1, 2), (3_600_000, 900, 4), (3_600_001, 900, 5)]
    {
        assert_eq!(Duration(length).slots(slot_s), slots, "{length} ms in slots of {slot_s} s");
    }
}

#[test]
fn moments_and_windows() {
    let noon = TimeMs(1_801_396_800_000);
    check(
        Moment::from_str,
        &[
            ("now", Some(Moment::In(Duration(0)))),
            ("in 2h", Some(Moment::In(Duration(7_200_000)))),
            ("at 2027-01-31T12:00Z", Some(Moment::At(noon))),
            ("2027-01-31T12:00:00Z", Some(Moment::At(noon))),
            ("2027-01-31T13:00+01:00", Some(Moment::At(noon))),
            ("2027-01-31", Some(Moment::At(TimeMs(noon.0 - 43_200_000)))),
            ("2027-01-31T12:00", None),
            ("2027-13-31T12:00Z", None),
            ("1969-12-31T12:00Z", None),
            ("tomorrow", None),
            ("", None),
        ],
    );
    assert_eq!(Moment::In(Duration(5)).from(TimeMs(10)), TimeMs(15));
    check(
        Between::from_str,
        &[
            ("2027-01-31T12:00Z..in 2h", Some(Between(Moment::At(noon), Moment::In(Duration(7_200_000))))),
            ("2027-01-31T12:00Z", None),
            ("now..then", None),
        ],
    );
}

#[test]
fn sizes() {
    check(
        |text| text.parse::<Size>().map(|size| size.0),
        &[
            ("4GiB", Some(4 << 30)),
            ("512 MiB", Some(512 << 20)),
            ("10MB", Some(10_000_000)),
            ("7kB", Some(7_000)),
            ("123", Some(123)),
            ("123B", Some(123)),
            ("", None),
            ("GiB", None),
            ("4 Gb", None),
            ("1.5GiB", None),
            ("-1", None),
            ("0MiB", None),
            ("99999999TiB", None),
        ],
    );
}

#[test]
fn shares_and_sources() {
    check(
        percent,
        &[
            ("80%", Some(8_000)),
            ("12.5%", Some(1_250)),
            ("0.01%", Some(1)),
            ("100 %", Some(10_000)),
            ("0%", None),
            ("100.01%", None),
            ("0.001%", None),
            ("80", None),
            ("-5%", None),
        ],
    );
    let id = GrantId([0xab; 32]);
    let by_id = format!("grant:{id}=80%");
    check(
        source,
        &[
            ("cash=20%", Some(SourceShare { purse: PurseName::Cash, share_bps: 2_000 })),
            (by_id.as_str(), Some(SourceShare { purse: PurseName::Grant(id), share_bps: 8_000 })),
            (
                "grant:ai-2026=100%",
                Some(SourceShare {
                    purse: PurseName::GrantReference(Name::new("ai-2026").unwrap()),
                    share_bps: 10_000,
                }),
            ),
            ("cash", None),
            ("purse=5%", None),
        ],
    );
    assert!(source("cash=500%").is_err() && source("grant:A B=5%").is_err());
}

#[test]
fn what_people_read() {
    for (milliseconds, text) in [
        (0, "0s"),
        (12, "12ms"),
        (1_012, "1s"),
        (90_000, "1m 30s"),
        (93_600_000, "1d 2h"),
        (86_460_000, "1d 1m"),
    ] {
        assert_eq!(length(milliseconds), text);
    }
    for (size, text) in
        [(0, "0 B"), (1_023, "1023 B"), (1_024, "1 KiB"), (1_600, "1.5 KiB"), (u64::MAX, "16777215.9 TiB")]
    {
        assert_eq!(bytes(size), text);
    }
    for (bps, text) in [(10_000, "100 %"), (1_250, "12.5 %"), (1, "0.01 %"), (5, "0.05 %")] {
        assert_eq!(percent_text(bps), text);
    }
}
