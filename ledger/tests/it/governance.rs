//! What the members decide together.

mod members;
mod several_keys;
mod upgrade;
mod votes;

use crate::world::{World, key, member, name, newcomer};
use hansa_ledger::action::{AccreditOrganisation, Propose, Vote};
use hansa_ledger::apply::chain;
use hansa_ledger::event::Event;
use hansa_ledger::governance::delay_ms_min;
use hansa_ledger::id::ProposalId;
use hansa_ledger::money::Money;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Change, OrganisationClass, ParameterValue, Principal, Proposal, ProposalState};
use hansa_ledger::tables::Proposals;
use hansa_ledger::time::TimeMs;

pub fn parameter(name: &str, value: u64) -> Change {
    Change::Parameters { values: vec![ParameterValue { name: name.to_owned(), value }] }
}

pub fn limits(code: &str, issue_limit: u64, debit_cap: u64) -> Change {
    Change::MemberLimits {
        member: member(code),
        issue_limit: Money(issue_limit),
        debit_cap: Money(debit_cap),
    }
}

pub fn join(code: &str) -> Change {
    Change::MemberJoin { member: newcomer(code) }
}

pub fn leave(code: &str) -> Change {
    Change::MemberLeave { member: member(code) }
}

/// Puts a change to the vote, signed by the governance office of `code`.
pub fn propose(world: &mut World, code: &str, change: Change, after: u64) -> Result<ProposalId, Rejection> {
    let events = world.act(&format!("{code} governance"), Propose { change, activate_after_ms: after })?;
    let made = events.iter().find_map(|event| match event {
        Event::ProposalMade { proposal, .. } => Some(*proposal),
        _ => None,
    });
    Ok(made.unwrap())
}

pub fn vote(world: &mut World, code: &str, proposal: ProposalId, approve: bool) -> Result<(), Rejection> {
    world.act(&format!("{code} governance"), Vote { proposal, approve }).map(|_| ())
}

/// Proposes a change and has `codes` approve it, after which it has passed.
fn pass(world: &mut World, change: Change, codes: &[&str]) -> ProposalId {
    let delay = delay_ms_min(&change, world.params());
    let proposal = propose(world, codes[0], change, delay).unwrap();
    for code in codes {
        vote(world, code, proposal, true).unwrap();
    }
    assert_eq!(row(world, proposal).state, ProposalState::Passed);
    proposal
}

/// [`pass`], then lets its time come. Gives the height of the block that carried it out.
pub fn enact(world: &mut World, change: Change, codes: &[&str]) -> u64 {
    let proposal = pass(world, change, codes);
    let due = row(world, proposal).activates_at.unwrap();
    world.block(due.0 - world.now.0, &[]);
    assert_eq!(row(world, proposal).state, ProposalState::Activated);
    height(world)
}

fn row(world: &World, proposal: ProposalId) -> Proposal {
    world.state.get::<Proposals>(&proposal).unwrap().clone()
}

fn height(world: &World) -> u64 {
    chain(&world.state).height
}

/// A block that only its transaction makes: a proposal that nobody votes on.
fn tick(world: &mut World) {
    let delay = world.params().governance_delay_ms;
    propose(world, "DE", parameter("fee_bps", 7), delay).unwrap();
}

/// What the registrar of `home` signs to accredit who stands in its register under `number`, with the key of the name `holder`.
fn accreditation(
    world: &World,
    home: &str,
    number: &str,
    holder: &str,
    accredited_until: TimeMs,
) -> AccreditOrganisation {
    let principal = Principal::Organisation(world.organisation(home, number));
    AccreditOrganisation {
        register_number: number.to_owned(),
        owner: None,
        name: name(number),
        class: OrganisationClass::Sme,
        accredited_until,
        key: public(holder),
        proof: Some(world.proof(holder, principal)),
    }
}

/// Every key that a member signs with, by what it is for.
fn public(name: &str) -> hansa_ledger_signature::PublicKey {
    key(name).public_key()
}
