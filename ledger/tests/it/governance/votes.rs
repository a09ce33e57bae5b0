//! Who votes, what decides, and when it acts.

use super::{accreditation, enact, height, leave, limits, parameter, pass, propose, row, vote};
use crate::world::{World, member};
use hansa_ledger::action::{Propose, TransferCash, Vote};
use hansa_ledger::apply::{BlockError, apply_block, build_block, params};
use hansa_ledger::deadline::next_deadline;
use hansa_ledger::event::Event;
use hansa_ledger::governance::decision;
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Change, OrganisationClass, ParameterValue, ProposalState, Standing};
use hansa_ledger::tables::{Members, Organisations};
use hansa_ledger::time::TimeMs;

#[test]
fn more_than_two_thirds_of_the_members_decide() {
    // Members, approvals that pass, refusals that make it impossible.
    for (members, passes, fails) in [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 3, 2), (7, 5, 3), (27, 19, 9)] {
        for approvals in 0..=members {
            for refusals in 0..=members - approvals {
                let expected = match (approvals >= passes, refusals >= fails) {
                    (true, false) => Some(ProposalState::Passed),
                    (false, true) => Some(ProposalState::Rejected),
                    (false, false) => None,
                    (true, true) => panic!("{members} members cannot decide both ways"),
                };
                assert_eq!(
                    decision(members, approvals, refusals),
                    expected,
                    "{members} {approvals} {refusals}"
                );
            }
        }
    }
}

/// Votes in order, `+EE` for and `-EE` against, and the state after the last.
#[test]
fn votes_count_once_can_change_and_decide_at_once() {
    use ProposalState::{Open, Passed, Rejected};
    for (votes, expected) in [
        (vec![], Open),
        (vec!["+DE", "+EE"], Open),
        (vec!["+DE", "+EE", "+ES"], Passed),
        (vec!["+DE", "-EE", "+ES", "+FR"], Passed),
        (vec!["-DE"], Open),
        (vec!["+DE", "-EE", "-ES"], Rejected),
        // A changed vote counts where it is now.
        (vec!["-DE", "+EE", "+ES", "+DE"], Passed),
        (vec!["+DE", "+EE", "-DE", "+ES"], Open),
        (vec!["+DE", "+EE", "-DE", "-EE"], Rejected),
        (vec!["-DE", "+DE", "-DE", "-FR"], Rejected),
    ] {
        let mut world = World::new();
        let proposal = propose(&mut world, "FR", parameter("fee_bps", 150), 2_000).unwrap();
        for (place, text) in votes.iter().enumerate() {
            assert_eq!(row(&world, proposal).state, Open, "{votes:?} before vote {place}");
            vote(&mut world, &text[1..], proposal, text.starts_with('+')).unwrap();
        }
        let found = row(&world, proposal);
        assert_eq!(found.state, expected, "{votes:?}");
        assert_eq!(found.activates_at, (expected == Passed).then(|| world.now.plus(2_000)), "{votes:?}");
        if expected != Open {
            for code in ["DE", "EE", "ES", "FR"] {
                for approve in [true, false] {
                    let late = vote(&mut world, code, proposal, approve);
                    assert_eq!(late, Err(Rejection::ProposalClosed), "{votes:?}");
                }
            }
        }
    }
}

#[test]
fn a_vote_that_decides_nothing_lapses_when_its_time_is_over() {
    let mut world = World::new();
    let proposal = propose(&mut world, "FR", parameter("fee_bps", 150), 2_000).unwrap();
    let ends = row(&world, proposal).voting_ends;
    assert_eq!(ends, world.now.plus(world.params().governance_voting_ms));
    assert_eq!(next_deadline(&world.state), Some(ends));
    for code in ["DE", "EE"] {
        vote(&mut world, code, proposal, true).unwrap();
    }
    // In the very block of the lapse it is too late, and one millisecond before it is not.
    let mut early = world.fork();
    let last = Vote { proposal, approve: true };
    let signed = early.sign("ES governance", vec![last.clone().into()]);
    let wait = ends.0 - 1 - early.now.0;
    early.block(wait, &[signed]);
    assert_eq!(row(&early, proposal).state, ProposalState::Passed);
    let late = world.sign("ES governance", vec![last.into()]);
    let receipts = world.block(ends.0 - world.now.0, &[late]);
    assert_eq!(receipts.transactions[0].code, Rejection::ProposalClosed.code());
    assert_eq!(row(&world, proposal).state, ProposalState::Lapsed);
    assert_eq!(next_deadline(&world.state), None);
    assert_eq!(params(&world.state).fee_bps, Params::testnet().fee_bps);
}

