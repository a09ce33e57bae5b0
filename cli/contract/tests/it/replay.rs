//! Running settlements again: what agrees, and each thing that can differ.

use crate::common::{hansa, text};
use hansa_cli_contract::{ReplayBundle, ReplayReport, ReplayStep};
use hansa_contracts_abi::testing::ordinary_facts;
use hansa_contracts_abi::{
    CheckedSplit, Facts, Failure, Party, Runtime, Split, Trigger, check_split, fallback_split,
};
use hansa_contracts_bundle::SPOT;
use hansa_contracts_host::{Host, vm_profile};
use hansa_ledger::id::{BlockId, ChainId, CodeHash, LeaseId};

const LOCKED: u128 = 470_400_000;

fn encode(value: &impl borsh::BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).unwrap()
}

/// Settles as the ledger does, and keeps the record.
fn settle(host: &Host, facts: &Facts, params: &[u8], paid: &[(Party, u128)]) -> (ReplayStep, CheckedSplit) {
    let code = *blake3::hash(SPOT).as_bytes();
    let outcome = host.settle(&code, params, facts);
    let (split, failure) = match outcome.result {
        Ok(split) => (split, None),
        Err(failure) => {
            (fallback_split(hansa_ledger::lease::fallback(1), facts, paid), Some(encode(&failure)))
        }
    };
    let checked = check_split(&split, facts, paid, LOCKED).unwrap();
    let step = ReplayStep {
        height: facts.ctx.height,
        block: Some(BlockId([7; 32])),
        facts: encode(facts),
        split: Some(encode(&split)),
        fuel: outcome.fuel,
        failure,
    };
    (step, checked)
}

/// A lease with an interim payment and a final one, settled by `spot`.
fn bundle(params: &[u8]) -> ReplayBundle {
    let host = Host::new();
    Runtime::load(&host, SPOT).unwrap();
    let mut facts = ordinary_facts();
    facts.ctx.trigger = Trigger::Interim;
    let (first, checked) = settle(&host, &facts, params, &[]);
    facts.escrow.paid = checked.pay.iter().map(|(_, amount)| *amount).sum();
    (facts.ctx.trigger, facts.ctx.height, facts.ctx.now) = (Trigger::Final, 20, facts.terms.end + 60);
    facts.usage.cumulative += 7_200;
    let (last, _) = settle(&host, &facts, params, &checked.pay);
    ReplayBundle {
        format: "hansa-settlement".into(),
        version: 1,
        chain: ChainId([1; 32]),
        lease: LeaseId([2; 32]),
        vm_profile: vm_profile().to_vec(),
        contract: CodeHash(*blake3::hash(SPOT).as_bytes()),
        code: SPOT.to_vec(),
        params: params.to_vec(),
        fallback: 1,
        settlements: vec![first, last],
    }
}

/// The checks that differ, as `settlement check`.
fn differing(report: &ReplayReport) -> Vec<String> {
    assert_eq!(report.agrees, report.findings.iter().all(|one| one.agrees));
    let differing = report.findings.iter().filter(|one| !one.agrees);
    differing.map(|one| format!("{} {}", one.settlement, one.check)).collect()
}

fn facts_of(step: &mut ReplayStep, change: impl Fn(&mut Facts)) {
    let mut facts: Facts = borsh::from_slice(&step.facts).unwrap();
    change(&mut facts);
    step.facts = encode(&facts);
}

fn split_of(step: &mut ReplayStep, change: impl Fn(&mut Split)) {
    let mut split: Split = borsh::from_slice(step.split.as_ref().unwrap()).unwrap();
    change(&mut split);
    step.split = Some(encode(&split));
}

