//! Wire format: golden bytes of everything that is hashed, signed or sent, and what is read from TOML and JSON.
//!
//! A changed golden file is a changed protocol. `UPDATE_GOLDEN=1` writes the files anew.

mod documents;
pub mod samples;

use crate::world::{genesis, key, member};
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::action::Action;
use hansa_ledger::block::{Block, Header, Receipt, Receipts, Validator, members_hash, transactions_root};
use hansa_ledger::event::Event;
use hansa_ledger::id::{BlockId, ChainId, TransactionId};
use hansa_ledger::params::Params;
use hansa_ledger::root::{Digest, Proof};
use hansa_ledger::row::{Change, Upgrade, ValidatorSet};
use hansa_ledger::time::TimeMs;
use hansa_ledger::transaction::{SignedTransaction, Transaction};
use std::fmt::Debug;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(format!("{name}.hex"))
}

/// Compares the bytes of `value` with its golden file, and reads it back from them.
fn check<T: BorshSerialize + BorshDeserialize + PartialEq + Debug>(name: &str, value: &T) {
    let (path, bytes) = (golden(name), borsh::to_vec(value).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, hex::encode(&bytes) + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(hex::encode(&bytes), text.trim_end(), "{name}: the wire format changed");
    assert_eq!(&borsh::from_slice::<T>(&bytes).unwrap(), value, "{name}");
    assert!(borsh::from_slice::<T>(&[&bytes[..], &[0]].concat()).is_err(), "{name}: a byte left over");
    assert!(borsh::from_slice::<T>(&bytes[..bytes.len() - 1]).is_err(), "{name}: a byte missing");
}

/// `PlaceRequest` as `place_request`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn transaction(action: Action) -> SignedTransaction {
    let content = Transaction {
        chain: ChainId([0xc4; 32]),
        signer: key("golden").public_key(),
        nonce: 7,
        valid_until: TimeMs(1_800_000_000_000),
        actions: vec![action],
    };
    content.sign(&key("golden"))
}

#[test]
fn a_signed_transaction_of_every_kind_of_action_keeps_its_bytes() {
    let actions = samples::actions();
    let found: Vec<(u8, &str)> =
        actions.iter().map(|action| (borsh::to_vec(action).unwrap()[0], action.name())).collect();
    assert_eq!(found, Action::KINDS, "one sample of each kind, and its tag");
    for action in actions {
        let name = format!("transaction_{}", snake(action.name()));
        let signed = transaction(action);
        check(&name, &signed);
        assert_eq!(SignedTransaction::decode(&signed.encode(), &Params::default()), Ok(signed));
    }
}

#[test]
fn the_content_that_is_signed_is_tagged_and_its_hash_is_the_id() {
    let signed = transaction(samples::actions().remove(0));
    let content = borsh::to_vec(&signed.transaction).unwrap();
    let tagged = [&b"hansa/transaction/1\0"[..], &content].concat();
    assert_eq!(signed.transaction.signing_bytes(), tagged);
    assert_eq!(signed.signature, key("golden").sign(&tagged));
    // Another signature is another leaf of the block and the same transaction.
    let mut other = signed.clone();
    other.signature.0[0] ^= 1;
    assert_eq!(other.id(), signed.id());
    assert_ne!(transactions_root(&[other]), transactions_root(&[signed]));
}

#[test]
fn every_action_reads_back_from_its_json() {
    for action in samples::actions() {
        let json = serde_json::to_value(&action).unwrap();
        assert_eq!(json["action"], snake(action.name()));
        assert_eq!(serde_json::from_value::<Action>(json.clone()).unwrap(), action, "{json}");
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action, "{text}");
        let mut more = json;
        more["surplus"] = 1.into();
        assert!(serde_json::from_value::<Action>(more).is_err(), "a field nobody knows is refused");
    }
    assert!(serde_json::from_str::<Action>(r#"{"action":"mint","amount":"1.00"}"#).is_err());
    let signed = transaction(samples::actions().remove(3));
    let text = serde_json::to_string(&signed).unwrap();
    assert_eq!(serde_json::from_str::<SignedTransaction>(&text).unwrap(), signed);
}

#[test]
fn every_event_keeps_its_bytes_and_reads_back_from_its_json() {
    let events = samples::events();
    for (tag, event) in events.iter().enumerate() {
        assert_eq!(usize::from(borsh::to_vec(event).unwrap()[0]), tag, "one sample of each event, in order");
        let json = serde_json::to_value(event).unwrap();
        let name = json["event"].as_str().unwrap().to_owned();
        check(&format!("event_{name}"), event);
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), *event);
    }
    let next = [u8::try_from(events.len()).unwrap()];
    let error = borsh::from_slice::<Event>(&next).unwrap_err().to_string();
    assert!(error.contains("Unexpected variant tag"), "an event has no sample: {error}");
}

fn header() -> Header {
    Header {
        protocol_version: 1,
        chain: ChainId([0xc4; 32]),
        height: 42,
        time: TimeMs(1_800_000_000_001),
        parent: BlockId([1; 32]),
        proposer: member("EE"),
        transactions_root: [2; 32],
        waiting_root: [6; 32],
        receipts_root: [3; 32],
        state_root: [4; 32],
        members_hash: [5; 32],
    }
}

#[test]
fn blocks_receipts_proofs_and_the_genesis_keep_their_bytes() {
    check("header", &header());
    let transactions = samples::actions().into_iter().take(2).map(transaction).collect();
    let waiting = vec![TransactionId([7; 32]), TransactionId([8; 32])];
    let block = Block { header: header(), transactions, waiting };
    check("block", &block);
    assert_eq!(Block::decode(&block.encode()), Ok(block));
    let id = TransactionId([6; 32]);
    let done = Receipt { transaction: id, code: 0, action: None, events: samples::events() };
    let refused = Receipt { transaction: id, code: 201, action: Some(3), events: Vec::new() };
    check("receipt", &done);
    check("receipt_refused", &refused);
    check("receipts", &Receipts { deadlines: samples::events(), transactions: vec![refused] });
    let validator = Validator { member: member("EE"), key: key("EE consensus").public_key() };
    check("validator", &validator);
    check("validator_set", &ValidatorSet { members: vec![validator.clone()] });
    check("proposal", &samples::proposal());
    check("upgrade", &Upgrade { protocol_version: 2, height: 1_000 });
    for change in samples::changes() {
        check(&format!("change_{}", change.kind()), &change);
        let json = serde_json::to_value(&change).unwrap();
        assert_eq!(json["kind"], change.kind());
        assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
    }
    let digest = |byte| Digest([byte; 32]);
    check("state_proof", &Proof { siblings: vec![digest(1), digest(2)], rows: vec![(digest(3), digest(4))] });
    check("merkle_proof", &hansa_ledger::merkle::Proof(vec![digest(1), digest(2)]));
    check("genesis", &genesis(Params::testnet()));
    check("params", &Params::default());
    // What follows from the bytes: ids and hashes that others compute from the same.
    check("header_id", &header().id());
    check("chain_id", &genesis(Params::testnet()).chain_id());
    check("genesis_state_root", &genesis(Params::testnet()).state().unwrap().root());
    check("members_hash", &members_hash(&[validator]));
    for value in [serde_json::to_value(header()).unwrap(), serde_json::to_value(&done).unwrap()] {
        assert!(value.is_object());
    }
    let text = serde_json::to_string(&header()).unwrap();
    assert_eq!(serde_json::from_str::<Header>(&text).unwrap(), header());
}
