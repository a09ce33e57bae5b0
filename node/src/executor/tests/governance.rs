//! Members and rules that change, as the application half of consensus sees them.

use super::*;
use hansa_ledger::action::{Propose, RotateKeys, Vote};
use hansa_ledger::id::ProposalId;
use hansa_ledger::row::{Change, ProposalState};
use hansa_ledger::tables::Proposals;

/// Signs an action with the governance office of `code`, and makes a block of it on both nodes.
fn act(nodes: &[Arc<Executor>; 2], code: &str, action: impl Into<Action>) {
    let key = key(&format!("{code} governance"));
    let transaction = signed(&nodes[0], &key, nodes[0].nonce_next(&key.public_key()), action.into());
    assert_eq!(nodes[0].submit_all(vec![transaction.clone()]), [Ok(transaction.id())]);
    advance(&nodes[0], &nodes[1]);
}

/// Votes for a change until it has passed.
fn pass(nodes: &[Arc<Executor>; 2], change: Change) -> ProposalId {
    act(nodes, "DE", Propose { change, activate_after_ms: 100 });
    let id = *nodes[0].state().rows::<Proposals>().next().unwrap().0;
    for code in ["DE", "EE", "ES"] {
        act(nodes, code, Vote { proposal: id, approve: true });
    }
    id
}

/// Makes the block that carries a proposal out, once its time has come.
fn activate(nodes: &[Arc<Executor>; 2], proposal: ProposalId) {
    let state = || nodes[0].state().get::<Proposals>(&proposal).unwrap().state;
    while state() == ProposalState::Passed {
        if nodes[0].due() <= clock() {
            advance(&nodes[0], &nodes[1]);
        } else {
            std::thread::yield_now();
        }
    }
    assert_eq!(state(), ProposalState::Activated);
}

fn federation() -> (Genesis, [Arc<MemoryStore>; 2], [Arc<Executor>; 2]) {
    let mut genesis = genesis();
    genesis.params.upgrade_delay_ms = 100;
    genesis.params.members_delay_ms = 100;
    let stores = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let nodes = stores.clone().map(|store| open(&genesis, store));
    (genesis, stores, nodes)
}

fn reopen(
    genesis: &Genesis,
    store: &Arc<MemoryStore>,
    versions: &'static [u32],
) -> Result<Arc<Executor>, OpenError> {
    let member = "DE".parse().unwrap();
    Executor::open_knowing(genesis.clone(), member, store.clone(), MempoolLimits::default(), versions)
}

#[test]
fn consensus_is_told_who_signs_each_height() {
    let (_, _, nodes) = federation();
    let keys = |height| -> Vec<_> {
        nodes[1].validators(height).into_iter().map(|one| (one.name, one.key)).collect()
    };
    let before = keys(1);
    assert_eq!(before.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["DE", "EE", "ES", "FR"]);
    let fresh = key("fresh").public_key();
    act(&nodes, "FR", RotateKeys { consensus_key: fresh, network_key: key("FR network").public_key() });
    let h = nodes[1].tip().height;
    let mut after = before.clone();
    after[3].1 = fresh;
    assert_eq!((keys(h), keys(h + 1), keys(h + 2)), (before.clone(), before, after));
    // A proposal signed by a key of the next set is none of this height's.
    let transaction = accreditation(&nodes[0], 0, "one");
    assert!(nodes[0].submit_all(vec![transaction])[0].is_ok());
    let built = nodes[0].build(h + 1, 0, Duration::from_secs(1)).unwrap().unwrap();
    let judged = |signer: &str, body: &[u8], id| {
        nodes[1].check(h + 1, 0, &key(signer).public_key(), id, body, Origin::Live)
    };
    assert!(matches!(judged("fresh", &built.body, &built.id), Verdict::Invalid(_)));
    assert_eq!(judged("DE consensus", &built.body, &built.id), Verdict::Valid);
}

#[test]
fn a_program_without_the_next_rules_stops_before_them_and_one_with_them_goes_on() {
    let (genesis, stores, nodes) = federation();
    let height = 8;
    let proposal = pass(&nodes, Change::Upgrade { protocol_version: 2, height });
    activate(&nodes, proposal);
    let mut nonce = 0;
    while nodes[0].tip().height < height - 1 {
        assert_eq!(nodes[0].unknown_rules(nodes[0].tip().height + 1), None);
        assert_eq!(stores[0].latest_checkpoint().unwrap(), None, "nothing else has called for a checkpoint");
        assert!(
            nodes[0].submit_all(vec![accreditation(&nodes[0], nonce, &format!("org-{nonce}"))])[0].is_ok()
        );
        nonce += 1;
        advance(&nodes[0], &nodes[1]);
    }
    // The last block of the old rules has a checkpoint, so that no restart executes it by others.
    let checkpoint = stores[0].latest_checkpoint().unwrap().unwrap();
    assert_eq!((checkpoint.height, checkpoint.protocol_version), (height - 1, 1));
    assert_eq!(nodes[0].unknown_rules(height), Some(2));
    assert!(nodes[0].submit_all(vec![accreditation(&nodes[0], nonce, "next")])[0].is_ok());
    assert!(nodes[0].build(height, 0, Duration::from_secs(1)).is_err());
    let root = nodes[0].state().root();
    let refused = |store, versions| match reopen(&genesis, store, versions) {
        Err(OpenError::UnknownRules { height, version }) => (height, version),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened without the rules"),
    };
    assert_eq!(refused(&stores[0], &[1]), (height, 2));

    let both = stores.clone().map(|store| reopen(&genesis, &store, &[1, 2]).unwrap());
    assert_eq!((both[0].state().root(), both[0].tip().height), (root, height - 1));
    assert!(both[0].submit_all(vec![accreditation(&both[0], nonce, "next")])[0].is_ok());
    let built = both[0].build(height, 0, Duration::from_secs(1)).unwrap().unwrap();
    assert_eq!(Block::decode(&built.body).unwrap().header.protocol_version, 2);
    // The old program neither accepts the block nor holds anything against it.
    let by = key("DE consensus").public_key();
    let judged = nodes[1].check(height, 0, &by, &built.id, &built.body, Origin::Live);
    assert!(matches!(judged, Verdict::NotReady(_)), "{judged:?}");
    advance(&both[0], &both[1]);
    assert_eq!(chain(&both[0].state()).protocol_version, 2);
    // Neither the block alone nor a checkpoint of the new rules is read by a program without them.
    assert_eq!(refused(&stores[0], &[1]), (height, 2));
    both[0].checkpoint().unwrap();
    assert_eq!(refused(&stores[0], &[1]), (height, 2));
    assert_eq!(reopen(&genesis, &stores[0], &[1, 2]).unwrap().tip().height, height);
}
