//! The studies: the same seed gives the same bytes, nothing is sold twice, and the numbers add up.

use hansa_ledger::market::{Lane, Reason, clear};
use hansa_ledger::time::Slot;
use hansa_tests_market::collude::{Guise, split};
use hansa_tests_market::federation::{habit, markets, organisations};
use hansa_tests_market::growth::plain;
use hansa_tests_market::instance::Size;
use hansa_tests_market::measure::{Figures, figures};
use hansa_tests_market::misreport;
use hansa_tests_market::publish::{quarter_charts, replaced};
use hansa_tests_market::quarter::{Outcome, Scenario, World, run};
use hansa_tests_market::report;
use std::collections::{BTreeMap, BTreeSet};

/// Four days of the smaller classes' demand, a batch every two hours.
fn scenario(seed: u64, reserve_bps: u16) -> Scenario {
    Scenario {
        seed,
        days: 4,
        batch_slots: 8,
        organisations: 60,
        load: 1.6,
        reserve_bps,
        limit_first: false,
        price_candidates: 16,
        class: Some("a100-40".into()),
    }
}

fn quarter(scenario: Scenario) -> (World, Outcome, Figures) {
    let world = World::new(scenario).unwrap();
    let outcome = run(&world).unwrap();
    let figures = figures(&world, &outcome);
    (world, outcome, figures)
}

/// Everything that is published of a run.
fn published(seed: u64) -> String {
    let (_, _, figures) = quarter(scenario(seed, 2_000));
    let runs = vec![("reserve".to_owned(), figures)];
    let tables = [report::quarter(&runs), report::markets(&runs), report::reasons(&runs)].concat();
    let charts = quarter_charts(&runs).unwrap();
    let json = serde_json::to_string(&runs).unwrap();
    charts.into_iter().fold(tables + &json, |text, (name, chart)| text + name + &chart)
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = published(3);
    assert!(first.contains("<svg") && first.contains("utilisation") && first.contains("a100-40"));
    assert_eq!(first, published(3));
    assert_ne!(first, published(4));
}

#[test]
fn no_slot_is_oversold_and_each_award_keeps_its_bounds() {
    for reserve_bps in [0, 2_000, 10_000] {
        let (world, outcome, _) = quarter(scenario(5, reserve_bps));
        assert!(outcome.awards.len() > 50, "the market trades");
        let mut seen = BTreeSet::new();
        // Counted anew, slot by slot, from the awards alone: per offer, whether of the reserve, and slot.
        let mut leased: BTreeMap<(usize, bool, u32), u32> = BTreeMap::new();
        for award in &outcome.awards {
            let (request, trade) = (&world.requests[award.request], &award.trade);
            let supply = &world.markets[request.market].supplies[award.supply];
            assert!(seen.insert(award.request), "served twice");
            assert!((request.order.quantity_min..=request.order.quantity).contains(&trade.quantity));
            assert!((request.order.start_min..=request.order.start_max).contains(&trade.start));
            assert!(trade.start > request.placed, "a lease begins after its request is placed");
            assert!(trade.price <= request.order.limit && request.order.countries.admits(supply.country));
            assert!(trade.lane == Lane::Reserve || trade.price >= supply.ask);
            assert!(trade.lane == Lane::Market || request.order.eligible);
            let reserved = trade.lane == Lane::Reserve || trade.released;
            for slot in trade.start.0..trade.start.0 + trade.slots {
                *leased.entry((award.supply, reserved, slot)).or_default() += trade.quantity;
            }
        }
        for ((supply, reserved, slot), quantity) in leased {
            let supply = &world.markets[0].supplies[supply];
            let calendar = if reserved { &supply.reserve } else { &supply.market };
            assert!(quantity <= calendar.free_at(Slot(slot)), "{quantity} leased in slot {slot}");
        }
    }
}

#[test]
fn no_group_holds_more_than_its_cap() {
    let (world, outcome, _) = quarter(scenario(6, 2_000));
    let mut held: BTreeMap<_, u32> = BTreeMap::new();
    for award in &outcome.awards {
        let group = world.requests[award.request].order.group;
        for slot in award.trade.start.0..award.trade.start.0 + award.trade.slots {
            *held.entry((group, slot)).or_default() += award.trade.quantity;
        }
    }
    let cap = world.markets[0].capacity / 10;
    let most = held.values().copied().max().unwrap();
    assert!(most <= cap && most > cap / 2, "{most} held at once under a cap of {cap}");
}

