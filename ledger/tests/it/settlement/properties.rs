//! Whatever the sides, the sponsor and the panel do, in whatever order: the lease ends, nobody is paid beyond the quote,
//! nothing is left locked, and the record gives the same again.

use super::stage::{Setup, Stage};
use crate::scripted::{Answer, Contracts, SCRIPT, Script};
use crate::world::{CODE, name};
use hansa_contracts_abi::Failure;
use hansa_ledger::action::{
    Action, AnnounceOutage, CancelLease, ClaimPayment, ContestUsage, CountersignUsage, EndLease, ExtendLease,
    LeaseUsage, ObjectLease, OpenDispute, ReportUsage, RuleDispute,
};
use hansa_ledger::event::Event;
use hansa_ledger::money::Price;
use hansa_ledger::params::Params;
use hansa_ledger::replay::replay;
use hansa_ledger::row::LeaseState;
use hansa_ledger::time::Slot;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Report(u64),
    Countersign(u64),
    Claim,
    End(Option<u64>),
    Cancel(bool),
    Contest(bool, u64),
    Open(usize, u64),
    Rule(usize, u16),
    Outage(u32),
    Extend,
    Object,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let usage = 0u64..24;
    let step = prop_oneof![
        3 => usage.clone().prop_map(Step::Report),
        3 => usage.clone().prop_map(Step::Countersign),
        4 => Just(Step::Claim),
        2 => usage.clone().prop_map(|usage| Step::End(Some(usage))),
        1 => Just(Step::End(None)),
        1 => any::<bool>().prop_map(Step::Cancel),
        2 => (any::<bool>(), usage.clone()).prop_map(|(sponsor, usage)| Step::Contest(sponsor, usage)),
        3 => (0usize..3, usage).prop_map(|(who, usage)| Step::Open(who, usage)),
        5 => (0usize..7, (0usize..3)).prop_map(|(who, bps)| Step::Rule(who, [0, 2_500, 10_000][bps])),
        1 => (0u32..6).prop_map(Step::Outage),
        1 => Just(Step::Extend),
        1 => Just(Step::Object),
    ];
    let wait = prop_oneof![4 => 1u64..10, 4 => 500u64..4_000, 1 => 10_000u64..40_000];
    prop::collection::vec((wait, step), 1..24)
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => (0u16..=10_000, 0u64..4_000).prop_map(|(bps, slash)| Answer::Due { bps, slash }),
        1 => Just(Answer::Refuse(1_000)),
        1 => Just(Answer::Fail(Failure::OutOfFuel)),
    ]
}

fn scripts() -> impl Strategy<Value = Option<Script>> {
    let named = prop::collection::vec(0u16..3_000, 2);
    let script = (0u64..9_000, named, answers(), answers());
    prop::option::weighted(
        0.8,
        script.prop_map(|(stake, named, interim, closing)| Script {
            stake,
            stake_bps: 0,
            fuel: 3,
            named,
            interim,
            closing,
        }),
    )
}

/// A step as an action, and who signs it.
fn action(stage: &Stage, step: &Step) -> (&'static str, Action) {
    let lease = stage.lease;
    let usages = |cumulative| vec![LeaseUsage { lease, cumulative }];
    match step {
        Step::Report(cumulative) => ("bsc", ReportUsage { usages: usages(*cumulative) }.into()),
        Step::Countersign(cumulative) => ("one", CountersignUsage { usages: usages(*cumulative) }.into()),
        Step::Claim => ("bsc", ClaimPayment { lease }.into()),
        Step::End(Some(cumulative)) => ("bsc", EndLease { lease, cumulative: Some(*cumulative) }.into()),
        Step::End(None) => ("one", EndLease { lease, cumulative: None }.into()),
        Step::Cancel(provider) => (if *provider { "bsc" } else { "one" }, CancelLease { lease }.into()),
        Step::Contest(sponsor, admitted) => {
            let signer = if *sponsor { "EE treasury" } else { "one" };
            (signer, ContestUsage { lease, admitted: *admitted }.into())
        }
        Step::Open(who, usage) => {
            (["one", "bsc", "EE treasury"][*who], OpenDispute { lease, usage: *usage, reason: 0 }.into())
        }
        Step::Rule(who, provider_bps) => {
            let signers = ["DE", "EE", "ES", "FR", "IT", "PL", "PT"];
            let registrars = ["DE registrar", "EE registrar", "ES registrar", "FR registrar", "IT registrar"];
            let signer = registrars.get(*who).copied();
            let signer =
                signer.unwrap_or(if signers[*who] == "PL" { "PL registrar" } else { "PT registrar" });
            (signer, RuleDispute { lease, provider_bps: *provider_bps }.into())
        }
        Step::Outage(ahead) => {
            let start = Slot(stage.world.now.slot(1).0 + ahead);
            let (site, class, end) = (name("site"), name("a100-64"), Slot(start.0 + 2));
            let (owner, accelerators, planned) = (None, 20, true);
            ("bsc", AnnounceOutage { site, class, owner, start, end, accelerators, planned }.into())
        }
        Step::Extend => ("one", ExtendLease { lease, slots: 3, price_max: Price(u64::MAX) }.into()),
        Step::Object => ("EE treasury", ObjectLease { lease }.into()),
    }
}

