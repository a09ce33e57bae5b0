//! What makes a block a block of this chain, and what becomes of a transaction in it.

use crate::scene::{Scene, params};
use crate::world::{START, World, key, member};
use hansa_ledger::action::{Action, TransferCash};
use hansa_ledger::apply::{BlockError, Outcome, admit, apply_block, build_block, chain};
use hansa_ledger::block::{Block, Header};
use hansa_ledger::event::Event;
use hansa_ledger::id::{BlockId, ChainId};
use hansa_ledger::money::Money;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{AccountId, OrganisationClass};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::{Cache, Verified};

/// Two Estonian organisations, one with 50 EUR.
fn two(params: Params) -> World {
    let mut world = World::with(params);
    for number in ["payer", "payee"] {
        world.accredit("EE", number, OrganisationClass::Sme);
    }
    world.deposit("EE", "payer", 50);
    world
}

fn pay(world: &World, to: &str, amount: u64) -> Action {
    TransferCash { to: world.organisation("EE", to), amount: Money(amount) }.into()
}

fn cash(world: &World, number: &str) -> u64 {
    world.balance(&AccountId::Cash(world.organisation("EE", number)))
}

/// A payment with nonce `ahead` of the next one, and a change of the envelope.
fn payment(
    world: &mut World,
    ahead: u64,
    change: impl FnOnce(&mut Transaction),
) -> Verified<SignedTransaction> {
    let mut transaction = world.envelope("payer", vec![pay(world, "payee", 1)]);
    transaction.nonce += ahead;
    change(&mut transaction);
    world.cache.verify(transaction.sign(&key("payer"))).unwrap()
}

fn apply(
    world: &World,
    header: &Header,
    transactions: &[Verified<SignedTransaction>],
) -> Result<Outcome, BlockError> {
    apply_block(&world.state, &world.runtime, world.chain, header, transactions)
}

fn error(world: &World, header: &Header, transactions: &[Verified<SignedTransaction>]) -> BlockError {
    match apply(world, header, transactions) {
        Err(error) => error,
        Ok(_) => panic!("the block was accepted"),
    }
}

#[test]
fn a_transaction_that_no_block_may_hold_refuses_the_whole_block_and_names_its_place() {
    type Spoil = fn(&mut World) -> Verified<SignedTransaction>;
    let rows: [(&str, Spoil, Rejection); 8] = [
        ("wrong chain", |w| payment(w, 1, |one| one.chain = ChainId([9; 32])), Rejection::WrongChain),
        ("replayed", |w| payment(w, 0, |_| ()), Rejection::NonceUsed),
        ("gap", |w| payment(w, 2, |_| ()), Rejection::NonceGap),
        ("expired", |w| payment(w, 1, |one| one.valid_until = START), Rejection::Expired),
        (
            "valid for too long",
            |w| {
                let until = w.now.plus(2 + w.params().transaction_validity_ms_max);
                payment(w, 1, |one| one.valid_until = until)
            },
            Rejection::ValidUntilTooFar,
        ),
        (
            "unknown key",
            |w| {
                let transaction = w.envelope("nobody", vec![pay(w, "payee", 1)]).sign(&key("nobody"));
                w.cache.verify(transaction).unwrap()
            },
            Rejection::UnknownKey,
        ),
        ("no action", |w| payment(w, 1, |one| one.actions.clear()), Rejection::TooManyActions),
        (
            "an action no state accepts",
            |w| {
                let nothing = pay(w, "payee", 0);
                payment(w, 1, |one| one.actions = vec![nothing])
            },
            Rejection::AmountZero,
        ),
    ];
    let world = two(Params::testnet());
    for (what, spoil, rejection) in rows {
        let mut world = world.fork();
        let (sound, spoiled) = (payment(&mut world, 0, |_| ()), spoil(&mut world));
        let pair = [sound, spoiled];
        let found = error(&world, &world.draft_header(1), &pair);
        assert_eq!(found, BlockError::Transaction { index: 1, rejection }, "{what}");
        // A proposer leaves it out and keeps the sound one.
        let (block, _) = build_block(
            &world.state,
            &world.runtime,
            world.chain,
            member("DE"),
            world.now.plus(1),
            &pair,
            &mut || true,
        )
        .unwrap();
        assert_eq!(block.transactions, [SignedTransaction::clone(&pair[0])], "{what}");
    }
}

