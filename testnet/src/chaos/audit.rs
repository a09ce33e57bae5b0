//! What must hold after every fault: all nodes come to one height with one root, no height has two blocks, whatever was called
//! final stands in its block, money is conserved, and nobody honest has signed two things.

use super::load::Load;
use crate::bench::field::{DEPOSIT, agreed};
use crate::error::{TestnetError, api_error};
use crate::federation::Federation;
use crate::layout::Layout;
use hansa_ledger::id::TransactionId;
use hansa_ledger::member::MemberCode;
use std::collections::{BTreeMap, BTreeSet};

/// What a node's log says when it keeps evidence against a member.
const EVIDENCE_MARK: &str = "the evidence is kept";

/// What was looked at so far, so that nothing is looked at twice.
#[derive(Debug, Default)]
pub(super) struct Audit {
    height: u64,
    acknowledged: usize,
    /// Transactions that were called final in blocks not yet looked at.
    open: BTreeMap<u64, Vec<TransactionId>>,
    /// Blocks compared on all nodes.
    pub blocks: u64,
    /// Transactions that were called final and stand in their block.
    pub held: u64,
}

impl Audit {
    /// Looks at all that came since the last time. Nothing is under way.
    pub async fn look(&mut self, federation: &Federation, load: &Load) -> Result<(), TestnetError> {
        let nodes = agreed(federation).await?;
        let tip = nodes.iter().map(|node| node.height).min().unwrap_or(0);
        let acknowledged = load.acknowledged(self.acknowledged);
        self.acknowledged += acknowledged.len();
        for (id, height) in acknowledged {
            self.open.entry(height).or_default().push(id);
        }
        while self.height < tip {
            self.block(federation, self.height + 1).await?;
            self.height += 1;
        }
        if let Some((height, lost)) = self.open.first_key_value() {
            return Err(TestnetError::Broken(format!(
                "{} transactions were called final in block {height}, and the nodes agree on height {tip}",
                lost.len()
            )));
        }
        money(federation, load).await
    }

    async fn block(&mut self, federation: &Federation, height: u64) -> Result<(), TestnetError> {
        let asked = federation.clients().iter().map(|(code, client)| async move {
            let block = client.block(Some(height)).await;
            block.map_err(api_error(format!("block {height} cannot be read at {code}")))
        });
        let blocks = futures::future::try_join_all(asked).await?;
        for (block, (code, _)) in blocks.iter().zip(federation.clients()) {
            if block.id != blocks[0].id || block.header.state_root != blocks[0].header.state_root {
                return Err(TestnetError::Broken(format!(
                    "FORK: block {height} is {} at {code} and {} at {}",
                    block.id,
                    blocks[0].id,
                    federation.clients()[0].0
                )));
            }
        }
        self.blocks += 1;
        let Some(called_final) = self.open.remove(&height) else { return Ok(()) };
        let inside: BTreeSet<TransactionId> = blocks[0].transactions.iter().copied().collect();
        for id in called_final {
            if !inside.contains(&id) {
                let text =
                    format!("LOST: transaction {id} was called final in block {height} and is not in it");
                return Err(TestnetError::Broken(text));
            }
            self.held += 1;
        }
        Ok(())
    }
}

/// The payers' cash only moves among them, and what the members owe each other is zero in sum, at every node.
async fn money(federation: &Federation, load: &Load) -> Result<(), TestnetError> {
    for (code, client) in federation.clients() {
        let mut cash: u128 = 0;
        for firm in &load.firms {
            let detail = client.organisation(firm).await.map_err(api_error("a firm cannot be read"))?;
            cash += u128::from(detail.cash.0);
        }
        let given = u128::from(DEPOSIT.0) * load.firms.len() as u128;
        if cash != given {
            let text = format!("MONEY: the payers were given {given} uEUR, and have {cash} at {code}");
            return Err(TestnetError::Broken(text));
        }
        let members = client.members().await.map_err(api_error("the members cannot be read"))?;
        let positions: i128 = members.iter().map(|member| member.row.position).sum();
        if positions != 0 {
            let text = format!("MONEY: the positions of the members come to {positions} uEUR at {code}");
            return Err(TestnetError::Broken(text));
        }
    }
    Ok(())
}

/// How often each node's log tells that it keeps evidence.
pub(super) fn evidence(layout: &Layout, members: &[MemberCode]) -> usize {
    let count = |code: &MemberCode| {
        let log = std::fs::read(layout.log(code.as_str())).unwrap_or_default();
        String::from_utf8_lossy(&log).matches(EVIDENCE_MARK).count()
    };
    members.iter().map(count).sum()
}
