//! The node's consensus: watched, stopped with the node, and started anew on a ledger that a snapshot replaced.

use super::{NodeError, NodeKeys, Parts, consensus_config, tell_of_keys};
use crate::config::NodeConfig;
use crate::consensus::{self, ConsensusHandle, FatalReason, Status};
use crate::snapshot::{Restored, Restoring};
use hansa_ledger::apply::chain;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What the seat is made of.
pub(super) struct Seat {
    pub(super) parts: Arc<Parts>,
    pub(super) config: NodeConfig,
    pub(super) keys: NodeKeys,
    /// Where consensus stands, whichever one runs.
    pub(super) status: watch::Sender<Status>,
    /// Snapshots that are to become the ledger.
    pub(super) restoring: mpsc::Receiver<Restoring>,
    pub(super) stop: CancellationToken,
}

impl Seat {
    /// Holds consensus until it ends by itself or the node stops; gives the reason in the first case. Consensus has stopped then.
    pub(super) async fn hold(mut self, mut consensus: ConsensusHandle) -> Option<FatalReason> {
        let mut changes = consensus.status_changes();
        loop {
            self.status.send_replace(*changes.borrow_and_update());
            tokio::select! {
                () = self.stop.cancelled() => {
                    consensus.stop().await;
                    return None;
                }
                reason = &mut consensus.fatal => {
                    consensus.stop().await;
                    return reason.ok();
                }
                Ok(()) = changes.changed() => {}
                Some((snapshot, done)) = self.restoring.recv() => {
                    consensus.stop().await;
                    let restored = self.restore(snapshot).await;
                    consensus = match self.start().await {
                        Ok(consensus) => consensus,
                        Err(error) => return Some(FatalReason::NotStarted(error.to_string())),
                    };
                    changes = consensus.status_changes();
                    // Nobody waits any more only if the node stops.
                    let _ = done.send(restored);
                }
            }
        }
    }

    /// Makes the snapshot the ledger. If that fails the ledger is as it was, or the store writes nothing more, which consensus
    /// notices.
    async fn restore(&self, snapshot: Box<Restored>) -> bool {
        let height = snapshot.manifest.header.height;
        tracing::info!(height, rows = snapshot.manifest.content.rows, "a snapshot takes the ledger's place");
        let executor = self.parts.executor.clone();
        let restoring = tokio::task::spawn_blocking(move || {
            let before = chain(&executor.state()).height;
            executor.restore(*snapshot).map(|()| before)
        });
        match restoring.await {
            Ok(Ok(before)) => {
                self.parts.network.set_tip(height);
                tracing::info!(
                    before,
                    height,
                    "the ledger is that of the snapshot; the blocks after it follow"
                );
                true
            }
            Ok(Err(error)) => {
                tracing::error!(height, %error, alarm = "snapshot_not_taken", "the snapshot did not become the ledger");
                false
            }
            Err(error) => {
                tracing::error!(height, %error, alarm = "snapshot_not_taken", "taking a snapshot failed");
                false
            }
        }
    }

    /// Starts consensus on the ledger as it is now: other members may be its peers, and this one may have other keys.
    async fn start(&self) -> Result<ConsensusHandle, NodeError> {
        let executor = &self.parts.executor;
        tell_of_keys(self.config.member, &executor.state(), &self.keys);
        let config = consensus_config(&self.config, executor, &self.keys);
        Ok(consensus::start(config, executor.clone()).await?)
    }
}