#[test]
fn validity_ends_with_the_last_millisecond_of_valid_until() {
    let mut world = two(Params::testnet());
    let now = world.now.plus(5);
    for (until, expected) in [
        (now.0, Ok(())),
        (now.0 - 1, Err(Rejection::Expired)),
        (now.0 + world.params().transaction_validity_ms_max, Ok(())),
        (now.0 + world.params().transaction_validity_ms_max + 1, Err(Rejection::ValidUntilTooFar)),
    ] {
        let transaction = payment(&mut world, 0, |one| one.valid_until = TimeMs(until));
        let found = admit(&world.state.view(), world.params(), now, &transaction, 100);
        assert_eq!(found.map(|_| ()), expected, "{until}");
    }
}

#[test]
fn a_failing_action_takes_back_all_of_its_transaction_and_burns_the_nonce() {
    let mut world = two(Params::testnet());
    let actions = vec![
        pay(&world, "payee", 20_000_000),
        pay(&world, "payee", 20_000_000),
        pay(&world, "payee", 20_000_000),
    ];
    let failing = world.sign("payer", actions);
    let sound = world.sign("payer", vec![pay(&world, "payee", 1)]);
    let nonce = world.nonce("payer");
    let receipts = world.block(1, &[failing.clone(), sound]);
    let [failed, done] = &receipts.transactions[..] else { panic!("{receipts:?}") };
    assert_eq!((failed.code, failed.action), (Rejection::FundsInsufficient.code(), Some(2)));
    assert!(failed.events.is_empty());
    assert_eq!(failed.transaction, failing.id());
    assert_eq!((done.code, done.action, done.events.len()), (0, None, 1));
    assert_eq!((cash(&world, "payer"), cash(&world, "payee")), (49_999_999, 1));
    assert_eq!(world.nonce("payer"), nonce + 2);
    // The refused one cannot come again, now that there might be money for it.
    world.deposit("EE", "payer", 100);
    let header = world.draft_header(1);
    let rejection = Rejection::NonceUsed;
    assert_eq!(error(&world, &header, &[failing]), BlockError::Transaction { index: 0, rejection });
}

#[test]
fn several_nonces_of_a_key_stand_in_one_block_in_order_only() {
    let mut world = two(Params::testnet());
    let three = [0, 1, 2].map(|ahead| payment(&mut world, ahead, |_| ()));
    let swapped = [three[1].clone(), three[0].clone()];
    let found = error(&world, &world.draft_header(1), &swapped);
    assert_eq!(found, BlockError::Transaction { index: 0, rejection: Rejection::NonceGap });
    world.block(1, &three);
    assert_eq!(cash(&world, "payee"), 3);
}

#[test]
fn every_field_of_a_header_is_checked_and_named() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let transactions =
        [world.sign("tallinn", vec![TransferCash { to: scene.tartu, amount: Money(5) }.into()])];
    let (block, _) = build_block(
        &world.state,
        &world.runtime,
        world.chain,
        member("DE"),
        world.now.plus(10),
        &transactions,
        &mut || true,
    )
    .unwrap();
    let good = block.header;
    assert!(apply(world, &good, &transactions).is_ok());
    let before = chain(&world.state).time;
    type Tamper = fn(&mut Header);
    let rows: [(Tamper, BlockError); 13] = [
        (|header| header.protocol_version = 2, BlockError::ProtocolVersion(2)),
        (|header| header.chain = ChainId([1; 32]), BlockError::Header("chain")),
        (|header| header.height += 1, BlockError::Height { expected: good.height, found: good.height + 1 }),
        (|header| header.height -= 1, BlockError::Height { expected: good.height, found: good.height - 1 }),
        (|header| header.time = header.time.plus(1), BlockError::Header("state root")),
        (|header| header.time = TimeMs(header.time.0 - 10), BlockError::Time(before)),
        (|header| header.time = TimeMs(u64::MAX), BlockError::Time(TimeMs(u64::MAX))),
        (|header| header.parent = BlockId([1; 32]), BlockError::Header("parent")),
        (|header| header.proposer = member("EU"), BlockError::Proposer(member("EU"))),
        (|header| header.transactions_root[0] ^= 1, BlockError::Header("transactions root")),
        (|header| header.receipts_root[31] ^= 1, BlockError::Header("receipts root")),
        (|header| header.state_root[7] ^= 1, BlockError::Header("state root")),
        (|header| header.members_hash[0] ^= 1, BlockError::Header("members hash")),
    ];
    for (tamper, expected) in rows {
        let mut header = good.clone();
        tamper(&mut header);
        assert_eq!(error(world, &header, &transactions), expected);
        assert_ne!(header.id(), good.id(), "the id covers every field: {expected}");
    }
    let stranger = Header { proposer: member("PL"), ..good.clone() };
    assert_eq!(error(world, &stranger, &transactions), BlockError::Proposer(member("PL")));
    // Another order or another list of transactions has another root.
    assert_eq!(error(world, &good, &[]), BlockError::Needless);
}

