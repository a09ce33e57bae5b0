//! From one store into another.

use crate::verify::{block, decided};
use crate::{ArchiveError, Progress, Stage};
use hansa_ledger_store::{Checkpoint, Commit, LedgerStore};

/// Rows between two words of progress.
const ROWS_TOLD: u64 = 10_000;

/// Everything that was decided: blocks, checkpoint, evidence, and what is kept of blocks that are forgotten.
pub(crate) fn copy_decided(
    from: &dyn LedgerStore,
    to: &dyn LedgerStore,
    progress: Progress<'_>,
) -> Result<(), ArchiveError> {
    for evidence in from.evidence()? {
        to.put_evidence(&evidence)?;
    }
    for (height, record) in from.waypoints()? {
        to.put_waypoint(height, &record)?;
    }
    let Some(tip) = from.tip()? else { return Ok(()) };
    for height in from.history_height_min()..=tip.height {
        let decided = decided(from, height)?;
        put_block(to, height, &decided)?;
        progress(Stage::Blocks, height, Some(tip.height));
    }
    if let Some(info) = from.latest_checkpoint()? {
        let mut checkpoint = Checkpoint {
            height: info.height,
            root: info.root,
            protocol_version: info.protocol_version,
            ..Checkpoint::default()
        };
        let mut rows = 0u64;
        from.rows(&mut |table, key, value| {
            checkpoint.rows.insert((table, key.to_vec()), Some(value.to_vec()));
            rows = rows.saturating_add(1);
            if rows.is_multiple_of(ROWS_TOLD) {
                progress(Stage::Rows, rows, None);
            }
            Ok(())
        })?;
        to.checkpoint(&checkpoint)?;
        progress(Stage::Rows, rows, Some(rows));
    }
    Ok(())
}

/// One decided block.
pub(crate) fn put_block(
    to: &dyn LedgerStore,
    height: u64,
    decided: &hansa_ledger_store::Decided,
) -> Result<(), ArchiveError> {
    to.put_body(&decided.block, &decided.body)?;
    let commit = Commit {
        height,
        block: decided.block,
        root: decided.root,
        certificate: &decided.certificate,
        checkpoint: None,
    };
    to.commit(&commit)?;
    Ok(())
}

/// What the node had under way: the proposals above the last block, with their bodies.
pub(crate) fn copy_undecided(from: &dyn LedgerStore, to: &dyn LedgerStore) -> Result<(), ArchiveError> {
    let tip = from.tip()?.map_or(0, |tip| tip.height);
    // Members work on the height after the last block; one of them may be a block ahead.
    for height in [tip.saturating_add(1), tip.saturating_add(2)] {
        for undecided in from.undecided_at(height)? {
            let body = from
                .body(&undecided.id)?
                .ok_or_else(|| block(height, "the body of a proposal is missing"))?;
            to.put_body_and_undecided(height, undecided.round, &undecided.id, &body, &undecided.record)?;
        }
    }
    Ok(())
}
