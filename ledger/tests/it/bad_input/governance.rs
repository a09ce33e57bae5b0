//! Proposals, votes, and the keys of nodes.

use super::Row;
use crate::governance::{join, limits, parameter};
use crate::world::{key, member, newcomer, office};
use hansa_ledger::action::{Action, Propose, RotateKeys, Vote};
use hansa_ledger::genesis::GenesisMember;
use hansa_ledger::id::ProposalId;
use hansa_ledger::rejection::Rejection::*;
use hansa_ledger::row::{Change, ParameterValue};
use hansa_ledger_signature::PublicKey;

pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("Propose", [propose_at_all(), propose_parameters(), propose_members(), propose_upgrade()].concat()),
        ("Vote", vote()),
        ("RotateKeys", rotate()),
    ]
}

const SEVENTEEN: [&str; 17] =
    ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17"];

fn proposal(change: Change) -> Action {
    Propose { change, activate_after_ms: 2_000 }.into()
}

fn newly(change: impl FnOnce(&mut GenesisMember)) -> Action {
    let mut member = newcomer("PL");
    change(&mut member);
    proposal(Change::MemberJoin { member })
}

fn values(names: &[(&str, u64)]) -> Action {
    let values = names
        .iter()
        .map(|(name, value)| ParameterValue { name: (*name).to_owned(), value: *value })
        .collect();
    proposal(Change::Parameters { values })
}

fn after(activate_after_ms: u64) -> Action {
    Propose { change: parameter("fee_bps", 150), activate_after_ms }.into()
}

fn propose_at_all() -> Vec<Row> {
    vec![
        ("by a registrar", "DE registrar", |_| after(2_000), NotGovernance),
        ("by an organisation", "tallinn", |_| after(2_000), NotGovernance),
        ("by a stranger", "stranger", |_| after(2_000), UnknownKey),
        ("sooner than its kind allows", "DE governance", |_| after(1_999), DelayInvalid),
        ("at once", "DE governance", |_| after(0), DelayInvalid),
        ("in more than a year", "DE governance", |_| after(31_536_000_001), DelayInvalid),
        ("in an eternity", "DE governance", |_| after(u64::MAX), DelayInvalid),
        ("one more than a member may have open", "EE governance", |_| after(2_000), TooManyProposals),
    ]
}

fn propose_parameters() -> Vec<Row> {
    vec![
        ("no parameter", "DE governance", |_| values(&[]), ParametersInvalid),
        ("65 parameters", "DE governance", |_| values(&[("fee_bps", 1); 65]), ParametersInvalid),
        ("one twice", "DE governance", |_| values(&[("fee_bps", 1), ("fee_bps", 2)]), ParametersInvalid),
        ("no such parameter", "DE governance", |_| values(&[("fee", 1)]), ParameterUnknown),
        ("an empty name", "DE governance", |_| values(&[("", 1)]), ParameterUnknown),
        ("the slot", "DE governance", |_| values(&[("slot_s", 2)]), ParameterFixed),
        ("above its bounds", "DE governance", |_| values(&[("fee_bps", 2_001)]), ParameterBounds),
        ("below its bounds", "DE governance", |_| values(&[("batch_ms", 99)]), ParameterBounds),
        ("over its type", "DE governance", |_| values(&[("fee_bps", 65_536)]), ParameterBounds),
        (
            "the second out of bounds",
            "DE governance",
            |_| values(&[("fee_bps", 1), ("k_bps", 10_001)]),
            ParameterBounds,
        ),
    ]
}