#[test]
fn the_totals_add_up() {
    let (world, outcome, figures) = quarter(scenario(7, 2_000));
    for shares in [&figures.hours_by_class, &figures.asked_by_class] {
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    }
    assert_eq!(figures.requests, world.requests.len() as u64);
    assert_eq!(figures.awards, outcome.awards.len() as u64);
    assert!(figures.utilisation > 0.3 && figures.utilisation <= 1.0, "{}", figures.utilisation);
    assert!((figures.hours_offered - f64::from(world.markets[0].capacity) * 96.0).abs() < 1e-6);
    let by_market: f64 =
        figures.markets.iter().map(|market| market.utilisation * f64::from(market.capacity)).sum();
    assert!((by_market * 96.0 - figures.hours_leased).abs() < 1.0, "days add up to the quarter");
    assert!(figures.reserve_used > 0.1 && figures.reserve_used + figures.reserve_released <= 1.0);
    assert!((figures.reserve_hours / figures.hours_offered - 0.2).abs() < 0.01);
    // Whoever is not served has a reason of the closed list, and whoever is served has none.
    for award in &outcome.awards {
        assert!(!outcome.reasons.contains_key(&award.request));
    }
    assert!(
        outcome.reasons.values().all(|reason| *reason != Reason::NetDebitCap),
        "debit caps are no part of it"
    );
    let lost: f64 = figures.reasons.values().sum();
    assert!(lost > 0.0 && lost < 1.0);
}

#[test]
fn without_a_reserve_nothing_comes_out_of_one() {
    let (_, outcome, figures) = quarter(scenario(7, 0));
    assert!(outcome.awards.iter().all(|award| award.trade.lane == Lane::Market && award.trade.aid == 0));
    assert_eq!((figures.reserve_hours, figures.reserve_used, figures.aid_eur), (0.0, 0.0, 0.0));
}

#[test]
fn the_federation_is_made_of_real_systems_and_has_every_class_of_organisation() {
    let markets = markets(1, 2_000, Slot(1_000)).unwrap();
    let offered: u32 = markets
        .iter()
        .flat_map(|market| &market.supplies)
        .map(|supply| supply.market.peak() + supply.reserve.peak())
        .sum();
    assert_eq!(offered, markets.iter().map(|market| market.capacity).sum::<u32>());
    assert_eq!(offered, 59_652);
    let people = organisations(1, 2_000).unwrap();
    let homes: BTreeSet<_> = people.iter().map(|person| person.home).collect();
    assert_eq!(homes.len(), 27);
    let groups: BTreeSet<_> = people.iter().map(|person| person.group).collect();
    assert!(groups.len() < people.len(), "some organisations have one owner");
    for class in hansa_tests_market::federation::CLASSES {
        let part = people.iter().filter(|person| person.class == class).count() as f64 / 2_000.0;
        assert!((part - habit(class).organisations).abs() < 0.04, "{class:?}: {part}");
    }
}

#[test]
fn a_scenario_that_is_none_is_refused_with_what_to_change() {
    let none = World::new(Scenario { class: Some("abacus".into()), ..scenario(1, 0) }).unwrap_err();
    assert!(none.contains("`abacus`"), "{none}");
    let empty = World::new(Scenario { days: 0, ..scenario(1, 0) }).unwrap_err();
    assert!(empty.contains("at least 1"), "{empty}");
}

#[test]
fn misreporting_is_measured_the_same_way_each_time() {
    let rows = misreport::measure(1, Size::Small, 40).unwrap();
    assert_eq!(rows, misreport::measure(1, Size::Small, 40).unwrap());
    assert_eq!(rows.len(), 3);
    for row in &rows {
        assert!(row.volume > 0.0 && (0.0..=1.0).contains(&row.shading), "{row:?}");
        assert!(row.always[6] < 0.0, "to say three times the value costs: {row:?}");
    }
    // At k = 0.5 the buyer's own limit moves the price more often.
    assert!(rows[0].shading > rows[1].shading, "{rows:?}");
}

#[test]
fn one_group_stays_under_its_cap_however_many_organisations_it_has() {
    let rows = split(1..2, 60, 4).unwrap();
    let got = |guise: Guise| rows.iter().find(|row| row.asks > 0.1 && row.guise == guise).unwrap().got;
    assert!(got(Guise::One) <= 0.1 && got(Guise::SameGroup) <= 0.1, "{rows:?}");
    assert!(got(Guise::Strangers) > 0.1, "ten groups have ten caps: {rows:?}");
}

#[test]
fn the_book_of_the_growth_study_has_no_constraints_and_trades_half() {
    let book = plain(1, 1_024, 4).unwrap();
    let trades = clear(&book).trades.len();
    assert_eq!(book.orders.len(), 1_024);
    assert!((200..=512).contains(&trades), "{trades}");
}

#[test]
fn a_part_of_the_page_is_replaced_between_its_marks_and_a_missing_mark_is_named() {
    let page = "# t\n<!-- a: begin -->\nold\n<!-- a: end -->\nrest\n";
    let new = replaced(page, "a", "| new |\n").unwrap();
    assert_eq!(new, "# t\n<!-- a: begin -->\n\n| new |\n\n<!-- a: end -->\nrest\n");
    assert_eq!(replaced(&new, "a", "| new |").unwrap(), new);
    assert!(replaced(page, "b", "").unwrap_err().contains("<!-- b: begin -->"));
}
