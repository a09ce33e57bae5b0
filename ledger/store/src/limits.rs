//! How large things may be, and why.

use crate::{error::StoreError, store::Checkpoint};

/// Largest block body, in bytes. A body is one batch, and a batch must stay below half a segment of the database.
pub const BODY_BYTES_MAX: usize = 7 << 20;

/// Largest certificate, undecided record, piece of evidence, or row (key and value together), in bytes.
///
/// The database keeps up to 17 neighbours on one page and moves a page over 4 MiB into a file of its own, which it never
/// fsyncs; 17 values of this size stay below that.
pub const VALUE_BYTES_MAX: usize = 192 << 10;

/// Most bytes of one database batch.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// Journals are cut into chunks of about this size, for the reason given at [`VALUE_BYTES_MAX`].
pub(crate) const CHUNK_BYTES: usize = 128 << 10;

/// Bodies are cut into parts of this size.
///
/// The database counts what its cache holds in 256 shards and looks at one only after 64 uses of its pages: up to 16,384 pages
/// stay whatever size was set. With 128 KiB a page is one to two megabytes, and 500 bodies of 900 kB under a cache of 16 MB
/// kept 468 MB; with 4 KiB they kept 48 MB, and took 9 ms each instead of 16.
pub(crate) const BODY_PART_BYTES: usize = 4 << 10;

pub(crate) fn check_body(body: &[u8]) -> Result<(), StoreError> {
    check("a block body", body.len(), BODY_BYTES_MAX)
}

pub(crate) fn check_value(what: &'static str, value: &[u8]) -> Result<(), StoreError> {
    check(what, value.len(), VALUE_BYTES_MAX)
}

pub(crate) fn check_rows(checkpoint: &Checkpoint) -> Result<(), StoreError> {
    for ((_, key), value) in &checkpoint.rows {
        let bytes = key.len().saturating_add(value.as_ref().map_or(0, Vec::len));
        check("a row", bytes, VALUE_BYTES_MAX)?;
    }
    Ok(())
}

fn check(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), StoreError> {
    if bytes > bytes_max { Err(StoreError::TooLarge { what, bytes, bytes_max }) } else { Ok(()) }
}
