//! Disputes: who may open one and when, what it costs, who rules, and that it always ends.

use super::stage::{Setup, Stage};
use crate::scripted::Script;
use crate::world::member;
use hansa_ledger::action::{CountersignUsage, LeaseUsage, OpenDispute, RuleDispute};
use hansa_ledger::event::Event;
use hansa_ledger::member::MemberCode;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Closing, Disputant, LeaseState};
use hansa_ledger::tables::Members;

/// Ten accelerator-seconds were reported; the provider is from Spain, the requester from Estonia.
fn reported(cash_bps: u16) -> Stage {
    Stage::reported(&Setup { cash_bps, ..Setup::default() }, 10)
}

/// What the lease paid so far, by whoever paid it, without bonds.
fn paid(stage: &Stage) -> u64 {
    let row = stage.row();
    row.paid.iter().map(|(_, amount)| amount.0).sum()
}

#[test]
fn the_uncontested_part_is_paid_at_once_and_the_panel_decides_the_rest() {
    let mut stage = reported(10_000);
    let events = stage.open("one", 4).unwrap();
    // Six contested accelerator-seconds are worth 3,000; a tenth of that is below the least bond.
    let panel = ["DE", "FR", "IT", "PL", "PT"].map(member).to_vec();
    let due = stage.world.now.plus(20_000);
    let (admitted, reported, reason, bond) = (4, 10, 1, hansa_ledger::money::Money(1_000));
    let by = Disputant::Requester;
    let opened =
        Event::DisputeOpened { lease: stage.lease, by, admitted, reported, reason, bond, panel, due };
    assert!(events.contains(&opened), "{events:?}");
    assert_eq!((paid(&stage), stage.provider(), stage.bond()), (2_000, 1_000_000 + 1_980, 1_000));
    assert_eq!((stage.row().state, stage.escrow()), (LeaseState::Ended, 18_000));
    // Two of five are no majority, and neither are two and one of another opinion.
    stage.rule("DE", 2_500).unwrap();
    stage.rule("FR", 2_500).unwrap();
    stage.rule("IT", 2_499).unwrap();
    assert_eq!(stage.row().state, LeaseState::Ended);
    stage.rule("IT", 2_500).unwrap();
    assert_eq!((stage.row().closing, stage.row().ruling), (Some(Closing::Ruling), Some(2_500)));
    // Four, and a quarter of six: 5.5 accelerator-seconds, and the bond back.
    assert_eq!((paid(&stage), stage.requester()), (2_750, 1_000_000 - 2_750));
    assert_eq!(stage.dispute().decided, Some(2_500));
    stage.check_closed();
    assert_eq!(stage.rule("PL", 2_500), Err(Rejection::DisputeUnknown), "after the final payment");
}

#[test]
fn the_loser_pays_and_one_half_is_nobodys_loss() {
    // Who opens, what the panel says, and what the opener's side and the other side have then, beside the lease's own pay.
    for (by, bps, lost) in [
        ("one", 0, false),
        ("one", 4_999, false),
        ("one", 5_000, false),
        ("one", 5_001, true),
        ("one", 10_000, true),
        ("EE treasury", 4_999, false),
        ("EE treasury", 5_001, true),
        ("bsc", 10_000, false),
        ("bsc", 5_000, false),
        ("bsc", 4_999, true),
    ] {
        let mut stage = reported(0);
        let before = stage.world.state.get::<Members>(&member("EE")).unwrap().clone();
        if by == "bsc" {
            stage.contest("one", 4).unwrap();
        }
        stage.open(by, if by == "bsc" { 10 } else { 4 }).unwrap();
        for code in ["DE", "FR", "PT"] {
            stage.rule(code, bps).unwrap();
        }
        let due = 2_000 + 3_000 * u64::from(bps) / 10_000;
        let net = due - due / 100;
        let bond = if lost { 1_000 } else { 0 };
        let after = stage.world.state.get::<Members>(&member("EE")).unwrap().clone();
        let issued = after.issued.0 - before.issued.0;
        let redeemed = after.redeemed.0 - before.redeemed.0;
        let (provider, requester, grant) = match by {
            "one" => (net + bond, -(bond as i64), 0),
            "bsc" => (net - bond, 0, bond),
            _ => (net + bond, 0, 0),
        };
        assert_eq!(stage.provider(), 1_000_000 + provider, "{by} {bps}");
        assert_eq!(stage.requester() as i64, 1_000_000 + requester, "{by} {bps}");
        assert_eq!(stage.grant(), 1_000_000 - due + grant, "{by} {bps}");
        // A sponsor's bond is its own money: issued, and taken back where it did not lose it.
        let sponsor = by == "EE treasury";
        assert_eq!(issued, if sponsor { 1_000 } else { 0 }, "{by} {bps}");
        assert_eq!(redeemed, if sponsor && !lost { 1_000 } else { 0 }, "{by} {bps}");
        stage.check_closed();
    }
}

