//! Other rules from a height on.

use super::{enact, height, pass, propose, row, tick};
use crate::world::{World, member};
use hansa_ledger::apply::{BlockError, apply_block, build_block, chain, known_version};
use hansa_ledger::governance::protocol_version_at;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Change, ProposalState, Upgrade};

fn upgrade(protocol_version: u32, height: u64) -> Change {
    Change::Upgrade { protocol_version, height }
}

const ALL: [&str; 3] = ["DE", "EE", "ES"];

#[test]
fn rules_change_at_their_height_in_programs_that_know_them_and_stop_the_others_before() {
    let mut world = World::new();
    let h = height(&world) + 12;
    let at = enact(&mut world, upgrade(2, h), &ALL);
    assert!(at < h - 1);
    assert_eq!(chain(&world.state).upgrade, Some(Upgrade { protocol_version: 2, height: h }));
    while height(&world) < h - 1 {
        assert_eq!(known_version(&world.state, height(&world) + 1), Ok(1));
        tick(&mut world);
        assert_eq!(chain(&world.state).protocol_version, 1);
    }
    // The state before the height names the rules of the height.
    assert_eq!(protocol_version_at(chain(&world.state), h), 2);
    let heartbeat = world.params().heartbeat_ms;
    let build = |world: &World| {
        let time = world.now.plus(heartbeat);
        build_block(&world.state, &world.runtime, world.chain, member("DE"), time, &[], &mut || true)
    };
    // This program knows version 1 only: it builds nothing and accepts nothing.
    assert_eq!(known_version(&world.state, h), Err(BlockError::ProtocolVersion(2)));
    assert_eq!(build(&world).map(|_| ()), Err(BlockError::ProtocolVersion(2)));
    // A program that knows both goes on by the new rules.
    world.state = world.state.knowing(&[1, 2]);
    let (block, _) = build(&world).unwrap();
    assert_eq!((block.header.height, block.header.protocol_version), (h, 2));
    for (version, expected) in
        [(1, BlockError::Header("protocol version")), (3, BlockError::ProtocolVersion(3))]
    {
        let mut header = block.header.clone();
        header.protocol_version = version;
        let found = apply_block(&world.state, &world.runtime, world.chain, &header, &[]).map(|_| ());
        assert_eq!(found, Err(expected));
    }
    let refused = apply_block(&world.twin, &world.runtime, world.chain, &block.header, &[]).map(|_| ());
    assert_eq!(refused, Err(BlockError::ProtocolVersion(2)));
    world.twin = world.twin.knowing(&[1, 2]);
    world.block(heartbeat, &[]);
    assert_eq!((chain(&world.state).protocol_version, &chain(&world.state).upgrade), (2, &None));
    tick(&mut world);
    assert_eq!(chain(&world.state).protocol_version, 2);
}

#[test]
fn an_upgrade_goes_up_ahead_and_alone() {
    let mut world = World::new();
    let next = height(&world) + 1;
    for (version, height) in [(0, 1_000), (1, 1_000), (2, 0), (2, next), (2, next + 1)] {
        let refused = propose(&mut world.fork(), "DE", upgrade(version, height), 2_000);
        assert_eq!(refused, Err(Rejection::UpgradeInvalid), "version {version} at {height}");
    }
    assert!(propose(&mut world.fork(), "DE", upgrade(2, next + 2), 2_000).is_ok());
    assert!(propose(&mut world.fork(), "DE", upgrade(u32::MAX, u64::MAX), 2_000).is_ok());
    let two = [2, 3].map(|version| pass(&mut world, upgrade(version, 1_000), &ALL));
    let ahead = height(&world) + 60;
    let late = pass(&mut world, upgrade(4, ahead), &ALL);
    let due = row(&world, late).activates_at.unwrap();
    world.block(due.0 - world.now.0, &[]);
    assert_eq!(chain(&world.state).upgrade, Some(Upgrade { protocol_version: 2, height: 1_000 }));
    for (proposal, state, failure) in [
        (two[0], ProposalState::Activated, None),
        (two[1], ProposalState::Failed, Some(Rejection::UpgradePending.code())),
        (late, ProposalState::Failed, Some(Rejection::UpgradePending.code())),
    ] {
        let found = row(&world, proposal);
        assert_eq!((found.state, found.failure), (state, failure));
    }
}

#[test]
fn an_upgrade_whose_height_has_passed_meanwhile_fails() {
    let mut world = World::new();
    let h = height(&world) + 6;
    let proposal = pass(&mut world, upgrade(2, h), &ALL);
    while height(&world) < h {
        tick(&mut world);
    }
    let due = row(&world, proposal).activates_at.unwrap();
    world.block(due.0 - world.now.0, &[]);
    let found = row(&world, proposal);
    assert_eq!((found.state, found.failure), (ProposalState::Failed, Some(Rejection::UpgradeInvalid.code())));
    assert_eq!(chain(&world.state).upgrade, None);
}
