//! Bad input: one table per kind of action. Each row is refused with its code, and nothing is lost or half done.

mod contracts;
mod disputes;
mod governance;
mod leases;
mod market;
mod money;
mod offices;
mod people;

use crate::scene::Scene;
use crate::world::{World, key};
use hansa_ledger::action::{Action, PostOffer, TransferCash};
use hansa_ledger::apply::chain;
use hansa_ledger::id::ChainId;
use hansa_ledger::market::Calendar;
use hansa_ledger::money::{Money, Price};
use hansa_ledger::rejection::Rejection::{self, *};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::Transaction;
use std::collections::BTreeSet;

/// What is wrong, who signs, what they ask for, and why it is refused.
pub type Row = (&'static str, &'static str, fn(&Scene) -> Action, Rejection);

/// What only a mempool says: no block and no action gives these.
// And what no receipt ever holds: a block without fuel leaves the transaction to the next one, and what takes more keys of an
// office becomes an order.
const OF_THE_MEMPOOL: [Rejection; 5] =
    [MempoolFull, TooManyWaiting, AlreadyKnown, FuelExhausted, OrderNeeded];

/// What takes more than one action: their tests are with those of the votes.
const OF_SEVERAL_ACTIONS: [Rejection; 2] = [MembersChanging, MembersOverlap];

fn tables() -> Vec<(&'static str, Vec<Row>)> {
    let parties = [people::tables(), offices::tables(), governance::tables()];
    let trade =
        [money::tables(), market::tables(), leases::tables(), contracts::tables(), disputes::tables()];
    parties.concat().into_iter().chain(trade.concat()).collect()
}