#[test]
fn a_lease_settles_again_as_it_did() {
    let bundle = bundle(&[0; 16]);
    let report = bundle.replay();
    assert_eq!(differing(&report), Vec::<String>::new());
    let checks: Vec<&str> = report.findings.iter().map(|one| one.check.as_str()).collect();
    let each = ["moment", "paid before", "state", "outcome", "fuel", "split", "rules"];
    assert_eq!(checks, [&["code", "engine", "module"][..], &each, &each].concat());
    let last = report.findings.iter().rfind(|one| one.check == "split").unwrap();
    assert!(last.detail.starts_with("party 1 "), "{}", last.detail);
    // Through the file, as an archive keeps it.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("bundle.json");
    std::fs::write(&path, serde_json::to_vec(&bundle).unwrap()).unwrap();
    let answer = hansa(&["replay", text(&path)]).unwrap();
    assert_eq!(answer.refusal, None);
    assert_eq!(answer.value["agrees"], true);
    assert!(answer.text.contains("agrees") && !answer.text.contains("DIFFERS"), "{}", answer.text);
    let read = ReplayBundle::parse("bundle.json", &std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(read, bundle);
}

#[test]
fn each_thing_that_differs_is_named() {
    let good = bundle(&[0; 16]);
    let refused = encode(&Failure::Trap);
    type Change<'a> = (&'a dyn Fn(&mut ReplayBundle), &'a [&'a str]);
    let table: &[Change<'_>] = &[
        (&|bundle| bundle.settlements[1].fuel += 1, &["2 fuel"]),
        (&|bundle| bundle.settlements[0].failure = Some(refused.clone()), &["1 outcome"]),
        (&|bundle| bundle.vm_profile[0] ^= 1, &["0 engine"]),
        (&|bundle| bundle.contract.0[0] ^= 1, &["0 code"]),
        (&|bundle| bundle.code.push(0), &["0 code", "0 module"]),
        (
            &|bundle| split_of(&mut bundle.settlements[1], |split| split.pay[0].1 -= 1),
            &["2 split", "2 rules"],
        ),
        (&|bundle| split_of(&mut bundle.settlements[1], |split| split.state.push(1)), &["2 split"]),
        (&|bundle| bundle.settlements[1].height += 1, &["2 moment"]),
        (&|bundle| facts_of(&mut bundle.settlements[0], |facts| facts.state.push(1)), &["1 state", "1 fuel"]),
        (
            &|bundle| bundle.settlements.swap(0, 1),
            &["1 paid before", "1 outcome", "1 split", "1 rules", "2 moment", "2 paid before"],
        ),
        (&|bundle| drop(bundle.settlements.remove(0)), &["1 paid before", "1 outcome", "1 split", "1 rules"]),
        (&|bundle| bundle.settlements[0].split = None, &["1 split", "2 paid before"]),
        (&|bundle| bundle.settlements[0].facts.push(0), &["1 record"]),
        (&|bundle| bundle.settlements[0].failure = Some(vec![99]), &["1 record"]),
        // More was delivered than was told: the same answer would be another.
        (
            &|bundle| facts_of(&mut bundle.settlements[1], |facts| facts.usage.cumulative += 3_600),
            &["2 split"],
        ),
    ];
    for (row, (change, want)) in table.iter().enumerate() {
        let mut bundle = good.clone();
        change(&mut bundle);
        let found = differing(&bundle.replay());
        // What follows from a difference may differ too: the first ones are the cause.
        assert!(
            want.iter().all(|one| found.iter().any(|found| found == one)),
            "row {row}: {found:?}, want {want:?}"
        );
        assert!(found.first().is_some_and(|first| first == want[0]), "row {row}: {found:?}, want {want:?}");
    }
}

#[test]
fn a_contract_that_failed_fails_again_and_the_fallback_pays_the_same() {
    // One byte is no parameter of `spot`.
    let bundle = bundle(&[0]);
    assert_eq!(differing(&bundle.replay()).iter().filter(|one| !one.starts_with('1')).count(), 0);
    let mut late = bundle.clone();
    late.settlements.remove(0);
    facts_of(&mut late.settlements[0], |facts| facts.escrow.paid = 0);
    let host = Host::new();
    Runtime::load(&host, SPOT).unwrap();
    let facts: Facts = borsh::from_slice(&late.settlements[0].facts).unwrap();
    (late.settlements[0], _) = settle(&host, &facts, &[0], &[]);
    assert_eq!(differing(&late.replay()), Vec::<String>::new());
    // The other rule would have paid something else.
    late.fallback = 0;
    assert_eq!(differing(&late.replay()), ["1 split"]);
    // What the federation had stopped was not asked: no fuel, and the fallback.
    (late.fallback, late.settlements[0].fuel) = (1, 0);
    late.settlements[0].failure = Some(encode(&Failure::Quarantined));
    assert_eq!(differing(&late.replay()), Vec::<String>::new());
    late.settlements[0].fuel = 5;
    assert_eq!(differing(&late.replay())[0], "1 outcome");
}

#[test]
fn an_interim_that_failed_paid_nothing_and_the_lease_went_on() {
    let mut bundle = bundle(&[0]);
    bundle.settlements[0].split = None;
    let host = Host::new();
    Runtime::load(&host, SPOT).unwrap();
    let mut facts: Facts = borsh::from_slice(&bundle.settlements[1].facts).unwrap();
    facts.escrow.paid = 0;
    (bundle.settlements[1], _) = settle(&host, &facts, &[0], &[]);
    assert_eq!(differing(&bundle.replay()), Vec::<String>::new());
}

#[test]
fn what_is_no_bundle_is_refused_by_field() {
    let good = serde_json::to_value(bundle(&[0; 16])).unwrap();
    let refuse = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = good.clone();
        change(&mut value);
        ReplayBundle::parse("b.json", value.to_string().as_bytes()).unwrap_err().message
    };
    let table: [(&dyn Fn(&mut serde_json::Value), &str); 6] = [
        (&|value| value["format"] = "other".into(), "b.json: format: is `other`"),
        (&|value| value["version"] = 2.into(), "b.json: version: is 2, and this program reads version 1"),
        (&|value| value["settlements"] = serde_json::json!([]), "b.json: settlements: is empty"),
        (&|value| value["settlements"][0]["facts"] = "xy".into(), "b.json: settlements[0].facts: "),
        (&|value| value["lease"] = "12".into(), "b.json: lease: "),
        (&|value| value["more"] = 1.into(), "b.json: more: unknown field"),
    ];
    for (change, said) in table {
        let message = refuse(change);
        assert!(message.starts_with(said), "{message}");
    }
    let broken = ReplayBundle::parse("b.json", b"{").unwrap_err().message;
    assert!(broken.contains("line 1 column 1"), "{broken}");
}
