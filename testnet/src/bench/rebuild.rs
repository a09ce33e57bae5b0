//! `bench rebuild`: a node whose folder is gone gets a large ledger back from the other members, none of whom keeps the blocks
//! that led to it.

use super::field::Ground;
use super::maker::{Maker, broken, data, remove, until_ready};
use super::payers::{kill, restart};
use super::report::{Bound, Report};
use crate::error::{TestnetError, api_error, file_error};
use crate::federation::Federation;
use crate::layout::Layout;
use hansa_ledger::member::MemberCode;
use hansa_ledger_store::LedgerStore as _;
use hansa_node::consensus::Application as _;
use hansa_node::snapshot::{Shelf, make, member_sets};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// Rows of a ledger whose rebuilding has a target.
const TARGET_ROWS: u64 = 1_000_000;

/// The target, in seconds.
const TARGET_S: f64 = 60.0;

/// Rows that an accredited organisation adds: itself, its key, and the end of its accreditation.
const ROWS_EACH: u64 = 3;

/// Organisations in a block at most, so that the block is not the largest there may be.
const BLOCK_ORGANISATIONS_MAX: u64 = 3_200;

/// How long two nodes may take to have the same block.
const AGREE_TIME_MAX: Duration = Duration::from_secs(5);

/// Blocks at least: a node that is hardly behind asks for blocks.
const BLOCKS_MIN: u64 = 10;

/// The ledger that was made.
struct Grown {
    height: u64,
    rows: u64,
    snapshot_bytes: u64,
    seconds: f64,
}

struct Found {
    grown: Grown,
    /// From each start of the process with an empty folder to caught up and ready, in seconds.
    rebuilt_s: Vec<f64>,
}

pub(super) async fn run(ground: &Ground, rows: u64, count: usize) -> Result<Report, TestnetError> {
    let mut report = Report::new("rebuild");
    let mut field = ground.field().await?;
    let federation = field.cluster.federation().clone();
    let layout = field.cluster.layout().clone();
    let mut children = Vec::new();
    let work = measure(&federation, &layout, ground, rows, count, &mut children);
    let measured = field.cluster.guard(work).await;
    let Found { grown, rebuilt_s } = field.down(measured, &ground.progress).await?;
    drop(children);
    let name = format!("node without a folder, {} rows: started to caught up and ready", grown.rows);
    if grown.rows >= TARGET_ROWS {
        report.target(name, "s", &rebuilt_s, Bound::AtMost, TARGET_S);
    } else {
        report.figure(name, "s", &rebuilt_s);
    }
    report.figure("the snapshot", "bytes", &[grown.snapshot_bytes as f64]);
    report.figure("making ledger and snapshot", "s", &[grown.seconds]);
    report.note(format!("the ledger has height {}, and no member keeps the blocks before", grown.height));
    report.note(
        "the rebuilt node stands at a block of the same id and the same state root as another's, and is ready",
    );
    Ok(report)
}

async fn measure(
    federation: &Federation,
    layout: &Layout,
    ground: &Ground,
    rows: u64,
    count: usize,
    children: &mut Vec<Child>,
) -> Result<Found, TestnetError> {
    let codes: Vec<MemberCode> = federation.clients().iter().map(|(code, _)| *code).collect();
    for code in &codes {
        kill(layout, *code).await?;
    }
    ground.progress.now(format!("making a ledger of {rows} rows"));
    let (place, all) = (layout.clone(), codes.clone());
    let growing = tokio::task::spawn_blocking(move || grow(&place, &all, rows));
    let grown = growing.await.map_err(|error| broken("making the ledger", &error))??;
    for code in &codes {
        children.push(restart(layout, *code, &ground.executable)?);
    }
    ground.progress.now("starting the nodes with it");
    let began = Instant::now();
    for (code, client) in federation.clients() {
        until_ready(*code, client, grown.height, began).await?;
    }
    let mut rebuilt_s = Vec::new();
    for number in 1..=count {
        let away = codes.len() - number % codes.len() - 1;
        let (code, client) = &federation.clients()[away];
        ground.progress.now(format!("rebuild {number} of {count}: the node of {code}"));
        kill(layout, *code).await?;
        remove(&data(layout, *code))?;
        let began = Instant::now();
        children.push(restart(layout, *code, &ground.executable)?);
        until_ready(*code, client, grown.height, began).await?;
        rebuilt_s.push(began.elapsed().as_secs_f64());
        same_block(federation, away).await?;
    }
    Ok(Found { grown, rebuilt_s })
}

