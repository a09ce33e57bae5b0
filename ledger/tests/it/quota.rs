//! What an organisation may send in an epoch.

use crate::world::{START, World};
use hansa_ledger::action::UploadContract;
use hansa_ledger::apply::build_block;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{OrganisationClass, Principal, Quota};
use hansa_ledger::tables::Quotas;

const EPOCH_MS: u64 = 3_600_000;
const BYTES_MAX: usize = 65_536;

/// A federation with a small quota of bytes, and two organisations without money.
fn world() -> World {
    let mut world =
        World::with(Params { epoch_ms: EPOCH_MS, epoch_bytes_max: BYTES_MAX as u64, ..Params::testnet() });
    for number in ["tallinn", "tartu"] {
        world.accredit("EE", number, OrganisationClass::StartUp);
    }
    world
}

/// What `signer` sends next: a transaction of so many bytes, whose only action is refused.
fn sized(world: &World, signer: &str, bytes: usize) -> Vec<u8> {
    let signed = |code: usize| {
        let upload =
            UploadContract { name: crate::world::name("heavy"), code: vec![0; code], budget_line: None };
        world.envelope(signer, vec![upload.into()]).sign(&crate::world::key(signer)).encode()
    };
    let encoded = signed(1 + bytes - signed(1).len());
    assert_eq!(encoded.len(), bytes);
    encoded
}

fn send(world: &mut World, signer: &str, bytes: usize) -> Rejection {
    let encoded = sized(world, signer, bytes);
    world.attempt(&encoded).unwrap_err()
}

fn used(world: &World, number: &str) -> Option<Quota> {
    let principal = Principal::Organisation(world.organisation("EE", number));
    world.state.get::<Quotas>(&principal).cloned()
}

/// A quota in the epochs since the genesis.
fn quota(epoch: u64, actions: u32, bytes: usize) -> Option<Quota> {
    Some(Quota { epoch: START.0 / EPOCH_MS + epoch, actions, bytes: bytes as u64 })
}

/// Lets the epoch of the genesis go on until two milliseconds before its end.
fn wait(world: &mut World) {
    let end = START.0 + EPOCH_MS;
    assert_eq!(START.0 % EPOCH_MS, 0, "the genesis begins an epoch");
    world.block(end - 2 - world.now.0, &[]);
}

#[test]
fn bytes_are_counted_whatever_becomes_of_the_actions() {
    let mut world = world();
    assert_eq!(used(&world, "tallinn"), None);
    let refused = send(&mut world, "tallinn", 30_000);
    assert_ne!(refused, Rejection::QuotaExceeded);
    assert_eq!(used(&world, "tallinn"), quota(0, 1, 30_000));
    assert_eq!(send(&mut world, "tallinn", 30_001), refused);
    assert_eq!(used(&world, "tallinn"), quota(0, 2, 60_001));
}

#[test]
fn the_last_byte_of_the_quota_may_be_sent_and_no_byte_more() {
    let mut world = world();
    let refused = send(&mut world, "tallinn", 30_000);
    let rest = BYTES_MAX - 30_000;
    assert_eq!(send(&mut world, "tallinn", rest + 1), Rejection::QuotaExceeded);
    assert_eq!(used(&world, "tallinn"), quota(0, 1, 30_000), "what stands in no block counts nothing");
    assert_eq!(send(&mut world, "tallinn", rest), refused);
    assert_eq!(used(&world, "tallinn"), quota(0, 2, BYTES_MAX));
    assert_eq!(send(&mut world, "tallinn", 300), Rejection::QuotaExceeded);
    // Who else sends has a quota of its own.
    assert_eq!(send(&mut world, "tartu", 30_000), refused);
    assert_eq!(used(&world, "tartu"), quota(0, 1, 30_000));
}

#[test]
fn the_last_action_of_the_quota_may_be_sent_and_no_action_more() {
    let mut world = World::with(Params { epoch_ms: EPOCH_MS, epoch_actions_max: 20, ..Params::testnet() });
    for number in ["tallinn", "tartu"] {
        world.accredit("EE", number, OrganisationClass::StartUp);
    }
    let send = |world: &mut World, signer: &str, actions: usize| {
        let upload =
            || UploadContract { name: crate::world::name("light"), code: vec![0; 2_000], budget_line: None };
        let actions = (0..actions).map(|_| upload().into()).collect();
        let encoded = world.envelope(signer, actions).sign(&crate::world::key(signer)).encode();
        world.attempt(&encoded).unwrap_err()
    };
    let counted = |world: &World| used(world, "tallinn").map(|quota| quota.actions);
    let refused = send(&mut world, "tallinn", 12);
    assert_ne!(refused, Rejection::QuotaExceeded);
    assert_eq!(send(&mut world, "tallinn", 9), Rejection::QuotaExceeded);
    assert_eq!(counted(&world), Some(12), "what stands in no block counts nothing");
    assert_eq!(send(&mut world, "tallinn", 8), refused);
    assert_eq!(counted(&world), Some(20));
    assert_eq!(send(&mut world, "tallinn", 1), Rejection::QuotaExceeded);
    assert_eq!(send(&mut world, "tartu", 15), refused);
}

#[test]
fn who_builds_a_block_leaves_out_what_is_over_the_quota() {
    let mut world = world();
    let upload = |code| UploadContract { name: crate::world::name("heavy"), code, budget_line: None };
    let transactions: Vec<_> =
        (0..3).map(|_| world.sign("tallinn", vec![upload(vec![0; 30_000]).into()])).collect();
    let time = world.now.plus(1);
    let (block, _) = build_block(
        &world.state,
        &world.runtime,
        world.chain,
        crate::world::member("DE"),
        time,
        &transactions,
        &mut || true,
    )
    .unwrap();
    let ids = |transactions: &[hansa_ledger::transaction::SignedTransaction]| {
        transactions.iter().map(|transaction| transaction.id()).collect::<Vec<_>>()
    };
    let expected: Vec<_> = transactions[..2].iter().map(|transaction| transaction.id()).collect();
    assert_eq!(ids(&block.transactions), expected);
}

#[test]
fn the_quota_of_bytes_begins_anew_with_the_epoch() {
    let mut world = world();
    let refused = send(&mut world, "tallinn", 60_000);
    // The attempt's own block is a millisecond later: the last one of the epoch, then the first of the next.
    wait(&mut world);
    assert_eq!(send(&mut world, "tallinn", 10_000), Rejection::QuotaExceeded);
    world.now = world.now.plus(1);
    assert_eq!(send(&mut world, "tallinn", 10_000), refused);
    assert_eq!(used(&world, "tallinn"), quota(1, 1, 10_000), "only what was sent in the epoch");
    assert_eq!(send(&mut world, "tallinn", 55_536), refused);
    assert_eq!(send(&mut world, "tallinn", 300), Rejection::QuotaExceeded);
}
