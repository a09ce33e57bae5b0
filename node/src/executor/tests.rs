mod contracts;
mod counts;
mod evidence;
mod governance;

use super::{CHECKPOINT_BYTES, CHECKPOINT_RETRY_HEIGHTS, Executor, OpenError, clock};
use crate::consensus::application::{Application, Origin, Verdict};
use crate::mempool::MempoolLimits;
use hansa_ledger::action::{AccreditOrganisation, Action, RemoveKey, SetKey, organisation_id};
use hansa_ledger::apply::{build_block, chain, params};
use hansa_ledger::block::Block;
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember, GenesisOffice};
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::possession::Possession;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{OrganisationClass, Principal, Roles};
use hansa_ledger::state::State;
use hansa_ledger::tables::Waits;
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::{Cache, Lookup, SecretKey};
use hansa_ledger_store::{LedgerStore, MemoryStore, VALUE_BYTES_MAX};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

pub(crate) fn genesis() -> Genesis {
    let members = ["DE", "EE", "ES", "FR"].map(|code| GenesisMember {
        code: code.parse().unwrap(),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        issue_limit: Money(1_000_000_000),
        debit_cap: Money(1_000_000_000),
        registrar: GenesisOffice::single(key(&format!("{code} registrar")).public_key()),
        treasury: GenesisOffice::single(key(&format!("{code} treasury")).public_key()),
        governance: GenesisOffice::single(key(&format!("{code} governance")).public_key()),
    });
    Genesis {
        name: Name::new("test").unwrap(),
        time: hansa_ledger::time::TimeMs(clock().0 - 1_000),
        vm_profile: hansa_contracts_host::vm_profile(),
        params: Params::testnet(),
        members: members.to_vec(),
        contracts: vec![GenesisContract {
            name: Name::new("spot").unwrap(),
            code: hansa_contracts_bundle::SPOT.to_vec(),
        }],
    }
}

pub(crate) fn open(genesis: &Genesis, store: Arc<dyn LedgerStore>) -> Arc<Executor> {
    Executor::open(genesis.clone(), "DE".parse().unwrap(), store, MempoolLimits::default()).unwrap()
}

/// The word of the key of this name that it acts for the Estonian organisation of this number.
fn proof(executor: &Executor, name: &str, number: &str) -> Possession {
    let organisation = organisation_id("EE".parse().unwrap(), number);
    Possession::prove(executor.chain(), &key(name), Principal::Organisation(organisation))
}

pub(crate) fn accreditation(executor: &Executor, nonce: u64, number: &str) -> SignedTransaction {
    let action = AccreditOrganisation {
        register_number: number.to_owned(),
        owner: None,
        name: Name::new(number).unwrap(),
        class: OrganisationClass::Sme,
        accredited_until: clock().plus(86_400_000),
        key: key(number).public_key(),
        proof: Some(proof(executor, number, number)),
    };
    signed(executor, &key("EE registrar"), nonce, Action::from(action))
}

fn signed(executor: &Executor, by: &SecretKey, nonce: u64, action: Action) -> SignedTransaction {
    let transaction = Transaction {
        chain: executor.chain(),
        signer: by.public_key(),
        nonce,
        valid_until: clock().plus(60_000),
        actions: vec![action],
    };
    transaction.sign(by)
}

/// Builds on one node, judges and commits on both.
fn advance(proposer: &Executor, other: &Executor) -> u64 {
    let height = proposer.tip().height + 1;
    let built = proposer.build(height, 0, Duration::from_secs(1)).unwrap().expect("something waits");
    let proposer_key = key("DE consensus").public_key();
    for node in [proposer, other] {
        let verdict = node.check(height, 0, &proposer_key, &built.id, &built.body, Origin::Live);
        assert_eq!(verdict, Verdict::Valid);
        node.save_undecided(height, 0, &built.id, &built.body, b"record").unwrap();
        node.commit(height, &built.id, b"certificate").unwrap();
        node.commit(height, &built.id, b"certificate").unwrap();
        node.finalize(height, b"certificate", Vec::new()).unwrap();
    }
    assert_eq!(proposer.state().root(), other.state().root());
    height
}

