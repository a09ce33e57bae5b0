//! A store out of an archive.

use crate::compact::{remove, rename};
use crate::copy::put_block;
use crate::file::{Reader, Record};
use crate::{ArchiveError, Progress, Report, Stage, verify};
use hansa_ledger::genesis::Genesis;
use hansa_ledger_store::{Checkpoint, Decided, LedgerStore, OpenOptions, SledStore};
use std::fs;
use std::path::Path;

/// Makes a store in `directory`, which must not exist, of what an archive holds. It is verified as [`verify`] does before it
/// gets its name, so a node may start on it at once.
///
/// # Errors
/// Whatever is not sound; nothing is left behind then.
pub fn import(
    path: &Path,
    directory: &Path,
    genesis: &Genesis,
    progress: Progress<'_>,
) -> Result<Report, ArchiveError> {
    if fs::exists(directory).map_err(ArchiveError::file("look for", directory))? {
        return Err(ArchiveError::Exists(directory.to_owned()));
    }
    let mut name = directory.file_name().unwrap_or_default().to_os_string();
    name.push(".importing");
    let aside = directory.with_file_name(name);
    remove(&aside)?;
    let made = make(path, &aside, genesis, progress);
    if made.is_err() {
        remove(&aside)?;
    }
    let report = made?;
    rename(&aside, directory)?;
    Ok(report)
}

fn make(
    path: &Path,
    aside: &Path,
    genesis: &Genesis,
    progress: Progress<'_>,
) -> Result<Report, ArchiveError> {
    let (mut reader, head) = Reader::open(path)?;
    if head.chain != genesis.chain_id().0 {
        return Err(ArchiveError::Genesis("the archive is of another federation".to_owned()));
    }
    let store = SledStore::open(aside, OpenOptions { create_new: true, ..OpenOptions::default() })?;
    let mut checkpoint = head.checkpoint.map(|(height, root, protocol_version)| Checkpoint {
        height,
        root,
        protocol_version,
        ..Checkpoint::default()
    });
    let mut next = head.heights.0;
    while let Some(record) = reader.next()? {
        match (record, &mut checkpoint) {
            (Record::Block { height, block, root, certificate, body }, _)
                if height == next && height <= head.heights.1 =>
            {
                put_block(&store, height, &Decided { block, root, certificate, body })?;
                next = next.saturating_add(1);
                progress(Stage::Blocks, height, Some(head.heights.1));
            }
            (Record::Rows(rows), Some(checkpoint)) => {
                for (table, key, value) in rows {
                    checkpoint.rows.insert((table, key), Some(value));
                }
                let count = u64::try_from(checkpoint.rows.len()).unwrap_or(u64::MAX);
                progress(Stage::Rows, count, None);
            }
            (Record::Evidence(evidence), _) => store.put_evidence(&evidence)?,
            (Record::Waypoint { height, record }, _) => store.put_waypoint(height, &record)?,
            _ => return Err(reader.unsound("a record stands where none of its kind belongs")),
        }
    }
    if head.heights.1 > 0 && next != head.heights.1.saturating_add(1) {
        return Err(reader.unsound(format!("block {next} is missing")));
    }
    if let Some(checkpoint) = checkpoint {
        store.checkpoint(&checkpoint)?;
    }
    verify(&store, genesis, progress)
}
