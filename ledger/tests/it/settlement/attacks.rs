//! Attacks on the settlement, by the numbers of the design's list.

use super::stage::{LOCKED, Setup, Stage, offer};
use crate::scripted::{Answer, Script};
use hansa_contracts_abi::{Code, Facts, Failure, Money, Note, Party, Split};
use hansa_ledger::action::{
    CancelLease, ClaimPayment, CountersignUsage, LeaseUsage, ReportUsage, WithdrawOffer,
};
use hansa_ledger::money::Price;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Closing, LeaseState};

fn closing(closing: Answer, stake: u64) -> Setup {
    let script = Script { stake, closing, ..Script::default() };
    Setup { script: Some(script), ..Setup::default() }
}

fn pays(pay: &[(u8, Money)]) -> Split {
    let pay = pay.iter().map(|(party, amount)| (Party(*party), *amount)).collect();
    Split { pay, slash: 0, consume: 0, notes: vec![], state: vec![] }
}

fn failure(stage: &Stage) -> Option<Failure> {
    stage.settlement().failure.map(|bytes| borsh::from_slice(&bytes).unwrap())
}

/// 15, 19: what a settlement may not answer. The fallback both signed pays the countersigned 10 instead: 5,000.
#[test]
fn a_bad_answer_pays_by_the_fallback_and_moves_nothing_else() {
    let note = |bytes| Note { code: 1, bytes: vec![0; bytes] };
    let rows: [(&str, Split); 13] = [
        ("over the escrow", pays(&[(1, 19_800), (2, 201)])),
        ("a sum over all money", pays(&[(1, u128::MAX), (2, 1)])),
        ("a party twice", pays(&[(1, 1), (1, 1)])),
        ("parties out of order", pays(&[(2, 0), (1, 1)])),
        ("a party that is none", pays(&[(1, 1), (3, 1)])),
        ("the last party there could be", pays(&[(255, 1)])),
        ("less than was paid", pays(&[(1, 1)])),
        ("another fee", pays(&[(1, 9_900), (2, 98)])),
        ("a slash without a stake", Split { slash: 1, ..pays(&[(1, 4_950), (2, 50)]) }),
        ("an allowance that is none", Split { consume: 1, ..pays(&[(1, 4_950), (2, 50)]) }),
        ("nine notes", Split { notes: vec![note(0); 9], ..pays(&[(1, 4_950), (2, 50)]) }),
        ("a note of 129 bytes", Split { notes: vec![note(129)], ..pays(&[(1, 4_950), (2, 50)]) }),
        ("a state of 257 bytes", Split { state: vec![0; 257], ..pays(&[(1, 4_950), (2, 50)]) }),
    ];
    for (what, split) in rows {
        let mut stage = Stage::active(&closing(Answer::Exactly(split), 0));
        stage.use_up(6_000, 6);
        stage.claim(1).unwrap();
        stage.end(5_000, 10).unwrap();
        stage.countersign(10).unwrap();
        assert_eq!(failure(&stage), Some(Failure::BadOutput), "{what}");
        assert_eq!([stage.provider(), stage.requester()], [1_004_950, 995_000], "{what}");
        stage.check_closed();
    }
}

/// The same table of answers, at the edge of what is allowed.
#[test]
fn an_answer_at_the_edge_is_paid() {
    for (what, split, paid) in [
        ("the whole escrow", pays(&[(1, 19_800), (2, 200)]), LOCKED),
        ("nothing", pays(&[]), 0),
        ("a part for the requester, which returns", pays(&[(0, 9_000), (1, 990), (2, 10)]), 1_000),
        ("a state of 256 bytes", Split { state: vec![7; 256], ..pays(&[(1, 990), (2, 10)]) }, 1_000),
    ] {
        let mut stage = Stage::reported(&closing(Answer::Exactly(split), 0), 10);
        stage.countersign(10).unwrap();
        assert_eq!((failure(&stage), stage.requester()), (None, 1_000_000 - paid), "{what}");
        stage.check_closed();
    }
}