#[test]
fn only_members_vote_and_a_member_that_left_counts_no_more() {
    let mut world = World::new();
    let mut others = world.fork();
    // Three of four approve in the first federation; in the second, one of the three has left before the third vote.
    for (world, leaves) in [(&mut world, false), (&mut others, true)] {
        let proposal = propose(world, "FR", parameter("fee_bps", 150), 2_000).unwrap();
        vote(world, "EE", proposal, true).unwrap();
        if leaves {
            enact(world, leave("EE"), &["DE", "ES", "FR"]);
            assert_eq!(vote(world, "EE", proposal, false), Err(Rejection::KeyRevoked));
        }
        vote(world, "DE", proposal, true).unwrap();
        vote(world, "ES", proposal, true).unwrap();
        let expected = if leaves { ProposalState::Open } else { ProposalState::Passed };
        assert_eq!(row(world, proposal).state, expected);
    }
}

#[test]
fn a_leave_decides_what_waits_for_it() {
    let mut world = World::new();
    let [passes, fails] =
        [150, 160].map(|fee| propose(&mut world, "DE", parameter("fee_bps", fee), 2_000).unwrap());
    vote(&mut world, "DE", fails, false).unwrap();
    let gone = pass(&mut world, leave("FR"), &["DE", "EE", "ES"]);
    // One of four against leaves three; one of three against makes three of three impossible.
    assert_eq!(row(&world, fails).state, ProposalState::Open);
    let due = row(&world, gone).activates_at.unwrap();
    let receipts = world.block(due.0 - world.now.0, &[]);
    assert_eq!(row(&world, fails).state, ProposalState::Rejected);
    assert_eq!(row(&world, passes).state, ProposalState::Open);
    let moved = Event::ProposalMoved { proposal: fails, state: ProposalState::Rejected, activates_at: None };
    assert!(receipts.deadlines.contains(&moved));
}

/// A transaction of two actions: refused by a federation that allows one.
fn twofold(
    world: &mut World,
) -> hansa_ledger_signature::Verified<hansa_ledger::transaction::SignedTransaction> {
    let to = world.organisation("EE", "payee");
    let pay = || TransferCash { to, amount: Money(1) }.into();
    world.sign("payer", vec![pay(), pay()])
}

#[test]
fn parameters_change_exactly_when_due_and_before_everything_else_in_the_block() {
    let mut world = World::new();
    for number in ["payer", "payee"] {
        world.accredit("EE", number, OrganisationClass::Sme);
    }
    world.deposit("EE", "payer", 50);
    let proposal = pass(&mut world, parameter("transaction_actions_max", 1), &["DE", "EE", "ES"]);
    let due = row(&world, proposal).activates_at.unwrap();
    let transaction = twofold(&mut world);
    let mut before = world.fork();
    before.block(due.0 - 1 - world.now.0, std::slice::from_ref(&transaction));
    assert_eq!(before.params().transaction_actions_max, 64);
    // At its time the transactions of the same block meet the new value, whoever executes it.
    let header = world.draft_header(due.0 - world.now.0);
    let block = std::slice::from_ref(&transaction);
    let refused = apply_block(&world.state, &world.runtime, world.chain, &header, block).map(|_| ());
    let rejection = Rejection::TooManyActions;
    assert_eq!(refused, Err(BlockError::Transaction { index: 0, rejection }));
    let (block, _) = build_block(
        &world.state,
        &world.runtime,
        world.chain,
        member("DE"),
        due,
        &[transaction],
        &mut || true,
    )
    .unwrap();
    assert_eq!(block.transactions, []);
    let receipts = world.block(due.0 - world.now.0, &[]);
    assert_eq!(
        receipts.deadlines,
        [
            Event::ParameterChanged { name: "transaction_actions_max".to_owned(), value: 1 },
            Event::ProposalMoved { proposal, state: ProposalState::Activated, activates_at: Some(due) },
        ]
    );
    assert_eq!(world.params().transaction_actions_max, 1);
}

#[test]
fn deadlines_of_the_same_block_follow_the_new_parameters() {
    let mut world = World::new();
    let proposal = pass(&mut world, parameter("block_deadlines_max", 1), &["DE", "EE", "ES"]);
    let due = row(&world, proposal).activates_at.unwrap();
    // Two accreditations end just before the change is due, so their deadlines sort first.
    let ids = ["one", "two"].map(|number| {
        let action = accreditation(&world, "EE", number, number, TimeMs(due.0 - 1));
        world.act("EE registrar", action).unwrap();
        world.organisation("EE", number)
    });
    let expired = |world: &mut World, after| {
        world.block(after, &[]);
        let expired =
            |id| world.state.get::<Organisations>(id).is_some_and(|row| row.standing == Standing::Expired);
        ids.iter().filter(|id| expired(id)).count()
    };
    let wait = due.0 - world.now.0;
    assert_eq!(expired(&mut world, wait), 1);
    assert_eq!(expired(&mut world, 1), 2);
}

