//! What a ruling may reach and what it may not, over templates that rule themselves and templates that do not.

use alloc::vec;

use hansa_contracts_abi::testing::facts as plain_facts;
use hansa_contracts_abi::{Role, SlaStep, Window, check_split};
use hansa_contracts_coinvest::{Coinvest, Holder, Params as Shares, Return, Side};
use hansa_contracts_reserved::Params as Level;
use hansa_contracts_spot::{Params as Minimum, Spot};

use super::*;

/// 4 units for 1,000 seconds at 10 each, ten windows of 400 units, the last two contested; a stake of 10,000.
fn facts(trigger: Trigger) -> Facts {
    let mut facts = plain_facts();
    facts.terms.slash_max = 10_000;
    (facts.escrow.locked, facts.escrow.stake) = (40_000, 10_000);
    let source = |index| if index < 8 { Evidence::Both } else { Evidence::ProviderOnly };
    facts.usage.windows = (0..10)
        .map(|index| Window { index, delivered: 400, committed: 400, up_secs: 100, source: source(index) })
        .collect();
    facts.usage.cumulative = 4_000;
    facts.ctx.trigger = trigger;
    facts
}

fn ruling(provider_bps: Bps) -> Facts {
    facts(Trigger::Ruling { provider_bps })
}

/// Below 95 % a tenth, below 50 % everything, of which credits may take three tenths.
fn level() -> Level {
    let step = |below_bps, credit_bps| SlaStep { below_bps, credit_bps };
    Level {
        sla: vec![step(9_500, 1_000), step(5_000, 10_000)],
        period_windows: 1,
        credit_cap_bps: 3_000,
        stake_bps: 2_500,
    }
}

fn shares() -> Shares {
    let holder = |party, side, share_bps| Holder { party: Party(party), side, share_bps };
    Shares {
        operating_cost: 3,
        holders: vec![holder(3, Side::Public, 3_333), holder(4, Side::Private, 6_667)],
        public: Return { until: 9_999, returned_before: 0 },
        private: Return::default(),
        aid_cap: None,
    }
}

/// What is paid in all, and slashed, checked as the ledger does.
fn outcome<C: Contract>(params: &C::Params, facts: &Facts) -> (Money, Money) {
    let split = C::settle(params, facts).unwrap();
    let quote = C::quote(params, &facts.terms).unwrap();
    check_split(&split, facts, &[], quote.lock).unwrap();
    (split.pay.iter().map(|(_, amount)| *amount).sum(), split.slash)
}

#[test]
fn everything_but_a_ruling_passes_through() {
    let cancelled = Trigger::Cancelled { by: Party::PROVIDER };
    for trigger in [Trigger::Interim, Trigger::Final, Trigger::Expired, Trigger::NoShow, cancelled] {
        let facts = facts(trigger);
        assert_eq!(
            DisputedReserve::settle(&level(), &facts),
            Reserved::settle(&level(), &facts),
            "{trigger:?}"
        );
    }
    let terms = facts(Trigger::Final).terms;
    assert_eq!(DisputedReserve::quote(&level(), &terms), Reserved::quote(&level(), &terms));
    let claims = Claims { home: *b"EE", class: 0, sponsor: None, purpose: None };
    assert_eq!(Dispute::<Spot>::admit(&Minimum::default(), &terms, &claims), Ok(Admission::Yes));
    assert_eq!(DisputedReserve::META.name, "dispute");
    assert_ne!(DisputedReserve::META.tariff, Reserved::META.tariff);
}

