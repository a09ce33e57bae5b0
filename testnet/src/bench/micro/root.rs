//! The state root after a block: what one changed row costs in a small and in a large ledger.

use super::rounds;
use crate::bench::report::{Bound, Report};
use crate::error::TestnetError;
use hansa_ledger::root::{Trie, Update, key_hash, value_hash};
use std::path::Path;

/// Rows in the ledger, rows that a block changes, and the most a row may cost in microseconds: an eighth of what a common
/// per-key tree of the same size costs.
const SIZES: [(u64, u64); 4] = [(100_000, 1_000), (100_000, 10_000), (1_000_000, 1_000), (1_000_000, 10_000)];

/// Bytes of the largest proof that is accepted.
const PROOF_BYTES_MAX: f64 = 2_048.0;

pub(super) fn measure(report: &mut Report, _: &Path) -> Result<(), TestnetError> {
    let mut trie = Trie::new();
    let mut built = 0;
    let mut proofs = Vec::new();
    for (rows, changed) in SIZES {
        if built < rows {
            let updates: Vec<Update> = (built..rows).map(|row| update(row, 0)).collect();
            trie = trie.apply(&updates);
            built = rows;
        }
        let mut version = 0;
        let prepare = || {
            version += 1;
            // Spread over the whole ledger, and others each time.
            let step = rows / changed;
            (0..changed).map(|index| update(index * step + version % step, version)).collect::<Vec<Update>>()
        };
        let times = rounds(changed as usize, prepare, |updates| trie.apply(&updates));
        report.figure(format!("state root, {rows} rows, {changed} changed: per row"), "us", &times);
    }
    for row in (0..built).step_by(7_919) {
        let proof = trie.prove(&update(row, 0).0);
        proofs.push(borsh::to_vec(&proof).map_err(super::broken)?.len() as f64);
    }
    report.target("size of a proof, 1000000 rows", "B", &proofs, Bound::AtMost, PROOF_BYTES_MAX);
    Ok(())
}

/// A row of 48 bytes under a key of 32.
fn update(row: u64, version: u64) -> Update {
    let mut value = [0u8; 48];
    value[..8].copy_from_slice(&row.to_le_bytes());
    value[8..16].copy_from_slice(&version.to_le_bytes());
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&row.to_le_bytes());
    (key_hash(1, &key), Some(value_hash(&value)))
}