#[test]
fn blocks_are_built_judged_committed_and_found_again_after_a_restart() {
    let genesis = genesis();
    let stores: [Arc<MemoryStore>; 2] = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let [first, second] = stores.clone().map(|store| open(&genesis, store));
    assert_eq!(
        first.build(1, 0, Duration::from_secs(1)).unwrap(),
        None,
        "an empty federation makes no block"
    );
    // The second comes before the first: it waits for it, and both are final in one block.
    let [one, two] = [(0, "one"), (1, "two")].map(|(nonce, number)| accreditation(&first, nonce, number));
    assert!(first.submit_all(vec![two.clone()])[0].is_ok());
    assert_eq!(
        first.build(1, 0, Duration::from_secs(1)).unwrap(),
        None,
        "a gap in the nonces is no reason for a block"
    );
    assert!(first.submit_all(vec![one.clone()])[0].is_ok());
    advance(&first, &second);
    assert_eq!(first.mempool_size(), (0, 0));
    // A transaction's own, and that of the new key within.
    assert_eq!(first.signature_checks(), 4, "each node checks each signature once");
    assert_eq!(second.signature_checks(), 4);
    let (height, index) = {
        let history = first.history();
        let (record, index) = history.transaction(&one.id()).unwrap();
        assert_eq!(record.receipts.transactions[index].code, 0);
        (record.header.height, index)
    };
    assert_eq!((height, index), (1, 0));
    assert_eq!(first.submit_all(vec![one]), vec![Err(Rejection::AlreadyKnown)]);
    let root = first.state().root();
    drop(first);
    let again = open(&genesis, stores[0].clone());
    assert_eq!((again.state().root(), again.tip().height), (root, 1), "replayed from genesis");
    again.checkpoint().unwrap();
    assert!(again.submit_all(vec![accreditation(&again, 2, "three")])[0].is_ok());
    advance(&again, &second);
    drop(again);
    let again = open(&genesis, stores[0].clone());
    assert_eq!(
        again.state().root(),
        second.state().root(),
        "loaded from the checkpoint, replayed from there"
    );
    assert_eq!(chain(&again.state()).height, 2);
}

#[test]
fn bodies_are_refused_that_are_not_what_their_id_says() {
    let genesis = genesis();
    let node = open(&genesis, Arc::new(MemoryStore::new()));
    let judge = open(&genesis, Arc::new(MemoryStore::new()));
    assert!(node.submit_all(vec![accreditation(&node, 0, "one")])[0].is_ok());
    let built = node.build(1, 0, Duration::from_secs(1)).unwrap().unwrap();
    let proposer = key("DE consensus").public_key();
    let verdict = |id: &[u8; 32], body: &[u8], by: &SecretKey, origin| {
        judge.check(1, 0, &by.public_key(), id, body, origin)
    };
    let mut other = built.body.to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert!(matches!(verdict(&built.id, &other, &key("DE consensus"), Origin::Live), Verdict::Mismatch(_)));
    assert!(matches!(
        verdict(&[7; 32], &built.body, &key("DE consensus"), Origin::Live),
        Verdict::Mismatch(_)
    ));
    assert!(matches!(
        verdict(&built.id, &built.body, &key("FR consensus"), Origin::Live),
        Verdict::Invalid(_)
    ));
    assert_eq!(verdict(&built.id, &built.body, &key("FR consensus"), Origin::Reproposed), Verdict::Valid);
    assert_eq!(judge.check(1, 0, &proposer, &built.id, &built.body, Origin::Live), Verdict::Valid);
}

/// Spoils the proof that comes with a new key.
fn spoil_proof(transaction: &mut Transaction) {
    for action in &mut transaction.actions {
        if let Action::AccreditOrganisation(AccreditOrganisation { proof: Some(proof), .. }) = action {
            proof.signature.0[0] ^= 1;
        }
    }
}