#[test]
fn the_contested_part_is_divided_and_nothing_else() {
    // 32,000 are certain. Without the contested windows they are empty: their 8,000 are gone, and 70 % of that is slashed.
    let table = [
        (0, 32_000, 5_600),
        (1, 32_000, 5_599),
        (5_000, 36_000, 2_800),
        (9_499, 39_599, 280),
        (9_500, 39_600, 280),
        (10_000, 40_000, 0),
    ];
    for (bps, pay, slash) in table {
        assert_eq!(outcome::<DisputedReserve>(&level(), &ruling(bps)), (pay, slash), "{bps} basis points");
    }
    // By itself `reserved` takes the half as an availability of 50 %, which is below its step.
    assert_eq!(outcome::<Reserved>(&level(), &ruling(5_000)), (32_000 + 7_200, 0));
    let split = DisputedReserve::settle(&level(), &ruling(5_000)).unwrap();
    let detail = 8_000u128.to_le_bytes().into_iter().chain(5_000u16.to_le_bytes()).collect();
    assert_eq!(split.notes.last(), Some(&Note { code: NOTE_RULED, bytes: detail }));
    // Nothing contested: the ruling has nothing to divide.
    let mut agreed = ruling(0);
    agreed.usage.windows.iter_mut().for_each(|window| window.source = Evidence::Both);
    assert_eq!(outcome::<DisputedReserve>(&level(), &agreed), (40_000, 0));
    // Everything contested and lost: as if the provider had never come.
    let mut lost = ruling(0);
    lost.usage.windows.iter_mut().for_each(|window| window.source = Evidence::ProviderOnly);
    assert_eq!(outcome::<DisputedReserve>(&level(), &lost), (0, 10_000));
}

#[test]
fn what_is_uncontested_is_paid_before_the_ruling() {
    let interim = outcome::<DisputedReserve>(&level(), &facts(Trigger::Interim)).0;
    assert_eq!(interim, 22_400, "32,000 less the 30 % that credits could still take");
    assert!(interim <= outcome::<DisputedReserve>(&level(), &ruling(0)).0);
    let spot = outcome::<Dispute<Spot>>(&Minimum::default(), &facts(Trigger::Interim)).0;
    assert_eq!(spot, 32_000);
    assert_eq!(spot, outcome::<Dispute<Spot>>(&Minimum::default(), &ruling(0)).0);
}

#[test]
fn templates_that_rule_themselves_rule_the_same() {
    for bps in [0, 1, 3_333, 5_000, 9_999, 10_000] {
        let (mut facts, mut named) = (ruling(bps), ruling(bps));
        facts.terms.price.num = 7;
        named.terms.parties.extend([Role::Named; 2]);
        let own = outcome::<Spot>(&Minimum::default(), &facts).0;
        let wrapped = outcome::<Dispute<Spot>>(&Minimum::default(), &facts).0;
        assert!(own.abs_diff(wrapped) <= 1, "{bps}: {own} and {wrapped}");
        let own = outcome::<Coinvest>(&shares(), &named).0;
        let wrapped = outcome::<Dispute<Coinvest>>(&shares(), &named).0;
        assert!(own.abs_diff(wrapped) <= 1, "{bps}: {own} and {wrapped}");
    }
}

#[test]
fn the_fee_follows_whatever_it_is() {
    for fee_bps in [0, 1, 150, 3_333, 9_999, 10_000] {
        for bps in [0, 1, 4_999, 9_999, 10_000] {
            let mut facts = ruling(bps);
            facts.terms.fee_bps = fee_bps;
            facts.terms.parties.extend([Role::Named; 2]);
            let (total, _) = outcome::<Dispute<Coinvest>>(&shares(), &facts);
            assert!((32_000..=40_000).contains(&total), "fee {fee_bps}, ruling {bps}: {total}");
            if bps % 10_000 == 0 {
                assert_eq!(total, 32_000 + 8_000 * Money::from(bps) / 10_000, "fee {fee_bps}, ruling {bps}");
            }
        }
    }
}

#[test]
fn senseless_rulings_and_terms_are_refused() {
    assert_eq!(DisputedReserve::settle(&level(), &ruling(10_001)), Err(Code::BAD_INPUT));
    let mut facts = ruling(5_000);
    facts.usage.cumulative = 799;
    assert_eq!(DisputedReserve::settle(&level(), &facts), Err(Code::CONTRADICTION));
    let mut facts = ruling(5_000);
    facts.escrow.paid = 32_001;
    assert_eq!(DisputedReserve::settle(&level(), &facts), Err(Code::CONTRADICTION), "more than is certain");
    let dear = Minimum { minimum_fee: u128::MAX / 9_999 };
    assert_eq!(Dispute::<Spot>::quote(&dear, &facts.terms), Err(Code::OVERFLOW));
    assert!(Spot::quote(&dear, &facts.terms).is_ok());
}