#[test]
fn every_bad_action_is_refused_with_its_code_and_leaves_no_trace() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    for (kind, rows) in tables() {
        for (what, signer, action, expected) in rows {
            let mut scene = scene.fork();
            let action = action(&scene);
            assert_eq!(action.name(), kind, "{what}");
            let before = untouched(&scene.world);
            let (nonce, now) = (scene.world.nonce(signer), scene.world.now);
            let found = scene.world.act(signer, action).map(|_| ());
            if found != Err(expected) {
                wrong.push(format!("{kind}: {what}, signed by {signer}: {found:?} instead of {expected:?}"));
                continue;
            }
            assert!(before == untouched(&scene.world), "{kind}: {what}: something was left half done");
            // What no state could accept stands in no block and burns no nonce; what is refused by the state burns one.
            let stands_in_a_block = scene.world.now > now;
            assert_eq!(scene.world.nonce(signer) - nonce, u64::from(stands_in_a_block), "{kind}: {what}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_kind_of_action_has_a_table_and_every_code_a_row() {
    let kinds: Vec<&str> = tables().iter().map(|(kind, _)| *kind).collect();
    let expected: Vec<&str> = Action::KINDS.iter().map(|(_, name)| *name).collect();
    assert_eq!(kinds.iter().collect::<BTreeSet<_>>(), expected.iter().collect::<BTreeSet<_>>());
    assert_eq!(kinds.len(), expected.len(), "one table for each kind");
    let mut met: BTreeSet<Rejection> = envelopes().iter().map(|(_, _, expected)| *expected).collect();
    met.extend(tables().iter().flat_map(|(_, rows)| rows.iter().map(|(.., expected)| *expected)));
    met.extend(crate::extension::MET);
    met.extend(crate::settlement::MET);
    met.extend(crate::market_rules::MET);
    let elsewhere = [&OF_THE_MEMPOOL[..], &OF_SEVERAL_ACTIONS].concat();
    let missed: Vec<&Rejection> =
        Rejection::ALL.iter().filter(|code| !met.contains(code) && !elsewhere.contains(code)).collect();
    assert!(missed.is_empty(), "no row meets {missed:?}");
    assert!(elsewhere.iter().all(|code| !met.contains(code)));
}

#[test]
fn codes_are_fixed_and_each_has_a_name_a_sentence_and_a_hint() {
    let mut codes = BTreeSet::new();
    for rejection in Rejection::ALL {
        assert!(codes.insert(rejection.code()), "{rejection:?} has the code of another");
        assert_eq!(Rejection::from_code(rejection.code()), Some(*rejection));
        assert_eq!(rejection.name(), format!("{rejection:?}"));
        for text in [rejection.to_string(), rejection.hint().to_owned()] {
            assert!(!text.is_empty() && !text.ends_with('.'), "{rejection:?}: {text}");
        }
    }
    assert_eq!(Rejection::from_code(0), None);
    assert_eq!(Rejection::from_code(65_535), None);
}

/// Every row but what a refused transaction may change: the chain's height and time, the key's nonce, the quota.
fn untouched(world: &World) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let mut rows = world.rows();
    rows.retain(|(table, ..)| ![1, 5, 21].contains(table));
    rows
}

/// What is wrong with a transaction, its bytes, and why it is refused.
type Envelope = (&'static str, fn(&Scene) -> Vec<u8>, Rejection);

fn transfer(scene: &Scene) -> Action {
    TransferCash { to: scene.tartu, amount: Money(1) }.into()
}

/// A sound transfer, after a change of what is signed.
fn signed(scene: &Scene, change: impl FnOnce(&mut Transaction)) -> Vec<u8> {
    let mut transaction = scene.world.envelope("tallinn", vec![transfer(scene)]);
    change(&mut transaction);
    transaction.sign(&key("tallinn")).encode()
}

fn envelopes() -> Vec<Envelope> {
    vec![
        ("no bytes", |_| Vec::new(), Malformed),
        ("a byte left over", |scene| [signed(scene, |_| ()), vec![0]].concat(), Malformed),
        ("a byte missing", |scene| signed(scene, |_| ())[1..].to_vec(), Malformed),
        ("too large", large_offer, TransactionTooLarge),
        ("no action", |scene| signed(scene, |one| one.actions.clear()), TooManyActions),
        (
            "one action too many",
            |scene| signed(scene, |one| one.actions = vec![transfer(scene); 65]),
            TooManyActions,
        ),
        ("another federation", |scene| signed(scene, |one| one.chain = ChainId([1; 32])), WrongChain),
        (
            "signed by another key",
            |scene| scene.world.envelope("tallinn", vec![transfer(scene)]).sign(&key("tartu")).encode(),
            BadSignature,
        ),
        (
            "no point of the curve as signer",
            |scene| signed(scene, |one| one.signer = hansa_ledger_signature::PublicKey([2; 32])),
            BadSignature,
        ),
        ("valid until now", |scene| signed(scene, |one| one.valid_until = scene.world.now), Expired),
        (
            "valid for too long",
            |scene| signed(scene, |one| one.valid_until = scene.world.now.plus(86_400_002)),
            ValidUntilTooFar,
        ),
        ("valid for ever", |scene| signed(scene, |one| one.valid_until = TimeMs(u64::MAX)), ValidUntilTooFar),
        (
            "a key nobody knows",
            |scene| scene.world.envelope("stranger", vec![transfer(scene)]).sign(&key("stranger")).encode(),
            UnknownKey,
        ),
        (
            "a key taken back",
            |scene| {
                scene.world.envelope("bsc removed", vec![transfer(scene)]).sign(&key("bsc removed")).encode()
            },
            KeyRevoked,
        ),
        ("a nonce used before", |scene| signed(scene, |one| one.nonce -= 1), NonceUsed),
        ("the first nonce again", |scene| signed(scene, |one| one.nonce = 0), NonceUsed),
        ("a nonce left out", |scene| signed(scene, |one| one.nonce += 1), NonceGap),
        ("the last nonce", |scene| signed(scene, |one| one.nonce = u64::MAX), NonceGap),
        (
            "more actions than an epoch allows",
            |scene| signed(scene, |one| one.actions = vec![transfer(scene); 50]),
            QuotaExceeded,
        ),
    ]
}

fn large_offer(scene: &Scene) -> Vec<u8> {
    let offer = PostOffer {
        site: crate::world::name("site"),
        class: crate::world::name("a100-64"),
        ask: Price(0),
        calendar: Calendar::default(),
        owner: None,
        reserve_bps: None,
        reserve_cycle_slots: None,
        contract: scene.world.code,
        contract_params: vec![0; 69_632],
        parties: Vec::new(),
    };
    signed(scene, |one| one.actions = vec![offer.into()])
}

#[test]
fn a_transaction_that_may_stand_in_no_block_is_refused_and_burns_nothing() {
    let scene = Scene::new();
    for (what, bytes, expected) in envelopes() {
        let mut scene = scene.fork();
        let bytes = bytes(&scene);
        let (root, height) = (scene.world.state.root(), chain(&scene.world.state).height);
        assert_eq!(scene.world.attempt(&bytes), Err(expected), "{what}");
        assert_eq!((root, height), (scene.world.state.root(), chain(&scene.world.state).height), "{what}");
        // The sound one still goes through: no nonce was burned.
        assert!(scene.world.attempt(&signed(&scene, |_| ())).is_ok(), "{what}");
    }
}
