//! Running settlements again from what the ledger keeps.

use super::stage::{Setup, Stage};
use crate::scripted::{Answer, Contracts, SCRIPT, Script};
use crate::world::CODE;
use hansa_contracts_abi::{Failure, Trigger};
use hansa_ledger::action::ExtendLease;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::params::Params;
use hansa_ledger::replay::{Record, ReplayError, ReplayReport, replay};

fn run(record: &Record, code: &[u8]) -> Result<ReplayReport, ReplayError> {
    replay(record, code, &Contracts::default())
}

/// A lease with two claims, one of them in vain, a slash, a dispute over the rest, named parties, and money held back.
fn eventful() -> Stage {
    let due = |slash| Answer::Due { bps: 9_000, slash };
    let named = vec![2_000, 500];
    let script =
        Script { stake: 9_000, stake_bps: 0, fuel: 777, named, interim: due(100), closing: due(1_000) };
    let params = Params { holdback_bps: 1_500, ..Setup::default().params };
    let parties = &[("FR", "fund"), ("EE", "bank")];
    let setup = Setup { params, script: Some(script), cash_bps: 2_500, parties, ..Setup::default() };
    let mut stage = Stage::active(&setup);
    stage.use_up(3_000, 4);
    stage.claim(1).unwrap();
    stage.use_up(3_000, 8);
    stage.claim(1).unwrap();
    stage.end(3_000, 14).unwrap();
    stage.open("one", 10).unwrap();
    for code in ["DE", "PL", "PT"] {
        stage.rule(code, 3_000).unwrap();
    }
    stage.check_closed();
    stage
}

#[test]
fn every_kind_of_settlement_gives_the_same_again() {
    let fails = |interim: Answer, closing: Answer| {
        let setup = Setup {
            script: Some(Script { interim, closing, fuel: 5, ..Script::default() }),
            ..Setup::default()
        };
        let mut stage = Stage::active(&setup);
        stage.use_up(6_000, 6);
        stage.claim(1).unwrap();
        stage.use_up(3_000, 8);
        stage.claim(1).unwrap();
        stage.end(2_000, 10).unwrap();
        stage.settle();
        stage
    };
    let due = Answer::Due { bps: 10_000, slash: 0 };
    let mut spot = Stage::reported(&Setup::default(), 10);
    spot.countersign(10).unwrap();
    let mut expired = Stage::active(&Setup { cash_bps: 3_333, ..Setup::default() });
    expired.settle();
    let mut nobody = Stage::awarded(&Setup::default());
    nobody.settle();
    let mut extended =
        Stage::active(&Setup { script: Some(Script { stake: 5, ..Script::default() }), ..Setup::default() });
    extended.use_up(3_000, 2);
    extended.claim(1).unwrap();
    let extend = ExtendLease { lease: extended.lease, slots: 5, price_max: Price(u64::MAX) };
    extended.after(1, "one", extend).unwrap();
    extended.settle();
    let refuses = Answer::Refuse(1_000);
    for (what, stage, code, failures) in [
        ("spot", spot, CODE, vec![false]),
        ("expired", expired, CODE, vec![false]),
        ("no show", nobody, CODE, vec![false]),
        ("extended", extended, SCRIPT, vec![false, false]),
        ("eventful", eventful(), SCRIPT, vec![false, false, false, false]),
        ("claims in vain", fails(refuses.clone(), due.clone()), SCRIPT, vec![true, true, false]),
        ("the fallback", fails(due, refuses.clone()), SCRIPT, vec![false, false, true]),
        ("all in vain", fails(refuses, Answer::Fail(Failure::Trap)), SCRIPT, vec![true, true, true]),
    ] {
        let report = run(&stage.record(), code).unwrap();
        assert!(report.holds(), "{what}: {report:#?}");
        let found: Vec<bool> = report.calls.iter().map(|call| call.failure.is_some()).collect();
        assert_eq!(found, failures, "{what}");
        // And offline, from the bytes of a bundle.
        let bytes = borsh::to_vec(&stage.record()).unwrap();
        let text = serde_json::to_string(&stage.record()).unwrap();
        assert_eq!(borsh::from_slice::<Record>(&bytes).unwrap(), stage.record());
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), stage.record());
    }
}

#[test]
fn a_record_that_was_changed_does_not_hold() {
    let record = eventful().record();
    let triggers: Vec<Trigger> =
        run(&record, SCRIPT).unwrap().calls.iter().map(|call| call.trigger).collect();
    let ruling = Trigger::Ruling { provider_bps: 3_000 };
    assert_eq!(triggers, [Trigger::Interim, Trigger::Interim, Trigger::Interim, ruling]);
    type Change = fn(&mut Record);
    let rows: [(&str, Change); 16] = [
        ("a claim that is left out, its money shown as returned", |one| {
            let gone = one.interims.remove(0);
            one.settlement.interims -= 1;
            let paid = gone.payments.iter().map(|payment| payment.amount.0).sum::<u64>();
            let held = gone.held.iter().map(|one| one.amount.0).sum::<u64>();
            one.settlement.refunds[0].amount.0 += paid + held;
        }),
        ("fuel", |one| one.settlement.fuel += 1),
        ("fuel of an interim", |one| one.interims[0].fuel -= 1),
        ("a failure that was none", |one| {
            one.settlement.failure = Some(borsh::to_vec(&Failure::Trap).unwrap());
        }),
        ("a failure that was one", |one| {
            one.interims[1].failure = Some(borsh::to_vec(&Failure::Trap).unwrap());
        }),
        ("the height", |one| one.settlement.height = 1),
        ("a payment more", |one| {
            let payment = one.settlement.payments[0].clone();
            one.settlement.payments.push(payment);
        }),
        ("a payment less", |one| drop(one.interims[1].payments.pop())),
        ("one uEUR", |one| one.interims[0].payments[0].amount.0 += 1),
        ("to somebody else", |one| {
            one.settlement.payments[0].to = one.settlement.payments.last().unwrap().to.clone();
        }),
        ("what is held back", |one| one.settlement.held[0].amount.0 += 1),
        ("what was slashed", |one| one.settlement.stake[0].amount = Money(1)),
        ("what was paid before", |one| one.settlement.paid_before[0].amount.0 += 1),
        ("an order", |one| one.interims.swap(0, 1)),
        ("the parameters", |one| {
            let last = one.settlement.contract_params.len() - 1;
            one.settlement.contract_params[last] ^= 1;
        }),
        ("a refund", |one| one.settlement.refunds[0].amount.0 += 1),
    ];
    for (what, change) in rows {
        let mut changed = record.clone();
        change(&mut changed);
        assert!(!run(&changed, SCRIPT).unwrap().holds(), "{what}");
    }
    let mut fewer = record.clone();
    fewer.interims.pop();
    assert_eq!(run(&fewer, SCRIPT), Err(ReplayError::Interims { expected: 3, found: 2 }));
    assert_eq!(run(&record, CODE), Err(ReplayError::Code));
    let mut cut = record;
    cut.interims[2].facts.pop();
    assert_eq!(run(&cut, SCRIPT), Err(ReplayError::Unreadable { what: "facts", call: 2 }));
}