#[test]
fn a_block_needs_a_transaction_a_deadline_or_the_heartbeat() {
    let world = two(Params::testnet());
    let heartbeat = world.params().heartbeat_ms;
    let at = |after_ms| error(&world, &world.draft_header(after_ms), &[]);
    assert_eq!(at(0), BlockError::Time(world.now));
    assert_eq!(at(1), BlockError::Needless);
    assert_eq!(at(heartbeat - 1), BlockError::Needless);
    assert!(matches!(at(heartbeat), BlockError::Header(_)));
    // The next deadline of all is the end of an accreditation.
    let due = hansa_ledger::deadline::next_deadline(&world.state).unwrap();
    assert!(due.0 - world.now.0 > heartbeat);
    let mut early = two(Params { heartbeat_ms: 600_000, ..Params::testnet() });
    early.grant("EE", "payer", "grant-1", 1);
    let due = hansa_ledger::deadline::next_deadline(&early.state).unwrap().0 - early.now.0;
    early.block(due - 600_000, &[]);
    let at = |after_ms| error(&early, &early.draft_header(after_ms), &[]);
    assert_eq!(at(599_999), BlockError::Needless);
    assert!(matches!(at(600_000), BlockError::Header(_)));
}

#[test]
fn a_block_holds_no_more_transactions_and_bytes_than_it_may() {
    let params = Params { block_transactions_max: 2, ..Params::testnet() };
    let mut world = two(params);
    let three = [0, 1, 2].map(|ahead| payment(&mut world, ahead, |_| ()));
    assert_eq!(error(&world, &world.draft_header(1), &three), BlockError::TooLarge);
    let time = world.now.plus(1);
    let (block, _) =
        build_block(&world.state, &world.runtime, world.chain, member("DE"), time, &three, &mut || true)
            .unwrap();
    assert_eq!(block.transactions.len(), 2);

    let params = Params { block_bytes_max: 69_632, transaction_bytes_max: 8_192, ..Params::testnet() };
    let mut world = two(params);
    let full: Vec<_> = (0..30)
        .map(|ahead| {
            let pay = pay(&world, "payee", 1);
            payment(&mut world, ahead, |one| one.actions = vec![pay; 60])
        })
        .collect();
    let bytes = full[0].encode().len();
    let fitting = 69_632 / bytes;
    assert!(fitting < 30);
    assert_eq!(error(&world, &world.draft_header(1), &full[..=fitting]), BlockError::TooLarge);
    assert!(matches!(error(&world, &world.draft_header(1), &full[..fitting]), BlockError::Header(_)));
}

/// Where a node would refuse these bytes: `None` if nowhere.
fn refused(world: &World, bytes: &[u8]) -> Option<Rejection> {
    let transaction = match SignedTransaction::decode(bytes, world.params()) {
        Ok(transaction) => transaction,
        Err(rejection) => return Some(rejection),
    };
    if let Err(rejection) = transaction.check(&world.chain, world.params()) {
        return Some(rejection);
    }
    let Ok(verified) = Cache::new(0).verify(transaction) else { return Some(Rejection::BadSignature) };
    admit(&world.state.view(), world.params(), world.now.plus(1), &verified, bytes.len() as u64).err()
}

#[test]
fn a_transaction_with_any_byte_changed_cut_or_added_is_refused() {
    let world = two(params());
    let bytes = world.envelope("payer", vec![pay(&world, "payee", 1)]).sign(&key("payer")).encode();
    assert_eq!(refused(&world, &bytes), None);
    for index in 0..bytes.len() {
        for flip in [1, 2, 0x10, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[index] ^= flip;
            assert!(refused(&world, &changed).is_some(), "byte {index} changed by {flip:#x}");
        }
        assert_eq!(refused(&world, &bytes[..index]), Some(Rejection::Malformed), "cut at {index}");
        assert!(refused(&world, &bytes[index + 1..]).is_some(), "begun after {index}");
    }
    for more in [&[0][..], &[1], &bytes] {
        assert_eq!(refused(&world, &[&bytes, more].concat()), Some(Rejection::Malformed));
    }
}