#[test]
fn several_changes_due_at_once_build_on_each_other() {
    let mut world = World::new();
    let two = |fee, batch| Change::Parameters {
        values: [("fee_bps", fee), ("batch_ms", batch)]
            .map(|(name, value)| ParameterValue { name: name.to_owned(), value })
            .to_vec(),
    };
    let first = pass(&mut world, two(150, 2_000), &["DE", "EE", "ES"]);
    let second = pass(&mut world, parameter("fee_bps", 170), &["DE", "EE", "ES"]);
    let last = row(&world, second).activates_at.unwrap();
    world.block(last.0 - world.now.0, &[]);
    assert_eq!((world.params().fee_bps, world.params().batch_ms), (170, 2_000));
    for proposal in [first, second] {
        assert_eq!(row(&world, proposal).state, ProposalState::Activated);
    }
}

#[test]
fn every_parameter_but_the_fixed_can_be_set_within_its_bounds_and_read_by_name() {
    let mut params = Params::testnet();
    for [name, _, least, most] in Params::table() {
        for value in [&least, &most] {
            let value: u64 = value.parse().unwrap();
            let set = params.set(&name, value);
            assert_eq!(set.is_ok(), !hansa_ledger::governance::is_fixed(&name), "{name}");
            assert!(set.is_err() || params.get(&name) == Some(value), "{name}");
        }
        let over: u64 = most.parse::<u64>().unwrap() + 1;
        assert!(params.set(&name, over).is_err(), "{name}");
    }
    assert_eq!((params.get("slot_s"), params.get("nothing")), (Some(1), None));
    assert!(hansa_ledger::governance::is_fixed("slot_s"));
}

#[test]
fn what_cannot_be_carried_out_in_its_time_fails_and_leaves_no_trace() {
    let mut world = World::new();
    world.provider("ES", "bsc", 64, 180);
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    let proposal = pass(&mut world, limits("EE", 5, 0), &["DE", "ES", "FR"]);
    // Meanwhile Estonia comes to hold more of its cap than the limit that passed.
    let mut member_row = world.state.get::<Members>(&member("EE")).unwrap().clone();
    assert_eq!(member_row.locked, Money(0));
    world.grant("EE", "tallinn", "grant-1", 100);
    let grant = hansa_ledger::action::grant_id(member("EE"), &crate::world::name("grant-1"));
    let demand = crate::scene::demand(&world, hansa_ledger::row::Purse::Grant(grant));
    crate::scene::place(&mut world, "tallinn", demand);
    let due = row(&world, proposal).activates_at.unwrap();
    while world.now < due {
        world.pass_deadline();
    }
    member_row = world.state.get::<Members>(&member("EE")).unwrap().clone();
    assert!(member_row.locked > Money(0), "an award holds some of the cap");
    let found = row(&world, proposal);
    assert_eq!((found.state, found.failure), (ProposalState::Failed, Some(Rejection::LimitTooLow.code())));
    assert!(member_row.issue_limit > Money(5) && member_row.debit_cap > Money(0));
}

#[test]
fn limits_hold_from_their_activation_on() {
    let mut world = World::new();
    world.accredit("EE", "tallinn", OrganisationClass::StartUp);
    world.grant("EE", "tallinn", "grant-1", 100);
    let at = enact(&mut world, limits("EE", 150_000_000, 7), &["DE", "ES", "FR"]);
    assert_eq!(height(&world), at);
    let found = world.state.get::<Members>(&member("EE")).unwrap();
    assert_eq!((found.issue_limit, found.debit_cap), (Money(150_000_000), Money(7)));
    let deposit = |reference: &str, amount| hansa_ledger::action::AttestDeposit {
        organisation: hansa_ledger::action::organisation_id(member("EE"), "tallinn"),
        amount: Money(amount),
        reference: crate::world::name(reference),
    };
    assert_eq!(world.act("EE treasury", deposit("b1", 50_000_001)), Err(Rejection::IssueLimit));
    assert!(world.act("EE treasury", deposit("b2", 50_000_000)).is_ok());
}

#[test]
fn one_member_cannot_fill_the_book_of_proposals() {
    let mut world = World::with(Params { member_proposals_max: 1, ..Params::testnet() });
    let change = || parameter("fee_bps", 150);
    let first = propose(&mut world, "DE", change(), 2_000).unwrap();
    assert_eq!(propose(&mut world, "DE", change(), 2_000), Err(Rejection::TooManyProposals));
    let second = propose(&mut world, "EE", change(), 2_000).unwrap();
    assert_ne!(first, second, "equal changes are different proposals");
    for code in ["EE", "ES"] {
        vote(&mut world, code, first, false).unwrap();
    }
    assert!(propose(&mut world, "DE", change(), 2_000).is_ok(), "what is decided counts no more");
}

#[test]
fn a_proposal_is_no_vote() {
    let mut world = World::new();
    let propose = Propose { change: parameter("fee_bps", 150), activate_after_ms: 2_000 };
    world.act("DE governance", propose).unwrap();
    let found = world.state.rows::<hansa_ledger::tables::Proposals>().next().unwrap().1;
    assert_eq!((found.approvals.len(), found.refusals.len()), (0, 0));
}
