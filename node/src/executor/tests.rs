use super::{Executor, clock};
use crate::consensus::application::{Application, Origin, Verdict};
use crate::mempool::MempoolLimits;
use hansa_ledger::action::{AccreditOrganisation, Action};
use hansa_ledger::apply::chain;
use hansa_ledger::genesis::{Genesis, GenesisContract, GenesisMember};
use hansa_ledger::money::Money;
use hansa_ledger::name::Name;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::OrganisationClass;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use hansa_ledger_signature::SecretKey;
use hansa_ledger_store::{LedgerStore, MemoryStore};
use std::sync::Arc;
use std::time::Duration;

fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
}

fn genesis() -> Genesis {
    let members = ["DE", "EE", "ES", "FR"].map(|code| GenesisMember {
        code: code.parse().unwrap(),
        consensus_key: key(&format!("{code} consensus")).public_key(),
        network_key: key(&format!("{code} network")).public_key(),
        registrar_key: key(&format!("{code} registrar")).public_key(),
        treasury_key: key(&format!("{code} treasury")).public_key(),
        governance_key: key(&format!("{code} governance")).public_key(),
        issue_limit: Money(1_000_000_000),
        debit_cap: Money(1_000_000_000),
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

fn open(genesis: &Genesis, store: Arc<dyn LedgerStore>) -> Arc<Executor> {
    Executor::open(genesis.clone(), "DE".parse().unwrap(), store, MempoolLimits::default()).unwrap()
}

fn accreditation(executor: &Executor, nonce: u64, number: &str) -> SignedTransaction {
    let action = AccreditOrganisation {
        register_number: number.to_owned(),
        owner: None,
        name: Name::new(number).unwrap(),
        class: OrganisationClass::Sme,
        accredited_until: clock().plus(86_400_000),
        key: key(number).public_key(),
    };
    let registrar = key("EE registrar");
    let transaction = Transaction {
        chain: executor.chain(),
        signer: registrar.public_key(),
        nonce,
        valid_until: clock().plus(60_000),
        actions: vec![Action::from(action)],
    };
    transaction.sign(&registrar)
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
    assert_eq!(first.build(1, 0, Duration::from_secs(1)).unwrap(), None, "an empty federation makes no block");
    // The second comes before the first: it waits for it, and both are final in one block.
    let [one, two] = [(0, "one"), (1, "two")].map(|(nonce, number)| accreditation(&first, nonce, number));
    assert!(first.submit_all(vec![two.clone()])[0].is_ok());
    assert_eq!(first.build(1, 0, Duration::from_secs(1)).unwrap(), None, "a gap in the nonces is no reason for a block");
    assert!(first.submit_all(vec![one.clone()])[0].is_ok());
    advance(&first, &second);
    assert_eq!(first.mempool_size(), (0, 0));
    assert_eq!(first.signature_checks(), 2, "each node checks each signature once");
    assert_eq!(second.signature_checks(), 2);
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
    assert_eq!(again.state().root(), second.state().root(), "loaded from the checkpoint, replayed from there");
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
    assert!(matches!(verdict(&[7; 32], &built.body, &key("DE consensus"), Origin::Live), Verdict::Mismatch(_)));
    assert!(matches!(verdict(&built.id, &built.body, &key("FR consensus"), Origin::Live), Verdict::Invalid(_)));
    assert_eq!(verdict(&built.id, &built.body, &key("FR consensus"), Origin::Reproposed), Verdict::Valid);
    assert_eq!(judge.check(1, 0, &proposer, &built.id, &built.body, Origin::Live), Verdict::Valid);
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
