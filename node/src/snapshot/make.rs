//! Making a snapshot from the store's checkpoint while the node goes on.

use super::manifest::{CHUNK_BYTES, Content, MANIFEST_BYTES_MAX, Manifest, PARTS_MAX, Part};
use super::shelf::{Shelf, part_path};
use super::waypoint::{Sets, member_sets, steps};
use crate::executor::Executor;
use hansa_ledger::block::Block;
use hansa_ledger::id::BlockId;
use hansa_ledger_store::{LedgerStore, RowCursor, StoreError, StoredRow};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Rows are read from the store in pages of this many bytes: a commit waits for one of them at most.
const PAGE_BYTES: usize = 128 << 10;

/// Why no snapshot was made. The node goes on without.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The store: it went on to the next checkpoint, is low on space, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("a file of it could not be written: {0}")]
    File(#[from] std::io::Error),
    /// The block is not kept, or cannot be read.
    #[error("block {height} cannot be read: {what}")]
    Block {
        /// Its height.
        height: u64,
        /// Why not.
        what: String,
    },
    /// More than a snapshot may be.
    #[error("the state is larger than a snapshot may be, or the members changed too often for one manifest")]
    TooLarge,
    /// The node stops.
    #[error("the node stops")]
    Stopped,
}

/// Makes the snapshot of a height that the store has its latest checkpoint of, and takes it to the shelf. `sets` are the members
/// by height, at least up to this one. `go_on` is asked between the pages.
///
/// # Errors
/// Why none was made; nothing is left of it then.
pub fn make(
    shelf: &Shelf,
    store: &dyn LedgerStore,
    sets: &Sets,
    height: u64,
    go_on: &dyn Fn() -> bool,
) -> Result<(), MakeError> {
    let aside = shelf.aside(height)?;
    let made =
        write(&aside, store, sets, height, go_on).and_then(|manifest| Ok(shelf.adopt(&aside, manifest)?));
    if made.is_err() {
        // What is there is not whole, and goes at the next start at the latest.
        let _ = fs::remove_dir_all(&aside);
    }
    made
}

fn write(
    folder: &Path,
    store: &dyn LedgerStore,
    sets: &Sets,
    height: u64,
    go_on: &dyn Fn() -> bool,
) -> Result<Manifest, MakeError> {
    let unreadable = |what: &str| MakeError::Block { height, what: what.to_owned() };
    let decided = store.decided(height)?.ok_or_else(|| unreadable("it is not kept"))?;
    let read = Block::read(&BlockId(decided.block), &decided.body);
    let block = read.map_err(|what| MakeError::Block { height, what })?;
    let mut content = Content { rows: 0, parts: Vec::new() };
    put(folder, &mut content, &decided.body)?;
    let mut cursor = RowCursor::of(height);
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    loop {
        if !go_on() {
            return Err(MakeError::Stopped);
        }
        let page = store.rows_page(&mut cursor, PAGE_BYTES)?;
        if page.is_empty() {
            break;
        }
        for row in page {
            bytes = bytes.saturating_add(encoded_bytes(&row));
            rows.push(row);
            content.rows = content.rows.saturating_add(1);
            // Cut by the rows alone, so that every member cuts at the same places.
            if bytes >= CHUNK_BYTES {
                store.writable()?;
                put(folder, &mut content, &encode(&std::mem::take(&mut rows)))?;
                bytes = 0;
            }
        }
    }
    if !rows.is_empty() {
        put(folder, &mut content, &encode(&rows))?;
    }
    let steps = steps(store, sets, height)?;
    let manifest = Manifest::new(block.header, decided.certificate, steps, content);
    if manifest.content.parts.len() > PARTS_MAX || manifest.encode().len() > MANIFEST_BYTES_MAX {
        return Err(MakeError::TooLarge);
    }
    Ok(manifest)
}

/// What a row takes in a part.
fn encoded_bytes((_, key, value): &StoredRow) -> usize {
    key.len().saturating_add(value.len()).saturating_add(9)
}

fn encode(rows: &[StoredRow]) -> Vec<u8> {
    borsh::to_vec(rows).expect("encoding into memory cannot fail")
}

fn put(folder: &Path, content: &mut Content, bytes: &[u8]) -> Result<(), MakeError> {
    let index = u32::try_from(content.parts.len()).map_err(|_| MakeError::TooLarge)?;
    let length = u32::try_from(bytes.len()).map_err(|_| MakeError::TooLarge)?;
    fs::write(part_path(folder, index), bytes)?;
    content.parts.push(Part { hash: *blake3::hash(bytes).as_bytes(), bytes: length });
    Ok(())
}

/// Makes a snapshot whenever the executor has written the checkpoint of one, on a thread that may block.
pub async fn make_when_due(executor: Arc<Executor>, shelf: Arc<Shelf>, stop: CancellationToken) {
    let mut due = executor.snapshots_due();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = due.changed() => if changed.is_err() { return },
        }
        let height = *due.borrow_and_update();
        let (executor, shelf, stop) = (executor.clone(), shelf.clone(), stop.clone());
        let making = tokio::task::spawn_blocking(move || {
            let sets = member_sets(&executor.state());
            let go_on = || !stop.is_cancelled();
            let made = make(&shelf, executor.store().as_ref(), &sets, height, &go_on);
            executor.release_checkpoint();
            made
        });
        match making.await {
            Ok(Ok(())) => tracing::info!(height, "a snapshot for other members is made"),
            Ok(Err(MakeError::Stopped)) => return,
            Ok(Err(error)) => tracing::warn!(height, %error, "no snapshot of this height was made"),
            Err(error) => tracing::error!(height, %error, "making a snapshot failed"),
        }
    }
}