#[test]
fn the_mempool_says_why_it_refuses() {
    let genesis = genesis();
    let node = open(&genesis, Arc::new(MemoryStore::new()));
    let good = accreditation(&node, 0, "one");
    let mut wrong_signature = good.clone();
    wrong_signature.signature.0[0] ^= 1;
    let altered = |change: fn(&mut Transaction)| {
        let mut transaction = good.transaction.clone();
        change(&mut transaction);
        transaction.sign(&key("EE registrar"))
    };
    for (transaction, expected) in [
        (wrong_signature, Rejection::BadSignature),
        (altered(spoil_proof), Rejection::PossessionInvalid),
        (altered(|it| it.chain.0[0] ^= 1), Rejection::WrongChain),
        (altered(|it| it.nonce = 5_000), Rejection::NonceGap),
        (altered(|it| it.valid_until = hansa_ledger::time::TimeMs(1)), Rejection::Expired),
        (altered(|it| it.valid_until = clock().plus(1 << 40)), Rejection::ValidUntilTooFar),
        (altered(|it| it.actions.clear()), Rejection::TooManyActions),
        (altered(|it| it.signer = key("nobody").public_key()), Rejection::UnknownKey),
    ] {
        assert_eq!(node.submit_all(vec![transaction]), vec![Err(expected)]);
    }
    assert_eq!(node.mempool_size(), (0, 0), "nothing is remembered of what is refused");
    assert!(node.submit_all(vec![good.clone()])[0].is_ok());
    assert_eq!(node.submit_all(vec![good]), vec![Err(Rejection::AlreadyKnown)]);
}

#[test]
fn no_block_from_the_future_gets_a_vote_however_it_came() {
    let node = open(&genesis(), Arc::new(MemoryStore::new()));
    let one = Cache::new(1).verify(accreditation(&node, 0, "one")).unwrap();
    let skew_max = params(&node.state()).clock_skew_ms;
    let verdict = |time: TimeMs, origin| {
        let state = node.state();
        let candidates = [one.clone()];
        let (block, _) =
            build_block(&state, node.runtime(), node.chain(), node.member(), time, &candidates, &mut || true)
                .unwrap();
        drop(state);
        node.check(1, 0, &key("DE consensus").public_key(), &block.header.id().0, &block.encode(), origin)
    };
    let (past, future) = (chain(&node.state()).time.plus(1), clock().plus(skew_max + 30_000));
    assert!(past.plus(skew_max) < clock(), "the genesis is old enough for a block of the past");
    for (time, origin, timely) in [
        (future, Origin::Live, false),
        (future, Origin::Reproposed, false),
        (future, Origin::Replayed, false),
        (future, Origin::Synced, true),
        (past, Origin::Live, false),
        (past, Origin::Reproposed, true),
        (past, Origin::Replayed, true),
        (clock(), Origin::Live, true),
    ] {
        let said = verdict(time, origin);
        assert_eq!(said == Verdict::Valid, timely, "{origin:?}: {said:?}");
        assert_eq!(matches!(said, Verdict::Untimely(_)), !timely, "{origin:?}: {said:?}");
    }
    // A clock that is behind costs its member the vote until it has caught up, and nothing is held against the block.
    let ahead = clock().plus(skew_max + 300);
    assert!(matches!(verdict(ahead, Origin::Reproposed), Verdict::Untimely(_)));
    while clock().plus(skew_max) < ahead {
        std::thread::yield_now();
    }
    assert_eq!(verdict(ahead, Origin::Reproposed), Verdict::Valid);
}

#[tokio::test]
async fn what_no_block_can_hold_keeps_nobody_awake() {
    let genesis = genesis();
    let [first, second] = [(); 2].map(|()| open(&genesis, Arc::new(MemoryStore::new())));
    let (admin, other) = (key("one"), key("other"));
    assert!(first.submit_all(vec![accreditation(&first, 0, "one")])[0].is_ok());
    advance(&first, &second);
    let set = SetKey {
        key: other.public_key(),
        roles: Roles::ADMIN,
        amount_max: None,
        proof: Some(proof(&first, "other", "one")),
    };
    assert!(first.submit_all(vec![signed(&first, &admin, 0, Action::from(set.clone()))])[0].is_ok());
    advance(&first, &second);
    // The key is taken back by the block in which its own transactions, waiting on both nodes, could have stood.
    let remove = RemoveKey { key: other.public_key() };
    let removal = signed(&first, &admin, 1, Action::from(remove));
    let waiting = [0, 1].map(|nonce| signed(&first, &other, nonce, Action::from(set.clone())));
    let bundle = [&[removal][..], &waiting].concat();
    for node in [&first, &second] {
        assert!(node.submit_all(bundle.clone()).iter().all(Result::is_ok));
        assert!(tokio::time::timeout(Duration::from_secs(5), node.work()).await.is_ok());
    }
    let height = advance(&first, &second);
    assert_eq!(second.history().transaction(&waiting[0].id()).map(|_| ()), None, "the removal came first");
    assert_eq!(height, 3);
    for node in [&first, &second] {
        assert_eq!(node.mempool_size(), (0, 0));
        assert!(!node.is_ready());
        assert!(node.due() > clock().plus(1_000), "nor is a deadline or the heartbeat near");
        assert!(tokio::time::timeout(Duration::from_millis(100), node.work()).await.is_err());
    }
}

