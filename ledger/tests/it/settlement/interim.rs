//! Payments while a lease runs.

use super::stage::{Setup, Stage};
use crate::scripted::{Answer, Script};
use crate::world::name;
use hansa_contracts_abi::{Facts, Failure, Party, Split, Trigger};
use hansa_ledger::action::{AnnounceOutage, EndLease, EndOutage, outage_id};
use hansa_ledger::event::Event;
use hansa_ledger::id::OutageId;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Interim, LeaseState};
use hansa_ledger::time::Slot;

fn scripted(interim: Answer, closing: Answer) -> Setup {
    Setup { script: Some(Script { interim, closing, ..Script::default() }), ..Setup::default() }
}

fn due() -> Answer {
    Answer::Due { bps: 10_000, slash: 0 }
}

fn facts(interim: &Interim) -> Facts {
    borsh::from_slice(&interim.facts).unwrap()
}

#[test]
fn what_is_countersigned_is_paid_and_the_settlement_pays_the_rest() {
    let mut stage = Stage::active(&scripted(due(), due()));
    // Reported and not yet countersigned counts for nothing.
    stage.use_up(4_000, 4);
    stage
        .after(
            2_000,
            "bsc",
            hansa_ledger::action::ReportUsage {
                usages: vec![hansa_ledger::action::LeaseUsage { lease: stage.lease, cumulative: 6 }],
            },
        )
        .unwrap();
    stage.claim(1).unwrap();
    assert_eq!([stage.provider(), stage.escrow()], [1_000_000 + 1_980, 18_000]);
    assert_eq!(stage.cap_held("EE"), 18_000, "what is paid is no exposure any more");
    assert_eq!(["EE", "ES", "EU"].map(|code| stage.world.position(code)), [-2_000, 1_980, 20]);
    stage.countersign(6).unwrap();
    stage.claim(3_000).unwrap();
    assert_eq!(stage.provider(), 1_000_000 + 2_970);
    stage.end(1, 10).unwrap();
    stage.countersign(10).unwrap();
    assert_eq!([stage.provider(), stage.requester()], [1_000_000 + 4_950, 1_000_000 - 5_000]);
    assert_eq!(["EE", "ES", "EU"].map(|code| stage.world.position(code)), [-5_000, 4_950, 50]);
    let triggers: Vec<Trigger> = stage.interims().iter().map(|one| facts(one).ctx.trigger).collect();
    assert_eq!(triggers, [Trigger::Interim; 2]);
    // The contract is told what it said the last time, and what was paid since.
    let told: Vec<(Vec<u8>, u128)> =
        stage.interims().iter().map(|one| (facts(one).state, facts(one).escrow.paid)).collect();
    assert_eq!(told, [(vec![], 0), (vec![0], 2_000)]);
    let last: Facts = borsh::from_slice(&stage.settlement().facts).unwrap();
    assert_eq!((last.state, last.escrow.paid, stage.settlement().interims), (vec![0, 0], 3_000, 2));
    stage.check_closed();
}

#[test]
fn a_grants_part_of_an_interim_payment_is_held_back_like_any_other() {
    let params = Params { holdback_bps: 1_500, ..Setup::default().params };
    let mut stage = Stage::active(&Setup { params, cash_bps: 0, ..Setup::default() });
    stage.use_up(6_000, 6);
    stage.claim(1).unwrap();
    // 2,970 to the provider, of which 445 wait.
    assert_eq!([stage.provider(), stage.row().held().0], [1_000_000 + 2_525, 445]);
    assert_eq!(stage.cap_held("EE"), 20_000 - 2_525 - 30);
    stage.end(5_000, 10).unwrap();
    stage.countersign(10).unwrap();
    assert_eq!(stage.row().holdback.unwrap().amount.0, 445 + 297);
    stage.check_closed();
    stage.world.pass_until(|event| matches!(event, Event::HoldbackReleased { .. }).then_some(()));
    assert_eq!([stage.provider(), stage.cap_held("EE"), stage.escrow()], [1_000_000 + 4_950, 0, 0]);
}

#[test]
fn a_claim_in_vain_pays_nothing_is_on_record_and_the_lease_goes_on() {
    let over = Split {
        pay: vec![(Party(1), 19_801), (Party(2), 200)],
        slash: 0,
        consume: 0,
        notes: vec![],
        state: vec![],
    };
    let rows = [
        ("refused", Answer::Refuse(1_000)),
        ("trapped", Answer::Fail(Failure::Trap)),
        ("out of fuel", Answer::Fail(Failure::OutOfFuel)),
        ("no answer", Answer::Fail(Failure::BadOutput)),
        ("over the lock", Answer::Exactly(over)),
    ];
    for (what, interim) in rows {
        let mut stage = Stage::active(&scripted(interim, due()));
        stage.use_up(6_000, 6);
        let events = stage.claim(1).unwrap();
        let paid = Event::LeasePaid { lease: stage.lease, number: 0, failed: true, payments: vec![] };
        assert!(events.contains(&paid), "{what}: {events:?}");
        assert_eq!((stage.provider(), stage.row().state), (1_000_000, LeaseState::Active), "{what}");
        let record = stage.interims().remove(0);
        assert_eq!((record.split.is_none(), record.failure.is_some()), (true, true), "{what}");
        assert!(stage.row().contract_state.is_empty() && stage.row().usage_paid == 0, "{what}");
        stage.end(5_000, 10).unwrap();
        stage.countersign(10).unwrap();
        assert_eq!(stage.provider(), 1_000_000 + 4_950, "{what}");
        assert!(stage.settlement().failure.is_none(), "{what}");
        stage.check_closed();
    }
}

