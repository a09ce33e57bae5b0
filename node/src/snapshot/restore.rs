//! From the files of a snapshot to a state that the members signed.

use super::manifest::{Manifest, Refusal, Trust, decode_rows};
use super::shelf::{part_path, read_part};
use hansa_ledger::apply::chain;
use hansa_ledger::block::Block;
use hansa_ledger::invariants::check_state;
use hansa_ledger::state::State;
use hansa_ledger_store::{Checkpoint, StoredRow};
use std::path::Path;

/// A snapshot that was checked as a whole.
#[derive(Clone)]
pub struct Restored {
    /// What it said of itself, certified by members that are believed.
    pub manifest: Manifest,
    /// The state, with the root that the members signed.
    pub state: State,
    /// The block that led to it.
    pub body: Vec<u8>,
}

impl Restored {
    /// The state's rows as a checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let header = &self.manifest.header;
        let mut checkpoint = Checkpoint {
            height: header.height,
            root: header.state_root,
            protocol_version: header.protocol_version,
            ..Checkpoint::default()
        };
        self.state.tables().each_row(|table, key, value| {
            checkpoint.rows.insert((table, key), Some(value));
        });
        checkpoint
    }
}

/// Builds the state from the parts in `folder` and compares its root with the certified one.
///
/// # Errors
/// [`Refusal::Part`] for one that is missing or damaged here and has to be fetched again; anything else means that the snapshot
/// is not the state that the members signed.
pub fn load(folder: &Path, manifest: Manifest, trust: &Trust) -> Result<Restored, Refusal> {
    manifest.check(trust)?;
    let header = &manifest.header;
    let mut parts = (0u32..)
        .zip(&manifest.content.parts)
        .map(|(index, part)| read_part(&part_path(folder, index), part).ok_or(Refusal::Part(index)));
    let body = parts.next().unwrap_or(Err(Refusal::Part(0)))?;
    Block::read(&header.id(), &body).map_err(Refusal::Malformed)?;
    let mut rows = Rows { parts, rows: Vec::new().into_iter(), last: None, count: 0, failed: None };
    let loaded = State::load(&mut rows, header.id());
    let (failed, count) = (rows.failed.take(), rows.count);
    drop(rows);
    if let Some(refusal) = failed {
        return Err(refusal);
    }
    let state = loaded.map_err(Refusal::Rows)?.knowing(trust.versions);
    if count != manifest.content.rows || state.root() != header.state_root {
        return Err(Refusal::Root);
    }
    check_state(&state).map_err(Refusal::Rows)?;
    if chain(&state).height != header.height {
        return Err(Refusal::Rows("it is not of the height of its block".to_owned()));
    }
    Ok(Restored { manifest, state, body })
}

/// The rows of all parts, one after the other, as long as each stands after the one before.
struct Rows<P> {
    parts: P,
    rows: std::vec::IntoIter<StoredRow>,
    last: Option<(u8, Vec<u8>)>,
    count: u64,
    failed: Option<Refusal>,
}

impl<P: Iterator<Item = Result<Vec<u8>, Refusal>>> Iterator for Rows<P> {
    type Item = StoredRow;

    fn next(&mut self) -> Option<StoredRow> {
        loop {
            if let Some((table, key, value)) = self.rows.next() {
                let place = (table, key.clone());
                if self.last.as_ref().is_some_and(|last| *last >= place) {
                    self.failed = Some(Refusal::Malformed("its rows are not in order".to_owned()));
                    return None;
                }
                self.last = Some(place);
                self.count = self.count.saturating_add(1);
                return Some((table, key, value));
            }
            match self.parts.next()?.and_then(|bytes| decode_rows(&bytes)) {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(refusal) => {
                    self.failed = Some(refusal);
                    return None;
                }
            }
        }
    }
}
