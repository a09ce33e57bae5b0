//! When a node needs a snapshot, and what it does with one.

use super::fetch::{Answer, Fetcher, SnapshotPeers};
use super::manifest::Trust;
use super::restore::Restored;
use super::waypoint::member_sets;
use super::wire::{Kept, SnapshotReply, SnapshotRequest};
use crate::consensus::certificate::faults_max;
use crate::executor::Executor;
use crate::network::{NetworkHandle, PeerId};
use crate::node::Parts;
use crate::readiness::Standing;
use async_trait::async_trait;
use hansa_ledger::apply::chain;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a snapshot is needed.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// What a node is told about snapshots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotSettings {
    /// A snapshot is fetched where it is at least this many blocks ahead, though the blocks between could be had too.
    pub(crate) blocks_ahead: u64,
}

/// The pause after a snapshot that did not become the ledger, most likely for want of room.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

/// A snapshot on its way into the ledger, and who waits to hear whether it is there.
pub(crate) type Restoring = (Box<Restored>, oneshot::Sender<bool>);

#[async_trait]
impl SnapshotPeers for NetworkHandle {
    fn ready(&self) -> Vec<PeerId> {
        self.peers().into_iter().filter(|peer| peer.member && peer.ready).map(|peer| peer.peer_id).collect()
    }

    async fn kept(&self, peer: PeerId) -> Option<Kept> {
        match self.ask_snapshot(peer, SnapshotRequest::Kept).await? {
            SnapshotReply::Kept(kept) => Some(kept),
            _ => None,
        }
    }

    async fn manifest(&self, peer: PeerId, id: [u8; 32]) -> Answer {
        answer(self.ask_snapshot(peer, SnapshotRequest::Manifest(id)).await)
    }

    async fn part(&self, peer: PeerId, id: [u8; 32], index: u32) -> Answer {
        answer(self.ask_snapshot(peer, SnapshotRequest::Part { id, index }).await)
    }
}

fn answer(reply: Option<SnapshotReply>) -> Answer {
    match reply {
        Some(SnapshotReply::Bytes(bytes)) => Answer::Given(bytes),
        Some(SnapshotReply::Missing) => Answer::Missing,
        Some(SnapshotReply::Kept(_)) | None => Answer::Silent,
    }
}

/// Watches how far the others are, and fetches a snapshot when the node has far to go or nobody keeps the next block. Block sync
/// goes on meanwhile; whoever sits at the other end of `restoring` makes it the ledger.
pub(crate) async fn follow_snapshots(
    parts: Arc<Parts>,
    fetcher: Fetcher,
    settings: SnapshotSettings,
    restoring: mpsc::Sender<Restoring>,
    stop: CancellationToken,
) {
    let mut nowhere = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_PAUSE) => {}
        }
        let standing = Standing::of(&parts.executor, &parts.network, &parts.heights);
        if !standing.is_behind() {
            continue;
        }
        let working = look(&parts.executor, &fetcher, settings, standing.members);
        let found = tokio::select! {
            () = stop.cancelled() => return,
            found = working => found,
        };
        match found {
            Found::Snapshot(restored) => {
                let manifest = restored.manifest.clone();
                let height = manifest.header.height;
                parts
                    .snapshot_progress
                    .set(Some(format!("takes the snapshot of height {height} for its ledger")));
                let (done, told) = oneshot::channel();
                if restoring.send((restored, done)).await.is_err() {
                    return;
                }
                match told.await {
                    Ok(true) => fetcher.hand_on(manifest),
                    Ok(false) => tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(FAILED_PAUSE) => {}
                    },
                    // The other end is gone only when the node stops.
                    Err(_) => return,
                }
            }
            Found::NoBlock if !nowhere => {
                nowhere = true;
                tracing::error!(
                    alarm = "cannot_catch_up",
                    height = standing.height,
                    "no connected member keeps the next block, and none has a snapshot that could be taken; the node waits for one"
                );
            }
            Found::NoBlock | Found::Nothing => {}
        }
        parts.snapshot_progress.set(None);
    }
}

/// What a look at the others gave.
enum Found {
    /// A snapshot that was checked.
    Snapshot(Box<Restored>),
    /// None is needed, or none was there.
    Nothing,
    /// None was there, and the next block cannot be had either.
    NoBlock,
}

async fn look(executor: &Executor, fetcher: &Fetcher, settings: SnapshotSettings, members: usize) -> Found {
    let kept = fetcher.ask().await;
    let trust = trust(executor);
    let Some(above) = height_wanted(&kept, trust.height, settings) else { return Found::Nothing };
    let restored = fetcher.fetch(&kept, &trust, above, faults_max(members) + 1).await;
    match restored {
        // Blocks may have come meanwhile.
        Some(restored) if restored.manifest.header.height > chain(&executor.state()).height => {
            Found::Snapshot(Box::new(restored))
        }
        Some(_) => Found::Nothing,
        None if above == trust.height => Found::NoBlock,
        None => Found::Nothing,
    }
}

/// What the node's own ledger says of the members.
pub(crate) fn trust(executor: &Executor) -> Trust {
    let state = executor.state();
    Trust {
        chain: executor.chain(),
        height: chain(&state).height,
        sets: member_sets(&state),
        versions: state.protocol_versions(),
    }
}

/// Above which height a snapshot is wanted, if it is.
fn height_wanted(kept: &BTreeMap<PeerId, Kept>, height: u64, settings: SnapshotSettings) -> Option<u64> {
    let has_next = |kept: &Kept| kept.blocks_from > 0 && kept.blocks_from <= height.saturating_add(1);
    if kept.is_empty() {
        return None;
    }
    if !kept.values().any(has_next) {
        return Some(height);
    }
    let far = height.saturating_add(settings.blocks_ahead);
    let ahead = kept.values().flat_map(|kept| &kept.snapshots).any(|offer| offer.height >= far);
    ahead.then(|| far.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::super::wire::Offer;
    use super::*;

    #[test]
    fn a_snapshot_is_wanted_when_nobody_keeps_the_next_block_or_it_is_far_ahead() {
        let settings = SnapshotSettings { blocks_ahead: 100 };
        let member = |blocks_from, height| {
            let snapshots = vec![Offer { height, id: [1; 32] }];
            (PeerId::random(), Kept { blocks_from, snapshots })
        };
        let wanted =
            |members: Vec<(PeerId, Kept)>| height_wanted(&members.into_iter().collect(), 50, settings);
        assert_eq!(wanted(vec![]), None, "nobody answered");
        assert_eq!(wanted(vec![member(51, 149), member(120, 149)]), None, "one keeps the next block");
        assert_eq!(wanted(vec![member(1, 150)]), Some(149), "it keeps all, and its snapshot is far ahead");
        assert_eq!(wanted(vec![member(52, 60), member(120, 140)]), Some(50), "nobody keeps the next block");
        assert_eq!(wanted(vec![member(0, 60)]), Some(50), "a member without blocks keeps none");
    }
}