/// Compares the last block of a node with that of another: its header holds the root of all rows.
async fn same_block(federation: &Federation, node: usize) -> Result<(), TestnetError> {
    let (code, client) = &federation.clients()[node];
    let (_, other) = &federation.clients()[(node + 1) % federation.clients().len()];
    let status = client.status().await.map_err(api_error("the rebuilt node does not answer"))?;
    let ours = client.header(status.height).await.map_err(api_error("a header cannot be read"))?;
    // It may be the first of the two to have the block.
    let began = Instant::now();
    let theirs = loop {
        match other.header(status.height).await {
            Ok(block) => break block,
            Err(error) if began.elapsed() > AGREE_TIME_MAX => {
                return Err(api_error("a header cannot be read")(error));
            }
            Err(_) => tokio::time::sleep(AGREE_TIME_MAX / 100).await,
        }
    };
    if ours.id != theirs.id || ours.header.state_root != theirs.header.state_root {
        return Err(TestnetError::Broken(format!("{code} has another block at height {}", status.height)));
    }
    Ok(())
}

/// Makes the ledger in the folder of the first member, forgets its blocks, makes a snapshot of the last, and gives a copy of both
/// to every other.
fn grow(layout: &Layout, codes: &[MemberCode], rows: u64) -> Result<Grown, TestnetError> {
    let began = Instant::now();
    let failed = |error: &dyn std::fmt::Display| broken("making the ledger", error);
    let maker = Maker::open(layout, codes)?;
    let organisations = rows.div_ceil(ROWS_EACH);
    let block_organisations = organisations.div_ceil(BLOCKS_MIN).clamp(1, BLOCK_ORGANISATIONS_MAX);
    let mut made = 0;
    while made < organisations {
        let until = made.saturating_add(block_organisations).min(organisations);
        maker.accredit(made..until)?;
        made = until;
    }
    let (executor, store) = (maker.executor(), maker.store());
    executor.checkpoint().map_err(|error| failed(&error))?;
    let height = executor.tip().height;
    let snapshots = codes.first().map(|first| data(layout, *first).join("snapshots")).unwrap_or_default();
    let shelf = Shelf::open(&snapshots, executor.chain()).map_err(|error| failed(&error))?;
    let sets = member_sets(&executor.state());
    make(&shelf, store, &sets, height, &|| true).map_err(|error| failed(&error))?;
    while store.prune_bodies_below(height, u64::MAX).map_err(|error| failed(&error))? > 0 {}
    let mut counted = 0_u64;
    executor.state().tables().each_row(|_, _, _| counted += 1);
    maker.give(layout, codes.get(1..).unwrap_or_default(), &["ledger", "snapshots"])?;
    let snapshot_bytes = bytes(&snapshots)?;
    Ok(Grown { height, rows: counted, snapshot_bytes, seconds: began.elapsed().as_secs_f64() })
}

/// Bytes of all files in a folder.
fn bytes(folder: &Path) -> Result<u64, TestnetError> {
    let mut sum = 0;
    for entry in folder.read_dir().map_err(file_error("read", folder))? {
        let entry = entry.map_err(file_error("read", folder))?;
        let metadata = entry.metadata().map_err(file_error("read", folder))?;
        sum += if metadata.is_dir() { bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}
