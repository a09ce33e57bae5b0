//! Writes heights to a store and acknowledges each outside it, until it is killed; `check` says whether all of it is there.
//!
//! `store-crash-writer write DIRECTORY KIB ACKNOWLEDGEMENTS` creates or continues a store with bodies of KIB kibibytes.
//! `store-crash-writer check DIRECTORY KIB ACKNOWLEDGEMENTS` re-derives every acknowledged height, certificate and row.
//! `store-crash-writer hold DIRECTORY` keeps the store open until its input ends.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    process::ExitCode,
};

use hansa_ledger_store::{Checkpoint, Commit, Hash, LedgerStore, OpenOptions, SledStore};

const HEIGHTS_PER_CHECKPOINT: u64 = 5;
const ROWS_PER_CHECKPOINT: u64 = 50;
const ROWS: u64 = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["write", directory, kib, acknowledgements] => {
            write(Path::new(directory), kib, Path::new(acknowledgements))
        }
        ["check", directory, kib, acknowledgements] => {
            check(Path::new(directory), kib, Path::new(acknowledgements))
        }
        ["hold", directory] => hold(Path::new(directory)),
        _ => {
            Err("usage: store-crash-writer write|check DIRECTORY KIB ACKNOWLEDGEMENTS, or hold DIRECTORY"
                .into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn open(directory: &Path, create_new: bool) -> Result<SledStore, Box<dyn Error>> {
    Ok(SledStore::open(directory, OpenOptions { create_new, ..OpenOptions::default() })?)
}

fn write(directory: &Path, kib: &str, acknowledgements: &Path) -> Result<(), Box<dyn Error>> {
    let kib: usize = kib.parse()?;
    let store = open(directory, !directory.join("witness").exists())?;
    let mut log = File::options().create(true).append(true).open(acknowledgements)?;
    let first = store.tip()?.map_or(1, |tip| tip.height.saturating_add(1));
    // A checkpoint holds what changed since the previous one, so one that was cut off is written before the next, as a node
    // does that replays the blocks since its checkpoint.
    let due = first.saturating_sub(1) / HEIGHTS_PER_CHECKPOINT * HEIGHTS_PER_CHECKPOINT;
    if due > store.latest_checkpoint()?.map_or(0, |checkpoint| checkpoint.height) {
        store.checkpoint(&checkpoint(due))?;
    }
    for height in first..u64::MAX {
        let (block, root) = (hash("block", height), hash("root", height));
        store.put_body_and_undecided(height, 0, &block, &body(height, kib), &block)?;
        writeln!(log, "body {height}")?;
        let checkpoint = height.is_multiple_of(HEIGHTS_PER_CHECKPOINT).then(|| checkpoint(height));
        let certificate = certificate(height);
        store.commit(&Commit {
            height,
            block,
            root,
            certificate: &certificate,
            checkpoint: checkpoint.as_ref(),
        })?;
        writeln!(log, "height {height}")?;
        store.prune_undecided_to(height)?;
    }
    Ok(())
}

fn check(directory: &Path, kib: &str, acknowledgements: &Path) -> Result<(), Box<dyn Error>> {
    let kib: usize = kib.parse()?;
    let log = fs::read_to_string(acknowledgements)?;
    let last = |kind: &str| {
        let heights = log.lines().filter_map(|line| line.strip_prefix(kind)?.trim().parse::<u64>().ok());
        heights.max().unwrap_or(0)
    };
    let (acknowledged, body_acknowledged) = (last("height"), last("body"));
    let store = open(directory, false)?;
    let tip = store.tip()?.map_or(0, |tip| tip.height);
    if tip < acknowledged || tip > acknowledged.saturating_add(1) {
        return Err(format!("height {acknowledged} was acknowledged, and the store is at {tip}").into());
    }
    for height in 1..=tip {
        let decided = store.decided(height)?.ok_or(format!("height {height} is missing"))?;
        let right = decided.block == hash("block", height)
            && decided.root == hash("root", height)
            && decided.certificate == certificate(height)
            && decided.body == body(height, kib);
        if !right {
            return Err(format!("height {height} is not what was written").into());
        }
    }
    if store.body(&hash("block", body_acknowledged))?.is_none() && body_acknowledged > 0 {
        return Err(format!("the body of height {body_acknowledged} was acknowledged and is missing").into());
    }
    if body_acknowledged > tip && store.undecided(body_acknowledged, 0)?.is_empty() {
        return Err(
            format!("the proposal of height {body_acknowledged} was acknowledged and is missing").into()
        );
    }
    let checkpoint_height = store.latest_checkpoint()?.map_or(0, |checkpoint| checkpoint.height);
    let acknowledged_checkpoint = acknowledged / HEIGHTS_PER_CHECKPOINT * HEIGHTS_PER_CHECKPOINT;
    if checkpoint_height < acknowledged_checkpoint {
        return Err(format!("the checkpoint of height {acknowledged_checkpoint} is missing").into());
    }
    let mut rows = BTreeMap::new();
    store.rows(&mut |table, key, value| {
        rows.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    })?;
    if rows != rows_at(checkpoint_height) {
        return Err(format!("the rows are not those of checkpoint {checkpoint_height}").into());
    }
    store.verify()?;
    println!("acknowledged {acknowledged}, tip {tip}, checkpoint {checkpoint_height}: whole");
    Ok(())
}

fn hold(directory: &Path) -> Result<(), Box<dyn Error>> {
    let _store = open(directory, !directory.join("witness").exists())?;
    println!("open");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn hash(what: &str, height: u64) -> Hash {
    *blake3::Hasher::new().update(what.as_bytes()).update(&height.to_le_bytes()).finalize().as_bytes()
}

fn body(height: u64, kib: usize) -> Vec<u8> {
    let mut bytes = vec![0; kib.saturating_mul(1024)];
    blake3::Hasher::new().update(&height.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn certificate(height: u64) -> Vec<u8> {
    hash("certificate", height).repeat(8)
}

/// Some rows change, some are new, some go.
fn checkpoint(height: u64) -> Checkpoint {
    let first = height.saturating_mul(7);
    let rows = (first..first.saturating_add(ROWS_PER_CHECKPOINT)).map(|number| {
        let place = number % ROWS;
        let value =
            (!number.is_multiple_of(3)).then(|| hash("value", height.saturating_add(place)).repeat(3));
        ((u8::from(place.is_multiple_of(2)), place.to_be_bytes().to_vec()), value)
    });
    Checkpoint { height, root: hash("root", height), protocol_version: 1, rows: rows.collect() }
}

fn rows_at(height: u64) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
    let mut rows = BTreeMap::new();
    for height in (1..=height).filter(|height| height.is_multiple_of(HEIGHTS_PER_CHECKPOINT)) {
        for (key, value) in checkpoint(height).rows {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
    }
    rows
}