#[test]
fn without_a_majority_in_time_it_is_divided_as_signed_and_the_bond_returns() {
    type Votes = &'static [(&'static str, u16)];
    let rows: [(&str, Votes); 4] = [
        ("silence", &[]),
        ("two of five", &[("DE", 0), ("FR", 0)]),
        ("all say something else", &[("DE", 0), ("FR", 1), ("IT", 2), ("PL", 3), ("PT", 4)]),
        ("a tie", &[("DE", 0), ("FR", 0), ("IT", 10_000), ("PL", 10_000)]),
    ];
    for (what, votes) in rows {
        let mut stage = reported(10_000);
        stage.open("one", 4).unwrap();
        let due = stage.dispute().due;
        for (code, bps) in votes {
            stage.rule(code, *bps).unwrap();
        }
        stage.settle();
        assert_eq!(stage.world.now, due, "{what}");
        // The admitted four, and half of six.
        assert_eq!((paid(&stage), stage.requester()), (3_500, 1_000_000 - 3_500), "{what}");
        assert_eq!((stage.dispute().decided, stage.dispute().ruled), (Some(5_000), false), "{what}");
        stage.check_closed();
    }
}

#[test]
fn fewer_than_three_that_are_home_to_nobody_cannot_rule_and_nobody_waits_for_them() {
    // Two Germans, two Portuguese and an Italian fund share the pay: Poland and France are left.
    let script = Script { named: vec![100, 100, 100], ..Script::default() };
    let parties = &[("DE", "fund"), ("PT", "bank"), ("IT", "house")];
    let setup = Setup { script: Some(script), parties, ..Setup::default() };
    let mut stage = Stage::reported(&setup, 10);
    let challenge = stage.row().challenge_due.unwrap();
    stage.open("one", 4).unwrap();
    assert_eq!(stage.dispute().panel, [member("FR"), member("PL")]);
    assert_eq!(stage.dispute().due, challenge, "no later than without a dispute");
    for code in ["FR", "PL"] {
        stage.rule(code, 0).unwrap();
    }
    assert_eq!(stage.row().state, LeaseState::Ended, "two are no panel, even if they agree");
    stage.settle();
    assert_eq!(paid(&stage), 3_500);
    assert_eq!(stage.world.now, challenge);
    stage.check_closed();
}

#[test]
fn nobody_with_a_part_in_it_rules() {
    let mut stage = reported(0);
    stage.open("one", 4).unwrap();
    for (signer, expected) in [
        ("ES registrar", Rejection::NotPanel),
        ("EE registrar", Rejection::NotPanel),
        ("DE treasury", Rejection::NotPanel),
        ("DE governance", Rejection::NotPanel),
        ("bsc", Rejection::NotPanel),
    ] {
        let rule = RuleDispute { lease: stage.lease, provider_bps: 0 };
        assert_eq!(stage.after(1, signer, rule), Err(expected), "{signer}");
    }
    let rule = RuleDispute { lease: stage.lease, provider_bps: 10_001 };
    assert_eq!(stage.world.act("DE registrar", rule), Err(Rejection::RulingInvalid));
    stage.rule("DE", 10_000).unwrap();
    assert_eq!(stage.rule("DE", 10_000), Err(Rejection::RulingGiven));
    stage.rule("DE", 0).unwrap();
    assert_eq!(stage.dispute().votes.len(), 1, "a changed ruling is one");
    let panel: Vec<MemberCode> = stage.dispute().panel;
    assert!(!panel.contains(&member("EU")), "the joint undertaking has no vote");
}

#[test]
fn a_dispute_needs_a_final_report_a_difference_and_its_time() {
    let open = |stage: &mut Stage, signer: &str, usage| stage.open(signer, usage).map(|_| ());
    let mut active = Stage::active(&Setup::default());
    active.use_up(3_000, 4);
    assert_eq!(open(&mut active, "one", 0), Err(Rejection::NotDisputable), "before the final report");
    let mut stage = reported(0);
    for (what, signer, usage, expected) in [
        ("all that was reported", "one", 10, Rejection::NotDisputable),
        ("more than was reported", "one", 11, Rejection::NotDisputable),
        ("all, by the sponsor", "EE treasury", 10, Rejection::NotDisputable),
        ("the provider, of what nobody contests", "bsc", 10, Rejection::NotDisputable),
        ("another sponsor", "ES treasury", 4, Rejection::NotSponsor),
        ("another member's office", "DE registrar", 4, Rejection::RoleMissing),
    ] {
        assert_eq!(open(&mut stage, signer, usage), Err(expected), "{what}");
    }
    let mut settled = stage.fork();
    settled.settle();
    assert_eq!(open(&mut settled, "one", 4), Err(Rejection::NotDisputable), "too late");
    stage.countersign(6).unwrap();
    assert_eq!(open(&mut stage, "one", 5), Err(Rejection::NotDisputable), "below what it agreed to");
    stage.contest("one", 6).unwrap();
    for usage in [6, 11] {
        assert_eq!(open(&mut stage, "bsc", usage), Err(Rejection::NotDisputable), "no middle: {usage}");
    }
    stage.open("bsc", 8).unwrap();
    assert_eq!((stage.dispute().admitted, stage.dispute().reported), (6, 8), "the provider gives up two");
    for (signer, usage) in [("one", 6), ("bsc", 8), ("EE treasury", 0)] {
        assert_eq!(open(&mut stage, signer, usage), Err(Rejection::DisputeOpen), "{signer}");
    }
    for signer in ["one", "EE treasury"] {
        assert_eq!(stage.contest(signer, 7), Err(Rejection::DisputeOpen), "{signer}");
    }
    stage.settle();
    assert_eq!(paid(&stage), 3_500);
    stage.check_closed();
}

