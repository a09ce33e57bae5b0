//! The last blocks with what became of them, in memory: for those who follow the ledger and ask after a transaction.

use hansa_ledger::block::{Header, Receipts};
use hansa_ledger::id::{BlockId, TransactionId};
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::light::SignedHeader;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The most blocks kept.
pub const HISTORY_BLOCKS_MAX: usize = 4_096;

/// The most transactions kept, over all kept blocks.
pub const HISTORY_TRANSACTIONS_MAX: usize = 65_536;

/// The most bytes kept of transactions, receipts and certificates as they are encoded, over all kept blocks.
pub const HISTORY_BYTES_MAX: usize = 64 << 20;

/// A final block, what became of it, and the proof that it is final.
#[derive(Clone, Debug)]
pub struct BlockRecord {
    /// The block's id.
    pub id: BlockId,
    /// Its header.
    pub header: Header,
    /// Its transactions.
    pub transactions: Vec<SignedTransaction>,
    /// The transactions that its proposer had seen waiting and did not include, rising.
    pub waiting: Vec<TransactionId>,
    /// What became of them, and what happened by itself.
    pub receipts: Receipts,
    /// Borsh of [`crate::consensus::certificate::Certificate`].
    pub certificate: Vec<u8>,
}

/// The last blocks, by height without a gap.
#[derive(Debug, Default)]
pub struct History {
    blocks: VecDeque<Kept>,
    places: BTreeMap<TransactionId, (u64, usize)>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    record: Arc<BlockRecord>,
    bytes: usize,
}

impl BlockRecord {
    /// Its header with its certificate.
    #[must_use]
    pub fn signed_header(&self) -> SignedHeader {
        SignedHeader { id: self.id, header: self.header.clone(), certificate: self.certificate.clone() }
    }

    /// The size of its transactions, waiting list, receipts and certificate as they are encoded; counted, not encoded.
    fn bytes(&self) -> usize {
        let transactions = borsh::object_length(&self.transactions);
        let receipts = borsh::object_length(&self.receipts);
        let waiting = borsh::object_length(&self.waiting);
        let sizes = [transactions.ok(), waiting.ok(), receipts.ok(), Some(self.certificate.len())];
        sizes.into_iter().fold(0, |sum: usize, size| sum.saturating_add(size.unwrap_or(usize::MAX)))
    }
}

impl History {
    /// Adds the next block, and forgets the oldest beyond the limits.
    pub fn push(&mut self, record: Arc<BlockRecord>) {
        let height = record.header.height;
        for (index, receipt) in record.receipts.transactions.iter().enumerate() {
            self.places.insert(receipt.transaction, (height, index));
        }
        let bytes = record.bytes();
        self.bytes = self.bytes.saturating_add(bytes);
        self.blocks.push_back(Kept { record, bytes });
        while self.blocks.len() > HISTORY_BLOCKS_MAX
            || self.places.len() > HISTORY_TRANSACTIONS_MAX
            || self.bytes > HISTORY_BYTES_MAX
        {
            // The newest block stays whatever its size.
            if self.blocks.len() == 1 {
                break;
            }
            let Some(oldest) = self.blocks.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            for receipt in &oldest.record.receipts.transactions {
                self.places.remove(&receipt.transaction);
            }
        }
    }

    /// The block at this height, if it is kept.
    #[must_use]
    pub fn block(&self, height: u64) -> Option<&Arc<BlockRecord>> {
        let first = self.blocks.front()?.record.header.height;
        self.blocks.get(usize::try_from(height.checked_sub(first)?).ok()?).map(|kept| &kept.record)
    }

    /// The blocks after `height`; `None` when the first of them is not kept any more. `tip` is the height of the ledger's last
    /// block: after a restart from a checkpoint nothing is kept of the blocks up to it, and only it tells that there were any.
    #[must_use]
    pub fn since(&self, height: u64, tip: u64) -> Option<Vec<Arc<BlockRecord>>> {
        let Some(last) = self.blocks.back().map(|kept| kept.record.header.height) else {
            return (height >= tip).then(Vec::new);
        };
        if height >= last {
            return Some(Vec::new());
        }
        self.block(height + 1)?;
        let records = self.blocks.iter().map(|kept| &kept.record);
        Some(records.filter(|record| record.header.height > height).cloned().collect())
    }

    /// Where a transaction stands: its block and its position.
    #[must_use]
    pub fn transaction(&self, id: &TransactionId) -> Option<(&Arc<BlockRecord>, usize)> {
        let (height, index) = self.places.get(id)?;
        Some((self.block(*height)?, *index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hansa_ledger::block::Receipt;
    use hansa_ledger::id::ChainId;
    use hansa_ledger::time::TimeMs;

    fn record(height: u64, certificate: Vec<u8>) -> BlockRecord {
        let header = Header {
            protocol_version: 1,
            chain: ChainId([0; 32]),
            height,
            time: TimeMs(height),
            parent: BlockId([0; 32]),
            proposer: "DE".parse().unwrap(),
            transactions_root: [0; 32],
            waiting_root: [0; 32],
            receipts_root: [0; 32],
            state_root: [0; 32],
            members_hash: [0; 32],
        };
        let receipt = Receipt {
            transaction: TransactionId(*blake3::hash(&height.to_le_bytes()).as_bytes()),
            code: 0,
            action: None,
            events: Vec::new(),
        };
        let receipts = Receipts { deadlines: Vec::new(), transactions: vec![receipt] };
        BlockRecord {
            id: BlockId([0; 32]),
            header,
            transactions: Vec::new(),
            waiting: Vec::new(),
            receipts,
            certificate,
        }
    }

    #[test]
    fn the_oldest_blocks_go_when_the_kept_ones_are_too_large() {
        let mut history = History::default();
        let quarter = HISTORY_BYTES_MAX / 4;
        for height in 1..=6 {
            history.push(Arc::new(record(height, vec![0; quarter])));
            let bytes: usize = history.blocks.iter().map(|kept| kept.record.bytes()).sum();
            assert_eq!(bytes, history.bytes);
            assert!(bytes <= HISTORY_BYTES_MAX);
        }
        // What goes with the certificates leaves room for three of them.
        assert!(history.block(3).is_none() && history.block(4).is_some());
        let first = record(1, Vec::new()).receipts.transactions[0].transaction;
        assert!(history.transaction(&first).is_none());
        let small = record(7, Vec::new());
        // Two lists without entries take four bytes each.
        assert_eq!(small.bytes(), 8 + borsh::to_vec(&small.receipts).unwrap().len());
        history.push(Arc::new(small));
        assert!(history.block(4).is_some());
        history.push(Arc::new(record(8, vec![0; HISTORY_BYTES_MAX])));
        assert_eq!(history.blocks.len(), 1, "the newest stays whatever its size");
        assert_eq!(history.since(7, 8).unwrap().len(), 1);
        assert!(history.since(6, 8).is_none());
    }
}