#[test]
fn nothing_is_locked_while_signatures_are_checked() {
    let node = open(&genesis(), Arc::new(MemoryStore::new()));
    let [one, two] = [(0, "one"), (1, "two")].map(|(nonce, number)| accreditation(&node, nonce, number));
    // Another thread has the second signature in hand: the submission has to wait for it.
    let mut claimed = Lookup::new(vec![two.clone()]);
    node.signatures.claim(&mut claimed);
    std::thread::scope(|scope| {
        let submission = scope.spawn(|| node.submit_all(vec![one.clone(), two.clone()]));
        while node.signature_checks() == 0 {
            std::thread::yield_now();
        }
        assert!(node.state.try_write().is_ok() && node.mempool.try_lock().is_ok());
        claimed.check();
        node.signatures.settle(&mut claimed);
        assert!(submission.join().unwrap().iter().all(Result::is_ok));
    });
    assert_eq!(node.signature_checks(), 4, "each with the one within");
    assert_eq!(node.mempool_size().0, 2);
}

#[test]
fn a_checkpoint_holds_one_height_whole_whenever_it_is_written() {
    let genesis = genesis();
    let store = Arc::new(MemoryStore::new());
    let [node, other] = [store.clone(), Arc::new(MemoryStore::new())].map(|store| open(&genesis, store));
    /// Ends the checking also when the test fails.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    let checked = std::thread::scope(|scope| {
        let finish = Done(&done);
        let checking = scope.spawn(|| {
            let (mut checked, mut last) = (0, None);
            while !done.load(Ordering::Relaxed) {
                node.checkpoint().unwrap();
                let checkpoint = store.latest_checkpoint().unwrap();
                if checkpoint == last {
                    continue;
                }
                last = checkpoint;
                checked += 1;
                let mut rows = Vec::new();
                let mut visit = |table: u8, key: &[u8], value: &[u8]| {
                    rows.push((table, key.to_vec(), value.to_vec()));
                    Ok(())
                };
                store.rows(&mut visit).unwrap();
                let state = State::load(rows, hansa_ledger::id::BlockId([0; 32])).unwrap();
                let checkpoint = checkpoint.unwrap();
                assert_eq!(state.root(), checkpoint.root, "height {}", checkpoint.height);
            }
            checked
        });
        for height in 0..40 {
            let bundle =
                (0..20).map(|index| accreditation(&node, height * 20 + index, &format!("{height}.{index}")));
            assert!(node.submit_all(bundle.collect()).iter().all(Result::is_ok));
            advance(&node, &other);
            if checking.is_finished() {
                break;
            }
        }
        drop(finish);
        checking.join().unwrap()
    });
    assert!(checked > 5, "{checked}");
}

#[test]
fn a_checkpoint_that_finds_no_room_is_tried_again_and_ends_no_node() {
    let genesis = genesis();
    let store = Arc::new(MemoryStore::new());
    let [node, other] = [store.clone(), Arc::new(MemoryStore::new())].map(|store| open(&genesis, store));
    let large = (u8::MAX, b"too large".to_vec());
    {
        let mut dirty = node.lock_dirty();
        dirty.bytes = CHECKPOINT_BYTES;
        dirty.rows.insert(large.clone(), Some(vec![0; VALUE_BYTES_MAX + 1]));
    }
    let next = |nonce: u64| {
        assert!(node.submit_all(vec![accreditation(&node, nonce, &format!("number-{nonce}"))])[0].is_ok());
        // Finalizing is part of it, and it succeeds.
        advance(&node, &other);
    };
    next(0);
    assert_eq!(store.latest_checkpoint().unwrap(), None);
    assert!(node.lock_dirty().rows.contains_key(&large), "the rows are kept");
    assert!(node.lock_dirty().rows.len() > 10);
    node.lock_dirty().rows.remove(&large);
    for nonce in 1..=CHECKPOINT_RETRY_HEIGHTS {
        assert_eq!(store.latest_checkpoint().unwrap(), None, "not at once again");
        next(nonce);
    }
    let root = node.state().root();
    assert_eq!(store.latest_checkpoint().unwrap().map(|checkpoint| checkpoint.root), Some(root));
    drop(node);
    assert_eq!(open(&genesis, store).state().root(), root);
}