#[test]
fn a_transaction_of_one_federation_is_refused_by_another() {
    let world = two(params());
    let other = two(Params { heartbeat_ms: 29_999, ..params() });
    let bytes = world.envelope("payer", vec![pay(&world, "payee", 1)]).sign(&key("payer")).encode();
    assert_eq!((refused(&world, &bytes), refused(&other, &bytes)), (None, Some(Rejection::WrongChain)));
}

#[test]
fn a_block_reads_back_from_exactly_its_bytes() {
    let mut world = two(Params::testnet());
    let pair = [0, 1].map(|ahead| payment(&mut world, ahead, |_| ()));
    let time = world.now.plus(1);
    let (block, _) =
        build_block(&world.state, &world.runtime, world.chain, member("DE"), time, &pair, &mut || true)
            .unwrap();
    let bytes = block.encode();
    assert_eq!(Block::decode(&bytes), Ok(block));
    for spoiled in [&bytes[..bytes.len() - 1], &bytes[1..], &[&bytes[..], &[0]].concat(), &[]] {
        assert!(Block::decode(spoiled).unwrap_err().starts_with("no block: "));
    }
    // A count of transactions or of what waits that no block of this length can hold is refused without making room for it.
    let transactions: usize = pair.iter().map(|one| one.encode().len()).sum();
    for place in [bytes.len() - 4, bytes.len() - 8 - transactions] {
        let mut endless = bytes.clone();
        endless[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Block::decode(&endless).is_err());
    }
}

#[test]
fn values_with_two_spellings_are_no_transaction() {
    let scene = Scene::new();
    let demand = crate::scene::demand(&scene.world, hansa_ledger::row::Purse::Cash);
    let place = hansa_ledger::action::PlaceRequest { demand };
    let bytes = scene.world.envelope("tallinn", vec![place.into()]).sign(&key("tallinn")).encode();
    assert!(SignedTransaction::decode(&bytes, scene.world.params()).is_ok());
    let class = bytes.windows(7).position(|window| window == b"a100-64").unwrap();
    // A capital letter, and a byte that is no text.
    for byte in [b'A', 0xff, 0] {
        let mut changed = bytes.clone();
        changed[class] = byte;
        let found = SignedTransaction::decode(&changed, scene.world.params());
        assert_eq!(found, Err(Rejection::Malformed), "{byte}");
    }
    // The option of a job, just before the signature, is neither 0 nor 1.
    let mut changed = bytes.clone();
    let place = bytes.len() - 65;
    assert_eq!(changed[place], 0);
    changed[place] = 2;
    assert_eq!(SignedTransaction::decode(&changed, scene.world.params()), Err(Rejection::Malformed));
}

#[test]
fn the_same_block_gives_the_same_bytes_whoever_executes_it() {
    let mut world = two(Params::testnet());
    let pair = [0, 1].map(|ahead| payment(&mut world, ahead, |_| ()));
    let time = world.now.plus(1);
    let runtime = world.runtime.clone();
    let build =
        |state| build_block(state, &runtime, world.chain, member("FR"), time, &pair, &mut || true).unwrap();
    let ((one, first), (other, second)) = (build(&world.state), build(&world.twin));
    assert_eq!(one.encode(), other.encode());
    assert_eq!(first.changes.rows(), second.changes.rows());
    assert_eq!(borsh::to_vec(&first.receipts).unwrap(), borsh::to_vec(&second.receipts).unwrap());
}

#[test]
fn a_block_runs_so_many_deadlines_and_the_next_block_the_rest() {
    let mut world = two(Params { block_deadlines_max: 2, ..Params::testnet() });
    let grants =
        ["one", "two", "three", "four", "five"].map(|reference| world.grant("EE", "payer", reference, 1));
    let due = hansa_ledger::deadline::next_deadline(&world.state).unwrap();
    let mut closed = Vec::new();
    let mut counts = Vec::new();
    let mut wait = due.0 - world.now.0 + 1_000;
    while closed.len() < 5 {
        let events = world.block(wait, &[]).deadlines;
        counts.push(events.len());
        closed.extend(events.into_iter().map(|event| match event {
            Event::GrantClosed { grant, .. } => grant,
            other => panic!("{other:?}"),
        }));
        wait = 1;
    }
    assert_eq!(counts, [2, 2, 1]);
    assert_eq!(closed, grants, "by the time they were due");
    assert_eq!(error(&world, &world.draft_header(1), &[]), BlockError::Needless);
}