/// 17: settled once, whatever comes afterwards.
#[test]
fn a_settled_lease_takes_nothing_more() {
    let mut stage = Stage::reported(&Setup::default(), 10);
    stage.countersign(10).unwrap();
    let rows = stage.world.rows();
    let money = |rows: &[(u8, Vec<u8>, Vec<u8>)]| -> Vec<_> {
        rows.iter().filter(|(table, ..)| [3, 6, 14, 20, 37, 38].contains(table)).cloned().collect()
    };
    let usages = || vec![LeaseUsage { lease: stage.lease, cumulative: 10 }];
    let (countersign, report) = (CountersignUsage { usages: usages() }, ReportUsage { usages: usages() });
    let (claim, cancel) = (ClaimPayment { lease: stage.lease }, CancelLease { lease: stage.lease });
    assert_eq!(stage.after(1, "one", countersign), Err(Rejection::LeaseStateWrong));
    assert_eq!(stage.after(1, "bsc", report), Err(Rejection::LeaseStateWrong));
    assert_eq!(stage.after(5_000, "bsc", claim), Err(Rejection::LeaseStateWrong));
    assert_eq!(stage.after(1, "bsc", cancel), Err(Rejection::LeaseStateWrong));
    assert_eq!(stage.end(1, 10), Err(Rejection::UsageFinal));
    assert_eq!(stage.contest("one", 4), Err(Rejection::NotContestable));
    assert_eq!(stage.open("one", 4), Err(Rejection::NotDisputable));
    assert_eq!(stage.rule("DE", 0), Err(Rejection::DisputeUnknown));
    assert!(money(&rows) == money(&stage.world.rows()), "nothing has moved");
    stage.check_closed();
}

/// 20: what was signed runs, whatever its author offers since.
#[test]
fn a_lease_is_settled_by_the_contract_it_was_signed_with() {
    let mut stage = Stage::active(&closing(Answer::Due { bps: 5_000, slash: 0 }, 0));
    let offered = stage.row().offer;
    stage.after(1, "bsc", WithdrawOffer { offer: offered }).unwrap();
    let greedy = Setup { script: Some(Script::default()), ..Setup::default() };
    let mut dearer = offer(&stage.world, &greedy);
    dearer.calendar = hansa_ledger::market::Calendar::constant(
        stage.world.now.slot(1),
        hansa_ledger::time::Slot(stage.world.now.slot(1).0 + 100),
        8,
    );
    dearer.ask = Price(9_000_000);
    stage.after(1, "bsc", dearer).unwrap();
    stage.end(11_000, 10).unwrap();
    stage.countersign(10).unwrap();
    assert_eq!((stage.provider(), failure(&stage)), (1_000_000 + 2_475, None));
    assert_eq!(stage.settlement().contract_params, stage.row().agreement.contract_params);
    stage.check_closed();
}

/// 22: a contract that fails on purpose gets what both signed for that, and nothing is stuck.
#[test]
fn a_contract_that_fails_on_purpose_gains_what_was_signed_for_it_and_no_more() {
    let failures = [
        Failure::OutOfFuel,
        Failure::Trap,
        Failure::BadOutput,
        Failure::BadModule,
        Failure::Unknown,
        Failure::Quarantined,
        Failure::InputTooLarge,
    ];
    let answers = failures.map(Answer::Fail).into_iter().chain([Answer::Refuse(1_000)]);
    for answer in answers {
        let expected = match &answer {
            Answer::Fail(failure) => *failure,
            _ => Failure::Refused(Code(1_000)),
        };
        // The requester admits four of ten: the signed rule pays those, and half of the rest.
        let mut stage = Stage::reported(&closing(answer, 9_000), 10);
        stage.contest("one", 4).unwrap();
        stage.settle();
        assert_eq!(failure(&stage), Some(expected));
        assert_eq!([stage.provider(), stage.requester()], [1_000_000 + 3_465, 1_000_000 - 3_500]);
        stage.check_closed();
    }
}