#[test]
fn the_ledger_of_another_federation_is_not_opened() {
    let genesis = genesis();
    let other = Genesis { name: Name::new("other").unwrap(), ..genesis.clone() };
    for checkpoint in [false, true] {
        let store = Arc::new(MemoryStore::new());
        let node = open(&genesis, store.clone());
        assert!(node.submit_all(vec![accreditation(&node, 0, "one")])[0].is_ok());
        advance(&node, &open(&genesis, Arc::new(MemoryStore::new())));
        if checkpoint {
            node.checkpoint().unwrap();
        }
        drop(node);
        let opened =
            Executor::open(other.clone(), "DE".parse().unwrap(), store.clone(), MempoolLimits::default());
        let Err(OpenError::OtherGenesis { stored, expected }) = opened else {
            panic!("opened with a checkpoint: {checkpoint}");
        };
        assert_eq!((stored, expected), (genesis.chain_id(), other.chain_id()));
        open(&genesis, store);
    }
}

#[test]
fn a_proposer_out_of_time_builds_what_it_can() {
    let node = open(&genesis(), Arc::new(MemoryStore::new()));
    let bundle = (0..5).map(|nonce| accreditation(&node, nonce, &format!("number-{nonce}"))).collect();
    assert!(node.submit_all(bundle).iter().all(Result::is_ok));
    for (budget, count) in [(Duration::ZERO, 1), (Duration::from_secs(60), 5)] {
        let built = node.build(1, 0, budget).unwrap().unwrap();
        assert_eq!(Block::decode(&built.body).unwrap().transactions.len(), count);
    }
}

#[test]
fn what_does_not_fit_into_a_small_block_is_listed_once_it_has_waited_for_a_whole_height() {
    let mut genesis = genesis();
    genesis.params.block_transactions_max = 1;
    let [node, other] = [0, 1].map(|_| open(&genesis, Arc::new(MemoryStore::new())));
    let listed = |node: &Executor| {
        let height = node.tip().height + 1;
        let built = node.build(height, 0, Duration::from_secs(1)).unwrap().expect("something waits");
        Block::decode(&built.body).unwrap().waiting
    };
    let five: Vec<_> = (0..5).map(|nonce| accreditation(&node, nonce, &format!("number-{nonce}"))).collect();
    assert!(node.submit_all(five.clone()).iter().all(Result::is_ok));
    // They came before the first height, and nobody had a height to take them in.
    assert_eq!(listed(&node), []);
    advance(&node, &other);
    assert_eq!(listed(&node), [], "they came while the last height was made");
    advance(&node, &other);
    // Two are final, one stands in the block, and two have waited through the second height.
    let mut late = [five[3].id(), five[4].id()];
    late.sort_unstable();
    assert_eq!(listed(&node), late);
    advance(&node, &other);
    for node in [&node, &other] {
        let followed: Vec<_> = node.state().rows::<Waits>().map(|(id, _)| *id).collect();
        assert_eq!(followed, late);
    }
    // One that came just now is not listed beside them.
    assert!(node.submit_all(vec![accreditation(&node, 5, "number-5")])[0].is_ok());
    assert_eq!(listed(&node), [five[4].id()]);
    for _ in 0..3 {
        advance(&node, &other);
    }
    assert_eq!(other.state().rows::<Waits>().count(), 0, "what is included is followed no more");
    assert_eq!(
        node.build(7, 0, Duration::from_secs(1)).unwrap(),
        None,
        "nothing is left to make a block for"
    );
}

#[test]
fn a_body_with_another_list_is_not_the_block_its_id_names() {
    let node = open(&genesis(), Arc::new(MemoryStore::new()));
    assert!(node.submit_all(vec![accreditation(&node, 0, "one")])[0].is_ok());
    let built = node.build(1, 0, Duration::from_secs(1)).unwrap().unwrap();
    let mut block = Block::decode(&built.body).unwrap();
    block.waiting.push(hansa_ledger::id::TransactionId([1; 32]));
    let proposer = key("DE consensus").public_key();
    let verdict = node.check(1, 0, &proposer, &built.id, &block.encode(), Origin::Live);
    assert!(matches!(verdict, Verdict::Mismatch(_)), "{verdict:?}");
}