#[test]
fn claims_are_for_the_provider_of_a_running_lease_and_not_too_many() {
    let mut stage = Stage::active(&Setup::default());
    assert_eq!(stage.claim(1), Err(Rejection::InterimTooSoon), "right after the start");
    assert_eq!(stage.claim(1_999).map(|_| ()), Ok(()));
    assert_eq!(stage.claim(1_999), Err(Rejection::InterimTooSoon));
    assert_eq!(stage.claim(1).map(|_| ()), Ok(()));
    let claim = hansa_ledger::action::ClaimPayment { lease: stage.lease };
    assert_eq!(stage.after(3_000, "one", claim), Err(Rejection::LeaseUnknown));
    stage.end(1, 0).unwrap();
    assert_eq!(stage.claim(1), Err(Rejection::LeaseStateWrong));
    let params = Params { interim_interval_ms: 0, ..Setup::default().params };
    let mut never = Stage::active(&Setup { params, ..Setup::default() });
    assert_eq!(never.claim(9_000), Err(Rejection::InterimNotAllowed));
    let params = Params { interim_interval_ms: 1, lease_interims_max: 2, ..Setup::default().params };
    let mut few = Stage::active(&Setup { params, ..Setup::default() });
    for _ in 0..2 {
        few.claim(1).unwrap();
    }
    assert_eq!(few.claim(1), Err(Rejection::TooManyInterims));
}

#[test]
fn what_an_interim_slashes_goes_to_who_pays_and_is_gone_from_the_stake() {
    let interim = Answer::Due { bps: 10_000, slash: 4_000 };
    let script = Script { stake: 9_000, interim, ..Script::default() };
    let mut stage = Stage::active(&Setup { script: Some(script), ..Setup::default() });
    stage.claim(3_000).unwrap();
    assert_eq!([stage.stake(), stage.requester(), stage.cap_held("ES")], [5_000, 984_000, 5_000]);
    stage.claim(3_000).unwrap();
    assert_eq!([stage.stake(), stage.cap_held("ES")], [1_000, 1_000]);
    // More than is left of it is no answer.
    stage.claim(3_000).unwrap();
    assert_eq!((stage.stake(), stage.interims()[2].failure.is_some()), (1_000, true));
    stage.end(1, 0).unwrap();
    stage.check_closed();
    assert_eq!([stage.provider(), stage.requester()], [992_000, 1_008_000]);
}

/// What the contract is told was promised in the first window of the settlement.
fn committed(stage: &Stage) -> u64 {
    let facts: Facts = borsh::from_slice(&stage.settlement().facts).unwrap();
    facts.usage.windows[0].committed
}

fn outage(stage: &mut Stage, ahead: u32, planned: bool) -> OutageId {
    let start = Slot(stage.world.now.slot(1).0 + ahead);
    let announce = AnnounceOutage {
        site: name("site"),
        class: name("a100-64"),
        owner: None,
        start,
        end: Slot(start.0 + 3),
        // Of 64 all but one: one of the lease's two is hit.
        accelerators: 63,
        planned,
    };
    let signed = stage.world.sign("bsc", vec![announce.into()]);
    let id = outage_id(signed.id(), 0);
    let receipt = stage.world.block(1, &[signed]).transactions.remove(0);
    assert_eq!(receipt.code, 0);
    assert!(receipt.events.iter().any(|event| {
        matches!(event, Event::OutageAnnounced { leases, .. } if leases[..] == [stage.lease])
    }));
    id
}

#[test]
fn maintenance_announced_ahead_is_promised_to_nobody_and_what_breaks_is() {
    // Twenty seconds of two accelerators, less what maintenance takes of one of them.
    for (what, ahead, planned, promised) in [
        ("announced four seconds ahead", 4, true, 40 - 3),
        ("announced a second ahead", 1, true, 40),
        ("four seconds ahead, and no maintenance", 4, false, 40),
    ] {
        let mut stage = Stage::active(&Setup::default());
        outage(&mut stage, ahead, planned);
        stage.settle();
        assert_eq!(committed(&stage), promised, "{what}");
    }
    // Over before its time: what was still to come is promised again.
    let mut stage = Stage::active(&Setup::default());
    let outage = outage(&mut stage, 4, true);
    stage.after(5_000, "bsc", EndOutage { outage }).unwrap();
    stage.settle();
    assert_eq!(committed(&stage), 40 - 1);
}

#[test]
fn what_the_requester_gives_up_is_not_promised_and_what_the_provider_gives_up_is() {
    let mut stage = Stage::active(&Setup::default());
    stage.after(5_000, "one", EndLease { lease: stage.lease, cumulative: None }).unwrap();
    stage.settle();
    assert_eq!(committed(&stage), 10);
    let mut stage = Stage::active(&Setup::default());
    stage.end(5_000, 0).unwrap();
    assert_eq!(committed(&stage), 40);
    let mut stage = Stage::active(&Setup::default());
    stage.claim(5_000).unwrap();
    let facts = facts(&stage.interims()[0]);
    assert_eq!(facts.usage.windows[0].committed, 10, "while it goes on, what was promised by now");
}
