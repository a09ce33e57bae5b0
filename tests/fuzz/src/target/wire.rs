//! What is hashed, signed and sent: every value has one encoding.

use super::Verdict;
use crate::corpus::golden;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger::block::{Block, Header, Receipt, Receipts, Validator};
use hansa_ledger::event::Event;
use hansa_ledger::genesis::Genesis;
use hansa_ledger::params::Params;
use hansa_ledger::rejection::Rejection;
use hansa_ledger::row::{Change, Upgrade, ValidatorSet};
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger::{merkle, root};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Reads a value: what is accepted has no other encoding, and comes back from JSON as it is.
fn value<T>(bytes: &[u8]) -> Verdict
where
    T: BorshSerialize + BorshDeserialize + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let Ok(value) = borsh::from_slice::<T>(bytes) else { return Verdict::Refused };
    assert_eq!(borsh::to_vec(&value).unwrap(), bytes, "another encoding of {value:?}");
    let json = serde_json::to_string(&value).unwrap();
    let again: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(again, value, "{json}");
    Verdict::Accepted
}

/// The kinds of values, by the first byte of an input, and the golden bytes of each.
const KINDS: [(&str, fn(&[u8]) -> Verdict); 13] = [
    ("transaction_", value::<SignedTransaction>),
    ("event_", value::<Event>),
    ("header", value::<Header>),
    ("receipt", value::<Receipt>),
    ("receipts", value::<Receipts>),
    ("change_", value::<Change>),
    ("genesis", value::<Genesis>),
    ("params", value::<Params>),
    ("state_proof", value::<root::Proof>),
    ("merkle_proof", value::<merkle::Proof>),
    ("upgrade", value::<Upgrade>),
    ("validator", value::<Validator>),
    ("validator_set", value::<ValidatorSet>),
];

pub fn values(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = bytes.split_first() else { return Verdict::Refused };
    KINDS.get(usize::from(*kind)).map_or(Verdict::Refused, |(_, read)| read(bytes))
}

pub fn value_seeds() -> Vec<Vec<u8>> {
    let kinds = (0u8..).zip(KINDS);
    kinds
        .flat_map(|(kind, (name, _))| {
            golden(name).into_iter().map(move |bytes| [&[kind], &bytes[..]].concat())
        })
        .collect()
}

pub fn transaction(bytes: &[u8]) -> Verdict {
    let params = Params::default();
    match SignedTransaction::decode(bytes, &params) {
        Ok(transaction) => {
            assert_eq!(transaction.encode(), bytes);
            let checked = transaction.check(&transaction.transaction.chain, &params);
            // The shape says the same whatever way the transaction came.
            let json = serde_json::to_vec(&transaction).unwrap();
            let again: SignedTransaction = serde_json::from_slice(&json).unwrap();
            assert_eq!((again.id(), again.encode()), (transaction.id(), bytes.to_vec()));
            assert_eq!(again.check(&transaction.transaction.chain, &params), checked);
            if let Err(code) = checked {
                assert_eq!(Rejection::from_code(code as u16), Some(code));
            }
            let mut other = transaction.transaction.chain;
            other.0[0] ^= 1;
            assert!(transaction.check(&other, &params).is_err(), "of another federation");
            Verdict::of(&checked)
        }
        Err(code) => {
            assert!(matches!(code, Rejection::Malformed | Rejection::TransactionTooLarge), "{code:?}");
            Verdict::Refused
        }
    }
}

pub fn transaction_seeds() -> Vec<Vec<u8>> {
    golden("transaction_")
}

pub fn block(bytes: &[u8]) -> Verdict {
    let Ok(block) = Block::decode(bytes) else { return Verdict::Refused };
    assert_eq!(block.encode(), bytes);
    let id = block.header.id();
    let read = Block::read(&id, bytes);
    if let Ok(read) = &read {
        let root = hansa_ledger::block::transactions_root(&read.transactions);
        assert_eq!((read, root), (&block, block.header.transactions_root));
    }
    let mut other = id;
    other.0[31] ^= 1;
    assert!(Block::read(&other, bytes).is_err(), "the body of another block");
    Verdict::of(&read)
}

pub fn block_seeds() -> Vec<Vec<u8>> {
    let mut seeds = golden("block");
    // With roots that fit what is in it.
    for bytes in seeds.clone() {
        let mut block = Block::decode(&bytes).unwrap();
        block.header.transactions_root = hansa_ledger::block::transactions_root(&block.transactions);
        block.header.waiting_root = hansa_ledger::waiting::waiting_root(&block.waiting);
        seeds.push(block.encode());
    }
    seeds
}

pub fn bundle(bytes: &[u8]) -> Verdict {
    let (gossip, interface) = (hansa_node::gossip::read_bundle(bytes), hansa_node_api::bundle::decode(bytes));
    assert_eq!(gossip.as_ref(), interface.as_ref().ok(), "the two readers disagree");
    match &interface {
        Ok(transactions) => assert_eq!(hansa_node_api::bundle::encode(transactions), bytes),
        Err(reason) => assert!(!reason.is_empty()),
    }
    Verdict::of(&interface)
}

pub fn bundle_seeds() -> Vec<Vec<u8>> {
    let transactions: Vec<SignedTransaction> =
        golden("transaction_").iter().map(|bytes| borsh::from_slice(bytes).unwrap()).collect();
    [1, 2, 5].iter().map(|count| hansa_node_api::bundle::encode(&transactions[..*count])).collect()
}
