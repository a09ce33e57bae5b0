//! Making a block durable: its body before the vote, its certificate at the decision, against the bare disk.

use super::{broken, rounds};
use crate::bench::report::{Bound, Report};
use crate::error::{TestnetError, file_error};
use hansa_ledger_store::{Commit, LedgerStore as _, OpenOptions, SledStore};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Bytes of the block's body.
const BODY_BYTES: usize = 300 * 1024;

/// Bytes of its certificate: about that of four members.
const CERTIFICATE_BYTES: usize = 512;

/// Bytes that are written to the bare disk for comparison.
const RAW_BYTES: usize = 1024 * 1024;

pub(super) fn measure(report: &mut Report, folder: &Path) -> Result<(), TestnetError> {
    std::fs::create_dir_all(folder).map_err(file_error("make the folder", folder))?;
    let raw = raw(&folder.join("raw"))?;
    report.figure("1 MiB written over and synced, bare disk", "ms", &raw);
    let options = OpenOptions { create_new: true, ..OpenOptions::default() };
    let store = SledStore::open(&folder.join("ledger"), options).map_err(broken)?;
    let mut height = 0u64;
    let syncs_before = store.fsyncs();
    let mut failure = None;
    let times = rounds(
        1,
        || {
            height += 1;
            let body = noise(height, BODY_BYTES);
            (*blake3::hash(&body).as_bytes(), body, height)
        },
        |(block, body, height)| {
            let written = store.put_body_and_undecided(height, 0, &block, &body, b"record").and_then(|()| {
                let certificate = noise(height, CERTIFICATE_BYTES);
                store.commit(&Commit {
                    height,
                    block,
                    root: block,
                    certificate: &certificate,
                    checkpoint: None,
                })
            });
            failure = failure.take().or(written.err());
        },
    );
    if let Some(error) = failure {
        return Err(broken(error));
    }
    let times: Vec<f64> = times.iter().map(|time| time / 1_000.0).collect();
    let middle = crate::bench::statistics::median(&raw).unwrap_or(f64::NAN);
    report.target("300 KiB block made durable and decided", "ms", &times, Bound::AtMost, 3.0 * middle);
    let syncs = (store.fsyncs() - syncs_before) as f64 / height as f64;
    report.target("syncs of a block", "", &[syncs], Bound::AtMost, 3.0);
    Ok(())
}

/// Milliseconds for writing over a file that is there, and waiting for the disk.
fn raw(path: &Path) -> Result<Vec<f64>, TestnetError> {
    let failed = file_error("write", path);
    let measure = || -> std::io::Result<Vec<f64>> {
        let mut file = std::fs::File::create(path)?;
        file.write_all(&noise(0, RAW_BYTES))?;
        file.sync_all()?;
        let mut failure = Ok(());
        let mut round = 0;
        let prepare = || {
            round += 1;
            noise(round, RAW_BYTES)
        };
        let times = rounds(1, prepare, |bytes| {
            let written = file
                .seek(SeekFrom::Start(0))
                .and_then(|_| file.write_all(&bytes))
                .and_then(|()| file.sync_data());
            if written.is_err() {
                failure = written;
            }
        });
        failure.map(|()| times.iter().map(|time| time / 1_000.0).collect())
    };
    measure().map_err(failed)
}

/// Bytes that no disk can press together, another set for each number.
fn noise(number: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}