#[test]
fn who_contests_in_the_last_moment_leaves_the_other_side_a_window_to_answer() {
    let mut stage = reported(0);
    let due = stage.row().challenge_due.unwrap();
    let left = due.0 - stage.world.now.0 - 1;
    stage.after(left, "one", hansa_ledger::action::ContestUsage { lease: stage.lease, admitted: 4 }).unwrap();
    let later = stage.world.now.plus(20_000);
    assert_eq!(stage.row().challenge_due, Some(later));
    stage.contest("one", 3).unwrap();
    assert_eq!(stage.row().challenge_due, Some(later), "once");
    stage.contest("EE treasury", 2).unwrap();
    let last = stage.world.now.plus(20_000);
    stage.contest("EE treasury", 1).unwrap();
    assert_eq!(stage.row().challenge_due, Some(last), "and once for the sponsor");
    let mut answered = stage.fork();
    answered.open("bsc", 10).unwrap();
    assert_eq!(answered.dispute().admitted, 1);
    stage.settle();
    assert_eq!(stage.world.now, last);
    assert_eq!(paid(&stage), 2_750);
    stage.check_closed();
}

#[test]
fn a_bond_that_nobody_can_pay_opens_nothing() {
    let params = Params { dispute_bond_min: 1_000_001, ..Setup::default().params };
    let mut stage = Stage::reported(&Setup { params, ..Setup::default() }, 10);
    assert_eq!(stage.open("one", 4).map(|_| ()), Err(Rejection::FundsInsufficient));
    assert_eq!((stage.provider(), stage.bond()), (1_000_000, 0), "and pays nothing");
    // A part of what is contested: 3,000, rounded up.
    let params = Params { dispute_bond_min: 0, dispute_bond_bps: 3_333, ..Setup::default().params };
    let mut stage = Stage::reported(&Setup { params, ..Setup::default() }, 10);
    stage.open("one", 4).unwrap();
    assert_eq!(stage.bond(), 1_000);
}

#[test]
fn who_gives_in_ends_it() {
    let mut stage = reported(10_000);
    stage.open("one", 4).unwrap();
    stage.countersign(7).unwrap();
    assert_eq!(stage.row().state, LeaseState::Ended, "less is contested now");
    stage.countersign(10).unwrap();
    assert_eq!(paid(&stage), 5_000);
    assert_eq!(stage.provider(), 1_000_000 + 4_950 + 1_000, "and the bond is the provider's");
    stage.check_closed();
    // What the sponsor disputes, the requester cannot settle.
    let mut stage = reported(0);
    stage.open("EE treasury", 4).unwrap();
    stage.countersign(10).unwrap();
    assert_eq!(stage.row().state, LeaseState::Ended);
    stage.settle();
    assert_eq!(paid(&stage), 3_500);
    stage.check_closed();
}

#[test]
fn a_sponsor_cannot_ask_back_what_was_paid_in_between() {
    let mut stage = Stage::active(&Setup { cash_bps: 0, ..Setup::default() });
    stage.use_up(6_000, 6);
    stage.claim(1).unwrap();
    stage.end(5_000, 10).unwrap();
    stage.open("EE treasury", 0).unwrap();
    assert_eq!(stage.dispute().admitted, 6);
    for code in ["DE", "FR", "PT"] {
        stage.rule(code, 0).unwrap();
    }
    assert_eq!((paid(&stage), stage.settlement().failure), (3_000, None));
    stage.check_closed();
}

#[test]
fn a_contract_that_fails_on_the_uncontested_part_pays_it_at_the_end() {
    let interim = crate::scripted::Answer::Refuse(1_000);
    let script = Script { interim, ..Script::default() };
    let mut stage = Stage::reported(&Setup { script: Some(script), ..Setup::default() }, 10);
    stage.open("one", 4).unwrap();
    assert_eq!((paid(&stage), stage.row().interims), (0, 1));
    for code in ["DE", "FR", "PT"] {
        stage.rule(code, 0).unwrap();
    }
    assert_eq!(paid(&stage), 2_000);
    stage.check_closed();
}

#[test]
fn an_office_speaks_for_its_own_side_and_for_no_other() {
    // The sponsor's treasury signs no usage of the requester's, and its registrar opens nothing.
    let stage = reported(0);
    let usages = vec![LeaseUsage { lease: stage.lease, cumulative: 1 }];
    let refused = stage.fork().after(1, "EE treasury", CountersignUsage { usages });
    assert_eq!(refused, Err(Rejection::RoleMissing));
    let open = OpenDispute { lease: stage.lease, usage: 4, reason: 1 };
    assert_eq!(stage.fork().after(1, "EE registrar", open).map(|_| ()), Err(Rejection::RoleMissing));
}
