//! Contracts that come while the federation runs: every node has them, also one that starts again.

use super::*;
use hansa_ledger::action::{ApproveContract, DeprecateContract, UploadContract};
use hansa_ledger::id::CodeHash;
use hansa_ledger::row::ContractState;
use hansa_ledger::tables::Contracts;

/// The built-in contract under another name: other bytes, so another contract.
fn renamed() -> Vec<u8> {
    let mut code = hansa_contracts_bundle::SPOT.to_vec();
    let name = b"\x04\0\0\0spot";
    let place = code.windows(name.len()).rposition(|window| window == name).expect("it names itself");
    code[place + 4..place + 8].copy_from_slice(b"spat");
    code
}

fn act(nodes: &[Arc<Executor>; 2], signer: &str, action: impl Into<Action>) {
    let key = key(signer);
    let transaction = signed(&nodes[0], &key, nodes[0].nonce_next(&key.public_key()), action.into());
    assert_eq!(nodes[0].submit_all(vec![transaction.clone()]), [Ok(transaction.id())]);
    advance(&nodes[0], &nodes[1]);
    let height = nodes[0].tip().height;
    let receipts = nodes[0].history().block(height).unwrap().receipts.clone();
    assert_eq!(receipts.transactions[0].code, 0, "{receipts:?}");
}

fn state_of(node: &Executor, code: CodeHash) -> Option<ContractState> {
    node.state().get::<Contracts>(&code).map(|row| row.state)
}

#[test]
fn a_contract_is_loaded_when_it_becomes_active_and_by_every_node_that_starts_again() {
    let mut genesis = genesis();
    genesis.params.contract_deposit_byte = 0;
    genesis.params.contract_timelock_ms = 100;
    let stores = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let nodes = stores.clone().map(|store| open(&genesis, store));
    let transaction = accreditation(&nodes[0], 0, "one");
    assert!(nodes[0].submit_all(vec![transaction])[0].is_ok());
    advance(&nodes[0], &nodes[1]);
    let code = CodeHash(*blake3::hash(&renamed()).as_bytes());
    act(
        &nodes,
        "one",
        UploadContract { name: Name::new("spat").unwrap(), code: renamed(), budget_line: None },
    );
    let summary = nodes[1].state().get::<Contracts>(&code).unwrap().summary.clone().unwrap();
    assert_eq!((summary.name.as_str(), summary.bytes as usize), ("spat", renamed().len()));
    assert!(nodes.iter().all(|node| !node.runtime().knows(&code.0)), "nobody has approved it");
    for member in ["DE", "EE"] {
        act(&nodes, &format!("{member} governance"), ApproveContract { code });
    }
    while state_of(&nodes[0], code) == Some(ContractState::Approved) {
        if nodes[0].due() <= clock() {
            advance(&nodes[0], &nodes[1]);
        } else {
            std::thread::yield_now();
        }
    }
    assert_eq!(state_of(&nodes[1], code), Some(ContractState::Active));
    assert!(nodes.iter().all(|node| node.runtime().knows(&code.0)));
    // Both ways of starting: every block again, and from a checkpoint.
    let root = nodes[0].state().root();
    drop(nodes);
    let again = open(&genesis, stores[0].clone());
    assert_eq!(again.state().root(), root);
    assert!(again.runtime().knows(&code.0), "replayed");
    again.checkpoint().unwrap();
    drop(again);
    let nodes = stores.map(|store| open(&genesis, store));
    assert!(nodes.iter().all(|node| node.runtime().knows(&code.0)), "loaded from the checkpoint");
    // What has gone need not be there.
    act(&nodes, "one", DeprecateContract { code });
    assert_eq!(state_of(&nodes[1], code), Some(ContractState::Deprecated));
    assert!(nodes[0].due() <= clock().plus(1_000), "nothing rests on it");
}