/// What holds while the lease lives: what is locked is paid or still there, of the escrow and of the stake.
fn check_running(stage: &Stage) -> Result<(), TestCaseError> {
    let row = stage.row();
    if row.state == LeaseState::Settled {
        return Ok(());
    }
    let moved: u64 = row.sources.iter().map(|source| source.paid.0).sum();
    prop_assert_eq!(stage.escrow() + moved, row.locked.0);
    prop_assert_eq!(stage.stake() + row.slashed.0, row.stake.0);
    prop_assert!(row.usage_paid <= row.countersigned.max(row.reported));
    let paid: u64 = row.paid.iter().map(|(_, amount)| amount.0).sum();
    prop_assert!(paid <= row.locked.0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_lease_always_ends_and_nothing_is_left_of_it(
        steps in steps(),
        script in scripts(),
        cash_bps in prop::sample::select(vec![0u16, 3_333, 10_000]),
        home in prop::sample::select(vec!["ES", "EE"]),
        begins in prop::bool::weighted(0.9),
    ) {
        let params = Params { holdback_bps: 1_500, interim_interval_ms: 400, ..Setup::default().params };
        let code = if script.is_some() { SCRIPT } else { CODE };
        let parties: &[(&str, &str)] = if script.is_some() { &[("FR", "fund"), ("EE", "bank")] } else { &[] };
        let setup = Setup { params, script, cash_bps, parties, provider_home: home, provider_eur: 1 };
        let mut stage = if begins { Stage::active(&setup) } else { Stage::awarded(&setup) };
        let mut before: Vec<(u8, u64)> = Vec::new();
        for (wait, step) in &steps {
            let (signer, action) = action(&stage, step);
            // Refused or not: what it does must hold.
            let _ = stage.after(*wait, signer, action);
            check_running(&stage)?;
            let paid: Vec<(u8, u64)> = stage.row().paid.iter().map(|(party, sum)| (*party, sum.0)).collect();
            for (party, sum) in &before {
                let now = paid.iter().find(|(one, _)| one == party).map_or(0, |(_, sum)| *sum);
                prop_assert!(now >= *sum, "party {} fell from {} to {}", party, sum, now);
            }
            before = paid;
        }
        if stage.row().state != LeaseState::Settled {
            stage.settle();
        }
        stage.check_closed();
        let report = replay(&stage.record(), code, &Contracts::default()).unwrap();
        prop_assert!(report.holds(), "{:#?}", report);
        if stage.row().holdback.is_some_and(|holdback| !holdback.released) {
            stage.world.pass_until(|event| matches!(event, Event::HoldbackReleased { .. }).then_some(()));
        }
        stage.check_closed();
        prop_assert_eq!([stage.escrow(), stage.cap_held("EE")], [0, 0]);
        // Everything that went in is in somebody's purse again.
        let line = hansa_ledger::row::AccountId::Line(crate::world::member("EE"), name("line-1"));
        let fees = stage.world.balance(&hansa_ledger::row::AccountId::Fees);
        let all = stage.provider() + stage.requester() + stage.grant() + stage.world.balance(&line) + fees;
        let named: u64 = parties.iter().map(|(home, number)| stage.cash(home, number)).sum();
        let sponsor_lost = stage
            .world
            .state
            .get::<hansa_ledger::tables::Disputes>(&stage.lease)
            .is_some_and(|dispute| dispute.by == hansa_ledger::row::Disputant::Sponsor);
        let bond = if sponsor_lost { all + named - 3_000_000 } else { 0 };
        prop_assert!(bond == 0 || bond >= 1_000);
        prop_assert_eq!(all + named - bond, 3_000_000);
    }
}
