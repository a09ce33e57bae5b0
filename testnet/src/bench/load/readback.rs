//! Reading back: which transfers of the load stand in final blocks and were executed.

use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use hansa_ledger::id::TransactionId;
use hansa_ledger::transaction::SignedTransaction;
use hansa_node_api::Client;
use hansa_node_api::status::NodeStatus;
use std::collections::HashSet;

/// A node keeps so many transactions to be read; blocks are read during the run only when it would forget them otherwise, for
/// reading costs the node time.
const BEHIND_MAX: u64 = 60_000;

/// Reads the blocks of one node in order.
pub(super) struct Readback {
    client: Client,
    expected: HashSet<TransactionId>,
    height: u64,
    /// Transactions of the blocks that were read.
    read: u64,
    executed: usize,
}

impl Readback {
    /// Reads from after where the nodes stood `before`.
    pub fn new(federation: &Federation, before: &[NodeStatus], queues: &[Vec<SignedTransaction>]) -> Self {
        Self {
            client: federation.clients()[0].1.clone(),
            expected: queues.iter().flatten().map(SignedTransaction::id).collect(),
            height: before[0].height,
            read: 0,
            executed: 0,
        }
    }

    /// Reads as much as is needed for the node to forget nothing unread.
    pub async fn keep_up(&mut self, done: u64, height: u64) -> Result<(), TestnetError> {
        while done.saturating_sub(self.read) > BEHIND_MAX && self.height < height {
            self.next().await?;
        }
        Ok(())
    }

    /// Reads the rest, and gives how many transfers were executed.
    pub async fn finish(mut self, height: u64) -> Result<usize, TestnetError> {
        while self.height < height {
            self.next().await?;
        }
        Ok(self.executed)
    }

    async fn next(&mut self) -> Result<(), TestnetError> {
        let height = self.height + 1;
        let block = self
            .client
            .block(Some(height))
            .await
            .map_err(api_error(format!("block {height} cannot be read")))?;
        let content = block.content.ok_or_else(|| {
            TestnetError::Broken(format!("block {height} is told to a member without what stands in it"))
        })?;
        for receipt in &content.receipts.transactions {
            if !self.expected.remove(&receipt.transaction) {
                let id = receipt.transaction;
                return Err(TestnetError::Broken(format!(
                    "transaction {id} stands in block {height}, and was not sent or stood in one before"
                )));
            }
            if receipt.code != 0 {
                let text = format!("a transfer was not executed: code {} at height {height}", receipt.code);
                return Err(TestnetError::Broken(text));
            }
            self.executed += 1;
        }
        self.height = height;
        self.read += content.receipts.transactions.len() as u64;
        Ok(())
    }
}
