//! Blocks: a header that commits to everything, and the transactions.

use crate::event::Event;
use crate::id::{BlockId, ChainId, Hash, TransactionId, hash_of};
use crate::member::MemberCode;
use crate::merkle;
use crate::row::data;
use crate::state::State;
use crate::tables::ValidatorSets;
use crate::time::TimeMs;
use crate::transaction::SignedTransaction;
use crate::waiting::waiting_root;
use borsh::{BorshDeserialize, BorshSerialize};
use hansa_ledger_signature::PublicKey;
use serde::{Deserialize, Serialize};

data! {
    /// What the members sign: commits to the transactions, their receipts and the state after them.
    pub struct Header {
        /// Rules the block was made by.
        pub protocol_version: u32,
        /// The federation.
        pub chain: ChainId,
        /// Height; genesis is 0 and has no block.
        pub height: u64,
        /// Block time; later than the parent's.
        pub time: TimeMs,
        /// The block before.
        pub parent: BlockId,
        /// Who proposed it first.
        pub proposer: MemberCode,
        /// Merkle root over the signed transactions' bytes.
        #[serde(with = "hash")]
        pub transactions_root: Hash,
        /// Hash of the list of transactions that its proposer had seen waiting and did not include.
        #[serde(with = "hash")]
        pub waiting_root: Hash,
        /// Merkle root over the receipts; its first leaf is what happened by itself.
        #[serde(with = "hash")]
        pub receipts_root: Hash,
        /// Root of the state after the block.
        #[serde(with = "hash")]
        pub state_root: Hash,
        /// Hash of the member set that signs this height.
        #[serde(with = "hash")]
        pub members_hash: Hash,
    }

    /// A block.
    pub struct Block {
        /// The header.
        pub header: Header,
        /// The transactions, in order.
        pub transactions: Vec<SignedTransaction>,
        /// Ids of transactions that the proposer had seen waiting and did not include, rising.
        pub waiting: Vec<TransactionId>,
    }

    /// What became of one transaction.
    pub struct Receipt {
        /// The transaction.
        pub transaction: TransactionId,
        /// 0 when it was executed, else the number of the rejection.
        pub code: u16,
        /// Position of the action that was refused.
        pub action: Option<u32>,
        /// What it did; empty when it was refused.
        pub events: Vec<Event>,
    }

    /// What became of a block.
    pub struct Receipts {
        /// What happened by itself, before the transactions.
        pub deadlines: Vec<Event>,
        /// One receipt per transaction, in order.
        pub transactions: Vec<Receipt>,
    }

    /// A member as the signer of votes.
    pub struct Validator {
        /// The member.
        pub member: MemberCode,
        /// Its consensus key.
        pub key: PublicKey,
    }
}

impl Header {
    /// The block's id: the hash of the header.
    #[must_use]
    pub fn id(&self) -> BlockId {
        BlockId::derive(self)
    }
}

impl Block {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("encoding into memory cannot fail")
    }

    /// Reads one block from exactly these bytes.
    ///
    /// # Errors
    /// When they are not the canonical encoding of one block.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let block: Self = borsh::from_slice(bytes).map_err(|error| format!("no block: {error}"))?;
        if block.encode() != bytes {
            return Err("no block: the encoding is not canonical".to_owned());
        }
        Ok(block)
    }

    /// Reads the body of the block with this id: its header hashes to the id, and commits to everything else in the body.
    ///
    /// # Errors
    /// What does not belong to the id.
    pub fn read(id: &BlockId, body: &[u8]) -> Result<Self, String> {
        let block = Self::decode(body)?;
        if block.header.id() != *id {
            return Err("the header does not hash to the block's id".to_owned());
        }
        if transactions_root(&block.transactions) != block.header.transactions_root {
            return Err("the transactions are not those the header commits to".to_owned());
        }
        if waiting_root(&block.waiting) != block.header.waiting_root {
            return Err("the list of what waits is not the one the header commits to".to_owned());
        }
        Ok(block)
    }
}

/// The leaf of a signed transaction in the transactions root.
#[must_use]
pub fn transaction_leaf(transaction: &SignedTransaction) -> Hash {
    hash_of("hansa/leaf/transaction", transaction)
}

/// Merkle root over signed transactions.
#[must_use]
pub fn transactions_root(transactions: &[SignedTransaction]) -> Hash {
    merkle::root(&transactions.iter().map(transaction_leaf).collect::<Vec<_>>())
}

impl Receipts {
    /// The leaves of the receipts root: what happened by itself, then each receipt.
    #[must_use]
    pub fn leaves(&self) -> Vec<Hash> {
        let mut leaves = vec![hash_of("hansa/leaf/deadlines", &self.deadlines)];
        leaves.extend(self.transactions.iter().map(|receipt| hash_of("hansa/leaf/receipt", receipt)));
        leaves
    }

    /// Merkle root over the receipts.
    #[must_use]
    pub fn root(&self) -> Hash {
        merkle::root(&self.leaves())
    }

    /// Every event of the block, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.deadlines.iter().chain(self.transactions.iter().flat_map(|receipt| receipt.events.iter()))
    }
}

/// The members that sign `height`, by code: known for every height up to the last block's and the one after the next.
#[must_use]
pub fn validators(state: &State, height: u64) -> &[Validator] {
    let set = state.row_up_to::<ValidatorSets>(&height);
    set.map_or(&[], |(_, set)| set.members.as_slice())
}

/// The hash of a member set, as headers carry it.
#[must_use]
pub fn members_hash(validators: &[Validator]) -> Hash {
    hash_of("hansa/members", &validators.to_vec())
}

/// Hashes as hexadecimal in JSON.
mod hash {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut hash = [0u8; 32];
        hex::decode_to_slice(<String as Deserialize>::deserialize(deserializer)?, &mut hash)
            .map_err(serde::de::Error::custom)?;
        Ok(hash)
    }
}
