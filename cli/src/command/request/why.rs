//! `hansa request why`: what stands in the way, class by class.

use crate::printer::pairs;
use crate::units::{length, word_text};
use hansa_ledger::market::{Change, Lane, LaneHint};
use hansa_node_api::why::{ClassAward, ClassWhy, ReasonInfo, RequestWhy};

/// The answer for people; a slot has `slot_s` seconds.
pub(super) fn text(why: &RequestWhy, slot_s: u32) -> String {
    let lane = match why.lane {
        LaneHint::Any => "any".to_owned(),
        other => format!("{} only", word_text(&other)),
    };
    let mut parts = vec![pairs(&[
        ("state", word_text(&why.state)),
        ("why", why.sentence.clone()),
        ("lane", lane),
        ("next batch", why.next_batch.map(|time| time.to_string()).unwrap_or_default()),
    ])];
    parts.extend(why.classes.iter().map(|class| class_text(class, slot_s)));
    parts.join("\n\n")
}

fn class_text(class: &ClassWhy, slot_s: u32) -> String {
    let reserve = class.eligible.map(|eligible| match eligible {
        true => "entitled to it".to_owned(),
        false => "not entitled: it is for eligible organisations whose request grants alone pay".to_owned(),
    });
    let mut lines = vec![
        ("class", class.class.to_string()),
        ("limit", format!("{} EUR/h", class.limit)),
        ("last price", class.last_price.map(|price| format!("{price} EUR/h")).unwrap_or_default()),
        ("bucket", class.bucket.map(|bucket| word_text(&bucket)).unwrap_or_default()),
        ("reserve", reserve.unwrap_or_default()),
        ("last batch", class.last.as_ref().map(reason_text).unwrap_or_default()),
        ("as of now", class.now.as_ref().map(reason_text).unwrap_or_default()),
        ("would get", class.award.as_ref().map(award_text).unwrap_or_default()),
    ];
    for (index, change) in class.changes.iter().enumerate() {
        let name = if index == 0 { "would help" } else { "or" };
        lines.push((name, change_text(&change.change, slot_s)));
    }
    pairs(&lines)
}

/// The sort, the fixed number, and the sentence with its numbers.
fn reason_text(reason: &ReasonInfo) -> String {
    format!("{} ({} {}): {}", reason.kind, word_text(&reason.reason), reason.code, reason.sentence)
}

fn award_text(award: &ClassAward) -> String {
    let lane = match (award.lane, award.released) {
        (Lane::Reserve, _) => "of the reserve",
        (Lane::Market, true) => "of released reserve, from which it may be interrupted",
        (Lane::Market, false) => "of the market",
    };
    format!("{} {lane} at {} EUR/h from {}", award.quantity, award.price, award.start)
}

fn change_text(change: &Change, slot_s: u32) -> String {
    match change {
        Change::Limit(limit) => format!("a limit of {limit} EUR/h"),
        Change::QuantityMin { quantity_min, quantity } => {
            format!("accepting {quantity_min} accelerators or more; it would get {quantity}")
        }
        Change::StartMax(slot) => format!("accepting a start up to {}", slot.begins(slot_s)),
        Change::Slots(slots) => {
            format!("asking for {}", length(u64::from(*slots) * u64::from(slot_s) * 1_000))
        }
        Change::AnyCountry => "accepting any country".to_owned(),
        Change::AlsoCountry(country) => format!("accepting {country} as well"),
        Change::TierMin(tier) => format!("accepting interconnect tier {tier}"),
        Change::Certificates(0) => "asking for no certificate".to_owned(),
        Change::Certificates(kept) => format!("asking for these certificates only: bits {kept}"),
        Change::AnyLane => "accepting either lane".to_owned(),
        Change::Interruptible => "accepting to be interrupted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger::id::RequestId;
    use hansa_ledger::market::{Bucket, Detail, Reason, Unmatched};
    use hansa_ledger::money::Price;
    use hansa_ledger::name::Name;
    use hansa_ledger::row::RequestState;
    use hansa_ledger::time::Slot;
    use hansa_node_api::why::ChangeInfo;

    #[test]
    fn every_class_tells_its_reason_its_numbers_and_what_would_help() {
        let class = |name: &str, reason: Reason, detail: Detail, changes: &[Change]| {
            let unmatched = Unmatched { request: RequestId([1; 32]), reason, detail: detail.into() };
            let class = Name::new(name).unwrap();
            ClassWhy {
                limit: Price(900_000),
                bucket: Some(Bucket::Spot),
                eligible: Some(false),
                last_price: None,
                last: None,
                now: Some(ReasonInfo::new(class.clone(), &unmatched)),
                award: None,
                changes: changes.iter().map(|change| ChangeInfo::new(change.clone(), 900)).collect(),
                next_batch: None,
                class,
            }
        };
        let price = Detail { cheapest_ask: Some(Price(2_000_000)), ..Detail::default() };
        let free = Detail { largest_free: Some(3), ..Detail::default() };
        let why = RequestWhy {
            request: RequestId([1; 32]),
            state: RequestState::Open,
            lane: LaneHint::Market,
            classes: vec![
                class("h100", Reason::LimitBelowPrice, price, &[Change::Limit(Price(2_000_000))]),
                class(
                    "a100",
                    Reason::PartialNotAllowed,
                    free,
                    &[Change::Slots(2), Change::StartMax(Slot(2_001_552))],
                ),
            ],
            sentence: "both".to_owned(),
            next_batch: None,
        };
        let text = text(&why, 900);
        for said in [
            "lane        market only",
            "price (limit-below-price 5): its limit does not reach",
            "the cheapest compatible offer asks 2.00 EUR/h",
            "would help  a limit of 2.00 EUR/h",
            "shortage (partial-not-allowed 8)",
            "at most 3 are free",
            "would help  asking for 30m",
            "or          accepting a start up to 2027-01-31T12:00:00Z",
        ] {
            assert!(text.contains(said), "{said:?} is not in:\n{text}");
        }
        let json = serde_json::to_value(&why).unwrap();
        assert_eq!(
            (&json["classes"][1]["now"]["code"], &json["classes"][1]["now"]["kind"]),
            (&8.into(), &"shortage".into())
        );
        assert_eq!(json["classes"][0]["changes"][0]["change"]["limit"], "2.00");
    }
}