fn propose_members() -> Vec<Row> {
    vec![
        ("limits of EU", "DE governance", |_| proposal(limits("EU", 1, 1)), JointUndertaking),
        ("limits of a stranger", "DE governance", |_| proposal(limits("PL", 1, 1)), MemberUnknown),
        (
            "limits no money can express",
            "DE governance",
            |_| proposal(limits("FR", u64::MAX, 1)),
            LimitTooHigh,
        ),
        // Leases awarded to Estonia hold more than nothing of its cap.
        ("a cap below what leases hold", "DE governance", |_| proposal(limits("EE", 1, 0)), LimitTooLow),
        ("EU as a member", "DE governance", |_| newly(|one| one.code = member("EU")), JointUndertaking),
        ("a member again", "DE governance", |_| proposal(join("FR")), MemberExists),
        (
            "a newcomer with a weak key",
            "DE governance",
            |_| newly(|one| one.consensus_key = PublicKey([0; 32])),
            KeyWeak,
        ),
        (
            "one key for two offices",
            "DE governance",
            |_| newly(|one| one.treasury.keys = one.registrar.keys.clone()),
            KeyInUse,
        ),
        (
            "an office whose threshold is zero",
            "DE governance",
            |_| newly(|one| one.registrar.threshold = 0),
            ThresholdInvalid,
        ),
        (
            "an office that takes more keys than it has",
            "DE governance",
            |_| newly(|one| one.treasury = office(3, &["PL one", "PL two"])),
            ThresholdInvalid,
        ),
        (
            "an office without keys",
            "DE governance",
            |_| newly(|one| one.governance = office(1, &[])),
            OfficeKeyNeeded,
        ),
        (
            "an office with 17 keys",
            "DE governance",
            |_| newly(|one| one.treasury = office(1, &SEVENTEEN)),
            TooManyOfficeKeys,
        ),
        (
            "an office with one key twice",
            "DE governance",
            |_| newly(|one| one.treasury = office(1, &["PL one", "PL one"])),
            KeyInUse,
        ),
        (
            "another member's consensus key",
            "DE governance",
            |_| newly(|one| one.consensus_key = key("FR consensus").public_key()),
            KeyInUse,
        ),
        (
            "another member's consensus key for an office",
            "DE governance",
            |_| newly(|one| one.registrar = office(1, &["FR consensus"])),
            KeyInUse,
        ),
        (
            "another member's office key",
            "DE governance",
            |_| newly(|one| one.registrar = office(1, &["FR registrar"])),
            KeyInUse,
        ),
        (
            "an organisation's key on the network",
            "DE governance",
            |_| newly(|one| one.network_key = key("tallinn").public_key()),
            KeyInUse,
        ),
        (
            "limits that overflow with the others'",
            "DE governance",
            |_| newly(|one| one.issue_limit.0 = u64::MAX),
            LimitTooHigh,
        ),
        (
            "a stranger leaves",
            "DE governance",
            |_| proposal(Change::MemberLeave { member: member("PL") }),
            MemberUnknown,
        ),
        (
            "EU leaves",
            "DE governance",
            |_| proposal(Change::MemberLeave { member: member("EU") }),
            JointUndertaking,
        ),
        ("keys of a stranger", "DE governance", |_| proposal(keys_of("PL", "a", "b")), MemberUnknown),
        ("keys of EU", "DE governance", |_| proposal(keys_of("EU", "a", "b")), JointUndertaking),
        ("one key for votes and network", "DE governance", |_| proposal(keys_of("FR", "a", "a")), KeyInUse),
        (
            "a key that is another's",
            "DE governance",
            |_| proposal(keys_of("FR", "a", "ES network")),
            KeyInUse,
        ),
    ]
}

fn keys_of(code: &str, consensus: &str, network: &str) -> Change {
    Change::MemberKeys {
        member: member(code),
        consensus_key: key(consensus).public_key(),
        network_key: key(network).public_key(),
    }
}

fn propose_upgrade() -> Vec<Row> {
    vec![
        ("lower rules", "DE governance", |_| proposal(upgrade(0, 2_000_000)), UpgradeInvalid),
        ("a height that was", "DE governance", |_| proposal(upgrade(3, 9)), UpgradeInvalid),
        ("another before one has come", "DE governance", |_| proposal(upgrade(3, 2_000_000)), UpgradePending),
    ]
}

fn upgrade(protocol_version: u32, height: u64) -> Change {
    Change::Upgrade { protocol_version, height }
}

fn vote() -> Vec<Row> {
    fn on(proposal: ProposalId, approve: bool) -> Action {
        Vote { proposal, approve }.into()
    }
    vec![
        ("on nothing", "FR governance", |_| on(ProposalId([1; 32]), true), ProposalUnknown),
        ("by a treasury", "FR treasury", |s| on(s.open, true), NotGovernance),
        ("by an organisation", "tallinn", |s| on(s.open, true), NotGovernance),
        ("the same again", "EE governance", |s| on(s.open, true), VoteGiven),
        ("the same refusal again", "ES governance", |s| on(s.open, false), VoteGiven),
        ("after the decision", "EE governance", |s| on(s.voted, true), ProposalClosed),
        ("a refusal after the decision", "DE governance", |s| on(s.voted, false), ProposalClosed),
    ]
}

fn rotate() -> Vec<Row> {
    fn to(consensus: PublicKey, network: PublicKey) -> Action {
        RotateKeys { consensus_key: consensus, network_key: network }.into()
    }
    fn named(consensus: &str, network: &str) -> Action {
        to(key(consensus).public_key(), key(network).public_key())
    }
    vec![
        ("by a registrar", "FR registrar", |_| named("new", "FR network"), NotGovernance),
        ("by an organisation", "tallinn", |_| named("new", "FR network"), NotGovernance),
        ("to a weak key", "FR governance", |_| to(PublicKey([0; 32]), key("n").public_key()), KeyWeak),
        (
            "to a weak network key",
            "FR governance",
            |_| to(key("n").public_key(), PublicKey([0; 32])),
            KeyWeak,
        ),
        ("to one key for both", "FR governance", |_| named("new", "new"), KeyInUse),
        ("to another member's key", "FR governance", |_| named("ES consensus", "FR network"), KeyInUse),
        ("to its own office's key", "FR governance", |_| named("FR governance", "FR network"), KeyInUse),
        ("to an organisation's key", "FR governance", |_| named("new", "tallinn"), KeyInUse),
    ]
}