/// 29: a price that does not divide, harvested by a claim for each accelerator-second.
#[test]
fn as_many_claims_as_may_be_pay_no_more_than_one_settlement() {
    let totals: Vec<[u64; 2]> = [None, Some(Script::default())]
        .into_iter()
        .flat_map(|script| [1u64, 5, 100].map(|step| (script.clone(), step)))
        .map(|(script, step)| {
            let params = Params { interim_interval_ms: 1, fee_bps: 333, ..Setup::default().params };
            let setup = Setup { params, script, ..Setup::default() };
            let (mut world, grant) = super::stage::market(&setup);
            let odd = hansa_ledger::action::PostOffer { ask: Price(1_801_000), ..offer(&world, &setup) };
            world.run("bsc", vec![odd.into()]).unwrap();
            let demand = super::stage::wanted(&world, grant, 10_000);
            let request = crate::scene::place(&mut world, "one", demand);
            let lease = hansa_ledger::id::LeaseId::derive(&request);
            let awarded = |event: &hansa_ledger::event::Event| {
                matches!(event, hansa_ledger::event::Event::LeaseAwarded { .. }).then_some(())
            };
            world.pass_until(awarded);
            let mut stage = Stage { world, lease, grant, home: "ES" };
            let start = stage.row().agreement.start.0 - stage.world.now.0;
            stage.after(start, "bsc", hansa_ledger::action::StartLease { lease }).unwrap();
            for second in (1..=10u64).filter(|second| second % step == 0) {
                stage.use_up(1_000 * step, second);
                stage.claim(1).unwrap();
            }
            let left = stage.row().agreement.start.0 + 12_000 - stage.world.now.0;
            stage.end(left, 13).unwrap();
            stage.countersign(13).unwrap();
            assert_eq!(stage.interims().len() as u64, 10 / step, "{step}");
            stage.check_closed();
            [stage.provider(), stage.requester()]
        })
        .collect();
    assert!(totals.iter().all(|total| total == &totals[0]), "{totals:?}");
}

/// 30: blocks that jump, and reports from outside the time of the lease.
#[test]
fn no_clock_gives_more_than_the_lease_has() {
    let mut stage = Stage::awarded(&Setup::default());
    let report = |stage: &mut Stage, after_ms, cumulative| {
        let usages = vec![LeaseUsage { lease: stage.lease, cumulative }];
        stage.after(after_ms, "bsc", ReportUsage { usages }).map(|_| ())
    };
    assert_eq!(report(&mut stage, 1, 1), Err(Rejection::LeaseStateWrong), "before the start");
    let start = stage.row().agreement.start.0 - stage.world.now.0;
    stage.after(start, "bsc", hansa_ledger::action::StartLease { lease: stage.lease }).unwrap();
    assert_eq!(report(&mut stage, 1_999, 3), Err(Rejection::UsageOverLease), "one second of two");
    assert_eq!(report(&mut stage, 1, 4), Ok(()), "and no more than they were");
    // A block of ten days later: the lease ended when it was to end, and its report was due long ago.
    stage.world.block(864_000_000, &[]);
    assert_eq!(stage.row().ended_at, Some(stage.row().agreement.end));
    stage.settle();
    assert_eq!(stage.row().closing, Some(Closing::Expired));
    let facts: Facts = borsh::from_slice(&stage.settlement().facts).unwrap();
    let window = facts.usage.windows[0];
    assert_eq!((window.delivered, window.committed, window.up_secs), (4, 40, 20));
    assert!(facts.ctx.now > facts.terms.end + 800_000);
    assert_eq!(stage.provider(), 1_000_000 + 1_980);
    stage.check_closed();
}

/// 31: as many claims as fit into a block are one.
#[test]
fn a_flood_of_claims_is_one_claim() {
    let mut stage = Stage::active(&Setup::default());
    stage.use_up(6_000, 6);
    let claims: Vec<_> =
        (0..20).map(|_| stage.world.sign("bsc", vec![ClaimPayment { lease: stage.lease }.into()])).collect();
    let receipts = stage.world.block(1, &claims);
    let codes: Vec<u16> = receipts.transactions.iter().map(|receipt| receipt.code).collect();
    assert_eq!(codes[0], 0);
    assert!(codes[1..].iter().all(|code| *code == Rejection::InterimTooSoon.code()));
    assert_eq!((stage.interims().len(), stage.row().state), (1, LeaseState::Active));
}
