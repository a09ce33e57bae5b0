//! Small duties that recur: waiting transactions are sent again, and what nobody needs any more goes.

use super::Parts;
use crate::executor::{Executor, clock};
use crate::rights::{leases_over, named_by_ledger};
use crate::snapshot::{Sets, Shelf, keep_waypoints, member_sets};
use bytes::Bytes;
use hansa_ledger::apply::params;
use hansa_ledger::id::TransactionId;
use hansa_ledger::transaction::SignedTransaction;
use hansa_ledger_store::{LedgerStore, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often blobs that nothing names any more are looked for.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);

/// How often the bodies of blocks beyond the configured history are looked for. A full block has a megabyte and more: in a minute
/// of a flood a hundred megabytes came together.
const PRUNE_PAUSE: Duration = Duration::from_secs(10);

/// Between two batches of them commits have the store for themselves, and the database writes out what it took: without,
/// forty blocks of a megabyte had it take 250 MB of memory and 100 MB of disk more (`bench overload --history-blocks 20`).
const PRUNE_BATCH_PAUSE: Duration = Duration::from_millis(250);

/// How often transactions that still wait are sent to the members again: gossip promises nothing.
const RESEND_PAUSE: Duration = Duration::from_secs(2);

/// Small duties that recur: send waiting transactions again, drop blobs, logs and adverts whose time is over.
pub(super) async fn keep_house(parts: Arc<Parts>, stop: CancellationToken) {
    let mut resend = tokio::time::interval(RESEND_PAUSE);
    let mut sweep = tokio::time::interval(SWEEP_PAUSE);
    let mut oldest = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = resend.tick() => oldest = resend_waiting(&parts, oldest).await,
            _ = sweep.tick() => {
                sweep_blobs(&parts).await;
                sweep_logs(&parts).await;
            }
        }
    }
}

/// What has waited for a whole pause was not carried by gossip to a member whose turn it was. Gives the oldest that waits, to be
/// compared the next time.
async fn resend_waiting(parts: &Arc<Parts>, before: Option<TransactionId>) -> Option<TransactionId> {
    let waiting = parts.executor.waiting(crate::gossip::WAITING_BYTES_MAX);
    let oldest = waiting.first().map(SignedTransaction::id);
    if oldest.is_some() && oldest == before {
        // Gossip drops bytes it has seen, so they are handed to each member directly.
        let bundle = Bytes::from(borsh::to_vec(&waiting).expect("encoding into memory cannot fail"));
        let members = parts.network.peers().into_iter().filter(|peer| peer.member && peer.ready);
        for member in members {
            let (network, bundle) = (parts.network.clone(), bundle.clone());
            tokio::spawn(async move { network.send_transactions(member.peer_id, bundle).await });
        }
    }
    oldest
}

async fn sweep_blobs(parts: &Arc<Parts>) {
    let now = clock();
    let retention = params(&parts.executor.state()).blob_retention_ms;
    parts.adverts.lock().expect("no thread panics while it holds the adverts").drop_past(now.0);
    let named = named_by_ledger(&parts.executor, &parts.blobs, now.0, retention).await;
    let blobs = parts.blobs.clone();
    let swept = tokio::task::spawn_blocking(move || {
        blobs.sweep(now.0, &|hash| named.contains(&hansa_ledger::id::BlobHash(*hash)))
    });
    if let Ok(Err(error)) = swept.await {
        tracing::warn!(%error, "blobs could not be swept");
    }
}

/// Logs go with the blobs of their lease.
async fn sweep_logs(parts: &Arc<Parts>) {
    let retention = params(&parts.executor.state()).blob_retention_ms;
    let over = leases_over(&parts.executor, parts.logs.leases(), clock().0, retention);
    let logs = parts.logs.clone();
    let swept = tokio::task::spawn_blocking(move || logs.sweep(&|lease| !over.contains(lease)));
    if let Err(error) = swept.await {
        tracing::warn!(%error, "logs of jobs could not be swept");
    }
}

/// Forgets the bodies of blocks beyond `history_blocks`, batch after batch, unless that is 0.
pub(super) async fn keep_history(
    parts: Arc<Parts>,
    snapshots: Arc<Shelf>,
    history_blocks: u64,
    stop: CancellationToken,
) {
    while history_blocks > 0 && !stop.is_cancelled() {
        let (executor, snapshots) = (parts.executor.clone(), snapshots.clone());
        let pruned =
            tokio::task::spawn_blocking(move || prune_history(&executor, &snapshots, history_blocks));
        let pause = match pruned.await {
            Ok(Ok(1..)) => PRUNE_BATCH_PAUSE,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the bodies of old blocks could not be forgotten");
                PRUNE_PAUSE
            }
            Ok(Ok(0)) | Err(_) => PRUNE_PAUSE,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Forgets the bodies of all but the last `history_blocks` blocks, and of those above the older of the snapshots, which whoever
/// fetches it needs: one batch of them.
fn prune_history(executor: &Executor, snapshots: &Shelf, history_blocks: u64) -> Result<u64, StoreError> {
    let sets = member_sets(&executor.state());
    // Where snapshots are made and there are not two yet, the first blocks are the only way.
    let needed = if executor.makes_snapshots() { snapshots.lowest().unwrap_or(0) } else { u64::MAX };
    prune_bodies(executor.store().as_ref(), &sets, history_blocks, needed.saturating_add(1))
}

/// Forgets the bodies of all but the last `history_blocks` blocks and those from `needed` on, one batch of them, and says how many.
/// The block of the latest checkpoint stays: a restart begins with it. Of the first block of each set of members, header and
/// certificate stay for good.
pub(crate) fn prune_bodies(
    store: &dyn LedgerStore,
    sets: &Sets,
    history_blocks: u64,
    needed: u64,
) -> Result<u64, StoreError> {
    let (Some(tip), Some(checkpoint)) = (store.tip()?, store.latest_checkpoint()?) else { return Ok(0) };
    let kept = tip.height.saturating_add(1).saturating_sub(history_blocks);
    let below = kept.min(checkpoint.height).min(needed);
    if below <= store.history_height_min() {
        return Ok(0);
    }
    keep_waypoints(store, sets, below)?;
    store.prune_bodies_below(below, u64::MAX)
}
